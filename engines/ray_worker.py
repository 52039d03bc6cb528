"""What runs on a Ray cluster: an engine in a process of its own, which replies to stretches of conversations.

engines.ray makes actors of `Worker` and hands the conversations out. Nothing of Ray is needed here.
"""

from __future__ import annotations

import itertools
import os
import platform
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from engines.chat import Conversation, Engine, Reply, broadcast
from engines.vllm import answer
from engines.vllm_decoder import Decoder, Request
from utils import InputError

THREADS = 64  # of a worker: for the stretches that it has at once (engines.ray.stretch_length), and for `stop`


class CallStopped(Exception):
    """The call that this is a reply to was ended: nobody waits for it any more."""


@dataclass(frozen=True)
class About:
    """A worker that has loaded its engine: where it runs, and how many conversations it is given at once.

    With a `capacity` of 1 it is given one stretch at a time, however long.
    """

    pid: int
    node: str
    capacity: int = 1


class Worker:
    """One engine. `ask` may be called from several threads; an engine without a `capacity` of its own has one at a time."""

    def load(self, load_engine: Callable[[], Engine]) -> About:
        try:
            self.engine, self.stopped = load_engine(), set()
        except InputError as error:  # of this machine: the one that it is told on may be another
            raise InputError(f"on {platform.node()}: {error}") from None
        self.capacity = getattr(self.engine, "capacity", 1)
        self.turn = threading.Lock() if self.capacity == 1 else nullcontext()
        return About(os.getpid(), platform.node(), self.capacity)

    def waves(self, conversations: list[Conversation], max_new_tokens: int) -> list[list[int]] | None:
        with self.turn:
            return self.engine.waves(conversations, max_new_tokens)

    def ask(self, call: int, conversations: list[Conversation], options: dict) -> Iterator[list[tuple[int, Reply]]]:
        """(index, reply) of the conversations as they are finished, as many in a list as there are by then."""
        arrived: SimpleQueue = SimpleQueue()

        def on_reply(index: int, reply: Reply) -> None:
            if call in self.stopped:
                raise CallStopped
            arrived.put((index, reply))

        def chat() -> None:
            end = None
            try:
                with self.turn:
                    if call not in self.stopped:
                        self.engine.chat(conversations, on_reply=on_reply, **options)
            except CallStopped:
                pass
            except Exception as error:
                end = error
            arrived.put(end)

        threading.Thread(target=chat, daemon=True).start()
        while (replies := take_all(arrived)) is not None:
            yield replies

    def stop(self, call: int) -> None:
        """Let a call go: what is finished of it is dropped, and what is not is given up as soon as the engine can."""
        self.stopped.add(call)
        if isinstance(self.engine, DecoderEngine):
            self.engine.abort()


def take_all(arrived: SimpleQueue) -> list | None:
    """What has arrived, at least one reply; None at the end. Raises an exception among it."""
    taken = [arrived.get()]
    while taken[-1] is not None and not isinstance(taken[-1], Exception):
        try:
            taken.append(arrived.get_nowait())
        except Empty:
            return taken
    *replies, last = taken
    if replies:
        arrived.put(last)  # for the next time: nothing comes after it
        return replies
    if last is not None:
        raise last
    return None


class DecoderEngine:
    """A decoder, vLLM's, in this process. What is asked from several threads is decoded together, so it is never drained.

    It has no waves, and ignores seeds, as engines.vllm.VllmEngine. If the decoder fails, the process ends: another one is
    started in its place, while an engine that goes on with a broken decoder would only fail again.
    """

    def __init__(self, decoder: Decoder):
        self.capacity = decoder.capacity
        self._inbox: SimpleQueue = SimpleQueue()
        self._calls = itertools.count()
        self._outboxes: dict[int, SimpleQueue] = {}
        threading.Thread(target=self._run, args=(decoder,), daemon=True).start()

    def _run(self, decoder: Decoder) -> None:
        try:
            answer(decoder, self._inbox, self._deliver)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _deliver(self, message: tuple[int, int | None, Any]) -> None:
        call, index, reply = message
        if outbox := self._outboxes.get(call):
            outbox.put((index, reply))

    def chat(
        self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None, tuned=False
    ):
        count = len(conversations)
        calls = zip(conversations, broadcast(schemas, count), broadcast(temperature, count), strict=True)
        requests = [Request(messages, schema, max_new_tokens, heat, tuned) for messages, schema, heat in calls]
        replies: list[Reply | None] = [None] * count
        call, outbox = next(self._calls), SimpleQueue()
        self._outboxes[call] = outbox
        try:
            self._inbox.put((call, list(enumerate(requests))))
            for _ in requests:
                index, reply = outbox.get()
                if isinstance(reply, Exception):
                    raise reply
                replies[index] = reply
                if on_reply:
                    on_reply(index, reply)
        finally:
            del self._outboxes[call]
        return replies

    def waves(self, conversations, max_new_tokens):
        return None

    def abort(self) -> None:
        """Give up all that is being decoded; whoever waits for it gets CallStopped."""
        self._inbox.put((next(self._calls), None))
        for outbox in list(self._outboxes.values()):
            outbox.put((None, CallStopped()))
