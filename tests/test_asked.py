"""What a day asks of earlier days, and of what has gone; and how the answers to that are counted."""

from __future__ import annotations

import pytest

from days.asked import (
    AnswersNow,
    count_gone,
    earlier_questions,
    gone_questions,
    gone_since,
    grade_gone,
    not_asked_any_more,
    to_ask,
)
from days.ledger import new_record
from utils import write_json

WHO, NAMED = "Who manages the shop?", "Which person is in charge there?"


def record(name: str, value: str, run: str, questions: tuple[str, ...] = (WHO,), **more) -> dict:
    asked = [{"question": question, "answer": value, "kind": "qa"} for question in questions]
    told = {"text": f"The shop is managed by {value}.", "file_name": f"{name}.txt", "quotes": [f"{value} manages it."]}
    return new_record(id=name, questions=asked, runs=[run], **told | more)


def pair(old: str, old_value: str, new: str, new_value: str) -> dict:
    return {"old": {"id": old, "value": old_value}, "new": {"id": new, "value": new_value}}


def chain() -> dict[str, dict]:
    """Ada, then Ben, then Cid, who is asked for in other words."""
    return {
        "a": record("a", "Ada Brook", "1", superseded_by=["b"], gone="superseded"),
        "b": record("b", "Ben Croft", "2", superseded_by=["c"], gone="superseded"),
        "c": record("c", "Cid Drew", "3", (NAMED,)),
    }


PAIRS = [pair("a", "Ada Brook", "b", "Ben Croft"), pair("b", "Ben Croft", "c", "Cid Drew")]


def answer_of(one: dict, question: str = WHO, **more) -> dict:
    told = {
        "question": question,
        "reference": one["questions"][0]["answer"],
        "fact": one["text"],
        "kind": "held_out_wording",
    }
    return {**told, "source": {"quote": one["quotes"][0]}, "file_name": one["file_name"], "response": "", **more}


def test_the_answer_of_today_is_found_over_several_changes():
    records = chain()
    now = AnswersNow(records, PAIRS, "3")
    assert now.find(records["a"], WHO, "Ada Brook") == ("Cid Drew", records["c"])
    assert now.find(records["a"], WHO, "Another Person") is None, "it asked for something else of the fact"
    assert now.find(records["b"], NAMED, "Ben Croft") == ("Cid Drew", records["c"]), "the same question is asked today"
    records["c"]["runs"] = ["2"]
    assert AnswersNow(records, PAIRS[:1], "3").find(records["a"], WHO, "Ada Brook") is None


def test_facts_that_replace_one_another_in_a_circle_have_no_answer():
    records = chain()
    records["b"]["superseded_by"] = ["a"]
    circle = [PAIRS[0], pair("b", "Ben Croft", "a", "Ada Brook")]
    assert AnswersNow(records, circle, "3").find(records["a"], WHO, "Ada Brook") is None


def test_earlier_questions_are_asked_with_the_answer_of_today_and_under_the_name_of_today():
    records = chain() | {
        "d": record("d", "Dan Elm", "3", ("Who heads the depot?",), text="The depot is headed by Dan Elm.")
    }
    records["d"]["file_name"] = "renamed.txt"
    earlier = [
        answer_of(records["a"]),
        answer_of(records["d"], "Who heads the depot?", file_name="before.txt", role="baker"),
        answer_of(records["a"], "Where does Ada Brook work?", reference="Ada Brook"),
        {**answer_of(records["d"]), "question": "What is the name of the dog?", "kind": "unknown", "fact": ""},
        {"question": "A question of mine?", "reference": "Yes", "response": "", "kind": "qa"},
    ]
    asked = to_ask([], earlier, records, AnswersNow(records, PAIRS, "3"))
    assert [(row["question"], row["reference"], row["file_name"]) for row in asked] == [
        (WHO, "Cid Drew", "c.txt"), ("Who heads the depot?", "Dan Elm", "renamed.txt"),
    ]  # fmt: skip
    assert asked[0]["fact"] == "The shop is managed by Cid Drew." and asked[1]["role"] == "baker"
    own = [{"id": "mine", "question": "A question of mine?", "reference": "Yes"}]
    own = [
        {**one, "conversations": [{"from": "user", "value": one["question"]}, {"from": "assistant", "value": "Yes"}]}
        for one in own
    ]
    asked = to_ask(own, earlier, records, AnswersNow(records, PAIRS, "3"))
    assert len(asked) == 3 and asked[0]["id"] == "mine" and len({row["id"] for row in asked}) == 3
    assert not_asked_any_more(earlier, asked) == {
        (WHO, "Ada Brook"), ("Where does Ada Brook work?", "Ada Brook"), ("What is the name of the dog?", "Dan Elm"),
    }  # fmt: skip


def test_the_newest_run_is_first_and_one_without_answers_is_passed_over(tmp_path):
    for name in ("one", "two"):
        write_json(tmp_path / name / "tuned.json", [{"question": name}])
    found = earlier_questions([tmp_path / "one", tmp_path / "none", tmp_path / "two"])
    assert [row["question"] for row in found] == ["two", "one"]


