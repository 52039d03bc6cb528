"""From a text to sentences and units: which lines are joined, which stay apart, what needs its lead-in, and the way back."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from conftest import ROOT
from generators import small_work

from benchmarks.inputs_lines import kept_apart, rewrapped
from data_processor.chunking import chunk_document, hide_stops, make_splitter, parse, sentence_spans, share_out
from data_processor.documents import Document, clean, read_documents
from data_processor.languages import detect_language
from data_processor.pipeline import sentences_to_read
from data_processor.small_model.facts import find_facts
from data_processor.units import Unit, read_units, with_lead_in


class Whole:
    """A splitter that cuts nothing, or at given places."""

    def __init__(self, *places: int):
        self.places = places

    def chunk_indices(self, text: str) -> list[tuple[int, str]]:
        edges = [0, *self.places, len(text)]
        return [(start, text[start:end]) for start, end in itertools.pairwise(edges)]


def units(text: str) -> list[str]:
    parsed = read_units(text, detect_language(text))
    return [parsed.joined.text[unit.start : unit.end] for unit in parsed.units]


def headings(text: str) -> list[str]:
    parsed = read_units(text, detect_language(text))
    return [parsed.joined.text[start:end] for start, end in parsed.headings]


WRAPPED = """The pier of Sandhaven

On 4 April 1987 the pier of Sandhaven was reopened by the mayor, Greta
Solvang, after a storm had broken it. The repair had taken
eleven months and cost 3.2 million crowns.
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            WRAPPED,
            [
                "On 4 April 1987 the pier of Sandhaven was reopened by the mayor, Greta Solvang, after a storm had broken it.",
                "The repair had taken eleven months and cost 3.2 million crowns.",
            ],
        ),
        (
            "灯塔于1987年4月4日点亮，由工程师陆文\n渊设计，造价三百二十万元。它使用 Kohana\n3.2 系统，至今仍亮。\n",
            ["灯塔于1987年4月4日点亮，由工程师陆文渊设计，造价三百二十万元。", "它使用 Kohana 3.2 系统，至今仍亮。"],
        ),
        (
            "다리는 1987년 4월 4일에 개통되었고 설계자는\n한도윤이다. 길이는 842미터이며, 지금은\n자전거만 다닌다.\n",
            ["다리는 1987년 4월 4일에 개통되었고 설계자는 한도윤이다.", "길이는 842미터이며, 지금은 자전거만 다닌다."],
        ),
        (
            "    The ferry crossed the sound for the first time on 6 June\n1931 with eleven passengers.\n"
            "    The last crossing was made in fog.\n",
            ["The ferry crossed the sound for the first time on 6 June 1931 with eleven passengers.", "The last crossing was made in fog."],
        ),
        (
            "Der Umbau durch den Architekten Kaspar Lindquist dauerte lang.\nDas Bad ist täglich geöffnet. Eröffnet wurde es am\n1. Juni 1976.\n",
            ["Der Umbau durch den Architekten Kaspar Lindquist dauerte lang.", "Das Bad ist täglich geöffnet.", "Eröffnet wurde es am 1. Juni 1976."],
        ),
        ("> Who pays for the new valve in the pump of Weir Lane, and\n> when will it come?\n", ["Who pays for the new valve in the pump of Weir Lane, and when will it come?"]),
        ("The lighthouse of Sandhaven\nwas built in 1903. Iris\nQuennell built it.\n", ["The lighthouse of Sandhaven was built in 1903.", "Iris Quennell built it."]),
        (
            "AMBLER: The ferry of the sound was built by Otto\nBrill in Sandhaven and needs an engine now, as all\nknow.\nBRILL: No.\n",
            ["AMBLER: The ferry of the sound was built by Otto Brill in Sandhaven and needs an engine now, as all know.", "BRILL: No."],
        ),
        (
            "THE FERRY OF THE SOUND NEEDS AN ENGINE, OTTO BRILL\nAND GRETA SOLVANG PAY FOR IT AND FOR THE OTHER\nFERRIES OF THE SOUND.\n",
            ["THE FERRY OF THE SOUND NEEDS AN ENGINE, OTTO BRILL AND GRETA SOLVANG PAY FOR IT AND FOR THE OTHER FERRIES OF THE SOUND."],
        ),
        (
            "THE OLD FERRY OF THE SOUND NEEDS AN ENGINE\nGreta Solvang pays for it. She pays for all of\nthe other ferries.\n",
            ["Greta Solvang pays for it.", "She pays for all of the other ferries."],
        ),
        ("1\n00:00:01,000 --> 00:00:04,200\nThe mill was built\n\n2\n00:00:04,900 --> 00:00:07,100\nin 1903.\n", ["The mill was built in 1903."]),
    ],
    ids=["english", "chinese", "korean", "indented", "a date at a line's start", "quoted mail", "short lines", "turns", "capitals",
         "below a heading in capitals", "cues"],
)  # fmt: skip
def test_wrapped_lines_are_joined(text, expected):
    assert units(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No sail was on the sea that night,\nThe lamp went round,\nAnd all the stars were company.\n", 3),
        ("Pani Żaneta Łęcka\nul. Młyńska 4/2\n42-400 Zawiercie Dolne\n", 3),
        ("Museum of Port Selby\n14 Harbour Row\nPort Selby PS4 2LN\n", 3),
        ("床前明月光，\n疑是地上霜。\n举头望明月，\n低头思故乡。\n", 4),
        ("• open the valve at Weir Lane\n• wait for 10 minutes,\n  or a little more\n", 2),
        ("a) to light the lamp at 18:30;\nb) to log every ship over 200 tons; and\nc) to report storms.\n", 3),
        ("Osprey      1931    42,000\nHeron       1956    61,500\n", 2),
        ("AMBLER: The ferry needs an engine.\nBRILL: We have 30,000 crowns.\n", 2),
        (
            f"{'A paragraph on one line goes on for long, ' * 4}and ends\n{'So does the next one of the text, of course, ' * 4}yes\n",
            2,
        ),
    ],
    ids="verses, polish address, address, chinese verses, bullets, clauses, rows, turns, paragraphs of a line".split(
        ", "
    ),
)
def test_lines_that_belong_apart_stay_apart(text, expected):
    assert len(units(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("THE WATERWORKS\n==============\n\n1.1 The Pump\n\nIt came in 1903.\n", ["THE WATERWORKS", "1.1 The Pump"]),
        ("Geschichte\nDas Bad wurde 1927 von Kaspar Lindquist erbaut und gehört\nder Stadt.\n", ["Geschichte"]),
        ("Who Built the Weir?\n\nOtto Brill built it.\n", ["Who Built the Weir?"]),
        ("一、历史\n青石镇建于1368年。\n", ["一、历史"]),
        ("The weir was built in 1888 for 240 crowns", []),
        ("The weir of Otto Brill\nwas built in 1888, as\nBrill wanted it.\n", []),
    ],
)
def test_headings_are_no_units(text, expected):
    assert headings(text) == expected
    assert not set(expected) & set(units(text))


