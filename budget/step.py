"""One command of a stage: what it makes, and when it need not be run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from utils import find_log_file


@dataclass
class Step:
    """One command of a stage. `part` is its share of what the stage has left; one that is not `needed` may fail.

    The `output` of one that is `sealed` is the last it writes: once it is there, nothing is left to do. `rescue` hands over
    what a command left that had to be ended at its deadline; False where that is nothing.
    """

    name: str
    output: Path
    command: list[str]
    part: float = 1.0
    needed: bool = True
    sealed: bool = False
    rescue: Callable[[], bool] | None = None

    def ended(self, since: float) -> bool:
        return self.sealed and changed(self.output, since)

    def gone(self) -> bool:
        """Whether what it has to hand over is not there; a rescue may have handed over less than the output."""
        kept = self.output.parent.is_dir() if self.rescue else find_log_file(self.output).is_file()
        return self.needed and not kept


def changed(path: Path, since: float) -> bool:
    found = find_log_file(path)
    return found.is_file() and found.stat().st_mtime > since
