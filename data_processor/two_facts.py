"""Wave 4: questions that need two facts, of one document or of two, that share a name.

What was learned from one text is hardly ever put together with what was learned from another unless it was trained so
(two-hop questions: Yang et al. 2024, arXiv 2402.16837).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cached_property

from data_processor.checks import document, groups, keep_answered, numbered_list
from data_processor.curation import without_ending, words
from data_processor.pairs import Fact, Pair, prompts_for
from data_processor.prefilter import Words
from data_processor.questions import TOKENS_A_PAIR, keep_sound, pairs_schema, to_pair
from data_processor.work import Work

FACTS_A_PAIR = 8  # one question on two facts for so many facts
MOST_FACTS_A_NAME = 12  # a name in more facts than these says too little of what two of them have in common
PAIRS_A_NAME = PAIRS_A_FACT = 3
PAIRS_A_REQUEST = 5


def ask_two(work: Work, facts: list[Fact], names: Iterable[str]) -> list[Pair]:
    """A question for each two of the facts that `pairs_of_facts` finds, if the model finds one that needs both."""
    parts = groups(pairs_of_facts(facts, names), lambda two: two[0].chunk, PAIRS_A_REQUEST)
    requests = [
        prompts_for(work, part[0][0]).conversation(
            "two",
            items=numbered_list(f"{first.text} | {second.text}" for first, second in part),
            language=document(part[0][0].chunk)["language"],
        )
        for part in parts
    ]
    schemas = [pairs_schema(len(part), ("two",), len(part)) for part in parts]
    tokens, chunks = TOKENS_A_PAIR * PAIRS_A_REQUEST, [part[0][0].chunk for part in parts]
    pairs = []
    for part, reply in zip(parts, work.ask_json("two facts", requests, tokens, schemas, chunks), strict=True):
        for told in reply or ():
            first, second = part[told["item"] - 1]
            pairs.append(to_pair(told, first, "model", second))
    return keep_answered(work, "two facts", keep_sound(work, "two facts", pairs))


def pairs_of_facts(facts: list[Fact], names: Iterable[str]) -> list[tuple[Fact, Fact]]:
    """Two facts with the same name in their text and different quotes, from two documents first, then from two chunks.

    As many as one for FACTS_A_PAIR facts, a few for each name and each fact, no two facts twice; whatever order the chunks
    were read in. Between documents a name has to be the same as a whole: nothing says that "Falk" is "Katrin Falk".
    """
    facts = sorted(facts, key=lambda fact: (fact.chunk.file_name, fact.chunk.number))
    by_distance: tuple[list[tuple[Fact, Fact]], ...] = ([], [], [])
    names = list(dict.fromkeys(names))
    told, used = Told([fact.text for fact in facts], names), Counter()
    for name in names:
        having = told.with_name(name)
        if len(having) > MOST_FACTS_A_NAME:
            continue
        written = {number: told.as_written(name, number) for number in having}
        found = []
        for one, other in itertools.combinations(having, 2):
            far = distance(facts[one], facts[other])
            if far is not None and (far or written[one] & written[other]):
                found.append((far, (one, other)))
        taken = 0
        for far, two in sorted(found, key=lambda pair: pair[0]):
            if taken < PAIRS_A_NAME and all(used[number] < PAIRS_A_FACT for number in two):
                by_distance[far].append((facts[two[0]], facts[two[1]]))
                used.update(two)
                taken += 1
    unique: dict[frozenset[int], tuple[Fact, Fact]] = {}
    for two in itertools.chain(*by_distance):
        unique.setdefault(frozenset(map(id, two)), two)
    return list(unique.values())[: len(facts) // FACTS_A_PAIR]


def distance(first: Fact, second: Fact) -> int | None:
    """0 for facts of two documents in one language, 1 for those of two chunks, 2 within a chunk; None for the same quote."""
    if first.chunk.text_language != second.chunk.text_language:
        return None
    if first.chunk.file_name != second.chunk.file_name:
        return 0
    if first.chunk != second.chunk:
        return 1 if first.quote != second.quote else None
    return 2 if not set(first.spans) & set(second.spans) else None


class Told:
    """Texts, searchable for any of some names."""

    def __init__(self, texts: list[str], names: Collection[str]):
        self.texts, self.having = texts, {name: [] for name in names}
        self.longer: dict[str, list[str]] = {name: [] for name in names}  # that hold a name, the longest first
        words = Words(names)
        for longer in sorted(names, key=len, reverse=True):
            for name in words.found_in(longer):
                if name != longer:
                    self.longer[name].append(longer)
        for number, text in enumerate(texts):
            for name in words.found_in(text):
                self.having[name].append(number)

    @cached_property
    def stems(self) -> list[set[str]]:
        return [stems_of(text) for text in self.texts]

    def as_written(self, name: str, number: int) -> set[str]:
        """As what a text has a name: by itself, or within longer names."""
        text, written = self.texts[number], set()
        for longer in self.longer[name]:
            if longer in text:
                written.add(longer)
                text = text.replace(longer, " ")
        return {name, *written} if name in text or not written else written

    def with_name(self, name: str) -> list[int]:
        """The numbers of the texts that have a name, in whatever case of Russian."""
        if re.search("[а-яё]", name):
            wanted = stems_of(name)
            return [n for n, text in enumerate(self.texts) if name in text or wanted <= self.stems[n]]
        return self.having[name]


def stems_of(text: str) -> set[str]:
    return set(map(without_ending, words(text)))
