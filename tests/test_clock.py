"""How far a training to the clock is, with a clock that is set by hand; tests/test_training_clock.py trains by a real one."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
import transformers

from training import clock as training_clock
from training.clock import TrainingClock, apply_budget


@pytest.fixture
def now(monkeypatch) -> list[float]:
    found = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: found[0], time=lambda: found[0])
    monkeypatch.setattr(training_clock, "time", clock)
    return found


PLAN = SimpleNamespace(exposures_per_fact=30.0, epochs=3.0, held_out=0, examples_per_update=8)


def pace_of(now, seconds: float, elapsed: float = 0.0, finish: float = 0.0, plan=PLAN, recall=None) -> TrainingClock:
    """A clock that ends in so many seconds; 3 of them are for writing, and 1.5 times the finish for reading back."""
    end, said = now[0] + seconds, []
    clock = SimpleNamespace(
        left=lambda: end - now[0], report_progress=lambda *words: said.append(words), seconds=seconds, said=said
    )
    pace = TrainingClock(clock, plan, recall, elapsed, finish)
    pace.on_train_begin(None, state(0), None)
    return pace


def state(step: int, steps: int = 1000) -> SimpleNamespace:
    return SimpleNamespace(global_step=step, max_steps=steps, is_world_process_zero=True, epoch=step / 100)


def update(pace, now, step: int, seconds: float, steps: int = 1000) -> bool:
    """Make update number `step`; whether it was the last."""
    optimizer, control = SimpleNamespace(param_groups=[{"lr": 0.1}]), SimpleNamespace(should_training_stop=False)
    pace.on_step_begin(None, state(step - 1, steps), control)
    now[0] += seconds
    pace.on_optimizer_step(None, state(step - 1, steps), control, optimizer=optimizer)
    pace.on_step_end(None, state(step, steps), control)
    return control.should_training_stop


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_the_rate_is_that_of_the_progress_and_ends_at_zero(now, kind):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.2)
    schedule = transformers.get_scheduler(kind, optimizer, num_warmup_steps=0, num_training_steps=1000)
    pace = pace_of(now, 100)
    pace.drive_schedule(schedule, 1000)
    rates = []
    for pace.progress in (0.0, 0.5, 1.0):
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr()[0])
    assert rates == pytest.approx([0.2, 0.1, 0.0]) and pace.peak == 0.2


def test_progress_is_the_share_of_the_time_at_the_end_of_the_next_update_and_the_longest_has_to_fit(now):
    pace, found = pace_of(now, 103.0), []
    for step, seconds in ((1, 10.0), (2, 20.0), (3, 10.0)):
        assert not update(pace, now, step, seconds)
        found.append(pace.progress)
    assert found == pytest.approx([0.2, 0.5, 0.6])  # 10 + 10, 30 + 20, 40 + 20 of 100
    assert update(pace, now, 4, 30.0) and pace.progress == 1  # after 70 of 100 seconds another 30 might not fit


def test_progress_is_the_share_of_the_updates_where_these_are_faster(now):
    pace = pace_of(now, 10_000)
    assert [update(pace, now, step, 1.0, steps=4) for step in (1, 2)] == [False, False]
    assert pace.progress == 0.5
    assert [update(pace, now, step, 1.0, steps=4) for step in (3, 4)] == [False, True]


def test_progress_never_goes_back_and_a_resume_begins_where_the_time_was(now):
    pace = pace_of(now, 103.0, elapsed=100.0)
    update(pace, now, 1, 10.0)
    assert pace.progress == pytest.approx((100 + 10 + 10) / 200) and pace.seconds == pytest.approx(200)
    pace.clock.left = lambda: 1000.0
    update(pace, now, 2, 1.0)
    assert pace.progress == pytest.approx(0.6)


def test_after_the_deadline_nothing_is_left_and_the_update_is_the_last(now):
    pace = pace_of(now, 1.0)
    assert pace.left() == 0 and update(pace, now, 1, 5.0)


def test_what_comes_after_the_last_update_is_kept_back(now):
    pace = pace_of(now, 100.0, finish=10.0)
    assert (pace.reserved_seconds, pace.left()) == (18.0, 82.0)  # half as much again, and 3 seconds to write
    plan = SimpleNamespace(exposures_per_fact=30.0, epochs=3.0, held_out=80, examples_per_update=8)
    pace = pace_of(now, 100.0, finish=12.0, plan=plan, recall=SimpleNamespace(round_seconds=4.0))
    assert pace.reserved_seconds == 1.5 * (12 + 4) + 3
    update(pace, now, 1, 3.0)
    assert pace.validation == 15.0  # ten updates' worth of examples, at half the time of one
    pace.on_evaluate(None, None, None, metrics={"eval_runtime": 6.0})
    update(pace, now, 2, 30.0)
    assert pace.validation == 6.0, "measured, it is no longer reckoned"


def test_what_the_meta_file_has_of_it(now):
    pace = pace_of(now, 103.0)
    pace.peak = 0.4
    for step, seconds in ((1, 1.0), (2, 3.0)):
        update(pace, now, step, seconds)
    assert dataclasses.asdict(pace.report()) == {
        "seconds": 103.0, "kept_back": 3.0, "progress": pytest.approx(0.07), "lr_end_over_peak": 0.25, "seconds_an_update": 2.0,
    }  # fmt: skip


def test_when_it_ends_is_said_after_five_updates_then_now_and_then_and_at_the_end(now, caplog):
    pace, said = pace_of(now, 2000.0), []
    with caplog.at_level("INFO"):
        for step in range(1, 21):
            before = len(pace.clock.said)
            update(pace, now, step, 4.0, steps=20)
            said += [step] * (len(pace.clock.said) > before)
    assert said == [5, 10, 15, 20]  # 20 seconds are a hundredth of the time
    assert pace.clock.said[0] == (0.25, 1020 + 60 + 3)  # fifteen more updates of 4 seconds, and 3 seconds to write
    assert "4.00 s an update: about 20 of at most 20 updates" in caplog.text
    assert "0.20 epochs, each fact 2.0 times" in caplog.text


@pytest.mark.parametrize(
    ("clock", "minutes", "resume", "expected"),
    [
        (SimpleNamespace(limited=False), 0.0, None, (0.0, None)),
        (SimpleNamespace(limited=True, seconds=6000), 0.0, None, (1.0, "auto")),  # a hundredth of the time
        (SimpleNamespace(limited=True, seconds=6000), 5.0, "here", (5.0, "here")),
    ],
)
def test_with_a_budget_a_run_saves_now_and_then_and_goes_on(clock, minutes, resume, expected):
    own = SimpleNamespace(save_minutes=minutes, resume_from_checkpoint=resume)
    apply_budget(clock, own)
    assert (own.save_minutes, own.resume_from_checkpoint) == expected
