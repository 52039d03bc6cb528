"""Engines for the workers of tests/test_ray.py, whose processes cannot import this folder: they are sent whole."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import scripted_decoder

from engines.chat import Reply
from engines.ray_cluster import Share
from engines.ray_pool import WorkerPool
from engines.ray_worker import DecoderEngine


class Doomed:
    """Answers in waves of four, in capitals. "die" ends the process where the file `alive` still exists, and removes it;
    "die after FILE" ends it always, once that file is there.
    """

    name = "doomed"

    def __init__(self, alive: str):
        self.alive = Path(alive)

    def waves(self, conversations, max_new_tokens):
        return [list(range(start, min(start + 4, len(conversations)))) for start in range(0, len(conversations), 4)]

    def chat(self, conversations, *, on_reply, **options):
        batch = "".join(messages[0]["content"][0] for messages in conversations)
        for index, messages in enumerate(conversations):
            text = messages[0]["content"]
            if text == "die" and self.alive.exists():
                self.alive.unlink()
                os._exit(1)
            if text.startswith("die after "):
                while not Path(text.removeprefix("die after ")).exists():
                    time.sleep(0.05)
                os._exit(1)
            on_reply(index, Reply(f"{text.upper()} in {batch}"))


def doomed(alive: str, number: int) -> Doomed:
    return Doomed(alive)


def scripted(pause: float, number: int) -> DecoderEngine:
    return DecoderEngine(scripted_decoder.ScriptedDecoder(str(number), pause))


def never_loaded(number: int) -> None:
    os._exit(1)


@contextlib.contextmanager
def pool_of(workers: int, load):
    """A pool of workers that are loaded by one of the functions above."""
    from ray import cloudpickle

    for module in (sys.modules[__name__], scripted_decoder):
        cloudpickle.register_pickle_by_value(module)
    pool = WorkerPool(Share(workers), load)
    try:
        yield pool
    finally:
        pool.close()
