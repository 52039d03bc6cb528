"""A run of all stages under way: run.json, the plan for the stages that are left, and the process that works on one of them.

run.json: {"budget_seconds", "started", "deadline", "starts": moments of each start, "stages": [{"name", "planned_seconds",
"started", "seconds", "steps"}], "etas": [{"at", "end"} in seconds from the start], "ended", "seconds"}; without a budget
"budget_seconds", "deadline", "planned_seconds" and "etas" are not there.

A run goes on by one rule: a stage that has ended by run.json is made again only if what it made is gone, or what an
earlier stage made is newer. The stage under way goes on with its first step that has not ended.
"""

from __future__ import annotations

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
from budget.asking import SLACK
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
from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED, Timings
from budget.reports import AskingTime, CollectionTime, read_report
from budget.step import Step, changed
from engines.processes import PROCESSES_FILE, ProcessTree
from provenance import meta_file
from utils import InputError, find_log_file, log_file, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
END_S = 2.0  # kept back at the end: the last lines of the report
GRACE_S, GRACE_SHARE = 10.0, 0.01  # after its deadline a stage that still runs is asked to end, then made to
STOP_S = 60.0  # and at least so long after a signal, for an update to end and a checkpoint to be written
LEFT_OVER_S = 5.0  # what a stage that has ended left running is asked to end, then made to
ASKING_STARTS = 2  # a command that is not needed is begun if it can work for as long as it takes to start
MIN_STAGE_S = 5.0  # of a stage: one that comes too late hands over what is whole
RESTART_SHARE = 0.03  # of the budget: what a stage has at least that a crash kept from its share
CHANGED_S = 1.0  # after its end, what a stage made is newer than what was made from it: it was changed by hand
CALIBRATION_FILE = "calibration.json"  # of a run: the Timings that its first work gave
UNLIMITED_S = 1e9  # seconds: a budget in which everything fits
REPORT_EVERY_S, REPORT_EVERY_SHARE = (
    10.0,
    0.01,
)  # how often the end is said: so many seconds or this share of the budget

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """A signal ended the run; `number` is the signal."""

    def __init__(self, number: int):
        self.number = number


