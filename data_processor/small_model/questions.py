"""The functions of data_processor/questions.py for a generator that is not trusted to tell a right pair from a wrong one.

A stated fact is kept where it has its sentence's words in their order. What a fact can be asked for is found by rule, and
asked in several forms by rule; the model writes questions to answers that it is given.
"""

from __future__ import annotations

from data_processor import questions
from data_processor.chunking import Chunk
from data_processor.cloze import questions_in_place
from data_processor.curation import contains, content_words, spans, supported, words
from data_processor.facts import Fact, text_problem
from data_processor.pairs import Pair, about, prompts_of, question_problem
from data_processor.small_model.forms import other_forms
from data_processor.work import Work

WORDINGS = 3  # times that the model is asked for a question, for each answer and role
TEMPERATURE = 0.9  # of all but the first of them
OFTEN = 1000  # turns are numbers added to the seed; those of the roles begin here
UNKNOWN_CALLS = 0  # of ask_unknown
# By language, what a question looks like, by the kind of its answer.
QUESTIONS_FOR = {
    "en": {
        "date": r'(When|On what date|On which day) [^?"\\]{12,110}\?',
        "year": r'(In what year|In which year|When) [^?"\\]{12,110}\?',
        "number": r'How (many|much|long|high|deep|far|big|large|old|often|warm|cold|fast) [^?"\\]{12,110}\?',
        "name": r'(Who|Whom|Which|What|Where|In which|By whom) [^?"\\]{12,110}\?',
        "quoted": r'(What|Which) [^?"\\]{12,110}\?',
    },
    "zh": dict.fromkeys(("date", "year", "number", "name", "quoted"), r'[^？"\\]{4,60}？'),
}


def fact_problem(item: Fact, text: str) -> str | None:
    """Why a text that the model states as a fact of `item`, a sentence, cannot be kept, or None."""
    if not supported(text, f"{item.quote} {item.subject}"):
        return "a name or number that its source does not have"
    if not copied_in_order(text, item.quote, item.subject):
        return "not in the words of its sentence"
    return text_problem(item.chunk, text)


def grounded(sentence: str, facts: list[Fact]) -> bool:
    """Whether a sentence of a rewrite says something, and that in the words of one of the facts."""
    in_order = any(copied_in_order(sentence, fact.text, fact.subject) for fact in facts)
    return in_order and questions.grounded(sentence, facts)


def copied_in_order(text: str, quote: str, subject: str) -> bool:
    """Whether the content words of `text` follow those of `quote` in the same order, the subject's words apart.

    Strict enough to catch a small model that gives one person's deed to another.
    """
    allowed = set(words(subject))
    source = iter(content_words(quote))
    own = [word for word in content_words(text) if word not in allowed]
    return len(own) >= 2 and all(word in source for word in own)


def ask_questions(work: Work, facts: list[Fact], amount: int) -> list[Pair]:
    """Questions for up to `amount` answers a fact: by rule, in several forms, then the model's to the same answers."""
    in_place = [pair for fact in facts for pair in questions_in_place(fact, prompts_of(work, fact))[:amount]]
    others = [form for one in in_place for form in other_forms(one.fact, one.answer, prompts_of(work, one.fact))]
    by_rule: dict[tuple[str, str], Pair] = {}
    for pair in [*in_place, *others]:
        by_rule.setdefault((pair.question, pair.answer), pair)
    by_model = ask_for(work, "questions", [(pair, prompts_of(work, pair.fact).reader) for pair in in_place])
    return [*by_rule.values(), *by_model]


def diversify(work: Work, pairs: list[Pair], roles: dict[str, list[str]]) -> list[Pair]:
    """The model's questions to each answer that rules ask for, in the words of each role of its theme."""
    jobs = [(pair, role) for pair in pairs if pair.made == "gap" for role in roles[pair.fact.theme]]
    return ask_for(work, "wordings", jobs, OFTEN)


def calls_of_a_role(pairs: list[Pair]) -> int:
    """How many calls `diversify` makes for one role, at most."""
    return WORDINGS * len({asked_for(pair) for pair in pairs if pair.made == "gap"})


def pairs_of_a_role(pairs: list[Pair]) -> int:
    """How many pairs `diversify` makes for one role, at most: as many as the model made for the plain reader."""
    return sum(pair.made == "model" for pair in pairs)


def asked_for(pair: Pair) -> tuple[str, str, str]:
    """What a question of `ask_for` is about: facts of one sentence have answers in common."""
    return pair.fact.chunk.file_name, pair.fact.quote, pair.answer


def ask_for(work: Work, step: str, jobs: list[tuple[Pair, str]], turn: int = 0) -> list[Pair]:
    """Questions by the model to the answers of pairs, in the words of a role, WORDINGS each.

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
        form = QUESTIONS_FOR[prompts.language][pair.answer_kind or "name"]
        schemas.append({"type": "string", "pattern": f"^{form}$"})
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
            reason = question_problem(found) or other_answer(found)
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


def ask_unknown(work: Work, chunks: list[Chunk], amount: int, among: list[Chunk] | None = None) -> list[Pair]:
    """`amount` questions on each chunk's subject that no text answers unless it uses their words, as its document does not.

    `among` are all chunks of these documents, if there are more.
    """
    texts: dict[str, str] = {}
    for chunk in among or chunks:
        texts[chunk.file_name] = f"{texts.get(chunk.file_name, '')} {chunk.text}"
    asked: list[tuple[Chunk, str, str]] = []
    for number, (chunk, subject) in enumerate(questions.with_subjects(chunks)):
        forms = work.prompts[chunk.language].unknown_questions
        for turn in range(min(amount, len(forms))):
            form = forms[(number + turn) % len(forms)]
            if not set(content_words(form.format(name=""))) & set(words(texts[chunk.file_name])):
                asked.append((chunk, subject, form.format(name=subject)))
    return questions.unknown_pairs(work, asked)
