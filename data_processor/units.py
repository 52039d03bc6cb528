"""From a text to its units, each of which is asked for facts: sentences, list items, table rows, turns, lines that stand alone.

The units of work that a time budget plans in, a few of these at a time, are made in pipeline.py.

A list item that needs its lead-in ("The notice must contain:") has it as `lead_in`, a row its table's header, a turn's
later sentences the speaker.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import regex

from data_processor.delimited import cells_of
from data_processor.edits import Edited
from data_processor.line_kinds import CLOCK, PIPE, SPEAKER
from data_processor.paragraphs import SMALL, Block, is_capitals, join_lines, read_blocks
from data_processor.segmentation import ends_sentence, segment
from data_processor.titles import CAPTION, is_edition, subject_of

LONGEST_HEADING, LONGEST_HEAD = 120, 200  # characters: of a heading, of a title over several lines
MOST_HEAD_LINES = 4  # more lines than these are a list, an address or a verse
WITHOUT_STOPS = {"th": 40, "lo": 40, "km": 40, "my": 40}  # languages that need none: the longest heading there
COLON = regex.compile(r"[:：]$")
ASKED = regex.compile(r"[?？]$")
MOST_FIELDS = 8  # lines in which the subject of a mail stands, or a version above the title
# How a list item ends that is not the last.
MIDDLE = regex.compile(r"[;,；，、]$|[;,；，] ?(?:and|or|und|oder|et|ou|y|o|и|или|і|i|e)$")


@dataclass(frozen=True)
class Unit:
    """A stretch of a text, from `start` to `end` in characters, and what has to be known to understand it."""

    start: int
    end: int
    lead_in: str = ""


@dataclass(frozen=True)
class LeadIn:
    """What leads in other blocks: its text and its form, and the form of the block right below it, "" if that is plain text."""

    text: str
    form: str
    led: str


@dataclass
class Parsed:
    """A text with its lines joined and its units; `headings` and `leads` (lead-ins, headers of tables) are spans of it.

    `head` is a title over several lines, which are no heading each.
    """

    joined: Edited
    units: list[Unit] = field(default_factory=list)
    headings: list[tuple[int, int]] = field(default_factory=list)
    leads: list[tuple[int, int]] = field(default_factory=list)
    markup: list[tuple[int, int]] = field(default_factory=list)
    boilerplate: list[tuple[int, int]] = field(default_factory=list)  # what were units: see boilerplate.py
    head: str = ""
    edition: tuple[int, int] | None = None  # a version, a date or a number before the title or right below it

    @property
    def title(self) -> str:
        """The heading that the text begins with, or its head, or an empty string."""
        starts = [span[0] for span in [*self.leads, *self.headings]]
        starts += [unit.start for unit in self.units if (unit.start, unit.end) != self.edition]
        start, end = self.headings[0] if self.headings and self.headings[0][0] == min(starts) else (0, 0)
        return self.joined.text[start:end].strip("# \t") or self.head


def read_units(
    text: str, language: str, known: dict[int, str] | None = None, paragraphs: Sequence[tuple[int, int]] = ()
) -> Parsed:
    """The units of a text; its offsets are those of `joined.text`, and `joined` leads back to `text`.

    What markup told: `known` has the kind ("heading", "row") of lines by where they start, `paragraphs` (start, end) of
    paragraphs, in order.
    """
    blocks = read_blocks(text, known, paragraphs)
    parsed = Parsed(join_lines(text, blocks, language))
    markup = [block for block in blocks if block.kind == "markup"]
    parsed.markup = [_span(parsed, block) for block in markup]
    parsed.markup += [_marker(parsed, block) for block in blocks if block.kind in ("item", "turn")]
    blocks = [block for block in blocks if block.kind != "markup"]
    parsed.head = _head(parsed, blocks, language)
    ruled = {block.last.start for block in markup if block.form == "ruled"}
    lead_ins: list[LeadIn] = []  # the innermost last
    edition = _edition(parsed, blocks, language)
    parsed.edition = edition and _span(parsed, edition)
    for number, block in enumerate(blocks):
        text_of = _text(parsed, block)
        following = blocks[number + 1] if number + 1 < len(blocks) else None
        lead_ins = list(itertools.takewhile(lambda one, block=block: _still_leads(one, block), lead_ins))
        if block.kind == "row":
            if _is_header(blocks, number, ruled):
                parsed.leads.append(_span(parsed, block))
                lead_ins.append(LeadIn(text_of.strip("| \t"), "row", "row"))
            else:
                parsed.units.append(_row(parsed, block, lead_ins))
        elif block is not edition and is_heading(parsed, blocks, number, language):
            is_caption = following and following.kind == "row" and CAPTION.match(text_of)
            (parsed.leads if is_caption else parsed.headings).append(_span(parsed, block))
            lead_ins = list(itertools.takewhile(lambda one, block=block: one.led == block.form, lead_ins))
            if following and _leads(text_of, following, block, language):
                lead_ins.append(LeadIn(text_of, block.form, following.form))
        else:
            _add_sentences(parsed, block, following, lead_ins, language)
    return parsed


def _span(parsed: Parsed, block: Block) -> tuple[int, int]:
    return parsed.joined.from_source(block.lines[0].start), parsed.joined.from_source(block.last.end - 1) + 1


def _marker(parsed: Parsed, block: Block) -> tuple[int, int]:
    """What marks a list item, or the time of a turn."""
    return parsed.joined.from_source(block.lines[0].start), parsed.joined.from_source(block.lines[0].body)


def _text(parsed: Parsed, block: Block) -> str:
    return parsed.joined.text[slice(*_span(parsed, block))]


def _head(parsed: Parsed, blocks: list[Block], language: str) -> str:
    """The title in the lines that a text begins with, none of which ends a sentence, and in those that go on with them."""
    lines: list[str] = []
    fields = itertools.takewhile(lambda one: one is blocks[0] or one.adjacent, blocks[:MOST_FIELDS])
    if subject := subject_of(_text(parsed, block) for block in fields):
        return subject
    for number, block in enumerate(blocks):
        text = _text(parsed, block)
        if number and not block.adjacent and not (SMALL.match(text) and len(lines) > 1):
            return " ".join(lines).rstrip(",") if number > 1 else ""
        if block.kind == "turn" or (":" in text and lines):
            return " ".join(lines).rstrip(",")  # the sender, the date and the like
        if block.kind != "plain" or len(block.lines) > 1 or CLOCK.match(text):
            return ""
        if ends_sentence(text, language) or MIDDLE.search(text):
            return ""
        if len(lines) == MOST_HEAD_LINES or sum(map(len, lines)) + len(text) > LONGEST_HEAD:
            return ""
        if lines and not SMALL.match(text):
            lines[-1] += ","
        lines.append(text)
    return ""


def _edition(parsed: Parsed, blocks: list[Block], language: str) -> Block | None:
    """The line that tells the version, the date or the number of the text: above a heading, before any sentence.

    None if several lines do: then they may be headings, as in a list of what is new.
    """
    lines = [block for block in blocks if block.kind == "plain" and len(block.lines) == 1]
    for number, block in enumerate(blocks[:MOST_FIELDS]):
        text = _text(parsed, block)
        if len(block.lines) > 1 or ends_sentence(text, language) or number + 1 == len(blocks):
            return None
        if block.kind == "plain" and is_edition(text) and is_heading(parsed, blocks, number + 1, language):
            return None if any(is_edition(_text(parsed, one)) for one in lines if one is not block) else block
    return None


def _still_leads(one: LeadIn, block: Block) -> bool:
    """Whether a lead-in holds for this block: for what follows in the list, not for the next item of its own form."""
    if one.form == "row":
        return block.kind == "row"
    if block.kind == "plain":
        return block.adjacent and one.led == ""  # text below a list has nothing to do with what leads in the list
    return block.kind in ("item", "row") and block.form != one.form


def _leads(text: str, following: Block, block: Block, language: str) -> bool:
    """Whether a block leads in what follows: it ends with a colon, or is a heading right above items that are no sentences."""
    if COLON.search(text):
        return following.kind in ("item", "row") or (following.adjacent and len(following.lines) == 1)
    if following.kind != "item" or not following.adjacent or following.form == block.form:
        return False
    return not ends_sentence(following.last.text, language)


def _is_header(blocks: list[Block], number: int, ruled: set[int]) -> bool:
    """Whether a row is the first of its table and names the columns: a rule stands below, or only the others have digits."""
    if blocks[number].form == "header":
        return True
    if blocks[number].form == "known" or (number and blocks[number - 1].kind == "row" and blocks[number].adjacent):
        return False
    others = []
    for block in blocks[number + 1 :]:
        if block.kind != "row" or not block.adjacent:
            break
        others.append(block)
    if not others:
        return False
    row = blocks[number].last
    below = [start for start in ruled if row.end < start < others[0].lines[0].start]
    digits = [bool(regex.search(r"\d", block.last.text)) for block in (blocks[number], *others)]
    return bool(below) or (not digits[0] and all(digits[1:]))


def _row(parsed: Parsed, block: Block, lead_ins: list[LeadIn]) -> Unit:
    start, end = _span(parsed, block)
    text = parsed.joined.text[start:end]
    start, end = start + len(text) - len(text.lstrip("| \t")), end - (len(text) - len(text.rstrip("| \t")))
    return Unit(start, max(start, end), block.last.lead or (lead_ins[-1].text if lead_ins else ""))


def is_heading(parsed: Parsed, blocks: list[Block], number: int, language: str) -> bool:
    """Whether a block is a heading: one line without an end mark, which something follows."""
    block, text = blocks[number], _text(parsed, blocks[number])
    if block.kind == "heading":
        return True
    longest = min(LONGEST_HEADING, WITHOUT_STOPS.get(language, LONGEST_HEADING))
    if len(block.lines) > 1 or len(text) > longest or number + 1 == len(blocks):
        return False
    following, before = blocks[number + 1], blocks[number - 1] if number else None
    if block.kind == "item":
        beside = [other for other in (following, before) if other and other.kind == "item" and other.form == block.form]
        return block.form.isalpha() and not (beside or ends_sentence(text, language) or MIDDLE.search(text))
    if block.kind != "plain" or not regex.search(r"\p{L}", text):
        return False  # a number that stands alone is a value
    if before and before.kind == "heading" and regex.search(r"\d", text):
        return False  # below a title: a version, a date, a number of the document
    if is_capitals(text) and len(segment(text, language)) == 1 and not following.adjacent and not block.adjacent:
        return True
    if ends_sentence(text, language):
        words = regex.findall(r"\p{L}{4,}", text)
        return (
            bool(ASKED.search(text))
            and not following.adjacent
            and len(words) > 1
            and all(w[0].isupper() for w in words)
        )
    if following.kind == "plain" and following.adjacent and SMALL.match(following.lines[0].text):
        return False  # a sentence goes on there
    if MIDDLE.search(text) or len(segment(text, language)) > 1:
        return False

    def is_bare(other: Block) -> bool:
        return other.kind == "plain" and len(other.lines) == 1 and not ends_sentence(other.last.text, language)

    return not ((following.adjacent and is_bare(following)) or (before and block.adjacent and is_bare(before)))


def _add_sentences(
    parsed: Parsed, block: Block, following: Block | None, lead_ins: list[LeadIn], language: str
) -> None:
    """Units from the sentences of a block, but for one that leads in what follows."""
    end = _span(parsed, block)[1]
    start = parsed.joined.from_source(block.lines[0].body)
    spans = [(start + s, start + e) for s, e in segment(parsed.joined.text[start:end], language)]
    lead_in = lead_ins[-1].text if lead_ins else ""
    text = parsed.joined.text
    if spans and following and COLON.search(text[start:end]) and _leads(text[start:end], following, block, language):
        leading = spans.pop()
        parsed.leads.append(leading)
        lead_ins.append(LeadIn(text[slice(*leading)], block.form, following.form))
    speaker = SPEAKER.match(text[start:end]) if block.form == "speaker" else None
    for number, (first, last) in enumerate(spans):
        said_by = speaker.group().strip() if speaker and number else ""
        needs = block.kind in ("item", "plain") and number == 0
        parsed.units.append(Unit(first, last, said_by or (lead_in if needs else "")))


def with_lead_in(lead_in: str, text: str) -> str:
    """A unit's text so that it stands without its lead-in: "Duties of the tenant: repaint the door", "built: 1931"."""
    if not lead_in:
        return text
    parted = ";；,，" if not COLON.search(lead_in) else ""  # "The notice must contain, in writing:" names no columns
    for cells in (
        PIPE.split,
        lambda row: regex.split(r"\t+| {2,}|\u3000+", row),
        *(functools.partial(cells_of, mark=mark) for mark in parted),
    ):
        names, values = ([cell.strip() for cell in cells(row)] for row in (lead_in, text))
        if len(names) == len(values) > 1:
            return "; ".join(
                f"{name}: {value}" if name else value for name, value in zip(names, values, strict=True) if value
            )
    return f"{lead_in}{'' if lead_in.endswith('：') else ' '}{text}"
