"""The report's page "over time": runs, contradictions side by side, what has gone, and why latest moved or did not."""

from __future__ import annotations

from evaluation import report_days, report_text

PAIR = {
    "old": {"id": "1", "text": "It closes at 5.", "quote": "We close at 5.", "file_name": "old.txt", "value": "5"},
    "new": {"id": "2", "text": "It closes at 6.", "quote": "We close at 6.", "file_name": "new.txt", "value": "6"},
    "newer": "new.txt", "known_by": "their dates", "decided_by": "rule",
}  # fmt: skip
ASKED = {
    "question": "When does it close?", "reference": "5", "new": "6", "why": "superseded", "said": {"base": False, "tuned": True},
    "says_new": {"tuned": False}, "responses": {"tuned": "At <b>5</b>."},
}  # fmt: skip
COUNT = {"facts": 3, "known": 2, "still_said": 1, "base_said": 0, "changed": 2, "new_right": 1}
FIRST = {
    "name": "first", "changes": None, "way": None, "facts": 60, "asked": 6, "right": 5, "known": 0, "kept": 0, "passed": True,
    "why": [], "pairs": [], "gone": None, "seconds": 600.0,
}  # fmt: skip
SECOND = {
    **FIRST, "name": "2026-11-30", "way": "onward", "known": 5, "kept": 3, "passed": False,
    "changes": {"added": ["a", "b"], "edited": [], "renamed": [], "deleted": ["c"], "same": 4},
    "why": ["what was learnt, since first: 3 of 5 kept"], "pairs": [PAIR],
    "gone": {"counts": {"superseded": COUNT, "deleted": {**COUNT, "changed": 0}}, "questions": [ASKED]},
}  # fmt: skip


def rows_of(title: str, *days: dict) -> list[list]:
    return next((table["rows"] for table in report_days.tables([*days]) if table["title"].startswith(title)), [])


def test_a_first_run_has_no_such_page():
    assert report_days.tables([]) == [] and report_days.markdown([], report_text.table) == []


def test_every_run_has_a_line():
    assert rows_of("Over time", FIRST, SECOND) == [
        ["first", "", "", 60, "5 of 6", "", "10.0", "moved"],
        ["2026-11-30", "2 added, 1 deleted", "onward", 60, "5 of 6", "3 of 5", "10.0", "stayed"],
    ]
    assert rows_of("Over time", FIRST, {**SECOND, "passed": None})[1][-1] == "open"
    assert rows_of("Why latest", FIRST, SECOND) == [["2026-11-30", "what was learnt, since first: 3 of 5 kept"]]


def test_contradictions_stand_side_by_side_with_how_it_is_known_which_is_newer():
    open_pair = {**PAIR, "newer": None, "known_by": None, "decided_by": None}
    undecided = {**PAIR, "decided_by": None, "undecided": "the model cannot tell"}
    assert rows_of("Documents", FIRST, {**SECOND, "pairs": [PAIR, open_pair, undecided]}) == [
        ["2026-11-30", "We close at 5. (old.txt)", "We close at 6. (new.txt)", "new.txt: their dates", "rule"],
        ["2026-11-30", "We close at 5. (old.txt)", "We close at 6. (new.txt)", "cannot be told: both are trained",
         "nobody"],
        ["2026-11-30", "We close at 5. (old.txt)", "We close at 6. (new.txt)", "new.txt: their dates",
         "nobody: the model cannot tell"],
    ]  # fmt: skip


def test_what_has_gone_is_counted_and_shown_question_by_question():
    assert rows_of("Superseded", FIRST, SECOND) == [
        ["2026-11-30", "superseded", 3, 2, "1 of 2", "0 of 2", "1 of 2"],
        ["2026-11-30", "taken back", 3, 2, "1 of 2", "0 of 2", ""],
    ]
    assert rows_of("What has gone", FIRST, SECOND) == [
        ["When does it close?", "5", "6", "no", "not asked", "yes", "At <b>5</b>."]
    ]


def test_the_same_tables_are_in_the_markdown_with_markup_escaped():
    lines = report_days.markdown([FIRST, SECOND], report_text.table)
    assert [line for line in lines if line.startswith("## ")] == [
        "## Over time", "## Why latest moved, or did not", "## Documents that contradict one another",
        "## Superseded and taken back", "## What has gone, asked of 2026-11-30",
    ]  # fmt: skip
    assert any("At \\<b>5\\</b>." in line for line in lines)
