"""Collection under a time budget: complete rounds, even over the documents, and the same after a kill. No model."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from clocks import handlers, running_clock  # noqa: F401
from generators import SilentBar

from benchmarks.fault_server import FaultServer
from data_processor import pipeline, rounds
from data_processor.chunking import chunk_document, make_splitter
from data_processor.collection import QUESTIONS, CollectionArguments, collect_in_time
from data_processor.documents import Document, read_documents
from data_processor.pipeline import collect_all, split_into_units, to_rows
from data_processor.rounds import LATER_COST, describe_left_out, spread_evenly
from data_processor.work import Work
from engines.chat import Reply
from engines.journal import JournaledEngine
from utils import InputError

DEMO = Path(__file__).resolve().parents[1] / "demo" / "documents"
DOCUMENTS = read_documents(str(DEMO))


class TimedEngine:
    """Gives two roles and nothing else of use, so that every sentence becomes a fact. Each call takes `pause` seconds."""

    name = "timed"

    def __init__(self, pause: float = 0.0, at_call=lambda number: None, wave: int = 8):
        self.pause, self.at_call, self.wave, self.asked = pause, at_call, wave, []

    def chat(self, conversations, *, schemas=None, on_reply=None, **options):
        replies, schemas = [], schemas if isinstance(schemas, list) else [schemas] * len(conversations)
        for conversation, schema in zip(conversations, schemas, strict=True):
            self.at_call(len(self.asked))
            time.sleep(self.pause)
            self.asked.append(str(conversation))
            kind = "object" if "object" in str(schema) else schema and schema.get("type")
            replies.append(Reply({"object": "[]", "array": '["pupil", "nurse"]', "string": '""'}.get(kind, "")))
            if on_reply:
                on_reply(len(replies) - 1, replies[-1])
        return replies

    def waves(self, conversations, max_new_tokens):
        order = list(range(len(conversations)))
        return [order[start : start + self.wave] for start in range(0, len(order), self.wave)]


def collect_rows(tmp_path, seconds: float, engine: TimedEngine, documents=DOCUMENTS, clock=None, **changed):
    """(rows, facts, coverage) from a collection with a budget; its journals are in `tmp_path`."""
    arguments = CollectionArguments(json_save_dir=str(tmp_path / "data.json"), role_amount_per_fact=2, **changed)
    journal = JournaledEngine(engine, tmp_path / "data.journal.jsonl")
    work = Work(journal, 0, SilentBar, QUESTIONS[arguments.guard])
    chunks = cut_into_chunks(documents)
    clock = clock or running_clock(tmp_path, seconds)
    collected, coverage = collect_in_time(work, documents, chunks, arguments, clock)
    return to_rows(work, documents, collected), collected.facts, coverage


def cut_into_chunks(documents: list[Document]):
    cut = make_splitter("tiktoken:gpt-4o", 256)
    return [chunk for document in documents for chunk in chunk_document(document, cut)]


def count_rows(rows: list[dict]) -> Counter:
    return Counter((row["kind"], row["conversations"][1]["value"], row["role"]) for row in rows)


@pytest.mark.parametrize("guard", ["names", "words"])
def test_a_budget_that_is_large_enough_leaves_nothing_out(tmp_path, handlers, guard):  # noqa: F811
    rows, facts, coverage = collect_rows(tmp_path, 600, TimedEngine(), guard=guard)
    arguments = CollectionArguments(role_amount_per_fact=2, guard=guard)
    plain = Work(TimedEngine(), 0, SilentBar, QUESTIONS[guard])
    whole = collect_all(plain, cut_into_chunks(DOCUMENTS), arguments)
    assert {fact.text for fact in facts} == {fact.text for fact in whole.facts}
    assert count_rows(rows) == count_rows(to_rows(plain, DOCUMENTS, whole))
    assert describe_left_out(coverage) == "left out for lack of time: nothing" and coverage["documents_covered"] == len(
        DOCUMENTS
    )
    assert len({row["id"] for row in rows}) == len(rows)


def test_a_small_budget_takes_an_even_part_and_is_not_overrun(tmp_path, handlers):  # noqa: F811
    started = time.monotonic()
    rows, _, coverage = collect_rows(tmp_path, 3.0, TimedEngine(pause=0.015))
    assert time.monotonic() - started < 3.3
    assert 5 <= coverage["units_done"] < coverage["units"] and coverage["role_units_done"] == 0
    counts = Counter(row["file_name"] for row in rows if row["kind"] == "qa")
    assert set(counts) == {document.file_name for document in DOCUMENTS} and max(counts.values()) < 4 * min(
        counts.values()
    )
    assert (
        f"{coverage['sentences'] - coverage['sentences_read']} of {coverage['sentences']} sentences"
        in describe_left_out(coverage)
    )


def test_after_a_kill_the_same_rounds_are_made_and_nothing_is_asked_twice(tmp_path, handlers):  # noqa: F811
    (tmp_path / "unbroken").mkdir()
    unbroken = TimedEngine()
    whole, _, _ = collect_rows(tmp_path / "unbroken", 600, unbroken)

    def kill(number: int) -> None:
        if number and number % 90 == 0:
            raise MemoryError("like a kill: nothing is cleaned up")

    asked = 0
    for _ in range(100):
        engine = TimedEngine(at_call=kill)
        with contextlib.suppress(MemoryError):
            rows, _, _ = collect_rows(tmp_path, 600, engine)
            asked += len(engine.asked)
            break
        asked += len(engine.asked)
    assert count_rows(rows) == count_rows(whole)
    assert asked - len(unbroken.asked) <= 8 * (asked // 90)  # at most the wave that a kill cut short


def test_finished_rounds_stay_in_the_dataset_when_time_runs_out(tmp_path, handlers):  # noqa: F811
    first, _, before = collect_rows(tmp_path, 3.0, TimedEngine(pause=0.015))
    clock = running_clock(tmp_path, 0.01)  # a restart after a crash, with the stage's share long used up
    rows, _, after = collect_rows(tmp_path, 0, TimedEngine(pause=0.015), clock=clock)
    assert after["units_done"] == before["units_done"] and count_rows(rows) == count_rows(first)


def test_rounds_recorded_with_other_settings_are_not_reused(tmp_path, handlers):  # noqa: F811
    collect_rows(tmp_path, 600, TimedEngine(), rounds=1)
    clock = running_clock(tmp_path, 1.3)
    with pytest.raises(InputError, match="expected a time budget"):  # nothing of it is asked beyond the deadline
        collect_rows(tmp_path, 0, TimedEngine(pause=0.05), clock=clock, guard="words")
    assert clock.left() > -0.3


def test_a_signal_ends_it_with_the_finished_rounds(tmp_path, handlers):  # noqa: F811
    def stop(number: int) -> None:
        if number == 400:
            os.kill(os.getpid(), signal.SIGTERM)

    clock = running_clock(tmp_path, 60)
    _, _, coverage = collect_rows(tmp_path, 60, TimedEngine(at_call=stop, pause=0.001), clock=clock)
    assert coverage["stopped_by_signal"] == signal.SIGTERM == clock.stopped_by
    assert 0 < coverage["units_done"] < coverage["units"] or coverage["role_units_done"] < coverage["role_units"]


def test_a_budget_too_small_for_the_first_round_is_reported(tmp_path, handlers):  # noqa: F811
    with pytest.raises(InputError, match="expected a time budget in which the first 5 units"):
        collect_rows(tmp_path, 1.3, TimedEngine(pause=0.05))


def test_the_first_facts_and_questions_are_kept_without_their_rewrites(tmp_path, handlers, monkeypatch):  # noqa: F811
    def no_time(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(pipeline, "rewrite_facts", no_time)
    rows, _, coverage = collect_rows(tmp_path, 60, TimedEngine(), guard="words")
    assert coverage["units_done"] == 5 and {"qa", "reverse"} <= {row["kind"] for row in rows}
    clock = running_clock(tmp_path, 0.01)  # restarted, it rewrites nothing either
    again, _, _ = collect_rows(tmp_path, 0, TimedEngine(), clock=clock, guard="words")
    assert count_rows(again) == count_rows(rows)
    monkeypatch.undo()
    longer, _, _ = collect_rows(tmp_path, 60, TimedEngine(), guard="words")  # with more time everything is rewritten
    assert "passage" in {row["kind"] for row in longer} and set(count_rows(rows)) < set(count_rows(longer))


@pytest.mark.parametrize(
    ("wave", "later_cost"), [(8, LATER_COST), (1, 1.0)]
)  # one call at a time, nothing gets cheaper
def test_one_round_is_a_calibration(tmp_path, handlers, wave, later_cost):  # noqa: F811
    _, _, coverage = collect_rows(tmp_path, 600, TimedEngine(pause=0.001, wave=wave), rounds=1)
    assert coverage["units_done"] == 5 and 0 < coverage["share_read"] < 1
    assert coverage["seconds_a_call"] >= 0.001
    first = json.loads((tmp_path / "log" / "data.rounds.jsonl").read_text().splitlines()[-1])["seconds"]
    rest = first * (1 / coverage["share_read"] - 1)  # themes aside
    assert coverage["seconds_of_all_facts"] == pytest.approx(first + later_cost * rest, rel=0.1, abs=0.1)
    assert coverage["seconds_of_a_role"] > 0
    assert not coverage["unknown_asked"] and coverage["role_units_done"] == 0


def test_rounds_hold_out_as_large_a_share_of_the_facts_as_one_go(tmp_path, handlers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(rounds, "next_round_size", lambda left, *_: min(left, 3))
    arguments = CollectionArguments(json_save_dir=str(tmp_path / "data.json"), test_ratio=0.2)
    work = Work(JournaledEngine(TimedEngine(), tmp_path / "data.journal.jsonl"), 0, SilentBar, QUESTIONS["names"])
    chunks = cut_into_chunks(DOCUMENTS)
    collected, _ = collect_in_time(work, DOCUMENTS, chunks, arguments, running_clock(tmp_path, 600))
    share = 0.05 * len(collected.facts)
    assert share <= len(collected.held_ids) < share + 3  # facts from one sentence stay together


def test_units_are_short_and_evenly_spread_over_the_documents():
    units = spread_evenly(split_into_units(cut_into_chunks(DOCUMENTS)))
    assert all(1 <= len(unit) <= 3 and len({item.chunk for item in unit}) == 1 for unit in units)
    names = [unit[0].chunk.file_name for unit in units]
    assert len(set(names[:5])) == 5 and dataclasses.is_dataclass(units[0][0])


def test_a_real_collection_ends_at_ctrl_c_with_the_finished_rounds_and_resumes(tmp_path):
    def start_collection(server: FaultServer, concurrency: int) -> subprocess.Popen:
        options = f"--api_model m --api_base {server.address} --concurrency {concurrency} --data_path demo/documents"
        options += f" --json_save_dir {tmp_path}/data.json --limit 5 --role_amount_per_fact 0 --time_budget 20m"
        command = [sys.executable, "data_processor/data_collection_api.py", *options.split()]
        return subprocess.Popen(
            command, cwd=DEMO.parents[1], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    with FaultServer(delay_s=0.02) as server:
        first = start_collection(server, 1)
        rounds, deadline = tmp_path / "log" / "data.rounds.jsonl", time.monotonic() + 300
        while time.monotonic() < deadline and not (rounds.is_file() and "seconds" in rounds.read_text()):
            time.sleep(0.1)
        time.sleep(0.5)
        first.send_signal(signal.SIGINT)
        output = first.communicate(timeout=60)[0]
        assert first.returncode == 130 and "run this again to continue" in output, output[-2000:]
        part = json.loads((tmp_path / "log" / "data.meta.json").read_text())["budget"]
        assert 5 <= part["units_done"] < part["units"] and part["documents_covered"] == 5
        assert "seconds" not in json.loads((tmp_path / "run.json").read_text())["stages"][0]

        server.delay_s = 0.0
        second = start_collection(server, 8)
        output = second.communicate(timeout=300)[0]
        assert second.returncode == 0 and "continues towards its deadline" in output, output[-2000:]
        whole = json.loads((tmp_path / "log" / "data.meta.json").read_text())
        assert whole["calls"]["from_journal"] > 0 and whole["budget"]["units_done"] == part["units"]
        prompts = [json.dumps(call["body"], sort_keys=True) for call in server.calls]
        assert len(prompts) - len(set(prompts)) <= 1  # the call that was in progress
