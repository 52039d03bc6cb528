"""Rows and terms of HTML, each one line whatever is in it; the names of columns, however they are told; questions on buttons."""

from __future__ import annotations

import re

import pytest

from data_processor.chunking import parse
from data_processor.documents import clean

HEAD = "<tr><th>Place</th><th>Open</th></tr>"


def lines(raw: str) -> list[str]:
    """The lines of a page; every word that it has once is found again at its own place."""
    document = clean("a.html", raw)
    read = re.sub(r"<[^<>]*>", " ", raw)
    names = {word for start, end, kind in document.spans if kind == "heading" for word in raw[start:end].split()}
    for word in re.finditer(r"\w{3,}", document.text):
        if word[0] in names:
            continue
        if len(re.findall(rf"\b{word[0]}\b", read)) == len(re.findall(rf"\b{word[0]}\b", document.text)) == 1:
            assert raw[slice(*document.to_file_offsets(*word.span()))] == word[0]
    return [line.strip() for line in document.text.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("<p>Tue 8-10</p>", "Tue 8-10"),
        ("<p>Wed 8-10</p><p>Thu 9-11</p>", "Wed 8-10 Thu 9-11"),
        ("\n  <p>\n  Wed\n  8-10\n  </p>\n  <p>Thu 9-11</p>\n", "Wed 8-10 Thu 9-11"),
        ("<div>Wed 8-10</div> <div><div>Thu 9-11</div></div>", "Wed 8-10 Thu 9-11"),
        ("Wed 8-10<br>Thu 9-11<br/>", "Wed 8-10 Thu 9-11"),
        ("<ul><li>Wed 8-10</li>\n<li>Thu 9-11</li></ul>", "Wed 8-10, Thu 9-11"),
        ("Also:<ul><li>Wed 8-10;<li>Thu 9-11</ul>", "Also: Wed 8-10; Thu 9-11"),
        ("<h4>Wed</h4><blockquote>8-10</blockquote>", "Wed 8-10"),
        ("<pre>Wed 8-10\nThu 9-11\n</pre>", "Wed 8-10 Thu 9-11"),
        ("<dl><dt>Wed<dd>8-10<dt>Thu<dd>9-11<dd>13-15</dl>", "Wed: 8-10, Thu: 9-11, 13-15"),
        ("<b>Wed </b> 8-10&nbsp;", "Wed 8-10"),
        ("\nWednesday\n", "Wednesday"),
    ],
)  # fmt: skip
def test_a_row_is_one_line_whatever_is_in_its_cells(cell, line):
    raw = f"<p>Above.</p><table>{HEAD}<tr><td>Gym</td><td>{cell}</td></tr>\n<tr><td>{cell}</td><td>Sauna</td></tr></table><p>Below.</p>"
    assert lines(raw) == ["Above.", f"Place: Gym; Open: {line}.", f"Place: {line}; Open: Sauna.", "Below."]


def test_a_table_of_word_has_a_row_a_line():
    def row(name: str, *cells: str) -> str:
        return "<tr>" + "".join(f"<{name}><p>{cell}</p></{name}>" for cell in cells) + "</tr>\n"

    rows = row("td", "Pool", "Mon-Fri 9-17</p><p>Sat 9-12", "4 crowns") + row("td", "Gym", "Tue 8-10", "")
    raw = (
        f"<p>The hall.</p>\n<table><thead>{row('th', 'Place', 'Open', 'Price')}</thead><tbody>{rows}</tbody></table>\n"
    )
    document = clean("a.html", raw)
    assert lines(raw) == [
        "The hall.", "Place: Pool; Open: Mon-Fri 9-17 Sat 9-12; Price: 4 crowns.", "Place: Gym; Open: Tue 8-10.",
    ]  # fmt: skip
    parsed = parse(document, "en")
    assert len(parsed.units) == 3 and not parsed.headings


