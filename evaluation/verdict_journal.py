"""What judges replied, one JSON line each: a rerun asks nothing again, and every score can be computed from it alone.

One line: {"judge", "prompt", "item", "name", "text", "prompt_tokens", "completion_tokens"}: who replied, the hash of the
instructions and the sampling, the hash of the case (question, reference, fact, answers), a name for people to find it
by, and the reply as it came. A call that failed is not written, so it is made again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from llm import Reply
from utils import InputError

KEYS = ("judge", "prompt", "item", "name", "text", "prompt_tokens", "completion_tokens")


class VerdictJournal:
    """The replies of a file, found by (judge, prompt, item), and a place to add more."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.replies: dict[tuple[str, str, str], Reply] = {}
        self.last_judge: str | None = None
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        """Take in what earlier runs wrote and cut off a line that was never finished."""
        whole = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    judge, prompt, item, _, *reply = (json.loads(line)[key] for key in KEYS)
                    self.replies[judge, prompt, item] = Reply(*reply)
                except (ValueError, KeyError, TypeError):
                    raise InputError(
                        f"expected a journal of verdicts at {self.path}, found something else in line {number}: "
                        "remove the file to ask everything again"
                    ) from None
                self.last_judge = judge
                whole += len(line)
        os.truncate(self.path, whole)

    def add(self, judge: str, prompt: str, item: str, name: str, reply: Reply) -> None:
        """Add one reply, on the disk before this returns; one with an error is left out."""
        if reply.error:
            return
        self.replies[judge, prompt, item] = reply
        values = (judge, prompt, item, name, reply.text, reply.prompt_tokens, reply.completion_tokens)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(zip(KEYS, values, strict=True)), ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(
                f"expected to write {self.path}, found {error.strerror}: free the disk and run this again; "
                "what is in the file is kept"
            ) from None
