"""Questions about each fact with their answers, further wordings for each role, and a few questions without an answer.

The steps call these functions as `work.questions`, so that another module with the same functions can replace this one.
They include `fact_problem` and `grounded`, because how far a model is trusted also decides how its facts are checked.
"""

from __future__ import annotations

from data_processor.chunking import Chunk
from data_processor.cloze import cloze_questions
from data_processor.curation import content_words, find_subject, is_supported, names_and_numbers
from data_processor.facts import Fact, text_problem
from data_processor.pairs import Pair, normalize_answer, prompts_for, verify_pairs
from data_processor.work import YES_OR_NO, Work

UNKNOWN_CALLS_PER_CHUNK = 2  # by ask_unknown: one for the questions, one to check a question


def fact_problem(item: Fact, text: str) -> str | None:
    """Why a text that the model states as a fact from the sentence `item` cannot be kept, or None."""
    if not is_supported(text, f"{item.chunk.title} {item.lead_in} {item.chunk.text}"):
        return "a name or number that its source does not have"
    return text_problem(item.chunk, text)


def grounded(sentence: str, facts: list[Fact]) -> bool:
    """Whether a sentence in a rewrite states something, and nothing beyond the facts."""
    told = " ".join(fact.text for fact in facts)
    if not is_supported(sentence, told):
        return False
    if facts[0].chunk.language == "en":
        return bool(names_and_numbers(sentence))
    return len(set(content_words(sentence)) & set(content_words(told))) > 1


def ask_questions(work: Work, facts: list[Fact], amount: int) -> list[Pair]:
    """Up to `amount` verified pairs per fact from the model, then cloze questions for answers still unasked."""
    item = {
        "type": "object",
        "properties": {"answer": {"type": "string", "maxLength": 80}, "question": {"type": "string", "maxLength": 200}},
        "required": ["answer", "question"],
        "additionalProperties": False,
    }
    replies = work.ask_json(
        "questions",
        [
            prompts_for(work, fact).conversation("questions", subject=fact.subject, fact=fact.text, amount=amount)
            for fact in facts
        ],
        48 * amount,
        {"type": "array", "items": item, "maxItems": amount},
    )
    pairs = []
    for fact, reply in zip(facts, replies, strict=True):
        if reply == []:
            work.drop("questions", "skipped as vague", fact.text, fact)
        for stated in reply or []:
            pairs.append(Pair(" ".join(stated["question"].split()), stated["answer"].strip(" ."), fact, "model"))
    pairs = verify_pairs(work, "questions", pairs)
    asked: dict[int, list[str]] = {id(fact): [] for fact in facts}
    for pair in pairs:
        asked[id(pair.fact)].append(normalize_answer(pair.answer))
    for fact in facts:
        answers = asked[id(fact)]
        cloze = cloze_questions(fact, prompts_for(work, fact))
        unasked = [pair for pair in cloze if normalize_answer(pair.answer) not in answers]
        pairs += unasked[: max(0, amount - len(answers))]
    return pairs


def find_roles(work: Work, chunks: list[Chunk], themes: list[str], amount: int) -> dict[str, list[str]]:
    """For each theme, the kinds of people who would ask about it."""
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
    """Each question reworded for each role of its theme; a wording must lead back to the answer."""
    jobs = [(pair, role) for pair in pairs for role in roles[pair.fact.theme]]
    requests = []
    for pair, role in jobs:
        values = {"fact": pair.fact.text, "question": pair.question, "answer": pair.answer, "role": role}
        requests.append(prompts_for(work, pair.fact).conversation("angle", **values))
    replies = work.ask_json("wordings", requests, 80, {"type": "string", "maxLength": 200}, temperature=0.7)
    wordings = [
        Pair(" ".join(reply.split()), pair.answer, pair.fact, "role", role)
        for (pair, role), reply in zip(jobs, replies, strict=True)
        if reply is not None
    ]
    return verify_pairs(work, "wordings", wordings)


def calls_per_role(pairs: list[Pair]) -> int:
    """The most calls that `diversify` makes for one role: a wording and its check for each pair."""
    return 2 * len(pairs)


def pairs_per_role(pairs: list[Pair]) -> int:
    """The most pairs that `diversify` makes for one role."""
    return sum(pair.kind in ("qa", "reverse") for pair in pairs)


def ask_unknown(work: Work, chunks: list[Chunk], amount: int, among: list[Chunk] | None = None) -> list[Pair]:
    """`amount` questions on each chunk's subject that its text leaves open; the right answer is that it is not known.

    The model writes them and is then asked whether the text answers them after all. `among`, all chunks of the documents,
    is not used here: the model reads only the one chunk.
    """
    subjects = chunks_with_subjects(chunks)
    replies = work.ask_json(
        "unknown",
        [
            work.prompts[chunk.language].conversation("unknown", text=chunk.text, subject=subject, amount=amount)
            for chunk, subject in subjects
        ],
        48 * amount,
        {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": amount},
    )
    asked: list[tuple[Chunk, str, str]] = []
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
    return unknown_pairs(work, [item for item, verdict in zip(asked, verdicts, strict=True) if verdict == "no"])


def chunks_with_subjects(chunks: list[Chunk]) -> list[tuple[Chunk, str]]:
    """The chunks that have a subject, each with its subject."""
    subjects = [(chunk, find_subject(chunk.title, chunk.text)) for chunk in chunks]
    return [(chunk, subject) for chunk, subject in subjects if subject]


def unknown_pairs(work: Work, asked: list[tuple[Chunk, str, str]]) -> list[Pair]:
    """A pair for each (chunk, subject, question) but near copies, with an answer that says that it is not known."""
    pairs, kept_texts = [], work.kept_texts["unknown"]
    for chunk, subject, question in asked:
        if kept_texts.is_new(question):
            prompts = work.prompts[chunk.language]
            answer = prompts.unknown_answers[len(pairs) % len(prompts.unknown_answers)]
            pairs.append(Pair(question, answer, Fact(prompts.unknown_fact, chunk, 0, 0, subject), "unknown"))
    return pairs
