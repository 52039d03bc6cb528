"""What is read of a chunk that a server refuses for what it says, or because it is too long. No model."""

from __future__ import annotations

from collections import Counter

import pytest
from generators import scripted_reading, work
from test_facts import chunks_of, read

from data_processor.facts import NOT_COVERED, REFUSED
from data_processor.numbered import shown_text
from engines.chat import Reply

FILTERED = Reply("", finish_reason="error", error="status 400, content_filter: The prompt was filtered.")
TOO_LONG = Reply("", finish_reason="error", error="status 400: maximum context length is 128 tokens")
BROKEN = Reply("", finish_reason="error", error="no JSON: expected an object")
FIVE = "The lamp is red. Rat poison is used. The pier is old. It is of oak. The quay is new."


@pytest.mark.parametrize("refusal", [FILTERED, TOO_LONG])
def test_of_a_chunk_that_a_server_refuses_only_the_sentence_it_means_is_lost(refusal):
    _, chunks = chunks_of(FIVE)
    job = work(
        refusal,
        *(refusal, scripted_reading(("The pier is old.", [1]), ("It is oak.", [2]), theme="its pier")),  # halves
        *(scripted_reading(("The lamp is red.", [1]), theme="a lamp"), refusal),
        '[{"sentence": 1, "nothing": "", "facts": ["The quay is new."]}]',
    )
    reading = read(job, chunks)
    assert [(fact.text, fact.quote) for fact in reading.facts] == [
        ("The lamp is red.", "The lamp is red."),
        ("The pier is old.", "The pier is old."),
        ("It is oak.", "It is of oak."),
        ("The quay is new.", "The quay is new."),
    ]
    asked = [turns[-1]["content"] for turns in job.engine.asked]
    assert "[1] The lamp is red. [2] Rat poison is used. […]" in asked[1]
    assert "[…] [1] The pier is old. [2] It is of oak. [3] The quay is new." in asked[2]
    assert "[1] The lamp is red. […]" in asked[3] and "[…] [1] Rat poison is used. […]" in asked[4]
    assert "The lamp is red. […] The pier is old. It is of oak. [1] The quay is new." in asked[5], (
        "asked for what is left"
    )
    assert not any("poison" in shown for shown in (asked[2], asked[3], asked[5], shown_text(chunks[0])))
    assert [(one["text"], one["quote"]) for one in job.dropped if one["reason"] == REFUSED] == [
        ("Rat poison is used.",) * 2
    ]
    assert len(asked) == 6 and reading.themes == {chunks[0]: "its pier"}


def test_a_chunk_whose_call_fails_for_another_reason_is_not_asked_for_in_parts():
    _, chunks = chunks_of(FIVE)
    job = work(BROKEN)
    reading = read(job, chunks)
    assert not reading.facts and len(job.engine.asked) == 1 and job.drops[f"facts: {NOT_COVERED}"] == 5
    assert reading.themes == {chunks[0]: "a.txt"} and reading.roles == {chunks[0]: []} == reading.names


def test_of_a_document_that_is_refused_whole_every_sentence_is_told():
    _, chunks = chunks_of("Rat poison is used. It is poison.")
    job = work(FILTERED, FILTERED, FILTERED)
    assert not read(job, chunks).facts and len(job.engine.asked) == 3
    assert job.drops == Counter({"read: call failed": 3, f"read: {REFUSED}": 2})
