"""What one machine of a Ray cluster lacks or loses, without a cluster: who goes on, and what is said."""

from __future__ import annotations

import importlib.util
import json
import platform
import socket
import sys
import threading
from collections import Counter, deque
from types import SimpleNamespace

import pytest

from engines import ray_cluster, ray_pool
from engines.adapter import weights_fingerprint
from engines.arguments import EngineArguments
from engines.chat import Reply
from engines.gpus import Gpu
from engines.load import load_in_worker
from engines.ray_cluster import HTTP2_GREETING, Share, join_cluster, require_listener, smallest_gpu
from engines.ray_pool import Stretch, WorkerPool
from engines.ray_worker import About, Worker
from utils import InputError


class RayError(Exception):
    """As ray.exceptions.RayError: a process is gone."""


class RayTaskError(RayError):
    def __init__(self, cause: Exception):
        self.cause = cause


class Actor:
    """An object whose methods are called by `name.remote()`, in this process; what they return is fetched by `get`."""

    def __init__(self, made: object):
        self.made, self.killed = made, False

    def __getattr__(self, name: str) -> SimpleNamespace:
        if name == "__ray_ready__":
            return SimpleNamespace(remote=lambda: name)
        method = getattr(self.made, name)
        call = (lambda *values: fetched_one_by_one(method(*values))) if name == "ask" else method
        return SimpleNamespace(remote=lambda *values: call(*values) if name == "ask" else lambda: method(*values))


def fetched_one_by_one(values):
    try:
        for value in values:
            yield lambda value=value: value
    except Exception as error:
        yield lambda error=error: throw(error)


def throw(error: Exception):
    raise error


def get(reference):
    try:
        return reference()
    except RayError:
        raise
    except Exception as error:
        raise RayTaskError(error) from None


@pytest.fixture
def ray(monkeypatch):
    """Ray in this process, as far as a pool of workers needs it."""

    def remote(kind):
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: Actor(kind())))

    errors = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
    fake = SimpleNamespace(
        exceptions=errors, remote=remote, get=get, kill=lambda actor: None, wait=lambda asked, **_: (asked, [])
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


class Mortal:
    """Answers in capitals; its process ends over "die", once."""

    capacity, name = 1, "mortal"

    def __init__(self, dies: bool):
        self.dies = dies

    def chat(self, conversations, *, on_reply, **options):
        if self.dies:
            raise RayError("gone")
        for index, text in enumerate(conversations):
            on_reply(index, Reply(text.upper()))


def test_a_place_whose_next_worker_does_not_load_is_given_up_and_the_others_go_on(ray, caplog):
    """Such as on a GPU that has failed in the night."""
    loads: Counter[int] = Counter()

    def load(number: int) -> Mortal:
        loads[number] += 1
        if number == 1 and loads[number] > 1:
            raise RuntimeError("CUDA error: uncorrectable ECC error\nmore of it")
        return Mortal(dies=number == 1)

    pool = WorkerPool(Share(2), load)
    while not all(place.about for place in pool.places):
        pass
    texts = {}
    stretches = [Stretch([number], True) for number in range(6)]
    request = lambda indices: ([f"question {index}" for index in indices], {})  # noqa: E731
    pool.answer(stretches, request, lambda index, reply: texts.update({index: reply.text}), lambda *_: None)
    assert texts == {number: f"QUESTION {number}" for number in range(6)}
    while not pool.places[1].failure:
        pass
    assert loads == {0: 1, 1: 3} and "RuntimeError: CUDA error: uncorrectable ECC error)" in caplog.text
    assert pool.on_one("stop", 0) is None, "the other place is asked"


def test_what_keeps_a_first_worker_from_loading_ends_the_run(ray):
    def load(number: int) -> Mortal:
        if number == 1:
            raise InputError("expected a model")
        return Mortal(dies=False)

    with pytest.raises(InputError, match=f"^on {platform.node()}: expected a model"):
        pool = WorkerPool(Share(2), load)  # or here, if it is the first to be found out
        while not pool.places[1].failure:
            pass
        pool.answer([Stretch([0], True)], lambda _: (["a"], {}), lambda *_: None, lambda *_: None)


def test_the_traceback_of_a_worker_is_with_what_it_raised(ray):
    pool = WorkerPool(Share(1), lambda number: Mortal(dies=False))
    with pytest.raises(AttributeError) as raised:
        pool.answer([Stretch([0], True)], lambda _: ([7], {}), lambda *_: None, lambda *_: None)
    assert raised.value.__notes__[0].startswith("in a process of Ray:")


def test_a_worker_that_takes_little_keeps_no_other_one_waiting(monkeypatch):
    """On a GPU of 24 GiB vLLM takes fewer at once than on one of 80."""
    monkeypatch.setattr(ray_pool, "follow", lambda *_: None)
    pool = object.__new__(WorkerPool)
    pool.inbox, pool.places = None, [
        SimpleNamespace(actor=name, about=About(1, name, capacity), failure=None)
        for name, capacity in (("small", 8), ("large", 96))
    ]  # fmt: skip
    waiting, in_flight = deque(Stretch([number], False) for number in range(26)), Counter()
    pool._hand_out(0, waiting, in_flight, lambda asked: asked)
    assert in_flight == {"small": 2, "large": 24}, "each by its capacity"
    waiting.extend(Stretch([number], False) for number in range(200))
    pool._hand_out(0, waiting, in_flight, lambda asked: asked)
    assert in_flight == {"small": 8, "large": 96}


def test_a_folder_that_is_another_one_on_a_machine_is_told_apart(tmp_path):
    """A copy may be yesterday's; without this each machine would answer with its own adapter."""

    def weights(name: str, first: int) -> str:
        header = json.dumps({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}).encode()
        path = tmp_path / name / "adapter_model.safetensors"
        path.parent.mkdir()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes((first, 2)))
        return str(path.parent)

    def load(folder: str, fingerprint: str | None) -> None:
        load_in_worker(EngineArguments(), "models/none", folder, None, {folder: fingerprint}, 0)

    here, there = weights("here", 1), weights("there", 3)
    with pytest.raises(InputError, match=f"expected in {there} the weights .* found others"):
        load(there, weights_fingerprint(here))
    with pytest.raises(InputError, match=r"found no folder: use a file system"):
        load(str(tmp_path / "gone"), weights_fingerprint(here))
    with pytest.raises(InputError, match=r"found no folder"):
        load(str(tmp_path / "gone"), None)  # weights without a fingerprint, in .bin files
    with pytest.raises(InputError, match="a model"):
        load(here, weights_fingerprint(here))


