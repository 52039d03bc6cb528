"""What happened to a folder's files between two runs: found by content, and kept in the run's log folder."""

from __future__ import annotations

import json

import pytest
from conftest import ROOT

from data_processor.documents import read_documents
from days.changes import Changes, compare, fingerprint, read_fingerprints, write_fingerprints
from utils import InputError

DAYS = ROOT / "demo" / "days"
EVENTS = json.loads((DAYS / "key.json").read_text(encoding="utf-8"))["events"]


def fingerprints_of(folder):
    return fingerprint(read_documents(folder))


def write(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.mark.parametrize("day", (2, 3, 4, 5))
def test_the_five_days_of_the_demo(day):
    changes = compare(fingerprints_of(DAYS / str(day - 1)), fingerprints_of(DAYS / str(day)))
    told = [event for event in EVENTS if event["day"] == day]
    by_kind = {kind: {event["file"] for event in told if event["kind"] in kind} for kind in ("edited", "deleted")}
    assert set(changes.edited) == by_kind["edited"]
    assert set(changes.deleted) == by_kind["deleted"]
    assert set(changes.added) == {event["file"] for event in told if event["kind"] in ("added", "put_back")}
    renamed = [(event["from"], event["file"]) for event in told if event["kind"] == "renamed"]
    assert list(changes.renamed) == renamed
    files = {path.name for path in (DAYS / str(day)).iterdir()}
    assert {*changes.added, *changes.edited, *changes.same, *(new for _, new in changes.renamed)} == files


def test_nothing_changed():
    assert not compare({"a.txt": "1"}, {"a.txt": "1"})
    assert compare({"a.txt": "1"}, {"a.txt": "1"}).same == ("a.txt",)
    assert all(
        map(
            bool,
            (Changes(added=("a",)), Changes(edited=("a",)), Changes(renamed=(("a", "b"),)), Changes(deleted=("a",))),
        )
    )


def test_a_copy_is_a_new_file_and_of_several_with_one_content_each_is_renamed_once():
    assert compare({"a": "1"}, {"a": "1", "b": "1"}) == Changes(added=("b",), same=("a",))
    changes = compare({"a": "1", "b": "1", "c": "1"}, {"d": "1", "e": "1"})
    assert changes == Changes(renamed=(("a", "d"), ("b", "e")), deleted=("c",))


def test_two_files_that_changed_names_are_both_edited():
    assert compare({"a": "1", "b": "2"}, {"a": "2", "b": "1"}).edited == ("a", "b")


def test_line_ends_encoding_and_time_of_saving_are_no_change(tmp_path):
    text = "The café opens at nine. It closes at five."
    before = fingerprints_of(write(tmp_path / "before", note=text + "\n"))
    now = fingerprints_of(write(tmp_path / "now", note=b"\xef\xbb\xbf" + f"{text}\r\n".encode()))
    assert not compare(before, now)
    assert compare(before, fingerprints_of(write(tmp_path / "now", note=text.replace("five", "six")))).edited == (
        "note.txt",
    )


def test_another_title_is_a_change(tmp_path):
    body = "\n---\nIt closes at five.\n"
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "note.md").write_text("---\ntitle: Café Orla" + body)
    before = fingerprints_of(folder)
    (folder / "note.md").write_text("---\ntitle: Café Venn" + body)
    assert compare(before, fingerprints_of(folder)).edited == ("note.md",)


def test_written_and_read(tmp_path):
    assert read_fingerprints(tmp_path) is None
    write_fingerprints(tmp_path, {"a.txt": "1"})
    assert (tmp_path / "log" / "documents.json").is_file()
    assert read_fingerprints(tmp_path) == {"a.txt": "1"}


@pytest.mark.parametrize("content", ("[1]", '{"a": 1}', "{"))
def test_a_damaged_file_is_named(tmp_path, content):
    write_fingerprints(tmp_path, {})
    (tmp_path / "log" / "documents.json").write_text(content)
    with pytest.raises(InputError, match=r"log/documents\.json"):
        read_fingerprints(tmp_path)
