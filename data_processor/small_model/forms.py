"""A cloze question in other English forms: in question word order, as a cleft sentence, and from a few clues.

"The town thanked the baker Oswin Tralle for soup." gives "Which baker did the town thank for soup?" and, from a few of its
words, "Which baker: town thanked soup?".
"""

from __future__ import annotations

import random
import re

from data_processor.curation import FUNCTION_WORDS, contains, find_spans, words
from data_processor.pairs import Fact, Pair
from data_processor.prompts import Prompts
from data_processor.small_model.cloze import GAPS, Gap, usable_pairs
from data_processor.small_model.word_order import find_asides, wh_question

# A cleft sentence puts the question phrase in front of its clause, which then loses the preposition before the gap.
CLEFT = "{asked} was it that {rest}"
CLEFT_GAPS = {"date": "when", "year": "in what year"}
CLEFT_DROPS = r"\b(?:[Oo]n|[Ii]n) $"
CLUE_WORDS = (3, 7)  # in a clue question
CLUE_QUESTIONS = 4  # per answer
CLUE_FORMS = ("{asked}: {clues}", "{clues}, {asked}")
# Other phrases that ask for the same kind of answer, in rotation with those of GAPS; for a number by its unit, if known.
OTHER_PHRASES = {
    "date": ("when", "on which day", "what day"),
    "month": ("when", "which month"),
    "year": ("when", "in which year"),
    "century": ("when", "what century"),
    "time": ("when", "at what time"),
    "number": ("how many", "what number", "how large a number"),
    "money": ("how much", "what price", "what sum", "what cost"),
    "name": ("which", "what name"),
    "noun": ("what {noun}",),
    "person": ("whom", "which person", "what is the name of the person"),
    "quoted": ("what title", "which"),
    "code": ("which",),
}
OTHER_PHRASES_BY_UNIT = (
    (r"metres?|meters?|kilomet(?:re|er)s?|miles?|feet|km|m", "how far", "how high", "how deep", "how long", "what length"),
    (r"seconds?|minutes?|hours?|days?|nights?|weeks?|months?", "how long", "what length of time"),
    (r"years?", "how old", "what age", "how long"),
    (r"degrees?|Celsius", "how warm", "how cold", "what temperature"),
    (r"percent|cent", "what share", "what percentage", "what part"),
    (r"kg|kilograms?|tons?|tonnes?|pounds?", "how heavy", "what weight"),
    (r"[kmgt]b|\w+bytes?", "how much", "what size", "how large"),
)  # fmt: skip


def other_forms(fact: Fact, answer: str, prompts: Prompts) -> list[Pair]:
    """The question in question word order, or else as a cleft sentence; and from just a few words of the fact, as clues.

    Clues come in any order, with the subject anywhere among them and varying question phrases, so that a question is
    recognised by its topic and what it asks for, not by the document's word order. None in languages other than English.
    """
    if {prompts.language, fact.chunk.text_language} != {"en"}:
        return []
    span = next(span for span in find_spans(fact.text, fact.chunk.text) if fact.text[span[0] : span[1]] == answer)
    gap = Gap(fact, span, prompts)
    pairs = [pair for text in word_order_questions(gap) for pair in usable_pairs(text, gap, "wh")] or usable_pairs(
        cleft_question(gap), gap, "cleft"
    )
    rng = random.Random(f"{fact.text} {answer}")
    clues, phrases = clue_words(gap), [gap.question_phrase, *other_phrases(gap)]
    rng.shuffle(phrases)
    for number in range(CLUE_QUESTIONS):
        chosen = sorted(rng.sample(range(len(clues)), min(len(clues), rng.randint(*CLUE_WORDS))))
        if rng.random() < 0.5:
            rng.shuffle(chosen)
        chosen_clues = [clues[index] for index in chosen]
        if can_name_subject(gap):
            chosen_clues.insert(rng.randint(0, len(chosen_clues)), fact.subject)
        form = rng.choice(CLUE_FORMS)
        text = form.format(asked=phrases[number % len(phrases)], clues=" ".join(chosen_clues))
        pairs += usable_pairs(text, gap, "clues")
    return pairs


def word_order_questions(gap: Gap) -> list[str]:
    """Questions in question word order; none if the rules do not find the statement's verb."""
    before, right = gap.fact.text[: gap.start], gap.fact.text[gap.end :]
    description, predicate, right = find_asides(before, right) if gap.kind == "name" else ("", "", right)
    questions = [
        wh_question(before.removesuffix(gap.removed), gap.question_phrase, right, gap.kind in ("date", "year"))
    ]
    questions += [f"{gap.question_phrase} {predicate}"] if predicate else []
    questions += [f"{GAPS['en'][gap.who_or_what()]} is {description}"] if description else []
    return [text for text in questions if text]


def cleft_question(gap: Gap) -> str:
    """The clause with the question phrase in front: "When was it that X opened?"."""
    phrase, before = gap.question_phrase, gap.left
    if gap.kind in CLEFT_GAPS:
        phrase, before = CLEFT_GAPS[gap.kind], re.sub(CLEFT_DROPS, "", before)
    before, after = before.strip(" ,"), gap.right.strip(" ,")
    if not before:
        return f"{phrase} {after}"
    if before.split(" ")[0].lower() in FUNCTION_WORDS:
        before = before[0].lower() + before[1:]
    return CLEFT.format(asked=phrase, rest=f"{before} {after}")


def clue_words(gap: Gap) -> list[str]:
    """The content words of the fact, or of the clause alone if the fact has several answers of the gap's kind."""
    text = gap.fact.text
    rest = f"{text[: gap.start]} {text[gap.end :]}"
    if sum(kind == gap.kind for _, _, kind in find_spans(text, gap.fact.chunk.text)) > 1:
        rest = f"{gap.left} {gap.right}"
    subject_words = words(gap.fact.subject) if can_name_subject(gap) else ()
    candidates = re.findall(r"[\w.,'’/:@-]*\w", rest)
    return [word for word in candidates if word.lower() not in FUNCTION_WORDS and word.lower() not in subject_words]


def can_name_subject(gap: Gap) -> bool:
    """Whether a question can name the subject: there is one, and it is not the answer."""
    subject = gap.fact.subject
    return bool(subject) and not contains(subject, gap.answer) and not contains(gap.answer, subject)


def other_phrases(gap: Gap) -> list[str]:
    """Other phrases that ask for the same kind of answer: "what price", "how far"."""
    if gap.kind == "number" and gap.form == "name":
        return []
    for unit, *phrases in OTHER_PHRASES_BY_UNIT:
        if gap.form == "number" and re.fullmatch(unit, gap.unit):
            return phrases
    forms = ["noun", gap.who_or_what()] if gap.form == "noun" else [gap.form]
    return [gap.fill(template) for form in forms for template in OTHER_PHRASES.get(form, ())]
