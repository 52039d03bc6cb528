"""vLLM behind the same `chat()`: continuous batching, prefix caching, a LoRA adapter per request, copies on several GPUs.

    engine = VllmEngine.load([["0"], ["1"]], "Qwen/Qwen2.5-7B-Instruct", lora_weights="output/lora")
    replies = engine.chat([[{"role": "user", "content": "Hello"}]], max_new_tokens=32)
    replies = engine.base().chat(...)    # the same weights in memory, without the adapter

Each copy is a vLLM in its own process with its own GPUs; a script needs `if __name__ == "__main__"`. vLLM's own data
parallelism uses a process each too, and copies of a dense model need not communicate. A single copy also gets a process of
its own: an exception raised by a signal handler in the middle of a step, such as Stopped, leaves vLLM unable to finish the
next one. This process distributes the prompts as replies come in: a stretch of neighbours, which share a prefix, goes to one
copy and its prefix cache, and the next stretch to the copy with the least to do.

Main to copy: (call, [(index, Request), ...]), (call, None) to abort the call, None to end. Copy to main: its capacity, once
it is loaded; then (call, index, reply) or (call, None, exception).
"""

from __future__ import annotations

import atexit
import copy
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from engines.chat import Reply, broadcast
from engines.processes import end_with_parent
from engines.vllm_decoder import Decoder, Request, VllmDecoder
from utils import InputError

STRETCH = 64  # neighbours that go to a copy together: about as many as the prompts for one chunk of a document


