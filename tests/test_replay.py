"""Replayed answers as examples: marked as such, as many as asked for, and each asked once."""

from __future__ import annotations

import fcntl
import json

import pytest

from engines.chat import Reply
from training import replay
from training.replay import UntrainedModel, replay_examples
from utils import InputError

PROMPTS = [f"Prompt {n}?" for n in range(6)]


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Examples for so many prompts; the process answers with `reply`, and `ask.asked` are what it was asked."""
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))

    def examples(
        count: int, reply=lambda prompt: Reply(f"To {prompt}", finish_reason="stop"), seed: int = 0, epochs: float = 1
    ):
        def answers(model, prompts, journal):
            examples.asked.append(prompts)
            return [reply(prompt) for prompt in prompts]

        monkeypatch.setattr(replay, "answer_in_child", answers)
        prompts = str(tmp_path / "prompts.json")
        return replay_examples(UntrainedModel("m"), prompts, count, epochs, tmp_path / "a.jsonl", seed)

    examples.asked = []
    return examples


def test_a_replayed_example_says_that_it_is_one_and_whether_it_was_cut(ask):
    found = ask(6, lambda prompt: Reply(f"To {prompt}", finish_reason="length" if "3" in prompt else "stop"))
    assert [example["id"] for example in found] == [f"replay_{n}" for n in range(6)]
    assert all(example["kind"] == "replay" for example in found)
    for example in found:
        question, answer = example["messages"]
        assert answer == {"role": "assistant", "content": f"To {question['content']}"} and question["role"] == "user"
        assert example["unfinished"] == (question["content"] == "Prompt 3?")


def test_prompts_are_chosen_by_the_seed_and_only_as_many_as_are_needed_are_asked(ask):
    ask(2)
    ask(2)
    ask(2, seed=1)
    first, again, other = ask.asked
    assert first == again != other and len(first) == 2 and set(first) < set(PROMPTS)
    assert ask(0) == [] and len(ask.asked) == 3


@pytest.mark.parametrize(("count", "epochs", "expected"), [(2, 2.5, 5), (2, 3, 6), (2, 9, 6), (4, 0.5, 4), (8, 2, 8)])
def test_every_epoch_has_prompts_of_its_own_as_far_as_there_are_any(ask, count, epochs, expected):
    found = ask(count, epochs=epochs)
    assert len(found) == expected and len(ask.asked[0]) == min(expected, 6)
    assert len({example["id"] for example in found}) == expected


def test_where_there_are_too_few_prompts_or_answers_they_are_repeated(ask):
    found = ask(14, lambda prompt: Reply("" if "3" in prompt else "yes", finish_reason="stop"))
    said = [example["messages"][0]["content"] for example in found]
    assert len(found) == len({example["id"] for example in found}) == 14
    assert len(set(said)) == 5 and "Prompt 3?" not in said and said[:5] == said[5:10]


def test_no_answer_at_all_is_an_error(ask):
    with pytest.raises(InputError, match="found none"):
        ask(3, lambda prompt: Reply("", finish_reason="stop"))


def test_an_answer_is_kept_for_the_system_prompt_and_the_bits_it_was_given_with(tmp_path):
    class Engine:
        name = "m"

        def waves(self, conversations, max_new_tokens):
            return [list(range(len(conversations)))]

        def chat(self, conversations, *, max_new_tokens, on_reply, **_):
            asked.append((len(conversations), max_new_tokens))
            return [Reply("yes") for _ in conversations]

    asked = []
    for model in (
        UntrainedModel("m"),
        UntrainedModel("m"),
        UntrainedModel("m", "Brief."),
        UntrainedModel("m", in_4_bits=True),
    ):
        replies = replay.answer_prompts(model, PROMPTS[:2], tmp_path / "a.jsonl", Engine())
        assert [reply.text for reply in replies] == ["yes", "yes"]
    assert asked == [(2, 32)] * 3, "the second is read from the journal"


def test_a_journal_that_has_some_answers_is_free_for_the_process_that_asks_for_the_rest(tmp_path, monkeypatch):
    """After a kill, or with more prompts than before; flock keeps out whoever opens the file anew, in one process too."""
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))
    journal = tmp_path / "a.jsonl"

    class Engine(UntrainedModel):
        def waves(self, conversations, max_new_tokens):
            return None

        def chat(self, conversations, *, on_reply, **_):
            for index in range(len(conversations)):
                on_reply(index, Reply("yes"))

    replay.answer_prompts(UntrainedModel("m"), PROMPTS[:2], journal, Engine("m"))

    def answers(model, prompts, journal):
        with journal.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return [Reply("yes") for _ in prompts]

    monkeypatch.setattr(replay, "answer_in_child", answers)
    assert len(replay_examples(UntrainedModel("m"), str(tmp_path / "prompts.json"), 6, 1, journal, 0)) == 6


def test_thoughts_in_an_older_journal_are_not_replayed(ask):
    found = ask(2, lambda prompt: Reply(f"<think>\nHm.\n</think>\n\nTo {prompt}"))
    assert [example["messages"][1]["content"] for example in found] == [
        f"To {example['messages'][0]['content']}" for example in found
    ]
    with pytest.raises(InputError, match=r"found none \(cut off while thinking: raise it\): give --replay_ratio 0"):
        ask(2, lambda prompt: Reply("<think>\nHm", error="cut off while thinking: raise it"))
