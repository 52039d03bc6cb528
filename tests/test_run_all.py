"""The run over all stages: its deadline, its plan, its processes. The stages are commands of a second."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from clocks import handlers  # noqa: F401
from runs import asking_time, collection_time
from test_processes import DEAF, LAUNCHER, pid_in, runs, wait_for

from benchmarks import budget as benchmark
from budget import forecast
from budget import run as run_module
from budget.clock import BudgetArguments, find_stage, parse_time, timestamp
from budget.forecast import BASE, COLLECTION, EVALUATION, STAGES, TRAINING, TUNED
from budget.plan import END_S
from budget.run import Interrupted, Run
from budget.stages import EPOCHS, GoingOn, build_steps, further_answers, onward_passes, rescue_adapter
from budget.step import Step
from engines.processes import lock_folder
from provenance import content_digest
from run_all import Arguments
from training.arguments import TrainingArguments
from utils import InputError, write_json

ROOT = Path(__file__).resolve().parents[1]


def step(tmp_path, code: str, **options) -> Step:
    return Step("a step", tmp_path / "made.json", ["-c", code], **options)


def new_run(tmp_path, budget: str = "100s") -> Run:
    run = Run(BudgetArguments(time_budget=budget), tmp_path)
    run.started, run.deadline = time.time(), time.time() + run.budget  # not since the tests were started
    run.state |= {"started": timestamp(run.started), "deadline": timestamp(run.deadline)}
    run.write()
    return run


def test_the_plan_gives_training_what_the_others_leave(tmp_path, handlers):  # noqa: F811
    run = new_run(tmp_path)
    first = run.planned_seconds()
    assert list(first) == list(STAGES) and sum(first.values()) == pytest.approx(100 - END_S, abs=0.2)
    run.run_stage(COLLECTION, [step(tmp_path, "pass")])
    run.measured = {BASE: 4.0, TUNED: 3.0, EVALUATION: 2.0}
    plan = run.planned_seconds()
    assert (plan[BASE], plan[TUNED], plan[EVALUATION]) == (4.0, 3.0, 2.0)
    assert plan[TRAINING] > first[TRAINING] + 24  # the share of the collection, and more
    run.run_stage(BASE, [step(tmp_path, "pass")])
    run.run_stage(TRAINING, [step(tmp_path, "pass")])
    assert run.planned_seconds()[TUNED] > 90  # nobody after it can use the time


def counted(tmp_path, output: Path) -> str:
    """The code of a step that adds an x to its output."""
    return f"import pathlib; f = pathlib.Path(r'{output}'); f.write_text((f.read_text() if f.exists() else '') + 'x')"


def test_a_restart_keeps_the_deadline_and_the_stages_that_have_ended(tmp_path, handlers):  # noqa: F811
    run = new_run(tmp_path)
    code = counted(tmp_path, tmp_path / "made.json")
    run.run_stage(COLLECTION, [step(tmp_path, code)])
    again = Run(BudgetArguments(time_budget="100s"), tmp_path)
    assert abs(again.deadline - run.deadline) < 0.01 and len(again.state["starts"]) == 2
    again.run_stage(COLLECTION, [step(tmp_path, code)])
    assert (tmp_path / "made.json").read_text() == "x"
    again.state["deadline"] = timestamp(time.time() - 5)
    again.write()
    with pytest.raises(InputError, match="has passed"):
        Run(BudgetArguments(time_budget="100s"), tmp_path)
    again.end()
    assert Run(BudgetArguments(time_budget="100s"), tmp_path).state["starts"] != again.state["starts"]  # a new run


def test_what_was_sealed_before_a_kill_is_not_made_again(tmp_path, handlers):  # noqa: F811
    run = new_run(tmp_path)
    run.state["stages"].append({"name": TRAINING, "planned_seconds": 50, "started": timestamp(time.time() - 5)})
    (tmp_path / "made.json").write_text("{}")
    run.run_stage(TRAINING, [step(tmp_path, "raise SystemExit(3)", sealed=True)])
    os.utime(tmp_path / "made.json", (0, 0))  # of an earlier run
    with pytest.raises(InputError, match="exit code 3"):
        run.run_stage(TUNED, [step(tmp_path, "raise SystemExit(3)", sealed=True)])


class Once:
    """Three stages without a deadline, each of which adds an x to its own file."""

    def __init__(self, folder: Path):
        self.folder, self.stages = folder, (COLLECTION, TRAINING, EVALUATION)
        self.outputs = [folder / f"{number}.json" for number in range(3)]

    def start(self) -> Run:
        run = Run(BudgetArguments(), self.folder)
        for stage, output in zip(self.stages, self.outputs, strict=True):
            run.run_stage(stage, [Step(stage, output, ["-c", counted(self.folder, output)])])
        run.end()
        return run

    def times(self) -> list[int]:
        """How often each stage was made."""
        return [len(output.read_text()) for output in self.outputs]


def later(path: Path) -> None:
    """As if it had been changed by hand after all stages."""
    os.utime(path, (time.time() + 100, time.time() + 100))


def test_without_a_budget_each_stage_is_made_once_and_told_of_no_deadline(tmp_path, handlers):  # noqa: F811
    once = Once(tmp_path)
    run = once.start()
    assert not run.limited and once.times() == [1, 1, 1]
    state = json.loads((tmp_path / "run.json").read_text())
    assert not {"deadline", "budget_seconds", "etas"} & state.keys() and "ended" in state
    assert all(set(stage) == {"name", "started", "seconds", "steps"} for stage in state["stages"])
    assert state["seconds"] == pytest.approx(sum(stage["seconds"] for stage in state["stages"]), abs=0.1)
    run.run_stage(BASE, [step(tmp_path, f"import sys; open(r'{tmp_path / 'said'}', 'w').write(str(sys.argv[1:]))")])
    assert (tmp_path / "said").read_text() == "[]"


def test_started_again_only_what_is_gone_or_outdated_is_made_again(tmp_path, handlers):  # noqa: F811
    once = Once(tmp_path)
    once.start()
    assert len(once.start().state["starts"]) == 2 and once.times() == [1, 1, 1]
    once.outputs[2].unlink()
    once.start()
    assert once.times() == [1, 1, 1], "what was gone is there again"
    state = once.start().state
    assert [stage["name"] for stage in state["stages"]] == list(once.stages)
    later(once.outputs[0])  # changed by hand: all that was made from it
    once.start()
    assert once.times() == [1, 2, 2]
    os.utime(once.outputs[0])
    later(once.outputs[1])
    once.start()
    assert once.times() == [1, 2, 3]


def test_what_a_stage_that_was_stopped_has_done_is_kept(tmp_path, handlers):  # noqa: F811
    first = Step("first", tmp_path / "a.json", ["-c", counted(tmp_path, tmp_path / "a.json")])
    second = Step("second", tmp_path / "b.json", ["-c", "raise SystemExit(3)"])
    with pytest.raises(InputError, match="exit code 3: see above; finished work is kept, run this again"):
        Run(BudgetArguments(), tmp_path).run_stage(TUNED, [first, second])
    second.command = ["-c", counted(tmp_path, tmp_path / "b.json")]
    third = Step("third", tmp_path / "c.json", ["-c", "raise SystemExit(3)"])
    with pytest.raises(InputError, match="exit code 3"):
        Run(BudgetArguments(), tmp_path).run_stage(TUNED, [first, second, third])
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text() == "x"
    (tmp_path / "a.json").write_text("another")
    (tmp_path / "b.json").unlink()
    third.command = ["-c", counted(tmp_path, tmp_path / "c.json")]
    Run(BudgetArguments(), tmp_path).run_stage(TUNED, [first, second, third])
    assert (tmp_path / "a.json").read_text() == "another" and (tmp_path / "b.json").read_text() == "x"
    (stage,) = json.loads((tmp_path / "run.json").read_text())["stages"]
    assert stage["steps"] == ["first", "second", "third"]


def test_a_budget_after_a_run_without_one_is_a_new_run_and_the_other_way_round(tmp_path, handlers):  # noqa: F811
    Once(tmp_path).start()
    run = Run(BudgetArguments(time_budget="10h"), tmp_path)
    assert run.limited and run.state["stages"] == [] and len(run.state["starts"]) == 1
    run.write()
    again = Run(BudgetArguments(), tmp_path)
    assert again.deadline == run.deadline, "it is under way"
    again.end()
    new = Run(BudgetArguments(), tmp_path)
    assert not new.limited and len(new.state["starts"]) == 1


def test_a_rescued_adapter_is_not_missed_for_its_meta_file(tmp_path):
    lora = tmp_path / "lora"
    training = Step("fine-tuning", lora / "training.meta.json", [], sealed=True, rescue=lambda: True)
    assert training.gone()
    lora.mkdir()
    assert not training.gone()
    assert Step("base", tmp_path / "base.json", []).gone()
    assert not Step("open book", tmp_path / "open_book.json", [], needed=False).gone()


def test_without_a_deadline_both_models_are_asked_in_one_load(tmp_path):
    steps = build_steps(arguments(tmp_path, test_data_path="t.json", retention_data_path="r.json"), limited=False)
    assert [step.name for step in steps[TUNED]] == ["tuned", "retention_tuned", "open_book"] and not steps[BASE]
    for step_of_both, base in zip(steps[TUNED], ("base", "retention_base"), strict=False):
        assert step_of_both.command[-2:] == ["--also_base", str(tmp_path / f"{base}.json")]
        assert step_of_both.command[-4:-2] == ["--lora_weights", str(tmp_path / "lora")]
    assert steps[TRAINING][0].command[-2:] == ["--resume_from_checkpoint", "auto"]
    steps = build_steps(arguments(tmp_path, finetune_args="--save_minutes 1"), limited=False)
    assert steps[TRAINING][0].command[-2:] == ["--save_minutes", "1"], "the user's own come last and win"


def test_each_stage_is_told_when_to_end(tmp_path, handlers):  # noqa: F811
    run = new_run(tmp_path)
    arguments_file = tmp_path / "said.json"
    code = f"import sys, json; json.dump(sys.argv[1:], open(r'{arguments_file}', 'w'))"
    run.run_stage(COLLECTION, [step(tmp_path, code)])
    name, moment = json.loads(arguments_file.read_text())
    share = 100 * forecast.SHARES[COLLECTION]
    assert name == "--until" and parse_time(moment, 0) == pytest.approx(run.started + share, abs=0.5)
    assert find_stage(run.state, COLLECTION)["planned_seconds"] == pytest.approx(share, abs=0.2)


def test_a_stage_that_does_not_end_is_asked_once_then_ended_with_its_workers(tmp_path, handlers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(run_module, "GRACE_S", 0.8)
    monkeypatch.setattr(run_module, "GRACE_SHARE", 0.0)
    run, started = new_run(tmp_path), time.monotonic()
    deaf = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: open(r'%s', 'a').write('.')); " % (
        tmp_path / "asked"
    )
    deaf += LAUNCHER.replace("time.sleep(100)", "[time.sleep(1) for _ in range(100)]")
    assert (
        run.run_command(["-c", deaf, str(tmp_path / "pid"), DEAF], tmp_path, time.time() + 1, COLLECTION)
        == -signal.SIGKILL
    )
    assert time.monotonic() - started < 6 and (tmp_path / "asked").read_text() == "."
    assert not runs(pid_in(tmp_path / "pid")) and not (tmp_path / "log" / "processes.json").exists()


STAGE = """
import sys, time
from pathlib import Path
from budget.clock import BudgetArguments
from budget.run import Run
out, *command = sys.argv[1:]
Run(BudgetArguments(time_budget="100s"), Path(out)).run_command(["-c", *command], Path(out), time.time() + 90, "collection")
print("the stage has ended")
"""


def stage_under_way(tmp_path, code: str):
    """A run whose stage has a worker in a session of its own: (its process, the worker's pid)."""
    command = [sys.executable, "-c", STAGE, str(tmp_path), code, str(tmp_path / "pid"), DEAF]
    run = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, text=True)
    worker = pid_in(tmp_path / "pid")
    time.sleep(0.5)  # the handlers of the stage are set
    return run, worker


