"""Files and arguments: what is written is whole, what cannot be read is named in one line."""

from __future__ import annotations

import json

import pytest

from dataset import question_and_reference, read_dataset, to_format, to_messages
from utils import InputError, read_json, require_adapter, require_model, write_json


def example(**keys) -> dict:
    turns = [{"from": "user", "value": "Who?"}, {"from": "assistant", "value": "Ann Pellow"}]
    return {"id": "identity_0", "conversations": turns, "fact": "Ann Pellow did.", "file_name": "a.txt", **keys}


def write(path, value) -> str:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return str(path)


def test_written_json_is_read_back_and_leaves_no_other_file(tmp_path):
    write_json(tmp_path / "new" / "a.json", [{"问": "答"}])
    assert read_json(tmp_path / "new" / "a.json", "a list") == [{"问": "答"}]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", [object()])
    assert read_json(tmp_path / "a.json", "a list") == [1] and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(InputError, match="expected to write"):
        write_json(tmp_path / "a.json" / "b.json", [])  # a file where a folder should be


@pytest.mark.parametrize(
    ("content", "words"),
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
def test_a_dataset_that_is_none_is_named(tmp_path, content, words):
    path = tmp_path / "data.json"
    if content is not None:
        write(path, content)
    with pytest.raises(InputError, match="expected") as error:
        read_dataset(path)
    assert words in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    (tmp_path / "data.json").write_bytes(b'["\xff"]')
    with pytest.raises(InputError, match="UTF-8"):
        read_dataset(tmp_path / "data.json")


def test_the_five_keys_of_old_files_are_enough(tmp_path):
    rows = read_dataset(write(tmp_path / "data.json", [example()]))
    assert question_and_reference(rows[0]) == ("Who?", "Ann Pellow")


def test_both_message_forms_are_read():
    openai_form = {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ann Pellow"}]}
    assert to_messages(openai_form) == to_messages(example())


def test_models_and_adapters_are_checked_before_they_are_loaded(tmp_path, model_path):
    require_model(model_path)
    require_model("Qwen/Qwen2.5-7B-Instruct")  # may be on the hub
    with pytest.raises(InputError, match="found nothing"):
        require_model(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"config\.json"):
        require_model(str(tmp_path))
    write(tmp_path / "adapter_config.json", {"base_model_name_or_path": "some/other-model"})
    with pytest.raises(InputError, match="other-model"):
        require_adapter(str(tmp_path), model_path)


@pytest.mark.parametrize("form", ["conversations", "sharegpt", "openai"])
def test_an_example_says_the_same_in_every_form(form):
    changed = to_format(example(), form)
    assert to_messages(changed) == to_messages(example()) and next(iter(changed)) == "id"
    assert (changed["fact"], changed["file_name"]) == ("Ann Pellow did.", "a.txt")
    assert to_format(changed, "conversations") == example()


def test_forms_have_the_keys_that_other_trainers_expect():
    assert [turn["from"] for turn in to_format(example(), "sharegpt")["conversations"]] == ["human", "gpt"]
    assert [turn["role"] for turn in to_format(example(), "openai")["messages"]] == ["user", "assistant"]
    alpaca = to_format(example(), "alpaca")
    assert (alpaca["instruction"], alpaca["input"], alpaca["output"]) == ("Who?", "", "Ann Pellow")
