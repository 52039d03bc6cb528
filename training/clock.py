"""Training to a deadline: the learning-rate schedule ends on time, whatever happens to the speed.

Progress is max(share of the updates, share of the time). Rank 0 broadcasts it after every update, so that all ranks have
the same learning rate and stop at the same step. Time is reserved, as measured, for what follows the last update:
validation, the last questions, saving, reading back and comparing.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections import deque

import transformers

from budget.clock import REPORT_S, SAVED_SHARE, Clock, format_duration, time_of_day
from budget.reports import TrainingTime
from training import ranks
from training.plan import Plan
from training.recall import Recall
from utils import InputError

MEASURED_UPDATES = 5  # after this many the number of epochs is announced
RECENT_UPDATES = 20  # the longest of these has to fit before the end
FINISH_SLACK = 1.5  # times the measured finish: another process may occupy a core by then
# Between reports of the expected end: the longer of these seconds and this share of the time.
REPORT_INTERVAL_S, REPORT_INTERVAL_SHARE = 10.0, 0.01

log = logging.getLogger(__name__)


class TrainingClock(transformers.TrainerCallback):
    """Tracks how far the training is, and ends it early enough for what follows.

    `recall` asks questions during training; `elapsed` is the seconds of training before a resume, `finish` those needed
    to save the adapter and read it back. `progress` goes from 0 to 1, reached at the last update.
    """

    def __init__(self, clock: Clock, plan: Plan, recall: Recall | None, elapsed: float, finish: float):
        self.clock, self.recall, self.elapsed, self.finish = clock, recall, elapsed, finish
        self.exposures_per_epoch = plan.exposures_per_fact / plan.epochs
        self.validation_updates = plan.held_out / plan.examples_per_update  # its examples, counted in updates
        self.progress = 0.0
        self.peak = 0.0  # learning rate of the schedule
        self.last_rate = self.highest_rate = 0.0  # learning rates used in this process
        self.validation = 0.0  # seconds, as measured; before the first one, estimated from an update
        self._validated = False
        self._recent: deque[float] = deque(maxlen=RECENT_UPDATES)

    @property
    def reserved_seconds(self) -> float:
        last = self.validation + (self.recall.round_seconds if self.recall else 0.0)
        return FINISH_SLACK * (self.finish + last) + REPORT_S

    def left(self) -> float:
        """Seconds left for updates."""
        return max(0.0, self.clock.left() - self.reserved_seconds)

    @property
    def seconds(self) -> float:
        """Seconds of training in total."""
        return self.elapsed + time.monotonic() - self._began + self.left()

    def drive_schedule(self, scheduler, steps: int) -> None:
        """Make a schedule over `steps` follow the progress instead of counting its calls."""
        if not hasattr(scheduler, "lr_lambdas"):
            raise InputError(
                f"expected a schedule that depends only on the step with --time_budget, found {type(scheduler).__name__}: "
                "use --lr_scheduler_type cosine or linear"
            )
        self.peak = max(scheduler.base_lrs)
        scheduler.lr_lambdas = [lambda _, rate=rate: rate(self.progress * steps) for rate in scheduler.lr_lambdas]

    def on_train_begin(self, args, state, control, **_):
        self._began = self._reported = self._update_began = time.monotonic()
        self._first = state.global_step

    def on_step_begin(self, args, state, control, **_):
        self._update_began = time.monotonic()

    def on_optimizer_step(self, args, state, control, optimizer=None, **_):
        """Called after the update and before the schedule sets the next rate."""
        now = time.monotonic()
        self._recent.append(now - self._update_began)
        if not self._validated:  # a forward pass is a third of an update
            self.validation = self.validation_updates * self._recent[-1] / 2
        self.last_rate = max(group["lr"] for group in optimizer.param_groups)
        self.highest_rate = max(self.highest_rate, self.last_rate)
        left, spent = self.left(), self.elapsed + now - self._began
        by_time = min(1.0, (spent + max(self._recent)) / (spent + left))  # when the next update ends
        by_steps = (state.global_step + 1) / state.max_steps
        self.progress = ranks.broadcast(max(self.progress, by_time, min(by_steps, 1.0)))

    def on_step_end(self, args, state, control, **_):
        if self.progress >= 1:
            control.should_training_stop = True
        now, done = time.monotonic(), state.global_step - self._first
        due = now - self._reported >= max(REPORT_INTERVAL_S, REPORT_INTERVAL_SHARE * self.clock.seconds)
        if state.is_world_process_zero and (done == MEASURED_UPDATES or due or self.progress >= 1):
            pace = (now - self._began) / done
            fit = state.global_step + min(self.left() / pace, state.max_steps - state.global_step)
            if done == MEASURED_UPDATES:
                epochs = fit * state.epoch / state.global_step
                log.info(
                    "%.2f s an update: about %.0f of at most %d updates until %s, %.2f epochs, each fact %.1f times",
                    pace, fit, state.max_steps, time_of_day(time.time() + self.left()), epochs, epochs * self.exposures_per_epoch,
                )  # fmt: skip
            self.clock.report_progress(
                self.progress, time.time() + (fit - state.global_step) * pace + self.reserved_seconds
            )
            self._reported = now

    def on_evaluate(self, args, state, control, metrics=None, **_):
        self.validation, self._validated = (metrics or {}).get("eval_runtime", self.validation), True

    def report(self) -> TrainingTime:
        """For the meta file."""
        return TrainingTime(
            seconds=round(self.clock.seconds, 1),
            kept_back=round(self.reserved_seconds, 1),
            progress=self.progress,
            lr_end_over_peak=round(self.last_rate / self.peak, 5) if self.peak else None,
            seconds_an_update=round(statistics.mean(self._recent), 3) if self._recent else None,
        )

    def describe(self) -> str:
        return f"to end at {time_of_day(self.clock.deadline)}, with {format_duration(self.reserved_seconds)} reserved to save and check"


def apply_budget(clock: Clock, training) -> None:
    """With a budget: checkpoint every hundredth of it and resume after a kill, unless the arguments say otherwise."""
    if clock.limited:
        training.save_minutes = training.save_minutes or clock.seconds * SAVED_SHARE / 60
        training.resume_from_checkpoint = training.resume_from_checkpoint or "auto"
