"""Questions about each fact, in several wordings, and a few that have no answer."""

from __future__ import annotations

from data_processor.chunking import Chunk
from data_processor.cloze import other_forms, questions_in_place
from data_processor.curation import contains, content_words, spans, subject_of, words
from data_processor.facts import Fact
from data_processor.pairs import Pair, about, normal_answer, prompts_of, question_problem, verified
from data_processor.work import YES_OR_NO, Work

WORDINGS = 3  # a generator that is not trusted is asked so often for a question, for each answer and role
TEMPERATURE = 0.9  # of all but the first of them
OFTEN = 1000  # turns are numbers added to the seed; those of the roles begin here


def ask_questions(work: Work, facts: list[Fact], amount: int) -> list[Pair]:
    """Up to `amount` verified pairs a fact, from the model; then a question in place for what nobody asked.

    A generator that is not trusted (`copies_only`) is not asked for pairs, which it gets wrong: up to `amount` answers a
    fact are asked for by rule, in several forms, and the model writes questions to given answers.
    """
    if work.copies_only:
        in_place = [pair for fact in facts for pair in questions_in_place(fact, prompts_of(work, fact))[:amount]]
        others = [form for one in in_place for form in other_forms(one.fact, one.answer, prompts_of(work, one.fact))]
        by_rule: dict[tuple[str, str], Pair] = {}
        for pair in [*in_place, *others]:
            by_rule.setdefault((pair.question, pair.answer), pair)
        by_model = ask_for(work, "questions", [(pair, prompts_of(work, pair.fact).reader) for pair in in_place])
        return [*by_rule.values(), *by_model]
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


def asked_for(pair: Pair) -> tuple[str, str, str]:
    """What a question of `ask_for` is about: facts of one sentence have answers in common."""
    return pair.fact.chunk.file_name, pair.fact.quote, pair.answer


def ask_for(work: Work, step: str, jobs: list[tuple[Pair, str]], turn: int = 0) -> list[Pair]:
    """Questions by a model that is not trusted to the answers of pairs, in the words of a role, WORDINGS each.

    Its first words are held to those that ask for this kind of answer. A question is kept where it speaks of its fact
    and nothing else in the fact can answer it.
    """
    asked: dict[tuple[str, ...], tuple[Pair, str]] = {}
    for pair, role in jobs:
        asked.setdefault((*asked_for(pair), role), (pair, role))
    pairs, new = [], work.said[step]
    conversations, schemas = [], []
    for pair, role in asked.values():
        prompts = prompts_of(work, pair.fact)
        conversations.append(prompts.conversation("ask", fact=pair.fact.text, role=role, answer=pair.answer))
        schemas.append({"type": "string", "pattern": f"^{prompts.questions_for[pair.answer_kind or 'name']}$"})
    turns = [turn + number for number in range(WORDINGS)]
    replies = work.ask_json(
        step,
        [conversation for conversation in conversations for _ in turns],
        40,
        [schema for schema in schemas for _ in turns],
        temperature=[TEMPERATURE if turn else 0.0 for turn in turns] * len(conversations),
        turns=turns * len(conversations),
    )
    for number in range(WORDINGS):
        for (pair, role), reply in zip(asked.values(), replies[number::WORDINGS], strict=True):
            if reply is None:
                continue
            prompts = prompts_of(work, pair.fact)
            made = "model" if role == prompts.reader else "role"
            found = Pair(" ".join(reply.split()), pair.answer, pair.fact, made, role)
            reason = question_problem(found, prompts) or other_answer(found)
            if reason is None and not new.is_new(f"{found.question} {found.answer}"):
                reason = "near copy"
            if reason:
                work.drop(step, reason, found.question, pair.fact, answer=pair.answer)
            else:
                found.question = about(found.question, pair.fact, pair.answer, prompts)
                pairs.append(found)
    return pairs


def other_answer(pair: Pair) -> str | None:
    """Why a question may have another answer than its own, or give that away, or None."""
    fact, kind = pair.fact, pair.answer_kind
    given = set(content_words(pair.answer)) & set(content_words(pair.question))
    if any(kind != "number" or word[0].isdigit() for word in given):  # of a number the unit may be named
        return "part of the answer in the question"
    names = ("name", "quoted")
    for start, end, other in spans(fact.text, fact.chunk.text):
        text = fact.text[start:end]
        alike = other == kind or (other in names and kind in names)
        told = contains(pair.question, text) or contains(fact.subject, text) or contains(text, fact.subject)
        if alike and text != pair.answer and not told:
            return "something else in its fact may answer it"
    return None


def reword(work: Work, step: str, jobs: list[tuple[Pair, str]]) -> list[Pair]:
    """Questions again, each from the angle of a role; a wording has to find back to the answer."""
    requests = []
    for pair, role in jobs:
        places = {"fact": pair.fact.text, "question": pair.question, "answer": pair.answer, "role": role}
        requests.append(prompts_of(work, pair.fact).conversation("angle", **places))
    replies = work.ask_json(step, requests, 80, {"type": "string", "maxLength": 200}, temperature=0.7)
    wordings = [
        Pair(" ".join(reply.split()), pair.answer, pair.fact, "role", role)
        for (pair, role), reply in zip(jobs, replies, strict=True)
        if reply is not None
    ]
    return verified(work, step, wordings)


def find_roles(work: Work, chunks: list[Chunk], themes: list[str], amount: int) -> dict[str, list[str]]:
    """For each theme the kinds of people who would ask about it."""
    languages = dict(zip(themes, (chunk.language for chunk in chunks), strict=True))
    replies = work.ask_json(
        "roles",
        [
            work.prompts[language].conversation("roles", theme=theme, amount=amount)
            for theme, language in languages.items()
        ],
        16 * amount,
        [
            {
                "type": "array",
                "items": {"type": "string", "pattern": work.prompts[language].table["roles"]["pattern"]},
                "minItems": amount,
                "maxItems": amount,
            }
            for language in languages.values()
        ],
    )
    return {theme: list(dict.fromkeys(reply or [])) for theme, reply in zip(languages, replies, strict=True)}


def diversify(work: Work, pairs: list[Pair], roles: dict[str, list[str]]) -> list[Pair]:
    """Each question again for each role of its theme; by a generator that is not trusted, each answer is asked for."""
    if work.copies_only:
        jobs = [(pair, role) for pair in pairs if pair.made == "gap" for role in roles[pair.fact.theme]]
        return ask_for(work, "wordings", jobs, OFTEN)
    return reword(work, "wordings", [(pair, role) for pair in pairs for role in roles[pair.fact.theme]])


def calls_of_a_role(work: Work, pairs: list[Pair]) -> int:
    """How many calls `diversify` makes for one role, at most."""
    if work.copies_only:
        return WORDINGS * len({asked_for(pair) for pair in pairs if pair.made == "gap"})
    return 2 * len(pairs)  # a wording and its check


def ask_unknown(work: Work, chunks: list[Chunk], amount: int, among: list[Chunk] | None = None) -> list[Pair]:
    """`amount` questions on each chunk's subject that no document answers; the right answer is that it is not known.

    `among` are all chunks of these documents, if there are more. A model writes them and is then asked whether its text
    answers them after all. A generator that is not trusted is given questions instead that no text answers unless it
    uses their words.
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
