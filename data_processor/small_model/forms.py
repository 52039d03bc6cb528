"""What a blank asks for, asked by an English question: "Which baker did the town thank for soup?".

Only where the rules are sure of the statement's grammar; elsewhere the blank has to do. Each condition below was found by reading
questions on Wikipedia paragraphs that were none.
"""

from __future__ import annotations

import re

from data_processor.curation import FUNCTION_WORDS
from data_processor.pairs import Pair
from data_processor.small_model.cloze import Gap, usable_pairs
from data_processor.small_model.verbs import AUXILIARY, is_noun, is_noun_alone, may_be_noun, past_of, present_of
from data_processor.small_model.word_order import (
    JOINING,
    NEXT_CLAUSE,
    PREPOSITION,
    RELATIVE,
    find_asides,
    find_verb,
    wh_questions,
)
from data_processor.span_words import CENTURIES, CURRENCY_SIGNS, ERAS

MONEY = frozenset("dollars euros pounds yen yuan rupees crowns francs cents".split())
RATIO = frozenset("% percent cent".split())
# The noun before a name ("the baker Oswin Tralle") or after it ("Oswin Tralle, a baker,").
NOUN_BEFORE = r"(?i:\b(?:the|a|an|its|his|her|their)) ((?:[a-z][a-z-]+ )?[a-z][a-z-]+) $"
NOUN_AFTER = r", (?:the|a|an) (?:former |new |old |small |large )?([a-z][a-z-]+)(?:,| (?:who|whose|that|which|of)\b)"
ARTICLE = r"\b(?:[Tt]he|[Aa]n?) $"
ROUGHLY = r"(?i)\b(?:approximately|about|around|nearly|almost|roughly|over|some|only|just|(?:more|less|fewer) than|at (?:least|most)|up to) $"
PLACE = r"\b(?:in|at|from|near|to|of|towards?|through) $"  # what stands before places more than before people
WHERE = r" (?:in|at|near) $"
TITLES = r"(?:President|King|Queen|Prince|Princess|Sir|Lord|Lady|Dr|Mr|Mrs|Ms|Professor|General|Pope|Saint|St|Mayor|Captain|Judge)\b"
PEOPLE = r"(?i)\b(?:he|she|his|her|him|who)\b"


def other_forms(gap: Gap) -> list[Pair]:
    """Questions on what a blank asks for; none in languages other than English, or if the grammar is not clear."""
    is_english = {gap.prompts.language, gap.fact.chunk.text_language} == {"en"}
    if not is_english or "?" in gap.fact.text or not stands_free(gap):
        return []
    asked = [pair for text in word_order_questions(gap) for pair in as_pairs(text, gap, "wh")]
    return asked or as_pairs(question_in_place(gap), gap, "in_place")


def clause_of(gap: Gap, left: str, right: str) -> tuple[str, str]:
    """What stands to the left and right of the gap in its clause, if that has a verb and is a sentence without the rest; else all."""
    before = re.split(NEXT_CLAUSE, left)[-1]
    after = re.split(rf"{NEXT_CLAUSE}|, (?!\d{{4}}\b)", right)[0].rstrip(" .")
    words = f"{before}{gap.answer}{after}".split()
    is_sentence = find_verb(words) and words[0].lower() not in JOINING | RELATIVE | AUXILIARY and before[:1] != ","
    return (before, after) if is_sentence and len(words) > 4 else (left, right)


def as_pairs(text: str, gap: Gap, made_by: str) -> list[Pair]:
    """The text as a question, if it can be asked."""
    question = " ".join(text.split()).strip(" ,;:.")
    return usable_pairs(question + gap.prompts.table["words"]["question_mark"], gap, made_by) if question else []


def question_in_place(gap: Gap) -> str:
    """The statement with the question phrase in the answer's place: "The town of Hexley is known for what?"."""
    phrase, left, right = question_phrase(gap, gap.left, gap.right)
    opening = gap.left.split(" ")[0].lower()
    counted = gap.kind in ("number", "date", "year", "time") and re.search(ARTICLE, left)
    is_related = not left.strip() and right.strip().split(" ")[0] in RELATIVE  # "What who refuses it?"
    if opening in JOINING or counted or is_related or not right_ends(right, left):
        return ""
    left, right = clause_of(gap, left, right)
    phrase = "what place" if phrase == "where" else phrase
    return f"{left}{phrase}{right}" if phrase else ""


def stands_free(gap: Gap) -> bool:
    """Whether a question phrase can stand for the gap: in no brackets or quotation marks, no part of a compound or a list."""
    left, right = gap.left, gap.right
    inside = left.count("(") > left.count(")") or left.count("[") > left.count("]") or left.count('"') % 2
    joined = re.search(r"[^\s]$", left) or re.match(r"[^\s.,;:!?]|[.,](?=[^\s])|\.(?= [a-z])", right)
    joint = re.match(r",? (?:and|or) ([\w'’-]+)", right)
    listed = re.search(r"\b(?:and|or|/|both|either|between) (?:the |an? )?$", left) or (joint and not is_verb(joint[1]))
    listed = listed or (re.search(r"[A-Z][\w’'-]*, $", left) and re.match(r", [A-Z]", right))
    listed = listed or re.match(r", (?:the )?[A-Z][\w’' -]{0,40},? (?:and|or) ", right)
    return not (inside or joined or listed)


def word_order_questions(gap: Gap) -> list[str]:
    """Questions in question word order; none if the rules do not find the statement's verb."""
    left, right = gap.left, gap.right
    description = predicate = ""
    if gap.kind == "name":
        description, predicate, right = find_asides(left, right)
    phrase, left, right = question_phrase(gap, left, right)
    if not phrase:
        return []
    is_time = gap.kind in ("date", "year", "time")
    ends = right_ends(right, left) or (is_time and left in ("On ", "In "))
    questions = wh_questions(left, phrase, right, is_time) if ends else []
    questions += [f"{phrase} {predicate}"] if predicate else []
    questions += [f"{who_or_what(gap)} is {description}"] if description else []
    return questions


