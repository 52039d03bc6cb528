"""The checks on a small model's question and its answer: each reason to reject a pair, on either side of its limit."""

from __future__ import annotations

import pytest
from generators import CHINESE, ENGLISH
from generators import fact as fact_of

from data_processor.chunking import Chunk
from data_processor.pairs import Fact, Pair
from data_processor.small_model.pairs import fits_answer, question_problem, with_subject

FIRST = "Ann Pellow opened the Hexley Bridge on 3 May 1990 after the mayor and all of the town had waited."
TEXT = f"{FIRST} The Corrin ferry sank in 1912."


def fact(subject: str = "Hexley Bridge", title: str = "Bridges of Lower Varn") -> Fact:
    return Fact(FIRST, Chunk("a.txt", 0, 0, len(TEXT), TEXT, title), 0, len(FIRST), subject)


def problem_with(question: str, answer: str) -> str | None:
    return question_problem(Pair(question, answer, fact(), "model"))


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("When was the Hexley Bridge opened?", "3 May 1990", None),
        ("When was the Hexley Bridge opened？", "3 May 1990", None),
        ("When was the Hexley Bridge opened", "3 May 1990", "not a question"),
        ("When was the Hexley Bridge opened?", "", "answer empty or long"),
        ("What happened before the Hexley Bridge opened?", "the mayor and all of the town had", None),
        ("What happened before Hexley opened?", "the mayor and all of the town had waited", "answer empty or long"),
        ("When was the Hexley Bridge opened?", "1912", "answer not in its fact"),  # it is in the chunk
        ("Was the Hexley Bridge opened on 3 May 1990?", "3 May 1990", "answer in the question"),
        ("When was the Hexley Bridge of Lower Varn opened?", "3 May 1990", None),  # the title's words
        ("When was the Corrin Bridge opened in Hexley?", "3 May 1990", None),  # the chunk's
        ("When was the Torvald Bridge opened?", "3 May 1990", "a name or number that the chunk does not have"),
        ("Who opened the Hexley Bridge?", "3 May 1990", "asks for another kind of answer"),
        ("When did Hexley begin?", "3 May 1990", "shares no words with its fact"),  # one word shared
        ("When did Hexley have its bridge?", "3 May 1990", None),  # two
    ],
)
def test_a_pair_is_rejected_for_a_reason(question, answer, reason):
    assert problem_with(question, answer) == reason


@pytest.mark.parametrize(
    ("answer", "kind"), [("3 May 1990", "date"), ("Ann Pellow", "name"), ("the mayor", ""), ("Pellow", "")]
)
def test_the_kind_of_an_answer_is_that_of_the_whole_span(answer, kind):
    assert Pair("?", answer, fact(), "model").answer_kind == kind


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


@pytest.mark.parametrize(
    ("question", "kind", "fits"),
    [("When was it?", "date", True), ("When was it?", "name", False), ("Who was it?", "name", True),
     ("Who was it?", "", True), ("Tell me, please?", "name", True), ("WHEN was it?", "name", False)],
)  # fmt: skip
def test_a_question_word_suits_its_kind_of_answer(question, kind, fits):
    assert fits_answer(question, kind, "en") is fits


def test_a_pair_is_reverse_if_it_asks_for_the_subject():
    bridge = fact_of("Ann Pellow opened the Hexley Bridge in 1990.", subject="Hexley Bridge")
    assert Pair("Which bridge did Ann Pellow open?", "Hexley Bridge", bridge, "model").kind == "reverse"
    assert Pair("Who opened the Hexley Bridge?", "Ann Pellow", bridge, "model").kind == "qa"
