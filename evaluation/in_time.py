"""Judging to a time budget: what a judge has no time for is unscored, and spread evenly over the documents."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from budget.asking import even_order
from budget.clock import Clock, Stopped
from evaluation.judging import Judge

WRITING_S = 3.0  # kept back to write verdicts and report
NO_TIME = "not judged: the time budget had no room"

log = logging.getLogger(__name__)


def asked_in_time(judge: Judge | None, clock: Clock, ask: Callable[[], Any]) -> Any:
    """What `ask` returns; once the time is up, of the verdicts there are, and no more are asked for."""
    if judge is None:
        return ask()
    try:
        with clock.interruptible(WRITING_S):
            return ask()
    except Stopped:
        log.info("no time for further verdicts: what has none is unscored")
        judge.release()
        return ask()


def leave_out(rows: dict[str, list[dict]], room: float, cost: float) -> int:
    """Mark the answers that a judge of `cost` seconds a verdict has no time for; returns how many questions those are.

    Each question is judged once in every file, and the pair of base and tuned model twice.
    """
    questions = {what: answers for what, answers in rows.items() if not what.startswith("retention")}
    general = [answers for what, answers in rows.items() if what.startswith("retention")]
    left = 0
    calls = sum(map(len, [*questions.values(), *general])) + 2 * len(rows["sft"])
    share = max(room, 0.0) / (cost * calls) if cost else 1.0
    for group in (list(questions.values()), general):
        if share >= 1 or not group:
            continue
        order = even_order([row.get("file_name", "") for row in group[0]])
        for place in order[int(share * len(order)) :]:
            left += 1
            for answers in group:
                answers[place].setdefault("error", NO_TIME)
    return left
