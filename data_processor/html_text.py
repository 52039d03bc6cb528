"""HTML by the parser of the standard library: tags taken out, blocks on lines of their own, rows of tables as lines."""

from __future__ import annotations

import html
import re

import regex

from data_processor.edits import HEADING, MARKUP, METADATA, TEXT, Edit, Markup
from data_processor.html_events import (
    BLOCKS,
    HEADINGS,
    LEFT_OUT,
    STRUCK,
    Event,
    Events,
    buttons_read,
    unseen_elements,
)
from data_processor.html_rows import read_rows, term_lines
from data_processor.superscripts import find_scripts
from data_processor.tables import ENDS, Cell, Grid

WHOLE_PAGE = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
CLOSED_BLOCK = re.compile(
    r"<(p|div|h[1-6]|ul|ol|table|section|article|blockquote)\b[^<>]*>.{0,5000}?</\1\s*>", re.IGNORECASE | re.DOTALL
)
CJK = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}，。、；：！？「」『』（）]")


def is_html(text: str) -> bool:
    """Whether a text is HTML: a page, or one that closes a block which it opened."""
    return bool(WHOLE_PAGE.match(text) or CLOSED_BLOCK.search(text))


class Reader:
    """Walks over the events of a text and collects its edits, headings and rows."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text, self.found = text, Markup([], [], [])
        self.events = Events(text, start, end).events
        (self.headers, self.layout), self.term_lines = read_rows(self.events), term_lines(self.events)
        self.scripts = find_scripts(text, start, end)
        self.resume = start  # where the next event to be read may begin
        self.unseen, self.shown = unseen_elements(self.events), buttons_read(self.events)
        self.left_out = ""  # the element that is being left out
        self.depth = 0
        self.preformatted = 0
        self.line_is_empty, self.breaks, self.lead = True, 0, ""  # what to write before the next words
        self.heading_start: int | None = None
        self.grid = Grid()
        self.cells: list[Cell] | None = None  # of the row that is being read; of terms and what is said of them, one
        self.line_end, self.joint = -1, ":"  # of such a line: the event after it, what stands before what is said
        self.due: list[str] = []  # cells of rows above, to write before the next words
        self.row_start, self.in_header = start, False
        self.names_row = False  # the cell read last is a <th>
        self.last = ""  # the last character that was kept

    def read(self) -> Markup:
        for index, event in enumerate(self.events):
            if event.start < self.resume:
                continue
            if self.left_out:
                self.leave_out(event)
            elif event.kind in ("open", "close"):
                self.read_tag(index, event)
            elif event.kind == "reference" and self.cells and event.text.isspace():
                self.edit_space(event.start, event.end)
            elif event.kind == "reference":
                self.keep(event.start, event.end, event.text)
            elif event.kind == "data":
                self.read_data(event)
            else:
                self.edit(event.start, event.end)
        return self.found

    def edit(self, start: int, end: int, text: str = "", kind: str = MARKUP) -> None:
        if start < end:
            self.found.edits.append(Edit(start, end, text, kind))

    def leave_out(self, event: Event) -> None:
        kind = LEFT_OUT.get(self.left_out, MARKUP)
        self.edit(event.start, event.end, kind=kind)
        if event.name == self.left_out and event.kind in ("open", "close"):
            self.depth += 1 if event.kind == "open" else -1
            if self.depth == 0:
                self.left_out = ""
        elif kind == METADATA and event.kind in ("data", "reference"):
            self.found.title += html.unescape(self.text[event.start : event.end])

    def read_tag(self, index: int, event: Event) -> None:
        name, opens = event.name, event.kind == "open"
        end_mark = self.end_row(event.start) if 0 <= self.line_end <= index else ""
        if index in self.unseen or (opens and name in LEFT_OUT and name not in STRUCK and index not in self.shown):
            self.left_out, self.depth = name, 1
            self.edit(event.start, event.end, end_mark, LEFT_OUT.get(name, MARKUP))
            return
        if opens and event.start in self.scripts:
            self.write_script(event)
            return
        if name in HEADINGS:
            if opens:
                self.heading_start = event.end
            elif self.heading_start is not None:
                self.found.headings.append((self.heading_start, event.start))
                self.heading_start = None
        elif name == "table":
            end_mark += self.end_row(event.start)
            self.grid = Grid()
        elif name in ("thead", "tbody", "tfoot"):
            end_mark += self.end_row(event.start)
            self.grid.carried = {}
        elif name == "tr":
            end_mark += self.end_row(event.start)
            if opens and index not in self.layout:
                self.cells, self.row_start, self.in_header = [], event.start, index in self.headers
        elif name in ("td", "th") and opens and self.cells is not None:
            self.open_cell(event)
        elif name == "pre":
            self.preformatted = max(0, self.preformatted + (1 if opens else -1))
        self.edit(event.start, event.end, end_mark)
        self.break_line(name, opens)
        if index in self.term_lines and self.cells is None:
            self.cells, self.row_start, self.line_end = [Cell(0)], event.start, self.term_lines[index]

    def break_line(self, name: str, opens: bool) -> None:
        """What a tag means for the words after it: another line, or within a row, which is one line, a space or a comma."""
        if self.cells:
            if (name == "br" or name in BLOCKS) and self.cells[-1].words:
                is_listed, mark = opens and name in ("li", "dt", "dd"), self.joint if name == "dd" else ","
                ended = not is_listed or (self.cells[-1].words[-1] in ENDS and self.cells[-1].words[-1] != "…")
                self.lead = (self.lead or " ") if ended else f"{mark} "
        elif name == "br":
            self.breaks = max(self.breaks, 1)
        elif name == "li" and opens:
            self.breaks, self.lead = max(self.breaks, 1), "- "
        elif name in BLOCKS or (name == "button" and self.heading_start is None):
            self.breaks = max(self.breaks, 1 if name in ("li", "tr", "dt", "dd", "option") else 2)
        if name in ("dt", "dd"):
            self.joint = ":" if name == "dt" else ","

    def write_script(self, event: Event) -> None:
        """What a <sup> or <sub> says in place of it."""
        self.resume, new = self.scripts[event.start]
        if new:
            self.keep(event.start, self.resume, new)
        else:
            self.edit(event.start, self.resume)

    def open_cell(self, event: Event) -> None:
        after = self.cells[-1].column + self.cells[-1].width if self.cells else 0
        column, carried = self.grid.skip(after)
        label = "" if self.in_header else self.grid.label(column, event.width)
        self.due += carried
        after_th = self.names_row and event.name == "td" and not self.grid.names
        is_value = (after_th or self.last in (":", "：")) and not (label or self.due)
        mark = "; " if not is_value else " " if self.last in ENDS else ": "
        self.lead = (mark if self.has_words() else "") + "; ".join([*self.due, label])
        self.names_row = event.name == "th"
        self.cells.append(Cell(column, event.width, event.height, label=label))

    def has_words(self) -> bool:
        return any(cell.words.strip() for cell in self.cells or [])

    def end_row(self, end: int) -> str:
        """Finish the row that is being read; the full stop to write after it."""
        cells, self.cells = self.cells, None
        if cells is None:
            return ""
        in_header, has_words = self.in_header, any(cell.words.strip() for cell in cells)
        carried = self.due + self.grid.skip(cells[-1].column + cells[-1].width if cells else 0)[1]
        self.grid.end_row(cells, in_header)
        self.in_header, self.lead, self.due, self.line_end = False, "", [], -1
        self.breaks = max(self.breaks, 1)
        if in_header:
            return ""
        self.found.rows.append((self.row_start, end))
        if not has_words:
            return ""
        return "".join(f"; {text}" for text in carried) + ("." if (carried or [self.last])[-1][-1:] not in ENDS else "")

    def read_data(self, event: Event) -> None:
        for piece in re.finditer(r"\s+|\S+", self.text[event.start : event.end]):
            start, end = event.start + piece.start(), event.start + piece.end()
            if not piece[0].isspace() or (self.preformatted and not self.cells):
                self.keep(start, end)
            else:
                self.edit_space(start, end, ends_data=end == event.end)

    def edit_space(self, start: int, end: int, ends_data: bool = True) -> None:
        """White space as one space, or none: at the ends of lines and cells, after another one, in wrapped Chinese."""
        space, words = self.text[start:end], self.cells[-1].words if self.cells else ""
        kind = HEADING if self.in_header else TEXT
        joins = CJK.match(self.last) and CJK.match(self.text[end : end + 1]) and "\n" in space
        if self.cells and (ends_data or space != " " or self.in_header):
            self.edit(start, end, kind=kind)
            self.lead = " " if words and not (self.lead or joins) else self.lead
        elif self.line_is_empty or self.breaks or self.lead or self.last.isspace():
            self.edit(start, end, kind=kind)
        else:
            self.last = "" if joins else " "
            if self.cells:
                self.cells[-1].words += " "
            if space != " ":
                self.edit(start, end, self.last, TEXT)

    def keep(self, start: int, end: int, new: str | None = None) -> None:
        """Keep the characters from `start` to `end`, or `new` in their place, after the break and the lead due."""
        words = self.text[start:end] if new is None else new
        if self.cells:
            self.cells[-1].words += (self.lead if self.cells[-1].words else "") + words
        if self.in_header:
            self.edit(start, end, kind=HEADING)
            self.lead, self.last = "", words[-1:]
            return
        before = ("" if self.line_is_empty and not self.found.edits else "\n" * self.breaks) + self.lead
        if before and self.found.edits and new is None and self.found.edits[-1].end <= start:
            last = self.found.edits[-1]
            self.found.edits[-1] = Edit(last.start, last.end, last.text + before, last.kind)
            before = ""
        if new is not None or before:
            self.edit(start, end, before + words, TEXT)
        self.line_is_empty, self.breaks, self.lead, self.due, self.last = False, 0, "", [], words[-1:]


def read_html(text: str, start: int = 0, end: int | None = None) -> Markup:
    """The tags in a text, or in a part of it, which has line feeds alone at its ends of lines."""
    return Reader(text, start, len(text) if end is None else end).read()
