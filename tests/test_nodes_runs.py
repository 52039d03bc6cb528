"""A Ray cluster of two machines, both this one, that trains: it gives the adapter of one process, and survives interruptions."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from test_distributed import ROOT, SAME_WEIGHTS, arguments, data, finish, largest_difference, losses, start  # noqa: F401

from benchmarks.fault_server import FaultServer
from benchmarks.ray_workers import reads_well
from benchmarks.scale_corpus import write_corpus
from engines.ray_cluster import start_here
from training.nodes import find_machines
from utils import InputError, read_json

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.slow,
]
STEPS = 24  # so many that a machine can be lost between two of them


class TwoMachines:
    """A cluster whose second machine can be lost and brought back."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        self.cluster = start_here(lambda: Cluster(initialize_head=True, head_node_args=head))
        self.address, self.second = self.cluster.address, None
        self.bring_back()

    def bring_back(self) -> None:
        self.second = start_here(lambda: self.cluster.add_node(num_cpus=1))

    def lose(self) -> None:
        """All that runs on the second machine ends at once."""
        (raylet,) = (each.process for each in self.second.all_processes["raylet"])
        for process in reversed(psutil.Process(raylet.pid).children(recursive=True)):
            process.kill()
        self.cluster.remove_node(self.second, allow_graceful=False)


@pytest.fixture(scope="module")
def two_machines():
    made = TwoMachines()
    yield made
    made.cluster.shutdown()


def train_on(cluster: TwoMachines, command: list[str]) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    return subprocess.Popen(
        [sys.executable, "-m", "training.launch", "--ray_address", cluster.address, *command[1:]], cwd=ROOT,
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read(process: subprocess.Popen, step: int | None = None, act: Callable[[], None] | None = None) -> str:
    """What a training prints until it ends; at a step, something may be done to it."""
    output = ""
    for line in process.stderr:
        output += line
        if step and f"step {step}/" in line:
            act()
    process.wait(timeout=60)
    return output


def ranks_of(out: Path) -> list[psutil.Process]:
    """The processes whose command line names an output folder."""
    return [process for process in psutil.process_iter() if str(out) in " ".join(command_line(process))]


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_training_goes_on_after_each_interruption(two_machines, tiny_model_path, data, tmp_path):  # noqa: F811
    """Stopped, killed and with a machine lost, it gives the adapter of one process that ran to its end."""

    def command(out: Path, size: int) -> list[str]:
        more = ["--per_device_train_batch_size", size, "--save_strategy", "steps", "--save_steps", 4]
        return arguments(tiny_model_path, data, out, *more, "--max_steps", STEPS, "--resume_from_checkpoint", "auto")

    alone, out = tmp_path / "alone", tmp_path / "two"
    finish(start(1, command(alone, 8)))

    process = train_on(two_machines, command(out, 4))
    output = read(process, 6, process.terminate)
    assert "2 of 2 machines, one process on the CPU of each" in output
    assert process.returncode == 128 + signal.SIGTERM and "--resume_from_checkpoint auto to continue" in output, output

    process = train_on(two_machines, command(out, 4))
    output = read(process, 12, process.kill)
    assert "resumed from" in output and process.returncode == -signal.SIGKILL, output
    deadline = time.monotonic() + 120
    while ranks_of(out):
        assert time.monotonic() < deadline, "Ray ends what a killed run has started"
        time.sleep(0.5)

    process = train_on(two_machines, command(out, 4))
    output = read(process, 18, two_machines.lose)
    assert process.returncode == 2 and not ranks_of(out), output
    assert "expected 2 machines to the end of the training, found" in output.splitlines()[-1], output
    process = train_on(two_machines, command(out, 4))
    assert "expected 2 machines in the cluster, on which the training in" in read(process)

    two_machines.bring_back()
    process = train_on(two_machines, command(out, 4))
    output = read(process)
    assert process.returncode == 0 and "resumed from" in output and not ranks_of(out), output
    assert largest_difference(alone, out) <= SAME_WEIGHTS
    assert losses(out) == pytest.approx(losses(alone), abs=1e-3) and len(losses(out)) == STEPS
    trained = read_json(out / "log" / "training.meta.json", "a meta file")
    assert trained["engine"] == "DistributedDataParallel" and not list((out / "log").glob("processes.*"))


def test_deepspeed_on_two_machines_trains(two_machines, tiny_model_path, data, tmp_path):  # noqa: F811
    more = ["--per_device_train_batch_size", 4, "--deepspeed", "ds_configs/zero3.json"]
    process = train_on(two_machines, arguments(tiny_model_path, data, tmp_path / "two", *more))
    output = read(process)
    assert process.returncode == 0, output
    finish(start(1, arguments(tiny_model_path, data, tmp_path / "one", "--per_device_train_batch_size", 8)))
    assert largest_difference(tmp_path / "one", tmp_path / "two") <= SAME_WEIGHTS
    meta = read_json(tmp_path / "two" / "log" / "training.meta.json", "a meta file")
    assert meta["engine"] == "DeepSpeedEngine" and meta["counts"]["examples"] == 24


def test_all_stages_run_on_the_cluster_from_one_command_line(two_machines, tiny_model_path, tmp_path):
    write_corpus(tmp_path / "texts", 20)
    questions = [{"question": f"What is {number} plus 3?", "reference": str(number + 3)} for number in range(4)]
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    with FaultServer(default=reads_well) as server:
        command = [
            "run_all.py", "--ray_address", two_machines.address, "--model_name_or_path", tiny_model_path,
            "--data_path", tmp_path / "texts", "--out", tmp_path / "run", "--open_book", "False", "--system_prompt", "",
            "--test_data_path", tmp_path / "questions.json", "--retention_data_path", "none",
            f"--collect_args=--api_model m --api_base {server.address} --role_amount_per_fact 1",
            "--finetune_args=--per_device_train_batch_size 4 --max_steps 3 --replay_ratio 0 --lora_r 4",
            "--inference_args=--max_new_tokens 4", "--evaluate_args=--judge match",
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, *map(str, command)], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "2 of 2 machines, one process on the CPU of each" in done.stderr
    assert done.stderr.count("is ready: process") == 2 + 4, (
        "workers that collect, that ask, and that ask with the adapter"
    )
    meta = read_json(tmp_path / "run" / "lora" / "log" / "training.meta.json", "a meta file")
    assert meta["engine"] == "DistributedDataParallel"
    assert (
        len(read_json(tmp_path / "run" / "tuned.json", "answers")) == 4 and (tmp_path / "run" / "report.html").is_file()
    )


def test_a_cluster_that_is_not_there_is_said_before_anything_starts(tmp_path):
    with pytest.raises(InputError, match=r"the Ray cluster at 127\.0\.0\.1:9, found what is said above"):
        find_machines("127.0.0.1:9", tmp_path, "m")
