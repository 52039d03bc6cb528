"""What the engine on Ray is made of, without a cluster: shares, stretches, a worker, a journal of several waves at once."""

from __future__ import annotations

import importlib.util
import json
import threading
from queue import SimpleQueue

import pytest
from scripted_decoder import ScriptedDecoder
from test_continuous import texts_of
from test_journal import Echo, asked
from test_placement import machine, models  # noqa: F401

from engines import ray_cluster
from engines.arguments import ApiArguments, EngineArguments
from engines.gpus import Gpu
from engines.journal import JournaledEngine
from engines.load import load_api_engine, load_engine
from engines.ray import share_out, stretch_length
from engines.ray_cluster import Share, share_cores, share_gpus, share_machines
from engines.ray_worker import DecoderEngine, Worker, take_all
from utils import InputError

HEAD, SMALL, LARGE = {"CPU": 0.0}, {"CPU": 4.0}, {"CPU": 64.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("offered", "gpus", "wanted", "worthwhile", "workers"),
    [
        ([LARGE, LARGE], 1, None, None, 16),
        ([LARGE, LARGE], 3, None, None, 4),  # a worker's GPUs are on one machine
        ([LARGE, {"CPU": 8.0, "GPU": 1.0}], 2, None, None, 4),
        ([LARGE], 1, 3, None, 3),
        ([LARGE], 1, None, 2, 2),
        ([LARGE], 1, None, 0, 1),
    ],
)
def test_a_worker_for_the_gpus_that_hold_the_model(offered, gpus, wanted, worthwhile, workers):
    assert share_gpus(offered, gpus, wanted, worthwhile) == Share(workers, 1, gpus)


def test_too_many_workers_are_refused_with_what_there_is():
    with pytest.raises(InputError, match="for 9 workers of 1 GPUs, found it for 8"):
        share_gpus([LARGE], 1, 9, None)
    with pytest.raises(InputError, match="for 1 workers of 16 GPUs, found it for 0"):
        share_gpus([LARGE, LARGE], 16, None, None)
    with pytest.raises(InputError, match="each of 9 workers, found 8 cores"):
        share_cores([SMALL, SMALL], 9)
    with pytest.raises(InputError, match="each of 1 workers, found 0 cores"):
        share_cores([HEAD], None)


def test_without_gpus_there_is_a_worker_on_every_machine_that_works():
    assert share_cores([HEAD, SMALL, {"CPU": 6.0}], None) == Share(2, 4)
    assert share_cores([SMALL], 2) == Share(2, 2)
    assert share_cores([SMALL, SMALL], 3) == Share(3, 2), "two of them are on one machine"
    assert share_machines([HEAD, SMALL, LARGE], None) == Share(2) and share_machines([SMALL], 5) == Share(5)


def test_a_model_gets_as_many_gpus_as_on_one_machine(machine, models, monkeypatch):  # noqa: F811
    machine(8, 80)
    monkeypatch.setattr(ray_cluster, "smallest_gpu", lambda: Gpu("0", "GPU-0", "a GPU", 80 << 30, 80 << 30))
    monkeypatch.setattr(ray_cluster, "machines", lambda: [HEAD, LARGE, LARGE])
    arguments = EngineArguments(ray_address="auto")
    for name, size in (("7B", 1), ("32B", 2), ("72B", 4)):
        share, here = ray_cluster.share_for_model(models[name], arguments, None, None)
        assert (share, here.engine, here.tensor_parallel_size) == (Share(16 // size, 1, size), "vllm", size)
        assert here.ray_address is None, "a worker does not start workers"
    assert ray_cluster.share_for_model(models["7B"], arguments, None, 1500)[0].workers == 2, "few prompts"
    monkeypatch.setattr(ray_cluster, "machines", lambda: [{"CPU": 8.0, "GPU": 1.0}, LARGE])
    for name, share in (("7B", Share(9, 1, 1)), ("72B", Share(2, 1, 4))):
        assert ray_cluster.share_for_model(models[name], arguments, None, None)[0] == share, "the large one holds it"
    monkeypatch.setattr(ray_cluster, "machines", lambda: [HEAD, LARGE, LARGE])
    machine(8, 80, vllm=False)
    assert ray_cluster.share_for_model(models["7B"], arguments, None, None)[0] == Share(16, 1, 1)
    monkeypatch.setattr(ray_cluster, "machines", lambda: [SMALL, SMALL])
    share, here = ray_cluster.share_for_model(models["7B"], arguments, None, None)
    assert (share, here.engine) == (Share(2, 4), "transformers")


def test_what_is_wrong_with_an_address_is_said_at_once(monkeypatch):
    arguments = EngineArguments(ray_address="ray://head:10001")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "ray" else find_spec(name, *more)
    )
    with pytest.raises(InputError, match=r"pip install ray==2\.60\.0 \(on every machine of the cluster\)"):
        load_engine("m", arguments)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: True)
    with pytest.raises(InputError, match="a client's: run this on a machine of the cluster"):
        load_engine("m", arguments)
    for address in ("127.0.0.1:9", "127.0.0.1:port"):
        with pytest.raises(
            InputError, match=rf"a Ray cluster at {address}, found none \(.*start it \(ray start --head\)"
        ):
            load_engine("m", EngineArguments(ray_address=address))
    with pytest.raises(InputError, match="--ray_address with --data_parallel_size 2 and an API"):
        load_api_engine(ApiArguments(api_model="m", data_parallel_size=2))


