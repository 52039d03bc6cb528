"""How many calls of a stage failed, why, and whether so many did that its output cannot be relied on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from engines.dialect import FILTERED, TOO_LONG
from utils import MostlyFailed

FAILED_SHARE = 0.5  # a stage of whose calls more than this share failed ends with MostlyFailed
REFUSED = "refused: "  # begins the error of a model that says itself that it will not answer
SHOWN_REASONS = 5
SHOWN_CHARACTERS = 200  # of an example


def describe_failures(errors: Collection[str], total: int, what: str = "calls failed") -> str:
    """ "3 of 12 calls failed: 2 status 400, content_filter (The response was filtered.); 1 ..."

    The reason is what stands before the first ": " of an error; the rest of the first one is its example.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for error in errors:
        reason, _, rest = " ".join(error.split()).partition(": ")
        counts[reason] += 1
        examples.setdefault(reason, rest[:SHOWN_CHARACTERS])
    reasons = [
        f"{count} {reason}" + (f" ({examples[reason]})" if examples[reason] else "")
        for reason, count in counts.most_common(SHOWN_REASONS)
    ]
    others = sum(count for _, count in counts.most_common()[SHOWN_REASONS:])
    reasons += [f"{others} for other reasons"] if others else []
    return f"{len(errors)} of {total} {what}: {'; '.join(reasons)}"


def concerns_content(error: str) -> bool:
    """Whether a server refused a call for what it says or how long it is, so that a part of it may be answered."""
    return bool(error.startswith(REFUSED) or FILTERED.search(error) or TOO_LONG.search(error))


def mostly(failed: int, total: int) -> bool:
    return failed > FAILED_SHARE * total


def require_answers(errors: Collection[str], total: int, written: str = "") -> None:
    """MostlyFailed if more than FAILED_SHARE of `total` calls failed; `written` says what became of the others."""
    if mostly(len(errors), total):
        raise MostlyFailed(
            f"expected at least {1 - FAILED_SHARE:.0%} of the calls to succeed, found that {describe_failures(errors, total)}"
            f"{written and f'; {written}'}: mend this and run it again, which asks only what failed"
        )
