"""A decoder without a model, for the scheduling of engines.vllm, in the process of a copy or in this one.

A request is a number of steps, a space, and what to answer; "end" ends the process. The schema "nonsense" is refused.
"""

from __future__ import annotations

import os
import time
from collections import deque

from engines.chat import Reply
from engines.vllm_decoder import Request
from utils import InputError

SLOTS, CAPACITY = 4, 16


class ScriptedDecoder:
    """Writes SLOTS replies at once and takes CAPACITY requests. With a name it says in each reply how many it was writing."""

    def __init__(self, name: str = "", pause: float = 0.0, forgets: bool = True):
        self.name, self.pause, self.forgets, self.capacity = name, pause, forgets, CAPACITY
        self.waiting: deque = deque()
        self.writing: dict[str, list] = {}

    def add(self, key: str, request: Request) -> Reply | None:
        assert key not in self.writing and len(self.waiting) + len(self.writing) < CAPACITY
        if request.schema == "nonsense":
            raise ValueError("this JSON schema cannot be enforced")
        steps, _, text = request.messages[0]["content"].partition(" ")
        if steps == "0":
            return Reply("", finish_reason="error", error="too long")
        self.waiting.append((key, [int(steps), text]))
        return None

    def step(self) -> list[tuple[str, Reply]]:
        time.sleep(self.pause)
        while self.waiting and len(self.writing) < SLOTS:
            key, request = self.waiting.popleft()
            self.writing[key] = request
        finished, named = [], f" {self.name} {len(self.writing)}" if self.name else ""
        for key, request in list(self.writing.items()):
            request[0] -= 1
            if request[1] == "end":
                os._exit(1)
            if request[0] == 0:
                finished.append((key, Reply(request[1] + named)))
                del self.writing[key]
        return finished

    def abort(self, keys: list[str]) -> None:
        if self.forgets:
            self.waiting = deque(item for item in self.waiting if item[0] not in keys)
            for key in keys:
                self.writing.pop(key, None)


def load_scripted(seed: int, model_name_or_path: str, pauses: list[float] | None = None, **_options) -> ScriptedDecoder:
    """The copy of this number, which is its name where the copies have `pauses`, the seconds of a step of each."""
    if model_name_or_path == "nowhere":
        raise InputError("expected a model, found none")
    return ScriptedDecoder(str(seed) if pauses else "", pauses[seed] if pauses else 0.0)
