"""Markdown by markdown-it: which characters of a file are marks, and where its headings, paragraphs and rows of tables are."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from data_processor.edits import HEADING, Edit, Markup
from data_processor.html_text import read_html
from data_processor.tables import RULED, read_ruled_table, row_edits

TASK_BOX = re.compile(r"\[[ xX]\][ \t]+")
MARKS_BEFORE_TEXT = re.compile(r"[>#][ \t]?|(?<=#)[ \t]+")  # those of lists stay: they tell one item from the next
NOTE_MARK = re.compile(r"[ \t]?\[\^[^\]\s]{1,40}\]:?[ \t]*")
LINE_BREAK = re.compile(r"<br\b[^<>]*>(?P<end>[ \t]*\n)?", re.IGNORECASE)
WORD = re.compile(r"\w")
FIRST_WORD = re.compile(r"[\"'“„«(\[*_¿¡$€£¥]*\w")


class PlacedState(StateInline):
    """A state that notes in `meta["at"]` of every token where in the inline source it begins."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.at = self.pending_at = self.pushed = 0

    def push(self, ttype: str, tag: str, nesting: int) -> Token:
        token = super().push(ttype, tag, nesting)
        token.meta = {**token.meta, "at": self.at + self.pushed}
        self.pushed += 1  # the marks of one run ("**") are pushed one by one
        return token

    def pushPending(self) -> Token:
        token = super().pushPending()
        token.meta = {"at": self.pending_at}
        return token


