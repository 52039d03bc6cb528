"""Which of the facts that a small model states are kept, and what replaces the others. No model."""

from __future__ import annotations

from collections import Counter

import pytest
from generators import CHINESE, fact, small_work

from data_processor.chunking import Chunk
from data_processor.facts import NOT_COVERED, Fact
from data_processor.pipeline import sentences_to_read
from data_processor.small_model import cloze
from data_processor.small_model.facts import find_facts, grounded


def test_facts_keep_their_quote_and_a_sentence_replaces_bad_ones():
    text = "Ann Pellow opened the Hexley Bridge on 3 May 1990. The bridge cost 4 million dollars."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    job = small_work('["Ida Holm opened the Hexley Bridge."]', '["The bridge cost 4 million dollars."]')
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == [
        "Ann Pellow opened the Hexley Bridge on 3 May 1990.",
        "The bridge cost 4 million dollars.",
    ]
    assert all(found.quote in text for found in facts)
    assert job.drops == Counter({"facts: a name or number that its source does not have": 1})
    assert job.dropped == [
        {
            "step": "facts",
            "reason": "a name or number that its source does not have",
            "text": "Ida Holm opened the Hexley Bridge.",
            "file_name": "a.txt",
            "chunk": 0,
            "quote": "Ann Pellow opened the Hexley Bridge on 3 May 1990.",
        }
    ]


def test_a_fact_that_depends_on_its_context_is_rejected_and_a_sentence_gets_its_subject():
    text = "Hexley Bridge\n\nIts 22 arches were built by Ann Pellow in 1990."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "Hexley Bridge")
    job = small_work('["Its 22 arches were built by Ann Pellow.", "The bridge opened with Ann Pellow last year."]')
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == ["Hexley Bridge: Its 22 arches were built by Ann Pellow in 1990."]
    assert job.drops == Counter({"facts: does not stand alone": 1, "facts: not in the words of its sentence": 1})


def test_a_sentence_that_no_fact_covers_is_counted():
    text = "Nothing much was new."
    job = small_work('["Nothing much was new."]')
    assert find_facts(job, sentences_to_read([Chunk("a.txt", 0, 0, len(text), text, "Hexley")])) == []
    assert job.drops[f"facts: {NOT_COVERED}"] == 1


def test_chinese_documents_are_read_in_chinese():
    text = "赫克斯利大桥\n\n赫克斯利大桥于1990年5月3日通车，耗资400万美元。"
    chunk = Chunk("a.txt", 0, 0, len(text), text, "赫克斯利大桥", "zh")
    job = small_work('["赫克斯利大桥于1990年5月3日通车。", "赫克斯利大桥耗资400万美元。", "它于1990年通车。"]')
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == ["赫克斯利大桥于1990年5月3日通车。", "赫克斯利大桥耗资400万美元。"]
    assert {(found.subject, found.quote) for found in facts} == {("赫克斯利大桥", text.splitlines()[2])}
    assert "请" in job.engine.asked[0][-1]["content"]
    [gap] = cloze.find_gaps(fact("大桥耗资400万美元。", "赫克斯利大桥", "zh"), CHINESE)
    assert [(one.question, one.answer) for one in gap.cloze()] == [("赫克斯利大桥：大桥耗资多少？", "400万美元")]


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [("Die Brücke wurde 1990 eröffnet.", True), ("The harbour was opened.", False), ("Sie hat 7 Bögen.", False)],
)
def test_a_rewrite_in_a_language_without_rules_has_words_of_its_facts(sentence, kept):
    text = "Die Brücke von Hexley wurde 1990 eröffnet."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "", "de", "de")
    assert grounded(sentence, [Fact(text, chunk, 0, len(text), "Hexley")]) == kept
