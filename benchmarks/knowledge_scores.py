"""What benchmarks/knowledge.py counts: right answers, the gap closed, what was kept, and whether a difference is chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from evaluation.significance import gap_closed, percentile_interval, resampled_means, wilson_interval
from evaluation.tokens import MATCH_RECALL, token_recall

FLIPS = 10_000  # of the signs of all passages, for a p-value
FLIPS_PER_BATCH = 500  # which bounds the memory


def is_right(references: Sequence[str], response: str) -> bool:
    """Whether a response has at least 0.8 of the tokens of a reference: any of `references`, words and numbers in normal form.

    Tokens are those of evaluation/tokens.py: articles and prepositions do not count, and of scripts without spaces
    every character is one.
    """
    return any(token_recall(reference, response) >= MATCH_RECALL for reference in references)


def grade(answers: Sequence[dict]) -> list[bool]:
    """Whether each answer is right; its reference is the shortest that people gave."""
    return [is_right([row["reference"]], row["response"]) for row in answers]


def grade_general(answers: Sequence[dict], questions: Sequence[dict]) -> list[bool]:
    """The same for general questions, each with several right answers; joined by id."""
    references = {row["id"]: row["references"] for row in questions}
    return [is_right(references[row["id"]], row["response"]) for row in answers]


def share(right: Sequence[float]) -> float:
    """The mean with four digits."""
    return round(float(numpy.mean(right)), 4)


def summarise(
    tuned: Sequence[Sequence[bool]], base: Sequence[bool], opened: Sequence[bool], passages: Sequence[str]
) -> dict:
    """Share right and gap closed of a run over its seeds, (tuned - base) / (open book - base), with 95 % intervals.

    `tuned` has a list for every seed, of one value a question like the others. Intervals are of a bootstrap over passages
    (Field & Welsh 2007), in which the seeds of a passage stay together.
    """
    mean = numpy.mean(numpy.array(tuned, dtype=float), axis=0)
    (drawn,) = resampled_means([mean], passages, seed=0)
    closed = gap_closed(mean, [float(x) for x in base], [float(x) for x in opened], passages)
    return {
        "tuned": share(mean),
        "tuned_interval": percentile_interval(drawn) if len(set(passages)) > 1 else None,
        "tuned_by_seed": [share(one) for one in tuned],
        "gap_closed": closed["gap_closed"],
        "gap_closed_interval": closed["interval"],
    }


def compare(
    one: Sequence[Sequence[bool]], other: Sequence[Sequence[bool]], passages: Sequence[str], seed: int = 0
) -> dict:
    """How much more often one run is right than another on the same questions, with an interval and a two-sided p-value.

    Passages, not questions, are exchangeable: p is the share of random flips of the signs of the passages' differences
    whose sum is as large (paired permutation test; Good 2005), never below 1 / (FLIPS + 1).
    """
    first, second = (numpy.mean(numpy.array(x, dtype=float), axis=0) for x in (one, other))
    places = {name: place for place, name in enumerate(dict.fromkeys(passages))}
    differences = numpy.bincount([places[name] for name in passages], first - second)
    observed, rng, as_large = abs(differences.sum()), numpy.random.default_rng(seed), 0
    for _ in range(FLIPS // FLIPS_PER_BATCH):
        signs = rng.choice([-1.0, 1.0], size=(FLIPS_PER_BATCH, len(differences)))
        as_large += int((abs(signs @ differences) >= observed - 1e-9).sum())
    means = resampled_means([first, second], passages, seed)
    return {
        "difference": round(float(first.mean() - second.mean()), 4),
        "interval": percentile_interval(means[0] - means[1]) if len(places) > 1 else None,
        "p": round((as_large + 1) / (FLIPS + 1), 4),
    }


def kept(tuned: Sequence[Sequence[bool]]) -> dict:
    """Of the general questions that the base model knows, the share that the tuned one answers right, over all seeds."""
    right = [sum(one) for one in tuned]
    asked = sum(map(len, tuned))
    return {
        "retention_ratio": round(sum(right) / asked, 4),
        "kept_by_seed": right,
        "general_questions": len(tuned[0]),
        "kept_interval": wilson_interval(sum(right), asked),
    }
