"""What there is to watch of a run: numbers by name, read from the files that its stages write."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from utils import InputError, read_json

# The script that made a file, by the name in its meta file; inference.py and evaluate.py make several.
GROUPS = {
    "data_collection_local.py": "collection",
    "data_collection_api.py": "collection",
    "contradictions.py": "contradictions",
    "finetune.py": "training",
    "inference.py": "answers",
    "evaluate.py": "scores",
}
SCORE_FILES = {"acc": "{name}", "win_rate": "win_rate", "forgetting": "forgetting", "controls": "controls"}
NOT_NUMBERS = {"made_by", "arguments", "finished", "commit", "machine", "versions", "usage"}
TRAINING_LOG = "train_log.jsonl"  # in the log folder of an adapter: an object a line, with "time" and STEP
JOURNAL = ".journal.jsonl"  # of what a model was asked, see engines/journal.py
STEP = "train/global_step"  # as transformers calls it
NAME = re.compile(r"[^\w./-]+")  # not in the name of a number


def numbers_of_meta(path: Path, meta: dict) -> dict[str, float]:
    """The numbers in a meta file, such as "collection/facts" or "scores/tuned/accuracy"; {} if it is no stage's."""
    group, stem = GROUPS.get(meta.get("made_by", "")), path.name.removesuffix(".meta.json")
    if group is None:
        return {}
    facts = {key: value for key, value in meta.items() if key not in NOT_NUMBERS and not key.startswith("by_")}
    facts |= facts.pop("counts", {})
    if group == "answers":
        group = f"answers/{stem}"
    elif group == "scores":
        name, kind = next(
            ((stem.removesuffix(f"_{kind}"), kind) for kind in SCORE_FILES if stem.endswith(f"_{kind}")), (stem, "acc")
        )
        group = f"scores/{SCORE_FILES[kind].format(name=name)}"
    elif group == "collection":
        rows = facts.get("rows", {})
        facts |= {
            "questions": sum(count for kind, count in rows.items() if kind != "passage"),
            "dropped_in_all": sum(facts.get("dropped", {}).values()),
        }
    return flatten(group, facts)


def flatten(name: str, value: Any) -> dict[str, float]:
    """{"a/b": 1} from a name and what stands under it; intervals become `low` and `high`, and all but numbers is left out."""
    if isinstance(value, dict):
        return {key: one for part, inner in value.items() for key, one in flatten(f"{name}/{part}", inner).items()}
    if name.endswith("/interval") and value:
        return flatten(name, dict(zip(("low", "high"), value, strict=True)))
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return {NAME.sub("_", name): value}
    return {}


def numbers_of_time(run: dict, deadline: float | None, now: float) -> dict[str, float]:
    """Of run.json: the seconds planned for and taken by each stage, those left, and the end that is expected.

    `deadline` and `now` are time.time() values.
    """
    stages = {one["name"]: {key: one.get(key) for key in ("planned_seconds", "seconds")} for one in run["stages"]}
    times: dict[str, Any] = {**stages, "seconds": run.get("seconds")}
    if deadline is not None:
        times["seconds_left"] = round(max(deadline - now, 0.0), 1)
    if run.get("etas"):
        times["expected_seconds"] = run["etas"][-1]["end"]
    return flatten("budget", times)


def numbers_of_progress(progress: dict) -> dict[str, float]:
    """How far a stage has come, from 0 to 1."""
    return flatten(f"budget/{progress['stage']}", {"done": progress["done"]})


def read_entries(path: Path) -> list[dict]:
    """The entries of a training's log; one that is being written is left out."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    entries = map(parse_line, text[: text.rfind("\n") + 1].splitlines())
    return [entry for entry in entries if {"time", STEP} <= entry.keys()]


def parse_line(line: str | bytes) -> dict:
    """The object on a line; {} if there is none, as where a file system lost what was written before a crash."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class GrowingJournals:
    """How many replies are in the journals, and their tokens, while a stage is still asking. Each line is read once."""

    def __init__(self, since: float):
        self.since = since
        self._ends: dict[Path, int] = {}  # in bytes, of what was read
        self._sums: dict[Path, Counter[str]] = defaultdict(Counter)

    def read(self, path: Path) -> dict[str, float]:
        """Of a journal that was written to since the run began: {"replies/data/received": ...}; {} of another."""
        try:
            found = path.stat()
            if found.st_mtime < self.since or found.st_size <= self._ends.get(path, 0):
                return {}
            with path.open("rb") as file:
                file.seek(self._ends.get(path, 0))
                for line in file:
                    if line.endswith(b"\n"):  # else it is being written, or a kill cut it off, and its stage will
                        self._count(path, parse_line(line))
                        self._ends[path] = self._ends.get(path, 0) + len(line)
        except OSError:
            return {}
        return flatten(f"replies/{path.name.removesuffix(JOURNAL)}", self._sums[path])

    def _count(self, path: Path, batch: dict[str, dict]) -> None:
        for reply in batch.values():
            tokens = {key: reply.get(key, 0) for key in ("prompt_tokens", "completion_tokens")}
            self._sums[path].update({"received": 1, **tokens})


class ChangedFiles:
    """JSON files that are read when they have changed. One that is being replaced or removed is read the next time."""

    def __init__(self, since: float):
        self.since, self._times = since, {}

    def read(self, path: Path) -> dict | None:
        """The file's content, if it was written since the run began and since it was last read."""
        try:
            changed = path.stat().st_mtime
            if changed < self.since or self._times.get(path) == changed:
                return None
            content = read_json(path, "a file of a run")
        except (OSError, InputError):
            return None
        self._times[path] = changed
        return content if isinstance(content, dict) else None
