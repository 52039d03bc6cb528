"""Processes that a run starts: ended with all their descendants, found again after a kill; and one run per folder.

    with claim_run_folder(out):                   # InputError names who holds it; what an earlier run left is ended
        tree = ProcessTree(log_file(out / PROCESSES_FILE))
        child = tree.start([sys.executable, "finetune.py"])
        while child.poll() is None: tree.refresh()
        tree.end(grace=5)

A torchrun worker has its own session and outlives a killed launcher, so no process group contains all of them: descendants
are looked up and remembered instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

import psutil

from utils import InputError, find_log_file, log_file, read_json, write_json

LOCK_FILE = ".lock"  # in a folder that one process has claimed
PROCESSES_FILE = "processes.json"  # of a run: [pid, creation time] of each of its processes
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # Linux: include/uapi/linux/prctl.h
REFRESH_S = 1.0  # between refreshes, as looking for descendants reads all of /proc
SAME_CREATION_S = 2.0  # a creation time is counted from boot time, which clock corrections move
LEFT_OVER_GRACE_S = 30.0  # for a training to save its state
CLOSING_S = 20.0  # for an idle engine to shut down by itself
PLACED_S = 60.0  # a process of Ray is started by then, if a machine has room for it
KILLED_S = 10.0  # a killed process is gone by then, unless a driver holds it

_claimed: WeakValueDictionary[Path, BinaryIO] = WeakValueDictionary()  # by this process, see `claim`

log = logging.getLogger(__name__)


def start_child(command: list[str], death_signal: int = signal.SIGTERM, **options) -> subprocess.Popen:
    """Start a command in its own session, where the terminal's Ctrl-C does not reach it; `options` go to Popen.

    On Linux it gets `death_signal` once this process is gone, even by `kill -9`.
    """
    parent, libc = os.getpid(), ctypes.CDLL(None) if sys.platform == "linux" else None

    def tie_to_parent() -> None:
        libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return subprocess.Popen(command, start_new_session=True, preexec_fn=libc and tie_to_parent, **options)


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """On Linux, have a signal sent to this process once its parent is gone, such as a launcher that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def run_child(command: list[str], **options) -> tuple[int, str]:
    """The exit code of a command and its output. An exception, such as Stopped, ends the command first."""
    child = start_child(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    try:
        output, _ = child.communicate()
    finally:
        end_child(child)
    return child.returncode, output


def wait_for_child(command: list[str], **options) -> int:
    """The exit code of a command, whose output goes where ours does. An exception, such as Stopped, ends the command first."""
    child = start_child(command, **options)
    try:
        return child.wait()
    finally:
        end_child(child)


def end_child(child: subprocess.Popen, grace: float = 0.0) -> None:
    """Wait `grace` seconds for a child to end by itself, then kill it and all its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
        child.kill()
        child.wait()
        end_processes(descendants)


def end_processes(processes: Iterable[psutil.Process], grace: float = 0.0) -> None:
    """Send SIGTERM and wait `grace` seconds, if any, then SIGKILL; log whatever survives even that."""
    processes = list(processes)
    if grace:
        send_signal(processes, signal.SIGTERM)
        processes = wait_for_end(processes, grace)
    send_signal(processes, signal.SIGKILL)
    survivors = wait_for_end(processes, KILLED_S)
    if survivors:
        log.warning("killed, but still there: %s", ", ".join(map(describe, survivors)))


def wait_for_end(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all have ended, at most this long; returns those that still run."""
    deadline = time.monotonic() + seconds
    while (left := list(filter(is_alive, processes))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def is_alive(process: psutil.Process, reap: bool = True) -> bool:
    """Whether a process runs. One that has ended stays until its parent waits for it: if that is this one, `reap` does so."""
    try:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return True
        if reap and process.ppid() == os.getpid():
            process.wait(0)
    except psutil.TimeoutExpired:  # only its first thread has ended
        return True
    except psutil.NoSuchProcess:
        pass
    return False


def send_signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def describe(process: psutil.Process) -> str:
    """ "4711 (finetune.py)": the script, or the program if it runs none."""
    try:
        arguments = process.cmdline()
        name = next((Path(argument).name for argument in arguments if argument.endswith(".py")), process.name())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        name = "gone"
    return f"{process.pid} ({name})"


def identity(process: psutil.Process) -> tuple[int, float] | None:
    """What distinguishes a process from a later one with the same pid; None if it is gone."""
    try:
        return process.pid, process.create_time()
    except psutil.NoSuchProcess:
        return None


class ProcessTree:
    """All that this process starts from now on, and their descendants, including orphans.

    Those alive are listed in the file `record`, for the next start to find after a `kill -9`; if there are none, so is no file.
    """

    def __init__(self, record: Path):
        self.record = record
        self.members: set[psutil.Process] = set()
        self._preexisting = set(psutil.Process().children(recursive=True))
        self._spared: psutil.Process | None = None
        self._refreshed, self._child = 0.0, None
        if sys.platform == "linux":  # an orphan becomes a child of this process instead of init's
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

    def start(self, command: list[str], **options) -> subprocess.Popen:
        self._child = start_child(command, **options)
        self.refresh(at_once=True)
        return self._child

    def spare(self, pid: int) -> None:
        """Leave alone a process, and what it starts, that has not come from `start`: it ends by itself."""
        self._spared = psutil.Process(pid)

    def refresh(self, at_once: bool = False) -> None:
        """Update the members; at most once in REFRESH_S seconds, unless `at_once`."""
        if not at_once and time.monotonic() < self._refreshed + REFRESH_S:
            return
        self._refreshed, before = time.monotonic(), self.members
        self.members = self._living()
        if self.members != before:
            if not self.members:
                self.record.unlink(missing_ok=True)
                return
            with contextlib.suppress(InputError):  # such as a full disk, which must not end the work
                write_json(self.record, sorted(filter(None, map(identity, self.members))))

    def _living(self) -> set[psutil.Process]:
        """The members alive; orphans that have ended are reaped, the child of `start` is left to its caller."""
        descendants = set(psutil.Process().children(recursive=True)) - self._preexisting
        if self._spared:
            with contextlib.suppress(psutil.NoSuchProcess):
                descendants -= {self._spared, *self._spared.children(recursive=True)}
        return {process for process in descendants | self.members if is_alive(process, process.pid != self._child.pid)}

    def kill(self) -> None:
        """Kill all of them at once."""
        send_signal(self._living(), signal.SIGKILL)

    def end(self, grace: float) -> None:
        """End what the child of `start`, which has itself ended, left behind."""
        self.refresh(at_once=True)
        if self.members:
            log.info("ending processes that were left running: %s", ", ".join(map(describe, self.members)))
            end_processes(self.members, grace)
            self.refresh(at_once=True)


@contextlib.contextmanager
def claim_run_folder(folder: Path) -> Iterator[None]:
    """Claim the folder of a run, and end the processes that an earlier run in it left behind."""
    with lock_folder(folder):
        for record in (folder / PROCESSES_FILE, log_file(folder / PROCESSES_FILE)):
            end_leftovers(record)
        yield


def end_leftovers(record: Path) -> None:
    """Log and end what a killed earlier run left running; other processes that got the same pids are left alone."""
    if not record.is_file():
        return
    leftovers = []
    for pid, created in read_json(record, "the processes of an earlier run", "remove it"):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < SAME_CREATION_S and is_alive(process):
                leftovers += [process, *process.children(recursive=True)]
    leftovers = list(dict.fromkeys(leftovers))
    if leftovers:
        log.warning(
            "an earlier run left processes running, which are ended now: %s", ", ".join(map(describe, leftovers))
        )
        end_processes(leftovers, LEFT_OVER_GRACE_S)
    record.unlink()


def lock_folder(folder: str | Path) -> contextlib.AbstractContextManager[None]:
    """Hold a folder exclusively until the block or this process ends; InputError if another process holds it."""
    return lock(find_log_file(Path(folder) / LOCK_FILE), str(folder))


@contextlib.contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """See lock_folder. `path` is a file that only serves as the lock; `what` names what it protects."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise InputError(f"expected to write {path}, found {error.strerror}: give another path") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"expected {what} to be free, found it in use by {file.read().strip() or 'another process'}: "
                "wait until it ends, stop it, or give another folder"
            ) from None
        except OSError as error:
            log.warning("%s cannot be locked (%s): make sure that no other run uses %s", path, error.strerror, what)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield


def claim(path: Path) -> BinaryIO | None:
    """Keep a journal to this process, as long as it has what is returned; None if the file is not there, or not to be locked.

    InputError if another process has it: two would ask the same, and one would cut off what the other is writing.
    """
    file = _claimed.get(path.resolve())
    try:
        if file is None or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file = path.open("r+b")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _claimed[path.resolve()] = file
    except BlockingIOError:
        raise InputError(
            f"expected {path} to be free, found it in use by another process: wait until it ends, stop it, or give another output"
        ) from None
    except OSError:  # no such file, one that can only be read, a file system without locks
        return None
    return file
