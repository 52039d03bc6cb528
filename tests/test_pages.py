"""What is taken for a page number, a running head or a foot, and what stays because it may be a value."""

from __future__ import annotations

import pytest

from data_processor.chunking import chunk_document, make_splitter, parse
from data_processor.documents import clean

PROSE = [
    "The pump lifts water from a depth of eight metres, and it must be lifted by two persons at least.",
    "Unplug the pump before you open it, or the valve will open too, and the hall is under water.",
    "Never run it dry, for it stops by itself after ninety seconds and has to be filled by hand then.",
    "The bill is sent by post in the first week of May to whoever has the key of the hall at that time.",
    "The hose hangs in the shed beside the window, to the left of the extinguisher and of the bell.",
]


def units(raw: str, name: str = "a.txt") -> list[str]:
    """What is asked for facts; each unit leads back to its own words in the file."""
    document = clean(name, raw)
    parsed = parse(document, "en")
    for unit in parsed.units:
        words = raw[slice(*document.to_file_offsets(*parsed.joined.to_source(unit.start, unit.end)))]
        text = parsed.joined.text[unit.start : unit.end]
        assert (words.split()[0], words.split()[-1]) == (text.split()[0], text.split()[-1])
    return [parsed.joined.text[unit.start : unit.end] for unit in parsed.units]


def numbered(numbers: list[str], prose: list[str] = PROSE) -> str:
    """A text in which each number stands below a page."""
    return "".join(f"{text}\n\n{number}\n\n" for text, number in zip(prose, numbers, strict=False))


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
@pytest.mark.parametrize(
    "raw",
    [
        "Emergency number\n112\nRoom\n214\n",
        "How many keys are there?\n\n12\n\nHow many doors?\n\n3\n",
        "Flour\n500\nEggs\n3\nMilk\n1/2\n",
        "Eggs\n\n1\n\nPears\n\n2\n\nLemons\n\n3\n\nOnions\n\n4\n",
        "The numbers of the raffle were:\n\n17\n\n42\n\n318\n\nMrs. Lund has won.\n",
        numbered(["12", "14", "13", "15"]),
        numbered(["10", "20", "30", "40"]),
        numbered(["7", "8"]),
        numbered(["1/2", "3/4", "1/4"]),
        numbered(["1931", "1932", "1933"]),
    ],
    ids=["labels and values", "questions", "a recipe", "a list that counts", "a raffle", "falling", "tens", "only two", "fractions", "years"],
)  # fmt: skip
def test_a_number_that_stands_alone_is_read(name, raw):
    numbers = [line for line in raw.split("\n") if line.strip().replace("/", "").isdigit()]
    read = " ".join(units(raw, name)).split()
    assert numbers and [word for word in read if word.replace("/", "").isdigit()] == numbers


@pytest.mark.parametrize(
    "raw",
    [
        numbered(["1", "2", "3"]),
        numbered(["97", "98", "99", "100", "101"]),
        numbered(["2", "4", "6"]),
        numbered(["1", "2", "4", "5"]),
        numbered(["1/5", "2/5", "3/5", "4/5", "5/5"]),
        numbered(["- 1 -", "- 2 -"]),
        numbered(["Page 1", "Page 2"]),
        f"{PROSE[0]}\n12\n\f{PROSE[1]}\n",
        f"{PROSE[0]}\n\n\f\n12\n\n{PROSE[1]}\n",
        f"{PROSE[0]}\n\n12\n\f{PROSE[1]}\n\n13\n",
    ],
    ids=["by one", "three digits", "every other page", "one without a number", "of how many", "dashes", "named", "above a break",
         "below a break", "at the end"],
)  # fmt: skip
def test_a_page_number_is_not_read(raw):
    assert not any(character.isdigit() for character in clean("a.txt", raw).text)
    assert units(raw) == [sentence for sentence in PROSE if sentence in raw]


def test_where_two_lines_have_the_next_number_neither_is_taken_for_the_pages():
    raw = numbered(["1", "2", "3", "4", "5"]).replace(PROSE[2], f"{PROSE[2]}\n\nHow many floors?\n\n3")
    numbers = [unit for unit in units(raw) if unit.isdigit()]
    assert numbers == ["3", "3"]


def test_a_cell_of_a_table_is_no_page_number():
    cells = "".join(f"<tr>\n<td>\n{number}\n</td>\n<td>{text}</td>\n</tr>\n" for number, text in enumerate(PROSE, 1))
    parsed = parse(clean("a.html", f"<table>\n{cells}</table>\n"), "en")
    rows = [parsed.joined.text[unit.start : unit.end] for unit in parsed.units]
    assert rows == [f"{number}; {text}" for number, text in enumerate(PROSE, 1)]


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("Unplug the pump before you open it. Hartley & Moss    Page 4 of 12", "Unplug the pump before you open it."),
        ("Ziehen Sie den Stecker. Stadt Lahr\tSeite 2 von 9", "Ziehen Sie den Stecker."),
        ("Is it dry? It must not be.   Page 4 of 12", "Is it dry? It must not be."),
        ("先拔下插头。青石镇   Page 4 of 12", "先拔下插头。"),
        ("Hartley & Moss Inc.    Page 4 of 12", ""),
        ("HR-014 v3.2          Page 3 of 3", ""),
        ("Valves, pumps etc. of Hartley & Moss    Page 4 of 12", ""),
    ],
)
def test_a_sentence_beside_a_page_number_stays(line, rest):
    text = clean("a.txt", f"It is old.\n{line}\nIt is red.\n").text
    assert [one for one in text.split("\n") if one] == ["It is old.", *filter(None, [rest]), "It is red."]


