"""Deadlines, clocks and the even order; the plan that a budget buys. No model."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import signal
import time
from collections import Counter

import pytest

import budget
import forecast
from budget import (
    BudgetArguments,
    Clock,
    Stopped,
    even_order,
    in_words,
    moment_of,
    next_round,
    seconds_of,
    start_clock,
    written,
)
from forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED, Timings
from utils import InputError

TIMINGS = Timings(
    start=4.0, unit=6.0, questions_a_unit=15, rows_a_unit=25, role_unit=3.9, role_rows_a_unit=10,
    facts_a_unit=3, roles=1, update=1.0, examples_an_update=8, epochs=3.5, replay=0.2, example=0.05, training_overhead=20.0, question=0.5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"), [("6h", 21600), ("40m", 2400), ("90s", 90), ("1.5h", 5400), ("1h30m", 5400), ("1d", 86400)]
)
def test_a_time_is_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["6", "h", "6 h", "-1h", "0m", "six hours", "1h30", "6H"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(InputError, match="expected a time such as 6h"):
        seconds_of(text)


def test_a_time_of_day_is_the_next_one():
    noon = datetime.datetime(2026, 11, 24, 12, 0).timestamp()
    assert moment_of("12:30", noon) == noon + 1800
    assert moment_of("07:30", noon) == noon + 19.5 * 3600
    assert moment_of("2026-11-24T13:00", noon) == noon + 3600
    assert moment_of(written(noon), 0) == noon
    with pytest.raises(InputError, match="07:30"):
        moment_of("25:00", noon)


def test_times_in_words():
    assert [in_words(s) for s in (45, 750, 27000)] == ["45 s", "12.5 min", "7.5 h"]


def test_every_beginning_of_the_order_is_even():
    groups = ["a"] * 40 + ["b"] * 20 + ["c"] * 10
    order = even_order(groups)
    assert sorted(order) == list(range(70))
    assert {groups[place] for place in order[:3]} == {"a", "b", "c"}
    for size in (7, 14, 35, 63):
        found = Counter(groups[place] for place in order[:size])
        for group, share in (("a", 4 / 7), ("b", 2 / 7), ("c", 1 / 7)):
            assert abs(found[group] - share * size) <= 2
    first = [place for place in order[:14] if groups[place] == "a"]  # within a group from one end to the other
    assert max(first) >= 30 and all(abs(a - b) <= 12 for a, b in zip(sorted(first), sorted(first)[1:], strict=False))


def test_fewer_than_one_of_each_group_are_spread_over_the_groups():
    order = even_order([f"{number:03}" for number in range(100) for _ in range(3)])
    tenths = Counter(place // 30 for place in order[:20])
    assert len(tenths) == 10 and max(tenths.values()) <= 3


def test_a_round_leaves_time_to_measure_again():
    assert next_round(100, 5, None, 1.0) == 5  # nothing is known yet
    assert next_round(100, 5, 1.0, 0.5) == 0  # not one fits
    assert next_round(100, 5, 1.0, 1e9) == 100  # all of it fits twice
    assert next_round(100, 5, 1.15**-1, 60.0) == 30  # half of what fits
    assert next_round(100, 5, 1.0, 4.0) == 3  # the last few
    left, seconds = 100, 100.0
    while size := next_round(left, 5, 1.0, seconds):
        left, seconds = left - size, seconds - size
    assert seconds >= 0 and left <= 20  # never over, and most of the time is used


def test_what_the_first_units_gave_is_not_taken_for_the_mean():
    assert forecast.mean_units(31, 31) == 31  # all of them are their own mean
    found = forecast.mean_units(5, 31)
    rest = 26 * forecast.LATER_YIELD
    assert 100 / found * 31 == pytest.approx(100 + rest * 100 / 5)  # 100 rows of 5 units, and of the rest fewer each


def test_a_restart_goes_on_against_the_deadline_on_the_disk(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(budget, "process_start", lambda: now)  # that of the tests may be minutes ago
    first = start_clock(BudgetArguments(time_budget="60s"), "collection", tmp_path)
    again = start_clock(BudgetArguments(time_budget="60s"), "collection", tmp_path)
    assert abs(first.deadline - again.deadline) < 0.01
    other = start_clock(BudgetArguments(time_budget="90s"), "inference", tmp_path)
    assert abs(other.deadline - first.deadline - 30) < 0.01
    again.end()
    assert {stage["name"]: "seconds" in stage for stage in json.loads((tmp_path / "run.json").read_text())["stages"]} == {
        "collection": True, "inference": False,
    }  # fmt: skip
    fresh = start_clock(BudgetArguments(time_budget="120s"), "collection", tmp_path)
    assert abs(fresh.deadline - first.deadline - 60) < 0.01
    assert start_clock(BudgetArguments(), "collection", tmp_path) is None


def test_a_deadline_that_has_passed_is_said(tmp_path):
    past = {"name": "collection", "started": written(time.time() - 100), "deadline": written(time.time() - 10)}
    (tmp_path / "run.json").write_text(json.dumps({"stages": [past]}))
    with pytest.raises(InputError, match=r"which has passed: remove the file"):
        start_clock(BudgetArguments(time_budget="60s"), "collection", tmp_path)
    for wrong in (BudgetArguments("60s", "07:30"), BudgetArguments(until="2020-01-01T00:00")):
        with pytest.raises(InputError):
            start_clock(wrong, "evaluation", tmp_path)


def stage_clock(tmp_path, seconds: float) -> Clock:
    return Clock("collection", time.time(), time.time() + seconds, tmp_path)


@pytest.fixture
def handlers():
    """The signals as they were, after a test that hears them."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_work_is_cut_at_the_deadline_and_at_a_signal(tmp_path, handlers):
    clock = stage_clock(tmp_path, 0.6)
    started = time.monotonic()
    with pytest.raises(Stopped), clock.interruptible(0.3):
        time.sleep(5)
    assert 0.2 < time.monotonic() - started < 0.5 and clock.stopped_by is None
    with clock.interruptible():
        pass
    time.sleep(0.4)  # no alarm is left behind
    with pytest.raises(Stopped), clock.interruptible():
        raise AssertionError("begun though the time is up")
    clock = stage_clock(tmp_path, 60)
    with pytest.raises(Stopped), clock.interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert clock.stopped_by == signal.SIGTERM
    clock = stage_clock(tmp_path, 60)
    with clock.interruptible():
        pass
    os.kill(os.getpid(), signal.SIGINT)  # while something is being written: heard, but later
    with pytest.raises(Stopped), clock.interruptible():
        pass


