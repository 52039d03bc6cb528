"""Questions kept out of training, split by fact: new wordings of trained facts, and facts that are not trained at all."""

from __future__ import annotations

import random

from data_processor.curation import NearCopies
from data_processor.facts import Fact

LEAK = 0.5  # a training question this near to a test question is taken out
WHOLE_FACTS = 0.25  # share of the test questions that ask for facts held out whole
ASKED = ("qa", "reverse")  # the kinds of rows that ask for a fact


def hold_out_facts(facts: list[Fact], ratio: float, seed: int, before: int = 0, held_before: int = 0) -> set[int]:
    """Which facts to keep out of training whole, about WHOLE_FACTS * `ratio` of all; those of one sentence together.

    Where facts come in parts, the share is of all so far: of `before` facts of earlier parts `held_before` are held out.
    """
    by_sentence: dict[tuple[str, str], list[int]] = {}
    for number, fact in enumerate(facts):
        by_sentence.setdefault((fact.chunk.file_name, fact.quote), []).append(number)
    sentences = list(by_sentence.values())
    random.Random(seed + before).shuffle(sentences)
    wanted = WHOLE_FACTS * ratio * (before + len(facts)) - held_before
    held: set[int] = set()
    while sentences and len(held) < wanted:
        held.update(sentences.pop())
    return held


def split(rows: list[dict], held_facts: set[str], ratio: float, seed: int) -> tuple[list[dict], list[dict]]:
    """Training rows and test rows: of `held_facts` (fact ids) one question an answer, of the others one wording in turn.

    About `ratio` of the questions become test questions, of kind "held_out_fact" or "held_out_wording", and as large a
    share of those that have no answer, of kind "unknown". A training question that is nearly one of them is taken out,
    so every answer tested by its wording keeps another wording.
    """
    questions = [row for row in rows if row["kind"] in ASKED]
    unanswerable = [row for row in rows if row["kind"] == "unknown"]
    random.Random(seed).shuffle(questions)
    random.Random(seed).shuffle(unanswerable)
    wordings: dict[tuple[str, str], list[dict]] = {}
    for row in questions:
        wordings.setdefault((row["fact_id"], row["conversations"][1]["value"]), []).append(row)
    asked, alike = [*questions, *unanswerable], NearCopies(LEAK)
    for row in asked:
        alike.add(row["conversations"][0]["value"])

    test = [{**own[0], "kind": "held_out_fact"} for (fact, _), own in wordings.items() if fact in held_facts]
    test += unanswerable[: round(ratio * len(unanswerable))]
    left = {row["id"]: row for row in rows if row["fact_id"] not in held_facts}

    def copies(row: dict) -> set[str]:
        found = (asked[number]["id"] for number in alike.of(row["conversations"][0]["value"]))
        return {other for other in found if other in left}

    for row in test:
        for copy in copies(row):
            del left[copy]
    for own in wordings.values():
        if len(test) >= ratio * len(asked):
            break
        own = [row for row in own if row["id"] in left]
        if len(own) < 2:
            continue
        leaving = copies(own[0])
        if len(leaving & {row["id"] for row in own}) < len(own):
            test.append({**own[0], "kind": "held_out_wording"})
            for copy in leaving:
                del left[copy]
    return list(left.values()), test
