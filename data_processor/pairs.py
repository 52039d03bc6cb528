"""Pairs of a question and a short answer from a fact, and what they must satisfy to be kept.

What can be said by rule is checked by rule (curation.py); every refusal is counted under its reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from data_processor.curation import (
    LONGEST_ANSWER,
    contains,
    content_words,
    length_in_words,
    spans,
    supported,
    words,
)
from data_processor.facts import Fact
from data_processor.prompts import Prompts
from data_processor.work import Work, entailed


@dataclass
class Pair:
    """A question with a short answer from its fact; `made` says how: model, role, unknown, or by rule:
    gap (a question in place), wh (in the order of questions), cleft, clues."""

    question: str
    answer: str
    fact: Fact
    made: str
    role: str = ""

    @property
    def answer_kind(self) -> str:
        """date, year, number, name, quoted; "" where the answer is none of these."""
        text, chunk = self.fact.text, self.fact.chunk.text
        return next((kind for start, end, kind in spans(text, chunk) if text[start:end] == self.answer), "")

    @property
    def kind(self) -> str:
        """qa; reverse where the answer is what the fact is about; unknown where there is none."""
        if self.made == "unknown":
            return "unknown"
        subject = self.fact.subject
        return "reverse" if contains(subject, self.answer) or contains(self.answer, subject) else "qa"


def prompts_of(work: Work, fact: Fact) -> Prompts:
    return work.prompts[fact.chunk.language]


def normal_answer(answer: str) -> str:
    return " ".join(words(answer))


def about(question: str, fact: Fact, answer: str, prompts: Prompts) -> str:
    """The question with its subject in front, if it does not name it and the subject is not what it asks for."""
    if prompts.language == "zh":
        named = contains(question, fact.subject)
    else:
        named = bool(set(words(fact.subject)) & set(words(question)))
    if not fact.subject or named or contains(fact.subject, answer):
        return question[0].upper() + question[1:]
    return prompts.about_prefix.format(subject=fact.subject, question=question)


def question_problem(pair: Pair, prompts: Prompts) -> str | None:
    """Why a pair cannot be kept, or None. Cheap checks by rule; `verified` adds the model's own."""
    chunk = pair.fact.chunk
    if not pair.question.endswith(("?", "？")):
        return "not a question"
    if not pair.answer or length_in_words(pair.answer) > LONGEST_ANSWER:
        return "answer empty or long"
    if not contains(pair.fact.text, pair.answer):
        return "answer not in its fact"
    if contains(pair.question, pair.answer):
        return "answer in the question"
    if not supported(pair.question, f"{chunk.title} {chunk.text}"):
        return "a name or number that the chunk does not have"
    if not fits_answer(pair.question, pair.answer_kind, prompts):
        return "asks for another kind of answer"
    shared = set(content_words(pair.question)) & set(content_words(f"{pair.fact.text} {pair.fact.subject}"))
    if len(shared) < 2:
        return "shares no words with its fact"
    return None


def fits_answer(question: str, kind: str, prompts: Prompts) -> bool:
    """Whether the question word suits the kind of answer; questions without one of the known words always do."""
    for pattern, *kinds in prompts.asks_for:
        if re.search(pattern, question, re.IGNORECASE):
            return kind in kinds
    return True


def verified(work: Work, step: str, pairs: list[Pair]) -> list[Pair]:
    """Pairs that pass the rules and whose question, asked beside the fact, gets the answer back from the model.

    Round-trip consistency (Alberti et al. 2019). Repeats of a question are dropped.
    """
    sound, new = [], work.said[step]
    for pair in pairs:
        reason = question_problem(pair, prompts_of(work, pair.fact))
        reason = reason or (None if new.is_new(pair.question) else "near copy")
        if reason:
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer)
        else:
            sound.append(pair)
    replies = work.ask(
        f"{step}, check",
        [
            prompts_of(work, pair.fact).conversation("check", fact=pair.fact.text, question=pair.question)
            for pair in sound
        ],
        32,
        schemas=[{"enum": answers_in(pair.fact, pair.answer)} for pair in sound],
    )
    kept = []
    for pair, reply in zip(sound, replies, strict=True):
        if reply is not None and normal_answer(reply) == normal_answer(pair.answer):
            pair.question = about(pair.question, pair.fact, pair.answer, prompts_of(work, pair.fact))
            kept.append(pair)
        else:
            reason = "the question does not lead back to its answer"
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer, read=reply)
    return entailed_pairs(work, step, kept) if work.llm_check else kept


def entailed_pairs(work: Work, step: str, pairs: list[Pair]) -> list[Pair]:
    """Pairs whose question and answer, read together, the model finds to follow from the fact."""
    claims = [(pair.fact.chunk, pair.fact.text, f"{pair.question} {pair.answer}") for pair in pairs]
    kept = []
    for pair, follows in zip(pairs, entailed(work, f"{step}, entailed", claims), strict=True):
        if follows:
            kept.append(pair)
        else:
            reason = "the model finds that it does not follow"
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer)
    return kept


def answers_in(fact: Fact, *further: str) -> list[str]:
    """What a fact offers as answers: its names, dates and numbers."""
    found = [fact.text[start:end] for start, end, _ in spans(fact.text, fact.chunk.text)]
    return list(dict.fromkeys([*found, *further]))
