"""Report a run to wandb and TensorBoard from the files in its folder. watching.py starts this, with its one argument.

Each number is reported when it changes; a training's log entry by entry, under the names that transformers gives it. What
was reported last is kept (WatchedRun), so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from budget.clock import PROGRESS_FILE, RUN_FILE, parse_time
from budget.wandb_run import choose_wandb_mode, reason_of, start_wandb
from budget.watched_numbers import (
    JOURNAL,
    STEP,
    TRAINING_LOG,
    ChangedFiles,
    GrowingJournals,
    numbers_of_meta,
    numbers_of_progress,
    numbers_of_time,
    read_entries,
)
from budget.watching import LOCK_FILE, WatchedRun, open_run
from utils import InputError, log_file, run_script

READ_EVERY_S, READ_EVERY_SHARE = 5.0, 0.001  # of the time budget, if that is more
NICE = 10  # the work goes first

log = logging.getLogger(__name__)


@dataclass
class Order:
    """What to report on: see watching.start_watching."""

    folder: str
    report_to: list[str]
    adapter: str | None
    began: float
    all_stages: bool
    parent: int  # the process that gave the order


class Writer(Protocol):
    """Where numbers are reported: by step, and when they were found, a time.time()."""

    def write(self, numbers: dict[str, float], step: int, when: float) -> None: ...

    def describe(self, name: str, arguments: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class Board:
    """TensorBoard, with events such as torch's SummaryWriter writes, but without torch."""

    def __init__(self, run: WatchedRun):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.writer = EventFileWriter(str(run.board))
        log.info("tensorboard --logdir %s", run.board.parent)

    def write(self, numbers: dict[str, float], step: int, when: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        shown = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items() if name != STEP]
        self.writer.add_event(Event(step=step, wall_time=when, summary=Summary(value=shown)))
        self.writer.flush()

    def describe(self, name: str, arguments: dict[str, Any]) -> None:
        """Scalars only: the arguments are in the meta files."""

    def close(self) -> None:
        self.writer.close()


class Wandb:
    """wandb, online or not; the id of the run lets it go on with what an earlier process reported."""

    def __init__(self, run: WatchedRun):
        import wandb

        choose_wandb_mode()
        names = run.environment()
        start_wandb(
            run.name, {"silent": True, "console": "off"}, id=run.id, resume="allow",
            group=os.environ.get("WANDB_RUN_GROUP", names["WANDB_RUN_GROUP"]),
            dir=os.environ.get("WANDB_DIR", names["WANDB_DIR"]),
        )  # fmt: skip
        self.run = wandb.run
        for part in ("train/*", "eval/*"):
            self.run.define_metric(part, step_metric=STEP)
        if self.run.offline:
            # with all starts before it, in order: wandb may take a later one, sent alone, for the whole run
            log.info("wandb, offline: `wandb sync %s` sends it", Path(self.run.dir).parents[1])
        elif not self.run.disabled:
            log.info("wandb: %s", self.run.url)

    def write(self, numbers: dict[str, float], step: int, when: float) -> None:
        self.run.log(numbers)

    def describe(self, name: str, arguments: dict[str, Any]) -> None:
        self.run.config.update({name: arguments}, allow_val_change=True)

    def close(self) -> None:
        self.run.finish()


WRITERS = {"wandb": Wandb, "tensorboard": Board}


class Report:
    """The reporting on one run: what has changed goes to all writers; one that fails is left out from then on."""

    def __init__(self, run: WatchedRun, order: Order):
        self.run, self.folder = run, Path(order.folder)
        self.adapter = Path(order.adapter) if order.adapter else None
        self.files, self.journals = ChangedFiles(run.since), GrowingJournals(run.since)
        self.state, self.deadline = {"stages": []}, None
        self.writers: dict[str, Writer] = {}
        for name in sorted(order.report_to):  # TensorBoard first: it has no server to wait for
            with self.left_out_if_it_fails(name):
                self.writers[name] = WRITERS[name](run)

    @contextlib.contextmanager
    def left_out_if_it_fails(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a library for reporting raises
            self.writers.pop(name, None)
            log.warning("%s: %s: %s; the run goes on without it", name, type(error).__name__, reason_of(error))

    def call(self, method: str, *values: Any) -> None:
        for name, writer in list(self.writers.items()):
            with self.left_out_if_it_fails(name):
                getattr(writer, method)(*values)

    def seconds_between_reads(self) -> float:
        return max(READ_EVERY_S, READ_EVERY_SHARE * ((self.deadline or 0.0) - self.run.since))

    def once(self) -> None:
        """Report what is new."""
        now, run = time.time(), self.run
        numbers = self.new_numbers(now)
        entries = self.new_entries()
        for entry in entries:
            when = entry.pop("time")
            self.call("write", entry, entry[STEP], when)
        if numbers:
            self.call("write", numbers, round(now - run.since), now)
        if numbers or entries:
            run.reported |= numbers
            with contextlib.suppress(InputError):  # such as a full disk, which may have room again
                run.save()

    def new_numbers(self, now: float) -> dict[str, float]:
        """The numbers that are not what was reported last."""
        found: dict[str, float] = {}
        logs = log_file(self.folder / RUN_FILE).parent
        metas = sorted(logs.glob("*.meta.json"))
        progress = [logs / PROGRESS_FILE]
        if self.adapter:
            metas.append(log_file(self.adapter / "training.meta.json"))
            progress.append(log_file(self.adapter / PROGRESS_FILE))
        for path in metas:
            if meta := self.files.read(path):
                found |= numbers_of_meta(path, meta)
                self.call("describe", path.name.removesuffix(".meta.json"), meta.get("arguments", {}))
        for path in sorted(logs.glob(f"*{JOURNAL}")):
            found |= self.journals.read(path)
        for path in progress:
            if told := self.files.read(path):
                found |= numbers_of_progress(told)
        if state := self.files.read(self.folder / RUN_FILE):
            self.state, self.deadline = state, find_deadline(state)
        found |= numbers_of_time(self.state, self.deadline, now)
        return {name: value for name, value in found.items() if self.run.reported.get(name) != value}

    def new_entries(self) -> list[dict]:
        """The entries that a training's log has more than were reported."""
        if self.adapter is None:
            return []
        entries = [one for one in read_entries(log_file(self.adapter / TRAINING_LOG)) if one["time"] >= self.run.since]
        if entries and entries[0]["time"] != self.run.first_entry:
            self.run.first_entry, self.run.entries = entries[0]["time"], 0
        new = entries[self.run.entries :]
        self.run.entries = max(self.run.entries, len(entries))  # a resumed training goes back behind some of them
        return new


def find_deadline(state: dict) -> float | None:
    """When a run has to end, or the stage in it that is at work; None if there is no such time."""
    working = [state] if "ended" not in state else []
    working += [stage for stage in state["stages"] if "seconds" not in stage]
    return next((parse_time(one["deadline"], 0) for one in working if "deadline" in one), None)


@contextlib.contextmanager
def only_reporter(folder: Path) -> Iterator[None]:
    """Wait for the process that still reports the end of an earlier stage, or start of the run."""
    path = log_file(folder / LOCK_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    folder = Path(order.folder)
    os.nice(NICE)
    with only_reporter(folder):
        report = Report(open_run(folder, order.began, order.all_stages), order)
        ended = False
        while not ended:
            report.once()
            told = select.select([sys.stdin], [], [], report.seconds_between_reads())[0]
            ended = bool(told) or os.getppid() != order.parent  # killed, while a fork of it holds the pipe open
        report.once()
        report.call("close")


if __name__ == "__main__":
    run_script(main)