def test_the_version_is_that_of_the_tests():
    shell = ray_cluster.ROOT / "shells" / "test.sh"
    assert f"pip install {ray_cluster.RAY}\n" in shell.read_text()


def test_all_workers_get_some_of_a_few_conversations():
    assert [stretch_length(count, 4, 1280) for count in (1, 4, 40, 10**6)] == [1, 1, 10, 64]
    assert stretch_length(1000, 2, 8) == 2 and stretch_length(1000, 2, 1) == 1
    assert share_out([[0, 1], [2]], 2) == [[0, 1], [2]], "a wave for each: they stay as one engine would have them"
    assert share_out([list(range(40))], 2) == [list(range(20)), list(range(20, 40))]
    assert share_out([list(range(20)), list(range(20, 30))], 4) == [
        [*range(8)], [*range(8, 16)], [*range(16, 20)], [*range(20, 28)], [28, 29],
    ]  # fmt: skip


def test_what_arrived_before_an_end_is_taken_first():
    arrived: SimpleQueue = SimpleQueue()
    for one in ((0, "a"), (1, "b"), ValueError("broken")):
        arrived.put(one)
    assert take_all(arrived) == [(0, "a"), (1, "b")]
    with pytest.raises(ValueError, match="broken"):
        take_all(arrived)
    arrived.put(None)
    assert take_all(arrived) is None


class Patient(ScriptedDecoder):
    """Writes nothing before it has four requests, and says in each reply how many it was writing."""

    def __init__(self):
        super().__init__("patient")
        self.added = 0

    def add(self, key, request):
        refused = super().add(key, request)
        self.added += refused is None
        return refused

    def step(self):
        return super().step() if self.added >= 4 else []


def worker_with(engine) -> Worker:
    worker = Worker()
    worker.load(lambda: engine)
    return worker


def ask(worker: Worker, call: int, texts: list[str], got: list) -> threading.Thread:
    conversations = [[{"role": "user", "content": text}] for text in texts]
    thread = threading.Thread(
        target=lambda: got.extend(one for some in worker.ask(call, conversations, {}) for one in some)
    )
    thread.start()
    return thread


def test_vllm_decodes_the_stretches_of_a_worker_together():
    worker, some, others = worker_with(DecoderEngine(Patient())), [], []
    threads = [
        ask(worker, 0, ["3 a", "5 b"], some),
        ask(worker, 0, ["3 c", "0 d"], others),
        ask(worker, 0, ["3 e"], []),
    ]
    for thread in threads:
        thread.join()
    assert sorted((index, reply.text or reply.error) for index, reply in some) == [
        (0, "a patient 4"),
        (1, "b patient 1"),
    ]
    assert sorted((index, reply.text or reply.error) for index, reply in others) == [
        (0, "c patient 4"),
        (1, "too long"),
    ]


def test_a_worker_lets_go_of_a_call_that_was_stopped():
    worker, got = worker_with(DecoderEngine(Patient())), []
    thread = ask(worker, 0, ["3 a"], got)  # waits for three more
    while not worker.engine._outboxes:
        pass
    worker.stop(0)
    thread.join()
    assert got == [] and list(worker.ask(0, [[{"role": "user", "content": "1 late"}]], {})) == []
    later: list = []
    ask(worker, 1, ["1 b", "1 c", "1 d"], later).join()
    assert sorted(reply.text for _, reply in later) == ["b patient 3", "c patient 3", "d patient 3"]


class Crew(Echo):
    """Several workers, as it were: answers the waves of one call from the last to the first, each as Echo would."""

    def chat_waves(self, waves, on_wave, conversations, *, on_reply, **options):
        for wave in reversed(waves):
            replies = self.chat([conversations[index] for index in wave])
            for index, reply in zip(wave, replies, strict=True):
                on_reply(index, reply)
            on_wave(wave, replies)


def test_a_journal_of_several_waves_at_once_goes_on_where_it_was_killed(tmp_path):
    path, seen = tmp_path / "data.journal.jsonl", []
    with pytest.raises(KeyboardInterrupt):
        JournaledEngine(Crew(killed_at="d"), path).chat(asked("abcdef"))
    again = Crew()
    engine = JournaledEngine(again, path)
    replies = engine.chat(asked("abcdef"), on_reply=lambda index, reply: seen.append((index, reply.text)))
    assert texts_of(replies) == list("ABCDEF") and sorted(seen) == list(enumerate("ABCDEF"))
    assert again.asked == list("cdab") and (engine.asked, engine.reused) == (4, 2), "the finished wave is not repeated"
    assert [len(json.loads(line)) for line in path.read_text().splitlines()] == [2, 2, 2]
    alone = JournaledEngine(Echo(), tmp_path / "alone.jsonl")
    assert alone.chat(asked("abcdef")) == replies
    assert sorted((tmp_path / "alone.jsonl").read_text().splitlines()) == sorted(path.read_text().splitlines())


def test_a_failed_reply_of_several_waves_is_asked_again(tmp_path):
    path = tmp_path / "data.journal.jsonl"
    assert JournaledEngine(Crew(failing="b"), path).chat(asked("abcd"))[1].error == "no"
    again = Crew()
    assert texts_of(JournaledEngine(again, path).chat(asked("abcd"))) == list("ABCD") and again.asked == ["b"]
