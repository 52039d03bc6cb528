"""Read a folder of files as cleaned text that can be mapped back, character by character, to the files."""

from __future__ import annotations

import bisect
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_processor.characters import ONE_FOR_ONE, fold, foldings, furniture
from data_processor.conversion import FOLDER, LIBRARIES, convert, kept_file
from data_processor.edits import Edit, apply_edits, spans_of, without_overlaps
from data_processor.encodings import Decoded, decode
from data_processor.folder import SUFFIXES, find_files
from data_processor.markup import read_markup
from data_processor.pages import over_pages, page_edits, running_line
from data_processor.parts import Spool
from utils import InputError, log_file, write_text

SHOWN = 5  # files that a line names of those left out for one reason
EMPTY = "an empty file"
NO_TEXT = "nothing but markup and page numbers"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Document:
    """`file_name` is relative to the folder; `text` is cleaned, and without markup.

    `offsets` maps positions in `text` to positions in the decoded file; `replaced` has (start, end) in `text` and
    (start, end) in the file of each stretch that is written otherwise there. `spans` are (start, end, kind) in the file,
    in order and without gaps, kind one of "text", "heading", "markup" (code and comments too), "metadata", "boilerplate"
    and "not read". `headings`, `rows` (of tables) and `paragraphs` are (start, end) in `text`, as far as markup tells
    them; the lines of a paragraph are joined, up to a forced break, after which another begins. `title` comes from front matter, <title> or the first such heading, "" if there is none, `running` from the head or foot of its pages. `metadata` is the front matter.
    """

    file_name: str
    text: str
    offsets: tuple[tuple[int, int], ...] = ((0, 0),)
    replaced: tuple[tuple[int, int, int, int], ...] = ()
    spans: tuple[tuple[int, int, str], ...] = ()
    headings: tuple[tuple[int, int], ...] = ()
    rows: tuple[tuple[int, int], ...] = ()
    paragraphs: tuple[tuple[int, int], ...] = ()
    title: str = ""
    running: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_file_offsets(self, start: int, end: int) -> tuple[int, int]:
        """Character offsets in the decoded file of a non-empty part of `text`."""
        return self._in_file(start)[0], self._in_file(end - 1)[1]

    def to_text_offset(self, place: int) -> int:
        """The first position in `text` whose character stands at `place` of the file or after it."""
        positions = range(len(self.text))
        return bisect.bisect_left(positions, place, key=lambda position: self._in_file(position)[0])

    def _in_file(self, position: int) -> tuple[int, int]:
        """Start and end in the file of what the character at `position` of `text` stands for."""
        index = bisect.bisect_right(self.replaced, position, key=lambda stretch: stretch[0]) - 1
        if index >= 0 and position < self.replaced[index][1]:
            return self.replaced[index][2:]
        in_text, in_file = self.offsets[bisect.bisect_right(self.offsets, position, key=lambda pair: pair[0]) - 1]
        place = in_file + position - in_text
        return place, place + 1


def read_documents(folder: str | Path, out: str | Path | None = None) -> Sequence[Document]:
    """All documents below a folder, in natural order; what is not read is told in a line of the log for each reason.

    In the run's folder `out` the texts of PDF and Word files are kept, and log/left_out.json has every file that is not
    read, with its reason. InputError if nothing remains.
    """
    documents, left_out = read_folder(folder, out)
    told = [f"{names} ({reason})" for reason, names in name_by_reason(left_out).items()]
    if not documents:
        kinds = ", ".join(SUFFIXES)
        raise InputError(
            f"expected text in {folder}, found none{': ' + '; '.join(told) if told else ''}: "
            f"put the documents there, as files of the kinds {kinds}, text in UTF-8"
        )
    for line in told:
        log.warning("left out: %s", line)
    if out and left_out:
        write_text(log_file(Path(out) / "left_out.json"), json.dumps(left_out, ensure_ascii=False, indent=1) + "\n")
    return documents


