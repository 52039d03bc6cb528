"""What a collection says of calls that failed: of which step, about which chunk of which file."""

from __future__ import annotations

import pytest
from generators import ReadingEngine, empty_work, work

from data_processor.arguments import CollectionArguments
from data_processor.chunking import Chunk
from data_processor.pipeline import collect_all
from data_processor.work import describe_chunks
from engines.chat import Reply

DOWN = Reply("", finish_reason="error", error="down")
TEXT = "Ann Pellow opened the Hexley Bridge on 3 May 1990. It cost 12 million euros. Ann Pellow was born in Corrin."
CHUNKS = [Chunk(f"{name}.txt", number, 0, len(TEXT), TEXT, name) for number, name in enumerate(("bridge", "mill"))]


class FailingEngine(ReadingEngine):
    """Has no reply to every request of one step, and good ones to all others."""

    def __init__(self, failing: int):
        self.failing, self.calls = failing, 0

    def chat(self, conversations, **options):
        self.calls += 1
        replies = super().chat(conversations, **options)
        return [DOWN] * len(replies) if self.calls == self.failing else replies


@pytest.mark.parametrize("guard", ["quotes", "words"])
@pytest.mark.parametrize("failing", range(1, 12))
def test_a_failed_call_is_recorded_with_its_chunk_whatever_the_step(guard, failing, caplog):
    engine = FailingEngine(failing)
    job = empty_work(engine, guard, verify=guard == "quotes")
    collect_all(job, CHUNKS, CollectionArguments(role_amount_per_fact=1, qa_amount_per_fact=1))
    failed = [record for record in job.dropped if record["reason"] == "call failed"]
    assert bool(failed) == (engine.calls >= failing) == bool(job.errors)
    assert {(record["file_name"], record["chunk"]) for record in failed} <= {("bridge.txt", 0), ("mill.txt", 1)}
    if failed:
        step, count = failed[0]["step"], len(failed)
        assert f"{step}: {count} of {count} calls failed: {failed[0]['file_name']}, chunk " in caplog.text


def test_what_was_left_out_of_a_reply_is_recorded_with_its_chunk():
    lost = {"reason": "breaks a rule of the request", "text": "99", "problem": "99 is not one of [1, 2]"}
    job = work(Reply("[1]", left_out=(lost,)), Reply('[{"a": 1}, {"a'))
    assert job.ask_json("rest", [[], []], 9, {"type": "array"}, CHUNKS) == [[1], [{"a": 1}]]
    where = [(record["reason"], record["file_name"], record["chunk"]) for record in job.dropped]
    assert where == [(lost["reason"], "bridge.txt", 0), ("reply cut off", "mill.txt", 1)]


def test_of_many_chunks_the_first_are_named():
    many = [Chunk("a.txt", number, 0, 1, "a", "") for number in (0, 0, 1, 2, 3, 4, 5, 6)]
    shown = "; ".join(f"a.txt, chunk {number}" for number in range(5))
    assert describe_chunks(many) == f": {shown}; 2 more, all in log/data.dropped.jsonl"
    assert describe_chunks(many[:2]) == ": a.txt, chunk 0" and describe_chunks([None]) == ""
