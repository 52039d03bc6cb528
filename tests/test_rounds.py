"""Collection under a time budget: complete rounds, even over the documents, and the same after a kill. No model."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from clocks import handlers, running_clock  # noqa: F401
from generators import empty_work

from benchmarks.fault_server import FaultServer
from data_processor import rounds
from data_processor.arguments import METHODS, CollectionArguments
from data_processor.chunking import chunk_document, make_splitter
from data_processor.collection import collect_in_time
from data_processor.documents import Document, read_documents
from data_processor.pipeline import collect_all, split_into_units, to_rows
from data_processor.rounds import LATER_COST, describe_left_out, spread_evenly
from engines.chat import Reply
from engines.journal import JournaledEngine
from utils import InputError

DEMO = Path(__file__).resolve().parents[1] / "demo" / "documents"
DOCUMENTS = read_documents(str(DEMO))


class TimedEngine:
    """Gives two roles and little else of use, so that every sentence becomes a fact. Each call takes `pause` seconds."""

    name = "timed"

    def __init__(self, pause: float = 0.0, at_call=lambda number: None, wave: int = 8):
        self.pause, self.at_call, self.wave, self.asked = pause, at_call, wave, []

    def chat(self, conversations, *, schemas=None, on_reply=None, **options):
        replies, schemas = [], schemas if isinstance(schemas, list) else [schemas] * len(conversations)
        for conversation, schema in zip(conversations, schemas, strict=True):
            self.at_call(len(self.asked))
            time.sleep(self.pause)
            self.asked.append(str(conversation))
            replies.append(Reply("" if schema is None else json.dumps(least(schema, conversation[-1]["content"]))))
            if on_reply:
                on_reply(len(replies) - 1, replies[-1])
        return replies

    def waves(self, conversations, max_new_tokens):
        order = list(range(len(conversations)))
        return [order[start : start + self.wave] for start in range(0, len(order), self.wave)]


def least(schema: dict, prompt: str):
    """The least that a schema allows; a question for each item and an empty answer for each number, where these are asked for."""
    if schema["type"] == "string":
        return ""
    if schema["type"] == "object":
        return {"theme": "", "names": [], "roles": ["pupil", "nurse"], "facts": []}
    parts = schema["items"].get("properties", {})
    if not parts:
        return [] if "verdict" in str(schema) else ["pupil", "nurse"]
    if "number" in parts:
        return [{"number": number, "answer": ""} for number in parts["number"]["enum"]]
    if "sentence" in parts or "item" not in parts:
        return []
    lines = re.findall(r"^\d+\. (.*)", prompt, re.MULTILINE)
    more = {"form": "how", "answer": "so", "points": []} if "form" in parts else {}
    role = re.search(r"wants to know the same: (\w+)\.", prompt)
    asked = [f"{role[1] + ': ' if role else ''}{line.split(' | ')[0]}?" for line in lines]
    return [{"item": number, "question": text, **more} for number, text in enumerate(asked, 1)]


def collect_rows(tmp_path, seconds: float, engine: TimedEngine, documents=DOCUMENTS, clock=None, **changed):
    """(rows, facts, coverage) from a collection with a budget; its journals are in `tmp_path`."""
    arguments = CollectionArguments(json_save_dir=str(tmp_path / "data.json"), role_amount_per_fact=2, **changed)
    journal = JournaledEngine(engine, tmp_path / "data.journal.jsonl")
    work = empty_work(journal, arguments.guard)
    chunks = cut_into_chunks(documents)
    clock = clock or running_clock(tmp_path, seconds)
    collected, coverage = collect_in_time(work, documents, chunks, arguments, clock)
    return to_rows(work, documents, collected), collected.facts, coverage


def cut_into_chunks(documents: list[Document]):
    cut = make_splitter("tiktoken:gpt-4o", 256)
    return [chunk for document in documents for chunk in chunk_document(document, cut)]


def count_rows(rows: list[dict]) -> Counter:
    return Counter((row["kind"], row["conversations"][1]["value"], row["role"]) for row in rows)


@pytest.mark.parametrize("guard", ["quotes", "words"])
def test_a_budget_that_is_large_enough_leaves_nothing_out(tmp_path, handlers, guard):  # noqa: F811
    rows, facts, coverage = collect_rows(tmp_path, 600, TimedEngine(), guard=guard)
    arguments = CollectionArguments(role_amount_per_fact=2, guard=guard)
    plain = empty_work(TimedEngine(), guard)
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
        if number == 80:
            os.kill(os.getpid(), signal.SIGTERM)

    clock = running_clock(tmp_path, 60)
    _, _, coverage = collect_rows(tmp_path, 60, TimedEngine(at_call=stop, pause=0.001), clock=clock)
    assert coverage["stopped_by_signal"] == signal.SIGTERM == clock.stopped_by
    assert 0 < coverage["units_done"] < coverage["units"] or coverage["role_units_done"] < coverage["role_units"]


def test_a_budget_too_small_for_the_first_round_is_reported(tmp_path, handlers):  # noqa: F811
    with pytest.raises(InputError, match="expected a time budget in which the first 5 units"):
        collect_rows(tmp_path, 1.3, TimedEngine(pause=0.05))


@pytest.mark.parametrize(("guard", "kinds"), [("quotes", {"qa"}), ("words", {"qa", "reverse", "passage"})])
def test_the_first_facts_and_questions_are_kept_without_their_rewrites(tmp_path, handlers, monkeypatch, guard, kinds):  # noqa: F811
    def no_time(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(METHODS[guard], "write_texts", no_time)
    rows, _, coverage = collect_rows(tmp_path, 60, TimedEngine(), guard=guard)
    assert coverage["units_done"] == 5 and {row["kind"] for row in rows} == kinds
    clock = running_clock(tmp_path, 0.01)  # restarted, it rewrites nothing either
    again, _, _ = collect_rows(tmp_path, 0, TimedEngine(), clock=clock, guard=guard)
    assert count_rows(again) == count_rows(rows)
    monkeypatch.undo()
    longer, _, _ = collect_rows(tmp_path, 60, TimedEngine(), guard=guard)  # with more time everything is rewritten
    assert "passage" in {row["kind"] for row in longer} and set(count_rows(rows)) < set(count_rows(longer))


# one call at a time, nothing gets cheaper
@pytest.mark.parametrize(("wave", "later_cost"), [(8, LATER_COST), (1, 1.0)])
def test_one_round_is_a_calibration(tmp_path, handlers, wave, later_cost):  # noqa: F811
    _, _, coverage = collect_rows(tmp_path, 600, TimedEngine(pause=0.001, wave=wave), rounds=1)
    assert coverage["units_done"] == 5 and 0 < coverage["share_read"] < 1
    assert coverage["seconds_a_call"] >= 0.001
    first = json.loads((tmp_path / "log" / "data.rounds.jsonl").read_text().splitlines()[-1])["seconds"]
    rest = first * (1 / coverage["share_read"] - 1)  # themes aside
    assert coverage["seconds_of_all_facts"] == pytest.approx(first + later_cost * rest, rel=0.1, abs=0.1)
    assert coverage["seconds_of_a_role"] > 0
    assert not coverage["unknown_asked"] and coverage["role_units_done"] == 0


@pytest.mark.parametrize("guard", ["quotes", "words"])
def test_rounds_hold_out_as_large_a_share_of_the_facts_as_one_go(tmp_path, handlers, monkeypatch, guard):  # noqa: F811
    monkeypatch.setattr(rounds, "next_round_size", lambda left, *_: min(left, 3))
    arguments = CollectionArguments(json_save_dir=str(tmp_path / "data.json"), test_ratio=0.2, guard=guard)
    work = empty_work(JournaledEngine(TimedEngine(), tmp_path / "data.journal.jsonl"), guard)
    chunks = cut_into_chunks(DOCUMENTS)
    collected, _ = collect_in_time(work, DOCUMENTS, chunks, arguments, running_clock(tmp_path, 600))
    share = 0.05 * len(collected.facts)
    assert share <= len(collected.held_ids) < share + 3  # facts from one sentence stay together


@pytest.mark.parametrize(("guard", "most"), [("quotes", 100), ("words", 3)])
def test_units_are_of_one_chunk_and_evenly_spread_over_the_documents(guard, most):
    chunks = cut_into_chunks(DOCUMENTS)
    units = spread_evenly(split_into_units(empty_work(None, guard), chunks))
    assert all(1 <= len(unit) <= most and len({item.chunk for item in unit}) == 1 for unit in units)
    assert guard == "words" or len(units) == len(chunks), "a chunk is read as a whole"
    names = [unit[0].chunk.file_name for unit in units]
    assert len(set(names[:5])) == 5 and dataclasses.is_dataclass(units[0][0])


def test_a_real_collection_ends_at_ctrl_c_with_the_finished_rounds_and_resumes(tmp_path):
    def start_collection(server: FaultServer, concurrency: int) -> subprocess.Popen:
        options = f"--api_model m --api_base {server.address} --concurrency {concurrency} --data_path demo/documents"
        options += (
            f" --json_save_dir {tmp_path}/data.json --chunk_size_by_token 64 --role_amount_per_fact 0 --time_budget 20m"
        )
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
