"""A cloze question in other English forms: in question word order, or else as a cleft sentence.

"The town thanked the baker Oswin Tralle for soup." gives "Which baker did the town thank for soup?".
"""

from __future__ import annotations

import re

from data_processor.curation import FUNCTION_WORDS, find_spans
from data_processor.pairs import Fact, Pair
from data_processor.prompts import Prompts
from data_processor.small_model.cloze import GAPS, Gap, usable_pairs
from data_processor.small_model.word_order import find_asides, wh_question

# A cleft sentence puts the question phrase in front of its clause, which then loses the preposition before the gap.
CLEFT = "{asked} was it that {rest}"
CLEFT_GAPS = {"date": "when", "year": "in what year"}
CLEFT_DROPS = r"\b(?:[Oo]n|[Ii]n) $"


def other_forms(fact: Fact, answer: str, prompts: Prompts) -> list[Pair]:
    """The question in question word order, or else as a cleft sentence; none in languages other than English."""
    if {prompts.language, fact.chunk.text_language} != {"en"}:
        return []
    span = next(span for span in find_spans(fact.text, fact.chunk.text) if fact.text[span[0] : span[1]] == answer)
    gap = Gap(fact, span, prompts)
    in_word_order = [pair for text in word_order_questions(gap) for pair in usable_pairs(text, gap, "wh")]
    return in_word_order or usable_pairs(cleft_question(gap), gap, "cleft")


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
