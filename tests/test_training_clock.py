"""Training to the clock: the schedule ends at the deadline at any speed, after a resume too, and ranks agree."""

from __future__ import annotations

import json
import signal
import time
from types import SimpleNamespace

import pytest
import torch
import transformers
from clocks import hours, running_clock  # noqa: F401
from test_clock import PLAN
from test_distributed import arguments, data, finish, start  # noqa: F401
from trainings import make_trainer

from budget.clock import Clock
from training.clock import TrainingClock
from utils import InputError


class Speed(transformers.TrainerCallback):
    """Makes an update take so many seconds, and others from some step on, as a neighbour on the machine does."""

    def __init__(self, seconds: float, later: float, from_step: int):
        self.seconds, self.later, self.from_step = seconds, later, from_step

    def on_pre_optimizer_step(self, args, state, control, **_):
        time.sleep(self.later if state.global_step >= self.from_step else self.seconds)


@pytest.fixture
def timed(tiny_model_path, tokenizer, tmp_path, hours):  # noqa: F811
    """Trains with a clock of so many seconds: (trainer after training, its clock, seconds it took)."""

    def timed(seconds: float, later: float = 5.0, elapsed: float = 0.0, **options):
        settings = {"max_steps": 100_000, "lr_scheduler_type": "cosine", "warmup_steps": 0.1, **options}
        trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, **settings)
        pace = TrainingClock(running_clock(tmp_path, seconds), PLAN, None, elapsed, finish=6.0)
        trainer.add_callback(pace)
        trainer.add_callback(Speed(5.0, later, from_step=10))
        began = hours.now
        trainer.train()
        return trainer, pace, hours.now - began

    return timed


@pytest.mark.parametrize(("later", "updates"), [(5.0, 37), (15.0, 19)])
def test_the_schedule_ends_at_the_deadline_at_any_speed(timed, later, updates):
    """Of 200 s 12 are kept back; another update would not end before that."""
    trainer, pace, took = timed(200.0, later)
    assert trainer.state.global_step == updates and took == pytest.approx(185)
    assert pace.progress == 1 and pace.report().lr_end_over_peak <= 0.05
    assert pace.highest_rate > 0.95 * trainer.args.learning_rate == 0.95 * pace.peak  # the warm-up has ended too


def test_updates_that_are_all_done_sooner_end_the_schedule(timed):
    trainer, pace, took = timed(2000.0, max_steps=20)
    assert trainer.state.global_step == 20 and took == pytest.approx(100)
    assert pace.report().lr_end_over_peak <= 0.05 and pace.progress == 1


def test_a_resumed_training_knows_what_was_before(timed):
    """Three quarters were done before: it begins in the last quarter of the schedule."""
    _, pace, _ = timed(112.0, elapsed=300.0)
    assert pace.highest_rate < 0.2 * 1e-2 and pace.seconds == pytest.approx(400.0)


def test_a_resume_after_the_deadline_makes_one_update(timed):
    trainer, _, _ = timed(4.0, elapsed=300.0)
    assert trainer.state.global_step == 1


def test_time_for_the_validation_and_the_last_questions_is_kept(tmp_path):
    plan = SimpleNamespace(exposures_per_fact=30.0, epochs=3.0, held_out=80, examples_per_update=8)
    pace = TrainingClock(Clock("fine-tuning", time.time(), time.time() + 100, tmp_path), plan, None, 0.0, 11.0)
    pace.on_train_begin(None, SimpleNamespace(global_step=0), None)
    state, args = SimpleNamespace(global_step=0, max_steps=100), SimpleNamespace(world_size=1)
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}])
    pace._update_began -= 2.0
    pace.on_optimizer_step(args, state, None, optimizer=optimizer)
    assert pace.validation == pytest.approx(10.0, abs=0.1)  # ten updates' worth of examples, forward only
    pace.on_evaluate(args, state, None, metrics={"eval_runtime": 6.0})
    pace.recall = SimpleNamespace(round_seconds=2.0)
    assert pace.reserved_seconds == pytest.approx(1.5 * (11.0 + 6.0 + 2.0) + 3.0)
    assert pace.left() == pytest.approx(100 - pace.reserved_seconds, abs=0.5)


def test_a_schedule_that_looks_at_the_loss_is_refused(tmp_path):
    pace = TrainingClock(Clock("fine-tuning", time.time(), time.time() + 100, tmp_path), PLAN, None, 0.0, 1.0)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(InputError, match="ReduceLROnPlateau"):
        pace.drive_schedule(torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer), 10)


def test_two_ranks_stopped_and_started_again_end_at_the_first_deadline(tiny_model_path, data, tmp_path):  # noqa: F811
    command = arguments(tiny_model_path, data, tmp_path, "--max_steps", 100_000, "--per_device_train_batch_size", 4)
    began = time.time()
    finish(start(2, [*command, "--check_only", "True"]))
    budget = 45 + 4 * (time.time() - began)  # two starts, however long one takes here, and time to train after each
    command += ["--time_budget", f"{budget:.0f}s"]
    began = time.time()
    first = start(2, command)
    for line in first.stdout:
        if line.startswith("step 10/"):
            first.send_signal(signal.SIGTERM)
            break
    first.communicate(timeout=100)
    stopped = time.time() - began
    said = finish(start(2, command))
    assert "continues towards its deadline" in said and "resumed from" in said, said[-3000:]
    assert time.time() - began <= budget + stopped / 2  # with a budget of its own it would end after budget + stopped
    made = json.loads((tmp_path / "log" / "training.meta.json").read_text())
    assert made["budget"]["lr_end_over_peak"] <= 0.05 and made["updates"] > 10
    (stage,) = json.loads((tmp_path / "run.json").read_text())["stages"]
    assert stage["seconds"] <= budget and stage["budget_seconds"] == pytest.approx(budget, abs=1)
