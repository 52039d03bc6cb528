"""An engine that remembers: its answers are kept in a file, so a killed run repeats no finished call.

    engine = JournaledEngine(TransformersEngine.load(model), "output/log/data.journal.jsonl")

Each line of the file holds one wave: the replies to the prompts that the engine decodes together. A line cut off by a kill
is dropped when the file is read again, and its wave is asked again as a whole; all other waves are the same as in an
uninterrupted run, and so are their replies, to the byte. An engine of many workers is given all waves at once, and their
lines stand in the order in which they were finished.

An engine without waves (vLLM) is given all pending calls at once, so that it never runs idle, and a line holds the replies
that finished within GROUP_S seconds, at most GROUP_SIZE of them: that is what a kill costs. No reply on disk is asked for
twice; a sampled reply that is lost in a kill will be a different one.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.chat import Conversation, Engine, EngineOfWaves, Reply, broadcast
from engines.processes import claim
from engines.thoughts import without_thoughts
from utils import LOG_FOLDER, InputError

# For one line, if there are no waves. Work waits until a line is on disk, which takes too long for single replies.
GROUP_SIZE, GROUP_S = 256, 2.0

Place = tuple[Path, int]  # a file, and the byte where a line begins


class JournaledEngine:
    """`Engine.chat` with a memory. Replies are found by model, messages, schema and sampling; errors are not kept.

    `settings` are all else that affects what the engine answers: an adapter's weights_stamp, a system prompt.
    """

    def __init__(self, engine: Engine, path: str | Path, *settings: str | None):
        self.engine, self.name, self.path = engine, engine.name, Path(path)
        self.identity = [*model_identity(engine.name), *settings]
        self.known = KnownReplies(self.path)
        self.asked = self.reused = self.largest_wave = 0

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        count = len(conversations)
        temperatures, seeds, schemas = (broadcast(value, count) for value in (temperature, seed, schemas))
        keys = [
            request_key(self.identity, max_new_tokens, *call)
            for call in zip(conversations, schemas, temperatures, seeds, strict=True)
        ]
        replies: list[Reply | None] = self.known.find(keys)
        for index, reply in enumerate(replies):
            if reply is not None:
                self.reused += 1
                if on_reply:
                    on_reply(index, reply)
        if None not in replies:  # a lazily loaded engine is not loaded for this
            return replies
        pending = PendingCalls(conversations, keys, temperatures, seeds, schemas, replies, on_reply)
        waves = self.engine.waves(conversations, max_new_tokens)
        if waves is None:
            self._ask_all(pending, max_new_tokens)
        else:
            self._ask_waves(waves, pending, max_new_tokens)
        return replies

    def _ask_waves(self, waves: list[list[int]], calls: PendingCalls, max_new_tokens: int) -> None:
        self.largest_wave = max([self.largest_wave, *map(len, waves)])
        pending = [left for wave in waves if (left := [index for index in wave if calls.replies[index] is None])]

        def keep(wave: list[int], answers: list[Reply]) -> None:
            self.asked += len(wave)
            self._write({calls.keys[i]: reply for i, reply in zip(wave, answers, strict=True) if not reply.error})
            for index, reply in zip(wave, answers, strict=True):
                calls.replies[index] = reply

        if isinstance(self.engine, EngineOfWaves):
            everything = calls.options(range(len(calls.keys)))
            self.engine.chat_waves(pending, keep, max_new_tokens=max_new_tokens, on_reply=calls.report, **everything)
            return
        for wave in pending:
            answers = self.engine.chat(
                on_reply=(lambda position, reply, wave=wave: calls.report(wave[position], reply)),
                max_new_tokens=max_new_tokens,
                **calls.options(wave),
            )
            keep(wave, answers)

    def _ask_all(self, calls: PendingCalls, max_new_tokens: int) -> None:
        """Ask everything at once, repeated calls only once; finished replies are kept, however this ends."""
        indices_of: dict[str, list[int]] = {}
        for index, (key, reply) in enumerate(zip(calls.keys, calls.replies, strict=True)):
            if reply is None:
                indices_of.setdefault(key, []).append(index)
        pending_keys, group, last_write = list(indices_of), {}, time.monotonic()
        self.largest_wave = max(self.largest_wave, len(pending_keys))

        def on_reply(position: int, reply: Reply) -> None:
            nonlocal group, last_write
            key = pending_keys[position]
            self.asked += 1
            self.reused += len(indices_of[key]) - 1
            if not reply.error:
                group[key] = reply
            if len(group) >= GROUP_SIZE or time.monotonic() - last_write >= GROUP_S:
                self._write(group)
                group, last_write = {}, time.monotonic()
            for index in indices_of[key]:
                calls.replies[index] = reply
                calls.report(index, reply)

        first_indices = [indices_of[key][0] for key in pending_keys]
        try:
            self.engine.chat(on_reply=on_reply, max_new_tokens=max_new_tokens, **calls.options(first_indices))
        finally:
            self._write(group)

    def _write(self, new: dict[str, Reply]) -> None:
        if new:
            self.known.append({key: to_fields(reply) for key, reply in new.items()})


class KnownReplies:
    """The replies in a journal, by their key. In memory is only where each of them stands, about 100 bytes a reply."""

    def __init__(self, path: Path):
        self.path, self._claim = path, claim(path)
        self.places: dict[int, Place] = {}  # by the first bytes of the key
        read_journal(path, self._load_wave, "a journal of replies", with_place=True)

    def __len__(self) -> int:
        return len(self.places)

    def _load_wave(self, wave: dict[str, dict], place: Place) -> None:
        self.places.update((short(key), place) for key in to_replies(wave))

    def append(self, wave: dict[str, dict]) -> None:
        """Write the replies of one wave, as their fields."""
        place = (self.path, self.path.stat().st_size if self.path.exists() else 0)
        append_line(self.path, wave)
        self._claim = self._claim or claim(self.path)
        self.places.update((short(key), place) for key in wave)

    def find(self, keys: list[str]) -> list[Reply | None]:
        """The reply of each key, None where there is none; every line of the journal that has some is read once."""
        wanted: dict[Place, list[int]] = {}
        for index, key in enumerate(keys):
            if place := self.places.get(short(key)):
                wanted.setdefault(place, []).append(index)
        replies: list[Reply | None] = [None] * len(keys)
        for path, places in itertools.groupby(sorted(wanted), key=lambda place: place[0]):
            with path.open("rb") as file:
                for place in places:
                    file.seek(place[1])
                    found = to_replies(json.loads(file.readline()))
                    for index in wanted[place]:
                        replies[index] = found.get(keys[index])
        return replies


def short(key: str) -> int:
    """What stands for a key in memory: eight bytes of it."""
    return int(key[:16], 16)


def to_replies(wave: dict[str, dict]) -> dict[str, Reply]:
    """The replies on a line of the journal, without those that are to be asked again."""
    replies = {}
    for key, fields in wave.items():
        text, cut_off = without_thoughts(fields["text"])  # an earlier version kept the thoughts
        if not cut_off:
            replies[key] = Reply(**fields | {"text": text})
    return replies


@dataclass
class PendingCalls:
    """The calls of one `chat`, as parallel lists; a reply is None until it arrives."""

    conversations: list[Conversation]
    keys: list[str]
    temperatures: list[float]
    seeds: list[int]
    schemas: list[dict | None]
    replies: list[Reply | None]
    on_reply: Callable[[int, Reply], None] | None

    def options(self, indices: Sequence[int]) -> dict:
        """Arguments of an engine's `chat` for the calls at these indices."""
        return {
            "conversations": [self.conversations[index] for index in indices],
            "temperature": [self.temperatures[index] for index in indices],
            "seed": [self.seeds[index] for index in indices],
            "schemas": [self.schemas[index] for index in indices],
        }

    def report(self, index: int, reply: Reply) -> None:
        if self.on_reply:
            self.on_reply(index, reply)


