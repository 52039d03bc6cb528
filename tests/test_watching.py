"""A run is watched under one name in TensorBoard and wandb, by a process that no stage waits for. Both are the real ones."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from clocks import handlers  # noqa: F401
from conftest import ROOT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_processes import wait_for
from transformers import HfArgumentParser
from wandb_files import read_history, read_run

from budget import watching
from budget.clock import BudgetArguments, process_start
from budget.forecast import BASE, COLLECTION
from budget.run import Run
from budget.step import Step
from budget.watching import (
    LOCK_FILE,
    STATE_FILE,
    WAIT_S,
    WatchArguments,
    end_watching,
    find_watched_run,
    open_run,
    read_state,
    require_reporters,
    start_watching,
    watched,
    watched_clock,
)
from data_processor.arguments import CollectionArguments, check_arguments
from engines.processes import lock
from training.arguments import TrainingArguments
from training.reporting import set_up_reporting
from utils import InputError, log_file, write_json

KEY = "0123456789abcdef" * 2 + "01234567"
VARIABLES = (
    "WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_BASE_URL", "WANDB_RUN_ID", "WANDB_NAME", "WANDB_DIR",
    "WANDB_RUN_GROUP", "WANDB_RESUME", "WANDB_IDENTITY_TOKEN_FILE", "TENSORBOARD_LOGGING_DIR",
)  # fmt: skip


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", "/nowhere")


def collected(folder: Path, facts: int = 7) -> None:
    """What a collection leaves."""
    meta = {"made_by": "data_collection_local.py", "counts": {"facts": facts}, "arguments": {"seed": 5}}
    write_json(log_file(folder / "data.meta.json"), meta)


def trained(folder: Path, *losses: float) -> None:
    """The log of a training, as far as it has come; `folder` is the adapter's."""
    path = log_file(folder / "train_log.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    began = time.time() if not path.exists() else json.loads(path.read_text().splitlines()[0])["time"]
    entries = [
        {"time": began + step, "train/global_step": step, "train/loss": loss} for step, loss in enumerate(losses)
    ]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def board(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of the one run in a folder: {name: [(step, value)]}."""
    (events,) = log_file(folder / "tensorboard").iterdir()
    found = EventAccumulator(str(events))
    found.Reload()
    return {name: [(event.step, event.value) for event in found.Scalars(name)] for name in found.Tags()["scalars"]}


def values(shown: dict, name: str) -> list[float]:
    return [value for _, value in shown.get(name, [])]


def test_one_run_in_tensorboard_goes_on_after_every_start(tmp_path):
    started = time.time()
    watcher = start_watching(tmp_path, ["tensorboard"], started, tmp_path / "lora")
    collected(tmp_path)
    trained(tmp_path / "lora", 3.0, 2.5)
    watcher.stdin.close()  # as kill -9 of the stage does
    assert watcher.wait(300) == 0
    assert values(board(tmp_path), "collection/facts") == [7]
    trained(tmp_path / "lora", 3.0, 2.5, 1.5)
    write_json(log_file(tmp_path / "tuned.meta.json"), {"made_by": "inference.py", "counts": {"asked": 50}})
    watcher = start_watching(tmp_path, ["tensorboard"], started, tmp_path / "lora")
    end_watching(watcher, time.time() + 300)
    assert watcher.wait(300) == 0
    shown = board(tmp_path)
    assert values(shown, "collection/facts") == [7] and values(shown, "answers/tuned/asked") == [50]
    assert shown["train/loss"] == [(0, 3.0), (1, 2.5), (2, 1.5)] and "train/global_step" not in shown


OF_A_STAGE = """
import sys, time
from pathlib import Path
from budget.watching import start_watching
from test_watching import collected
watcher = start_watching(Path(sys.argv[1]), ["tensorboard"])
collected(Path(sys.argv[1]))
print(watcher.pid, flush=True)
time.sleep(600)
"""


def test_what_a_killed_stage_has_written_is_reported_and_the_process_ends(tmp_path):
    command = [sys.executable, "-c", OF_A_STAGE, str(tmp_path)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    stage = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths})
    watcher = psutil.Process(int(stage.stdout.readline()))
    stage.send_signal(signal.SIGKILL)
    stage.communicate()
    psutil.wait_procs([watcher], 300)
    assert not watcher.is_running() and values(board(tmp_path), "collection/facts") == [7]


def offline_run(folder: Path) -> list[Path]:
    return sorted(log_file(folder / "wandb").glob("offline-run-*/run-*.wandb"))


def test_wandb_has_all_of_a_run_under_one_id_and_the_key_is_in_no_file(tmp_path, monkeypatch, capfd):
    """Its server cannot be reached: it is said, and the run goes on offline."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    started = time.time()
    for facts, losses in ((7, (3.0,)), (8, (3.0, 2.5))):
        watcher = start_watching(tmp_path, ["wandb"], started, tmp_path / "lora")
        collected(tmp_path, facts)
        trained(tmp_path / "lora", *losses)
        watcher.stdin.close()
        assert watcher.wait(300) == 0
    told = capfd.readouterr().err
    assert "http://127.0.0.1:9 cannot be reached" in told and f"offline: `wandb sync {tmp_path}/log/wandb` " in told
    state, runs = read_state(tmp_path), offline_run(tmp_path)
    histories = [read_history(path) for path in runs]
    assert [(one.run_id, one.display_name, one.run_group) for one in map(read_run, runs)] == [
        (state.id, state.name, tmp_path.name)
    ] * 2
    seen = [
        (name, row[name])
        for rows in histories
        for row in rows
        for name in ("collection/facts", "train/loss")
        if name in row
    ]
    assert sorted(seen) == [("collection/facts", 7), ("collection/facts", 8), ("train/loss", 2.5), ("train/loss", 3.0)]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5 and not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_folder_that_cannot_be_written_ends_the_reporting_with_a_message(tmp_path, capfd):
    log_file(tmp_path / "x").parent.mkdir()
    log_file(tmp_path / "tensorboard").touch()
    with watched_clock(WatchArguments(report_to=["tensorboard"]), "collection", tmp_path):
        collected(tmp_path)
    wait_for(lambda: find_watched_run(tmp_path), 300)
    assert "tensorboard: NotADirectoryError: " in (told := capfd.readouterr().err), told
    assert "the run goes on without it" in told


def test_of_a_run_of_all_stages_the_budget_is_reported_and_no_stage_ends_the_reporting(tmp_path, handlers):  # noqa: F811
    run = Run(BudgetArguments(time_budget="1h"), tmp_path)
    run.write()
    with watched(run, ["tensorboard"]):
        for name in (COLLECTION, BASE):
            run.run_stage(name, [Step("a step", tmp_path / "made.json", ["-c", "pass"], needed=False)])
    wait_for(lambda: find_watched_run(tmp_path), 300)
    shown = board(tmp_path)
    assert {f"budget/{COLLECTION}/planned_seconds", f"budget/{COLLECTION}/seconds"} <= shown.keys()
    assert any(name.startswith("budget/inference_base/") for name in shown), "the last stage is in it"
    used = time.time() - process_start()  # the budget began when the tests did
    assert all(3600 - used - 1 < left <= 3601 for left in values(shown, "budget/seconds_left"))


def test_the_last_report_is_not_waited_for_beyond_the_deadline_or_some_seconds(monkeypatch):
    waited = []

    def never_ends(seconds):
        waited.append(seconds)
        raise subprocess.TimeoutExpired("watcher", seconds)

    monkeypatch.setattr(time, "time", lambda: 1000.0)
    for deadline in (990.0, 1003.0, 5000.0):
        end_watching(SimpleNamespace(stdin=io.BytesIO(), wait=never_ends), deadline)
    end_watching(None, 990.0)
    assert waited == [0.0, 3.0, WAIT_S]


def test_a_run_keeps_its_name_until_all_stages_begin_again(tmp_path):
    first = open_run(tmp_path, 1000.0, True)
    assert (first.since, first.name) == (
        1000.0,
        f"{tmp_path.name}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(1000))}",
    )
    first.reported["collection/facts"] = 7
    first.save()
    assert open_run(tmp_path, 1000.0, True) == first == open_run(tmp_path, 1500.0, False), (
        "resumed; or a stage on its own, later"
    )
    second = open_run(tmp_path, 2000.0, True)
    assert second.id != first.id and second.reported == {} and second.board != first.board


def test_a_state_with_more_in_it_is_read_and_a_folder_may_have_moved(tmp_path):
    run = open_run(tmp_path, 1000.0, True)
    write_json(log_file(tmp_path / "moved" / STATE_FILE), {**dataclasses.asdict(run), "of another version": 1})
    assert open_run(tmp_path / "moved", 1000.0, True) == dataclasses.replace(run, folder=str(tmp_path / "moved"))


def test_the_environment_may_name_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    monkeypatch.setenv("WANDB_NAME", "My run")
    run = open_run(tmp_path, 1500.0, False)
    assert (run.id, run.name) == ("mine", "My run")


@pytest.fixture
def training(tmp_path):
    (tmp_path / "out").mkdir()
    return SimpleNamespace(
        key=None, use_wandb=False, report_to=["wandb", "tensorboard"], wandb_run_name="knowledge-update", process_index=0,
        output_dir=str(tmp_path / "out" / "lora"),
    )  # fmt: skip


def test_a_training_on_its_own_goes_on_with_the_run_of_the_stages_before_it(training, tmp_path):
    run = open_run(tmp_path / "out", 1000.0, False)
    log_file(tmp_path / "out" / LOCK_FILE).touch()
    set_up_reporting(training)
    assert training.run_name == run.name and os.environ["WANDB_MODE"] == "offline"
    assert {name: os.environ.get(name) for name in run.environment()} == {
        "WANDB_RUN_ID": run.id, "WANDB_RESUME": "allow", "WANDB_RUN_GROUP": "out", "WANDB_DIR": str(tmp_path / "out" / "log"),
        "TENSORBOARD_LOGGING_DIR": str(tmp_path / "out" / "log" / "tensorboard" / run.name),
    }  # fmt: skip


@pytest.mark.parametrize(
    "hindrance", ["nobody reported before", "another process reports", "a rank that does not report"]
)
def test_a_training_has_a_run_of_its_own_where_it_cannot_go_on_with_one(training, tmp_path, hindrance):
    out = tmp_path / "out"
    if hindrance != "nobody reported before":
        open_run(out, 1000.0, False)
        log_file(out / LOCK_FILE).touch()
    training.process_index = int(hindrance == "a rank that does not report")
    with lock(log_file(out / (LOCK_FILE if hindrance == "another process reports" else "other")), "the run"):
        set_up_reporting(training)
    assert training.run_name == "knowledge-update" and "WANDB_RUN_ID" not in os.environ


def test_what_the_person_set_is_kept(training, tmp_path, monkeypatch):
    open_run(tmp_path / "out", 1000.0, False)
    log_file(tmp_path / "out" / LOCK_FILE).touch()
    monkeypatch.setenv("WANDB_RUN_GROUP", "mine")
    training.wandb_run_name = "My run"
    set_up_reporting(training)
    assert os.environ["WANDB_RUN_GROUP"] == "mine" and training.run_name == "My run"


def test_two_names_are_taken_by_training_and_by_the_other_stages(tmp_path):
    words = ["--report_to", "wandb", "tensorboard"]
    (arguments,) = HfArgumentParser(WatchArguments).parse_args_into_dataclasses(words)
    assert require_reporters(arguments.report_to) == ["wandb", "tensorboard"]
    (training,) = HfArgumentParser(TrainingArguments).parse_args_into_dataclasses([*words, "--use_cpu", "True"])
    assert training.report_to == ["wandb", "tensorboard"]
    assert TrainingArguments(output_dir=str(tmp_path), use_cpu=True).report_to == []


def test_an_unknown_name_and_a_library_that_is_missing_are_said_before_anything_starts(tmp_path, monkeypatch):
    assert require_reporters(["none"]) == [] and start_watching(tmp_path, ["none"]) is None
    with pytest.raises(InputError, match="expected wandb or tensorboard with --report_to, found mlflow"):
        require_reporters(["tensorboard", "mlflow"])
    monkeypatch.setattr(watching.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed: run `pip install tensorboard`, or leave it out"):
        start_watching(tmp_path, ["tensorboard"])
    assert not list(tmp_path.iterdir())


def test_a_dry_run_which_writes_nothing_is_not_reported():
    arguments = CollectionArguments(dry_run=True, report_to=["tensorboard"])
    check_arguments(arguments)
    assert arguments.report_to == []