def test_the_name_of_a_column_and_a_cell_over_several_rows_keep_the_spaces_between_their_lines():
    raw = "<tr><th>\nOpening<br>\nhours</th><th><p>Price</p><p>in crowns</p></th></tr><tr><td rowspan=2>a<br>b</td><td>&nbsp;</td></tr><tr><td>9</td></tr>"
    assert lines(f"<table>{raw}</table>") == ["Opening hours: a b.", "Opening hours: a b; Price in crowns: 9."]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("<thead><tr><td>Day<td>Open</tr></thead><tbody><tr><td>Monday<td>always</tr></tbody>", ["Day: Monday; Open: always."]),
        ("<thead><tr><td>Day<td>Open</tr><tr><td>Monday<td>always</tr></thead>", ["Day; Open.", "Monday; always."]),  # all
        ("<tr><td><b>Name</b><td><p><strong>Use</strong></p></tr><tr><td>Lamp<td>light</tr>", ["Name: Lamp; Use: light."]),
        ("<tr><td><td><b>Mon</b><td><b>Tue</b></tr><tr><td><b>Pool</b><td>shut<td>open</tr>", ["Pool; Mon: shut; Tue: open."]),
        ("<tr><td colspan=2><b>Tools</b></tr><tr><td><b>Name</b><td><b>Use</b></tr><tr><td>Lamp<td>light</tr>",
         ["Tools.", "Name: Lamp; Use: light."]),
        ("<tr><td>Name<td>Price</tr><tr><td>Lamp<td>40</tr><tr><td>Chair<td>12</tr>", ["Name: Lamp; Price: 40.", "Name: Chair; Price: 12."]),
        ("<tr><td>Name<td>Use<td>Price</tr><tr><td>Lamp<td>light<td>40</tr>", ["Name: Lamp; Use: light; Price: 40."]),
        ("<tr><td>Year<td>Winner</tr><tr><td>1987<td>Ann</tr><tr><td>1991<td>Ida</tr>", ["Year: 1987; Winner: Ann.", "Year: 1991; Winner: Ida."]),
    ],
    ids=["thead", "all in thead", "bold", "a corner", "a title above", "two columns", "three columns", "years"],
)  # fmt: skip
def test_the_names_of_columns_are_known_without_th(rows, expected):
    assert lines(f"<table>{rows}</table>") == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("<tr><td><b>Name</b><td>Otto</tr><tr><td><b>Age</b><td>31</tr>", ["Name; Otto.", "Age; 31."]),
        ("<tr><td><b>Name</b><td><b>Otto</b></tr><tr><td><b>Age</b><td><b>old</b></tr>", ["Name; Otto.", "Age; old."]),
        ("<tr><td>Name<td>Otto</tr><tr><td>Born<td>1987</tr><tr><td>Sons<td>2</tr>", ["Name; Otto.", "Born; 1987.", "Sons; 2."]),
        ("<tr><td>Name:<td>Otto</tr><tr><td>Sons:<td>2</tr><tr><td>Cows:<td>5</tr>", ["Name: Otto.", "Sons: 2.", "Cows: 5."]),
        ("<tr><td>Lamp<td>light<td>oak</tr><tr><td>Chair<td>seat<td>ash</tr>", ["Lamp; light; oak.", "Chair; seat; ash."]),
        ("<tr><td>Name<td>Price</tr>", ["Name; Price."]),
        ("<tr><th>Founded</th><td>1987</td></tr><tr><th>Seat:</th><td>Hall<br>Weir</td></tr>", ["Founded: 1987.", "Seat: Hall Weir."]),
    ],
    ids=["labels in bold", "all in bold", "labels", "labels with colons", "no digits", "one row", "labels in th"],
)  # fmt: skip
def test_a_label_beside_its_value_is_no_name_of_a_column(rows, expected):
    assert lines(f"<table>{rows}</table>") == expected


