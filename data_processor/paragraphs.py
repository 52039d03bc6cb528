"""Blocks of a text: paragraphs, headings, list items, table rows, turns; and the text with the lines of each block joined.

Whether a line was wrapped is seen from its length (the next word would not have fitted), from sentences that run on over
its end, and from small letters; short lines, verses and addresses stay apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import regex

from data_processor import hyphens
from data_processor.edits import Edit, Edited, apply_edits
from data_processor.line_kinds import OPEN_ENDED, Line, columns_of, read_lines

NARROW = 45  # columns: shorter lines are wrapped only if more speaks for it
WIDE = 125  # characters: a longer line is a paragraph
NARROWEST = 26  # columns
NARROW_SENTENCE = 40  # columns: in a shorter line a stop may well be an abbreviation's ("Sra. Cordero")
NEARLY = 0.8  # of the width: a line so long goes on in the next, even if the next word would just have fitted
UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\u3000-\u303f\uff00-\uffef]")
CLOSING = regex.compile(r"[,.:;!?，。、：；！？）」』”》)\]]*")
RUN_ON = regex.compile(  # a sentence that begins within the line and does not end there
    r"\S\S[.!?…][\"'”’»)]*\s+[\"'“„«(¿¡]*[\p{Lu}\p{Lo}][^.!?…]*$|[।؟][ \t]+\S[^।؟]*$|[。！？][”」』）]*[^。！？”」』）\s][^。！？]*$"
)
BROKEN = regex.compile(rf"{hyphens.HYPHEN.pattern}|\s[–—-]$")  # a hyphen or a dash at the end
ABBREVIATED = regex.compile(  # the line ends with what goes with a name or a number after it
    r"(?<!\p{L})(?:Dr|Prof|Hrn?|Fa|Nrn?|Abs|Ziff|Mrs?|Ms|Mme|Mlle|Fig|[vV]gl|cf|bzw|ca|z\. ?B|d\. ?h|e\.g|i\.e)\.$|§$"
)
HAN_SPACES = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}] [\p{L}\p{N}(（“《]|[\p{L}\p{N})）”》] [\p{Han}\p{Hiragana}\p{Katakana}]"
)
HAN_HAN_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}] [\p{Han}\p{Hiragana}\p{Katakana}]")
HALVES = regex.compile(r"[，。、；：！？（(“《「『]$|^[（“《「『]")  # marks that may not begin or end a line
LINES_OF_SENTENCE = 3  # short lines, beside the first, that a sentence may go over
# the end of a line of verse or of a list, or of a sentence
HELD = regex.compile(r"[,.:;!?…，。、：；！？؟।]['\"”’»)」』）\]]*$")
ENDS_WITHIN = regex.compile(  # in mid-line, not after an abbreviation: "ul. Młyńska"
    r"[.!?…]['\"”’»)\]]*$|(?<=\p{L}{4}|\d{4}|['\"”’»)])[.!?…]['\"”’»)\]]*\s+[\"'“„«(¿¡]*\p{Lu}"
)
SMALL = regex.compile(r"[\"'“„«(—–-]*\s?\p{Ll}")


@dataclass
class Block:
    """Lines that belong together. Kinds: plain, heading, item, row, turn, cue, markup; `adjacent`: no blank line before it."""

    kind: str
    lines: list[Line] = field(default_factory=list)
    adjacent: bool = False

    @property
    def form(self) -> str:
        return self.lines[0].form

    @property
    def last(self) -> Line:
        return self.lines[-1]


def read_blocks(
    text: str, known: dict[int, str] | None = None, paragraphs: Sequence[tuple[int, int]] = ()
) -> list[Block]:
    """The blocks of a text, in order, without blank lines; what markup told is as for read_lines."""
    stretches = split_stretches(read_lines(text, known, paragraphs))
    usual = usual_width(stretches)
    blocks: list[Block] = []
    for stretch in stretches:
        blocks += cut_stretch(stretch, usual)
    return merge_cues(blocks)


def split_stretches(lines: list[Line]) -> list[list[Line]]:
    """Lines without a blank one between them, but for one that a mark within a paragraph has left."""
    stretches: list[list[Line]] = [[]]
    for line in lines:
        if line.kind != "blank":
            stretches[-1].append(line)
        elif stretches[-1] and line.joint != "on":
            stretches.append([])
    return [stretch for stretch in stretches if stretch]


def usual_width(stretches: list[list[Line]]) -> int:
    """The width in columns at which the wrapped paragraphs of a text end, 0 if it has none of three lines."""
    widths = []
    for stretch in stretches:
        if len(stretch) > 2 and all(line.kind == "plain" for line in stretch):
            width = max(line.width for line in stretch)
            if is_wrapped(stretch, width):
                widths.append(width)
    return int(median(widths)) if widths else 0


def cut_stretch(lines: list[Line], usual: int) -> list[Block]:
    """The blocks of lines that no blank line parts."""
    demote(lines)
    blocks: list[Block] = []
    for run in runs(lines):
        width, longest = max(line.width for line in run), max(len(line.text) + line.indent for line in run)
        if len(run) < 4 or width > NEARLY * usual:
            width = max(width, usual)
        wrapped = is_wrapped(run, width)
        for number, line in enumerate(run):
            block = blocks[-1] if blocks else None
            if block and number and (ends_in(block, run[number:]) or goes_on(block, line, wrapped, width, longest)):
                block.lines.append(line)
            else:
                blocks.append(Block(line.kind, [line], adjacent=bool(blocks)))
    return blocks


def demote(lines: list[Line]) -> None:
    """A marker at the beginning of a line in wrapped text is none: "am / 1. Juni 1976", "a gift / - the first - of"."""
    width = max(line.width for line in lines)
    form, item = "", None  # of the item that the lines above belong to, and that one
    for before, line in itertools.pairwise(lines):
        form, item = (before.form, before) if before.kind != "plain" else (form, item)
        if item and line.kind == "item" and line.form == form and is_reference(item, before, line, width):
            line.kind, line.form, line.body = "plain", "", line.start
        if line.kind in ("item", "turn") and line.form != form and before.kind in ("plain", "item", "turn"):
            alone = sum(other.form == line.form for other in lines) == 1 and (
                form.isalpha() or line.form.isalpha() or not form
            )
            long = alone and width >= NARROWEST and before.width >= NEARLY * width
            if not OPEN_ENDED.search(before.text) and (long or runs_on(before, width)):
                line.kind, line.form, line.body = "plain", "", line.start


def is_reference(item: Line, before: Line, line: Line, width: int) -> bool:
    """Whether the number that a line begins with is pointed to by the line before: "2.4 Section / 4.2 remains unaffected".

    That line is full and ends no sentence, and two things more speak for it.
    """
    full = width >= NARROWEST and before.width >= NEARLY * width and not OPEN_ENDED.search(before.text)
    if not full or line.form not in ("decimal", "number") or SMALL.match(item.own):
        return False
    counted = counts_on(
        *(tuple(map(int, regex.findall(r"\d+", one.text[: one.body - one.start]))) for one in (item, line))
    )
    return (not counted) + bool(SMALL.match(line.own)) + runs_on(before, width) >= 2


def counts_on(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether a number may come after another one in a text: 2.5, 2.4.1, 3 and 3.1 after 2.4."""
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    step = other[same] - (*one, 0)[same] if same < len(other) else 0
    return step == 1 and set(other[same + 1 :]) <= {1}


