"""What a tuned model says with a passage in its prompt: the right one, none, a newer one, one that has nothing to do with it.

People run both, training and retrieval. Asked about the facts of day 1 of demo/days that a later day changes, with the adapter of
day 1: {case: {"n", "said_learnt": the value it learnt, "said_newer": the value that only the newer passage has, shares}}.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.knowledge_runs import answer
from benchmarks.update_data import FACTS, texts_of_day
from evaluation.accuracy import judge_answers
from evaluation.matching import CORRECT
from inference import PROMPT_WITH_TEXT
from utils import write_json

CASES = ("right", "none", "newer", "irrelevant")


def ask(model: str, work: Path, adapter: Path, first: dict, arguments: str) -> dict:
    """Ask the model of day 1 in every case about the facts it says right; once, as the answers are kept in `work`."""
    asked = [pair for pair in changed_facts() if first["right"].get(pair[0]["sentence"])]
    found = {}
    for case in CASES if asked else ():
        questions = work / "with_retrieval" / f"{case}.json"
        write_json(questions, [to_row(number, case, *pair) for number, pair in enumerate(asked)])
        rows = answer(model, questions, questions.with_name(f"{case}_tuned.json"), adapter, *arguments.split())
        found[case] = {
            "n": len(rows),
            "said_learnt": said(rows, [old for old, _ in asked]),
            "said_newer": said(rows, [new for _, new in asked]),
        }
    return found


def changed_facts() -> list[tuple[dict, dict]]:
    """The facts of day 1 with those that first supersede them."""
    newer = {fact["supersedes"]: fact for fact in FACTS if fact["supersedes"]}
    return [(fact, newer[fact["id"]]) for fact in FACTS if fact["first_day"] == 1 and fact["id"] in newer]


def to_row(number: int, case: str, old: dict, new: dict) -> dict:
    question = old["questions"][0]
    text = passage(case, old, new)
    prompt = PROMPT_WITH_TEXT.format(text=text, question=question) if text else question
    return {"id": str(number), "question": prompt, "reference": old["value"]}


def passage(case: str, old: dict, new: dict) -> str:
    """The text in the prompt: a file of day 1, or of the day that changed the fact."""
    texts = texts_of_day(1)
    if case == "right":
        return texts[old["file"]].strip()
    if case == "newer":
        return texts_of_day(new["first_day"])[new["file"]].strip()
    others = (text for name, text in texts.items() if name != old["file"] and old["subject"] not in text)
    return next(others).strip() if case == "irrelevant" else ""


def said(rows: list[dict], facts: list[dict]) -> float:
    """The share of answers with the value of the facts beside them."""
    graded = [
        {**row, "question": fact["questions"][0], "reference": fact["value"]}
        for row, fact in zip(rows, facts, strict=True)
    ]
    verdicts = judge_answers(graded, None)
    return round(sum(one["verdict"] == CORRECT for one in verdicts) / len(verdicts), 4)
