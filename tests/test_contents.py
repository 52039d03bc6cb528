"""Lines with dots that lead to a number: which of them are a table of contents, and which a list of prices or telephones."""

from __future__ import annotations

import pytest

from data_processor.chunking import parse
from data_processor.documents import clean

BODY = "\n\nHistory\n\nThe works were founded by Otto Brill.\n\nPumps\n\nThere are two.\n\nIndex\n\nA list follows.\n"


def read(raw: str, name: str) -> list[str]:
    parsed = parse(clean(name, raw), "en")
    return [parsed.joined.text[unit.start : unit.end] for unit in parsed.units]


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
@pytest.mark.parametrize(
    "lines",
    [
        ["Reception ............. 100", "Registry office ....... 214", "Mayor's office ........ 301"],
        ["Goulash soup .......... 7", "Espresso .............. 3", "Trout with almonds .... 21"],
        ["Trout ..... 21"],
        ["Trout . . . . . 21", "Soup . . . . . . 7"],
        ["Trout ____ 21", "Soup ____ 7"],
        ["Trout…… 21", "Caretaker .. 77"],
        ["Espresso ....... 3.50 €", "Trout .......... £21"],
        ["1. Trout ....... 21", "2. Soup ........ 7"],
    ],
    ids=["telephones that rise", "prices", "one", "spaced dots", "lines", "ellipses", "currencies", "numbered"],
)
@pytest.mark.parametrize("above", ["", "List of the town hall\n\n"])
def test_a_list_with_dots_is_read_line_by_line(name, lines, above):
    raw = above + "\n".join(lines) + "\n\nThe clerk comes at 9.\n"
    assert read(raw, name) == [*lines, "The clerk comes at 9."]


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
@pytest.mark.parametrize(
    "raw",
    [
        "Contents\n\nHistory ..... 3\nPumps ....... 3\nIndex ....... 40\n",
        "Inhalt\n\nGeschichte ..... 3\nPumpen ......... 12\n",
        "**Table of Contents**\n\nPreface ..... iv\nNotes ....... ix\nHistory ..... 1\nPumps ....... 12\n",
        "目 录\n\n历史 …… 3\n水泵 …… 12\n",
        f"1 History ..... 3\n2 Pumps ....... 12\n3 Index ....... 40{BODY}",
        f"The works\n\nHistory ..... 3\n\nPumps ....... 12\n\nOther ....... 40{BODY}",
        "Contents\n\nPart one\n\nHistory ..... 3\n\nPart two\n\nPumps ....... 12\n",
    ],
    ids=["english", "german", "with a preface", "chinese", "headings again", "most of them", "parts"],
)
def test_a_table_of_contents_is_not_read(name, raw):
    assert not any(mark in unit for unit in read(raw, name) for mark in ("..", "……"))
    assert not any(mark in clean(name, raw).text for mark in ("..", "……"))


@pytest.mark.parametrize(
    "raw",
    [
        "Contents\n\nHistory ..... 40\nPumps ....... 12\n",
        f"History ..... 40\nPumps ....... 12{BODY}",
        f"Trout ..... 3\nSoup ...... 12\nPumps ..... 40{BODY}",
        "Contents\n\nIt holds for a year.\n\nIt is old.\n\nIt is red.\n\nHistory ..... 3\nPumps ....... 12\n",
    ],
    ids=["falls below a heading", "falls", "one of three", "a heading far above"],
)
def test_without_evidence_lines_with_dots_are_read(raw):
    assert sum(" ..." in unit for unit in read(raw, "a.txt")) == raw.count(" ...")


def test_what_only_markup_shows_to_be_contents_is_not_read_either():
    raw = "<h2>Contents</h2><p>History ..... 3</p><p>Pumps ..... 12</p><h2>History</h2><p>It is old.</p>"
    assert read(raw, "a.html") == ["It is old."]
