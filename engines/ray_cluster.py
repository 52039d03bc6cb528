"""A Ray cluster: this process joins it, and how many workers it has room for."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from engines.arguments import EngineArguments
from engines.gpus import Gpu, usable_gpus
from engines.hub import NETWORK_S
from engines.placement import PROMPTS_A_COPY, choose_engine, parallel_size
from engines.processes import PLACED_S, end_processes
from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
RAY = "ray==2.60.0"  # as in shells/test.sh
START_ATTEMPTS, START_TIMEOUT = 4, "timed out during startup"  # the latter in what ray.init raises
# The first words of every HTTP/2 connection, with an empty frame of settings, and the type of frame that is the answer
# (RFC 9113, 3.4 and 6.5): a cluster speaks gRPC, while its dashboard, whose address Ray prints too, does not.
HTTP2_GREETING, SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)), 4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """How many workers there are, and the cores and GPUs that each of them reserves."""

    workers: int
    cpus: int = 0
    gpus: int = 0


def join_cluster(address: str) -> None:
    """Connect this process to a cluster, or start one on this machine (`local`); InputError if there is none.

    The workers import engines/ and utils.py as they are here, whatever stands on their machines.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            f"expected Ray for --ray_address, found it not installed: .venv/bin/pip install {RAY} (on every machine of the "
            "cluster), or leave --ray_address out"
        )
    if address.startswith("ray://"):
        raise InputError(
            f"expected the address of a cluster to which this machine belongs, found {address}, a client's: run this on a "
            "machine of the cluster with --ray_address auto"
        )
    named = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    if ":" in named:
        require_listener(named)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics are sent anywhere
    import ray

    if ray.is_initialized():
        return
    main_thread = threading.current_thread() is threading.main_thread()
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        modules = {"py_modules": [str(ROOT / "engines"), str(ROOT / "utils.py")]}
        options = {"runtime_env": modules, "logging_level": logging.WARNING}
        if address == "local":
            start_here(lambda: ray.init(address, include_dashboard=False, **options))
        else:
            ray.init(address, **options)
    except (ConnectionError, ValueError) as error:
        raise no_cluster(address, str(error)) from None
    except (RuntimeError, ray.exceptions.AuthenticationError) as error:  # other versions, another machine's cluster
        raise InputError(
            f"expected to join the Ray cluster at {address}, found {' '.join(str(error).split())}: this machine has to be one of "
            f"the cluster (ray start), with the same Python, {RAY} and token (docs/scale.md) on all"
        ) from None
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, on_terminate)  # ray.init sets its own


def start_here(start: Callable[[], Any]) -> Any:
    """What `start` returns, which starts Ray on this machine; up to START_ATTEMPTS times, if it takes Ray too long.

    Ray gives each of its processes some 15 seconds, which one that waits for a core does not keep; what it has read by then is
    in the machine's cache.
    """
    before = set(psutil.Process().children())
    for _ in range(START_ATTEMPTS):
        try:
            return start()
        except Exception as error:  # Ray has no class for it
            if START_TIMEOUT not in str(error):
                raise
        log.warning("Ray did not start in time, as this machine is busy; it is started again")
        end_processes(set(psutil.Process().children()) - before)
    raise InputError(
        f"expected Ray to start on this machine, found it too slow {START_ATTEMPTS} times: run this again when less is going on, "
        "or without --ray_address"
    )


def require_listener(address: str) -> None:
    """InputError if nothing that could be a cluster listens at HOST:PORT: Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), NETWORK_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":
                return
            connection.settimeout(NETWORK_S)
            connection.sendall(HTTP2_GREETING)
            answer = connection.recv(4)
    except (OSError, ValueError, OverflowError) as error:
        raise no_cluster(address, str(error)) from None
    if len(answer) < 4 or answer[3] != SETTINGS:
        raise no_cluster(address, "something else answers there")


def no_cluster(address: str, problem: str) -> InputError:
    return InputError(
        f"expected a Ray cluster at {address}, found none ({problem.strip()}): start it (ray start --head), give another "
        "address, or --ray_address local for one on this machine alone; one with a token needs RAY_AUTH_MODE=token here and its "
        "~/.ray/auth_token"
    )


def machines() -> list[dict[str, float]]:
    """What each machine of the cluster offers: {"CPU": 64.0, "GPU": 8.0, ...}."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def share_for_model(
    model_name_or_path: str, arguments: EngineArguments, lora_weights: str | None, prompts: int | None
) -> tuple[Share, EngineArguments]:
    """The share of each worker, and the arguments with which it loads the model. `prompts` as in engines.load."""
    offered, wanted = machines(), arguments.data_parallel_size
    gpus = [int(machine["GPU"]) for machine in offered if machine.get("GPU", 0) >= 1]
    here = replace(arguments, ray_address=None, data_parallel_size=None)
    engine = choose_engine(here, lora_weights, gpus)
    if not gpus:
        return share_cores(offered, wanted), replace(here, engine=engine)
    if engine == "transformers":
        return share_gpus(offered, 1, wanted, None), replace(here, engine=engine)
    size = here.tensor_parallel_size or parallel_size(model_name_or_path, [smallest_gpu()] * max(gpus))
    share = share_gpus(offered, size, wanted, prompts and math.ceil(prompts / PROMPTS_A_COPY))
    return share, replace(here, engine=engine, tensor_parallel_size=size)


