"""Checks that a generator's output must pass before it is trained on: strings, numbers, and no near copies.

A model invents names, mixes up dates and repeats itself. Nothing here asks a model; each check is a rule that a
reader can follow, and drops are counted by reason.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from data_processor.parts import Digests, digest
from data_processor.span_words import FUNCTION_WORDS, language_of
from data_processor.spans import find_spans, starts_sentence

if TYPE_CHECKING:
    from datasketch import MinHash, MinHashLSH

NEAR_COPY = 0.85  # Jaccard similarity of word trigrams at which two texts count as the same
SIGNATURE_HASHES = 128  # in a MinHash signature
BANDS = 32  # of a signature: texts with one in common are compared
FEW = 16  # texts that are sooner compared one by one
SHARED = 4  # trigrams: with fewer, texts that only have a common phrase are compared, with more, more are looked up
ROUNDING = 1e-9  # that a product of a threshold and a count may be too high by
MAX_ANSWER_WORDS = 8  # short answers are learnt far better (arXiv 2607.21861)
CHARACTERS_PER_WORD = 2.5  # roughly, in Chinese

LETTER = r"[^\W\d_一-鿿]"
PARTICLE = re.compile(
    r"(?<=\d[가-힣])(?:에서|에|은|는|이|가|을|를|의|까지|부터|으로|로|과|와|도)$"
)  # after a number with its unit
TAKES_PARTICLES = re.compile(r"[가-힣]$")  # Korean writes them on to the word before
KANA = re.compile(r"[ぁ-ヿ]")  # and Japanese writes no spaces at all
WORD = re.compile(rf"[一-鿿]|(?:[cdjlmnst]|qu)(?=['’]{LETTER})|{LETTER}+(?:['’]{LETTER}+)?|(?:\d[\d.,]*\d|\d){LETTER}*")


def normalize(text: str) -> str:
    """The text with case and typography folded, for comparisons."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("–", "-")


def words(text: str) -> list[str]:
    """Words and numbers in order, normalized; a Chinese character counts as a word."""
    return list(find_words(text))


@lru_cache(maxsize=1 << 14)  # a question and its answer go through some ten checks
def find_words(text: str) -> tuple[str, ...]:
    return tuple(word.replace(",", "") for word in WORD.findall(normalize(text)))


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
    """Texts, searchable for near copies of a given one.

    Where there are more than FEW, MinHash signatures in bands find the candidates (Broder 1997; the datasketch library), so
    that time grows with the number of texts rather than its square; the word trigrams of each candidate are then compared
    exactly. With these bands a near copy is missed once in 10^10.
    """

    def __init__(self) -> None:
        self.kept = Digests()  # of all texts that were new, also of those since forgotten
        self.forget()

    def forget(self) -> None:
        """Forget the texts, so that from now on only their exact copies are found."""
        self.trigrams: list[set[str]] = []
        self.groups: dict[int, Group] = {}  # by a digest of what tells texts apart that are nearly the same

    def is_new(self, text: str, apart: Collection[str] = frozenset()) -> bool:
        """Whether this text is no near copy of a remembered one; if so, remember it.

        `apart` is that, such as its numbers, in which a copy has to be the same.
        """
        told_by = "\0".join(sorted(apart) if isinstance(apart, Set) else apart)
        exact = f"{' '.join(words(text))}\0{told_by}"
        if exact in self.kept:
            return False
        trigrams = word_trigrams(text)
        group = self.groups.setdefault(digest(told_by), Group())
        signature = signature_of(trigrams) if group.index is not None else None
        candidates = group.numbers if signature is None else group.index.query(signature)
        if any(is_near_copy(trigrams, self.trigrams[number]) for number in candidates):
            return False
        self.kept.add(exact)
        self.trigrams.append(trigrams)
        group.numbers.append(len(self.trigrams) - 1)
        if signature is not None:
            group.index.insert(group.numbers[-1], signature)
        elif len(group.numbers) > FEW:
            group.index = make_index([(number, self.trigrams[number]) for number in group.numbers])
        return True


