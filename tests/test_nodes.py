"""A training on the machines of a Ray cluster: on how many, by which commands, and what each machine does."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from test_launch import SHAPE_7B, dataset
from test_layout import GIB

from engines.ray_cluster import Share
from engines.ray_launcher import Host, Launcher, find_missing
from training import launch, nodes
from training.launch import Launch, build_command_of_node, parse_launch_arguments, plan_on_machines
from training.nodes import Machine
from utils import InputError

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


def machines(count: int, gpus: int = 0, cpus: int = 4) -> list[Machine]:
    return [Machine(str(number), f"host{number}", cpus + number, gpus) for number in range(count)]


def plan(found: list[Machine], *words: object, data_path: str | None = None, model: str = "m") -> tuple[Launch, Share]:
    return plan_on_machines(found, 80 * GIB, model, data_path, parse_launch_arguments([str(word) for word in words]))


@pytest.fixture
def of_7b(monkeypatch):
    monkeypatch.setattr(launch.memory, "model_shape", lambda _: SHAPE_7B)


def test_all_gpus_of_all_machines_train_if_there_is_work_for_them(of_7b, tmp_path):
    found, share = plan(machines(3, gpus=8), "--output_dir", tmp_path)
    assert (found.processes, found.sharding, share) == (24, "whole", Share(3, 1, 8))
    assert found.reason.startswith("3 of 3 machines, 8 GPUs of each; 24 of 24 GPUs, 14 GiB of weights on each")


@pytest.mark.parametrize(
    ("gpus", "share"),
    [
        ((8, 8, 6), Share(3, 1, 6)),
        ((8, 8, 4), Share(2, 1, 8)),
        ((1, 8, 8), Share(2, 1, 8)),
        ((2, 2, 8), Share(1, 1, 8)),
        ((4, 4, 8), Share(3, 1, 4)),
    ],
)
def test_all_machines_train_on_as_many_gpus_and_a_small_one_is_left_out_if_that_is_more(of_7b, tmp_path, gpus, share):
    found, planned = plan([Machine(str(n), str(n), 4, count) for n, count in enumerate(gpus)], "--output_dir", tmp_path)
    assert (found.processes, planned) == (share.workers * share.gpus, share)
    assert found.reason.startswith(f"{share.workers} of 3 machines, {share.gpus} GPUs of each")


def test_few_data_take_few_machines(model_path, tmp_path):
    rows = dataset(tmp_path, 100, 30)
    found, share = plan(machines(2, gpus=8), "--output_dir", tmp_path, data_path=rows, model=model_path)
    assert (found.processes, share) == (1, Share(1, 1, 1))
    _, share = plan(machines(2), "--output_dir", tmp_path, data_path=rows, model=model_path)
    assert share == Share(1, 4), "the cores of the smallest"


def test_ranks_that_do_not_divide_by_the_machines_are_one_more(of_7b, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "MAX_UPDATE_TOKENS", 9 * 2048)
    found, share = plan(machines(2, gpus=8), "--output_dir", tmp_path)
    assert (found.processes, share) == (10, Share(2, 1, 5))


def test_a_stopped_training_goes_on_with_the_ranks_it_had(of_7b, tmp_path):
    for step, ranks in ((9, 16), (10, 8)):
        mark = tmp_path / f"checkpoint-{step}" / "whole.json"
        mark.parent.mkdir()
        mark.write_text(json.dumps({"settings": {"number of processes": ranks}}))
        os.utime(mark, (step, step))
    found, share = plan(machines(3, gpus=4), "--output_dir", tmp_path)
    assert (found.processes, share) == (8, Share(2, 1, 4))
    with pytest.raises(InputError, match=r"expected 2 machines in .* found 1: bring"):
        plan([*machines(1, gpus=4), Machine("small", "small", 4, 1)], "--output_dir", tmp_path)
    with pytest.raises(
        InputError, match=r"expected 8 machines in the cluster, on which the training in .* found 3: bring"
    ):
        plan(machines(3), "--output_dir", tmp_path)


def test_each_machine_has_its_number_and_all_the_first_ones_address():
    two = Launch(16, "zero3", "", tuple(map(str, range(16))))
    words = build_command_of_node(two, 2, ["--seed", "1"], 1, Host("node", "10.0.0.7", 2345))
    assert words == [
        "-m", "torch.distributed.run", "--nnodes", "2", "--node_rank", "1", "--nproc_per_node", "8", "--max_restarts", "1",
        "--master_addr", "10.0.0.7", "--master_port", "2345", "finetune.py", "--seed", "1", "--deepspeed", "ds_configs/zero3.json",
    ]  # fmt: skip
    on_cpu = build_command_of_node(Launch(2, "whole", "", ()), 2, [], 0, Host("node", "10.0.0.7", 2345))
    assert on_cpu[-3:] == ["finetune.py", "--use_cpu", "True"], "otherwise each would train for itself"
    assert build_command_of_node(Launch(1, "whole", "", ()), 1, [], 0, Host("", "", 0)) == ["finetune.py"]


def test_a_file_that_is_not_there_or_another_one_is_missing(tmp_path, monkeypatch):
    (tmp_path / "there").write_text("four")
    path = str(tmp_path / "there")
    assert find_missing({path: 4}) == []
    assert find_missing({path: 5, str(tmp_path / "gone"): 0}) == [path, str(tmp_path / "gone")]
    monkeypatch.setattr(os.path, "getsize", lambda _: 3)  # as NFS remembers it
    assert find_missing({path: 4}) == []


def test_all_machines_have_to_see_the_model_before_the_collection(tmp_path, monkeypatch):
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / "m" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "m" / name).touch()
    assert [path.name for path in nodes.model_files(str(tmp_path / "m"))] == ["config.json", "model.safetensors"]
    assert nodes.model_files("Qwen/Qwen2.5-7B-Instruct") == []
    commands = []
    done = SimpleNamespace(returncode=0, stdout="[]\n")
    monkeypatch.setattr(nodes.subprocess, "run", lambda command, **_: commands.append(command) or done)
    monkeypatch.chdir(tmp_path)
    for model in ("m", "Qwen/Qwen2.5-7B-Instruct"):
        nodes.find_machines("auto", Path("out"), model)
    assert [command[-2:] for command in commands] == [
        [str(tmp_path / "out"), str(tmp_path / "m")],
        [str(tmp_path / "out"), "Qwen/Qwen2.5-7B-Instruct"],
    ]


@pytest.fixture
def address(monkeypatch):
    """This machine's in the cluster."""
    import ray

    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")


