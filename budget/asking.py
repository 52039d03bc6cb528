"""As many as fit, evenly: how much of a stage's work to take up next, in which order, and what is left out."""

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

SLACK = 1.15  # of a measured time, for what varies from one piece of work to the next
FIRST_QUESTIONS = 32  # asked to see how long one takes
NOT_ASKED = "not asked: the time budget had no room"
NOT_JUDGED = "not judged: the time budget had no room"

Found = TypeVar("Found")
log = logging.getLogger(__name__)


def next_round_size(left: int, first: int, cost: float | None, seconds: float) -> int:
    """How many of `left` units to do next in `seconds`, at a measured `cost` of seconds a unit; 0 where none fits.

    Without a measurement it is the `first` few. After that half of what fits, so that the pace is measured again before
    the time is used up, and all of it once that is less than `first`; in endless time all at once.
    """
    if seconds == math.inf:
        return left
    if cost is None:
        return min(left, first)
    fits = int(max(seconds, 0) / (SLACK * cost)) if cost > 0 else left
    return min(left, fits if fits <= first or fits >= 2 * left else max(first, fits // 2))


def even_order(groups: Sequence[Hashable]) -> list[int]:
    """The places of `groups`, ordered so that every beginning of the list is an even sample.

    First one of each group, then of every group in proportion to its size; within a group, and over the groups, from
    one end to the other at ever smaller steps (van der Corput's sequence).
    """
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    ranks = {group: radical_inverse(number) for number, group in enumerate(members)}
    order = []
    for group, places in members.items():
        spread = sorted(range(len(places)), key=radical_inverse)
        order += [(turn / len(places), ranks[group], places[number]) for turn, number in enumerate(spread)]
    return [place for *_, place in sorted(order)]


def radical_inverse(number: int) -> float:
    """The binary digits of a number mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8 ..."""
    found, step = 0.0, 0.5
    while number:
        found += step * (number & 1)
        number >>= 1
        step /= 2
    return found


def even_document_order(rows: list[dict]) -> list[int]:
    """The places of questions or answers in an order that is even over their documents, and the same each time."""
    return even_order([row.get("file_name", "") for row in rows])


def ask_in_time(
    engine: JournaledEngine,
    ask: Callable[[list[int]], list[Reply]],
    rows: list[dict],
    clock: Clock,
    models_after: int = 0,
    most: int | None = None,
) -> tuple[list[Reply], AskingTime]:
    """A reply to each of `rows`: to as many, at most `most`, as `ask` has time for, given their places.

    The others have an error. As much time is kept for each of the `models_after` this one.
    """
    ready, reserved_seconds = time.time(), WRITING_S + clock.seconds_for_others(models_after)
    order = even_document_order(rows)[:most]
    replies = [Reply("", finish_reason="error", error=NOT_ASKED)] * len(rows)
    done, cost = 0, None
    while size := next_round_size(len(order) - done, FIRST_QUESTIONS, cost, clock.left() - reserved_seconds):
        places = sorted(order[done : done + size])
        started, asked = time.monotonic(), engine.asked
        try:
            with clock.interruptible(reserved_seconds):
                answered = ask(places)
        except Stopped:
            break
        for place, reply in zip(places, answered, strict=True):
            replies[place] = reply
        done += size
        if engine.asked > asked:  # not all from the journal
            cost = (time.monotonic() - started) / (engine.asked - asked)
        left = (cost or 0) * (len(order) - done)
        words = f"{done} of {len(rows)} questions asked" + (f", the rest would take {left:.0f} s" if left else "")
        clock.report_progress(done / len(order), time.time() + left, words)
    return replies, AskingTime(
        seconds=round(clock.seconds, 1),
        seconds_to_start=round(ready - clock.started, 1),
        seconds_a_question=cost and round(cost, 3),
        questions=len(rows),
        left_out=len(rows) - done,
    )


def judge_in_time(clock: Clock, ask: Callable[[], Found], release: Callable[[], None] | None) -> Found:
    """What `ask` returns. Once the time is up the judge is released, and it is of the verdicts there are.

    Without anybody to `release` nobody is asked, and nothing is cut.
    """
    if release is None:
        return ask()
    try:
        with clock.interruptible(REPORT_S):
            return ask()
    except Stopped:
        log.info("no time for further verdicts: what has none is unscored")
        release()
        return ask()


def mark_not_judged(rows: dict[str, list[dict]], room: float, cost: float) -> int:
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
        order = even_document_order(group[0])
        for place in order[int(share * len(order)) :]:
            left += 1
            for answers in group:
                answers[place].setdefault("error", NOT_JUDGED)
    return left
