"""Questions and answers: for each fact, in several wordings, each one checked.

What can be said by rule is checked by rule (curation.py); every refusal is counted under its reason.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from data_processor import prompts
from data_processor.curation import LONGEST_ANSWER, NearCopies, contains, content_words, spans, supported, words
from data_processor.steps import Fact, Work

SHORTEST_CLAUSE = 7  # words a question in place keeps around its gap
OWN_WORDS = 0.6  # share of a question's words that a small model must take from the fact


@dataclass
class Pair:
    """A question with a short answer from its fact; `made` says how: model, gap (a question in place) or role."""

    question: str
    answer: str
    fact: Fact
    made: str
    role: str = ""

    @property
    def kind(self) -> str:
        """date, year, number, name, quoted; "" where the answer is none of these."""
        text, chunk = self.fact.text, self.fact.chunk.text
        return next((kind for start, end, kind in spans(text, chunk) if text[start:end] == self.answer), "")


def ask_questions(work: Work, facts: list[Fact], amount: int) -> list[Pair]:
    """Up to `amount` verified pairs a fact, from the model; then a question in place for what nobody asked.

    A generator held to its words (`copies_only`) is not asked for pairs, which it gets wrong, but to reword the
    questions in place, one wording for each way to begin.
    """
    if work.copies_only:
        in_place = [pair for fact in facts for pair in questions_in_place(fact)[:amount]]
        jobs = [(pair, prompts.READER, start) for pair in in_place for start in question_starts(pair)]
        return in_place + reword(work, "questions", jobs, temperature=0.0)
    item = {
        "type": "object",
        "properties": {"answer": {"type": "string", "maxLength": 80}, "question": {"type": "string", "maxLength": 200}},
        "required": ["answer", "question"],
        "additionalProperties": False,
    }
    requests = [prompts.QUESTIONS.format(subject=fact.subject, fact=fact.text, amount=amount) for fact in facts]
    replies = work.ask_json(
        "questions",
        [prompts.conversation(prompts.QUESTIONS_EXAMPLES, request) for request in requests],
        48 * amount,
        {"type": "array", "items": item, "maxItems": amount},
    )
    pairs = []
    for fact, reply in zip(facts, replies, strict=True):
        if reply == []:
            work.drop("questions", "skipped as vague", fact.text, fact)
        for found in reply or []:
            pairs.append(Pair(" ".join(found["question"].split()), found["answer"].strip(" ."), fact, "model"))
    pairs = verified(work, "questions", pairs)
    for fact in facts:
        asked = [normal_answer(pair.answer) for pair in pairs if pair.fact is fact]
        open_places = [pair for pair in questions_in_place(fact) if normal_answer(pair.answer) not in asked]
        pairs += open_places[: max(0, amount - len(asked))]
    return pairs


def normal_answer(answer: str) -> str:
    return " ".join(words(answer))


def questions_in_place(fact: Fact) -> list[Pair]:
    """A question for each name, date and number, made by asking in its place (Lewis et al. 2019, cloze questions).

    "X opened on 3 May." gives "X opened on what date?": plain, but true by construction, and a model can reword it.
    """
    pairs = []
    for start, end, kind in spans(fact.text, fact.chunk.text):
        answer = fact.text[start:end]
        left, right = clause_around(fact.text, start, end)
        unit = answer.split(" ", 1)[1] if kind == "number" and " " in answer else ""
        gap = prompts.GAP_WORDS[kind].format(unit=unit).strip()
        question = f"{left.rstrip(chr(34))}{gap}{right.lstrip(chr(34))}".strip(" ,;:.") + "?"
        part_of_subject = set(words(answer)) < set(words(fact.subject))
        if len(content_words(question)) < 2 or contains(question, answer) or part_of_subject:
            continue
        pairs.append(Pair(about(question, fact, answer), answer, fact, "gap"))
    return pairs


def clause_around(text: str, start: int, end: int) -> tuple[str, str]:
    """The text left and right of a span, as far as its clause goes, widened to SHORTEST_CLAUSE words."""
    cuts = [0, *(match.end() for match in re.finditer(r"[,;:] ", text)), len(text)]
    first = max(i for i in range(len(cuts) - 1) if cuts[i] <= start)
    last = next(i for i in range(len(cuts)) if cuts[i] >= end)
    while len((text[cuts[first] : start] + text[end : cuts[last]]).split()) < SHORTEST_CLAUSE:
        if first > 0:
            first -= 1
        elif last < len(cuts) - 1:
            last += 1
        else:
            break
    return text[cuts[first] : start], text[end : cuts[last]]


def about(question: str, fact: Fact, answer: str) -> str:
    """The question with its subject in front, if it does not name it and the subject is not what it asks for."""
    if not fact.subject or set(words(fact.subject)) & set(words(question)) or contains(fact.subject, answer):
        return question[0].upper() + question[1:]
    return prompts.ABOUT_PREFIX.format(subject=fact.subject, question=question)


def question_problem(pair: Pair, own_words_only: bool) -> str | None:
    """Why a pair cannot be kept, or None. Cheap checks by rule; `verified` adds the model's own."""
    chunk = pair.fact.chunk
    if not pair.question.endswith(("?", "？")):
        return "not a question"
    if not pair.answer or len(words(pair.answer)) > LONGEST_ANSWER:
        return "answer empty or long"
    if not contains(pair.fact.text, pair.answer):
        return "answer not in its fact"
    if contains(pair.question, pair.answer):
        return "answer in the question"
    if not supported(pair.question, f"{chunk.title} {chunk.text}"):
        return "a name or number that the chunk does not have"
    if not fits_answer(pair.question, pair.kind):
        return "asks for another kind of answer"
    shared = set(content_words(pair.question)) & set(content_words(f"{pair.fact.text} {pair.fact.subject}"))
    if len(shared) < 2:
        return "shares no words with its fact"
    if own_words_only and len(shared) < OWN_WORDS * len(set(content_words(pair.question)) - prompts.QUESTION_WORDS):
        return "strays from the words of its fact"
    return None


