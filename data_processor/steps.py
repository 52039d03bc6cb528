"""The steps of collection but the questions: theme, facts, roles, rewrites. Each is a function from list to list.

What a step's reply must satisfy is checked here with curation.py; every refusal is counted under its reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from data_processor import prompts
from data_processor.chunking import Chunk, sentences
from data_processor.curation import (
    NearCopies,
    copied_in_order,
    names_and_numbers,
    spans,
    subject_of,
    supported,
    words,
)
from llm import Engine


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
class Work:
    """What all steps share: the engine, the sampling, the counts."""

    engine: Engine
    seed: int
    progress: Callable[[str, int], Callable]
    copies_only: bool = False  # facts must keep their sentence's words in order: for a generator too small to trust
    context_sentences: int = 3
    dropped: list[dict] = field(default_factory=list)
    tokens: Counter = field(default_factory=Counter)

    def drop(self, step: str, reason: str, text: str, source: Fact | Chunk | None = None, **more) -> None:
        """Record something that is not kept, with why and where it came from."""
        record = {"step": step, "reason": reason, "text": text, **more}
        if source is not None:
            chunk = source.chunk if isinstance(source, Fact) else source
            record |= {"file_name": chunk.file_name, "chunk": chunk.number}
        if isinstance(source, Fact):
            record |= {"fact": source.text, "quote": source.quote} if source.text else {"quote": source.quote}
        self.dropped.append(record)

    @property
    def drops(self) -> Counter:
        """How often each step dropped something for each reason."""
        return Counter(f"{record['step']}: {record['reason']}" for record in self.dropped)

    def ask(self, step: str, conversations: list, max_new_tokens: int, **options) -> list:
        """One batch of prompts; a failed call is counted and gives None."""
        with self.progress(step, len(conversations)) as bar:
            replies = self.engine.chat(
                conversations,
                max_new_tokens=max_new_tokens,
                seed=self.seed,
                on_reply=lambda *_: bar.update(1),
                **options,
            )
        self.tokens["prompt"] += sum(reply.prompt_tokens for reply in replies)
        self.tokens["completion"] += sum(reply.completion_tokens for reply in replies)
        for reply in replies:
            if reply.error:
                self.drop(step, "call failed", reply.error)
        return [None if reply.error else reply.text for reply in replies]

    def ask_json(
        self, step: str, conversations: list, max_new_tokens: int, schema: dict | list[dict], **options
    ) -> list:
        """The same for replies in JSON; one cut off by the token limit is counted and gives None."""
        values = []
        for text in self.ask(step, conversations, max_new_tokens, schemas=schema, **options):
            try:
                values.append(None if text is None else json.loads(text))
            except json.JSONDecodeError:
                self.drop(step, "reply cut off", text)
                values.append(None)
        return values


def find_themes(work: Work, chunks: list[Chunk]) -> list[str]:
    """One sentence on what each chunk is about; the title stands in where the model invents a name or number."""
    replies = work.ask(
        "theme",
        [prompts.conversation([], prompts.THEME.format(text=chunk.text)) for chunk in chunks],
        max_new_tokens=32,
    )
    themes = []
    for chunk, reply in zip(chunks, replies, strict=True):
        theme = " ".join((reply or "").split())
        if not theme or not supported(theme, f"{chunk.title} {chunk.text}"):
            work.drop("theme", "names what the chunk does not", theme, chunk)
            theme = chunk.title or subject_of("", chunk.text)
        themes.append(theme)
    return themes


def find_facts(work: Work, chunks: list[Chunk], themes: list[str], limit: int | None = None) -> list[Fact]:
    """Facts of every sentence, each with its sentence as quote.

    A sentence whose names and numbers the kept facts leave out stands as a fact itself, if there is one to ask for.
    `limit` takes the first sentences of each chunk only.
    """
    places = [
        (chunk, theme, *place)
        for chunk, theme in zip(chunks, themes, strict=True)
        for place in sentences(chunk.text)[:limit]
    ]
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
    schema = {
        "type": "array",
        "items": {"type": "string", "minLength": 10, "maxLength": 240},
        "minItems": 1,
        "maxItems": 3,
    }
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
                work.drop("facts", reason, text, item)
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
    if not supported(
        text, f"{item.quote} {item.subject}" if work.copies_only else f"{item.chunk.title} {item.chunk.text}"
    ):
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


def handles(fact: Fact, text: str) -> list[str]:
    """The names a text can be asked for by, the one that fewest sentences of its chunk have first."""
    chunk = fact.chunk.text
    names = {text[start:end] for start, end, kind in spans(text, chunk) if kind in ("name", "quoted")} | {fact.subject}
    return sorted(names - {""}, key=lambda name: (chunk.count(name), name))


def find_roles(work: Work, themes: list[str], amount: int) -> list[list[str]]:
    """Kinds of people who would ask about each theme."""
    schema = {
        "type": "array",
        "items": {"type": "string", "pattern": "^[a-z]{3,15}( [a-z]{3,15})?$"},
        "minItems": amount,
        "maxItems": amount,
    }
    requests = [prompts.ROLES.format(theme=theme, amount=amount) for theme in themes]
    replies = work.ask_json(
        "roles", [prompts.conversation(prompts.ROLES_EXAMPLES, request) for request in requests], 16 * amount, schema
    )
    return [list(dict.fromkeys(reply or [])) for reply in replies]


def rewrite(work: Work, facts: list[Fact], group: int = 3) -> list[tuple[Fact, str, str]]:
    """Document-style texts: each chunk's facts, `group` at a time, in several styles; only supported sentences stay.

    Returns (first fact of the group, style, text).
    """
    by_chunk: dict[tuple, list[Fact]] = {}
    for fact in facts:
        by_chunk.setdefault((fact.chunk.file_name, fact.chunk.number), []).append(fact)
    jobs = [
        (own[i : i + group], style)
        for own in by_chunk.values()
        for i in range(0, len(own), group)
        for style in prompts.STYLES
    ]
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
            grounded = (
                any(copied_in_order(sentence, fact.text, fact.subject) for fact in own) if work.copies_only else True
            )
            if supported(sentence, source) and names_and_numbers(sentence) and grounded:
                kept.append(sentence)
            else:
                work.drop("rewrites", "a sentence that its facts do not support", sentence, own[0])
        if kept and new.is_new(" ".join(kept)):
            texts.append((own[0], style, " ".join(kept)))
    return texts