def test_a_stage_says_how_far_it_is(tmp_path):
    clock = stage_clock(tmp_path, 60)
    clock.say(0.5, clock.deadline + 100)
    said = json.loads((tmp_path / "progress.json").read_text())
    assert said["done"] == 0.5 and said["expected_end"] == clock.deadline


@pytest.mark.parametrize("minutes", [3, 6, 12, 30, 60, 1440])
def test_a_plan_fits_its_budget_and_more_time_buys_more(minutes):
    plan = forecast.forecast(60 * minutes, TIMINGS, 31, 60, 24)
    twice = forecast.forecast(120 * minutes, TIMINGS, 31, 60, 24)
    assert plan.seconds <= 60 * minutes + 1e-6
    assert (plan.units_done, plan.roles_done) <= (twice.units_done, twice.roles_done)
    assert plan.exposures <= twice.exposures + 1e-6 or plan.units_done < twice.units_done
    assert plan.roles_done == 0 or plan.units_done == plan.units  # facts before roles
    assert plan.epochs <= TIMINGS.epochs + 1e-9


def test_a_calibration_of_another_version_is_named(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(dataclasses.asdict(TIMINGS)))
    assert forecast.read_timings(path) == TIMINGS
    path.write_text(json.dumps({**dataclasses.asdict(TIMINGS), "call": 0.2}))
    with pytest.raises(InputError, match="expected a calibration of this version"):
        forecast.read_timings(path)


def test_where_there_is_time_all_questions_are_asked():
    for step in range(1000):
        measured = dataclasses.replace(TIMINGS, question=0.5 + 1e-4 * step)
        assert forecast.forecast(3600, measured, 31, 60, 24).questions_asked == 60


def test_a_plan_is_said_in_lines():
    plans = [forecast.forecast(360 * times, TIMINGS, 31, 60, 24) for times in (1, 2)]
    lines = forecast.lines(plans[0], plans[1:])
    assert lines[0].startswith("plan for 6.0 min") and lines[-1].startswith("with 12.0 min: ")
    assert [line.split("  ")[1].strip() for line in lines[1:6]] == list(forecast.STAGES)


