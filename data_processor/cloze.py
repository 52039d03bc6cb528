"""Questions made by rule from a fact: the generator has no part in them, so they are true whatever it is worth.

"The town thanked the baker Oswin Tralle for soup." gives "The town thanked which baker for soup?", "Which baker did the
town thank for soup?" and, from a few of its words, "Which baker: town thanked soup?".
"""

from __future__ import annotations

import random
import re

from data_processor.curation import FUNCTION_WORDS, contains, content_words, length_in_words, spans, words
from data_processor.facts import Fact
from data_processor.pairs import Pair, about
from data_processor.prompts import Prompts
from data_processor.small_model.word_order import asides, is_noun, wh_question

SHORTEST_CLAUSE = 7  # words a question in place keeps around its gap
CLUES = (3, 7)  # words of a question of clues
CLUE_QUESTIONS = 4  # of each answer


def questions_in_place(fact: Fact, prompts: Prompts) -> list[Pair]:
    """A question for each name, date and number, made by asking in its place (Lewis et al. 2019, cloze questions).

    "X opened on 3 May." gives "X opened on what date?".
    """
    pairs = []
    for span in spans(fact.text, fact.chunk.text):
        gap = Gap(fact, span, prompts)
        pairs += kept(f"{gap.left}{gap.asked}{gap.right}", gap, "gap")
    return pairs


def other_forms(fact: Fact, answer: str, prompts: Prompts) -> list[Pair]:
    """The same in the order of a question, else as a cleft sentence, and from a few words of the fact alone.

    Those stand in any order, with the subject anywhere among them and other words that ask for this kind of answer: a
    question is to be known by what it speaks of and asks for, not by the order in which the document says it.
    """
    span = next(span for span in spans(fact.text, fact.chunk.text) if fact.text[span[0] : span[1]] == answer)
    gap = Gap(fact, span, prompts)
    made = [pair for text in gap.wh() for pair in kept(text, gap, "wh")]
    if prompts.cleft and not made:
        made = kept(gap.cleft(), gap, "cleft")
    draw = random.Random(f"{fact.text} {answer}")
    clues, asked = gap.clues(), [gap.asked, *gap.also_asked()]
    draw.shuffle(asked)
    for number in range(CLUE_QUESTIONS) if prompts.clues else ():
        some = sorted(draw.sample(range(len(clues)), min(len(clues), draw.randint(*CLUES))))
        if draw.random() < 0.5:
            draw.shuffle(some)
        said = [clues[place] for place in some]
        if gap.names_subject:
            said.insert(draw.randint(0, len(said)), fact.subject)
        form = draw.choice(prompts.clues)
        made += kept(form.format(asked=asked[number % len(asked)], clues=" ".join(said)), gap, "clues")
    return made


