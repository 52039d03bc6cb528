"""What a pair asks for, and where its row says that it comes from."""

from __future__ import annotations

import pytest
from generators import fact, work

from data_processor.chunking import Chunk
from data_processor.documents import Document
from data_processor.pairs import Fact, Pair
from data_processor.pipeline import Collected, make_source, to_rows

TEXT = "Ann Pellow opened the pier.\nIt is of oak.\n\nIt has lamps."


def test_a_question_that_asks_for_the_subject_is_reverse():
    bridge = fact("Ann Pellow opened the Hexley Bridge in 1990.", subject="Hexley Bridge")
    for question, answer, form, kind in (
        ("Which bridge did Ann Pellow open?", "Hexley Bridge", "short", "reverse"),
        ("Who opened the Hexley Bridge?", "Ann Pellow", "short", "qa"),
        ("Who opened the Hexley Bridge?", "Ann Pellow", "reverse", "reverse"),
        ("Did Ann Pellow open the Hexley Bridge?", "Yes, she opened the Hexley Bridge.", "yes_no", "qa"),
        ("Why was there a feast?", "Ann Pellow opened the Hexley Bridge.", "why", "qa"),
        ("What may be crossed on foot?", "the Hexley Bridge", "rule", "qa"),
    ):
        assert Pair(question, answer, bridge, "model", form=form).kind == kind
    assert Pair("Who?", "That is not known.", bridge, "unknown").kind == "unknown"


def test_a_row_leads_to_all_quotes_of_its_fact():
    chunk = Chunk("a.txt", 3, 0, len(TEXT), TEXT, "")
    told = Fact("The pier is of oak and has lamps.", chunk, 28, 41, "", "a pier", more=((43, 56),))
    pair = Pair("What is it of?", "oak", told, "model", form="short")
    [row] = to_rows(work(), [Document("a.txt", TEXT)], Collected(facts=[told], pairs=[pair]))
    assert row == {
        "id": "identity_0",
        "conversations": [{"from": "user", "value": "What is it of?"}, {"from": "assistant", "value": "oak"}],
        "fact": "The pier is of oak and has lamps.",
        "file_name": "a.txt",
        "kind": "qa",
        "role": "",
        "theme": "a pier",
        "fact_id": "a.txt#0",
        "form": "short",
        "source": {
            "chunk": 3,
            "start": 28,
            "end": 41,
            "quote": "It is of oak.",
            "more": [{"start": 43, "end": 56, "quote": "It has lamps."}],
        },
    }


@pytest.mark.parametrize("points", [(), ("of oak",)])
def test_only_a_long_answer_has_points_in_its_row(points):
    chunk = Chunk("a.txt", 0, 0, len(TEXT), TEXT, "")
    pair = Pair("What?", "oak", Fact("It is of oak.", chunk, 28, 41, ""), "model", points=points)
    [row] = to_rows(work(), [Document("a.txt", TEXT)], Collected(facts=[pair.fact], pairs=[pair]))
    assert row.get("points") == (list(points) or None) and "form" not in row


def test_a_question_without_an_answer_has_its_chunk_alone():
    chunk = Chunk("a.txt", 2, 0, len(TEXT), TEXT, "")
    pair = Pair("Who owns it?", "That is not known.", Fact("Nobody says.", chunk, 0, 0, ""), "unknown")
    assert make_source({"a.txt": Document("a.txt", TEXT)}, pair) == {"chunk": 2}