def name_by_reason(left_out: dict[str, str]) -> dict[str, str]:
    """The first files left out for each reason, and how many more there are: "a.png, b.png and 7 more"."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        by_reason.setdefault(reason, []).append(name)
    return {
        reason: ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
        for reason, names in by_reason.items()
    }


def read_folder(folder: str | Path, out: str | Path | None = None) -> tuple[Sequence[Document], dict[str, str]]:
    """The documents below a folder, and the reason for each file that is none; `out` as for read_documents."""
    from natsort import natsorted

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"expected a folder of documents at {folder}, found {'a file' if folder.exists() else 'nothing'}: give --data_path"
        )
    files = find_files(folder)
    documents, left_out = Spool(), dict(files.left_out)
    own = os.path.relpath(Path(out) / FOLDER, folder) if out else None  # where `out` is within the folder
    for name in files.names:
        if own and name.startswith(f"{own}/"):
            continue
        decoded = read_file(folder / name, kept_file(out, name))
        if decoded.text is None:
            left_out[name] = decoded.reason
            continue
        warn(name, decoded)
        document = clean(name, decoded.text)
        if document.text.strip():
            documents.append(document)
        else:
            left_out[name] = NO_TEXT if decoded.text.strip("\ufeff\x00 \t\r\n") else EMPTY
    return documents, {name: left_out[name] for name in natsorted(left_out)}


def read_file(path: Path, kept: Path | None = None) -> Decoded:
    """A file's text, of a PDF or Word file the text it is converted to, which is kept in the file `kept`."""
    try:
        if path.suffix.lower() in LIBRARIES:
            text, reason = convert(path, kept)
            return Decoded(text, reason=reason)
        return decode(path.read_bytes())
    except OSError as error:
        return Decoded(None, reason=f"it cannot be opened: {error.strerror}")


def read_text(path: Path, kept: Path | None = None) -> str | None:
    """A file's text as it is, in whatever encoding, or as for read_file; None if it has none."""
    return read_file(path, kept).text


def warn(name: str, decoded: Decoded) -> None:
    """Log what was repaired or guessed in a file, and what an earlier program broke in it."""
    from ftfy.badness import is_bad

    if decoded.remark:
        log.log(
            logging.INFO if decoded.remark.startswith("read as") else logging.WARNING, "%s: %s", name, decoded.remark
        )
    broken = next((line.strip() for line in decoded.text.splitlines() if is_bad(line)), None)
    if broken is not None:
        log.warning("%s: an earlier program read this text in the wrong encoding (%.60s): save it anew", name, broken)


def clean(file_name: str, raw: str) -> Document:
    """A document from a file's text: markup, page numbers and control characters out, NFC, and how positions shift."""
    flat = raw.replace("\r\n", " \n").replace("\r", "\n").replace("\0", "\ufffd")  # as the parsers have it
    markup = read_markup(file_name, flat)
    marks = [edit for edit in markup.edits if edit.start < edit.end or edit.text]
    breaks = page_edits(flat, sorted(markup.rows), bool(markup.paragraphs))
    marks = [edit for edit in marks if not _is_within(edit, breaks)]
    edits = without_overlaps(
        [Edit(edit.start, edit.end, fold(edit.text), edit.kind) for edit in marks],
        _between(marks, breaks) + furniture(flat),
        foldings(raw),
    )
    edited = apply_edits(raw, edits)
    document = Document(
        file_name,
        edited.text.translate(ONE_FOR_ONE),
        edited.offsets,
        edited.replaced,
        spans_of(len(raw), edits, markup.headings),
        title=fold(markup.title),
        running=fold(running_line(flat[edit.start : edit.end] for edit in breaks)),
        metadata=markup.metadata or {},
    )
    told = {
        "headings": markup.headings,
        "rows": markup.rows,
        "paragraphs": [*markup.paragraphs, *over_pages(edits)],
    }
    return Document(**{**vars(document), **{name: _in_text(document, spans) for name, spans in told.items()}})


def _is_within(edit: Edit, breaks: list[Edit]) -> bool:
    """Whether an edit is in what is taken out between two pages, as a rule above the foot is."""
    number = bisect.bisect_right(breaks, edit.start, key=lambda one: one.start) - 1
    return number >= 0 and edit.start < breaks[number].end and edit.end <= breaks[number].end


def _between(marks: list[Edit], breaks: list[Edit]) -> list[Edit]:
    """Breaks as far as no mark reaches into them, as a rule does with the end of its line."""
    marks = sorted(marks, key=lambda mark: mark.start)
    clear = []
    for edit in breaks:
        before = bisect.bisect_left(marks, edit.start, key=lambda mark: mark.start)
        start = max([edit.start, *(mark.end for mark in marks[max(0, before - 1) : before])])
        if edit.start < start < edit.end:
            edit = replace(edit, start=start, text="")
        clear.append(edit)
    return clear


def _in_text(document: Document, spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Spans of the file as spans of the text, without those of which nothing is left, or only space."""
    found = []
    for start, end in sorted(spans):
        first, last = document.to_text_offset(start), document.to_text_offset(end)
        words = document.text[first:last]
        if words.strip():
            first += len(words) - len(words.lstrip())
            found.append((first, first + len(words.strip())))
    return tuple(found)
