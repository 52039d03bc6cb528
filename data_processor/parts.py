"""A big folder in parts: which documents are collected together, and what is kept of the parts before.

What must not stay in memory is on disk (Spool), and of texts that must not come again there is a digest each (Digests).
"""

from __future__ import annotations

import hashlib
import pickle
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MEMORY_BYTES = 1 << 24  # that a spool holds before it goes to disk
FIRST_SLOTS = 1 << 10
Item = TypeVar("Item")


class Spool(Sequence, Generic[Item]):
    """Objects in the order in which they are added; beyond MEMORY_BYTES they are in a temporary file, which nobody else sees."""

    def __init__(self, items: Iterable[Item] = ()):
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115
        self._ends = array("q", [0])
        self.extend(items)

    def append(self, item: Item) -> None:
        self.extend((item,))

    def extend(self, items: Iterable[Item]) -> None:
        self._file.seek(self._ends[-1])
        for item in items:
            self._ends.append(self._ends[-1] + self._file.write(pickle.dumps(item, pickle.HIGHEST_PROTOCOL)))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        self._file.seek(self._ends[number])
        return pickle.loads(self._file.read(self._ends[number + 1] - self._ends[number]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None


class Digests:
    """A set of texts, in 16 to 32 bytes each, since eight bytes of a text's hash stand for it.

    Of 10^7 texts one is taken for another with a probability of 3 in 10^6. Open addressing with linear probing, at most half
    full.
    """

    def __init__(self) -> None:
        self._slots = array("Q", [0]) * FIRST_SLOTS
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, text: str) -> bool:
        return self._slots[self._place(digest(text))] != 0

    def add(self, text: str) -> bool:
        """Remember a text; whether it is new."""
        key = digest(text)
        place = self._place(key)
        if self._slots[place]:
            return False
        self._slots[place] = key
        self._count += 1
        if 2 * self._count > len(self._slots):
            self._grow()
        return True

    def _place(self, key: int) -> int:
        """Where a digest is, or would be."""
        slots, last = self._slots, len(self._slots) - 1
        place = key & last
        while slots[place] not in (0, key):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", [0]) * (2 * len(old))
        for key in filter(None, old):
            self._slots[self._place(key)] = key


@dataclass
class RowsBefore:
    """The rows of the parts before: how many ids they took, and what must not come again in a later part."""

    ids: int = 0
    pairs: Digests = field(default_factory=Digests)  # of a question and its answer
    asked: Digests = field(default_factory=Digests)  # questions in training, without those of passages
    tested: Digests = field(default_factory=Digests)  # test questions

    def add(self, rows: list[dict], test: list[dict]) -> None:
        for row in rows:
            self.pairs.add(pair_of(row))
            if row["kind"] != "passage":
                self.asked.add(question_of(row))
        for row in test:
            self.pairs.add(pair_of(row))
            self.tested.add(question_of(row))

    def keep_apart(self, rows: list[dict], test: list[dict]) -> tuple[list[dict], list[dict]]:
        """The rows without the test questions of earlier parts, and the test without what is trained in those."""
        return (
            [row for row in rows if question_of(row) not in self.tested],
            [row for row in test if question_of(row) not in self.asked],
        )


def question_of(row: dict) -> str:
    return row["conversations"][0]["value"]


def pair_of(row: dict) -> str:
    """The question and the answer of a row in one text, which no other pair has."""
    question, answer = (turn["value"] for turn in row["conversations"])
    return f"{question}\0{answer}"


def digest(text: str) -> int:
    """Eight bytes that stand for a text, never 0; the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


def in_parts(items: Sequence[Item], size_of: Callable[[Item], int], most: int) -> Iterator[list[Item]]:
    """Neighbouring items, in order: in each part as many as have `most` by `size_of` together, or a single one that has more."""
    part, size = [], 0
    for item in items:
        if part and size + size_of(item) > most:
            yield part
            part, size = [], 0
        part.append(item)
        size += size_of(item)
    if part:
        yield part
