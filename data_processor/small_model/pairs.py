"""The rules that a question with a short answer must pass to be kept, and the subject put before it."""

from __future__ import annotations

import re

from data_processor.curation import (
    MAX_ANSWER_WORDS,
    contains,
    content_words,
    is_supported,
    length_in_words,
    names_and_numbers,
    words,
)
from data_processor.pairs import Fact, Pair
from data_processor.prompts import Prompts

# By language, a pattern and the kinds of answer that a matching question asks for; the first match wins. A question whose
# answer is of another kind is dropped ("" is an answer of no known kind).
ANSWER_KINDS_BY_QUESTION = {
    "en": (
        (r"\b(?:when|what date|which date|what day|which day|on what|which month|what month|what time)\b", "date", "year", "time", "quoted", ""),
        (r"\b(?:what year|which year)\b", "year", "date"),
        (r"\bhow (?:many|much|long|old|far|high|deep|large|big|tall|fast|warm|cold|hot|often)\b", "number", ""),
        (r"\b(?:what|which) (?:is|was|are|were) the (?:\w+ )?(?:number|price|cost|amount|sum|age|height|depth|length|size)\b", "number", "code", ""),
        (r"\b(?:who|whom|whose|where)\b", "name", "quoted", "code", ""),
        (r"\b(?:what|which) (?:is|was) the (?:\w+ )?name\b", "name", "quoted", ""),
    ),
    "zh": (
        (r"(?:什么时候|何时|哪一?天|几月|哪个?月|什么日期|几点)", "date", "year", "time", "quoted", ""),
        (r"(?:哪一?年|何年)", "year", "date"),
        (r"(?:多少|几[个人年天次岁名位件座]|多[长高深大远久重宽])", "number", ""),
        (r"(?:谁|哪位|何人|哪里|何处|哪儿)", "name", "quoted", "code", ""),
    ),
}  # fmt: skip


def with_subject(question: str, fact: Fact, answer: str, prompts: Prompts) -> str:
    """The question, prefixed with its subject unless it already names the subject or asks for it.

    A subject that is only the most frequent name of its text is left out if the question has a name or number of its own.
    """
    if prompts.language == "zh":
        is_named = contains(question, fact.subject)
    else:
        is_named = bool(set(words(fact.subject)) & set(words(question)))
    is_guess = prompts.language != "zh" and not contains(fact.chunk.title, fact.subject)
    is_clear = is_guess and bool(names_and_numbers(question))
    if not fact.subject or is_named or is_clear or contains(fact.subject, answer):
        return question[0].upper() + question[1:]
    return prompts.table["words"]["about_prefix"].format(subject=fact.subject, question=question)


def question_problem(pair: Pair) -> str | None:
    """Why a pair cannot be kept, or None."""
    chunk = pair.fact.chunk
    if not pair.question.endswith(("?", "？")):
        return "not a question"
    if not pair.answer or length_in_words(pair.answer) > MAX_ANSWER_WORDS:
        return "answer empty or long"
    if not contains(pair.fact.text, pair.answer):
        return "answer not in its fact"
    if contains(pair.question, pair.answer):
        return "answer in the question"
    if not is_supported(pair.question, f"{chunk.title} {chunk.text}"):
        return "a name or number that the chunk does not have"
    if not fits_answer(pair.question, pair.answer_kind, chunk.language):
        return "asks for another kind of answer"
    shared = set(content_words(pair.question)) & set(content_words(f"{pair.fact.text} {pair.fact.subject}"))
    if len(shared) < 2:
        return "shares no words with its fact"
    return None


def fits_answer(question: str, kind: str, language: str) -> bool:
    """Whether the question word suits the kind of answer; a question without a known one always passes."""
    for pattern, *kinds in ANSWER_KINDS_BY_QUESTION.get(language, ()):
        if re.search(pattern, question, re.IGNORECASE):
            return kind in kinds
    return True
