"""Questions without an answer that something else in the collection does answer: neither trained nor tested.

The model that asks one has seen one chunk. What the other chunks and documents say is compared here by string, by the words
that say something, without their endings: rather a good question too few than "That is not known." to what is known.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from functools import cache, lru_cache

from data_processor.chunking import Chunk
from data_processor.curation import words
from data_processor.languages import name_of_language
from data_processor.pairs import Fact, Pair
from data_processor.points import UNSPACED, function_words
from data_processor.work import Work

FEWEST_WORDS = {"spaced": 2, "unspaced": 4}  # of a question that say something; with fewer, any fact would answer it
# What a question asks for need not be named by its answer: "in what year", "1961".
ASKED_FOR = frozenset("year date month jahr datum monat année mois año fecha mes anno data mese ano год году".split())
ASKED_FOR_IN_CHINESE = frozenset("谁什么哪几何吗呢怎样年月日多少一")


def drop_answered(work: Work, pairs: list[Pair], facts: list[Fact]) -> list[Pair]:
    """The pairs, without each question of kind "unknown" that another pair asks too, or a fact or pair of another chunk answers."""
    answered = [pair for pair in pairs if pair.kind != "unknown"]
    unknown = [pair for pair in pairs if pair.kind == "unknown"]
    if not unknown:
        return pairs
    wanted = set().union(*(stems(pair.question, pair.fact.chunk.text_language) for pair in unknown))
    asked, told = Index(wanted), Index(wanted)
    for fact in facts:
        told.add(fact.chunk, fact.chunk.title, fact.theme, fact.text)
    for pair in answered:
        asked.add(pair.fact.chunk, pair.question)
        told.add(pair.fact.chunk, pair.fact.chunk.title, pair.fact.text, pair.question, pair.answer)
    kept = []
    for pair in pairs:
        reason = None if pair.kind != "unknown" else answered_by(pair, asked, told)
        if reason:
            work.drop("unknown", reason, pair.question, pair.fact.chunk)
        else:
            kept.append(pair)
    return kept


def answered_by(pair: Pair, asked: Index, told: Index) -> str | None:
    """What answers a question that has no answer in its own chunk, or None."""
    chunk = pair.fact.chunk
    if asked.holds(stems(pair.question, chunk.text_language), lambda other: True):
        return "another question of the dataset asks the same and has an answer"
    wanted = telling_stems(pair.question, chunk.text_language)
    fewest = FEWEST_WORDS["unspaced" if chunk.text_language in UNSPACED else "spaced"]
    if len(wanted) >= fewest and told.holds(wanted, lambda other: other != chunk):
        return "another text may answer it"
    return None


class Index:
    """Texts of chunks, searchable for one that has all of some words, whatever their endings: of those that may be `wanted`."""

    def __init__(self, wanted: Set[str]) -> None:
        self.wanted = wanted
        self.chunks: list[Chunk] = []
        self.having: dict[str, set[int]] = defaultdict(set)  # by stem, the numbers of the texts that have it

    def add(self, chunk: Chunk, *texts: str) -> None:
        """Add a text, in one or more parts."""
        for stem in self.wanted & set().union(*(stems(text, chunk.text_language) for text in texts)):
            self.having[stem].add(len(self.chunks))
        self.chunks.append(chunk)

    def holds(self, wanted: set[str], may_be: Callable[[Chunk], bool]) -> bool:
        """Whether a text of a chunk that `may_be` has all that is wanted."""
        found = sorted((self.having.get(stem, set()) for stem in wanted), key=len)
        return bool(found) and any(may_be(self.chunks[number]) for number in set.intersection(*found))


def telling_stems(question: str, language: str) -> set[str]:
    """The words of a question that say something, without their endings."""
    silent = function_words(language) | (ASKED_FOR_IN_CHINESE if language == "zh" else ASKED_FOR)
    return stems_of((word for word in words(question) if word not in silent), language)


def stems(text: str, language: str) -> set[str]:
    return stems_of(words(text), language)


def stems_of(found: Iterable[str], language: str) -> set[str]:
    return {stem(word, language) for word in found}


@lru_cache(maxsize=1 << 17)  # in a big folder names and numbers never end
def stem(word: str, language: str) -> str:
    """A word as a dictionary has it ("built": "build"; simplemma), without its ending ("ferries": "ferri"; Snowball)."""
    import simplemma

    if word.isascii() and word.isdigit():  # a number has no ending, and there is no end of them
        return word
    word = word.removesuffix("'s").removesuffix("'")
    with contextlib.suppress(ValueError):  # a language of which it has no dictionary
        word = simplemma.lemmatize(word, lang=language).casefold()
    stemmer = stemmer_of(language)
    return stemmer.stemWord(word) if stemmer else word


@cache
def stemmer_of(language: str):
    import snowballstemmer

    name = name_of_language(language).casefold()
    return snowballstemmer.stemmer(name) if name in snowballstemmer.algorithms() else None
