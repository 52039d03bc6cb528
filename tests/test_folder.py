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
