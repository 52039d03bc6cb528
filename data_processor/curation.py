"""Checks that a generator's output must pass before it is trained on: strings, numbers, and no near copies.

A model invents names, mixes up dates and repeats itself. Nothing here asks a model; each check is a rule that a
reader can follow, and drops are counted by reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasketch import MinHash

NEAR_COPY = 0.85  # Jaccard similarity of word trigrams at which two texts count as the same
SIGNATURE_HASHES = 128  # in a MinHash signature
MAX_ANSWER_WORDS = 8  # short answers are learnt far better (arXiv 2607.21861)
CHARACTERS_PER_WORD = 2.5  # roughly, in Chinese

MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = rf"\d{{1,2}} (?:{MONTHS})(?: \d{{4}})?|(?:{MONTHS}) \d{{1,2}}, \d{{4}}|(?:{MONTHS})(?: \d{{4}})?|\d{{4}}年(?:\d+月(?:\d+日)?)?|\d+月\d+日"
NUMBER = r"(?:\d[\d.,]*\d(?:-\d+)?|\d)(?:s|st|nd|rd|th)?"
NAME_CHARACTER = r"(?:[^\W一-鿿]|['’-])"  # a Chinese character is a word of its own
NAME = rf"[A-Z]{NAME_CHARACTER}*(?:(?: of(?: the)?| de| van| von)? [A-Z]{NAME_CHARACTER}*| \d+(?:\.\d+)+)*"
QUOTED = r"[\"“][^\"“”]{2,60}[\"”]|《[^》]+》"
UNIT = r"(?: (?:million|billion|thousand|hundred))?(?: (?:percent|per cent|degrees?(?: Celsius)?|[a-z]+s\b|[mk]m\b|kg\b)|[万亿千百]*(?:美元|欧元|英镑|公里|公斤|平方米|[元人名个位件座岁天次米吨年])|[万亿千百]+)?"
SPAN = re.compile(
    rf"(?P<quoted>{QUOTED})|(?P<date>{DATE})|(?P<number>(?<![^\W一-鿿])(?:{NUMBER})%?{UNIT})|(?P<name>{NAME})"
)
LETTER = r"[^\W\d_一-鿿]"
WORD = re.compile(rf"[一-鿿]|{LETTER}+(?:['’]{LETTER}+)?|(?:\d[\d.,]*\d|\d){LETTER}*")
FUNCTION_WORDS = frozenset(
    "a an the of in on at to for and or but by with from as is was were are be been being has have had do does did that which who whom "
    "whose what when where why how many much it its this these those they them their there he she his her him we our you your i not no "
    "than more most so then also only any all into up out over about after before since until during between per will would can could".split()
)


def normalize(text: str) -> str:
    """The text with case and typography folded, for comparisons."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("–", "-")


def words(text: str) -> list[str]:
    """Words and numbers in order, normalized; a Chinese character counts as a word."""
    return [word.replace(",", "") if word[0].isdigit() else word for word in WORD.findall(normalize(text))]


def content_words(text: str) -> list[str]:
    return [word for word in words(text) if word not in FUNCTION_WORDS]


def find_spans(text: str, context: str = "") -> list[tuple[int, int, str]]:
    """What a question can ask for, as (start, end, kind), where kind is quoted, date, year, number or name.

    A single capitalised word at the start of a sentence is a name only if a comma follows, or if `context` (the chunk)
    has it capitalised inside a sentence too.
    """
    spans = []
    position = 0
    while match := SPAN.search(text, position):
        start, end, kind = match.start(), match.end(), match.lastgroup
        position = end
        if kind == "quoted":
            start, end = start + 1, end - 1
            end -= text[end - 1] in ",."
        elif kind == "name" and starts_sentence(text, start):
            first_word = text[start:end].split(" ")[0]
            if first_word.lower() in FUNCTION_WORDS:  # "On May 3, 1990": search what follows again, for a date
                position = start + len(first_word)
                continue
            if (
                first_word == text[start:end]
                and text[end : end + 1] != ","
                and not inside_sentence(first_word, context)
            ):
                continue
        if kind == "number" and re.fullmatch(r"(19|20)\d\d", text[start:end]):
            kind = "year"
        if not re.match(LETTER, text[end : end + 1]):
            spans.append((start, end, kind))
    return spans


def starts_sentence(text: str, position: int) -> bool:
    before = text[:position].rstrip(" \"“'(")
    return not before or before[-1] in ".!?:\n"


def inside_sentence(word: str, text: str) -> bool:
    return any(not starts_sentence(text, match.start()) for match in re.finditer(rf"\b{re.escape(word)}\b", text))


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
    protected.update(word for word in words(text) if word[0].isdigit())
    return protected


def is_supported(text: str, source: str) -> bool:
    """Whether every name and number in `text` also occurs in `source`."""
    return names_and_numbers(text) <= set(words(source))


def contains(text: str, part: str) -> bool:
    """Whether `part` occurs in `text` as consecutive whole words."""
    haystack, needle = words(text), words(part)
    return bool(needle) and any(haystack[i : i + len(needle)] == needle for i in range(len(haystack) - len(needle) + 1))


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
        from datasketch import MinHashLSH

        bands = 32 if threshold >= NEAR_COPY else 64
        self.threshold = threshold
        self.index = MinHashLSH(num_perm=SIGNATURE_HASHES, params=(bands, SIGNATURE_HASHES // bands))
        self.trigrams: list[set[str]] = []

    def add(self, text: str) -> None:
        """Remember a text under the next number, from 0."""
        self._insert(*trigrams_and_signature(text))

    def copies_of(self, text: str) -> list[int]:
        """The numbers of the remembered texts that are near copies of this one, in order."""
        return self._find(*trigrams_and_signature(text))

    def is_new(self, text: str) -> bool:
        """Whether no remembered text is a near copy of this one; if so, remember it."""
        query = trigrams_and_signature(text)
        if self._find(*query):
            return False
        self._insert(*query)
        return True

    def _insert(self, trigrams: set[str], signature: MinHash) -> None:
        self.index.insert(len(self.trigrams), signature)
        self.trigrams.append(trigrams)

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
