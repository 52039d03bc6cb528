"""Uncertainty of measured shares and differences, and the influence of length; uses scipy, statsmodels and numpy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy
from scipy.stats import binomtest

LEVEL = 0.05  # a difference that chance produces more often than this is not significant
RESAMPLES = 10_000
RESAMPLES_PER_BATCH = 200  # resamples, which bounds the memory of many facts
LENGTH_PENALTY = (
    0.1  # 1 / variance of a normal prior on the length coefficient, which separable data would send to infinity
)


def wilson_interval(successes: int, n: int) -> list[float] | None:
    """The 95 % score interval of a share (Wilson 1927; Newcombe 1998, method 3); None if nothing was counted."""
    if n == 0:
        return None
    interval = binomtest(successes, n).proportion_ci(1 - LEVEL, method="wilson")
    return [round(float(interval.low), 4), round(float(interval.high), 4)]


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p-value of a split this uneven among the questions whose result changed (McNemar 1947)."""
    return 1.0 if gained == lost else float(binomtest(gained, gained + lost).pvalue)


def excess(lost: int, n: int, allowed: float) -> float:
    """One-sided exact p-value: how likely it is that `lost` or more of `n` are lost if each is with probability `allowed`."""
    return 1.0 if n == 0 else float(binomtest(lost, n, allowed, alternative="greater").pvalue)


def p_over_facts(changes: Sequence[int], facts: Sequence[str]) -> float:
    """The same for questions that share facts: each fact's changes (1 gained, -1 lost) keep or change their signs together.

    Two-sided and exact, by the distribution of the sum; McNemar's p if no two questions that changed share a fact.
    """
    nets = Counter[str]()
    for fact, change in zip(facts, changes, strict=True):
        nets[fact] += change
    sizes = [abs(net) for net in nets.values() if net]
    total, chances = sum(sizes), numpy.ones(1)
    for size in sizes:  # of each sum from -total to total
        chances = (numpy.pad(chances, (2 * size, 0)) + numpy.pad(chances, (0, 2 * size))) / 2
    sums = numpy.abs(numpy.arange(-total, total + 1))
    return min(1.0, float(chances[sums >= abs(sum(nets.values()))].sum()))


def describe_comparison(gained: int, lost: int, p: float | None = None) -> str:
    """The comparison of the tuned model with the base, as a sentence; with `p` if questions share facts."""
    test = "exact McNemar" + " over facts" * (p is not None)
    p = mcnemar(gained, lost) if p is None else p
    verdict = describe_verdict(gained, lost, p)
    return f"{amount(gained, 'answer')} gained, {lost} lost: {verdict} ({test}, {format_p_value(p)})"


