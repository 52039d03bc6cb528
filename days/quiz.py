"""Which facts the base model knows already, so that training need not teach them: it is asked before.

asked = quiz(rows)                                    # to inference.py, without an adapter: known.py
known, unknown = split_known(rows, asked, verdicts)   # `unknown` is trained; what it said of `known` is replayed
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from data_processor.dataset import question_and_reference
from days.ledger import asks_for_a_fact, key_of
from evaluation.matching import CORRECT

WORDINGS = 2  # asked of each fact: a single right answer may be a guess
GUESSABLE = ("yes_no",)  # forms of question that are right half of the time without knowing anything
OF_MORE_FACTS = ("two",)


def quiz(rows: Iterable[dict]) -> list[dict]:
    """The rows of a dataset that the base is asked: up to WORDINGS for each fact, such as ask for different things first.

    A fact that has only questions of yes and no is not asked, nor are rows that name no fact: both count as unknown.
    """
    by_fact: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.get("fact") and asks_for_a_fact(row) and row.get("form") not in GUESSABLE + OF_MORE_FACTS:
            by_fact[key_of(row)][question_and_reference(row)[1]].append(row)
    asked = []
    for by_answer in by_fact.values():
        firsts = [wordings[0] for wordings in by_answer.values()]
        others = [row for wordings in by_answer.values() for row in wordings[1:]]
        asked += [*firsts, *others][:WORDINGS]
    return asked


def split_known(rows: Iterable[dict], asked: Iterable[dict], verdicts: Iterable[dict]) -> tuple[list[dict], list[dict]]:
    """The rows whose fact the base knows, and all others, in their order.

    It knows a fact if it was right on every question that it was asked about it (`verdicts`, by the id of the row asked); a
    question without a verdict is one that it was not right on. Rows that need two facts, and those of no fact, are trained.
    """
    right = {str(verdict["id"]) for verdict in verdicts if verdict["verdict"] == CORRECT}
    answers: dict[str, list[bool]] = defaultdict(list)
    for row in asked:
        answers[key_of(row)].append(str(row["id"]) in right)
    known, unknown = [], []
    for row in rows:
        single = row.get("kind") not in ("unknown", "replay") and row.get("form") not in OF_MORE_FACTS
        (known if single and all(answers.get(key_of(row), [False])) else unknown).append(row)
    return known, unknown
