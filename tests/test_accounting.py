"""Every character of a file is accounted for, and what no unit covers is counted as not read. No model."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from generators import fact, work

from data_processor.accounting import count_characters, count_yield, describe_not_read, print_yield
from data_processor.chunking import parse
from data_processor.documents import clean
from data_processor.facts import NOT_COVERED, STATES_NOTHING

LETTER = "Duties\r\n\r\n1. Ann paints the door.\r\n2. Bob  insures it.\r\n\r\n- 7 -\r\n"


def count(name: str, raw: str) -> dict[str, int]:
    document = clean(name, raw)
    return dict(count_characters(document, parse(document, "en")))


@pytest.mark.parametrize(
    ("name", "raw", "counts"),
    [
        ("a.txt", "Ann came.", {"text": 9}),
        ("a.txt", "An\u00adn ca\u0301me.\n", {"text": 11, "space": 1}),
        ("a.txt", LETTER, {"heading": 6, "markup": 6, "text": 20 + 16, "boilerplate": 7, "space": 10}),
        (
            "a.md",
            "---\ntitle: T\n---\n# Doors\n\nAnn *came*.\n\n```\nx = 1\n```\n",
            {"metadata": 17, "heading": 5, "markup": 18, "text": 9, "space": 4},
        ),
        ("a.txt", "", {}),
    ],
)
def test_every_character_is_of_one_kind(name, raw, counts):
    found = count(name, raw)
    assert sum(found.values()) == len(raw)
    assert found == counts


def test_a_sentence_that_is_no_unit_was_not_read():
    document = clean("a.txt", "Ann came. Bob – 52 – left.")
    parsed = parse(document, "en")
    assert len(parsed.units) == 2
    found = count_characters(document, replace(parsed, units=parsed.units[:1]))
    assert found == {"text": 9, "space": 5, "not read": 9, "markup": 3}


def test_what_was_not_read_is_said_with_the_files():
    characters = {"a.txt": Counter(text=1000), "b.txt": Counter({"text": 990, "not read": 10})}
    assert describe_not_read(characters) == "not read: 10 of 2,000 characters, most in b.txt"
    assert describe_not_read({"a.txt": Counter(text=7)}) == "not read: 0 of 7 characters"


def test_of_many_documents_the_telling_ones_are_printed_and_all_are_in_the_file(tmp_path, capsys):
    characters = {f"{number}.txt": Counter(text=10) for number in range(1000)}
    rows = [{"file_name": name, "kind": "qa"} for name in characters if name not in ("7.txt", "900.txt")]
    dropped = [{"file_name": "500.txt", "reason": "no fact covers this sentence"}]
    work = SimpleNamespace(dropped=dropped, drops=Counter({"no fact covers this sentence": 1}))
    print_yield(count_yield(characters, [], [], rows, work), characters, work, tmp_path / "data.yield.json")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 20 + 2 + 2
    assert [line.split()[0] for line in lines[1:4]] == ["7.txt", "900.txt", "500.txt"]
    assert lines[21].split() == ["all", "1,000", "0", "0", "998", "0", "0", "0", "1"]
    assert lines[22].startswith("2 documents without a question; all of them: ")
    table = json.loads((tmp_path / "data.yield.json").read_text())
    assert len(table) == 1000 and table["500.txt"] == {
        "chunks": 0, "facts": 0, "questions": 1, "passages": 0, "dropped": 0, "state nothing": 0, "not covered": 1,
    }  # fmt: skip


def test_of_few_documents_all_are_printed_in_their_order(tmp_path, capsys):
    work = SimpleNamespace(dropped=[], drops=Counter())
    characters = {"b.txt": Counter(text=1), "a.txt": Counter(text=1)}
    print_yield(count_yield(characters, [], [], [], work), characters, work, tmp_path / "y.json")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "document", "b.txt", "a.txt", "dropped:", "not",
    ]  # fmt: skip


def test_the_yield_table_tells_sentences_that_state_nothing_from_those_that_were_lost(tmp_path, capsys):
    job, told = work(), fact("It is.")
    for reason in (
        f"{STATES_NOTHING}: heading",
        f"{STATES_NOTHING}: greeting",
        NOT_COVERED,
        "near copy",
        "near copy",
        "near copy",
    ):
        job.drop("rest", reason, "It.", told)
    rows = [{"file_name": "a.txt", "kind": kind} for kind in ("qa", "unknown", "passage", "qa")]
    characters = {"a.txt": Counter(text=7), "b.txt": Counter(text=7)}
    print_yield(count_yield(characters, [told.chunk], [told], rows, job), characters, job, tmp_path / "y.json")
    head, first, second, dropped, _ = capsys.readouterr().out.splitlines()
    assert head == (
        "document                      chunks  facts  questions  passages  dropped  state nothing  not covered"
    )
    assert first.split() == "a.txt 1 1 3 1 3 2 1".split() and second.split() == "b.txt 0 0 0 0 0 0 0".split()
    assert len(head) == len(first) and dropped.startswith("dropped: 3 rest: near copy; 1 rest: states nothing: heading")
