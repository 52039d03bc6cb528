"""What each line of a text is, told by its form and by the lines around it. tests/test_units.py has whole texts."""

from __future__ import annotations

import pytest

from data_processor.line_kinds import columns_of, read_lines


def kinds(text: str) -> list[str]:
    """Of each line its kind and form, or its kind alone."""
    return [f"{line.kind} {line.form}".strip() for line in read_lines(text)]


def items(text: str) -> list[tuple[str, str]]:
    return [(line.form, line.own) for line in read_lines(text) if line.kind == "item"]


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("pier", 4), ("灯塔", 4), ("Ａ", 2), ("cafe\u0301", 4), ("é灯", 3)]
)
def test_chinese_characters_are_two_columns_wide_and_accents_none(text, columns):
    assert columns_of(text) == columns


def test_a_line_has_its_place_its_text_and_its_width():
    text = "The pier \n> \tof Sandhaven\r\n  灯塔\fIt is.\u2028It was.\n\nNo.\n"
    lines = read_lines(text)
    assert [text[line.start : line.end] for line in lines] == [line.text for line in lines]
    assert [(line.text, line.indent, line.width, line.flowed) for line in lines if line.text] == [
        ("The pier", 0, 8, True),
        ("of Sandhaven", 8, 20, False),
        ("灯塔", 2, 6, False),
        ("It is.", 0, 6, False),
        ("It was.", 0, 7, False),
        ("No.", 0, 3, False),
    ]
    assert [line.own for line in lines] == [line.text for line in lines]
    assert [line.body for line in lines] == [line.start for line in lines], "no line has a marker"
    assert [line.kind for line in lines] == ["plain"] * 5 + ["blank", "plain"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\f", "\u2028", "\u2029"])
def test_two_line_breaks_leave_a_blank_line_and_one_does_not(end):
    assert kinds(f"It is{end}so.{end}{end}It was.") == ["plain", "plain", "blank", "plain"]


def test_markup_tells_where_a_paragraph_begins_and_goes_on():
    text = "Head\n1. It is\n2. June\n(a) so.\n\nEnd\n3. End"
    lines = read_lines(text, {0: "heading"}, [(5, 29), (31, 34)])
    assert [(line.kind, line.form, line.joint) for line in lines] == [
        ("heading", "known", ""),
        ("item", "number", "break"),
        ("plain", "", "on"),
        ("item", "bracketed", "on"),
        ("blank", "", ""),
        ("plain", "", "break"),
        ("item", "number", ""),
    ]
    assert [line.joint for line in read_lines("It is\nso.", None, [(0, 6)])] == ["break", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-----", ["markup ruled"]),
        ("The Pump ........ 12", ["row leader"]),
        ("## The Pump", ["heading hashes"]),
        ("It is so - - - here", ["plain"]),
    ],
)
def test_the_kind_that_a_line_tells_by_itself(text, expected):
    assert kinds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("• open the valve", ("•", "open the valve")),
        ("- [x] open it", ("-", "[x] open it")),
        ("1.2 The Pump", ("decimal", "The Pump")),
        ("12) open it", ("number", "open it")),
        ("(iv) open it", ("bracketed", "open it")),
        ("b) open it", ("letter", "open it")),
        ("B. open it", ("capital", "open it")),
        ("iv. open it", ("roman", "open it")),
        ("三、开门", ("chinese", "开门")),
        ("第三条 开门", ("clause", "开门")),
        ("§ 5 Die Pumpe", ("paragraph", "Die Pumpe")),
        ("Article 5. The Pump", ("article", "The Pump")),
    ],
)
def test_an_item_is_told_by_its_marker(text, expected):
    assert items(text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("M. Dubreuil did it.", []),
        ("J. R. Ott did it.\n\nIt is so.\n\nM. O'Dea did it.", []),
        ("A. Bell did it.\n\nC. Lind did it.", []),
        ("A. Scope\n\nIt is so.\n\nB. Terms\n\nC. End", ["Scope", "Terms", "End"]),
        ("А. Мост\nБ. Порт", ["Мост", "Порт"]),
        ("I. Scope\nII. Terms\n\nIV. Costs\nV. End", ["Scope", "Terms", "Costs", "End"]),
        ("B. Terms\nA. Scope", []),
        ("M. open it", ["open it"]),
        ("M. 5", ["5"]),
    ],
)
def test_a_lone_initial_before_a_name_marks_no_item(text, expected):
    assert [own for _, own in items(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3. Mai 2031", []),
        ("3. Mai: Sitzung\n4. Juni: Fest", []),
        ("1. května", []),
        ("12. Dezember – Beginn", []),
        ("5. May be used", ["May be used"]),
        ("3. Mais 2031", ["Mais 2031"]),
        ("3. Mai wird gefeiert", ["Mai wird gefeiert"]),
    ],
)
def test_a_day_before_its_month_is_no_number_of_an_item(text, expected):
    assert [own for _, own in items(text)] == expected


