"""What a run has collected, taken in: into the ledger, and of a day also what it supersedes and what will be asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_processor.contradictions import CANDIDATES, CONTRADICTIONS
from data_processor.dataset import read_dataset
from days import asked, carried
from days.changes import Changes, compare, read_fingerprints
from days.folders import Day, all_runs, history, read_day
from days.ledger import DATASET, TEST, Records, add_facts, read_chunks, read_ledger, read_rows, rows_of, write_ledger
from days.rows import take_out
from days.superseded import FILE, Sources, find_superseded, supersede, to_judge
from days.unlearning import UNLEARN, to_unlearn
from provenance import meta_file
from utils import log_file, read_json, write_json


def take_in_first(day: Day) -> None:
    """Put what the first run has collected into the ledger; nothing of it is superseded."""
    records = read_ledger(day.out)
    add_facts(records, rows_of(day.run), read_chunks(day.run), day.name)
    write_ledger(day.out, records)


def take_in(day: Day, sources: Sources, questions: str | None) -> None:
    """Put what was collected into the ledger, take what is superseded out of the training, and write what will be asked.

    `questions` is a person's file of them, if there is one. It is done once for a dataset, as it changes that.
    """
    if read_day(day.run).get("taken_in") == when_edited(day.run):
        return
    records = ledger_of(day)
    changes = compare(*(read_fingerprints(run) or {} for run in (day.before.run, day.run)))
    pairs = add_pairs(day, records, sources)
    gone = asked.gone_since(records, read_day(day.before.run).get("gone", {}), day.name)
    write_questions(day, records, pairs, questions, changes, gone)
    write_ledger(day.out, records)
    told = dataclasses.asdict(changes) | {"same": len(changes.same)}
    day.note(changes=told, gone=gone, taken_in=when_edited(day.run))


def write_candidates(day: Day) -> bool:
    """Write the pairs of facts that the model is asked about; whether there are any.

    Where no model is a judge, there is no such file, and only rules decide.
    """
    pairs = to_judge(ledger_of(day), day.name, day.before.name)
    write_json(log_file(day.run / CANDIDATES), pairs)
    return bool(pairs)


def read_verdicts(run: Path) -> dict[str, dict]:
    """What the model said of each pair that it was to be shown, by the pair's id; {} where it was not asked."""
    paths = (log_file(run / name) for name in (CANDIDATES, CONTRADICTIONS))
    shown, said = (read_json(path, "pairs of facts") if path.exists() else [] for path in paths)
    by_pair = {told["id"]: told for told in said}
    return {pair["id"]: by_pair.get(pair["id"], {}) for pair in shown}


def ledger_of(day: Day) -> Records:
    """The records with the facts of a day, which are not written yet."""
    records = read_ledger(day.out)
    changes = compare(*(read_fingerprints(run) or {} for run in all_runs(day.out)[-2:]))
    is_in = any(day.name in record["runs"] for record in records.values())  # and renamed, before a kill
    renamed = () if is_in else changes.renamed
    add_facts(records, rows_of(day.run), read_chunks(day.run), day.name, renamed)
    return records


def add_pairs(day: Day, records: Records, sources: Sources) -> list[dict]:
    """Say in the records which facts are superseded; returns the pairs of this day and all before.

    What is superseded is left out of the next comparison, so the pairs that a killed start found are kept.
    """
    found = find_superseded(records, day.name, day.before.name, sources, read_verdicts(day.run))
    known = {(pair["old"]["id"], pair["new"]["id"]) for pair in found}
    for pair in (pair for pair in read_pairs(day.run) if pair["decided_by"]):
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
    names, collected = {name: name for name in changes.same} | dict(changes.renamed), when_collected(day.run)
    if read_day(day.run).get("split") == collected:
        names = None  # only a person has written to the dataset since
    carried.keep_split(day.run, day.before.run, again, records, day.name, names, changes.deleted)
    day.note(split=collected)
    own = read_dataset(questions, "questions", bare_questions=True) if questions else read_test(day.run)
    write_json(day.run / asked.QUESTIONS, asked.to_ask(own, earlier, records, now))
    for path in day.run.glob("gone_*.json"):  # answers to other questions
        path.unlink()
    on_gone = asked.gone_questions(records, now, gone)
    write_json(day.run / asked.GONE, on_gone)
    trained = read_rows(day.before.run / DATASET)
    went = {name for name, run in gone.items() if run == day.name}
    write_json(day.run / UNLEARN, to_unlearn(trained, records, now, went, on_gone))


def when_edited(run: Path) -> int:
    """When a dataset or its test questions were last written, in ns."""
    return max(path.stat().st_mtime_ns for path in (run / DATASET, run / TEST) if path.exists())


def when_collected(run: Path) -> str:
    """When a collection last ended, which it writes beside its dataset, however often that is edited; "" if it did not say."""
    path = meta_file(run / DATASET)
    return read_json(path, "how a dataset was made").get("finished", "") if path.is_file() else ""


def read_test(run: Path) -> list[dict]:
    return read_rows(run / TEST) if (run / TEST).exists() else []