def share_gpus(offered: list[dict[str, float]], gpus: int, wanted: int | None, worthwhile: int | None) -> Share:
    """A worker for every `gpus` GPUs of a machine, at most `worthwhile`; or as many as are `wanted`."""
    room = sum(int(machine.get("GPU", 0)) // gpus for machine in offered)
    workers = wanted or max(1, room if worthwhile is None else min(room, worthwhile))
    if workers > room:
        raise InputError(
            f"expected room on the cluster for {workers} workers of {gpus} GPUs, found it for {room}: lower "
            "--tensor_parallel_size or --data_parallel_size, or add machines"
        )
    return Share(workers, 1, gpus)


def share_cores(offered: list[dict[str, float]], wanted: int | None) -> Share:
    """A worker on every machine, or as many as are `wanted`, with all its cores; the smallest machine says how many."""
    cores = [int(machine["CPU"]) for machine in offered if machine.get("CPU", 0) >= 1]
    workers = wanted or max(1, len(cores))
    if workers > sum(cores):
        raise InputError(
            f"expected a core of the cluster for each of {workers} workers, found {sum(cores)} cores: lower "
            "--data_parallel_size, or add machines"
        )
    return Share(workers, max(1, min(cores) // math.ceil(workers / len(cores))))


def share_machines(offered: list[dict[str, float]], wanted: int | None) -> Share:
    """A worker that waits for a server more than it works on every machine, or as many as are `wanted`."""
    return Share(wanted or max(1, sum(machine.get("CPU", 0) >= 1 for machine in offered)))


def say_if_taken(share: Share) -> None:
    """Say in the log what of a share is reserved by others at the moment: Ray waits for it without a word."""
    import ray

    free = ray.available_resources()
    for kind, each in (("GPU", share.gpus), ("CPU", share.cpus)):
        if free.get(kind, 0) < share.workers * each:
            log.warning(
                "Ray: %d %ss are asked for, %d of the cluster are free: what is missing is waited for until others end "
                "(`ray status` shows who has them)",
                *(share.workers * each, kind, free.get(kind, 0)),
            )


def say_if_it_waits(actor: Any, number: int, share: Share) -> None:
    """Say in the log that no machine has room for a worker, such as in the place of a lost one, if that is so."""
    import ray

    if not ray.wait([actor.__ray_ready__.remote()], timeout=PLACED_S)[0]:
        log.warning(
            "Ray: worker %d has not been started for %.0f seconds: it waits for a machine with %d CPUs and %d GPUs free "
            "(`ray status` shows who has them)",
            number,
            PLACED_S,
            share.cpus,
            share.gpus,
        )


def smallest_gpu() -> Gpu:
    """The GPU with the least memory of one of each machine, by which all are judged.

    A machine whose GPUs are all taken is not waited for longer than PLACED_S, unless they all are.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    say_if_taken(Share(1, 0, 1))
    look, nodes = ray.remote(num_gpus=1)(usable_gpus), [node for node in ray.nodes() if node["Alive"]]
    asked = [
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote()
        for node in nodes
        if node["Resources"].get("GPU", 0) >= 1
    ]
    told = ray.wait(asked, num_returns=len(asked), timeout=PLACED_S)[0] or ray.wait(asked)[0]
    for one in set(asked) - set(told):
        ray.cancel(one)
    found = [gpu for gpus in ray.get(told) for gpu in gpus]
    if not found:
        raise InputError(
            "expected a GPU that this run may use and nobody else does, found none on a machine that offers Ray one: wait "
            "until it is free, or give --engine transformers on machines without GPUs"
        )
    return min(found, key=lambda gpu: gpu.total_bytes)