def amount(n: int, one: str, many: str | None = None) -> str:
    """ "1 tie", "2 ties"; `many` where the plural is not made with an s."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def describe_sign_test(wins: int, losses: int, p: float | None = None) -> str:
    """The wins and losses of the tuned model against the base, as a sentence; with `p` if questions share facts."""
    test = "sign test" + " over facts" * (p is not None)
    p = mcnemar(wins, losses) if p is None else p
    counts = f"{amount(wins, 'win')}, {amount(losses, 'loss', 'losses')}"
    return f"{counts}: {describe_verdict(wins, losses, p)} ({test}, {format_p_value(p)})"


def describe_verdict(gained: int, lost: int, p: float) -> str:
    """Which model is better, or that chance explains the difference."""
    better = "the tuned model is better" if gained > lost else "the tuned model is worse"
    return "no significant difference" if p > LEVEL else better


def format_p_value(p: float) -> str:
    """A p-value with three decimals, the smallest as "p < 0.001"."""
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def resampled_means(columns: Sequence[Sequence[float]], clusters: Sequence[str], seed: int) -> numpy.ndarray:
    """The means of the columns in RESAMPLES samples of whole clusters, drawn with replacement: (columns, RESAMPLES).

    Questions about one fact stand or fall together, so facts are drawn, not questions (cluster bootstrap; Field &
    Welsh 2007). The columns are drawn together, which keeps the comparison of two models paired.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    owner = [places[name] for name in clusters]
    sums = numpy.array([numpy.bincount(owner, column) for column in columns]).T
    sizes = numpy.bincount(owner)
    rng = numpy.random.default_rng(seed)
    parts = []
    for _ in range(RESAMPLES // RESAMPLES_PER_BATCH):
        drawn = rng.integers(len(places), size=(RESAMPLES_PER_BATCH, len(places)))
        parts.append(sums[drawn].sum(axis=1).T / sizes[drawn].sum(axis=1))
    return numpy.concatenate(parts, axis=1)


def percentile_interval(samples: numpy.ndarray) -> list[float] | None:
    """The 95 % percentile interval of resampled values; None if some sample has no value."""
    if not numpy.isfinite(samples).all():
        return None
    return [round(float(x), 4) for x in numpy.quantile(samples, [LEVEL / 2, 1 - LEVEL / 2])]


def interval_over_facts(samples: numpy.ndarray) -> list[float] | None:
    """The same; None also if all samples have one value, as an interval without width would claim certainty.

    Facts that all changed alike do not tell how far facts differ.
    """
    return None if numpy.ptp(samples) < 1e-9 else percentile_interval(samples)


def clustered_difference(sft: Sequence[bool], base: Sequence[bool], clusters: Sequence[str], seed: int = 0) -> dict:
    """The tuned model's share of right answers minus the base's, with an interval over facts."""
    means = resampled_means([sft, base], clusters, seed)
    difference, facts = round(float(numpy.mean(sft) - numpy.mean(base)), 4), len(set(clusters))
    interval = interval_over_facts(means[0] - means[1]) if facts > 1 else None
    return {"difference": difference, "interval": interval, "facts": facts}


def gap_closed(
    sft: Sequence[bool], base: Sequence[bool], open_book: Sequence[bool], clusters: Sequence[str], seed: int = 0
) -> dict:
    """(tuned - base) / (open book - base): 0 means nothing learnt, 1 as good as with the document in the prompt.

    None if the open book gains nothing, or if no question was scored; no interval if it gains nothing in some resampled set
    of facts, or if there is only one fact, which every sample would consist of.
    """
    gap = numpy.mean(open_book) - numpy.mean(base) if len(base) else 0.0
    if gap <= 0:
        return {"gap_closed": None, "interval": None}
    tuned, bare, opened = resampled_means([sft, base, open_book], clusters, seed)
    share = numpy.divide(tuned - bare, opened - bare, out=numpy.full(RESAMPLES, numpy.nan), where=opened > bare)
    return {
        "gap_closed": round(float((numpy.mean(sft) - numpy.mean(base)) / gap), 4),
        "interval": interval_over_facts(share) if len(set(clusters)) > 1 else None,
    }


def length_adjusted(points: Sequence[float], lead: Sequence[int]) -> float | None:
    """The score (win 1, tie 0.5, loss 0) expected if responses were as long as those they are compared with.

    Logistic regression of the points on tanh(lead / its standard deviation), where `lead` is how much longer the response
    is, evaluated at a lead of 0: length-controlled AlpacaEval (Dubois et al. 2024, arXiv 2404.04475, section 3) without
    its term for the difficulty of an instruction, as there is only one pair of models.
    """
    if not points:
        return None
    spread, mean = float(numpy.std(lead)), float(numpy.mean(points))
    if len(set(points)) == 1 or spread == 0:
        return round(mean, 4)
    from statsmodels.api import GLM
    from statsmodels.genmod.families import Binomial

    terms = numpy.column_stack([numpy.ones(len(points)), numpy.tanh(numpy.asarray(lead) / spread)])
    penalty = [0.0, LENGTH_PENALTY / len(points)]
    fitted = GLM(numpy.asarray(points), terms, family=Binomial()).fit_regularized(alpha=penalty, L1_wt=0.0)
    return round(float(1 / (1 + numpy.exp(-fitted.params[0]))), 4)


def cohens_kappa(one: Sequence[object], other: Sequence[object]) -> float | None:
    """Agreement of two raters beyond chance (Cohen 1960); None if both give everything the same rating."""
    from statsmodels.stats.inter_rater import cohens_kappa as kappa

    labels = list({*one, *other})
    if len(labels) < 2:
        return None
    table = numpy.zeros((len(labels), len(labels)))
    numpy.add.at(table, ([labels.index(x) for x in one], [labels.index(x) for x in other]), 1)
    return round(float(kappa(table, return_results=False)), 4)