@pytest.mark.parametrize(
    ("name", "raw", "units"),
    [
        ("a.md", "# The pump\n\n*Part no. 5.411-086.0 · Rev. C*\n\n## Parts\n\nIt has a lid.", ["Part no. 5.411-086.0 · Rev. C", "It has a lid."]),
        ("a.html", "<h1>The mill</h1><p>Published 3 May 2024 by Ann</p><p>It turns.</p>", ["Published 3 May 2024 by Ann", "It turns."]),
        ("a.md", "# The pump\n\nHow it works\n\nIt has a lid.", ["It has a lid."]),
        ("a.txt", "THE PUMP\n\nChapter 3\n\nIt has a lid.", ["It has a lid."]),
    ],
)  # fmt: skip
def test_below_a_title_a_line_with_a_number_is_read(name, raw, units):
    document = clean(name, raw)
    parsed = parse(document, "en")
    assert [parsed.joined.text[unit.start : unit.end] for unit in parsed.units] == units


def test_an_item_has_its_lead_in():
    text = "Rules hold. The notice must contain:\n- the name of the owner\n- the date\n\nIt is sent by post.\n"
    parsed = read_units(text, "en")
    found = [(parsed.joined.text[unit.start : unit.end], unit.lead_in) for unit in parsed.units]
    lead_in = "The notice must contain:"
    assert found == [
        ("Rules hold.", ""),
        ("the name of the owner", lead_in),
        ("the date", lead_in),
        ("It is sent by post.", ""),
    ]
    assert [parsed.joined.text[start:end] for start, end in parsed.leads] == [lead_in]


def test_a_row_has_its_header_and_a_later_sentence_its_speaker():
    table = read_units("| ferry | built |\n|---|---|\n| Osprey | 1931 |\n", "en")
    assert [(table.joined.text[unit.start : unit.end], unit.lead_in) for unit in table.units] == [
        ("Osprey | 1931", "ferry | built")
    ]
    turns = read_units("AMBLER: It is old. It will cost 42,000 crowns.\nBRILL: No.\n", "en")
    assert [unit.lead_in for unit in turns.units] == ["", "AMBLER:", ""]
    led = read_units("Ferries of the sound:\nOsprey | 1931 | 42,000\nHeron | 1956 | 61,500\n\nIt is.", "en")
    assert [unit.lead_in for unit in led.units] == ["Ferries of the sound:", "Ferries of the sound:", ""]


@pytest.mark.parametrize(
    ("lead_in", "text", "expected"),
    [
        ("Duties:", "paint the door", "Duties: paint the door"),
        ("通知应包括：", "姓名", "通知应包括：姓名"),
        ("ferry | built", "Osprey | 1931", "ferry: Osprey; built: 1931"),
        ("", "It is.", "It is."),
    ],
)
def test_a_unit_with_its_lead_in_stands_alone(lead_in, text, expected):
    assert with_lead_in(lead_in, text) == expected


