"""Known cases before the real ones: good judges pass, and each way to be a bad one is found and named. No model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted import case_of, fair, scripted, verdict

from data_processor.dataset import question_and_reference
from evaluation import judge_controls
from evaluation.matching import match

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


def test_the_controls_that_are_put_to_a_judge_are_those_of_the_seed(rows):
    unsaid, first, second = (
        [item["answer"] for item in judge_controls.run_controls(rows, None, 5, **options)["items"]]
        for options in ({}, {"seed": 0}, {"seed": 1})
    )
    assert unsaid == first != second


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
        assert "passed" in judge_controls.describe_controls(result)


def counts(passed: int, n: int = 20) -> dict:
    return {"n": n, "passed": passed, "rate": passed / n if n else None}


KIND_WORDS = {
    "right": "right answers were called correct",
    "other fact": "answers to another fact were found wrong",
    "altered": "answers with an altered number or name were found wrong",
    "vague": "vague answers were found wrong",
    "identical pair": "identical pairs were called a tie",
}


@pytest.mark.parametrize("kind", KIND_WORDS)
def test_four_of_five_of_each_kind_are_enough_and_fewer_are_not(kind):
    for passed, why in ((16, []), (15, [f"only 15 of 20 {KIND_WORDS[kind]} (at least 80% is needed)"])):
        found = {name: counts(passed if name == kind else 20) for name in KIND_WORDS}
        result = {"sensitivity": found.pop("right"), "specificity": counts(60, 60), "kinds": found}
        assert judge_controls.failed_controls(result) == why


def test_a_judge_that_was_not_tested_on_right_or_wrong_answers_is_not_trusted():
    none = {"sensitivity": counts(0, 0), "specificity": counts(0, 0), "kinds": {"vague": counts(0, 0)}}
    assert judge_controls.failed_controls(none) == [
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
    assert {label for label in offered if judge_controls.is_passed(kind, label)} == passing


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
    assert "CANNOT BE TRUSTED" in judge_controls.describe_controls(result)


def test_the_kinds_of_wrong_are_kept_apart(tmp_path, rows):
    def credulous(prompt, seed):  # whatever names something must be right
        case = case_of(prompt)
        names_something = any(frame.partition("{}")[0] in case.get("answer", "") for frame in judge_controls.FRAMES[:2])
        return verdict("tie" if "answer_A" in case else "correct" if names_something else "not attempted")

    result = controlled(tmp_path, rows, lambda prompt, seed: credulous(prompt, seed))
    kinds = result["kinds"]
    assert kinds["vague"]["rate"] == 1.0 and kinds["other fact"]["rate"] < 0.8 and result["specificity"]["n"] == 30
    assert not result["trusted"] and not any("vague" in why for why in result["why"])


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
    told = judge_controls.describe_controls(judge_controls.run_controls(BRIDGES, None, 3))
    assert told.splitlines()[0].endswith(
        "; other fact 100% (3/3, 44% to 100%), altered 100% (3/3, 44% to 100%), vague 100% (3/3, 44% to 100%)"
    )