def to_fields(reply: Reply) -> dict:
    """A reply as it is written; with what was left out of it only where something was, so that older versions read it."""
    return {name: value for name, value in vars(reply).items() if value or name != "left_out"}


def request_key(
    identity: list, max_new_tokens: int, messages: Conversation, schema: dict | None, temperature: float, seed: int
) -> str:
    """The hash by which the reply to a request is found, 64 hexadecimal digits; without sampling the seed is of no account."""
    call = [identity, [max_new_tokens, temperature, seed if temperature else 0], schema, messages]
    return hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()


def model_identity(name: str) -> list[str]:
    """What tells one model from another in a `request_key`."""
    return [name, weights_stamp(name)]


def read_journal(path: Path, read: Callable[..., None], what: str, with_place: bool = False) -> None:
    """Pass each line of a JSONL journal to `read` and cut off a last line that a kill left unfinished.

    `with_place`, `read` is also given the file and the byte where the line begins.

    A journal in LOG_FOLDER is read after the one that an earlier version may have left beside that folder. InputError names
    a line that is not JSON, or that `read` rejects (ValueError, TypeError, KeyError, AttributeError).
    """
    if path.parent.name == LOG_FOLDER:
        read_journal_file(path.parent.with_name(path.name), read, what, with_place)
    read_journal_file(path, read, what, with_place)


def read_journal_file(path: Path, read: Callable[..., None], what: str, with_place: bool) -> None:
    """Read one of the files of read_journal."""
    if not path.exists():
        return
    valid_bytes = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                read(json.loads(line), *([(path, valid_bytes)] if with_place else []))
            except (ValueError, TypeError, KeyError, AttributeError):
                raise InputError(
                    f"expected {what} at {path}, found something else in line {number}: "
                    "remove the file to ask everything again"
                ) from None
            valid_bytes += len(line)
    os.truncate(path, valid_bytes)


def append_line(path: Path, value: Any) -> None:
    """Append a line to a JSONL journal; it is on disk when this returns, and no part of it if it cannot be written."""
    size = path.stat().st_size if path.exists() else 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):  # else a later line, when there is room again, would go on with this one
            os.truncate(path, size)
        raise InputError(
            f"expected to write {path}, found {error.strerror}: make it writable or free the disk, and run this again; "
            "the content of the file is kept"
        ) from None


def weights_stamp(folder: str) -> str:
    """Name, size and time of a local folder's weights, so that other weights of the same name count as another model."""
    files = sorted(Path(folder).glob("*.safetensors")) + sorted(Path(folder).glob("*.bin"))
    return json.dumps([[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files])
