"""The collection steps other than questions: themes, facts, rewrites. Each is a function from list to list.

Replies are checked here with curation.py, and rejections are counted by reason.
"""

from __future__ import annotations

import re
from dataclasses import replace

from data_processor.chunking import Chunk, sentence_spans
from data_processor.curation import content_words, find_spans, find_subject, is_supported, names_and_numbers, words
from data_processor.facts import NOT_COVERED
from data_processor.pairs import Fact
from data_processor.segmentation import ends_sentence
from data_processor.small_model.phrases import find_phrases
from data_processor.units import with_lead_in
from data_processor.work import Work

CONTEXT_DEPENDENT = {  # by language: a text with such an opening or phrase does not stand alone
    "en": (
        r"^(?:He|She|It|They|This|These|Those|That|We|His|Her|Its|Their|Our|Here|There)\b",
        r"\b(?:the above|as mentioned|mentioned above|the following|this (?:chapter|section|text)|the (?:author|passage) (?:says|states))\b",
        r"\b(?:today|yesterday|tomorrow|last (?:year|month|week)|next (?:year|month|week)|(?:a|two|three) (?:years|days|weeks) ago)\b",
    ),
    "zh": (
        r"^(?:他|她|它|他们|她们|它们|这|那|该|其|此|我们|本)",
        r"(?:上述|如上所述|前文|下文|本章|本节|本文|笔者)",
        r"(?:今天|昨天|明天|去年|今年|明年|上个月|下个月|上周|下周|不久前)",
    ),
}


def find_themes(work: Work, chunks: list[Chunk]) -> list[str]:
    """One sentence on what each chunk is about; if the model invents a name or number, the title is used instead."""
    replies = work.ask(
        "theme",
        [work.prompts[chunk.language].conversation("theme", text=chunk.text) for chunk in chunks],
        max_new_tokens=32,
        chunks=chunks,
    )
    themes = []
    for chunk, reply in zip(chunks, replies, strict=True):
        theme = " ".join((reply or "").split())
        if not theme or not is_supported(theme, f"{chunk.title} {chunk.text}"):
            work.drop("theme", "names what the chunk does not", theme, chunk)
            theme = chunk.title or find_subject("", chunk.text)
        themes.append(theme)
    return themes


def find_facts(work: Work, items: list[Fact]) -> list[Fact]:
    """Facts from every sentence of pipeline.sentences_to_read, each with its sentence as the quote.

    If the facts kept from a sentence miss any of its names and numbers, the sentence itself becomes a fact too, provided
    that it has something to ask for.
    """
    requests = []
    for item in items:
        prompts = work.prompts[item.chunk.language]
        context = prompts.table["words"]["before"].format(text=item.lead_in) if item.lead_in else ""
        requests.append(prompts.conversation("facts", subject=item.subject, quote=item.quote, context=context))
    schema = {
        "type": "array",
        "items": {"type": "string", "minLength": 10, "maxLength": 240},
        "minItems": 1,
        "maxItems": 3,
    }
    stated, chunks = [], [item.chunk for item in items]
    for item, reply in zip(items, work.ask_json("facts", requests, 120, schema, chunks), strict=True):
        for text in reply or []:
            reason = fact_problem(item, text)
            if reason:
                work.drop("facts", reason, text, item)
            else:
                stated.append((item, text))

    by_item: dict[int, list[str]] = {}
    for item, text in stated:
        by_item.setdefault(id(item), []).append(text)
    facts: list[Fact] = []
    kept_texts = work.kept_texts["facts"]
    for item in items:
        kept = []
        for text in by_item.get(id(item), ()):
            if kept_texts.is_new(text):
                kept.append(replace(item, text=text))
            else:
                work.drop("facts", "near copy", text, item)
        if not covers(kept, item) and can_be_asked(item.chunk, item.quote) and kept_texts.is_new(item.quote):
            kept.append(replace(item, text=make_standalone(work, item)))
        if not kept:
            work.drop("facts", NOT_COVERED, item.quote, item)
        facts += kept
    return facts


def fact_problem(item: Fact, text: str) -> str | None:
    """Why a text that the model states as a fact from the sentence `item` cannot be kept, or None."""
    language = item.chunk.text_language
    if not is_supported(text, f"{item.quote} {item.subject}"):
        return "a name or number that its source does not have"
    if not copied_in_order(text, item.quote, item.subject):
        return "not in the words of its sentence"
    if ends_sentence(item.quote, language) and not ends_sentence(text, language):
        return "cut off"  # a JSON string ends at the first quotation mark that is not escaped
    if not rest_of(text, item.chunk.text):
        return "states nothing of what it names"
    return text_problem(item.chunk, text)


