"""Chunks, titles and sentences of a document: where each begins and ends."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from data_processor.chunking import (
    Chunk,
    chunk_document,
    chunk_units,
    cut_places,
    hide_stops,
    make_splitter,
    parse,
    require_tokenizer,
    sentence_spans,
    share_out,
)
from data_processor.documents import Document
from data_processor.units import Unit
from utils import InputError

SPLITTER = make_splitter("tiktoken:gpt-4o", 100)
WORDS = " ".join(f"Sentence number {n} says something short." for n in range(60))


def test_chunks_are_numbered_and_overlap_by_a_tenth():
    document = Document("b/a.txt", f"A heading\n\n{WORDS}")
    chunks = chunk_document(document, SPLITTER, "de")
    assert [chunk.number for chunk in chunks] == list(range(len(chunks))) and len(chunks) > 4
    assert {(chunk.file_name, chunk.title, chunk.language) for chunk in chunks} == {("b/a.txt", "A heading", "de")}
    assert all(document.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    repeated = [document.text[b.start : a.end] for a, b in itertools.pairwise(chunks[1:])]
    assert all(text.count("short.") == 1 for text in repeated), (
        "of 100 tokens a sentence of 7 fits into a tenth, two do not"
    )


def test_a_short_document_is_one_chunk_in_english():
    [chunk] = chunk_document(Document("a.txt", "It was so.", ((0, 0),)), SPLITTER)
    assert (chunk.number, chunk.start, chunk.end, chunk.title, chunk.language) == (0, 0, 10, "", "en")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("\n\n  ## A heading \nText.", "A heading"),
        ("A sentence.\nText.", ""),
        ("一个句子。\n", ""),
        ("Is it one?\n", ""),
        ("Atlaquern 6.3: release notes\n\nIt is out.", "Atlaquern 6.3: release notes"),
        ("It is!\n", ""),
        ("x" * 120 + "\n\nIt is.", "x" * 120),
        ("x" * 121 + "\n\nIt is.", ""),
        ("Terms: part 2\n\nIt is.", "Terms: part 2"),
    ],
)
def test_a_title_is_a_first_line_that_is_not_a_sentence(text, title):
    assert {chunk.title for chunk in chunk_document(Document("a.txt", text), SPLITTER)} == {title}


def test_what_a_document_calls_itself_is_its_title_unless_that_is_long():
    document = Document("a.txt", "A heading\n\nIt is.", title="The bridge at Hexley")
    assert chunk_document(document, SPLITTER)[0].title == "The bridge at Hexley"
    assert chunk_document(replace(document, title="x" * 121), SPLITTER)[0].title == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It began. It ended.", ["It began.", "It ended."]),
        ("A heading\nIt began.  \n\n  It ended!", ["It began.", "It ended!"]),
        ("He met Dr. Ann Pellow. She left.", ["He met Dr. Ann Pellow.", "She left."]),
        ("He met J. Pellow. She left.", ["He met J. Pellow.", "She left."]),
        ("It cost 4.5 million. More came.", ["It cost 4.5 million.", "More came."]),
        ("Did it? “Yes.” So it was.", ["Did it?", "“Yes.”", "So it was."]),
        ("it ended. and began again.", ["it ended. and began again."]),
        ("于1990年通车。它很长！", ["于1990年通车。", "它很长！"]),
        ("It was so (in 1990.)", ["It was so (in 1990.)"]),
        ("No end mark", []),
        ("", []),
    ],
)
def test_sentences_have_an_end_mark(text, expected):
    assert [text[start:end] for start, end in sentence_spans(text)] == expected


def test_a_tokenizer_is_looked_for_before_anything_is_loaded(tmp_path):
    require_tokenizer(None)
    require_tokenizer("tiktoken:gpt-4o")
    with pytest.raises(InputError, match=r"expected a tokenizer in .*, found no config\.json there"):
        require_tokenizer(str(tmp_path))


TEXT = "Dr. Ann Pellow opened the Hexley Bridge on 3 May 1990. It cost 1.4 million euros! Nobody knew why.\n\nHistory\n\nIt fell."


def test_sentences_skip_headings_and_abbreviations():
    assert [TEXT[start:end] for start, end in sentence_spans(TEXT)] == [
        "Dr. Ann Pellow opened the Hexley Bridge on 3 May 1990.",
        "It cost 1.4 million euros!",
        "Nobody knew why.",
        "It fell.",
    ]


def test_chinese_sentences():
    text = "大桥于1990年开通。它花费了140万欧元！没有人知道原因。"
    assert [text[s:e] for s, e in sentence_spans(text)] == [
        "大桥于1990年开通。",
        "它花费了140万欧元！",
        "没有人知道原因。",
    ]


def test_greek_questions_are_sentences():
    text = "Ο φάρος\n\nΠοιος τον έσβησε; Κανείς."
    assert [text[s:e] for s, e in sentence_spans(text, "el")] == ["Ποιος τον έσβησε;", "Κανείς."]


def test_chunks_hold_their_size_and_give_back_the_text(tokenizer):
    text = "\n\n".join(f"Paragraph {i}. " + "The bridge at Hexley is old. " * 8 for i in range(12))
    chunks = chunk_document(Document("a.txt", text), make_splitter(tokenizer, 128))
    assert len(chunks) > 3
    for chunk in chunks:
        assert len(tokenizer(chunk.text, add_special_tokens=False).input_ids) <= 128
        assert text[chunk.start : chunk.end] == chunk.text
    covered = set().union(*(range(chunk.start, chunk.end) for chunk in chunks))
    assert all(i in covered for i, letter in enumerate(text) if not letter.isspace())


def test_a_tokenizer_may_be_given_by_its_folder(tokenizer):
    document = Document("a.txt", WORDS)
    chunks = chunk_document(document, make_splitter(tokenizer.name_or_path, 64))
    assert chunks == chunk_document(document, make_splitter(tokenizer, 64)) and len(chunks) > 5


def test_chunks_by_tokens_of_an_openai_model():
    chunks = chunk_document(
        Document("a.txt", "大桥于1990年开通。它花费了140万欧元！" * 40), make_splitter("tiktoken:gpt-4o", 64), "zh"
    )
    assert len(chunks) > 5 and all(chunk.text.endswith(("。", "！")) and chunk.language == "zh" for chunk in chunks)
    with pytest.raises(InputError, match="tiktoken:gpt-4o"):
        make_splitter("tiktoken:nonsense", 64)


def test_what_markup_told_of_headings_and_rows_is_known_of_the_units():
    text = "Ferries of the sound. 1956\nOsprey. It sank.\nHeron. It swims.\n"
    parsed = parse(Document("a.txt", text, headings=((0, 26),), rows=((27, 43), (44, 60))), "en")
    assert [text[start:end] for start, end in parsed.headings] == ["Ferries of the sound. 1956"]
    rows = [text[unit.start : unit.end] for unit in parsed.units]
    assert rows == ["Osprey. It sank.", "Heron. It swims."], "a row is a unit, however many sentences it has"
    joined = parse(Document("a.txt", "The pier of\nSandhaven\n", paragraphs=((0, 21),)), "en").joined.text
    assert joined.strip() == "The pier of Sandhaven"


def test_a_chunk_of_a_quoted_mail_has_its_language_and_leads_back_over_the_marks_before_its_lines():
    text = "> Who pays for the new valve in the pump of Weir Lane, and\n> when will it come?\n"
    [chunk] = chunk_document(Document("a.txt", text), SPLITTER, "en", "fr")
    assert (chunk.language, chunk.text_language) == ("en", "fr")
    start = chunk.text.index("Lane, and when")
    start, end = chunk.to_document(start, start + len("Lane, and when"))
    assert text[start:end] == "Lane, and\n> when"


def test_a_unit_that_is_whole_in_two_chunks_is_asked_for_in_both():
    first, second = share_out([Unit(2, 4)], [(0, 6), (2, 8)])
    assert [(unit.start, unit.end) for unit in first + second] == [(2, 4), (0, 2)]


def test_a_chunk_without_units_of_its_own_is_read_for_them():
    chunk = Chunk("a.txt", 0, 5, 19, "It is. It was.", "")
    assert [(unit.start, unit.end) for unit in chunk_units(chunk)] == [(0, 6), (7, 14)]
    assert (
        chunk_units(replace(chunk, units=(Unit(0, 14),))) == (Unit(0, 14),)
        and chunk_units(replace(chunk, units=())) == ()
    )
    assert chunk.to_document(7, 14) == (12, 19)


def test_a_part_of_a_text_keeps_those_places_that_lie_within_it():
    places = ((0, 0), (5, 7), (10, 13))
    assert cut_places(places, 2, 10) == ((0, 2), (3, 7))
    assert cut_places(places, 5, 11) == ((0, 7), (5, 13))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("“He met Dr. Ann.” She left.", "“He met Dr, Ann.” She left."),
        ("“Go! Now.”) She left.", "“Go, Now.”) She left."),
        ("雅虎！好X", "雅虎,好X"),
        ("“他说：「走。」”", "“他说：「走。」”"),
        ("It cost 3.5 million.", "It cost 3.5 million."),
    ],
)
def test_a_stop_at_the_end_of_a_unit_stands_before_its_closing_marks(text, hidden):
    end = text.find(" She")
    assert hide_stops(text, [Unit(0, end if end > 0 else len(text))]) == hidden
