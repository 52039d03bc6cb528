"""A time budget: a deadline kept on disk, and the clock of a stage.

    with stage_clock(arguments, "collection", folder) as clock:     # unlimited without --time_budget or --until
        while size := next_round_size(left, first, cost, clock.left()):
            with clock.interruptible(reserved_seconds):                    # raises Stopped when time is up, or on Ctrl-C
                ...

Moments are time.time() values, in seconds since 1970; on disk they are ISO 8601 with the UTC offset.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import math
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils import InputError, log_file, read_json, write_json

RUN_FILE = "run.json"  # in the output folder: the deadline, and the time planned for and taken by each stage
PROGRESS_FILE = "progress.json"  # how far a stage has come and when it expects to end
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SIGNALS = (signal.SIGINT, signal.SIGTERM)
LONGEST_S = 3650 * 86400.0  # a budget beyond it is a slip
LOOK_S = 20.0  # the longest between two looks at the clock
WRITING_S = 1.0  # reserved at the end of a stage to write its dataset or answers
REPORT_S = 3.0  # the same for verdicts and a report, or for the log and curve of a training
SAVED_SHARE = 0.01  # of the time budget: how often training saves a checkpoint,
SAVING_SHARE = 0.02  # unless saving just the adapter takes more than this share of the time
RECALL_SHARE = 0.02  # of the training's wall time: the most that held-out questions asked during it may take,
TIMING_SHARE = 0.25  # and, of those seconds, the most that timing the first answers may take
TEACHER_SHARE = 0.25  # of the time left for training: the most that the open-book teacher may read (teaching.py)
PEAK_S = 0.5  # spent measuring how fast a device multiplies matrices

log = logging.getLogger(__name__)


class Stopped(Exception):
    """Time is up, or a signal asked to stop: whatever is complete is handed over."""


@dataclass
class BudgetArguments:
    """Arguments of every stage."""

    time_budget: str | None = field(
        default=None,
        metadata={
            "help": "How long this may take, such as 6h, 40m, 90s or 1.5h, counted from the first start: whatever fits is "
            "done, spread evenly over the documents. Restarted before the deadline in run.json, it keeps that deadline."
        },
    )
    until: str | None = field(
        default=None,
        metadata={"help": "The same as a point in time: 07:30, or a date and time such as 2026-11-24T07:30."},
    )


def parse_duration(text: str) -> float:
    """Seconds in "6h", "40m", "90s", "1.5h" or "1h30m"."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    seconds = sum(float(number) * UNIT_SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds <= LONGEST_S:
        raise InputError(f"expected a time such as 6h, 40m, 90s or 1.5h, found {text!r}: write it so")
    return seconds


def parse_time(text: str, now: float) -> float:
    """The next occurrence of a time of day ("07:30") after `now`, or the moment given by an ISO date and time."""
    try:
        if "T" in text or " " in text:
            return datetime.datetime.fromisoformat(text).timestamp()
        today, at = datetime.datetime.fromtimestamp(now).date(), datetime.time.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"expected a time of day such as 07:30, or a date and time such as 2026-11-24T07:30, found {text!r}: use one of these forms"
        ) from None
    days = [datetime.datetime.combine(today + datetime.timedelta(days=number), at) for number in (-1, 0, 1, 2)]
    # an hour that the end of summer time repeats is there twice; in another zone the day may be another
    moments = (day.replace(fold=fold).timestamp() for day in days for fold in (0, 1))
    return next(moment for moment in moments if moment > now)


def timestamp(moment: float) -> str:
    """A moment as it is written to disk, in ISO 8601."""
    return datetime.datetime.fromtimestamp(moment).astimezone().isoformat(timespec="milliseconds")


def time_of_day(moment: float) -> str:
    """A moment for people to read: "07:30:00", with the date unless it is today."""
    when = datetime.datetime.fromtimestamp(moment)
    return when.strftime("%H:%M:%S" if when.date() == datetime.date.today() else "%Y-%m-%d %H:%M:%S")


def format_duration(seconds: float) -> str:
    """A duration for people to read: "45 s", "12.5 min", "7.5 h"."""
    for unit, size, limit in (("s", 1, 100), ("min", 60, 6000)):
        if abs(seconds) < limit:
            return f"{seconds / size:.0f} {unit}" if unit == "s" else f"{seconds / size:.1f} {unit}"
    return f"{seconds / 3600:.1f} h"


def requested_deadline(arguments: BudgetArguments, now: float) -> float | None:
    """When a new run has to end, or None without a budget."""
    if arguments.time_budget and arguments.until:
        raise InputError("expected --time_budget or --until, found both: give one")
    if arguments.time_budget:
        return now + parse_duration(arguments.time_budget)
    if not arguments.until:
        return None
    deadline = parse_time(arguments.until, now)
    if deadline <= now:
        raise InputError(f"expected a time in the future for --until, found {arguments.until}: give a later one")
    return deadline


def process_start() -> float:
    """When this process was started: the time spent on imports counts towards the budget."""
    import psutil

    return psutil.Process().create_time()