def fits_answer(question: str, kind: str) -> bool:
    """Whether the question word suits the kind of answer; questions without one of the known words always do."""
    for pattern, kinds in prompts.ASKS_FOR:
        if re.search(pattern, question, re.IGNORECASE):
            return kind in kinds
    return True


def verified(work: Work, step: str, pairs: list[Pair]) -> list[Pair]:
    """Pairs that pass the rules and whose question, asked beside the fact, gets the answer back from the model.

    Round-trip consistency (Alberti et al. 2019). Repeats of a question are dropped.
    """
    sound, new = [], NearCopies()
    for pair in pairs:
        reason = question_problem(pair, work.copies_only) or (None if new.is_new(pair.question) else "near copy")
        if reason:
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer)
        else:
            sound.append(pair)
    replies = work.ask(
        f"{step}, check",
        [
            prompts.conversation(
                prompts.CHECK_EXAMPLES, prompts.CHECK.format(fact=pair.fact.text, question=pair.question)
            )
            for pair in sound
        ],
        32,
        schemas=[{"enum": answers_in(pair.fact, pair.answer)} for pair in sound],
    )
    kept = []
    for pair, reply in zip(sound, replies, strict=True):
        if reply is not None and normal_answer(reply) == normal_answer(pair.answer):
            pair.question = about(pair.question, pair.fact, pair.answer)
            kept.append(pair)
        else:
            reason = "the question does not lead back to its answer"
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer, read=reply)
    return kept


def answers_in(fact: Fact, *further: str) -> list[str]:
    """What a fact offers as answers: its names, dates and numbers."""
    found = [fact.text[start:end] for start, end, _ in spans(fact.text, fact.chunk.text)]
    return list(dict.fromkeys([*found, *further]))


def wording_schema(pair: Pair, start: str) -> dict:
    """A question that begins with `start` and uses the words of its fact and everyday ones, the answer's excepted.

    Held to these words a small model cannot wander off to other subjects, nor give the answer away.
    """
    banned = set(words(pair.answer))
    own = [
        word
        for word in re.findall(r"[^\s.,;:!?\"“”()]+", f"{pair.fact.text} {pair.fact.subject}")
        if not set(words(word)) & banned
    ]
    stems = [
        word[: -len(end)]
        for word in own
        for end in ("ed", "d", "s", "es", "ing")
        if word.endswith(end) and len(word) > len(end) + 2
    ]
    allowed = "|".join(re.escape(word) for word in dict.fromkeys([*own, *stems, *prompts.EVERYDAY_WORDS]))
    return {"type": "string", "pattern": f"^{re.escape(start)}( ({allowed})){{3,18}}\\?$"}


def question_starts(pair: Pair) -> list[str]:
    """How a question for this kind of answer can begin."""
    unit = pair.answer.split(" ", 1)[1] if " " in pair.answer else ""
    countable = bool(unit) and not any(char.isdigit() for char in unit) and " " not in unit
    return [
        start.format(much=f"many {unit}" if countable else "much" if unit else "many")
        for start in prompts.STARTS[pair.kind or "name"]
    ]


def reword(work: Work, step: str, jobs: list[tuple[Pair, str, str]], temperature: float) -> list[Pair]:
    """Questions again, each job (pair, role, how to begin); a wording that lost its sense by the rules is dropped."""
    requests = [prompts.DIVERSIFY.format(question=pair.question, role=role) for pair, role, _ in jobs]
    replies = work.ask_json(
        step,
        [prompts.conversation(prompts.DIVERSIFY_EXAMPLES, request) for request in requests],
        40,
        [
            wording_schema(pair, start) if work.copies_only else {"type": "string", "maxLength": 200}
            for pair, _, start in jobs
        ],
        temperature=temperature,
    )
    reworded = []
    new = NearCopies()
    for (pair, role, _), reply in zip(jobs, replies, strict=True):
        if reply is None:
            continue
        wording = Pair(
            " ".join(reply.split()), pair.answer, pair.fact, "role" if role != prompts.READER else "model", role
        )
        reason = question_problem(wording, work.copies_only) or wording_problem(wording, pair)
        if reason is None and not new.is_new(f"{wording.question} {pair.answer}"):
            reason = "near copy"
        if reason:
            work.drop(step, reason, wording.question, pair.fact, answer=pair.answer)
        else:
            wording.question = about(wording.question, pair.fact, pair.answer)
            reworded.append(wording)
    return reworded


def wording_problem(wording: Pair, pair: Pair) -> str | None:
    """Whether a rewording repeats itself or lost most of what the question was about."""
    tokens = words(wording.question)
    bigrams = list(itertools.pairwise(tokens))
    if len(set(bigrams)) < len(bigrams) or tokens[1:2] == ["or"]:
        return "repeats itself"
    asked = set(content_words(pair.question)) - set(content_words(pair.fact.subject))
    if len(asked & set(content_words(wording.question))) < min(2, len(asked)):
        return "lost what was asked"
    return None


def diversify(work: Work, pairs: list[Pair], roles: dict[str, list[str]]) -> list[Pair]:
    """Each question again in the words of each role of its theme, the ways to begin taking turns."""
    jobs = []
    for number, pair in enumerate(pairs):
        starts = question_starts(pair)
        jobs += [
            (pair, role, starts[(number + turn) % len(starts)]) for turn, role in enumerate(roles[pair.fact.theme])
        ]
    return reword(work, "wordings", jobs, temperature=0.7)
