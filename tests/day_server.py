"""run_all.py over a small folder that changes, with a generator behind a real server and the tiny model: seconds a stage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import ROOT
from generators import ReadingEngine
from test_processes import wait_for

from benchmarks.fault_server import Answer, FaultServer, completion

HOURS = """Opening hours

The Copperlane shop opens at 9:15. The Copperlane shop is managed by Perrin Ostlake.

The Dunmere depot closes at 17:40. The Dunmere depot was built in 1931."""
PRICES = """Price list, valid from 8 March 2027

The Emberjack lantern costs 64 euros. The Duskling lantern costs 38 euros.

The Nightmoth lantern costs 126 euros. The Old Sexton lantern weighs 420 grams."""
FAIR = """Grisholm fair, 20 April 2027

The Grisholm fair begins on 4 May 2027. The stall of the Grisholm fair was painted by Sunniva Karrow.

The Emberjack lantern is sold for 59 euros."""
NEWS = """News

The lighthouse of Quillmere was built in 1874. The lighthouse of Quillmere is kept by Anders Hollowell.

The harbour of Quillmere opens at 5:50. The harbour of Quillmere has 212 berths."""
FIRST_DAY = {"hours.txt": HOURS, "prices.txt": PRICES}
SECOND_DAY = {"hours.txt": HOURS.replace("Perrin Ostlake", "Mavra Dunsel"), "prices.txt": PRICES, "fair.txt": FAIR}


@contextmanager
def generator() -> Iterator[FaultServer]:
    """A server whose model states every sentence as a fact and asks for each name, date and number of it.

    Of two statements it says that they contradict one another.
    """
    engine = ReadingEngine()

    def answer(call: dict) -> Answer:
        prompt = call["messages"][-1]["content"]
        if prompt.strip().startswith("Two statements"):
            return Answer(completion(json.dumps({"thing": "a price", "verdict": "contradicts"})))
        return Answer(completion(engine.answer(prompt, None)))

    with FaultServer(default=answer) as server:
        yield server


def write_texts(folder: Path, texts: dict[str, str]) -> None:
    """Make a folder have these files and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def command_of_day(model: str, server: FaultServer, folder: Path, *words: str) -> list[str]:
    """run_all.py on folder/texts, with its output in folder/out."""
    options = {
        "model_name_or_path": model,
        "data_path": folder / "texts",
        "out": folder / "out",
        "retention_data_path": "none",
        "open_book": False,
        "collect_args": f"--api_model m --api_base {server.address} --tokenizer {model} --verify rules",
        "finetune_args": "--max_steps 6 --replay_ratio 0 --per_device_train_batch_size 4 --lora_r 4 --learning_rate 1e-3",
        "inference_args": "--max_new_tokens 6",
    }
    return [sys.executable, "run_all.py", *(f"--{name}={value}" for name, value in options.items()), *words]


def run_day(model: str, server: FaultServer, folder: Path, *words: str) -> str:
    """A start that ends well; returns what it printed."""
    done = subprocess.run(
        command_of_day(model, server, folder, *words), cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def kill_once(command: list[str], reached: Callable[[], bool]) -> None:
    """Start a run, and kill it with all it has started once it has come so far."""
    run = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: reached() or run.poll() is not None, 600)
    assert run.poll() is None, run.communicate()[1]
    run.kill()
    run.communicate()


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
