"""Checks that a generator's output must pass before it is trained on: strings, numbers, and no near copies.

A model invents names, mixes up dates and repeats itself. Nothing here asks a model; each check is a rule that a
reader can follow, and drops are counted by reason.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Set
from functools import cache, lru_cache, partial

import numpy

from data_processor.parts import Digests, digest
from data_processor.span_words import FUNCTION_WORDS, language_of
from data_processor.spans import find_spans, starts_sentence

NEAR_COPY = 0.85  # Jaccard similarity of word trigrams at which two texts count as the same
FEW, FEW_OF_MANY = 16, 0.01  # texts, and share of all texts, that are sooner compared one by one
ROUNDING = 1e-9  # that a product of a threshold and a count may be too high by
CHARACTERS_PER_WORD = 2.5  # roughly, in Chinese

LETTER = r"[^\W\d_一-鿿]"
# after a number with its unit
PARTICLE = re.compile(r"(?<=\d[가-힣])(?:에서|에|은|는|이|가|을|를|의|까지|부터|으로|로|과|와|도)$")
TAKES_PARTICLES = re.compile(r"[가-힣]$")  # Korean writes them on to the word before
KANA = re.compile(r"[ぁ-ヿ]")  # and Japanese writes no spaces at all
WORD = re.compile(rf"[一-鿿]|(?:[cdjlmnst]|qu)(?=['’]{LETTER})|{LETTER}+(?:['’]{LETTER}+)?|(?:\d[\d.,]*\d|\d){LETTER}*")
WORD_IN_ASCII = re.compile(WORD.pattern.replace(LETTER, "[a-z]"), re.ASCII)  # the same there, twice as fast


def normalize(text: str) -> str:
    """The text with case and typography folded, for comparisons."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("–", "-")


def words(text: str) -> list[str]:
    """Words and numbers in order, normalized; a Chinese character counts as a word."""
    return list(find_words(text))


@lru_cache(maxsize=1 << 14)  # a question and its answer go through some ten checks
def find_words(text: str) -> tuple[str, ...]:
    text = normalize(text)
    return tuple(word.replace(",", "") for word in (WORD_IN_ASCII if text.isascii() else WORD).findall(text))


def content_words(text: str) -> list[str]:
    return [word for word in words(text) if word not in FUNCTION_WORDS]


def find_subject(title: str, text: str) -> str:
    """The name a chunk is about: among the title's names, else the text's, the one whose words occur most often.

    The title itself if no names can be recognised, as in Chinese.
    """
    counts = Counter(words(text))
    for source in (title, text):
        names = [source[start:end] for start, end, kind in find_spans(source, text) if kind == "name"]
        if names:
            return max(
                names, key=lambda name: (sum(counts[word] for word in words(name)) / len(words(name)), len(name))
            )
    return title


def names_and_numbers(text: str) -> set[str]:
    """The words of a text that must not be invented: those in names, and numbers."""
    protected: set[str] = set()
    for start, end, kind in find_spans(text):
        if kind != "name" or not (starts_sentence(text, start) and " " not in text[start:end]):
            protected.update(word for word in words(text[start:end]) if word not in FUNCTION_WORDS)
    if language_of(text) == "de":  # there find_spans leaves out every single noun, a name or not
        capitals = (match for match in re.finditer(r"\b[^\W\d_]+", text) if match[0][0].isupper())
        inside = (match[0] for match in capitals if not starts_sentence(text, match.start()))
        protected.update(normalize(word) for word in inside if not is_german_word(word))
    protected.update(word for word in words(text) if word[0].isdigit())
    return protected


@lru_cache(maxsize=1 << 17)  # in a big folder names and numbers never end
def is_german_word(word: str) -> bool:
    """Whether a dictionary has a word, which is then hardly a name ("Geld")."""
    import simplemma

    return simplemma.is_known(word, lang="de")


def is_supported(text: str, source: str) -> bool:
    """Whether every name and number in `text` also occurs in `source`, in whatever case of Russian."""
    return set(map(without_ending, names_and_numbers(text))) <= set(map(without_ending, words(source)))


@lru_cache(maxsize=1 << 17)  # in a big folder names and numbers never end
def without_ending(word: str) -> str:
    """A word without the ending that it has from its place in a sentence: in Russian by Snowball (Porter 2001)."""
    if re.match("[а-яё]", word):
        return russian_stemmer().stemWord(word)
    return PARTICLE.sub("", word)


@cache
def russian_stemmer():
    import snowballstemmer

    return snowballstemmer.stemmer("russian")


def contains(text: str, part: str) -> bool:
    """Whether `part` occurs in `text` as consecutive whole words, the last perhaps with a particle."""
    if KANA.search(part):
        return normalize(part) in normalize(text)
    haystack, needle = words(text), words(part)
    if not needle:
        return False
    *first, last = needle
    particles = bool(TAKES_PARTICLES.search(last))
    return any(
        haystack[i : i + len(first)] == first
        and (haystack[i + len(first)] == last or (particles and haystack[i + len(first)].startswith(last)))
        for i in range(len(haystack) - len(first))
    )


