"""Hold questions out of training, by fact: new wordings of trained facts, and facts that are not trained at all."""

from __future__ import annotations

import random
from itertools import accumulate, pairwise

from data_processor.curation import SimilarTexts
from data_processor.pairs import Fact
from data_processor.parts import question_of

LEAK_SIMILARITY = 0.5  # a training question this similar to a test question is removed
WHOLE_FACT_SHARE = 0.25  # of the test questions, those about facts held out whole
ANSWERABLE_KINDS = ("qa", "reverse")  # of row: those that ask for a fact
TEST_KINDS = ("held_out_wording", "held_out_fact", "unknown")  # of test row


def hold_out_facts(facts: list[Fact], ratio: float, seed: int, facts_before: int = 0, held_before: int = 0) -> set[int]:
    """Indices of the facts to hold out whole, about WHOLE_FACT_SHARE * `ratio` of all.

    Facts that share a sentence stay together.

    If facts arrive in parts, the share is of all so far: `held_before` of the `facts_before` in earlier parts are held out.
    """
    together = group_by_sentence(facts)
    random.Random(seed + facts_before).shuffle(together)
    wanted = WHOLE_FACT_SHARE * ratio * (facts_before + len(facts)) - held_before
    held: set[int] = set()
    while together and len(held) < wanted:
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
    share of the unanswerable ones, of kind "unknown". A training question nearly the same as a test question is removed,
    and every answer tested by a held-out wording keeps another wording in training.
    """
    questions = [row for row in rows if row["kind"] in ANSWERABLE_KINDS]
    unanswerable = [row for row in rows if row["kind"] == "unknown"]
    random.Random(seed).shuffle(questions)
    random.Random(seed).shuffle(unanswerable)
    wordings: dict[tuple[str, str], list[dict]] = {}
    for row in questions:
        wordings.setdefault((row["fact_id"], row["conversations"][1]["value"]), []).append(row)
    all_questions = [*questions, *unanswerable]
    near_copies = SimilarTexts(map(question_of, all_questions), LEAK_SIMILARITY)

    test = [{**group[0], "kind": "held_out_fact"} for (fact, _), group in wordings.items() if fact in held_facts]
    test += unanswerable[: round(ratio * len(unanswerable))]
    training = {row["id"]: row for row in rows if row["fact_id"] not in held_facts}

    def copies(row: dict) -> set[str]:
        ids = (all_questions[number]["id"] for number in near_copies.copies_of(question_of(row)))
        return {other for other in ids if other in training}

    for row in test:
        for copy in copies(row):
            del training[copy]
    for group in wordings.values():
        if len(test) >= ratio * len(all_questions):
            break
        group = [row for row in group if row["id"] in training]
        if len(group) < 2:
            continue
        removed = copies(group[0])
        if len(removed & {row["id"] for row in group}) < len(group):
            test.append({**group[0], "kind": "held_out_wording"})
            for copy in removed:
                del training[copy]
    return list(training.values()), test