def test_ctrl_c_once_lets_the_stage_end_and_what_it_leaves_is_ended(tmp_path):
    ending = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"
    run, worker = stage_under_way(tmp_path, LAUNCHER.replace("time.sleep(100)", f"{ending}; time.sleep(100)"))
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=20)
    assert "the stage has ended" in output and not runs(worker)


def test_ctrl_c_twice_ends_all_at_once(tmp_path):
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    run, worker = stage_under_way(tmp_path, LAUNCHER.replace("time.sleep(100)", f"{deaf}; time.sleep(100)"))
    stage = psutil.Process(worker).ppid()
    os.killpg(run.pid, signal.SIGINT)
    time.sleep(0.5)
    assert run.poll() is None and runs(stage)
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(5) == 128 + signal.SIGINT
    wait_for(lambda: not runs(stage) and not runs(worker), 5)


def test_what_is_not_needed_may_fail_and_what_is_needed_may_not(tmp_path, handlers):  # noqa: F811
    run = new_run(tmp_path)
    run.run_stage(COLLECTION, [step(tmp_path, "raise SystemExit(3)", needed=False)])
    with pytest.raises(InputError, match="exit code 3"):
        run.run_stage(BASE, [step(tmp_path, "raise SystemExit(3)")])
    assert "seconds" not in find_stage(run.state, BASE)


