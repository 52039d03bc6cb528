"""What in a text that a model wrote is no text about its document: by words, in any language, without a list of phrases.

A refusal ("I cannot assist with that."), an announcement and the close of a letter share no word with the document; an echo
has the words of the request; "[Your name]" waits to be filled in; a loop says again what has been said. Larger models do so too.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence

import regex

from data_processor.html_events import BLOCKS, INLINE, LEFT_OUT
from data_processor.instructions import COVER
from data_processor.points import function_words
from data_processor.span_words import JOINING_WORDS, REFERRING_WORDS
from data_processor.unknown import stem

LEAST_ABOUT = 0.1  # of the content words of a sentence at either end, or of a text: as many stand in its document
ECHO = 0.5  # of the three words in a row of a sentence: as many stand in the request and not in the document
SHORTEST_REPEATED, SHORTEST_LOOP = 5, 8  # words: a heading, or "Yes, it is.", may come twice
# written without spaces
PAIRS, FOURS = r"[\p{Han}\p{Hiragana}\p{Katakana}ー]", r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
SPACED = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{PAIRS}{FOURS}]]+"
CONTENT = regex.compile(rf"(?P<pairs>{PAIRS}+)|(?P<fours>{FOURS}+)|(?P<korean>\p{{Hangul}}+)|{SPACED}", regex.V1)
TOKEN = regex.compile(rf"{PAIRS}|{FOURS}|{SPACED}", regex.V1)
IN_ASCII = re.compile("[a-z0-9]+")  # all that TOKEN and CONTENT find in folded ASCII, three times as fast
HIRAGANA = regex.compile(r"\p{Hiragana}+")  # endings and particles
CLAUSE = regex.compile(r"[,;:，；、：،]")
MARK = r"\[\s*(?:…|\.{3})\s*\]"
COVERED = regex.compile(MARK)
ALONE = r"(?m)(?<=^|[.!?…。！？][\"'”’»)*]*[^\S\n]*)(?:%s(?:[^\S\n]+|$|(?=[^\x00-\x7f])))+"  # between two sentences
MARK_ALONE, MARK_OR_DOTS_ALONE = (regex.compile(ALONE % mark) for mark in (MARK, rf"(?:{MARK}|…|\.{{3}})"))
WORDS_INSIDE = r"\p{L}[\p{L}\p{M}\p{N} ’'_-]*[\p{L}\p{N}]"
PLACEHOLDER = regex.compile(  # [Your name], not a link, not a speaker; <company name>, {Name}, "Dear ____", 亲爱的【姓名】
    r"[\[［](?P<inside>[^\[\]［］\n]*\p{L}{2}[^\[\]［］\n]*)[\]］](?!\W*[(:：])"
    rf"|(?<!\w)<(?P<inside>{WORDS_INSIDE})>|(?<![\\$^_}}\w])\{{(?P<inside>{WORDS_INSIDE})\}}|(?P<inside>[_＿]{{3,}})"
    # a pair of these before a text may be its headline: 【本报讯】
    r"|(?<=[\p{L}\p{N}，、：])【(?P<inside>[^【】\n]+)】|【(?P<inside>[^【】\n]*(?:姓名|名称|名字|氏名|社名|日期|日付|地址|住所|电话|name)[^【】\n]*)】"
    r"|(?P<inside>(?<![A-Z])X{2,4}|某{2,3})(?=\p{Han})"
)
TAGS = BLOCKS | INLINE | {*LEFT_OUT}
PLACE_TO_FILL = "a place to be filled in"
CACHED_TEXTS = 1 << 8  # what is written about a chunk is compared with it sentence by sentence


@functools.lru_cache(maxsize=CACHED_TEXTS)
def content(text: str, language: str) -> tuple[str, ...]:
    """What a text is about, to compare: stems of words but function words; characters in a row where words are not set apart."""
    silent, found, folded = function_words(language), [], text.casefold()
    if folded.isascii():
        return tuple(stem(word, language) for word in IN_ASCII.findall(folded) if word not in silent)
    for match in CONTENT.finditer(folded):
        word, script = match[0], match.lastgroup
        if script is None:
            if word not in silent:
                found.append(stem(word, language))
        elif script == "korean":
            found += [word[:2]] if len(word) > 1 else []
        else:
            size = 2 if script == "pairs" else 4
            rows = [word[start : start + size] for start in range(max(1, len(word) - size + 1))]
            found += [row for row in rows if not HIRAGANA.fullmatch(row)]
    return tuple(found)


def is_about(text: str, known: set[str], language: str) -> bool:
    """Whether enough of a text's content words are among those of its document, or one is a number of it."""
    own = content(text, language)
    shared = [word for word in own if word in known]
    numbers = any(len(word) > 1 and word.isdecimal() for word in shared)  # told to a child, all other words may be new
    return numbers or len(shared) >= max(1, LEAST_ABOUT * len(own))


