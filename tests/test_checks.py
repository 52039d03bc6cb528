"""What the model is asked about what it wrote (--verify llm): what it refuses, and what was not checked, goes with its reason."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from generators import scripted_reading, work

from data_processor.checks import NOT_CHECKED, answer_again, groups, keep_answered, keep_following, opening, same_answer
from data_processor.chunking import Chunk
from data_processor.pairs import Fact, Pair
from data_processor.pipeline import split_into_units
from engines.chat import Reply

FAILED = Reply("", finish_reason="error", error="down")
TEXT = "Ann Pellow opened the pier. It is of oak."
PIER = Chunk("a.txt", 0, 0, len(TEXT), TEXT, "Sandhaven", "en", "de")


def facts_on(*texts: str) -> list[Fact]:
    return [Fact(text, PIER, 0, 27, "pier") for text in texts]


def pair(question: str, answer: str, form: str = "short") -> Pair:
    return Pair(question, answer, facts_on("Ann Pellow opened the pier.")[0], "model", form=form)


def answers(*texts: str) -> str:
    return json.dumps([{"number": number, "answer": text} for number, text in enumerate(texts, 1)])


def dropped(job) -> list[tuple[str, str]]:
    return [(record["text"], record["reason"]) for record in job.dropped if record["text"] != "down"]


def test_a_fact_that_does_not_follow_is_dropped():
    job = work('["1 yes", "2 no", "3 yes"]', verify=True)
    kept = keep_following(job, facts_on("Ann opened it.", "Ann built it.", "It is of oak."))
    assert [one.text for one in kept] == ["Ann opened it.", "It is of oak."]
    assert dropped(job) == [("Ann built it.", "the model finds that it does not follow")]
    asked = job.engine.asked[0][-1]["content"]
    assert TEXT in asked and "1. Ann opened it.\n2. Ann built it.\n3. It is of oak." in asked
    assert job.dropped[0]["quote"] == "Ann Pellow opened the pier."


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        (FAILED, []),
        ('["1 yes"]', ["Ann opened it."]),
        ('["1 yes", "2 yes", "2 no"]', ["Ann opened it."]),
        ('["1 yes", "2', []),
    ],
)
def test_a_fact_that_was_not_checked_is_not_called_wrong(reply, kept):
    job = work(reply, verify=True)
    assert [one.text for one in keep_following(job, facts_on("Ann opened it.", "It is of oak."))] == kept
    assert {reason for _, reason in dropped(job)} - {"reply cut off"} == {NOT_CHECKED}


def test_the_sentences_of_facts_that_were_not_checked_stand_for_themselves():
    job = work(scripted_reading(("Ann opened it.", [1]), ("Oak is what it is of.", [2])), FAILED, verify=True)
    units = split_into_units(job, [PIER])
    found = job.method.read_units(job, units, {}, 3, lambda step: None).facts
    assert [one.text for one in found] == ["Ann Pellow opened the pier.", "It is of oak."]


def test_nothing_is_asked_without_verify():
    job = work()
    pairs = [pair("Who opened the pier?", "Ida")]
    assert keep_following(job, facts_on("Ida opened it.")) and keep_answered(job, "questions", pairs) == pairs


def test_a_question_that_is_answered_otherwise_or_not_at_all_is_dropped():
    pairs = [
        pair("Who opened the pier?", "Ann Pellow"),
        pair("What is the pier of?", "oak wood"),
        pair("Who built the pier?", "Ann"),
        pair("Who owns the pier?", "the town"),
    ]
    in_their_order = answers("", "ann  Pellow.", "Ida Holm", "oak")  # owns, opened, built, of: one without meaning
    job = work(in_their_order, '["1 yes", "2 no"]', verify=True)
    assert keep_answered(job, "questions", pairs) == pairs[:2]
    assert dropped(job) == [
        ("Who built the pier?", "asked again, the model answers otherwise"),
        ("Who owns the pier?", "asked again, the model finds no answer"),
    ]
    assert [record["read"] for record in job.dropped] == ["Ida Holm", ""]
    again, same = (asked[-1]["content"] for asked in job.engine.asked)
    assert "Ann Pellow\n" not in again.rpartition("Questions:")[2], "asked without their answers"
    assert "1. What is the pier of? | oak wood | oak\n2. Who built the pier? | Ann | Ida Holm" in same
    assert again.partition("Questions")[0] == same.partition("Questions")[0], "the chunk comes first, to be read once"


@pytest.mark.parametrize(
    ("replies", "kept"),
    [
        ((FAILED,), 0),
        ((answers("oak"), FAILED), 0),
        ((answers("oak"), '["1 yes"]'), 1),
        (("[]",), 0),
    ],
)
def test_a_question_that_was_not_checked_is_not_called_wrong(replies, kept):
    job = work(*replies, verify=True)
    assert len(keep_answered(job, "questions", [pair("What is the pier of?", "oak wood")])) == kept
    assert {reason for _, reason in dropped(job)} == (set() if kept else {NOT_CHECKED})


@pytest.mark.parametrize(
    ("read", "answer", "form", "same"),
    [
        ("The pier.", "the Pier", "short", True),
        ("a pier", "the pier", "short", True),
        ("不得带狗。", "不得带狗", "rule", True),
        ("It may be taken home.", "It may not be taken home.", "rule", False),
        ("nicht erlaubt", "erlaubt", "rule", False),
        ("before May", "May", "short", False),
        ("Ida beat Ann", "Ann beat Ida", "how", False),
        ("1,5", "15", "short", False),
        ("Yes, it is.", "Yes, the pier is of oak.", "yes_no", True),
        ("No, it is of elm.", "Yes, it is of oak.", "yes_no", False),
        ("是。", "是，桥是木头的。", "yes_no", True),
        ("Yes, it is.", "Yes, the pier is of oak.", "rule", False),
        ("", "", "short", False),
        (None, "oak", "short", False),
    ],
)
def test_answers_are_the_same_without_asking_if_that_is_certain(read, answer, form, same):
    assert same_answer(read, pair("What?", answer, form)) is same


def test_a_word_before_a_comma_or_a_stop_opens_an_answer():
    found = [opening(text) for text in ("Yes", "Oui, c'est vrai", "是。", "Ann Pellow", "3, 4", "Perhaps, yes")]
    assert found == ["yes", "oui", "是", "", "", ""]


def test_each_answer_goes_to_the_question_with_its_number():
    other = Chunk("b.txt", 0, 0, 1, "B", "")
    swapped = json.dumps([{"number": 2, "answer": "two"}, {"number": 1, "answer": " one  more"}])
    job = work(swapped, FAILED)
    asked = [(PIER, "first?"), (other, "other?"), (PIER, "second?")]
    assert answer_again(job, "check", asked) == ["one more", None, "two"]


@pytest.mark.parametrize(("count", "sizes"), [(8, [8]), (9, [4, 5]), (17, [5, 6, 6]), (0, [])])
def test_groups_are_of_even_size_and_of_one_chunk(count, sizes):
    other = Chunk("b.txt", 0, 0, 1, "B", "")
    mixed = [*((PIER, n) for n in range(count)), (other, -1)]
    found = groups(mixed[::-1], lambda item: item[0], 8)
    assert [len(part) for part in found] == [1, *sizes]
    assert [number for part in found for _, number in part] == [-1, *range(count)[::-1]]


def test_many_are_asked_in_parts_about_their_own_chunk():
    first, second = (
        json.dumps([f"{n} {said}" for n, said in enumerate(verdicts.split(), 1)])
        for verdicts in ("yes " * 6, "no" + " yes" * 5)
    )
    job = work(first, second, verify=True)
    texts = [f"Boat {letter} is old." for letter in "ABCDEFGHIJKL"]
    assert [one.text for one in keep_following(job, facts_on(*texts))] == [*texts[:6], *texts[7:]]
    assert [schema["maxItems"] for schema in job.engine.schemas] == [6, 6]


def test_a_question_on_facts_of_two_documents_is_checked_with_both():
    other = Chunk("b.txt", 0, 0, 30, "Ann Pellow was born in Corrin.", "Ann")
    second = Fact("Ann Pellow was born in Corrin.", other, 0, 30, "Ann")
    two = pair("Where was she born who opened the pier?", "Corrin", "two")
    two.second = second
    job = work(answers("Corrin"), verify=True)
    assert keep_answered(job, "two facts", [two]) == [two] and job.drops == Counter()
    assert f"{TEXT}\n\n{other.text}" in job.engine.asked[0][-1]["content"]


def test_a_check_is_in_the_language_of_the_text():
    job = work(answers("Corrin"), verify=True)
    keep_answered(job, "questions", [pair("Wo?", "Corrin")])
    assert "in German" in job.engine.asked[0][-1]["content"]
