"""Runs over the five days of demo/days as a good generator would have made them: facts and questions from key.json."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import ROOT

from data_processor.documents import read_documents
from days.ledger import add_facts, read_chunks, read_ledger, rows_of, write_ledger
from days.rows import take_out
from days.superseded import FILE, Sources, find_superseded, supersede
from utils import write_json, write_text

DEMO = ROOT / "demo" / "days"
FACTS = json.loads((DEMO / "key.json").read_text(encoding="utf-8"))["facts"]
BY_SENTENCE = {fact["sentence"]: fact for fact in FACTS}


def row(number: int, fact: str, question: str, answer: str, **more) -> dict:
    """A row of a dataset; `more` may have "quote" and any of its other keys."""
    turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
    source = {"chunk": 0, "start": 0, "end": 1, "quote": more.pop("quote", fact)}
    told = {"fact": fact, "file_name": "a.txt", "kind": "qa", "source": source}
    return {"id": f"identity_{number}", "conversations": turns, **told, **more}


def collect(folder: Path, texts: dict[str, str], rows: list[dict], test: list[dict] | None = None) -> Path:
    """What a collection leaves in a run's folder."""
    write_json(folder / "data.json", rows)
    if test is not None:
        write_json(folder / "data.test.json", test)
    chunks = [{"id": f"{name}#0", "file_name": name, "chunk": 0, "text": text} for name, text in texts.items()]
    write_text(folder / "data.chunks.jsonl", (json.dumps(chunk) + "\n" for chunk in chunks))
    return folder


def collect_day(folder: Path, day: int) -> Path:
    """The same for a day of the demo: the rows of every sentence that its files have."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in (DEMO / str(day)).iterdir()}
    rows = []
    for name, text in texts.items():
        for fact in (fact for sentence, fact in BY_SENTENCE.items() if sentence in text):
            for question in fact["questions"][:2]:
                rows.append(row(len(rows), fact["sentence"], question, fact["value"], file_name=name))
    return collect(folder, texts, rows)


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
