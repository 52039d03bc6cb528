"""Processes of a run: none outlives it, be it a worker in a session of its own or a run that was killed; one run a folder."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engines.processes import (
    PROCESSES_FILE,
    ProcessTree,
    end_leftovers,
    end_processes,
    is_alive,
    lock_folder,
    run_child,
)
from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
SLEEP = "import time; time.sleep(100)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
# What torchrun does: a worker in a session of its own, whose pid is written to a file.
LAUNCHER = """
import pathlib, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", sys.argv[2]], start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(str(worker.pid))
time.sleep(100)
"""


def wait_for(what, seconds: float = 20.0):
    """The first true value of what()."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def pid_in(path: Path) -> int:
    return int(wait_for(lambda: path.is_file() and path.read_text()))


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_process_is_alive_until_its_last_thread_has_ended():
    """Its first one makes it look ended: a raylet's does while the others finish."""
    code = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(100,)).start();"
    child = subprocess.Popen([sys.executable, "-c", code + "ctypes.CDLL(None).pthread_exit(None)"])
    process = psutil.Process(child.pid)
    wait_for(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert is_alive(process)
    end_processes([process])
    assert not is_alive(process)


@pytest.fixture
def tree(tmp_path):
    process_tree = ProcessTree(tmp_path / PROCESSES_FILE)
    yield process_tree
    process_tree.kill()


def test_a_worker_that_lost_its_launcher_is_found_and_ended(tree, tmp_path):
    launcher = tree.start([sys.executable, "-c", LAUNCHER, str(tmp_path / "pid"), DEAF])
    worker = pid_in(tmp_path / "pid")
    launcher.kill()  # before anybody looked at what it had started
    launcher.wait()
    assert runs(worker) and os.getsid(worker) == worker
    tree.end(grace=0.5)
    assert not runs(worker) and not (tmp_path / PROCESSES_FILE).exists()


def test_workers_of_a_killed_torchrun_are_ended(tree, tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(
        f"import os, pathlib\npathlib.Path(r'{tmp_path}', os.environ['RANK']).write_text(str(os.getpid()))\n{SLEEP}"
    )
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    launcher = tree.start([sys.executable, *command], stderr=subprocess.DEVNULL)
    workers = [int(wait_for(lambda path=tmp_path / rank: path.is_file() and path.read_text(), 60)) for rank in "01"]
    launcher.kill()
    launcher.wait()
    assert all(map(runs, workers))  # nothing else ends them
    tree.end(grace=5)
    assert not any(map(runs, workers))


def test_all_are_ended_at_once(tree, tmp_path):
    launcher = tree.start([sys.executable, "-c", LAUNCHER, str(tmp_path / "pid"), DEAF])
    worker = pid_in(tmp_path / "pid")
    tree.kill()
    assert launcher.wait(5) == -signal.SIGKILL
    wait_for(lambda: not runs(worker), 5)


def test_what_was_there_before_is_nobody_of_the_family(tmp_path):
    before = subprocess.Popen([sys.executable, "-c", SLEEP])
    tree = ProcessTree(tmp_path / PROCESSES_FILE)
    tree.start([sys.executable, "-c", "pass"]).wait()
    tree.end(grace=0.5)
    assert before.poll() is None
    before.kill()
    before.wait()


def test_what_is_spared_lives_on_with_what_it_starts(tree, tmp_path):
    spared = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(tmp_path / "pid"), SLEEP])
    worker = pid_in(tmp_path / "pid")
    tree.spare(spared.pid)
    tree.start([sys.executable, "-c", "pass"]).wait()
    tree.end(grace=0.5)
    tree.kill()
    assert spared.poll() is None and runs(worker) and not (tmp_path / PROCESSES_FILE).exists()
    os.kill(worker, signal.SIGKILL)
    spared.kill()
    spared.wait()
    tree.end(grace=0.5)  # the spared one has gone


RUN = """
import pathlib, sys, time
from engines.processes import ProcessTree
tree = ProcessTree(pathlib.Path(sys.argv[1]))
tree.start([sys.executable, "-c", *sys.argv[2:]])
while True:
    time.sleep(0.1)
    tree.refresh()
"""


def killed_run(tmp_path, *words: str, until) -> None:
    """A run that is killed once `until` says that its processes are there and recorded."""
    run = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / PROCESSES_FILE), *words], cwd=ROOT)
    wait_for(until)
    run.kill()
    run.wait()


def recorded(tmp_path) -> list[int]:
    path = tmp_path / PROCESSES_FILE
    return [pid for pid, _ in json.loads(path.read_text())] if path.is_file() else []


def test_a_killed_run_takes_its_stage_with_it(tmp_path):
    killed_run(tmp_path, SLEEP, until=lambda: recorded(tmp_path))
    (stage,) = recorded(tmp_path)
    wait_for(lambda: not runs(stage), 5)


def test_the_next_start_ends_what_a_killed_run_left_and_names_it(tmp_path, caplog):
    (tmp_path / "stage.py").write_text(DEAF)
    code = LAUNCHER.replace('"-c", sys.argv[2]', "sys.argv[2]")
    killed_run(
        tmp_path, code, str(tmp_path / "pid"), str(tmp_path / "stage.py"), until=lambda: len(recorded(tmp_path)) == 2
    )
    worker = pid_in(tmp_path / "pid")
    assert runs(worker)  # deaf to SIGTERM, and in a session of its own
    other = subprocess.Popen([sys.executable, "-c", SLEEP])  # another process with a pid that was used before
    entries = json.loads((tmp_path / PROCESSES_FILE).read_text())
    (tmp_path / PROCESSES_FILE).write_text(json.dumps([*entries, [other.pid, time.time() - 3600]]))
    with caplog.at_level(logging.WARNING), pytest.MonkeyPatch.context() as patch:
        patch.setattr("engines.processes.LEFT_OVER_GRACE_S", 0.5)
        end_leftovers(tmp_path / PROCESSES_FILE)
    assert not runs(worker) and other.poll() is None
    assert f"{worker} (stage.py)" in caplog.text and str(other.pid) not in caplog.text
    assert not (tmp_path / PROCESSES_FILE).exists()
    other.kill()
    other.wait()


def test_a_command_that_is_left_by_an_exception_is_ended(tmp_path):
    class Stopped(Exception):
        pass

    def stop(*_):
        raise Stopped

    kept = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        with pytest.raises(Stopped):
            run_child([sys.executable, "-c", LAUNCHER, str(tmp_path / "pid"), SLEEP])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, kept)
    worker = pid_in(tmp_path / "pid")
    assert not runs(worker)
    assert run_child([sys.executable, "-c", "print('done'); raise SystemExit(3)"]) == (3, "done\n")


HOLD = "import sys, time; from engines.processes import lock_folder\nwith lock_folder(sys.argv[1]):\n print(flush=True); time.sleep(100)"


def test_two_runs_do_not_share_a_folder(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    holder.stdout.readline()
    message = rf"in use by process {holder.pid} on .*, since {time.strftime('%Y')}"
    with pytest.raises(InputError, match=message), lock_folder(tmp_path):
        raise AssertionError("had by two")
    with lock_folder(tmp_path / "other"):
        pass
    holder.kill()  # the kernel releases it
    holder.wait()
    with lock_folder(tmp_path), pytest.raises(InputError, match="in use"), lock_folder(tmp_path):
        pass
