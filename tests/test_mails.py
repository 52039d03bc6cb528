"""Mails in plain text: their subject, what they quote, and who signs them."""

from __future__ import annotations

import pytest

from data_processor.chunking import chunk_document, make_splitter
from data_processor.documents import clean

WHOLE = make_splitter("tiktoken:gpt-4o", 1000)
HEAD = "From: Ann Bell <ann@orsden.example>\nTo: Ida Marsh\nDate: 3 May 2031\n"
BODY = "\n\nThe weir of Orsden opens on 9 June. It is of oak.\n"


@pytest.mark.parametrize(
    ("field", "title"),
    [
        ("Subject: The new weir", "The new weir"),
        ("SUBJECT: RE: Fwd: The new weir", "The new weir"),
        ("Betreff: AW: Das neue Wehr", "Das neue Wehr"),
        ("Objet : RE: Le nouveau barrage", "Le nouveau barrage"),
        ("Asunto: La presa: fechas", "La presa: fechas"),
        ("主题：新水坝", "新水坝"),
    ],
)
def test_the_subject_of_a_mail_is_its_title(field, title):
    for head in (HEAD + field, f"{field}\n{HEAD.rstrip()}"):
        [chunk] = chunk_document(clean("mail.txt", head + BODY), WHOLE)
        assert chunk.title == title


@pytest.mark.parametrize("field", ["Subject matter: weirs", "Subject:", "Re: weirs"])
def test_another_field_of_a_mail_is_no_subject(field):
    [chunk] = chunk_document(clean("mail.txt", HEAD + field + BODY), WHOLE)
    assert chunk.title == ""


def test_a_subject_further_down_is_none():
    [chunk] = chunk_document(clean("a.txt", "The weir\n\nIt is of oak.\n\nSubject: wood" + BODY), WHOLE)
    assert chunk.title == "The weir"


@pytest.mark.parametrize("mark", ["> ", ">> ", "> > "])
@pytest.mark.parametrize("rule", ["--", "-- "])
def test_a_name_over_the_two_hyphens_of_a_signature_is_no_title(mark, rule):
    raw = f"It is so.\n\n{mark}It is of oak.\n{mark.rstrip()}\n{mark}Ann\n{mark}{rule}\n{mark}Ann Bell, Orsden\n"
    document = clean("mail.txt", raw)
    assert not document.title and not document.headings and ">" not in document.text
    assert document.text.split("\n")[-3:-1] == [rule, "Ann Bell, Orsden"]
    for name in ("mail.txt", "mail.md"):
        heading = clean(name, "> The weir\n> ---\n> It is of oak.\n")
        assert heading.title == "The weir", "three are a rule"


@pytest.mark.parametrize("name", ["mail.txt", "mail.md"])
@pytest.mark.parametrize("blank", [">", "> ", ">>", "> >", " >"])
def test_no_mark_is_left_of_the_blank_lines_of_what_is_quoted(name, blank):
    raw = f"It is so.\n\n> It is of oak.\n{blank}\n> It was of elm.\n{blank}\n"
    document = clean(name, raw)
    assert ">" not in document.text
    [chunk] = chunk_document(document, WHOLE)
    assert [chunk.text[unit.start : unit.end] for unit in chunk.units] == [
        "It is so.",
        "It is of oak.",
        "It was of elm.",
    ]
    start = document.text.index("It was")
    assert raw[slice(*document.to_file_offsets(start, start + 6))] == "It was"
