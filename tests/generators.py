"""Scripted generators for the collection tests, and helpers that those tests share."""

from __future__ import annotations

import hashlib
import json
import re

from data_processor import method
from data_processor.arguments import METHODS
from data_processor.chunking import Chunk
from data_processor.curation import find_spans
from data_processor.pairs import Fact
from data_processor.prompts import load_prompts
from data_processor.small_model import method as small_method
from data_processor.work import Work
from engines.chat import Reply

SMALL_PROMPTS = load_prompts(None, small_method.PROMPTS)
ENGLISH, CHINESE = SMALL_PROMPTS["en"], SMALL_PROMPTS["zh"]


def fact(text: str, subject: str = "Hexley", language: str = "en") -> Fact:
    return Fact(text, Chunk("a.txt", 0, 0, len(text), text, "", language), 0, len(text), subject, "a bridge")


class ScriptedEngine:
    """An engine that answers from a list, of texts or whole replies, and records what it was asked."""

    name = "scripted"

    def __init__(self, *answers: str | Reply):
        self.answers, self.asked, self.schemas = list(answers), [], []

    def chat(self, conversations, *, schemas=None, on_reply=None, **options):
        self.asked += conversations
        self.schemas += schemas if isinstance(schemas, list) else [schemas] * len(conversations)
        answers = [self.answers.pop(0) for _ in conversations]
        replies = [answer if isinstance(answer, Reply) else Reply(answer) for answer in answers]
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


def scripted_reading(*facts: tuple[str, list[int]], theme: str = "a pier") -> str:
    """A reply of the first wave: facts with the numbers of their sentences."""
    told = [{"fact": text, "sentences": numbers} for text, numbers in facts]
    return json.dumps({"theme": theme, "names": [], "roles": [], "facts": told}, ensure_ascii=False)


def work(*answers: str | Reply, **options) -> Work:
    return Work(ScriptedEngine(*answers), 0, SilentBar, method, **options)


def empty_work(engine, guard: str, **options) -> Work:
    """With the method and the prompts that belong to --guard."""
    chosen = METHODS[guard]
    return Work(engine, 0, SilentBar, chosen, prompts=load_prompts(None, chosen.PROMPTS), **options)


def small_work(*answers: str) -> Work:
    return Work(ScriptedEngine(*answers), 0, SilentBar, small_method, prompts=SMALL_PROMPTS)


class ReadingEngine:
    """An engine that answers English prompts from their content: the same prompt always gets the same reply.

    It states each numbered sentence as a fact, and one more that is wrong; of "Nothing." it says that it states nothing.
    """

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
        if "Translate these phrases" in prompt:
            return prompt.partition("\n\nTranslate")[0]
        answer = answer_by_chunk(prompt) if "(End of the document." in prompt or "two by two" in prompt else None
        return self.answer_by_sentence(prompt, schema) if answer is None else answer

    def answer_by_sentence(self, prompt: str, schema) -> str:
        if "what is this text about?" in prompt:
            return " ".join(prompt.split()[:9])
        if match := re.search(r"Sentence: (.*)\nState each fact", prompt):
            return json.dumps([match[1], f"Zorbo Quux said: {match[1]}"])
        if "kinds of people" in prompt:
            return json.dumps([pick_word(prompt, "pupil baker"), pick_word(prompt, "nurse sailor"), "clerk"])
        if match := re.search(r"^(.*)\n\nAsk a question .* as a (.*) would, to which the answer is: (.*)", prompt):
            return json.dumps(f"As a {match[2]} of {match[2]}s asks: {match[1].replace(match[3], 'what')}?")
        if match := re.search(r"^(.*)\n\nWrite these facts again as", prompt):
            return match[1]
        raise AssertionError(f"no reply to {prompt}")


def answer_by_chunk(prompt: str) -> str:
    """The reply to a prompt about a whole chunk."""
    shown = re.search(r"Document: (.*?)\n\n(.*)\n\n\(End of the document", prompt, re.DOTALL)
    title, text = shown.groups() if shown else ("", "")
    numbered = re.findall(r"\[(\d+)\] (.*?)(?=[\s-]*\[\d+\]|\s*$|\n\n)", text, re.DOTALL)
    items = [line.split(". ", 1)[1] for line in re.findall(r"^\d+\. .*", prompt, re.MULTILINE)]
    if "List every fact" in prompt:
        facts = [{"fact": said, "sentences": [int(number)]} for number, said in numbered if "Nothing" not in said]
        facts += [{"fact": "It happened 4711 times.", "sentences": [1]}]
        roles = [pick_word(prompt, "pupil baker"), pick_word(prompt, "nurse sailor"), "clerk"]
        names = [text[start:end] for start, end, kind in find_spans(text) if kind == "name"][:10]
        amount = int(re.search(r"ask about it, (\d+) of them", prompt)[1])
        return json.dumps({"theme": f"what {title} says", "names": names, "roles": roles[:amount], "facts": facts})
    if "still lacks a fact" in prompt:
        return json.dumps([{"sentence": int(n), "nothing": "other", "facts": []} for n, said in numbered])
    if "Write questions about each" in prompt:
        return json.dumps([pair for number, fact in enumerate(items, 1) for pair in pairs_on(number, fact)])
    if match := re.search(r"wants to know the same: (.*?)\. Ask", prompt):
        asked = [f"What would a {match[1]} want here: {item.split(' | ')[0]}" for item in items]
        return json.dumps([{"item": number, "question": text} for number, text in enumerate(asked, 1)])
    if "to be true, in every detail" in prompt or "say the same in answer" in prompt:
        return json.dumps([f"{number} yes" for number in range(1, len(items) + 1)])
    if "from the document alone" in prompt:
        return json.dumps(
            [{"number": number, "answer": answer_from(text, item)} for number, item in enumerate(items, 1)]
        )
    if "two by two" in prompt:
        two = {"form": "two", "answer": "Hexley", "points": []}
        return json.dumps([{"item": n, "question": f"What joins {item}?", **two} for n, item in enumerate(items, 1)])
    if "that a reader might well ask" in prompt:
        return json.dumps([f"Which {pick_word(prompt, 'blue red green grey')} door has {title}?"])
    return f"It is said: {text}"


def answer_from(text: str, question: str) -> str:
    """What stands in the text where a question of `pairs_on` has its gap; "" if it has none, or the text lacks the place."""
    left, gap, right = question.rstrip("?").partition("____")
    end = "" if len(right) > 12 else r"(?!\w)"
    found = re.search(f"{re.escape(left[-12:])}(.+?){re.escape(right[:12])}{end}", text)
    return found[1] if gap and found else ""


def pairs_on(number: int, fact: str) -> list[dict]:
    """Pairs on the fact with this number: one for each of its names, dates and numbers, or one for its last word."""
    spans = [(start, end) for start, end, _ in find_spans(fact)] or [
        (fact.rstrip(".").rfind(" ") + 1, len(fact.rstrip(".")))
    ]
    return [
        {
            "item": number,
            "form": "short",
            "question": f"{fact[:start]}____{fact[end:]}?",
            "answer": fact[start:end],
            "points": [],
        }
        for start, end in spans
    ]


def pick_word(text: str, words: str) -> str:
    return words.split()[hashlib.sha256(text.encode()).digest()[0] % len(words.split())]
