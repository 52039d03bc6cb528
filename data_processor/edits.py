"""What is taken out of a text or replaced in it, applied so that every place can be found again in the text before."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

TEXT, HEADING, MARKUP, METADATA, BOILERPLATE, NOT_READ = (
    "text", "heading", "markup", "metadata", "boilerplate", "not read",
)  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """`text` takes the place of the file's characters `start` to `end`, which were of this `kind`."""

    start: int
    end: int
    text: str = ""
    kind: str = MARKUP


@dataclass
class Markup:
    """What a reader of markup found: edits and headings in offsets of the file, rows of tables, title and metadata.

    `paragraphs` are stretches of the file whose lines are one paragraph; one that ends at a forced break ends there.
    """

    edits: list[Edit]
    headings: list[tuple[int, int]]
    rows: list[tuple[int, int]]
    title: str = ""
    metadata: dict | None = None
    paragraphs: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Edited:
    """A text after its edits, with the way back to the source, which is the text before them.

    `offsets` has a pair (offset in `text`, offset in the source) where each stretch begins, `replaced` (start, end) in `text`
    and (start, end) in the source of each stretch that an edit put in.
    """

    text: str
    offsets: tuple[tuple[int, int], ...]
    replaced: tuple[tuple[int, int, int, int], ...]

    def to_source(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of `text` that is not empty stands in the source."""
        return to_source(self.offsets, start, end)

    def from_source(self, position: int) -> int:
        """The place in `text` of a character of the source that was kept."""
        here, there = self.offsets[bisect.bisect_right(self.offsets, position, key=lambda pair: pair[1]) - 1]
        return here + position - there


def to_source(offsets: tuple[tuple[int, int], ...], start: int, end: int) -> tuple[int, int]:
    """Where a part, not empty, of an edited text stands in the source; `offsets` as in Edited."""

    def before(position: int) -> int:
        here, there = offsets[bisect.bisect_right(offsets, position, key=lambda pair: pair[0]) - 1]
        return there + position - here

    return before(start), before(end - 1) + 1


def without_overlaps(*layers: Iterable[Edit]) -> list[Edit]:
    """The edits of all layers in order of place; of two that overlap, the one of the earlier layer stays."""
    kept: list[Edit] = []
    for layer in layers:
        merged, old = [], iter(kept)
        current = next(old, None)
        for edit in sorted(layer, key=lambda one: (one.start, one.end)):
            while current is not None and current.end <= edit.start:
                merged.append(current)
                current = next(old, None)
            clear_of_last = not merged or merged[-1].end <= edit.start
            if clear_of_last and (current is None or edit.end <= current.start):
                merged.append(edit)
        kept = merged + ([current] if current is not None else []) + list(old)
    return kept


def apply_edits(raw: str, edits: list[Edit]) -> Edited:
    """`raw` with sorted edits that do not overlap."""
    pieces, offsets, replaced, in_text, in_file = [], [], [], 0, 0
    for edit in [*edits, Edit(len(raw), len(raw))]:
        if edit.start > in_file:
            offsets.append((in_text, in_file))
            pieces.append(raw[in_file : edit.start])
            in_text += edit.start - in_file
        if edit.text:
            offsets.append((in_text, edit.start))
            replaced.append((in_text, in_text + len(edit.text), edit.start, edit.end))
            pieces.append(edit.text)
            in_text += len(edit.text)
        in_file = edit.end
    return Edited("".join(pieces), tuple(offsets) or ((0, 0),), tuple(replaced))


def spans_of(length: int, edits: list[Edit], headings: list[tuple[int, int]]) -> tuple[tuple[int, int, str], ...]:
    """(start, end, kind) of all `length` characters of a file, in order and without gaps; neighbours differ in kind."""
    headings = sorted(headings)
    borders = sorted({place for span in headings for place in span})
    spans: list[tuple[int, int, str]] = []

    def add(start: int, end: int, kind: str) -> None:
        if start >= end:
            return
        if spans and spans[-1][2] == kind:
            start = spans.pop()[0]
        spans.append((start, end, kind))

    def add_text(start: int, end: int) -> None:
        """A stretch that was read, cut where headings begin and end."""
        inside = borders[bisect.bisect_right(borders, start) : bisect.bisect_left(borders, end)]
        for first, last in itertools.pairwise([start, *inside, end]):
            index = bisect.bisect_right(headings, first, key=lambda span: span[0]) - 1
            add(first, last, HEADING if index >= 0 and last <= headings[index][1] else TEXT)

    position = 0
    for edit in edits:
        add_text(position, edit.start)
        if edit.kind == TEXT:
            add_text(edit.start, edit.end)
        else:
            add(edit.start, edit.end, edit.kind)
        position = edit.end
    add_text(position, length)
    return tuple(spans)
