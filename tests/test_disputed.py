"""Questions with other answers in other documents are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_processor.disputed import describe_disputed, find_disputed


def row(question: str, answer: str, file_name: str, kind: str = "qa") -> dict:
    turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
    return {"conversations": turns, "file_name": file_name, "kind": kind}


OLD = ("What does M6 cost?", "€3.20", "2025.txt")


@pytest.mark.parametrize(
    ("first", "second", "disputed"),
    [
        (OLD, ("What does M6 cost?", "€3.40", "2026.txt"), True),
        (OLD, ("what does m6  cost", "€3.40", "2026.txt"), True),
        (OLD, ("What does M8 cost?", "€3.40", "2026.txt"), False),
        (OLD, ("What does M6 cost?", "€3.20 a piece", "2026.txt"), False),
        (OLD, ("What does M6 cost?", "€3.40", "2025.txt"), False),  # one document
        (("Is it open?", "Yes, it is.", "a.txt"), ("Is it open?", "No, it is not.", "b.txt"), True),
        (("桥是哪年开放的？", "1990年", "a.txt"), ("桥是哪年开放的？", "1991年", "b.txt"), True),
        (
            ("Tell me of it.", "It is red.", "a.txt", "passage"),
            ("Tell me of it.", "It is new.", "b.txt", "passage"),
            False,
        ),
        (("Who is it?", "Unknown.", "a.txt", "unknown"), ("Who is it?", "Nobody knows.", "b.txt", "unknown"), False),
    ],
)
def test_answers_that_differ_between_documents_are_found(first, second, disputed):
    found = list(find_disputed([row(*first), row(*second)]))
    assert [one["answers"] for one in found] == ([{first[2]: first[1], second[2]: second[1]}] if disputed else [])


def test_the_terminal_names_the_first_and_the_file():
    disputed = [{"question": "what does m6 cost", "answers": {"2025.txt": "€3.20", "2026.txt": "€3.40"}}]
    told = describe_disputed(disputed, Path("out/log/data.disputed.jsonl"))
    assert told.startswith("1 questions have other answers") and "'€3.20' in 2025.txt, '€3.40' in 2026.txt" in told
    assert "out/log/data.disputed.jsonl" in told