def length_in_words(text: str) -> float:
    """The length of a text, with a Chinese character counted as part of a word."""
    return sum(1 / CHARACTERS_PER_WORD if "一" <= word <= "鿿" else 1 for word in words(text))


class NearCopies:
    """Texts, searchable for near copies of a given one."""

    def __init__(self) -> None:
        self.kept = Digests()  # of all texts that were new, also of those since forgotten
        self.forget()

    def forget(self) -> None:
        """Forget the texts, so that from now on only their exact copies are found."""
        self.groups: dict[int, TrigramIndex] = {}  # by a digest of what tells texts apart that are nearly the same

    def is_new(self, text: str, apart: Collection[str] = frozenset()) -> bool:
        """Whether this text is no near copy of a remembered one; if so, remember it.

        `apart` is that, such as its numbers, in which a copy has to be the same.
        """
        told_by = "\0".join(sorted(apart) if isinstance(apart, Set) else apart)
        exact = f"{' '.join(find_words(text))}\0{told_by}"
        if exact in self.kept:
            return False
        trigrams = word_trigrams(text)
        group = self.groups.setdefault(digest(told_by), TrigramIndex(NEAR_COPY))
        if any(True for _ in group.similar_to(trigrams)):
            return False
        self.kept.add(exact)
        group.add(trigrams)
        return True


class SimilarTexts:
    """Numbered texts, searchable for those that are as similar as `threshold` to a given one."""

    def __init__(self, texts: Iterable[str], threshold: float):
        self.index = TrigramIndex(threshold)
        for text in texts:
            self.index.add(word_trigrams(text))

    def copies_of(self, text: str) -> list[int]:
        """The numbers of the texts that are similar to this one, in order."""
        return sorted(self.index.similar_to(word_trigrams(text)))


class TrigramIndex:
    """Texts by their word trigrams, searchable for those whose Jaccard similarity to a given one reaches a threshold.

    Of a text's trigrams, a similar one has `fewest` at least, and so one at least of any that are more than the rest. The
    rarest of so many are looked up first (prefix filtering, Chaudhuri et al. 2006, with the order chosen for each text): mostly
    they lead to few texts, which are compared. If they lead to many, what each text shares is counted, for all at once.
    """

    def __init__(self, threshold: float):
        self.threshold = threshold
        self.texts: list[set[str]] = []
        self.sizes = array("I")  # of these, in trigrams
        # By trigram, the numbers of the texts that have it; empty as long as there are no more than FEW.
        self.having: dict[str, array[int]] = defaultdict(partial(array, "I"))

    def add(self, trigrams: set[str]) -> None:
        self.texts.append(trigrams)
        self.sizes.append(len(trigrams))
        if len(self.texts) <= FEW:
            return
        for number in range(len(self.texts) - 1 if self.having else 0, len(self.texts)):
            for trigram in self.texts[number]:
                self.having[trigram].append(number)

    def similar_to(self, trigrams: set[str]) -> Iterator[int]:
        """The numbers of the texts that are similar."""
        found = sorted((self.having.get(trigram, ()) for trigram in trigrams), key=len)
        fewest = math.ceil(self.threshold * len(trigrams) - ROUNDING)
        rarest = found[: len(found) - fewest + 1]
        if not self.having or sum(map(len, rarest)) <= max(FEW, FEW_OF_MANY * len(self.texts)):
            for number in set(itertools.chain(*rarest)) if self.having else range(len(self.texts)):
                if is_near_copy(trigrams, self.texts[number], self.threshold):
                    yield number
            return
        having = numpy.concatenate([as_numbers(numbers) for numbers in found if numbers])
        shared = numpy.bincount(having, minlength=len(self.texts))
        similarity = shared / (len(trigrams) + as_numbers(self.sizes) - shared)
        yield from numpy.flatnonzero(similarity >= self.threshold).tolist()


def as_numbers(numbers: array[int]) -> numpy.ndarray:
    """The same numbers in the same memory."""
    return numpy.frombuffer(numbers, numpy.uint32)


def word_trigrams(text: str) -> set[str]:
    """The word trigrams of a text; of one that is shorter, all its words."""
    tokens = find_words(text)
    return set(map(" ".join, zip(tokens, tokens[1:], tokens[2:], strict=False))) or {" ".join(tokens)}


def is_near_copy(some: set[str], others: set[str], threshold: float = NEAR_COPY) -> bool:
    """Whether the Jaccard similarity of two sets of trigrams reaches `threshold`, so that the texts are near copies."""
    shared = len(some & others)
    return shared / (len(some) + len(others) - shared) >= threshold
