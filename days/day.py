"""A run over a folder whose documents change: what is done before, between and after the stages of run_all.py.

    with claim_run_folder(out):
        run = find_run(out, documents)                          # out itself, or the folder of a day
        write_fingerprints(run, fingerprint(documents))         # then the collection
        way = take_in(out, run, documents, data_path, newer)    # then the base model is asked
        unlearn(day)                                            # then training, asking, evaluation
        gate = judge_day(out, run)                              # the report is written with it
        close(out, run, gate)

Each may be repeated after a kill. Facts are in the ledger of `out`; the first run is called FIRST there, a later one by the
name of its folder. log/day.json of a day also has "changes", "gone" {fact: the run in which it went}, "way", and "taken_in",
the time of the dataset that is in the ledger.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from data_processor.dataset import read_dataset
from data_processor.documents import Document
from days import asked, carried
from days.changes import Changes, compare, fingerprint, read_fingerprints
from days.folders import (
    ADAPTER,
    BESIDE_FOLDER,
    DAY_FILE,
    LATEST,
    all_runs,
    close_day,
    history,
    latest,
    move_latest,
    open_day,
    prune,
    read_day,
    run_before,
)
from days.gate import Gate, compare_runs
from days.ledger import DATASET, TEST, Records, add_facts, read_chunks, read_ledger, rows_of, write_ledger
from days.measured import add_answers, add_training, verdicts_of
from days.rows import take_out
from days.superseded import FILE, Sources, find_superseded, supersede
from days.unlearning import UNLEARN, add_base_answers, to_unlearn
from utils import InputError, log_file, read_json, write_json

FIRST = "first"  # the name of the first run in the ledger
AUTO, ONWARD, ANEW, BESIDE = "auto", "onward", "anew", "beside"  # the ways to go on from the run before
WAYS = {
    ONWARD: "training goes on from the last adapter, on what is new and some of the rest",
    ANEW: "training anew, from the base model, on all that is stated now",
    BESIDE: "training a second adapter, on what is new alone",
}
MOST_BYTES = 20e9  # of all adapters, checkpoints and exports of a folder together

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Day:
    """A run in the folder `out`: the first, which is `out` itself, or that of a day."""

    out: Path
    run: Path

    @property
    def is_first(self) -> bool:
        return self.run == self.out

    @property
    def name(self) -> str:
        return FIRST if self.is_first else self.run.name

    @property
    def before(self) -> Day:
        """The run that a day goes on from."""
        return Day(self.out, run_before(self.out, self.run))

    def note(self, **told: object) -> None:
        """Add to log/day.json."""
        write_json(log_file(self.run / DAY_FILE), read_day(self.run) | told)


def is_closed(run: Path) -> bool:
    """Whether a run has come to its end; the first one says so in run.json alone."""
    if log_file(run / DAY_FILE).is_file():
        return read_day(run).get("passed") is not None
    path = run / "run.json"
    return path.is_file() and "ended" in read_json(path, "the times of a run")


def find_run(out: Path, documents: Sequence[Document]) -> Path:
    """The run to start: the newest one, or a new day if its documents have changed since it ended.

    A file that was only renamed says nothing new. A run of an earlier version kept no account of its documents, and so
    stays the newest.
    """
    newest = all_runs(out)[-1]
    if is_closed(newest):
        before = read_fingerprints(newest)
        changes = compare(before, fingerprint(documents)) if before is not None else Changes()
        if changes.added or changes.edited or changes.deleted:
            newest = open_day(out)
            log.info("documents changed: %s; this run is in %s", describe(dataclasses.asdict(changes)), newest)
    if newest != out and not is_closed(newest):
        carried.carry_over(all_runs(out)[-2], newest)
    return newest


def describe(changes: Mapping[str, Sequence]) -> str:
    """ "2 added, 1 edited": of what has changed."""
    counts = [(key, len(changes[key])) for key in ("added", "edited", "renamed", "deleted")]
    return ", ".join(f"{count} {key}" for key, count in counts if count) or "none"


def take_in_first(day: Day) -> None:
    """Put what the first run has collected into the ledger; nothing of it is superseded."""
    records = read_ledger(day.out)
    add_facts(records, rows_of(day.run), read_chunks(day.run), day.name)
    write_ledger(day.out, records)


def take_in(day: Day, sources: Sources, questions: str | None) -> None:
    """Put what was collected into the ledger, take what is superseded out of the training, and write what will be asked.

    `questions` is a person's file of them, if there is one. It is done once for a dataset, as it changes that.
    """
    if read_day(day.run).get("taken_in") == (day.run / DATASET).stat().st_mtime_ns:
        return
    records = read_ledger(day.out)
    changes = compare(*(read_fingerprints(run) or {} for run in (day.before.run, day.run)))
    pairs = add_day(day, records, sources)
    gone = asked.gone_since(records, read_day(day.before.run).get("gone", {}), day.name)
    write_questions(day, records, pairs, questions, changes, gone)
    write_ledger(day.out, records)
    told = dataclasses.asdict(changes) | {"same": len(changes.same)}
    day.note(changes=told, gone=gone, taken_in=(day.run / DATASET).stat().st_mtime_ns)


def add_day(day: Day, records: Records, sources: Sources) -> list[dict]:
    """Put the facts of a day into the records, and say which are superseded; returns the pairs of this day and all before.

    What is superseded is left out of the next comparison, so the pairs that a killed start found are kept.
    """
    changes = compare(*(read_fingerprints(run) or {} for run in all_runs(day.out)[-2:]))
    is_in = any(day.name in record["runs"] for record in records.values())  # and renamed, before a kill
    renamed = () if is_in else changes.renamed
    add_facts(records, rows_of(day.run), read_chunks(day.run), day.name, renamed)
    found = find_superseded(records, day.name, day.before.name, sources)
    known = {(pair["old"]["id"], pair["new"]["id"]) for pair in found}
    for pair in read_pairs(day.run):
        new = records.get(pair["new"]["id"])
        if new and day.name in new["runs"] and (pair["old"]["id"], new["id"]) not in known:
            found.append(pair)
    supersede(records, found, day.name)
    write_json(day.run / FILE, found)
    pairs = [pair for run in all_runs(day.out) for pair in read_pairs(run)]
    take_out(day.run, records, pairs)
    return pairs


def read_pairs(run: Path) -> list[dict]:
    """What a run found superseded."""
    return read_json(run / FILE, "superseded facts") if (run / FILE).exists() else []


def write_questions(
    day: Day, records: Records, pairs: Sequence[dict], questions: str | None, changes: Changes, gone: Mapping[str, str]
) -> None:
    """Write questions.json, gone.json and unlearn.json of a day, and keep what is asked out of its training."""
    now = asked.AnswersNow(records, pairs, day.name)
    earlier = asked.earlier_questions(history(day.out, day.run))
    again = {(row["question"], row["reference"]) for row in asked.to_ask([], earlier, records, now)}
    names = {name: name for name in changes.same} | dict(changes.renamed)
    carried.keep_split(day.run, day.before.run, again, records, day.name, names)
    own = read_dataset(questions, "questions", bare_questions=True) if questions else read_test(day.run)
    write_json(day.run / asked.QUESTIONS, asked.to_ask(own, earlier, records, now))
    for path in day.run.glob("gone_*.json"):  # answers to other questions
        path.unlink()
    on_gone = asked.gone_questions(records, now, gone)
    write_json(day.run / asked.GONE, on_gone)
    trained = read_json(day.before.run / DATASET, "rows of a dataset")
    went = {name for name, run in gone.items() if run == day.name}
    write_json(day.run / UNLEARN, to_unlearn(trained, records, now, went, on_gone))


def read_test(run: Path) -> list[dict]:
    return read_json(run / TEST, "test questions") if (run / TEST).exists() else []


def choose_way(day: Day, way: str) -> str:
    """ONWARD, ANEW or BESIDE, and the rows to train for it, in carried.TODAY.

    With AUTO, going on from the last adapter, unless something is to be forgotten: only a training from the base has surely
    never seen it. Without a new row there is nothing to go on with.
    """
    before = day.before.run
    if way == AUTO:
        forgets = day.name in read_day(day.run)["gone"].values()
        way = ANEW if forgets or not (before / "lora" / ADAPTER).is_file() else ONWARD
    if way != ANEW and not carried.write_today(day.run, before, with_old=way == ONWARD):
        log.info("no new rows: the training is of all rows, from the base model")
        way = ANEW
    carried.carry_replies(before, day.run, BESIDE_FOLDER if way == BESIDE else "lora")
    day.note(way=way)
    return way


def questions_to_unlearn(day: Day) -> Path | None:
    """The questions that the base model answers for the training, which must go ONWARD; None if there are none.

    Where training is from the base, nothing has to be forgotten.
    """
    path = day.run / UNLEARN
    if read_day(day.run).get("way") != ONWARD or not path.exists():
        return None
    return path if read_json(path, "questions to unlearn") else None


def unlearn(day: Day) -> None:
    """Between the base model's answers and the training: put the answers on what has gone among the rows to train."""
    if questions_to_unlearn(day):
        add_base_answers(day.run)


