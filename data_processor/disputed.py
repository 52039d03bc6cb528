"""Questions that documents answer differently, such as two price lists: a person has to say which one holds.

Both answers stay in the training, which teaches neither well. No rule could choose: nothing in the text has to say which
document is the newer one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

from data_processor.curation import content_words, normalize, words
from data_processor.parts import question_of
from data_processor.split import ANSWERABLE_KINDS, differ


def find_disputed(rows: Iterable[dict]) -> Iterator[dict]:
    """{"question", "answers": {file name: answer}} of each question with answers that differ, each of another document.

    The questions are the same but for case and typography; of two answers each has a word or number that the other lacks.
    """
    answers: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["kind"] in ANSWERABLE_KINDS:
            question = " ".join(normalize(question_of(row)).split()).strip(" ?")
            of_question = answers.setdefault(question, {})
            of_question.setdefault(row["file_name"], row["conversations"][1]["value"])
    for question, by_file in answers.items():
        told = [frozenset(content_words(answer) or words(answer)) for answer in by_file.values()]
        if any(differ(*two) for two in combinations(told, 2)):
            yield {"question": question, "answers": by_file}


def describe_disputed(disputed: list[dict], path: Path) -> str:
    """A line for the terminal, with the first of them."""
    told = ", ".join(f"{answer!r} in {file_name}" for file_name, answer in disputed[0]["answers"].items())
    return (
        f"{len(disputed)} questions have other answers in other documents, and training mixes these; the first: "
        f"{disputed[0]['question']!r}: {told}. All are in {path}: take out the document that no longer holds, or edit the dataset"
    )
