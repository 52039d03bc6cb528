"""Which GPUs are usable, by recorded answers of nvidia-smi, which is a script on the PATH here."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from engines import gpus
from engines.gpus import usable_gpus

ROOT = Path(__file__).resolve().parents[1]
H100, MIB = "NVIDIA H100 80GB HBM3", 1 << 20
MIG_LIST = f"""GPU 0: {H100} (UUID: GPU-0)
  MIG 3g.40gb     Device  0: (UUID: MIG-aaaa)
  MIG 1g.10gb     Device  1: (UUID: MIG-bbbb)
GPU 1: {H100} (UUID: GPU-1)
"""


@pytest.fixture(autouse=True)
def no_share(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "GPU_DEVICE_ORDINAL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Makes a machine of the lines that nvidia-smi answers for its GPUs, their processes and `-L`."""

    def make(listed: list[str], processes: str = "", listing: str = "") -> None:
        for name, text in (("gpus", "\n".join(listed)), ("apps", processes), ("list", listing)):
            (tmp_path / name).write_text(text)
        script = tmp_path / "nvidia-smi"
        script.write_text(
            f'#!/bin/sh\ncd {tmp_path}\ncase "$1" in --query-gpu=*) cat gpus;; --query-compute*) cat apps;; -L) cat list;; esac\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setattr("torch.cuda.device_count", lambda: len(listed))

    return make


def gpu(number: int, used: int = 4, name: str = H100, mig: str = "Disabled", total: str = "81559") -> str:
    return f"{number}, GPU-{number}, {name}, {total}, {used}, {mig}"


def names() -> list[str]:
    return [found.index for found in usable_gpus()]


def test_eight_idle_gpus_are_all_usable(machine, caplog):
    machine([gpu(number) for number in range(8)] + ["WARNING: infoROM is corrupted at gpu 0000:3B:00.0"])
    usable = usable_gpus()
    assert [one.index for one in usable] == list("01234567") and not caplog.records
    assert dataclasses.astuple(usable[3])[1:] == ("GPU-3", H100, 81559 * MIB, 81555 * MIB)


def test_gpus_that_others_use_are_left_out_and_named_in_one_line(machine, caplog):
    caplog.set_level(logging.INFO)
    used = {1: 62464, 2: 700, 4: 30, 6: 30720, 7: 1800}
    # 1: a model, 2: a job that begins; 4: a server of MPS, 6: a neighbour outside the container, 7: a desktop
    machine(
        [gpu(n, used.get(n, 4)) for n in range(8)],
        "GPU-1, 999999901, 62000\nGPU-2, 999999902, 520\nGPU-4, 999999904, 28\n",
    )
    assert names() == ["0", "3", "4", "5", "7"]
    [line] = caplog.messages
    assert "GPU 1 (NVIDIA H100 80GB HBM3, 61.0 GiB in use), GPU 2" in line and "GPU 6 (NVIDIA" in line
    assert not any(f"GPU {number} (" in line for number in (0, 3, 4, 5, 7))


def test_memory_of_this_run_is_its_own(machine):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        machine([gpu(0, 40000), gpu(1, 40000)], f"GPU-0, {child.pid}, 39900\nGPU-1, 999999901, 39900\n")
        assert names() == ["0"]
        child.communicate(b"\n")


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("3,1", ["3", "1"]),
        ("GPU-2, GPU-0", ["GPU-2", "GPU-0"]),
        ("2", ["2"]),
        ("1,9,2", ["1"]),  # CUDA stops at what it does not know
        ("NoDevFiles", []),
        ("", []),
    ],
)
def test_cuda_visible_devices_decides(machine, monkeypatch, visible, expected):
    machine([gpu(number) for number in range(4)])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    assert names() == expected


@pytest.mark.parametrize(
    ("share", "listed", "expected"),
    [
        ({"SLURM_JOB_GPUS": "4,5"}, 8, ["4", "5"]),
        ({"SLURM_JOB_GPUS": "4,5", "SLURM_STEP_GPUS": "5"}, 8, ["5"]),
        ({"SLURM_JOB_GPUS": "4,5"}, 2, ["0", "1"]),  # a cgroup hides the others
        ({"GPU_DEVICE_ORDINAL": "0,1", "SLURM_JOB_GPUS": "4,5"}, 2, ["0", "1"]),
        ({}, 2, ["0", "1"]),
    ],
)
def test_the_share_of_a_slurm_job_is_respected(machine, monkeypatch, share, listed, expected):
    machine([gpu(number) for number in range(listed)])
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for name, value in share.items():
        monkeypatch.setenv(name, value)
    assert names() == expected


def test_mig_devices_stand_for_the_gpu_they_divide(machine, monkeypatch):
    machine([gpu(0, 15, mig="Enabled"), gpu(1)], "MIG-bbbb, 999999901, 9000\n", MIG_LIST)
    usable = usable_gpus()
    assert [(one.index, one.total_bytes >> 30) for one in usable] == [("1", 79), ("MIG-aaaa", 40)]
    assert usable[1].name == f"{H100} MIG 3g.40gb"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-aaaa")
    assert names() == ["MIG-aaaa"]


def test_gpus_of_different_kinds_are_named_by_their_uuid(machine):
    machine([gpu(0, name="NVIDIA T4", total="15360"), gpu(1)])
    assert names() == ["GPU-0", "GPU-1"]


@pytest.mark.parametrize("answer", ["missing", "[N/A]"])
def test_where_nvidia_smi_says_nothing_all_that_cuda_sees_are_taken(machine, monkeypatch, tmp_path, answer):
    machine([gpu(number, total="[N/A]") for number in range(2)])
    if answer == "missing":
        (tmp_path / "nvidia-smi").unlink()
    seen = SimpleNamespace(uuid="7c1e", name="GB10", total_memory=128 << 30)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: seen)
    assert [(one.index, one.uuid, one.free_bytes >> 30) for one in usable_gpus()] == [
        ("0", "GPU-7c1e", 128),
        ("1", "GPU-7c1e", 128),
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    assert names() == ["5", "6"]


def test_without_cuda_nothing_is_asked(machine, monkeypatch):
    machine([gpu(0)])
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(gpus, "ask_nvidia_smi", None)
    assert usable_gpus() == []


def test_torch_calls_a_gpu_by_the_number_that_has_its_uuid(machine, monkeypatch):
    machine([gpu(number) for number in range(3)])
    usable = usable_gpus()
    order = [SimpleNamespace(uuid=number) for number in (2, 0, 1)]  # CUDA's, fastest first
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: order[number])
    assert [gpus.torch_device_index(one) for one in usable] == [1, 2, 0]


@pytest.mark.parametrize("launcher, known", [("torch.distributed.run", True), ("some_script.py", False)])
def test_the_other_ranks_of_a_training_are_no_others(launcher, known):
    """Replayed answers are made on all GPUs while each rank has its context on one: 500 MiB of a process that is ours."""
    ask = "from engines.gpus import own_processes; print(*own_processes())"
    start = (
        "import subprocess, sys; rank = subprocess.Popen(['sleep', '60']); "
        f"found = subprocess.run([sys.executable, '-c', {ask!r}], capture_output=True, text=True, check=True).stdout; "
        "rank.kill(); print(str(rank.pid) in found.split())"
    )
    result = subprocess.run(
        [sys.executable, "-c", start, launcher], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == str(known)
