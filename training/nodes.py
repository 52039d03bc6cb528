"""A training on several machines of a Ray cluster: torchrun on each, started by Ray instead of ssh, and none left running.

    python -m training.nodes auto output/run MODEL     # the machines that would train, as JSON, if all of them see these

Ray reserves the machines, starts torchrun there and passes on what it prints; the ranks talk to each other without it. When
a torchrun fails, its machine is lost, or this process is asked to stop, the others are asked to end, which saves a
checkpoint if all ranks are there, and are killed if they do not.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.processes import KILLED_S, LEFT_OVER_GRACE_S
from engines.ray_cluster import ROOT, Share, join_cluster
from engines.ray_launcher import Host, Launcher, find_missing
from engines.ray_pool import Lost, get
from utils import LOG_FOLDER, InputError, run_script

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """A machine of a cluster: Ray's id of it, its name, and the cores and GPUs that it offers."""

    node: str
    name: str
    cpus: int
    gpus: int


def machines_of_cluster() -> list[Machine]:
    import ray

    found = []
    for node in ray.nodes():
        cpus, gpus = (int(node["Resources"].get(what, 0)) for what in ("CPU", "GPU"))
        if node["Alive"]:
            found.append(Machine(node["NodeID"], node["NodeManagerHostname"], cpus, gpus))
    return found


def machines_to_train() -> list[Machine]:
    """The machines with GPUs; if there are none, all that have a core."""
    found = machines_of_cluster()
    return [machine for machine in found if machine.gpus] or [machine for machine in found if machine.cpus]


def model_files(model_name_or_path: str) -> list[Path]:
    """The files by which it is seen whether a machine has a model's folder; none if it is a hub model."""
    folder = Path(model_name_or_path)
    return sorted(
        path for path in folder.glob("*") if path.name == "config.json" or path.suffix in (".safetensors", ".bin")
    )


def find_machines(address: str, folder: Path, model_name_or_path: str) -> list[Machine]:
    """The machines of a cluster that would train; InputError unless all of them see the project, `folder` and the model.

    Ray is asked in another process, so that its threads are not in this one.
    """
    model = str(Path(model_name_or_path).absolute()) if Path(model_name_or_path).is_dir() else model_name_or_path
    command = [sys.executable, "-m", "training.nodes", address, str(folder.absolute()), model]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise InputError(
            f"expected machines that can train together in the Ray cluster at {address}, found what is said above: mend it, or "
            "leave --ray_address out"
        )
    return [Machine(**machine) for machine in json.loads(done.stdout.splitlines()[-1])]


