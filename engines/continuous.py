"""What the engines on vLLM share: conversations are taken up as others end, without waves that drain between them.

A decoder writes many replies at once and is fed as they finish. `feed` does so in this process; engines.vllm_replicas
does it for decoders in processes of their own.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from llm import Conversation, Reply, for_each


@dataclass(frozen=True)
class Request:
    """One conversation with what decides its reply; `tuned`: with the adapter."""

    messages: Conversation
    schema: dict | None
    max_new_tokens: int
    temperature: float
    tuned: bool


class Decoder(Protocol):
    """Writes the replies to many requests at once. Keys are the caller's, and none is used twice.

    `most` are the requests it is worth giving it at once: those it writes, and some that wait to take their places.
    """

    most: int

    def add(self, key: str, request: Request) -> Reply | None:
        """Take a request; a reply at once where it cannot be written. ValueError where its schema cannot be enforced."""

    def step(self) -> list[tuple[str, Reply]]:
        """Write on, and hand over what is finished."""

    def abort(self, keys: list[str]) -> None:
        """Forget these; unknown ones do not matter."""


class ContinuousEngine(ABC):
    """`Engine.chat` on what a subclass decodes. It has no waves, and `seed` is not heard.

    vLLM's fastest sampler has one stream of random numbers for all rows and is left out as soon as one of them has a seed
    of its own (vllm.v1.worker.gpu.sample.sampler, 0.32), and what a row draws there depends on its neighbours. So a reply
    cannot be had a second time: no reply is asked for twice instead, by the journal. Where replies must be the same in
    every run, use transformers or an API. A prompt that is asked with several seeds has a draw for each.
    """

    tuned = False  # whether the adapter is asked

    @abstractmethod
    def decode(self, requests: list[Request], finish: Callable[[int, Reply], None]) -> None:
        """Call finish(index, reply) for each request, in any order."""

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        amount = len(conversations)
        temperatures, schemas = for_each(temperature, amount), for_each(schemas, amount)
        replies: list[Reply | None] = [None] * amount

        def finish(index: int, reply: Reply) -> None:
            replies[index] = reply
            if on_reply:
                on_reply(index, reply)

        each = zip(conversations, schemas, temperatures, strict=True)
        self.decode([Request(one, schema, max_new_tokens, heat, self.tuned) for one, schema, heat in each], finish)
        return replies

    def waves(self, conversations, max_new_tokens):
        return None


numbers = itertools.count()  # of the calls of this process


def feed(decoder: Decoder, requests: Iterable[Request], finish: Callable[[int, Reply], None]) -> None:
    """Have a decoder answer all requests, `decoder.most` in it at once, so that memory does not grow with their number.

    Left by an exception, also one that a signal's handler raises at any point, it leaves nothing in the decoder; what the
    decoder still hands over of an earlier call is known by its key, and dropped.
    """
    call, coming = next(numbers), enumerate(requests)
    writing: dict[str, int] = {}  # key: index of the request
    try:
        while True:
            while len(writing) < decoder.most and (item := next(coming, None)):
                index, request = item
                key = f"{call}.{index}"
                writing[key] = index  # before it is added: it is aborted then, whenever this is stopped
                refusal = decoder.add(key, request)
                if refusal:
                    finish(writing.pop(key), refusal)
            if not writing:
                return
            for key, reply in decoder.step():
                if key in writing:
                    finish(writing.pop(key), reply)
    finally:
        decoder.abort([*writing])  # none, unless something was raised
