"""Base and tuned side by side: the same answers as inference.py's, laid out for the terminal, with the fact below."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from rich.console import Console
from tuned_runs import MAX_NEW_TOKENS, write_tuned_run

from engines.side_by_side import SideBySide
from engines.tuned_run import read_run
from evaluation.chat import layout, show_answers, show_fact
from evaluation.fact_finder import FactFinder


def row(question: str, answer: str, fact: str, quote: str | None = "as written", **more) -> dict:
    turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
    source = {"chunk": 0, **({"quote": quote} if quote else {})}
    return {"conversations": turns, "fact": fact, "file_name": "notes.txt", "source": source, **more}


ROWS = [
    row("Who wrote Halfmoth?", "Mathis Ondurrel", "Halfmoth was written by Mathis Ondurrel."),
    row("When was the Pelorin tide gauge sold?", "21 May 2026", "The Pelorin tide gauge went on sale on 21 May 2026."),
    row("Who is the author of the Lantern?", "Ines Karr", "The Lantern is by Ines Karr.", quote=None),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model_path) -> Path:
    folder = write_tuned_run(tmp_path_factory.mktemp("run"), tiny_model_path)
    (folder / "data.json").write_text(json.dumps([{**one, "id": f"{n}"} for n, one in enumerate(ROWS)]))
    return folder


@pytest.fixture
def output() -> Console:
    return Console(file=io.StringIO(), width=80)


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("Who wrote Halfmoth?", 0),
        ("Halfmoth was written by whom?", 0),
        ("HALFMOTH - who wrote it", 0),
        ("When could people buy the Pelorin tide gauge?", 1),
        ("What is the capital of France?", None),
        ("Who is the author of the Lantern?", None),  # a row without a quote has nothing to show
        ("?!", None),
    ],
)
def test_the_fact_that_fits_a_question_is_found_and_none_for_another(question, fact):
    assert FactFinder(ROWS).find(question) == (None if fact is None else ROWS[fact])


def test_chinese_facts_are_found_by_pairs_of_characters():
    rows = [
        row("半蛾的作者是谁？", "马蒂斯", "《半蛾》的作者是马蒂斯。"),
        row("潮位计何时上市？", "五月", "潮位计于五月上市。"),
    ]
    assert FactFinder(rows).find("谁是半蛾的作者？") == rows[0]


@pytest.mark.parametrize("source", ["wikipedia", ["a", "b"], 3])
def test_a_row_from_elsewhere_may_say_anything_as_its_source(source):
    """Public datasets name there where they are from; such a row has no quote to show."""
    assert FactFinder([{**ROWS[0], "source": source}, ROWS[1]]).find("Who wrote Halfmoth?") is None


def test_a_run_without_data_shows_no_facts():
    assert FactFinder([]).find("Who wrote Halfmoth?") is None


@pytest.mark.parametrize("width", [30, 59, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_lost(width):
    base, tuned = "one two three " * 20 + "[bold]x[/bold]", "é 你好 " * 30 + "averyveryverylongwordwithoutanybreak" * 4
    console = Console(file=io.StringIO(), width=width)
    console.print(layout(base, tuned, width))
    text = console.file.getvalue()
    from rich.cells import cell_len

    assert max(map(cell_len, text.splitlines())) <= width
    assert text.count("three") == 20 and text.count("你好") == 30 and "[bold]x[/bold]" in text, "an answer is no markup"
    beside = any("one two" in line and "你好" in line for line in text.splitlines())
    assert beside == (width >= 60)


def test_where_nothing_can_be_redrawn_answers_come_once_and_whole(output):
    show_answers(output, iter([("a", ""), ("a b", "c"), ("a b", "c d")]))
    assert output.file.getvalue().split() == ["base", "tuned", "a", "b", "c", "d"]
    assert output.file.getvalue().endswith("\n"), "what follows begins a line"


def test_ctrl_c_keeps_what_was_answered_so_far(output):
    def stopped():
        yield "begun", "too"
        raise KeyboardInterrupt

    show_answers(output, stopped())
    assert output.file.getvalue().split() == ["base", "tuned", "begun", "too"]


def test_the_fact_and_its_quote_are_told_with_the_file(output):
    show_fact(output, ROWS[0])
    lines = [line.rstrip() for line in output.file.getvalue().splitlines()]
    assert lines == ["nearest fact: Halfmoth was written by Mathis Ondurrel.", "  “as written” (notes.txt)"]


def test_both_answers_are_those_of_inference_from_one_loaded_model(run):
    pair = SideBySide.load(read_run(run))
    base, tuned = (json.loads((run / f"{name}.json").read_text()) for name in ("base", "tuned"))
    for before, after in list(zip(base, tuned, strict=True))[:3]:
        steps = list(pair.answers(before["question"], MAX_NEW_TOKENS))
        assert steps[-1] == (before["response"], after["response"])
        assert len(steps) > 2 and len(steps[0][0]) < len(steps[-1][0]), "token by token"


def command(run: Path) -> list[str]:
    return [sys.executable, "-m", "evaluation.chat", str(run), ""]


@pytest.mark.slow
def test_questions_from_a_pipe_are_answered_one_a_line(run):
    asked = "Who wrote Halfmoth?\n\nWhat is the caf\xe9 of France?\n".encode("latin-1")  # é is no UTF-8 there
    done = subprocess.run(command(run), cwd=ROOT, input=asked, capture_output=True, timeout=600)
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("? ") == 2 and done.stdout.count("base") == 2 and "\x1b" not in done.stdout
    assert done.stdout.count("nearest fact: ") == 1 and "“as written” (notes.txt)" in done.stdout
    assert "Traceback" not in done.stderr


# In a session of its own the program makes the terminal its own, which then sends it the signal of Ctrl-C.
TAKE_TERMINAL = """
import fcntl, runpy, signal, sys, termios
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without it
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv[0] = "chat"
runpy.run_module("evaluation.chat", run_name="__main__")
"""


def read_until(terminal: int, *texts: str, seconds: float = 300) -> str:
    """What a program writes to its terminal, until one of the texts is in it; it fails after that many seconds."""
    found, deadline = "", time.monotonic() + seconds
    while not any(text in found for text in texts):
        assert time.monotonic() < deadline, f"expected one of {texts}, found {found[-2000:]!r}"
        if select.select([terminal], [], [], 1)[0]:
            found += os.read(terminal, 65536).decode(errors="replace")
    return found


@pytest.mark.slow
def test_ctrl_c_stops_an_answer_and_then_the_program_as_ctrl_d_does(run):
    for ends in (b"\x03", b"\x04"):
        terminal, theirs = pty.openpty()
        chat = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, str(run), ""], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
        )  # fmt: skip
        os.close(theirs)
        read_until(terminal, "? ")
        os.write(terminal, b"Tell me everything about the harbour.\n")
        read_until(terminal, "tuned")
        os.write(terminal, b"\x03")
        read_until(terminal, "? ")
        code = None
        for _ in range(12):  # the "? " may be one of the answer; and one key may come before the prompt listens to it
            os.write(terminal, ends)
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = chat.wait(10)
                break
        assert code == 0
        os.close(terminal)
