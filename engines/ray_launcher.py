"""What runs on a machine of a Ray cluster that takes part in a training: its torchrun, and what that prints.

training.nodes makes actors of `Launcher`. Nothing of Ray is needed here but the machine's own address.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import psutil

from engines.processes import KILLED_S, LEFT_OVER_GRACE_S, ProcessTree, end_leftovers


@dataclass(frozen=True)
class Host:
    """Where a launcher runs: Ray's id of the machine, its address in the cluster, and a port that was free."""

    node: str
    address: str
    port: int


class Launcher:
    """One command on this machine."""

    def host(self) -> Host:
        import ray

        with socket.socket() as listener:
            listener.bind(("", 0))
            port = listener.getsockname()[1]
        return Host(ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address(), port)

    def end_leftovers(self, records: str) -> None:
        """End what was left running on this machine by the commands recorded in a folder."""
        for record in Path(records).glob(f"processes.{platform.node()}.*.json"):
            end_leftovers(record)

    def start(self, command: list[str], environment: dict[str, str], folder: str, records: str) -> None:
        """Start a command in a folder, and record its processes in another one.

        It gets the environment that is given, and the GPUs that Ray has reserved.
        """
        record = Path(records) / f"processes.{platform.node()}.{os.getpid()}.json"
        reserved = {name: os.environ[name] for name in ("CUDA_VISIBLE_DEVICES",) if name in os.environ}
        self.tree, self.printed = ProcessTree(record), SimpleQueue()
        self.child = self.tree.start(
            command,
            cwd=folder,
            env=defaults() | environment | reserved,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.reader = threading.Thread(
            target=lambda: [self.printed.put(line) for line in self.child.stdout], daemon=True
        )
        self.reader.start()

    def follow(self) -> tuple[bytes, int | None]:
        """What it has printed since, waiting a moment for something; and its exit code, once nothing of it runs any more."""
        self.tree.refresh()
        code = self.child.poll()
        if code is not None:
            self.tree.end(LEFT_OVER_GRACE_S)
            self.reader.join(KILLED_S)
        lines = []
        try:
            lines.append(self.printed.get(timeout=0.5 if code is None else 0.0))
            while True:
                lines.append(self.printed.get_nowait())
        except Empty:
            return b"".join(lines), code if code is None or code >= 0 else 128 - code

    def terminate(self) -> None:
        self.child.terminate()

    def kill(self) -> None:
        self.tree.kill()


def defaults() -> dict[str, str]:
    """Variables for an environment that lacks them: the cores that Ray reserved, and the network that the cluster is on.

    Otherwise gloo takes the address that the machine's name leads to, which often is that of its loopback.
    """
    import ray

    ip = ray.util.get_node_ip_address()
    found = {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == ip for one in addresses):
            found["GLOO_SOCKET_IFNAME"] = name
    return found


def find_missing(sizes: dict[str, int]) -> list[str]:
    """Those of the files that cannot be read on this machine, or have another size in bytes."""
    return [path for path, size in sizes.items() if size_here(path) != size]


def size_here(path: str) -> int | None:
    """The bytes of a file; None if it cannot be read. It is opened, as NFS may remember another one until then (nfs(5))."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size
    except OSError:
        return None
