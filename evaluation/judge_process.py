"""A local judge in a process of its own, so that the memory it took is free once it has judged.

What vLLM took in a process that goes on comes back only in part (vllm-project/vllm#18806); what a process took that has
ended comes back whole, be it from vLLM or from transformers.

python -m evaluation.judge_process NUMBER     # that process; NUMBER is that of its end of a pipe
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from dataclasses import fields
from multiprocessing.connection import Connection
from pathlib import Path

from engines.arguments import EngineArguments
from engines.chat import Reply
from engines.load import load_engine
from engines.processes import end_child, start_child
from utils import InputError, run_script

ROOT = Path(__file__).resolve().parents[1]
CLOSING_S = 20.0  # for an engine that is done to end by itself


class JudgeProcess:
    """An engine (llm.Engine.chat) whose model is loaded by another process; `close` ends it."""

    def __init__(self, model: str, arguments: EngineArguments):
        """Start it and wait until the model is loaded; InputError where it cannot be."""
        self.name = model
        self._connection, theirs = multiprocessing.Pipe()
        self._process: subprocess.Popen = start_child(
            [sys.executable, "-m", "evaluation.judge_process", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            },
        )
        theirs.close()
        self._idle = False
        options = {field.name: getattr(arguments, field.name) for field in fields(EngineArguments)}
        self._send((model, options))
        self._receive()
        self._idle = True

    def chat(self, conversations, *, on_reply=None, **options) -> list[Reply]:
        replies: list[Reply | None] = [None] * len(conversations)
        self._idle = False
        self._send((conversations, options))
        while found := self._receive():
            index, replies[index] = found
            if on_reply:
                on_reply(*found)
        self._idle = True
        return replies

    def _send(self, message: tuple) -> None:
        try:
            self._connection.send(message)
        except BrokenPipeError:
            raise self._gone() from None

    def _gone(self) -> InputError:
        code = self._process.wait()
        return InputError(
            f"expected the judge {self.name} to answer, found its process ended with exit code {code}: see above; the "
            "verdicts so far are kept"
        )

    def _receive(self):
        """(index, reply), or None after the last and once the model is loaded; InputError where it could not be had."""
        try:
            message = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._gone() from None
        if isinstance(message, InputError):
            raise message
        return message

    def close(self) -> None:
        """End the process, and with it what it started; at once where it was left in the middle of its work."""
        self._connection.close()
        end_child(self._process, CLOSING_S if self._idle else 0.0)


def serve(connection: Connection) -> None:
    """Load what comes first over the connection, then answer what comes until its other end is closed."""
    try:
        model, options = connection.recv()
        try:
            engine = load_engine(model, EngineArguments(**options))
        except InputError as error:
            connection.send(error)
            return
        connection.send(None)
        while True:
            conversations, options = connection.recv()
            engine.chat(conversations, on_reply=lambda *reply: connection.send(reply), **options)
            connection.send(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the other end is closed, or its process gone
        return


if __name__ == "__main__":
    run_script(lambda: serve(Connection(int(sys.argv[1]))))
