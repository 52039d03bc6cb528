"""What a calibration makes of the files of its stages, worked by hand: on a CPU, and where vLLM asks on a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clocks import handlers  # noqa: F401
from runs import asking_time, collection_time
from test_run_all import new_run

from budget.calibration import calibrate, compute_timings
from budget.clock import parse_time
from budget.forecast import BASE, COLLECTION, TRAINING, StartupTimes
from budget.step import Step
from utils import InputError

CPU, VLLM = StartupTimes(8.7, 8.7), StartupTimes(85.0, 25.0, on_gpu=True, vllm=True)


@pytest.fixture
def out(tmp_path) -> Path:
    """Of 10 units all read; 100 examples and 20 replayed ones in batches of 8, 16 updates."""
    (tmp_path / "calibration" / "lora").mkdir(parents=True)
    files = {
        "data.meta.json": {
            "budget": collection_time(seconds_a_call=0.1, seconds_of_all_facts=50.0, seconds_of_a_role=20.0),
            "counts": {"rows": {"qa": 60, "reverse": 20, "passage": 20}, "pairs_per_role": 80, "facts": 30},
            "arguments": {"role_amount_per_fact": 1},
        },
        "calibration/lora/training.meta.json": {
            "seconds": 150.0, "training_seconds": 32.0, "preparing_seconds": 96.0, "arguments": {"num_train_epochs": 3.0},
        },
        "calibration/lora/train_log.json": {
            "plan": {"examples": 100, "replayed": 20, "tokens": 12_000, "examples_per_update": 8, "processes": 1},
            "log": [{"loss": 3.0, "tokens_per_second": 100}, {"loss": 2.0, "tokens_per_second": 400}, {"runtime": 1}],
        },
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def test_on_a_cpu_one_start_is_as_another(out):
    timings = compute_timings(out, training=160.0, starts=CPU)
    assert (timings.start, timings.unit, timings.role_unit, timings.loading) == (90.0, 5.0, 2.0, None)
    assert (timings.questions_a_unit, timings.rows_a_unit, timings.facts_a_unit) == (8, 10, 3)
    assert timings.role_rows_a_unit == pytest.approx(0.65 * 8)
    assert (timings.roles, timings.epochs, timings.examples_an_update) == (1, 3.0, 8)
    assert timings.update == pytest.approx(12_000 / 120 * 8 / 400)
    assert timings.example == pytest.approx((96 - 90) / 120) and timings.replay == 0.2  # a process is started to replay
    assert timings.training_overhead == pytest.approx(90 + 150 - 32 - 96 + 90)
    assert timings.question == pytest.approx(2 * 0.1)


def change(path: Path, changes: dict) -> None:
    """Other values in a JSON file, each under the names that lead to it."""
    content = json.loads(path.read_text())
    for names, value in changes.items():
        *outer, last = names.split(".")
        target = content
        for name in outer:
            target = target[name]
        target[last] = value
    path.write_text(json.dumps(content))


def test_the_first_part_of_the_units_does_not_speak_for_all(out):
    """Of 10 units 4 are read: they gave as much as 4 / (4 + 0.85 * 6) of 10 mean ones do."""
    change(out / "data.meta.json", {"budget.share_read": 0.4})
    timings, mean = compute_timings(out, training=160.0, starts=CPU), 40 / 9.1
    assert (timings.questions_a_unit, timings.rows_a_unit, timings.facts_a_unit) == pytest.approx(
        (80 / mean, 100 / mean, 30 / mean)
    )
    assert (timings.unit, timings.role_unit) == (5.0, 2.0)


def test_a_role_adds_what_the_collection_says_that_it_does(out):
    change(out / "data.meta.json", {"counts.pairs_per_role": 40})
    assert compute_timings(out, training=160.0, starts=CPU).role_rows_a_unit == pytest.approx(0.65 * 40 / 10)
    change(out / "data.meta.json", {"counts.pairs_per_role": 0, "counts.rows": {"passage": 20}})
    found = compute_timings(out, training=160.0, starts=CPU)
    assert (found.role_rows_a_unit, found.questions_a_unit, found.rows_a_unit) == (0, 0, 2)


def test_without_replayed_answers_no_start_is_taken_off_the_preparing(out):
    change(out / "calibration" / "lora" / "train_log.json", {"plan.replayed": 0})
    timings = compute_timings(out, training=160.0, starts=CPU)
    assert timings.replay == 0 and timings.example == pytest.approx(96 / 100)
    assert timings.training_overhead == pytest.approx(90 + 150 - 32 - 96)


def test_a_preparing_shorter_than_a_start_leaves_nothing_for_the_examples(out):
    change(out / "calibration" / "lora" / "training.meta.json", {"preparing_seconds": 60.0})
    assert compute_timings(out, training=160.0, starts=CPU).example == 0


def test_questions_that_were_asked_say_what_one_takes(out):
    (out / "calibration" / "base.meta.json").write_text(json.dumps({"budget": asking_time(seconds_a_question=0.7)}))
    assert compute_timings(out, training=160.0, starts=CPU).question == 0.7
    change(out / "calibration" / "base.meta.json", {"budget.seconds_a_question": None})  # all from the journal
    assert compute_timings(out, training=160.0, starts=CPU).question == pytest.approx(2 * 0.1)


def test_where_vllm_asks_its_start_is_in_asking_and_in_replaying_once(out):
    timings = compute_timings(out, training=178.0, starts=VLLM)
    assert timings.start == 90.0
    assert timings.loading == pytest.approx((178 - 32 - 96) / 2)  # fine-tuning and its check, by transformers
    assert timings.training_overhead == pytest.approx(178 - 32 - 96 + 90)  # and one start of vLLM to replay
    assert timings.example == pytest.approx((96 - 90) / 120)  # 0.05 s an answer, not 0.8


def test_a_collection_by_another_engine_says_nothing_of_the_start_of_vllm(out):
    assert compute_timings(out, training=178.0, starts=VLLM, same_engine=False).start == 85.0


def test_a_calibration_on_one_gpu_speaks_for_all_that_the_training_will_have(out):
    """Its few examples keep one GPU busy, those of a day eight."""
    one, eight = (compute_timings(out, training=178.0, starts=VLLM, ranks=ranks) for ranks in (1, 8))
    assert eight.update == pytest.approx(one.update / 8) and eight.unit == one.unit
    change(out / "calibration" / "lora" / "train_log.json", {"plan.processes": 2})
    two, four = (compute_timings(out, training=178.0, starts=VLLM, ranks=ranks) for ranks in (1, 4))
    assert two.update == pytest.approx(one.update) and four.update == pytest.approx(one.update / 2)


NOTE = "import json, sys; open(r'{path}', 'a').write(json.dumps(sys.argv[1:]) + chr(10)); sys.exit({code})"


def steps(out: Path, code: int = 0) -> dict[str, list[Step]]:
    """Commands that note what more they are told."""
    command = ["-c", NOTE.format(path=out / "told.jsonl", code=code)]
    return {stage: [Step(stage, out / "made.json", command)] for stage in (COLLECTION, TRAINING, BASE)}


@pytest.mark.parametrize("ask", [True, False])
def test_the_first_work_of_each_stage_is_timed_and_noted(out, handlers, ask):  # noqa: F811
    run, folder = new_run(out, "24h"), out / "calibration"
    assert calibrate(run, steps(out), CPU, ask)
    collected, trained, *asked = (json.loads(line) for line in (out / "told.jsonl").read_text().splitlines())
    hour = parse_time(collected.pop(), 0) - run.started
    assert collected == ["--rounds", "1", "--until"] and 3590 < hour < 3700
    assert trained == [
        "--output_dir", str(folder / "lora"), "--max_steps", "16", "--logging_steps", "16", "--logging_first_step", "True",
    ]  # fmt: skip
    assert [words[:-1] for words in asked] == [
        ["--output_path", str(folder / "base.json"), "--limit", "8", "--until"]
    ] * ask
    timings = json.loads((out / "log" / "calibration.json").read_text())
    assert (
        timings["unit"] == 5.0 and timings["update"] == 2.0 and timings["example"] == 0.05 and "loading" not in timings
    )
    (stage,) = run.state["stages"]
    assert (stage["name"], stage["planned_seconds"]) == ("calibration", 110.0) and 0 < stage["seconds"] < 100


@pytest.mark.parametrize(
    ("budget", "plan_only", "seconds"), [("24h", False, 3600), ("90m", False, 1080), ("10m", True, 3600)]
)
def test_a_calibration_takes_an_hour_at_most_and_no_large_part_of_the_run(out, handlers, budget, plan_only, seconds):  # noqa: F811
    run = new_run(out, budget)
    run.resumable = not plan_only
    calibrate(run, steps(out), CPU, ask=False)
    until = json.loads((out / "told.jsonl").read_text().splitlines()[0])[-1]
    assert parse_time(until, 0) - run.started == pytest.approx(seconds, abs=5)


@pytest.mark.parametrize("late", [COLLECTION, TRAINING, BASE])
def test_a_calibration_without_enough_time_does_not_end_the_run(out, handlers, late, monkeypatch, caplog):  # noqa: F811
    """Such as a model that is still downloaded, hours before the deadline."""
    monkeypatch.setattr("budget.run.GRACE_S", 0.2)
    monkeypatch.setattr("budget.run.GRACE_SHARE", 0.0)
    monkeypatch.setattr("budget.calibration.ONE_HOUR", 2.0)
    run, slow = new_run(out, "24h"), steps(out)
    slow[late][0].command = ["-c", "import time; time.sleep(60)"]
    assert not calibrate(run, slow, CPU, ask=True)
    assert not (out / "log" / "calibration.json").exists() and "priors are used" in caplog.text
    (stage,) = run.state["stages"]
    assert stage["name"] == "calibration" and 2 <= stage["seconds"] < 20


def test_a_stage_that_fails_in_a_calibration_is_named(out, handlers):  # noqa: F811
    with pytest.raises(InputError, match="expected the calibration of collection to succeed, found exit code 3"):
        calibrate(new_run(out, "24h"), steps(out, code=3), CPU, ask=True)
    assert not (out / "log" / "calibration.json").exists() and len((out / "told.jsonl").read_text().splitlines()) == 1
