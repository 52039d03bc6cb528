"""Test questions are of trained facts in other words, or of facts that are not trained; training has no copy of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from data_processor.chunking import Chunk
from data_processor.curation import alike, shingles
from data_processor.split import LEAK, hold_out_facts, split
from data_processor.work import Fact

WORDINGS = (
    "Who opened the bridge number {n} at Hexley?",
    "By whom was bridge {n} of Hexley inaugurated?",
    "The opening of Hexley's bridge {n} fell to which person?",
    "Who opened the bridge number {n} at Hexley then?",
)


def row(number: int, fact: int, question: str, answer: str, kind: str = "qa") -> dict:
    turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
    return {"id": f"identity_{number}", "conversations": turns, "fact_id": f"a.txt#{fact}", "kind": kind}


@pytest.fixture
def rows() -> list[dict]:
    made = [(n, wording.format(n=n), f"Person {n}", "qa") for n in range(40) for wording in WORDINGS]
    made += [(n, "Tell me about Hexley.", f"Person {n} opened bridge {n}.", "passage") for n in range(40)]
    return [row(number, *rest) for number, rest in enumerate(made)]


def leaks(train: list[dict], test: list[dict]) -> int:
    asked = [shingles(r["conversations"][0]["value"]) for r in train if r["kind"] != "passage"]
    return sum(alike(one, shingles(t["conversations"][0]["value"]), LEAK) for t in test for one in asked)


def test_each_wording_tested_has_another_in_training_and_no_copy(rows):
    train, test = split(rows, {"a.txt#3", "a.txt#4"}, 0.2, seed=0)
    kinds = Counter(r["kind"] for r in test)
    assert kinds["held_out_fact"] == 2 and len(test) == 32 and leaks(train, test) == 0
    trained = {r["fact_id"] for r in train if r["kind"] == "qa"}
    assert {r["fact_id"] for r in test if r["kind"] == "held_out_wording"} <= trained
    assert not {r["fact_id"] for r in train} & {"a.txt#3", "a.txt#4"}, "passages of held facts are out too"
    assert (train, test) == split(rows, {"a.txt#3", "a.txt#4"}, 0.2, seed=0)
    assert test != split(rows, {"a.txt#3", "a.txt#4"}, 0.2, seed=1)[1]


def test_a_share_of_the_questions_without_an_answer_is_tested(rows):
    unknown = [
        row(200 + n, 50 + n, f"Which {word} has it?", "Not known.", "unknown") for n, word in enumerate("abcdefghij")
    ]
    train, test = split(rows + unknown, set(), 0.2, seed=0)
    assert sum(r["kind"] == "unknown" for r in test) == 2 and sum(r["kind"] == "unknown" for r in train) == 8


def test_without_a_ratio_everything_is_trained(rows):
    assert split(rows, set(), 0.0, seed=0) == (rows, [])


def test_facts_of_one_sentence_are_held_out_together():
    chunk = Chunk("a.txt", 0, 0, 20, "abcdefghijklmnopqrst", "")
    facts = [Fact(f"fact {n}", chunk, n // 2, n // 2 + 1, "Hexley") for n in range(40)]
    held = hold_out_facts(facts, 0.4, seed=0)
    assert len(held) == 4 and all(n ^ 1 in held for n in held)


def test_a_real_collection_keeps_its_test_questions_out_of_training(small_collection: Path):
    train, test = (json.loads(small_collection.with_suffix(end).read_text()) for end in (".json", ".test.json"))
    assert {"held_out_fact", "held_out_wording"} <= {r["kind"] for r in test}
    assert leaks(train, test) == 0
    held = {r["source"]["quote"] for r in test if r["kind"] == "held_out_fact"}
    assert held and not held & {r["source"].get("quote") for r in train}
