"""Known cases before the real ones: good judges pass, and each way to be a bad one is found and named. No model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted import case_of, fair, scripted, verdict

from dataset import question_and_reference
from evaluation import judge_controls
from evaluation.matching import grade, match

QUESTIONS = Path(__file__).resolve().parents[1] / "datasets" / "demo" / "questions.json"


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
    altered = {c.row["reference"]: c.answer for c in controls if c.kind == "altered"}
    assert "89.6 million euros" in altered["84.6 million euros"]
    assert any(name in altered for name in ("Copper Newt", "Gwenda Lorimaxe"))
    assert all(
        answer.count(reference.split()[0]) for reference, answer in altered.items() if reference.startswith("Gwenda")
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
    assert kinds["vague"]["rate"] > kinds["other fact"]["rate"] and result["specificity"]["n"] == 30


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
