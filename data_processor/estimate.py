"""What a collection would take, measured on some of its chunks before the run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from data_processor.chunking import Chunk
from data_processor.work import Work

SAMPLE_SHARE = 0.05  # of the chunks, spread evenly over them
SMALLEST_SAMPLE, LARGEST_SAMPLE = 2, 16  # chunks


class CountedEngine:
    """An engine whose calls are counted."""

    def __init__(self, engine):
        self.engine, self.name, self.calls = engine, engine.name, 0

    def chat(self, conversations, **options):
        self.calls += len(conversations)
        return self.engine.chat(conversations, **options)


def sample_of(chunks: list[Chunk]) -> list[Chunk]:
    """Some chunks, from the first to the last at even steps."""
    size = min(len(chunks), LARGEST_SAMPLE, max(SMALLEST_SAMPLE, math.ceil(SAMPLE_SHARE * len(chunks))))
    return [chunks[round(i * (len(chunks) - 1) / max(1, size - 1))] for i in range(size)]


def estimate(
    work: Work, chunks: list[Chunk], make: Callable[[Work, list[Chunk]], list[dict]], price: Callable[[dict], float]
) -> dict[str, float]:
    """Run all steps (`make`, which gives rows) on a sample and scale what they took by the length of the text.

    The minutes are rather too many than too few: an engine answers a larger batch faster than the sample's. `price`
    turns counts of tokens into money.
    """
    sample = sample_of(chunks)
    counted = work.engine = CountedEngine(work.engine)
    started = time.monotonic()
    rows = make(work, sample)
    scale = sum(len(chunk.text) for chunk in chunks) / sum(len(chunk.text) for chunk in sample)
    tokens = {kind: round(count * scale) for kind, count in work.tokens.items()}
    return {
        "sample_chunks": len(sample),
        "chunks": len(chunks),
        "calls": round(counted.calls * scale),
        "prompt_tokens": tokens["prompt"],
        "completion_tokens": tokens["completion"],
        "examples": round(len(rows) * scale),
        "minutes": round((time.monotonic() - started) * scale / 60, 1),
        "cost": price(tokens),
    }


def print_estimate(whole: dict[str, float]) -> None:
    print(
        f"{whole['sample_chunks']} of {whole['chunks']} chunks measured. The whole: about {whole['calls']} calls, "
        f"{whole['prompt_tokens']} prompt tokens, {whole['completion_tokens']} written tokens, {whole['examples']} examples, "
        f"{whole['minutes']} minutes at most" + (f", cost {whole['cost']}" if whole["cost"] else "")
    )
