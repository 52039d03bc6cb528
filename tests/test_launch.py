"""Which GPUs a training is given, and how its weights lie on them; what is started then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_layout import GIB, qwen

from engines import gpus
from engines.gpus import Gpu
from engines.memory import shape_from_config
from training import launch, launch_table
from training.launch import Launch, choose_launch, choose_sharding, plan_launch
from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
SHAPE_7B = shape_from_config(qwen("7B"))


def test_sharding_goes_by_weights_card_and_number():
    shapes = {"7B": SHAPE_7B, **{name: shape_from_config(qwen(name)) for name in ("32B", "72B")}}
    for name, gib, count, expected in (
        ("7B", 80, 8, ("whole", 1)), ("7B", 24, 1, ("whole", 1)), ("32B", 80, 1, ("4 bits", 1)),
        ("32B", 80, 8, ("zero3", 2)), ("32B", 141, 1, ("whole", 1)), ("72B", 80, 8, ("zero3", 3)),
    ):  # fmt: skip
        assert choose_sharding(shapes[name], gib * GIB, count, 16) == expected, (name, gib, count)
    with pytest.raises(InputError, match=r"72\.7 billion weights"):
        choose_sharding(shapes["72B"], 24 * GIB, 4, 16)


def test_ranks_that_would_have_too_little_to_do_are_not_started():
    eight = tuple(map(str, range(8)))
    for update, expected in ((65536, 8), (6000, 2), (2048, 1)):
        found = choose_launch(SHAPE_7B, 80 * GIB, eight, update, 16)
        assert (found.processes, found.devices) == (expected, eight[:expected])
        assert ("stay idle" in found.reason) == (expected < 8)
    shared = choose_launch(shape_from_config(qwen("72B")), 80 * GIB, eight, 2048, 16)
    assert shared.processes == 3 and shared.arguments == ["--deepspeed", "ds_configs/zero3.json"]


@pytest.fixture
def eight_gpus(monkeypatch):
    found = [Gpu(str(n), f"GPU-{n}", "a card", 80 * GIB, 80 * GIB) for n in range(8)]
    monkeypatch.setattr(gpus, "usable_gpus", lambda: found)


def dataset(tmp_path, rows: int, words: int) -> str:
    path = tmp_path / "data.json"
    turns = [{"from": "user", "value": "Where?"}, {"from": "assistant", "value": "word " * words}]
    path.write_text(json.dumps([{"id": str(n), "conversations": turns, "fact": f"f{n}"} for n in range(rows)]))
    return str(path)


def test_the_launch_is_planned_from_the_data_and_an_argument_wins(tmp_path, model_path, eight_gpus):
    few, many = dataset(tmp_path, 100, 30), None
    assert plan_launch(model_path, few, []).processes == 1
    assert plan_launch(model_path, many, []).processes == 8
    assert plan_launch(model_path, few, ["--per_device_train_batch_size", "4"]).processes == 8
    given = plan_launch(model_path, few, ["--deepspeed", "ds_configs/zero2.json"])
    assert given.arguments == [] and "as set by the arguments" in given.reason
    assert plan_launch(model_path, many, ["--use_cpu", "True"]).processes == 1


def test_a_launch_is_a_command():
    alone = Launch(1, "whole", "", ("0",))
    assert launch.build_command(alone, ["--seed", "1"]) == ["finetune.py", "--seed", "1"]
    words = launch.build_command(Launch(2, "zero3", "", ("0", "1")), ["--seed", "1"])
    assert words[:2] == ["-m", "torch.distributed.run"] and words[words.index("--nproc_per_node") + 1] == "2"
    assert words[-2:] == ["--deepspeed", "ds_configs/zero3.json"] and words[words.index("--max_restarts") + 1] == "1"
    assert "torch.distributed.run" in launch.build_command(
        Launch(1, "given", "", ("0",)), ["--deepspeed", "zero2.json"]
    )


def test_a_launch_starts_finetune_on_its_gpus_and_says_why(tmp_path, model_path, eight_gpus, monkeypatch, caplog):
    started = []
    monkeypatch.setattr(launch.os, "execv", lambda program, words: started.append(words[1:]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    given = ["--model_name_or_path", model_path, "--data_path", dataset(tmp_path, 100, 30)]
    monkeypatch.setattr(sys, "argv", ["launch.py", *given])
    with caplog.at_level("INFO"):
        launch.main()
    assert started == [["finetune.py", *given]] and os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert "1 of 8 GPUs, 0 GiB of weights on each" in caplog.text
    assert "7 stay idle, as an update has 2048 tokens" in caplog.text


def test_without_a_gpu_a_launch_is_finetune_itself(tmp_path, model_path):
    """Through the module, as the shell and run_all.py start it: what finetune.py says of its arguments is what is said."""
    given = ["--model_name_or_path", model_path, "--data_path", dataset(tmp_path, 3, 2), "--check_only", "True"]
    command = [sys.executable, "-m", "training.launch", *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and "3 rows, 0 errors" in done.stderr, done.stderr[-2000:]


def test_the_table_of_the_docs_is_the_one_that_is_computed():
    assert "\n".join(launch_table.table()) in (ROOT / "docs" / "gpu.md").read_text()
