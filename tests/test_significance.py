"""Against published figures and closed forms."""

from __future__ import annotations

from math import comb, sqrt

import numpy
import pytest
from scipy.optimize import minimize

from evaluation.significance import (
    clustered_difference,
    cohens_kappa,
    describe_comparison,
    describe_sign_test,
    describe_verdict,
    gap_closed,
    length_adjusted,
    mcnemar,
    p_over_facts,
    resampled_means,
    wilson_interval,
)

Z = 1.959964


def test_wilson_intervals_of_published_examples():
    # Wilson 1927, JASA 22:209-212, his formula by hand: half of 100
    center, half = 0.5, Z * sqrt(0.25 / 100 + Z**2 / (4 * 100**2)) / (1 + Z**2 / 100)
    assert wilson_interval(50, 100) == pytest.approx([center - half, center + half], abs=5e-5)
    assert wilson_interval(50, 100) == pytest.approx([0.404, 0.596], abs=5e-4)
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3
    assert wilson_interval(81, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx([0.0624, 0.1605], abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx([0.0, 0.1611], abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx([0.0061, 0.1718], abs=5e-5)
    assert wilson_interval(0, 0) is None


def test_mcnemar_is_the_sign_test_of_what_changed():
    # twice the tail of the table of the binomial (National Bureau of Standards, Applied Mathematics Series 6, 1950)
    for gained, lost, published in ((15, 5, 0.041), (20, 10, 0.099)):
        n, fewer = gained + lost, min(gained, lost)
        assert mcnemar(gained, lost) == pytest.approx(2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n)
        assert mcnemar(gained, lost) == pytest.approx(published, abs=5e-4)
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1.0
    assert mcnemar(2, 9) == mcnemar(9, 2)


def test_mcnemar_is_that_of_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar as reference

    for gained, lost in ((15, 5), (20, 10), (7, 7), (1, 12)):
        assert mcnemar(gained, lost) == pytest.approx(reference([[40, gained], [lost, 40]], exact=True).pvalue)


def test_questions_that_share_a_fact_are_one_piece_of_evidence():
    ones = [1] * 15 + [-1] * 5
    assert p_over_facts([*ones, 0], [str(number) for number in range(21)]) == pytest.approx(mcnemar(15, 5))
    assert p_over_facts([1] * 6, ["a", "a", "a", "b", "b", "b"]) == 0.5  # two facts of two
    assert p_over_facts([1, 1, -1, -1], ["a", "a", "b", "c"]) == 1.0
    assert p_over_facts([1, -1], ["a", "a"]) == p_over_facts([], []) == 1.0
    # sums of +-3, +-1 and +-1: of the eight, 5 and -5 are as far from 0 as 5, 3 comes twice with -3
    changes, facts = [1, 1, 1, 1, 1], ["a", "a", "a", "b", "c"]
    assert p_over_facts(changes, facts) == 2 / 8 and p_over_facts([-x for x in changes], facts) == 2 / 8
    assert p_over_facts([1, 1, 1, 1, -1], facts) == 6 / 8
    assert (
        describe_comparison(6, 0, 0.5)
        == "6 answers gained, 0 lost: no significant difference (exact McNemar over facts, p = 0.500)"
    )


def test_chance_seldom_makes_a_difference_of_questions_that_share_facts():
    rng, alone, together = numpy.random.default_rng(0), 0, 0
    for _ in range(400):  # no model is better, but the five questions on a fact stand or fall together
        changes = [int(change) for change in rng.integers(-1, 2, size=20) for _ in range(5)]
        alone += mcnemar(changes.count(1), changes.count(-1)) <= 0.05
        together += p_over_facts(changes, [str(number // 5) for number in range(100)]) <= 0.05
    assert together <= 0.05 * 400 < 0.2 * 400 < alone


def test_facts_that_all_changed_alike_give_no_interval():
    assert clustered_difference([1] * 4, [0] * 4, list("abcd"))["interval"] is None
    assert clustered_difference([1] * 4, [1] * 4, list("abcd"))["interval"] is None
    assert clustered_difference([1, 1, 1, 0], [0] * 4, list("abcd"))["interval"]


def test_a_tie_is_called_a_tie():
    assert "no significant difference" in describe_comparison(20, 10) and "p = 0.099" in describe_comparison(20, 10)
    assert "better" in describe_comparison(15, 5) and "worse" in describe_comparison(5, 15)
    assert "p < 0.001" in describe_comparison(11, 0) and "p = 0.002" in describe_comparison(10, 0)
    assert [describe_verdict(n, 0, mcnemar(n, 0)) for n in (0, 5, 6)] == [
        "no significant difference",
        "no significant difference",
        "the tuned model is better",
    ]
    assert [describe_verdict(0, n, mcnemar(0, n)) for n in (5, 6)] == [
        "no significant difference",
        "the tuned model is worse",
    ]
    assert describe_comparison(6, 0) == "6 answers gained, 0 lost: the tuned model is better (exact McNemar, p = 0.031)"
    assert describe_sign_test(6, 0) == "6 wins, 0 losses: the tuned model is better (sign test, p = 0.031)"
    assert describe_sign_test(0, 6) == "0 wins, 6 losses: the tuned model is worse (sign test, p = 0.031)"
    assert describe_comparison(1, 2) == "1 answer gained, 2 lost: no significant difference (exact McNemar, p = 1.000)"
    assert describe_sign_test(1, 2) == "1 win, 2 losses: no significant difference (sign test, p = 1.000)"
    assert describe_sign_test(20, 10) == "20 wins, 10 losses: no significant difference (sign test, p = 0.099)"


def test_kappa_of_a_published_example():
    # Fleiss, Cohen & Everitt 1969, Psychological Bulletin 72:323-327, table 1: 200 diagnoses, kappa 0.429
    table = [[106, 10, 4], [22, 28, 10], [2, 12, 6]]
    pairs = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    assert cohens_kappa(*zip(*pairs, strict=True)) == pytest.approx(0.429, abs=5e-4)
    assert cohens_kappa([True, False], [True, False]) == 1.0
    assert cohens_kappa([True, True], [True, True]) is None


def test_the_bootstrap_draws_facts_not_questions():
    rng = numpy.random.default_rng(0)
    facts = rng.random(100) < 0.4
    right = numpy.repeat(facts, 5)  # the five questions about a fact stand or fall together
    nothing = numpy.zeros(500, dtype=bool)
    wide = clustered_difference(right, nothing, [str(i // 5) for i in range(500)])
    narrow = clustered_difference(right, nothing, [str(i) for i in range(500)])
    assert wide["difference"] == narrow["difference"] == pytest.approx(facts.mean())
    assert (wide["facts"], narrow["facts"]) == (100, 500)
    widths = [high - low for low, high in (wide["interval"], narrow["interval"])]
    assert widths[0] == pytest.approx(2 * Z * sqrt(facts.mean() * (1 - facts.mean()) / 100), rel=0.05)
    assert widths[0] == pytest.approx(sqrt(5) * widths[1], rel=0.05)
    assert clustered_difference(right, nothing, [str(i // 5) for i in range(500)]) == wide  # seeded


def test_a_mean_is_over_questions_where_facts_have_different_numbers_of_them():
    means = resampled_means([[1] * 9 + [0], [0] * 9 + [1]], ["long"] * 9 + ["short"], seed=0)
    assert means.shape == (2, 10_000)
    assert sorted(set(means[0].round(4))) == [0.0, 0.9, 1.0]  # the short fact twice, both, the long one twice
    drawn = [numpy.mean(means[0].round(4) == value) for value in (0.0, 0.9, 1.0)]
    assert drawn == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    assert means[0] + means[1] == pytest.approx(numpy.ones(10_000))  # the columns are drawn together


def test_the_difference_of_facts_of_unequal_size():
    # twenty facts of nine questions learnt and twenty of one not: 9 k / (9 k + 40 - k), k ~ B(40, 1/2) from 14 to 26
    right = [True] * 180 + [False] * 20
    facts = [str(i // 9) for i in range(180)] + [f"short {i}" for i in range(20)]
    found = clustered_difference(right, [False] * 200, facts)
    assert found == {"difference": 0.9, "interval": [0.8289, 0.9435], "facts": 40}
    assert clustered_difference([False] * 200, right, facts)["difference"] == -0.9
    assert clustered_difference(right, right, facts) == {"difference": 0.0, "interval": None, "facts": 40}
    closed = gap_closed(right, [False] * 200, [True] * 200, facts)
    assert closed == {"gap_closed": 0.9, "interval": [0.8289, 0.9435]}


def test_shares_are_rounded_to_four_digits():
    right, wrong, opened = [True, False, False], [False] * 3, [True, True, True]
    assert clustered_difference(right, wrong, [*"abc"])["difference"] == 0.3333
    assert gap_closed(right, wrong, opened, [*"abc"])["gap_closed"] == 0.3333
    assert all(round(limit, 4) == limit for limit in clustered_difference(right, wrong, [*"abc"])["interval"])


def test_one_fact_has_no_interval_and_two_have_one():
    right, wrong, opened = [True, True, False, True], [False] * 4, [True] * 4
    assert clustered_difference(right, wrong, ["a"] * 4) == {"difference": 0.75, "interval": None, "facts": 1}
    assert gap_closed(right, wrong, opened, ["a"] * 4) == {"gap_closed": 0.75, "interval": None}
    assert clustered_difference(right, wrong, ["a", "a", "b", "b"])["interval"] == [0.5, 1.0]
    assert gap_closed(right, wrong, opened, ["a", "a", "b", "b"])["interval"] == [0.5, 1.0]


def test_the_seed_decides_what_is_drawn():
    rng = numpy.random.default_rng(5)
    columns = [rng.random(60) < share for share in (0.6, 0.1, 0.9)]
    facts = [str(i % 23) for i in range(60)]
    for measure in (
        lambda seed: clustered_difference(*columns[:2], facts, seed),
        lambda seed: gap_closed(*columns, facts, seed),
    ):
        found = [measure(seed)["interval"] for seed in range(4)]
        assert measure(3)["interval"] == found[3]
        assert len({tuple(interval) for interval in found}) > 1
        assert max(low for low, _ in found) - min(low for low, _ in found) < 0.03  # and no more than that
    by_default = clustered_difference(*columns[:2], facts), gap_closed(*columns, facts)
    assert by_default == (clustered_difference(*columns[:2], facts, 0), gap_closed(*columns, facts, 0))


def test_the_gap_closed():
    base, opened = [False] * 40, [True] * 30 + [False] * 10
    tuned = [True] * 15 + [False] * 25
    facts = [str(i) for i in range(40)]
    found = gap_closed(tuned, base, opened, facts)
    assert found["gap_closed"] == pytest.approx((15 - 0) / (30 - 0))
    assert found["interval"][0] < 0.5 < found["interval"][1]
    assert gap_closed(opened, base, opened, facts) == {"gap_closed": 1.0, "interval": None}
    assert gap_closed(tuned, opened, opened, facts) == {"gap_closed": None, "interval": None}
    assert gap_closed([], [], [], []) == {"gap_closed": None, "interval": None}  # a judge that gave no verdict
    assert gap_closed(tuned, base, [True] + [False] * 39, facts)["interval"] is None  # no gap in some samples


def test_the_length_adjusted_score_is_the_intercept_of_the_regression():
    # Dubois et al. 2024, arXiv 2404.04475, section 3: the preference at no difference in length
    rng = numpy.random.default_rng(1)
    lead = rng.normal(150, 100, 20_000)
    chance = 1 / (1 + numpy.exp(-(-0.4 + 1.5 * numpy.tanh(lead / lead.std()))))
    points = (rng.random(lead.size) < chance).astype(float)
    assert points.mean() > 0.6
    assert length_adjusted(points.tolist(), lead.tolist()) == pytest.approx(1 / (1 + numpy.exp(0.4)), abs=0.03)


def test_the_length_adjusted_score_is_the_mode_under_a_prior_of_variance_ten():
    points, lead = numpy.array([1.0, 1.0, 0.5, 1.0, 0.0, 1.0]), numpy.array([30, 12, -4, 25, -40, 8])
    term = numpy.tanh(lead / lead.std())

    def loss(beta):
        chance = beta[0] + beta[1] * term
        return numpy.sum(numpy.logaddexp(0, chance) - points * chance) + 0.1 * beta[1] ** 2 / 2

    mode = minimize(loss, [0.0, 0.0], tol=1e-10).x
    assert length_adjusted(points.tolist(), lead.tolist()) == pytest.approx(1 / (1 + numpy.exp(-mode[0])), abs=2e-4)


def test_the_length_adjusted_score_where_length_says_nothing():
    assert length_adjusted([], []) is None
    assert length_adjusted([1.0, 1.0], [3, 9]) == 1.0
    assert length_adjusted([1.0, 1.0, 1.0], [5, 5, 5]) == 1.0
    assert length_adjusted([1.0, 0.5, 0.0, 0.5], [4, 4, 4, 4]) == 0.5
    assert length_adjusted([1.0, 0.0, 0.0], [4, 4, 4]) == 0.3333
    assert length_adjusted([1.0, 0.0, 0.0], [0, 0, 0]) == 0.3333
    assert length_adjusted([1.0, 0.0] * 20, [7, 7, -7, -7] * 10) == pytest.approx(0.5, abs=0.01)
    assert length_adjusted([1.0] * 10 + [0.0] * 10, [9] * 10 + [-9] * 10) == pytest.approx(0.5, abs=0.01)  # separable


def test_the_gap_is_counted_from_what_the_base_knows():
    """Of two questions on each fact the base knows one, and the open book gives both."""
    clusters, base, both = [*"aabbcc"], [True, False] * 3, [True] * 6
    assert gap_closed(base, base, both, clusters) == {"gap_closed": 0.0, "interval": None}
    assert gap_closed(both, base, both, clusters) == {"gap_closed": 1.0, "interval": None}
    assert gap_closed([True, False, True, True, True, False], base, both, clusters)["gap_closed"] == 0.3333


def test_a_gap_that_is_none_in_some_sample_of_facts_has_no_interval():
    """The open book gives two of three facts and the base the third: some samples hold the third alone."""
    found = gap_closed([True, False, True], [False, False, True], [True, True, False], [*"abc"])
    assert found == {"gap_closed": 1.0, "interval": None}
