"""The plan of a run under way, by hand, at moments that the test sets: what each stage gets and when all will end."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest
from clocks import handlers, hours  # noqa: F401
from runs import collection_time
from test_forecast import ROUND
from test_run_all import new_run, step

from budget.clock import timestamp
from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED
from budget.run import Run
from budget.step import Step


@pytest.fixture
def run(tmp_path, handlers, hours) -> Run:  # noqa: F811
    """Of 1000 s, which begin now."""
    return new_run(tmp_path, "1000s")


def ended(run: Run, *stages: str) -> None:
    run.state["stages"] += [{"name": name, "started": timestamp(run.started), "seconds": 1.0} for name in stages]


def test_fine_tuning_has_what_the_shares_of_the_others_leave(run):
    assert run.planned_seconds() == pytest.approx(
        {COLLECTION: 180, BASE: 100, TRAINING: 998 - 430, TUNED: 100, EVALUATION: 50}
    )
    run.measured = {TUNED: 30.0, EVALUATION: 20.0}
    ended(run, COLLECTION, BASE)
    assert run.planned_seconds() == pytest.approx({TRAINING: 998 - 50, TUNED: 30, EVALUATION: 20})


def test_after_the_training_the_next_stage_has_what_is_left(run, hours):  # noqa: F811
    ended(run, COLLECTION, BASE, TRAINING)
    hours.sleep(800)
    assert run.planned_seconds() == pytest.approx({TUNED: 200 - 2 - 50, EVALUATION: 50})
    hours.sleep(190)
    assert run.planned_seconds() == pytest.approx({TUNED: 8 / 3, EVALUATION: 16 / 3}), "both have a part of 8 seconds"
    hours.sleep(20)
    assert run.planned_seconds() == {TUNED: 0, EVALUATION: 0}, "no stage has less than nothing"


def test_after_a_long_interruption_training_keeps_a_part_of_what_is_left(run, hours):  # noqa: F811
    """The others want 30 + 100 + 100 + 50 of 198 s, and training had 568: at least half of 198 * 568 / 848."""
    run.state["stages"].append({"name": COLLECTION, "started": timestamp(run.started)})
    hours.sleep(800)
    plan = run.planned_seconds()
    assert sum(plan.values()) == pytest.approx(198) and plan[TRAINING] == pytest.approx(99 * 568 / 848)
    assert plan[BASE] == plan[TUNED] == pytest.approx(100 * (198 - plan[TRAINING]) / 280)
    run.state["stages"].clear()
    ended(run, COLLECTION, BASE)
    assert run.planned_seconds()[TRAINING] == pytest.approx(198 * 568 / 718 / 2), "of those that are still to come"


def test_a_stage_that_asks_has_time_to_start_its_model(run, hours):  # noqa: F811
    """vLLM may load for longer than the share of a stage: without an answer of the base model there is no result."""
    ended(run, COLLECTION)
    run.startup_seconds = 90.0
    plan = run.planned_seconds()
    assert (plan[BASE], plan[TUNED], plan[EVALUATION]) == (180, 144, 50) and sum(plan.values()) == pytest.approx(998)
    run.measured = {TUNED: 100.0}
    assert run.planned_seconds()[TUNED] == 144
    run.state["stages"].append({"name": BASE, "started": timestamp(run.started)})
    hours.sleep(170)
    assert run.planned_seconds()[BASE] == 180, "begun again, it starts again"


def test_a_long_run_keeps_longer_for_its_last_report(tmp_path, handlers, hours):  # noqa: F811
    run = new_run(tmp_path, "24h")
    assert sum(run.planned_seconds().values()) == pytest.approx(86400 - 86.4)


@pytest.mark.parametrize(("used", "left"), [(100, 80), (170, 30), (400, 30)])
def test_a_stage_that_was_begun_before_has_the_rest_of_its_share_or_a_little(run, hours, used, left):  # noqa: F811
    run.state["stages"].append({"name": COLLECTION, "started": timestamp(run.started)})
    hours.sleep(used)
    assert run.planned_seconds()[COLLECTION] == pytest.approx(left, abs=0.01)


def said_end(run: Run, hours, begun: float, until: float) -> float:  # noqa: F811
    run.report_end(COLLECTION, run.out, hours.now - begun, hours.now + until)
    return run.state["etas"][-1]["end"]


def test_without_a_calibration_a_run_ends_at_its_deadline_as_fine_tuning_fills_it(run, hours):  # noqa: F811
    run.stage_end = hours.now + 180
    assert said_end(run, hours, 0, 180) == 1000


def test_the_end_is_that_of_the_stage_and_of_those_after_it(run, hours):  # noqa: F811
    """150 s after this stage, and 2 for the report."""
    run.expected = {COLLECTION: 120.0, BASE: 20.0, TRAINING: 100.0, TUNED: 20.0, EVALUATION: 10.0}
    run.stage_end = hours.now + 180
    assert said_end(run, hours, 0, 180) == 120 + 150 + 2
    hours.sleep(150)  # longer than was expected
    assert said_end(run, hours, 150, 30) == 150 + 150 + 2
    progress = {"time": hours.now - 10, "expected_end": hours.now + 25}
    (run.out / "progress.json").write_text(json.dumps(progress))
    assert said_end(run, hours, 150, 30) == 150 + 25 + 150 + 2, "as the stage says itself"
    assert said_end(run, hours, 150, 20) == 150 + 25 + 10 + 150 + 2, "with ten more for its next command"
    assert said_end(run, hours, 5, 30) == 150 + 30 + 150 + 2, "what an earlier command said is old"


def test_a_training_is_expected_to_take_its_rows_and_the_replayed_ones(run):
    """100 rows and half as many replayed: 30 + 150 * 0.1 + 3 * 150 / 4 * 2."""
    (run.out / "calibration.json").write_text(json.dumps(dataclasses.asdict(ROUND)))
    made = {"budget": collection_time(seconds_to_start=12.0, units=30), "counts": {"rows": {"qa": 60, "passage": 40}}}
    (run.out / "data.meta.json").write_text(json.dumps(made))
    run.update_estimates(40, 20, judged_by_model=False, open_book=False)
    assert run.shares[COLLECTION] == pytest.approx((10 + 755 * 20 / 44) / 1000) and run.startup_seconds == 12.0
    assert set(run.expected) == {BASE, TRAINING, TUNED, EVALUATION} and run.expected[BASE] == 80
    ended(run, COLLECTION)
    run.update_estimates(40, 20, judged_by_model=False, open_book=False)
    assert run.expected[TRAINING] == pytest.approx(30 + 15 + 225)


def test_only_a_sealed_output_of_this_run_says_that_a_step_has_ended(tmp_path):
    output = tmp_path / "made.json"
    sealed, other = (Step("a step", output, [], sealed=sealed) for sealed in (True, False))
    assert not sealed.ended(0)
    output.write_text("{}")
    os.utime(output, (1000, 1000))
    assert sealed.ended(999) and not sealed.ended(1000) and not other.ended(0)


@pytest.mark.parametrize(("needed", "start_seconds", "begun"), [(False, 1000, 0), (False, 1, 1), (True, 1000, 1)])
def test_what_is_not_needed_is_begun_only_with_time_to_work_in(tmp_path, handlers, needed, start_seconds, begun):  # noqa: F811
    run, found = new_run(tmp_path, "1000s"), tmp_path / "begun"
    run.startup_seconds = start_seconds
    run.run_stage(COLLECTION, [step(tmp_path, f"open(r'{found}', 'w')", needed=needed)])
    (record,) = run.state["stages"]
    assert found.exists() == bool(begun) and record["steps"] == ["a step"] * begun and "seconds" in record
