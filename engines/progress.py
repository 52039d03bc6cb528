"""How far a long wait for a model is: a bar in a terminal, a line now and then in a log file."""

from __future__ import annotations

import shutil
import sys
from functools import cache
from typing import Any

WIDE_COLUMNS, NARROW_NAME = 60, 10  # of a terminal: below, names beside a bar are cut
LOG_FORM = "{desc}: {n_fmt} of {total_fmt}, {elapsed}, {remaining} left, {rate_noinv_fmt}"


def progress_bar(what: str, total: int) -> Any:
    """A tqdm bar with rate and ETA; in a log file, an occasional line instead of a redrawn one."""
    from tqdm import tqdm

    if not sys.stderr.isatty():
        return log_lines()(
            total=total, desc=what, unit="", mininterval=15, bar_format=LOG_FORM, leave=False, disable=False, delay=1e-9
        )
    name = f"{what:<20}" if shutil.get_terminal_size().columns >= WIDE_COLUMNS else what[:NARROW_NAME]
    return tqdm(total=total, desc=name, unit="", mininterval=0.5, dynamic_ncols=True, disable=False)


@cache  # tqdm starts a thread for every class of bars, which stays until the process ends
def log_lines() -> type:
    """The class of bars that write lines; the last one when it is closed."""
    from tqdm import tqdm

    class LogLines(tqdm):
        def display(self, msg=None, pos=None):
            line = str(self) if msg is None else msg
            if line:
                self.fp.write(line + "\n")
            return False

        def close(self):
            if not self.disable and self.n:
                self.display()
            super().close()

    return LogLines
