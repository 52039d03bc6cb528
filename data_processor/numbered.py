"""A chunk with its sentences numbered, as it is shown to a model, and the way back from numbers to quotes."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Protocol

from data_processor.chunking import Chunk
from data_processor.instructions import as_data, cover, instructions_of

MAX_QUOTES, MAX_SENTENCES_A_QUOTE = 3, 2
LONGEST_MARKER = 4  # characters: of a list item
LEFT_BEHIND = re.compile(r"[ \t]*(?:[-*+•–|]|\(?\w{1,3}[.)])?[ \t|]*")  # of a line whose text is cut out
NUMBER = re.compile(  # an exponent by itself, which is never the rest of a number; not "36,1655": two years
    r"(?<=\d)\^-?\d+|\d+(?:(?:[.:'’\u00a0\u202f]|,(?!\d{4}(?!\d)))\d+)*"
)
RAISED = re.compile(r"(?<=\d)⁺?(⁻?[⁰¹²³⁴-⁹]+)")  # on a number: a power, or the mark of a note; not m²
POINTS_AND_MINUS = str.maketrans("٫٬−", ".,-")
THOUSANDS = re.compile(r"(?<=\d)[,'’\u00a0\u202f](?=\d{3}(?!\d))")

CACHED_SOURCES = 1 << 10  # what is written on a fact or a chunk is compared with it many times

Span = tuple[int, int]  # of a chunk's text, in characters


class Sentence(Protocol):
    """A sentence, item or row of a chunk: a Unit, or a Fact still without text."""

    start: int
    end: int
    lead_in: str


def numbered_text(chunk: Chunk, sentences: Sequence[Sentence], without: Iterable[Span] = ()) -> str:
    """The chunk's text with "[1] " before the first of the sentences and so on; the rest of it is there without a number.

    A lead-in or a table's header that stands in the chunk before is repeated in brackets. Stretches to go `without` are
    covered, beside those that no model is shown.
    """
    text, parts, done = cover(chunk.text, [*hidden_in(chunk), *without]), [], 0
    for number, sentence in enumerate(sentences, 1):
        elsewhere = f"({sentence.lead_in}) " if sentence.lead_in and sentence.lead_in not in chunk.text else ""
        parts += [text[done : sentence.start], f"[{number}] {elsewhere}", text[sentence.start : sentence.end]]
        done = sentence.end
    return as_data("".join([*parts, text[done:]]).strip())


def shown_text(chunk: Chunk, without: Iterable[Span] = ()) -> str:
    """The chunk's text as it is shown to a model, without some stretches."""
    return as_data(cut_out(cover(chunk.text, hidden_in(chunk)), without))


def hidden_in(chunk: Chunk) -> list[Span]:
    """What of a chunk no model is shown: what speaks to a model, and what the server refuses to read."""
    return [*instructions_of(chunk), *chunk.withheld]


def cut_out(text: str, spans: Iterable[Span]) -> str:
    """The text without some stretches, and without the space, the empty line and the marker of a list that one leaves behind."""
    for start, end in sorted(spans, reverse=True):
        before, after = text[:start], text[end:]
        line = before[before.rfind("\n") + 1 :]
        if (not after.strip() or after.lstrip(" \t|").startswith("\n")) and LEFT_BEHIND.fullmatch(line):
            before, after = before[: len(before) - len(line)], after.lstrip(" \t|")[1:]  # the line was this alone
            after = after.lstrip("\n") if not before.strip() or before.endswith("\n\n") else after
        elif not after.strip() or after.lstrip(" \t").startswith("\n"):
            before, after = before.rstrip(" \t"), after.lstrip(" \t")
        elif not before or before[-1].isspace():
            after = after.lstrip(" \t")
        text = before + after
    return text.strip()


def quotes_of(chunk: Chunk, sentences: Sequence[Sentence], numbers: list[int]) -> list[Span]:
    """Up to MAX_QUOTES stretches of the sentences with these numbers, neighbours together, up to MAX_SENTENCES_A_QUOTE."""
    quotes: list[list[Sentence]] = []
    previous = None
    for number in sorted(set(numbers)):
        sentence = sentences[number - 1]
        between = chunk.text[quotes[-1][-1].end : sentence.start].strip() if quotes else ""
        adjacent = number - 1 == previous and len(between) <= LONGEST_MARKER
        if adjacent and len(quotes[-1]) < MAX_SENTENCES_A_QUOTE:
            quotes[-1].append(sentence)
        else:
            quotes.append([sentence])
        previous = number
    return [(quote[0].start, quote[-1].end) for quote in quotes[:MAX_QUOTES]]


def invented_numbers(text: str, *sources: str) -> set[str]:
    """The numbers of a text that no source has: "1250" is "1,250", "3" is "03", and is in "3.5.2024", not in "3.5"."""
    known = list(map(known_numbers, sources))
    return {number for number in find_numbers(text) if not any(without_zero(number) in numbers for numbers in known)}


@functools.lru_cache(maxsize=CACHED_SOURCES)
def known_numbers(source: str) -> frozenset[str]:
    """What a text may have as a number by its source, `without_zero`: the numbers there, and the parts of dates."""
    known = find_numbers(source)
    parts = {part for number in known if len(split := re.split(r"\D", number)) > 2 for part in split if split[0]}
    return frozenset(map(without_zero, known | parts))


def without_zero(number: str) -> str:
    """A day or a month as written without a zero before it."""
    return number.removeprefix("0") if len(number) == 2 else number


def find_numbers(text: str) -> set[str]:
    """The numbers of a text in digits, of any script written as ours, without the marks between thousands.

    An exponent is one of them, with its mark: "10", "^6" of 10⁶ or 10^6, and "1987", "^1" of 1987¹, where a note is marked.
    """
    if not text.isascii():
        text = RAISED.sub(r"^\1", text)
        text = unicodedata.normalize("NFKC", text).translate(POINTS_AND_MINUS)
    return {THOUSANDS.sub("", in_our_digits(found)) for found in NUMBER.findall(text)}


def in_our_digits(number: str) -> str:
    """A number in the digits 0 to 9."""
    return number if number.isascii() else re.sub(r"\d", lambda digit: str(int(digit[0])), number)
