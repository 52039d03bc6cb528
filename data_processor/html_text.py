"""HTML by the parser of the standard library: tags taken out, blocks on lines of their own, rows of tables as lines."""

from __future__ import annotations

import html
import re

import regex

from data_processor.edits import HEADING, MARKUP, METADATA, TEXT, Edit, Markup
from data_processor.html_events import BLOCKS, LEFT_OUT, STRUCK, Event, Events, header_rows, unseen_elements
from data_processor.tables import ENDS, Cell, Grid

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
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
        self.headers = header_rows(self.events)
        self.unseen = unseen_elements(self.events)
        self.left_out = ""  # the element that is being left out
        self.depth = 0
        self.preformatted = 0
        self.line_is_empty, self.breaks, self.lead = True, 0, ""  # what to write before the next words
        self.heading_start: int | None = None
        self.grid = Grid()
        self.cells: list[Cell] | None = None  # of the row that is being read
        self.due: list[str] = []  # cells of rows above, to write before the next words
        self.row_start, self.in_header = start, False
        self.last = ""  # the last character that was kept

    def read(self) -> Markup:
        for index, event in enumerate(self.events):
            if self.left_out:
                self.leave_out(event)
            elif event.kind in ("open", "close"):
                self.read_tag(index, event)
            elif event.kind == "reference":
                self.keep(event.start, event.end, html.unescape(self.text[event.start : event.end]))
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
        if index in self.unseen or (opens and name in LEFT_OUT and name not in STRUCK):
            self.left_out, self.depth = name, 1
            self.edit(event.start, event.end, kind=LEFT_OUT.get(name, MARKUP))
            return
        end_mark = ""
        if name in HEADINGS:
            if opens:
                self.heading_start = event.end
            elif self.heading_start is not None:
                self.found.headings.append((self.heading_start, event.start))
                self.heading_start = None
        elif name == "table":
            end_mark = self.end_row(event.start)
            self.grid = Grid()
        elif name in ("thead", "tbody", "tfoot"):
            end_mark = self.end_row(event.start)
            self.grid.carried = {}
        elif name == "tr":
            end_mark = self.end_row(event.start)
            if opens:
                self.cells, self.row_start, self.in_header = [], event.start, index in self.headers
        elif name in ("td", "th") and opens and self.cells is not None:
            self.open_cell(event)
        elif name == "pre":
            self.preformatted = max(0, self.preformatted + (1 if opens else -1))
        self.edit(event.start, event.end, end_mark)
        if name == "br":
            self.breaks = max(self.breaks, 1)
        elif name == "li" and opens:
            self.breaks, self.lead = max(self.breaks, 1), "- "
        elif name in BLOCKS and not (name in ("td", "th") and self.cells is not None):
            self.breaks = max(self.breaks, 1 if name in ("li", "tr", "dt", "dd", "option") else 2)
        if name == "p" and self.cells is not None:
            self.breaks = 0
        if self.cells and (name == "br" or name in BLOCKS):
            self.cells[-1].words += " "

    def open_cell(self, event: Event) -> None:
        after = self.cells[-1].column + self.cells[-1].width if self.cells else 0
        column, carried = self.grid.skip(after)
        label = "" if self.in_header else self.grid.label(column, event.width)
        self.due += carried
        self.lead = ("; " if self.has_words() else "") + "; ".join([*self.due, label])
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
        self.in_header, self.lead, self.due = False, "", []
        if in_header:
            return ""
        self.found.rows.append((self.row_start, end))
        if not has_words:
            return ""
        return "".join(f"; {text}" for text in carried) + ("." if (carried or [self.last])[-1][-1:] not in ENDS else "")

    def read_data(self, event: Event) -> None:
        for piece in re.finditer(r"\s+|\S+", self.text[event.start : event.end]):
            start, end = event.start + piece.start(), event.start + piece.end()
            if self.cells and piece[0].isspace():
                self.cells[-1].words += " "
            if not piece[0].isspace() or (piece[0].isspace() and self.preformatted):
                self.keep(start, end)
            elif self.line_is_empty or self.breaks or self.lead:
                self.edit(start, end, kind=TEXT)
            elif piece[0] != " ":
                joins = CJK.match(self.last) and CJK.match(self.text[end : end + 1]) and "\n" in piece[0]
                self.edit(start, end, "" if joins else " ", TEXT)

    def keep(self, start: int, end: int, new: str | None = None) -> None:
        """Keep the characters from `start` to `end`, or `new` in their place, after the break and the lead due."""
        words = self.text[start:end] if new is None else new
        if self.cells:
            self.cells[-1].words += words
        if self.in_header:
            self.edit(start, end, kind=HEADING)
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
