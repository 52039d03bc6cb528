"""What the host does for a collection of 10^4, 10^5, 10^6 chunks, without a model: seconds and memory.

A simulated corpus (scale_corpus.py) goes through the project's own code, with an engine that answers at once: documents are
read, cut into chunks, and asked about; the answers pass all checks and the search for copies; rows are split and written, and
the dataset is read for training as `finetune.py --lazy_preprocess True` does. Every step of every size is a process of its
own: its seconds of processor time, which other work on the machine does not change as much as the clock's, without those in
which the engine writes its answers (`engine_seconds`), and its peak of memory by the operating system. A step that is done is
not done again: its record is in FOLDER/SIZE/steps.json.

    python benchmarks/scale.py FOLDER 1000 10000 100000 1000000

Out: results/scale.json: `host_seconds` and `host_steps` by number of chunks, with sizes measured before, and what
     `summarise` takes from them. Keys of other measurements stay.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import provenance
from benchmarks.scale_corpus import CHUNK_TOKENS, InstantEngine, write_corpus
from utils import InputError, read_json, run_script, write_json

RESULTS = Path(__file__).resolve().parents[1] / "results" / "scale.json"
TOKENIZER = Path(__file__).resolve().parents[1] / "models" / "SmolLM2-135M-Instruct"
STEPS = ("corpus", "collect", "train")  # in this order; the corpus is not part of what is measured


def write_simulated(folder: Path, chunks: int) -> dict:
    write_corpus(folder / "texts", chunks)
    return {}


def collect_simulated(folder: Path, chunks: int) -> dict:
    """From the folder to the dataset: rows, facts and seconds by part of the work."""
    from benchmarks.scale_timers import timed_parts
    from budget.clock import Clock
    from data_processor.arguments import CollectionArguments, check_arguments
    from data_processor.collection import collect

    arguments = CollectionArguments(
        data_path=str(folder / "texts"),
        json_save_dir=str(folder / "data.json"),
        chunk_size_by_token=CHUNK_TOKENS,
        tokenizer="tiktoken:gpt-4o",
        qa_amount_per_fact=2,
        role_amount_per_fact=1,
        test_ratio=0.1,
    )
    engine = InstantEngine()
    with timed_parts() as seconds:
        documents = check_arguments(arguments)
        collect(engine, arguments.tokenizer, documents, arguments, Clock("collection", time.time(), math.inf, folder))
    meta = read_json(folder / "log" / "data.meta.json", "the meta file of the collection")
    counts = {key: meta["counts"][key] for key in ("documents", "chunks", "facts")}
    counts |= {"rows": sum(meta["counts"]["rows"].values()), "test_rows": sum(meta["counts"]["test_rows"].values())}
    return {
        **counts,
        "calls": engine.calls,
        "engine_seconds": round(engine.seconds, 2),
        "parts": seconds,
    }


def read_for_training(folder: Path, chunks: int) -> dict:
    """As finetune.py reads a dataset lazily, up to the lengths by which batches are made."""
    from transformers import AutoTokenizer

    from finetune import read_rows
    from training.arguments import DataArguments
    from training.data import LazySupervisedDataset, count_facts

    rows = read_rows(DataArguments(data_path=str(folder / "data.json"), lazy_preprocess=True), 0)
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    examples = LazySupervisedDataset(rows.train, tokenizer, None, 1024)
    return {"examples": len(examples), "tokens": sum(examples.lengths), "facts": count_facts(rows.train)}


def run_step(step: str, folder: Path, chunks: int) -> None:
    """One step in this process; its record goes into steps.json."""
    work = {"corpus": write_simulated, "collect": collect_simulated, "train": read_for_training}[step]
    started, commit = time.monotonic(), provenance.commit()
    found = work(folder, chunks)
    used = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = sum(one.ru_utime + one.ru_stime for one in (used, children)) - found.get("engine_seconds", 0)
    record = {
        "seconds": round(seconds, 1),
        "seconds_by_the_clock": round(time.monotonic() - started, 1),
        "peak_gib": round(max(used.ru_maxrss, children.ru_maxrss) / 2**20, 2),  # KiB on Linux; git runs as a child
        "commit": commit,
        **found,
    }
    path = folder / "steps.json"
    write_json(path, {**(json.loads(path.read_text()) if path.exists() else {}), step: record})


def measure(folder: Path, chunks: int) -> dict[str, dict]:
    """The records of all steps of a size; what is missing is done now."""
    path = folder / "steps.json"
    for step in STEPS:
        if step not in (json.loads(path.read_text()) if path.exists() else {}):
            subprocess.run([sys.executable, __file__, str(folder.parent), str(chunks), step], check=True)
    return json.loads(path.read_text())


def summarise(sizes: dict[int, dict[str, dict]]) -> dict:
    """The keys of results/scale.json that are measured here, from the records of the steps by number of chunks."""
    measured = {chunks: {step: steps[step] for step in STEPS[1:]} for chunks, steps in sorted(sizes.items())}
    seconds = {chunks: round(sum(one["seconds"] for one in steps.values()), 1) for chunks, steps in measured.items()}
    largest = max(measured)
    collected = measured[largest]["collect"]
    return {
        "host_seconds": seconds,
        "host_milliseconds_a_chunk": {chunks: round(1000 * s / chunks, 2) for chunks, s in seconds.items()},
        "host_peak_gib": max(one["peak_gib"] for steps in measured.values() for one in steps.values()),
        "chunks": largest,
        "rows_per_chunk": round((collected["rows"] + collected["test_rows"]) / largest, 2),
        "host_steps": measured,
    }


def main() -> None:
    if len(sys.argv) < 3 or not all(size.isdigit() for size in sys.argv[2:] if size not in STEPS):
        raise InputError("expected a folder and numbers of chunks, found something else: see --help in the file's head")
    folder = Path(sys.argv[1])
    if sys.argv[-1] in STEPS:
        run_step(sys.argv[-1], folder / sys.argv[2], int(sys.argv[2]))
        return
    for size in map(int, sys.argv[2:]):
        steps = measure(folder / str(size), size)
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        sizes = {int(chunks): record for chunks, record in known.get("host_steps", {}).items()} | {size: steps}
        made = {"machine": provenance.machine(), "commit": steps["collect"]["commit"], "date": provenance.today()}
        write_json(RESULTS, {**known, **summarise(sizes), **made})


if __name__ == "__main__":
    run_script(main)