def runs(lines: list[Line]) -> list[list[Line]]:
    """Each line that is marked, or the first, with the plain lines (of a cue: its lines) after it."""
    found: list[list[Line]] = []
    for line in lines:
        before = found[-1][-1] if found else None
        after_text = before is not None and before.kind in ("plain", "item", "turn")
        if before is not None and ((line.kind == "plain" and after_text) or (line.kind == before.kind == "cue")):
            found[-1].append(line)
        else:
            found.append([line])
    return found


def is_wrapped(run: list[Line], width: int) -> bool:
    """Whether lines are wrapped prose rather than verses, an address or a list: see the head of this file."""
    if len(run) < 2 or (width < NARROWEST and not any(BROKEN.search(line.text) for line in run[:-1])):
        return False
    breaks = list(itertools.pairwise(run))
    signs = sum(runs_on(a, width) or (a.flowed and bool(SMALL.match(b.text))) for a, b in breaks)
    indented = run[0].kind == "plain" and run[0].indent >= run[1].indent + 2
    longest = max(len(line.text) + line.indent for line in run)
    full = [is_full(a, b, width, longest) for a, b in breaks]
    open_breaks = [(a, b, f) for (a, b), f in zip(breaks, full, strict=True) if not OPEN_ENDED.search(a.text)]
    good = sum(f or (bool(SMALL.match(b.text)) and a.width >= 0.7 * width) for a, b, f in open_breaks)
    bad = sum(not (f or SMALL.match(b.text) or runs_on(a, width)) and a.width >= width / 2 for a, b, f in open_breaks)
    if signs or indented:
        return signs + good + indented > bad
    if width < NARROW:
        return len(breaks) > 2 and all(full) and any(SMALL.match(b.text) for _, b in breaks)
    capitals = all(regex.match(r"\P{L}*\p{Lu}", b.text) for _, b in breaks)
    if capitals and len(breaks) > 2 and width < 60 and len(open_breaks) > len(breaks) / 2:
        return False  # verses
    return good > 2 * bad or all(full)


def runs_on(line: Line, width: int) -> bool:
    """Whether a word, or a sentence that begins within the line, goes on in the next."""
    wide = width >= NARROW_SENTENCE or UNSPACED.search(line.text)
    return bool(BROKEN.search(line.text) or ABBREVIATED.search(line.text) or (wide and RUN_ON.search(line.own)))


