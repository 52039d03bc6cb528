"""Wave 3 and 4: questions of all kinds on the facts of a chunk, in roles, on two facts together, and without an answer.

Several facts of a chunk are asked about in one request, with the chunk before them, so that each question can name what it
is about. Any kind of fact can be asked for; what a rule can find wrong with a question does not depend on its language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from data_processor.checks import NOT_CHECKED, answer_again, document, groups, keep_answered, numbered_list, opening
from data_processor.chunking import Chunk
from data_processor.curation import contains, length_in_words, words
from data_processor.facts import one_line
from data_processor.numbered import find_numbers, invented_numbers
from data_processor.pairs import Fact, Pair, prompts_for
from data_processor.points import check_points, points_by_rule
from data_processor.span_words import YES_AND_NO
from data_processor.text_faults import PLACE_TO_FILL, goes_on, placeholders
from data_processor.work import Work, an_object

FORMS = ("short", "reverse", "why", "how", "rule", "steps", "yes_no")
FACTS_A_REQUEST = 8
WORDINGS_A_REQUEST = 10
TOKENS_A_PAIR, TOKENS_A_WORDING = 80, 50
MAX_ANSWER_WORDS = 40  # short answers are learnt far better (arXiv 2607.21861); a list may need more
MAX_STEPS_WORDS = 120
SCORED_WHOLE_WORDS = 8  # up to so many, an answer is compared as a whole; a longer one has points
LONGEST_QUESTION, LONGEST_ANSWER, MOST_POINTS = 300, 800, 4


def ask_questions(work: Work, facts: list[Fact], amount: int) -> list[Pair]:
    """Up to `amount` pairs for each fact that pass the rules and, with --verify llm, the model's own check."""
    parts = groups(facts, lambda fact: fact.chunk, FACTS_A_REQUEST)
    requests = [
        prompts_for(work, part[0]).conversation(
            "questions",
            **document(part[0].chunk),
            items=numbered_list(fact.text for fact in part),
            amount=amount,
        )
        for part in parts
    ]
    schemas = [pairs_schema(len(part), FORMS, len(part) * amount) for part in parts]
    tokens, chunks = TOKENS_A_PAIR * FACTS_A_REQUEST * amount, [part[0].chunk for part in parts]
    pairs = []
    for part, reply in zip(parts, work.ask_json("questions", requests, tokens, schemas, chunks), strict=True):
        by_fact: list[list[Pair]] = [[] for _ in part]
        for told in reply or ():
            number = told["item"] - 1
            by_fact[number].append(to_pair(told, part[number], "model"))
        for fact, asked in zip(part, by_fact, strict=True):
            if reply is not None and not asked:
                work.drop("questions", "skipped as vague", fact.text, fact)
            pairs += asked[:amount]
            for pair in asked[amount:]:
                work.drop("questions", "more than were asked for", pair.question, fact, answer=pair.answer)
    return keep_balanced(work, keep_answered(work, "questions", keep_sound(work, "questions", pairs)))


def pairs_schema(items: int, forms: tuple[str, ...], most: int) -> dict:
    pair = an_object(
        item={"enum": list(range(1, items + 1))},
        form={"enum": list(forms)},
        question={"type": "string", "minLength": 4, "maxLength": LONGEST_QUESTION},
        answer={"type": "string", "minLength": 1, "maxLength": LONGEST_ANSWER},
        points={"type": "array", "items": {"type": "string", "maxLength": 80}, "maxItems": MOST_POINTS},
    )
    return {"type": "array", "items": pair, "maxItems": most}


def to_pair(told: dict, fact: Fact, made_by: str, second: Fact | None = None) -> Pair:
    """A pair as the model told it, with the points of a long answer: its own, where they stand in the text, or by rule.

    An answer that begins with yes or no has none, whatever its form is called: the rest only says why.
    """
    answer, points = one_line(told["answer"]), []
    language = fact.chunk.text_language
    yes_or_no = told["form"] == "yes_no" or opening(answer) in YES_AND_NO.get(language, ())
    if not yes_or_no and length_in_words(answer) > SCORED_WHOLE_WORDS:
        text = f"{fact.text} {fact.chunk.text} {second.chunk.text if second else ''}"
        points = check_points(told["points"], answer, text, language) or points_by_rule(answer, text, language)
    return Pair(one_line(told["question"]), answer, fact, made_by, "", told["form"], tuple(points), second)


def keep_sound(work: Work, step: str, pairs: list[Pair]) -> list[Pair]:
    """The pairs in which no rule finds anything wrong, without near copies of a question that has the same answer."""
    kept, asked = [], work.kept_texts[step]
    for pair in pairs:
        reason = question_problem(pair)
        if reason is None and not asked.is_new(pair.question, find_numbers(pair.question) | set(words(pair.answer))):
            reason = "near copy"
        if reason:
            work.drop(step, reason, pair.question, pair.fact, answer=pair.answer)
        else:
            kept.append(pair)
    return kept