def judge(day: Day) -> Gate:
    """Put what was trained and answered into the ledger, and compare a day with those before it."""
    way = read_day(day.run).get("way", ANEW)
    records = read_ledger(day.out)
    trained = DATASET if way == ANEW else carried.TODAY
    add_training(records, day.run, day.name, trained, BESIDE_FOLDER if way == BESIDE else "lora")
    add_answers(records, *(verdicts_of(day.run / f"{model}_acc.json") for model in ("base", "tuned")), day.name)
    write_ledger(day.out, records)
    if day.is_first:
        return Gate(())
    graded = asked.grade_gone(day.run)
    write_json(day.run / asked.GONE_SCORES, {"counts": asked.count_gone(graded, day.name), "questions": graded})
    earlier = history(day.out, day.run)
    questions = read_json(day.run / asked.QUESTIONS, "questions")
    return compare_runs(day.run, earlier, asked.not_asked_any_more(asked.earlier_questions(earlier), questions))


def close(day: Day, gate: Gate) -> None:
    """Let `latest` point to the run if it passed, and remove what is too much on the disk.

    A day that was closed before is closed again only if it was trained again: someone may have gone back from it.
    """
    if day.is_first:
        link_first(day.out)
        return
    closed = read_day(day.run).get("closed")
    if closed and (day.run / "lora" / ADAPTER).stat().st_mtime <= datetime.fromisoformat(closed).timestamp() + 1:
        return
    close_day(day.out, day.run, gate.passed, gate.lines())
    for line in gate.lines():
        log.info("%s", line)
    moved = "now that of this run" if gate.passed else f"still that of {latest(day.out)}, as this run did not pass"
    log.info("%s: %s", day.out / LATEST, moved)
    prune(day.out, MOST_BYTES)


def link_first(out: Path) -> None:
    """Let `latest` point to the first run, unless it points to one already; a disk without links is no failure of a run."""
    if os.path.lexists(out / LATEST):
        return
    try:
        move_latest(out, out)
    except InputError as error:
        log.warning("%s", error)