def test_the_lead_in_is_shown_to_the_model_and_stands_in_the_fact():
    [chunk] = chunk_document(Document("a.txt", "Duties of Ann:\n- row for Bob\n- paint for Ida\n"), Whole())
    items = sentences_to_read([chunk])
    job = small_work("[]", "[]")
    assert [fact.text for fact in find_facts(job, items)] == [
        "Duties of Ann: row for Bob",
        "Duties of Ann: paint for Ida",
    ]
    assert all("Duties of Ann:" in asked[-1]["content"] for asked in job.engine.asked)


def test_a_chunk_leads_back_to_the_document_through_joined_lines():
    [chunk] = chunk_document(Document("a.txt", WRAPPED), Whole())
    _first, second = sentences_to_read([chunk])
    assert second.quote == "The repair had taken eleven months and cost 3.2 million crowns."
    start, end = chunk.to_document(second.start, second.end)
    assert WRAPPED[start:end] == "The repair had taken\neleven months and cost 3.2 million crowns."
    assert chunk.title == "The pier of Sandhaven" and (chunk.start, chunk.end) == (0, len(WRAPPED))


def test_a_later_chunk_leads_back_too():
    document = Document("a.txt", WRAPPED)
    _first, second = chunk_document(document, Whole(WRAPPED.index("The repair")))
    [item] = [item for item in sentences_to_read([second]) if item.quote.startswith("The repair")]
    start, end = second.to_document(item.start, item.end)
    assert WRAPPED[start:end] == "The repair had taken\neleven months and cost 3.2 million crowns."


def test_a_unit_that_no_chunk_holds_whole_is_read_in_parts():
    shared = share_out([Unit(0, 4), Unit(4, 12), Unit(12, 16)], [(0, 8), (8, 14), (12, 16)])
    assert [[(unit.start, unit.end) for unit in units] for units in shared] == [[(0, 4), (4, 8)], [(0, 4)], [(0, 4)]]


def test_a_splitter_sees_no_sentence_end_within_a_unit():
    text = "He met Dr. Ann Pellow. She left."
    assert hide_stops(text, [Unit(0, 22), Unit(23, 32)]) == "He met Dr, Ann Pellow. She left."


def test_sentences_of_a_wrapped_file_have_the_files_offsets():
    assert [WRAPPED[start:end].count("\n") for start, end in sentence_spans(WRAPPED)] == [1, 1]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Das Bad wurde 1927 eröffnet.", "de"),
        ("Le phare a été allumé le 1er mars 1887.", "fr"),
        ("白浜の灯台は1887年に点灯された。", "ja"),
        ("青石渡口建于1911年，由 Kohana Software Ltd 管理。", "zh"),
        ("솔내 다리는 1987년에 열렸다.", "ko"),
        ("1987", "en"),
        ("Мост стоит с 1911 года.", "ru"),
        ("Мостът стои от 1911 г.", "bg"),
    ],
)
def test_the_language_of_a_text(text, language):
    assert detect_language(text) == language


def test_the_sentences_of_the_demo_are_those_it_was_measured_with():
    splitter = make_splitter("tiktoken:gpt-4o", 256)
    documents = read_documents(ROOT / "demo" / "documents")
    chunks = [chunk for document in documents for chunk in chunk_document(document, splitter)]
    quotes = [item.quote for item in sentences_to_read(chunks)]
    assert len(quotes) == 84 and quotes[0].startswith("Tolvimer Instruments, the maker of tide ")
    assert hashlib.sha256("\n".join(quotes).encode()).hexdigest()[:16] == "18378c87469945de"


def test_what_markup_told_of_a_line_holds():
    text = "A heading.\nbuilding: Lamp; opened: 1987.\nIt is."
    parsed = read_units(text, "en", {0: "heading", 11: "row"})
    assert parsed.headings == [(0, 10)] and [(unit.start, unit.end) for unit in parsed.units] == [(11, 40), (41, 47)]
    rows = read_units("ferry: Osprey; built: long ago.\nferry: Heron; built: 1956.", "en", {0: "row", 32: "row"})
    assert [(unit.start, unit.end) for unit in rows.units] == [(0, 31), (32, 58)], "its header is in each row already"


def test_wrapping_and_lines_apart_are_measured():
    result = rewrapped(
        ["The bridge at Hexley, the longest of the whole country, was opened by the mayor in May. It fell."], 60
    )
    assert (result["sentences"], result["same"], result["share"]) == (2, 2, 1.0)
    apart = {"text": "two eggs\na pinch of salt\n"}
    assert kept_apart([apart, {"text": WRAPPED}]) == {"texts": 2, "apart": 1, "joined": [WRAPPED]}
