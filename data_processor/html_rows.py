"""Rows of HTML tables that name columns or lay out a page, and terms of a <dl> that share a line with what is said of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import regex

from data_processor.html_events import BLOCKS, WORD, Event

LONGEST_NAME = 60  # characters: of a column's name that no <th> tells
LONGEST_VALUE = 200  # of what is said on a term's line
LONGEST_CELL = 1000  # of several paragraphs in a cell
SENTENCES = regex.compile(r"(?<=\p{L}{4}|\d{3}|[\"'”’»)])[.!?…][\"'”’»)\]]*\s+[\"'“„«(¿¡]*\p{Lu}|[。！？]\s*[^\s”」』]")
YEAR_OR_NUMBER = re.compile(r"(?P<year>\b(?:1\d|20)\d\d\b)|\d+")


@dataclass
class CellWords:
    """A cell, td or th: how its text begins, the length of all, whether all words are bold, how many blocks have words."""

    name: str
    text: str = ""
    length: int = 0
    is_bold: bool = True
    blocks: int = 0
    in_block: bool = False  # which has words

    def add(self, event: Event, is_bold: bool) -> None:
        if event.name == "br" or event.name in BLOCKS:
            self.in_block = False
        elif event.words:
            self.blocks, self.in_block = self.blocks + (not self.in_block), True
            self.is_bold &= is_bold
        self.text += event.text if len(self.text) <= LONGEST_VALUE else ""
        self.length += len(event.text)

    @property
    def shape(self) -> str:
        """The same for two amounts, or two years: "40 crowns", "12 crowns"."""
        return YEAR_OR_NUMBER.sub(lambda found: "year" if found["year"] else "0", " ".join(self.text.split()))


@dataclass
class RowWords:
    """A row: the index of the event that opens it, whether it stands in a <thead>, its cells, whether a table is in one."""

    index: int
    in_head: bool
    cells: list[CellWords] = field(default_factory=list)
    has_table: bool = False

    @property
    def is_bold(self) -> bool:
        return all(cell.is_bold for cell in self.cells)

    @property
    def has_digits(self) -> bool:
        return any(re.search(r"\d", cell.text) for cell in self.cells)


def read_rows(events: Sequence[Event]) -> tuple[set[int], set[int]]:
    """Indices of the events that open a row with the names of the columns, and of those that open one which is no row.

    Such a row lays out a page: it is the only column and has several paragraphs, or a cell has more of them than a cell has.
    """
    headers: set[int] = set()
    layout: set[int] = set()
    tables: list[list[RowWords]] = [[]]  # those that are open, the innermost last; the first has rows outside of all
    row, in_head, bold = None, False, 0
    above: list[tuple[RowWords | None, bool]] = []  # of the tables around the innermost
    for index, event in enumerate(events):
        opens, name = event.kind == "open", event.name
        if name == "table" and opens:
            if row is not None:
                row.has_table = True
            above.append((row, in_head))
            tables.append([])
            row, in_head = None, False
        elif name == "table" and above:
            headers |= headers_of(tables[-1])
            layout |= layout_of(tables.pop())
            row, in_head = above.pop()
        elif name in ("thead", "tbody", "tfoot"):
            row, in_head = None, opens and name == "thead"
        elif name == "tr":
            row = RowWords(index, in_head) if opens else None
            tables[-1] += [row] if row else []
        elif name in ("td", "th") and opens and row is not None:
            row.cells.append(CellWords(name))
            bold = 0
        elif name in ("b", "strong"):
            bold = max(0, bold + (1 if opens else -1))
        elif row is not None and row.cells:
            row.cells[-1].add(event, is_bold=bold > 0)
    return headers.union(*map(headers_of, tables)), layout.union(*map(layout_of, tables))


def layout_of(rows: list[RowWords]) -> set[int]:
    is_column = all(len(row.cells) < 2 and all(cell.name == "td" for cell in row.cells) for row in rows)
    return {
        row.index for row in rows for cell in row.cells if cell.blocks > 1 and (is_column or cell.length > LONGEST_CELL)
    }


def headers_of(rows: list[RowWords]) -> set[int]:
    """Of a table: the rows of <th> alone and those of its <thead>, or else the first if it looks like one."""
    rows = [row for row in rows if row.cells]
    found = {row.index for row in rows if all(cell.name == "th" for cell in row.cells)}
    if not all(row.in_head for row in rows):
        found |= {row.index for row in rows if row.in_head}
    first = next((row for row in rows if len(row.cells) > 1), None)  # after a title
    if found or first is None:
        return found
    others = [row for row in rows[rows.index(first) + 1 :] if len(row.cells) > 1]
    return {first.index} if others and names_columns(first, others) else set()


def names_columns(first: RowWords, others: list[RowWords]) -> bool:
    """Whether the first row has the names of the columns: it alone is bold, or it alone has no digits.

    In two columns, where it may be a label and its value, a column below it must have numbers of one form.
    """
    is_short = all(len(cell.text.strip()) <= LONGEST_NAME and cell.name == "td" for cell in first.cells)
    has_names = all(WORD.search(cell.text) for cell in first.cells[1:])  # none may be above the names of the rows
    if first.has_table or not (is_short and has_names):
        return False
    if first.is_bold:
        return not all(row.is_bold for row in others)
    if first.has_digits or not all(row.has_digits for row in others):
        return False
    if len(first.cells) > 2:
        return True
    if len(others) < 2 or any(row.cells[0].text.rstrip().endswith((":", "：")) for row in (first, *others)):
        return False
    shapes = [{row.cells[column].shape for row in others} for column in (0, 1)]
    return any(len(forms) == 1 and re.search("year|0", *forms) for forms in shapes)


@dataclass
class Terms:
    """Terms of a <dl> that stand together, and what is said of them; `start` is the index of the event that opens them."""

    start: int = -1
    terms: str = ""
    values: list[str] = field(default_factory=list)
    has_blocks: bool = False
    paragraphs: int = 0

    @property
    def are_a_line(self) -> bool:
        values = [" ".join(value.split()) for value in self.values]
        is_short = all(WORD.search(value) and not SENTENCES.search(value) for value in values)
        is_short = is_short and sum(map(len, values)) <= LONGEST_VALUE and self.paragraphs <= len(values)
        return bool(WORD.search(self.terms) and values and is_short and not self.has_blocks)


def term_lines(events: Sequence[Event]) -> dict[int, int]:
    """Terms that share a line with what is said of them: from the event that opens the first to the one after the line."""
    lines: dict[int, int] = {}
    lists: list[Terms] = []  # the terms that are read in each <dl> that is open

    def finish(index: int) -> None:
        if lists[-1].start >= 0 and lists[-1].are_a_line:
            lines[lists[-1].start] = index

    for index, event in enumerate(events):
        opens = event.kind == "open"
        if event.name == "dl":
            if opens:
                for around in lists[-1:]:
                    around.has_blocks = True
                lists.append(Terms())
            elif lists:
                finish(index)
                lists.pop()
        elif not lists:
            continue
        elif event.name == "dt" and opens:
            if lists[-1].values or lists[-1].start < 0:
                finish(index)
                lists[-1] = Terms(index)
        elif event.name == "dd" and opens:
            lists[-1].values.append("")
        elif event.name == "p":
            lists[-1].paragraphs += opens and bool(lists[-1].values)
        elif event.name in BLOCKS and event.name not in ("dt", "dd", "div"):
            lists[-1].has_blocks = True
        elif lists[-1].values:
            lists[-1].values[-1] += event.text if len(lists[-1].values[-1]) <= LONGEST_VALUE else ""
        else:
            lists[-1].terms += event.text
    return lines
