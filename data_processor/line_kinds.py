"""What each line of a text is: a list item, a table row, a speaker's turn, a subtitle's time, a ruled line, or plain text."""

from __future__ import annotations

import bisect
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

from data_processor.contents import find_contents, is_leader
from data_processor.delimited import read_table
from data_processor.span_words import months

QUOTED = regex.compile(r"(?:[ \t]*>)+[ \t]?")  # a line of a quoted mail
RULED = regex.compile(r"(?=.*[-=_*~+|─═·.:#]{3}|.*\|)[-=_*~+|─═·.:# \t]{3,}|\*(?:[ \t]+\*)+|--")
CUE_TIME = regex.compile(r"(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}[ \t]*-->.*")
SOUND = regex.compile(r"[\[(（【♪][^\])）】♪]*[\])）】♪]")  # a cue that nobody says
LINE = regex.compile(r"[^\n\f\r\u2028\u2029]+|(?>\r\n|[\n\f\r\u2028\u2029])(?=[\n\f\r\u2028\u2029])")  # or a blank one
FLOWED = regex.compile(r"\S \r?$")  # one space at the end: the line goes on (RFC 3676)
HASHES = regex.compile(r"#{1,6}[ \t]+\S.*")
BULLET = regex.compile(r"(?:[•◦○●▪■□▸►‣➢✓–—*+-]|→)(?:\[[ xX]\])?[ \t\u3000]+(?=\S)|[•・●■·][ \t\u3000]*(?=\S)")
NUMBERS = {  # the marker of a numbered item, by its form: items of one list share the form
    "decimal": r"\d{1,3}(?:\.\d{1,3})+\.?[ \t\u3000]+",
    "number": r"(?:\d{1,3}[.．][ \t\u3000]+|\d{1,3}(?:[)）]|[、．])[ \t\u3000]*)",
    "bracketed": r"[(（](?:\d{1,3}|[一二三四五六七八九十百]+|\p{L}|[ivxIVX]+)[)）][ \t\u3000]*",
    "letter": r"(?:\p{Ll}|\p{Lu})[)）][ \t\u3000]*",
    "capital": r"\p{Lu}\.[ \t]+",
    "roman": r"(?:[ivx]{1,5}|[IVX]{1,5})[.)][ \t]+",
    "chinese": r"[一二三四五六七八九十]{1,3}、[ \t\u3000]*",
    "clause": r"(?:第[一二三四五六七八九十百零\d]{1,5}[条條章节節款項项]|제\s?\d+[조항])[ \t\u3000]*",
    "paragraph": r"§{1,2}[ \t]*\d+\p{Ll}?(?:[.)]|(?=[ \t]))[ \t]*",
    "article": r"(?i:art(?:icle|ikel|[íi]culo|\.)?|section|clause|статья)[ \t]*\d+(?:er)?(?:\.\d+)*[.:)]?[ \t]+(?:[–—-][ \t]+)?(?=[\p{Lu}\p{Lo}])",
}
NUMBERED = regex.compile("|".join(f"(?P<{form}>{pattern})(?=\\S)" for form, pattern in NUMBERS.items()))
NAMED = regex.compile(r"\p{Lu}(?:\p{Ll}|['’.])")
ROMAN = "I II III IV V VI VII VIII IX X XI XII".split()
CLOCK = regex.compile(  # before a turn in a transcript, with its date in a chat, and before what a program logs
    r"[\[(]?(?P<date>(?:\d{4}([./-])\d{1,2}\2\d{1,2}|\d{1,2}([./-])\d{1,2}\3(?:\d{4}|\d{2})|\d{1,2}\.? \p{L}{3,9}\.? \d{4})(?:T|,?[ \t]+))?"
    r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?(?:[ \t]?[AaPp]\.?[Mm]\b\.?)?[\])]?[ \t]*(?:[-–—][ \t]*)?"
)
DAY_AND_MONTH = regex.compile(r"\d{1,2}\. ?(\p{L}{3,})(?=$|[,:;]| [–—-]| \d{4}\b)")  # not "5. May be used"
LOG_LEVEL = regex.compile(r"\W*(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|FATAL|CRITICAL)\b")  # no speaker
SPEAKER = regex.compile(
    r"(?:\p{Lu}[\p{L}\p{M}.'’-]*(?:[ \t]\p{Lu}[\p{L}\p{M}.'’-]*){0,3}|\p{Lo}[\p{Lo}\p{M}]{0,9})(?P<number>[ \t]\d{1,3})?(?:[ \t]?[(（][^)）\n]{1,40}[)）])?"
    r"[ \t\u00a0]?(?::[ \t]|：)(?=[ \t]*\S)"
)
LONGEST_HEADED = 60  # characters after a name with a number: "TOP 3: Haushalt" heads a part, and nobody speaks
GAP = regex.compile(r"(?<![.!?:;])(?: {2,}|[ ]*\t[ \t]*|\u3000+)(?=\S)")  # between the columns of a table
PIPE = regex.compile(r"(?<!\\)\|")
OPEN_ENDED = regex.compile(r"[.!?:;…。！？：；؟।։]['\"”’»)」』）\]]*$")

