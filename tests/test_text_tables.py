"""Tables as people write them in text: with or without bars at the ends, aligned, or a whole file of values with commas."""

from __future__ import annotations

import pytest

from data_processor.documents import clean


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
