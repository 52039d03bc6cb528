"""A local judge in a separate process, so that all its memory is free once it has judged.

In a process that goes on, vLLM frees its memory only in part (vllm-project/vllm#18806); when a process ends, all of it is
freed, whether it ran vLLM or transformers.

python -m evaluation.judge_process NUMBER     # that process; NUMBER is the file descriptor of its end of a pipe
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
from engines.processes import CLOSING_S, end_child, start_child
from utils import InputError, run_script

ROOT = Path(__file__).resolve().parents[1]


class JudgeProcess:
    """An engine (engines.chat.Engine) whose model is loaded in another process; `close` ends it."""

    def __init__(self, model: str, arguments: EngineArguments):
        """Start the process and wait until the model is loaded; InputError if it cannot be."""
        self.name = model
        self._connection, child_connection = multiprocessing.Pipe()
        self._process: subprocess.Popen = start_child(
            [sys.executable, "-m", "evaluation.judge_process", str(child_connection.fileno())],
            pass_fds=[child_connection.fileno()],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            },
        )
        child_connection.close()
        self._idle = False
        options = {field.name: getattr(arguments, field.name) for field in fields(EngineArguments)}
        self._send((model, options))
        self._receive()
        self._idle = True

    def chat(self, conversations, *, on_reply=None, **options) -> list[Reply]:
        replies: list[Reply | None] = [None] * len(conversations)
        self._idle = False
        self._send((conversations, options))
        while indexed_reply := self._receive():
            index, replies[index] = indexed_reply
            if on_reply:
                on_reply(*indexed_reply)
        self._idle = True
        return replies

    def _send(self, message: tuple) -> None:
        try:
            self._connection.send(message)
        except BrokenPipeError:
            raise self._process_ended() from None

    def _process_ended(self) -> InputError:
        code = self._process.wait()
        return InputError(
            f"expected the judge {self.name} to answer, found its process ended with exit code {code}: see above; the "
            "verdicts so far are kept"
        )

    def _receive(self):
        """(index, reply), or None after the last one and when the model is loaded; InputError if there was a failure."""
        try:
            message = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._process_ended() from None
        if isinstance(message, InputError):
            raise message
        return message

    def close(self) -> None:
        """End the process and all it started; at once if it was in the middle of its work."""
        self._connection.close()
        end_child(self._process, CLOSING_S if self._idle else 0.0)


def serve(connection: Connection) -> None:
    """Load the model named by the first message, then answer requests until the other end is closed."""
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
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the other end was closed, or its process ended
        return


if __name__ == "__main__":
    run_script(lambda: serve(Connection(int(sys.argv[1]))))
