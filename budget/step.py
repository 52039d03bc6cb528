"""One command of a stage: what it writes, and when it need not run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provenance import meta_file
from utils import find_log_file


@dataclass
class Step:
    """One command of a stage. `part` is its share of the time the stage has left; a step that is not `needed` may fail.

    A `sealed` step writes its `output` last: once that exists, nothing is left to do. `rescue` hands over what a command
    left behind when it had to be stopped at its deadline, and returns whether there was anything. A step that is not
    `timed`, which takes seconds, is told of no deadline. `prepare` writes what the command reads, right before it, and
    returns whether there is anything to do.
    """

    name: str
    output: Path
    command: list[str]
    part: float = 1.0
    needed: bool = True
    sealed: bool = False
    rescue: Callable[[], bool] | None = None
    timed: bool = True
    prepare: Callable[[], bool] = lambda: True

    def ended(self, since: float) -> bool:
        return self.sealed and changed(self.output, since)

    def handed_over(self, since: float) -> bool:
        """Whether it has written all that it had since then: what is last is its output if sealed, else the meta file of that."""
        return changed(self.output if self.sealed else meta_file(self.output), since)

    def gone(self) -> bool:
        """Whether what it has to hand over is missing; a rescue may have handed over less than the output."""
        exists = self.output.parent.is_dir() if self.rescue else find_log_file(self.output).is_file()
        return self.needed and not exists


def changed(path: Path, since: float) -> bool:
    path = find_log_file(path)
    return path.is_file() and path.stat().st_mtime > since
