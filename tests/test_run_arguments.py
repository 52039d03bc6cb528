"""What run_all.py is told: a slip in it is said at the start, not by a stage after hours; and a start with something else."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from clocks import handlers  # noqa: F401
from nights import Killed, Nights, files_in, read
from test_day_after_day import HEAD, texts_of

import run_all
from engines import processes
from utils import InputError, write_json


@pytest.fixture
def nights(tmp_path, monkeypatch, handlers) -> Nights:  # noqa: F811
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Nights(monkeypatch, texts_of(tmp_path / "demo", day1={"a": HEAD.format("Tobiah Quell")}), tmp_path / "out")


SLIPS = [
    ("--evaluate_args=--jugde match", "found --jugde match"),
    ("--evaluate_args=--controls 3", "expected --local_model_path or --api_model, found neither"),
    ("--evaluate_args=--judge local", "expected --local_model_path for a local judge, found none"),
    ("--evaluate_args=--judge api --api_model x", "expected an API key"),
    ("--inference_args=--max_tokens 5", "found --max_tokens 5"),
    ("--inference_args=--max_new_tokens many", "--max_new_tokens"),
    ("--collect_args=--roles 3", "found --roles 3"),
    ("--collect_args=--guard none", "--guard"),
    ("--finetune_args=--data it's", "as a shell reads them, found No closing quotation"),
]


@pytest.mark.parametrize("budget", [(), ("--time_budget", "20m")])
@pytest.mark.parametrize(("word", "message"), SLIPS)
def test_a_slip_in_the_arguments_of_a_stage_is_said_at_the_start(nights, word, message, budget):
    with pytest.raises(InputError, match=message):
        nights.start(1, word, *budget)
    assert nights.done == [] and not nights.out.exists()


QUESTIONS = [
    (["Who leads it?"], 'expected a text as "reference" in row 0'),
    ([{"question": "Who?", "reference": "Ann"}, {"question": "Who?"}], 'expected a text as "reference" in row 1'),
    ([{"prompt": "Who?", "completion": "Ann"}], "found prompt, completion"),
    ({"questions": []}, "found a dict"),
    ([], "found an empty list"),
]


@pytest.mark.parametrize("option", ["test_data_path", "retention_data_path"])
@pytest.mark.parametrize(("content", "message"), QUESTIONS)
def test_questions_that_cannot_be_asked_or_graded_are_refused_at_the_start(nights, tmp_path, option, content, message):
    write_json(tmp_path / "questions.json", content)
    with pytest.raises(InputError, match=message):
        nights.start(1, f"--{option}={tmp_path / 'questions.json'}")
    assert nights.done == [] and not nights.out.exists()


def test_a_model_judges_by_the_fact_and_what_nobody_knows_needs_no_answer(nights, tmp_path):
    rows = [{"question": "Who?", "fact": "Ann leads it."}, {"question": "When?", "kind": "unknown"}]
    write_json(tmp_path / "questions.json", rows)
    words = (f"--test_data_path={tmp_path / 'questions.json'}", "--evaluate_args=--judge local --local_model_path")
    nights.start(1, words[0], f"{words[1]} {nights.model}")
    assert "evaluate.py" in nights.done


OTHERS = ("--system_prompt=Be brief.", "--test_data_path={}/other.json", "--model_name_or_path={}/other")


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    ("killed_in", "refused"), [("evaluate.py", True), ("data_processor/data_collection_local.py", False)]
)
def test_a_start_with_something_else_mixes_no_answers(nights, tmp_path, other, killed_in, refused):
    """The base model's answers would be those of another model, or to other questions, which the evaluation says at the end."""
    write_json(tmp_path / "other.json", [{"question": "Who?", "reference": "Ann"}])
    write_json(tmp_path / "other" / "config.json", {})
    (tmp_path / "other" / "model.safetensors").write_bytes(b"weights")
    nights.killed_in = killed_in
    with pytest.raises(Killed):
        nights.start(1, "--time_budget", "20m")
    before, name = files_in(nights.out), other.partition("=")[0]
    if refused:
        with pytest.raises(InputError, match=f"expected {name} .*, with which .* was begun, found "):
            nights.start(1, other.format(tmp_path), "--time_budget", "20m")
        assert nights.done == [] and files_in(nights.out) == before
    nights.start(1, *([] if refused else [other.format(tmp_path)]), "--time_budget", "20m")
    assert "ended" in read(nights.out / "run.json")


def test_a_run_of_an_earlier_version_and_one_that_has_ended_are_not_compared(nights):
    nights.killed_in = "evaluate.py"
    with pytest.raises(Killed):
        nights.start(1)
    state = read(nights.out / "run.json")
    del state["arguments"]
    (nights.out / "run.json").write_text(json.dumps(state))
    nights.start(1, "--system_prompt=Be brief.")
    assert "evaluate.py" in nights.done
    nights.start(1, "--system_prompt=Be long.")
    assert nights.done == []


def test_of_two_starts_at_once_in_a_new_folder_one_has_it(nights, monkeypatch):
    """The second found no folder yet, then the one that the first had just made: it claimed it neither before nor after."""
    claims, found = [], itertools.chain([False], itertools.repeat(True))
    claim, is_dir = processes.claim_run_folder, Path.is_dir

    def note(folder):
        claims.append(folder)
        return claim(folder)

    monkeypatch.setattr(run_all, "claim_run_folder", note)
    monkeypatch.setattr(Path, "is_dir", lambda path: next(found) if path == nights.out else is_dir(path))
    nights.start(1)
    assert claims == [nights.out]
