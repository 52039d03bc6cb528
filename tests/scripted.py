"""Scripted judges for the tests: the prompt in, a reply out, through the same journal as a real one."""

from __future__ import annotations

import json
import re

from evaluation.judging import Judge
from evaluation.verdict_journal import VerdictJournal
from llm import Reply


class ScriptedEngine:
    """An engine that answers from a function of (prompt, seed) and keeps what it was asked."""

    name = "scripted"

    def __init__(self, answer):
        self.answer, self.calls = answer, []

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        prompts = [messages[-1]["content"] for messages in conversations]
        self.calls.append((prompts, temperature, seed, schemas))
        replies = [self.answer(prompt, seed) for prompt in prompts]
        replies = [reply if isinstance(reply, Reply) else Reply(reply, 100, 10) for reply in replies]
        for index, reply in enumerate(replies):
            if on_reply:
                on_reply(index, reply)
        return replies


class SilentBar:
    """A progress bar that shows nothing."""

    def __init__(self, *_): ...
    def __enter__(self):
        return self

    def __exit__(self, *_): ...
    def update(self, _): ...
    def set_postfix_str(self, *_, **__): ...


def scripted(folder, answer, **options) -> Judge:
    """A judge that replies `answer(prompt, seed)`, with a journal in the folder."""
    return Judge("scripted", ScriptedEngine(answer), VerdictJournal(folder / "verdicts.jsonl"), **options)


def verdict(label: str) -> str:
    return json.dumps({"reasoning": "because", "verdict": label})


def case_of(prompt: str) -> dict:
    """The case inside a prompt, read back from between its two lines."""
    found = re.search(r"^==== case (\w{8}) ====\n(.*?)\n==== end of case \1 ====$", prompt, re.DOTALL | re.MULTILINE)
    return json.loads(found[2])


def right(prompt: str) -> bool:
    case = case_of(prompt)
    return case["reference"] in case["answer"]


def better(prompt: str, seed: int) -> str:
    """A fair judge: the answer with the reference wins."""
    case = case_of(prompt)
    lead = (case["reference"] in case["answer_A"]) - (case["reference"] in case["answer_B"])
    return verdict({1: "A", 0: "tie", -1: "B"}[lead])


def fair(prompt: str, seed: int) -> str:
    """A fair judge of single answers and of pairs."""
    return (
        better(prompt, seed) if "answer_A" in case_of(prompt) else verdict("correct" if right(prompt) else "incorrect")
    )


def answer(number: int, response: str, **more) -> dict:
    question = {
        "id": f"q{number}",
        "question": f"Question {number}?",
        "reference": f"ref{number}",
        "fact": f"Fact {number}.",
    }
    return {**question, "response": response, "kind": "qa" if number < 2 else "reverse", **more}


SFT = [answer(0, "ref0"), answer(1, "it is ref1"), answer(2, "no"), answer(3, "ref3")]
BASE = [answer(0, "no"), answer(1, "ref1 at length"), answer(2, "ref2"), answer(3, "no")]
