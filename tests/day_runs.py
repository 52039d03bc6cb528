"""Runs over the five days of demo/days as a good generator would have made them: facts and questions from key.json."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.update_data import DEMO, collect_day
from data_processor.dataset import question_and_reference, to_example
from data_processor.documents import Document, read_documents
from days.asked import GONE, QUESTIONS
from days.carried import TODAY
from days.changes import fingerprint, write_fingerprints
from days.day import ANEW, ONWARD, choose_run, choose_way, close, judge, open_run
from days.folders import Day, read_day
from days.intake import take_in, take_in_first
from days.ledger import DATASET, TEST, add_facts, read_chunks, read_ledger, rows_of, write_ledger
from days.overview import over_time
from days.rows import take_out
from days.superseded import FILE, Sources, find_superseded, supersede
from evaluation import accuracy
from evaluation.accuracy import judge_answers
from utils import log_file, write_json


def find_run(out: Path, documents: Sequence[Document]) -> Path:
    """The folder of the run to start, opened."""
    day = choose_run(out, documents)
    open_run(day)
    return day.run


def live_through(
    out: Path,
    day: int,
    answer: Callable[[dict], str] | None = None,
    held_out: int = 2,
    demo: Path = DEMO,
    wordings: int = 2,
) -> Day:
    """What run_all.py does on a day of the demo, with `answer` in place of the tuned model, which else is always right.

    The base model says nothing, and the model of the run before says what was right before.
    """
    documents = read_documents(demo / str(day))
    found = Day(out, find_run(out, documents))
    write_fingerprints(found.run, fingerprint(documents))
    if read_day(found.run).get("taken_in") is None:  # a collection that has ended is not made again
        collect_day(found.run, day, held_out, wordings, demo=demo)
        write_json(log_file(found.run / "data.meta.json"), {"finished": str(time.time_ns())})
    if found.is_first:
        take_in_first(found)
    else:
        take_in(found, Sources(documents, demo / str(day)), None)
    way = ANEW if found.is_first else choose_way(found, ONWARD, 1)
    dataset = found.run / (DATASET if way == ANEW else TODAY)
    write_json(found.run / "lora" / "train_log.json", {"plan": {"epochs": 2}})
    (found.run / "lora" / "adapter_model.safetensors").write_bytes(dataset.read_bytes())
    answer_all(found.run, answer or (lambda row: row["reference"]))
    gate = judge(found)
    write_json(log_file(found.run / "over_time.json"), over_time(found, gate))
    close(found, gate)
    write_json(found.run / "run.json", {"ended": "now", "stages": []})
    return found


def answer_all(run: Path, answer: Callable[[dict], str]) -> None:
    """The answers of a run, and the verdicts on them."""
    path = run / QUESTIONS if (run / QUESTIONS).exists() else run / TEST
    rows = [to_example(one) for one in json.loads(path.read_text(encoding="utf-8"))]
    questions = [
        {**one, **dict(zip(("question", "reference"), question_and_reference(one), strict=True))} for one in rows
    ]
    for model in ("base", "tuned"):
        answers = [{**one, "response": answer(one) if model == "tuned" else "I cannot say."} for one in questions]
        write_json(run / f"{model}.json", answers)
        verdicts = judge_answers(answers, None)
        measured = accuracy.measure(answers, verdicts)
        write_json(run / f"{model}_acc.json", {"judge": "match", **measured})
    gone = json.loads((run / GONE).read_text(encoding="utf-8")) if (run / GONE).exists() else []
    said = {"base": lambda one: "?", "before": lambda one: one["reference"], "tuned": lambda one: one["new"] or "?"}
    for model, say in said.items():
        write_json(run / f"gone_{model}.json", [{**one, "response": say(one)} for one in gone])


def run_days(out: Path, last: int, renamed: dict[int, list[tuple[str, str]]]) -> dict[int, list[dict]]:
    """The ledger in `out` after the days up to the last, without a model; returns the superseded pairs of each."""
    found = {}
    for day in range(1, last + 1):
        folder = collect_day(out / str(day), day)
        records = read_ledger(out)
        add_facts(records, rows_of(folder), read_chunks(folder), str(day), renamed.get(day, ()))
        sources = Sources(read_documents(DEMO / str(day)), DEMO / str(day))
        found[day] = find_superseded(records, str(day), str(day - 1), sources)
        write_json(folder / FILE, found[day])
        supersede(records, found[day], str(day))
        take_out(folder, records, found[day])
        write_ledger(out, records)
    return found
