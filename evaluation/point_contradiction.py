"""Whether a response that says every point of a long answer contradicts the answer all the same.

    points = ["every access is logged"]
    contradicts(points, "Every access is logged.", "Because access is not logged at all.", "Why?", "en")    # True

A long response says more than its points, so only what speaks of a point counts: a negation in the same piece of a sentence
that the reference has not there, or lacks though the reference has it; an "or" right beside it; the opposite of one of its
words. Then another number where the reference has one, and another answer to a yes/no question. In languages without words
in words.toml nothing is found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from evaluation.contradiction import (
    AND,
    CLAUSE,
    SENTENCE,
    matching_clauses,
    says_yes,
    split_yes_or_no,
    swapped,
    turned_round,
)
from evaluation.quantities import WORDED, words_of
from evaluation.reading import Reading, has_any, read, same_quantity, simplified, word_set

SENTENCE_AFTER_NUMBER = r"(?<=\d{3}[.!?])\s+"  # "... in 1990. It was"; a shorter one may be a German ordinal
YEARS = range(1000, 2101)


def contradicts(points: Sequence[str], reference: str, response: str, question: str, language: str) -> bool:
    """Whether a response says otherwise than the reference what its points say."""
    if language not in WORDED:
        return False
    points = [simplified(point, language) for point in points]
    texts = tuple(simplified(text, language) for text in (reference, response, question))
    return (
        not answers_alike(*texts, language)
        or leaves_open(points, *texts, language)
        or otherwise_denied(points, *texts, language)
        or has_another_number(*texts, language)
        or swapped(*texts, language)
        or any(turned_round(point, *texts[1:], language) for point in points)
    )


def answers_alike(reference: str, response: str, question: str, language: str) -> bool:
    """Whether a response answers yes or no as the reference does, if that begins with one of them.

    A response that begins with neither is also right if it reads as what the reference says after its yes or no.
    """
    verdict, more = split_yes_or_no(reference, language)
    if verdict is None:
        return True
    answered = says_yes(response, question, language)
    begins_with_neither = split_yes_or_no(response, language)[0] is None
    return answered == verdict or (
        begins_with_neither and bool(more) and answered == says_yes(more, question, language)
    )


def leaves_open(points: list[str], reference: str, response: str, question: str, language: str) -> bool:
    """Whether a response names candidates, or another beside a point with an "or" that is in neither reference nor question."""
    words = words_of(language)
    for word in words["or"].split():
        joint = re.compile(word if language == "zh" else rf"\s{word}\s")
        if joint.search(f" {question} {reference} "):
            return False
        for sentence in SENTENCE.split(response):
            if words["hedges"] and re.search(words["hedges"], sentence) and not re.search(words["hedges"], reference):
                return True
            for clause in filter(None, CLAUSE.split(sentence)):
                sides = pairwise(joint.split(clause))
                if any(stands_beside(point, *pair, language) for pair in sides for point in points):
                    return True
    return False


def stands_beside(point: str, before: str, after: str, language: str) -> bool:
    """Whether what is right before a word such as "or", or right after it, is a point, or the number in it."""
    if language == "zh":
        near = (before[-len(point) - 1 :], after[: len(point) + 1])
    else:
        length = len(point.split()) + 1
        near = (" ".join(before.split()[-length:]), " ".join(after.split()[:length]))
    wanted = read(point, language)
    is_number = bool(wanted.quantities or wanted.labels)
    words = set() if is_number else set(wanted.words) - word_set(language, "fillers")

    def is_point(found: Reading) -> bool:
        return (
            words <= set(found.words)
            and set(wanted.labels) <= set(found.labels)
            and all(any(same_quantity(one, other) for other in found.quantities) for one in wanted.quantities)
        )

    return any(is_point(read(text, language)) for text in near)


@cache
def borders(language: str) -> re.Pattern:
    """Where a text is cut into pieces so small that a negation in one of them seldom speaks of another."""
    words = words_of(language)
    openings = "|".join(map(re.escape, f"{words['conditions']} {words['openings']}".split()))
    openings = openings if language == "zh" else rf"\b(?=(?:{openings})\b)"
    return re.compile(f"{SENTENCE.pattern}|{SENTENCE_AFTER_NUMBER}|{CLAUSE.pattern}|{AND}|{openings}")


@cache
def negations(language: str) -> re.Pattern:
    """What denies or forbids something, as has_any finds it."""
    words = words_of(language)
    forbids = words["forbids"].split()
    if language != "zh":
        forbids = [rf"(?<!\w){word}" + ("" if len(word) > 3 else r"(?!\w)") for word in forbids]
    return re.compile("|".join([words["denies"], *forbids]))


def otherwise_denied(points: list[str], reference: str, response: str, question: str, language: str) -> bool:
    """Whether a response denies a point that the reference states, or states one that the reference denies."""
    if has_any(question, words_of(language)["forbids"].split(), language) and not negations(language).search(reference):
        return False  # what is forbidden, one must not
    reference, response = (split_yes_or_no(text, language)[1] for text in (reference, response))
    return denials(points, response, language) != denials(points, reference, language)


def denials(points: list[str], text: str, language: str) -> dict[str, bool]:
    """For each point whether a negation stands in all pieces of a text that say most of it; another point's own do not count."""
    pieces = {point: matching_clauses(point, text, language, borders(language)) for point in points}

    def is_denied(point: str, piece: str) -> bool:
        others = [other for other in pieces if other != point and piece in pieces[other]]
        return len(negations(language).findall(piece)) > sum(
            len(negations(language).findall(other)) for other in others
        )

    return {point: bool(found) and all(is_denied(point, piece) for piece in found) for point, found in pieces.items()}


def has_another_number(reference: str, response: str, question: str, language: str) -> bool:
    """Whether a response lacks an amount, year, date or time of the reference and has another one of its kind.

    One that the question has is no other. Counts without a unit are compared in points only.
    """
    wanted, found, asked = (numbers_by_kind(read(text, language)) for text in (reference, response, question))
    return any(
        values - found.get(kind, set()) and found.get(kind, set()) - values - asked.get(kind, set())
        for kind, values in wanted.items()
    )


def numbers_by_kind(reading: Reading) -> dict[str, set]:
    """The amounts of a text by what they are measured in, its years, months, weekdays and times of day."""
    kinds: dict[str, set] = {}
    for one in reading.quantities:
        if one.unit or one.written in YEARS:
            kinds.setdefault(one.unit or "year", set()).add(one.value)
    for label in reading.labels:
        kinds.setdefault("time" if ":" in label else label.partition("#")[0], set()).add(label)
    return kinds
