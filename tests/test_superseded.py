"""Facts that a newer document contradicts: found, ordered by age, out of the training, and back when valid again."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta

import pytest
from day_runs import run_days

from benchmarks.update_data import FACTS, collect, row
from data_processor.documents import read_documents
from days import superseded
from days.ledger import add_facts, new_record, read_chunks, read_ledger, rows_of
from days.rows import take_out
from days.superseded import AS_TOLD, BY_DATE, BY_SAVING, ONLY_ONE_LEFT, Sources, find_superseded, supersede, to_judge

NINE, TEN = "The Orla shop opens at 9:30.", "The Orla shop now opens at 10:15."
MOVED = {3: [("contracts.txt", "supplier_contracts.txt")]}


@pytest.fixture(scope="module")
def five_days(tmp_path_factory):
    out = tmp_path_factory.mktemp("days")
    return out, run_days(out, 5, MOVED)


def value_on(day: int, subject: str, relation: str) -> str | None:
    held = [
        f
        for f in FACTS
        if (f["subject"], f["relation"]) == (subject, relation) and f["first_day"] <= day <= f["last_day"]
    ]
    return held[0]["value"] if held else None


def test_on_the_five_days_each_change_is_found_and_nothing_else(five_days):
    by_sentence = {fact["sentence"]: fact for fact in FACTS}
    for day, pairs in five_days[1].items():
        told = [(by_sentence[pair["old"]["text"]], by_sentence[pair["new"]["text"]]) for pair in pairs]
        assert all((old["subject"], old["relation"]) == (new["subject"], new["relation"]) for old, new in told)
        assert all(new["first_day"] == day and old["last_day"] < day for old, new in told)
        changed = {fact["id"] for fact in FACTS if fact["first_day"] == day and fact["supersedes"]}
        assert {new["id"] for _, new in told} == changed


def test_on_the_five_days_the_ledger_says_what_holds(five_days):
    records = {record["text"]: record for record in read_ledger(five_days[0]).values()}
    assert len(records) == len({fact["sentence"] for fact in FACTS})
    for fact in FACTS:
        holds = value_on(5, fact["subject"], fact["relation"]) == fact["value"]
        expected = None if holds else {"changed": "superseded", "deleted": "deleted"}[fact["why_gone"]]
        assert (fact["id"], records[fact["sentence"]]["gone"]) == (fact["id"], expected)


def test_on_the_five_days_training_has_what_holds_and_all_of_it(five_days):
    for day in (1, 2, 3, 4, 5):
        rows = json.loads((five_days[0] / str(day) / "data.json").read_text())
        assert {one["fact"] for one in rows} == {f["sentence"] for f in FACTS if f["first_day"] <= day <= f["last_day"]}


def ledger(*facts: tuple[str, str, list[str]]) -> dict[str, dict]:
    """Records of (text, file, runs)."""
    return {
        str(n): new_record(id=str(n), text=text, file_name=name, quotes=[text], runs=runs)
        for n, (text, name, runs) in enumerate(facts)
    }


def sources(tmp_path, newer=(), hours=0, **texts):
    """Of files by name, each saved `hours` after the one before."""
    for number, (name, text) in enumerate(texts.items()):
        path = tmp_path / f"{name}.txt"
        path.write_text(text)
        at = (datetime(2027, 3, 5) + timedelta(hours=hours * number)).timestamp()
        os.utime(path, (at, at))
    return Sources(read_documents(tmp_path), tmp_path, newer)


def both(tmp_path, newer=(), hours=0, a=NINE, b=TEN):
    records = ledger((NINE, "a.txt", ["1", "2"]), (TEN, "b.txt", ["2"]))
    (pair,) = find_superseded(records, "2", "1", sources(tmp_path, newer, hours, a=a, b=b))
    supersede(records, [pair], "2")
    return pair, records


def test_dates_tell_which_is_newer_before_the_time_of_saving(tmp_path):
    pair, records = both(tmp_path, hours=9, a=f"Hours, 9 March 2027\n\n{NINE}", b=f"Notice, 8 March 2027\n\n{TEN}")
    assert (pair["old"]["text"], pair["newer"], pair["known_by"]) == (TEN, "a.txt", BY_DATE)
    assert records["1"]["gone"] == "superseded" and records["0"]["gone"] is None


@pytest.mark.parametrize(("hours", "newer"), ((2, "b.txt"), (-2, "a.txt")))
def test_the_time_of_saving_tells_it_where_no_dates_do(tmp_path, hours, newer):
    pair, _ = both(tmp_path, hours=hours)
    assert (pair["newer"], pair["known_by"]) == (newer, BY_SAVING)


def test_a_person_tells_it_first_of_all(tmp_path):
    pair, _ = both(tmp_path, newer=("a.txt",), a=f"Hours, 8 March 2027\n\n{NINE}", b=f"Notice, 9 March 2027\n\n{TEN}")
    assert (pair["newer"], pair["known_by"]) == ("a.txt", AS_TOLD)


def test_where_it_cannot_be_told_both_stay_and_are_listed(tmp_path):
    pair, records = both(tmp_path, hours=0.1)
    assert (pair["newer"], pair["known_by"]) == (None, None)
    assert {pair["old"]["value"], pair["new"]["value"]} == {"9:30", "10:15"}
    assert [record["gone"] for record in records.values()] == [None, None]


def test_what_is_no_longer_in_the_folder_is_the_older_one_whatever_its_date(tmp_path):
    records = ledger((NINE, "a.txt", ["1"]), (TEN, "a.txt", ["2"]))
    (pair,) = find_superseded(records, "2", "1", sources(tmp_path, a=f"Hours, 7 March 2027\n\n{TEN}"))
    assert (pair["old"]["text"], pair["known_by"]) == (NINE, ONLY_ONE_LEFT)


def test_two_facts_of_one_file_and_two_old_ones_are_no_pair(tmp_path):
    files = sources(tmp_path, a=f"{NINE} {TEN}", b=TEN)
    assert find_superseded(ledger((NINE, "a.txt", ["2"]), (TEN, "a.txt", ["2"])), "2", "1", files) == []
    assert find_superseded(ledger((NINE, "a.txt", ["1", "2"]), (TEN, "b.txt", ["1", "2"])), "2", "1", files) == []


SOLD = "The Emberjack lantern is sold for 59 euros."
COSTS = "The Emberjack lantern costs 64 euros."  # in other words, so that no rule is sure


def unsure(tmp_path, verdict: dict) -> tuple[list[dict], dict[str, dict]]:
    """The pairs of two documents with what the model says of the facts 0 and 1, and the ledger then."""
    records = ledger((COSTS, "a.txt", ["1", "2"]), (SOLD, "b.txt", ["2"]))
    pairs = find_superseded(records, "2", "1", sources(tmp_path, hours=2, a=COSTS, b=SOLD), {"0+1": verdict})
    supersede(records, pairs, "2")
    return pairs, records


def test_what_no_rule_is_sure_of_the_model_decides(tmp_path):
    pairs, records = unsure(tmp_path, {"verdict": "contradicts", "thing": "price of the lantern"})
    assert [(pair["decided_by"], pair["thing"], pair["newer"]) for pair in pairs] == [
        ("model", "price of the lantern", "b.txt")
    ]
    assert records["0"]["gone"] == "superseded" and records["1"]["gone"] is None


@pytest.mark.parametrize("verdict", ("both", "same"))
def test_what_the_model_says_can_both_be_true_is_no_pair(tmp_path, verdict):
    pairs, records = unsure(tmp_path, {"verdict": verdict, "thing": ""})
    assert pairs == [] and [record["gone"] for record in records.values()] == [None, None]


@pytest.mark.parametrize(
    ("verdict", "why"),
    (
        ({"verdict": "unclear", "thing": ""}, "the model cannot tell"),
        ({"error": "refused"}, "refused"),
        ({}, "the model was not asked"),
    ),
)
def test_what_nobody_decides_is_listed_with_the_reason_and_stays(tmp_path, verdict, why):
    pairs, records = unsure(tmp_path, verdict)
    assert [(pair["decided_by"], pair["undecided"], pair["newer"]) for pair in pairs] == [(None, why, "b.txt")]
    assert [record["gone"] for record in records.values()] == [None, None]


def test_where_no_model_is_a_judge_only_what_a_rule_is_sure_of_counts(tmp_path, caplog):
    caplog.set_level("INFO")
    records = ledger(
        (COSTS, "a.txt", ["1", "2"]), (SOLD, "b.txt", ["2"]), (NINE, "a.txt", ["1"]), (TEN, "c.txt", ["2"])
    )
    (pair,) = find_superseded(records, "2", "1", sources(tmp_path, a=COSTS, b=SOLD, c=TEN))
    assert (pair["decided_by"], pair["old"]["text"]) == ("rule", NINE)
    assert "1 pairs of facts might contradict one another" in caplog.text, "not without a word"


def test_the_model_is_shown_what_no_rule_is_sure_of_with_both_quotes():
    records = ledger(
        (COSTS, "a.txt", ["1", "2"]), (SOLD, "b.txt", ["2"]), (NINE, "a.txt", ["1"]), (TEN, "c.txt", ["2"])
    )
    records["1"]["quotes"] = ["It is sold", "for 59 euros."]
    assert to_judge(records, "2", "1") == [{
        "id": "0+1", "file_name": "b.txt", "first": {"fact": COSTS, "quote": COSTS, "file_name": "a.txt"},
        "second": {"fact": SOLD, "quote": "It is sold ... for 59 euros.", "file_name": "b.txt"},
    }]  # fmt: skip
    assert to_judge(records, "2", "2") == [], "nothing is new"


def test_of_too_many_pairs_the_most_alike_are_shown(monkeypatch):
    near = "The Emberjack lantern of the shop costs 64 euros.", "The Emberjack lantern of the shop sells at 59 euros."
    records = ledger(
        (COSTS, "a.txt", ["1"]), (SOLD, "b.txt", ["2"]), (near[0], "c.txt", ["1"]), (near[1], "d.txt", ["2"])
    )
    monkeypatch.setattr(superseded, "MOST_JUDGED", 1)
    assert [pair["id"] for pair in to_judge(records, "2", "1")] == ["2+3"]


def superseded_folder(tmp_path):
    """A run in which b.txt contradicts a.txt, with every kind of row about the old fact, and its ledger."""
    red = "The Orla shop has a red door."
    rows = [
        row(0, NINE, "When does the Orla shop open?", "9:30"),
        row(1, red, "What colour is the door of the Orla shop?", "red"),
        row(
            2,
            red,
            "Tell me about Orla.",
            "The Orla shop, which has a red door, opens at 9:30 each day.",
            kind="passage",
        ),
        row(3, red, "Tell me about the Orla shop.", "The Orla shop has a red door.", kind="passage"),
        row(4, red, "When does the shop with the red door open?", "9:30", form="two"),
        row(5, NINE, "Who owns the Orla shop?", "This is not known.", kind="unknown"),
        row(6, TEN, "When does the Orla shop open?", "10:15", file_name="b.txt"),
    ]
    rows[4]["source"]["more"] = [{"quote": NINE, "start": 0, "end": 1}]
    test = [row(7, NINE, "At what time does the Orla shop open?", "9:30", kind="held_out_wording")]
    folder = collect(tmp_path / "run", {"a.txt": f"{NINE} {red}", "b.txt": TEN}, rows, test)
    records: dict[str, dict] = {}
    add_facts(records, rows_of(folder), read_chunks(folder), "1")
    texts = tmp_path / "texts"
    texts.mkdir()
    pairs = find_superseded(records, "1", None, sources(texts, hours=2, a=f"{NINE} {red}", b=TEN))
    supersede(records, pairs, "1")
    return folder, records, pairs


def ids(path):
    return [one["id"] for one in json.loads(path.read_text())]


def test_all_rows_that_tell_the_old_value_leave_the_training_and_the_test(tmp_path):
    folder, records, pairs = superseded_folder(tmp_path)
    assert take_out(folder, records, pairs) == 4
    assert ids(folder / "data.json") == ["identity_1", "identity_3", "identity_5", "identity_6"]
    assert ids(folder / "data.test.json") == []
    assert take_out(folder, records, pairs) == 4  # again, as after a kill
    assert ids(folder / "data.json") == ["identity_1", "identity_3", "identity_5", "identity_6"]


def test_what_was_taken_out_is_still_in_the_ledger_and_comes_back_when_it_is_valid_again(tmp_path):
    folder, records, pairs = superseded_folder(tmp_path)
    take_out(folder, records, pairs)
    assert len(rows_of(folder)) == 8
    old = next(record for record in records.values() if record["text"] == NINE)
    old["gone"] = None
    assert take_out(folder, records, pairs) == 0
    assert sorted(ids(folder / "data.json")) == [f"identity_{n}" for n in range(7)]
    assert ids(folder / "data.test.json") == ["identity_7"]


@pytest.mark.parametrize(("old", "name"), (("a.txt", "hours.txt"), ("b.txt", "notice.txt")))
def test_a_text_that_tells_the_old_value_stays_out_when_a_file_gets_another_name(tmp_path, old, name):
    folder, records, pairs = superseded_folder(tmp_path)
    texts = {name if one == old else one: text for one, text in read_chunks(folder).items()}
    rows = [{**one, "file_name": name if one["file_name"] == old else one["file_name"]} for one in rows_of(folder)]
    day = collect(tmp_path / "day", texts, rows)
    add_facts(records, rows_of(day), read_chunks(day), "2", [(old, name)])
    assert take_out(day, records, pairs) == 4
    assert ids(day / "data.json") == ["identity_1", "identity_3", "identity_5", "identity_6"]


def test_a_kill_between_two_files_loses_no_row(tmp_path, monkeypatch):
    folder, records, pairs = superseded_folder(tmp_path)
    whole = sorted(ids(folder / "data.json") + ids(folder / "data.test.json"))
    from days import rows

    write, left = rows.write_json, [0]

    def until_killed(path, value):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        write(path, value)

    monkeypatch.setattr(rows, "write_json", until_killed)
    for allowed in (0, 1, 2, 3):
        left[0] = allowed
        with pytest.raises(KeyboardInterrupt):
            take_out(folder, records, pairs)
        assert sorted(one["id"] for one in rows_of(folder)) == whole
    left[0] = 9
    assert take_out(folder, records, pairs) == 4