def test_a_table_that_lays_out_a_page_has_no_rows():
    prose = "<h1>The mill</h1><p>It is old. It is big.</p><p>It was built in 1931.</p>"
    expected = ["The mill", "It is old. It is big.", "It was built in 1931."]
    assert lines(f"<table><tr><td>{prose}</td></tr></table>") == expected
    long = "<p>" + "It turns. " * 100 + "</p>"
    assert lines(f"<table><tr><td>Home</td><td>{prose}{long}</td></tr></table>")[:4] == ["Home", *expected]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ("<dt>Weight</dt><dd>31 kg</dd><dt>Maker</dt><dd>Otto Brill</dd>", ["Weight: 31 kg.", "Maker: Otto Brill."]),
        ("\n<dt>Weight:</dt>\n<dd>\n  31\n  kg\n</dd>\n<dt>Open?<dd><p>Never</p>", ["Weight: 31 kg.", "Open? Never."]),
        ("<div><dt>Weight</dt><dd>31 kg</dd></div>\n<div><dt>Maker</dt><dd>Otto<br>Brill</dd></div>", ["Weight: 31 kg.", "Maker: Otto Brill."]),
        ("<dt>Weight<dt>Mass<dd>31 kg<dd>30 kg dry", ["Weight, Mass: 31 kg, 30 kg dry."]),
        ("<dt>Deposit<dd>What is held until somebody leaves.", ["Deposit: What is held until somebody leaves."]),
        ("<dt>Deposit<dd>Money that is held. It is paid back.<dt>Notice<dd>three months",
         ["Deposit", "Money that is held. It is paid back.", "Notice: three months."]),
        ("<dt>Drinks<dd><ul><li>tea<li>milk</ul><dt>Food<dd><p>soup</p><p>bread</p><dt>Room<dd>2", ["Drinks", "- tea", "- milk", "Food", "soup", "bread", "Room: 2."]),
        ("<dt>Room<dd>2<div hidden><dt>Key<dd>9</div><dt>Bed<dd>1", ["Room: 2.", "Bed: 1."]),
        ("<dt>Alone<dt>Rooms<dd><dl><dt>One<dd>small</dl>", ["Alone", "Rooms", "One: small."]),
        ("<dt>Rooms<dd><table><tr><td>One<td>small</table>", ["Rooms", "One; small."]),
        ("<dt><dd>nobody's", ["nobody's"]),
    ],
    ids=["short", "printed on lines", "groups", "several", "a sentence", "sentences", "blocks", "hidden", "within another", "a table", "no term"],
)  # fmt: skip
def test_a_term_stands_on_one_line_with_what_is_said_of_it_unless_that_is_long(terms, expected):
    assert lines(f"<p>Above.</p><dl>{terms}</dl><p>Below.</p>") == ["Above.", *expected, "Below."]


def test_terms_are_units_with_what_is_said_of_them_and_a_longer_text_stands_under_its_term():
    raw = "<dl><dt>Weight<dd>31 kg<dt>Maker<dd>Otto Brill<dt>Deposit<dd>Money that is held. It is paid back.</dl>"
    parsed = parse(clean("a.html", raw), "en")
    units = [parsed.joined.text[unit.start : unit.end] for unit in parsed.units]
    assert units == ["Weight: 31 kg.", "Maker: Otto Brill.", "Money that is held.", "It is paid back."]
    assert [parsed.joined.text[start:end] for start, end in parsed.headings] == ["Deposit"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("<h2>3 <button class='x'>Is there a sauna?</button></h2><div>Yes.</div>", ["3 Is there a sauna?", "Yes."]),
        ("<button aria-expanded='false'>Is there a sauna?</button>Yes.", ["Is there a sauna?", "Yes."]),
        ("<button data-bs-toggle='collapse' data-bs-target='#a'>A sauna?</button><div id=a>Yes.</div>", ["A sauna?", "Yes."]),
        ("<button aria-controls=a>Is there <i>a</i> sauna?</button><div id=a hidden>Yes.</div>", ["Is there a sauna?", "Yes."]),
        ("<button class='accordion'>A sauna?</button><div class=panel>Yes.</div>", ["A sauna?", "Yes."]),
        ("<h2>The sauna <button>Copy</button></h2>Yes.<h2><button>Top</button></h2>Hot.", ["The sauna", "Yes.", "Top", "Hot."]),
        ("<p>Yes.</p><button>Send</button><button type=submit class='btn'>Order</button>", ["Yes."]),
        ("<button aria-expanded='false' aria-haspopup='true'>Menu</button><p>Yes.</p>", ["Yes."]),
        ("<button data-bs-toggle='modal' data-bs-target='#a'>Log in</button><p>Yes.</p>", ["Yes."]),
        ("<nav><button aria-expanded='false'>Menu</button></nav><p>Yes.</p>", ["Yes."]),
    ],
    ids=["in a heading", "expands", "target", "controls", "class", "beside a heading", "of a form", "of a menu", "of a window", "of the navigation"],
)  # fmt: skip
def test_a_button_above_what_it_shows_is_read_and_others_are_not(raw, expected):
    assert lines(raw) == expected
