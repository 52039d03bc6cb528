"""Questions about each fact, in several wordings, and a few that have no answer."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from data_processor.chunking import Chunk
from data_processor.curation import contains, content_words, length_in_words, spans, subject_of, words
from data_processor.pairs import Pair, about, normal_answer, prompts_of, question_problem, verified
from data_processor.prompts import Prompts
from data_processor.work import YES_OR_NO, Fact, Work

SHORTEST_CLAUSE = 7  # words a question in place keeps around its gap


def ask_questions(work: Work, facts: list[Fact], amount: int) -> list[Pair]:
    """Up to `amount` verified pairs a fact, from the model; then a question in place for what nobody asked.

    A generator held to its words (`copies_only`) is not asked for pairs, which it gets wrong, but to reword the
    questions in place, one wording for each way to begin.
    """
    if work.copies_only:
        in_place = [pair for fact in facts for pair in questions_in_place(fact, prompts_of(work, fact))[:amount]]
        jobs = []
        for pair in in_place:
            prompts = prompts_of(work, pair.fact)
            jobs += [(pair, prompts.reader, start) for start in question_starts(pair, prompts)]
        return in_place + reword(work, "questions", jobs, temperature=0.0)
    item = {
        "type": "object",
        "properties": {"answer": {"type": "string", "maxLength": 80}, "question": {"type": "string", "maxLength": 200}},
        "required": ["answer", "question"],
        "additionalProperties": False,
    }
    replies = work.ask_json(
        "questions",
        [
            prompts_of(work, fact).conversation("questions", subject=fact.subject, fact=fact.text, amount=amount)
            for fact in facts
        ],
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
    asked: dict[int, list[str]] = {id(fact): [] for fact in facts}
    for pair in pairs:
        asked[id(pair.fact)].append(normal_answer(pair.answer))
    for fact in facts:
        own = asked[id(fact)]
        in_place = questions_in_place(fact, prompts_of(work, fact))
        pairs += [pair for pair in in_place if normal_answer(pair.answer) not in own][: max(0, amount - len(own))]
    return pairs


def questions_in_place(fact: Fact, prompts: Prompts) -> list[Pair]:
    """A question for each name, date and number, made by asking in its place (Lewis et al. 2019, cloze questions).

    "X opened on 3 May." gives "X opened on what date?": plain, but true by construction, and a model can reword it.
    """
    pairs = []
    for start, end, kind in spans(fact.text, fact.chunk.text):
        answer = fact.text[start:end]
        left, right = clause_around(fact.text, start, end)
        unit = answer.split(" ", 1)[1] if kind == "number" and " " in answer else ""
        gap = prompts.gaps[kind].format(unit=unit).strip()
        question = f"{left.rstrip(chr(34))}{gap}{right.lstrip(chr(34))}".strip(" ,;:.，；：。") + prompts.question_mark
        part_of_subject = set(words(answer)) < set(words(fact.subject))
        if len(content_words(question)) < 2 or contains(question, answer) or part_of_subject:
            continue
        pairs.append(Pair(about(question, fact, answer, prompts), answer, fact, "gap"))
    return pairs


def clause_around(text: str, start: int, end: int) -> tuple[str, str]:
    """The text left and right of a span, as far as its clause goes, widened to SHORTEST_CLAUSE words."""
    cuts = [0, *(match.end() for match in re.finditer(r"[,;:] |[，；：]", text)), len(text)]
    first = max(i for i in range(len(cuts) - 1) if cuts[i] <= start)
    last = next(i for i in range(len(cuts)) if cuts[i] >= end)
    while clause_length(text[cuts[first] : start] + text[end : cuts[last]]) < SHORTEST_CLAUSE:
        if first > 0:
            first -= 1
        elif last < len(cuts) - 1:
            last += 1
        else:
            break
    return text[cuts[first] : start], text[end : cuts[last]]


def clause_length(text: str) -> float:
    """In words; those of a text written without spaces are counted by its characters."""
    return max(len(text.split()), length_in_words(text) if not text.isascii() else 0)


def wording_schema(pair: Pair, start: str, prompts: Prompts) -> dict:
    """A question that begins with `start` and uses the words of its fact and everyday ones, the answer's excepted.

    Held to these words a small model cannot wander off to other subjects, nor give the answer away. Chinese, which has
    no spaces between words, is held to the characters of the fact.
    """
    banned = set(words(pair.answer))
    text = f"{pair.fact.text} {pair.fact.subject}"
    if pair.fact.chunk.language == "zh":
        allowed = "".join(dict.fromkeys(word for word in words(text) if word not in banned and len(word) == 1))
        return {"type": "string", "pattern": f"^[{allowed}{start}的是了]{{4,40}}？$"}
    own = [word for word in re.findall(r"[^\s.,;:!?\"“”()]+", text) if not set(words(word)) & banned]
    stems = [
        word[: -len(end)]
        for word in own
        for end in ("ed", "d", "s", "es", "ing")
        if word.endswith(end) and len(word) > len(end) + 2
    ]
    allowed = "|".join(re.escape(word) for word in dict.fromkeys([*own, *stems, *prompts.everyday_words.split()]))
    return {"type": "string", "pattern": f"^{re.escape(start)}( ({allowed})){{3,18}}\\?$"}


def question_starts(pair: Pair, prompts: Prompts) -> list[str]:
    """How a question for this kind of answer can begin."""
    unit = pair.answer.split(" ", 1)[1] if " " in pair.answer else ""
    countable = bool(unit) and not any(char.isdigit() for char in unit) and " " not in unit
    much = f"many {unit}" if countable else "much" if unit else "many"
    return [start.format(much=much) for start in prompts.starts[pair.answer_kind or "name"]]


def reword(work: Work, step: str, jobs: list[tuple[Pair, str, str]], temperature: float) -> list[Pair]:
    """Questions again, each job (pair, role, how to begin); a wording that lost its sense by the rules is dropped.

    A generator held to its words says the same in another way; any other comes at it from the angle of the role, and
    has to find back to the answer.
    """
    free = {"type": "string", "maxLength": 200}
    conversations, schemas = [], []
    for pair, role, start in jobs:
        prompts = prompts_of(work, pair.fact)
        if work.copies_only:
            conversations.append(prompts.conversation("reword", question=pair.question, role=role))
            schemas.append(wording_schema(pair, start, prompts))
        else:
            places = {"fact": pair.fact.text, "question": pair.question, "answer": pair.answer, "role": role}
            conversations.append(prompts.conversation("angle", **places))
            schemas.append(free)
    replies = work.ask_json(step, conversations, 40 if work.copies_only else 80, schemas, temperature=temperature)
    wordings = []
    for (pair, role, _), reply in zip(jobs, replies, strict=True):
        if reply is not None:
            made = "model" if role == prompts_of(work, pair.fact).reader else "role"
            wordings.append((pair, Pair(" ".join(reply.split()), pair.answer, pair.fact, made, role)))
    if not work.copies_only:
        return verified(work, step, [wording for _, wording in wordings])
    reworded = []
    new = work.said[step]
    for pair, wording in wordings:
        prompts = prompts_of(work, pair.fact)
        reason = question_problem(wording, work.copies_only, prompts) or wording_problem(wording, pair)
        if reason is None and not new.is_new(f"{wording.question} {pair.answer}"):
            reason = "near copy"
        if reason:
            work.drop(step, reason, wording.question, pair.fact, answer=pair.answer)
        else:
            wording.question = about(wording.question, pair.fact, pair.answer, prompts)
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


def diversify(work: Work, pairs: list[Pair], roles: dict[str, list[str]], turn: int = 0) -> list[Pair]:
    """Each question again for each role of its theme, the ways to begin taking turns within a fact, from `turn` on.

    Within a fact, so that a change to one document asks nothing again about the others.
    """
    jobs = []
    turns: Counter = Counter()
    for pair in pairs:
        starts = question_starts(pair, prompts_of(work, pair.fact))
        for role in roles[pair.fact.theme]:
            jobs.append((pair, role, starts[(turn + turns[id(pair.fact)]) % len(starts)]))
            turns[id(pair.fact)] += 1
    return reword(work, "wordings", jobs, temperature=0.7)


def ask_unknown(work: Work, chunks: list[Chunk], amount: int, among: list[Chunk] | None = None) -> list[Pair]:
    """`amount` questions on each chunk's subject that no document answers; the right answer is that it is not known.

    `among` are all chunks of these documents, if there are more. A model writes them and is then asked whether its text answers them after all. A generator held to its words is
    given questions instead that no text answers unless it uses their words.
    """
    texts: dict[str, str] = {}
    for chunk in among or chunks:
        texts[chunk.file_name] = f"{texts.get(chunk.file_name, '')} {chunk.text}"
    subjects = [(chunk, subject_of(chunk.title, chunk.text)) for chunk in chunks]
    subjects = [(chunk, subject) for chunk, subject in subjects if subject]
    asked: list[tuple[Chunk, str, str]] = []
    if work.copies_only:
        for number, (chunk, subject) in enumerate(subjects):
            forms = work.prompts[chunk.language].unknown_questions
            for turn in range(min(amount, len(forms))):
                form = forms[(number + turn) % len(forms)]
                if not set(content_words(form.format(name=""))) & set(words(texts[chunk.file_name])):
                    asked.append((chunk, subject, form.format(name=subject)))
    else:
        replies = work.ask_json(
            "unknown",
            [
                work.prompts[chunk.language].conversation("unknown", text=chunk.text, subject=subject, amount=amount)
                for chunk, subject in subjects
            ],
            48 * amount,
            {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": amount},
        )
        for (chunk, subject), reply in zip(subjects, replies, strict=True):
            asked += [(chunk, subject, " ".join(question.split())) for question in reply or []]
        asked = [item for item in asked if item[2].endswith(("?", "？"))]
        verdicts = work.ask_json(
            "unknown, check",
            [
                work.prompts[chunk.language].conversation("answerable", text=chunk.text, question=question)
                for chunk, _, question in asked
            ],
            8,
            YES_OR_NO,
        )
        for (chunk, _, question), verdict in zip(asked, verdicts, strict=True):
            if verdict != "no":
                work.drop("unknown", "its text may answer it", question, chunk)
        asked = [item for item, verdict in zip(asked, verdicts, strict=True) if verdict == "no"]
    pairs, new = [], work.said["unknown"]
    for chunk, subject, question in asked:
        if new.is_new(question):
            prompts = work.prompts[chunk.language]
            answer = prompts.unknown_answers[len(pairs) % len(prompts.unknown_answers)]
            pairs.append(Pair(question, answer, Fact(prompts.unknown_fact, chunk, 0, 0, subject), "unknown"))
    return pairs