@dataclass
class Group:
    """The numbers of texts that may be copies of one another, with an index once there are more than FEW."""

    numbers: list[int] = field(default_factory=list)
    index: MinHashLSH | None = None


def make_index(numbered: list[tuple[int, set[str]]]) -> MinHashLSH:
    from datasketch import MinHashLSH

    index = MinHashLSH(num_perm=SIGNATURE_HASHES, params=(BANDS, SIGNATURE_HASHES // BANDS))
    for number, trigrams in numbered:
        index.insert(number, signature_of(trigrams))
    return index


def signature_of(trigrams: set[str]) -> MinHash:
    signature = no_signature().copy()
    signature.update_batch([trigram.encode() for trigram in trigrams])
    return signature


@cache
def no_signature() -> MinHash:
    """Of no text: to copy, since drawing its permutations takes longer than all else about a signature."""
    from datasketch import MinHash

    return MinHash(num_perm=SIGNATURE_HASHES)


class SimilarTexts:
    """Numbered texts, all known from the start, searchable for those that are as similar as `threshold` to a given one.

    With trigrams in one order for all, rarest first, two such texts have SHARED in common among the first of each, as many as
    may differ and SHARED more (prefix filtering, Chaudhuri et al. 2006; with more than one, Wang et al. 2012). Texts with a
    common phrase have so many too, and are compared only if the rest of them is long enough. None is missed.
    """

    def __init__(self, texts: Iterable[str], threshold: float):
        self.threshold, self.trigrams = threshold, [word_trigrams(text) for text in texts]
        self.sizes = list(map(len, self.trigrams))
        self.all_sizes = set(self.sizes)
        self.counts = Counter(itertools.chain(*self.trigrams))
        self.having: dict[str, list[int]] = {}
        for number, trigrams in enumerate(self.trigrams):
            for trigram in self._first(trigrams):
                self.having.setdefault(trigram, []).append(number)

    def copies_of(self, text: str) -> list[int]:
        """The numbers of the texts that are similar to this one, in order."""
        trigrams = word_trigrams(text)
        shared = Counter(itertools.chain(*(self.having.get(trigram, ()) for trigram in self._first(trigrams))))
        enough = {size: self._enough(len(trigrams), size) for size in self.all_sizes}
        candidates = sorted(number for number, count in shared.items() if count >= enough[self.sizes[number]])
        return [n for n in candidates if is_near_copy(trigrams, self.trigrams[n], self.threshold)]

    def _enough(self, some: int, others: int) -> int:
        """How many trigrams two similar texts of so many have in common among the first of each, at least.

        What else they share comes after the first of one of them, and of none there are more left than `left`.
        """
        left = max(0, max(map(self._fewest, (some, others))) - SHARED)
        shared = self.threshold / (1 + self.threshold) * (some + others)
        return max(min(SHARED, self._fewest(some)), math.ceil(shared - ROUNDING) - left)

    def _first(self, trigrams: set[str]) -> list[str]:
        ordered = sorted(trigrams, key=lambda trigram: (self.counts[trigram], trigram))
        return ordered[: len(ordered) - self._fewest(len(ordered)) + SHARED]

    def _fewest(self, trigrams: int) -> int:
        """How many of its trigrams a text has in common with any that is similar to it."""
        return math.ceil(self.threshold * trigrams)


def word_trigrams(text: str) -> set[str]:
    """The word trigrams of a text."""
    tokens = words(text)
    return {" ".join(tokens[i : i + 3]) for i in range(max(1, len(tokens) - 2))}


def is_near_copy(some: set[str], others: set[str], threshold: float = NEAR_COPY) -> bool:
    """Whether the Jaccard similarity of two sets of trigrams reaches `threshold`, so that the texts are near copies."""
    shared = len(some & others)
    return shared / (len(some) + len(others) - shared) >= threshold
