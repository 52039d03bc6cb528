"""vLLM behind the same `chat()`: continuous batching, prefix caching, LoRA adapters chosen per request, copies on several GPUs.

    engine = VllmEngine.load([["0"], ["1"]], "Qwen/Qwen2.5-7B-Instruct", lora_weights="output/lora")
    replies = engine.chat([[{"role": "user", "content": "Hello"}]], max_new_tokens=32)
    replies = engine.base().chat(...)    # the same weights in memory, without the adapter

Each copy is a vLLM in a process of its own with its own GPUs; a script needs `if __name__ == "__main__"`. vLLM's own data
parallelism wants a process each too, and copies of a dense model have nothing to tell one another. A single copy has its
process as well: what a signal's handler raises in the middle of a step, such as Stopped, leaves a vLLM that does not end
the next. This process shares out the prompts as replies come in: stretches of neighbours, which share a beginning, go to
one copy and its prefix cache, and the next stretch to the copy that has the least to do.

Main to copy: (call, [(index, Request), ...]), (call, None) to forget the call, None to end. Copy to main: how many requests
it is worth giving it at once, when it is loaded; then (call, index, reply) and (call, None, exception).
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

STRETCH = 64  # neighbours that go to a copy together: about the prompts on one chunk of a document


class VllmEngine:
    """As many copies of a model as there are `channels`, answering side by side.

    It has no waves, and `seed` is not heard. vLLM's fastest sampler has one stream of random numbers for all rows and is
    left out as soon as one of them has a seed of its own (vllm.v1.worker.gpu.sample.sampler, 0.32), so what a row draws
    depends on its neighbours, and a reply cannot be had a second time. Instead the journal sees to it that none is asked
    for twice. Where replies must be the same in every run, use transformers or an API. A prompt that is asked with several
    seeds has a draw for each.
    """

    def __init__(self, channels: list[Channel], arrived: SimpleQueue, capacity: int, tokenizer, name: str, tuned: bool):
        self.channels, self.arrived, self.capacity = channels, arrived, capacity
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
        """Start a copy on each entry of `devices`: its GPUs, as CUDA_VISIBLE_DEVICES names them, none on a CPU.

        Copies without GPUs have equal shares of the cores. `options` are those of `load_decoder`, which makes the engine in
        a copy's process; its InputError is raised here, and any other fault is a RuntimeError.
        """
        from transformers import AutoTokenizer

        options |= {"model_name_or_path": model_name_or_path, "lora_weights": lora_weights}
        options |= {"system_prompt": system_prompt}
        context, cores = multiprocessing.get_context("spawn"), sorted(os.sched_getaffinity(0))
        arrived: SimpleQueue = SimpleQueue()
        channels, processes = [], []
        for number, names in enumerate(devices):
            ours, theirs = context.Pipe()
            own_cores = cores[number * len(cores) // len(devices) : (number + 1) * len(cores) // len(devices)] or cores
            arguments = (theirs, load_decoder, names, own_cores, {**options, "seed": number})
            processes.append(context.Process(target=serve, args=arguments, name=f"vLLM copy {number}"))
            processes[-1].start()
            theirs.close()
            channels.append(Channel(ours, number, arrived))
        atexit.register(lambda: [channel.send(None) for channel in channels])  # which ends the copies
        try:
            capacity = min(next_arrived(arrived)[1] for _ in channels)
        except BaseException:  # one could not be loaded, or this was stopped: the others need not go on
            for process in processes:
                process.terminate()
            raise
        tokenizer = AutoTokenizer.from_pretrained(model_name_or_path)
        return cls(channels, arrived, capacity, tokenizer, model_name_or_path, lora_weights is not None)

    def base(self) -> VllmEngine:
        """The same engines without the adapter."""
        other = copy.copy(self)
        other.tuned = False
        return other

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        amount = len(conversations)
        each = zip(conversations, broadcast(schemas, amount), broadcast(temperature, amount), strict=True)
        requests = [Request(one, schema, max_new_tokens, heat, self.tuned) for one, schema, heat in each]
        replies: list[Reply | None] = [None] * amount

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

        Calls are numbered: what a copy still sends of one that was left by an exception is dropped.
        """
        call, left = next(self._calls), len(requests)
        size = max(
            1, min(STRETCH, left // len(self.channels), self.capacity // 4)
        )  # few prompts are for all copies too
        places = range(left)
        coming = iter([places[start : start + size] for start in places[::size]])
        open_ones = [0] * len(self.channels)
        try:
            while left:
                while (fewest := min(open_ones)) + size <= self.capacity:
                    stretch = next(coming, None)
                    if stretch is None:
                        break
                    number = open_ones.index(fewest)
                    self.channels[number].send((call, [(index, requests[index]) for index in stretch]))
                    open_ones[number] += len(stretch)
                number, (of, index, reply) = next_arrived(self.arrived)
                if of != call:
                    continue  # of a call that was stopped
                if isinstance(reply, BaseException):
                    raise reply
                open_ones[number] -= 1
                left -= 1
                finish(index, reply)
        finally:
            if left:
                for channel in self.channels:
                    channel.send((call, None))


class Channel:
    """A copy's connection, read and written by threads of its own.

    A signal's handler can raise in the main thread at any point, also in the middle of a message, and the next one would
    then begin with the rest of it. It cannot in another thread.
    """

    def __init__(self, connection: Connection, number: int, arrived: SimpleQueue):
        self.leaving: SimpleQueue = SimpleQueue()
        self.send = self.leaving.put
        read = (connection, lambda message: arrived.put((number, message)))
        for work, arguments in ((receive_all, read), (send_all, (connection, self.leaving.get))):
            threading.Thread(target=work, args=arguments, daemon=True).start()


def receive_all(connection: Connection, put: Callable[[Any], None]) -> None:
    """Hand over what comes, None when the other end is gone."""
    try:
        while True:
            put(connection.recv())
    except (EOFError, OSError):
        put(None)


def send_all(connection: Connection, get: Callable[[], Any]) -> None:
    """Send what `get` gives, up to a None, or until the other end is gone, of which `receive_all` tells."""
    try:
        while True:
            message = get()
            connection.send(message)
            if message is None:
                return
    except OSError:
        return


def next_arrived(arrived: SimpleQueue) -> tuple[int, Any]:
    """(number of the copy, its message); raises what a copy could not be loaded for, and where one is gone."""
    number, message = arrived.get()
    if message is None:
        arrived.put((number, None))  # for the next call
        raise RuntimeError("a copy of the model ended before its time: what it wrote above says why")
    if isinstance(message, InputError):
        raise message
    return number, message


def serve(
    connection: Connection, load: Callable[..., Decoder], devices: list[str], cores: list[int], options: dict
) -> None:
    """One copy: answers what comes over the connection until it is told to end, or the other end is gone.

    Ctrl-C reaches all processes of a terminal; what it means is for the main process to say.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    else:
        import torch

        os.sched_setaffinity(0, cores)
        torch.set_num_threads(len(cores))  # OpenMP may have counted all cores before: it then waits for itself
    try:
        decoder = load(**options)
    except InputError as error:
        connection.send(error)
        return
    arrived: SimpleQueue = SimpleQueue()
    threading.Thread(target=receive_all, args=(connection, arrived.put), daemon=True).start()
    try:
        connection.send(decoder.capacity)
        answer(decoder, arrived, connection.send)
    except BrokenPipeError:
        return


def answer(decoder: Decoder, arrived: SimpleQueue, send: Callable[[Any], None]) -> None:
    """Take up what has arrived between two steps, and send each reply as it is finished, until a None arrives."""
    writing: dict[str, tuple[int, int]] = {}  # key: call and index
    while True:
        while not writing or not arrived.empty():
            message = arrived.get()
            if message is None:
                return
            call, requests = message
            if requests is None:
                decoder.abort([*writing])
                writing.clear()
                continue
            for index, request in requests:
                try:
                    refusal = decoder.add(f"{call}.{index}", request)
                except ValueError as error:
                    send((call, None, error))
                    break
                if refusal:
                    send((call, index, refusal))
                else:
                    writing[f"{call}.{index}"] = call, index
        for key, reply in decoder.step():
            if key in writing:
                send((*writing.pop(key), reply))
