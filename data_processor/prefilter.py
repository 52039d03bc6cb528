"""Which of many patterns can match a text at all: those without whose words no match can be are not tried.

    prefilter = Prefilter(patterns)
    [patterns[number] for number in prefilter.possible(text)]    # all that match are among them

What a match has to have is read off each pattern: of "(?:ignore|forget) .* rules?", one of "ignore " and "forget ", and one of
" rule" and " rules" (as RE2's FilteredRE2 does). All these words are then looked for in one go, in any case. It costs a tenth of what
200 patterns do that each go over a text by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from re import _constants as syntax
from re import _parser as parser  # what re.compile itself reads patterns with; it has no public name

import numpy
import regex

MOST_WORDS = 300  # that a part of a pattern is written out in
LONGEST_CLASS = 4  # characters of a class, such as [sz], that is written out
START = 3  # characters at the start of a word, by which it is looked up
SLOTS = 1 << 16
PROPERTY = re.compile(r"\\[pP]\{\^?\w+\}")  # \p{Lu}, which only the library regex knows; any class does here
DOTS = str.maketrans("İı", "ii")  # to regular expressions the same letter as i; to casefold() not


class Words:
    """Words, or any strings, of which those are found that stand in a text: in one go, however many they are."""

    def __init__(self, words: Collection[str]):
        short = [word for word in words if len(word) < START]
        self.short = {True: [word for word in short if word.isascii()], False: short}  # by whether the text is ASCII
        self.starting: dict[str, list[str]] = {}
        for word in words:
            if len(word) >= START:
                self.starting.setdefault(word[:START], []).append(word)
        self.slots = numpy.zeros(SLOTS, bool)  # of the starts: where it is False, no word begins
        for start in self.starting:
            self.slots[slots_of(start)] = True

    def found_in(self, text: str) -> set[str]:
        """Those words that the text has, as they are and wherever they stand, within other words too."""
        found = {word for word in self.short[text.isascii()] if word in text}
        for place in numpy.flatnonzero(self.slots[slots_of(text)]).tolist():
            for word in self.starting.get(text[place : place + START], ()):
                if text.startswith(word, place):
                    found.add(word)
        return found


class Prefilter:
    """Patterns of `re` or `regex`, and the words that their matches have."""

    def __init__(self, patterns: Sequence[re.Pattern | regex.Pattern]):
        self.needs = [needed_words(pattern.pattern, pattern.flags) for pattern in patterns]
        self.needed_by: dict[str, list[tuple[int, int]]] = {}  # by word: (number of a pattern, of a set that it needs)
        for number, needs in enumerate(self.needs):
            for which, words in enumerate(needs):
                for word in words:
                    self.needed_by.setdefault(word, []).append((number, which))
        self.words = Words(self.needed_by)

    def possible(self, text: str) -> list[int]:
        """The numbers of the patterns that may match, in order."""
        met: list[set[int]] = [set() for _ in self.needs]
        for word in self.words.found_in(fold_case(text)):
            for number, which in self.needed_by[word]:
                met[number].add(which)
        return [number for number, needs in enumerate(self.needs) if len(met[number]) == len(needs)]


def slots_of(text: str) -> numpy.ndarray:
    """For each place in a text, the slot of the START characters there; two such starts may share one."""
    codes = numpy.frombuffer(text.encode("utf-32-le", "surrogatepass"), numpy.uint32)
    return (codes[:-2] * 961 + codes[1:-1] * 31 + codes[2:]) & (SLOTS - 1)


def fold_case(text: str) -> str:
    """A text in which letters are the same that are so without regard to case."""
    return text.translate(DOTS).casefold()


def needed_words(pattern: str, flags: int = 0) -> list[set[str]]:
    """Sets of words, `fold_case`d: a text that a pattern matches has one word of each set. The pattern's own case is not told."""
    texts, needs = read_parts(parser.parse(PROPERTY.sub(r"\\w", pattern), flags & re.VERBOSE))
    return [words for words in [*needs, texts or {""}] if "" not in words]


def read_parts(parts: Iterable[tuple]) -> tuple[set[str] | None, list[set[str]]]:
    """All texts that parts of a pattern, one after the other, may match, None if they are too many; and what they need."""
    told: set[str] = {""}  # all texts of the parts that have just been read
    needs, complete = [], True
    for part in parts:
        texts, needed = read_part(*part)
        needs += needed
        if texts is not None and len(told) * len(texts) <= MOST_WORDS:
            told = {before + text for before in told for text in texts}
        else:
            needs.append(told)
            told, complete = texts or {""}, False
    return (told, needs) if complete else (None, [*needs, told])


def read_part(kind, value) -> tuple[set[str] | None, list[set[str]]]:
    """What `read_parts` tells, of one part; of kinds of which nothing is known, that they may match anything."""
    if kind is syntax.LITERAL:
        return {fold_case(chr(value))}, []
    if kind in (syntax.AT, syntax.ASSERT, syntax.ASSERT_NOT):  # they match a place, which has no text
        return {""}, []
    if kind is syntax.IN and len(value) <= LONGEST_CLASS and all(one is syntax.LITERAL for one, _ in value):
        return {fold_case(chr(code)) for _, code in value}, []
    if kind in (syntax.SUBPATTERN, syntax.ATOMIC_GROUP):
        return read_parts(value[-1] if kind is syntax.SUBPATTERN else value)
    if kind is syntax.BRANCH:
        branches = [read_parts(branch) for branch in value[1]]
        known = [texts for texts, _ in branches if texts is not None]
        texts = set().union(*known) if len(known) == len(branches) else None
        needed = set().union(*(rarest(texts, needs) for texts, needs in branches))
        return (None, [needed]) if texts is None or len(texts) > MOST_WORDS else (texts, [])
    if kind in (syntax.MAX_REPEAT, syntax.MIN_REPEAT, syntax.POSSESSIVE_REPEAT):
        least, most, repeated = value
        texts, needs = read_parts(repeated)
        if texts is not None and most == 1:
            return texts | ({""} if least == 0 else set()), needs if least else []
        return None, [rarest(texts, needs)] if least else []
    return None, []


def rarest(texts: set[str] | None, needs: list[set[str]]) -> set[str]:
    """Of the sets of words of which a match has one each, that with the longest words."""
    return max([*needs, texts or {""}], key=lambda words: min(map(len, words)))