def question_problem(pair: Pair) -> str | None:
    """Why a pair cannot be kept, or None."""
    most = MAX_STEPS_WORDS if pair.form == "steps" else MAX_ANSWER_WORDS
    if not pair.question or not pair.answer:
        return "question or answer empty"
    if length_in_words(pair.answer) > most:
        return f"answer of more than {most} words"
    chunks = [fact.chunk for fact in (pair.fact, pair.second) if fact]
    sources = [pair.fact.text, *(told for chunk in chunks for told in (chunk.heading, chunk.text))]
    said = pair.answer if pair.form == "yes_no" else f"{pair.question} {pair.answer}"  # what is not so is asked too
    if invented_numbers(said, *sources):
        return "a number that its chunk does not have"
    told, places = " ".join(sources).casefold(), placeholders(f"{pair.question} {pair.answer}")
    if any(inside.strip("_＿") and inside.casefold() not in told for inside in places):  # a blank may ask
        return PLACE_TO_FILL
    if goes_on(pair.question, pair.fact.chunk.text_language):
        return "goes on from another question"
    if pair.form in ("short", "reverse") and contains(pair.question, pair.answer):
        return "answer in the question"
    return None


def keep_balanced(work: Work, pairs: list[Pair]) -> list[Pair]:
    """The pairs with as many answers of yes as of no in each chunk, so that neither is the better guess.

    Which of the two an answer is, is told by its first word; a language has one word for each.
    """
    too_many: set[int] = set()  # ids of pairs
    first_words: dict[Chunk, dict[str, list[Pair]]] = {}
    for pair in pairs:
        if pair.form == "yes_no":
            first_words.setdefault(pair.fact.chunk, {}).setdefault(first_word(pair.answer), []).append(pair)
    for by_word in first_words.values():
        ranked = sorted(by_word.values(), key=len, reverse=True)
        even = len(ranked[1]) if len(ranked) > 1 else 1
        for pair in (pair for same in ranked for pair in same[even:]):
            work.drop(
                "questions", "more yes than no, or more no than yes", pair.question, pair.fact, answer=pair.answer
            )
            too_many.add(id(pair))
    return [pair for pair in pairs if id(pair) not in too_many]


def first_word(answer: str) -> str:
    """Up to the first comma, stop or space, in lower case."""
    return (re.split(r"[\s,，.。、]+", answer.casefold().strip(" ,，.。、")) or [""])[0]


def diversify(work: Work, pairs: list[Pair], roles: dict[Chunk, list[str]]) -> list[Pair]:
    """Each question reworded for each role of its chunk, with the same answer: for the first role of every chunk first."""
    parts = []
    for place in range(max(map(len, roles.values()), default=0)):
        there = [pair for pair in pairs if pair.made_by == "model" and len(roles.get(pair.fact.chunk, ())) > place]
        jobs = [(pair, roles[pair.fact.chunk][place]) for pair in there]
        parts += groups(jobs, _chunk_of_job, WORDINGS_A_REQUEST)
    requests = []
    for part in parts:
        fact, role = part[0][0].fact, part[0][1]
        lines = numbered_list(f"{pair.question} | {pair.answer}" for pair, _ in part)
        requests.append(prompts_for(work, fact).conversation("wording", **document(fact.chunk), items=lines, role=role))
    schemas, chunks = [wordings_schema(len(part)) for part in parts], [_chunk_of_job(part[0]) for part in parts]
    tokens, wordings = TOKENS_A_WORDING * WORDINGS_A_REQUEST, []
    for part, reply in zip(
        parts, work.ask_json("wordings", requests, tokens, schemas, chunks, temperature=0.7), strict=True
    ):
        for told in reply or ():
            pair, role = part[told["item"] - 1]
            text = one_line(told["question"])
            wordings.append(Pair(text, pair.answer, pair.fact, "role", role, pair.form, pair.points))
    return keep_answered(work, "wordings", keep_sound(work, "wordings", wordings))


def _chunk_of_job(job: tuple[Pair, str]) -> Chunk:
    return job[0].fact.chunk


def wordings_schema(items: int) -> dict:
    wording = an_object(
        item={"enum": list(range(1, items + 1))},
        question={"type": "string", "minLength": 4, "maxLength": LONGEST_QUESTION},
    )
    return {"type": "array", "items": wording, "maxItems": items}


def ask_unknown(work: Work, chunks: list[Chunk], amount: int) -> list[Pair]:
    """`amount` questions on each chunk that its text leaves open; the right answer is that it is not known.

    The model writes them and is then asked them with the chunk before it: one that it can answer is dropped.
    """
    requests = [
        work.prompts[chunk.language].conversation("unknown", **document(chunk), amount=amount) for chunk in chunks
    ]
    question = {"type": "string", "minLength": 4, "maxLength": LONGEST_QUESTION}
    schema = {"type": "array", "items": question, "maxItems": amount}
    asked = []
    for chunk, reply in zip(chunks, work.ask_json("unknown", requests, 48 * amount, schema, chunks), strict=True):
        asked += [(chunk, one_line(text)) for text in reply or ()]
    open_questions = []
    for (chunk, text), answer in zip(asked, answer_again(work, "unknown, check", asked), strict=True):
        if answer == "":
            open_questions.append((chunk, "", text))
        else:
            work.drop("unknown", NOT_CHECKED if answer is None else "its text may answer it", text, chunk)
    return unknown_pairs(work, open_questions)


def unknown_pairs(work: Work, asked: Iterable[tuple[Chunk, str, str]]) -> list[Pair]:
    """A pair for each (chunk, subject, question) but near copies, with an answer that says that it is not known."""
    pairs: list[Pair] = []
    kept_texts = work.kept_texts["unknown"]
    for chunk, subject, question in asked:
        if kept_texts.is_new(question):
            said = work.words(chunk.text_language, chunk.language)
            answer = said["unknown_answers"][len(pairs) % len(said["unknown_answers"])]
            pairs.append(Pair(question, answer, Fact(said["unknown_fact"], chunk, 0, 0, subject), "unknown"))
    return pairs
