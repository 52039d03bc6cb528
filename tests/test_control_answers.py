"""The controls of a judge: right answers, and wrong ones of each kind, made from the questions themselves. No model."""

from __future__ import annotations

import pytest
from test_judge_controls import rows  # noqa: F401

from evaluation import judge_controls
from evaluation.matching import grade, match


def test_what_the_controls_are(rows):  # noqa: F811
    controls = judge_controls.make_controls(rows, 20)
    assert {
        kind: sum(c.kind == kind for c in controls)
        for kind in ("right", "other fact", "altered", "vague", "identical pair")
    } == ({"right": 20, "other fact": 20, "altered": 20, "vague": 20, "identical pair": 20})
    for control in controls:
        if control.kind in ("right", "identical pair"):
            assert match(control.row["reference"], control.answer)
        else:
            assert grade(control.row["reference"], control.answer)[0] == "incorrect", control
    assert judge_controls.make_controls(rows, 20) == controls
    assert judge_controls.make_controls(rows, 20, seed=1) != controls


def row_of(reference: str, question: str = "Who?", fact: str = "", **more) -> dict:
    return {"reference": reference, "question": question, "fact": fact, "response": "r", **more}


@pytest.mark.parametrize(
    ("reference", "altered"),
    [
        ("84.6 million euros", "89.6 million euros"),
        ("in 1990", "in 1999"),
        ("07 May", "12 May"),  # as many digits
        ("999 or 1000", "1006 or 1000"),  # the first number only
        ("Gwenda Lorimaxe", "Gwenda Tobin"),  # of two names the last
        ("Copperhead", "Coppebin"),  # of one its second half
        ("otter", None),  # neither
    ],
)
def test_an_altered_reference_has_another_number_or_name(reference, altered):
    others = [row_of("in May"), row_of("Tobin Farrow"), row_of("Pell Orrin")]  # a month is no name
    assert judge_controls.altered_reference(row_of(reference), others) == altered


def test_a_name_that_the_question_or_the_fact_has_alters_nothing():
    row = row_of("Gwenda Lorimaxe", "Who met Tobin?", "Gwenda Lorimaxe met Tobin, and Farrow too.")
    others = [row_of("Tobin Farrow"), row_of("Pell Orrin")]
    assert judge_controls.altered_reference(row, others) == "Gwenda Pell"
    assert judge_controls.altered_reference(row, others[:1]) is None


@pytest.mark.parametrize(
    ("other", "wrong"),
    [
        ("Bob Marsh", True),
        ("Ann Bell Inn", True),  # a third of its words
        ("Ann Bell", False),  # half of its words
        ("Ann Pellow of Low Ferry by the Old Northern Sea", False),  # half of its words, all of the right one
        ("Pellow", False),
        ("Dora Finch", False),  # the fact has it
    ],
)
def test_which_answer_of_another_fact_is_a_wrong_one(other, wrong):
    row = row_of("Ann Pellow Brook", fact="Ann Pellow Brook sailed with Dora Finch.")
    assert judge_controls.is_another_answer(row, row_of(other)) is wrong
    assert judge_controls.is_another_answer({**row, "fact": None}, row_of("Dora Finch"))


SMALL = [
    row_of("Ann Pellow", "Who keeps the Low Ferry Inn?", "Ann Pellow keeps it."),
    row_of("Ann Bell", "Who won the Copper Newt?", "The winner was Ann Bell."),
    row_of("1990", "When did Ann Pellow come to Low Ferry?", "Ann Pellow came in 1990."),
    row_of("They came by boat from the far island.", "How did they come to Ann Pellow?", "They came by boat."),
]


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("right", ["It was Ann Pellow.", "The winner was Ann Bell.", "1990, as far as I know.",
                   "As far as I know: They came by boat from the far island."]),
        ("other fact", ["It was They came by boat from the far island.", "The answer is They came by boat from the far island.",
                        "They came by boat from the far island, as far as I know.", "As far as I know: Ann Pellow."]),
        ("altered", ["It was Ann Bell.", "The answer is Ann They.", "1999, as far as I know.",
                     "As far as I know: Thll came by boat from the far island."]),
        ("vague", [
            "There are several accounts of Low Ferry Inn, and it depends on how one looks at it.",
            "Copper Newt has been discussed by many people over the years, in this respect too.",
            "With Ann Pellow it happened much as one would expect, and a number of people were involved.",
            "Various sources describe Ann Pellow, and the details differ from one to the other.",
        ]),
        ("identical pair", ["r"] * 4),
    ],
)  # fmt: skip
def test_the_answer_of_each_kind_of_control(kind, answers):
    assert [judge_controls.control_answer(kind, row, SMALL, place) for place, row in enumerate(SMALL)] == answers