class VllmEngine:
    """As many copies of a model as there are `channels`, answering in parallel.

    It has no waves, and `seed` is ignored. vLLM's fastest sampler has one stream of random numbers for all rows and is not
    used if any of them has its own seed (vllm.v1.worker.gpu.sample.sampler, 0.32), so a row's samples depend on its
    neighbours, and replies are not reproducible; the journal makes sure that none is asked for twice. If replies must be
    the same in every run, use transformers or an API. A prompt that is asked with several seeds is sampled once for each.
    """

    def __init__(self, channels: list[Channel], inbox: SimpleQueue, capacity: int, tokenizer, name: str, tuned: bool):
        self.channels, self.inbox, self.capacity = channels, inbox, capacity
        self.tokenizer, self.name, self.tuned = tokenizer, name, tuned
        self._calls = itertools.count()

    @classmethod
    def load(
        cls,
        devices: list[list[str]],
        model_name_or_path: str,
        lora_weights: str | None = None,
        system_prompt: str | None = None,
        *,
        load_decoder: Callable[..., Decoder] = VllmDecoder.load,
        **options,
    ) -> VllmEngine:
        """Start a copy for each entry of `devices`: its GPUs by their CUDA_VISIBLE_DEVICES names, or none on a CPU.

        Copies without GPUs share the cores equally. `options` go to `load_decoder`, which creates the engine in a copy's
        process; its InputError is raised here, any other failure as a RuntimeError.
        """
        from transformers import AutoTokenizer

        options |= {"model_name_or_path": model_name_or_path, "lora_weights": lora_weights}
        options |= {"system_prompt": system_prompt}
        context, cores = multiprocessing.get_context("spawn"), sorted(os.sched_getaffinity(0))
        inbox: SimpleQueue = SimpleQueue()
        channels, processes = [], []
        for number, names in enumerate(devices):
            ours, theirs = context.Pipe()
            own_cores = cores[number * len(cores) // len(devices) : (number + 1) * len(cores) // len(devices)] or cores
            arguments = (theirs, load_decoder, names, own_cores, {**options, "seed": number})
            processes.append(context.Process(target=serve, args=arguments, name=f"vLLM copy {number}"))
            processes[-1].start()
            theirs.close()
            channels.append(Channel(ours, number, inbox))
        atexit.register(lambda: [channel.send(None) for channel in channels])  # which ends the copies
        try:
            capacity = min(next_message(inbox)[1] for _ in channels)
        except BaseException:  # one failed to load, or this was stopped: the others are not needed
            for process in processes:
                process.terminate()
            raise
        tokenizer = AutoTokenizer.from_pretrained(model_name_or_path)
        return cls(channels, inbox, capacity, tokenizer, model_name_or_path, lora_weights is not None)

    def base(self) -> VllmEngine:
        """The same copies without the adapter."""
        base = copy.copy(self)
        base.tuned = False
        return base

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        count = len(conversations)
        calls = zip(conversations, broadcast(schemas, count), broadcast(temperature, count), strict=True)
        requests = [Request(messages, schema, max_new_tokens, heat, self.tuned) for messages, schema, heat in calls]
        replies: list[Reply | None] = [None] * count

        def finish(index: int, reply: Reply) -> None:
            replies[index] = reply
            if on_reply:
                on_reply(index, reply)

        self._ask(requests, finish)
        return replies

    def waves(self, conversations, max_new_tokens):
        return None

    def _ask(self, requests: list[Request], finish: Callable[[int, Reply], None]) -> None:
        """Call finish(index, reply) for each request, in any order; no copy has more than `capacity` of them at once.

        Calls are numbered: replies to a call that an exception ended are dropped.
        """
        call, left = next(self._calls), len(requests)
        # so that all copies get some of a few prompts
        size = max(1, min(STRETCH, left // len(self.channels), self.capacity // 4))
        indices = range(left)
        stretches = iter([indices[start : start + size] for start in indices[::size]])
        in_flight = [0] * len(self.channels)
        try:
            while left:
                while (fewest := min(in_flight)) + size <= self.capacity:
                    stretch = next(stretches, None)
                    if stretch is None:
                        break
                    number = in_flight.index(fewest)
                    self.channels[number].send((call, [(index, requests[index]) for index in stretch]))
                    in_flight[number] += len(stretch)
                number, (replied_call, index, reply) = next_message(self.inbox)
                if replied_call != call:
                    continue  # it was stopped
                if isinstance(reply, BaseException):
                    raise reply
                in_flight[number] -= 1
                left -= 1
                finish(index, reply)
        finally:
            if left:
                for channel in self.channels:
                    channel.send((call, None))


class Channel:
    """A copy's connection, read and written by its own threads.

    A signal handler can raise in the main thread at any point, even in the middle of a message, and the next message would
    then start with the rest of it. Other threads are not affected.
    """

    def __init__(self, connection: Connection, number: int, inbox: SimpleQueue):
        self.outbox: SimpleQueue = SimpleQueue()
        self.send = self.outbox.put
        receive_arguments = (connection, lambda message: inbox.put((number, message)))
        for target, arguments in ((receive_all, receive_arguments), (send_all, (connection, self.outbox.get))):
            threading.Thread(target=target, args=arguments, daemon=True).start()


def receive_all(connection: Connection, put: Callable[[Any], None]) -> None:
    """Put each message, and None when the other end is gone."""
    try:
        while True:
            put(connection.recv())
    except (EOFError, OSError):
        put(None)


def send_all(connection: Connection, get: Callable[[], Any]) -> None:
    """Send what `get` returns, up to a None, or until the other end is gone, which `receive_all` reports."""
    try:
        while True:
            message = get()
            connection.send(message)
            if message is None:
                return
    except OSError:
        return


def next_message(inbox: SimpleQueue) -> tuple[int, Any]:
    """(number of the copy, its message); raises the error that kept a copy from loading, and if a copy is gone."""
    number, message = inbox.get()
    if message is None:
        inbox.put((number, None))  # for the next call
        raise RuntimeError("a copy of the model ended unexpectedly: its output above says why")
    if isinstance(message, InputError):
        raise message
    return number, message


def serve(
    connection: Connection, load: Callable[..., Decoder], devices: list[str], cores: list[int], options: dict
) -> None:
    """One copy: answers requests from the connection until it is told to end, or the other end is gone.

    Ctrl-C reaches all processes of a terminal; only the main process responds to it.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    else:
        import torch

        os.sched_setaffinity(0, cores)
        # OpenMP may have counted all cores before, and its threads would then wait for each other
        torch.set_num_threads(len(cores))
    try:
        decoder = load(**options)
    except InputError as error:
        connection.send(error)
        return
    inbox: SimpleQueue = SimpleQueue()
    threading.Thread(target=receive_all, args=(connection, inbox.put), daemon=True).start()
    try:
        connection.send(decoder.capacity)
        answer(decoder, inbox, connection.send)
    except BrokenPipeError:
        return


def answer(decoder: Decoder, inbox: SimpleQueue, send: Callable[[Any], None]) -> None:
    """Accept new requests between steps, and send each reply as soon as it is finished, until a None arrives."""
    in_progress: dict[str, tuple[int, int]] = {}  # key: call and index
    while True:
        while not in_progress or not inbox.empty():
            message = inbox.get()
            if message is None:
                return
            call, requests = message
            if requests is None:
                decoder.abort([*in_progress])
                in_progress.clear()
                continue
            for index, request in requests:
                try:
                    error_reply = decoder.add(f"{call}.{index}", request)
                except ValueError as error:
                    send((call, None, error))
                    break
                if error_reply:
                    send((call, index, error_reply))
                else:
                    in_progress[f"{call}.{index}"] = call, index
        for key, reply in decoder.step():
            if key in in_progress:
                send((*in_progress.pop(key), reply))
