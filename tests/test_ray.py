"""Workers on a Ray cluster of this machine alone: who is asked what, and what becomes of it when one is killed."""

from __future__ import annotations

import functools
import gc
import importlib.util
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from ray_engines import doomed, never_loaded, pool_of, scripted
from test_continuous import Stop, asked, stopped_after, texts_of, words

from benchmarks.fault_server import FAULTS, Answer, FaultServer, completion
from engines.api import ApiEngine
from engines.arguments import ApiArguments
from engines.journal import JournaledEngine
from engines.load import load_api_engine
from engines.ray import RayEngine
from training.nodes import machines_to_train, require_shared
from utils import InputError

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
SEVERAL = 24  # conversations


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One for all tests here; the workers of each are ended by the test."""
    import ray

    from engines.ray_cluster import join_cluster

    before = signal.getsignal(signal.SIGTERM)
    join_cluster("local")
    assert signal.getsignal(signal.SIGTERM) is before, "a clock's handler stays"
    yield
    ray.shutdown()


def says_back(call: dict) -> Answer:
    return Answer(completion(call["messages"][-1]["content"].upper()))


def questions(count: int) -> list:
    return [[{"role": "user", "content": f"question {number}"}] for number in range(count)]


@pytest.fixture
def server():
    with FaultServer(default=says_back, delay_s=0.05) as running:
        yield running


@pytest.fixture
def engine(server):
    """Two workers that ask the server, three calls at once each."""
    arguments = ApiArguments("local", 2, "m", server.address, max_attempts=1, concurrency=3)
    engine = load_api_engine(arguments)
    yield engine
    engine.close()


def contents(server: FaultServer) -> Counter[str]:
    return Counter(call["body"]["messages"][-1]["content"] for call in server.calls)


def all_loaded(engine: RayEngine) -> list[int]:
    """The processes of the workers, once all are there."""
    while not all(place.about for place in engine.workers.places):
        time.sleep(0.05)
    return [place.about.pid for place in engine.workers.places]


def test_two_workers_answer_as_one_engine_each_with_its_own_calls_at_once(server, engine, tmp_path):
    all_loaded(engine)
    assert len(engine.chat(questions(12))) == 12  # each worker has made its first call, which is made alone
    server.calls.clear()
    seen, enough = [], time.monotonic() + 120

    def once_there_are_six(call: dict) -> Answer:
        while server.most_at_once < 6 and time.monotonic() < enough:
            time.sleep(0.01)
        return says_back(call)

    server.default = once_there_are_six
    journal = JournaledEngine(engine, tmp_path / "ray.jsonl")
    replies = journal.chat(questions(SEVERAL), on_reply=lambda *reply: seen.append(reply))
    assert server.most_at_once == 6
    assert contents(server) == {f"question {number}": 1 for number in range(SEVERAL)}
    assert sorted(seen, key=lambda reply: reply[0]) == list(enumerate(replies))
    assert replies == ApiEngine("m", server.address, concurrency=3).chat(questions(SEVERAL))
    server.calls.clear()
    assert JournaledEngine(ApiEngine("m", server.address), tmp_path / "ray.jsonl").chat(questions(SEVERAL)) == replies
    assert not server.calls, "without Ray the journal is the same"


def test_a_killed_worker_is_replaced_and_what_it_had_answered_is_not_asked_again(server, engine):
    pids, seen = all_loaded(engine), []

    def kill_one(index, reply) -> None:
        seen.append(index)
        if len(seen) == SEVERAL // 2:
            os.kill(pids[1], signal.SIGKILL)

    replies = engine.chat(questions(SEVERAL), on_reply=kill_one)
    assert texts_of(replies) == [f"QUESTION {number}" for number in range(SEVERAL)]
    assert sorted(seen) == list(range(SEVERAL)), "each is reported once"
    assert sum(contents(server).values()) <= SEVERAL + 3, "at most what the worker was asking is repeated"
    first, second = all_loaded(engine)
    assert first == pids[0] and second != pids[1]
    assert texts_of(engine.chat(questions(2))) == ["QUESTION 0", "QUESTION 1"]


def test_what_a_worker_raises_is_raised_here_and_ends_the_call(server, engine):
    server.default = FAULTS["401"]
    with pytest.raises(InputError, match=r"^expected m at .* to answer, found status 401"):
        engine.chat(questions(SEVERAL))
    assert server.most_at_once <= 2, "each worker's first calls are made one at a time"


def test_a_call_that_is_stopped_leaves_nothing_behind(server, engine):
    """A signal may come at any moment; the server then gets no more than what was being asked."""
    server.delay_s = 0.2
    engine.chat(questions(4))
    for number in range(4):
        with pytest.raises(Stop), stopped_after(0.3 + 0.13 * number):
            engine.chat(questions(200))
        sent = len(server.calls)
        assert texts_of(engine.chat(questions(3))) == ["QUESTION 0", "QUESTION 1", "QUESTION 2"]
        assert len(server.calls) <= sent + 6 + 3


def test_workers_with_vllm_are_given_no_more_than_they_can_take():
    """Which is sixteen: a scripted decoder ends its worker if it has more."""
    with pool_of(2, functools.partial(scripted, 0.01)) as pool:
        engine = RayEngine("m", pool, continuous=True, tuned=True)
        pids = all_loaded(engine)
        assert engine.waves(asked(["a"]), 8) is None
        replies = texts_of(engine.chat(asked(words("a", 200))))
        assert [text.split()[0] for text in replies] == words("a", 200)
        assert {text.split()[1] for text in replies} == {"0", "1"} and all_loaded(engine) == pids
        with pytest.raises(ValueError, match="cannot be enforced"):
            engine.chat(asked(["a", "b"]), schemas=[None, "nonsense"])
        gc.collect()  # Python drops what a signal raises within __del__, such as that of Ray's handles of earlier tests
        for number in range(5):
            with pytest.raises(Stop), stopped_after(0.05 + 0.1 * number):
                engine.chat(asked(words("old", 4000)))
            assert [text.split()[0] for text in texts_of(engine.chat(asked(words("new", 7))))] == words("new", 7)


def wave_journal(path) -> list[set[str]]:
    """The texts on each line of a journal."""
    return [{reply["text"] for reply in json.loads(line).values()} for line in path.read_text().splitlines()]


def test_a_wave_of_a_lost_worker_is_asked_again_as_a_whole(tmp_path):
    """A reply may depend on what it is decoded with; so the journal has the waves of an engine that nothing happens to."""
    alive = tmp_path / "alive"
    alive.touch()
    said = [[{"role": "user", "content": text}] for text in ("a", "b", "c", "d", "e", "f", "die", "h", "i")]
    with pool_of(2, functools.partial(doomed, str(alive))) as pool:
        engine = JournaledEngine(RayEngine("doomed", pool, continuous=False), tmp_path / "data.jsonl")
        replies, seen = None, []
        replies = engine.chat(said, on_reply=lambda index, reply: seen.append(index))
    assert not alive.exists() and sorted(seen) == list(range(9))
    assert texts_of(replies[4:]) == ["E in efdh", "F in efdh", "DIE in efdh", "H in efdh", "I in i"]
    lines = wave_journal(tmp_path / "data.jsonl")
    assert sorted(map(len, lines)) == [1, 4, 4] and {f"{letter} in abcd" for letter in "ABCD"} in lines


def test_conversations_over_which_workers_are_lost_again_and_again_end_the_run(tmp_path):
    journal = tmp_path / "data.jsonl"  # what the other worker answers is in it
    said = [[{"role": "user", "content": text}] for text in ("a", "b", "c", "d", f"die after {journal}")]
    with pool_of(2, functools.partial(doomed, str(tmp_path / "none"))) as pool:
        engine = JournaledEngine(RayEngine("doomed", pool, continuous=False), journal)
        with pytest.raises(InputError, match=r"3 lost in turn over the same 1 conversations .*worker-\*.err"):
            engine.chat(said)
    assert wave_journal(journal) == [{f"{letter} in abcd" for letter in "ABCD"}]


def test_workers_that_never_load_end_the_run():
    with pytest.raises(InputError, match="3 lost in turn over one place without a reply"), pool_of(1, never_loaded):
        raise AssertionError("there is no worker")


def test_a_worker_lost_between_two_calls_is_replaced(tmp_path):
    with pool_of(1, functools.partial(doomed, str(tmp_path / "none"))) as pool:
        engine = RayEngine("doomed", pool, continuous=False)
        said = [[{"role": "user", "content": "a"}]]
        assert texts_of(engine.chat(said)) == ["A in a"]
        os.kill(all_loaded(engine)[0], signal.SIGKILL)
        assert texts_of(engine.chat(said)) == ["A in a"]


def test_what_the_cluster_has_not_free_is_said_as_ray_waits_for_it_without_a_word(caplog):
    import ray

    from engines.ray_cluster import Share, say_if_taken

    cores = int(ray.cluster_resources()["CPU"])
    while ray.available_resources().get("CPU", 0) < cores:
        time.sleep(0.05)
    say_if_taken(Share(cores, 1, 0))
    assert not caplog.messages
    say_if_taken(Share(cores, 2, 1))
    assert [line.partition(" of the cluster")[0] for line in caplog.messages] == [
        f"Ray: {cores} GPUs are asked for, 0",
        f"Ray: {2 * cores} CPUs are asked for, {cores}",
    ]


def test_a_file_that_only_this_machine_sees_is_named_before_a_training(tmp_path):
    """What stands for it is a descriptor of this process, which no other process has under that path."""
    machines = machines_to_train()
    require_shared(machines, tmp_path / "not" / "made" / "yet")
    assert not list(tmp_path.iterdir())
    seen_here = Path("/proc/self/fd/900")
    with (tmp_path / "model").open("w") as file:
        os.dup2(file.fileno(), 900)
        try:
            with pytest.raises(
                InputError, match=f"expected {seen_here} on {machines[0].name} as on this machine, found none"
            ):
                require_shared(machines, tmp_path, [seen_here])
        finally:
            os.close(900)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