RING = [row_of("Bob Marsh"), row_of("1990"), row_of("Dora Finch"), row_of("Emil Stone"), row_of("24 May")]


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("right", ["It was Bob Marsh.", "The answer is 1990.", "Dora Finch, as far as I know.",
                   "That would be Emil Stone.", "It was 24 May."]),
        # the next one round the ring, a number for a number
        ("other fact", ["It was Dora Finch.", "The answer is 24 May.", "Emil Stone, as far as I know.",
                        "That would be Bob Marsh.", "It was 1990."]),
        ("altered", ["It was Bob Dora.", "The answer is 1999.", "Dora Emil, as far as I know.",
                     "That would be Emil Bob.", "It was 29 May."]),
    ],
)  # fmt: skip
def test_what_is_wrong_comes_from_the_next_row(kind, answers):
    assert [judge_controls.control_answer(kind, row, RING, place) for place, row in enumerate(RING)] == answers


def test_a_reference_of_up_to_seven_words_is_no_sentence():
    seven = row_of("the old stone house at the sea.")
    assert judge_controls.control_answer("right", seven, [], 0) == "It was the old stone house at the sea."
    eight = row_of("the old stone house at the cold sea")
    assert (
        judge_controls.control_answer("right", eight, [], 0) == "As far as I know: the old stone house at the cold sea."
    )


def test_the_fact_is_told_only_where_it_has_the_answer():
    for fact in (None, "Bob is here."):
        assert (
            judge_controls.control_answer("right", {**row_of("Ann Bell"), "fact": fact}, [], 1)
            == "The answer is Ann Bell."
        )


@pytest.mark.parametrize(("reference", "topic"), [("Low Ferry Inn", "Low Ferry"), ("Ferry", "this")])
def test_a_vague_answer_does_not_name_the_answer(reference, topic):
    vague = judge_controls.control_answer("vague", row_of(reference, "Where is Low Ferry?"), [], 0)
    assert vague == f"There are several accounts of {topic}, and it depends on how one looks at it."


@pytest.mark.parametrize(("per_kind", "looked_at"), [(1, 20), (2, 40), (3, 50)])
def test_of_many_rows_a_few_are_looked_at(monkeypatch, per_kind, looked_at):
    seen = []
    monkeypatch.setattr(
        judge_controls, "control_answer", lambda kind, row, given, place: seen.append((len(given), place))
    )
    assert judge_controls.make_controls([row_of(str(n)) for n in range(50)], per_kind) == []
    assert {amount for amount, _ in seen} == {looked_at} and max(place for _, place in seen) == looked_at - 1


def test_a_kind_that_a_row_cannot_give_is_left_out():
    alone = row_of("otter", "What is it?", response=" ")
    kinds = [control.kind for control in judge_controls.make_controls([alone], 5)]
    assert kinds == ["right", "vague"]
    assert judge_controls.control_answer("vague", row_of("Low Ferry", "Where is Low Ferry?"), [], 0) == (
        "There are several accounts of this, and it depends on how one looks at it."  # the topic is the answer
    )


def test_facts_without_references_make_controls_too(rows):  # noqa: F811
    facts = [{key: row[key] for key in ("fact", "question", "response")} | {"reference": row["fact"]} for row in rows]
    controls = judge_controls.make_controls(facts, 10)
    assert sum(c.kind == "altered" for c in controls) == 10
    assert not any(c.answer == c.row["fact"] for c in controls if c.kind != "right")
