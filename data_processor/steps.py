"""The steps of collection, each a function from list to list over one `chat()`: theme, facts, questions, roles, wordings.

What a step's reply must satisfy is checked here with curation.py; every refusal is counted under its reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from data_processor import prompts
from data_processor.chunking import Chunk, sentences
from data_processor.curation import (
    LONGEST_ANSWER,
    NearCopies,
    contains,
    content_words,
    copied_in_order,
    names_and_numbers,
    spans,
    subject_of,
    supported,
    words,
)
from llm import Engine

SHORTEST_CLAUSE = 7  # words a question in place keeps around its gap
OWN_WORDS = 0.6  # share of a question's words that a small model must take from the fact


@dataclass
class Fact:
    """A statement that stands alone, with the sentence of the chunk it rests on."""

    text: str
    chunk: Chunk
    start: int
    end: int
    subject: str
    theme: str = ""

    @property
    def quote(self) -> str:
        return self.chunk.text[self.start : self.end]


@dataclass
class Pair:
    """A question with a short answer from its fact; `made` says how: model, gap (a question in place) or role."""

    question: str
    answer: str
    fact: Fact
    made: str
    role: str = ""

    @property
    def kind(self) -> str:
        """date, year, number, name, quoted; "" where the answer is none of these."""
        text, chunk = self.fact.text, self.fact.chunk.text
        return next((kind for start, end, kind in spans(text, chunk) if text[start:end] == self.answer), "")


@dataclass
class Work:
    """What all steps share: the engine, the sampling, the counts."""

    engine: Engine
    seed: int
    progress: Callable[[str, int], Callable]
    copies_only: bool = False  # facts must keep their sentence's words in order: for a generator too small to trust
    context_sentences: int = 3
    drops: Counter = field(default_factory=Counter)
    tokens: Counter = field(default_factory=Counter)

    def ask(self, step: str, conversations: list, max_new_tokens: int, **options) -> list:
        """One batch of prompts; a failed call is counted and gives None."""
        with self.progress(step, len(conversations)) as bar:
            replies = self.engine.chat(
                conversations, max_new_tokens=max_new_tokens, seed=self.seed, on_reply=lambda *_: bar.update(1), **options
            )
        self.tokens["prompt"] += sum(reply.prompt_tokens for reply in replies)
        self.tokens["completion"] += sum(reply.completion_tokens for reply in replies)
        for reply in replies:
            if reply.error:
                self.drops[f"{step}: call failed"] += 1
        return [None if reply.error else reply.text for reply in replies]

    def ask_json(self, step: str, conversations: list, max_new_tokens: int, schema: dict | list[dict], **options) -> list:
        """The same for replies in JSON; one cut off by the token limit is counted and gives None."""
        values = []
        for text in self.ask(step, conversations, max_new_tokens, schemas=schema, **options):
            try:
                values.append(None if text is None else json.loads(text))
            except json.JSONDecodeError:
                self.drops[f"{step}: reply cut off"] += 1
                values.append(None)
        return values


def find_themes(work: Work, chunks: list[Chunk]) -> list[str]:
    """One sentence on what each chunk is about; the title stands in where the model invents a name or number."""
    replies = work.ask(
        "theme", [prompts.conversation([], prompts.THEME.format(text=chunk.text)) for chunk in chunks], max_new_tokens=32
    )
    themes = []
    for chunk, reply in zip(chunks, replies, strict=True):
        theme = " ".join((reply or "").split())
        if not theme or not supported(theme, f"{chunk.title} {chunk.text}"):
            work.drops["theme: names what the chunk does not"] += 1
            theme = chunk.title or subject_of("", chunk.text)
        themes.append(theme)
    return themes


def find_facts(work: Work, chunks: list[Chunk], themes: list[str], limit: int | None = None) -> list[Fact]:
    """Facts of every sentence, each with its sentence as quote.

    A sentence whose names and numbers the kept facts leave out stands as a fact itself, if there is one to ask for.
    `limit` takes the first sentences of each chunk only.
    """
    places = [(chunk, theme, *place) for chunk, theme in zip(chunks, themes, strict=True) for place in sentences(chunk.text)[:limit]]
    seen_quotes: set[tuple[str, str]] = set()
    items = []
    for chunk, theme, start, end in places:  # a sentence in the overlap of two chunks is taken once
        quote = (chunk.file_name, chunk.text[start:end])
        if quote not in seen_quotes:
            seen_quotes.add(quote)
            items.append(Fact("", chunk, start, end, subject_of(chunk.title, chunk.text), theme))
    requests = []
    for fact in items:
        before = [fact.chunk.text[s:e] for s, e in sentences(fact.chunk.text) if e <= fact.start]
        context = before[len(before) - work.context_sentences :] if work.context_sentences else []
        requests.append(
            prompts.FACTS.format(
                subject=fact.subject, quote=fact.quote, context=f"Before it: {' '.join(context)}\n" if context else ""
            )
        )
    schema = {"type": "array", "items": {"type": "string", "minLength": 10, "maxLength": 240}, "minItems": 1, "maxItems": 3}
    replies = work.ask_json(
        "facts", [prompts.conversation(prompts.FACTS_EXAMPLES, request) for request in requests], 120, schema
    )
    facts = []
    new = NearCopies()
    for item, reply in zip(items, replies, strict=True):
        kept = 0
        for text in reply or []:
            reason = fact_problem(work, item, text)
            if reason is None and not new.is_new(text):
                reason = "near copy"
            if reason:
                work.drops[f"facts: {reason}"] += 1
            else:
                facts.append(Fact(text, item.chunk, item.start, item.end, item.subject, item.theme))
                kept += 1
        if covers(facts[len(facts) - kept :], item):
            continue
        if spans(item.quote, item.chunk.text) and new.is_new(item.quote):
            facts.append(Fact(item.quote, item.chunk, item.start, item.end, item.subject, item.theme))
    return facts


def fact_problem(work: Work, item: Fact, text: str) -> str | None:
    """Why a stated fact cannot be kept, or None."""
    if not supported(text, f"{item.quote} {item.subject}" if work.copies_only else f"{item.chunk.title} {item.chunk.text}"):
        return "a name or number that its source does not have"
    if work.copies_only and not copied_in_order(text, item.quote, item.subject):
        return "not in the words of its sentence"
    if not spans(text, item.chunk.text):
        return "nothing to ask for"
    return None


def covers(facts: list[Fact], item: Fact) -> bool:
    """Whether the facts together have every name and number of the sentence."""
    said = {word for fact in facts for word in words(fact.text)}
    return bool(facts) and names_and_numbers(item.quote) <= said


def ask_questions(work: Work, facts: list[Fact], amount: int) -> list[Pair]:
    """Up to `amount` verified pairs a fact, from the model; then a question in place for what nobody asked."""
    schemas = [question_schema(fact, amount, work.copies_only) for fact in facts]
    requests = [prompts.QUESTIONS.format(subject=fact.subject, fact=fact.text, amount=amount) for fact in facts]
    replies = work.ask_json(
        "questions", [prompts.conversation(prompts.QUESTIONS_EXAMPLES, request) for request in requests], 48 * amount, schemas
    )
    pairs = []
    for fact, reply in zip(facts, replies, strict=True):
        if reply == []:
            work.drops["questions: skipped as vague"] += 1
        for item in reply or []:
            pairs.append(Pair(" ".join(item["question"].split()), item["answer"].strip(" ."), fact, "model"))
    pairs = verified(work, "questions", pairs)
    asked = {id(fact): [normal_answer(pair.answer) for pair in pairs if pair.fact is fact] for fact in facts}
    for fact in facts:
        for pair in questions_in_place(fact):
            answers = asked[id(fact)]
            if len(answers) < amount and normal_answer(pair.answer) not in answers:
                answers.append(normal_answer(pair.answer))
                pairs.append(pair)
    return pairs


def question_schema(fact: Fact, amount: int, answers_given: bool) -> dict:
    """A list of pairs, answer first; with `answers_given` one pair for each name, date and number, in this order."""

    def pair(answer: dict) -> dict:
        properties = {"answer": answer, "question": {"type": "string", "maxLength": 160}}
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    if not answers_given:
        return {"type": "array", "items": pair({"type": "string", "maxLength": 80}), "maxItems": amount}
    given = [pair({"const": answer}) for answer in answers_in(fact)[:amount]]
    return {"type": "array", "prefixItems": given, "items": False, "minItems": len(given)}


def normal_answer(answer: str) -> str:
    return " ".join(words(answer))


def questions_in_place(fact: Fact) -> list[Pair]:
    """A question for each name, date and number, made by asking in its place (Lewis et al. 2019, cloze questions).

    "X opened on 3 May." gives "X opened on what date?": plain, but true by construction, and a model can reword it.
    """
    pairs = []
    for start, end, kind in spans(fact.text, fact.chunk.text):
        answer = fact.text[start:end]
        left, right = clause_around(fact.text, start, end)
        unit = answer.split(" ", 1)[1] if kind == "number" and " " in answer else ""
        gap = prompts.GAP_WORDS[kind].format(unit=unit).strip()
        question = f"{left.rstrip(chr(34))}{gap}{right.lstrip(chr(34))}".strip(" ,;:.") + "?"
        part_of_subject = set(words(answer)) < set(words(fact.subject))
        if len(content_words(question)) < 2 or contains(question, answer) or part_of_subject:
            continue
        pairs.append(Pair(about(question, fact, answer), answer, fact, "gap"))
    return pairs


def clause_around(text: str, start: int, end: int) -> tuple[str, str]:
    """The text left and right of a span, as far as its clause goes, widened to SHORTEST_CLAUSE words."""
    cuts = [0, *(match.end() for match in re.finditer(r"[,;:] ", text)), len(text)]
    first = max(i for i in range(len(cuts) - 1) if cuts[i] <= start)
    last = next(i for i in range(len(cuts)) if cuts[i] >= end)
    while len((text[cuts[first] : start] + text[end : cuts[last]]).split()) < SHORTEST_CLAUSE:
        if first > 0:
            first -= 1
        elif last < len(cuts) - 1:
            last += 1
        else:
            break
    return text[cuts[first] : start], text[end : cuts[last]]


def about(question: str, fact: Fact, answer: str) -> str:
    """The question with its subject in front, if it does not name it and the subject is not what it asks for."""
    if not fact.subject or set(words(fact.subject)) & set(words(question)) or contains(fact.subject, answer):
        return question[0].upper() + question[1:]
    return prompts.ABOUT_PREFIX.format(subject=fact.subject, question=question)


def question_problem(pair: Pair, own_words_only: bool) -> str | None:
    """Why a pair cannot be kept, or None. Cheap checks by rule; `verified` adds the model's own."""
    chunk = pair.fact.chunk
    if not pair.question.endswith(("?", "？")):
        return "not a question"
    if not pair.answer or len(words(pair.answer)) > LONGEST_ANSWER:
        return "answer empty or long"
    if not contains(pair.fact.text, pair.answer):
        return "answer not in its fact"
    if contains(pair.question, pair.answer):
        return "answer in the question"
    if not supported(pair.question, f"{chunk.title} {chunk.text}"):
        return "a name or number that the chunk does not have"
    if not fits_answer(pair.question, pair.kind):
        return "asks for another kind of answer"
    shared = set(content_words(pair.question)) & set(content_words(f"{pair.fact.text} {pair.fact.subject}"))
    if len(shared) < 2:
        return "shares no words with its fact"
    if own_words_only and len(shared) < OWN_WORDS * len(set(content_words(pair.question)) - prompts.QUESTION_WORDS):
        return "strays from the words of its fact"
    return None