def test_all_gpus_are_judged_by_the_smallest(monkeypatch):
    """And a machine without one, or that does not answer, says nothing about them."""
    monkeypatch.setattr(ray_cluster, "say_if_taken", lambda share: None)
    gpus = {node: [Gpu("0", node, "a GPU", size << 30, 0)] for node, size in (("a", 80), ("b", 24), ("busy", 16))}
    nodes = [{"NodeID": node, "Alive": True, "Resources": {"GPU": 1.0}} for node in gpus]
    nodes += [{"NodeID": "head", "Alive": True, "Resources": {}}, {"NodeID": "lost", "Alive": False, "Resources": {}}]
    cancelled = []
    look = SimpleNamespace(options=lambda scheduling_strategy: SimpleNamespace(remote=lambda: scheduling_strategy))
    fake = SimpleNamespace(
        nodes=lambda: nodes, remote=lambda **_: lambda function: look, cancel=cancelled.append,
        wait=lambda asked, **_: ([one for one in asked if one != "busy"], []), get=lambda told: [gpus[one] for one in told],
    )  # fmt: skip
    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
    for name, module in (("ray", fake), ("ray.util", fake), ("ray.util.scheduling_strategies", strategies)):
        monkeypatch.setitem(sys.modules, name, module)
    assert smallest_gpu().uuid == "b" and cancelled == ["busy"]


def listener(answer: bytes | None) -> str:
    """The address of something that answers with these bytes, once; None: it says nothing."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        assert connection.recv(100) == HTTP2_GREETING
        if answer is None:
            connection.recv(1)  # until the other end is closed
        else:
            connection.sendall(answer)
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def test_another_port_of_a_machine_is_no_cluster(monkeypatch):
    """Ray prints the address of its dashboard too, and tried for minutes to talk to that."""
    require_listener(listener(bytes((0, 0, 18, 4, 0))))
    monkeypatch.setattr(ray_cluster, "NETWORK_S", 0.2)
    for answer in (b"HTTP/1.1 400 Bad Request\r\n", b"SSH-2.0", b"", None):
        with pytest.raises(InputError, match=r"a Ray cluster at 127\.0\.0\.1:"):
            require_listener(listener(answer))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("RAY_ADDRESS", listener(b"HTTP/1.1 400 Bad Request\r\n"))
    with pytest.raises(InputError, match="something else answers there"):
        join_cluster("auto")


def test_a_cluster_that_cannot_be_joined_is_said_in_one_line(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    problem = "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.12.1\n"
    for error, said in (
        (RuntimeError(problem), r"found Version mismatch: The cluster was started with: Ray: 2\.60\.0 Python: 3"),
        (RayError("no authentication token"), "found no authentication token: .* and token"),
        (ConnectionError("no connection"), "one with a token needs RAY_AUTH_MODE=token"),
    ):
        fake = SimpleNamespace(
            is_initialized=lambda: False,
            init=lambda *_, error=error, **__: throw(error),
            exceptions=SimpleNamespace(AuthenticationError=RayError),
        )
        monkeypatch.setitem(sys.modules, "ray", fake)
        with pytest.raises(InputError, match=said):
            join_cluster("auto")


def test_a_worker_that_no_machine_starts_is_named(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(wait=lambda asked, **_: ([], asked)))
    ray_cluster.say_if_it_waits(Actor(Worker()), 3, Share(4, 1, 2))
    assert "worker 3 has not been started for 60 seconds: it waits for a machine with 1 CPUs and 2 GPUs" in caplog.text
