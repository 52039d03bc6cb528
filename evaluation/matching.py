"""Whether an answer says what a reference says, by words and numbers: without a model, and the same on every machine.

    grade("84.6 million euros", "It was €84.6 million.")    # ("correct", "token recall 1.00")

A long answer is compared by its points, the phrases that any right answer must say, and not by all of its words. English
is compared in english.py; other languages, which have their own numbers, words and inflection, in comparison.py. An answer
is "correct", "incorrect" or "not attempted", the three classes of SimpleQA (Wei et al. 2024, arXiv 2411.04368).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from data_processor.languages import ENGLISH, identify_all, texts_of_rows
from data_processor.prompts import load_prompts
from engines.thoughts import without_thoughts
from evaluation import comparison, english
from evaluation.answer_language import answer_language
from evaluation.contradiction import split_yes_or_no
from evaluation.point_contradiction import contradicts
from evaluation.quantities import WORDED, with_plain_numbers, words_of
from evaluation.tokens import SYMBOLS, YEAR_FIRST, has_tokens, places, stands_in, token_recall, tokens

CORRECT, INCORRECT, NOT_ATTEMPTED = "correct", "incorrect", "not attempted"
UNANSWERABLE = "unknown"  # the kind of questions whose right answer is that it is not known

NOT = r"(?:\s?not|n'?t|'t)"
UNKNOWN = re.compile(  # phrases that say the answer is not known, in English or Chinese
    rf"""\b(?:(?:do|does|did){NOT}\s(?:\w+\s)?(?:know|say|state|mention|specify|have\s(?:\w+\s){{0,3}}(?:information|records?|data|answers?|details?))
    |(?:text|document|passage|article|context|source|page)s?\s(?:do|does|did){NOT}\s(?:\w+\s)?(?:include|tell|provide|contain|give|reveal|address|indicate)
    |(?:can|could){NOT}\s(?:\w+\s)?(?:answer|say|tell|find|determine|confirm|provide|verify|recall|be\s(?:answered|determined|known|found|confirmed|verified|established))
    |(?:(?:am|are|is|was|were){NOT}|i'?m\snot|ha(?:s|ve|d){NOT}\sbeen)\s(?:\w+\s)?(?:known|certain|sure|mentioned|stated|specified|given|recorded
        |documented|announced|disclosed|available|aware|familiar|provided|included|described|indicated)
    |unable\sto\s(?:\w+\s)?(?:answer|say|find|determine|confirm|provide|verify)|have\sno\sidea
    |impossible\sto\s(?:answer|say|tell|know|determine)|(?:nobody|no\sone)\sknows|(?:am|'m)\s(?:not\saware|unaware)
    |(?:is|are|remains?)\s(?:still\s)?(?:unknown|unclear|undisclosed|unspecified)
    |(?:no|not\sany|not\senough|insufficient)\s(?:\w+\s)?(?:information|records?|data|details?|evidence|mention)
    |^unknown$|^n/a$|^not\sapplicable$|^not\s(?:known|stated|mentioned|given|specified|available))\b
    |不知道|不清楚|不确定|未知|未提及|没有(?:提及|相关|足够)|无法(?:回答|确定|得知|提供)|无从得知""",
    re.VERBOSE,
)


APOLOGY = re.compile(r"^(?:i(?:'m|\sam)\s)?(?:very\s|so\s)?(?:sorry|apologies)\s*[.!,:]\s*(?=\S)")


def match(
    reference: str, response: str, question: str = "", language: str = ENGLISH, points: Sequence[str] = ()
) -> bool:
    """Whether the response has all numbers and nearly all words of the reference, in any order and among any others.

    With `points`, whether it says each of them so, in any order, and contradicts neither them nor the reference.
    `language` is that of all the answers, for an answer whose own cannot be told.
    """
    language = answer_language(question, reference, response, language)
    if points:
        found, needed = count_points(points, reference, response, question, language)
        return found == needed and not contradicts(
            needed_points(points, question), reference, response, question, language
        )
    if not response.strip() or language not in WORDED:
        return has_words(reference, response, language)
    answers_yes_or_no = split_yes_or_no(reference, language)[0] is not None
    if answers_yes_or_no and says_unknown(response) and split_yes_or_no(response, language)[0] is None:
        return False  # "I do not know" is no "no"
    if language == ENGLISH:
        return english.same_answer(reference, response, question)
    return comparison.same_answer(reference, response, question, language)


def has_words(reference: str, response: str, language: str) -> bool:
    """Whether a response in a language that is compared by tokens has what the reference says."""
    if language == ENGLISH:
        return english.has_same(reference, response)
    if has_tokens(reference, response) or has_tokens(reference, response, YEAR_FIRST):
        return True
    if language in ("ja", "ko"):  # their numbers are read as tokens
        return False
    return has_tokens(with_plain_numbers(reference, language), with_plain_numbers(response, language))


def needed_points(points: Sequence[str], question: str) -> list[str]:
    """The points that an answer must say: those that the question itself does not say, or all if it says all."""
    return [point for point in points if not stands_in(point, question)] or list(points)


def count_points(
    points: Sequence[str], reference: str, response: str, question: str = "", language: str = ENGLISH
) -> tuple[int, int]:
    """How many points a response says, be they denied or not, and how many it must."""
    language, needed = answer_language(question, reference, response, language), needed_points(points, question)

    def is_said(point: str) -> bool:
        if stands_in(point, response):  # even if rules read it otherwise than in its sentence: "April" of "16 April"
            return True
        if language == ENGLISH or language not in WORDED:
            return has_words(point, response, language)
        if language == "zh":
            point = comparison.without_article(point, response, question)
        return comparison.has_content(point, response, question, language)

    return sum(map(is_said, needed)) if response.strip() else 0, len(needed)


def points_of(row: dict) -> list[str]:
    """The points of a question; one that has no answer has none."""
    return [] if row.get("kind") == UNANSWERABLE else list(row.get("points") or [])


def count_points_of_row(row: dict, language: str = ENGLISH) -> tuple[int, int]:
    """The same two counts for a row of answers, whose thoughts do not count."""
    response = without_thoughts(row["response"])[0]
    return count_points(points_of(row), row["reference"], response, row.get("question") or "", language)


@cache
def phrases(key: str) -> re.Pattern:
    """The regular expressions under a key of words.toml, of all languages."""
    found = [words_of(language)[key] for language in WORDED]
    return re.compile("|".join(phrase for one in found for phrase in ([one] if isinstance(one, str) else one)))


@cache
def further_refusals() -> list[list[str]]:
    """The tokens of what collection has a model say of what is not known, in languages that words.toml has no words of."""
    words = load_prompts()[ENGLISH].other_words
    return [tokens(text) for one in words if one not in WORDED for text in words[one]["unknown_answers"]]


def says_unknown(response: str) -> bool:
    """Whether the response is empty, or says in its first sentence that the answer is not known, and does not give one after a "but"."""
    text = unicodedata.normalize("NFKC", response).casefold().translate(SYMBOLS).replace("*", "").strip()
    text = APOLOGY.sub("", text)
    first = re.split(r"(?<=[.!?。！？])\s|(?<=[。！？])|\n", text)[0].strip(" .!\"'_`")
    if not first:
        return True
    ends = [found.end() for found in (UNKNOWN.search(first), phrases("refusals").search(first)) if found]
    but = phrases("but").search(first, min(ends)) if ends else None
    if not ends:
        found = tokens(first)
        return any(places(refusal, found) for refusal in further_refusals())
    return but is None or says_unknown(first[but.end() :])


def refuses(response: str, reference: str = "") -> bool:
    """Whether a response says, and not by silence, that the answer is not known: as the reference of such a question does, or otherwise."""
    return bool(response.strip()) and (says_unknown(response) or (bool(reference) and stands_in(reference, response)))


def grade(
    reference: str,
    response: str,
    kind: str | None = None,
    question: str = "",
    language: str = ENGLISH,
    points: Sequence[str] = (),
) -> tuple[str, str]:
    """One of the three classes for a response, and why. For an unanswerable question, saying so is correct.

    Thoughts are not graded; a response that was cut off in them says nothing.
    """
    response = without_thoughts(response)[0]
    unknown = says_unknown(response)
    if kind == UNANSWERABLE:
        if not response.strip():
            return NOT_ATTEMPTED, "says nothing"
        return (CORRECT, "says that it is not known") if refuses(response, reference) else (INCORRECT, "claims to know")
    is_right = match(reference, response, question, language, points)
    verdict = CORRECT if is_right else NOT_ATTEMPTED if unknown else INCORRECT
    if not points:
        return verdict, f"token recall {token_recall(reference, response):.2f}"
    found, needed = count_points(points, reference, response, question, language)
    contradicted = ", but contradicts the reference" if found == needed and not is_right else ""
    return verdict, f"says {found} of {needed} points{contradicted}"


def grade_row(row: dict, language: str = ENGLISH) -> tuple[str, str]:
    """The same for a row of answers: its "reference", "response", "kind", "question" and "points"."""
    texts = (row["reference"], row["response"], row.get("kind"), row.get("question") or "")
    return grade(*texts, language, points_of(row))


def language_of_rows(rows: list[dict]) -> str:
    """The language of most of the questions of a file of answers."""
    return identify_all(texts_of_rows(rows))
