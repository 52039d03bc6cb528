"""Questions made from a fact by rule. The generator plays no part, so they are as true as the fact.

A blank takes the place of the answer (cloze questions, Lewis et al. 2019): "The town thanked the baker Oswin Tralle for soup."
gives "Fill in the blank: The town thanked the baker ____ for soup." In Chinese a question phrase does, as in any Chinese
question. What is asked for is each name, date and number, or, in English, phrases where there are none (phrases.py).
"""

from __future__ import annotations

import re

from data_processor.curation import contains, content_words, find_spans, length_in_words, names_and_numbers, words
from data_processor.pairs import Fact, Pair
from data_processor.prompts import Prompts
from data_processor.small_model.facts import depends_on_context
from data_processor.small_model.phrases import find_phrases
from data_processor.span_words import CURRENCY_SIGNS

BLANK = "____"
MAX_WORDS, CLAUSE_WORDS = 30, 12  # of a sentence with more, the clause around the blank is shown, and at least so much
PHRASES = 3  # asked for in a fact without a name, date or number
CHINESE = {
    "date": "什么时候", "month": "哪个月", "year": "哪一年", "time": "几点", "number": "多少{unit}",
    "money": "多少钱", "name": "什么", "quoted": "什么", "code": "什么",
}  # fmt: skip
POSSESSIVE = re.compile(r"['’]s?$")


def find_gaps(fact: Fact, prompts: Prompts) -> list[Gap]:
    """What a fact can be asked for."""
    spans = find_spans(fact.text, fact.chunk.text)
    label = prompts.table["words"]["about_prefix"].format(subject=fact.subject, question="")
    told = len(label) if fact.subject and fact.text.startswith(label) else 0  # see facts.make_standalone
    places = [span for span in spans if span[0] >= told]
    if not places and fact.chunk.text_language == "en":
        found = find_phrases(fact.text[told:])[:PHRASES]
        places = [(start + told, end + told, "phrase") for start, end in found]
    return [Gap(fact, place, prompts, told) for place in places]


class Gap:
    """A span of a fact to ask for. `left` and `right` are the rest of the statement, without the subject put before it."""

    def __init__(self, fact: Fact, span: tuple[int, int, str], prompts: Prompts, told: int = 0):
        start, end, self.kind = span
        if self.kind == "name" and fact.chunk.text_language == "en":  # "Istanbul" of "Istanbul's economy"
            end -= len(fact.text[start:end]) - len(POSSESSIVE.sub("", fact.text[start:end]))
        self.fact, self.prompts = fact, prompts
        self.answer, self.left, self.right = fact.text[start:end], fact.text[told:start], fact.text[end:]
        self.unit = self.answer.split(" ")[-1] if " " in self.answer else ""

    def cloze(self) -> list[Pair]:
        """The statement with a blank, or the question phrase of a Chinese one, in the answer's place; none if that cannot be asked."""
        if self.prompts.language == "zh" and self.fact.chunk.text_language in ("zh", "en") and self.kind in CHINESE:
            left, right = clause_around(self.left, self.answer, self.right, 7)
            question = f"{left}{CHINESE[self.chinese_kind()].format(unit=self.unit)}{right}".strip(" ,;:.，；：。")
            return usable_pairs(question + self.prompts.table["words"]["question_mark"], self, "gap")
        left, right = self.left, self.right
        if clause_length(f"{left} {right}") > MAX_WORDS:
            left, right = clause_around(left, self.answer, right, CLAUSE_WORDS)
            left = left if self.left.strip() == left.strip() else f"… {left}"
            right = right if self.right.strip() == right.strip() else f"{right.rstrip(' ,;:')} …"
        statement = " ".join(f"{left}{BLANK}{right}".split())
        return usable_pairs(statement, self, "gap", self.prompts.table["words"]["fill_in"])

    def chinese_kind(self) -> str:
        """The key in CHINESE of what asks for the answer."""
        if self.kind == "number":
            if re.fullmatch(r"\d+(?:(?:[-–/:]\d+)+|[a-z]+)", self.answer):  # 28-27, 1987/88, 1970s
                return "name"
            return "money" if re.search(rf"[{CURRENCY_SIGNS}]", self.answer) else "number"
        return "month" if self.kind == "date" and not re.search(r"\d", self.answer) else self.kind


def usable_pairs(question: str, gap: Gap, made_by: str, form: str = "{text}", labelled: bool = True) -> list[Pair]:
    """The question as a pair, or none if too little is left of it, or the question or the subject gives the answer away."""
    part_of_subject = set(words(gap.answer)) < set(words(gap.fact.subject))
    question = question[0].upper() + question[1:]
    named = with_subject(question, gap.fact, gap.answer, gap.prompts) if labelled else question
    if len(content_words(named)) < 2 or contains(question, gap.answer) or part_of_subject:
        return []
    return [Pair(form.format(text=named), gap.answer, gap.fact, made_by)]


def with_subject(question: str, fact: Fact, answer: str, prompts: Prompts) -> str:
    """The question, prefixed with its subject unless it already names the subject or asks for it.

    A subject that is only the most frequent name of its text is left out if the question has a name or number of its own.
    """
    if prompts.language == "zh":
        is_named = contains(question, fact.subject)
    else:
        is_named = bool(set(words(fact.subject)) & set(words(question)))
    is_guess = prompts.language != "zh" and not contains(fact.chunk.title, fact.subject)
    is_clear = is_guess and bool(names_and_numbers(question)) and not depends_on_context(prompts.language, fact.quote)
    if not fact.subject or is_named or is_clear or contains(fact.subject, answer):
        return question[0].upper() + question[1:]
    return prompts.table["words"]["about_prefix"].format(subject=fact.subject, question=question)


def clause_around(left: str, answer: str, right: str, fewest: int) -> tuple[str, str]:
    """What stands to the left and right of an answer within its clause, widened to `fewest` words."""
    text, start, end = f"{left}{answer}{right}", len(left), len(left) + len(answer)
    cuts = [0, *(match.end() for match in re.finditer(r"(?:,(?! \d{4}\b)|[;:]) |[，；：]", text)), len(text)]
    first = max(i for i in range(len(cuts) - 1) if cuts[i] <= start)
    last = next(i for i in range(len(cuts)) if cuts[i] >= end)
    while clause_length(text[cuts[first] : start] + text[end : cuts[last]]) < fewest:
        if first > 0:
            first -= 1
        elif last < len(cuts) - 1:
            last += 1
        else:
            break
    return text[cuts[first] : start], text[end : cuts[last]]


def clause_length(text: str) -> float:
    """In words; where a text is written without spaces, they are estimated from its characters."""
    return max(len(text.split()), length_in_words(text) if not text.isascii() else 0)
