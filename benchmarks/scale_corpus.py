"""A simulated corpus for benchmarks/scale.py, and an engine that answers every request about it at once.

A document has PARAGRAPHS paragraphs of three sentences, each of a length that makes it a chunk of CHUNK_TOKENS. Names are
drawn anew for every document, dates and amounts for every sentence; COPIED of the sentences stand in many documents. The
same numbers always give the same files.
"""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path

from engines.chat import Reply

PARAGRAPHS, SENTENCES = 10, 3  # of a document, of a paragraph
CHUNK_TOKENS = 160  # one paragraph, and not two
COPIED = 0.02  # share of the sentences
NEAR_COPIES = 0.05  # share of the questions that are asked twice, in almost the same words
FILES_A_FOLDER = 1000
SYLLABLES = "ba del fin gor hal jun kes lor mar nev ost pel quin ras sol tam ur vel wen yar zed".split()
ADJECTIVES = "old new northern southern stone wooden narrow public private large small covered".split()
THINGS = "bridge library mill harbour school theatre reservoir museum station garden tower market".split()
VERBS = "opened closed repaired inspected painted bought sold measured described extended".split()
MONTHS = "January February March April May June July August September October November December".split()
REASONS = [
    "because the road along the river had been flooded twice in the winter before",
    "although the council had asked for a second report on its foundations",
    "after the committee had heard everyone who lives in the houses nearby",
    "so that visitors from the villages upstream would no longer have to wait",
    "which the newspapers of the district had called for since the autumn",
    "while the workshop next to it stayed in use as a store for timber",
]
OPENED = re.compile(r"(.+) (\w+) the (\w+ \w+) of (\S+) on (\d+ \w+ \d+), (.+)\.")
COST = re.compile(r"The (\w+ \w+) of (\S+) cost (\d+) euros, as (.+) said, (.+)\.")
DAY_ASKED = re.compile(r"On what day was the (.+) of (\S+) (\w+) by ([^,]+),.*\?")
COST_ASKED = re.compile(r"What did the (.+) of (\S+) cost in euros, if (.+) is right.*\?")
NUMBERED = re.compile(r"\[(\d+)\] (.*?)(?=[\s-]*\[\d+\]|\s*$|\n\n)", re.DOTALL)
ITEM = re.compile(r"^\d+\. (.*)", re.MULTILINE)
SHOWN = re.compile(r"Document: (.*?)\n\n(.*)\n\n\(End of the document", re.DOTALL)


def a_name(draw: random.Random, syllables: int) -> str:
    return "".join(draw.choices(SYLLABLES, k=syllables)).capitalize()


def sentence(draw: random.Random, people: list[str], place: str) -> str:
    thing, reason = f"{draw.choice(ADJECTIVES)} {draw.choice(THINGS)}", draw.choice(REASONS)
    if draw.random() < 0.5:
        date = f"{draw.randint(1, 28)} {draw.choice(MONTHS)} {draw.randint(1500, 2030)}"
        return f"{draw.choice(people)} {draw.choice(VERBS)} the {thing} of {place} on {date}, {reason}."
    return f"The {thing} of {place} cost {draw.randint(1000, 999999)} euros, as {draw.choice(people)} said, {reason}."


def document(number: int) -> str:
    """The text of the document with this number."""
    draw = random.Random(number)
    people = [f"{a_name(draw, 2)} {a_name(draw, 3)}" for _ in range(5)]
    paragraphs = []
    for _ in range(PARAGRAPHS):
        place = a_name(draw, 4)
        lines = [sentence(draw, people, place) for _ in range(SENTENCES)]
        if draw.random() < COPIED * SENTENCES:
            shared = random.Random(-1 - draw.randrange(1000))
            lines[-1] = sentence(shared, [f"{a_name(shared, 2)} {a_name(shared, 3)}"], a_name(shared, 4))
        paragraphs.append(" ".join(lines))
    return f"# The works of {a_name(draw, 4)}\n\n" + "\n\n".join(paragraphs) + "\n"


