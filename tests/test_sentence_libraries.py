"""The comparison of sentence libraries counts borders right, and the one in use stays as good as it was. No model."""

from __future__ import annotations

from benchmarks.sentence_libraries import library_scores, score

TEXT = {"text": "Dr. Ann left.  Bob came. Eve?", "language": "en", "sentences": ["Dr. Ann left.", "Bob came.", "Eve?"]}


def test_borders_are_counted():
    assert score(lambda text, _: [(0, 13), (13, 24), (24, len(text))], [TEXT]) == {"texts": 1, "exact": 1.0, "f1": 1.0}
    cut_after_doctor = [(0, 4), (4, 13), (14, 29)]  # 1 of 2 borders found, 1 of 2 right
    assert score(lambda *_: cut_after_doctor, [TEXT, TEXT]) == {"texts": 2, "exact": 0.0, "f1": 0.5}


def test_the_library_in_use_with_its_layer_is_the_best_of_those_installed():
    scores = library_scores()
    best = scores.pop("data_processor/segmentation.py")
    assert best["texts"] == 224
    assert best["exact"] >= 0.93
    assert best["f1"] >= 0.96
    assert all(other["f1"] < best["f1"] for other in scores.values())