def require_shared(machines: Iterable[Machine], folder: Path, files: Iterable[Path] = ()) -> None:
    """InputError unless each machine sees as this one does: `folder`, `files`, the project and its Python.

    Of a folder that does not exist yet the one in which it will be is looked at.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    folder = folder.absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    fresh = existing / f".seen_by_all.{os.getpid()}"  # which no copy of the folder has
    try:
        fresh.touch()
    except OSError as error:
        raise InputError(f"expected to write into {existing}, found {error.strerror}: give another folder") from None
    try:
        seen = [fresh, ROOT / "finetune.py", Path(sys.executable), *files]
        sizes = {str(path.absolute()): path.stat().st_size for path in seen}
        look = ray.remote(num_cpus=0)(find_missing)
        for machine in machines:
            there = NodeAffinitySchedulingStrategy(machine.node, soft=False)
            missing = answer(machine.name, look.options(scheduling_strategy=there).remote(sizes))
            if missing:
                raise InputError(
                    f"expected {missing[0]} on {machine.name} as on this machine, found none there, or another one: machines that "
                    "train together need a file system that they share, at the same path, for the project with its .venv, the "
                    "model, the data and the output"
                )
    finally:
        fresh.unlink()


def answer(machine: str, reference: Any) -> Any:
    """What a machine answers; InputError if it is lost before."""
    found = get(reference)
    if isinstance(found, Lost):
        raise InputError(f"expected {machine} to answer, found it lost ({found}): see ray status, then run this again")
    if isinstance(found, Exception):
        raise found
    return found


def run_on_machines(share: Share, build: Callable[[int, Host], list[str]], output: Path, files: Iterable[Path]) -> int:
    """Run Python on each of `share.workers` machines, with the arguments `build(number, the first one's host)`.

    Returns 0, the first other exit code, or 128 + the signal that ended it. InputError if so many machines are not free, do
    not share `output`, a folder, and `files`, or one is lost.
    """
    from ray.util.placement_group import placement_group, remove_placement_group

    bundle = {"CPU": share.cpus} | ({"GPU": share.gpus} if share.gpus else {})
    group = placement_group([bundle] * share.workers, strategy="STRICT_SPREAD")
    try:
        if not group.wait(LEFT_OVER_GRACE_S):
            raise InputError(
                f"expected {share.workers} machines of the cluster with {share.cpus} cores and {share.gpus} GPUs free on each, "
                f"found fewer for {LEFT_OVER_GRACE_S:.0f} seconds: ray status says what they are used for"
            )
        hosts = start_launchers(share, group)
        by_id = {machine.node: machine for machine in machines_of_cluster()}
        machines = [by_id[host.node] for host in hosts.values()]
        require_shared(machines, output, files)
        commands = Commands(dict(zip(hosts, machines, strict=True)))
        first, records = next(iter(hosts.values())), str(output.absolute() / LOG_FOLDER)
        for launcher, machine in commands.machines.items():
            answer(machine.name, launcher.end_leftovers.remote(records))
        starts = []
        for number, launcher in enumerate(hosts):
            command = [sys.executable, *build(number, first)]
            starts.append(launcher.start.remote(command, dict(os.environ), str(ROOT), records))
        for machine, start in zip(machines, starts, strict=True):
            answer(machine.name, start)
        return commands.finish()
    finally:
        remove_placement_group(group)


def start_launchers(share: Share, group: Any) -> dict[Any, Host]:
    """A launcher on each machine of a placement group, and where it runs; one on this machine is the first."""
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    launchers = [
        ray.remote(Launcher)
        .options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number),
        )
        .remote()
        for number in range(share.workers)
    ]
    asked = [launcher.host.remote() for launcher in launchers]
    hosts = [answer("a machine of the cluster", reference) for reference in asked]
    here = ray.get_runtime_context().get_node_id()
    return dict(sorted(zip(launchers, hosts, strict=True), key=lambda pair: pair[1].node != here))


class Commands:
    """Commands that run on machines, and the signals to this process, which end them. `stopped_by` is the first one."""

    def __init__(self, machines: dict[Any, Machine]):
        """`machines`: of each launcher; all but the first have their name in front of what they print."""
        self.machines, self.stopped_by = machines, None
        self.lost: list[str] = []
        self.codes: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame) -> None:
        if self.stopped_by and number == signal.SIGINT:
            os._exit(128 + number)  # Ray then ends the launchers
        self.stopped_by = self.stopped_by or number

    def finish(self) -> int:
        """Print what they print until all have ended; the exit code is that of run_on_machines."""
        import ray

        running = {launcher.follow.remote(): launcher for launcher in self.machines}
        kill_at = None
        while running:
            for reference in ray.wait(list(running), timeout=0.5)[0]:
                launcher = running.pop(reference)
                if self._is_running(launcher, get(reference)):
                    running[launcher.follow.remote()] = launcher
            if kill_at is None and (self.stopped_by or self.lost or any(self.codes)):
                kill_at = time.monotonic() + LEFT_OVER_GRACE_S + KILLED_S  # torchrun gives its ranks the former
                for launcher in running.values():
                    launcher.terminate.remote()
            elif kill_at and time.monotonic() > kill_at:
                for launcher in running.values():
                    launcher.kill.remote()
        if self.stopped_by:
            return 128 + self.stopped_by
        if self.lost:
            raise InputError(
                f"expected {len(self.machines)} machines to the end of the training, found {', '.join(self.lost)} lost: bring the "
                "machine back into the cluster (ray start), then run this again, to go on from the last checkpoint"
            )
        return next(filter(None, self.codes), 0)

    def _is_running(self, launcher: Any, found: tuple[bytes, int | None] | Exception) -> bool:
        """Whether a command goes on, of which `found` is the news."""
        machine = self.machines[launcher]
        if isinstance(found, Lost):
            self.lost.append(f"{machine.name} ({found})")
            log.warning("Ray: %s is lost; the training is ended on the others", self.lost[-1])
            return False
        if isinstance(found, Exception):
            raise found
        printed, code = found
        if machine is not next(iter(self.machines.values())):
            printed = b"".join(f"[{machine.name}] ".encode() + line for line in printed.splitlines(keepends=True))
        sys.stderr.buffer.write(printed)
        sys.stderr.flush()
        if code is not None:
            self.codes.append(code)
        return code is None


def main() -> None:
    if len(sys.argv) != 4:
        raise InputError(
            "expected the address of a cluster, a folder and a model, found something else: python -m training.nodes auto "
            "output/run MODEL"
        )
    address, folder, model = sys.argv[1:]
    join_cluster(address)
    machines = machines_to_train()
    require_shared(machines, Path(folder), model_files(model))
    print(json.dumps([dataclasses.asdict(machine) for machine in machines]))


if __name__ == "__main__":
    run_script(main)