@needs_ray
def test_a_launcher_passes_on_what_is_printed_and_ends_what_was_left(tmp_path, address):
    launcher, records = Launcher(), tmp_path / "log"
    code = "import os, subprocess, sys; print(os.environ['GLOO_SOCKET_IFNAME'], os.environ['GIVEN'], flush=True);"
    code += "subprocess.Popen(['sleep', '100'], start_new_session=True); sys.exit(3)"
    launcher.start([sys.executable, "-c", code], {"GIVEN": "words"}, str(tmp_path), str(records))
    printed, ended = b"", None
    while ended is None:
        more, ended = launcher.follow()
        printed += more
    assert (printed, ended) == (b"lo words\n", 3) and not list(records.iterdir())
    assert not [child for child in psutil.Process().children(recursive=True) if child.name() == "sleep"]


@needs_ray
def test_a_launcher_ends_what_a_killed_run_left_on_its_own_machine(tmp_path, address):
    left, records = Launcher(), tmp_path / "log"
    left.start(["sleep", "100"], dict(os.environ), str(tmp_path), str(records))
    (records / "processes.elsewhere.7.json").write_text(json.dumps([[os.getpid(), psutil.Process().create_time()]]))
    Launcher().end_leftovers(str(records))
    assert left.child.pid not in psutil.pids()
    assert [record.name for record in records.iterdir()] == ["processes.elsewhere.7.json"]