def test_a_training_ended_at_its_deadline_leaves_its_last_whole_checkpoint(tmp_path, handlers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(run_module, "GRACE_S", 0.3)
    monkeypatch.setattr(run_module, "GRACE_SHARE", 0.0)
    monkeypatch.setattr(run_module, "MIN_STAGE_S", 0.5)
    assert not rescue_adapter(tmp_path)
    for step_number, mark in ((9, True), (10, True), (11, False)):
        folder = tmp_path / f"checkpoint-{step_number}"
        folder.mkdir()
        for name in ("adapter_model.safetensors", "adapter_config.json", *(["whole.json"] if mark else [])):
            (folder / name).write_text(str(step_number))
    run = new_run(tmp_path, "3s")
    run.run_stage(COLLECTION, [step(tmp_path, "import time; time.sleep(60)", rescue=lambda: rescue_adapter(tmp_path))])
    assert (tmp_path / "adapter_model.safetensors").read_text() == "10"
    with pytest.raises(InputError, match="exit code 3"):  # a failure before the deadline is not passed over
        run.run_stage(BASE, [step(tmp_path, "raise SystemExit(3)", rescue=lambda: True)])


@pytest.mark.parametrize(("edited", "left"), [(False, ["10", "9", "torn"]), (True, ["torn"])])
def test_a_training_that_was_stopped_does_not_go_on_with_rows_that_were_edited_since(tmp_path, edited, left):
    """finetune.py would refuse such a checkpoint, at every start."""
    rows, lora = tmp_path / "data.json", tmp_path / "lora"
    rows.write_text("[1]")
    marks = {name: {"settings": {"content of --data_path": content_digest(rows)}} for name in ("9", "10")}
    for name, mark in {**marks, "torn": {}}.items():
        write_json(lora / f"checkpoint-{name}" / "whole.json", mark)
    if edited:
        rows.write_text("[2]")
    arguments = Arguments(model_name_or_path="m", data_path="docs", out=str(tmp_path))
    for limited in (True, False):
        assert build_steps(arguments, limited)[TRAINING][0].prepare()
        assert sorted(path.name.removeprefix("checkpoint-") for path in lora.iterdir()) == left


def test_a_signal_reaches_the_stage_and_ends_the_run(tmp_path, handlers):  # noqa: F811
    run = new_run(tmp_path)
    code = f"import os, signal, time; os.kill({os.getpid()}, signal.SIGTERM); time.sleep(60)"
    started = time.monotonic()
    with pytest.raises(Interrupted):
        run.run_stage(COLLECTION, [step(tmp_path, code)])
    assert time.monotonic() - started < 5 and "seconds" not in find_stage(run.state, COLLECTION)


def test_the_end_is_said_from_what_the_stage_says_and_the_plan(tmp_path, handlers, monkeypatch):  # noqa: F811
    run = new_run(tmp_path, "1000s")
    begun = time.time() - 1
    (tmp_path / "progress.json").write_text(json.dumps({"time": time.time(), "expected_end": time.time() + 50}))
    run.report_end(COLLECTION, tmp_path, begun, begun + 250)
    assert run.state["etas"][-1]["end"] == pytest.approx(1000, abs=2)  # training fills what is left
    run.expected = {BASE: 20.0, TRAINING: 100.0, TUNED: 20.0, EVALUATION: 10.0}
    run.report_end(COLLECTION, tmp_path, begun, begun + 250)
    assert run.state["etas"][-1]["end"] == pytest.approx(200 + END_S, abs=3)


def test_timings_and_numbers_of_stages_correct_the_plan(tmp_path, handlers):  # noqa: F811
    run = new_run(tmp_path, "1000s")
    (tmp_path / "base.meta.json").write_text(json.dumps({"budget": asking_time()}))
    run.state["stages"].append({"name": BASE, "seconds": 30.0, "started": timestamp(time.time())})
    run.update_estimates(60, 24, judged_by_model=False, open_book=False)
    assert run.measured[TUNED] == pytest.approx(1.15 * 24 + END_S)
    assert run.measured[EVALUATION] == 4.0 * forecast.EVALUATION_STARTS
    run.update_estimates(60, 24, judged_by_model=True, open_book=True)
    assert run.measured[TUNED] == pytest.approx(1.15 * 24 + END_S)  # the open book would take too much of it
    run.budget = 3600
    run.update_estimates(60, 24, judged_by_model=True, open_book=True)
    assert run.measured[TUNED] == pytest.approx(1.15 * (24 + 4 + forecast.OPEN_BOOK_COST * 20) + END_S)
    assert EVALUATION not in run.measured and run.startup_seconds == 4.0


def test_every_start_of_vllm_is_planned_and_none_where_transformers_load(tmp_path, handlers):  # noqa: F811
    """The collection compiled in 90 s, the base model's start found it done in 50; with an adapter it compiles again."""
    run = new_run(tmp_path, "10000s")
    asked = asking_time(seconds_to_start=50.0, left_out=0)
    for name in ("base", "retention_base"):
        (tmp_path / f"{name}.meta.json").write_text(json.dumps({"budget": asked}))
    (tmp_path / "data.meta.json").write_text(json.dumps({"budget": collection_time(units=1)}))
    run.state["stages"].append({"name": BASE, "seconds": 30.0, "started": timestamp(time.time())})
    run.transformers_startup = 25.0
    run.update_estimates(60, 60, judged_by_model=False, open_book=False)
    assert run.measured[TUNED] == pytest.approx(1.15 * 2 * (90 + 30) + END_S)
    assert run.measured[EVALUATION] == 25.0 * forecast.EVALUATION_STARTS and run.startup_seconds == 90.0
    run.transformers_startup = None  # without vLLM one start is as another
    run.update_estimates(60, 60, judged_by_model=False, open_book=False)
    assert run.measured[TUNED] == pytest.approx(1.15 * 2 * (50 + 30) + END_S)
    assert run.measured[EVALUATION] == 50.0 * forecast.EVALUATION_STARTS


def arguments(tmp_path, **changed) -> Arguments:
    return Arguments(model_name_or_path="m", data_path="texts", out=str(tmp_path), **changed)


def test_the_commands_of_the_stages(tmp_path):
    steps = build_steps(arguments(tmp_path, system_prompt="", finetune_args="--lora_options '{\"r\": 1}' --lora_r 4"))
    assert list(steps) == list(STAGES)
    assert steps[COLLECTION][0].command[-2:] == ["--test_ratio", "0.1"]
    assert steps[TRAINING][0].command[-4:] == ["--lora_options", '{"r": 1}', "--lora_r", "4"]
    assert [[step.name for step in steps[stage]] for stage in (BASE, TUNED)] == [["base"], ["tuned", "open_book"]]
    assert all(step.command[step.command.index("--system_prompt") + 1] == "" for step in steps[BASE] + steps[TUNED])
    steps = build_steps(
        arguments(tmp_path, test_data_path="t.json", retention_data_path="r.json", collect_args="--api_model x")
    )
    assert (
        steps[COLLECTION][0].command[0].endswith("data_collection_api.py")
        and "--test_ratio" not in steps[COLLECTION][0].command
    )
    assert [step.name for step in steps[TUNED]] == ["tuned", "retention_tuned", "open_book"]
    assert further_answers(tmp_path) == []
    for name in ("open_book", "retention_base", "retention_tuned"):
        (tmp_path / f"{name}.json").write_text('[{"response": "", "error": "no time"}]')
    assert further_answers(tmp_path) == []  # nothing was answered
    for name in ("open_book", "retention_base", "retention_tuned"):
        (tmp_path / f"{name}.json").write_text('[{"response": "", "error": "no time"}, {"response": "It is."}]')
    assert len(further_answers(tmp_path)) == 6


def test_on_a_cluster_every_stage_is_told_its_address(tmp_path):
    for limited in (True, False):
        asked = arguments(
            tmp_path, ray_address="auto", retention_data_path="r.json", inference_args="--ray_address local"
        )
        for stage, steps in build_steps(asked, limited).items():
            for one in steps:
                assert one.command[one.command.index("--ray_address") + 1] == "auto", stage
                assert (one.command[-2:] == ["--ray_address", "local"]) == (stage in (BASE, TUNED)), (
                    "one's own come last"
                )
    steps = build_steps(arguments(tmp_path, retention_data_path="r.json"))
    assert not [one for stage in steps.values() for one in stage if "--ray_address" in one.command]


def test_the_commands_of_a_day_that_goes_on_from_a_run_before(tmp_path):
    before, asked = tmp_path / "before" / "lora", arguments(tmp_path, test_data_path="questions.json")
    rows, gone, recall = (tmp_path / name for name in ("today.json", "gone.json", "data.test.json"))
    steps = build_steps(asked, limited=False, going_on=GoingOn(before, rows=rows, recall=recall, gone=gone))
    (train,) = steps[TRAINING]
    assert train.command[train.command.index("--data_path") + 1] == str(rows)
    assert train.command[train.command.index("--lora_weights") + 1] == str(before)
    assert train.command[train.command.index("--recall_data_path") + 1] == str(recall)
    assert [step.name for step in steps[TUNED]] == ["tuned", "gone_tuned", "gone_before", "open_book"]
    ask_before = steps[TUNED][2]
    assert ask_before.command[ask_before.command.index("--lora_weights") + 1] == str(before) and not ask_before.needed
    beside = GoingOn(before, rows=rows, beside=tmp_path / "beside")
    train, both = build_steps(asked, going_on=beside)[TRAINING]
    assert "--lora_weights" not in train.command and "--recall_data_path" not in train.command
    assert train.command[train.command.index("--output_dir") + 1] == str(tmp_path / "beside")
    assert both.command == ["-m", "training.combine", str(before), str(tmp_path / "beside"), str(tmp_path / "lora")]
    anew = build_steps(asked, going_on=GoingOn(before, gone=gone))
    assert anew[TRAINING][0].command == build_steps(asked)[TRAINING][0].command
    assert [step.name for step in anew[BASE]] == ["base", "gone_base"]


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ("", 2),
        ("--num_train_epochs 8", 4),
        ("--num-train-epochs=8 --num_train_epochs 5", 2),
        ("--num_train_epochs 0.5", 1),
    ],
)
def test_a_training_that_goes_on_shows_its_rows_half_as_often_as_one_from_the_base(tmp_path, given, passes):
    assert TrainingArguments(str(tmp_path)).num_train_epochs == EPOCHS
    asked, rows = arguments(tmp_path, finetune_args=given), tmp_path / "today.json"
    onward = build_steps(asked, going_on=GoingOn(tmp_path / "lora", rows=rows))[TRAINING][0].command
    assert onward_passes(given) == passes
    assert onward[-2:] == ["--num_train_epochs", "1"], "of rows that are written out"
    for going_on in (
        None,
        GoingOn(tmp_path / "lora"),
        GoingOn(tmp_path / "lora", rows=rows, beside=tmp_path / "beside"),
    ):
        assert "1" not in build_steps(asked, going_on=going_on)[TRAINING][0].command


