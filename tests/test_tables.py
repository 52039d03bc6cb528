"""Tables as lines: which row is the header, what stands before a cell's words, and what ends a line. test_markup.py has HTML."""

from __future__ import annotations

import pytest

from data_processor.documents import clean


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
@pytest.mark.parametrize(
    ("raw", "text", "header"),
    [
        ("+-----+----+\n| who | age |\n+-----+----+\n| Ann | 30 |\n+-----+----+\n", "who: Ann; age: 30.\n", ["| who | age |\n"]),
        ("| who | age |\n+-----+----+\n| Ann | 30 |\n| Ida | 31 |\n", "who: Ann; age: 30.\nwho: Ida; age: 31.\n", ["| who | age |\n"]),
        ("+-----+\n| who |\n+=====+\n| Ann |\n+-----+\n| Ida |\n+-----+\n", "who: Ann.\nwho: Ida.\n", ["| who |\n"]),
        ("┌─────┬─────┐\n│ who │ age │\n├─────┼─────┤\n│ Ann │ 30  │\n└─────┴─────┘\n", "who: Ann; age: 30.\n", ["│ who │ age │\n"]),
        ("+---+---+\n|who|age|\n+---+---+\n|Ann|30|\n+---+---+\n", "who: Ann; age: 30.\n", ["|who|age|\n"]),
        # A frame alone, or a rule at one end, tells of no header.
        ("+-----+----+\n| Ann | 30 |\n| Ida | 31 |\n+-----+----+\n", "Ann; 30.\nIda; 31.\n", []),
        ("+-----+\n| Ann |\n+-----+\n", "Ann.\n", []),
        ("| Ann | 30 |\n| Ida | 31 |\n+-----+----+\n", "Ann; 30.\nIda; 31.\n", []),
        ("+-----+----+\n| Ann | 30 |\n| Ida | 31 |\n", "Ann; 30.\nIda; 31.\n", []),
    ],
    ids=["framed", "bare", "a rule after each row", "lines", "no spaces", "a frame", "a frame of one row", "a rule below", "a rule above"],
)  # fmt: skip
def test_a_drawn_table_has_a_header_where_a_rule_parts_its_rows(name, raw, text, header):
    document = clean(name, raw)
    assert document.text == text
    assert [raw[start:end] for start, end, kind in document.spans if kind == "heading"] == header
    assert {kind for _, _, kind in document.spans} <= {"heading", "markup", "text"}


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.md", "| {0} | {1} |\n|---|---|\n| {2} | {3} |\n"),
        ("a.txt", "+---+---+\n| {0} | {1} |\n+---+---+\n| {2} | {3} |\n+---+---+\n"),
        ("a.html", "<table><tr><th>{0}<th>{1}</tr><tr><td>{2}<td>{3}</tr></table>"),
    ],
    ids=["markdown", "drawn", "html"],
)
@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (("ferry:", "built::", "Osprey", "1931"), "ferry: Osprey; built: 1931."),  # the colon of a name is not doubled
        (("ferry", "fate", "Osprey", "It sank."), "ferry: Osprey; fate: It sank."),
        (("ferry", "fate", "Osprey", "Sold?"), "ferry: Osprey; fate: Sold?"),
        (("渡轮", "去向", "鱼鹰号", "售出。"), "渡轮: 鱼鹰号; 去向: 售出。"),
        (("ferry", "fate", "Osprey;", "sold"), "ferry: Osprey;; fate: sold."),
        (("ferry", "", "Osprey", "sold"), "ferry: Osprey; sold."),
        (("", "fate", "Osprey", "sold"), "Osprey; fate: sold."),
        (("ferry", "fate", "", "sold"), "fate: sold."),
        (("ferry", "fate", "Osprey", ""), "ferry: Osprey."),
    ],
)
def test_a_row_is_a_sentence_of_its_cells_each_after_the_name_of_its_column(name, form, cells, line):
    assert clean(name, form.format(*cells)).text.strip("\n") == line


@pytest.mark.parametrize(("name", "rule"), [("a.md", "|---|---|"), ("a.txt", "+---+---+")])
def test_a_last_row_needs_no_end_of_line_and_may_have_more_or_fewer_cells(name, rule):
    raw = f"| a | b |\n{rule}\n| 1 | 2 |\n| 3 |\n| 4 | 5 |"
    assert clean(name, raw).text == "a: 1; b: 2.\na: 3.\na: 4; b: 5."
