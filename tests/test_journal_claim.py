"""A journal has one writer: a second run with the same output is refused before it asks or cuts off anything."""

from __future__ import annotations

import fcntl
import gc

import pytest
from test_journal import Echo, asked

from engines.chat import Reply
from engines.journal import JournaledEngine
from evaluation.verdict_journal import VerdictJournal
from utils import InputError


def replies(path):
    return JournaledEngine(Echo(), path)


def verdicts(path):
    return VerdictJournal(path)


LINES = {replies: "{}\n", verdicts: ""}


@pytest.mark.parametrize("opened", [replies, verdicts])
def test_a_journal_that_another_process_writes_is_refused_and_left_as_it_is(tmp_path, opened):
    path = tmp_path / "data.journal.jsonl"
    path.write_text(LINES[opened] + '{"half a li')
    with path.open("ab") as file:  # another open file of this process stands for that of another one
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="found it in use by another process"):
            opened(path)
        assert path.read_text().endswith('{"half a li'), "it is the other's, who may be writing on"
    opened(path)
    assert path.read_text() == LINES[opened]


@pytest.mark.parametrize("opened", [replies, verdicts])
def test_a_journal_is_kept_from_its_first_line_until_it_is_let_go(tmp_path, opened):
    path = tmp_path / "data.journal.jsonl"
    journal = opened(path)
    assert not path.exists()
    if opened is replies:
        journal.chat(asked("ab"))
    else:
        journal.add("judge", "prompt", "item", "name", Reply("yes"))
    with path.open("ab") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        opened(path)  # the same process may
        del journal
        gc.collect()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