NOT_ASCII = regex.compile(r"[^\x00-\x7f]")


@dataclass
class Line:
    """A line: where it stands, where its own text begins and ends, and what it is.

    `body` is where the text after a marker begins, `form` what marks an item, `columns` the number of a row's cells,
    `indent` and `width` are in columns (a Chinese character has two). `flowed`: one space at its end (RFC 3676). `joint`:
    "on" if markup tells that the line goes on with the paragraph above it, "break" if it tells that one begins here.
    `lead`: of a row, the names of the columns that it fills, if a row above names the columns.
    """

    start: int
    end: int
    text: str
    indent: int = 0
    kind: str = "plain"  # plain, blank, markup, heading, item, row, turn, cue
    form: str = ""
    body: int = 0
    columns: int = 0
    flowed: bool = False
    joint: str = ""
    lead: str = ""

    @property
    def width(self) -> int:
        return self.indent + columns_of(self.text)

    @property
    def own(self) -> str:
        """The text after a marker."""
        return self.text[self.body - self.start :]


def columns_of(text: str) -> int:
    """The width of a text in columns: Chinese characters and their like are two wide."""
    others = NOT_ASCII.findall(text)
    wide = sum(unicodedata.east_asian_width(char) in ("W", "F") for char in others)
    return len(text) + wide - sum(bool(unicodedata.combining(char)) for char in others)


def read_lines(
    text: str, known: dict[int, str] | None = None, paragraphs: Sequence[tuple[int, int]] = ()
) -> list[Line]:
    """The lines of a text with their kinds. A marker in the middle of wrapped text is none, see paragraphs.py.

    What markup told: `known` has the kind ("heading", "row") of lines by where they start, `paragraphs` (start, end) of
    paragraphs, in order.
    """
    lines, whole_lines = [], []
    for match in LINE.finditer(text):
        whole = match.group()
        quoted = QUOTED.match(whole)
        offset = quoted.end() if quoted else 0
        content = whole[offset:].strip()
        start = match.start() + offset + len(whole[offset:]) - len(whole[offset:].lstrip())
        indent = columns_of(whole[offset : start - match.start()].expandtabs(8))
        lines.append(Line(start, start + len(content), content, indent, body=start, flowed=bool(FLOWED.search(whole))))
        whole_lines.append(whole[offset:])
        lines[-1].joint = _joint(lines[-1], paragraphs)
        if known and start in known:
            lines[-1].kind, lines[-1].form = known[start], "known"
        else:
            _see_kind(lines[-1])
    _see_initials(lines)
    _see_leaders(lines)
    _see_cues(lines)
    _see_underlines(lines)
    _see_rows(lines)
    _see_whole_table(lines, whole_lines)
    _see_turns(lines)
    return lines


