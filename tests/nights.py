"""run_all.py night after night without a model: its own main(), whose stages are done here in the process that tests it.

Each stage leaves the files that it would: the collection those of a good generator (day_runs.py), the training an adapter
whose bytes are the rows that it was given.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import collection_time, write_run

import run_all
from benchmarks.update_data import collect_day
from budget.run import Run
from data_processor.dataset import question_and_reference, to_example
from engines.processes import LOCK_FILE
from utils import log_file, write_json

ADAPTER, META = "adapter_model.safetensors", "log/training.meta.json"
COLLECTED = {
    "budget": collection_time(seconds_a_call=0.1, seconds_of_all_facts=50.0, seconds_of_a_role=20.0, seconds_to_start=1.0),
    "counts": {"rows": {"qa": 60, "reverse": 20, "passage": 20}, "pairs_per_role": 80, "facts": 30},
    "arguments": {"role_amount_per_fact": 1},
}  # fmt: skip
TRAINED = {
    "seconds": 150.0,
    "training_seconds": 32.0,
    "preparing_seconds": 96.0,
    "arguments": {"num_train_epochs": 2.0},
}
PLAN = {"examples": 100, "replayed": 20, "tokens": 12_000, "examples_per_update": 8, "processes": 1, "epochs": 2}


class Killed(Exception):
    """A run that ends at this place with nothing more written."""


class Nights:
    """A folder `demo` with the documents of days 1, 2, ..., in folders of that name, and the output `out`.

    `says` answers a question in place of the tuned model; `killed_in` is the script whose start kills the run, and `reached`
    what is done before that. `done` has the scripts of the last start.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, demo: Path, out: Path):
        self.patch, self.demo, self.out = monkeypatch, demo, out
        self.model = demo.with_name("model")  # of which no weights are loaded
        write_json(self.model / "config.json", {})
        (self.model / "model.safetensors").write_bytes(b"weights")
        self.says: Callable[[dict], str] = lambda row: row["reference"]
        self.killed_in, self.reached = "", lambda run: None
        self.day, self.done = 0, list[str]()
        monkeypatch.setattr(Run, "run_command", lambda run, command, *_: self.work(run, command))
        monkeypatch.setattr("budget.run.process_start", time.time)  # not since the tests were started

    def start(self, day: int, *words: str, out: Path | None = None) -> None:
        """Start run_all.py on the documents of a day."""
        options = {
            "model_name_or_path": self.model, "data_path": self.demo / str(day), "out": out or self.out,
            "retention_data_path": "none", "open_book": False,
        }  # fmt: skip
        command = ["run_all.py", *(f"--{name}={value}" for name, value in options.items()), *words]
        self.patch.setattr(sys, "argv", command)
        self.day, self.done = day, []
        run_all.main()

    def work(self, run: Run, command: list[str]) -> int:
        """In place of Run.run_command."""
        script = command[1] if command[0] == "-m" else command[0]
        given = dict(itertools.pairwise(command))
        if script == self.killed_in:
            self.reached(run.out)
            self.killed_in = ""
            raise Killed
        self.done.append(script)
        if script.startswith("data_processor/data_collection"):
            self.collect(Path(given["--json_save_dir"]).parent, "--rounds" in command)
        elif script == "training.launch":
            train(given)
        elif script == "inference.py":
            self.answer(given)
        elif script == "evaluate.py":
            run_of = Path(given["--data_path"])
            write_run(run_of, *(read(run_of / f"{model}.json") for model in ("tuned", "base")), ("tuned", "base"))
        return 0

    def collect(self, run: Path, is_plan: bool) -> None:
        collect_day(run, self.day, held_out=2, demo=self.demo)
        if is_plan:
            write_json(run / "data.json", read(run / "data.json")[:1])
        write_json(log_file(run / "data.meta.json"), COLLECTED)
        with log_file(run / "data.journal.jsonl").open("a") as journal:
            journal.write(f"replies on day {self.day}{' for a plan' if is_plan else ''}\n")

    def answer(self, given: dict[str, str]) -> None:
        asked = [to_example(row) for row in read(Path(given["--test_data_path"]))]
        questions = [
            row | dict(zip(("question", "reference"), question_and_reference(row), strict=True)) for row in asked
        ]
        output = Path(given["--output_path"])
        tuned = output.name.startswith("tuned")
        write_json(output, [row | {"response": self.says(row) if tuned else "I cannot say."} for row in questions])
        if "--also_base" in given:
            write_json(given["--also_base"], [row | {"response": "I cannot say."} for row in questions])


def train(given: dict[str, str]) -> None:
    folder = Path(given["--output_dir"])
    log = [{"loss": 3.0, "tokens_per_second": 100}, {"loss": 2.0, "tokens_per_second": 400}]
    write_json(folder / "train_log.json", {"plan": PLAN, "log": log})
    (folder / ADAPTER).write_bytes(Path(given["--data_path"]).read_bytes())
    write_json(folder / META, TRAINED)


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def files_in(folder: Path) -> dict[str, bytes]:
    """All files but the record of a lock, by name."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_FILE)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
