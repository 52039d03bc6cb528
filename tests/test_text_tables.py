"""Tables as people write them in text: with or without bars at the ends, aligned, or a whole file of values with commas."""

from __future__ import annotations

import csv
import io

import pytest

from data_processor.chunking import parse
from data_processor.documents import clean
from data_processor.units import with_lead_in


@pytest.mark.parametrize("name", ["a.md", "a.txt"])
@pytest.mark.parametrize(
    "table",
    [
        "Name  | Use\n----- | ---\nLamp | light\nChair | seat\n",
        "| Name  | Use |\n| ----- | --- |\n| Lamp | light |\n| Chair | seat |\n",
        "Name | Use\n---|---\nLamp|light\nChair|seat\n",
        "|Name|Use\n|-|-\n|Lamp|light\n|Chair|seat\n",
    ],
    ids=["none at the ends", "at both", "tight", "at one end"],
)
@pytest.mark.parametrize("before", ["", "Things of the house.\n\n"])
def test_a_row_is_read_once_wherever_its_bars_stand(name, table, before):
    document = clean(name, before + table)
    rows = ["Name: Lamp; Use: light.", "Name: Chair; Use: seat."]
    assert [line for line in document.text.splitlines() if line] == [*filter(None, [before.strip()]), *rows]
    assert [document.text[start:end] for start, end in document.rows] == rows
    start = document.text.index("seat")
    assert (before + table)[slice(*document.to_file_offsets(start, start + 4))] == "seat"


def read(text: str, name: str = "a.txt") -> list[str]:
    """The units of a text as a model is shown them."""
    parsed = parse(clean(name, text), "en")
    return [with_lead_in(unit.lead_in, parsed.joined.text[unit.start : unit.end]) for unit in parsed.units]


LAMPS = [
    ["product", "seat", "maker"],
    ["Lamp", "Weir Lane, Sandhaven", "Brill"],
    ["Chair", "", "Moss"],
    ["Bench", "Milltown", ""],
]
SHOWN = [
    "product: Lamp; seat: Weir Lane, Sandhaven; maker: Brill",
    "product: Chair; maker: Moss",
    "product: Bench; seat: Milltown",
]


def written(mark: str, rows: list[list[str]] = LAMPS) -> str:
    """Rows as a spreadsheet writes them, with quotation marks where a cell has the mark."""
    out = io.StringIO()
    csv.writer(out, delimiter=mark, lineterminator="\n").writerows(rows)
    return out.getvalue()


ALIGNED = """product   seat                    maker
Lamp      Weir Lane, Sandhaven    Brill
Chair                             Moss
Stool     Weir Lane, Sandhaven     Ida
Bench     Milltown
Table     Orsden                  Quennell
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (written(","), SHOWN),
        (written(";"), SHOWN),
        (written("\t"), SHOWN),
        (written("|").replace("|", " | "), SHOWN),
        (ALIGNED, [*SHOWN[:2], "product: Stool; seat: Weir Lane, Sandhaven; maker: Ida", SHOWN[2],
                   "product: Table; seat: Orsden; maker: Quennell"]),
        (written(",").replace("\n", "\r\n"), SHOWN),
    ],
    ids=["commas", "semicolons", "tabs", "bars", "aligned", "windows"],
)  # fmt: skip
@pytest.mark.parametrize("title", ["", "Things of the house\n\n"])
def test_a_file_that_is_a_table_is_read_with_the_names_of_its_columns(text, expected, title):
    assert read(title + text) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["tenant", "Greta Lund", "Weir Lane"], ["owner", "Otto Brill", "Milltown"]],
         ["tenant: owner; Greta Lund: Otto Brill; Weir Lane: Milltown"]),
        ([["tenant", "Greta Lund"], ["owner", "Otto Brill"]], ["tenant,Greta Lund", "owner,Otto Brill"]),
        ([["Lamp", "31", "Brill"], ["Chair", "7", "Moss"]], ["Lamp,31,Brill", "Chair,7,Moss"]),
        ([["Lamp", "Lamp", "Brill"], ["Chair", "oak", "Moss"]], ["Lamp,Lamp,Brill", "Chair,oak,Moss"]),
        ([["name", "price"], ["Lamp, green", "31"], ["Chair", "7"]], ["name: Lamp, green; price: 31", "name: Chair; price: 7"]),
    ],
    ids=["three columns", "two may be a name and what has it", "digits", "twice the same", "two with numbers below"],
)  # fmt: skip
def test_a_first_row_names_the_columns_if_it_looks_like_names(rows, expected):
    assert read(written(",", rows)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The lamp was lit, and Iris went,\nThe boats were moored, the nets were dry,\nThe moon was high, and no one slept,\n",
        "Dear Anna, Otto, Greta,\n\nthe lamp, the chair, the bench\nare all here, in Weir Lane, and dry.\n",
        "It rains; we stay\nThe sun shines; we go\nIt snows; we sleep\n",
        "Works   Annual   Report\n\nThe lamp was lit by Iris Quennell.\n\nIt is green.\n",
    ],
    ids=["verses", "a letter", "semicolons", "a head with gaps"],
)
def test_prose_with_marks_is_no_table(text):
    parsed = parse(clean("a.txt", text), "en")
    assert not any(unit.lead_in for unit in parsed.units) and parsed.leads == []
    assert " ".join(read(text)).split()[-3:] == text.split()[-3:]


@pytest.mark.parametrize(
    ("paragraphs", "sentences"),
    [
        (["The fair expects 5,600 visitors. It begins on 27 May.", "The stand costs 1,060 euros. It is green."], 4),
        (["The fair expects 5,600 visitors. It begins on 27 May.\nThe stand costs 1,060 euros. It is green."], 4),
        (["The bill(s);the fee;the fine are due. Pay them.", "The room;the hall;the yard are let. Ask Ida."], 4),
        (["It weighs 1,5 kg. Lift it.", "It holds 2,5 litres. Fill it.", "It is 3,5 metres long. Cut it."], 6),
    ],
    ids=["thousands", "wrapped", "unspaced", "decimals"],
)
@pytest.mark.parametrize("title", ["", "Plan for the fair, 10 March 2027\n\n"])
def test_the_sentences_of_paragraphs_with_as_many_commas_are_no_cells(paragraphs, sentences, title):
    assert len(read(title + "\n\n".join(paragraphs) + "\n")) == sentences


def test_a_cell_of_a_file_leads_back_to_it():
    text = written(",")
    document = clean("a.txt", text)
    parsed = parse(document, "en")
    found = [parsed.joined.to_source(unit.start, unit.end) for unit in parsed.units]
    assert [text[slice(*document.to_file_offsets(*span))] for span in found] == text.split("\n")[1:4]


@pytest.mark.parametrize(
    ("lead_in", "text", "expected"),
    [
        ("name,seat", '"Brill, Ltd",Milltown', "name: Brill, Ltd; seat: Milltown"),
        ("name;seat;year", "Brill, Ltd;Milltown;1931", "name: Brill, Ltd; seat: Milltown; year: 1931"),
        (
            "The notice must have, in writing:",
            "the name, in full",
            "The notice must have, in writing: the name, in full",
        ),
    ],
)
def test_the_names_of_columns_go_to_the_cells_below_them(lead_in, text, expected):
    assert with_lead_in(lead_in, text) == expected