def _joint(line: Line, paragraphs: Sequence[tuple[int, int]]) -> str:
    number = bisect.bisect_right(paragraphs, line.start, key=lambda span: span[0]) - 1
    if number < 0 or line.start >= paragraphs[number][1]:
        return ""
    return "on" if line.start > paragraphs[number][0] else "break"


def _see_kind(line: Line) -> None:
    if not line.text:
        line.kind = "blank"
    elif RULED.fullmatch(line.text):
        line.kind, line.form = "markup", "ruled"
    elif HASHES.fullmatch(line.text):
        line.kind, line.form = "heading", "hashes"
    elif bullet := BULLET.match(line.text):
        line.kind, line.form, line.body = "item", line.text[0], line.start + bullet.end()
    elif (clock := CLOCK.match(line.text)) and clock["date"]:
        return  # "12.03.25 09:14" is no item of a list
    elif (date := DAY_AND_MONTH.match(line.text)) and date[1] in months()[0]:
        return  # "3. Mai 2031" is none either
    elif (number := NUMBERED.match(line.text)) and (line.joint != "on" or number.lastgroup != "number"):
        line.kind, line.form, line.body = "item", number.lastgroup, line.start + number.end()


def _see_initials(lines: list[Line]) -> None:
    """A letter before a name ("M. Dubreuil", "J. Ott") marks no item, unless the one next to it marks another."""
    marked = [line for line in lines if line.form in ("capital", "roman")]
    markers = [line.text.split(".")[0] for line in marked]
    for above, line, marker, below in zip(["", *markers], marked, markers, [*markers[1:], ""], strict=False):
        listed = _is_next(above, marker) or _is_next(marker, below)
        if line.form == "capital" and NAMED.match(line.own) and not listed:
            line.kind, line.form, line.body = "plain", "", line.start


def _is_next(one: str, other: str) -> bool:
    """Whether a marker comes right after another one: "B" after "A", "V" after "IV"."""
    if len(one) == len(other) == 1 and ord(other) == ord(one) + 1:
        return True
    return any(numerals == (one.upper(), other.upper()) for numerals in pairwise(ROMAN))


def _see_leaders(lines: list[Line]) -> None:
    """Lines with dots that lead to a number: of a table of contents, or else rows."""
    contents = find_contents([line.text for line in lines])
    for number, line in enumerate(lines):
        if number in contents:
            line.kind, line.form = "markup", "contents"
        elif line.kind in ("plain", "item") and is_leader(line.text):
            line.kind, line.form, line.body, line.columns = "row", "leader", line.start, 2


def _see_cues(lines: list[Line]) -> None:
    """Subtitles: a number, the times, and lines until the next blank one."""
    inside = False
    for number, line in enumerate(lines):
        if CUE_TIME.fullmatch(line.text):
            line.kind, line.form, inside = "markup", "time", True
            for before in lines[max(0, number - 1) : number]:
                if before.kind != "blank" and len(before.text) < 40 and not OPEN_ENDED.search(before.text):
                    before.kind, before.form = "markup", "cue number"
        elif line.kind == "blank":
            inside = False
        elif inside:
            line.kind = "markup" if SOUND.fullmatch(line.text) else "cue"
    if any(line.form == "time" for line in lines):
        for line in lines:
            if line.text.startswith("WEBVTT"):
                line.kind = "markup"


def _see_underlines(lines: list[Line]) -> None:
    """Headings over a rule; what has as many columns as the line below the rule is the head of a table."""
    for before, above, line, below in zip([None, *lines], lines, lines[1:], [*lines[2:], None], strict=False):
        ruled = line.form == "ruled" and set(line.text) in ({"="}, {"-"}, {"~"})
        begins = before is None or before.kind in ("blank", "markup", "heading")
        columns = len(GAP.findall(above.text))
        is_head = below is not None and columns and columns == len(GAP.findall(below.text))
        if ruled and begins and above.kind in ("plain", "item") and not is_head:
            above.kind, above.form = "heading", "underlined"


