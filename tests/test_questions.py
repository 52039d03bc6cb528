"""Questions of all kinds on the facts of a chunk, in roles, and without an answer: which are kept, and with what points."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from generators import work

from data_processor.checks import NOT_CHECKED
from data_processor.chunking import Chunk
from data_processor.pairs import Fact, Pair
from data_processor.questions import (
    ask_questions,
    ask_unknown,
    diversify,
    first_word,
    keep_balanced,
    question_problem,
)
from engines.chat import Reply

TEXT = (
    "The pier of Sandhaven was opened on 3 May 1990 by Ann Pellow. Dogs may not be taken on to it, because it is of soft oak "
    "and their claws would ruin the planks within a year or two."
)
PIER = Chunk("a.txt", 0, 0, len(TEXT), TEXT, "The pier")
OPENED = Fact("Ann Pellow opened the pier of Sandhaven on 3 May 1990.", PIER, 0, 61, "pier")
DOGS = Fact("Dogs may not be taken on to the pier of Sandhaven.", PIER, 62, len(TEXT), "pier")


def told(item: int, question: str, answer: str, form: str = "short", points: tuple[str, ...] = ()) -> dict:
    return {"item": item, "form": form, "question": question, "answer": answer, "points": list(points)}


def reply(*pairs: dict) -> str:
    return json.dumps(list(pairs), ensure_ascii=False)


def questions_of(pairs: list[Pair]) -> list[str]:
    return [pair.question for pair in pairs]


def dropped(job) -> list[tuple[str, str]]:
    return [(record["text"], record["reason"]) for record in job.dropped]


def test_each_pair_belongs_to_the_fact_of_its_number_and_each_fact_has_so_many():
    pairs = reply(
        told(2, "May dogs go on to the pier?", "never", "rule"),
        told(1, "Who opened the pier?", "Ann  Pellow"),
        told(1, "When was the pier opened?", "3 May 1990"),
        told(1, "What did Ann Pellow open?", "the pier of Sandhaven", "reverse"),
    )
    job = work(pairs)
    found = ask_questions(job, [OPENED, DOGS], 2)
    assert [(one.fact is OPENED, one.question, one.answer, one.form, one.kind, one.made_by) for one in found] == [
        (True, "Who opened the pier?", "Ann Pellow", "short", "qa", "model"),
        (True, "When was the pier opened?", "3 May 1990", "short", "qa", "model"),
        (False, "May dogs go on to the pier?", "never", "rule", "qa", "model"),
    ]
    [asked] = job.engine.asked
    assert f"1. {OPENED.text}\n2. {DOGS.text}" in asked[-1]["content"] and TEXT in asked[-1]["content"]


def test_questions_beyond_the_number_asked_for_are_recorded():
    job = work(reply(told(1, "Who opened the pier?", "Ann Pellow"), told(1, "When was it opened?", "3 May 1990")))
    assert len(ask_questions(job, [OPENED], 1)) == 1
    assert dropped(job) == [("When was it opened?", "more than were asked for")]


def test_a_question_the_other_way_round_is_reverse_by_its_form():
    job = work(reply(told(1, "What may dogs not be taken on to?", "Sandhaven's boards", "reverse")))
    assert [one.kind for one in ask_questions(job, [DOGS], 2)] == ["reverse"]


def test_a_fact_that_is_not_asked_about_is_counted_unless_the_call_failed():
    for answer, drops in (("[]", {"questions: skipped as vague": 1}), (failed(), {"questions: call failed": 1})):
        job = work(answer)
        assert ask_questions(job, [DOGS], 2) == [] and job.drops == Counter(drops)


def failed() -> Reply:
    return Reply("", finish_reason="error", error="down")


def test_more_facts_than_a_request_takes_are_asked_about_in_two():
    facts = [Fact(f"Boat {letter} is old.", PIER, 0, 61, "pier") for letter in "ABCDEFGHI"]
    job = work("[]")
    assert ask_questions(job, facts[:8], 1) == [] and len(job.engine.asked) == 1
    job = work("[]", reply(told(5, "How old is boat I?", "old", "how")))
    assert [one.fact.text for one in ask_questions(job, facts, 1)] == ["Boat I is old."]
    assert [schema["items"]["properties"]["item"]["enum"] for schema in job.engine.schemas] == [
        [1, 2, 3, 4],
        [1, 2, 3, 4, 5],
    ]


@pytest.mark.parametrize(
    ("question", "answer", "form", "reason"),
    [
        ("When was the pier opened?", "3 May 1990", "short", None),
        ("Was wurde eröffnet", "die Seebrücke", "short", None),  # no rule of one language
        ("When was the pier opened?", "4 May 1990", "short", "a number that its chunk does not have"),
        ("What happened in 1991?", "Ann opened it", "short", "a number that its chunk does not have"),
        ("Was the pier opened in 1991?", "No, in 1990.", "yes_no", None),  # what is not so is asked too
        ("Was the pier opened in May?", "No, in 1991.", "yes_no", "a number that its chunk does not have"),
        ("Was the pier opened on 3 May 1990?", "3 May 1990", "short", "answer in the question"),
        ("Is it so that dogs may not be taken on to it?", "dogs may not be taken", "rule", None),
        (" ".strip(), "3 May 1990", "short", "question or answer empty"),
        ("When?", "", "short", "question or answer empty"),
        ("Why?", " ".join(["oak"] * 40), "why", None),
        ("Why?", " ".join(["oak"] * 41), "why", "answer of more than 40 words"),
        ("How?", " ".join(["oak"] * 120), "steps", None),
        ("How?", " ".join(["oak"] * 121), "steps", "answer of more than 120 words"),
        ("为什么？", "木" * 100, "why", None),
        ("为什么？", "木" * 101, "why", "answer of more than 40 words"),
    ],
)
def test_a_pair_is_rejected_for_a_reason(question, answer, form, reason):
    assert question_problem(Pair(question, answer, OPENED, "model", form=form)) == reason


def test_a_number_of_the_other_fact_of_two_is_none_of_its_own():
    other = Chunk("b.txt", 0, 0, 23, "Corrin has 800 houses.", "Corrin")
    second = Fact("Corrin has 800 houses.", other, 0, 22, "Corrin")
    pair = Pair("How many houses has her town?", "800", OPENED, "model", "", "two")
    assert question_problem(pair) == "a number that its chunk does not have"
    pair.second = second
    assert question_problem(pair) is None


def test_questions_that_differ_in_a_number_are_two():
    chunk = Chunk("a.txt", 0, 0, 40, "Boats 1 and 2 are of oak. Boat 3 is new.", "")
    boats = Fact("Boats 1 and 2 are of oak.", chunk, 0, 25, "")
    question = "What kind of wood is the old boat number {} of the town of Sandhaven made of?"
    asked = [told(1, question.format(number), "oak") for number in (1, 2)] + [told(1, question.format(1) + "!", "oak")]
    job = work(reply(*asked))
    assert questions_of(ask_questions(job, [boats], 5)) == [question.format(1), question.format(2)]
    assert job.drops == Counter({"questions: near copy": 1})


def test_nearly_the_same_question_is_a_copy_only_with_the_same_answer():
    question = "What may never be taken on to the long and very old pier of Sandhaven{}"
    asked = [
        told(1, question.format("?"), "dogs"),
        told(1, question.format("!"), "Dogs."),
        told(1, question.format("?"), "claws"),
    ]
    job = work(reply(*asked))
    assert [one.answer for one in ask_questions(job, [DOGS], 5)] == ["dogs", "claws"]
    assert job.drops == Counter({"questions: near copy": 1})


LONG = "Since their claws would ruin the planks within a year or two."


@pytest.mark.parametrize(
    ("answer", "given", "points"),
    [
        ("Ann Pellow", ["Ann"], ()),
        ("It is eight words long and no longer.", ["oak"], ()),
        (LONG, ["their claws", "ruin the planks"], ("their claws", "ruin the planks")),
        (LONG, ["Their Claws", "their teeth"], ("Their Claws",)),  # the second is neither in the answer nor in the text
        (LONG, ["their teeth"], ("claws would ruin", "planks within a year", "two")),
        (LONG, [], ("claws would ruin", "planks within a year", "two")),
    ],
)
def test_a_long_answer_has_points_that_stand_in_it_and_in_the_text(answer, given, points):
    job = work(reply(told(1, "Why may dogs not go there?", answer, "why", tuple(given))))
    [pair] = ask_questions(job, [DOGS], 1)
    assert pair.points == points


def test_an_answer_that_begins_with_yes_or_no_has_no_points():
    long = "No, dogs may not be taken on to it, because of their claws."
    [pair, _] = ask_questions(
        work(
            reply(
                told(1, "May dogs go on to the pier?", long, "yes_no", ("their claws",)),
                told(1, "Must dogs stay off the pier?", "Yes.", "yes_no"),
            )
        ),
        [DOGS],
        2,
    )
    assert (pair.answer, pair.points) == (long, ())


def yes_or_no(*answers: str, chunk: Chunk = PIER) -> list[Pair]:
    fact = Fact("It is.", chunk, 0, 6, "")
    return [Pair(f"Question {n}?", answer, fact, "model", form="yes_no") for n, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        (["Yes, a.", "No, b."], ["Yes, a.", "No, b."]),
        (["Yes, a.", "Yes. b", "No, c.", "Yes"], ["Yes, a.", "No, c."]),
        (["Yes, a.", "Yes, b.", "Yes, c."], ["Yes, a."]),
        (["是，甲。", "是。", "不是，乙。"], ["是，甲。", "不是，乙。"]),
        (["Ja, a.", "Nein, b.", "nein", "ja"], ["Ja, a.", "Nein, b.", "nein", "ja"]),
        (["Yes, a.", "。", "No, b."], ["Yes, a.", "。", "No, b."]),
    ],
)
def test_yes_and_no_are_in_balance(answers, kept):
    job = work()
    assert [pair.answer for pair in keep_balanced(job, yes_or_no(*answers))] == kept
    assert job.drops.total() == len(answers) - len(kept)


def test_the_balance_is_of_each_chunk_and_of_no_other_form():
    other = Chunk("b.txt", 0, 0, 6, "It is.", "")
    pairs = [
        *yes_or_no("Yes", "No"),
        *yes_or_no("Yes", "Yes", chunk=other),
        Pair("How?", "Yes", DOGS, "model", form="how"),
    ]
    assert keep_balanced(work(), pairs) == [*pairs[:3], pairs[4]]


def test_the_first_word_is_what_comes_before_a_mark_or_a_space():
    assert [first_word(text) for text in ("Yes, it is.", "NO.", "是，桥", "はい、そう", ".")] == [
        "yes",
        "no",
        "是",
        "はい",
        "",
    ]


def test_a_role_asks_in_other_words_and_the_answer_stays():
    pair = Pair("Why may dogs not go there?", LONG, DOGS, "model", form="why", points=("their claws",))
    again = Pair("Who opened the pier?", "Ann Pellow", OPENED, "model", form="short")
    by_rule = Pair("Who?", "Ann", OPENED, "unknown")
    engineer = [
        {"item": 2, "question": "Which person opened the planks?"},
        {"item": 1, "question": "Are paws a danger?"},
    ]
    job = work(json.dumps([{"item": 1, "question": "Where can I not walk Rex?"}]), json.dumps(engineer))
    kept = diversify(job, [pair, again, by_rule], {PIER: ["walker", "engineer"]})
    assert [(one.question, one.answer, one.role, one.form, one.points, one.made_by, one.fact) for one in kept] == [
        ("Where can I not walk Rex?", LONG, "walker", "why", ("their claws",), "role", DOGS),
        ("Which person opened the planks?", "Ann Pellow", "engineer", "short", (), "role", OPENED),
        ("Are paws a danger?", LONG, "engineer", "why", ("their claws",), "role", DOGS),
    ]
    first = job.engine.asked[0][-1]["content"]
    assert f"1. {pair.question} | {LONG}\n2. {again.question} | Ann Pellow" in first and "the same: walker." in first


def test_a_wording_that_gives_the_answer_away_or_has_a_number_of_its_own_goes():
    pair = Pair("Who opened the pier?", "Ann Pellow", OPENED, "model", form="short")
    given = [{"item": 1, "question": "Did Ann Pellow open it?"}, {"item": 1, "question": "Who opened it in 1991?"}]
    job = work(json.dumps(given))
    assert diversify(job, [pair], {PIER: ["walker"]}) == []
    assert [reason for _, reason in dropped(job)] == ["answer in the question", "a number that its chunk does not have"]


def test_a_question_that_the_text_answers_is_no_question_without_an_answer():
    asked = json.dumps(["Who drew the pier?", "Who opened the pier?", "Who owns the pier?"])
    again = [{"number": 2, "answer": "Ann Pellow"}, {"number": 3, "answer": ""}]  # owns, opened, drew
    job = work(asked, json.dumps(again))
    [pair] = ask_unknown(job, [PIER], 3)
    assert (pair.question, pair.answer, pair.kind, pair.fact.text) == (
        "Who drew the pier?",
        "That is not known.",
        "unknown",
        "The documents do not say this.",
    )
    assert dropped(job) == [("Who opened the pier?", "its text may answer it"), ("Who owns the pier?", NOT_CHECKED)]


def test_a_text_in_a_language_without_prompts_is_asked_in_english_for_its_own():
    text = "Hunde dürfen nicht auf die Seebrücke."
    german = Chunk("a.txt", 0, 0, len(text), text, "Die Seebrücke", "en", "de")
    fact = Fact(text, german, 0, len(text), "Seebrücke")
    pair = told(1, "Wohin dürfen Hunde nicht?", "auf die Seebrücke")
    job = work(reply(pair), json.dumps([{"item": 1, "question": "Wohin darf mein Hund nicht?"}]), '["Wem gehört sie?"]', '[{"number": 1, "answer": ""}]')  # fmt: skip
    [asked] = ask_questions(job, [fact], 1)
    [wording] = diversify(job, [asked], {german: ["Gast"]})
    [unknown] = ask_unknown(job, [german], 1)
    assert [one.question for one in (asked, wording, unknown)] == [
        "Wohin dürfen Hunde nicht?",
        "Wohin darf mein Hund nicht?",
        "Wem gehört sie?",
    ]
    assert all("in German" in request[-1]["content"] for request in job.engine.asked) and len(job.engine.asked) == 4
    assert (unknown.answer, unknown.fact.text) == ("Das ist nicht bekannt.", "Das steht nicht in den Dokumenten.")


def test_a_chinese_text_is_asked_about_in_chinese():
    text = "狗不得上栈桥。"
    fact = Fact(text, Chunk("a.txt", 0, 0, len(text), text, "栈桥", "zh", "zh"), 0, len(text), "栈桥")
    job = work(reply(told(1, "什么不得上栈桥？", "狗", "rule")))
    assert [one.answer for one in ask_questions(job, [fact], 1)] == ["狗"]
    assert "in Chinese" not in job.engine.asked[0][-1]["content"] and "中文" in job.engine.asked[0][-1]["content"]
