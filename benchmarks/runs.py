"""Starts the collection scripts as a user would, and reads what they wrote."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from provenance import meta_file
from utils import InputError, read_json

ROOT = Path(__file__).resolve().parents[1]
WATCHED = "benchmarks/watched_collection.py"
LOCAL = "data_processor/data_collection_local.py"
NOT_PAIRS = ("passage", "unknown")  # kinds of rows
API = "data_processor/data_collection_api.py"


@dataclass
class Run:
    """A running collection: its process and its output."""

    process: subprocess.Popen
    output: Path
    started: float

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; InputError if it takes longer than `timeout` seconds."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise InputError(
                f"expected a collection of at most {timeout:.0f} seconds, found it still running: use a smaller sample"
            ) from None

    def kill(self) -> bool:
        """SIGKILL the whole process group; returns whether it was still running."""
        running = self.process.poll() is None
        if running:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return running

    def read_output(self) -> str:
        return self.output.read_text(errors="replace")


def start(script: str, folder: Path, *arguments) -> Run:
    """Start a script of this repository in its own process group; its output goes to a file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "printed.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, script, *map(str, arguments)],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Run(process, output, time.time())


def finish(run: Run, timeout: float | None = None) -> None:
    """Wait for a collection that has to succeed."""
    code = run.wait(timeout)
    if code:
        raise InputError(f"expected a collection to end well, found exit code {code}: {run.read_output()[-2000:]}")


def read_calls(path: Path) -> list[dict]:
    """The lines of a calls file of watched_collection.py; a line still being written is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def rows(dataset: Path) -> list[dict]:
    return read_json(dataset, "a dataset", "see what the collection printed")


def pairs(dataset: Path) -> list[dict]:
    """The rows that ask for a fact: no passages and no unanswerable questions."""
    return [row for row in rows(dataset) if row["kind"] not in NOT_PAIRS]


def meta(dataset: Path) -> dict:
    return read_json(meta_file(dataset), "a meta file", "see what the collection printed")


def copy_demo_documents(folder: Path, documents: int) -> Path:
    """A folder with the first `documents` demo documents."""
    texts = sorted((ROOT / "demo" / "documents").glob("*.txt"))[:documents]
    target = folder / "texts"
    target.mkdir(parents=True)
    for text in texts:
        shutil.copy(text, target)
    return target


def per_minute(amount: int, seconds: float) -> float:
    return round(60 * amount / seconds, 2)
