"""Pairs of a question and a short answer from a fact, and the checks they must pass to be kept.

Whatever can be checked by rule is (curation.py), and rejections are counted by reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from data_processor.curation import (
    MAX_ANSWER_WORDS,
    contains,
    content_words,
    find_spans,
    is_supported,
    length_in_words,
    words,
)
from data_processor.facts import Fact
from data_processor.prompts import Prompts
from data_processor.work import Work, check_entailment

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


@dataclass
class Pair:
    """A question with a short answer from its fact.

    `made_by` is its origin: model, role (the model, as someone in a role would ask), unknown, gap (a cloze question made
    by rule), or the name of another rule.
    """

    question: str
    answer: str
    fact: Fact
    made_by: str
    role: str = ""

    @property
    def answer_kind(self) -> str:
        """date, year, time, number, name, code or quoted; "" if the answer is none of these."""
        text, chunk = self.fact.text, self.fact.chunk.text
        return next((kind for start, end, kind in find_spans(text, chunk) if text[start:end] == self.answer), "")

    @property
    def kind(self) -> str:
        """qa; reverse if the answer is the subject of the fact; unknown if there is no answer."""
        if self.made_by == "unknown":
            return "unknown"
        subject = self.fact.subject
        return "reverse" if contains(subject, self.answer) or contains(self.answer, subject) else "qa"


def prompts_for(work: Work, fact: Fact) -> Prompts:
    return work.prompts[fact.chunk.language]


def normalize_answer(answer: str) -> str:
    return " ".join(words(answer))


def with_subject(question: str, fact: Fact, answer: str, prompts: Prompts) -> str:
    """The question, prefixed with its subject unless it already names the subject or asks for it."""
    if prompts.language == "zh":
        is_named = contains(question, fact.subject)
    else:
        is_named = bool(set(words(fact.subject)) & set(words(question)))
    if not fact.subject or is_named or contains(fact.subject, answer):
        return question[0].upper() + question[1:]
    return prompts.about_prefix.format(subject=fact.subject, question=question)


def question_problem(pair: Pair) -> str | None:
    """Why a pair cannot be kept, or None. These are cheap rules; `verify_pairs` adds the model's own check."""
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


def verify_pairs(work: Work, step: str, pairs: list[Pair]) -> list[Pair]:
    """The pairs that pass the rules and whose question, asked alongside the fact, leads the model back to the answer.

    This is round-trip consistency (Alberti et al. 2019). Near copies of a question are dropped.
    """
    candidates, kept_texts = [], work.kept_texts[step]
    for pair in pairs:
        reason = question_problem(pair)
        reason = reason or (None if kept_texts.is_new(pair.question) else "near copy")
        if reason:
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer)
        else:
            candidates.append(pair)
    replies = work.ask(
        f"{step}, check",
        [
            prompts_for(work, pair.fact).conversation("check", fact=pair.fact.text, question=pair.question)
            for pair in candidates
        ],
        32,
        schemas=[{"enum": possible_answers(pair.fact, pair.answer)} for pair in candidates],
    )
    kept = []
    for pair, reply in zip(candidates, replies, strict=True):
        if reply is not None and normalize_answer(reply) == normalize_answer(pair.answer):
            pair.question = with_subject(pair.question, pair.fact, pair.answer, prompts_for(work, pair.fact))
            kept.append(pair)
        else:
            reason = "the question does not lead back to its answer"
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer, read=reply)
    return keep_entailed(work, step, kept) if work.llm_check else kept


def keep_entailed(work: Work, step: str, pairs: list[Pair]) -> list[Pair]:
    """The pairs whose question and answer together follow from the fact, according to the model."""
    claims = [(pair.fact.chunk, pair.fact.text, f"{pair.question} {pair.answer}") for pair in pairs]
    kept = []
    for pair, follows in zip(pairs, check_entailment(work, f"{step}, entailed", claims), strict=True):
        if follows:
            kept.append(pair)
        else:
            reason = "the model finds that it does not follow"
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer)
    return kept


def possible_answers(fact: Fact, *others: str) -> list[str]:
    """The answers that a fact offers, its names, dates and numbers, and then the `others`."""
    answers = [fact.text[start:end] for start, end, _ in find_spans(fact.text, fact.chunk.text)]
    return list(dict.fromkeys([*answers, *others]))
