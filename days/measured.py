"""What a run's training and its answers say of each fact, put into the ledger.

add_training(records, folder, run)
add_answers(records, verdicts_of(folder / "base_acc.json"), verdicts_of(folder / "tuned_acc.json"), run)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from days.ledger import DATASET, Records, key_of, key_of_record
from evaluation.judging import UNSCORED
from evaluation.matching import CORRECT
from utils import read_json

RIGHT = 0.5  # a fact counts as right if more of its questions are


def add_training(records: Records, folder: str | Path, run: str, dataset: str = DATASET, adapter: str = "lora") -> None:
    """Record how often a training showed each fact: the rows about it, times the epochs in its train_log.json.

    A training that had to be stopped at its deadline may have left an adapter without a log: then nothing is recorded.
    """
    log = Path(folder) / adapter / "train_log.json"
    if not log.is_file():
        return
    epochs = read_json(log, "the log of a training")["plan"]["epochs"]
    rows: dict[str, int] = defaultdict(int)
    for row in read_json(Path(folder) / dataset, "a dataset"):
        if row.get("kind") not in ("unknown", "replay"):  # which say the fact is not told, or what the base says of it
            rows[key_of(row)] += 1
    for record in records.values():
        shown = rows.get(key_of_record(record), 0)
        record["exposures"].pop(run, None)  # of an earlier training of the same run, with other rows
        if shown:
            record["exposures"][run] = round(shown * epochs, 1)


def verdicts_of(path: str | Path) -> list[dict]:
    """The verdicts in a file that evaluate.py wrote (base_acc.json, tuned_acc.json); none if there is no such file."""
    return read_json(path, "scores with verdicts")["verdicts"] if Path(path).exists() else []


def add_answers(records: Records, base: Iterable[dict], tuned: Iterable[dict], run: str) -> int:
    """Record what the base model knew of each fact and what the tuned one has learnt or lost.

    A verdict belongs to the record of its fact, or else to the one whose questions have its question. Returns how many
    belong to none, such as those of questions that a person brought.
    """
    by_key = {key_of_record(record): record for record in records.values()}
    by_question = {one["question"]: record for record in records.values() for one in record["questions"]}
    strangers = 0
    for verdicts, is_base in ((base, True), (tuned, False)):
        # by id, (is it asked the other way round, is it right)
        right: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        for verdict in verdicts:
            record = by_key.get(key_of(verdict)) or by_question.get(verdict.get("question"))
            if record is None:
                strangers += 1
            elif verdict["verdict"] != UNSCORED:
                right[record["id"]].append((is_reverse(verdict, record), verdict["verdict"] == CORRECT))
        for fact, answers in right.items():
            forward, reverse = ([ok for turned, ok in answers if turned == side] for side in (False, True))
            if is_base:
                records[fact]["known_before"] = share(forward or reverse)
            else:
                add_learnt(records[fact], forward or reverse, reverse, run)
    return strangers


def is_reverse(verdict: Mapping, record: dict) -> bool:
    """Whether a question asks for what the fact is about; one held out of the training has lost its kind, not its form."""
    told = [one for one in record["questions"] if one["question"] == verdict.get("question")]
    return any("reverse" in (one.get("kind"), one.get("form")) for one in (verdict, *told))


def share(right: list[bool]) -> float:
    return round(sum(right) / len(right), 3)


def add_learnt(record: dict, answers: list[bool], reverse: list[bool], run: str) -> None:
    earlier = [value for name, value in record["learnt"].items() if name != run]
    record["learnt"][run] = share(answers)
    if reverse:
        record["reverse"][run] = share(reverse)
    if record["learnt"][run] > RIGHT:
        record["lost_again"] = None
    elif any(value > RIGHT for value in earlier):
        record["lost_again"] = record["lost_again"] or run
