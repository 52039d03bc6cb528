"""A hyphen at the end of a line: the word loses it, keeps it, or goes on after a space, as its language and text tell."""

from __future__ import annotations

import pytest

from data_processor.hyphens import mend


@pytest.mark.parametrize(
    ("before", "after", "language", "expected"),
    [
        ("die neue Stra-", "ße", "de", ""),
        ("einen Ein-", "und Ausgang", "de", "- "),
        ("die Karl-", "Marx-Allee", "de", "-"),
        ("vorn in der Karl-", "Marx-Allee", "de", "-"),
        ("die politisch-", "wirtschaftliche Lage", "de", "-"),
        ("mit ironisch-", "naive Rede", "de", "-"),
        ("an den Tisch-", "lern vorbei", "de", ""),
        ("on pages 12-", "40", "en", "-"),
        ("a light-", "house keeper", "en", ""),
        ("THE LIGHT-", "HOUSE", "en", "-"),  # may be a name
        ("THE OLD LIGHT-", "HOUSE", "en", ""),
        ("a well-", "known man", "en", "-"),
        ("in the semi-", "final", "en", "-"),  # "semifinal" is a word too
        ("a cost-", "effective way", "en", "-"),
        ("the farm at Hart-", "lowby", "en", ""),  # "hart" is a word, "lowby" is none
        ("a state-of-the-", "art mill", "en", "-"),
        ("a turn-of-the-cen-", "tury mill", "en", ""),
        ("fresh-", "water fish", "en", ""),
        ("salt- and fresh-", "water fish", "en", "-"),
        ("où est-", "elle née", "fr", "-"),
        ("la ville, cel-", "le du nord", "fr", ""),
        ("если кто-", "то придёт", "ru", "-"),
        ("он где-", "то там", "ru", "-"),
        ("занят чем-", "то своим", "ru", "-"),
        ("это мес-", "то", "ru", ""),
        ("een lees-", "bril", "nl", ""),
        ("its tele\u00ad", "scope", "en", ""),
        ("in the semi\u00ad", "final", "en", ""),  # a soft hyphen is never part of the word
        ("after COVID-", "19 came", "en", "-"),
        ("a 1990s-", "style mill", "en", "-"),
        ("a 12-", "seater bus", "en", "-"),
        ("built in 1899 -", "was", "en", None),
        ("no hyphen", "here", "en", None),
        ("he said so -", "(twice)", "en", None),
        ("a pre-", "(and post-)war house", "en", None),
    ],
)
def test_a_hyphen_at_the_end_of_a_line(before, after, language, expected):
    assert mend(before, after, language, "") == expected


@pytest.mark.parametrize(
    ("before", "after", "text", "expected"),
    [
        ("a light-", "house keeper", "Every light-house has one.", "-"),
        ("a semi-", "final", "Her first semifinal was in May.", ""),
        ("a semi-", "final", "One semifinal, one Semi‐final, one semi-final.", "-"),
    ],
)
def test_a_word_stands_as_it_does_elsewhere_in_the_text(before, after, text, expected):
    assert mend(before, after, "en", text) == expected
