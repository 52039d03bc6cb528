"""Reads and checks the answers files that inference.py writes, and puts two of them in the same order.

One answer: {"fact", "question", "response"} and, from inference.py, "id", "reference", "points", "file_name", "kind" and more.
"""

from __future__ import annotations

from pathlib import Path

from data_processor.dataset import question_and_reference, read_dataset, with_id
from data_processor.points import require_points
from engines.thoughts import without_thoughts
from evaluation.matching import UNANSWERABLE
from evaluation.tokens import tokens
from utils import InputError, read_json

NOT_KNOWN = "This is not known."  # the right answer to a question of the kind UNANSWERABLE


def read_answers(path: Path, judge: str = "match") -> list[dict]:
    """The rows of an answers file, each with a reference: its own or, for a judging model, else the fact.

    Thoughts are cut: they are not graded.

    InputError names the first row that lacks something `judge` needs.
    """
    rows = read_json(path, "an answers file", "run inference.py first, or give the name of its output", or_lines=True)
    if not isinstance(rows, list) or not rows:
        found = "an empty list" if rows == [] else f"a {type(rows).__name__}"
        raise InputError(f"expected a list of answers in {path}, found {found}: give a file that inference.py wrote")
    seen: set[str] = set()
    for number, row in enumerate(rows):
        where = f"row {number} of {path}"
        if not isinstance(row, dict):
            raise InputError(f"expected an object as {where}, found a {type(row).__name__}: correct it")
        require_points(row, where)
        require_texts(row, where, judge)
        if has_id(row) and str(row["id"]) in seen:
            raise InputError(f"expected unique ids in {path}, found {row['id']!r} again in row {number}: rename one")
        seen.add(str(row.get("id")))
    return [{**row, "reference": reference_of(row), "response": response_of(row)} for row in rows]


def require_texts(row: dict, where: str, judge: str) -> None:
    """InputError if an answer lacks a text that `judge` needs."""
    reference_keys = ("reference",) if judge == "match" else ("reference", "fact")
    for keys in [("question",), ("response",)] + [reference_keys] * (row.get("kind") != UNANSWERABLE):
        text = next((row[key] for key in keys if row.get(key)), row.get(keys[0]))
        if not isinstance(text, str) or (keys == reference_keys and not tokens(text)):
            hint = "add it" + (", or let a model judge by the fact" if keys == ("reference",) else "")
            expected_keys = " or ".join(f'"{key}"' for key in keys)
            raise InputError(f"expected a text as {expected_keys} in {where}, found {text!r}: {hint}")


def require_gradable(path: str | Path, judge: str) -> None:
    """InputError if a file of questions is none, or if `judge` could not grade the answers to them."""
    for number, row in enumerate(read_dataset(path, "questions", bare_questions=True)):
        question, reference = question_and_reference(row)
        require_texts(
            {**row, "question": question, "reference": reference, "response": ""}, f"row {number} of {path}", judge
        )


def response_of(row: dict) -> str:
    """A row's response without its thoughts, and without half an emoji, which no file can be written with."""
    return without_thoughts(row["response"])[0].encode("utf-8", "replace").decode()


def reference_of(row: dict) -> str:
    """The content of a right answer: the row's own reference without its thoughts, else its fact."""
    reference = without_thoughts(row.get("reference") or "")[0]
    return reference or (NOT_KNOWN if row.get("kind") == UNANSWERABLE else row["fact"])


def has_id(row: dict) -> bool:
    return row.get("id") not in (None, "")


def pair_answers(sft: list[dict], base: list[dict]) -> list[dict]:
    """The rows of `base` in the order and with the ids of `sft`: by id if every row has one, else as they are.

    A row without an id gets one, by which the report finds its answers.
    """
    if all(map(has_id, sft + base)):
        position = {str(row["id"]): number for number, row in enumerate(sft)}
        base = sorted(base, key=lambda row: position.get(str(row["id"]), len(sft)))
    remedy = "run inference.py on one test file for both"
    if len(sft) != len(base):
        raise InputError(f"expected the same questions in both files, found {len(sft)} and {len(base)}: {remedy}")
    for number, (row, other) in enumerate(zip(sft, base, strict=True)):
        for key in ("question", "reference", "fact", "points"):
            if row.get(key) != other.get(key):
                found = f"{key} {row.get(key)!r} in row {number} of one and {other.get(key)!r} in the other"
                raise InputError(f"expected the same questions in both files, found {found}: {remedy}")
    names = [with_id(row, number)["id"] for number, row in enumerate(sft)]
    return [{**row, "id": name} for row, name in zip(base, names, strict=True)]
