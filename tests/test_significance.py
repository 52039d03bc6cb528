"""Against published figures and closed forms."""

from __future__ import annotations

import pytest

from significance import in_words, mcnemar, wilson_interval


def test_wilson_intervals_of_published_examples():
    assert wilson_interval(50, 100) == pytest.approx([0.404, 0.596], abs=5e-4)  # the textbook case
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3
    assert wilson_interval(81, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx([0.0624, 0.1605], abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx([0.0, 0.1611], abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx([0.0061, 0.1718], abs=5e-5)
    assert wilson_interval(0, 0) is None


def test_mcnemar_is_the_sign_test_of_what_changed():
    assert mcnemar(15, 5) == pytest.approx(0.041, abs=5e-4)
    assert mcnemar(20, 10) == pytest.approx(0.099, abs=5e-4)
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1.0
    assert mcnemar(2, 9) == mcnemar(9, 2)


def test_a_tie_is_called_a_tie():
    assert "tied" in in_words(20, 10) and "p = 0.099" in in_words(20, 10)
    assert "better" in in_words(15, 5) and "worse" in in_words(5, 15)
    assert "p < 0.001" in in_words(16, 0)
