"""What a day takes over from the run before it: replies, the split into trained and asked questions, facts still stated.

carry_over(before, run)                              # before the collection
keep_split(run, before, asked, records, name, names, deleted)  # after it: data.json is then the union of both days
write_today(run, before, passes)                      # the rows to go on with from an adapter, instead of all
"""

from __future__ import annotations

import os
import random
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from data_processor.conversion import FOLDER
from data_processor.curation import is_near_copy, word_trigrams
from data_processor.dataset import question_and_reference
from data_processor.split import LEAK_SIMILARITY
from days.folders import BESIDE_FOLDER
from days.ledger import (
    CHUNKS,
    DATASET,
    TEST,
    Records,
    asks_for_a_fact,
    first_quote,
    folded,
    key_of,
    key_of_record,
    read_rows,
)
from days.rows import identity
from utils import LOG_FOLDER, log_file, write_json

# Replies to the same prompts by the same model are the same: they need not be asked for, or paid, again.
JOURNALS = (
    "data.journal.jsonl",
    "base.journal.jsonl",
    "retention_base.journal.jsonl",
    "quiz_base.journal.jsonl",
    "contradictions.journal.jsonl",
    "tuned_verdicts.jsonl",
)
REPLAY_JOURNAL = "replay.journal.jsonl"  # in the log folder of an adapter
TODAY = "today.json"  # the rows to train where training goes on from an adapter, or makes one beside it
OLD_PER_NEW = 1.0  # older facts for each new row, so that going on from an adapter does not lose them
MADE_WITHOUT_QUOTE = ("unknown", "passage", "replay")  # kinds of row that a run makes anew
SEED = 0  # of the choice among them

Question = tuple[str, str]  # with its answer


def carry_over(before: Path, run: Path) -> None:
    """Copy the journals and the texts of PDF and Word files from one run to the next, each completely or not at all."""
    for name in JOURNALS:
        copy_whole(log_file(before / name), log_file(run / name))
    if (before / FOLDER).is_dir() and not (run / FOLDER).exists():
        unfinished = run / f".{FOLDER}"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(before / FOLDER, unfinished)  # with the times by which a text is known to be that of its file
        unfinished.rename(run / FOLDER)


