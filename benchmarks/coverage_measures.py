"""What it means that a collection covers a text: the measures of benchmarks/coverage.py, each a few lines, without a model.

Words are those of data_processor.curation (a Chinese character is one), compared by their stems, without accents.

- A *sentence* is covered if one quote holds more than half of its characters and the quote's fact has a question row.
- A *human question* is answerable if a question row of its paragraph has an answer of at most 40 words that holds the
  shortest reference (token recall of 0.8, articles and the like left out) and asks about the same thing.
- It *asks about the same thing* if at least half of the human question's content words stand in the row's question, in
  its fact or in the quotes of that. A half separates best of the shares tried on human questions (coverage_check.py) in English, German and Russian,
  and nearly so in Chinese.
- A *span* is covered by the share of its content words that stand inside quotes of facts with a question row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

from data_processor.curation import WORD, length_in_words, words
from evaluation.reading import normal, word_set

QUOTED = 0.5  # of a sentence's characters: more than this in one quote
RECALL = 0.8  # of the reference's tokens (in an outside set of 46,246 answers this agreed with GPT-4.1 on 86 %)
LONGEST_ANSWER = 40  # words: in a longer answer nearly anything is found
SAME_THING = 0.5  # of the human question's content words
ASKS_IN_CHINESE = frozenset("什么哪几何怎吗呢")  # which words.toml leaves to the characters beside them

Span = tuple[int, int]


@dataclass(frozen=True)
class Asked:
    """A question row: what is asked, the right answer, the statement it rests on with its quotes."""

    question: str
    answer: str
    fact: str


@dataclass
class Fact:
    """A fact of a dataset: the places of its quotes in its document's text, and whether a question row asks for it."""

    spans: list[Span] = field(default_factory=list)
    quotes: list[str] = field(default_factory=list)
    is_asked: bool = False


def share(part: float, of: float) -> float | None:
    """`part` of `of` with four digits; None of nothing."""
    return round(part / of, 4) if of else None


@cache
def fillers(language: str) -> frozenset[str]:
    """The stems of words that an answer need not have: articles, prepositions, auxiliary verbs."""
    return word_set(language, "fillers")


@cache
def not_content(language: str) -> frozenset[str]:
    """The same with the words that questions are asked with."""
    return fillers(language) | word_set(language, "asks") | word_set(language, "who") | ASKS_IN_CHINESE


def tokens(text: str, language: str) -> list[str]:
    return [normal(word, language) for word in words(text)]


@lru_cache(maxsize=100_000)
def content(text: str, language: str) -> frozenset[str]:
    """The stems of the words of a text that say what it is about."""
    return frozenset(tokens(text, language)) - not_content(language)


def token_recall(reference: str, answer: str, language: str) -> float:
    """The share of the reference's tokens that the answer also has, fillers left out unless there are no others."""
    in_order = tokens(reference, language)
    wanted = Counter([token for token in in_order if token not in fillers(language)] or in_order)
    return (wanted & Counter(tokens(answer, language))).total() / max(wanted.total(), 1)


def shortest(references: Iterable[str]) -> str:
    """The reference of the fewest words; of several the first."""
    return min(references, key=lambda text: len(words(text)))


def same_thing(question: str, row: Asked, language: str, threshold: float = SAME_THING) -> bool:
    """Whether a row is about what a human question asks; never for a question without content words ("Why is that?")."""
    wanted = content(question, language)
    found = content(row.question, language) | content(row.fact, language)
    return bool(wanted) and len(wanted & found) >= threshold * len(wanted)


def holds(reference: str, row: Asked, language: str) -> bool:
    """Whether a row's answer is short enough and has the reference in it."""
    return length_in_words(row.answer) <= LONGEST_ANSWER and token_recall(reference, row.answer, language) >= RECALL


def answerable(question: str, references: Sequence[str], rows: Iterable[Asked], language: str) -> bool:
    """Whether one of the question rows teaches what a human question asks for."""
    reference = shortest(references)
    return any(same_thing(question, row, language) and holds(reference, row, language) for row in rows)


def overlap(one: Span, other: Span) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def covered(sentence: Span, facts: Iterable[Fact]) -> bool:
    """Whether one quote of a fact that is asked for holds more than half of a sentence."""
    length = sentence[1] - sentence[0]
    return any(overlap(sentence, span) > QUOTED * length for fact in facts if fact.is_asked for span in fact.spans)


def words_quoted(text: str, span: Span, facts: Iterable[Fact], language: str) -> tuple[int, int]:
    """Of the content words in a span of a text, how many stand inside quotes of facts that are asked for; and all of them.

    All words count where a span has no content words.
    """
    found = [(span[0] + match.start(), span[0] + match.end()) for match in WORD.finditer(text[slice(*span)])]
    meant = [place for place in found if content(text[slice(*place)], language)] or found
    quotes = [quote for fact in facts if fact.is_asked for quote in fact.spans]
    inside = [place for place in meant if any(start <= place[0] and place[1] <= end for start, end in quotes)]
    return len(inside), len(meant)
