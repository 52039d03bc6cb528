"""The journal of verdicts: what it has is not asked again, and what was asked otherwise is not taken from it. No model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scripted import SFT, answer, scripted, verdict

from engines.chat import Reply
from evaluation import accuracy, judging
from evaluation.judging import ACCURACY, UNSCORED, Judge, ask, to_case
from evaluation.verdict_journal import VerdictJournal
from utils import InputError

FAILED = Reply("", finish_reason="error", error="429: slow down")


def correct(prompt: str, seed: int) -> str:
    return verdict("correct")


def incorrect(prompt: str, seed: int) -> str:
    return verdict("incorrect")


def lines_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]


def test_a_line_says_who_was_asked_what_and_what_came_back(tmp_path):
    accuracy.judge_answers(SFT[:1], scripted(tmp_path, correct), "sft")
    (line,) = lines_of(tmp_path)
    assert list(line) == ["judge", "prompt", "item", "name", "text", "prompt_tokens", "completion_tokens"]
    assert (line["judge"], line["name"], line["text"]) == ("scripted", "accuracy sft q0", verdict("correct"))
    assert (line["prompt_tokens"], line["completion_tokens"]) == (100, 10)
    kept = VerdictJournal(tmp_path / "verdicts.jsonl")
    assert kept.replies == {("scripted", line["prompt"], line["item"]): Reply(verdict("correct"), 100, 10)}
    assert kept.last_judge == "scripted"


def test_the_last_judge_is_that_of_the_last_line_and_the_last_reply_counts(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    for judge, text in (("one", "a"), ("other", "b"), ("one", "c")):
        VerdictJournal(path).add(judge, "prompt", "item", "name", Reply(text))
    kept = VerdictJournal(path)
    assert {key[0]: reply.text for key, reply in kept.replies.items()} == {"one": "c", "other": "b"}
    assert kept.last_judge == "one"


def test_a_failed_call_is_unscored_and_not_asked_again_in_the_same_go(tmp_path):
    judge = scripted(tmp_path, lambda prompt, seed: FAILED if "Question 0?" in prompt else verdict("correct"))
    verdicts = accuracy.judge_answers(SFT, judge)
    assert [row["verdict"] for row in verdicts] == [UNSCORED, "correct", "correct", "correct"]
    assert (verdicts[0]["reason"], len(judge.engine.calls)) == ("429: slow down", 1)


@pytest.mark.parametrize("rerun", [False, True])
def test_a_failed_call_is_neither_remembered_nor_on_the_disk(tmp_path, rerun):
    judge = scripted(tmp_path, lambda prompt, seed: FAILED if "Question 0?" in prompt else verdict("correct"))
    accuracy.judge_answers(SFT, judge)
    assert [line["name"] for line in lines_of(tmp_path)] == ["accuracy q1", "accuracy q2", "accuracy q3"]
    again = scripted(tmp_path, incorrect)
    if not rerun:
        again.journal = judge.journal
    assert [row["verdict"] for row in accuracy.judge_answers(SFT, again)] == ["incorrect"] + ["correct"] * 3
    ((prompts, temperature, *_),) = again.engine.calls
    assert len(prompts) == 1 and "Question 0?" in prompts[0]
    assert temperature == 0  # the first request, made once more: not the second after a reply that was none


def test_a_reply_that_cannot_be_read_is_kept_and_not_asked_for_again(tmp_path):
    accuracy.judge_answers(SFT[:1], scripted(tmp_path, lambda prompt, seed: "?"))
    assert [line["text"] for line in lines_of(tmp_path)] == ["?", "?"]  # both requests
    again = scripted(tmp_path, correct)
    assert accuracy.judge_answers(SFT[:1], again)[0]["verdict"] == UNSCORED and again.engine.calls == []


PIECES = {  # of judging.py, changed from one version to the next
    "the prompt around a case": ("CASE_PROMPT", judging.CASE_PROMPT + "\nBe quick."),
    "the form of the reply": ("JSON_FORM", judging.JSON_FORM + " Be quick."),
    "the length of a reply": ("SCHEMA_TOKENS", 401),
    "the temperature": ("TEMPERATURES", (0.1, 0.7)),
}


@pytest.mark.parametrize("piece", PIECES)
def test_a_judge_that_is_asked_otherwise_is_asked_again(tmp_path, monkeypatch, piece):
    accuracy.judge_answers(SFT[:1], scripted(tmp_path, correct))
    monkeypatch.setattr(judging, *PIECES[piece])
    judge = scripted(tmp_path, incorrect)
    assert accuracy.judge_answers(SFT[:1], judge)[0]["verdict"] == "incorrect" and judge.usage["asked"] == 1


TASKS = {
    "instructions": replace(ACCURACY, prompt=ACCURACY.prompt + "\nBe strict."),
    "labels": replace(ACCURACY, labels=("incorrect", "correct")),
}


@pytest.mark.parametrize("what", TASKS)
def test_other_instructions_or_labels_are_another_question(tmp_path, what):
    case = to_case(SFT[0], answer="ref0")
    assert ask(scripted(tmp_path, correct), ACCURACY, [case])[0][0] == "correct"
    judge = scripted(tmp_path, incorrect)
    assert ask(judge, TASKS[what], [case])[0][0] == "incorrect" and judge.usage["asked"] == 1


def test_another_judge_is_asked_itself(tmp_path):
    accuracy.judge_answers(SFT[:1], scripted(tmp_path, correct))
    judge = scripted(tmp_path, incorrect)
    judge.name = "other"
    assert accuracy.judge_answers(SFT[:1], judge)[0]["verdict"] == "incorrect" and judge.usage["asked"] == 1


def test_a_verdict_in_json_is_not_that_of_a_judge_that_writes_free_text(tmp_path):
    accuracy.judge_answers(SFT[:1], scripted(tmp_path, correct))
    judge = scripted(tmp_path, correct, enforces_schema=False)
    accuracy.judge_answers(SFT[:1], judge)
    assert judge.usage == {"asked": 2, "from_journal": 0, "prompt_tokens": 200, "completion_tokens": 20}


@pytest.mark.parametrize("key", ["question", "reference", "fact", "response"])
def test_another_case_is_another_question(tmp_path, key):
    accuracy.judge_answers(SFT[:1], scripted(tmp_path, correct))
    judge = scripted(tmp_path, incorrect)
    assert accuracy.judge_answers([{**SFT[0], key: "another"}], judge)[0]["verdict"] == "incorrect"
    assert judge.usage["asked"] == 1


def test_the_same_case_is_known_whatever_its_id_and_name(tmp_path):
    accuracy.judge_answers(SFT[:1], scripted(tmp_path, correct), "sft")
    judge = scripted(tmp_path, incorrect)
    assert accuracy.judge_answers([{**SFT[0], "id": "other"}], judge, "base")[0]["verdict"] == "correct"
    assert judge.engine.calls == []


def test_another_seed_is_another_verdict_where_something_is_drawn(tmp_path):
    accuracy.judge_answers(SFT[:1], scripted(tmp_path, lambda prompt, seed: verdict("correct") if seed else "?"))
    judge = scripted(tmp_path, incorrect, seed=7)
    assert accuracy.judge_answers(SFT[:1], judge)[0]["verdict"] == "incorrect"
    # the first request draws nothing: its reply "?" is in the journal
    ((_, temperature, seed, _),) = judge.engine.calls
    assert (temperature, seed, judge.usage["from_journal"]) == (0.7, 8, 1)


def test_a_judge_that_dies_loses_nothing(tmp_path):
    def dies(prompt, seed):
        if "Question 2?" in prompt:
            raise InputError("expected the server to answer, found no connection")
        return verdict("correct")

    class OneByOne:
        def chat(self, conversations, on_reply, **_):
            for index, messages in enumerate(conversations):
                on_reply(index, Reply(dies(messages[-1]["content"], 0)))

    judge = Judge("scripted", OneByOne(), VerdictJournal(tmp_path / "verdicts.jsonl"))
    with pytest.raises(InputError, match="no connection"):
        accuracy.judge_answers(SFT, judge)
    again = scripted(tmp_path, lambda prompt, seed: verdict("incorrect"))
    accuracy.judge_answers(SFT, again)
    assert again.usage["from_journal"] == 2 and len(again.engine.calls[0][0]) == 2


def test_a_rerun_asks_nothing_and_rescoring_needs_no_engine(tmp_path):
    first = scripted(tmp_path, lambda prompt, seed: "?" if "Question 3?" in prompt and not seed else verdict("correct"))
    verdicts = accuracy.judge_answers(SFT, first)
    again = scripted(tmp_path, None)
    assert accuracy.judge_answers(SFT, again) == verdicts and again.engine.calls == []
    alone = Judge("scripted", None, VerdictJournal(tmp_path / "verdicts.jsonl"))
    assert accuracy.judge_answers(SFT, alone) == verdicts
    assert alone.usage == {"asked": 0, "from_journal": 5, "prompt_tokens": 500, "completion_tokens": 50}
    assert first.usage == {**alone.usage, "asked": 5, "from_journal": 0}
    other_answer = accuracy.judge_answers([answer(0, "another")], alone)
    assert (other_answer[0]["verdict"], other_answer[0]["reason"]) == (UNSCORED, "not in the journal")
    assert (alone.usage["asked"], alone.usage["from_journal"]) == (0, 5)


def test_a_journal_that_was_cut_off_or_is_another_file(tmp_path):
    accuracy.judge_answers(SFT, scripted(tmp_path, lambda prompt, seed: verdict("correct")))
    path = tmp_path / "verdicts.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert json.loads(lines[0])["name"] == "accuracy q0"
    path.write_bytes(b"".join(lines[:2]) + lines[2][:50])
    assert len(VerdictJournal(path).replies) == 2 and path.read_bytes() == b"".join(lines[:2])
    path.write_text('{"judge": "x"}\n')
    with pytest.raises(InputError, match="something else in line 1"):
        VerdictJournal(path)


def test_a_file_that_is_no_journal_of_verdicts_is_named_and_an_empty_one_has_no_judge(tmp_path):
    assert VerdictJournal(tmp_path / "none.jsonl").last_judge is None
    (tmp_path / "verdicts.jsonl").write_text('{"judge": "m"}\n')
    with pytest.raises(InputError, match=r"^expected a journal of verdicts at .*, found something else in line 1: "):
        VerdictJournal(tmp_path / "verdicts.jsonl")