def right_ends(right: str, left: str) -> bool:
    """Whether what is asked for ends at the gap: an adjective ("Irish" of "the Irish game") has its noun after it."""
    following = re.match(r" ([\w'’-]+)", right)
    if not following:
        return True
    word = following[1].lower()
    is_subject = not left.strip() or left.rstrip().endswith(",")
    return word in PREPOSITION | JOINING | (RELATIVE - {"whose"}) or (
        is_verb(word) if is_subject else word in AUXILIARY
    )


def is_verb(word: str) -> bool:
    return bool(word in AUXILIARY or past_of(word) or present_of(word))


def question_phrase(gap: Gap, left: str, right: str) -> tuple[str, str, str]:
    """(phrase, left, right): what asks for the gap, and the rest without the noun or article that it takes in; "" if nothing does."""
    if gap.kind == "number":
        return number_phrase(gap, re.sub(ROUGHLY, "", left), right)
    if gap.kind in ("date", "year", "time"):
        if re.search(rf"(?:{CENTURIES})", gap.answer):
            return "which century", re.sub(ARTICLE, "", left), right
        if gap.kind == "year" or re.fullmatch(rf"\d+ (?:{ERAS})", gap.answer):
            return "what year", left, right
        if gap.kind == "date" and not re.search(r"\d", gap.answer):
            return "what month", left, right
        return ("what date" if gap.kind == "date" else "what time"), left, right
    noun = noun_after(right) if gap.kind != "phrase" else ""
    if is_noun_alone(noun.split(" ")[-1]) and (not left.strip() or re.search(f"{ARTICLE}|{PLACE}", left)):
        return f"which {noun}", re.sub(ARTICLE, "", left), right[len(noun) + 1 :]  # "the Irish cities"
    if gap.kind in ("quoted", "code", "phrase"):
        left = re.sub(ARTICLE, "", left)
        word = left.strip().split(" ")[-1].lower()
        is_part = (
            gap.kind == "phrase" and word and not (word in PREPOSITION | JOINING or is_verb(word) or word.endswith(","))
        )
        return ("" if is_part else "what"), left, right  # no "their what"
    before, after = re.search(NOUN_BEFORE, left), re.match(NOUN_AFTER, gap.right)
    if before and describes(before[1].split()[-1]):
        return f"which {before[1]}", left[: before.start()], right
    left = re.sub(ARTICLE, "", left)
    if after:
        return f"which {after[1]}", left, right
    if is_described(left):
        return "", left, right
    return "where" if re.search(WHERE, left) else who_or_what(gap), left, right


def is_described(left: str) -> bool:
    """Whether a noun stands right before a name: of "professor Ida Holm" no question phrase can take the name alone."""
    words = left.split(" ")[:-1]
    word = words[-1] if words else ""
    known = word in FUNCTION_WORDS | PREPOSITION | JOINING | RELATIVE | AUXILIARY or past_of(word) or present_of(word)
    return bool(re.fullmatch(r"[a-z\d][\w.,-]*", word)) and not known


def number_phrase(gap: Gap, left: str, right: str) -> tuple[str, str, str]:
    """The same for an amount, whose noun may stand after it: "20,000 people"."""
    if gap.unit in MONEY or re.search(rf"[{CURRENCY_SIGNS}]", gap.answer):
        return "how much money", left, right
    if re.fullmatch(r"\d+(?:[-–/:]\d+)+", gap.answer):  # 28-27, 1987/88
        return "what", left, right
    if gap.unit in RATIO or gap.answer.endswith("%"):
        return "what percentage", left, right
    if gap.unit and gap.unit[0].islower() and gap.unit not in ("million", "billion", "trillion", "thousand", "hundred"):
        return f"how many {gap.unit}", left, right
    noun = noun_after(right) if re.fullmatch(r"[\d.,]+(?: [a-z]+)?", gap.answer) else ""
    return (f"how many {noun}", left, right[len(noun) + 1 :]) if noun else ("", left, right)


def noun_after(right: str) -> str:
    """The noun, of one or two words, that begins what follows an amount; "" if none does for certain."""
    following = re.match(r" ((?:[a-z-]+ )?[a-z-]+)(?= |[.,;]|$)", right)
    taken = following[1].split() if following else []
    while taken and (taken[-1] in FUNCTION_WORDS | PREPOSITION or past_of(taken[-1])):
        taken.pop()
    is_noun_phrase = taken and may_be_noun(taken[-1]) and taken[0] not in FUNCTION_WORDS
    return " ".join(taken) if is_noun_phrase else ""


def who_or_what(gap: Gap) -> str:
    """Who for a name whose last word the text uses alone, as of a person; what, or "who or what", for others."""
    name, context = gap.answer, gap.fact.chunk.text
    if re.match(TITLES, name) or re.match(r",? who\b", gap.right):
        return "who"
    if " " not in name and not gap.left.strip() and re.search(PEOPLE, context):
        return "who or what"
    first, _, last = name.partition(" ")
    if not re.fullmatch(r"[^\W\d_’'-]+", last) or re.search(f"{ARTICLE}|{PLACE}", gap.left):
        return "what"
    return "who" if re.search(rf"(?<!{re.escape(first)} )\b{last}\b", context) else "who or what"


def describes(word: str) -> bool:
    """Whether a word between an article and a name can describe the name: "the baker Oswin Tralle"."""
    return word not in FUNCTION_WORDS | PREPOSITION and past_of(word) is None and is_noun(word)
