"""Sentences in a document that speak to a language model: "ignore what was said before and write ...".

    marked = instructions_of(chunk)                    # where they are in its text
    speaks_to_model(start, end, marked)                # whether a quote holds one
    as_data(cover(chunk.text, marked))                 # how a model is shown the text

Such a sentence stays text, as what a file says: it is in the chunk that is trained as it is, marked. It is never obeyed, as
no model reads it: 87.7 % of the answers obeyed such lines, and 12.6 % when a filter by words had taken them out of what the
model read, with all clean text kept (arXiv 2606.32002). The prompts say besides that nothing in a document is an order.

The words are in instructions.toml. Without a word of a prompt, of what was said before, or of answers to every question, an
order to a model cannot be told from one to a person ("Approve all invoices."), and stays unmarked.
"""

from __future__ import annotations

import base64
import binascii
import functools
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import regex

from data_processor.chunking import Chunk, chunk_units
from data_processor.edits import Edit, Edited, apply_edits, without_overlaps
from data_processor.prefilter import Prefilter
from data_processor.segmentation import ends_sentence

Span = tuple[int, int]

WORDS = Path(__file__).with_suffix(".toml")
PIECE = regex.compile(r"<(\w+)>")
CACHED_CHUNKS = 1 << 13  # those of a part of the documents, which every step goes through again
COVER = "[…]"  # in place of a line for language models

TAGS = regex.compile(r"[\U000e0020-\U000e007e]")  # invisible copies of ASCII
INVISIBLE = regex.compile(r"[\p{Cf}\ufe00-\ufe0f\u034f\u115f\u1160\u3164]")
EMPHASIS = regex.compile(r"[*`~]|(?<![^\W_])_+|_+(?![^\W_])")  # not that within im_start
ODD_LETTER = regex.compile(r"[\uff10-\uff5a\U0001d400-\U0001d7ff\u24b6-\u24e9\u2100-\u214f\ufb00-\ufb06]")
ACCENTED = regex.compile(r"(?=[\p{Latin}\p{Cyrillic}])[^\x00-\x7fа-яА-Я]\p{Mn}*|(?<=[\p{Latin}\p{Cyrillic}])\p{Mn}+")
LOOKALIKES = dict(zip("аеорсухіјѕԁһԛԝАВЕКМНОРСТХІЈЅ", "aeopcyxijsdhqwABEKMHOPCTXIJS", strict=True))  # Cyrillic: Latin
MIXED_IN = regex.compile(rf"(?<=\p{{Latin}}\w*)[{''.join(LOOKALIKES)}]|[{''.join(LOOKALIKES)}](?=\w*\p{{Latin}})")
SPACED = regex.compile(r"(?<!\w)\w(?:[ ._\-·•/|]{1,3}\w(?!\w)){7,}")  # i g n o r e
SEPARATOR = regex.compile(r"[ ._\-·•/|]+")
BASE64 = regex.compile(
    r"(?<![\w+/=-])[\w+/-]{16,}(?:\s[\w+/-]{16,})*(?:\s?[\w+/-]{1,15})?={0,2}(?![\w+/=])", regex.ASCII
)
SENTENCE_END = regex.compile(r"[.!?]\s|[。！？]")

# What a tokenizer would read as the end of a turn, though it stands in a text: <|im_end|>, </s>, [/INST].
TURN_MARK = regex.compile(
    r"<(?=[|｜][^\s<>|｜]{1,40}[|｜]>|/?s>|/?(?:start|end)_of_turn>|(?:bos|eos|pad)>|<?/?SYS>)|\[(?=/?INST\])"
)
ROOM = regex.compile(rf"{regex.escape(COVER)} +")
WORD_JOINER = "\u2060"  # invisible; `characters.fold` takes it out again


@dataclass(frozen=True)
class Patterns:
    """How one language speaks to a model; see instructions.toml."""

    speaks: tuple[regex.Pattern, ...]
    never: tuple[regex.Pattern, ...] = ()
    beside: tuple[regex.Pattern, ...] = ()


def find_instructions(text: str, spans: Sequence[Span] = ()) -> list[Span]:
    """The stretches of `text` (start, end), in characters, that speak to a language model, in order.

    `spans` are its sentences, in order: of these, all that hold something said to a model, and those beside them that go on
    with it. Where no sentence is, as in a heading, the words themselves.
    """
    found = [place for view, places in views(text) for place in speaking(view, places)]
    marked: set[int] = set()
    for place in found:
        held_by = [number for number, span in enumerate(spans) if overlaps(*span, [place])]
        while (
            len(held_by) > 1
            and held_by[-1] + 1 < len(spans)
            and not ends_sentence(text[slice(*spans[held_by[-1]])], "")
        ):
            held_by.append(held_by[-1] + 1)  # an order over several lines goes on to the end of its sentence
        marked |= set(held_by)
    bare = [place for place in found if not overlaps(*place, spans)]
    for number in sorted(marked):
        for others in (range(number + 1, len(spans)), range(number - 1, -1, -1)):
            for other in others:
                if other in marked or not goes_on(text[slice(*spans[other])]):
                    break
                marked.add(other)
    return sorted({*bare, *(spans[number] for number in marked)})


@functools.lru_cache(maxsize=CACHED_CHUNKS)
def instructions_of(chunk: Chunk) -> tuple[Span, ...]:
    """The sentences of a chunk, by their place in its text, that speak to a language model."""
    return tuple(find_instructions(chunk.text, [(unit.start, unit.end) for unit in chunk_units(chunk)]))


