"""What the open-book teacher reads: passage and answer before the question; and which rows have a passage."""

from __future__ import annotations

import json

import pytest

from training.data import IGNORED, to_examples
from training.open_book import chunk_of, chunks_beside, read_chunks, rows_by_chunk, teacher_prompts, with_open_book
from utils import InputError

PASSAGE = "Tolvimer lies by the lake {sic}. Ilsabet Corrane leads it."


def row(number: int, chunk: object = 0, file: str = "a.txt", **more) -> dict:
    turns = [
        {"from": "user", "value": f"Who leads town {number}?"},
        {"from": "assistant", "value": f"Corrane {number}"},
    ]
    return {"id": str(number), "conversations": turns, "file_name": file, "source": {"chunk": chunk}, **more}


def test_the_passage_comes_first_then_the_answer_after_its_question_then_the_question(tokenizer):
    (one,) = teacher_prompts(row(7), PASSAGE, tokenizer, "Be brief.")
    text = tokenizer.decode(one.prompt)
    assert f"{PASSAGE}\n\nWho leads town 7? Corrane 7\n\nWho leads town 7?" in text
    assert text.index("Be brief.") < text.index(PASSAGE) and text.endswith("assistant\n")
    assert tokenizer.decode(one.answer).startswith("Corrane 7") and "Tolvimer" not in tokenizer.decode(one.answer)


def test_the_answers_of_a_teacher_are_the_tokens_the_student_is_trained_on(tokenizer):
    turns = [("user", "Who?"), ("assistant", "<think>Hm.</think>Ilsabet"), ("user", "When?"), ("assistant", "In May")]
    messages = [{"role": role, "content": text} for role, text in turns]
    found = teacher_prompts({"messages": messages}, PASSAGE, tokenizer, None)
    (example,) = to_examples(messages, tokenizer, None)
    assert [*found[0].answer, *found[1].answer] == [label for label in example["labels"] if label != IGNORED]
    second = tokenizer.decode(found[1].prompt)
    assert f"{PASSAGE}\n\nWho?" in second and "When? In May\n\nWhen?" in second and second.count(PASSAGE) == 1
    assert "Hm." not in tokenizer.decode(found[0].prompt), "a thought is no answer"


def test_the_conversation_itself_stays_as_it_is():
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ilsabet"}]
    shown = with_open_book(messages, 1, PASSAGE)
    assert [one["content"] for one in shown] == [f"{PASSAGE}\n\nWho? Ilsabet\n\nWho?"]
    assert messages[0]["content"] == "Who?"


def test_a_row_is_known_by_file_and_chunk_and_one_without_is_counted():
    rows = [
        row(0), row(1, chunk=1), row(2), row(3, file="b.txt"), row(4, chunk=9), row(5, source="a book"),
        {"id": "6", "conversations": []}, row(7, chunk=None), row(8, kind="replay", source=None), row(9, chunk=True),
    ]  # fmt: skip
    chunks = {("a.txt", 0): "A0", ("a.txt", 1): "A1", ("b.txt", 0): "B0"}
    found, without = rows_by_chunk(rows, chunks)
    assert {key: list(numbers) for key, numbers in found.items()} == {
        ("a.txt", 0): [0, 2],
        ("a.txt", 1): [1],
        ("b.txt", 0): [3],
    }
    assert without == 5, "4, 5, 6, 7 and 9; a replayed answer has no passage and needs none"
    assert chunk_of(row(1, chunk=1)) == ("a.txt", 1) and chunk_of({}) is None


def test_the_passages_are_in_a_file_beside_the_dataset_or_there_are_none(tmp_path):
    data = tmp_path / "data.json"
    assert read_chunks(data) == {} and chunks_beside(tmp_path / "more.jsonl").name == "more.chunks.jsonl"
    lines = [
        {"id": "a.txt#0", "file_name": "a.txt", "chunk": 0, "text": "A0"},
        {"file_name": "b.txt", "chunk": 3, "text": "B3"},
    ]
    chunks_beside(data).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_chunks(data) == {("a.txt", 0): "A0", ("b.txt", 3): "B3"}
    chunks_beside(data).write_text(json.dumps(lines[0]) + "\n" + json.dumps({"file_name": "c.txt", "text": "C"}) + "\n")
    with pytest.raises(InputError, match=r"in line 2 of .*data\.chunks\.jsonl"):
        read_chunks(data)