def rest_of(text: str, chunk: str) -> list[str]:
    """The words of a text that are in none of its names, dates and numbers."""
    gaps, end = [], 0
    for start, stop, _ in [*find_spans(text, chunk), (len(text), len(text), "")]:
        gaps.append(text[end:start])
        end = stop
    return words(" ".join(gaps))


def grounded(sentence: str, facts: list[Fact]) -> bool:
    """Whether a sentence in a rewrite states something, in the words of one of the facts."""
    if not any(copied_in_order(sentence, fact.text, fact.subject) for fact in facts):
        return False
    told = " ".join(fact.text for fact in facts)
    if not is_supported(sentence, told):
        return False
    if facts[0].chunk.language == "en":
        return bool(names_and_numbers(sentence))
    return len(set(content_words(sentence)) & set(content_words(told))) > 1


def copied_in_order(text: str, quote: str, subject: str) -> bool:
    """Whether the content words of `text`, apart from the subject's, occur in `quote` in the same order.

    Strict enough to catch a small model that attributes one person's deed to another.
    """
    allowed = set(words(subject))
    quote_words = iter(content_words(quote))
    own_words = [word for word in content_words(text) if word not in allowed]
    return len(own_words) >= 2 and all(word in quote_words for word in own_words)


def text_problem(chunk: Chunk, text: str) -> str | None:
    """Why a text cannot be a fact even if its chunk states it, or None."""
    if depends_on_context(chunk.language, text):
        return "does not stand alone"
    if chunk.language == "en" and not can_be_asked(chunk, text):  # rules cannot recognise Chinese names
        return "nothing to ask for"
    return None


def can_be_asked(chunk: Chunk, text: str) -> bool:
    """Whether it has a name, date or number, or in English another phrase."""
    return bool(find_spans(text, chunk.text) or (chunk.text_language == "en" and find_phrases(text)))


def depends_on_context(language: str, text: str) -> bool:
    """Whether a text needs its context: it opens with a pronoun, or says "the above" or "last year"."""
    return any(re.search(pattern, text) for pattern in CONTEXT_DEPENDENT.get(language, ()))


def make_standalone(work: Work, item: Fact) -> str:
    """The sentence itself, prefixed with its lead-in, or with its subject if it depends on its context."""
    if item.lead_in:
        return with_lead_in(item.lead_in, item.quote)
    if not item.subject or not depends_on_context(item.chunk.language, item.quote):
        return item.quote
    return (
        work.prompts[item.chunk.language]
        .table["words"]["about_prefix"]
        .format(subject=item.subject, question=item.quote)
    )


def covers(facts: list[Fact], item: Fact) -> bool:
    """Whether the facts together contain every name and number of the sentence."""
    covered = {word for fact in facts for word in words(fact.text)}
    return bool(facts) and names_and_numbers(item.quote) <= covered


def names_to_ask_by(fact: Fact, text: str) -> list[str]:
    """The names by which a text can be asked for, the rarest in its chunk first."""
    chunk = fact.chunk.text
    spans = find_spans(text, chunk)
    names = {
        text[start:end] for start, end, kind in spans if kind == "name" or (kind == "quoted" and text[start].isupper())
    }
    names.add(fact.subject)
    return sorted(names - {""}, key=lambda name: (chunk.count(name), name))


def rewrite_facts(work: Work, facts: list[Fact], group_size: int = 3) -> list[tuple[Fact, str, str]]:
    """Each chunk's facts rewritten in several document styles, `group_size` at a time; unsupported sentences are removed.

    Returns (first fact of the group, style, text) for each.
    """
    by_chunk: dict[tuple, list[Fact]] = {}
    for fact in facts:
        by_chunk.setdefault((fact.chunk.file_name, fact.chunk.number), []).append(fact)
    jobs = [
        (chunk_facts[i : i + group_size], style)
        for chunk_facts in by_chunk.values()
        for i in range(0, len(chunk_facts), group_size)
        for style in work.prompts[chunk_facts[0].chunk.language].table["rewrite"]["styles"]
    ]
    requests = [
        work.prompts[group[0].chunk.language].conversation(
            "rewrite", facts=" ".join(fact.text for fact in group), style=style
        )
        for group, style in jobs
    ]
    texts, chunks = [], [group[0].chunk for group, _ in jobs]
    kept_texts = work.kept_texts["rewrites"]
    for (group, style), reply in zip(
        jobs, work.ask("rewrites", requests, 96, chunks=chunks, temperature=0.5), strict=True
    ):
        kept = []
        for start, end in sentence_spans(reply or "", group[0].chunk.text_language):
            sentence = reply[start:end]
            if grounded(sentence, group):
                kept.append(sentence)
            else:
                work.drop("rewrites", "a sentence that its facts do not support", sentence, group[0])
        if kept and kept_texts.is_new(" ".join(kept)):
            texts.append((group[0], style, " ".join(kept)))
    return texts
