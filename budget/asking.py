"""As many as fit, evenly: how much of a stage's work to take up next, and in which order."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

SLACK = 1.15  # of a measured time, for what varies from one piece of work to the next


def next_round(left: int, first: int, cost: float | None, seconds: float) -> int:
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
    ranks = {group: inverse(number) for number, group in enumerate(members)}
    order = []
    for group, places in members.items():
        spread = sorted(range(len(places)), key=inverse)
        order += [(turn / len(places), ranks[group], places[number]) for turn, number in enumerate(spread)]
    return [place for *_, place in sorted(order)]


def inverse(number: int) -> float:
    """The binary digits of a number mirrored at the point: 0, 1/2, 1/4, 3/4, 1/8 ..."""
    found, step = 0.0, 0.5
    while number:
        found += step * (number & 1)
        number >>= 1
        step /= 2
    return found
