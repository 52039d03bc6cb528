"""A run over a folder whose documents change: what is done before, between and after the stages of run_all.py.

    with claim_run_folder(out):
        day = choose_run(out, documents)                        # out itself, or the folder of a day
        open_run(day)                                           # which is made now, if it is a new one
        write_fingerprints(day.run, fingerprint(documents))     # then the collection
        take_in(day, sources, questions)                        # intake.py
        way = choose_way(day, way, passes)                      # then the base model is asked
        use_base_answers(day)                                   # then training, asking, evaluation
        gate = judge(day)                                       # the report is written with it
        close(day, gate)

Each may be repeated after a kill. Facts are in the ledger of `out`; the first run is called FIRST there, a later one by the
name of its folder. log/day.json of a day also has "changes", "gone" {fact: the run in which it went}, "way", "passes" (see
carried.write_today), "asked_way", which --way was, "general", the file of general questions, and "taken_in", the time of the
dataset that is in the ledger, of which "split" says that it has the rows of the day before.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from data_processor.documents import Document
from days import asked, carried
from days.changes import Changes, compare, fingerprint, read_fingerprints
from days.folders import (
    ADAPTER,
    BESIDE_FOLDER,
    DAY_FILE,
    DAYS,
    LATEST,
    NEXT,
    Day,
    all_runs,
    close_day,
    history,
    latest,
    make_day,
    move_latest,
    next_day,
    prune,
    read_day,
)
from days.gate import Gate, compare_runs
from days.known import QUIZ, TRAINED, leave_out_known, quiz_verdicts, remove_quiz, write_quiz
from days.ledger import DATASET, key_of_record, read_ledger, write_ledger
from days.measured import add_answers, add_training, verdicts_of
from days.unlearning import UNLEARN, add_base_answers
from utils import InputError, log_file, read_json, write_json

ONWARD, ANEW, BESIDE = "onward", "anew", "beside"  # the ways to go on from the run before
WAYS = {
    ONWARD: "training goes on from the last adapter, on what is new and some of the rest",
    ANEW: "training anew, from the base model, on all that is stated now",
    BESIDE: "training a second adapter, on what is new alone",
}
MOST_BYTES = 20e9  # of all adapters, checkpoints and exports of a folder together

log = logging.getLogger(__name__)


def is_closed(run: Path) -> bool:
    """Whether a run has come to its end; the first one says so in run.json alone."""
    if log_file(run / DAY_FILE).is_file():
        return read_day(run).get("passed") is not None
    path = run / "run.json"
    return path.is_file() and "ended" in read_json(path, "the times of a run")


def has_nothing_to_do(run: Path) -> bool:
    """Whether a run has come to its end and is not made again, as it knows the documents that it is of.

    A first run of an earlier version kept no account of them: another start makes it again, if it has a time budget.
    """
    return is_closed(run) and (log_file(run / DAY_FILE).is_file() or read_fingerprints(run) is not None)


def choose_run(out: Path, documents: Sequence[Document], plan_only: bool = False) -> Day:
    """The run to start: the newest one, or a new day, not opened yet, if its documents have changed since it ended.

    A file that was only renamed says nothing new. A run of an earlier version kept no account of its documents, and so
    stays the newest. A day is open until it is closed, whatever the documents are now; but if they are those of the run
    before again, and nothing of it is in the ledger, it is undone. With `plan_only` a new day gets no name: what is asked
    for the plan is kept for it in NEXT.
    """
    *earlier, newest = all_runs(out)
    if earlier and is_closed(newest) and not (newest / "lora").exists():
        reopen(Day(out, newest))
    if earlier and not is_closed(newest) and is_of_no_change(Day(out, newest), earlier[-1], documents):
        log.info("%s is undone: its documents are those of %s again", newest, earlier[-1])
        undo(Day(out, newest))
        newest = earlier[-1]
    changes = find_changes(newest, documents) if is_closed(newest) else None
    if changes:
        newest = out / DAYS / NEXT if plan_only else next_day(out)
        log.info("documents changed: %s; this run is in %s", describe(dataclasses.asdict(changes)), newest)
    return Day(out, newest)


def find_changes(run: Path, documents: Sequence[Document]) -> Changes | None:
    """What has changed in the documents since a run; None if they say the same, or if it kept no account of them."""
    before = read_fingerprints(run)
    changes = compare(before, fingerprint(documents)) if before is not None else Changes()
    return changes if changes.added or changes.edited or changes.deleted else None


def reopen(day: Day) -> None:
    """Let a day be made again that was closed: its adapter's folder is removed for that, whatever else is there still."""
    (day.run / "run.json").unlink(missing_ok=True)
    day.note(closed=None, passed=None)


def is_of_no_change(day: Day, before: Path, documents: Sequence[Document]) -> bool:
    """Whether nothing has changed since the run before a day, of which nothing is in the ledger yet."""
    if read_fingerprints(before) is None or find_changes(before, documents):
        return False
    return not any(day.name in record["runs"] for record in read_ledger(day.out).values())


