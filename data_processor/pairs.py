"""A fact with its quotes, and a pair of a question and its answer."""

from __future__ import annotations

from dataclasses import dataclass

from data_processor.chunking import Chunk
from data_processor.curation import contains
from data_processor.numbered import Span
from data_processor.prompts import Prompts
from data_processor.work import Work


@dataclass
class Fact:
    """A statement that stands alone, with its quotes: parts of its chunk, from `start` to `end`, and `more` of them."""

    text: str
    chunk: Chunk
    start: int
    end: int
    subject: str
    theme: str = ""
    lead_in: str = ""  # what has to be known to understand the quote: of a list item "The notice must contain:"
    more: tuple[Span, ...] = ()

    @property
    def quote(self) -> str:
        return self.chunk.text[self.start : self.end]

    @property
    def spans(self) -> list[Span]:
        """Of all its quotes."""
        return [(self.start, self.end), *self.more]


@dataclass
class Pair:
    """A question with its answer from a fact.

    `made_by` is its origin: model, role (the model, as someone in a role would ask), unknown, or the name of a rule of the
    small model's (gap, wh, in_place, cue). `form` is what the model was asked for (questions.FORMS), or "cue" (split.CUE).
    `second` is the other fact that the answer needs, if it needs two. `points` are what any right answer must hold, if it
    is long.
    """

    question: str
    answer: str
    fact: Fact
    made_by: str
    role: str = ""
    form: str = ""
    points: tuple[str, ...] = ()
    second: Fact | None = None

    @property
    def kind(self) -> str:
        """qa; reverse if the answer is what the fact is about; unknown if there is no answer.

        Of other forms no answer asks for a subject, though "Yes, Ann Pellow opened it." has one.
        """
        if self.made_by == "unknown":
            return "unknown"
        if self.form not in ("", "short", "cue"):
            return "reverse" if self.form == "reverse" else "qa"
        subject = self.fact.subject
        return "reverse" if contains(subject, self.answer) or contains(self.answer, subject) else "qa"


def prompts_for(work: Work, fact: Fact) -> Prompts:
    return work.prompts[fact.chunk.language]
