"""Watching a run in wandb and TensorBoard: the stage's side, which starts the process that reports (watcher.py).

    with watched_clock(arguments, "collection", folder) as clock:     # stage_clock, and watched with --report_to
        ...

Stages write files anyway, so what is reported is read from these, by a process of its own: whatever happens to wandb, to its
server or to TensorBoard, a stage neither fails nor waits. That process reads until its standard input ends, be it by kill -9.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from budget.clock import BudgetArguments, Clock, stage_clock
from budget.run import Run
from utils import InputError, log_file, read_json, write_json

REPORTERS = ("wandb", "tensorboard")
STATE_FILE = "watching.json"  # a WatchedRun; without it, the next stage begins a new one
LOCK_FILE = ".watching.lock"  # held by the process that reports
BOARD_FOLDER = "tensorboard"  # in it, a folder for each run
WAIT_S = 10.0  # for the last report, once a stage has ended; it is sent even if nobody waits for it
ROOT = Path(__file__).resolve().parents[1]


@dataclass(kw_only=True)
class WatchArguments(BudgetArguments):
    """Arguments of every stage but fine-tuning, which has --report_to from transformers."""

    report_to: list[str] = field(
        default_factory=list,
        metadata={"help": "Where to watch the run: wandb, tensorboard, or both."},
    )


@dataclass
class WatchedRun:
    """A run under one name, from its first stage to its last, however often it is started; kept in STATE_FILE.

    It has only what was written `since` it began (time.time()).
    """

    folder: str
    id: str  # in wandb
    name: str
    since: float
    reported: dict[str, float] = field(default_factory=dict)  # the last value of every number
    first_entry: float | None = None  # of the training's log: its time, which tells one training from the next
    entries: int = 0  # that have been reported

    @property
    def board(self) -> Path:
        """TensorBoard's folder."""
        return log_file(Path(self.folder) / BOARD_FOLDER) / self.name

    def environment(self) -> dict[str, str]:
        """The variables by which wandb and transformers go on with this run."""
        return {
            "WANDB_RUN_ID": self.id,
            "WANDB_RESUME": "allow",
            "WANDB_RUN_GROUP": Path(self.folder).name,
            "WANDB_DIR": str(self.board.parents[1]),
            "TENSORBOARD_LOGGING_DIR": str(self.board),
        }

    def save(self) -> None:
        write_json(log_file(Path(self.folder) / STATE_FILE), dataclasses.asdict(self))


def open_run(folder: Path, began: float, all_stages: bool) -> WatchedRun:
    """The run that is watched in a folder; a new one if there is none, or if a run of `all_stages` that `began` then is another.

    The environment may give wandb's id and name.
    """
    known = read_state(folder)
    if known and (known.since == began or not all_stages):
        return known
    name = f"{folder.name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(began))}"
    chosen = (os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4), os.environ.get("WANDB_NAME") or name)
    run = WatchedRun(str(folder), *chosen, since=began)
    run.save()
    return run


def read_state(folder: Path) -> WatchedRun | None:
    path = log_file(folder / STATE_FILE)
    if not path.is_file():
        return None
    state = read_json(path, "the state of a watched run", "remove it") | {"folder": str(folder)}
    names = {one.name for one in dataclasses.fields(WatchedRun)}  # another version may have written more
    return WatchedRun(**{name: value for name, value in state.items() if name in names})


def find_watched_run(folder: Path) -> WatchedRun | None:
    """The run that earlier stages in a folder reported to; None if there is none, or another process reports to it now."""
    try:
        with log_file(folder / LOCK_FILE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return None
    except OSError:  # a file system without locks
        pass
    return read_state(folder.resolve())


def require_reporters(report_to: list[str]) -> list[str]:
    """The names, checked; "none" is none."""
    names = [name for name in report_to if name != "none"]
    for name in names:
        if name not in REPORTERS:
            raise InputError(f"expected wandb or tensorboard with --report_to, found {name}: correct it")
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"expected {name}, as --report_to asks for it, found it not installed: run `pip install {name}`, "
                "or leave it out"
            )
    return names


def start_watching(
    folder: Path, report_to: list[str], began: float | None = None, adapter: Path | None = None
) -> subprocess.Popen | None:
    """Start the process that reports on a run's folder; None if nobody is to be reported to.

    For a run of all stages give when it `began`, and where its training writes, which is then reported too.
    """
    names = require_reporters(report_to)
    if not names:
        return None
    order = {
        "folder": str(folder.resolve()),
        "report_to": names,
        "adapter": str(adapter.resolve()) if adapter else None,
    }
    order |= {"began": time.time() if began is None else began, "all_stages": began is not None, "parent": os.getpid()}
    command = [sys.executable, "-m", "budget.watcher", json.dumps(order)]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "cwd": ROOT}
    return subprocess.Popen(command, start_new_session=True, **options)


def end_watching(watcher: subprocess.Popen | None, deadline: float) -> None:
    """Have the last numbers reported, and wait for it a few seconds, but not beyond the deadline, a time.time()."""
    if watcher is None:
        return
    with contextlib.suppress(OSError):  # it has ended already
        watcher.stdin.write(b"end\n")  # closing is not enough: a forked process may hold the pipe open
        watcher.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        watcher.wait(max(0.0, min(WAIT_S, deadline - time.time())))


@contextlib.contextmanager
def watched(run: Run, report_to: list[str]) -> Iterator[None]:
    """Report a run of all stages; its training, in `lora`, too."""
    watcher = start_watching(run.out, report_to, run.started, run.out / "lora")
    if watcher:
        run.processes.spare(watcher.pid)
    try:
        yield
    finally:
        end_watching(watcher, run.deadline)


@contextlib.contextmanager
def watched_clock(arguments: WatchArguments, stage: str, folder: str | Path) -> Iterator[Clock]:
    """The clock of a stage (see stage_clock), which is watched if --report_to asks for it."""
    watcher, deadline = start_watching(Path(folder), arguments.report_to), time.time()
    try:
        with stage_clock(arguments, stage, folder) as clock:
            deadline = clock.deadline
            yield clock
    finally:
        end_watching(watcher, deadline)
