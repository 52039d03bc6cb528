"""Which of the facts that a model states are kept, and what replaces the others. No model."""

from __future__ import annotations

from collections import Counter

import pytest
from generators import fact, work

from data_processor import pairs as pair_checks
from data_processor.chunking import Chunk
from data_processor.collection import QUESTIONS
from data_processor.facts import NOT_COVERED, find_facts, sentences_to_read
from data_processor.pairs import Pair


@pytest.mark.parametrize("question_module", QUESTIONS.values(), ids=QUESTIONS)
def test_facts_keep_their_quote_and_a_sentence_replaces_bad_ones(question_module):
    text = "Ann Pellow opened the Hexley Bridge on 3 May 1990. The bridge cost 4 million dollars."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    job = work(
        '["Ida Holm opened the Hexley Bridge."]',
        '["The bridge cost 4 million dollars."]',
        question_module=question_module,
    )
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
    job = work('["Its 22 arches were built by Ann Pellow.", "The bridge opened with Ann Pellow last year."]')
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == ["Hexley Bridge: Its 22 arches were built by Ann Pellow in 1990."]
    assert job.drops == Counter({"facts: does not stand alone": 2})


def test_a_sentence_that_no_fact_covers_is_counted():
    text = "Nothing much was new."
    job = work('["Nothing much was new."]')
    assert find_facts(job, sentences_to_read([Chunk("a.txt", 0, 0, len(text), text, "Hexley")])) == []
    assert job.drops[f"facts: {NOT_COVERED}"] == 1


def test_the_models_own_check_rejects_what_rules_let_pass():
    text = "Against the advice of Ida Holm, Ann Pellow bought the yard in Corrin in 1990."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    stated = '["Ida Holm bought the yard in Corrin.", "Ann Pellow bought the yard in Corrin in 1990 against Ida Holm."]'
    job = work(stated, '"no"', '"yes"', llm_check=True)
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == ["Ann Pellow bought the yard in Corrin in 1990 against Ida Holm."]
    assert job.drops == Counter({"facts: the model finds that it does not follow": 1})
    pair = Pair("Who bought the yard in Corrin in 1990?", "Ann Pellow", fact(text), "model")
    job = work('"Ann Pellow"', '"no"', llm_check=True)
    assert pair_checks.verify_pairs(job, "questions", [pair]) == []