def test_what_a_stage_does_not_need_goes_to_training():
    assert sum(forecast.PRIOR.values()) == pytest.approx(1)
    assert forecast.needs(1000, {BASE: 30.0})[BASE] == 30.0
    assert forecast.needs(1000, {BASE: 3000.0})[BASE] == 1000 * forecast.PRIOR[BASE]
    unmeasured = forecast.needs(1000, {})
    assert TRAINING not in unmeasured and unmeasured[COLLECTION] == 1000 * forecast.PRIOR[COLLECTION]


def test_the_collection_gets_more_where_training_could_not_use_it():
    fast = dataclasses.replace(TIMINGS, update=0.05, example=0.0)
    asking = forecast.asking_needs(36_000, TIMINGS, 60, 24, judged_by_model=False)
    assert forecast.collection_share(36_000, TIMINGS, asking) == pytest.approx(0.29, abs=0.03)
    assert forecast.collection_share(36_000, fast, asking) > 0.85
    slow = dataclasses.replace(TIMINGS, update=20.0)
    assert forecast.collection_share(36_000, slow, asking) == forecast.PRIOR[COLLECTION]
    more = forecast.forecast(36_000, fast, 100_000, 60)
    assert more.epochs == pytest.approx(fast.epochs) and 0.9 * more.budget < more.seconds <= more.budget


def test_the_least_budget_on_a_cpu_counts_seven_starts():
    """What the demo's 540 MB take: 7 starts of 6 s and 2.7 s to read them, and 75 s of work."""
    starts = forecast.prior_starts(540e6)
    assert starts.asking == starts.training == pytest.approx(8.7) and not starts.on_gpu
    assert forecast.least_budget(starts) == pytest.approx(7 * 8.7 + 75)
    assert forecast.calibration_seconds(starts) == 110


def test_the_least_budget_on_a_gpu_counts_every_start_of_vllm():
    """15.2 GB of a 7B: 10 s to import and 15.2 to read; of 8 starts 6 are vLLM's, which take 60 s more."""
    transformers = forecast.prior_starts(15.2e9, on_gpu=True)
    assert transformers.asking == transformers.training == pytest.approx(25.2)
    starts = forecast.prior_starts(15.2e9, on_gpu=True, vllm=True)
    assert (starts.asking, starts.training) == pytest.approx((85.2, 25.2))
    assert forecast.least_budget(starts) == pytest.approx(6 * 85.2 + 2 * 25.2 + 75)
    assert forecast.least_budget(starts, judge_start=85.2) == pytest.approx(7 * 85.2 + 2 * 25.2 + 75)
    assert forecast.calibration_seconds(starts) == pytest.approx(60 + 2 * 85.2 + 2 * 25.2)


def test_the_plan_counts_vllm_where_it_asks_and_transformers_where_they_load():
    """The drift of the evaluation is measured with transformers; base and tuned model are asked twice each by vLLM."""
    both = dataclasses.replace(TIMINGS, start=85.0, loading=25.0)
    asking = forecast.asking_needs(86_400, both, 60, 24, judged_by_model=False, open_book=False)
    assert asking == {BASE: 2 * 85 + 84 * 0.5, TUNED: 2 * 85 + 84 * 0.5, EVALUATION: 4.5 * 25}
    slower = forecast.forecast(86_400, dataclasses.replace(both, loading=None), 31, 60, 24)
    plan = forecast.forecast(86_400, both, 31, 60, 24)
    assert plan.stages[EVALUATION] == 4.5 * 25 and slower.stages[EVALUATION] == 4.5 * 85
    assert plan.stages[COLLECTION] == slower.stages[COLLECTION] == pytest.approx(85 + 31 * (6.0 + 3.9))


def test_a_plan_on_a_cpu_is_as_it_was():
    """24 hours for the demo's 31 units by TIMINGS, worked by hand: all of it fits, and nothing is asked by vLLM."""
    plan = forecast.forecast(86_400, TIMINGS, 31, 60, 24)
    rows = 31 * (25 + 10)
    updates = 3.5 * rows * 1.2 / 8
    assert plan.stages == pytest.approx(
        {
            COLLECTION: 4 + 31 * 6.0 + 31 * 3.9,
            BASE: 2 * 4 + 84 * 0.5,
            TRAINING: 20 + 0.05 * rows * 1.2 + updates * 1.0,
            TUNED: 2 * 4 + 84 * 0.5 + 4 + 4 * 60 * 0.5,  # with the open book
            EVALUATION: 4.5 * 4,
        }
    )
