"""What a good generator would make of demo/days: the facts of key.json that a day's files state, with their questions."""

from __future__ import annotations

import json
from pathlib import Path

from utils import write_json, write_text

DEMO = Path(__file__).resolve().parents[1] / "demo" / "days"
FACTS = json.loads((DEMO / "key.json").read_text(encoding="utf-8"))["facts"]
BY_SENTENCE = {fact["sentence"]: fact for fact in FACTS}


def row(number: int, fact: str, question: str, answer: str, **more) -> dict:
    """A row of a dataset; `more` may have "quote" and any of its other keys."""
    turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
    source = {"chunk": 0, "start": 0, "end": 1, "quote": more.pop("quote", fact)}
    told = {"fact": fact, "file_name": "a.txt", "kind": "qa", "source": source}
    return {"id": f"identity_{number}", "conversations": turns, **told, **more}


def collect(folder: Path, texts: dict[str, str], rows: list[dict], test: list[dict] | None = None) -> Path:
    """Write what a collection leaves in a run's folder."""
    write_json(folder / "data.json", rows)
    if test is not None:
        write_json(folder / "data.test.json", test)
    chunks = [{"id": f"{name}#0", "file_name": name, "chunk": 0, "text": text} for name, text in texts.items()]
    write_text(folder / "data.chunks.jsonl", (json.dumps(chunk) + "\n" for chunk in chunks))
    return folder


def texts_of_day(day: int, demo: Path = DEMO) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((demo / str(day)).iterdir())}


def collect_day(
    folder: Path, day: int, held_out: int | None = None, wordings: int = 2, files: int | None = None, demo: Path = DEMO
) -> Path:
    """Collect a day: of every sentence that its files have, the first `wordings` of its questions are trained.

    The question with the number `held_out` is not, and is asked; `files`: of so many files only.
    """
    texts = dict(list(texts_of_day(day, demo).items())[:files])
    rows, test = [], []
    for name, text in texts.items():
        for fact in (fact for sentence, fact in BY_SENTENCE.items() if sentence in text):
            trained = [question for number, question in enumerate(fact["questions"]) if number != held_out]
            for question in trained[:wordings]:
                rows.append(row(len(rows), fact["sentence"], question, fact["value"], file_name=name))
            if held_out is not None:
                more = {"file_name": name, "kind": "held_out_wording"}
                test.append(row(1000 + len(test), fact["sentence"], fact["questions"][held_out], fact["value"], **more))
    return collect(folder, texts, rows, test if held_out is not None else None)