def _see_rows(lines: list[Line]) -> None:
    """Rows of a table: cells between pipes, or two lines or more with as many cells between tabs or wide gaps."""
    for line in lines:
        pipes = len(PIPE.findall(line.text.strip("|"))) if line.kind in ("plain", "item") else 0
        if pipes and (line.text[0] == "|" or line.text[-1] == "|" or (" | " in line.text and not line.joint)):
            line.kind, line.form, line.columns = "row", "|", pipes + 1
    for one, other in pairwise(line for line in lines if line.form != "ruled"):
        above, below = (len(GAP.findall(line.text)) if line.kind in ("plain", "row") else 0 for line in (one, other))
        if above == below > 0 and "|" not in (one.form, other.form):
            for line in (one, other):
                line.kind, line.form, line.columns = "row", "gap", above + 1
    for mark in (";", "；", ",", "，", "、"):
        for run in _runs(lines):
            counts = {line.text.count(mark) for line in run}
            apart = len(run) >= 3 and not any(line.joint == "on" or CLOCK.match(line.text) for line in run)
            if apart and min(counts) == max(counts) > 1 and not any(OPEN_ENDED.search(x.text) for x in run):
                for line in run:
                    line.kind, line.form, line.columns = "row", mark, counts.copy().pop() + 1


def _see_whole_table(lines: list[Line], whole_lines: list[str]) -> None:
    """A text that is a table, below a title or without one; `whole_lines` have the tabs at their ends too."""
    first = 1 if len(lines) > 1 and lines[0].text and lines[1].kind == "blank" else 0
    body = [line for line in lines[first:] if line.text]
    if any(line.kind not in ("plain", "row", "item") or line.joint == "on" or line.form == "known" for line in body):
        return
    table = read_table([whole for whole in whole_lines[first:] if whole.strip()])
    blanks_within = any(line.text and before.kind == "blank" for before, line in pairwise(lines[first + 1 :]))
    if table is None or (table.mark in (",", ";") and blanks_within):  # the paragraphs of a text
        return
    for line, lead in zip(body, table.leads, strict=True):
        line.kind, line.form, line.body, line.columns, line.lead = "row", table.mark, line.start, table.columns, lead
    if table.has_header:
        body[0].form = "header"


def _runs(lines: list[Line]) -> list[list[Line]]:
    """The longest stretches of plain lines without a blank one between them."""
    runs: list[list[Line]] = [[]]
    for line in lines:
        if line.kind == "plain":
            runs[-1].append(line)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _speaks(text: str, clock: regex.Match | None) -> bool:
    """Whether a line begins with a speaker's name; one with a number alone says a sentence, or it may be that of a heading."""
    found = SPEAKER.match(text, clock.end() if clock else 0)
    if not found or clock or not found["number"]:
        return bool(found)
    return bool(OPEN_ENDED.search(text)) or len(text) - found.end() > LONGEST_HEADED


def _see_turns(lines: list[Line]) -> None:
    """Speaker's turns: a name and a colon, in two lines of the text or more; and lines that a program logged one by one."""
    turns, logged = [], []
    for line in lines:
        if line.kind != "plain":
            continue
        clock = CLOCK.match(line.text)
        after = clock.end() if clock else 0
        if _speaks(line.text, clock) and not (clock and LOG_LEVEL.match(line.text, after)):
            turns.append((line, after))
        elif clock and clock["date"]:
            logged.append(line)
        elif clock and after < len(line.text) and not line.text[0].isdigit():
            line.kind, line.form, line.body = "turn", "clock", line.start + after
    if len(turns) > 1:
        for line, after in turns:
            line.kind, line.form, line.body = "turn", "speaker", line.start + after
    if len(turns) + len(logged) > 1:
        for line in logged:
            line.joint = "break"
