"""Rows of tables as lines that can be understood alone: "building: Amber Lantern; opened: 4 April 1987." """

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field

from data_processor.edits import HEADING, Edit, Markup

RULED = re.compile(r"\s*(?:\|.*\||[│┃║].*[│┃║]|\+[-=+]{3,}|[┌└├╔╚╠┏┗┣].*[┐┘┤╗╝╣┓┛┫])\s*$")
RULE = re.compile(r"\s*[|+]?[-=+:|\s]+$|\s*[┌└├╔╚╠┏┗┣]")
BAR = re.compile(r"[|│┃║]")
ENDS = (".", "!", "?", "。", "！", "？", "…", ":", "；", ";", ",")


@dataclass
class Cell:
    """A cell of an HTML table: its first column, how many columns and rows it spans, its words, and its columns' names."""

    column: int
    width: int = 1
    height: int = 1
    words: str = ""
    label: str = ""


@dataclass
class Grid:
    """The columns of an HTML table: their names, and the cells of rows above that stand in the next row too.

    `carried` has for the first column of such a cell: (columns, rows to come, its text).
    """

    names: list[str] = field(default_factory=list)
    carried: dict[int, tuple[int, int, str]] = field(default_factory=dict)
    in_header: bool = False  # of the row that was read last

    def skip(self, column: int) -> tuple[int, list[str]]:
        """The next free column from this one on, and the texts of the carried cells before it."""
        texts = []
        while column in self.carried:
            width, _, text = self.carried[column]
            texts += [text] if text else []
            column += width
        return column, texts

    def label(self, column: int, width: int) -> str:
        """What stands before the words of a cell: the names of its columns; none before one that goes over a whole row."""
        if width > 1 and column == 0 and width >= len(self.names):
            return ""
        names = dict.fromkeys(name for name in self.names[column : column + width] if name)
        return f"{', '.join(names)}: " if names else ""

    def end_row(self, cells: list[Cell], in_header: bool) -> None:
        is_section = len(cells) == 1 and 1 < len(self.names) <= cells[0].width  # "Europe", above some of the rows
        if in_header and not is_section:
            self.names = self.names if self.in_header else []
            for cell in cells:
                self.names += [""] * (cell.column + cell.width - len(self.names))
                for column in range(cell.column, cell.column + cell.width):
                    self.names[column] = f"{self.names[column]} {' '.join(cell.words.split()).rstrip(':')}".strip()
        self.carried = {at: (width, rows - 1, text) for at, (width, rows, text) in self.carried.items() if rows > 1}
        for cell in cells:
            words = "" if in_header else " ".join(cell.words.split())
            if cell.height > 1:
                self.carried[cell.column] = cell.width, cell.height - 1, cell.label + words if words else ""
        self.in_header = in_header and not is_section


def row_edits(text: str, start: int, end: int, header: list[str], cells: list[tuple[int, int, str]]) -> list[Edit]:
    """Edits that make one line of a row, each cell after its column's name, and leave empty cells out.

    The row is the line from `start` to `end`, a cell (start, end, its words). The cells stay in place, so that an answer found in one can be found again in the file.
    """
    filled = [
        (begin, stop, words, name)
        for (begin, stop, words), name in zip(cells, [*header, *[""] * len(cells)], strict=False)
        if words
    ]
    edits, position, before = [], start, ""
    for begin, stop, words, name in filled:
        lead = before + (f"{name.rstrip(':')}: " if name else "")
        edits.append(Edit(position, begin, lead))
        if text[begin:stop] != words:
            edits.append(Edit(begin, stop, words))
        position, before = stop, "; "
    last = filled[-1][2] if filled else ""
    line_end = end - 1 if text[start:end].endswith("\n") else end
    mark = "" if not last or last.endswith(ENDS) else "."
    edits.append(Edit(position, line_end, mark))
    return [edit for edit in edits if edit.start < edit.end or edit.text]


def read_ruled_table(text: str, lines: list[tuple[int, int]]) -> Markup:
    """A table drawn with bars and rules; `lines` are (start, end) of its lines.

    Its first row is a header if a rule stands between two of the rows: a frame alone makes none.
    """
    found, header, after_rule = Markup([], [], []), [], False
    rows = [RULE.match(text[start:end]) is None for start, end in lines]
    has_header = sum(is_row for is_row, _ in itertools.groupby(rows)) > 1
    for (start, end), is_row in zip(lines, rows, strict=True):
        if not is_row:
            found.edits.append(Edit(start, end))
            continue
        bars = [bar.start() for bar in BAR.finditer(text, start, end)]
        cells = [_trimmed(text, left + 1, right) for left, right in itertools.pairwise(bars)]
        if has_header and not header and not after_rule:
            header, after_rule = [words for _, _, words in cells], True
            found.edits.append(Edit(start, end, kind=HEADING))
        else:
            found.edits += row_edits(text, start, end, header, cells)
        found.rows.append((start, end))
    return found


def _trimmed(text: str, start: int, end: int) -> tuple[int, int, str]:
    words = text[start:end].strip()
    begin = text.find(words, start, end) if words else start
    return begin, begin + len(words), words
