"""Tables of contents: lines with dots that lead to a page's number, which price lists and lists of telephones have too."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

import regex

from data_processor.edits import BOILERPLATE, Edit

MAY_LEAD = regex.compile(r"(?:[._·][ ]?){4}|…|[ ]\.\.")
LEADER = regex.compile(  # what stands before the dots, and the number they lead to
    r"[ \t]*(?P<left>\S(?:.*?[^\s.…·_])??)[ \t]*(?:(?:\.[ ]?|·[ ]?|_){4,}|…{2,}|(?<=[ \t])(?:\.{2,3}|…)[ \t])[ \t]*(?P<right>[\p{Sc}+]?[ ]?\d[\d ,.:/–-]{0,15}(?:\p{Sc}|\p{L}{1,4}\.?)?|[ivxlc]{1,6})[ \t]*"
)
LONGEST_LEADER = 300
ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
HEADING = regex.compile(
    r"\W*(?:(?:table of )?contents|inhalt|inhaltsverzeichnis|inhaltsübersicht|sommaire|table des matières"
    r"|(?:índice|tabla) de contenidos?|contenidos?|índice|sumário|conteúdo|indice|sommario|inhoud|inhoudsopgave"
    r"|innehåll|innehållsförteckning|indhold|indholdsfortegnelse|innhold|innholdsfortegnelse|sisällys|sisällysluettelo"
    r"|spis treści|obsah|tartalom|tartalomjegyzék|cuprins|içindekiler|содержание|оглавление|зміст|съдържание|περιεχόμενα"
    r"|目\s*[录錄次]|차례|목차|สารบัญ|mục lục|المحتويات|فهرس|فهرست|תוכן(?: ה?עניינים)?)\W*",
    regex.IGNORECASE,
)
LINES_BELOW_HEADING = 3  # within which the first of the lines stands
LINES_BETWEEN = 2  # without a number, as the heading of a part has none
NUMBERING = regex.compile(r"^[\W\d_]+|[\W_]+$")


def contents_edits(raw: str) -> list[Edit]:
    """Edits that take out the lines of a table of contents; `raw` has line feeds alone at its ends of lines."""
    if not MAY_LEAD.search(raw):
        return []
    lines = raw.split("\n")
    starts = [0, *itertools.accumulate(len(line) + 1 for line in lines)]
    found = sorted(find_contents(lines))
    return [Edit(starts[number], starts[number] + len(lines[number]), kind=BOILERPLATE) for number in found]


def is_leader(line: str) -> bool:
    """Whether dots lead to a number, a price or a page in a line."""
    return _leader(line) is not None


def find_contents(lines: Sequence[str]) -> set[int]:
    """The numbers of the lines of a text that are lines of a table of contents.

    Their pages never fall, and above them stands a heading that says so, or most of what they name is a line of the text.
    """
    leaders = {number: found for number, line in enumerate(lines) if (found := _leader(line))}
    if not leaders:
        return set()
    filled = [number for number, line in enumerate(lines) if line.strip()]
    runs: list[list[int]] = []
    for number in leaders:
        place = bisect.bisect_left(filled, number)
        if runs and place - bisect.bisect_left(filled, runs[-1][-1]) <= LINES_BETWEEN + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    names = {_name(line) for number, line in enumerate(lines) if number not in leaders}
    found: set[int] = set()
    for run in runs:
        pages = [_page(leaders[number]["right"]) for number in run]
        if None in pages or any(b < a for a, b in itertools.pairwise(pages)):
            continue
        first = bisect.bisect_left(filled, run[0])
        above = filled[max(0, first - LINES_BELOW_HEADING) : first]
        told = any(HEADING.fullmatch(lines[number]) for number in above)
        left = list(filter(None, (_name(leaders[number]["left"]) for number in run)))
        if told or (len(left) > 1 and 2 * sum(name in names for name in left) > len(left)):
            found.update(run)
    return found


def _leader(line: str) -> regex.Match | None:
    return LEADER.fullmatch(line) if len(line) <= LONGEST_LEADER and MAY_LEAD.search(line) else None


def _page(right: str) -> tuple[int, int] | None:
    """A page's number so that it can be compared: those of the preface are Roman, and come first."""
    if regex.fullmatch(r"\d{1,4}", right):
        return 1, int(right)
    if regex.fullmatch(r"[ivxlc]+", right):
        values = [ROMAN[letter] for letter in right]
        return 0, sum(-a if a < b else a for a, b in itertools.pairwise([*values, 0]))
    return None


def _name(text: str) -> str:
    """A heading without its number and what else stands around it."""
    return " ".join(NUMBERING.sub("", text).casefold().split())