def undo(day: Day) -> None:
    """Remove a day of which nothing is in the ledger; its replies are kept for the next one."""
    kept, removed = day.out / DAYS / NEXT, day.run.with_name(f".{day.name}")
    for folder in (kept, removed):
        shutil.rmtree(folder, ignore_errors=True)
    carried.carry_over(day.run, kept)
    day.run.rename(removed)
    shutil.rmtree(removed)


def open_run(day: Day) -> None:
    """Make the folder of a new day, and take over the replies of the run before, unless the run has ended."""
    if day.is_first or is_closed(day.run):
        return
    if day.run.name != NEXT and not day.run.is_dir():
        make_day(day.out, day.run)
    before = [run for run in all_runs(day.out) if run != day.run][-1]
    carried.carry_over(before, day.run)


def describe(changes: Mapping[str, Sequence]) -> str:
    """ "2 added, 1 edited": of what has changed."""
    counts = [(key, len(changes[key])) for key in ("added", "edited", "renamed", "deleted")]
    return ", ".join(f"{count} {key}" for key, count in counts if count) or "none"


def choose_way(day: Day, way: str, passes: int) -> str:
    """ONWARD, ANEW or BESIDE, and the rows to train for it, in carried.TODAY; those of ONWARD for so many `passes`.

    Without the adapter of the run before, or without a new row, there is nothing to go on with. Checkpoints of a training
    that went another way are removed.
    """
    before, asked, chosen = day.before.run, way, read_day(day.run).get("way")
    if way != ANEW and not (before / "lora" / ADAPTER).is_file():
        log.info("no adapter in %s: the training is of all rows, from the base model", before)
        way = ANEW
    if way != ANEW and not carried.write_today(day.run, before, passes if way == ONWARD else 0):
        log.info("no new rows: the training is of all rows, from the base model")
        way = ANEW
    carried.carry_replies(before, day.run, BESIDE_FOLDER if way == BESIDE else "lora")
    if way != chosen:
        for folder in ("lora", BESIDE_FOLDER):
            for checkpoint in (day.run / folder).glob("checkpoint-*"):
                shutil.rmtree(checkpoint)
    day.note(way=way, passes=passes, asked_way=asked)
    return way


def how_to_repeat(day: Day, way: str) -> str:
    """What to do so that a run is made again, for a line that says it is not; with the `way` asked for, if it went another."""
    told = read_day(day.run)
    again = f"remove {day.run / 'run.json'} and {day.run / 'lora'}"
    if way in (told.get("way", way), told.get("asked_way")):  # asked to go onward, a day without news went anew
        return f"to make it again, {again}"
    return f"to train it {way} instead of {told['way']}, {again}"


def questions_to_unlearn(day: Day) -> Path | None:
    """The questions that the base model answers for the training, which must go ONWARD; None if there are none.

    Where training is from the base, nothing has to be forgotten.
    """
    path = day.run / UNLEARN
    if read_day(day.run).get("way") != ONWARD or not path.exists():
        return None
    return path if read_json(path, "questions to unlearn") else None


def rows_of_way(day: Day) -> str:
    """The file of the rows that the way to go on trains."""
    return DATASET if read_day(day.run).get("way", ANEW) == ANEW else carried.TODAY


def prepare_quiz(day: Day, wanted: bool) -> bool:
    """If it is `wanted`, write what the base model is asked before the training; whether there is anything to ask.

    An adapter that the training goes on from, or stands beside, was taught what has been superseded since: what took its
    place is trained even if the base model knows it.
    """
    if not wanted:
        remove_quiz(day.run)
        return False
    records, rows = read_ledger(day.out), rows_of_way(day)
    replacing = {one for record in records.values() for one in record["superseded_by"]} & {*records}
    taught = {key_of_record(records[one]) for one in replacing} if rows != DATASET else set()
    return write_quiz(day.run, rows, taught)


def use_base_answers(day: Day) -> None:
    """Between the base model's answers and the training: put those on what has gone, and on what it knows, into the rows."""
    if questions_to_unlearn(day):
        add_base_answers(day.run, read_day(day.run)["passes"])
    if (day.run / QUIZ).exists():
        leave_out_known(day.run, rows_of_way(day))


def judge(day: Day) -> Gate:
    """Put what was trained and answered into the ledger, and compare a day with those before it."""
    way = read_day(day.run).get("way", ANEW)
    records = read_ledger(day.out)
    trained = TRAINED if (day.run / TRAINED).exists() else rows_of_way(day)
    add_training(records, day.run, day.name, trained, BESIDE_FOLDER if way == BESIDE else "lora")
    base, tuned = (verdicts_of(day.run / f"{model}_acc.json") for model in ("base", "tuned"))
    add_answers(records, [*base, *quiz_verdicts(day.run)], tuned, day.name)
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
    adapter = day.run / "lora" / ADAPTER  # which may have been removed since, to save room
    if closed and not (adapter.is_file() and adapter.stat().st_mtime > datetime.fromisoformat(closed).timestamp() + 1):
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