def test_an_initial_may_begin_the_turn_of_a_speaker():
    assert kinds("M. Roux: Yes.\nS. Petit: No.") == ["turn speaker"] * 2


SHORT = "A line of thirty-nine characters, alone"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "WEBVTT\n\n1\n00:01.000 --> 00:04.200\nThe mill\n[a bell]\n\nIt is",
            ["markup", "blank", "markup cue number", "markup time", "cue", "markup", "blank", "plain"],
        ),
        ("00:01.000 --> 00:04.200\nHi", ["markup time", "cue"]),
        ("One\n1\n00:01.000 --> 00:04.200\nHi", ["plain", "markup cue number", "markup time", "cue"]),
        ("1\n\n00:01.000 --> 00:04.200\nHi", ["plain", "blank", "markup time", "cue"]),
        ("It ended.\n00:01.000 --> 00:04.200", ["plain", "markup time"]),
        (f"{SHORT}\n00:01.000 --> 00:04.200", ["markup cue number", "markup time"]),
        (f"{SHORT}s\n00:01.000 --> 00:04.200", ["plain", "markup time"]),
        ("WEBVTT is a form of subtitles", ["plain"]),
    ],
)
def test_subtitles(text, expected):
    assert kinds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Pump\n========", ["heading underlined", "markup ruled"]),
        ("The Pump\n--------", ["heading underlined", "markup ruled"]),
        ("The Pump\n~~~~~~~~", ["heading underlined", "markup ruled"]),
        ("The Pump\n........", ["plain", "markup ruled"]),
        ("The Pump\n=-=-=-=-", ["plain", "markup ruled"]),
        ("The Pump\nIt is", ["plain", "plain"]),
        ("1. The Pump\n-----------", ["heading underlined", "markup ruled"]),
        ("It is\n\nThe Pump\n--------", ["plain", "blank", "heading underlined", "markup ruled"]),
        ("--------\nThe Pump\n--------", ["markup ruled", "heading underlined", "markup ruled"]),
        ("# Mills\nThe Pump\n--------", ["heading hashes", "heading underlined", "markup ruled"]),
        ("It is a line\nof the text\n--------", ["plain", "plain", "markup ruled"]),
        ("# The Pump\n--------", ["heading hashes", "markup ruled"]),
        ("The Pump  Cost\n--------------\nIt is\n", ["heading underlined", "markup ruled", "plain"]),
    ],
)
def test_a_ruled_line_makes_a_heading_of_a_lone_line_above(text, expected):
    assert kinds(text) == expected


