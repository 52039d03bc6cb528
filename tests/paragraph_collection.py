"""A paragraph, rows on it, and the files that a collection of it leaves: for the tests of benchmarks/coverage.py."""

from __future__ import annotations

import json
from pathlib import Path

TEXT = "The tank was full. Passwords are never shared, not even with administrators. Ask the manager first."
FULL, SHARED, ASK = (0, 18), (19, 76), (77, 99)


def row(number: int, span: tuple[int, int], kind: str = "qa", **more) -> dict:
    turns = more.pop("turns", (f"Question {number}?", f"Answer {number}"))
    return {
        "id": f"identity_{number}",
        "conversations": [{"from": "user", "value": turns[0]}, {"from": "assistant", "value": turns[1]}],
        "fact": TEXT[slice(*span)],
        "file_name": "passage_000.txt",
        "kind": kind,
        "role": "",
        "theme": "rules",
        "fact_id": f"passage_000.txt#{number}",
        "source": {"chunk": 0, "start": span[0], "end": span[1], "quote": TEXT[slice(*span)]},
        **more,
    }


def write_collection(folder: Path, rows: list[dict], text: str = TEXT, name: str = "passage_000.txt") -> Path:
    """A folder as benchmarks/passages.py and the collection leave it; the path of the dataset."""
    (folder / "texts").mkdir(parents=True, exist_ok=True)
    (folder / "log").mkdir(exist_ok=True)
    (folder / "texts" / name).write_text(text, encoding="utf-8", newline="")
    meta = {"arguments": {"data_path": str(folder / "texts")}, "counts": {"chunks": 1, "facts": 2}}
    meta |= {"calls": {"asked": 5, "from_journal": 1}, "tokens": {"prompt": 300, "completion": 50}}
    (folder / "log" / "data.meta.json").write_text(json.dumps(meta))
    (folder / "data.chunks.jsonl").write_text(json.dumps({"id": f"{name}#0", "file_name": name, "text": text}) + "\n")
    (folder / "data.json").write_text(json.dumps(rows))
    return folder / "data.json"
