"""Facts that no document states in their old words any more, though one still says the same in others.

    restated = Restated(valid)                            # the records of all facts that are valid
    restated.find(record, question, answer, SURE)         # the one that still gives this answer, or None

A sentence in which a typo was mended, or that moved to another file in other words, has another text and another quote than the
record of its fact: by these alone the fact would be gone, and as its value is the same, nothing has taken its place either.
Going by the question leaves room for a part: "The mill was built in 1820." still says when the mill that "was built in 1820 by
monks" was built, and no longer by whom.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

from data_processor.curation import contains, names_and_numbers, words
from data_processor.languages import identify_all
from data_processor.spans import find_spans
from days.candidates import FEWEST_SHARED, KINDS, LONGEST_VALUE, Statement

ROOT = 6  # letters, by which "director" and "directed" are one word


class Restated:
    """What all valid facts say, to be searched."""

    def __init__(self, valid: Sequence[dict]):
        self.valid = valid
        self.language = identify_all([record["text"] for record in valid]) if valid else "en"
        self.statements = [Statement(record, self.language) for record in valid]
        self.stems = [self._stems(record["text"]) for record in valid]
        self.roots = [roots(stems) for stems in self.stems]
        self.having: dict[str, list[int]] = defaultdict(list)  # by root, of a text or an answer
        for number, statement in enumerate(self.statements):
            for root in self.roots[number] | roots(self._stems(" ".join({*statement.answers.values()}))):
                self.having[root].append(number)

    def find(self, record: dict, question: str, answer: str, share: float) -> dict | None:
        """The valid fact that gives the same `answer` as one that went: it says most of what the question has of that.

        It has every name, number and other value among these words, and of all of them a `share`. A fact that names another
        value of the same kind beside the answer says that only if it is asked for it: "closes at 19:40 instead of 18:25".
        """
        wanted, needed = self._parts(record, question, answer)
        least = max(min(FEWEST_SHARED, len(wanted)), math.ceil(share * len(wanted)))
        denies = Statement(record, self.language).denies
        near = self._near(wanted, needed, least, self._stems(answer))
        said = {number: len(wanted & self.roots[number]) for number in near if needed <= self.stems[number]}
        found = [number for number, count in said.items() if count >= least]
        found = [one for one in found if self.statements[one].denies == denies and self._tells(one, answer)]
        return self.valid[max(found, key=said.__getitem__)] if found else None

    def _parts(self, record: dict, question: str, answer: str) -> tuple[set[str], set[str]]:
        """The words of a fact that another has to say with its answer, as roots, and as stems those that it must not lack.

        They are those of the question, or all if that has too few of them.
        """
        own = self._stems(record["text"]) - self._stems(answer)
        needed = self._stems(" ".join(names_and_numbers(record["text"])))
        asked = own & self._stems(question)
        if len(asked) >= FEWEST_SHARED:
            others = Statement(record, self.language).answers.values()
            needed |= self._stems(" ".join(one for one in others if is_value(one)))
            own = asked
        return roots(own), needed & own

    def _near(self, wanted: set[str], needed: set[str], least: int, answer: set[str]) -> set[int]:
        """The facts that may say enough, found by what fewest have.

        All of them have each word that none must lack, one of the rarest of the others, and a number or word of the answer.
        """
        told = roots({one for one in answer if one.isdecimal()} or answer)
        lists = sorted((self.having.get(root, []) for root in wanted), key=len)
        ways = [lists[: len(lists) - least + 1], *([self.having.get(root, [])] for root in roots(needed))]
        ways += [[self.having.get(root, []) for root in told]] if told else []
        return {*chain.from_iterable(min(ways, key=lambda way: sum(map(len, way))))}

    def _tells(self, number: int, answer: str) -> bool:
        statement = self.statements[number]
        if not is_value(answer):
            return roots(self._stems(answer)) <= self.roots[number]
        asked = statement.answers.values()
        if any(statement.same(answer, one) for one in asked):
            return True
        return contains(statement.text, answer) and not any(kinds(one) == kinds(answer) for one in asked)

    def _stems(self, text: str) -> set[str]:
        return {written for _, written in Statement({"text": text}, self.language).all_words}


def roots(stems: Iterable[str]) -> set[str]:
    return {one[:ROOT] for one in stems}


def is_value(answer: str) -> bool:
    """Whether an answer is a name, an amount or a few words, and no reason or list, which another text puts otherwise."""
    return len(words(answer)) <= LONGEST_VALUE


def kinds(value: str) -> set[str]:
    return {KINDS.get(kind, kind) for *_, kind in find_spans(value)}
