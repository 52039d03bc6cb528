"""A collection that is killed again and again must end with the dataset of the unbroken run, and repeat little."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path

from benchmarks import runs

FILES = ("data.json", "data.test.json", "data.dropped.jsonl")
LOOK_EVERY_S = 0.05


def kills(folder: Path, common: list, documents: int, limit: int | None, amount: int, seed: int) -> dict:
    """Run once unbroken, then once more with SIGKILL at `amount` moments drawn over the unbroken run's duration.

    A moment is so many seconds into the start or into a batch of calls. The run that goes on is killed when it has
    come as far, so that the kills spread over all steps and not only over those that the time between two kills lets
    it reach.
    """
    texts = runs.sample(folder, documents)
    common = [*common, "--data_path", texts, "--test_ratio", 0.1, *(["--limit", limit] if limit else [])]

    def begin(name: str, calls: Path) -> runs.Run:
        target = folder / name
        return runs.start(runs.WATCHED, target, calls, 0, "--json_save_dir", target / "data.json", *common)

    run = begin("unbroken", folder / "unbroken.calls.jsonl")
    runs.finish(run)
    lines = runs.watched_calls(folder / "unbroken.calls.jsonl")
    unbroken = [line["calls"] for line in lines if "calls" in line]
    starts = [0.0, *(line["time"] - run.started for line in lines)]  # of the run, of each batch, and the end
    duration = starts.pop()
    batch_of = {call: number for number, batch in enumerate(unbroken, 1) for call in batch}

    draw = random.Random(seed)
    moments = sorted(draw.uniform(0, duration) for _ in range(amount))
    sent: list[list[list[str]]] = []  # of each run its batches
    delivered = 0
    for number, moment in enumerate([*moments, None]):
        calls = folder / f"killed_{number}.calls.jsonl"
        run = begin("killed", calls)
        if moment is None:
            runs.finish(run)
        else:
            batch = max(number for number, start in enumerate(starts) if start <= moment)
            wait_for(run, calls, batch_of, batch)
            time.sleep(moment - starts[batch])
            delivered += run.kill()
        sent.append([line["calls"] for line in runs.watched_calls(calls) if "calls" in line])

    before: set[str] = set()
    repeated = []
    for batches in sent:
        own = {call for batch in batches for call in batch}
        repeated.append(len(own & before))
        before |= own
    largest = max(len(batch) for batch in unbroken)
    pairs = len(runs.pairs(folder / "unbroken" / "data.json"))
    same = {name: same_bytes(folder / "unbroken" / name, folder / "killed" / name) for name in FILES}
    return {
        "documents": documents,
        "sentences_of_each_chunk": limit or "all",
        "kills": delivered,
        "kills_identical": all(same.values()),
        "identical_files": same,
        "moments_s": [round(moment, 1) for moment in moments],
        "unbroken_s": round(duration, 1),
        "unbroken_calls": sum(map(len, unbroken)),
        "unbroken_pairs": pairs,
        "unbroken_pairs_per_min": runs.per_minute(pairs, duration - starts[1]),
        "calls_sent": sum(len(batch) for batches in sent for batch in batches),
        "calls_repeated_most": max(repeated),
        "calls_repeated": sum(repeated),
        "finished_calls_repeated": journal_repeats(folder / "killed" / "data.journal.jsonl"),
        "largest_wave": largest,
        "passed": delivered == amount and all(same.values()) and max(repeated) <= largest,
    }


def wait_for(run: runs.Run, calls: Path, batch_of: dict[str, int], batch: int) -> None:
    """Until the run has come to batch number `batch`, 0 being its start, or has ended."""
    while batch and run.process.poll() is None:
        if any(batch_of.get(call, 0) >= batch for line in runs.watched_calls(calls) for call in line.get("calls", ())):
            return
        time.sleep(LOOK_EVERY_S)


def journal_repeats(path: Path) -> int:
    """How many finished calls a journal has more than once."""
    counts = Counter(key for line in path.read_text().splitlines() for key in json.loads(line))
    return sum(count - 1 for count in counts.values())


def same_bytes(some: Path, other: Path) -> bool:
    return some.read_bytes() == other.read_bytes()
