"""What is known before anything is measured: the size of a model that is not in a folder, and who will answer."""

from __future__ import annotations

import importlib.util
import math
import shutil
from pathlib import Path

import pytest

from budget import calibration
from budget.forecast import StartupTimes, minimum_budget
from engines import gpus
from engines.gpus import Gpu
from utils import InputError

CARD = Gpu("0", "GPU-1", "NVIDIA H100 80GB HBM3", 80 << 30, 80 << 30)


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many GPUs, with vLLM or without."""

    def machine(count: int, vllm: bool) -> None:
        monkeypatch.setattr(gpus, "usable_gpus", lambda: [CARD] * count)
        found = importlib.util.find_spec
        spec = object() if vllm else None
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "vllm" else found(name))

    return machine


@pytest.fixture
def model(tmp_path) -> str:
    """A folder with 2 GB of weights in two files, which take no space."""
    for number in (1, 2):
        with (tmp_path / f"model-{number}.safetensors").open("wb") as file:
            file.truncate(10**9)
    return str(tmp_path)


def test_a_start_by_machine_and_engine(machine, model):
    machine(0, vllm=True)  # vLLM's build for the CPU: it is not taken by itself
    assert calibration.estimate_startup_times(model, []) == StartupTimes(6 + 10, 6 + 10)
    machine(1, vllm=False)
    assert calibration.estimate_startup_times(model, []) == StartupTimes(10 + 2, 10 + 2, on_gpu=True)
    machine(1, vllm=True)
    starts = calibration.estimate_startup_times(model, [])
    assert starts == StartupTimes(10 + 2 + 60, 10 + 2, on_gpu=True, vllm=True)
    assert minimum_budget(starts) == 6 * 72 + 2 * 12 + 75
    assert calibration.estimate_startup_times(model, ["--eng", "transformers", "--api", "x"]).vllm, (
        "no argument is guessed from its beginning"
    )
    assert calibration.estimate_startup_times(model, ["--engine", "vllm"]) == starts
    for words in (["--engine", "transformers"], ["--engine=transformers", "--limit", "3"], ["--api_model", "x"]):
        assert calibration.estimate_startup_times(model, words) == StartupTimes(10 + 2, 10 + 2, on_gpu=True), words


def test_on_a_cluster_its_gpus_count_and_not_those_of_this_machine(machine, model):
    machine(0, vllm=True)
    expected = StartupTimes(10 + 2 + 60, 10 + 2, on_gpu=True, vllm=True, cluster_gpus=16)
    assert calibration.estimate_startup_times(model, [], cluster_gpus=16) == expected
    machine(1, vllm=True)
    assert calibration.estimate_startup_times(model, [], 0) == StartupTimes(6 + 10, 6 + 10, cluster_gpus=0)
    assert calibration.max_ranks([], 16) == 16
    assert calibration.max_ranks([], 64) == 65536 // 2048, "an update has no more tokens"


def test_a_local_judge_is_one_more_start_on_a_gpu(machine, model):
    machine(1, vllm=True)
    starts = calibration.estimate_startup_times(model, [])
    assert calibration.estimate_judge_startup(["--local_model_path", model], starts) == 10 + 2 + 60
    assert (
        calibration.estimate_judge_startup(["--local_model_path", model, "--engine", "transformers"], starts) == 10 + 2
    )
    assert calibration.estimate_judge_startup(["--judge", "local", "--local_model_path", model], starts) == 10 + 2 + 60
    assert calibration.estimate_judge_startup(["--judge", "api", "--local_model_path", model], starts) == 0
    assert calibration.estimate_judge_startup(["--judge", "match", "--local_model_path", model], starts) == 0
    assert calibration.estimate_judge_startup(["--api_model", "x"], starts) == 0
    # on a CPU as it was
    assert calibration.estimate_judge_startup(["--local_model_path", model], StartupTimes(16, 16)) == 0


def test_all_files_of_weights_in_a_folder_count_and_no_others(model):
    for name, size in (("model.bin", 7), ("tokenizer.json", 10**6)):
        Path(model, name).write_bytes(b"x" * size)
    assert calibration.weight_bytes(model) == 2 * 10**9 + 7


@pytest.fixture
def cache(monkeypatch, tmp_path, model_path) -> Path:
    """A cache of the hub with the demo model as some/model; the snapshot's folder."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub" / "models--some--model"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copy(Path(model_path, "config.json"), snapshot)
    return snapshot


def test_a_hub_name_weighs_what_its_cached_files_do(cache, model_path):
    from safetensors import safe_open

    (cache / "model.safetensors").symlink_to(Path(model_path, "model.safetensors").resolve())
    with safe_open(cache / "model.safetensors", "np") as file:
        names = file.keys()
        weights = sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    assert calibration.weight_bytes("some/model") == 2 * weights > 1e8


def test_a_hub_name_that_is_not_downloaded_weighs_what_its_config_says(cache):
    assert calibration.weight_bytes("some/model") == 2 * 134_515_008  # SmolLM2-135M in 16 bits


def test_a_hub_name_that_nobody_knows_is_named(cache):
    with pytest.raises(InputError, match="expected the weights or the config of some/other, found neither here"):
        calibration.weight_bytes("some/other")
