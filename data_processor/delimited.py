"""A text that is one table: its cells parted by tabs, semicolons, bars, commas (with quotation marks, as in CSV) or gaps."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import regex

LONGEST_NAME = 30  # characters of a column's name
LONGEST_LINE = 10_000
MARKS = ("\t", ";", "|", ",")  # in the order in which they are tried
GAP = "  "
LEAST_NAMED = 3  # columns: of two, one may as well hold the names and the other what they have
CELL = regex.compile(r"\S+(?: \S+)*")  # with more than a space the next begins
NEXT_SENTENCE = regex.compile(r"\p{L}[.!?…]['\"’”»)]*\s+['\"‘“«(]*\p{Lu}")
BAR = regex.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Table:
    """`mark` parts the cells; `has_header`: the first row names the columns.

    `leads` has for each row the names of the columns that it fills, where these are not all and the row does not show which.
    """

    mark: str
    columns: int
    has_header: bool
    leads: list[str]


def cells_of(line: str, mark: str) -> list[str]:
    """The cells of a line, without the quotation marks around them."""
    if mark == "|":
        return [cell.strip() for cell in BAR.split(line)]
    return [cell.strip() for cell in next(csv.reader([line], delimiter=mark, skipinitialspace=True), [""])]


def read_table(lines: Sequence[str]) -> Table | None:
    """The table that the lines of a text are, none of them blank; None if they are no table."""
    if len(lines) < 2 or any(len(line) > LONGEST_LINE for line in lines):
        return None
    for mark in MARKS:
        if any(mark not in line for line in lines):
            continue
        rows = [cells_of(line, mark) for line in (_without_frame(lines) if mark == "|" else lines)]
        columns = len(rows[0])
        if columns < 2 or any(len(row) != columns for row in rows) or not all(rows[0]) or _is_prose(lines, rows, mark):
            continue
        has_names = columns >= LEAST_NAMED and are_names(rows[0])
        return Table(mark, columns, has_names, [_lead(rows[0], row, mark) if has_names else "" for row in rows])
    return _read_aligned([line.expandtabs(8) for line in lines]) if len(CELL.findall(lines[0])) > 1 else None


def _without_frame(lines: Sequence[str]) -> list[str]:
    """Lines without the bars that all of them begin or end with."""
    lines = [line.strip() for line in lines]
    if all(line.startswith("|") for line in lines):
        lines = [line[1:] for line in lines]
    return [line[:-1] for line in lines] if all(line.endswith("|") for line in lines) else lines


def _is_prose(lines: Sequence[str], rows: list[list[str]], mark: str) -> bool:
    """Whether commas or semicolons are those of prose: a space follows them, they are within numbers, or sentences are."""
    if mark not in (";", ","):
        return False
    spaced, in_numbers = f"{mark} ", regex.compile(rf"(?<=\d){mark}(?=\d)")
    within = (sum(cell.count(spaced) for cell in row) for row in rows)
    return (
        any(line.count(spaced) > count for line, count in zip(lines, within, strict=True))
        or all(len(in_numbers.findall(line)) == line.count(mark) for line in lines)
        or 2 * sum(bool(NEXT_SENTENCE.search(line)) for line in lines) > len(lines)
    )


def are_names(cells: list[str]) -> bool:
    """Whether cells name columns: they are short, all different, and without digits."""
    return len(set(cells)) == len(cells) and all(
        len(cell) <= LONGEST_NAME and regex.search(r"\p{L}", cell) and not regex.search(r"\d", cell) for cell in cells
    )


def _lead(names: list[str], row: list[str], mark: str) -> str:
    """The names of the columns that a row shows, in the row's form: of tabs it shows no two, of bars none at its ends."""
    if all(row):
        return ""
    if mark == "\t":
        return mark.join(itertools.compress(names, row))
    if mark != "|":
        return ""
    filled = [number for number, cell in enumerate(row) if cell]
    return " | ".join(names[filled[0] : filled[-1] + 1]) if filled else ""


def _read_aligned(lines: list[str]) -> Table | None:
    """A table in columns: each cell stands below the name of its column, at its left or its right end, or overlaps it."""
    names = [cell.span() for cell in CELL.finditer(lines[0])]
    header = [lines[0][start:end] for start, end in names]
    if len(lines) < 3 or len(names) < LEAST_NAMED or not are_names(header):
        return None
    leads: list[str] = []
    for line in lines:
        cells = [cell.span() for cell in CELL.finditer(line)]
        if len(cells) == len(names):
            leads.append("")
            continue
        below = [_column(names, cell) for cell in cells]
        if len(cells) < 2 or None in below or any(b <= a for a, b in itertools.pairwise(below)):
            return None
        leads.append(GAP.join(header[number] for number in below))
    return Table(GAP, len(names), True, leads) if 2 * leads.count("") > len(lines) else None


def _column(names: list[tuple[int, int]], cell: tuple[int, int]) -> int | None:
    for fits in (
        lambda name: name[0] == cell[0],
        lambda name: name[1] == cell[1],
        lambda name: name[0] < cell[1] and cell[0] < name[1],
    ):
        found = [number for number, name in enumerate(names) if fits(name)]
        if len(found) == 1:
            return found[0]
    return None