class Gap:
    """A span of a fact that is asked for, and its clause around it. `asked` stands in its place: "which baker"."""

    def __init__(self, fact: Fact, span: tuple[int, int, str], prompts: Prompts):
        start, end, self.kind = span
        self.fact, self.prompts, self.start, self.end = fact, prompts, start, end
        self.answer = fact.text[start:end]
        self.unit = self.answer.split(" ")[-1] if " " in self.answer else ""
        self.left, self.right = clause_around(fact.text, start, end)
        whole = self.left
        self.form, self.noun = self._form()
        self.asked = self._with(prompts.gaps[self.form])
        self.removed = whole[len(self.left) :]  # the noun or article that the question word stands for too

    def _with(self, words: str) -> str:
        return words.format(noun=self.noun, unit=self.unit).strip()

    def _form(self) -> tuple[str, str]:
        """Which of the prompts' `gaps` stands in its place, and the noun that it takes along; `left` is then without it."""
        if self.kind == "number":
            if re.fullmatch(r"\d+(?:-\d+|[a-z]+)", self.answer):  # 28-27, 1970s
                return "name", ""
            return "money" if self.unit in self.prompts.money else "number", ""
        if self.kind == "date" and not re.search(r"\d", self.answer):
            return "month", ""
        if self.kind != "name":
            return self.kind, ""
        before, after = re.search(self.prompts.noun_before, self.left), re.match(self.prompts.noun_after, self.right)
        if before and is_noun(before[1].split()[-1]):  # "the baker Oswin Tralle"
            self.left = self.left[: before.start()]
            return "noun", before[1]
        if after:  # "Oswin Tralle, a baker,"
            return "noun", after[1]
        self.left = re.sub(self.prompts.article, "", self.left)
        return self._who_or_what(), ""

    def _who_or_what(self) -> str:
        """A name of two words is taken for a person's, unless an article stands before it: "the Old Mill"."""
        two_words = len(self.answer.split()) == 2 and self.answer.replace(" ", "").isalpha()
        person = two_words and not re.search(self.prompts.article, self.fact.text[: self.start])
        return "person" if person else "name"

    def also_asked(self) -> list[str]:
        """Other words that ask for the same kind of answer: "what price", "how far"."""
        if self.kind == "number" and self.form == "name":
            return []
        for unit, *asked in self.prompts.also_asked_by_unit:
            if self.form == "number" and re.fullmatch(unit, self.unit):
                return asked
        forms = ["noun", self._who_or_what()] if self.form == "noun" else [self.form]
        return [self._with(words) for form in forms for words in self.prompts.also_asked.get(form, ())]

    def wh(self) -> list[str]:
        """Questions in the order of questions, where the language has rules for it."""
        if not self.prompts.word_order:
            return []
        left, right = self.fact.text[: self.start].removesuffix(self.removed), self.fact.text[self.end :]
        description, predicate, right = (
            asides(self.fact.text[: self.start], right) if self.kind == "name" else ("", "", right)
        )
        made = [wh_question(left, self.asked, right, self.kind in ("date", "year"))]
        made += [f"{self.asked} {predicate}"] if predicate else []
        made += [f"{self.prompts.gaps[self._who_or_what()]} is {description}"] if description else []
        return [text for text in made if text]

    def cleft(self) -> str:
        """The clause with what is asked for in front: "When was it that X opened?"."""
        asked, before = self.asked, self.left
        if self.kind in self.prompts.cleft_gaps:
            asked, before = self.prompts.cleft_gaps[self.kind], re.sub(self.prompts.cleft_drops, "", before)
        before, after = before.strip(" ,"), self.right.strip(" ,")
        if not before:
            return f"{asked} {after}"
        if before.split(" ")[0].lower() in FUNCTION_WORDS:
            before = before[0].lower() + before[1:]
        return self.prompts.cleft.format(asked=asked, rest=f"{before} {after}")

    def clues(self) -> list[str]:
        """The words that say something: of the whole fact, but of the clause alone where more in the fact is of its kind."""
        rest = f"{self.fact.text[: self.start]} {self.fact.text[self.end :]}"
        if sum(kind == self.kind for _, _, kind in spans(self.fact.text, self.fact.chunk.text)) > 1:
            rest = f"{self.left} {self.right}"
        drop = words(self.fact.subject) if self.names_subject else ()
        found = re.findall(r"[\w.,'’-]*\w", rest)
        return [word for word in found if word.lower() not in FUNCTION_WORDS and word.lower() not in drop]

    @property
    def names_subject(self) -> bool:
        """Whether its questions name the subject: it has one, and it is not what is asked for."""
        subject = self.fact.subject
        return bool(subject) and not contains(subject, self.answer) and not contains(self.answer, subject)


def kept(text: str, gap: Gap, made: str) -> list[Pair]:
    """The question as a pair; none where too little is left of it, or the answer is in it or in the subject."""
    question = " ".join(text.replace('"', " ").split()).strip(" ,;:.，；：。") + gap.prompts.question_mark
    part_of_subject = set(words(gap.answer)) < set(words(gap.fact.subject))
    if len(content_words(question)) < 2 or contains(question, gap.answer) or part_of_subject:
        return []
    question = question[0].upper() + question[1:]
    return [Pair(about(question, gap.fact, gap.answer, gap.prompts), gap.answer, gap.fact, made)]


def clause_around(text: str, start: int, end: int) -> tuple[str, str]:
    """The text left and right of a span, as far as its clause goes, widened to SHORTEST_CLAUSE words."""
    cuts = [0, *(match.end() for match in re.finditer(r"[,;:] |[，；：]", text)), len(text)]
    first = max(i for i in range(len(cuts) - 1) if cuts[i] <= start)
    last = next(i for i in range(len(cuts)) if cuts[i] >= end)
    while clause_length(text[cuts[first] : start] + text[end : cuts[last]]) < SHORTEST_CLAUSE:
        if first > 0:
            first -= 1
        elif last < len(cuts) - 1:
            last += 1
        else:
            break
    return text[cuts[first] : start], text[end : cuts[last]]


def clause_length(text: str) -> float:
    """In words; those of a text written without spaces are counted by its characters."""
    return max(len(text.split()), length_in_words(text) if not text.isascii() else 0)