class Run:
    """A run under way: run.json, the plan for the stages that are left, and the process that works on one of them.

    Without a budget it has no deadline, and plans nothing. Not `kept`, it leaves no run.json: nothing goes on with it.
    """

    def __init__(self, budget: BudgetArguments, out: Path, kept: bool = True):
        self.out, self.kept = out, kept
        self.path = self.out / RUN_FILE
        self.state = self._open(budget)
        self.started = parse_time(self.state["started"], 0)
        self.deadline = parse_time(self.state["deadline"], 0) if "deadline" in self.state else math.inf
        self.budget = self.deadline - self.started
        self.limited = self.deadline < math.inf
        self.made: list[Path] = []  # by the stages so far
        self.measured: dict[str, float] = {}  # seconds that a stage will need at most
        self.shares = forecast.SHARES
        self.expected: dict[str, float] = {}  # and those that a calibration makes likely, to say when the run ends
        self.start_seconds = 0.0  # until a process is ready to ask the model
        self.loading: float | None = None  # the same with transformers, by the prior, where vLLM asks
        self.stage_ends = 0.0
        self.family = ProcessTree(log_file(self.out / PROCESSES_FILE))
        self.child: subprocess.Popen | None = None
        self.stopped_by: int | None = None
        self._grace = max(GRACE_S, GRACE_SHARE * self.budget) if self.limited else GRACE_S
        self._kill_at = math.inf  # the moment of it, once the child was asked to end
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def _open(self, budget: BudgetArguments) -> dict[str, Any]:
        """The state of a run that goes on, or a new one. One with a deadline that has ended does not go on."""
        state, now = read_run(self.path), process_start()
        if "deadline" in state and "ended" not in state:
            require_deadline_ahead(parse_time(state["deadline"], 0), self.path)
            log.info("goes on against its deadline, %s", time_of_day(parse_time(state["deadline"], 0)))
            return state | {"starts": [*state["starts"], timestamp(now)]}
        deadline = requested_deadline(budget, now)
        if deadline is not None:
            facts = {
                "budget_seconds": round(deadline - now, 1),
                "started": timestamp(now),
                "deadline": timestamp(deadline),
            }
            return facts | {"starts": [timestamp(now)], "stages": [], "etas": []}
        if "started" in state and "deadline" not in state:
            going_on = {key: value for key, value in state.items() if key not in ("ended", "seconds")}
            return going_on | {"starts": [*state["starts"], timestamp(now)]}
        return {"started": timestamp(now), "starts": [timestamp(now)], "stages": []}

    def left(self) -> float:
        return self.deadline - time.time()

    def end(self) -> None:
        """A run without a deadline may have begun long ago: it took what its stages did."""
        took = time.time() - self.started if self.limited else sum(stage["seconds"] for stage in self.state["stages"])
        self.state |= {"ended": timestamp(time.time()), "seconds": round(took, 1)}
        self.write()

    def write(self) -> None:
        if self.kept:
            write_json(self.path, self.state)

    def _on_signal(self, number: int, _frame) -> None:
        if self.stopped_by and number == signal.SIGINT:
            if self.child:
                self.family.kill()
            os._exit(128 + number)
        self.stopped_by = self.stopped_by or number
        self._ask_to_end(max(self._grace, STOP_S))

    def _ask_to_end(self, grace: float) -> None:
        """One SIGTERM to the child, which no Ctrl-C of the terminal reaches; what has not ended after `grace` is killed."""
        if self.child and self._kill_at == math.inf:
            self.child.terminate()
            self._kill_at = time.time() + grace

    def planned(self) -> dict[str, float]:
        """The seconds of each stage as of now: what is measured, the prior for the rest, fine-tuning what is left."""
        left = self.deadline - time.time() - END_S
        open_stages = [name for name in forecast.STAGES if "seconds" not in find_stage(self.state, name)]
        if not self.limited:
            return dict.fromkeys(open_stages, math.inf)
        plan = {
            name: need
            for name, need in forecast.stage_seconds(self.budget, self.measured, self.shares).items()
            if name in open_stages
        }
        for name in plan:
            record = find_stage(self.state, name)
            if record:  # begun before
                used = time.time() - parse_time(record["started"], 0)
                plan[name] = max(plan[name] - used, RESTART_SHARE * self.budget)
        taker = TRAINING if TRAINING in open_stages else open_stages[0]
        plan[taker] = max(0.0, left - sum(seconds for name, seconds in plan.items() if name != taker))
        return {name: plan[name] for name in open_stages}

    def carry_out(self, name: str, steps: list[Step]) -> None:
        """One stage, unless it has ended before; InputError or Interrupted where the run cannot go on after it."""
        record = find_stage(self.state, name)
        if "seconds" in record and not self._outdated(record, steps):
            log.info("[%s] has ended before", name)
            self.made += [step.output for step in steps]
            return
        if "seconds" in record:  # and all stages after it, which are made from what it makes
            later = forecast.STAGES[forecast.STAGES.index(name) :]
            self.state["stages"] = [stage for stage in self.state["stages"] if stage["name"] not in later]
            record = {}
        plan, now = self.planned(), time.time()
        end = self.stage_ends = now + max(plan[name], MIN_STAGE_S)
        if not record:
            given = {"planned_seconds": round(plan[name], 1)} if self.limited else {}
            record = {"name": name, **given, "started": timestamp(now)}
            self.state["stages"].append(record)
        words = ""
        if self.limited:
            planned = ", ".join(f"{stage} {format_duration(seconds)}" for stage, seconds in plan.items())
            words = f" until {time_of_day(end)}; planned: {planned}"
        log.info("[%s]%s", name, words)
        self.write()
        gone = [step.name for step in steps if step.gone()]
        done = record["steps"] = [name for name in record.get("steps", []) if name not in gone]  # by an earlier start
        for step in steps:
            if step.name in done or step.ended(parse_time(record["started"], 0)):
                continue
            until = time.time() + max(step.part * (end - time.time()), 1.0)
            if step.needed or until - time.time() > ASKING_STARTS * self.start_seconds:
                self._run(step, until, name)
                done.append(step.name)
                self.write()
            else:
                log.info("%s left out: no time", step.name)
        record["seconds"] = round(time.time() - parse_time(record["started"], 0), 1)
        self.made += [step.output for step in steps]
        self.write()

    def _outdated(self, record: dict, steps: list[Step]) -> bool:
        """Whether a stage that has ended has to be made again."""
        ended = parse_time(record["started"], 0) + record["seconds"]
        return any(step.gone() for step in steps) or any(changed(path, ended + CHANGED_S) for path in self.made)

    def _run(self, step: Step, until: float, stage: str) -> None:
        until_then = ["--until", timestamp(until)] if self.limited else []
        code = self.start([*step.command, *until_then], step.output.parent, until, stage)
        if self.stopped_by:
            raise Interrupted(self.stopped_by)
        if code and step.rescue and time.time() > until and step.rescue():
            log.warning("%s did not end in time: what it left is handed over", step.name)
        elif code and step.needed:
            raise InputError(
                f"expected {step.name} to end well, found exit code {code}: see above; what is done is kept, run this again"
            )
        elif code:
            log.warning("%s failed with exit code %d and is left out", step.name, code)

    def start(self, command: list[str], folder: Path, until: float, stage: str) -> int:
        """Run a command, say meanwhile when all will end; its exit code, once nothing that it started is left."""
        begun = said = time.time()
        self._kill_at = math.inf
        self.child = self.family.start([sys.executable, *command], cwd=ROOT)
        if self.stopped_by:
            self._ask_to_end(max(self._grace, STOP_S))
        while self.child.poll() is None:
            time.sleep(0.2)
            now = time.time()
            self.family.refresh()
            if now > self._kill_at:
                self.family.kill()
            elif now > until + self._grace:
                self._ask_to_end(self._grace)
            if self.limited and now - said >= max(REPORT_EVERY_S, REPORT_EVERY_SHARE * self.budget):
                self.report_end(stage, folder, begun, until)
                said = now
        code, self.child = self.child.returncode, None
        self.family.end(LEFT_OVER_S)
        return code

    def report_end(self, stage: str, folder: Path, begun: float, until: float) -> None:
        """The expected end of the run: of the stage as it says itself, and the plan for those after it."""
        now = time.time()
        end = min(self.stage_ends, begun + self.expected.get(stage, self.budget))
        progress = find_log_file(folder / PROGRESS_FILE)
        said = read_json(progress, "progress") if progress.is_file() else {"time": 0}
        if said["time"] > begun:
            end = said["expected_end"] + max(0.0, self.stage_ends - until)  # of this command, and for further ones
        end = max(now, end)
        after = {name: seconds for name, seconds in self.planned().items() if name != stage}
        after = {name: min(seconds, self.expected.get(name, seconds)) for name, seconds in after.items()}
        if TRAINING in after:  # it fills what the others leave, if it has enough to do
            room = self.deadline - END_S - end - sum(after.values()) + after[TRAINING]
            after[TRAINING] = min(self.expected.get(TRAINING, room), max(room, 0.0))
        end = min(end + sum(after.values()) + END_S, max(self.deadline, now))
        self.state["etas"].append({"at": round(now - self.started, 1), "end": round(end - self.started, 1)})
        self.write()
        log.info(
            "the run ends about %s, in %s (deadline %s)",
            time_of_day(end),
            format_duration(end - now),
            time_of_day(self.deadline),
        )

    def measure(self, questions: int, general: int, judged_by_model: bool, open_book: bool) -> None:
        """What calibration and stages so far say about the stages to come."""
        made, timings = read_report(meta_file(self.out / "data.json"), CollectionTime), read_timings(self.out)
        if made and timings:
            whole = forecast.forecast(UNLIMITED_S, timings, made.units, questions, general).stages
            asking = forecast.asking_seconds(self.budget, timings, questions, general, judged_by_model, open_book)
            share = forecast.collection_share(self.budget, timings, asking)
            self.shares = {**forecast.SHARES, COLLECTION: share}
            self.expected = {name: whole[name] for name in (BASE, TRAINING, TUNED, EVALUATION)}
        self.start_seconds = made.seconds_to_start if made else 0.0
        cold = 0.0 if self.loading is None else self.start_seconds  # vLLM compiles again for an adapter
        base = [read_report(meta_file(self.out / f"{name}.json"), AskingTime) for name in ("base", "retention_base")]
        if base[0] and base[0].seconds_a_question and "seconds" in find_stage(self.state, BASE):
            need = sum(
                max(cold, asking.seconds_to_start) + (asking.seconds_a_question or 0) * asking.asked
                for asking in filter(None, base)
            )
            self.start_seconds = max(cold, base[0].seconds_to_start)
            if open_book:
                cost = base[0].seconds_a_question
                need += forecast.open_book_seconds(self.budget, self.start_seconds, base[0].asked, cost)
            self.measured = {TUNED: SLACK * need + END_S}
            loading = (timings and timings.loading) or self.loading or self.start_seconds
            self.measured |= forecast.evaluation_seconds(loading, judged_by_model)
        if timings and "seconds" in find_stage(self.state, COLLECTION):
            rows = read_json(meta_file(self.out / "data.json"), "the collection's numbers")["counts"]["rows"]
            self.expected[TRAINING] = forecast.training_seconds(sum(rows.values()), timings)


def read_timings(out: Path) -> Timings | None:
    path = find_log_file(out / CALIBRATION_FILE)
    return forecast.read_timings(path) if path.is_file() else None