def rows_of_three(text: str) -> list[tuple[str, ...]]:
    """The words of a text, or characters where words are not set apart, three in a row."""
    tokens = tuple(itertools.chain.from_iterable(map(tokens_of, text.split("\n\n"))))
    return list(zip(tokens, tokens[1:], tokens[2:], strict=False))


@functools.lru_cache(maxsize=1)  # the texts about a chunk come one after the other
def known_rows(shown: str) -> frozenset[tuple[str, ...]]:
    return frozenset(rows_of_three(shown))


@functools.lru_cache(maxsize=CACHED_TEXTS)  # all requests on a chunk have its text, and many the same instruction
def tokens_of(paragraph: str) -> tuple[str, ...]:
    folded = paragraph.casefold()
    return tuple((IN_ASCII if folded.isascii() else TOKEN).findall(folded))


def without_covers(text: str, source: str) -> tuple[str, list[str]]:
    """A text without the marks between its sentences that covered something there (instructions.py), and these marks.

    `source` is what the model was shown; where something was covered, a bare "..." may be such a mark too.
    """
    mark = MARK_OR_DOTS_ALONE if COVER in source else MARK_ALONE
    return mark.sub("", text), [found[0].strip() for found in mark.finditer(text)]


def find_faults(sentences: Sequence[str], shown: str, original: str, request: str) -> list[str]:
    """For each sentence of a text why it goes wherever it stands, "" if it may stay.

    `shown` is the source as the model was shown it, in its `request`; `original` is the chunk.
    """
    asked, faults = set(itertools.filterfalse(known_rows(shown).__contains__, rows_of_three(request))), []
    said: list[set] = []
    for place, sentence in enumerate(sentences):
        rows = rows_of_three(sentence)
        longer = (one for one in sentences[:place] if one.startswith(sentence) and len(one) > len(sentence))
        unfinished = place == len(sentences) - 1 and any(longer) and TOKEN.search(sentence)
        if COVERED.search(sentence) and not COVERED.search(original):
            fault = "a mark that covers something"
        elif any(inside.casefold() not in original.casefold() for inside in placeholders(sentence)):
            fault = PLACE_TO_FILL
        elif len(rows) > 1 and sum(row in asked for row in rows) >= ECHO * len(rows):
            fault = "the words of the request"
        elif unfinished or (len(rows) > SHORTEST_REPEATED - 3 and any(one.issuperset(rows) for one in said)):
            fault = "said before in the text"
        else:
            fault = ""
            said.append(set(rows))
        faults.append(fault)
    return faults


def placeholders(sentence: str) -> list[str]:
    """What stands within the marks of places to be filled in; a tag of HTML is none."""
    found = (place["inside"] for place in PLACEHOLDER.finditer(sentence))
    return [inside for inside in found if inside.casefold() not in TAGS]


def refers_back(sentence: str, language: str) -> bool:
    """Whether a sentence begins with "It", "Their" or the like, and so cannot be understood without the one before."""
    return begins_with(sentence, REFERRING_WORDS.get(language, ()), language)


def goes_on(question: str, language: str) -> bool:
    """Whether a question begins with "And" or the like, and so goes on from another that nobody has asked."""
    return begins_with(question, JOINING_WORDS.get(language, ()), language)


def begins_with(sentence: str, openings: tuple[str, ...], language: str) -> bool:
    """Whether the first word of a sentence is one of these."""
    first = regex.match(r"\P{L}*+(\p{L}+)", sentence)
    if language in ("zh", "ja", "ko"):
        return sentence.lstrip('“「『"').startswith(openings) if openings else False
    return bool(first) and first[1].casefold() in openings


def without_loop(sentence: str) -> str:
    """A sentence up to where it says only what it has said, over and over: that is more than all before it."""
    rows, said, new = rows_of_three(sentence), set(), 0
    for place, row in enumerate(rows):
        new = new if row in said else place + 1
        said.add(row)
    if len(rows) + 2 - new <= max(new, SHORTEST_LOOP):
        return sentence
    end = list(TOKEN.finditer(sentence))[new].start()
    end = max((mark.start() for mark in CLAUSE.finditer(sentence, 0, end)), default=end)
    return sentence[:end].rstrip() + ("。" if regex.search(rf"{PAIRS}\W*$", sentence[:end]) else ".")
