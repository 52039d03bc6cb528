"""Workers on the machines of a Ray cluster behind the same `chat()`: one engine each, vLLM, transformers or an API.

    engine = load_engine("Qwen/Qwen2.5-7B-Instruct", EngineArguments(ray_address="auto"))    # engines.load
    replies = engine.chat([[{"role": "user", "content": "Hello"}]], max_new_tokens=32)

A worker is a Ray actor (engines.ray_worker). It is given stretches of conversations and sends each reply as soon as it is
finished (engines.ray_pool). What a lost worker had not answered is asked again, of another one or of the one that takes its
place; what it had answered is kept. All state is here and in the journal: the cluster remembers nothing.

"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

from engines.chat import Conversation, Reply, broadcast
from engines.ray_pool import Stretch, WorkerPool
from engines.vllm import STRETCH

FEWEST_ROWS = 8  # that transformers decodes together, where there are more workers than waves


class RayEngine:
    """An engine for each of `workers`, answering in parallel.

    Of a `continuous` engine (vLLM, an API) each worker always has as many conversations as it can take. One with waves
    (transformers) is given one wave at a time, a lost one again as a whole: a reply depends to the last digit on what is
    decoded with it. `options` are passed to every engine's `chat`.
    """

    def __init__(self, name: str, workers: WorkerPool, continuous: bool, tokenizer=None, **options):
        self.name, self.workers, self.continuous = name, workers, continuous
        self.tokenizer, self.options = tokenizer, options

    def base(self) -> RayEngine:
        """The same workers without the adapter (vLLM)."""
        base = copy.copy(self)
        base.options = {**self.options, "tuned": False}
        return base

    def close(self) -> None:
        """End the workers."""
        self.workers.close()

    def chat(self, conversations, *, on_reply=None, **options):
        replies: list[Reply | None] = [None] * len(conversations)

        def keep(indices: list[int], answers: list[Reply]) -> None:
            for index, reply in zip(indices, answers, strict=True):
                replies[index] = reply

        if conversations:
            waves = self.waves(conversations, options.get("max_new_tokens", 256))
            stretches = waves or self._stretches(len(conversations))
            self.chat_waves(stretches, keep, conversations, on_reply=on_reply, **options)
        return replies

    def chat_waves(
        self,
        waves: list[list[int]],
        on_wave: Callable[[list[int], list[Reply]], None],
        conversations: list[Conversation],
        *,
        max_new_tokens: int = 256,
        temperature: float | list[float] = 0.0,
        seed: int | list[int] = 0,
        schemas: dict | list[dict] | None = None,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> None:
        """Ask the conversations of all waves, several waves at once: `on_wave(wave, replies)` as soon as one is complete."""
        count = len(conversations)
        per_conversation = {
            name: broadcast(value, count)
            for name, value in (("temperature", temperature), ("seed", seed), ("schemas", schemas))
        }

        def request(indices: list[int]) -> tuple[list[Conversation], dict]:
            chosen = {name: [values[index] for index in indices] for name, values in per_conversation.items()}
            return [conversations[index] for index in indices], {
                "max_new_tokens": max_new_tokens,
                **chosen,
                **self.options,
            }

        stretches = [Stretch(wave, together=not self.continuous) for wave in waves]
        self.workers.answer(stretches, request, on_reply or (lambda *_: None), on_wave)

    def waves(self, conversations, max_new_tokens):
        if self.continuous:
            return None
        waves = self.workers.on_one("waves", conversations, max_new_tokens)
        return share_out(waves, len(self.workers.places))

    def _stretches(self, count: int) -> list[list[int]]:
        """Neighbours, which share a prefix, that go to a worker together, so that all workers get some of a few."""
        size = stretch_length(count, len(self.workers.places), self.workers.capacity())
        return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def stretch_length(count: int, workers: int, capacity: int) -> int:
    """How many neighbours to give a worker together, of `count` for all and with room for `capacity` in each."""
    return max(1, min(STRETCH, count // workers, capacity // 4))


def share_out(waves: list[list[int]], workers: int) -> list[list[int]]:
    """The waves as they are, or if there are fewer than workers, in pieces of at least FEWEST_ROWS neighbours."""
    if len(waves) >= workers:
        return waves
    size = max(FEWEST_ROWS, math.ceil(sum(map(len, waves)) / workers))
    return [wave[start : start + size] for wave in waves for start in range(0, len(wave), size)]
