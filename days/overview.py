"""All runs of a folder, one beside the other, for the report's page "over time"."""

from __future__ import annotations

from days.asked import GONE_SCORES
from days.folders import Day, all_runs, read_day
from days.gate import Gate
from days.intake import read_pairs
from days.ledger import read_ledger
from days.measured import RIGHT
from utils import read_json


def over_time(day: Day, gate: Gate) -> list[dict]:
    """The runs up to a day, the first one first; of the day itself, `gate` says whether it passed.

    {"name", "changes": {"added", "edited", "renamed", "deleted": names, "same": count} or null, "way", "facts": stated then,
    "asked", "right": facts with an answer then, "known", "kept": of those the ones right in any run before, "passed", "why": lines, "pairs": see superseded.py, "gone": {"counts", "questions"}, see asked.py, "seconds"}.
    """
    records = read_ledger(day.out).values()
    found = []
    for run in all_runs(day.out):
        one, told = Day(day.out, run), read_day(run)
        learnt = [record["learnt"] for record in records if one.name in record["learnt"]]
        right = [by_run for by_run in learnt if by_run[one.name] > RIGHT]
        ever = [by_run for by_run in learnt if max(earlier_of(by_run, one.name), default=0) > RIGHT]
        scores, times = run / GONE_SCORES, run / "run.json"
        found.append({
            "name": one.name, "changes": told.get("changes"), "way": told.get("way"),
            "facts": sum(one.name in record["runs"] for record in records),
            "asked": len(learnt), "right": len(right),
            "known": len(ever), "kept": sum(by_run[one.name] > RIGHT for by_run in ever),
            "passed": gate.passed if run == day.run else told.get("passed"),
            "why": gate.lines() if run == day.run else told.get("why", []),
            "pairs": read_pairs(run),
            "gone": read_json(scores, "what has gone") if scores.is_file() else None,
            "seconds": stage_seconds(read_json(times, "the times of a run") if times.is_file() else {}),
        })  # fmt: skip
    return found


def earlier_of(by_run: dict[str, float], name: str) -> list[float]:
    """What was right in the runs before one; the ledger has them in order."""
    names = list(by_run)
    return [by_run[one] for one in names[: names.index(name)]]


def stage_seconds(state: dict) -> float:
    return round(sum(stage.get("seconds") or 0 for stage in state.get("stages", ())), 1)