def test_a_step_that_takes_seconds_is_told_of_no_deadline(tmp_path, handlers):  # noqa: F811
    run, said = new_run(tmp_path), tmp_path / "said"
    run.run_stage(TRAINING, [step(tmp_path, f"import sys; open(r'{said}', 'w').write(str(sys.argv[1:]))", timed=False)])
    assert said.read_text() == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--newer notice.txt", "expected documents in demo/documents as --newer, found no notice.txt"),
        ("--time_budget 60s", "at least 2.3 min"),
        ("--plan_only True", "--time_budget or --until with --plan_only"),
        ("--time_budget 10m --until 07:30", "found both"),
        ("--time_budget ten", "a time such as 6h"),
        ("--time_budget 10m --data_path nowhere", "a folder of documents at nowhere"),
        ("--time_budget 10m --test_data_path nowhere.json", "nowhere.json, found nothing"),
        ("--finetune_args=--lora_rank=8", "finetune.py: expected arguments that --help lists, found --lora_rank=8"),
        ("--finetune_args=--lora_r=x", "finetune.py: argument --lora_r"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(words, message, model_path, tmp_path):
    command = [sys.executable, "run_all.py", "--model_name_or_path", model_path, "--out", str(tmp_path / "out")]
    command += [*([] if "--data_path" in words else ["--data_path", "demo/documents"]), *words.split()]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2 and message in result.stderr and not (tmp_path / "out").exists(), result.stderr


def start(model_path, out, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "run_all.py", "--model_name_or_path", model_path, "--out", str(out), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_second_run_in_a_folder_says_who_has_it(model_path, tmp_path):
    with lock_folder(tmp_path):
        result = start(model_path, tmp_path, "--data_path", "demo/documents", "--time_budget", "10m")
    assert result.returncode == 2 and f"in use by process {os.getpid()} on " in result.stderr
    assert not (tmp_path / "run.json").exists()


def test_what_a_killed_run_left_is_ended_before_anything_else(model_path, tmp_path):
    (tmp_path / "log").mkdir()
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    (tmp_path / "log" / "processes.json").write_text(json.dumps([[left.pid, psutil.Process(left.pid).create_time()]]))
    result = start(model_path, tmp_path, "--data_path", "nowhere", "--time_budget", "10m")
    assert result.returncode == 2 and f"which are ended now: {left.pid} (" in result.stderr
    assert left.wait(5) == -signal.SIGTERM


def test_results_of_a_kind_replace_each_other_and_others_stay():
    def found(budget: float, loaded: bool = False, kills: int = 0, tuned: float = 0.1) -> dict:
        right = [str(number) for number in range(round(100 * tuned))]
        return {"budget_s": budget, "loaded": loaded, "kills": kills, "tuned": tuned, "right": right}

    runs: list[dict] = []
    for new in (found(720), found(360), found(720, loaded=True), found(720, kills=12), found(720, tuned=0.2)):
        runs = benchmark.merged(runs, new)
    assert [(run["budget_s"], run["loaded"], run["kills"], run["tuned"]) for run in runs] == [
        (360, False, 0, 0.1), (720, False, 0, 0.2), (720, False, 12, 0.1), (720, True, 0, 0.1),
    ]  # fmt: skip
    assert [run.get("p_against_alone") for run in runs] == [None, None, 0.002, 0.002]  # ten lost, none gained


def test_the_error_of_what_was_said_after_a_tenth():
    etas = [{"at": 50, "end": 2000}, {"at": 101, "end": 1100}, {"at": 500, "end": 1000}]
    assert benchmark.eta_error(etas, 1000.0) == 0.1 and benchmark.eta_error([], 1000.0) is None


DOCUMENT = """Ferrowick Bridge was opened on 4 May 2027 by Mayor Ulla Drest. It is 312 metres long and cost 48 million euros.
The bridge was designed by Anselm Korvath. About 9,400 cars cross Ferrowick Bridge every run_module."""


def command_of_all(model_path, tmp_path, *words: str) -> list[str]:
    """run_all.py on one short document with the real model."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "bridge.txt").write_text(DOCUMENT)
    options = {
        "model_name_or_path": model_path,
        "data_path": tmp_path / "texts",
        "out": tmp_path / "out",
        "test_data_path": "demo/questions.json",
        "retention_data_path": "none",
        "system_prompt": "",
        "collect_args": "--guard words",
        "finetune_args": "--learning_rate 2e-3 --lora_r 16 --replay_ratio 0.3 --per_device_train_batch_size 4",
        "evaluate_args": "--judge match",
    }
    return [sys.executable, "run_all.py", *(f"--{name}={value}" for name, value in options.items()), *words]


@pytest.mark.slow
def test_a_plan_alone_is_of_what_was_measured(model_path, tmp_path):
    command = command_of_all(model_path, tmp_path, "--time_budget", "30m", "--plan_only", "True")
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    output = result.stdout + result.stderr
    assert "plan for 30.0 min" in output and "with 15.0 min" in output and "60 of 60 questions" in output
    assert not (tmp_path / "out" / "run.json").exists()  # a run of all does not go on with it
    timings = json.loads((tmp_path / "out" / "log" / "calibration.json").read_text())
    taking_time = {name for name, value in timings.items() if value > 0}
    assert set(timings) - taking_time == {"roles", "role_unit", "role_rows_a_unit"}, (
        timings
    )  # it writes nothing in roles
    assert timings["update"] < 5 and timings["question"] < 5  # of a small model: no start is in them


@pytest.mark.slow
def test_all_stages_end_inside_their_budget_with_a_ctrl_c_between(model_path, tmp_path):
    command, out = command_of_all(model_path, tmp_path, "--time_budget", "300s"), tmp_path / "out"
    started = time.monotonic()
    first = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not (out / "lora" / "log" / "progress.json").is_file():  # the training is under way
        assert first.poll() is None and time.monotonic() - started < 270, first.communicate(timeout=30)[1]
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal sends it
    _, output = first.communicate(timeout=30)
    assert first.returncode == 130 and "run this again before" in output, output
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert second.returncode == 0, second.stderr
    assert time.monotonic() - started < 305
    state = json.loads((out / "run.json").read_text())
    assert [stage["name"] for stage in state["stages"]] == list(STAGES) and len(state["starts"]) == 2
    assert state["seconds"] <= 300
    assert all((out / name).is_file() for name in ("lora/adapter_model.safetensors", "report.html", "tuned_acc.json"))
    trained = json.loads((out / "lora" / "log" / "training.meta.json").read_text())
    assert trained["budget"]["lr_end_over_peak"] <= 0.05


@pytest.mark.slow
def test_without_a_budget_all_stages_are_made_once_with_a_ctrl_c_between(model_path, tmp_path):
    command, out = command_of_all(model_path, tmp_path), tmp_path / "out"
    first = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (out / "data.json").is_file() and (out / "lora").is_dir(), 600)
    os.killpg(first.pid, signal.SIGINT)
    _, output = first.communicate(timeout=90)
    assert first.returncode == 130 and "stopped; run this again to continue" in output, output
    collected = (out / "data.json").stat().st_mtime_ns
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert second.returncode == 0 and "[collection] already finished" in second.stderr, second.stderr
    assert (out / "data.json").stat().st_mtime_ns == collected
    names = ("lora/adapter_model.safetensors", "base.json", "report.html", "tuned_acc.json")
    assert all((out / name).is_file() for name in names)
    state = json.loads((out / "run.json").read_text())
    assert {stage["name"] for stage in state["stages"]} == {COLLECTION, TRAINING, TUNED, EVALUATION}
    assert not any((out / name).exists() for name in ("progress.json", "lora/progress.json"))
    assert "budget" not in json.loads((out / "log" / "tuned.meta.json").read_text())
    trained = (out / "lora" / "adapter_model.safetensors").stat().st_mtime_ns
    third = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert third.returncode == 0 and "already finished" in third.stderr, third.stderr
    assert (out / "lora" / "adapter_model.safetensors").stat().st_mtime_ns == trained
