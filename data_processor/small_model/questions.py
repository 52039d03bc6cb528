"""The functions of data_processor/questions.py for a generator that cannot be trusted to judge its own pairs.

A stated fact is kept if it has its sentence's words in their order. Rules find what a fact can be asked for and ask it in
several forms; the model writes questions for answers that it is given.
"""

from __future__ import annotations

from data_processor.chunking import Chunk
from data_processor.curation import contains, content_words, find_spans, find_subject, words
from data_processor.pairs import Fact, Pair, prompts_for
from data_processor.questions import unknown_pairs
from data_processor.small_model.cloze import find_gaps
from data_processor.small_model.forms import other_forms
from data_processor.small_model.pairs import question_problem, with_subject
from data_processor.work import Work

WORDINGS = 3  # questions to request from the model for each answer and role
TEMPERATURE = 0.9  # for all but the first wording
FIRST_ROLE_TURN = 1000  # turns are added to the seed; those for roles start here
# By language and kind of answer, the pattern of a question.
QUESTION_PATTERNS = {
    "en": {
        "date": r'(When|On what date|On which day) [^?"\\]{12,110}\?',
        "year": r'(In what year|In which year|When) [^?"\\]{12,110}\?',
        "number": r'How (many|much|long|high|deep|far|big|large|old|often|warm|cold|fast) [^?"\\]{12,110}\?',
        "name": r'(Who|Whom|Which|What|Where|In which|By whom) [^?"\\]{12,110}\?',
        "time": r'(When|At what time) [^?"\\]{12,110}\?',
        "code": r'(What|Which|Where|Under what) [^?"\\]{12,110}\?',
        "quoted": r'(What|Which) [^?"\\]{12,110}\?',
    },
    "zh": dict.fromkeys(("date", "year", "time", "number", "name", "code", "quoted"), r'[^？"\\]{4,60}？'),
}
ANY_QUESTION = r'[^?？"\\]{4,110}[?？]'


def ask_questions(work: Work, facts: list[Fact], amount: int) -> list[Pair]:
    """Questions for up to `amount` answers per fact: by rule, in several forms, then the model's for the same answers."""
    gaps = [gap for fact in facts for gap in find_gaps(fact, prompts_for(work, fact))[:amount]]
    cloze = [pair for gap in gaps for pair in gap.cloze()]
    others = [pair for gap in gaps for pair in other_forms(gap)]
    by_rule: dict[tuple[str, str], Pair] = {}
    for pair in [*cloze, *others]:
        by_rule.setdefault((pair.question, pair.answer), pair)
    by_model = ask_wordings(
        work, "questions", [(pair, prompts_for(work, pair.fact).table["words"]["reader"]) for pair in cloze]
    )
    return [*by_rule.values(), *by_model]


def find_roles(work: Work, chunks: list[Chunk], themes: list[str], amount: int) -> dict[Chunk, list[str]]:
    """For each chunk, the kinds of people who would ask about its theme."""
    chunk_of = dict(zip(themes, chunks, strict=True))
    replies = work.ask_json(
        "roles",
        [
            work.prompts[chunk.language].conversation("roles", theme=theme, amount=amount)
            for theme, chunk in chunk_of.items()
        ],
        16 * amount,
        [
            {
                "type": "array",
                "items": {"type": "string", "pattern": work.prompts[chunk.language].table["roles"]["pattern"]},
                "minItems": amount,
                "maxItems": amount,
            }
            for chunk in chunk_of.values()
        ],
        list(chunk_of.values()),
    )
    roles = {theme: list(dict.fromkeys(reply or [])) for theme, reply in zip(chunk_of, replies, strict=True)}
    return {chunk: roles[theme] for chunk, theme in zip(chunks, themes, strict=True)}


def diversify(work: Work, pairs: list[Pair], roles: dict[Chunk, list[str]]) -> list[Pair]:
    """The model's questions for each answer that rules ask for, as each role of its chunk would ask."""
    jobs = [(pair, role) for pair in pairs if pair.made_by == "gap" for role in roles[pair.fact.chunk]]
    return ask_wordings(work, "wordings", jobs, FIRST_ROLE_TURN)


def calls_per_role(pairs: list[Pair]) -> int:
    """The most calls that `diversify` makes for one role."""
    return WORDINGS * len({answer_key(pair) for pair in pairs if pair.made_by == "gap"})


def pairs_per_role(pairs: list[Pair]) -> int:
    """The most pairs that `diversify` makes for one role: as many as the model made for the plain reader."""
    return sum(pair.made_by == "model" for pair in pairs)


