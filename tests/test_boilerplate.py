"""Sentences that most files of a folder repeat are read once, and nothing that only some files say is lost. No model."""

from __future__ import annotations

import logging

from data_processor.accounting import count_characters
from data_processor.boilerplate import find_boilerplate, set_boilerplate_aside
from data_processor.chunking import chunk_document, make_splitter, parse
from data_processor.collection import CollectionArguments, cut_into_chunks
from data_processor.documents import clean

NOTICE = "This letter is meant for its addressee alone."
TOWNS = ("Hexley", "Bram", "Orlow", "Quint", "Selm", "Torvik", "Ulm", "Varde", "Wick", "Yarm")


def read(texts: list[str]):
    documents = [clean(f"{number}.txt", text) for number, text in enumerate(texts)]
    return documents, {document.file_name: parse(document, "en") for document in documents}


def units(parsed) -> list[str]:
    return [parsed.joined.text[unit.start : unit.end] for unit in parsed.units]


def test_a_notice_in_most_files_is_read_in_the_first_and_counted_in_the_others(caplog):
    caplog.set_level(logging.INFO)
    marked = NOTICE.replace("This letter", "THIS  LETTER").replace(".", "!")
    texts = [f"The bridge of {town} was opened late.\n\n{NOTICE if town < 'S' else marked}\n" for town in TOWNS]
    documents, files = read(texts)
    set_boilerplate_aside(files)
    assert [units(parsed)[1:] for parsed in files.values()] == [[NOTICE], *[[]] * 9]
    counts = [count_characters(document, files[document.file_name]) for document in documents]
    assert counts[0] == {"text": 37 + 45, "space": 3}
    assert counts[1] == {"text": 35, "boilerplate": 45, "space": 3}
    assert caplog.messages == [
        "boilerplate, in half of the files or more and read once: 1, most often "
        '"this letter is meant for its addressee alone" (10 files)'
    ]


def test_what_fewer_than_half_or_fewer_than_five_say_is_kept_in_all_of_them():
    for files, saying in ((10, 4), (4, 4), (20, 9)):
        _, parsed = read([f"Town {n} has a pier.\n\n{NOTICE if n < saying else ''}\n" for n in range(files)])
        assert not find_boilerplate(parsed), (files, saying)
    _, parsed = read([f"Town {n} has a pier.\n\n{NOTICE if n < 5 else ''}\n" for n in range(10)])
    assert find_boilerplate(parsed) == {"this letter is meant for its addressee alone": 5}


def test_what_differs_in_a_number_or_needs_its_lead_in_or_label_is_no_boilerplate():
    said = "Material: steel\n\nThe owner must:\n- paint the door\n- lock the gate\n\n"
    _, parsed = read([f"{said}It was opened in {1900 + n}.\n" for n in range(10)])
    assert not find_boilerplate(parsed)


def test_a_chunk_of_boilerplate_alone_is_left_out_and_the_numbers_of_the_others_stay():
    lines = [f"Rule {word} of the harbour is read out aloud to every crew that moors here." for word in TOWNS]
    notice = "\n\n".join(lines)
    documents, files = read([f"{notice}\n\n{town} has a pier.\n" for town in TOWNS])
    set_boilerplate_aside(files)
    splitter = make_splitter("tiktoken:gpt-4o", 64)
    chunks = [chunk_document(one, splitter, "en", "en", files[one.file_name]) for one in documents]
    assert [chunk.number for chunk in chunks[0]] == [0, 1, 2, 3] and [chunk.number for chunk in chunks[1]] == [3]
    assert [len(chunk.units) for chunk in chunks[1]] == [1]


def test_the_collection_reads_boilerplate_once():
    documents, _ = read([f"The pier of {town} was built of oak.\n\n{NOTICE}\n" for town in TOWNS])
    chunks, characters = cut_into_chunks(documents, "tiktoken:gpt-4o", CollectionArguments())
    assert [len(chunk.units) for chunk in chunks] == [2, *[1] * 9]
    assert sum(counts["boilerplate"] for counts in characters.values()) == 9 * 45
