"""The plan that a budget buys, worked by hand. No model, no clock."""

from __future__ import annotations

import dataclasses
import json

import pytest

from budget import forecast
from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED, Forecast, Timings
from utils import InputError

TIMINGS = Timings(
    start=4.0, unit=6.0, questions_a_unit=15, rows_a_unit=25, role_unit=3.9, role_rows_a_unit=10,
    facts_a_unit=3, roles=1, update=1.0, examples_an_update=8, epochs=3.5, replay=0.2, example=0.05, training_overhead=20.0, question=0.5,
)  # fmt: skip
ROUND = Timings(
    start=10, unit=20, questions_a_unit=5, rows_a_unit=10, role_unit=5, role_rows_a_unit=4, facts_a_unit=2, roles=2,
    update=2, examples_an_update=4, epochs=3, replay=0.5, example=0.1, training_overhead=30, question=1,
)  # fmt: skip


def test_what_the_first_units_gave_is_not_taken_for_the_mean():
    assert forecast.mean_units(31, 31) == 31  # all of them are their own mean
    assert forecast.mean_units(10, 20) == pytest.approx(200 / 18.5)  # the other ten give 0.85 of these each
    equivalent = forecast.mean_units(5, 31)
    rest = 26 * forecast.LATER_YIELD
    # 100 rows of 5 units, and of the rest fewer each
    assert 100 / equivalent * 31 == pytest.approx(100 + rest * 100 / 5)


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
    with pytest.raises(InputError, match="expected a calibration from this version"):
        forecast.read_timings(path)


def test_where_there_is_time_all_questions_are_asked():
    for step in range(1000):
        measured = dataclasses.replace(TIMINGS, question=0.5 + 1e-4 * step)
        assert forecast.forecast(3600, measured, 31, 60, 24).questions_asked == 60


def test_a_plan_is_said_in_lines():
    plans = [forecast.forecast(360 * times, TIMINGS, 31, 60, 24) for times in (1, 2)]
    lines = forecast.format_plan(plans[0], plans[1:])
    assert lines[0].startswith("plan for 6.0 min") and lines[-1].startswith("with 12.0 min: ")
    assert [line.split("  ")[1].strip() for line in lines[1:6]] == list(forecast.STAGES)


def test_what_a_stage_does_not_need_goes_to_training():
    assert sum(forecast.SHARES.values()) == pytest.approx(1)
    assert forecast.stage_seconds(1000, {}) == pytest.approx({COLLECTION: 180, BASE: 100, TUNED: 100, EVALUATION: 50})
    assert forecast.stage_seconds(1000, {BASE: 30.0})[BASE] == 30.0
    assert forecast.stage_seconds(1000, {BASE: 3000.0})[BASE] == 1000 * forecast.SHARES[BASE]
    unmeasured = forecast.stage_seconds(1000, {})
    assert TRAINING not in unmeasured and unmeasured[COLLECTION] == 1000 * forecast.SHARES[COLLECTION]


def test_the_collection_gets_more_where_training_could_not_use_it():
    fast = dataclasses.replace(TIMINGS, update=0.05, example=0.0)
    asking = forecast.asking_seconds(36_000, TIMINGS, 60, 24, judged_by_model=False)
    assert forecast.collection_share(36_000, TIMINGS, asking) == pytest.approx(0.29, abs=0.03)
    assert forecast.collection_share(36_000, fast, asking) > 0.85
    slow = dataclasses.replace(TIMINGS, update=20.0)
    assert forecast.collection_share(36_000, slow, asking) == forecast.SHARES[COLLECTION]
    more = forecast.forecast(36_000, fast, 100_000, 60)
    assert more.epochs == pytest.approx(fast.epochs) and 0.9 * more.budget < more.seconds <= more.budget


def test_the_least_budget_on_a_cpu_counts_seven_starts():
    """What the demo's 540 MB take: 7 starts of 6 s and 2.7 s to read them, and 75 s of work."""
    starts = forecast.prior_startup_times(540e6)
    assert starts.asking == starts.training == pytest.approx(8.7) and not starts.on_gpu
    assert forecast.minimum_budget(starts) == pytest.approx(7 * 8.7 + 75)
    assert forecast.calibration_seconds(starts) == 110