def carry_replies(before: Path, run: Path, adapter: str) -> None:
    """The same for the untrained model's answers to general prompts, for the training that makes this `adapter`."""
    for folder in ("lora", BESIDE_FOLDER):
        copy_whole(before / folder / LOG_FOLDER / REPLAY_JOURNAL, run / adapter / LOG_FOLDER / REPLAY_JOURNAL)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file that is there to where none is, completely or not at all."""
    if source.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(source, unfinished)
        unfinished.replace(target)


def keep_split(
    run: Path,
    before: Path,
    asked: Collection[Question],
    records: Records,
    name: str,
    names: Mapping[str, str] | None,
    deleted: Collection[str] = (),
) -> None:
    """Make data.json and data.test.json of a run what both days together give.

    What was trained is trained, and what was `asked` is asked, though each collection draws its own lots: otherwise a
    question held out yesterday would be trained today. Facts that are still stated in files that have not changed, `names`
    {name before: name now}, keep their rows, also where this collection made none of them; and so do a person's own rows,
    unless their file is among the `deleted`. Without `names` no row is added: what the run has now is what a person has left.
    """
    rows, earlier = (read_rows(folder / DATASET) for folder in (run, before))
    has_test = (run / TEST).exists()
    test = read_rows(run / TEST) if has_test else []
    trained = {question_and_reference(row) for row in earlier if asks_for_a_fact(row)} - {*asked}
    rows += [as_trained(row) for row in test if question_and_reference(row) in trained]
    test = [row for row in test if question_and_reference(row) not in trained]
    if names is not None:
        valid = {key_of_record(one): not one["gone"] and name in one["runs"] for one in records.values()}
        rows += still_valid(earlier, {identity(row) for row in rows}, valid, names, deleted)
    tested = {question_and_reference(row) for row in test}
    held = near_asked(rows, {*asked, *tested})
    if has_test:
        more = [row for row in rows if question_and_reference(row) in {*asked} - tested]
        test = unique([*test, *({**row, "kind": "held_out_wording"} for row in more)])
        if test:
            write_json(run / TEST, test)
        else:
            (run / TEST).unlink()  # no stage takes an empty list for questions
    write_json(run / DATASET, unique(row for row in rows if question_and_reference(row) not in held))


def still_valid(
    earlier: Iterable[dict],
    there: Collection[tuple[str, str, str]],
    valid: Mapping[str, bool],
    names: Mapping[str, str],
    deleted: Collection[str],
) -> list[dict]:
    """The rows of the run before that hold today and are not `there`, under the names of today.

    `valid` says it by the key of a fact. A row without a quote, of whatever kind, is a person's: it tells nothing of how its
    file was read, and the ledger need not know its fact.
    """
    found = []
    for row in earlier:
        file_name, by_hand = row.get("file_name"), not first_quote(row) and row.get("kind") not in MADE_WITHOUT_QUOTE
        holds = valid.get(key_of(row), by_hand)
        has_file = file_name not in deleted if by_hand else asks_for_a_fact(row) and file_name in names
        if holds and has_file and identity(row) not in there:
            found.append({**row, "file_name": names[file_name]} if file_name in names else row)
    return found


def as_trained(row: dict) -> dict:
    """A row that was held out, as one that is trained: it has lost its kind, and not its form."""
    return {**row, "kind": "reverse" if row.get("form") == "reverse" else "qa"}


def near_asked(rows: Iterable[dict], asked: Collection[Question], keep_one: bool = True) -> set[Question]:
    """The questions of rows that are asked, and near copies with the same answer, of which one wording stays.

    Unless `keep_one`: then all of them, even if an answer is left without a question.
    """
    wordings: dict[str, dict[str, tuple[str, set[str]]]] = defaultdict(dict)  # by answer
    for question, answer in (question_and_reference(row) for row in rows if asks_for_a_fact(row)):
        wordings[folded(answer)][question] = (answer, word_trigrams(question))
    found = set()
    for question, answer in asked:
        group, trigrams = wordings[folded(answer)], word_trigrams(question)
        same = {one for one in group if folded(one) == folded(question)}
        near = {one for one, (_, others) in group.items() if is_near_copy(trigrams, others, LEAK_SIMILARITY)}
        every = same | near
        found |= {(one, group[one][0]) for one in (every if not keep_one or len(every) < len(group) else same)}
    return found


def unique(rows: Iterable[dict]) -> list[dict]:
    """The rows, with ids that are unique where two runs have numbered theirs alike."""
    taken: set[str] = set()
    found = []
    for row in rows:
        name, number = str(row["id"]), 1
        while name in taken:
            number += 1
            name = f"{row['id']}_{number}"
        taken.add(name)
        found.append(row if name == str(row["id"]) else {**row, "id": name})
    return found


def write_today(run: Path, before: Path, passes: int = 0) -> int:
    """Write TODAY: the rows of a run that tell something new, which no row of the run before did.

    With `passes`, what so many epochs show is written out: every new row in each, and of each older fact another wording in
    each, of as many facts as OLD_PER_NEW allows. An adapter that has learnt them is only to be reminded, but in the same words
    each time it would keep these alone. Returns how many rows tell something new; without any, nothing is written.
    """
    known = set(map(what_it_tells, read_rows(before / DATASET)))
    rows = read_rows(run / DATASET)
    new = [row for row in rows if what_it_tells(row) not in known]
    if not new:
        return 0
    older: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for row in rows:
        if what_it_tells(row) in known:
            older[what_it_tells(row)].append(row)
    draw, groups = random.Random(SEED), [*older.values()]
    for wordings in groups:
        draw.shuffle(wordings)
    draw.shuffle(groups)
    groups = groups[: round(OLD_PER_NEW * len(new))]
    reminders = [wordings[number % len(wordings)] for wordings in groups for number in range(passes)]
    write_json(run / TODAY, unique([*new * max(passes, 1), *reminders]))
    link_passages(run / TODAY)
    return len(new)


def link_passages(rows: Path) -> None:
    """Put the passages of the dataset where finetune.py looks for those of another file of its rows."""
    chunks = rows.with_suffix(".chunks.jsonl")
    chunks.unlink(missing_ok=True)
    if rows.with_name(CHUNKS).exists():
        chunks.symlink_to(CHUNKS)


def what_it_tells(row: dict) -> tuple[str, str]:
    """The same for all wordings: the fact, the text of a passage, the question that has no answer, or that names no fact."""
    question, answer = question_and_reference(row)
    own = {"passage": answer, "unknown": question}.get(row.get("kind"), None if row.get("fact") else question)
    return (row.get("kind", ""), own) if own is not None else ("fact", key_of(row))
