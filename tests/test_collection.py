"""Chunks, checks and steps of the collection, without a model where none is needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from data_processor import questions, steps
from data_processor.chunking import Chunk, chunk_document, document_title, sentences
from data_processor.curation import NearCopies, contains, copied_in_order, spans, subject_of, supported
from data_processor.documents import Document
from llm import Reply

DEMO = Path(__file__).resolve().parents[1] / "datasets" / "demo"
TEXT = "Dr. Ann Pellow opened the Hexley Bridge on 3 May 1990. It cost 1.4 million euros! Nobody knew why.\n\nHistory\n\nIt fell."


def fact(text: str, subject: str = "Hexley") -> steps.Fact:
    return steps.Fact(text, Chunk("a.txt", 0, 0, len(text), text, ""), 0, len(text), subject, "a bridge")


class Scripted:
    """An engine that answers from a list and keeps what it was asked."""

    name = "scripted"

    def __init__(self, *answers: str):
        self.answers, self.asked, self.schemas = list(answers), [], []

    def chat(self, conversations, *, schemas=None, on_reply=None, **options):
        self.asked += conversations
        self.schemas += schemas if isinstance(schemas, list) else [schemas] * len(conversations)
        replies = [Reply(self.answers.pop(0)) for _ in conversations]
        for index, reply in enumerate(replies):
            on_reply(index, reply)
        return replies


class SilentBar:
    def __init__(self, *_): ...
    def __enter__(self):
        return self

    def __exit__(self, *_): ...
    def update(self, _): ...


def work(*answers: str, **options) -> steps.Work:
    return steps.Work(Scripted(*answers), 0, SilentBar, **options)


def test_sentences_skip_headings_and_abbreviations():
    found = [TEXT[start:end] for start, end in sentences(TEXT)]
    assert found == [
        "Dr. Ann Pellow opened the Hexley Bridge on 3 May 1990.",
        "It cost 1.4 million euros!",
        "Nobody knew why.",
        "It fell.",
    ]


def test_chinese_sentences():
    text = "大桥于1990年开通。它花费了140万欧元！没有人知道原因。"
    assert [text[s:e] for s, e in sentences(text)] == ["大桥于1990年开通。", "它花费了140万欧元！", "没有人知道原因。"]


def test_chunks_hold_their_size_and_give_back_the_text(tokenizer):
    text = "\n\n".join(f"Paragraph {i}. " + "The bridge at Hexley is old. " * 8 for i in range(12))
    chunks = chunk_document(Document("a.txt", text), tokenizer, 128)
    assert len(chunks) > 3
    for chunk in chunks:
        assert len(tokenizer(chunk.text, add_special_tokens=False).input_ids) <= 128
        assert text[chunk.start : chunk.end] == chunk.text
    covered = set().union(*(range(chunk.start, chunk.end) for chunk in chunks))
    assert all(i in covered for i, letter in enumerate(text) if not letter.isspace())


def test_title_is_a_first_line_that_is_no_sentence():
    assert document_title("Atlaquern 6.3: release notes\n\nIt is out.") == "Atlaquern 6.3: release notes"
    assert document_title("It is out.\nReally.") == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("On 3 May 1990 Ann Pellow paid 4 million dollars.", ["3 May 1990", "Ann Pellow", "4 million dollars"]),
        ("It won the Brass Sounder with 43 points, in 2025-26.", ["Brass Sounder", "43 points", "2025-26"]),
        (
            'They staged "The Borrowed Goose" in the Academy of Lissandry.',
            ["The Borrowed Goose", "Academy of Lissandry"],
        ),
        ("Few had expected 28-27 in July 2025.", ["28-27", "July 2025"]),
        ("Version 6.2 reads 100,000 sheets in 1.4 seconds.", ["Version 6.2", "100,000 sheets", "1.4 seconds"]),
        ("Nothing to ask for here.", []),
    ],
)
def test_spans_are_what_can_be_asked_for(text, found):
    assert [text[start:end] for start, end, _ in spans(text)] == found


def test_a_single_capital_at_the_start_is_a_name_only_with_evidence():
    assert spans("Shareholders were glad.") == []
    assert spans("Drostabar won.", "The cup went to Drostabar again. Drostabar won.") == [(0, 9, "name")]
    assert spans("Morgenkanne, the dairy, pays.") == [(0, 11, "name")]


def test_support_and_order_catch_what_small_models_get_wrong():
    quote = "Marthe Sollivang broke a collarbone in November, and Drostabar knocked the Otters out of the cup."
    assert supported("Drostabar knocked the Otters out.", quote)
    assert not supported("Ida Holm broke a collarbone.", quote) and not supported("It was in November 2024.", quote)
    assert copied_in_order("Marthe Sollivang broke a collarbone.", quote, "Otters")
    assert not copied_in_order("Drostabar broke a collarbone.", quote, "Otters")
    assert copied_in_order("The Otters lost the cup.".replace("lost", "knocked"), quote, "Otters")


def test_contains_is_by_whole_words():
    assert contains("It cost 3,870 euros", "3870 euros") and not contains("It cost 14 euros", "4 euros")


def test_near_copies():
    new = NearCopies()
    assert new.is_new("When was the bridge at Hexley opened?")
    assert not new.is_new("When was the bridge at Hexley opened ?")
    assert new.is_new("Who opened the bridge at Hexley?")


def test_subject_is_the_name_the_text_keeps_using():
    for name, subject in (
        ("company_year", "Tolvimer Instruments"),
        ("release_notes", "Atlaquern 6.3"),
        ("town_chronicle", "Averoske"),
    ):
        text = (DEMO / f"{name}.txt").read_text()
        assert subject_of(document_title(text), text) == subject


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("When was the Hexley Bridge opened?", "3 May 1990", None),
        ("The Hexley Bridge was opened.", "3 May 1990", "not a question"),
        ("When was the Hexley Bridge opened on 3 May 1990?", "3 May 1990", "answer in the question"),
        ("When was the Corrin Bridge opened?", "3 May 1990", "a name or number that the chunk does not have"),
        ("When was the Hexley Bridge opened?", "4 May 1990", "answer not in its fact"),
        ("Who opened the Hexley Bridge?", "3 May 1990", "asks for another kind of answer"),
        ("When did it all begin?", "3 May 1990", "shares no words with its fact"),
    ],
)
def test_questions_are_refused_for_a_reason(question, answer, reason):
    pair = questions.Pair(question, answer, fact("Ann Pellow opened the Hexley Bridge on 3 May 1990."), "model")
    assert questions.question_problem(pair, own_words_only=False) == reason


def test_questions_in_place_ask_for_every_name_date_and_number():
    pairs = questions.questions_in_place(
        fact("Ann Pellow opened the Hexley Bridge on 3 May 1990 for 4 million dollars.")
    )
    assert {pair.answer for pair in pairs} == {"Ann Pellow", "Hexley Bridge", "3 May 1990", "4 million dollars"}
    assert all(pair.question.endswith("?") and not contains(pair.question, pair.answer) for pair in pairs)


def test_a_question_that_does_not_lead_back_is_dropped():
    bridge = fact("Ann Pellow opened the Hexley Bridge on 3 May 1990.")
    pairs = [
        questions.Pair("When was the Hexley Bridge opened?", "3 May 1990", bridge, "model"),
        questions.Pair("Who opened the Hexley Bridge?", "Ann Pellow", bridge, "model"),
    ]
    job = work('"3 May 1990"', '"Hexley Bridge"')
    assert [pair.answer for pair in questions.verified(job, "questions", pairs)] == ["3 May 1990"]
    assert job.drops == Counter({"questions: the question does not lead back to its answer": 1})


def test_facts_keep_their_quote_and_a_sentence_stands_in_for_bad_ones():
    text = "Ann Pellow opened the Hexley Bridge on 3 May 1990. The bridge cost 4 million dollars."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    job = work('["Ida Holm opened the Hexley Bridge."]', '["The bridge cost 4 million dollars."]', copies_only=True)
    facts = steps.find_facts(job, [chunk], ["a bridge"])
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