def write_corpus(folder: Path, chunks: int) -> None:
    """Documents of `chunks` chunks in all; those that are there already stay."""
    for number in range(chunks // PARAGRAPHS):
        path = folder / f"{number // FILES_A_FOLDER:04}" / f"{number:07}.md"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(document(number), encoding="utf-8")


class InstantEngine:
    """An engine that replies from the text of a request, in the form the method asks for.

    `seconds` of the processor are what that took.
    """

    name = "scripted"

    def __init__(self) -> None:
        self.seconds, self.calls = 0.0, 0

    def waves(self, conversations, max_new_tokens):
        return None

    def chat(self, conversations, *, on_reply, **options):
        replies = []
        for index, messages in enumerate(conversations):
            started = time.process_time()
            replies.append(Reply(answer(messages[-1]["content"]), 1000, 100))
            self.seconds += time.process_time() - started
            on_reply(index, replies[-1])
        self.calls += len(conversations)
        return replies


def answer(prompt: str) -> str:
    """What a model that reads well might reply."""
    shown = SHOWN.search(prompt)
    title, text = shown.groups() if shown else ("", "")
    asked = prompt[shown.end() if shown else 0 :]
    items = ITEM.findall(asked)
    if "List every fact" in asked:
        facts = [{"fact": said, "sentences": [int(number)]} for number, said in NUMBERED.findall(text)]
        names = list(dict.fromkeys(re.findall(r"[A-Z]\w+ [A-Z]\w+", text)))[:10]
        return json.dumps({"theme": title, "names": names, "roles": ["clerk"], "facts": facts})
    if "still lacks a fact" in asked:
        return json.dumps([{"sentence": int(n), "nothing": "other", "facts": []} for n, _ in NUMBERED.findall(text)])
    if "Write questions about each" in asked:
        return json.dumps([pair for number, fact in enumerate(items, 1) for pair in pairs_on(number, fact)])
    if "wants to know the same" in asked:
        told = [reworded(item.split(" | ")[0]) for item in items]
        return json.dumps([{"item": number, "question": text} for number, text in enumerate(told, 1)])
    if "from the document alone" in asked:
        return json.dumps([{"number": number, "answer": ""} for number in range(1, len(items) + 1)])
    if "two by two" in asked:
        two = {"form": "two", "points": []}
        pairs = [item.split(" | ") for item in items]
        return json.dumps([{"item": n, **two, **joined(*pair)} for n, pair in enumerate(pairs, 1)])
    if "that a reader might well ask" in asked:
        place = next(iter(re.findall(r"of ([A-Z]\w+)", text)), title)
        return json.dumps([f"Who swept the chimneys of {place} in the year of the {title.removeprefix('The ')}?"])
    return " ".join(retold(one.strip(), len(asked) % 3) for one in re.findall(r"[^.]+\.", text)[::-1])


def pairs_on(number: int, fact: str) -> list[dict]:
    """A question on a fact, and for NEAR_COPIES of the facts another that hardly differs; none on what is no sentence of ours."""
    question, reply = question_on(fact)
    if not question:
        return []
    pair = {"item": number, "form": "short", "question": question, "answer": reply, "points": []}
    twice = random.Random(fact).random() < NEAR_COPIES
    return [pair, {**pair, "question": question.replace("?", ", then?")}] if twice else [pair]


def question_on(fact: str) -> tuple[str, str]:
    if found := OPENED.fullmatch(fact):
        who, verb, thing, place, date, reason = found.groups()
        return f"On what day was the {thing} of {place} {verb} by {who}, {reason}?", date
    if found := COST.fullmatch(fact):
        thing, place, euros, who, _ = found.groups()
        return f"What did the {thing} of {place} cost in euros, if {who} is right?", euros
    return "", ""


def reworded(question: str) -> str:
    """The same question in other words."""
    if found := DAY_ASKED.fullmatch(question):
        thing, place, verb, who = found.groups()
        return f"When, according to the files, had {who} {verb} what people in {place} call their {thing}?"
    if found := COST_ASKED.fullmatch(question):
        thing, place, who = found.groups()
        return f"How many euros, by the word of {who}, did {place} spend on its {thing}?"
    return f"For the files of the clerk: {question}"


def retold(told: str, way: int) -> str:
    """A sentence in one of three other ways, of which the length of the request decides."""
    if found := OPENED.fullmatch(told):
        who, verb, thing, place, date, reason = found.groups()
        return (
            f"It was on {date} that {who} {verb} the {thing} of {place}.",
            f"The {thing} of {place} was {verb} by {who}, {reason}, and the day was {date}.",
            f"What {who} {verb} on {date} in {place} was its {thing}.",
        )[way]
    if found := COST.fullmatch(told):
        thing, place, euros, who, reason = found.groups()
        return (
            f"According to {who}, {euros} euros were spent in {place} on its {thing}.",
            f"{who} said of {place} that its {thing} had a price of {euros} euros, {reason}.",
            f"For {euros} euros {place} had its {thing}, and {who} was the one who said so.",
        )[way]
    return told


def joined(first: str, second: str) -> dict[str, str]:
    question, reply = question_on(second)
    return {
        "question": f"Think of whom this is true of: {first[:40]}. {question or second}",
        "answer": reply or "Nobody",
    }
