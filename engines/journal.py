"""An engine that remembers: what it answered is in a file, so a run that was killed repeats no finished call.

    engine = JournaledEngine(TransformersEngine.load(model), "output/log/data.journal.jsonl")

One line of the file holds one wave: the replies to the prompts that the engine decodes together. A line cut off by a
kill is not there when the file is read again, and its wave is asked again as a whole; all other waves stay what they
were in the unbroken run, and so do their replies, to the byte.

An engine without waves (vLLM) is handed all that is open, so that it is never drained, and a line holds the replies that
were finished within GROUP_S seconds, at most GROUP_SIZE of them: what a kill costs. No reply is asked for twice; one that was
sampled and is asked for again after a kill is another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.chat import Conversation, Engine, Reply, broadcast
from utils import LOG_FOLDER, InputError

# Of a line, where there are no waves. It is on the disk before work goes on: too long to wait for each reply by itself.
GROUP_SIZE, GROUP_S = 256, 2.0


class JournaledEngine:
    """`Engine.chat` with a memory. A reply is known again by model, messages, schema and sampling; errors are not kept.

    `settings` are whatever else decides what the engine answers: an adapter's weights_stamp, a system prompt.
    """

    def __init__(self, engine: Engine, path: str | Path, *settings: str | None):
        self.engine, self.name, self.path = engine, engine.name, Path(path)
        self.identity = [engine.name, weights_stamp(engine.name), *settings]
        self.known: dict[str, Reply] = {}
        self.asked = self.reused = self.largest_wave = 0
        read_journal(self.path, self._take, "a journal of replies")

    def _take(self, wave: dict[str, dict]) -> None:
        self.known |= {key: Reply(**reply) for key, reply in wave.items()}

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        amount = len(conversations)
        temperatures, seeds, schemas = (broadcast(value, amount) for value in (temperature, seed, schemas))
        keys = []
        for messages, schema, warmth, draw in zip(conversations, schemas, temperatures, seeds, strict=True):
            asked = [self.identity, [max_new_tokens, warmth, draw if warmth else 0], schema, messages]
            keys.append(hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest())
        replies: list[Reply] = [self.known.get(key) for key in keys]
        for index, reply in enumerate(replies):
            if reply is not None:
                self.reused += 1
                if on_reply:
                    on_reply(index, reply)
        if None not in replies:  # an engine that is not loaded yet stays so
            return replies
        open_calls = PendingCalls(conversations, keys, temperatures, seeds, schemas, replies, on_reply)
        waves = self.engine.waves(conversations, max_new_tokens)
        if waves is None:
            self._ask_all(open_calls, max_new_tokens)
        else:
            self._ask_waves(waves, open_calls, max_new_tokens)
        return replies

    def _ask_waves(self, waves: list[list[int]], calls: PendingCalls, max_new_tokens: int) -> None:
        for wave in waves:
            self.largest_wave = max(self.largest_wave, len(wave))
            open_ones = [index for index in wave if calls.replies[index] is None]
            if not open_ones:
                continue
            answers = self.engine.chat(
                on_reply=(lambda place, reply, wave=open_ones: calls.report(wave[place], reply)),
                max_new_tokens=max_new_tokens,
                **calls.options(open_ones),
            )
            self.asked += len(open_ones)
            self._write({calls.keys[i]: reply for i, reply in zip(open_ones, answers, strict=True) if not reply.error})
            for index, reply in zip(open_ones, answers, strict=True):
                calls.replies[index] = reply

    def _ask_all(self, calls: PendingCalls, max_new_tokens: int) -> None:
        """All at once, a call that occurs several times only once; what is finished is kept, however this ends."""
        places: dict[str, list[int]] = {}
        for index, (key, reply) in enumerate(zip(calls.keys, calls.replies, strict=True)):
            if reply is None:
                places.setdefault(key, []).append(index)
        open_keys, group, written = list(places), {}, time.monotonic()
        self.largest_wave = max(self.largest_wave, len(open_keys))

        def finished(place: int, reply: Reply) -> None:
            nonlocal group, written
            key = open_keys[place]
            self.asked += 1
            self.reused += len(places[key]) - 1
            if not reply.error:
                group[key] = reply
            if len(group) >= GROUP_SIZE or time.monotonic() - written >= GROUP_S:
                self._write(group)
                group, written = {}, time.monotonic()
            for index in places[key]:
                calls.replies[index] = reply
                calls.report(index, reply)

        firsts = [places[key][0] for key in open_keys]
        try:
            self.engine.chat(on_reply=finished, max_new_tokens=max_new_tokens, **calls.options(firsts))
        finally:
            self._write(group)

    def _write(self, new: dict[str, Reply]) -> None:
        if new:
            self.known |= new
            append_line(self.path, {key: asdict(reply) for key, reply in new.items()})


@dataclass
class PendingCalls:
    """The calls of one `chat`, a list of each thing, in order; a reply is None until it is there."""

    conversations: list[Conversation]
    keys: list[str]
    temperatures: list[float]
    seeds: list[int]
    schemas: list[dict | None]
    replies: list[Reply | None]
    on_reply: Callable[[int, Reply], None] | None

    def options(self, places: list[int]) -> dict:
        """Arguments of an engine's `chat` for the calls at these places."""
        return {
            "conversations": [self.conversations[place] for place in places],
            "temperature": [self.temperatures[place] for place in places],
            "seed": [self.seeds[place] for place in places],
            "schemas": [self.schemas[place] for place in places],
        }

    def report(self, place: int, reply: Reply) -> None:
        if self.on_reply:
            self.on_reply(place, reply)


def read_journal(path: Path, read: Callable[[Any], None], what: str) -> None:
    """Give each line of a JSONL journal to `read` and cut off a last line that a kill left unfinished.

    A journal in LOG_FOLDER is read after the one that an earlier version may have left beside that folder. InputError names a line that is not JSON, or that `read` cannot take (ValueError, TypeError, KeyError, AttributeError).
    """
    if path.parent.name == LOG_FOLDER:
        read_journal_file(path.parent.with_name(path.name), read, what)
    read_journal_file(path, read, what)


def read_journal_file(path: Path, read: Callable[[Any], None], what: str) -> None:
    """One file of read_journal."""
    if not path.exists():
        return
    whole = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                read(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                raise InputError(
                    f"expected {what} at {path}, found something else in line {number}: "
                    "remove the file to ask everything again"
                ) from None
            whole += len(line)
    os.truncate(path, whole)


def append_line(path: Path, value: Any) -> None:
    """Add one line to a JSONL journal, on the disk before this returns."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            f"expected to write {path}, found {error.strerror}: free the disk and run this again; "
            "what is in the file is kept"
        ) from None


def weights_stamp(folder: str) -> str:
    """Name, size and time of a local folder's weights, so that other weights of the same name are another model."""
    files = sorted(Path(folder).glob("*.safetensors")) + sorted(Path(folder).glob("*.bin"))
    return json.dumps([[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files])
