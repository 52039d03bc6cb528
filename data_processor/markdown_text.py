"""Markdown by markdown-it: which characters of a file are marks, and where its headings, paragraphs and rows of tables are."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import regex
from markdown_it import MarkdownIt
from markdown_it.token import Token

from data_processor.edits import HEADING, Edit, Markup, without_overlaps
from data_processor.html_text import read_html
from data_processor.markdown_inline import LINE_BREAK, PlacedInline, kept, marks, note_place
from data_processor.tables import RULED, read_ruled_table, row_edits

TASK_BOX = re.compile(r"\[[ xX]\][ \t]+")
MARKS_BEFORE_TEXT = re.compile(r"[>#][ \t]?|(?<=#)[ \t]+")  # those of lists stay: they tell one item from the next
BLANK_QUOTED = re.compile(r"[ \t]*>[ \t>]*$", re.MULTILINE)  # a blank line of what is quoted
NOTE_MARK = regex.compile(  # of a note itself with its colon, of one that is pointed to with the space before it
    r"(?<=^[ \t>*+-]*)\[\^[^\]\s]{1,40}\]:?[ \t]*|(?<!^[ \t>*+-]*)[ \t]?\[\^[^\]\s]{1,40}\]", regex.MULTILINE
)


@functools.cache
def parser(is_plain: bool) -> MarkdownIt:
    """For .md files, or for plain text with what people write there too: tables, quotations, headings, emphasis, links."""
    md = MarkdownIt("zero" if is_plain else "commonmark")
    md.inline = PlacedInline()
    md.inline.ruler.before("text", "note_place", note_place)
    if is_plain:
        md.configure("zero")
        md.enable(
            ["table", "fence", "blockquote", "hr", "heading", "lheading", "emphasis", "link", "image", "note_place",
             "strikethrough"]
        )  # fmt: skip
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
    rows: list[Edit] = []
    for index, token in enumerate(tokens):
        if token.map is None:
            continue
        first, last = token.map
        if token.type == "table_open":
            stop = next(i for i in range(index, len(tokens)) if tokens[i].type == "table_close")
            table = _read_table(text, lines, tokens[index:stop], is_plain)
            rows += table.edits
            found.rows += table.rows
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
        if quoted := BLANK_QUOTED.match(text, lines[number], lines[number + 1]):
            found.edits.append(Edit(*quoted.span()))
        elif (
            number not in covered
            and text[lines[number] : lines[number + 1]].strip()
            and not _is_list_mark(text, lines, number)
        ):
            found.edits.append(Edit(lines[number], lines[number + 1], "\n"))
    notes = [] if is_plain else [Edit(*mark.span()) for mark in NOTE_MARK.finditer(text, start)]
    found.edits = without_overlaps(rows, notes, found.edits)  # "[^1]" is a link too if its note is one word
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
            begin += len(line) - len(line.lstrip())
            line = line.lstrip()
            at = text.find(line, file_start, file_end)
            if at < 0:  # never seen: then the paragraph stays as it is written
                return
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
    for start, end, new in marks(token, is_plain):
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
    quoted = re.compile(r"(?:[ \t]*>[ \t]?)*").match(text, lines[under])
    if is_plain and len(text[quoted.end() : lines[under + 1]].strip()) < 3:
        found.edits += [Edit(*quoted.span())] if quoted[0] else []
        return
    found.edits.append(Edit(lines[under], lines[under + 1], "\n"))
    if not is_plain or "\n" not in token.content:
        found.headings.append((lines[first], lines[under]))


def _read_table(text: str, lines: list[int], tokens: list[Token], is_plain: bool) -> Markup:
    """A pipe table: its header is a heading, each row one line with the header's words before the cells."""
    found, header = Markup([], [], []), []
    for index, token in enumerate(tokens):
        if token.type == "tr_open":
            row, position = [], lines[token.map[0]]
        elif token.type == "inline":
            raw = token.content.replace("|", r"\|")
            options = [text.find(one, position, lines[token.map[1]]) for one in (token.content, raw)]
            start = min((place for place in options if place >= 0), default=position)
            row.append(_cell(token, start, is_plain, has_escapes=start != options[0]))
            position = start + len(raw if start == options[1] else token.content)
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


def _cell(token: Token, start: int, is_plain: bool, has_escapes: bool) -> tuple[int, int, str]:
    """Where the words of a cell that begins at `start` stand, and the words, without marks and struck text."""
    source = token.content
    words, first, last = "", 0, 0  # the words, from the first to the last place of the source that has any
    for begin, end, new in kept(source, token.children or [], is_plain):
        piece = source[begin:end] if new is None else new
        if not words.strip() and piece.strip():
            words, first = piece.lstrip(), begin + (len(piece) - len(piece.lstrip()) if new is None else 0)
        else:
            words += piece
        if piece.strip():
            last = end - (len(piece) - len(piece.rstrip()) if new is None else 0)
    if has_escapes:  # a bar within a cell is written with a backslash before it
        first, last = (place + source.count("|", 0, place) for place in (first, last))
    if not is_plain:
        words = NOTE_MARK.sub("", words)
    return start + first, start + last, " ".join(words.split())
