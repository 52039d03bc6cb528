"""The files of a folder that are documents, and for every other file why it is not read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = (".txt", ".md", ".markdown", ".html", ".htm", ".pdf", ".docx")
COPIES = ("__MACOSX",)  # folders that programs fill with copies
HIDDEN = "hidden, or a program's copy"
OTHER_KIND = f"not of a kind that is read ({' '.join(SUFFIXES)})"
DEAD_LINK = "a link to nothing"
READ_ALREADY = "a link to what is read in its own place"
BAD_NAME = "its name is not UTF-8: rename it"


@dataclass
class Files:
    """Names relative to the folder: `names` to read, in natural order, and `left_out` with the reason of each."""

    names: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def find_files(folder: Path) -> Files:
    """All files below a folder. Links are followed, and each real file and folder is met once, in its own place if it has one.

    What is hidden, or a program's copy, is left out; in hidden folders only files that could be read are named.
    """
    from natsort import natsorted

    found, links = Files(), []
    seen = {identity(folder)}
    walk(folder, "", found, links, seen)
    while links:
        name = links.pop(0)
        path = folder / name
        if not path.exists():
            found.left_out[name] = DEAD_LINK
        elif identity(path) in seen:
            found.left_out[name] = READ_ALREADY
        elif path.is_dir():
            seen.add(identity(path))
            walk(path, f"{name}/", found, links, seen)
        else:
            sort_in(name, path, found, seen)
    return Files(natsorted(found.names), {name: found.left_out[name] for name in natsorted(found.left_out)})


def walk(folder: Path, prefix: str, found: Files, links: list[str], seen: set[tuple[int, int]]) -> None:
    """Add what is below a folder; links are kept for later."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        found.left_out[prefix.rstrip("/") or "."] = f"a folder that cannot be opened: {error.strerror}"
        return
    for entry in entries:
        name = prefix + entry.name
        if not is_utf8(name):
            found.left_out[name.encode("utf-8", "backslashreplace").decode()] = BAD_NAME
        elif is_hidden(entry.name):
            found.left_out.update(dict.fromkeys(readable_files(entry, name), HIDDEN))
        elif entry.is_symlink():
            links.append(name)
        elif entry.is_dir():
            seen.add(identity(Path(entry.path)))
            walk(Path(entry.path), f"{name}/", found, links, seen)
        else:
            sort_in(name, Path(entry.path), found, seen)


def sort_in(name: str, path: Path, found: Files, seen: set[tuple[int, int]]) -> None:
    if path.suffix.lower() in SUFFIXES and path.is_file():
        seen.add(identity(path))
        found.names.append(name)
    else:
        found.left_out[name] = OTHER_KIND


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name in COPIES or name.endswith("~")


def readable_files(entry: os.DirEntry[str], name: str) -> list[str]:
    """A hidden file itself, or the files in a hidden folder that could have been read."""
    if not entry.is_dir(follow_symlinks=False):
        return [name]
    return [
        f"{name}/{path.relative_to(entry.path).as_posix()}"
        for path in sorted(Path(entry.path).rglob("*"))
        if path.suffix.lower() in SUFFIXES and is_utf8(path.as_posix())
    ]


def is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def identity(path: Path) -> tuple[int, int]:
    """The same for all names of one file or folder."""
    status = path.stat()
    return status.st_dev, status.st_ino
