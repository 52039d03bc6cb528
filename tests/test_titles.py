"""What a chunk is shown under: the title of its document, over however many lines, and the section it stands in."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from generators import work

from data_processor.chunking import Chunk, chunk_document, make_splitter
from data_processor.documents import Document, clean
from data_processor.pairs import Fact, Pair
from data_processor.pipeline import split_into_units
from data_processor.questions import question_problem
from data_processor.texts import keep_sentences
from data_processor.titles import is_edition

WHOLE, SMALL = make_splitter("tiktoken:gpt-4o", 1000), make_splitter("tiktoken:gpt-4o", 64)
BODY = "\n\nThis policy is for everyone who works here. It is read once a year.\n"
RULES = [f"Rule {name} of the harbour is that nobody may fish there at night." for name in "ABCDEFGHIJKL"]


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("HARTLEY & MOSS LTD\nTRAVEL AND LEAVE POLICY", "HARTLEY & MOSS LTD, TRAVEL AND LEAVE POLICY"),
        ("Stadtwerke Albernau\nVerfahren bei Beschwerden", "Stadtwerke Albernau, Verfahren bei Beschwerden"),
        ("Gemeinde Oberwinden a. d. Elz\nNiederschrift Nr. 11/2025\n\nüber die Sitzung des Rats\nam 18. November 2025",
         "Gemeinde Oberwinden a. d. Elz, Niederschrift Nr. 11/2025 über die Sitzung des Rats am 18. November 2025"),
        ("MERROW 400 PUMP\nOperating manual\nRev. C", "MERROW 400 PUMP, Operating manual, Rev. C"),
        ("Minutes of the council\nDate: 3 May 2024\nPlace: the town hall", "Minutes of the council"),
        ("青石镇条例\n二〇二五年修订", "青石镇条例, 二〇二五年修订"),
        ("Ann Bell\nIda Marsh\nOtto Brill\nRuth Ambler\nJens Vik", ""),  # a list
        ("The weir was built by Ann.\nIt is of oak.", ""),
        ("The weir was built by Ann Bell,\nand it is of oak", ""),  # a sentence, or a verse
        ("- oak\n- ash", ""),
        ("a | b\n1 | 2", ""),
        ("From: Ann\nTo: Ida", ""),
        ("x" * 120 + "\n" + "y" * 90, ""),
    ],
)  # fmt: skip
def test_a_title_may_go_over_several_lines(head, title):
    assert {chunk.title for chunk in chunk_document(Document("a.txt", head + BODY), WHOLE)} == {title}


@pytest.mark.parametrize(
    ("head", "title", "told"),
    [
        ("Version 3.2, 1 July 2031\n\nLEAVE POLICY", "LEAVE POLICY", True),
        ("Rev. C, issued 1 July 2031\n\nLeave policy\n\n1 Scope", "Leave policy", True),
        ("3. Mai 2031\n\nUrlaubsordnung", "Urlaubsordnung", True),
        ("Trockner\nET 340\n\nArt.-Nr. 88-4120-B, Ausgabe 7 vom 03.05.2031\n\n1 Hinweise", "Trockner, ET 340", True),
        ("Révision 2 du 1er juillet 2031\n\nRèglement", "Règlement", True),
        ("Report of 2031\n\nScope", "Report of 2031", False),
        ("Version 3.2 of the pump\n\nScope", "Version 3.2 of the pump", False),
        ("Version 3.2, 1 July 2031", "Version 3.2, 1 July 2031", False),
        ("Version 3.2\n\nNew\n\nIt is so.\n\nVersion 3.1\n\nOld", "Version 3.2", False),
        ("It is so.\n\nVersion 3.2\n\nOld", "", False),
    ],
)  # fmt: skip
def test_a_version_or_a_date_above_or_below_the_title_is_none_but_is_read(head, title, told):
    [chunk] = chunk_document(Document("a.txt", head + BODY), WHOLE)
    assert chunk.title == title
    first = next((line for line in head.split("\n") if is_edition(line)), "")
    assert (first in {chunk.text[unit.start : unit.end] for unit in chunk.units}) is told


def test_a_caption_of_a_table_is_no_section():
    for caption in ("Table 2: Days", "Tab. 2 Tage", "表 2 天数"):
        table = f"{caption}\n\nyears  days\n-----------\nfew  24\nmany  31"
        chunks = chunk_document(Document("a.txt", "LEAVE\n\nDays off\n\n" + table + "\n\n" + "\n\n".join(RULES)), SMALL)
        assert {chunk.section for chunk in chunks[1:]} == {"Days off"} and caption in chunks[0].text
        rows = [(unit.lead_in, chunks[0].text[unit.start : unit.end]) for unit in chunks[0].units][:2]
        assert rows == [("years  days", "few  24"), ("years  days", "many  31")]


def test_a_title_over_several_lines_needs_a_text_below_it():
    assert [chunk.title for chunk in chunk_document(Document("a.txt", "Ann Bell\nCorrin"), WHOLE)] == [""]
    told = Document("a.txt", "Ann Bell\nCorrin" + BODY, title="The weir")
    assert [chunk.title for chunk in chunk_document(told, WHOLE)] == ["The weir"]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.txt", "The harbour\n\n1. FISHING\n\n" + "\n\n".join(f"1.{n} {rule}" for n, rule in enumerate(RULES, 1))),
        ("a.md", "# The harbour\n\n## 1.  FISHING\n\n" + "\n\n".join(RULES)),
        ("a.html", "<h1>The harbour</h1><h2>1. FISHING</h2>" + "".join(f"<p>{rule}</p>" for rule in RULES)),
    ],
)
def test_a_chunk_that_begins_within_a_section_is_shown_under_its_heading(name, raw):
    chunks = [chunk for chunk in chunk_document(clean(name, raw), SMALL) if "Rule" in chunk.text][:3]
    headings = ["The harbour" if "FISHING" in chunk.text else "The harbour – 1. FISHING" for chunk in chunks]
    assert [chunk.heading for chunk in chunks] == headings and headings[1:] == ["The harbour – 1. FISHING"] * 2
    job = work(*['{"theme": "", "names": [], "roles": [], "facts": []}'] * len(chunks), *["[]"] * len(chunks))
    job.method.read_units(job, split_into_units(job, chunks), {}, 0, lambda step: None)
    shown = [asked[-1]["content"].split("\n")[0] for asked in job.engine.asked[: len(chunks)]]
    assert shown == [f"Document: {heading}" for heading in headings]


def test_a_chunk_that_begins_with_a_heading_or_stands_under_none_has_no_section():
    [chunk] = chunk_document(Document("a.txt", "Fishing\n\nNobody may fish here."), WHOLE)
    assert (chunk.title, chunk.section, chunk.heading) == ("Fishing", "", "Fishing")
    [chunk] = chunk_document(Document("a.txt", "Nobody may fish here."), WHOLE)
    assert (chunk.section, chunk.heading) == ("", "a.txt")


def test_a_heading_or_lead_in_that_leads_to_nothing_in_its_chunk_stands_in_the_next_alone():
    for count, lead in itertools.product(range(1, 9), ("FISHING AT SEA\n\n", "FISHING\n\nThese are the rules:\n\n")):
        text = "THE HARBOUR\n\n" + " ".join(RULES[:count]) + f"\n\n{lead}- {RULES[8]}\n- {RULES[9]}\n- {RULES[10]}\n"
        document = Document("a.txt", text)
        chunks = chunk_document(document, SMALL)
        for one, following in itertools.pairwise(chunks):
            assert not (one.text.rstrip().endswith(lead.strip()) and lead.strip() in following.text)
        assert "".join(chunk.text for chunk in chunks).count("FISHING") >= 1, "and it is not lost"
        assert all(document.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
        assert len({chunk.text[unit.start : unit.end] for chunk in chunks for unit in chunk.units}) == count + 3


@pytest.mark.parametrize("title", ["Minutes of 18 November 2025", ""])
def test_a_number_of_what_a_chunk_is_shown_under_is_not_invented(title):
    """Where there is no title, the model is shown the name of the file."""
    text = "The chair closed the meeting of the council in the town hall."
    chunk = Chunk("minutes_2025-11-18.txt", 1, 0, len(text), text, title, section="3. Roof of 1974")
    said = "The chair closed the meeting of 18 November 2025, after the roof of 1974."
    fact = {"fact": said, "sentences": [1]}
    job = work(json.dumps({"theme": "", "names": [], "roles": [], "facts": [fact]}))
    reading = job.method.read_units(job, split_into_units(job, [chunk]), {}, 0, lambda step: None)
    assert [one.text for one in reading.facts] == [said] and not job.dropped
    about = Fact(said, chunk, 0, len(text), "")
    assert question_problem(Pair("Who closed the meeting of 18 November 2025?", "the chair", about, "model")) is None
    assert keep_sentences(job, said, about, text) == said
    other = replace(chunk, file_name="minutes.txt", title="", section="")
    assert question_problem(Pair("Who closed it in 2025?", "the chair", Fact("", other, 0, 9, ""), "model"))
