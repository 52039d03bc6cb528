"""Hold questions out of training, by fact: new wordings of trained facts, and facts that are not trained at all."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Container
from itertools import accumulate, pairwise

from data_processor.curation import SimilarTexts, content_words, words
from data_processor.pairs import Fact
from data_processor.parts import question_of

LEAK_SIMILARITY = 0.5  # a training question this similar to a test question may be a copy of it
WHOLE_FACT_SHARE = 0.25  # of the test questions, those about facts held out whole
ANSWERABLE_KINDS = ("qa", "reverse")  # of row: those that ask for a fact
CUE = "cue"  # the form of rows that are trained and never tested: nobody would ask so
TEST_KINDS = ("held_out_wording", "held_out_fact", "unknown")  # of test row


def hold_out_facts(facts: list[Fact], ratio: float, seed: int, facts_before: int = 0, held_before: int = 0) -> set[int]:
    """Indices of the facts to hold out whole, about WHOLE_FACT_SHARE * `ratio` of all.

    Facts that share a sentence stay together. Of a few facts some stay in the training.

    If facts arrive in parts, the share is of all so far: `held_before` of the `facts_before` in earlier parts are held out.
    """
    together = group_by_sentence(facts)
    random.Random(seed + facts_before).shuffle(together)
    wanted = WHOLE_FACT_SHARE * ratio * (facts_before + len(facts)) - held_before
    held: set[int] = set()
    kept = 1 if facts_before == held_before else 0
    while len(together) > kept and len(held) < wanted:
        held.update(together.pop())
    return held


def group_by_sentence(facts: list[Fact]) -> list[list[int]]:
    """Indices of the facts that share a sentence of one of their quotes, directly or through others, in their order."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not facts:
        return []
    first_of: dict[tuple[str, str], int] = {}
    links = [(first_of.setdefault((fact.chunk.file_name, fact.quote), n), n) for n, fact in enumerate(facts)]
    places = sorted(
        (fact.chunk.file_name, *fact.chunk.to_document(*span), number)
        for number, fact in enumerate(facts)
        for span in fact.spans
    )
    reached = accumulate(((file_name, end) for file_name, _, end, _ in places), max)  # by all places up to each
    for (before, after), reach in zip(pairwise(places), reached, strict=False):
        if after[:2] < reach:
            links.append((before[-1], after[-1]))
    graph = coo_array(([1] * len(links), tuple(zip(*links, strict=True))), shape=(len(facts), len(facts)))
    together: dict[int, list[int]] = {}
    for number, group in enumerate(connected_components(graph)[1]):
        together.setdefault(group, []).append(number)
    return list(together.values())


def split(rows: list[dict], held_facts: set[str], ratio: float, seed: int) -> tuple[list[dict], list[dict]]:
    """Training rows and test rows. `held_facts` (fact ids) give one question per answer, other facts one wording in turn.

    About `ratio` of the questions become test questions, of kind "held_out_fact" or "held_out_wording", and the same
    share of the unanswerable ones, of kind "unknown". The `Copies` of a test question leave the training. So a question is
    none if nothing would then ask for an answer any more, and wordings are chosen first that take nothing from other facts.
    """
    answerable = [row for row in rows if row["kind"] in ANSWERABLE_KINDS]
    questions = [row for row in answerable if row.get("form") != CUE]
    unanswerable = [row for row in rows if row["kind"] == "unknown"]
    random.Random(seed).shuffle(questions)
    random.Random(seed).shuffle(unanswerable)
    wordings: dict[tuple[str, str], list[dict]] = {}
    for row in questions:
        wordings.setdefault(asked_for(row), []).append(row)
    copies = Copies([*answerable, *unanswerable])
    training = {row["id"]: row for row in rows if row["fact_id"] not in held_facts}
    left = Counter(asked_for(row) for row in answerable if row["id"] in training)
    test: list[dict] = []

    def hold_out(row: dict, kind: str, own: bool = False) -> bool:
        """Make a question a test question, unless an answer would be left without one, or if `own`, another fact lose one."""
        removed = copies.of(row, training)
        fewer = Counter(asked_for(other) for other in removed if other["kind"] in ANSWERABLE_KINDS)
        if any(count >= left[key] or (own and key[0] != row["fact_id"]) for key, count in fewer.items()):
            return False
        left.subtract(fewer)
        for other in removed:
            del training[other["id"]]
        test.append({**row, "kind": kind})
        return True

    for (fact, _), group in wordings.items():
        if fact in held_facts:
            hold_out(group[0], "held_out_fact")
    for row in unanswerable[: round(ratio * len(unanswerable))]:
        hold_out(row, "unknown")
    waiting = [group for (fact, _), group in wordings.items() if fact not in held_facts]
    for own in (True, False):
        refused = []
        for group in waiting:
            if len(test) >= ratio * len(copies.rows):
                break
            row = next((row for row in group if row["id"] in training), None)
            if row and not hold_out(row, "held_out_wording", own):
                refused.append(group)
        waiting = refused
    return list(training.values()), test


def asked_for(row: dict) -> tuple[str, str]:
    """What a question asks for: its fact and its answer."""
    return row["fact_id"], row["conversations"][1]["value"]


class Copies:
    """Questions, searchable for those that give another one away: near copies of it, unless they ask for something else.

    One on the same fact always counts. On another fact it does not if each question has a number that the other lacks ("M6",
    "M8"), or if each has some other word of its own, and each answer too: a price list asks for all its prices in the same words.
    """

    def __init__(self, rows: list[dict]):
        self.rows = rows
        self.similar = SimilarTexts(map(question_of, rows), LEAK_SIMILARITY)
        self.told = [Told(row) for row in rows]
        self.found: dict[str, list[dict]] = {}  # by the id of a question that was looked for

    def of(self, row: dict, among: Container[str]) -> list[dict]:
        """Those whose ids are `among` these, which only get fewer from call to call."""
        if row["id"] not in self.found:
            told, near = Told(row), self.similar.copies_of(question_of(row))
            self.found[row["id"]] = [
                other
                for other, other_told in ((self.rows[number], self.told[number]) for number in near)
                if other["id"] in among and (other["fact_id"] == row["fact_id"] or not told.is_apart(other_told))
            ]
        return [other for other in self.found[row["id"]] if other["id"] in among]


class Told:
    """The words by which a question is told from others: its own, the numbers among them, and those of its answer.

    Those without an answer are all answered alike: what tells them apart is the chunk whose reader might ask.
    """

    def __init__(self, row: dict):
        self.asked, self.answer = (told_by(turn["value"]) for turn in row["conversations"][:2])
        if row["kind"] == "unknown":
            self.answer = frozenset([f"{row['file_name']}#{row['source']['chunk']}"])
        self.numbers = frozenset(word for word in self.asked if any(map(str.isdigit, word)))

    def is_apart(self, other: Told) -> bool:
        """Whether two questions on two facts ask for different things."""
        return differ(self.numbers, other.numbers) or (
            differ(self.asked, other.asked) and differ(self.answer, other.answer)
        )


def told_by(text: str) -> frozenset[str]:
    return frozenset(content_words(text) or words(text))


def differ(some: frozenset[str], others: frozenset[str]) -> bool:
    """Whether each has a word that the other lacks."""
    return not (some <= others or others <= some)
