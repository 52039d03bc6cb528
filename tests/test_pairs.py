"""The checks on a question and its answer: each reason to reject a pair, with an example on either side of its limit."""

from __future__ import annotations

import json

import pytest
from generators import SilentBar
from generators import fact as fact_of
from scripted import ScriptedEngine

from data_processor import questions
from data_processor.chunking import Chunk
from data_processor.facts import Fact
from data_processor.pairs import (
    Pair,
    fits_answer,
    keep_entailed,
    normalize_answer,
    possible_answers,
    question_problem,
    verify_pairs,
    with_subject,
)
from data_processor.prompts import load_prompts
from data_processor.work import Work
from engines.chat import Reply

ENGLISH, CHINESE = (load_prompts()[language] for language in ("en", "zh"))
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
        (
            "when was the bridge opened?",
            "3 May 1990",
            "Hexley Bridge",
            "When was the bridge opened?",
        ),  # a word is enough
        ("what was opened?", "Hexley", "Hexley Bridge", "What was opened?"),  # it would give the answer away
        ("when was it opened?", "3 May 1990", "", "When was it opened?"),
    ],
)
def test_a_question_names_its_subject_unless_that_is_asked_for(question, answer, subject, expected_question):
    assert with_subject(question, fact(subject), answer, ENGLISH) == expected_question


def test_in_chinese_the_whole_subject_is_looked_for():
    assert with_subject("大桥何时通车？", fact("大桥"), "1990年", CHINESE) == "大桥何时通车？"
    assert with_subject("大路何时通车？", fact("大桥"), "1990年", CHINESE) == CHINESE.about_prefix.format(
        subject="大桥", question="大路何时通车？"
    )


@pytest.mark.parametrize(
    ("question", "kind", "fits"),
    [("When was it?", "date", True), ("When was it?", "name", False), ("Who was it?", "name", True),
     ("Who was it?", "", True), ("Tell me, please?", "name", True), ("WHEN was it?", "name", False)],
)  # fmt: skip
def test_a_question_word_suits_its_kind_of_answer(question, kind, fits):
    assert fits_answer(question, kind, "en") is fits


def test_answers_are_compared_by_their_words():
    assert normalize_answer("The  Hexley-Bridge.") == "the hexley bridge"


def test_possible_answers_are_spans_once_and_then_the_others():
    assert possible_answers(fact(), "the mayor", "3 May 1990") == [
        "Ann Pellow",
        "Hexley Bridge",
        "3 May 1990",
        "the mayor",
    ]


def test_a_pair_is_reverse_if_it_asks_for_the_subject():
    bridge = fact_of("Ann Pellow opened the Hexley Bridge in 1990.", subject="Hexley Bridge")
    assert Pair("Which bridge did Ann Pellow open?", "Hexley Bridge", bridge, "model").kind == "reverse"
    assert Pair("Who opened the Hexley Bridge?", "Ann Pellow", bridge, "model").kind == "qa"


def job(answer) -> Work:
    return Work(ScriptedEngine(answer), 0, SilentBar, questions)


WHEN, WHO = ("When was the Hexley Bridge opened?", "3 May 1990"), ("Who opened the Hexley Bridge?", "Ann Pellow")


def test_a_question_is_kept_if_its_fact_gives_the_answer_back():
    work = job(lambda prompt, _: '"3 May 1990"' if WHEN[0] in prompt else '"Hexley Bridge"')
    pairs = [Pair(question, answer, fact(), "model") for question, answer in (WHEN, WHO, WHEN, ("Who?", "nobody"))]
    assert verify_pairs(work, "questions", pairs) == pairs[:1]
    [(prompts, _, _, schemas)] = work.engine.calls
    assert len(prompts) == 2  # the third is a copy, the fourth has no answer in its fact
    assert all(FIRST in prompt for prompt in prompts)
    assert schemas == [{"enum": ["Ann Pellow", "Hexley Bridge", "3 May 1990"]}] * 2
    dropped = [(record["step"], record["reason"], record["text"], record["answer"]) for record in work.dropped]
    assert dropped == [
        ("questions", "near copy", *WHEN),
        ("questions", "answer not in its fact", "Who?", "nobody"),
        ("questions", "the question does not lead back to its answer", *WHO),
    ]
    assert work.dropped[-1]["read"] == '"Hexley Bridge"' and work.dropped[-1]["fact"] == FIRST


def test_a_pair_is_kept_if_the_model_says_that_it_follows():
    work = job(lambda prompt, _: json.dumps("yes" if "3 May 1990" in prompt.rpartition(FIRST)[2] else "no"))
    pairs = [Pair(question, answer, fact(), "model") for question, answer in (WHEN, WHO)]
    assert keep_entailed(work, "questions", pairs) == pairs[:1]
    assert work.dropped == [
        {"step": "questions", "reason": "the model finds that it does not follow", "text": WHO[0], "answer": WHO[1],
         "file_name": "a.txt", "chunk": 0, "fact": FIRST, "quote": FIRST}
    ]  # fmt: skip


def test_a_failed_check_is_counted_under_its_step():
    work = job(lambda prompt, _: Reply("", finish_reason="error", error="down"))
    assert keep_entailed(work, "questions", [Pair(*WHEN, fact(), "model")]) == []
    assert [record["step"] for record in work.dropped] == ["questions, entailed", "questions"]


def test_the_possible_answers_depend_on_the_chunk():
    text = "Corrin grew rich."
    for chunk, expected in ((text, []), (f"{text} Ships came to Corrin in May.", ["Corrin"])):
        assert possible_answers(Fact(text, Chunk("a.txt", 0, 0, len(chunk), chunk, ""), 0, len(text), "")) == expected
