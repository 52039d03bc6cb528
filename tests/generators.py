"""Scripted generators for the collection tests, and helpers that those tests share."""

from __future__ import annotations

import hashlib
import json
import re

from data_processor import questions
from data_processor.chunking import Chunk
from data_processor.curation import find_spans
from data_processor.facts import Fact
from data_processor.prompts import load_prompts
from data_processor.work import Work
from engines.chat import Reply

ENGLISH, CHINESE = load_prompts()["en"], load_prompts()["zh"]


def fact(text: str, subject: str = "Hexley", language: str = "en") -> Fact:
    return Fact(text, Chunk("a.txt", 0, 0, len(text), text, "", language), 0, len(text), subject, "a bridge")


class ScriptedEngine:
    """An engine that answers from a list and records what it was asked."""

    name = "scripted"

    def __init__(self, *answers: str):
        self.answers, self.asked, self.schemas = list(answers), [], []

    def chat(self, conversations, *, schemas=None, on_reply=None, **options):
        self.asked += conversations
        self.schemas += schemas if isinstance(schemas, list) else [schemas] * len(conversations)
        replies = [Reply(self.answers.pop(0)) for _ in conversations]
        for index, reply in enumerate(replies):
            on_reply(index, reply)
        return replies


class SilentBar:
    def __init__(self, *_): ...
    def __enter__(self):
        return self

    def __exit__(self, *_): ...
    def update(self, _): ...
    def set_postfix_str(self, *_, **__): ...


def work(*answers: str, question_module=questions, **options) -> Work:
    return Work(ScriptedEngine(*answers), 0, SilentBar, question_module, **options)


class ReadingEngine:
    """An engine that answers English prompts from their content: the same prompt always gets the same reply."""

    name = "reading"

    def chat(self, conversations, *, schemas=None, on_reply=None, **options):
        schemas = schemas if isinstance(schemas, list) else [schemas] * len(conversations)
        replies = []
        for messages, schema in zip(conversations, schemas, strict=True):
            replies.append(Reply(self.answer(messages[-1]["content"], schema)))
            on_reply(len(replies) - 1, replies[-1])
        return replies

    def waves(self, conversations, max_new_tokens):
        return [[place] for place in range(len(conversations))]

    def answer(self, prompt: str, schema) -> str:
        if "what is this text about?" in prompt:
            return " ".join(prompt.split()[:9])
        if match := re.search(r"Sentence: (.*)\nState each fact", prompt):
            return json.dumps([match[1], f"Zorbo Quux said: {match[1]}"])
        if match := re.search(r"Fact: (.*)\nWrite up to", prompt):
            return json.dumps([cloze_pair(match[1], span) for span in find_spans(match[1])])
        if "Answer in as few words as possible" in prompt:
            question = prompt.rsplit("\n\n", 1)[1]
            return json.dumps(next((answer for answer in schema["enum"] if answer not in question), ""))
        if "kinds of people" in prompt:
            return json.dumps([pick_word(prompt, "pupil baker"), pick_word(prompt, "nurse sailor"), "clerk"])
        if match := re.search(r"Question: (.*)\nAnswer: .*\nA (.*) wants to know the same", prompt):
            return json.dumps(f"What would a {match[2]} want here: {match[1]}")
        if match := re.search(r"^(.*)\n\nAsk a question .* as a (.*) would, to which the answer is: (.*)", prompt):
            return json.dumps(f"As a {match[2]} of {match[2]}s asks: {match[1].replace(match[3], 'what')}?")
        if match := re.search(r"questions about (.*) that a reader", prompt):
            return json.dumps([f"Which {pick_word(prompt, 'blue red green grey')} door has {match[1]}?"])
        if "Does the text answer this question?" in prompt:
            return '"no"'
        if match := re.search(r"^(.*)\n\nWrite these facts again as", prompt):
            return match[1]
        raise AssertionError(f"no reply to {prompt}")


def pick_word(text: str, words: str) -> str:
    return words.split()[hashlib.sha256(text.encode()).digest()[0] % len(words.split())]


def cloze_pair(text: str, span: tuple[int, int, str]) -> dict[str, str]:
    start, end, _ = span
    return {"answer": text[start:end], "question": f"{text[:start]}what{text[end:]}".rstrip(".") + "?"}
