"""What kind of question a pair has, and the subject put before a question that does not name it."""

from __future__ import annotations

import pytest
from generators import CHINESE, ENGLISH
from generators import fact as fact_of

from data_processor.chunking import Chunk
from data_processor.pairs import Fact, Pair
from data_processor.small_model.cloze import with_subject

FIRST = "Ann Pellow opened the Hexley Bridge on 3 May 1990 after the mayor and all of the town had waited."
TEXT = f"{FIRST} The Corrin ferry sank in 1912."


def fact(subject: str = "Hexley Bridge", title: str = "Bridges of Lower Varn") -> Fact:
    return Fact(FIRST, Chunk("a.txt", 0, 0, len(TEXT), TEXT, title), 0, len(FIRST), subject)


@pytest.mark.parametrize(
    ("answer", "made_by", "kind"),
    [
        ("3 May 1990", "model", "qa"),
        ("Hexley Bridge", "model", "reverse"),
        ("the Hexley Bridge", "gap", "reverse"),
        ("Hexley", "model", "reverse"),
        ("Hexley Bridge", "unknown", "unknown"),
    ],
)
def test_a_pair_that_asks_for_the_subject_is_reversed(answer, made_by, kind):
    assert Pair("?", answer, fact(), made_by).kind == kind


@pytest.mark.parametrize(
    ("question", "answer", "subject", "expected_question"),
    [
        ("when was it opened?", "3 May 1990", "Hexley Bridge", "Hexley Bridge: when was it opened?"),
        # a word is enough
        ("when was the bridge opened?", "3 May 1990", "Hexley Bridge", "When was the bridge opened?"),
        ("what was opened?", "Hexley", "Hexley Bridge", "What was opened?"),  # it would give the answer away
        ("when was it opened?", "3 May 1990", "", "When was it opened?"),
    ],
)
def test_a_question_names_its_subject_unless_that_is_asked_for(question, answer, subject, expected_question):
    assert with_subject(question, fact(subject), answer, ENGLISH) == expected_question


def test_in_chinese_the_whole_subject_is_looked_for():
    assert with_subject("大桥何时通车？", fact("大桥"), "1990年", CHINESE) == "大桥何时通车？"
    assert with_subject("大路何时通车？", fact("大桥"), "1990年", CHINESE) == CHINESE.table["words"][
        "about_prefix"
    ].format(subject="大桥", question="大路何时通车？")


def test_a_pair_is_reverse_if_it_asks_for_the_subject():
    bridge = fact_of("Ann Pellow opened the Hexley Bridge in 1990.", subject="Hexley Bridge")
    assert Pair("Which bridge did Ann Pellow open?", "Hexley Bridge", bridge, "model").kind == "reverse"
    assert Pair("Who opened the Hexley Bridge?", "Ann Pellow", bridge, "model").kind == "qa"
