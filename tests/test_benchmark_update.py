"""What the five days of benchmarks/update.py are summed up to, by hand, and what is asked with a passage."""

from __future__ import annotations

import pytest

from benchmarks.update import Records
from benchmarks.update_data import FACTS, collect_day
from benchmarks.update_plot import draw, said_of_the_gone
from benchmarks.update_retrieval import CASES, changed_facts, passage, said, to_row
from benchmarks.update_summary import measure, summarise
from utils import read_json


def gone(record: str, why: str, since: str, base: bool, before: bool, tuned: bool, new: bool | None = None) -> dict:
    """A question on a fact that went, and who says the old value; `new`: whether the new one is said, if there is one."""
    said_by = {"base": base, "before": before, "tuned": tuned}
    says_new = {} if new is None else {"tuned": new}
    told = {"record": record, "why": why, "since": since, "new": None if new is None else "another"}
    return {**told, "said": said_by, "says_new": says_new}


def day(number: int, right: dict[str, bool], rows: list[dict], seconds: float = 100.0, way: str = "anew") -> dict:
    return {
        "day": number, "way": way, "run": f"d{number}", "right": right, "base_right": dict.fromkeys(right, False),
        "general": [True, False, True], "general_base": [True, True, False], "gone": rows, "training_seconds": seconds,
        "answering_seconds": 10.0, "trained_tokens": 1000, "passed": True, "why": [],
    }  # fmt: skip


FIRST = day(1, {"a": True, "b": True, "c": False, "d": True}, [])
SECOND = day(
    2,
    {"a": True, "b": False, "e": True},
    [
        gone("d", "superseded", "d2", False, True, False, True),
        gone("f", "superseded", "d2", False, True, True, False),
        gone("g", "superseded", "d2", False, False, False, True),
        gone("h", "deleted", "d2", True, True, True),
        gone("i", "deleted", "d2", False, True, True),
        gone("j", "deleted", "d1", False, True, True),
    ],
    seconds=40.0,
    way="onward",
)


def test_shares_are_of_what_was_said_right_before_the_change():
    found = measure([FIRST, SECOND], {1: FIRST, 2: {**SECOND, "training_seconds": 80.0, "trained_tokens": 4000}})
    assert (found["changed_known"], found["superseded_said"], found["new_value_right"]) == (2, 0.5, 0.5)
    assert (found["retracted_known"], found["retracted_said"]) == (2, 0.5), "one of them the base says too"
    assert (found["day1_kept"], found["day1_known"]) == (0.5, 2), "of those that are still asked"
    assert found["day5_tokens_ratio"] == 0.25 and measure([FIRST, SECOND], {1: FIRST})["day5_cost_ratio"] is None
    assert (found["day5_cost_ratio"], found["general_kept"], found["right"]) == (0.5, 0.5, 0.6667)


def test_the_default_stands_at_the_top_and_all_ways_below():
    found = summarise({"anew": [FIRST, SECOND | {"training_seconds": 80.0}], "onward": [FIRST, SECOND]})
    assert found["default"] == "onward" and found["day5_cost_ratio"] == 0.5
    assert found["ways"]["anew"]["day5_cost_ratio"] == 1.0 and "days" not in found
    days = found["ways"]["onward"]["days"]
    assert [(one["day"], one["day1_right"], one["day1_asked"]) for one in days] == [(1, 3, 3), (2, 1, 2)]


def test_the_picture_has_a_line_for_each_way_also_where_nothing_has_gone(tmp_path):
    draw(summarise({"anew": [FIRST], "onward": [FIRST, SECOND]}), tmp_path / "deep" / "update.png")
    assert (tmp_path / "deep" / "update.png").read_bytes().startswith(b"\x89PNG")
    first, second = summarise({"onward": [FIRST, SECOND]})["ways"]["onward"]["days"]
    assert said_of_the_gone(first) is None and said_of_the_gone(second) == pytest.approx(75.0)


def test_a_day_that_is_there_is_not_made_again(tmp_path):
    made = []
    for _ in range(2):
        records = Records(tmp_path / "update_runs.jsonl")
        for number in (1, 2):
            assert records.get("anew", number, lambda n=number: made.append(n) or {"day": n})["day"] == number
    assert made == [1, 2]


def test_the_days_of_ways_that_are_not_gone_on_with_stay_in_the_results(tmp_path):
    records = Records(tmp_path / "update_runs.jsonl")
    for of, number in (("first", 1), ("onward", 3), ("onward", 2), ("beside", 2)):
        records.get(of, number, lambda n=number, way=of: {"day": n, "way": way})
    found = Records(tmp_path / "update_runs.jsonl").by_way()
    assert {way: [one["day"] for one in days] for way, days in found.items()} == {"onward": [1, 2, 3], "beside": [1, 2]}


def test_a_day_of_the_demo_as_a_good_generator_would_have_made_it(tmp_path):
    folder = collect_day(tmp_path, 1, held_out=0, wordings=4)
    rows, test = (read_json(folder / name, "rows") for name in ("data.json", "data.test.json"))
    assert len(test) == 60 and 60 * 3 <= len(rows) <= 60 * 4
    asked, trained = ({row["conversations"][0]["value"] for row in found} for found in (test, rows))
    assert not asked & trained


def test_with_a_passage_the_question_stands_below_it():
    pairs = changed_facts()
    assert len(pairs) >= 20
    old, new = next(pair for pair in pairs if pair[0]["value"] == "Perrin Ostlake")
    texts = {case: passage(case, old, new) for case in CASES}
    assert "Perrin Ostlake" in texts["right"] and "Mavra Dunsel" in texts["newer"] and texts["none"] == ""
    assert not any(name in texts["irrelevant"] for name in ("Perrin Ostlake", "Mavra Dunsel", "Copperlane shop"))
    assert to_row(3, "none", old, new)["question"] == old["questions"][0]
    assert to_row(3, "newer", old, new)["question"].startswith(texts["newer"])


@pytest.mark.parametrize(("answer", "share"), [("It is Perrin Ostlake.", 1.0), ("Mavra Dunsel", 0.0)])
def test_what_is_said_is_graded_against_the_value_alone(answer, share):
    old = next(fact for fact in FACTS if fact["value"] == "Perrin Ostlake")
    assert said([{"id": "0", "question": "a text with Perrin Ostlake", "response": answer}], [old]) == share
