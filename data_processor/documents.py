"""Read a folder of files as cleaned text that can be mapped back, character by character, to the files."""

from __future__ import annotations

import bisect
import codecs
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from utils import InputError

SUFFIXES = (".txt", ".md")
BYTE_ORDER_MARKS = (  # byte order marks, the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
ENCODINGS_TO_GUESS = [
    "gb18030",
    "big5",
    "shift_jis",
    "cp1251",
    "cp1252",
    "latin_1",
]  # for text that is not Unicode
NOT_TEXT = re.compile(
    r"\r(?=\n)"
    r"|[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u200b\ufeff]|\u00ad(?![ \t]*\r?\n)"
    r"|(?m:^[ \t]*(?:[-–—][ \t]*\d{1,4}[ \t]*[-–—]|(?:[Pp]age|PAGE|S\.)[ \t]*\d{1,4}(?:[ \t]*(?:of|/)[ \t]*\d{1,4})?"
    r"|\d{1,3}(?:[ \t]*/[ \t]*\d{1,4})?|第[ \t]*\d{1,4}[ \t]*页)[ \t\r]*(?:\n|\Z))"  # a page number, but not a year
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Document:
    """`file_name` is relative to the folder, `text` is cleaned; `offsets` maps positions in `text` to positions in the file."""

    file_name: str
    text: str
    offsets: tuple[tuple[int, int], ...] = ((0, 0),)

    def to_file_offsets(self, start: int, end: int) -> tuple[int, int]:
        """Character offsets in the decoded file of a non-empty part of `text`."""
        return self._file_position(start), self._file_position(end - 1) + 1

    def _file_position(self, position: int) -> int:
        in_text, in_file = self.offsets[bisect.bisect_right(self.offsets, position, key=lambda pair: pair[0]) - 1]
        return in_file + position - in_text


def read_documents(folder: str | Path) -> list[Document]:
    """All .txt and .md files below a folder, in natural order.

    A file without text, or in no known encoding, is named and left out; InputError if nothing remains.
    """
    from natsort import natsorted

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"expected a folder of .txt files at {folder}, found {'a file' if folder.exists() else 'nothing'}: give --data_path"
        )
    names = natsorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not names:
        raise InputError(f"expected .txt files in {folder}, found none: put the documents there")
    documents, left_out = [], []
    for name in names:
        text = read_text(folder / name)
        document = None if text is None else clean(name, text)
        if document is None:
            left_out.append(f"{name} (in no known encoding: save it as UTF-8)")
        elif not document.text.strip():
            left_out.append(f"{name} (an empty file)")
        else:
            documents.append(document)
    if not documents:
        raise InputError(f"expected text in {folder}, found none: {'; '.join(left_out)}")
    for reason in left_out:
        log.warning("left out: %s", reason)
    return documents


def read_text(path: Path) -> str | None:
    """A file's text, decoded by its byte order mark, as UTF-8, or in the likeliest encoding; None if none fits."""
    from charset_normalizer import from_bytes

    data = path.read_bytes()
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return try_decode(data, encoding)
    text = try_decode(data, "utf-8")
    if text is not None:
        return None if "\0" in text else text
    if b"\0" in data:
        return None
    best = from_bytes(data, cp_isolation=ENCODINGS_TO_GUESS).best()
    if best is None:
        return None
    log.info("%s read as %s", path.name, best.encoding)
    return str(best)


def try_decode(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def clean(file_name: str, raw: str) -> Document:
    """Remove control characters and page numbers, and record how positions shift."""
    pieces, offsets, text_position, file_position = [], [], 0, 0
    for match in NOT_TEXT.finditer(raw):
        if match.start() > file_position:
            offsets.append((text_position, file_position))
            pieces.append(raw[file_position : match.start()])
            text_position += match.start() - file_position
        file_position = match.end()
    offsets.append((text_position, file_position))
    pieces.append(raw[file_position:])
    text = "".join(pieces).replace("\f", "\n").replace("\r", "\n")
    return Document(file_name, text, tuple(offsets))
