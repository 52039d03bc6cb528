"""Estimate the cost of a collection from some of its chunks before the run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from data_processor.chunking import Chunk
from data_processor.work import Work

SAMPLE_SHARE = 0.05  # of the chunks, evenly spaced
MIN_SAMPLE, MAX_SAMPLE = 2, 16  # chunks


class CountedEngine:
    """An engine that counts its calls."""

    def __init__(self, engine):
        self.engine, self.name, self.calls = engine, engine.name, 0

    def chat(self, conversations, **options):
        self.calls += len(conversations)
        return self.engine.chat(conversations, **options)


def pick_sample(chunks: list[Chunk]) -> list[Chunk]:
    """Evenly spaced chunks, from the first to the last."""
    size = min(len(chunks), MAX_SAMPLE, max(MIN_SAMPLE, math.ceil(SAMPLE_SHARE * len(chunks))))
    return [chunks[round(i * (len(chunks) - 1) / max(1, size - 1))] for i in range(size)]


def estimate(
    work: Work, chunks: list[Chunk], make_rows: Callable[[Work, list[Chunk]], list[dict]], cost: Callable[[dict], float]
) -> dict[str, float]:
    """Run all steps (`make_rows`) on a sample and scale the figures by text length.

    The minutes err on the high side, since an engine answers larger batches faster than the sample's. `cost` turns
    token counts into money.
    """
    sample = pick_sample(chunks)
    engine = work.engine = CountedEngine(work.engine)
    started = time.monotonic()
    rows = make_rows(work, sample)
    scale = sum(len(chunk.text) for chunk in chunks) / sum(len(chunk.text) for chunk in sample)
    tokens = {kind: round(count * scale) for kind, count in work.tokens.items()}
    return {
        "sample_chunks": len(sample),
        "chunks": len(chunks),
        "calls": round(engine.calls * scale),
        "prompt_tokens": tokens["prompt"],
        "completion_tokens": tokens["completion"],
        "examples": round(len(rows) * scale),
        "minutes": round((time.monotonic() - started) * scale / 60, 1),
        "cost": cost(tokens),
    }


def print_estimate(totals: dict[str, float]) -> None:
    print(
        f"{totals['sample_chunks']} of {totals['chunks']} chunks measured. The whole run: about {totals['calls']} calls, "
        f"{totals['prompt_tokens']} prompt tokens, {totals['completion_tokens']} written tokens, {totals['examples']} examples, "
        f"{totals['minutes']} minutes at most" + (f", cost {totals['cost']}" if totals["cost"] else "")
    )
