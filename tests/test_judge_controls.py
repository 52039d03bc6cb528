"""Known cases before the real ones: good judges pass, and each way to be a bad one is found and named. No model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted import case_of, fair, scripted, verdict

from data_processor.dataset import question_and_reference
from evaluation import judge_controls
from evaluation.matching import grade, match

QUESTIONS = Path(__file__).resolve().parents[1] / "demo" / "questions.json"


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    found = []
    for row in json.loads(QUESTIONS.read_text()):
        question, reference = question_and_reference(row)
        found.append({**row, "question": question, "reference": reference, "response": f"Perhaps {reference}?"})
    return found


def controlled(tmp_path, rows, reply) -> dict:
    return judge_controls.run_controls(rows, scripted(tmp_path, reply), 10)


def test_what_the_controls_are(rows):
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


def test_the_controls_that_are_put_to_a_judge_are_those_of_the_seed(rows):
    unsaid, first, second = (
        [item["answer"] for item in judge_controls.run_controls(rows, None, 5, **options)["items"]]
        for options in ({}, {"seed": 0}, {"seed": 1})
    )
    assert unsaid == first != second


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
    assert judge_controls.alter(row_of(reference), others) == altered


def test_a_name_that_the_question_or_the_fact_has_alters_nothing():
    row = row_of("Gwenda Lorimaxe", "Who met Tobin?", "Gwenda Lorimaxe met Tobin, and Farrow too.")
    others = [row_of("Tobin Farrow"), row_of("Pell Orrin")]
    assert judge_controls.alter(row, others) == "Gwenda Pell"
    assert judge_controls.alter(row, others[:1]) is None


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
    assert [judge_controls.answer_of(kind, row, SMALL, place) for place, row in enumerate(SMALL)] == answers


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
    assert [judge_controls.answer_of(kind, row, RING, place) for place, row in enumerate(RING)] == answers


def test_a_reference_of_up_to_seven_words_is_no_sentence():
    seven = row_of("the old stone house at the sea.")
    assert judge_controls.answer_of("right", seven, [], 0) == "It was the old stone house at the sea."
    eight = row_of("the old stone house at the cold sea")
    assert judge_controls.answer_of("right", eight, [], 0) == "As far as I know: the old stone house at the cold sea."


def test_the_fact_is_told_only_where_it_has_the_answer():
    for fact in (None, "Bob is here."):
        assert (
            judge_controls.answer_of("right", {**row_of("Ann Bell"), "fact": fact}, [], 1) == "The answer is Ann Bell."
        )


@pytest.mark.parametrize(("reference", "topic"), [("Low Ferry Inn", "Low Ferry"), ("Ferry", "this")])
def test_a_vague_answer_does_not_name_the_answer(reference, topic):
    vague = judge_controls.answer_of("vague", row_of(reference, "Where is Low Ferry?"), [], 0)
    assert vague == f"There are several accounts of {topic}, and it depends on how one looks at it."


@pytest.mark.parametrize(("per_kind", "looked_at"), [(1, 20), (2, 40), (3, 50)])
def test_of_many_rows_a_few_are_looked_at(monkeypatch, per_kind, looked_at):
    seen = []
    monkeypatch.setattr(judge_controls, "answer_of", lambda kind, row, rows, place: seen.append((len(rows), place)))
    assert judge_controls.make_controls([row_of(str(n)) for n in range(50)], per_kind) == []
    assert {amount for amount, _ in seen} == {looked_at} and max(place for _, place in seen) == looked_at - 1


def test_a_kind_that_a_row_cannot_give_is_left_out():
    alone = row_of("otter", "What is it?", response=" ")
    kinds = [control.kind for control in judge_controls.make_controls([alone], 5)]
    assert kinds == ["right", "vague"]
    assert judge_controls.answer_of("vague", row_of("Low Ferry", "Where is Low Ferry?"), [], 0) == (
        "There are several accounts of this, and it depends on how one looks at it."  # the topic is the answer
    )


def test_a_fair_judge_and_match_pass(tmp_path, rows):
    def knows(prompt, seed):
        case = case_of(prompt)
        if "answer_A" in case:
            return verdict("tie")
        return verdict("correct" if match(case["reference"], case["answer"]) else "incorrect")

    for result in (controlled(tmp_path, rows, knows), judge_controls.run_controls(rows, None, 10)):
        assert result["trusted"] and not result["why"]
        assert (result["sensitivity"]["rate"], result["specificity"]["rate"]) == (1.0, 1.0)
        assert (result["sensitivity"]["n"], result["specificity"]["n"]) == (10, 30)
        assert result["sensitivity"]["interval"] == [0.7225, 1.0]
        assert "passed" in judge_controls.in_words(result)


def counts(passed: int, n: int = 20) -> dict:
    return {"n": n, "passed": passed, "rate": passed / n if n else None}


KIND_WORDS = {
    "right": "right answers were called correct",
    "other fact": "answers of another fact were found wrong",
    "altered": "answers with an altered number or name were found wrong",
    "vague": "vague answers were found wrong",
    "identical pair": "identical pairs were called a tie",
}


@pytest.mark.parametrize("kind", KIND_WORDS)
def test_four_of_five_of_each_kind_are_enough_and_fewer_are_not(kind):
    for passed, why in ((16, []), (15, [f"only 15 of 20 {KIND_WORDS[kind]} (at least 80% is needed)"])):
        found = {name: counts(passed if name == kind else 20) for name in KIND_WORDS}
        result = {"sensitivity": found.pop("right"), "specificity": counts(60, 60), "kinds": found}
        assert judge_controls.reasons(result) == why


def test_a_judge_that_was_not_tested_on_right_or_wrong_answers_is_not_trusted():
    none = {"sensitivity": counts(0, 0), "specificity": counts(0, 0), "kinds": {"vague": counts(0, 0)}}
    assert judge_controls.reasons(none) == [
        "no control with a right answer got a verdict",
        "no control with a wrong answer got a verdict",
    ]


@pytest.mark.parametrize(
    ("kind", "passing"),
    [
        ("right", {"correct"}),
        *((kind, {"incorrect", "not attempted"}) for kind in ("other fact", "altered", "vague")),
        ("identical pair", {"tie"}),
    ],
)
def test_which_verdicts_pass(kind, passing):
    offered = ("A", "B", "tie") if kind == "identical pair" else ("correct", "incorrect", "not attempted")
    assert {label for label in offered if judge_controls.passes(kind, label)} == passing


def test_what_has_no_verdict_is_in_no_share(tmp_path, rows):
    def silent_half_the_time(prompt, seed):
        case = case_of(prompt)
        if "answer_A" in case or len(case["answer"]) % 2:
            return "?"
        return verdict("correct" if match(case["reference"], case["answer"]) else "incorrect")

    result = controlled(tmp_path, rows, silent_half_the_time)
    shares = [result["sensitivity"], result["specificity"], *result["kinds"].values()]
    assert [share["n"] + share["unscored"] for share in shares] == [10, 30, 10, 10, 10, 10]
    assert 0 < result["sensitivity"]["n"] < 10 and result["sensitivity"]["rate"] == 1.0
    assert result["kinds"]["identical pair"] == {"n": 0, "passed": 0, "rate": None, "interval": None, "unscored": 10}


@pytest.mark.parametrize(
    ("single", "pair", "words"),
    [
        ("correct", "tie", ["another fact", "altered number or name", "vague"]),
        ("incorrect", "tie", ["only 0 of 10 right answers were called correct"]),
        ("not attempted", "tie", ["only 0 of 10 right answers were called correct"]),
        (None, "A", ["only 0 of 10 identical pairs were called a tie"]),
        ("?", "?", ["no control with a right answer got a verdict", "no control with a wrong answer got a verdict"]),
    ],
)
def test_a_bad_judge_is_named_and_why(tmp_path, rows, single, pair, words):
    def bad(prompt, seed):
        case = case_of(prompt)
        if "answer_A" in case:
            return verdict(pair)
        return verdict(single or ("correct" if match(case["reference"], case["answer"]) else "incorrect"))

    result = controlled(tmp_path, rows, bad)
    assert not result["trusted"] and len(result["why"]) == len(words)
    assert all(word in "; ".join(result["why"]) for word in words)
    assert "CANNOT BE TRUSTED" in judge_controls.in_words(result)


def test_the_kinds_of_wrong_are_kept_apart(tmp_path, rows):
    def credulous(prompt, seed):  # whatever names something must be right
        case = case_of(prompt)
        names_something = any(frame.partition("{}")[0] in case.get("answer", "") for frame in judge_controls.FRAMES[:2])
        return verdict("tie" if "answer_A" in case else "correct" if names_something else "not attempted")

    result = controlled(tmp_path, rows, lambda prompt, seed: credulous(prompt, seed))
    kinds = result["kinds"]
    assert kinds["vague"]["rate"] == 1.0 and kinds["other fact"]["rate"] < 0.8 and result["specificity"]["n"] == 30
    assert not result["trusted"] and not any("vague" in why for why in result["why"])


def test_facts_without_references_make_controls_too(rows):
    facts = [{key: row[key] for key in ("fact", "question", "response")} | {"reference": row["fact"]} for row in rows]
    controls = judge_controls.make_controls(facts, 10)
    assert sum(c.kind == "altered" for c in controls) == 10
    assert not any(c.answer == c.row["fact"] for c in controls if c.kind != "right")


def test_unanswerable_questions_make_none():
    row = {"kind": "unknown", "question": "Who?", "reference": "This is not known.", "response": "Ann"}
    result = judge_controls.run_controls([row], None, 10)
    assert not result["items"] and not result["trusted"]


def test_controls_go_through_the_journal(tmp_path, rows):
    first = controlled(tmp_path, rows, fair)
    assert controlled(tmp_path, rows, None) == first


BRIDGES = [
    {"reference": "1990", "question": "When did Hexley open?", "fact": "Hexley opened in 1990.", "response": "r"},
    {"reference": "1412", "question": "When did Corrin close?", "fact": "Corrin closed in 1412.", "response": "r"},
    {"reference": "88", "question": "How many came to Varn?", "fact": "88 came to Varn.", "response": "r"},
]


def test_what_is_written_of_the_controls():
    found = judge_controls.run_controls(BRIDGES, None, 3)
    assert set(found) == {"judge", "floor", "sensitivity", "specificity", "kinds", "trusted", "why", "items"}
    assert (found["judge"], found["floor"], found["trusted"], found["why"]) == ("match", 0.8, True, [])
    three = {"n": 3, "passed": 3, "rate": 1.0, "interval": [0.4385, 1.0], "unscored": 0}
    assert found["sensitivity"] == three
    assert found["kinds"] == {"other fact": three, "altered": three, "vague": three}
    assert found["specificity"] == {"n": 9, "passed": 9, "rate": 1.0, "interval": [0.7009, 1.0], "unscored": 0}
    assert found["items"][0] == {
        "kind": "right", "question": "When did Hexley open?", "reference": "1990", "answer": "It was 1990.",
        "verdict": "correct", "reason": "token recall 1.00", "passed": True,
    }  # fmt: skip


def test_without_controls_no_judge_is_trusted():
    found = judge_controls.run_controls([], None, 3)
    nothing = {"n": 0, "passed": 0, "rate": None, "interval": None, "unscored": 0}
    assert found["sensitivity"] == found["specificity"] == found["kinds"]["vague"] == nothing
    assert (found["trusted"], found["why"], found["items"]) == (False, ["no controls were made"], [])


def test_a_judges_controls_have_its_name_pairs_and_a_name_each_in_its_journal(tmp_path):
    found = judge_controls.run_controls(BRIDGES, scripted(tmp_path, lambda prompt, seed: verdict("tie")), 1)
    assert found["judge"] == "scripted" and list(found["kinds"]) == ["other fact", "altered", "vague", "identical pair"]
    names = {json.loads(line)["name"] for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()}
    assert names == {
        "accuracy control, right", "accuracy control, other fact", "accuracy control, altered", "accuracy control, vague",
        "win_rate control, identical",
    }  # fmt: skip


def test_a_share_of_the_controls_has_four_digits(tmp_path):
    """Of three right answers one is called so."""
    judge = scripted(tmp_path, lambda prompt, seed: verdict("correct" if "1990" in prompt else "incorrect"))
    assert judge_controls.run_controls(BRIDGES, judge, 3)["sensitivity"]["rate"] == 0.3333


def test_kinds_are_told_apart_by_commas():
    told = judge_controls.in_words(judge_controls.run_controls(BRIDGES, None, 3))
    assert told.splitlines()[0].endswith(
        "; other fact 100% (3/3, 44% to 100%), altered 100% (3/3, 44% to 100%), vague 100% (3/3, 44% to 100%)"
    )