class Clock:
    """The time of one stage: when it started, when it has to end, and the signals that end it sooner.

    `interruptible` raises Stopped when time is up, or on SIGINT or SIGTERM, which are handled from its first use on; a
    second Ctrl-C ends the process at once. `stopped_by` is the first signal. An unlimited clock, whose deadline is
    math.inf, handles no signals, reports nothing and never raises Stopped: Ctrl-C is Python's KeyboardInterrupt.
    """

    def __init__(self, stage: str, started: float, deadline: float, folder: Path, run_file: Path | None = None):
        self.stage, self.started, self.deadline = stage, started, deadline
        self.folder, self.run_file = folder, run_file
        self.stopped_by: int | None = None
        self._interruptible = self._listens = False
        self._reserved = 0.0

    @property
    def limited(self) -> bool:
        """Whether there is a deadline."""
        return self.deadline < math.inf

    def left(self) -> float:
        return self.deadline - time.time()

    def seconds_for_others(self, others: int) -> float:
        """Seconds to reserve so that `others` to follow get as much time as this one each; 0 without a deadline."""
        return self.left() * others / (others + 1) if self.limited else 0.0

    @property
    def seconds(self) -> float:
        """The whole budget."""
        return self.deadline - self.started

    def _listen(self) -> None:
        self._listens = True
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)

    def _on_signal(self, number: int, _frame) -> None:
        if self.stopped_by and number == signal.SIGINT:
            os._exit(128 + number)
        self.stopped_by = self.stopped_by or number
        if self._interruptible:
            raise Stopped

    def _on_alarm(self, _number: int, _frame) -> None:
        if self._interruptible and not self._set_alarm():
            raise Stopped

    def _set_alarm(self) -> bool:
        """Whether there is time left; an alarm tells when to look again: timers stand still while a machine sleeps."""
        seconds = self.left() - self._reserved
        if seconds > 0:
            signal.setitimer(signal.ITIMER_REAL, min(seconds, LOOK_S))
        return seconds > 0

    @contextlib.contextmanager
    def interruptible(self, reserved_seconds: float = 0.0) -> Iterator[None]:
        """Work that Stopped may interrupt anywhere: on a signal, or `reserved_seconds` before the deadline."""
        if not self.limited:
            yield
            return
        if not self._listens:
            self._listen()
        self._reserved = reserved_seconds
        if self.stopped_by:
            raise Stopped
        try:
            self._interruptible = True
            if not self._set_alarm():
                raise Stopped
            yield
        finally:
            self._interruptible = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def report_progress(self, done: float, expected_end: float, details: str = "") -> None:
        """Log, and write to PROGRESS_FILE, the share that is done and when the stage will end."""
        if not self.limited:
            return
        expected_end = min(expected_end, max(self.deadline, time.time()))
        log.info(
            "%s: %.0f%% done, ends at about %s%s",
            self.stage,
            100 * done,
            time_of_day(expected_end),
            details and f"; {details}",
        )
        progress = {"stage": self.stage, "time": time.time(), "done": round(done, 4), "expected_end": expected_end}
        with contextlib.suppress(InputError):  # such as a full disk: it is only looked at
            write_json(log_file(self.folder / PROGRESS_FILE), progress)

    def end(self) -> None:
        """Note in a stage's own RUN_FILE that it is done: restarted, it gets a new budget."""
        if self.run_file:
            update_stage(self.run_file, self.stage, {"seconds": round(time.time() - self.started, 1)})


@contextlib.contextmanager
def stage_clock(arguments: BudgetArguments, stage: str, folder: str | Path, writes: bool = True) -> Iterator[Clock]:
    """The clock of a stage, from start_clock. Leaving the block ends the stage.

    After a signal, once all that is complete is written, the stage has not ended: SystemExit with 128 + the signal number.
    """
    clock = start_clock(arguments, stage, folder, writes)
    yield clock
    if clock.stopped_by:
        log.info("stopped; run this again to continue")
        raise SystemExit(128 + clock.stopped_by)
    clock.end()


def start_clock(arguments: BudgetArguments, stage: str, folder: str | Path, writes: bool = True) -> Clock:
    """The clock of a stage; unlimited if it has no budget. Of several processes only one `writes`.

    The deadline is kept in RUN_FILE of the output folder until the stage has ended; a moment with a date, which
    run_all.py passes, needs no file.
    """
    folder, started = Path(folder), process_start()
    deadline = requested_deadline(arguments, started)
    if deadline is None:
        return Clock(stage, started, math.inf, folder)
    run_file = None
    if not (arguments.until and "T" in arguments.until):
        run_file = folder / RUN_FILE
        before = find_stage(read_run(run_file), stage)
        if not writes:
            run_file = None
        elif "deadline" in before and "seconds" not in before:
            started, deadline = (parse_time(before[key], 0) for key in ("started", "deadline"))
            require_deadline_ahead(deadline, run_file)
            log.info("%s continues towards its deadline, %s", stage, time_of_day(deadline))
        else:
            facts = {"budget_seconds": round(deadline - started, 1), "started": timestamp(started)}
            update_stage(run_file, stage, {**facts, "deadline": timestamp(deadline)}, fresh=True)
    return Clock(stage, started, deadline, folder, run_file)


def require_deadline_ahead(deadline: float, run_file: Path) -> None:
    if deadline <= time.time():
        raise InputError(
            f"expected a deadline in the future in {run_file}, found {time_of_day(deadline)}, which has passed: start without "
            "--time_budget or --until to finish what is left, or remove the file to begin anew; replies are kept"
        )


def read_run(path: Path) -> dict[str, Any]:
    return read_json(path, "the times of a run", "remove it") if path.is_file() else {"stages": []}


def find_stage(run: dict, name: str) -> dict:
    return next((stage for stage in run["stages"] if stage["name"] == name), {})


def update_stage(path: Path, name: str, facts: dict, fresh: bool = False) -> None:
    """Add facts to a stage in RUN_FILE; `fresh` discards its earlier ones."""
    run = read_run(path)
    stage = find_stage(run, name)
    if not stage:
        stage = {"name": name}
        run["stages"].append(stage)
    if fresh:
        stage.clear()
        stage["name"] = name
    stage |= facts
    write_json(path, run)
