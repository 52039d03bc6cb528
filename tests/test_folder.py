"""Which files of a folder are read: links followed without loops, hidden files and copies left out, all others named."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from data_processor.documents import read_documents, read_folder
from data_processor.folder import Files, find_files


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("The pier was opened in 1991.\n")


def test_links_are_followed_and_every_file_is_read_once_in_its_own_place(tmp_path):
    write(tmp_path, "texts/z/pier.txt", "elsewhere/mill.txt", "store.txt")
    texts = tmp_path / "texts"
    for name, target in {
        "z/back": "..",
        "a": "z",
        "linked": "../elsewhere",
        "linked too": "../elsewhere",
        "one.txt": "../store.txt",
        "gone.txt": "nowhere",
    }.items():
        (texts / name).symlink_to(target)
    found = find_files(texts)
    assert found.names == ["linked/mill.txt", "one.txt", "z/pier.txt"]
    assert found.left_out == {
        "a": "a link to what is read in its own place",
        "gone.txt": "a link to nothing",
        "linked too": "a link to what is read in its own place",
        "z/back": "a link to what is read in its own place",
    }


def test_of_a_file_and_the_links_to_it_one_is_read(tmp_path):
    """The file itself if it lies in the folder, else the first link to it."""
    write(tmp_path, "texts/z/pier.txt", "texts/z/notes.rst", "store.txt")
    for name, target in {
        "a.txt": "z/pier.txt",
        "z/b.txt": "pier.txt",
        "c.txt": "../store.txt",
        "d.txt": "../store.txt",
        "e.txt": "c.txt",
        "f.txt": "z/notes.rst",
    }.items():
        (tmp_path / "texts" / name).symlink_to(target)
    found = find_files(tmp_path / "texts")
    assert found.names == ["c.txt", "f.txt", "z/pier.txt"]
    again = "a link to what is read in its own place"
    other = "not of a kind that is read (.txt .md .markdown .html .htm .pdf .docx)"
    assert found.left_out == {name: again for name in ("a.txt", "d.txt", "e.txt", "z/b.txt")} | {"z/notes.rst": other}


def test_a_name_that_is_not_utf8_is_named_as_far_as_it_can_be_read(tmp_path):
    write(tmp_path, "texts/pier.txt", ".old/pier.txt")
    for name in (b"texts/m\xfchle.txt", b"\xd6lde/mill.txt", b".old/m\xfchle.txt"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_text("The mill was built in 1921.\n")
    found = find_files(tmp_path)
    assert found.names == ["texts/pier.txt"]
    assert found.left_out == {
        ".old/pier.txt": "hidden, or a program's copy",
        "\\udcd6lde": "its name is not UTF-8: rename it",
        "texts/m\\udcfchle.txt": "its name is not UTF-8: rename it",
    }


def test_files_are_in_natural_order_whatever_their_folders(tmp_path):
    write(tmp_path, "b10.txt", "b9.txt", "a/c2.md", "a/c10.md", "A.HTML", "x10.rst", "x9.rst")
    found = find_files(tmp_path)
    assert found.names == ["A.HTML", "a/c2.md", "a/c10.md", "b9.txt", "b10.txt"]
    assert list(found.left_out) == ["x9.rst", "x10.rst"]


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    write(tmp_path, "texts/pier.txt", "texts/old/closed/mill.txt")
    scan = os.scandir

    def refuse(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    reason = "a folder that cannot be opened: Permission denied"
    assert find_files(tmp_path / "texts") == Files(["pier.txt"], {"old/closed": reason})
    assert find_files(tmp_path / "texts" / "old" / "closed") == Files([], {".": reason})


def test_hidden_files_and_copies_are_left_out_and_named(tmp_path):
    names = [".ipynb_checkpoints/pier-checkpoint.txt", ".hidden.txt", "__MACOSX/._pier.txt", "pier.txt~"]
    write(tmp_path, "pier.txt", ".git/objects/ab", *names)
    found = find_files(tmp_path)
    assert found.names == ["pier.txt"]
    assert found.left_out == dict.fromkeys(sorted(names), "hidden, or a program's copy")


def test_files_of_other_kinds_are_named_with_what_would_be_read(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    write(tmp_path, "pier.txt", "mill.rst")
    read_documents(tmp_path)
    assert caplog.messages == [
        "left out: mill.rst (not of a kind that is read (.txt .md .markdown .html .htm .pdf .docx))"
    ]


def test_a_file_with_nothing_to_read_is_named(tmp_path):
    (tmp_path / "matter.md").write_text("---\ntitle: The mill\n---\n")
    (tmp_path / "white.txt").write_text(" \n\t\n")
    assert read_folder(tmp_path) == (
        [], {"matter.md": "nothing but markup and page numbers", "white.txt": "an empty file"}
    )  # fmt: skip


def test_a_text_that_an_earlier_program_broke_is_named(tmp_path, caplog):
    (tmp_path / "a.txt").write_text("It was said that the cafÃ© of ZoÃ« opened.\n", encoding="utf-8")
    read_documents(tmp_path)
    assert caplog.messages[0].startswith("a.txt: an earlier program read this text in the wrong encoding (It was said")
