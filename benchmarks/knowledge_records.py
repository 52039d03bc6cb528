"""What benchmarks/knowledge.py keeps of each run: a line of JSON beside the results, so that no run is made twice.

A line has `corpus` and `run`, the names of their folders, and which answers were right, a character for each question ("1" or
"0"). That of the base model ("run": "base") has `about`, `passages` (the document of every question), `closed`, `open_book`,
`bm25` (of given text alone) and, for every general question, whether it is known: `general`. That of a trained model has what
its run.json has, `right` {what was asked with: characters}, and, if it learned all documents, `general`, of the questions that
the base model knows, and `drift`.
The folders may be gone: a machine that is new begins where the last one ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from utils import read_json, write_text

BASE = "base"  # the run of the untrained model


class Records:
    """The lines of a file, by corpus and run."""

    def __init__(self, path: Path):
        self.path = path
        found = read_json(path, "finished runs", or_lines=True) if path.is_file() else []
        self.by_key = {(line["corpus"], line["run"]): line for line in found}

    def get(self, corpus: str, run: str) -> dict | None:
        return self.by_key.get((corpus, run))

    def of(self, corpus: str) -> list[dict]:
        """The trained models of a corpus."""
        return [line for (name, run), line in self.by_key.items() if name == corpus and run != BASE]

    @property
    def bases(self) -> list[dict]:
        return [line for (_, run), line in self.by_key.items() if run == BASE]

    def add(self, line: dict) -> None:
        self.by_key[line["corpus"], line["run"]] = line
        write_text(self.path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in self.by_key.values()))


def to_marks(right: Iterable[bool]) -> str:
    return "".join("1" if one else "0" for one in right)


def from_marks(marks: str) -> list[bool]:
    return [mark == "1" for mark in marks]


def records_beside(results: str | Path) -> Path:
    """The file of the runs that some results are made from."""
    results = Path(results)
    return results.with_name(f"{results.stem}_runs.jsonl")
