"""Rows of tables as lines that can be understood alone: "building: Amber Lantern; opened: 4 April 1987." """

from __future__ import annotations

import itertools
import re

from data_processor.edits import HEADING, MARKUP, Edit, Markup

RULED = re.compile(r"\s*(?:\|.*\||[│┃║].*[│┃║]|\+[-=+]{3,}|[┌└├╔╚╠┏┗┣].*[┐┘┤╗╝╣┓┛┫])\s*$")
RULE = re.compile(r"\s*[|+]?[-=+:|\s]+$|\s*[┌└├╔╚╠┏┗┣]")
BAR = re.compile(r"[|│┃║]")
ENDS = (".", "!", "?", "。", "！", "？", "…", ":", "；", ";", ",")


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
    """A table drawn with bars and rules; `lines` are (start, end) of its lines. The row above the first rule is its header."""
    found, header, after_rule = Markup([], [], []), [], False
    rows = [RULE.match(text[start:end]) is None for start, end in lines]
    has_header = any(is_row and not rows[number + 1] for number, is_row in enumerate(rows[:-1]))
    for (start, end), is_row in zip(lines, rows, strict=True):
        if not is_row:
            found.edits.append(Edit(start, end, kind=MARKUP))
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
