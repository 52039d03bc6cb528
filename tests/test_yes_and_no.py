"""A long answer of yes or no has no points: scoring goes by its first word, and the rest only says why."""

from __future__ import annotations

import pytest

from data_processor.chunking import Chunk
from data_processor.pairs import Fact
from data_processor.questions import to_pair
from evaluation.quantities import words_of

TEXT = "their claws would ruin the planks within a year or two"


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "ru", "zh"])
def test_what_the_score_takes_for_yes_or_no_has_no_points_whatever_its_form_is_called(language):
    fact = Fact(TEXT, Chunk("a.txt", 0, 0, len(TEXT), TEXT, "", "en", language), 0, len(TEXT), "")
    told = {"form": "rule", "question": "May dogs go?", "points": []}
    for word in f"{words_of(language)['yes']} {words_of(language)['no']}".split():
        assert to_pair(told | {"answer": f"{word.capitalize()}, {TEXT}"}, fact, "model").points == ()
    for start in ("Here,", "No claws, since"):
        assert to_pair(told | {"answer": f"{start} {TEXT}"}, fact, "model").points
