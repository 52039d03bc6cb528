"""What a day takes over from the run before: replies, the split into what is trained and what is asked, and rows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.update_data import collect, row
from data_processor.dataset import question_and_reference
from days.carried import TODAY, carry_over, carry_replies, keep_split, near_asked, unique, write_today
from days.ledger import add_facts, read_chunks, rows_of

SHOP = "The shop is managed by Ada Brook."
DEPOT = "The depot was built by Max Field."
TEXTS = {"a.txt": f"{SHOP} {DEPOT}"}


def shop(number: int, question: str, **more) -> dict:
    return row(number, SHOP, question, "Ada Brook", **more)


def pairs_in(path: Path) -> list[tuple[str, str]]:
    return [question_and_reference(one) for one in json.loads(path.read_text())]


@pytest.fixture
def runs(tmp_path) -> tuple[Path, Path]:
    """Yesterday: one question trained, one asked."""
    rows = [shop(0, "Who manages the shop?"), shop(1, "Who keeps the shop in order?")]
    test = [shop(2, "Whose shop is it?", kind="held_out_wording")]
    return collect(tmp_path / "before", TEXTS, rows, test), tmp_path / "run"


def split(before: Path, run: Path, names: dict[str, str] | None = None) -> None:
    records: dict[str, dict] = {}
    add_facts(records, rows_of(run), read_chunks(run), "today")
    keep_split(run, before, {("Whose shop is it?", "Ada Brook")}, records, "today", names or {})


def test_each_question_stays_on_its_side_whatever_lots_are_drawn_today(runs):
    before, run = runs
    rows = [shop(0, "Whose shop is it?"), shop(1, "Who has the keys of the shop?")]
    collect(run, TEXTS, rows, [shop(2, "Who manages the shop?", kind="held_out_wording", form="reverse")])
    split(before, run)
    assert pairs_in(run / "data.test.json") == [("Whose shop is it?", "Ada Brook")]
    assert [question for question, _ in pairs_in(run / "data.json")] == [
        "Who has the keys of the shop?", "Who manages the shop?",
    ]  # fmt: skip
    kinds = {one["kind"] for name in ("data.json", "data.test.json") for one in json.loads((run / name).read_text())}
    assert kinds == {"qa", "reverse", "held_out_wording"}, "one that is trained again has its kind back, from its form"
    once = (run / "data.json").read_text(), (run / "data.test.json").read_text()
    split(before, run)
    assert once == ((run / "data.json").read_text(), (run / "data.test.json").read_text()), "repeated after a kill"


def test_rows_of_a_fact_that_is_stated_still_come_back_where_its_file_has_not_changed(runs):
    before, run = runs
    collect(run, {"b.txt": TEXTS["a.txt"]}, [shop(0, "Who has the keys of the shop?", file_name="b.txt")], [])
    split(before, run)
    assert len(pairs_in(run / "data.json")) == 1, "the file was edited: its chunks are others"
    split(before, run, {"a.txt": "b.txt"})
    rows = json.loads((run / "data.json").read_text())
    assert len(rows) == 3 and {one["file_name"] for one in rows} == {"b.txt"} and len({one["id"] for one in rows}) == 3


def test_a_fact_that_is_gone_does_not_come_back(runs):
    before, run = runs
    collect(run, {"a.txt": DEPOT}, [row(0, DEPOT, "Who built the depot?", "Max Field")], [])
    split(before, run, {"a.txt": "a.txt"})
    assert pairs_in(run / "data.json") == [("Who built the depot?", "Max Field")]


def test_no_empty_file_of_test_questions_is_left(runs):
    before, run = runs
    collect(run, TEXTS, [row(0, DEPOT, "Who built the depot?", "Max Field")], [shop(1, "Who manages the shop?")])
    split(before, run)
    assert not (run / "data.test.json").exists() and ("Who manages the shop?", "Ada Brook") in pairs_in(
        run / "data.json"
    )


def test_a_near_copy_of_what_is_asked_is_not_trained_unless_it_is_the_last_wording():
    asked = {("Who is the manager of the old shop?", "Ada Brook")}
    copy = shop(0, "Who is the manager of the old shop here?")
    assert near_asked([copy, shop(1, "Whose keys are these?")], asked) == {
        ("Who is the manager of the old shop here?", "Ada Brook")
    }
    assert near_asked([copy], asked) == set()
    assert near_asked([row(0, DEPOT, "Who is the manager of the old shop here?", "Max Field")], asked) == set()
    same = shop(0, "who is the manager  of the old shop?")
    assert near_asked([same], asked) == {("who is the manager  of the old shop?", "Ada Brook")}, "in other letters"


def test_ids_of_two_runs_stay_apart():
    assert [one["id"] for one in unique([{"id": "a"}, {"id": "a"}, {"id": "a_2"}, {"id": "a"}])] == [
        "a", "a_2", "a_2_2", "a_3",
    ]  # fmt: skip


def test_a_row_is_new_if_its_fact_its_passage_or_its_open_question_is(runs):
    before, run = runs
    passage = {"kind": "passage", "quote": None}
    unknown = row(5, "The documents do not say this.", "Who painted it?", "That is not known.", kind="unknown")
    old = [shop(0, "Who, pray, manages the shop?"), row(1, "", "Tell me about it.", TEXTS["a.txt"], **passage)]
    collect(before, TEXTS, [shop(0, "Who manages the shop?"), row(1, "", "What of it?", TEXTS["a.txt"], **passage)])
    collect(run, TEXTS, old)
    assert write_today(run, before, 1) == 0 and not (run / TODAY).exists()
    new = [
        row(3, DEPOT, "Who built the depot?", "Max Field"),
        row(4, "", "Tell me.", "Another text.", **passage),
        unknown,
    ]
    collect(run, TEXTS, [*old, *new])
    assert write_today(run, before) == 3 and len(pairs_in(run / TODAY)) == 3
    assert write_today(run, before, 1) == 3 and len(pairs_in(run / TODAY)) == 5
    assert (run / "today.chunks.jsonl").read_text() == (run / "data.chunks.jsonl").read_text()


def test_what_is_old_is_shown_in_another_wording_each_time_of_as_many_facts_as_there_are_new_rows(runs):
    before, run = runs
    facts = [f"The shop number {number} is managed by Ada Brook {number}." for number in range(6)]
    rows = [
        row(10 * number + wording, fact, f"Who manages shop {number}, in wording {wording}?", f"Ada Brook {number}")
        for number, fact in enumerate(facts)
        for wording in range(4)
    ]
    collect(before, TEXTS, rows[:20])
    collect(run, TEXTS, rows)
    for passes in (1, 3, 6):
        assert write_today(run, before, passes) == 4
        trained = json.loads((run / TODAY).read_text())
        asked = [question_and_reference(one)[0] for one in trained]
        new, older = asked[: 4 * passes], Counter(asked[4 * passes :])
        assert Counter(new) == {question_and_reference(one)[0]: passes for one in rows[20:]}
        facts_shown = Counter(one["fact"] for one in trained[4 * passes :])
        assert {*facts_shown.values()} == {passes} and len(facts_shown) == 4, "four of five facts, once a pass"
        assert len(older) == 4 * min(passes, 4), "of each as many wordings as there are, before one comes again"
        assert len({one["id"] for one in trained}) == len(trained)


def test_replies_are_copied_to_where_none_are(tmp_path):
    before, run = tmp_path / "before", tmp_path / "run"
    for path in ("log/data.journal.jsonl", "log/base.journal.jsonl", "beside/log/replay.journal.jsonl"):
        (before / path).parent.mkdir(parents=True, exist_ok=True)
        (before / path).write_text(f"{path}\n")
    (before / "converted").mkdir()
    (before / "converted" / "manual.pdf.txt").write_text("a text")
    (run / "log").mkdir(parents=True)
    (run / "log" / "base.journal.jsonl").write_text("its own\n")
    carry_over(before, run)
    carry_replies(before, run, "lora")
    found = {str(path.relative_to(run)): path.read_text() for path in run.rglob("*") if path.is_file()}
    assert found == {
        "log/data.journal.jsonl": "log/data.journal.jsonl\n", "log/base.journal.jsonl": "its own\n",
        "converted/manual.pdf.txt": "a text", "lora/log/replay.journal.jsonl": "beside/log/replay.journal.jsonl\n",
    }  # fmt: skip