def test_the_least_budget_on_a_gpu_counts_every_start_of_vllm():
    """15.2 GB of a 7B: 10 s to import and 15.2 to read; of 8 starts 6 are vLLM's, which take 60 s more."""
    transformers = forecast.prior_startup_times(15.2e9, on_gpu=True)
    assert transformers.asking == transformers.training == pytest.approx(25.2)
    starts = forecast.prior_startup_times(15.2e9, on_gpu=True, vllm=True)
    assert (starts.asking, starts.training) == pytest.approx((85.2, 25.2))
    assert forecast.minimum_budget(starts) == pytest.approx(6 * 85.2 + 2 * 25.2 + 75)
    assert forecast.minimum_budget(starts, judge_startup=85.2) == pytest.approx(7 * 85.2 + 2 * 25.2 + 75)
    assert forecast.calibration_seconds(starts) == pytest.approx(60 + 2 * 85.2 + 2 * 25.2)


def test_the_plan_counts_vllm_where_it_asks_and_transformers_where_they_load():
    """The drift of the evaluation is measured with transformers; base and tuned model are asked twice each by vLLM."""
    both = dataclasses.replace(TIMINGS, start=85.0, loading=25.0)
    asking = forecast.asking_seconds(86_400, both, 60, 24, judged_by_model=False, open_book=False)
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


def test_a_training_takes_what_its_rows_and_the_replayed_ones_take():
    """100 rows and half as many replayed: 150 to prepare in 0.1 s each, and 3 epochs of 37.5 updates of 2 s."""
    assert forecast.training_seconds(100, ROUND) == pytest.approx(30 + 15 + 3 * 37.5 * 2)
    assert forecast.training_seconds(100, dataclasses.replace(ROUND, replay=0.0)) == pytest.approx(30 + 10 + 150)
    assert forecast.training_seconds(0, ROUND) == 30


def stages(collection: float, base: float, training: float, tuned: float, evaluation: float) -> dict:
    return pytest.approx({COLLECTION: collection, BASE: base, TRAINING: training, TUNED: tuned, EVALUATION: evaluation})


def test_a_collection_reads_as_many_units_as_leave_time_for_their_epochs():
    """A unit takes 20 s and its training 24: of 1000 s 353 are for the collection, or 17 units."""
    plan = forecast.forecast(1000, ROUND, 30, 40, 20)
    assert plan.stages == stages(10 + 17 * 20, 80, 30 + 25.5 + 3 * 63.75 * 2, 80, 45)
    assert (plan.units_done, plan.roles_done, plan.questions_asked) == (17, 0.0, 40)
    assert (plan.epochs, plan.exposures, plan.coverage) == pytest.approx((3, 15, 17 / 30))
    assert plan.seconds == pytest.approx(993)


def test_where_updates_are_slow_epochs_are_left_out_and_the_collection_has_its_share():
    plan = forecast.forecast(1000, dataclasses.replace(ROUND, update=20), 30, 40, 20)
    assert plan.stages == stages(10 + 8 * 20, 80, 1000 - 375, 80, 45)
    assert (plan.epochs, plan.exposures) == pytest.approx((583 / 20 / 30, 583 / 20 / 30 * 80 / 16))


def test_roles_have_what_the_facts_leave():
    """15 units are read in 300 of 343 s; the two roles of all would take 150."""
    plan = forecast.forecast(1000, ROUND, 15, 40, 20)
    room = 755 * 20 / 44 - 300
    assert plan.roles_done == pytest.approx(2 * room / 150) and plan.units_done == 15
    assert plan.stages == stages(310 + room, 80, 1000 - 310 - room - 205, 80, 45)


def test_a_short_budget_asks_a_part_of_the_questions_in_their_share():
    """A tenth of 300 s is 30: 20 to start twice, and 10 of the 60 s in which all are asked."""
    plan = forecast.forecast(300, ROUND, 30, 40, 20)
    assert plan.stages == stages(10 + 4 * 20, 30, 30 + 6 + 3 * 15 * 2, 30, 15)
    assert (plan.questions_asked, plan.questions, plan.units_done, plan.units) == (6, 40, 4, 30)


