"""The plan of a run under way: what each stage gets of the time, from priors and from what was measured so far."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from budget import forecast
from budget.asking import SLACK
from budget.clock import find_stage, parse_time
from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED, find_timings
from budget.reports import AskingTime, CollectionTime, read_report
from provenance import meta_file
from utils import read_json

END_S, END_SHARE = 2.0, 0.001  # reserved at the end, for the last report, or this share of the budget if it is more
RESTART_SHARE = 0.03  # of the budget: the least for a stage that lost its share to a crash
UNLIMITED_S = 1e9  # seconds: a budget in which everything fits


class Plan:
    """The times of a run, whose `state` is that of run.json, and what its stages need."""

    def __init__(self, out: Path, state: dict[str, Any]):
        self.out, self.state = out, state
        self.started = parse_time(state["started"], 0)
        self.deadline = parse_time(state["deadline"], 0) if "deadline" in state else math.inf
        self.budget = self.deadline - self.started
        self.limited = self.deadline < math.inf
        self.end_seconds = max(END_S, END_SHARE * self.budget) if self.limited else END_S
        self.measured: dict[str, float] = {}  # the most seconds that a stage will need
        self.shares = forecast.SHARES
        self.expected: dict[str, float] = {}  # the seconds it probably needs, to tell when the run ends
        self.startup_seconds = 0.0  # until a process is ready to ask the model
        self.transformers_startup: float | None = None  # the same with transformers, from the prior, if vLLM asks

    def left(self) -> float:
        return self.deadline - time.time()

    def planned_seconds(self) -> dict[str, float]:
        """Seconds for each remaining stage as of now: as measured, else the prior; fine-tuning gets what is left."""
        left = self.left() - self.end_seconds
        open_stages = [name for name in forecast.STAGES if "seconds" not in find_stage(self.state, name)]
        if not self.limited:
            return dict.fromkeys(open_stages, math.inf)
        whole = forecast.stage_seconds(self.budget, self.measured, self.shares, self.startup_seconds)
        whole[TRAINING] = max(0.0, self.budget - self.end_seconds - sum(whole.values()))
        plan = {name: whole[name] for name in open_stages}
        for name in plan.keys() - {TRAINING}:
            record = find_stage(self.state, name)
            if record:  # started before
                used = time.time() - parse_time(record["started"], 0)
                least = forecast.LEAST_STARTS.get(name, 0.0) * self.startup_seconds
                plan[name] = max(plan[name] - used, RESTART_SHARE * self.budget, least)
        flexible = TRAINING if TRAINING in open_stages else open_stages[0]
        wanted = plan.pop(flexible)
        plan = forecast.shortened(plan, wanted, left)
        plan[flexible] = max(0.0, left - sum(plan.values()))
        return {name: plan[name] for name in open_stages}

    def update_estimates(
        self, questions: int, general: int, judged_by_model: bool, open_book: bool, quiz: bool = False
    ) -> None:
        """Derive from the calibration and the stages so far what the remaining stages will need."""
        collected, timings = read_report(meta_file(self.out / "data.json"), CollectionTime), find_timings(self.out)
        if collected and timings:
            stages = forecast.forecast(UNLIMITED_S, timings, collected.units, questions, general).stages
            asked = (questions, general, judged_by_model, open_book, quiz)
            asking = forecast.asking_seconds(self.budget, timings, *asked)
            share = forecast.collection_share(self.budget, timings, asking)
            self.shares = {**forecast.SHARES, COLLECTION: share}
            self.expected = {BASE: asking[BASE], **{name: stages[name] for name in (TRAINING, TUNED, EVALUATION)}}
        self.startup_seconds = collected.seconds_to_start if collected else 0.0
        # it compiles again for an adapter
        vllm_startup = 0.0 if self.transformers_startup is None else self.startup_seconds
        base = [read_report(meta_file(self.out / f"{name}.json"), AskingTime) for name in ("base", "retention_base")]
        if base[0] and base[0].seconds_a_question and "seconds" in find_stage(self.state, BASE):
            seconds = sum(
                max(vllm_startup, asking.seconds_to_start) + (asking.seconds_a_question or 0) * asking.asked
                for asking in filter(None, base)
            )
            self.startup_seconds = max(vllm_startup, base[0].seconds_to_start)
            if open_book:
                cost = base[0].seconds_a_question
                seconds += forecast.open_book_seconds(self.budget, self.startup_seconds, base[0].asked, cost)
            self.measured = {TUNED: SLACK * seconds + END_S}
            loading = (timings and timings.loading) or self.transformers_startup or self.startup_seconds
            self.measured |= forecast.evaluation_seconds(loading, judged_by_model)
        if timings and "seconds" in find_stage(self.state, COLLECTION):
            rows = read_json(meta_file(self.out / "data.json"), "the collection's numbers")["counts"]["rows"]
            self.expected[TRAINING] = forecast.training_seconds(sum(rows.values()), timings)
