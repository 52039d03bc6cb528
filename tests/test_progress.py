"""Progress is a bar in a terminal and lines in a file."""

from __future__ import annotations

import io
import os
import sys
import threading

import pytest

from engines import progress
from engines.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_file_gets_lines_and_none_for_what_did_not_begin(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar("verdicts: accuracy", 3) as bar:
        for _ in range(3):
            bar.update(1)
    with progress_bar("nothing", 0):
        pass
    text = sys.stderr.getvalue()
    assert text.startswith("verdicts: accuracy: 3 of 3, 00:0") and text.count("\n") == 1 and text.endswith("/s\n")
    assert not {"\r", "\x1b"} & set(text) and text.isascii()


def test_a_thousand_bars_have_no_thousand_threads(monkeypatch):
    """A big folder is collected in hundreds of parts, each with a bar for every step."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    before = threading.active_count()
    for number in range(20):
        with progress_bar(f"part {number}", 1) as bar:
            bar.update(1)
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize(("columns", "name"), [(40, "verdicts: 100%"), (100, "verdicts: accuracy  :")])
def test_a_narrow_terminal_still_shows_how_far_it_is(monkeypatch, columns, name):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: os.terminal_size((columns, 20)))
    with progress_bar("verdicts: accuracy", 4) as bar:
        bar.dynamic_ncols, bar.ncols = None, columns
        bar.update(4)
    last = sys.stderr.getvalue().rstrip("\n").split("\r")[-1].rstrip()
    assert last.startswith(name) and "4/4" in last and len(last) <= columns