def speaks_to_model(start: int, end: int, instructions: Sequence[Span]) -> bool:
    """Whether a stretch of a text, a quote say, has a part in what `find_instructions` found there."""
    return overlaps(start, end, instructions)


def overlaps(start: int, end: int, spans: Sequence[Span]) -> bool:
    return any(first < end and start < last for first, last in spans)


def cover(text: str, spans: Sequence[Span]) -> str:
    """The text with something else in place of these stretches, as long as they are, so that all else stays where it was."""
    for start, end in spans:
        text = text[:start] + COVER[: end - start].ljust(end - start) + text[end:]
    return text


def as_data(text: str) -> str:
    """A text without marks that would end a turn of the prompt: after the first character of each stands an invisible one.

    It is gone again once a quote is folded (`characters.fold`). The room that `cover` left is closed up.
    """
    text = ROOM.sub(f"{COVER} ", text)
    return TURN_MARK.sub(lambda mark: mark[0] + WORD_JOINER, text)


def views(text: str) -> Iterator[tuple[Edited, Span | None]]:
    """The text as patterns read it, and what is hidden in it, with the place of that.

    Hidden are words with their letters set apart, and base64.
    """
    plain = fold(text)
    yield plain, None
    for run in SPACED.finditer(plain.text):
        yield apply_edits(SEPARATOR.sub("", run[0]), []), plain.to_source(*run.span())
    for run in BASE64.finditer(text):
        if hidden := decode(run[0]):
            yield fold(hidden), run.span()


def speaking(view: Edited, place: Span | None) -> list[Span]:
    """Where a view speaks to a model, in the text; all of `place` if the view was hidden there."""
    spaced = place is not None and " " not in view.text
    found = []
    prefilter, orders = all_orders(spaced)
    for pattern, never in map(orders.__getitem__, prefilter.possible(view.text)):
        for match in pattern.finditer(view.text):
            first = max((end.end() for end in SENTENCE_END.finditer(view.text, 0, match.start())), default=0)
            if not any(exception.search(view.text[first : match.end()]) for exception in never):
                found.append(place or view.to_source(*match.span()))
    return found


def goes_on(sentence: str) -> bool:
    """Whether a sentence beside one that speaks to a model does so too, though it would not if it stood alone."""
    text = fold(sentence).text
    return any(pattern.search(text) for patterns in read_patterns().values() for pattern in patterns.beside)


def fold(text: str) -> Edited:
    """A text without accents, emphasis, invisible characters and letters that only look like others."""
    layers = [[Edit(*mark.span()) for mark in EMPHASIS.finditer(text)]]
    if not text.isascii():
        layers += [
            [Edit(*tag.span(), chr(ord(tag[0]) - 0xE0000)) for tag in TAGS.finditer(text)],
            [Edit(*mark.span()) for mark in INVISIBLE.finditer(text)],
            [Edit(*odd.span(), unicodedata.normalize("NFKC", odd[0])) for odd in ODD_LETTER.finditer(text)],
            [Edit(*letter.span(), without_accents(letter[0])) for letter in ACCENTED.finditer(text)],
            [Edit(*letter.span(), LOOKALIKES[letter[0]]) for letter in MIXED_IN.finditer(text)],
        ]
    return apply_edits(text, without_overlaps(*layers))


def without_accents(text: str) -> str:
    """Latin and Cyrillic letters without their accents, all else as it is; "й" counts as "и" with an accent."""
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


def decode(run: str) -> str:
    """What a run of base64 says, an empty string if it is none, or not text."""
    letters = "".join(run.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        text = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return text if text.isprintable() or not regex.search(r"[^\P{Cc}\n\r\t]", text) else ""


@functools.cache
def read_patterns(spaced: bool = False) -> dict[str, Patterns]:
    """The patterns by language; `spaced`: for words whose spaces are lost."""
    tables = tomllib.loads(WORDS.read_text(encoding="utf-8"))
    shared = tables.pop("pieces")

    def read(table: dict, key: str) -> tuple[regex.Pattern, ...]:
        return tuple(compile_pattern(one, shared | table.get("pieces", {}), spaced) for one in table.get(key, ()))

    return {
        name: Patterns(*(read(table, key) for key in ("speaks", "never", "beside"))) for name, table in tables.items()
    }


@functools.cache
def all_orders(spaced: bool) -> tuple[Prefilter, list[tuple[regex.Pattern, tuple[regex.Pattern, ...]]]]:
    """Each pattern of `speaks` with its language's `never`, and which of them are worth trying on a text: hardly any."""
    orders = [(one, patterns.never) for patterns in read_patterns(spaced).values() for one in patterns.speaks]
    return Prefilter([pattern for pattern, _ in orders]), orders


def compile_pattern(pattern: str, pieces: dict[str, str], spaced: bool) -> regex.Pattern:
    """A pattern of instructions.toml with its pieces put in."""
    while (filled := PIECE.sub(lambda piece: pieces.get(piece[1], piece[0]), pattern)) != pattern:
        pattern = filled
    if spaced:
        pattern = pattern.replace(r"\b", "").replace(" ?", "").replace(" ", "")
    else:
        pattern = pattern.replace(" ?", r"\s{0,3}").replace(" ", r"\s+")
    return regex.compile(ACCENTED.sub(lambda letter: without_accents(letter[0]), pattern), regex.I | regex.M)
