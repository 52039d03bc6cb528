"""What a generator's output must satisfy before it is trained on: string and number checks, and no near copies.

A small model invents names, mixes up dates and repeats itself. Nothing here asks a model; each check is a rule that a
reader can follow, and each drop has a reason that is counted.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

NEAR_COPY = 0.85  # Jaccard similarity of word trigrams above which two texts count as one
LONGEST_ANSWER = 8  # words; short answers are learnt far better (arXiv 2607.21861)

MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = rf"\d{{1,2}} (?:{MONTHS})(?: \d{{4}})?|(?:{MONTHS}) \d{{1,2}}, \d{{4}}|(?:{MONTHS})(?: \d{{4}})?|\d{{4}}年(?:\d+月(?:\d+日)?)?"
NUMBER = r"\d[\d.,]*\d(?:-\d+)?|\d"
NAME = r"[A-Z][\w'’-]*(?:(?: of(?: the)?| de| van| von)? [A-Z][\w'’-]*| \d+(?:\.\d+)+)*"
QUOTED = r"[\"“][^\"“”]{2,60}[\"”]|《[^》]+》"
UNIT = (
    r"(?: (?:million|billion|thousand|hundred))?(?: (?:percent|per cent|degrees?(?: Celsius)?|[a-z]+s\b|[mk]m\b|kg\b))?"
)
SPAN = re.compile(rf"(?P<quoted>{QUOTED})|(?P<date>{DATE})|(?P<number>(?:{NUMBER})%?{UNIT})|(?P<name>{NAME})")
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d[\d.,]*\d|\d|[一-鿿]")
FUNCTION_WORDS = frozenset(
    "a an the of in on at to for and or but by with from as is was were are be been being has have had do does did that which who whom "
    "whose what when where why how many much it its this these those they them their there he she his her him we our you your i not no "
    "than more most so then also only any all into up out over about after before since until during between per will would can could".split()
)


def normal(text: str) -> str:
    """Case and typography folded: what two texts are compared by."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("–", "-")


def words(text: str) -> list[str]:
    """Words and numbers in order, folded; a Chinese character counts as a word."""
    return [word.replace(",", "") if word[0].isdigit() else word for word in WORD.findall(normal(text))]


def content_words(text: str) -> list[str]:
    return [word for word in words(text) if word not in FUNCTION_WORDS]


def spans(text: str, context: str = "") -> list[tuple[int, int, str]]:
    """What a question can ask for: (start, end, kind), kind one of quoted, date, year, number, name.

    A single capitalised word that starts a sentence is a name only where a comma follows it or `context` (the chunk)
    has it capitalised inside a sentence too.
    """
    found = []
    for match in SPAN.finditer(text):
        start, end, kind = match.start(), match.end(), match.lastgroup
        if kind == "quoted":
            start, end = start + 1, end - 1
            end -= text[end - 1] in ",."
        elif kind == "name" and starts_sentence(text, start):
            first = text[start:end].split(" ")[0]
            if first.lower() in FUNCTION_WORDS:
                start += len(first) + 1
            elif first == text[start:end] and text[end : end + 1] != "," and not inside_sentence(first, context):
                continue
        if kind == "number" and re.fullmatch(r"(19|20)\d\d", text[start:end]):
            kind = "year"
        if start < end and not text[end : end + 2].isalpha():
            found.append((start, end, kind))
    return found


def starts_sentence(text: str, position: int) -> bool:
    before = text[:position].rstrip(" \"“'(")
    return not before or before[-1] in ".!?:\n"


def inside_sentence(word: str, text: str) -> bool:
    return any(not starts_sentence(text, match.start()) for match in re.finditer(rf"\b{re.escape(word)}\b", text))


def subject_of(title: str, text: str) -> str:
    """The name a chunk is about: of the title's names, else of the text's, the one whose words occur most often."""
    counts = Counter(words(text))
    for source in (title, text):
        names = [source[start:end] for start, end, kind in spans(source, text) if kind == "name"]
        if names:
            return max(
                names, key=lambda name: (sum(counts[word] for word in words(name)) / len(words(name)), len(name))
            )
    return ""


def names_and_numbers(text: str) -> set[str]:
    """The words of a text that must not be invented: those of names, and numbers."""
    found: set[str] = set()
    for start, end, kind in spans(text):
        if kind != "name" or not (starts_sentence(text, start) and " " not in text[start:end]):
            found.update(word for word in words(text[start:end]) if word not in FUNCTION_WORDS)
    found.update(word for word in words(text) if word[0].isdigit())
    return found


def supported(text: str, source: str) -> bool:
    """Whether every name and number of `text` stands in `source`."""
    return names_and_numbers(text) <= set(words(source))


def copied_in_order(text: str, quote: str, subject: str) -> bool:
    """Whether the content words of `text` follow those of `quote` in the same order, the subject's words apart.

    Strict enough to catch a small model that gives one person's deed to another.
    """
    allowed = set(words(subject))
    source = iter(content_words(quote))
    own = [word for word in content_words(text) if word not in allowed]
    return len(own) >= 2 and all(word in source for word in own)


def contains(text: str, part: str) -> bool:
    """Whether `part` stands in `text` as whole words, in order, together."""
    haystack, needle = words(text), words(part)
    return bool(needle) and any(haystack[i : i + len(needle)] == needle for i in range(len(haystack) - len(needle) + 1))


class NearCopies:
    """Texts seen so far; a text whose word trigrams are nearly those of an earlier one is a copy."""

    def __init__(self) -> None:
        self.seen: list[set[tuple[str, ...]]] = []

    def is_new(self, text: str) -> bool:
        """Remember `text` and say whether it is new."""
        own = shingles(text)
        if any(alike(own, other) for other in self.seen):
            return False
        self.seen.append(own)
        return True


def shingles(text: str) -> set[tuple[str, ...]]:
    """The word trigrams of a text (Broder 1997)."""
    tokens = words(text)
    return {tuple(tokens[i : i + 3]) for i in range(max(1, len(tokens) - 2))}


def alike(some: set[tuple[str, ...]], others: set[tuple[str, ...]], least: float = NEAR_COPY) -> bool:
    """Whether two sets of trigrams overlap by `least` (Jaccard), so that one text is a near copy of the other."""
    return len(some & others) / len(some | others) >= least
