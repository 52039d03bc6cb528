"""Checks that a generator's output must pass before it is trained on: strings, numbers, and no near copies.

A model invents names, mixes up dates and repeats itself. Nothing here asks a model; each check is a rule that a
reader can follow, and drops are counted by reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Set
from functools import cache
from typing import TYPE_CHECKING

from data_processor.parts import Digests
from data_processor.span_words import FUNCTION_WORDS, language_of
from data_processor.spans import find_spans, starts_sentence

if TYPE_CHECKING:
    from datasketch import MinHash

NEAR_COPY = 0.85  # Jaccard similarity of word trigrams at which two texts count as the same
SIGNATURE_HASHES = 128  # in a MinHash signature
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
    return [word.replace(",", "") for word in WORD.findall(normalize(text))]


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


@cache
def is_german_word(word: str) -> bool:
    """Whether a dictionary has a word, which is then hardly a name ("Geld")."""
    import simplemma

    return simplemma.is_known(word, lang="de")


def is_supported(text: str, source: str) -> bool:
    """Whether every name and number in `text` also occurs in `source`, in whatever case of Russian."""
    return set(map(without_ending, names_and_numbers(text))) <= set(map(without_ending, words(source)))


@cache
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
    """Numbered texts, searchable for near copies of a given one.

    MinHash signatures in bands find the candidates (Broder 1997; the datasketch library), so that time grows with the
    number of texts rather than its square; the word trigrams of each candidate are then compared exactly. With these
    bands a pair as similar as `threshold` is missed once in 10^10.
    """

    def __init__(self, threshold: float = NEAR_COPY):
        self.threshold = threshold
        self.kept = Digests()  # of all texts that were new, also of those since forgotten
        self.forget()

    def forget(self) -> None:
        """Forget the texts, so that from now on only their exact copies are found, by is_new."""
        from datasketch import MinHashLSH

        bands = 32 if self.threshold >= NEAR_COPY else 64
        self.index = MinHashLSH(num_perm=SIGNATURE_HASHES, params=(bands, SIGNATURE_HASHES // bands))
        self.trigrams: list[set[str]] = []
        self.apart: list[Collection[str]] = []  # what tells each text from another that is nearly the same

    def add(self, text: str) -> None:
        """Remember a text under the next number, from 0."""
        self._insert(*trigrams_and_signature(text), frozenset())

    def copies_of(self, text: str) -> list[int]:
        """The numbers of the remembered texts that are near copies of this one, in order."""
        return self._find(*trigrams_and_signature(text))

    def is_new(self, text: str, apart: Collection[str] = frozenset()) -> bool:
        """Whether this text is no near copy of a remembered one; if so, remember it.

        `apart` is that, such as its numbers, in which a copy has to be the same.
        """
        exact = "\0".join([" ".join(words(text)), *(sorted(apart) if isinstance(apart, Set) else apart)])
        if exact in self.kept:
            return False
        query = trigrams_and_signature(text)
        if any(self.apart[copy] == apart for copy in self._find(*query)):
            return False
        self._insert(*query, apart)
        self.kept.add(exact)
        return True

    def _insert(self, trigrams: set[str], signature: MinHash, apart: Collection[str]) -> None:
        self.index.insert(len(self.trigrams), signature)
        self.trigrams.append(trigrams)
        self.apart.append(apart)

    def _find(self, trigrams: set[str], signature: MinHash) -> list[int]:
        return [
            n for n in sorted(self.index.query(signature)) if is_near_copy(trigrams, self.trigrams[n], self.threshold)
        ]


def trigrams_and_signature(text: str) -> tuple[set[str], MinHash]:
    """The word trigrams of a text and their MinHash signature."""
    from datasketch import MinHash

    trigrams = word_trigrams(text)
    signature = MinHash(num_perm=SIGNATURE_HASHES)
    signature.update_batch([trigram.encode() for trigram in trigrams])
    return trigrams, signature


def word_trigrams(text: str) -> set[str]:
    """The word trigrams of a text."""
    tokens = words(text)
    return {" ".join(tokens[i : i + 3]) for i in range(max(1, len(tokens) - 2))}


def is_near_copy(some: set[str], others: set[str], threshold: float = NEAR_COPY) -> bool:
    """Whether the Jaccard similarity of two sets of trigrams reaches `threshold`, so that the texts are near copies."""
    return len(some & others) / len(some | others) >= threshold
