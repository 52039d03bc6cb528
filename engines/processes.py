"""Processes that a run starts: ended with all that they started, found again after a kill, and one run to a folder.

    with claim_run_folder(out):                           # InputError names who holds it; what an earlier run left is ended
        family = ProcessTree(log_file(out / PROCESSES_FILE))
        child = family.start([sys.executable, "finetune.py"])
        while child.poll() is None: family.refresh()
        family.end(grace=5)

A worker of torchrun is in a session of its own and outlives a launcher that is killed, so no group of processes holds all
of them: descendants are looked for and remembered instead.
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

import psutil

from utils import InputError, find_log_file, log_file, read_json, write_json

LOCK_FILE = ".lock"  # of a folder that one process has for itself
PROCESSES_FILE = "processes.json"  # of a run: [pid, when it was created] of each of its processes
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of Linux: include/uapi/linux/prctl.h
REFRESH_S = 1.0  # looking for descendants reads all of /proc
SAME_CREATION_S = 2.0  # a moment of creation is counted from the boot, which a corrected clock moves
LEFT_OVER_GRACE_S = 30.0  # for a training to save what it has
KILLED_S = 10.0  # within which a killed process is gone, unless its driver holds it

log = logging.getLogger(__name__)


def start_child(command: list[str], death_signal: int = signal.SIGTERM, **options) -> subprocess.Popen:
    """Start a command in a session of its own, where no Ctrl-C of the terminal reaches it; `options` are those of Popen.

    On Linux it gets `death_signal` once this process is gone, be it by `kill -9`.
    """
    parent, libc = os.getpid(), ctypes.CDLL(None) if sys.platform == "linux" else None

    def tie_to_parent() -> None:
        libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # gone before the line above
            os._exit(1)

    return subprocess.Popen(command, start_new_session=True, preexec_fn=libc and tie_to_parent, **options)


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """On Linux this process gets a signal once the one that started it is gone, such as a launcher that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def run_child(command: list[str], **options) -> tuple[int, str]:
    """The exit code of a command and what it printed. Left by an exception, such as Stopped, it ends the command first."""
    child = start_child(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    try:
        printed, _ = child.communicate()
    finally:
        end_child(child)
    return child.returncode, printed


def end_child(child: subprocess.Popen, grace: float = 0.0) -> None:
    """Wait `grace` seconds for a child to end by itself, then kill it and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        started = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
        child.kill()
        child.wait()
        end_processes(started)


def end_processes(processes: Iterable[psutil.Process], grace: float = 0.0) -> None:
    """SIGTERM and `grace` seconds, where there are any, then SIGKILL; what is not gone after that is named."""
    processes = list(processes)
    if grace:
        send(processes, signal.SIGTERM)
        processes = wait_for_end(processes, grace)
    send(processes, signal.SIGKILL)
    left = wait_for_end(processes, KILLED_S)
    if left:
        log.warning("killed, and still there: %s", ", ".join(map(named, left)))


def wait_for_end(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after so many seconds."""
    deadline = time.monotonic() + seconds
    while (left := list(filter(is_alive, processes))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def is_alive(process: psutil.Process, reap: bool = True) -> bool:
    """Whether a process runs. One that has ended stays until its parent asks for it: where that is this one, `reap` does."""
    try:
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return True
        if reap and process.ppid() == os.getpid():
            process.wait(0)
    except psutil.NoSuchProcess:
        pass
    return False


def send(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def named(process: psutil.Process) -> str:
    """ "4711 (finetune.py)": the script, or the program where it runs none."""
    try:
        words = process.cmdline()
        name = next((Path(word).name for word in words if word.endswith(".py")), process.name())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        name = "gone"
    return f"{process.pid} ({name})"


def identity(process: psutil.Process) -> tuple[int, float] | None:
    """What tells a process from a later one with its pid; None where it is gone."""
    try:
        return process.pid, process.create_time()
    except psutil.NoSuchProcess:
        return None


class ProcessTree:
    """What this process starts from now on and whatever that starts, also what has lost its parent.

    The living are in the file `record`, for the next start to find after a `kill -9`; without any there is no file.
    """

    def __init__(self, record: Path):
        self.record = record
        self.members: set[psutil.Process] = set()
        self._before = set(psutil.Process().children(recursive=True))
        self._looked, self._child = 0.0, None
        if sys.platform == "linux":  # an orphan becomes a child of this process instead of init's
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

    def start(self, command: list[str], **options) -> subprocess.Popen:
        self._child = start_child(command, **options)
        self.refresh(at_once=True)
        return self._child

    def refresh(self, at_once: bool = False) -> None:
        """Note who is there; at most once in REFRESH_S seconds, unless `at_once`."""
        if not at_once and time.monotonic() < self._looked + REFRESH_S:
            return
        self._looked, before = time.monotonic(), self.members
        self.members = self._living()
        if self.members != before:
            if self.members:
                write_json(self.record, sorted(filter(None, map(identity, self.members))))
            else:
                self.record.unlink(missing_ok=True)

    def _living(self) -> set[psutil.Process]:
        """The members; orphans that have ended are reaped, the child of `start` is left to its own wait."""
        found = set(psutil.Process().children(recursive=True)) - self._before
        return {process for process in found | self.members if is_alive(process, process.pid != self._child.pid)}

    def kill(self) -> None:
        """End all of them at once."""
        send(self._living(), signal.SIGKILL)

    def end(self, grace: float) -> None:
        """End what the child of `start`, which has ended, left behind."""
        self.refresh(at_once=True)
        if self.members:
            log.info("ending what was left running: %s", ", ".join(map(named, self.members)))
            end_processes(self.members, grace)
            self.refresh(at_once=True)


@contextlib.contextmanager
def claim_run_folder(folder: Path) -> Iterator[None]:
    """Have the folder of a run, and the machine free of what an earlier run in it left."""
    with lock_folder(folder):
        for record in (folder / PROCESSES_FILE, log_file(folder / PROCESSES_FILE)):
            end_leftovers(record)
        yield


def end_leftovers(record: Path) -> None:
    """Name and end the processes of an earlier run, killed, that still run; another process with its pid is left alone."""
    if not record.is_file():
        return
    found = []
    for pid, created in read_json(record, "the processes of an earlier run", "remove it"):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < SAME_CREATION_S and is_alive(process):
                found += [process, *process.children(recursive=True)]
    found = list(dict.fromkeys(found))
    if found:
        log.warning("an earlier run left processes, which are ended now: %s", ", ".join(map(named, found)))
        end_processes(found, LEFT_OVER_GRACE_S)
    record.unlink()


def lock_folder(folder: str | Path) -> contextlib.AbstractContextManager[None]:
    """Have a folder alone until the block is left or this process is gone; InputError where another process has it."""
    return lock(find_log_file(Path(folder) / LOCK_FILE), str(folder))


@contextlib.contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """See lock_folder; `path` is a file that only serves as the lock, `what` names what it stands for."""
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
                f"expected {what} for one run alone, found it in use by {file.read().strip() or 'another process'}: "
                "wait for its end, stop it, or give another folder"
            ) from None
        except OSError as error:
            log.warning("%s cannot be locked (%s): see that no other run works on %s", path, error.strerror, what)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield
