"""The process that reports goes on after what it cannot read or write, and ends when its stage has."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

from budget import watching
from budget.watched_numbers import GrowingJournals, read_entries
from budget.watcher import Order, Report
from budget.watching import LOCK_FILE, find_watched_run, open_run
from utils import InputError, log_file, write_json

OF_A_STAGE = """
import os, sys, time
from pathlib import Path
from budget.watching import start_watching
watcher = start_watching(Path(sys.argv[1]), ["tensorboard"])
child = os.fork()
if child:
    print(watcher.pid, child, flush=True)
os.close(1)
time.sleep(600)
"""


def test_the_process_ends_with_a_killed_stage_of_which_a_fork_goes_on(tmp_path):
    """The fork has the other end of its pipe; the next start would wait for ever to report."""
    command = [sys.executable, "-c", OF_A_STAGE, str(tmp_path)]
    stage = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    watcher, fork = map(psutil.Process, map(int, stage.stdout.readline().split()))
    try:
        stage.send_signal(signal.SIGKILL)
        stage.wait()
        assert not psutil.wait_procs([watcher], 300)[1] and fork.is_running()
    finally:
        fork.kill()
        stage.stdout.close()


def test_a_line_that_a_crash_has_left_is_passed_over(tmp_path):
    """Some file systems fill with zeros what was not on the disk yet."""
    entries = [{"time": 1.0, "train/global_step": step} for step in (1, 2)]
    lines = [json.dumps(entries[0]), "\0\0\0", '{"time": 1}', "[]", json.dumps(entries[1])]
    (tmp_path / "train_log.jsonl").write_text("".join(line + "\n" for line in lines))
    assert read_entries(tmp_path / "train_log.jsonl") == entries
    reply = {"prompt_tokens": 10, "completion_tokens": 3}
    journal = tmp_path / "data.journal.jsonl"
    journal.write_bytes(b"\0\0\n" + json.dumps({"a": reply}).encode() + b"\n\xff\n")
    assert GrowingJournals(since=0).read(journal)["replies/data/received"] == 1


def test_a_disk_that_is_full_for_a_while_does_not_end_the_reporting(tmp_path, monkeypatch):
    write_json(log_file(tmp_path / "data.meta.json"), {"made_by": "data_collection_api.py", "counts": {"facts": 9}})
    run = open_run(tmp_path, time.time() - 60, True)
    report = Report(run, Order(str(tmp_path), [], None, run.since, True, os.getpid()))

    def full(*_):
        raise InputError("expected to write")

    monkeypatch.setattr(watching, "write_json", full)
    report.once()
    assert run.reported["collection/facts"] == 9


@pytest.mark.parametrize(("problem", "goes_on"), [(errno.ENOLCK, True), (errno.EWOULDBLOCK, False)])
def test_a_training_goes_on_with_the_run_where_a_file_system_has_no_locks(tmp_path, monkeypatch, problem, goes_on):
    run = open_run(tmp_path, 1000.0, False)
    log_file(tmp_path / LOCK_FILE).touch()

    def flock(*_):
        raise OSError(problem, "no")

    monkeypatch.setattr(watching.fcntl, "flock", flock)
    assert find_watched_run(tmp_path) == (run if goes_on else None)
    Path(log_file(tmp_path / LOCK_FILE)).unlink()
    assert find_watched_run(tmp_path) is None
