"""A lock that a killed build of an operator left: named before anything waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from training.extensions import warn_of_locks


@pytest.mark.parametrize(("age", "named"), [(99_000, True), (-60, False)])
def test_a_lock_that_was_there_before_is_named_and_stays(tmp_path, monkeypatch, caplog, age, named):
    lock = tmp_path / "py311_cpu" / "deepspeed_shm_comm" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (time.time() - age,) * 2)
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    warn_of_locks()
    assert (f"{lock} is 1650 minutes old" in caplog.text) == named and lock.exists()


def test_without_a_lock_or_a_build_nothing_is_said(tmp_path, monkeypatch, caplog):
    for root in (tmp_path, tmp_path / "none"):
        monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(root))
        warn_of_locks()
    assert not caplog.text


def test_a_training_says_it_before_it_waits(tmp_path):
    lock = tmp_path / "py311_cpu" / "deepspeed_shm_comm" / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (1, 1))
    command = [sys.executable, "finetune.py", "--deepspeed", "ds_configs/zero2.json"]
    environment = {**os.environ, "TORCH_EXTENSIONS_DIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    training = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert any(str(lock) in line for line in training.stderr), "before it ends or waits"
    finally:
        training.kill()
        training.communicate()
