"""Ask a run's base and tuned model in the terminal, side by side, with the fact that the training had about it.

Each line is a question of its own, as the model was trained and measured. Ctrl-C stops an answer, or ends the program where
there is none; so does Ctrl-D. Questions may come from a pipe, one a line.

    python -m evaluation.chat output/run ""      # RUN MODEL
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator

from data_processor.dataset import read_dataset
from engines.side_by_side import SideBySide
from engines.tuned_run import read_run
from evaluation.fact_finder import FactFinder
from utils import run_script

PROMPT = "? "
MAX_NEW_TOKENS = 256
TWO_COLUMNS = 60  # characters of a terminal that two columns need; below it they stand under one another


def layout(base: str, tuned: str, width: int):
    """Both answers, to print in a terminal `width` characters wide."""
    from rich.table import Table
    from rich.text import Text

    if width < TWO_COLUMNS:
        table = Table.grid(expand=True)
        for name, text in (("base", base), ("tuned", tuned)):
            table.add_row(Text(name, style="bold"))
            table.add_row(Text(text))
        return table
    table = Table(expand=True, box=None, padding=(0, 2, 0, 0))
    for name in ("base", "tuned"):
        table.add_column(name, ratio=1, overflow="fold")
    table.add_row(Text(base), Text(tuned))
    return table


def show_answers(console, answers: Iterator[tuple[str, str]]) -> None:
    """Print both answers as they grow; where nothing can be redrawn, once they are whole. Ctrl-C stops them."""
    from rich.live import Live

    base = tuned = ""
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with contextlib.suppress(KeyboardInterrupt), live or contextlib.nullcontext():
        for base, tuned in answers:
            if live:
                live.update(layout(base, tuned, console.width), refresh=True)
    if not live:
        console.print(layout(base, tuned, console.width))


def show_fact(console, row: dict) -> None:
    """Print the fact of a row of the dataset, and the words of the document that it rests on."""
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(f"nearest fact: {row['fact']}", style="dim"))
    quote = f"“{row['source']['quote']}” ({row.get('file_name') or 'no file name'})"
    console.print(Padding(Text(quote, style="dim italic"), (0, 0, 0, 2)))


def read_questions(prompt: str) -> Iterator[str]:
    """The lines of standard input with words in them, until it ends or Ctrl-C is pressed."""
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            if question := input(prompt).strip():
                yield question
    if prompt:
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="the folder of a run, OUT of shells/run_all.sh")
    parser.add_argument("model", help='where its base model is; "" for where it was')
    given = parser.parse_args()
    run = read_run(given.run, given.model or None)
    data = run.folder / "data.json"
    finder = FactFinder(read_dataset(data) if data.is_file() else [])

    from rich.console import Console

    console, at_terminal = Console(), sys.stdin.isatty()
    if at_terminal:
        import readline  # noqa: F401  lines of input() can then be edited and called back
    else:
        sys.stdin.reconfigure(errors="replace")  # a pipe may hold bytes that are not UTF-8

    pair = SideBySide.load(run)
    for question in read_questions(PROMPT if at_terminal else ""):
        if not at_terminal:
            console.print(f"{PROMPT}{question}", markup=False, highlight=False)
        show_answers(console, pair.answers(question, MAX_NEW_TOKENS))
        row = finder.find(question)
        if row is not None:
            show_fact(console, row)
        console.print()


if __name__ == "__main__":
    run_script(main)
