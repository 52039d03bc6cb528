"""As much as fits, evenly: how much of a stage's work to do next, in which order, and what to leave out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from budget.clock import REPORT_S, WRITING_S, Clock, Stopped
from budget.reports import AskingTime
from engines.chat import Reply
from engines.journal import JournaledEngine

SLACK = 1.15  # factor on a measured time, as pieces of work vary
FIRST_QUESTIONS = 32  # asked first, to measure how long one takes
NOT_ASKED = "not asked: the time budget had no room"
NOT_JUDGED = "not judged: the time budget had no room"

Result = TypeVar("Result")
log = logging.getLogger(__name__)


def next_round_size(left: int, first: int, cost: float | None, seconds: float) -> int:
    """How many of `left` units to do next in `seconds`, at a measured `cost` in seconds per unit; 0 if none fits.

    Before anything is measured, the `first` few. After that, half of what fits, so that the pace is measured again before
    time runs out, and all of it once that is no more than `first`; without a deadline, everything at once.
    """
    if seconds == math.inf:
        return left
    if cost is None:
        return min(left, first)
    fits = int(max(seconds, 0) / (SLACK * cost)) if cost > 0 else left
    return min(left, fits if fits <= first or fits >= 2 * left else max(first, fits // 2))


def even_order(groups: Sequence[Hashable]) -> list[int]:
    """The indices of `groups`, ordered so that every prefix of the list is an even sample.

    First one from each group, then from every group in proportion to its size; within a group, and across groups, from
    one end to the other in ever smaller steps (the van der Corput sequence).
    """
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    ranks = {group: radical_inverse(number) for number, group in enumerate(members)}
    order = []
    for group, indices in members.items():
        spread = sorted(range(len(indices)), key=radical_inverse)
        order += [(turn / len(indices), ranks[group], indices[number]) for turn, number in enumerate(spread)]
    return [index for *_, index in sorted(order)]


def radical_inverse(number: int) -> float:
    """A number's binary digits mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8 ..."""
    fraction, step = 0.0, 0.5
    while number:
        fraction += step * (number & 1)
        number >>= 1
        step /= 2
    return fraction


def even_document_order(rows: list[dict]) -> list[int]:
    """The indices of questions or answers in an order that covers their documents evenly, the same each time."""
    return even_order([row.get("file_name", "") for row in rows])


def ask_in_time(
    engine: JournaledEngine,
    ask: Callable[[list[int]], list[Reply]],
    rows: list[dict],
    clock: Clock,
    models_after: int = 0,
    max_questions: int | None = None,
) -> tuple[list[Reply], AskingTime]:
    """A reply for each of `rows`. `ask` is given the indices of as many, at most `max_questions`, as there is time for.

    The others get an error. Each of the `models_after` this one is left as much time as this one.
    """
    ready, reserved_seconds = time.time(), WRITING_S + clock.seconds_for_others(models_after)
    order = even_document_order(rows)[:max_questions]
    replies = [Reply("", finish_reason="error", error=NOT_ASKED)] * len(rows)
    done, cost = 0, None
    while size := next_round_size(len(order) - done, FIRST_QUESTIONS, cost, clock.left() - reserved_seconds):
        indices = sorted(order[done : done + size])
        started, asked_before = time.monotonic(), engine.asked
        try:
            with clock.interruptible(reserved_seconds):
                answered = ask(indices)
        except Stopped:
            break
        for index, reply in zip(indices, answered, strict=True):
            replies[index] = reply
        done += size
        if engine.asked > asked_before:  # not all from the journal
            cost = (time.monotonic() - started) / (engine.asked - asked_before)
        seconds_left = (cost or 0) * (len(order) - done)
        details = f"{done} of {len(rows)} questions asked" + (
            f", the rest would take {seconds_left:.0f} s" if seconds_left else ""
        )
        clock.report_progress(done / len(order), time.time() + seconds_left, details)
    return replies, AskingTime(
        seconds=round(clock.seconds, 1),
        seconds_to_start=round(ready - clock.started, 1),
        seconds_a_question=cost and round(cost, 3),
        questions=len(rows),
        left_out=len(rows) - done,
    )


def judge_in_time(clock: Clock, ask: Callable[[], Result], release: Callable[[], None] | None) -> Result:
    """The result of `ask`. Once time is up the judge is released, and the result covers the verdicts so far.

    With nothing to `release`, no judge is asked and nothing is interrupted.
    """
    if release is None:
        return ask()
    try:
        with clock.interruptible(REPORT_S):
            return ask()
    except Stopped:
        log.info("no time for further verdicts: answers without one are unscored")
        release()
        return ask()


def mark_not_judged(rows: dict[str, list[dict]], seconds: float, cost: float) -> int:
    """Mark the answers that a judge, at `cost` seconds per verdict, has no time for; returns how many questions they are.

    Each question is judged once in every file, and each pair of base and tuned answers twice.
    """
    questions = {name: answers for name, answers in rows.items() if not name.startswith("retention")}
    general = [answers for name, answers in rows.items() if name.startswith("retention")]
    marked = 0
    calls = sum(map(len, [*questions.values(), *general])) + 2 * len(rows["sft"])
    share = max(seconds, 0.0) / (cost * calls) if cost else 1.0
    for group in (list(questions.values()), general):
        if share >= 1 or not group:
            continue
        order = even_document_order(group[0])
        for index in order[int(share * len(order)) :]:
            marked += 1
            for answers in group:
                answers[index].setdefault("error", NOT_JUDGED)
    return marked
