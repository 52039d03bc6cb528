"""The steps of collection but the questions: theme, facts, rewrites. Each is a function from list to list.

What a step's reply must satisfy is checked here with curation.py; every refusal is counted under its reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from data_processor.chunking import Chunk, sentences
from data_processor.curation import copied_in_order, names_and_numbers, spans, subject_of, supported, words
from data_processor.work import Work, entailed

NOT_COVERED = "no fact covers this sentence"


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


def find_themes(work: Work, chunks: list[Chunk]) -> list[str]:
    """One sentence on what each chunk is about; the title stands in where the model invents a name or number."""
    replies = work.ask(
        "theme",
        [work.prompts[chunk.language].conversation("theme", text=chunk.text) for chunk in chunks],
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


def sentences_to_read(chunks: list[Chunk], limit: int | None = None) -> list[Fact]:
    """A fact without text and theme yet for each sentence; one in the overlap of two chunks is taken once.

    `limit` takes the first sentences of each chunk only.
    """
    seen: set[tuple[str, str]] = set()
    items = []
    for chunk in chunks:
        for start, end in sentences(chunk.text)[:limit]:
            if (chunk.file_name, chunk.text[start:end]) not in seen:
                seen.add((chunk.file_name, chunk.text[start:end]))
                items.append(Fact("", chunk, start, end, subject_of(chunk.title, chunk.text)))
    return items


def find_facts(work: Work, items: list[Fact]) -> list[Fact]:
    """Facts of every sentence of `sentences_to_read`, each with its sentence as quote.

    A sentence whose names and numbers the kept facts leave out stands as a fact itself, if there is one to ask for.
    """
    requests = []
    for item in items:
        prompts, before = work.prompts[item.chunk.language], text_before(work, item)
        context = prompts.before.format(text=before) if before else ""
        requests.append(prompts.conversation("facts", subject=item.subject, quote=item.quote, context=context))
    schema = {
        "type": "array",
        "items": {"type": "string", "minLength": 10, "maxLength": 240},
        "minItems": 1,
        "maxItems": 3,
    }
    stated = []
    for item, reply in zip(items, work.ask_json("facts", requests, 120, schema), strict=True):
        for text in reply or []:
            reason = fact_problem(work, item, text)
            if reason:
                work.drop("facts", reason, text, item)
            else:
                stated.append((item, text))
    if work.llm_check:
        claims = [(item.chunk, f"{text_before(work, item)} {item.quote}".strip(), text) for item, text in stated]
        verdicts = entailed(work, "facts, check", claims)
        for (item, text), follows in zip(stated, verdicts, strict=True):
            if not follows:
                work.drop("facts", "the model finds that it does not follow", text, item)
        stated = [pair for pair, follows in zip(stated, verdicts, strict=True) if follows]

    by_item: dict[int, list[str]] = {}
    for item, text in stated:
        by_item.setdefault(id(item), []).append(text)
    facts: list[Fact] = []
    new = work.said["facts"]
    for item in items:
        kept = []
        for text in by_item.get(id(item), ()):
            if new.is_new(text):
                kept.append(replace(item, text=text))
            else:
                work.drop("facts", "near copy", text, item)
        if not covers(kept, item) and spans(item.quote, item.chunk.text) and new.is_new(item.quote):
            kept.append(replace(item, text=standing_alone(work, item)))
        if not kept:
            work.drop("facts", NOT_COVERED, item.quote, item)
        facts += kept
    return facts


def text_before(work: Work, item: Fact) -> str:
    """The sentences of the chunk before an item's own that are shown with it."""
    before = [item.chunk.text[start:end] for start, end in sentences(item.chunk.text) if end <= item.start]
    return " ".join(before[len(before) - work.context_sentences :] if work.context_sentences else [])


def fact_problem(work: Work, item: Fact, text: str) -> str | None:
    """Why a stated fact cannot be kept, or None."""
    chunk = item.chunk
    if not supported(text, f"{item.quote} {item.subject}" if work.copies_only else f"{chunk.title} {chunk.text}"):
        return "a name or number that its source does not have"
    if work.copies_only and not copied_in_order(text, item.quote, item.subject):
        return "not in the words of its sentence"
    if leans_on_its_context(work, item, text):
        return "does not stand alone"
    if chunk.language == "en" and not spans(text, chunk.text):  # names are not to be seen by rule in Chinese
        return "nothing to ask for"
    return None


def leans_on_its_context(work: Work, item: Fact, text: str) -> bool:
    """Whether a text needs what stands before it: it opens with a pronoun, or speaks of "the above" or "last year"."""
    return any(re.search(pattern, text) for pattern in work.prompts[item.chunk.language].leans_on_its_context)


def standing_alone(work: Work, item: Fact) -> str:
    """The sentence itself, with its subject in front where it leans on what stands before it."""
    if not item.subject or not leans_on_its_context(work, item, item.quote):
        return item.quote
    return work.prompts[item.chunk.language].about_prefix.format(subject=item.subject, question=item.quote)


def covers(facts: list[Fact], item: Fact) -> bool:
    """Whether the facts together have every name and number of the sentence."""
    said = {word for fact in facts for word in words(fact.text)}
    return bool(facts) and names_and_numbers(item.quote) <= said


def handles(fact: Fact, text: str) -> list[str]:
    """The names a text can be asked for by, the one that fewest sentences of its chunk have first."""
    chunk = fact.chunk.text
    names = {text[start:end] for start, end, kind in spans(text, chunk) if kind in ("name", "quoted")} | {fact.subject}
    return sorted(names - {""}, key=lambda name: (chunk.count(name), name))


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
        for style in work.prompts[own[0].chunk.language].table["rewrite"]["styles"]
    ]
    requests = [
        work.prompts[own[0].chunk.language].conversation(
            "rewrite", facts=" ".join(fact.text for fact in own), style=style
        )
        for own, style in jobs
    ]
    texts = []
    new = work.said["rewrites"]
    for (own, style), reply in zip(jobs, work.ask("rewrites", requests, 96, temperature=0.5), strict=True):
        kept = []
        for start, end in sentences(reply or ""):
            sentence = reply[start:end]
            if grounded(work, sentence, own):
                kept.append(sentence)
            else:
                work.drop("rewrites", "a sentence that its facts do not support", sentence, own[0])
        if kept and new.is_new(" ".join(kept)):
            texts.append((own[0], style, " ".join(kept)))
    return texts


def grounded(work: Work, sentence: str, facts: list[Fact]) -> bool:
    """Whether a sentence of a rewrite says something, and nothing that the facts do not."""
    if not supported(sentence, " ".join(fact.text for fact in facts)):
        return False
    if facts[0].chunk.language == "en" and not names_and_numbers(sentence):
        return False
    return not work.copies_only or any(copied_in_order(sentence, fact.text, fact.subject) for fact in facts)