def test_a_foot_that_is_there_again_is_one_even_if_it_looks_like_a_sentence():
    raw = "".join(f"{text}\nThis copy is for you.    Page {number} of 3\n" for number, text in enumerate(PROSE[:3], 1))
    assert units(raw) == PROSE[:3]


BREAKS = {
    "form feeds": ["\n\n\f", "\n\n\f", "\n\n\f"],
    "numbers with dashes": ["\n\n- 1 -\n\n", "\n\n- 2 -\n\n", "\n\n- 3 -\n\n"],
    "numbers alone": ["\n\n1\n", "\n\n2\n", "\n\n3\n"],
    "numbers with a name": ["\nPage 1 of 3\n", "\nPage 2 of 3\n", "\nPage 3 of 3\n"],
    "numbers and form feeds": ["\n\n1\n\f", "\n\n2\n\f", "\n\n3\n\f"],
}
PAGES = [
    "The pump of Weir Lane lifts water from a depth of eight metres and must be\nlifted by two",
    "persons at least. Unplug it before you open it, or the valve of the hall will open by itself",
    "and the hall is under water. Never run it dry, for it will stop and has to be filled.",
]


@pytest.mark.parametrize("breaks", BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize(
    ("head", "foot"),
    [
        ("", ""),
        ("", "\n\nHartley & Moss 2025"),
        ("Pump manual\n\n", ""),
        ("Pump manual\n\n", "\n\nHartley & Moss\nall rights reserved"),
    ],
    ids=["text alone", "a foot", "a head", "both"],
)
def test_a_sentence_goes_on_over_a_page_whatever_parts_the_pages(breaks, head, foot):
    assert units("".join(f"{head}{page}{foot}{between}" for page, between in zip(PAGES, breaks, strict=True))) == [
        "The pump of Weir Lane lifts water from a depth of eight metres and must be lifted by two persons at least.",
        "Unplug it before you open it, or the valve of the hall will open by itself and the hall is under water.",
        "Never run it dry, for it will stop and has to be filled.",
    ]  # fmt: skip


def test_a_foot_may_count_the_pages_and_a_last_line_with_another_number_is_none():
    pages = [
        f"{text}\nThe bill is {bill} crowns.\n\n{number} | Pump manual\n"
        for number, (text, bill) in enumerate(zip(PROSE, (40, 7, 95, 3), strict=False), 8)
    ]
    assert [unit for unit in units("\f".join(pages)) if unit not in PROSE] == [
        f"The bill is {bill} crowns." for bill in (40, 7, 95, 3)
    ]
    bills = "\f".join(f"{text}\nBill: {bill}\n" for text, bill in zip(PROSE, (40, 7, 95), strict=False))
    assert [unit for unit in units(bills) if unit not in PROSE] == ["Bill: 40", "Bill: 7", "Bill: 95"]


def test_the_heading_of_a_page_stays_though_another_page_names_it_further_down():
    raw = f"Contents\nSafety\nCare\n\n{PROSE[0]}\n\fSafety\n\n{PROSE[1]}\n\fCare\n\n{PROSE[2]}\n"
    assert {"Safety", "Care"} <= set(clean("a.txt", raw).text.split("\n")[5:])


@pytest.mark.parametrize("mark", ["---", "```\nx = 1\n```", "The pump\n========"], ids=["a rule", "code", "a heading"])
def test_a_page_number_below_what_markup_takes_out_is_taken_out_too(mark):
    raw = f"{PROSE[0]}\n\n{mark}\n\n- 1 -\n\n{PROSE[1]}\n\n{mark}\nPage 2\n{PROSE[2]}\n"
    assert units(raw) == PROSE[:3]


def test_pages_with_nothing_but_their_numbers_have_no_text():
    assert clean("a.txt", "12\n\f13\n\f14\n").text.strip() == ""
    assert clean("a.txt", "Only\n\fOnly\n").text.split() == ["Only", "Only"]


THREE_PAGES = (
    "{head}\n\n{title}{one}\n\n{foot}1 of 3\n{head}\n\n{two}\n\n{foot}2 of 3\n{head}\n\n{three}\n\n{foot}3 of 3\n"
)


@pytest.mark.parametrize(
    ("head", "foot", "title", "heading"),
    [
        (
            "Orsden Pumps Ltd.      Manual 14",
            "Confidential    Page ",
            "THE PUMP\n\n",
            "THE PUMP (Orsden Pumps Ltd., Manual 14)",
        ),
        ("", "Orsden Pumps Ltd.   Page ", "THE PUMP\n\n", "THE PUMP (Orsden Pumps Ltd.)"),
        ("The Pump", "Page ", "", "a.txt (The Pump)"),
        ("The Pump", "Page ", "THE PUMP\n\n", "THE PUMP"),
        ("", "Page ", "THE PUMP\n\n", "THE PUMP"),
        ("- - -", "Page ", "THE PUMP\n\n", "THE PUMP"),
    ],
)
def test_a_chunk_is_shown_under_what_runs_over_all_pages(head, foot, title, heading):
    one, two, three = PROSE[:3]
    document = clean("a.txt", THREE_PAGES.format(head=head, foot=foot, title=title, one=one, two=two, three=three))
    chunks = chunk_document(document, make_splitter("tiktoken:gpt-4o", 64))
    assert {chunk.heading for chunk in chunks} == {heading} and "Orsden" not in document.text
