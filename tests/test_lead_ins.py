"""A lead-in holds for the list that it leads in and for nothing after it: a clause under a heading that has ended is false."""

from __future__ import annotations

import pytest

from data_processor.units import read_units


def led(text: str) -> list[tuple[str, str]]:
    parsed = read_units(text, "en")
    return [(parsed.joined.text[unit.start : unit.end], unit.lead_in) for unit in parsed.units]


FEES = ["40 crowns a year", "nothing below the age of 12"]


def under(lead_in: str) -> list[tuple[str, str]]:
    return [(text, lead_in) for text in FEES]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Section 2 Fees\n2.1 Members\n(a) 40 crowns a year\n(b) nothing below the age of 12\nSection 3 Keys\n(a) The clerk has the key.\n",
         [*under("2.1 Members"), ("The clerk has the key.", "")]),
        ("1. Fees\na) Members\n- 40 crowns a year\n- nothing below the age of 12\n2. Keys\n- The clerk has the key.\n",
         [*under("a) Members"), ("The clerk has the key.", "")]),
        ("Members\n(a) 40 crowns a year\n(b) nothing below the age of 12\nKeys\n(a) The clerk has the key.\n",
         [*under("Members"), ("The clerk has the key.", "")]),
        ("Members pay:\n- 40 crowns a year\n- nothing below the age of 12\nSection 3 Keys\n- The clerk has the key.\n",
         [*under("Members pay:"), ("The clerk has the key.", "")]),
        ("Members pay:\n- 40 crowns a year\n- nothing below the age of 12\nThe clerk has the key.\n",
         [*under("Members pay:"), ("The clerk has the key.", "")]),
        ("1. Fees\na) Members\n- 40 crowns a year\n- nothing below the age of 12\nb) Guests\n- 5 crowns a day\n",
         [*under("a) Members"), ("5 crowns a day", "b) Guests")]),
    ],
    ids=["outer section of another form", "outer item of the same form", "plain headings", "a heading of a form not seen",
         "text below a list", "the next item of a list"],
)  # fmt: skip
def test_a_lead_in_ends_where_its_section_does(text, expected):
    assert led(text) == expected


@pytest.mark.parametrize(
    ("text", "lead_ins"),
    [
        ("Tickets cost:\n1. Members\n- 40 crowns\n2. guests 5 crowns\n", ["1. Members", "Tickets cost:"]),
        ("It is open:\nMonday 9 to 17\nTuesday 9 to 12\n", ["It is open:", "It is open:"]),
    ],
    ids=["an outer one holds after an inner one", "lines without marks"],
)
def test_a_lead_in_holds_for_all_that_it_leads_in(text, lead_ins):
    assert [lead_in for _, lead_in in led(text)] == lead_ins
