"""The measurement of a big corpus: its documents are always the same, and it passes the project's own checks."""

from __future__ import annotations

import json

from benchmarks import scale
from benchmarks.scale_corpus import document, question_on, retold, reworded
from data_processor.curation import is_near_copy, word_trigrams
from data_processor.split import LEAK_SIMILARITY


def test_a_simulated_document_is_the_same_every_time_and_no_two_are_alike():
    assert document(3) == document(3) != document(4)
    heading, *paragraphs = document(3).strip().split("\n\n")
    assert heading.startswith("# The works of ") and len(paragraphs) == 10
    assert all(paragraph.count(".") == 3 for paragraph in paragraphs)


def test_what_the_engine_asks_and_tells_keeps_the_names_and_numbers_of_a_sentence():
    opened = "Ada Delfin opened the old mill of Corbaras on 3 May 1931, after it had burnt."
    cost = "The old mill of Corbaras cost 4200 euros, as Ada Delfin said, after it had burnt."
    assert question_on(opened)[1] == "3 May 1931" and question_on(cost)[1] == "4200"
    for told in (opened, cost):
        question = question_on(told)[0]
        other = reworded(question)
        assert all(name in other for name in ("Ada Delfin", "old mill", "Corbaras"))
        assert not is_near_copy(word_trigrams(question), word_trigrams(other), LEAK_SIMILARITY)
    for way in range(3):
        assert all(part in retold(opened, way) for part in ("Ada Delfin", "mill", "Corbaras", "3 May 1931"))
        assert all(part in retold(cost, way) for part in ("Ada Delfin", "mill", "Corbaras", "4200"))


def test_a_simulated_corpus_gives_about_ten_rows_a_chunk(tmp_path):
    scale.write_simulated(tmp_path, 20)
    counts = scale.collect_simulated(tmp_path, 20)
    assert (counts["documents"], counts["facts"]) == (2, 60)
    assert 8 <= (counts["rows"] + counts["test_rows"]) / 20 <= 12
    rows = json.loads((tmp_path / "data.json").read_text())
    assert {row["kind"] for row in rows} == {"qa", "passage", "unknown"} and len(rows) == counts["rows"]
    parts = counts["parts"]
    assert parts["texts and their checks"] > 0 and {"split", "write"} <= parts.keys(), "some take less than a hundredth"


def test_a_step_that_is_recorded_is_not_done_again(tmp_path):
    done = {"corpus": {"seconds": 1.0}, "collect": {"seconds": 20.0}, "train": {"seconds": 5.0}}
    (tmp_path / "1000").mkdir()
    (tmp_path / "1000" / "steps.json").write_text(json.dumps(done))
    assert scale.measure(tmp_path / "1000", 1000) == done


def test_the_summary_leaves_out_the_seconds_in_which_the_corpus_was_made():
    def steps(seconds: float, peak: float, rows: int) -> dict:
        collected = {"seconds": seconds, "peak_gib": peak, "rows": rows, "test_rows": 50}
        return {"corpus": {"seconds": 99.0}, "collect": collected, "train": {"seconds": 5.0, "peak_gib": 0.5}}

    found = scale.summarise({1000: steps(20.0, 0.4, 9950), 10000: steps(200.0, 0.9, 99950)})
    assert found["host_seconds"] == {1000: 25.0, 10000: 205.0} and found["chunks"] == 10000
    assert found["host_peak_gib"] == 0.9 and found["rows_per_chunk"] == 10.0
    assert found["host_milliseconds_a_chunk"] == {1000: 25.0, 10000: 20.5}
