"""From a folder of files to clean text, with the way back to the place in the file that every character came from."""

from __future__ import annotations

import bisect
import codecs
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from utils import InputError

SUFFIXES = (".txt", ".md")
MARKS = (  # byte order marks, the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
GUESSED = ["gb18030", "big5", "shift_jis", "cp1251", "cp1252", "latin_1"]  # what text that is not Unicode may be in
NOT_TEXT = re.compile(
    r"\r(?=\n)"
    r"|[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u00ad\u200b\ufeff]"
    r"|(?<=[a-zà-ÿ])[-\u2010]\r?\n(?=[a-zà-ÿ])"  # a word divided at the end of a line
    r"|(?m:^[ \t]*(?:[-–—][ \t]*\d{1,4}[ \t]*[-–—]|(?:[Pp]age|PAGE|S\.)[ \t]*\d{1,4}(?:[ \t]*(?:of|/)[ \t]*\d{1,4})?"
    r"|\d{1,3}(?:[ \t]*/[ \t]*\d{1,4})?|第[ \t]*\d{1,4}[ \t]*页)[ \t\r]*(?:\n|\Z))"  # a page number; a year is none
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Document:
    """`file_name` is relative to the folder, `text` is cleaned; `cuts` pairs places in `text` with places in the file."""

    file_name: str
    text: str
    cuts: tuple[tuple[int, int], ...] = ((0, 0),)

    def in_file(self, start: int, end: int) -> tuple[int, int]:
        """Where a stretch of `text`, of at least one character, stands in the decoded file, in characters."""
        return self._place(start), self._place(end - 1) + 1

    def _place(self, position: int) -> int:
        here, there = self.cuts[bisect.bisect_right(self.cuts, position, key=lambda cut: cut[0]) - 1]
        return there + position - here


def read_documents(folder: str | Path) -> list[Document]:
    """All .txt and .md files below a folder, in natural order.

    A file without text, or that no encoding fits, is named and left out; InputError where nothing remains.
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
    """A file's text: by its byte order mark, as UTF-8, or in the encoding that makes most sense; None if none does."""
    from charset_normalizer import from_bytes

    data = path.read_bytes()
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return decoded(data, encoding)
    text = decoded(data, "utf-8")
    if text is not None:
        return None if "\0" in text else text
    if b"\0" in data:
        return None
    best = from_bytes(data, cp_isolation=GUESSED).best()
    if best is None:
        return None
    log.info("%s read as %s", path.name, best.encoding)
    return str(best)


def decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def clean(file_name: str, raw: str) -> Document:
    """Take out control characters, hyphens of divided words and page numbers; remember what moved where."""
    pieces, cuts, written, read = [], [], 0, 0
    for match in NOT_TEXT.finditer(raw):
        if match.start() > read:
            cuts.append((written, read))
            pieces.append(raw[read : match.start()])
            written += match.start() - read
        read = match.end()
    cuts.append((written, read))
    pieces.append(raw[read:])
    text = "".join(pieces).replace("\f", "\n").replace("\r", "\n")
    return Document(file_name, text, tuple(cuts))
