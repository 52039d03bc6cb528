"""Chats, transcripts and logs: each message is its speaker's alone, and each line of a log stands by itself."""

from __future__ import annotations

import pytest

from data_processor.chunking import parse
from data_processor.documents import clean
from data_processor.units import with_lead_in

STAMPS = [
    "12.03.25, 09:1{} - {}: ",
    "12.03.25 09:1{} - {}: ",
    "3/12/25, 9:1{} AM - {}: ",
    "3/12/25, 9:1{}\u202fPM - {}: ",
    "[12/03/2025, 09:14:2{}] {}: ",
    "[2025-03-12 09:1{}] {}: ",
    "2025-03-12 09:1{} {}: ",
    "12 March 2025, 09:1{} - {}: ",
    "00:12:3{} {}: ",
    "(09:1{}) {}: ",
]
SPEAKERS = [("Anna Brill", "Otto"), ("Speaker 1", "Speaker 2"), ("ANNA", "OTTO"), ("安娜", "奥托")]


def read(text: str, name: str = "a.txt") -> list[str]:
    """The units of a text as a model is shown them."""
    parsed = parse(clean(name, text), "en")
    return [with_lead_in(unit.lead_in, parsed.joined.text[unit.start : unit.end]) for unit in parsed.units]


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize(("anna", "otto"), SPEAKERS)
def test_a_message_is_a_unit_and_its_later_sentences_have_the_speaker(name, stamp, anna, otto):
    said = [
        (anna, "The server is down on Friday, please save what you are working on before that"),
        (otto, "who restarts it, and when"),
        (anna, "Greta does, with the key. It opens the back door too."),
        (otto, "ok, fine"),
    ]
    text = "".join(f"{stamp.format(number, speaker)}{words}\n" for number, (speaker, words) in enumerate(said))
    assert read(text, name) == [
        f"{anna}: The server is down on Friday, please save what you are working on before that",
        f"{otto}: who restarts it, and when",
        f"{anna}: Greta does, with the key.",
        f"{anna}: It opens the back door too.",
        f"{otto}: ok, fine",
    ]


def test_a_speaker_with_a_number_needs_no_time():
    text = "Speaker 1: The ferry came in 1931. It had eleven cabins.\nSpeaker 2: And the engine?\n"
    assert read(text) == [
        "Speaker 1: The ferry came in 1931.",
        "Speaker 1: It had eleven cabins.",
        "Speaker 2: And the engine?",
    ]


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
@pytest.mark.parametrize(
    "lines",
    [
        ["2025-03-12 09:14:22 INFO Server started on port 8080", "2025-03-12 09:15:01 ERROR Disk full on node 3 of the cluster",
         "2025-03-12 09:16:40 INFO Server stopped by Greta"],
        ["2025-03-12T09:14:22.120Z ERROR: Disk full", "2025-03-12T09:15:01.004Z INFO: Disk of node 3 replaced"],
        ["[2025-03-12 09:14:22,120] [WARN] disk nearly full on", "[2025-03-12 09:15:01,004] [INFO] disk replaced by Greta"],
        ["12.03.25 09:14 Greta came in", "12.03.25 09:40 Otto went home and took the key of the back door"],
        ["2025-03-12 09:14:22 Server started, in Sandhaven, by Greta", "2025-03-12 09:15:01 Disk full, on node 3, at night",
         "2025-03-12 09:16:40 Server stopped, in Sandhaven, by Otto"],
    ],
    ids=["levels", "levels with colons", "brackets", "a diary", "as many commas in each"],
)  # fmt: skip
def test_a_line_of_a_log_is_a_unit_with_its_time(name, lines):
    assert read("\n".join(lines) + "\n", name) == lines
    parsed = parse(clean(name, "\n".join(lines) + "\n"), "en")
    assert parsed.title == ""


def test_a_date_and_time_within_wrapped_text_begin_nothing():
    text = "The server of the town hall of Sandhaven was stopped by Greta Lund on\n12.03.2025 09:14 and was started again by Otto Brill the next day, as\nall know.\n"
    assert read(text) == [" ".join(text.split())]


@pytest.mark.parametrize("label", ["TOP", "Teil", "Chapter", "Module"])
def test_a_heading_with_a_number_is_no_speaker(label):
    told = [f"{label} 3: Elztalhalle", f"{label} 4: Haushalt 2026"]
    text = f"{told[0]}\n- Kosten: 412.318 Euro\n- Abstimmung: 11 Ja\n\n{told[1]}\n- Defizit: 470.000 Euro\n- Umlage: 33,0 Punkte\n"
    parsed = parse(clean("a.txt", text), "de")
    assert [parsed.joined.text[start:end] for start, end in parsed.headings] == told
    assert [unit.lead_in for unit in parsed.units] == [told[0], told[0], told[1], told[1]]
