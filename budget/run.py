"""A run of all stages in progress: run.json, and the process that works on one of them.

run.json: {"budget_seconds", "started", "deadline", "starts": the time of each start, "arguments" that its answers depend on,
"stages": [{"name", "planned_seconds", "started", "seconds", "steps"}], "etas": [{"at", "end"} in seconds from the start], "ended", "seconds"};
without a budget there is no "budget_seconds", "deadline", "planned_seconds" or "etas".

A run resumes by one rule: a stage that ended according to run.json runs again only if its output is gone, or the output
of an earlier stage is newer. The unfinished stage continues with its first unfinished step.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from budget import forecast
from budget.clock import (
    PROGRESS_FILE,
    RUN_FILE,
    SIGNALS,
    BudgetArguments,
    find_stage,
    format_duration,
    parse_time,
    process_start,
    read_run,
    requested_deadline,
    require_deadline_ahead,
    time_of_day,
    timestamp,
)
from budget.forecast import BASE, EVALUATION, TRAINING, TUNED
from budget.plan import Plan
from budget.step import Step, changed
from engines.processes import PROCESSES_FILE, ProcessTree
from utils import InputError, find_log_file, log_file, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
# a stage has this much longer than its deadline, is then asked to end, and killed after as long again
GRACE_S, GRACE_SHARE = 10.0, 0.01
STOP_S = 60.0  # at least this long after a signal, to finish an update and write a checkpoint
LEFT_OVER_S = 5.0  # the time to end for processes that a finished stage left running
ASKING_STARTS = 2  # an optional command is run if there is time for this many starts
MIN_STAGE_S = 5.0  # a stage gets at least this: if it comes too late, it hands over what is complete
REFUSALS = (2, 3, 4)  # exit codes of utils.run_script: what a stage wrote before one cannot be relied on
CHANGED_S = 1.0  # an output changed this long after a later stage ended was changed by hand
# How often the expected end is logged: in seconds, or this share of the budget
REPORT_EVERY_S, REPORT_EVERY_SHARE = 10.0, 0.01

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """A signal ended the run; `number` is the signal number."""

    def __init__(self, number: int):
        self.number = number


class Run(Plan):
    """A run in progress: run.json, the plan for the remaining stages, and the process that works on one of them.

    Without a budget it has no deadline and plans nothing. Unless `resumable`, it writes no run.json. One that is `renewable`
    and did not end by its deadline gets a new one.
    """

    def __init__(self, budget: BudgetArguments, out: Path, resumable: bool = True, renewable: bool = False):
        self.path, self.resumable = out / RUN_FILE, resumable
        super().__init__(out, self._open(budget, renewable))
        self.outputs: list[Path] = []  # of the stages so far
        self.stage_end = 0.0
        self.processes = ProcessTree(log_file(self.out / PROCESSES_FILE))
        self.child: subprocess.Popen | None = None
        self.stopped_by: int | None = None
        self._grace = max(GRACE_S, GRACE_SHARE * self.budget) if self.limited else GRACE_S
        self._kill_at = math.inf  # set once the child has been asked to end
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def _open(self, budget: BudgetArguments, renewable: bool) -> dict[str, Any]:
        """The state of a resumed run, or of a new one. A run with a deadline that has ended is not resumed."""
        state, now = read_run(self.path), process_start()
        deadline = requested_deadline(budget, now)
        if deadline is None:
            state = without_past_deadline(state, self.path)
        if keeps_deadline(state, self.path, renewable):
            return state | {"starts": [*state["starts"], timestamp(now)]}
        if deadline is not None:
            times = {"started": timestamp(now), "deadline": timestamp(deadline), "starts": [timestamp(now)]}
            return {"budget_seconds": round(deadline - now, 1), **times, "stages": [], "etas": []}
        if "started" in state and "deadline" not in state:
            resumed = {key: value for key, value in state.items() if key not in ("ended", "seconds")}
            return resumed | {"starts": [*state["starts"], timestamp(now)]}
        return {"started": timestamp(now), "starts": [timestamp(now)], "stages": []}

    def keep_arguments(self, asked: dict[str, str | None]) -> None:
        """Note what the run is asked for; InputError if another start has answered or trained with something else."""
        asked = {
            name: str(Path(value).resolve()) if value and Path(value).exists() else value
            for name, value in asked.items()
        }
        ended = {stage["name"] for stage in self.state["stages"] if "seconds" in stage}
        if EVALUATION in ended or not ended & {BASE, TRAINING, TUNED}:
            self.state["arguments"] = asked
            return
        before = self.state.setdefault("arguments", asked)  # an earlier version has not noted them
        for name, value in asked.items():
            if before.get(name) != value:
                raise InputError(
                    f"expected --{name} {before.get(name)}, with which {self.out} was begun, found {value}: its numbers could "
                    f"not be compared; give it as before, or remove {self.path} to begin anew"
                )

    def end(self) -> None:
        """Note the end. A run without a deadline may have started long ago: its time is that of its stages."""
        elapsed = time.time() - self.started
        seconds = elapsed if self.limited else sum(stage["seconds"] for stage in self.state["stages"])
        self.state |= {"ended": timestamp(time.time()), "seconds": round(seconds, 1)}
        self.write()

    def write(self) -> None:
        if self.resumable:
            write_json(self.path, self.state)

    def _on_signal(self, number: int, _frame) -> None:
        if self.stopped_by and number == signal.SIGINT:
            if self.child:
                self.processes.kill()
            os._exit(128 + number)
        self.stopped_by = self.stopped_by or number
        self._request_end(max(self._grace, STOP_S))

    def _grace_after(self, moment: float) -> float:
        """The grace of a stage from a moment on, of which GRACE_S at most is beyond the deadline of the run."""
        return max(GRACE_S, min(self._grace, self.deadline - moment))

    def _request_end(self, grace: float) -> None:
        """Send the child, which the terminal's Ctrl-C does not reach, one SIGTERM; after `grace` it is killed."""
        if self.child and self._kill_at == math.inf:
            self.child.terminate()
            self._kill_at = time.time() + grace

    def run_stage(self, name: str, steps: list[Step]) -> None:
        """Run one stage, unless it has already ended; InputError or Interrupted if the run cannot go on."""
        record = find_stage(self.state, name)
        if "seconds" in record and not self._outdated(record, steps):
            log.info("[%s] already finished", name)
            self.outputs += [step.output for step in steps]
            return
        if "seconds" in record:
            self.forget(name)
            record = {}
        plan, now = self.planned_seconds(), time.time()
        end = self.stage_end = now + max(plan[name], MIN_STAGE_S)
        if not record:
            planned = {"planned_seconds": round(plan[name], 1)} if self.limited else {}
            record = {"name": name, **planned, "started": timestamp(now)}
            self.state["stages"].append(record)
        details = ""
        if self.limited:
            shares = ", ".join(f"{stage} {format_duration(seconds)}" for stage, seconds in plan.items())
            details = f" until {time_of_day(end)}; planned: {shares}"
        log.info("[%s]%s", name, details)
        self.write()
        gone = [step.name for step in steps if step.gone()]
        done = record["steps"] = [name for name in record.get("steps", []) if name not in gone]  # in an earlier start
        for step in steps:
            if step.name in done or step.ended(parse_time(record["started"], 0)) or not step.prepare():
                continue
            until = time.time() + max(step.part * (end - time.time()), 1.0)
            if step.needed or until - time.time() > ASKING_STARTS * self.startup_seconds:
                self._run_step(step, until, name)
                done.append(step.name)
                self.write()
            else:
                log.info("%s skipped: no time", step.name)
        record["seconds"] = round(time.time() - parse_time(record["started"], 0), 1)
        self.outputs += [step.output for step in steps]
        self.write()

    def has_ended(self, name: str, steps: list[Step]) -> bool:
        """Whether all that a stage makes is there, also if a kill came before that was written down, and still holds."""
        record = find_stage(self.state, name)
        if "seconds" in record:
            return not self._outdated(record, steps)
        return bool(record) and all(step.ended(parse_time(record["started"], 0)) for step in steps)

    def forget(self, name: str) -> None:
        """Have a stage run again, and all stages after it, which depend on it."""
        later = forecast.STAGES[forecast.STAGES.index(name) :]
        self.state["stages"] = [stage for stage in self.state["stages"] if stage["name"] not in later]

    def _outdated(self, record: dict, steps: list[Step]) -> bool:
        """Whether a stage that has ended has to run again."""
        ended = parse_time(record["started"], 0) + record["seconds"]
        return any(step.gone() for step in steps) or any(changed(path, ended + CHANGED_S) for path in self.outputs)

    def _run_step(self, step: Step, until: float, stage: str) -> None:
        until_argument, begun = ["--until", timestamp(until)] if self.limited and step.timed else [], time.time()
        code = self.run_command([*step.command, *until_argument], step.output.parent, until, stage)
        if self.stopped_by:
            raise Interrupted(self.stopped_by)
        if not code:
            return
        if code not in REFUSALS and step.handed_over(begun):  # late, or in what comes after: the work is there
            log.warning("%s wrote all that it had, then ended with exit code %d: going on with that", step.name, code)
        elif step.rescue and time.time() > until and step.rescue():
            log.warning("%s did not end in time: using what it left behind", step.name)
        elif step.needed:
            raise InputError(
                f"expected {step.name} to succeed, found exit code {code}: see above; finished work is kept, run this again"
            )
        else:
            log.warning("%s failed with exit code %d and is skipped", step.name, code)

    def run_command(self, command: list[str], folder: Path, until: float, stage: str) -> int:
        """Run a command, logging when the run will end; returns its exit code once nothing that it started is left."""
        started = last_report = time.time()
        self._kill_at = math.inf
        self.child = self.processes.start([sys.executable, *command], cwd=ROOT)
        if self.stopped_by:
            self._request_end(max(self._grace, STOP_S))
        while self.child.poll() is None:
            time.sleep(0.2)
            now = time.time()
            self.processes.refresh()
            if now > self._kill_at:
                self.processes.kill()
            elif now > until + self._grace_after(until):
                self._request_end(self._grace_after(now))
            if self.limited and now - last_report >= max(REPORT_EVERY_S, REPORT_EVERY_SHARE * self.budget):
                self.report_end(stage, folder, started, until)
                last_report = now
        code, self.child = self.child.returncode, None
        self.processes.end(LEFT_OVER_S)
        return code

    def report_end(self, stage: str, folder: Path, started: float, until: float) -> None:
        """Log the expected end of the run: that of the stage from its own progress, then the plan for the later ones."""
        now = time.time()
        end = min(self.stage_end, started + self.expected.get(stage, self.budget))
        path = find_log_file(folder / PROGRESS_FILE)
        progress = read_json(path, "progress") if path.is_file() else {"time": 0}
        if progress["time"] > started:
            end = progress["expected_end"] + max(0.0, self.stage_end - until)  # of this command, then of further ones
        end = max(now, end)
        after = {name: seconds for name, seconds in self.planned_seconds().items() if name != stage}
        after = {name: min(seconds, self.expected.get(name, seconds)) for name, seconds in after.items()}
        if TRAINING in after:  # it takes what the others leave, if it has enough to do
            available = self.deadline - self.end_seconds - end - sum(after.values()) + after[TRAINING]
            after[TRAINING] = min(self.expected.get(TRAINING, available), max(available, 0.0))
        end = min(end + sum(after.values()) + self.end_seconds, max(self.deadline, now))
        self.state["etas"].append({"at": round(now - self.started, 1), "end": round(end - self.started, 1)})
        with contextlib.suppress(InputError):  # such as a full disk: it is only looked at
            self.write()
        times = time_of_day(end), format_duration(end - now), time_of_day(self.deadline)
        log.info("the run ends at about %s, in %s (deadline %s)", *times)


def keeps_deadline(run: dict, run_file: Path, renewable: bool) -> bool:
    """Whether a run goes on to the deadline that it has: if it has one, and has not ended.

    InputError if that has passed, unless the run is `renewable`.
    """
    if "deadline" not in run or "ended" in run:
        return False
    deadline = parse_time(run["deadline"], 0)
    if renewable and deadline <= time.time():
        log.info("going on with %s, whose deadline has passed, to a new one", run_file.parent)
        return False
    require_deadline_ahead(deadline, run_file)
    log.info("resuming, with the deadline unchanged: %s", time_of_day(deadline))
    return True


def without_past_deadline(run: dict, run_file: Path) -> dict:
    """A run that has not ended by its deadline as one that goes on without; any other as it is.

    Both models are then asked together, so that the base model's stage is one only if it has ended.
    """
    if "deadline" not in run or "ended" in run or parse_time(run["deadline"], 0) > time.time():
        return run
    log.info("going on with %s, whose deadline has passed, without one", run_file.parent)
    rest = {key: value for key, value in run.items() if key not in ("budget_seconds", "deadline", "etas")}
    return rest | {"stages": [stage for stage in run["stages"] if "seconds" in stage or stage["name"] != BASE]}