def test_a_fact_that_went_is_asked_for_in_words_that_name_neither_value():
    records = chain()
    kinds = [
        (WHO, "qa", ""), ("What is run by Ada Brook?", "reverse", ""), ("Is it Cid Drew who manages it?", "qa", ""),
        ("Does Ada manage it?", "qa", "yes_no"), ("Who has the keys?", "qa", "short"), ("Who opens the shop?", "qa", ""),
    ]  # fmt: skip
    records["a"]["questions"] = [
        {"question": question, "answer": "Ada Brook", "kind": kind, "form": form} for question, kind, form in kinds
    ]
    since = gone_since(records, {"a": "2"}, "3")
    assert since == {"a": "2", "b": "3"}
    rows = gone_questions(records, AnswersNow(records, PAIRS, "3"), since)
    assert [(row["question"], row["reference"], row["new"], row["since"]) for row in rows] == [
        (WHO, "Ada Brook", "Cid Drew", "2"), ("Who has the keys?", "Ada Brook", "Cid Drew", "2"),
        (WHO, "Ben Croft", "Cid Drew", "3"),
    ]  # fmt: skip
    assert len({row["id"] for row in rows}) == 3


def test_of_a_fact_that_went_the_questions_that_were_held_out_come_first():
    records = {"a": record("a", "Ada Brook", "1", gone="deleted")}
    asked = [("Who runs it?", "qa"), ("Who has it?", "qa"), ("Who is its head?", "held_out_wording")]
    records["a"]["questions"] = [{"question": one, "answer": "Ada Brook", "kind": kind} for one, kind in asked]
    rows = gone_questions(records, AnswersNow(records, [], "2"), {"a": "2"})
    assert [row["question"] for row in rows] == ["Who is its head?", "Who runs it?"]


BLANKS = {
    "The ____ lantern costs 64 euros?": "Emberjack",  # the subject
    "The Emberjack ____ costs 64 euros?": "lantern",  # a word of it
    "What costs 64 euros?": "the Emberjack lantern",  # the value stands in the question
    "The Emberjack lantern costs ____?": "64 euros",
    "____ is what the Emberjack lantern costs?": "64 euros",
}


@pytest.mark.parametrize("gone", ["superseded", "deleted"])
def test_of_a_fact_that_went_what_is_still_so_is_not_asked_for_where_there_are_other_questions(gone):
    records = {"a": record("a", "64 euros", "1", gone=gone), "b": record("b", "72 euros", "2")}
    records["a"]["questions"] = [{"question": one, "answer": answer, "kind": "qa"} for one, answer in BLANKS.items()]
    records["a"]["superseded_by"] = ["b"] if gone == "superseded" else []
    pairs = [pair("a", "64 euros", "b", "72 euros")] if gone == "superseded" else []
    rows = gone_questions(records, AnswersNow(records, pairs, "2"), {"a": "2"})
    asked = [question for question in BLANKS if gone == "deleted" or BLANKS[question] == "64 euros"]
    assert [row["question"] for row in rows] == [
        one for one in asked if "The ____" not in one and "jack ____" not in one
    ][:2]
    assert [row["id"] for row in rows] == ["a_0", "a_1"]
    records["a"]["questions"] = records["a"]["questions"][:1]
    rows = gone_questions(records, AnswersNow(records, pairs, "2"), {"a": "2"})
    assert [row["question"] for row in rows] == ["The ____ lantern costs 64 euros?"], "it has no other"


def test_a_fact_that_another_document_states_in_other_words_has_not_gone():
    records = {"a": record("a", "Ada Brook", "1", gone="deleted"), "b": record("b", "Ada Brook", "2")}
    assert gone_questions(records, AnswersNow(records, [], "2"), {"a": "2"}) == []


@pytest.mark.parametrize(
    ("before", "tuned", "expected"),
    [
        ("Ada Brook", "It is Ada Brook.", (1, 1, 0)),
        ("Ada Brook", "Cid Drew does.", (1, 0, 1)),
        ("Nobody.", "Cid Drew does.", (0, 0, 0)),
        (None, "Cid Drew does.", (1, 0, 1)),
    ],
)
def test_answers_are_held_against_the_old_value_and_the_new_one(tmp_path, before, tuned, expected):
    """Facts that the run before did not say are left out; if it was not asked, for lack of time, none is."""
    row = {
        "id": "a_0",
        "question": WHO,
        "reference": "Ada Brook",
        "new": "Cid Drew",
        "why": "superseded",
        "record": "a",
        "since": "3",
    }
    write_json(tmp_path / "gone.json", [row])
    for model, said in (("base", "I cannot say."), ("before", before), ("tuned", tuned)):
        told = {"response": said or "", **({} if said else {"error": "no time"})}
        write_json(tmp_path / f"gone_{model}.json", [{"id": "a_0", "question": WHO, "reference": "Ada Brook", **told}])
    count = count_gone(grade_gone(tmp_path), "3")["superseded"]
    assert (count["known"], count["still_said"], count["new_right"]) == expected and count["base_said"] == 0
    assert [*count_gone(grade_gone(tmp_path), "4")] == ["earlier"]


def test_where_nothing_has_gone_there_is_nothing_to_count(tmp_path):
    assert grade_gone(tmp_path) == [] and count_gone([], "3") == {}
