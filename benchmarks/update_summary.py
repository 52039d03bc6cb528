"""What benchmarks/update.py has measured on five days, in the numbers it reports."""

from __future__ import annotations

from collections import defaultdict

from days.asked import count_gone

DEFAULT = "onward"  # the way whose numbers stand at the top
EVERYTHING = "anew"  # the way that trains on everything, whose cost the others are compared with


def summarise(by_way: dict[str, list[dict]]) -> dict:
    """The numbers of every way, from its records of day 1 and after, and those of DEFAULT at the top."""
    costs = {record["day"]: record for record in by_way.get(EVERYTHING, [])}
    ways = {
        way: {**measure(records, costs), "days": [about_day(one, records[0]) for one in records]}
        for way, records in by_way.items()
    }
    top = {key: value for key, value in ways.get(DEFAULT, {}).items() if key != "days"}
    return {**top, "default": DEFAULT, "ways": ways}


def measure(records: list[dict], costs: dict[int, dict]) -> dict:
    """The numbers of one way; `costs` are the records of training on everything, by day. Counts, and shares of them.

    The ratio of tokens does not depend on what else the machine did meanwhile.
    """
    first, last = records[0], records[-1]
    everything = costs.get(last["day"])
    counts = defaultdict(int)
    for record in records:
        for what, count in count_gone(record["gone"], record["run"]).items():
            for key, value in count.items():
                counts[what, key] += value
    kept = still_right(first, last)
    changed, retracted = counts["superseded", "known"], counts["deleted", "known"]
    still = counts["deleted", "still_said"] - counts["deleted", "base_said"]
    general = [now for now, before in zip(last["general"], last["general_base"], strict=True) if before]
    return {
        "last_day": last["day"],
        "day5_cost_ratio": share(last["training_seconds"], everything["training_seconds"]) if everything else None,
        "day5_tokens_ratio": share(last["trained_tokens"], everything["trained_tokens"]) if everything else None,
        "day1_kept": share(sum(kept), len(kept)),
        "day1_known": len(kept),
        "changed_known": changed,
        "superseded_said": share(counts["superseded", "still_said"], changed),
        "new_value_right": share(counts["superseded", "new_right"], counts["superseded", "changed"]),
        "retracted_known": retracted,
        "retracted_said": share(still, retracted),
        "right": share(sum(last["right"].values()), len(last["right"])),
        "general_kept": share(sum(general), len(general)),
    }


def still_right(first: dict, record: dict) -> list[bool]:
    """Of the facts that were answered right on the first day and are still asked for, whether each is right now."""
    return [record["right"][fact] for fact, right in first["right"].items() if right and fact in record["right"]]


def about_day(record: dict, first: dict) -> dict:
    """One day of a way, in counts."""
    right, general, kept = record["right"], record["general"], still_right(first, record)
    return {
        "day": record["day"], "way": record["way"], "right": sum(right.values()), "asked": len(right),
        "day1_right": sum(kept), "day1_asked": len(kept),
        "base_right": sum(record["base_right"].values()), "general_right": sum(general),
        "training_seconds": record["training_seconds"], "answering_seconds": record["answering_seconds"],
        "trained_tokens": record["trained_tokens"], "passed": record["passed"], "why": record["why"],
        "gone": count_gone(record["gone"], record["run"]),
    }  # fmt: skip


def share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None
