"""Which documents of a folder are new, edited, renamed or gone since a run, by what they say and not by when they were saved.

before, now = read_fingerprints(out), fingerprint(read_documents("my_texts", out))
changes = compare(before, now)
if changes: ...
write_fingerprints(out, now)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data_processor.documents import Document
from utils import InputError, find_log_file, log_file, read_json, write_json

FILE = "documents.json"  # in a run's log folder

Fingerprints = dict[str, str]  # of each document, by name, the SHA-256 of its title and text


@dataclass(frozen=True)
class Changes:
    """What happened to the files of a folder, by name; `renamed` are (name before, name now). False if nothing did."""

    added: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    deleted: tuple[str, ...] = ()
    same: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.edited or self.renamed or self.deleted)


def fingerprint(documents: Iterable[Document]) -> Fingerprints:
    """Of what the collection reads: another encoding, line ends or markup of the same text change nothing."""
    return {
        document.file_name: hashlib.sha256(f"{document.title}\0{document.text}".encode()).hexdigest()
        for document in documents
    }


def compare(before: Fingerprints, now: Fingerprints) -> Changes:
    """What happened between two states of a folder. A new file with the content of one that is gone is that one, renamed.

    A file that was both renamed and edited is one deleted and one added.
    """
    gone = [name for name in before if name not in now]
    by_content: dict[str, list[str]] = {}
    for name in gone:
        by_content.setdefault(before[name], []).append(name)
    added, renamed = [], []
    for name in now:
        if name in before:
            continue
        if by_content.get(now[name]):
            renamed.append((by_content[now[name]].pop(0), name))
        else:
            added.append(name)
    origins = {old for old, _ in renamed}
    return Changes(
        added=tuple(added),
        edited=tuple(name for name in now if name in before and now[name] != before[name]),
        renamed=tuple(renamed),
        deleted=tuple(name for name in gone if name not in origins),
        same=tuple(name for name in now if before.get(name) == now[name]),
    )


def write_fingerprints(out: str | Path, fingerprints: Fingerprints) -> None:
    """Write them for a run's folder, completely or not at all."""
    write_json(log_file(Path(out) / FILE), fingerprints)


def read_fingerprints(out: str | Path) -> Fingerprints | None:
    """The documents that a run has read; None if it kept no account of them. InputError if the file is damaged."""
    path = find_log_file(Path(out) / FILE)
    if not path.exists():
        return None
    remedy = "remove it; no change since that run is then seen"
    found = read_json(path, "the fingerprints of the documents", remedy)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise InputError(f"expected an object of file names and hashes in {path}, found something else: {remedy}")
    return found
