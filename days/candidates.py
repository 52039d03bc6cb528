"""Facts that may contradict one another, by rule: the same subject and relation, and another value of the same kind.

    find_rivals(facts, fresh)    # pairs such as "The shop closes at 18:25." and "The shop now closes at 19:40."

Texts are compared as sets of what they say: each name, date or amount is one item, and so is the stem of each other word that
says something. Which of the items is the value and which the subject is told by the questions of a fact, whose answer it is.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property, lru_cache

from data_processor.curation import words
from data_processor.languages import identify_all
from data_processor.points import function_words
from data_processor.spans import find_spans
from data_processor.unknown import stem
from evaluation.matching import match
from evaluation.quantities import CURRENCIES, words_of
from evaluation.reading import read, simplified
from evaluation.tokens import tokens

ALIKE = 0.5  # of what two facts say beside their values: Jaccard similarity of a pair that a model is asked about
SURE = 0.75  # and of a pair that needs no model
FEWEST_SHARED = 2  # items beside the values: one name in common says too little
LONGEST_VALUE = 4  # words, of a value that is no name, date or amount ("closed on Mondays", "made of copper")
AMOUNT = "amount"  # several may change at once: "opens at 9 and closes at 18"
KINDS = {"year": "date", "quoted": "name", "time": AMOUNT, "number": AMOUNT}  # that may stand for one another
# What a newer text adds to say that it is newer.
NEWLY = frozenset(
    "now currently today anymore longer new newly nun jetzt neu künftig ab désormais maintenant ahora ya actualmente ora "
    "adesso agora теперь сейчас 现 在 今 已".split()
)

Difference = tuple[tuple[str, str], float, bool]  # of two facts: values, alike and is_sure of a Rival
Item = tuple[str, str]  # of a text: its kind ("word", "name", "date", "amount", "code"), and how it is written


@dataclass(frozen=True)
class Rival:
    """Two facts, by position, that may contradict one another, with their values ("" if one denies what the other says).

    `alike`: from ALIKE to 1, what they have in common beside the values. `is_sure`: enough for a rule to decide.
    """

    first: int
    second: int
    values: tuple[str, str]
    alike: float
    is_sure: bool


class Statement:
    """A fact, taken apart."""

    def __init__(self, fact: dict, language: str):
        self.text, self.language = fact["text"], language
        asked = [one for one in fact.get("questions", ()) if "reverse" not in (one.get("kind"), one.get("form"))]
        self.answers = {one["question"]: one["answer"] for one in asked if one.get("form") not in ("yes_no", "two")}

    @cached_property
    def spans(self) -> list[tuple[int, Item]]:
        """Its names, dates and amounts, with where they start."""
        return [(s, (KINDS.get(kind, kind), self.text[s:e])) for s, e, kind in find_spans(self.text)]

    @cached_property
    def word_items(self) -> list[Item]:
        """The stems of its other words, in order."""
        rest = self.text
        for start, (_, written) in reversed(self.spans):
            rest = f"{rest[:start]} {rest[start + len(written) :]}"
        return self._stems(rest)

    @cached_property
    def all_words(self) -> list[Item]:
        return self._stems(self.text)

    @cached_property
    def items(self) -> set[Item]:
        return {*self.word_items, *(item for _, item in self.spans)}

    @cached_property
    def telling_words(self) -> list[str]:
        return self._telling(self.text)

    def _telling(self, text: str) -> list[str]:
        silent = function_words(self.language) | NEWLY
        return [word for word in words(text) if word not in silent]

    def _stems(self, text: str) -> list[Item]:
        return [("word", stem(word, self.language)) for word in self._telling(text)]

    @property
    def denies(self) -> bool:
        pattern = words_of(self.language)["denies"]
        return bool(pattern and re.search(pattern, simplified(self.text, self.language)))

    def has_value(self, value: str) -> bool:
        """Whether this is what a question on the fact asks for; without questions, whether it is not what the fact begins with."""
        if self.answers:
            return any(self.same(value, answer) for answer in self.answers.values())
        return self.text.find(value) > 0

    def same(self, one: str, other: str) -> bool:
        return same_value(one, other, self.language)


@lru_cache(maxsize=1 << 17)  # a value is compared with those of all facts that are alike
def same_value(one: str, other: str, language: str) -> bool:
    """Whether two values are one by the rule that grades answers: "€210" and "210 euros"."""
    if not {*tokens(one)} & {*tokens(other)}:
        return False
    return match(one, other, language=language) or match(other, one, language=language)


def find_rivals(facts: Sequence[dict], fresh: set[int]) -> list[Rival]:
    """The pairs of facts, at least one of them among the `fresh` positions, that may contradict one another.

    A fact is a record of the ledger: "text", and "questions" if it has any.
    """
    language = identify_all([fact["text"] for fact in facts]) if facts else "en"
    statements = [Statement(fact, language) for fact in facts]
    pairs = sorted({tuple(sorted(pair)) for pair in near_pairs(statements, fresh)})
    found = (compare(statements[first], statements[second]) for first, second in pairs)
    return [Rival(*pair, *told) for pair, told in zip(pairs, found, strict=True) if told]


def near_pairs(statements: list[Statement], fresh: set[int]) -> Iterator[tuple[int, int]]:
    """Pairs that have a question in common, or as many items as those that are ALIKE have at least."""
    having: dict[Item, list[int]] = defaultdict(list)
    for number, statement in enumerate(statements):
        for item in statement.items | {("question", question) for question in statement.answers}:
            having[item].append(number)
    for number in fresh:
        statement = statements[number]
        asking = {other for question in statement.answers for other in having["question", question]}
        shared = Counter(itertools.chain(*(having[item] for item in statement.items)))
        least = max(FEWEST_SHARED, ALIKE * len({*statement.word_items}))
        near = asking | {other for other, count in shared.items() if count >= least}
        yield from ((number, other) for other in near - {number})


def compare(one: Statement, other: Statement) -> Difference | None:
    """The values in which two facts differ that are otherwise alike, how alike, and whether that is sure; None if not such."""
    left, right = unequal(one, other), unequal(other, one)
    same_spans = len(one.spans) - len(left)
    shared = same_spans + len({*one.word_items} & {*other.word_items})
    same_question = next((question for question in one.answers if question in other.answers), None)
    if same_question:
        values = one.answers[same_question], other.answers[same_question]
        return None if one.same(*values) else (values, 1.0, shared >= FEWEST_SHARED)
    if shared < FEWEST_SHARED:
        return None
    if left or right:
        alike = shared / (same_spans + len({*one.word_items} | {*other.word_items}))
        return by_spans(one, other, left, right, alike)
    return by_words(one, other)


def unequal(one: Statement, other: Statement) -> list[Item]:
    """The names, dates and amounts of a fact that the other one does not have."""
    there = [item for _, item in other.spans]
    return [i for _, i in one.spans if not any(i[0] == k and one.same(i[1], written) for k, written in there)]


def by_spans(one: Statement, other: Statement, left: list[Item], right: list[Item], alike: float) -> Difference | None:
    """Facts that differ in one name, date, amount or code, or in several amounts, and are else `alike`."""
    kinds = [kind for kind, _ in left]
    if alike < ALIKE or kinds != [kind for kind, _ in right] or (len(kinds) > 1 and {*kinds} != {AMOUNT}):
        return None
    if not all(may_measure_one_thing(a, b, one.language) for (_, a), (_, b) in zip(left, right, strict=True)):
        return None
    values = tuple(", ".join(written for _, written in side) for side in (left, right))
    are_values = all(s.has_value(value) for s, value in zip((one, other), values, strict=True))
    return values, alike, alike >= SURE and len(left) == 1 and are_values


def may_measure_one_thing(one: str, other: str, language: str) -> bool:
    """Whether two values are in units that can be compared: not grams and hours. A currency may be followed by another."""
    units = [{quantity.unit for quantity in read(value, language).quantities} - {None} for value in (one, other)]
    currencies = units[0] | units[1] <= {*CURRENCIES}
    return not all(units) or currencies or bool(units[0] & units[1])


def by_words(one: Statement, other: Statement) -> Difference | None:
    """Facts of which one denies the other, or that differ in a few words at one place."""
    if one.denies != other.denies:
        alike = similarity({*one.all_words}, {*other.all_words})
        return (("", ""), alike, alike == 1) if alike >= SURE else None
    matcher = SequenceMatcher(a=one.all_words, b=other.all_words, autojunk=False)
    changed = [code for code in matcher.get_opcodes() if code[0] != "equal"]
    if len(changed) != 1 or changed[0][0] != "replace":
        return None
    _, start, end, other_start, other_end = changed[0]
    values = (
        " ".join(one.telling_words[start:end]),
        " ".join(other.telling_words[other_start:other_end]),
    )
    alike = similarity(
        {*one.all_words[:start], *one.all_words[end:]}, {*other.all_words[:other_start], *other.all_words[other_end:]}
    )
    if alike < SURE or max(end - start, other_end - other_start) > LONGEST_VALUE:
        return None
    return values, alike, False


def similarity(some: set[Item], others: set[Item]) -> float:
    return len(some & others) / max(1, len(some | others))
