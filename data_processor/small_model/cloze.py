"""Questions made from a fact by rule. The generator plays no part, so they are as true as the fact.

A question phrase replaces the answer (cloze questions, Lewis et al. 2019): "The town thanked the baker Oswin Tralle for
soup." gives "The town thanked which baker for soup?".
"""

from __future__ import annotations

import re
from functools import lru_cache

from data_processor.curation import FUNCTION_WORDS, contains, content_words, find_spans, length_in_words, words
from data_processor.pairs import Fact, Pair
from data_processor.prompts import Prompts
from data_processor.small_model.pairs import with_subject
from data_processor.span_words import CENTURIES, CURRENCY_SIGNS, ERAS

MIN_CLAUSE_WORDS = 7  # that a cloze question keeps around its gap
BLANK = "____"  # which any language can be asked with

# By language and kind of answer, the question phrase. A name is asked for by the noun beside it, or as a person if it has
# two words.
GAPS = {
    "en": {
        "date": "what date", "month": "what month", "year": "what year", "century": "which century", "time": "what time", "number": "how many {unit}",
        "money": "how much money", "name": "what", "noun": "which {noun}", "person": "who", "quoted": "what",
        "code": "what",
    },
    "zh": {
        "date": "什么时候", "month": "哪个月", "year": "哪一年", "century": "哪个世纪", "time": "几点", "number": "多少{unit}",
        "money": "多少钱", "name": "什么", "quoted": "什么", "code": "什么",
    },
}  # fmt: skip
MONEY = {"en": frozenset("dollars euros pounds yen yuan rupees crowns francs cents".split())}
# English only: the noun before a name ("the baker Oswin Tralle") or after it ("Oswin Tralle, a baker,").
NOUN_BEFORE = r"(?i:\b(?:the|a|an|its|his|her|their)) ((?:[a-z][a-z-]+ )?[a-z][a-z-]+) $"
NOUN_AFTER = r", (?:the|a|an) (?:former |new |old |small |large )?([a-z][a-z-]+)(?:,| (?:who|whose|that|which|of)\b)"
ARTICLE = r"\b[Tt]he $"
PREPOSITION = frozenset(
    "of in on at to for by with from as into over under after before since until during between against about near".split()
)


def cloze_questions(fact: Fact, prompts: Prompts) -> list[Pair]:
    """A question for each name, date and number, asked in its place.

    "X opened on 3 May." gives "X opened on what date?", and in a language that GAPS lacks "X opened on ____?".
    """
    pairs = []
    for span in find_spans(fact.text, fact.chunk.text):
        gap = Gap(fact, span, prompts)
        pairs += usable_pairs(f"{gap.left}{gap.question_phrase}{gap.right}", gap, "gap")
    return pairs


class Gap:
    """A span of a fact to ask for, with the clause around it. `question_phrase` replaces it: "which baker"."""

    def __init__(self, fact: Fact, span: tuple[int, int, str], prompts: Prompts):
        start, end, self.kind = span
        self.fact, self.prompts, self.start, self.end = fact, prompts, start, end
        self.answer = fact.text[start:end]
        self.unit = self.answer.split(" ")[-1] if " " in self.answer else ""
        self.left, self.right = clause_around(fact.text, start, end)
        whole_left = self.left
        has_words = {prompts.language, fact.chunk.text_language} <= GAPS.keys()
        self.form, self.noun = self._choose_form() if has_words else ("blank", "")
        self.question_phrase = self.fill(GAPS[prompts.language][self.form]) if has_words else BLANK
        self.removed = whole_left[len(self.left) :]  # the noun or article that the question phrase replaces too

    def fill(self, template: str) -> str:
        """A question phrase with the gap's own noun or unit filled in: "which {noun}" gives "which baker"."""
        return template.format(noun=self.noun, unit=self.unit).strip()

    def _choose_form(self) -> tuple[str, str]:
        """The key in GAPS of the phrase to use, and the noun it absorbs; a noun or article is then cut from `left`."""
        if self.kind == "number":
            if re.fullmatch(r"\d+(?:(?:[-–/:]\d+)+|[a-z]+)", self.answer):  # 28-27, 1987/88, 1970s
                return "name", ""
            is_money = self.unit in MONEY.get(self.prompts.language, ()) or re.search(
                rf"[{CURRENCY_SIGNS}]", self.answer
            )
            return "money" if is_money else "number", ""
        if self.kind == "date":
            return self._form_of_date(), ""
        if self.kind != "name" or self.prompts.language != "en":  # no space shows where a Chinese noun begins
            return self.kind, ""
        before, after = re.search(NOUN_BEFORE, self.left), re.match(NOUN_AFTER, self.right)
        if before and is_noun(before[1].split()[-1]):
            self.left = self.left[: before.start()]
            return "noun", before[1]
        if after:
            return "noun", after[1]
        self.left = re.sub(ARTICLE, "", self.left)
        return self.who_or_what(), ""

    def _form_of_date(self) -> str:
        """month for "October", century for "19th century", whose article is cut from `left`, year for "44 BC"; else date."""
        if re.search(rf"(?:{CENTURIES})", self.answer) and self.prompts.language == "en":
            self.left = re.sub(ARTICLE, "", self.left)
            return "century"
        if re.fullmatch(rf"\d+ (?:{ERAS})", self.answer):
            return "year"
        return "date" if re.search(r"\d", self.answer) else "month"

    def who_or_what(self) -> str:
        """Treat a two-word name as a person's unless an article precedes it: "the Old Mill"."""
        two_words = len(self.answer.split()) == 2 and self.answer.replace(" ", "").isalpha()
        return "person" if two_words and not re.search(ARTICLE, self.fact.text[: self.start]) else "name"


def usable_pairs(text: str, gap: Gap, made_by: str) -> list[Pair]:
    """The question as a pair, or none if too little is left of it, or the question or the subject gives the answer away."""
    question = (
        " ".join(text.replace('"', " ").split()).strip(" ,;:.，；：。") + gap.prompts.table["words"]["question_mark"]
    )
    part_of_subject = set(words(gap.answer)) < set(words(gap.fact.subject))
    if len(content_words(question)) < 2 or contains(question, gap.answer) or part_of_subject:
        return []
    question = question[0].upper() + question[1:]
    return [Pair(with_subject(question, gap.fact, gap.answer, gap.prompts), gap.answer, gap.fact, made_by)]


def clause_around(text: str, start: int, end: int) -> tuple[str, str]:
    """The text to the left and right of a span within its clause, widened to MIN_CLAUSE_WORDS words."""
    cuts = [0, *(match.end() for match in re.finditer(r"(?:,(?! \d{4}\b)|[;:]) |[，；：]", text)), len(text)]
    first = max(i for i in range(len(cuts) - 1) if cuts[i] <= start)
    last = next(i for i in range(len(cuts)) if cuts[i] >= end)
    while clause_length(text[cuts[first] : start] + text[end : cuts[last]]) < MIN_CLAUSE_WORDS:
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


def is_noun(word: str) -> bool:
    """Whether an English word between an article and a name can describe the name: "the baker Oswin Tralle"."""
    return word not in FUNCTION_WORDS | PREPOSITION and base_form(word) is None


@lru_cache(maxsize=1 << 17)  # in a big folder names and numbers never end
def base_form(word: str) -> str | None:
    """The base form of an English verb in the simple past ("won" gives "win"), or None for any other word."""
    from lemminflect import getAllLemmas, getInflection

    for base in getAllLemmas(word, upos="VERB").get("VERB", ()):
        if word in getInflection(base, "VBD"):
            return base
    return None
