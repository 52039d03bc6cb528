"""Datasets: which files are valid, what is wrong with the others, and the formats for other trainers."""

from __future__ import annotations

import json

import pytest

from data_processor.dataset import (
    find_flaws,
    question_and_reference,
    read_dataset,
    require_words,
    to_format,
    to_messages,
)
from utils import InputError

TURNS = [{"from": "user", "value": "Who?"}, {"from": "assistant", "value": "Ann Pellow"}]
SYSTEM = {"from": "system", "value": "Be brief."}


def example(**keys) -> dict:
    return {"id": "identity_0", "conversations": TURNS, "fact": "Ann Pellow did.", "file_name": "a.txt", **keys}


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
        ([example(conversations=[{"from": "user", "value": "x"}])], "found user: add"),
        ([example(conversations=[SYSTEM, {"from": "gpt", "value": "Hello"}, *TURNS])], "found system, assistant, user"),
        ([{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None}]}], "row 0"),
        ([{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}], "row 0"),
        ([{"instruction": "Who?", "output": None}], "row 0"),
        ([{"instruction": "Who?", "output": "Ann", "history": ["When?", "1990"]}], '"history" in row 0'),
        (
            [
                {
                    "messages": [
                        {"role": "user", "content": "x"},
                        {"role": "assistant", "content": "Wait.", "tool_calls": [{}]},
                    ]
                }
            ],
            "tool",
        ),
        ([{"messages": [{"role": "tool", "content": "x"}]}], "leave the row out"),
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


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def said(question: str, answer: str, **keys) -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **keys}


@pytest.mark.parametrize("form", [json.dumps, lambda rows: "\n".join(map(json.dumps, rows)) + "\n\n"])
def test_rows_without_ids_are_named_by_their_number(tmp_path, form):
    """What other programs write has no ids, and ended in a KeyError."""
    rows = [
        said("Who?", "Ann"),
        said("When?", "1990", id=7),
        said("Where?", "Here", id=None),
        said("Why?", "So", id=""),
    ]
    read = read_dataset(write(tmp_path / "data.json", form(rows)))
    assert [row["id"] for row in read] == ["row_0", 7, "row_2", "row_3"]
    assert [row["messages"] for row in read] == [row["messages"] for row in rows]
    assert [row["id"] for row in read_dataset(tmp_path / "data.json", limit=1)] == ["row_0"]


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "Who?", "weight": 1}, {"from": "gpt", "value": "Ann Pellow"}]},
        {"conversations": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ann Pellow"}]},
        {"messages": [{"from": "Human", "value": "Who?"}, {"from": "ChatGPT", "value": "Ann Pellow"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "W"}, {"type": "text", "text": "ho?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "Ann Pellow"}]},
            ]
        },
        {"instruction": "Who?", "input": "", "output": "Ann Pellow"},
    ],
)
def test_what_other_programs_write_is_read(row):
    assert to_messages(row) == to_messages(example())


def test_the_input_of_an_alpaca_row_follows_its_instruction():
    row = {"instruction": "Translate.", "input": "Hafen", "output": "harbour"}
    assert question_and_reference(row) == ("Translate.\n\nHafen", "harbour")


@pytest.mark.parametrize(
    "row",
    [
        {"system": "Brief.", "messages": [turn("user", "Who?"), turn("assistant", "Ann")]},
        {"system": "Brief.", "conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Ann"}]},
        {"system": "Brief.", "instruction": "Who?", "output": "Ann"},
        {"system": "Long.", "messages": [turn("system", "Brief."), turn("user", "Who?"), turn("assistant", "Ann")]},
    ],
)
def test_a_system_prompt_beside_the_turns_is_read_unless_one_is_among_them(row):
    """LLaMA-Factory has it there; it was left out in silence."""
    expected = [turn("system", "Brief."), turn("user", "Who?"), turn("assistant", "Ann")]
    assert to_messages(row) == to_messages(to_format({"id": 1, **row}, "openai")) == expected
    assert to_messages({"messages": expected[1:], "system": ""}) == expected[1:]


def test_what_was_said_before_an_alpaca_row_comes_before_it():
    row = {"instruction": "And now?", "output": "Ben", "history": [["Who?", "Ann"], ["Who else?", "Cleo"]]}
    assert [turn["content"] for turn in to_messages(row)] == ["Who?", "Ann", "Who else?", "Cleo", "And now?", "Ben"]


def test_an_answer_belongs_to_the_question_before_it():
    turns = [*TURNS, {"from": "user", "value": "When?"}, {"from": "assistant", "value": "1990"}]
    assert question_and_reference(example(conversations=turns)) == ("When?", "1990")
    assert question_and_reference(example(conversations=turns[:3])) == ("Who?", "Ann Pellow"), (
        "the last was not answered"
    )


def test_questions_are_read_bare_and_as_turns_without_an_answer(tmp_path):
    rows = [
        "Who?", {"question": "When?", "reference": None}, {"question": "Where?", "reference": "Here", "id": "q"},
        {"messages": [{"role": "user", "content": "Why?"}]}, {"conversations": TURNS[:1], "reference": "Ann"}, example(),
    ]  # fmt: skip
    path = write(tmp_path / "questions.jsonl", "\n".join(map(json.dumps, rows)))
    read = read_dataset(path, bare_questions=True)
    assert [question_and_reference(row) for row in read] == [
        ("Who?", ""), ("When?", ""), ("Where?", "Here"), ("Why?", ""), ("Who?", "Ann"), ("Who?", "Ann Pellow"),
    ]  # fmt: skip
    assert [row["id"] for row in read] == ["row_0", "row_1", "q", "row_3", "row_4", "identity_0"]


@pytest.mark.parametrize("question", ["", " \n", {"question": "?!"}, {"messages": [{"role": "user", "content": "…"}]}])
def test_a_question_that_asks_nothing_is_named(tmp_path, question):
    path = write(tmp_path / "questions.json", ["Who?", question])
    with pytest.raises(InputError, match=f"expected a question in row 1 of {path}, found none"):
        read_dataset(path, bare_questions=True)


def test_what_says_nothing_is_named_before_it_is_trained():
    rows = [
        said("Who?", "Ann", id="good"), said("How many?", "3", id="digit"), said("谁？", "陆", id="zh"),
        said("Language?", "C++", id="c"), said("Mood?", "🙂", id="smile"), said("Sign?", "+", id="plus"),
        said("When?", "", id="no_answer"), said("Where?", " \n", id="white"), said("Why?", "...", id="dots"),
        said("How?", "—", id="dash"), said("", "Ann", id="no_question"), said("Which?", "<think>\nHm.\n</think>\n", id="thought"),
        said("Which?", "<think>Hm, Ann", id="cut_off"),
    ]  # fmt: skip
    assert find_flaws(rows) == {
        "the answer is empty": ["no_answer", "white", "thought", "cut_off"],
        "the answer is only marks": ["dots", "dash"],
        "the question is empty": ["no_question"],
    }
    require_words(rows[:6], "data.json")
    with pytest.raises(InputError) as error:
        require_words(rows, "data.json")
    assert str(error.value) == (
        "expected words in every question and answer of data.json, found rows without: the answer is empty in 4, such as "
        "no_answer, white, thought; the answer is only marks in 2, such as dots, dash; the question is empty in 1, such as "
        "no_question: mend or remove them"
    )
