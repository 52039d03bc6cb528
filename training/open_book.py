"""What the teacher reads: for each row, the passage it rests on and the right answer, before the question itself.

The passages are in NAME.chunks.jsonl beside the dataset NAME.json, as collection writes it; a row's `file_name` and
`source.chunk` name its own. The model is shown both the passage and the answer, as together they teach more than either
alone (2601.19897, ablation of the teacher's context: answer 37, text 75, both 89). None of it is in what the student reads.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from data_processor.dataset import source_of, to_messages
from engines.chat import with_system_prompt
from engines.chat_template import prompt_ids
from engines.thoughts import without_thoughts
from training.data import IGNORED, to_examples
from utils import InputError, read_json

# No words of ours, so that it suits any language. The passage comes first: rows of one passage share it as their beginning.
WITH_PASSAGE = "{passage}\n\n{question}"
WITH_ANSWER = "{question} {answer}\n\n{question}"

ChunkKey = tuple[str, int]  # file name, and number of the chunk in it


class TeacherPrompt(NamedTuple):
    """The tokens a teacher reads before an answer, and the answer's own, which the student is trained on."""

    prompt: list[int]
    answer: list[int]


def chunks_beside(data_path: str | Path) -> Path:
    """Where the chunks of a dataset are, if it has them."""
    return Path(data_path).with_suffix(".chunks.jsonl")


def read_chunks(data_path: str | Path) -> dict[ChunkKey, str]:
    """The passages of a dataset; none if there is no file of them. InputError names a line without the keys."""
    path = chunks_beside(data_path)
    if not path.is_file():
        return {}
    chunks = {}
    for number, line in enumerate(read_json(path, "the chunks of a dataset", "collect it again", or_lines=True)):
        try:
            chunks[line["file_name"], line["chunk"]] = str(line["text"])
        except (KeyError, TypeError):
            raise InputError(
                f'expected "file_name", "chunk" and "text" in line {number + 1} of {path}, found {str(line)[:80]}: collect '
                "the dataset again, or remove the file to train without a teacher"
            ) from None
    return chunks


def chunk_of(row: dict) -> ChunkKey | None:
    """Which chunk a row says it rests on; None if it says none."""
    number = source_of(row).get("chunk")
    return (str(row.get("file_name")), number) if type(number) is int else None


def rows_by_chunk(rows: Sequence[dict], chunks: dict[ChunkKey, str]) -> tuple[dict[ChunkKey, array], int]:
    """The numbers of the rows that rest on each of the `chunks`, and how many rest on none; replayed ones are neither."""
    found: dict[ChunkKey, array] = {}
    without = 0
    for number in range(len(rows)):
        row = rows[number]
        key = chunk_of(row)
        if row.get("kind") == "replay":
            continue
        if key in chunks:
            found.setdefault(key, array("q")).append(number)
        else:
            without += 1
    return found, without


def teacher_prompts(row: dict, passage: str, tokenizer, system_prompt: str | None) -> list[TeacherPrompt]:
    """What the teacher reads for each answer of a row, in the order in which they are trained."""
    messages = to_messages(row)
    examples = to_examples(messages, tokenizer, system_prompt, None, unfinished=row.get("unfinished", False))
    answers = (run for example in examples for run in trained_runs(example["labels"]))
    if messages[0]["role"] != "system":
        messages = with_system_prompt(messages, system_prompt)
    turns = [turn for turn, message in enumerate(messages) if message["role"] == "assistant"]
    return [
        TeacherPrompt(prompt_ids(tokenizer, with_open_book(messages, turn, passage)), answer)
        for turn, answer in zip(turns, answers, strict=True)
    ]


def with_open_book(messages: list[dict[str, str]], turn: int, passage: str) -> list[dict[str, str]]:
    """The messages before the answer `messages[turn]`: the passage before the first question, the answer before the last."""
    shown = [dict(message) for message in messages[:turn]]
    asked = [number for number, message in enumerate(shown) if message["role"] == "user"]
    answer = without_thoughts(messages[turn]["content"])[0]
    last, first = shown[asked[-1]], shown[asked[0]]
    last["content"] = WITH_ANSWER.format(question=last["content"], answer=answer)
    first["content"] = WITH_PASSAGE.format(passage=passage, question=first["content"])
    return shown


def trained_runs(labels: Iterable[int]) -> list[list[int]]:
    """The answers in the labels of an example: each stretch of trained tokens."""
    runs = groupby(labels, key=lambda label: label != IGNORED)
    return [list(run) for trained, run in runs if trained]
