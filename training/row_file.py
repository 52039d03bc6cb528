"""Reads the rows of a dataset file one at a time, so that memory does not grow with the file."""

from __future__ import annotations

import codecs
import json
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_processor.dataset import check_row, with_id
from data_processor.parts import Digests
from utils import InputError, require_file

BLOCK_BYTES = 1 << 20
OPENING, SEPARATORS = re.compile(r"\s*\[?\s*", re.ASCII), re.compile(r"[\s,]*", re.ASCII)


class RowFile(Sequence):
    """A JSON list of rows, or JSON lines, on disk; memory holds only three numbers per row.

    Every row is read once at the start and checked as in `read_dataset`, and has an id as there. `more_rows` are kept in memory and follow
    those in the file.
    """

    def __init__(self, path: str | Path, what: str = "a dataset", limit: int | None = None):
        self.path = require_file(path, what, "give another file")
        self.starts, self.ends, self.numbers = array("q"), array("q"), array("q")
        self.more_rows: list[dict] = []
        seen = Digests()  # a million ids as text are what this class is there to avoid
        for number, (row, start, end) in enumerate(scan(self.path, what)):
            if number == limit:
                break
            identity = check_row(row, number, path)
            if not seen.add(identity):
                raise InputError(f"expected unique ids in {path}, found {identity!r} again in row {number}: rename one")
            self.starts.append(start)
            self.ends.append(end)
            self.numbers.append(number)
        if not self.starts:
            raise InputError(f"expected {what} as a list of examples in {path}, found an empty list: see docs/files.md")
        self._file = self.path.open("rb")

    def __len__(self) -> int:
        return len(self.starts) + len(self.more_rows)

    def __getitem__(self, index: int) -> dict:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index >= len(self.starts):
            return self.more_rows[index - len(self.starts)]
        # pread, because the workers of a DataLoader share the file and its position
        text = os.pread(self._file.fileno(), self.ends[index] - self.starts[index], self.starts[index])
        return with_id(json.loads(text), self.numbers[index])

    def __add__(self, rows: list[dict]) -> RowFile:
        joined = self.select(range(len(self.starts)))
        joined.more_rows = [*self.more_rows, *rows]
        return joined

    def select(self, indices: Sequence[int]) -> RowFile:
        """The rows at `indices`, in that order."""
        selected = object.__new__(RowFile)
        selected.path, selected.more_rows, selected._file = self.path, [], self.path.open("rb")
        selected.starts = array("q", (self.starts[index] for index in indices))
        selected.ends = array("q", (self.ends[index] for index in indices))
        selected.numbers = array("q", (self.numbers[index] for index in indices))
        return selected


def scan(path: Path, what: str) -> Iterator[tuple[object, int, int]]:
    """Each value in a JSON list or in JSON lines, with the start and end of its bytes."""
    decode, parse = codecs.getincrementaldecoder("utf-8")().decode, json.JSONDecoder().raw_decode
    with path.open("rb") as file:
        byte = 3 if file.read(3) == codecs.BOM_UTF8 else 0
        file.seek(byte)
        text, position, closing, at_end = "", 0, None, False  # text[position] is the character at `byte`
        while True:
            skipped = (OPENING if closing is None else SEPARATORS).match(text, position).end()
            if closing is None and skipped < len(text):
                closing = "]" if "[" in text[:skipped] else ""  # what must follow the last row
            byte, position = byte + skipped - position, skipped  # separators are ASCII: one byte each
            if at_end and text[position : position + 1] == closing:
                return
            try:
                value, end = parse(text, position)
            except json.JSONDecodeError as error:
                if at_end:
                    raise InputError(
                        f"expected {what} as JSON at {path}, found {error.msg} near byte {byte}: correct it"
                    ) from None
                block = file.read(BLOCK_BYTES)
                at_end = not block
                try:
                    text, position = text[position:] + decode(block, at_end), 0
                except UnicodeDecodeError as broken:
                    found = broken.object[broken.start]
                    raise InputError(
                        f"expected {what} in UTF-8 at {path}, found byte {found:#x}: save it as UTF-8"
                    ) from None
                continue
            size = len(text[position:end].encode())
            yield value, byte, byte + size
            byte, position = byte + size, end
