"""The judges' replies, one JSON line each: a rerun repeats no question, and every score can be recomputed from it alone.

One line: {"judge", "prompt", "item", "name", "text", "prompt_tokens", "completion_tokens"}: who replied, the hash of the
instructions and sampling settings, the hash of the case (question, reference, fact, answers), a name by which people can
find it, and the raw reply. A failed call is not written, so it is made again.
"""

from __future__ import annotations

from pathlib import Path

from engines.chat import Reply
from engines.journal import append_line, read_journal
from engines.processes import claim

KEYS = ("judge", "prompt", "item", "name", "text", "prompt_tokens", "completion_tokens")


class VerdictJournal:
    """The replies in a file, looked up by (judge, prompt, item); new ones are appended."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._claim = claim(self.path)
        self.replies: dict[tuple[str, str, str], Reply] = {}
        self.last_judge: str | None = None
        read_journal(self.path, self._load_line, "a journal of verdicts")

    def _load_line(self, line: dict) -> None:
        judge, prompt, item, _, *reply = (line[key] for key in KEYS)
        self.replies[judge, prompt, item] = Reply(*reply)
        self.last_judge = judge

    def add(self, judge: str, prompt: str, item: str, name: str, reply: Reply) -> None:
        """Append one reply, which is on disk when this returns; one with an error is left out."""
        if reply.error:
            return
        self.replies[judge, prompt, item] = reply
        values = (judge, prompt, item, name, reply.text, reply.prompt_tokens, reply.completion_tokens)
        append_line(self.path, dict(zip(KEYS, values, strict=True)))
        self._claim = self._claim or claim(self.path)
