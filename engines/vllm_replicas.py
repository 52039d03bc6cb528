"""Several copies of a model through vLLM, each in a process of its own with its own GPUs, behind the same `chat()`.

vLLM's `LLM` refuses data parallelism in one process (0.32: "not supported for single-process usage and may hang") and asks
for a process each. Copies of a dense model have nothing to tell one another, so each is an engine of its own here, and
this process divides the prompts: neighbours, which share a beginning, go to one copy and its prefix cache.
"""

from __future__ import annotations

import atexit
import copy
import multiprocessing
import os
from multiprocessing.connection import Connection, wait

from engines.vllm import WAVE, VllmEngine
from llm import for_each
from utils import InputError


class VllmReplicas:
    """`count` engines; a wave of prompts is cut into as many stretches."""

    def __init__(self, connections: list[Connection], tokenizer, name: str, tuned: bool):
        self.connections, self.tokenizer, self.name, self.tuned = connections, tokenizer, name, tuned

    @classmethod
    def load(
        cls,
        count: int,
        model_name_or_path: str,
        lora_weights: str | None = None,
        system_prompt: str | None = None,
        *,
        tensor_parallel_size: int = 1,
        **options,
    ) -> VllmReplicas:
        """Start `count` copies on `tensor_parallel_size` GPUs each, or on equal shares of the cores without GPUs.

        `options` are those of VllmEngine.load; whatever a copy raises is raised here.
        """
        import torch
        from transformers import AutoTokenizer

        gpus = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
        devices, cores = [gpu for gpu in gpus.split(",") if gpu], sorted(os.sched_getaffinity(0))
        options |= {"tensor_parallel_size": tensor_parallel_size, "lora_weights": lora_weights}
        options |= {"model_name_or_path": model_name_or_path, "system_prompt": system_prompt}
        context = multiprocessing.get_context("spawn")
        connections, processes = [], []
        for number in range(count):
            ours, theirs = context.Pipe()
            own_devices = devices[number * tensor_parallel_size :][:tensor_parallel_size]
            own_cores = cores[number * len(cores) // count : (number + 1) * len(cores) // count] or cores
            arguments = (theirs, own_devices, own_cores, options)
            processes.append(context.Process(target=serve, args=arguments, name=f"vLLM copy {number}"))
            processes[-1].start()
            theirs.close()
            connections.append(ours)
        atexit.register(lambda: [connection.close() for connection in connections])  # which ends the copies
        for connection in connections:
            receive(connection)
        tokenizer = AutoTokenizer.from_pretrained(model_name_or_path)
        return cls(connections, tokenizer, model_name_or_path, lora_weights is not None)

    def base(self) -> VllmReplicas:
        """The same engines without the adapter."""
        other = copy.copy(self)
        other.tuned = False
        return other

    def chat(self, conversations, *, max_new_tokens=256, on_reply=None, **each):
        # temperature, seed, schemas: shared out with the conversations
        each = {name: for_each(value, len(conversations)) for name, value in each.items()}
        replies = [None] * len(conversations)
        first = {}  # of each copy at work: the index of its first conversation
        for number, connection in enumerate(self.connections):
            start, end = (len(conversations) * place // len(self.connections) for place in (number, number + 1))
            if start < end:
                own = {name: values[start:end] for name, values in each.items()}
                connection.send((self.tuned, conversations[start:end], {"max_new_tokens": max_new_tokens, **own}))
                first[connection] = start
        failure = None
        while first:
            for connection in wait(list(first)):
                try:
                    reply = receive(connection)
                except Exception as error:
                    failure, reply = error, None
                if reply is None:
                    del first[connection]
                    continue
                index = first[connection] + reply[0]
                replies[index] = reply[1]
                if on_reply:
                    on_reply(index, reply[1])
        if failure:
            raise failure
        return replies

    def waves(self, conversations, max_new_tokens):
        size = WAVE * len(self.connections)
        order = list(range(len(conversations)))
        return [order[start : start + size] for start in range(0, len(order), size)]


def receive(connection: Connection):
    """(index, reply) of the next finished reply, None after the last; raises what the copy raised."""
    try:
        message = connection.recv()
    except EOFError:
        raise RuntimeError("a copy of the model ended before its time: what it wrote above says why") from None
    if isinstance(message, BaseException):
        raise message
    return message


def serve(connection: Connection, devices: list[str], cores: list[int], options: dict) -> None:
    """One copy: answers what comes over the connection until its other end is closed, or its process is gone."""
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    else:
        os.sched_setaffinity(0, cores)
    try:
        tuned = VllmEngine.load(**options)
        connection.send(None)
        while True:
            adapted, conversations, settings = connection.recv()
            engine = tuned if adapted else tuned.base()
            try:
                engine.chat(conversations, on_reply=lambda *reply: connection.send(reply), **settings)
                connection.send(None)
            except ValueError as error:
                connection.send(error)
    except (EOFError, BrokenPipeError):
        return
    except BaseException as error:
        connection.send(error)
        if not isinstance(error, InputError):
            raise
