"""How long each part of a collection takes, by processor time, for benchmarks/scale.py: the project's functions, timed."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter
from collections.abc import Iterator

from data_processor import arguments, collection, method, pipeline
from data_processor.curation import NearCopies
from engines.journal import JournaledEngine

TIMED = (  # (where the function is looked up, its name, what it is called in the results)
    (arguments, "read_documents", "read documents"),
    (collection, "cut_into_chunks", "chunk"),
    (pipeline, "split_into_units", "find what to read"),
    (method, "read_units", "facts and their checks"),
    (method, "ask_questions", "questions and their checks"),
    (method, "diversify", "wordings and their checks"),
    (method, "ask_late", "unknown, two facts"),
    (method, "write_texts", "texts and their checks"),
    (method, "drop_answered", "unknown that is answered"),
    (pipeline, "to_rows", "rows"),
    (pipeline, "drop_duplicates", "exact copies"),
    (pipeline, "split", "split"),
    (collection, "write_dataset", "write"),
    (NearCopies, "is_new", "near copies (within the others)"),
    (JournaledEngine, "chat", "engine and journal (within the others)"),
)


@contextlib.contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """Seconds by part, filled in as the functions are called within the block."""
    seconds: Counter[str] = Counter()
    found: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        for owner, name, part in TIMED:
            function = getattr(owner, name)
            setattr(owner, name, timed(function, part, seconds))
            stack.callback(setattr, owner, name, function)
        yield found
    found.update({part: round(spent, 2) for part, spent in seconds.items()})


def timed(function, part: str, seconds: Counter[str]):
    @functools.wraps(function)
    def call(*given, **options):
        started = time.process_time()
        try:
            return function(*given, **options)
        finally:
            seconds[part] += time.process_time() - started

    return call