def rows(text: str, paragraphs: tuple[tuple[int, int], ...] = ()) -> list[str]:
    """Of each line that is a row its form and number of columns; of others their kind."""
    lines = read_lines(text, None, paragraphs)
    return [f"{line.form}{line.columns}" if line.kind == "row" else line.kind for line in lines]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("| ferry | built | cost |", ["|3"]),
        ("ferry | built", ["|2"]),
        ("- ferry | built", ["|2"]),
        ("|ferry|built", ["|2"]),
        ("ferry|built|", ["|2"]),
        ("ferry|built", ["plain"]),
        ("|ferry|", ["plain"]),
        (r"ferry \| built", ["plain"]),
        ("# ferry | built", ["heading"]),
        ("Osprey  1931\nHeron  1956", ["gap2", "gap2"]),
        ("Osprey  1931\t42\nHeron\t1956  61\nGull  1960  7", ["gap3", "gap3", "gap3"]),
        ("Osprey  1931\nHeron  1956  61", ["plain", "plain"]),
        ("Osprey  1931\n\nHeron  1956", ["plain", "blank", "plain"]),
        ("ferry  built\n------------\nHeron  1956", ["gap2", "markup", "gap2"]),
        ("ferry  built\n-----  -----\nHeron  1956", ["gap2", "markup", "gap2"]),
        ("x\n\nferry\tbuilt\n============\nHeron\t1956\n------------\nall\t9", ["plain", "blank", *["gap2", "markup"] * 2, "gap2"]),
        ("Osprey  1931\n- Heron  1956", ["plain", "item"]),
        ("| Osprey  1931 | 42 |\nHeron  1956", ["|2", "plain"]),
        ("Heron  1956\n| Osprey  1931 | 42 |", ["plain", "|2"]),
        *((f"a{mark}b{mark}c\nd{mark}e{mark}f\ng{mark}h{mark}i", [f"{mark}3"] * 3) for mark in "；，、"),
        *((f"a{mark}b{mark}c\nd{mark}e{mark}f\ng{mark}h{mark}i", ["header3", f"{mark}3", f"{mark}3"]) for mark in ";,|\t"),
        ("a; b; c\nd; e; f", ["plain", "plain"]),
        ("a; b; c\nd; e; f\ng; h", ["plain"] * 3),
        ("a; b\nc; d\ne; f", ["plain"] * 3),
        ("a; b; c\nd; e; f\ng; h; i.", ["plain"] * 3),
        ("a; b; c\nd; e; f\n\ng; h; i", ["plain", "plain", "blank", "plain"]),
        ("x\n# y\n\na; b; c\nd; e; f\ng; h; i\n\nz", ["plain", "heading", "blank", ";3", ";3", ";3", "blank", "plain"]),
    ],
)  # fmt: skip
def test_rows_of_a_table(text, expected):
    assert rows(text) == expected


def test_lines_of_a_paragraph_are_no_rows_by_marks_within_them():
    assert rows("ferry | built", ((0, 13),)) == ["plain"]
    assert rows("a; b; c\nd; e; f\ng; h; i", ((0, 15),)) == ["plain"] * 3
    assert rows("a; b; c\nd; e; f\ng; h; i", ((0, 7), (8, 15))) == [";3"] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AMBLER: Yes.\nBRILL: No.", [("turn speaker", "AMBLER: Yes."), ("turn speaker", "BRILL: No.")]),
        ("# Talk\nAMBLER: Yes.\nBRILL: No.", [("turn speaker", "AMBLER: Yes."), ("turn speaker", "BRILL: No.")]),
        ("[00:12] AMBLER: Yes.\n00:15 BRILL: No.", [("turn speaker", "AMBLER: Yes."), ("turn speaker", "BRILL: No.")]),
        ("AMBLER: Yes.\nIt is.", []),
        ("[00:12] It is so.", [("turn clock", "It is so.")]),
        ("(00:12) It is so.", [("turn clock", "It is so.")]),
        ("00:12 It is so.", []),
        ("[00:12]", []),
        ("[see below] It is so.", []),
    ],
)
def test_turns_of_speakers(text, expected):
    lines = [line for line in read_lines(text) if line.kind == "turn"]
    assert [(f"{line.kind} {line.form}", line.own) for line in lines] == expected
