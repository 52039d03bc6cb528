"""The page "over time" of the report: the runs of a folder that changes, as tables for report.md and report.html.

It gets what days/overview.py has put together, a run after the other, under "days"; of a first run there is nothing.
"""

from __future__ import annotations

from typing import Any

CHANGES = ("added", "edited", "renamed", "deleted")
GONE = {"superseded": "superseded", "deleted": "taken back", "earlier": "gone before"}
SAID = {True: "yes", False: "no", None: "not asked"}

Table = dict[str, Any]  # "title", "note", "headers", "rows"


def tables(days: list[dict]) -> list[Table]:
    """The tables of the page, those without a row left out."""
    if not days:
        return []
    found = [runs_table(days), why_table(days), pairs_table(days), gone_table(days), gone_questions_table(days[-1])]
    return [table for table in found if table["rows"]]


def runs_table(days: list[dict]) -> Table:
    rows = []
    for day in days:
        changed = [f"{len(names)} {what}" for what in CHANGES if (names := (day["changes"] or {}).get(what))]
        latest = {True: "moved", False: "stayed", None: "open"}[day["passed"]]
        right, kept = f"{day['right']} of {day['asked']}", f"{day['kept']} of {day['known']}" if day["known"] else ""
        minutes = f"{day['seconds'] / 60:.1f}"
        rows.append([day["name"], ", ".join(changed), day["way"] or "", day["facts"], right, kept, minutes, latest])
    return {
        "title": "Over time",
        "note": "Facts stated that day; those that were asked and are answered right; of those answered right in any run "
        "before and asked again, those still right; and whether latest moved to the run.",
        "headers": ["run", "documents", "way", "facts", "right", "still right", "minutes", "latest"],
        "rows": rows,
    }


def why_table(days: list[dict]) -> Table:
    return {
        "title": "Why latest moved, or did not",
        "note": "Each run is held against the run before it, and against the run that asked each question first.",
        "headers": ["run", "what was compared"],
        "rows": [[day["name"], line] for day in days for line in day["why"]],
    }


def pairs_table(days: list[dict]) -> Table:
    """Contradictions side by side, with which is newer and how that is known."""
    rows = []
    for day in days:
        for pair in day["pairs"]:
            old, new = (f"{pair[side]['quote']} ({pair[side]['file_name']})" for side in ("old", "new"))
            newer = f"{pair['newer']}: {pair['known_by']}" if pair["newer"] else "cannot be told: both are trained"
            undecided = f"nobody: {pair['undecided']}" if pair.get("undecided") else "nobody"
            rows.append([day["name"], old, new, newer, pair["decided_by"] or undecided])
    return {
        "title": "Documents that contradict one another",
        "note": "What the older one says is not trained any more, if it is known which is newer. Where nobody has decided "
        "whether they contradict one another, both are trained that are still stated.",
        "headers": ["run", "older", "newer", "newer is", "decided by"],
        "rows": rows,
    }


def gone_table(days: list[dict]) -> Table:
    rows = []
    for day in days:
        for what, count in (day["gone"] or {"counts": {}})["counts"].items():
            new = f"{count['new_right']} of {count['changed']}" if count["changed"] else ""
            shares = (f"{count[key]} of {count['known']}" for key in ("still_said", "base_said"))
            rows.append([day["name"], GONE[what], count["facts"], count["known"], *shares, new])
    return {
        "title": "Superseded and taken back",
        "note": "Facts that went, as far as a question names neither value: those the run before said right; of these, the "
        "old answer is still said, the base model says it without ever having learnt it, and the new answer is said.",
        "headers": ["run", "what", "facts", "known before", "old still said", "old said by base", "new said"],
        "rows": rows,
    }


def gone_questions_table(day: dict) -> Table:
    rows = []
    for one in (day["gone"] or {"questions": []})["questions"]:
        said = [SAID[one["said"].get(model)] for model in ("base", "before", "tuned")]
        rows.append([one["question"], one["reference"], one["new"] or "", *said, one["responses"].get("tuned", "")])
    return {
        "title": f"What has gone, asked of {day['name']}",
        "note": "Whether the old answer is said: by the base model, by the run before, and now.",
        "headers": ["question", "old answer", "new answer", "base", "before", "now", "answer now"],
        "rows": rows,
    }


def markdown(days: list[dict], make_table) -> list[str]:
    """The page for report.md; `make_table` is report_text.table."""
    lines = []
    for table in tables(days):
        lines += [f"## {table['title']}", "", table["note"], "", *make_table(table["headers"], table["rows"])]
    return lines
