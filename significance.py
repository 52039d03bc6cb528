"""How sure a measured share or difference is, by scipy."""

from __future__ import annotations

from scipy.stats import binomtest

LEVEL = 0.05  # a difference that chance gives more often than this is called a tie


def wilson_interval(successes: int, n: int) -> list[float] | None:
    """The 95 % score interval of a share (Wilson 1927; Newcombe 1998, method 3); None where nothing was counted."""
    if n == 0:
        return None
    interval = binomtest(successes, n).proportion_ci(1 - LEVEL, method="wilson")
    return [round(float(interval.low), 4), round(float(interval.high), 4)]


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p of as uneven a split of the questions whose answer changed sides (McNemar 1947)."""
    return 1.0 if gained + lost == 0 else float(binomtest(gained, gained + lost).pvalue)


def in_words(gained: int, lost: int) -> str:
    """The comparison of the tuned model with the base, as a sentence."""
    p = mcnemar(gained, lost)
    verdict = "tied" if p > LEVEL else "the tuned model is better" if gained > lost else "the tuned model is worse"
    shown = f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
    return f"{gained} answers gained, {lost} lost: {verdict} (exact McNemar, {shown})"