class PlacedInline(ParserInline):
    def parse(self, src: str, md: MarkdownIt, env, tokens: list[Token]) -> list[Token]:
        state = PlacedState(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


def note_place(state: PlacedState, silent: bool) -> bool:
    """An inline rule before all others which only notes where the others begin."""
    if not silent:
        state.at, state.pushed = state.pos, 0
        if not state.pending:
            state.pending_at = state.pos
    return False


@functools.cache
def parser(is_plain: bool) -> MarkdownIt:
    """For .md files, or for plain text with what people also write there: tables, quotations, headings, emphasis, links."""
    md = MarkdownIt("zero" if is_plain else "commonmark")
    md.inline = PlacedInline()
    md.inline.ruler.before("text", "note_place", note_place)
    if is_plain:
        md.configure("zero")
        md.enable(
            ["table", "fence", "blockquote", "hr", "heading", "lheading", "emphasis", "link", "image", "note_place"]
        )
    else:
        md.configure("commonmark")
        md.enable(["table", "strikethrough", "note_place"])
        md.disable("code")  # an indented paragraph is prose more often than code
    md.disable(["fragments_join", "text_join"])
    return md


def read_markdown(text: str, start: int, is_plain: bool) -> Markup:
    """The marks in `text` from offset `start` on; `text` has line feeds alone at its ends of lines."""
    lines = _line_starts(text, start)
    found = Markup([], [], [])
    tokens = parser(is_plain).parse(text[start:])
    covered: set[int] = set()
    for index, token in enumerate(tokens):
        if token.map is None:
            continue
        first, last = token.map
        if token.type == "table_open":
            stop = next(i for i in range(index, len(tokens)) if tokens[i].type == "table_close")
            _add(found, _read_table(text, lines, tokens[index:stop]))
        elif token.type in ("fence", "code_block", "hr"):
            found.edits.append(Edit(lines[first], lines[last]))
        elif token.type == "html_block":
            _add(found, read_html(text, lines[first], lines[last]))
        elif token.type == "inline":
            if tokens[index - 1].type not in ("th_open", "td_open"):
                _read_inline(text, lines, token, tokens[index - 1], is_plain, found)
        elif token.type != "heading_open":
            continue
        covered.update(range(first, last))
    for number in range(len(lines) - 1):  # definitions of links, which leave no token
        if (
            number not in covered
            and text[lines[number] : lines[number + 1]].strip()
            and not _is_list_mark(text, lines, number)
        ):
            found.edits.append(Edit(lines[number], lines[number + 1], "\n"))
    if not is_plain:
        found.edits += [Edit(*mark.span()) for mark in NOTE_MARK.finditer(text, start)]
    return found


def _line_starts(text: str, start: int) -> list[int]:
    starts = [start, *(found.end() for found in re.compile("\n").finditer(text, start))]
    return [*starts, len(text)] if starts[-1] != len(text) else starts


def _add(found: Markup, more: Markup) -> None:
    found.edits += more.edits
    found.headings += more.headings
    found.rows += more.rows
    found.paragraphs += more.paragraphs


def _is_list_mark(text: str, lines: list[int], number: int) -> bool:
    return bool(re.fullmatch(r"[\s>]*(?:[-*+]|\d{1,9}[.)])?\s*", text[lines[number] : lines[number + 1]]))


def _read_inline(text: str, lines: list[int], token: Token, opening: Token, is_plain: bool, found: Markup) -> None:
    """Edits for the marks before and in the text of one paragraph or heading."""
    first, last = token.map
    content = token.content.split("\n")
    is_heading = opening.type == "heading_open"
    if all(RULED.match(line) for line in content) and len(content) > 1:
        _add(found, read_ruled_table(text, [(lines[n], lines[n + 1]) for n in range(first, last)]))
        return
    places, begin = [], 0  # for each line of the content: where it begins in it, and in the file
    for number, line in enumerate(content):
        file_start, file_end = lines[first + number], lines[first + number + 1]
        at = text.find(line, file_start, file_end) if is_heading else text.rfind(line, file_start, file_end)
        if at < 0:  # a tab, of which a part is indentation
            bare = text.find(line.lstrip(), file_start, file_end)
            if bare < 0:  # never seen: then the paragraph stays as it is written
                return
            at = bare - (len(line) - len(line.lstrip()))
        places.append((begin, at, len(line)))
        begin += len(line) + 1
        found.edits += [
            Edit(file_start + m.start(), file_start + m.end()) for m in MARKS_BEFORE_TEXT.finditer(text[file_start:at])
        ]
        if number == 0 and opening.type == "paragraph_open" and opening.level > 0 and (box := TASK_BOX.match(line)):
            found.edits.append(Edit(at, at + box.end()))
        if is_heading:
            end_of_line = at + len(line)
            found.edits.append(Edit(end_of_line, end_of_line + len(text[end_of_line:file_end].rstrip())))
    if opening.type == "paragraph_open" and not is_plain:
        found.paragraphs += _paragraphs(token, places)
    if is_heading:
        if token.map[1] < opening.map[1]:
            _underlined(text, lines, token, opening, is_plain, found)
        else:
            found.headings.append((lines[first], lines[last]))
            found.edits += [Edit(lines[place], lines[place], "\n") for place in (first, last) if place]
    for start, end, new in _marks(token, is_plain):
        for begin, at, length in places:  # a mark may go over lines: their breaks stay
            cut = max(start, begin), min(end, begin + length)
            if cut[0] < cut[1]:
                found.edits.append(Edit(at + cut[0] - begin, at + cut[1] - begin, new))
                new = ""


def _paragraphs(token: Token, places: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Where in the file the lines of an inline token stand, up to each forced break and from it on.

    `places`: where a line begins in the token's content, and in the file, and its length.
    """
    spans, first = [], places[0][1]
    for start, end in _forced_breaks(token):
        begin, at, length = next(place for place in reversed(places) if place[0] <= start)
        spans.append((first, at + min(start - begin, length)))
        begin, at, _ = next(place for place in reversed(places) if place[0] <= end)
        first = at + end - begin
    return [*spans, (first, places[-1][1] + places[-1][2])]


def _forced_breaks(token: Token) -> Iterable[tuple[int, int]]:
    """(start, end) in the content of breaks that the author wants: a backslash or two spaces at the end of a line, <br>."""
    for child in token.children or []:
        at = (child.meta or {}).get("at", 0)
        if child.type == "hardbreak":
            yield at, token.content.index("\n", at) + 1
        elif child.type == "html_inline" and (found := LINE_BREAK.match(token.content, at)):
            yield found.span()


def _underlined(text: str, lines: list[int], token: Token, opening: Token, is_plain: bool, found: Markup) -> None:
    """A heading over a rule; in plain text several lines over a rule are a paragraph, and two marks are no rule."""
    first, under = opening.map[0], opening.map[1] - 1
    if is_plain and len(text[lines[under] : lines[under + 1]].strip()) < 3:
        return
    found.edits.append(Edit(lines[under], lines[under + 1], "\n"))
    if not is_plain or "\n" not in token.content:
        found.headings.append((lines[first], lines[under]))


def _marks(token: Token, is_plain: bool) -> Iterable[tuple[int, int, str]]:
    """(start, end, replacement) of what is no text in the content of an inline token."""
    position = 0
    for start, end, new in _kept(token.content, token.children or [], is_plain):
        if position < start:
            yield position, start, ""
        if new is not None:
            yield start, end, new
        position = max(position, end)
    if position < len(token.content):
        yield position, len(token.content), ""


def _kept(source: str, children: list[Token], is_plain: bool) -> Iterable[tuple[int, int, str | None]]:
    """(start, end, replacement or None) of what stays of an inline source, in order; struck text does not stay."""
    struck, no_marks = 0, no_emphasis(source, children) if is_plain else set()
    for child in children:
        at = (child.meta or {}).get("at", 0)
        struck += {"s_open": 1, "s_close": -1}.get(child.type, 0)
        if child.type in ("softbreak", "hardbreak"):
            at = source.index("\n", at)
            yield at, at + 1, None
        elif struck:
            continue
        elif child.type == "text" and child.content:
            yield at, at + len(child.content), None
        elif id(child) in no_marks:
            begin = _mark_start(child)
            yield begin, begin + len(child.markup), None
        elif child.type == "text_special":
            yield at, at + len(child.markup), child.content
        elif child.type == "code_inline":
            ticks = len(child.markup)
            end = source.index(child.markup, at + ticks)
            yield at + ticks, end, None
        elif child.type == "html_inline" and (br := LINE_BREAK.match(source, at)) and not br["end"]:
            yield at, at + len(child.content), "\n"


def _mark_start(token: Token) -> int:
    """Where a mark of emphasis begins: "**" is two tokens, and the second of them becomes the opening one."""
    return token.meta["at"] - (token.type == "strong_open")


def no_emphasis(source: str, children: list[Token]) -> set[int]:
    """The ids of tokens that are emphasis in Markdown, and hardly so in plain text: 2*3*4, "(12 ha)*, (15 ha)*"."""
    found, opened = set(), []
    for child in children:
        if child.type in ("em_open", "strong_open"):
            opened.append(child)
        elif child.type in ("em_close", "strong_close"):
            opening = opened.pop()
            start, end = _mark_start(opening), child.meta["at"] + len(child.markup)
            inside, after = source[start + len(opening.markup) : child.meta["at"]], source[end : end + 1]
            is_name = opening.markup == "__" and inside.isidentifier()  # __init__
            before = source[max(0, start - 1) : start]
            if is_name or WORD.match(before) or WORD.match(after) or not FIRST_WORD.match(inside):
                found |= {id(opening), id(child)}
    return found


def _read_table(text: str, lines: list[int], tokens: list[Token]) -> Markup:
    """A pipe table: its header is a heading, each row one line with the header's words before the cells."""
    found, header = Markup([], [], []), []
    for index, token in enumerate(tokens):
        if token.type == "tr_open":
            row, position = [], lines[token.map[0]]
        elif token.type == "inline":
            raw = token.content.replace("|", r"\|")
            options = [text.find(one, position, lines[token.map[1]]) for one in (token.content, raw)]
            start = min((place for place in options if place >= 0), default=position)
            row.append((start, start + len(raw if start == options[1] else token.content), cell_text(token)))
            position = row[-1][1]
        elif token.type == "tr_close":
            line = next(t.map for t in reversed(tokens[: index + 1]) if t.type == "tr_open")
            begin, end = lines[line[0]], lines[line[0] + 1]
            if not header:
                header = [words for _, _, words in row]
                end = lines[min(line[0] + 2, len(lines) - 1)]  # with the dashes below it
                found.edits.append(Edit(begin, end, kind=HEADING))
            else:
                found.edits += row_edits(text, begin, end, header, row)
            found.rows.append((begin, end))
    return found


def cell_text(token: Token) -> str:
    """The words of a cell, without marks."""
    kinds = ("text", "text_special", "code_inline")
    return "".join(child.content for child in token.children or [] if child.type in kinds).strip()