def is_full(a: Line, b: Line, width: int, characters: int, whole_words: bool = True) -> bool:
    """Whether the first word of line `b` would not have fitted on line `a`, in columns or in characters.

    Chinese and its like may have been cut anywhere, or (`whole_words`) at their rare spaces.
    """
    word = b.text.split(maxsplit=1)[0]
    if UNSPACED.match(b.text):
        first = b.text[: CLOSING.match(b.text, 1).end()]
        if a.width + columns_of(first) > width or len(a.text) + a.indent + len(first) > characters:
            return True
        return whole_words and a.width + columns_of(word) > width and a.width >= width / 4
    return a.width + 1 + columns_of(word) > width or len(a.text) + a.indent + 1 + len(word) > characters


def is_capitals(text: str) -> bool:
    """Whether all letters are capitals, as in some headings."""
    return text.isupper() and not regex.search(r"\p{Lo}", text)


def ends_in(block: Block, lines: list[Line]) -> bool:
    """Whether a sentence that begins in the block, and does not end there, ends in lines that begin with small letters.

    In a block of several lines, which is prose, one that begins within its last line goes on too.
    """
    if block.kind not in ("plain", "item", "turn") or SMALL.match(block.lines[0].own):
        return False
    above = block.last
    if len(block.lines) > 1 and lines[0].kind == "plain" and lines[0].joint != "break" and RUN_ON.search(above.own):
        return True
    for line in lines[:LINES_OF_SENTENCE]:
        if line.kind != "plain" or HELD.search(above.text) or not SMALL.match(line.text):
            return False
        if ENDS_WITHIN.search(line.text):
            return True
        above = line
    return False


def goes_on(block: Block, line: Line, wrapped: bool, width: int, longest: int) -> bool:
    """Whether a line belongs to the block above it."""
    first, a = block.lines[0], block.last
    if line.kind == "cue":
        return True
    if block.kind not in ("plain", "item", "turn"):
        return False
    if line.joint:
        return line.joint == "on"
    small = bool(SMALL.match(line.text))
    if block.kind != "plain" and line.indent > first.indent:
        return True
    if line.indent >= a.indent + 2 and (block.kind == "plain" or len(block.lines) > 1):
        return False  # a new paragraph
    if 2 * (a.indent - line.indent) > width:
        return False  # the line above is set to the right: a second column, a date, a signature
    if len(a.text) > WIDE or len(line.text) > WIDE:
        return small and not OPEN_ENDED.search(a.text)
    if not wrapped or (is_capitals(a.text) and not is_capitals(line.text)):
        return False
    if runs_on(a, width):
        return True
    if is_full(a, line, width, longest) and a.width >= width * (0.25 if UNSPACED.match(line.text) else 0.5):
        return True
    if OPEN_ENDED.search(a.text):
        return small and not regex.search(r"[:;：；]$", a.text)
    return small or len(block.lines) > 1 or a.width >= NEARLY * width


def merge_cues(blocks: list[Block]) -> list[Block]:
    """A cue that ends in mid-sentence goes on in the next."""
    merged: list[Block] = []
    open_cue: Block | None = None
    for block in blocks:
        if block.kind == "cue":
            if open_cue is not None:
                open_cue.lines += block.lines
            else:
                merged.append(block)
                open_cue = block
            open_cue = None if OPEN_ENDED.search(block.last.text) else open_cue
        else:
            merged.append(block)
            open_cue = open_cue if block.kind == "markup" else None
    return merged


def join_lines(text: str, blocks: list[Block], language: str) -> Edited:
    """The text with the lines of each block joined."""
    chinese = "" if text.isascii() else text  # what may be
    spaces = {False: HAN_SPACES.search(chinese), True: HAN_HAN_SPACES.search(chinese)}  # by whether both sides are
    edits = []
    for block in blocks:
        width, longest = max(line.width for line in block.lines), max(len(line.text) for line in block.lines)
        for a, b in zip(block.lines, block.lines[1:], strict=False):
            mended = hyphens.mend(a.text, b.text, language, text)
            if mended is not None:
                edits.append(Edit(a.end - 1, b.start, mended))
            elif not (UNSPACED.match(a.text[-1]) or UNSPACED.match(b.text[0])):
                edits.append(Edit(a.end, b.start, " "))
            else:
                hung = 1 if HALVES.search(f"{a.text[-1]}{b.text[0]}") else 0
                short = spaces[all(map(UNSPACED.match, (a.text[-1], b.text[0])))] and not is_full(
                    a, b, width - 2 * hung, longest - hung, whole_words=False
                )
                edits.append(Edit(a.end, b.start, " " if short else ""))
    return apply_edits(text, sorted(edits, key=lambda edit: edit.start))