def answer_key(pair: Pair) -> tuple[str, str, str]:
    """What identifies an answer to `ask_wordings`: facts from one sentence share answers."""
    return pair.fact.chunk.file_name, pair.fact.quote, pair.answer


def ask_wordings(work: Work, step: str, jobs: list[tuple[Pair, str]], first_turn: int = 0) -> list[Pair]:
    """Questions from the model for the answers of pairs, as a role would ask, WORDINGS each.

    Their opening words are constrained to ones that ask for this kind of answer. A question is kept if it is about its
    fact and nothing else in the fact could answer it.
    """
    asked: dict[tuple[str, ...], tuple[Pair, str]] = {}
    for pair, role in jobs:
        asked.setdefault((*answer_key(pair), role), (pair, role))
    pairs, kept_texts = [], work.kept_texts[step]
    conversations, schemas = [], []
    for pair, role in asked.values():
        prompts = prompts_for(work, pair.fact)
        conversations.append(prompts.conversation("ask", fact=pair.fact.text, role=role, answer=pair.answer))
        pattern = QUESTION_PATTERNS.get(prompts.language, {}).get(pair.answer_kind or "name", ANY_QUESTION)
        schemas.append({"type": "string", "pattern": f"^{pattern}$"})
    turns = [first_turn + number for number in range(WORDINGS)]
    replies = work.ask_json(
        step,
        [conversation for conversation in conversations for _ in turns],
        40,
        [schema for schema in schemas for _ in turns],
        [pair.fact.chunk for pair, _ in asked.values() for _ in turns],
        temperature=[TEMPERATURE if turn else 0.0 for turn in turns] * len(conversations),
        turns=turns * len(conversations),
    )
    for number in range(WORDINGS):
        for (pair, role), reply in zip(asked.values(), replies[number::WORDINGS], strict=True):
            if reply is None:
                continue
            prompts = prompts_for(work, pair.fact)
            made_by = "model" if role == prompts.table["words"]["reader"] else "role"
            wording = Pair(" ".join(reply.split()), pair.answer, pair.fact, made_by, role)
            reason = question_problem(wording) or ambiguity_problem(wording)
            if reason is None and not kept_texts.is_new(f"{wording.question} {wording.answer}"):
                reason = "near copy"
            if reason:
                work.drop(step, reason, wording.question, pair.fact, answer=pair.answer)
            else:
                wording.question = with_subject(wording.question, pair.fact, pair.answer, prompts)
                pairs.append(wording)
    return pairs


def ambiguity_problem(pair: Pair) -> str | None:
    """Why a question may have another answer too, or gives its own away, or None."""
    fact, kind = pair.fact, pair.answer_kind
    shared = set(content_words(pair.answer)) & set(content_words(pair.question))
    if any(kind != "number" or word[0].isdigit() for word in shared):  # a number's unit may be named
        return "part of the answer in the question"
    names = ("name", "quoted")
    for start, end, other_kind in find_spans(fact.text, fact.chunk.text):
        other = fact.text[start:end]
        same_kind = other_kind == kind or (other_kind in names and kind in names)
        is_known = contains(pair.question, other) or contains(fact.subject, other) or contains(other, fact.subject)
        if same_kind and other != pair.answer and not is_known:
            return "something else in its fact may answer it"
    return None


def ask_unknown(work: Work, chunks: list[Chunk], amount: int, among: list[Chunk] | None = None) -> list[Pair]:
    """`amount` stock questions on each chunk's subject, of which only those whose words its document does not use.

    `among` are all chunks of the documents, if there are more than `chunks`.
    """
    texts: dict[str, str] = {}
    for chunk in among or chunks:
        texts[chunk.file_name] = f"{texts.get(chunk.file_name, '')} {chunk.text}"
    asked: list[tuple[Chunk, str, str]] = []
    for number, (chunk, subject) in enumerate(chunks_with_subjects(chunks)):
        forms = work.prompts[chunk.language].table["words"]["unknown_questions"]
        for turn in range(min(amount, len(forms))):
            form = forms[(number + turn) % len(forms)]
            if not set(content_words(form.format(name=""))) & set(words(texts[chunk.file_name])):
                asked.append((chunk, subject, form.format(name=subject)))
    return unknown_pairs(work, asked)


def chunks_with_subjects(chunks: list[Chunk]) -> list[tuple[Chunk, str]]:
    """The chunks that have a subject, each with its subject."""
    subjects = [(chunk, find_subject(chunk.title, chunk.text)) for chunk in chunks]
    return [(chunk, subject) for chunk, subject in subjects if subject]