def fits_answer(question: str, kind: str) -> bool:
    """Whether the question word suits the kind of answer; questions without one of the known words always do."""
    asked = [kinds for pattern, kinds in prompts.ASKS_FOR if re.search(pattern, question, re.IGNORECASE)]
    return not asked or any(kind in kinds for kinds in asked[:1])


def verified(work: Work, step: str, pairs: list[Pair]) -> list[Pair]:
    """Pairs that pass the rules and whose question, asked beside the fact, gets the answer back from the model.

    Round-trip consistency (Alberti et al. 2019). Repeats of a question are dropped.
    """
    sound, new = [], NearCopies()
    for pair in pairs:
        reason = question_problem(pair, work.copies_only) or (None if new.is_new(pair.question) else "near copy")
        if reason:
            work.drops[f"{step}: {reason}"] += 1
        else:
            sound.append(pair)
    replies = work.ask(
        f"{step}, check",
        [
            prompts.conversation(prompts.CHECK_EXAMPLES, prompts.CHECK.format(fact=pair.fact.text, question=pair.question))
            for pair in sound
        ],
        32,
        schemas=[{"enum": answers_in(pair.fact, pair.answer)} for pair in sound],
    )
    kept = []
    for pair, reply in zip(sound, replies, strict=True):
        if reply is not None and normal_answer(reply) == normal_answer(pair.answer):
            pair.question = about(pair.question, pair.fact, pair.answer)
            kept.append(pair)
        else:
            work.drops[f"{step}: the question does not lead back to its answer"] += 1
    return kept


