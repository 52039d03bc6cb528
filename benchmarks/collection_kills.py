"""A collection that is killed again and again must end with the dataset of an unbroken run, and repeat few calls."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import runs

FILES = ("data.json", "data.test.json", "log/data.dropped.jsonl")
POLL_INTERVAL_S = 0.05
RETRY_FACTOR = 0.95  # of the moment of a kill that came too late, for the next attempt


@dataclass
class Unbroken:
    """A run without kills: its batches of calls, and the second at which each began (the first entry is the start)."""

    batches: list[list[str]]
    starts: list[float]
    duration: float

    @classmethod
    def read(cls, run: runs.Run, calls: Path) -> Unbroken:
        lines = runs.read_calls(calls)
        asked = [line for line in lines if "calls" in line]
        starts = [0.0, *(line["time"] - run.started for line in asked)]
        return cls([line["calls"] for line in asked], starts, lines[-1]["time"] - run.started)


def kills(folder: Path, common: list, documents: int, limit: int | None, amount: int, seed: int) -> dict:
    """Run once unbroken, then again with SIGKILL at `amount` moments drawn over the unbroken run's duration.

    A moment is a number of seconds into the start or into a batch of calls, and a run is killed once it gets that far:
    so the kills spread over all steps, not only those reachable in the time between two kills. If a run ends before its
    kill, because the machine got faster, the remaining kills go to another run from the start.
    """
    texts = runs.copy_demo_documents(folder, documents)
    common = [*common, "--data_path", texts, "--test_ratio", 0.1, *(["--limit", limit] if limit else [])]

    def begin(name: str, calls: Path) -> runs.Run:
        return runs.start(
            runs.WATCHED, folder / name, calls, 0, "--json_save_dir", folder / name / "data.json", *common
        )

    run = begin("unbroken", folder / "unbroken.calls.jsonl")
    runs.finish(run)
    unbroken = Unbroken.read(run, folder / "unbroken.calls.jsonl")
    draw = random.Random(seed)
    moments = sorted(draw.uniform(0, unbroken.duration) for _ in range(amount))
    rounds = []
    left = list(moments)
    while left:
        name = f"killed_{len(rounds)}"
        done, sent = run_with_kills(name, folder, begin, unbroken, left)
        left = [RETRY_FACTOR * moment for moment in left[done:]]
        same = {file: same_bytes(folder / "unbroken" / file, folder / name / file) for file in FILES}
        finished_again = count_journal_repeats(folder / name / "log" / "data.journal.jsonl")
        rounds.append(
            {"kills": done, "identical": same, "finished_calls_repeated": finished_again, **count_repeats(sent)}
        )
    largest = max(map(len, unbroken.batches))
    pairs = len(runs.pairs(folder / "unbroken" / "data.json"))
    identical = all(all(one["identical"].values()) for one in rounds)
    most = max(one["calls_repeated_most"] for one in rounds)
    return {
        "documents": documents,
        "sentences_of_each_chunk": limit or "all",
        "kills": sum(one["kills"] for one in rounds),
        "kills_identical": identical,
        "calls_repeated_most": most,
        "largest_wave": largest,
        "rounds": rounds,
        "moments_s": [round(moment, 1) for moment in moments],
        "unbroken": {
            "seconds": round(unbroken.duration, 1),
            "calls": sum(map(len, unbroken.batches)),
            "batches": len(unbroken.batches),
            "pairs": pairs,
            "pairs_per_min": runs.per_minute(pairs, unbroken.duration - unbroken.starts[1]),
        },
        "passed": identical and most <= largest,
    }


def run_with_kills(
    name: str, folder: Path, begin: Callable, unbroken: Unbroken, moments: list[float]
) -> tuple[int, list]:
    """Collect one dataset, killing its runs at the moments; return the number of kills and the calls each run sent."""
    batch_of = {call: number for number, batch in enumerate(unbroken.batches, 1) for call in batch}
    sent, done = [], 0
    for number, moment in enumerate([*moments, None]):
        calls = folder / f"{name}_{number}.calls.jsonl"
        run = begin(name, calls)
        if moment is None:
            runs.finish(run)
        else:
            batch = max(place for place, start in enumerate(unbroken.starts) if start <= moment)
            wait_for_batch(run, calls, batch_of, batch)
            time.sleep(moment - unbroken.starts[batch])
            if run.kill():
                done += 1
            else:
                runs.finish(run)
                moment = None
        sent.append([call for line in runs.read_calls(calls) for call in line.get("calls", ())])
        if moment is None:
            break
    return done, sent


def count_repeats(sent: list[list[str]]) -> dict:
    """Calls that a run sent although an earlier one had: the most after one kill, and the total."""
    before: set[str] = set()
    repeated = []
    for calls in sent:
        repeated.append(len(before & set(calls)))
        before |= set(calls)
    return {"calls_sent": sum(map(len, sent)), "calls_repeated_most": max(repeated), "calls_repeated": sum(repeated)}


def wait_for_batch(run: runs.Run, calls: Path, batch_of: dict[str, int], batch: int) -> None:
    """Wait until the run reaches batch number `batch` (0 is its start), or ends."""
    while batch and run.process.poll() is None:
        if any(batch_of.get(call, 0) >= batch for line in runs.read_calls(calls) for call in line.get("calls", ())):
            return
        time.sleep(POLL_INTERVAL_S)


def count_journal_repeats(path: Path) -> int:
    """How many finished calls occur in a journal more than once."""
    counts = Counter(key for line in path.read_text().splitlines() for key in json.loads(line))
    return sum(count - 1 for count in counts.values())


def same_bytes(some: Path, other: Path) -> bool:
    return some.read_bytes() == other.read_bytes()
