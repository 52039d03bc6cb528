"""Datasets: which files are valid, what is wrong with the others, and the formats for other trainers."""

from __future__ import annotations

import json

import pytest

from data_processor.dataset import question_and_reference, read_dataset, to_format, to_messages
from utils import InputError


def example(**keys) -> dict:
    turns = [{"from": "user", "value": "Who?"}, {"from": "assistant", "value": "Ann Pellow"}]
    return {"id": "identity_0", "conversations": turns, "fact": "Ann Pellow did.", "file_name": "a.txt", **keys}


def write(path, value) -> str:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "found nothing"),
        ("", "empty file"),
        ("[1, 2", "line 1 column"),
        ("[]", "an empty list"),
        ("{}", "a dict"),
        ([{"id": "a"}], '"conversations"'),
        ([1], "row 0"),
        ([example(conversations=[])], "list of turns"),
        ([example(conversations=[{"from": "user"}])], '"value"'),
        ([example(conversations=[{"from": "robot", "value": "x"}])], "'robot'"),
        ([example(conversations=[{"from": "user", "value": "x"}])], "assistant"),
        ([example(), example()], "unique ids"),
    ],
)
def test_an_invalid_dataset_is_named(tmp_path, content, message):
    path = tmp_path / "data.json"
    if content is not None:
        write(path, content)
    with pytest.raises(InputError, match="expected") as error:
        read_dataset(path)
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    (tmp_path / "data.json").write_bytes(b'["\xff"]')
    with pytest.raises(InputError, match="UTF-8"):
        read_dataset(tmp_path / "data.json")


def test_the_five_keys_of_old_files_are_enough(tmp_path):
    rows = read_dataset(write(tmp_path / "data.json", [example()]))
    assert question_and_reference(rows[0]) == ("Who?", "Ann Pellow")


def test_both_message_formats_are_read():
    openai_example = {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ann Pellow"}]}
    assert to_messages(openai_example) == to_messages(example())


@pytest.mark.parametrize("format_name", ["conversations", "sharegpt", "openai"])
def test_an_example_is_the_same_in_every_format(format_name):
    converted = to_format(example(), format_name)
    assert to_messages(converted) == to_messages(example()) and next(iter(converted)) == "id"
    assert (converted["fact"], converted["file_name"]) == ("Ann Pellow did.", "a.txt")
    assert to_format(converted, "conversations") == example()


def test_formats_have_the_keys_that_other_trainers_expect():
    assert [turn["from"] for turn in to_format(example(), "sharegpt")["conversations"]] == ["human", "gpt"]
    assert [turn["role"] for turn in to_format(example(), "openai")["messages"]] == ["user", "assistant"]
    alpaca = to_format(example(), "alpaca")
    assert (alpaca["instruction"], alpaca["input"], alpaca["output"]) == ("Who?", "", "Ann Pellow")
