"""The whole method: how documents affect one another, and a run in one go against a run in rounds. No model."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from clocks import handlers, running_clock  # noqa: F401
from generators import ReadingEngine, empty_work, work

from data_processor import rounds
from data_processor.arguments import CollectionArguments
from data_processor.chunking import chunk_document, make_splitter
from data_processor.collection import collect_in_time
from data_processor.documents import Document, read_documents
from data_processor.pipeline import collect_all, drop_duplicates, to_rows
from engines.journal import JournaledEngine

DEMO = Path(__file__).resolve().parents[1] / "demo" / "documents"


@pytest.mark.parametrize("guard", ["quotes", "words"])
def test_a_run_in_rounds_makes_the_same_rows_as_a_run_in_one_go(tmp_path, handlers, monkeypatch, guard):  # noqa: F811
    """But in another order. A small model's passage retells facts that one round read from a chunk, so a chunk read by
    several rounds has other passages."""
    documents, cut = (
        read_documents(str(DEMO))[: 2 if guard == "quotes" else None],
        make_splitter("tiktoken:gpt-4o", 128),
    )
    chunks = [chunk for document in documents for chunk in chunk_document(document, cut)]
    arguments = CollectionArguments(guard=guard, json_save_dir=str(tmp_path / "data.json"))
    whole = empty_work(ReadingEngine(), guard)
    part = empty_work(JournaledEngine(ReadingEngine(), tmp_path / "data.journal.jsonl"), guard)
    monkeypatch.setattr(rounds, "next_round_size", lambda left, *_: min(left, 7 if guard == "words" else 2))
    collected, _ = collect_in_time(part, documents, chunks, arguments, running_clock(tmp_path, 600))
    in_one_go = collect_all(whole, chunks, arguments)

    def count_rows(rows: list[dict]) -> Counter:
        counts = Counter()
        for row in rows:
            question, answer = (turn["value"] for turn in row["conversations"])
            if row["kind"] == "passage":
                question = ""  # "Tell me about ..." in one of several forms, by the number of the row
            if row["kind"] == "unknown":
                answer = ""  # says that it is not known, in one of several forms
            rest = {key: row.get(key) for key in ("kind", "form", "role", "fact", "file_name", "theme", "source")}
            if guard == "quotes" or row["kind"] != "passage" or not row["role"]:
                counts[json.dumps([question, answer, rest])] += 1
        return counts

    rows, rows_in_one_go = to_rows(part, documents, collected), to_rows(whole, documents, in_one_go)
    assert count_rows(rows) == count_rows(rows_in_one_go)
    assert {"qa", "reverse", "unknown", "passage"} == {row["kind"] for row in rows}
    assert guard == "words" or "two" in {row.get("form") for row in rows}
    roles = {"pupil", "clerk"} if guard == "quotes" else set()  # a small model asks nothing
    assert {*roles, "a short news report"} <= {row["role"] for row in rows}
    assert Counter(record["reason"] for record in part.dropped) == Counter(record["reason"] for record in whole.dropped)


@pytest.mark.parametrize(("guard", "texts"), [("quotes", 10), ("words", 20)])
def test_held_out_facts_appear_in_no_passage(guard, texts):
    documents, cut = read_documents(str(DEMO)), make_splitter("tiktoken:gpt-4o", 128)
    chunks = [chunk for document in documents for chunk in chunk_document(document, cut)]
    collected = collect_all(
        empty_work(ReadingEngine(), guard), chunks, CollectionArguments(test_ratio=0.4, guard=guard)
    )
    held = [fact.text for fact in collected.held_facts]
    assert len(held) >= 0.1 * len(collected.facts) and len(collected.texts) > texts
    assert not [text for text in held for _, _, passage in collected.texts if text in passage]
    assert {name.rsplit("#")[0] for name in collected.held_ids} <= {document.file_name for document in documents}


@pytest.mark.parametrize("guard", ["quotes", "words"])
def test_nothing_is_asked_about_a_chunk_of_headings_alone(guard):
    text = "\n\n".join(f"Heading {number} of Hexley" for number in range(40))
    document = Document("a.txt", f"Bridges\n\n{text}\n\nAnn Pellow opened the Hexley Bridge on 3 May 1990.")
    chunks = chunk_document(document, make_splitter("tiktoken:gpt-4o", 64))
    collected = collect_all(empty_work(ReadingEngine(), guard), chunks, CollectionArguments(guard=guard))
    assert len(chunks) > 1 and list(collected.themes) == chunks[-1:]
    assert {pair.fact.chunk for pair in collected.pairs} == {chunks[-1]}


@pytest.mark.parametrize("guard", ["quotes", "words"])
def test_a_change_to_one_document_repeats_no_prompts_about_the_others(guard):
    """But those on two facts of the main method, which puts facts of different documents together."""

    class RecordingEngine(ReadingEngine):
        def __init__(self):
            self.asked: set[str] = set()

        def chat(self, conversations, *, schemas=None, **options):
            listed = schemas if isinstance(schemas, list) else [schemas] * len(conversations)
            self.asked |= {str(call) for call in zip(conversations, listed, strict=True)}
            return super().chat(conversations, schemas=schemas, **options)

    def prompts_for(first: str) -> set[str]:
        documents = [Document("a.txt", first), Document("b.txt", (DEMO / "season_review.txt").read_text())]
        cut, engine = make_splitter("tiktoken:gpt-4o", 128), RecordingEngine()
        chunks = [chunk for document in documents for chunk in chunk_document(document, cut)]
        collect_all(empty_work(engine, guard), chunks, CollectionArguments(guard=guard))
        return {asked for asked in engine.asked if "two by two" not in asked}

    alone = prompts_for("Nothing at all\n\nNothing.")
    in_roles = {call for call in alone if "Otters" in call and ("clerk" in call or "pupil" in call)}
    assert guard == "words" or len(in_roles) > 3
    company = (DEMO / "company_year.txt").read_text().split("\n\n")
    for paragraphs in (2, 4):
        beside_another = prompts_for("\n\n".join(company[:paragraphs]))
        assert not {call for call in alone - beside_another if "Nothing" not in call}


def test_a_whole_collection_of_a_policy_without_names_or_numbers():
    """Every kind of row, each checked by the model that is asked again; a sentence that states nothing gives none."""
    text = (
        "Leave policy\n\nEmployees must tell their manager before they take a day off. Passwords are never shared, not even "
        "with administrators. Nothing.\n\nThe notice must contain:\n- the date\n- the reason\n"
    )
    document = Document("policy.txt", text)
    chunks = chunk_document(document, make_splitter("tiktoken:gpt-4o", 128))
    job = empty_work(ReadingEngine(), "quotes", verify=True)
    collected = collect_all(job, chunks, CollectionArguments())
    assert [fact.text for fact in collected.facts] == [
        "Employees must tell their manager before they take a day off.",
        "Passwords are never shared, not even with administrators.",
        "the date",
        "the reason",
    ]
    rows = to_rows(job, [document], collected)
    assert {row["kind"] for row in rows} == {"qa", "unknown", "passage"}
    asked = [row for row in rows if row["kind"] == "qa"]
    assert {row["conversations"][1]["value"] for row in asked} >= {"off", "administrators"}
    assert all(text[row["source"]["start"] : row["source"]["end"]] == row["source"]["quote"] for row in asked)
    assert job.drops["rest: states nothing: other"] == 1


def test_a_pair_made_by_two_steps_is_trained_once():
    def row(question: str, answer: str) -> dict:
        turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
        return {"conversations": turns, "file_name": "a.txt", "fact": "It opened in 1990.", "source": {"chunk": 2}}

    job = work()
    first, other, again = row("When?", "1990"), row("When?", "in 1990"), row("When?", "1990")
    assert drop_duplicates(job, [first, other, again]) == [first, other]
    (dropped,) = job.dropped
    assert job.drops == {"dataset: the same question and answer twice": 1}
    assert [dropped[key] for key in ("text", "answer", "file_name", "chunk")] == ["When?", "1990", "a.txt", 2]