def answers_in(fact: Fact, *further: str) -> list[str]:
    """What a fact offers as answers: its names, dates and numbers."""
    found = [fact.text[start:end] for start, end, _ in spans(fact.text, fact.chunk.text)]
    return list(dict.fromkeys([*found, *further]))


def handles(fact: Fact, text: str) -> list[str]:
    """The names a text can be asked for by, the one that fewest sentences of its chunk have first."""
    chunk = fact.chunk.text
    names = {text[start:end] for start, end, kind in spans(text, chunk) if kind in ("name", "quoted")} | {fact.subject}
    return sorted(names - {""}, key=lambda name: (chunk.count(name), name))


def find_roles(work: Work, themes: list[str], amount: int) -> list[list[str]]:
    """Kinds of people who would ask about each theme."""
    schema = {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{3,15}( [a-z]{3,15})?$"}, "minItems": amount, "maxItems": amount}
    requests = [prompts.ROLES.format(theme=theme, amount=amount) for theme in themes]
    replies = work.ask_json("roles", [prompts.conversation(prompts.ROLES_EXAMPLES, request) for request in requests], 16 * amount, schema)
    return [list(dict.fromkeys(reply or [])) for reply in replies]


def diversify(work: Work, pairs: list[Pair], roles: dict[str, list[str]]) -> list[Pair]:
    """Each question again in the words of each role of its theme."""
    jobs = [(pair, role) for pair in pairs for role in roles[pair.fact.theme]]
    replies = work.ask(
        "wordings",
        [
            prompts.conversation(prompts.DIVERSIFY_EXAMPLES, prompts.DIVERSIFY.format(question=pair.question, role=role))
            for pair, role in jobs
        ],
        40,
        temperature=0.7,
    )
    reworded = [
        Pair(" ".join((reply or "").split()), pair.answer, pair.fact, "role", role)
        for (pair, role), reply in zip(jobs, replies, strict=True)
    ]
    return verified(work, "wordings", reworded)


def rewrite(work: Work, facts: list[Fact], group: int = 3) -> list[tuple[Fact, str, str]]:
    """Document-style texts: each chunk's facts, `group` at a time, in several styles; only supported sentences stay.

    Returns (first fact of the group, style, text).
    """
    by_chunk: dict[tuple, list[Fact]] = {}
    for fact in facts:
        by_chunk.setdefault((fact.chunk.file_name, fact.chunk.number), []).append(fact)
    jobs = [(own[i : i + group], style) for own in by_chunk.values() for i in range(0, len(own), group) for style in prompts.STYLES]
    replies = work.ask(
        "rewrites",
        [
            prompts.conversation([], prompts.REWRITE.format(facts=" ".join(fact.text for fact in own), style=style))
            for own, style in jobs
        ],
        96,
        temperature=0.5,
    )
    texts = []
    new = NearCopies()
    for (own, style), reply in zip(jobs, replies, strict=True):
        source = " ".join(fact.text for fact in own)
        kept = []
        for start, end in sentences(reply or ""):
            sentence = reply[start:end]
            grounded = any(copied_in_order(sentence, fact.text, fact.subject) for fact in own) if work.copies_only else True
            if supported(sentence, source) and names_and_numbers(sentence) and grounded:
                kept.append(sentence)
            else:
                work.drops["rewrites: a sentence that its facts do not support"] += 1
        if kept and new.is_new(" ".join(kept)):
            texts.append((own[0], style, " ".join(kept)))
    return texts

