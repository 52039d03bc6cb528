"""A file of rows read one at a time gives what the file holds, wherever its blocks end."""

from __future__ import annotations

import codecs
import json

import pytest

from training import row_file
from training.row_file import RowFile
from utils import InputError


def row(identity: str, answer: str = "9 March") -> dict:
    return {
        "id": identity,
        "messages": [{"role": "user", "content": "When?"}, {"role": "assistant", "content": answer}],
    }


ROWS = [row("a"), row("b", 'Zürich, 图书馆 } ] , "{[" 🙂'), row("c"), row("d", "\n")]
TEXTS = {
    "list": json.dumps(ROWS, ensure_ascii=False),
    "indented": " \n" + json.dumps(ROWS, ensure_ascii=False, indent=2) + "\n",
    "lines": "\n".join(json.dumps(one, ensure_ascii=False) for one in ROWS) + "\n",
    "lines without an end": "\n".join(json.dumps(one) for one in ROWS),
}


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["plain", "with a byte order mark"])
@pytest.mark.parametrize("block", [7, 64, 1 << 20])
@pytest.mark.parametrize("form", TEXTS)
def test_rows_are_those_of_the_file_wherever_a_block_ends(tmp_path, monkeypatch, form, block, mark):
    monkeypatch.setattr(row_file, "BLOCK_BYTES", block)
    (tmp_path / "a.json").write_bytes(mark + TEXTS[form].encode())
    read = RowFile(tmp_path / "a.json")
    assert len(read) == 4 and list(read) == ROWS and [read[n] for n in (3, 1)] == [ROWS[3], ROWS[1]]


@pytest.fixture
def four(tmp_path) -> RowFile:
    (tmp_path / "a.json").write_text(TEXTS["list"])
    return RowFile(tmp_path / "a.json")


def test_rows_that_are_taken_stand_in_the_order_asked_for(four):
    assert list(four.select([2, 0])) == [ROWS[2], ROWS[0]] and list(four.select([3]).select([0])) == [ROWS[3]]


def test_rows_that_are_added_stand_after_those_of_the_file(four):
    one, other = [row("e")], [row("f")]
    more = four + one + other
    assert list(more) == [*ROWS, *one, *other] and len(more) == 6
    assert list(four) == ROWS, "the file itself is as it was"


@pytest.mark.parametrize("place", [-1, 4])
def test_a_row_that_is_not_there_is_an_index_error(four, place):
    with pytest.raises(IndexError):
        four[place]


def test_no_more_rows_are_read_than_the_limit(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([*ROWS[:2], "no row"]))
    assert list(RowFile(tmp_path / "a.json", limit=2)) == ROWS[:2]
    with pytest.raises(InputError, match="row 2"):
        RowFile(tmp_path / "a.json", limit=3)


def test_a_byte_that_is_no_utf_8_is_named(tmp_path):
    (tmp_path / "a.json").write_bytes(TEXTS["list"].encode("latin-1", "replace"))
    with pytest.raises(InputError, match="found byte 0xfc"):
        RowFile(tmp_path / "a.json")


def test_a_row_without_an_id_is_named_by_its_number_in_the_file(tmp_path):
    bare = {"messages": row("")["messages"]}
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, [bare, row("b"), bare, bare])))
    read = RowFile(tmp_path / "a.jsonl")
    assert [one["id"] for one in read] == ["row_0", "b", "row_2", "row_3"]
    assert [one["id"] for one in read.select([3, 1]).select([0])] == ["row_3"]
    more = [row("e")]
    assert [one["id"] for one in read + more] == ["row_0", "b", "row_2", "row_3", "e"]
