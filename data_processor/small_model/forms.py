"""A question in place asked in further forms, in English: in the order of a question, as a cleft sentence, from clues.

"The town thanked the baker Oswin Tralle for soup." gives "Which baker did the town thank for soup?" and, from a few of its
words, "Which baker: town thanked soup?".
"""

from __future__ import annotations

import random
import re

from data_processor.cloze import GAPS, Gap, kept
from data_processor.curation import FUNCTION_WORDS, contains, spans, words
from data_processor.facts import Fact
from data_processor.pairs import Pair
from data_processor.prompts import Prompts
from data_processor.small_model.word_order import asides, wh_question

# A cleft sentence has what is asked for in front of its clause, which then has no preposition of its own for it.
CLEFT = "{asked} was it that {rest}"
CLEFT_GAPS = {"date": "when", "year": "in what year"}
CLEFT_DROPS = r"\b(?:[Oo]n|[Ii]n) $"
CLUES = (3, 7)  # words of a question of clues
CLUE_QUESTIONS = 4  # of each answer
CLUE_FORMS = ("{asked}: {clues}", "{clues}, {asked}")
# Other words that ask for the same kind of answer, taken in turn with those of GAPS; for a number by its unit, if known.
ALSO_ASKED = {
    "date": ("when", "on which day", "what day"),
    "month": ("when", "which month"),
    "year": ("when", "in which year"),
    "number": ("how many", "what number", "how large a number"),
    "money": ("how much", "what price", "what sum", "what cost"),
    "name": ("which", "what name"),
    "noun": ("what {noun}",),
    "person": ("whom", "which person", "what is the name of the person"),
    "quoted": ("what title", "which"),
}
ALSO_ASKED_BY_UNIT = (
    (r"metres?|meters?|kilomet(?:re|er)s?|miles?|feet|km|m", "how far", "how high", "how deep", "how long", "what length"),
    (r"seconds?|minutes?|hours?|days?|nights?|weeks?|months?", "how long", "what length of time"),
    (r"years?", "how old", "what age", "how long"),
    (r"degrees?|Celsius", "how warm", "how cold", "what temperature"),
    (r"percent|cent", "what share", "what percentage", "what part"),
    (r"kg|kilograms?|tons?|tonnes?|pounds?", "how heavy", "what weight"),
    (r"[kmgt]b|\w+bytes?", "how much", "what size", "how large"),
)  # fmt: skip


def other_forms(fact: Fact, answer: str, prompts: Prompts) -> list[Pair]:
    """The same in the order of a question, else as a cleft sentence, and from a few words of the fact alone.

    Those stand in any order, with the subject anywhere among them and other words that ask for this kind of answer: a
    question is to be known by what it speaks of and asks for, not by the order in which the document says it. None in
    another language than English.
    """
    if prompts.language != "en":
        return []
    span = next(span for span in spans(fact.text, fact.chunk.text) if fact.text[span[0] : span[1]] == answer)
    gap = Gap(fact, span, prompts)
    made = [pair for text in in_word_order(gap) for pair in kept(text, gap, "wh")] or kept(cleft(gap), gap, "cleft")
    draw = random.Random(f"{fact.text} {answer}")
    clues, asked = clues_of(gap), [gap.asked, *also_asked(gap)]
    draw.shuffle(asked)
    for number in range(CLUE_QUESTIONS):
        some = sorted(draw.sample(range(len(clues)), min(len(clues), draw.randint(*CLUES))))
        if draw.random() < 0.5:
            draw.shuffle(some)
        said = [clues[place] for place in some]
        if names_subject(gap):
            said.insert(draw.randint(0, len(said)), fact.subject)
        form = draw.choice(CLUE_FORMS)
        made += kept(form.format(asked=asked[number % len(asked)], clues=" ".join(said)), gap, "clues")
    return made


def in_word_order(gap: Gap) -> list[str]:
    """Questions in the order of questions; none where the rules do not find the statement's verb."""
    before, right = gap.fact.text[: gap.start], gap.fact.text[gap.end :]
    description, predicate, right = asides(before, right) if gap.kind == "name" else ("", "", right)
    made = [wh_question(before.removesuffix(gap.removed), gap.asked, right, gap.kind in ("date", "year"))]
    made += [f"{gap.asked} {predicate}"] if predicate else []
    made += [f"{GAPS['en'][gap.who_or_what()]} is {description}"] if description else []
    return [text for text in made if text]


def cleft(gap: Gap) -> str:
    """The clause with what is asked for in front: "When was it that X opened?"."""
    asked, before = gap.asked, gap.left
    if gap.kind in CLEFT_GAPS:
        asked, before = CLEFT_GAPS[gap.kind], re.sub(CLEFT_DROPS, "", before)
    before, after = before.strip(" ,"), gap.right.strip(" ,")
    if not before:
        return f"{asked} {after}"
    if before.split(" ")[0].lower() in FUNCTION_WORDS:
        before = before[0].lower() + before[1:]
    return CLEFT.format(asked=asked, rest=f"{before} {after}")


def clues_of(gap: Gap) -> list[str]:
    """The words that say something: of the whole fact, but of the clause alone where more in the fact is of its kind."""
    text = gap.fact.text
    rest = f"{text[: gap.start]} {text[gap.end :]}"
    if sum(kind == gap.kind for _, _, kind in spans(text, gap.fact.chunk.text)) > 1:
        rest = f"{gap.left} {gap.right}"
    drop = words(gap.fact.subject) if names_subject(gap) else ()
    found = re.findall(r"[\w.,'’-]*\w", rest)
    return [word for word in found if word.lower() not in FUNCTION_WORDS and word.lower() not in drop]


def names_subject(gap: Gap) -> bool:
    """Whether a question for it names the subject: there is one, and it is not what is asked for."""
    subject = gap.fact.subject
    return bool(subject) and not contains(subject, gap.answer) and not contains(gap.answer, subject)


def also_asked(gap: Gap) -> list[str]:
    """Other words that ask for the same kind of answer: "what price", "how far"."""
    if gap.kind == "number" and gap.form == "name":
        return []
    for unit, *asked in ALSO_ASKED_BY_UNIT:
        if gap.form == "number" and re.fullmatch(unit, gap.unit):
            return asked
    forms = ["noun", gap.who_or_what()] if gap.form == "noun" else [gap.form]
    return [gap.phrase(words) for form in forms for words in ALSO_ASKED.get(form, ())]