def test_what_a_start_is_taken_for():
    assert forecast.prior_startup_times(2e9) == forecast.StartupTimes(16.0, 16.0, on_gpu=False, vllm=False)
    assert forecast.prior_startup_times(2e9, on_gpu=True) == forecast.StartupTimes(12.0, 12.0, on_gpu=True, vllm=False)
    assert forecast.prior_startup_times(2e9, on_gpu=True, vllm=True) == forecast.StartupTimes(
        72.0, 12.0, on_gpu=True, vllm=True
    )


def test_a_calibration_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^expected a calibration at .*nothing\.json, found nothing"):
        forecast.read_timings(tmp_path / "nothing.json")


def test_general_questions_are_none_unless_said():
    assert forecast.forecast(1000, ROUND, 15, 40) == forecast.forecast(1000, ROUND, 15, 40, 0)
    assert forecast.forecast(1000, ROUND, 15, 40) != forecast.forecast(1000, ROUND, 15, 40, 1)


def test_a_few_rows_are_an_update_an_epoch_and_a_fact():
    """One unit of one row and half a fact, 1.5 examples with the replayed ones, which an update of four holds."""
    few = dataclasses.replace(ROUND, rows_a_unit=1, facts_a_unit=0.5, roles=0)
    plan = forecast.forecast(1000, few, 1, 40, 20)
    assert (plan.epochs, plan.exposures) == (3, 3)
    assert plan.stages[TRAINING] == pytest.approx(30 + 0.15 + 3 * 2)


def test_a_question_more_than_there_is_time_for_is_not_asked():
    """Both models start in 20 s of the 20.4 that they have, a fifth of a question is none."""
    quick = dataclasses.replace(ROUND, question=0.01)
    plan = forecast.forecast(204, quick, 30, 40, 0)
    assert plan.questions_asked == 40 and forecast.forecast(200, quick, 30, 40, 0).questions_asked == 0


def test_no_stage_of_a_budget_that_is_too_small_is_less_than_nothing():
    plan = forecast.forecast(50, ROUND, 30, 40, 20)
    assert plan.stages == stages(10, 5, 30, 5, 2.5)
    assert (plan.units_done, plan.epochs, plan.exposures, plan.questions_asked) == (0, 0, 0, 0)
    assert forecast.forecast(50, ROUND, 0, 40, 20).coverage == 0
    asking = forecast.asking_seconds(50, ROUND, 40, 20, judged_by_model=False)
    assert forecast.collection_share(50, ROUND, asking) == 0.2  # its start


def test_questions_with_their_document_are_asked_where_they_take_little_of_the_budget():
    assert forecast.open_book_seconds(1000, 10, 5, 1) == 30  # 3 % of it
    assert forecast.open_book_seconds(999, 10, 5, 1) == 0
    asking = forecast.asking_seconds(6000, ROUND, 40, 20, judged_by_model=True)
    assert asking == {BASE: 80, TUNED: 80 + 170}  # of a judge that is a model nothing is known
    assert forecast.asking_seconds(6000, ROUND, 40, 20, judged_by_model=True, open_book=False)[TUNED] == 80


def test_the_lines_of_a_plan_say_what_it_does_and_what_more_time_buys():
    def plan(budget: float, units: int) -> Forecast:
        seconds = {COLLECTION: 60.0, BASE: 30.0, TRAINING: 120.0, TUNED: 30.0, EVALUATION: 6.0}
        return Forecast(budget, seconds, units, 31, 0.256, 1.5, 12.4, 40, 60)

    assert forecast.format_plan(plan(360, 10), [plan(720, 31)]) == [
        "plan for 6.0 min: 4.1 min used",
        "  collection             1.0 min  10 of 31 units of sentences (32%), 0.26 roles a question",
        "  inference, base        0.5 min  40 of 60 questions",
        "  fine-tuning            2.0 min  1.50 epochs, each covered fact 12 times",
        "  inference, tuned       0.5 min  the same questions",
        "  evaluation             0.1 min  by string match",
        "with 12.0 min: 100% of the sentences, 0.26 roles a question, 1.50 epochs, each covered fact 12 times; 4.1 min used",
    ]
