"""A collection by two workers on Ray against one, and with one of two killed: the part of results/scale.json on that.

The workers are on this machine and ask a server that takes LATENCY_S for every call, however many it has; a worker asks
CONCURRENCY at once. So it is the workers that limit how many are answered at once, as where each machine has a server of
its own. The corpus and the answers are those of benchmarks/scale.py.

In:  FOLDER, a new one, for the datasets.
Out: results/scale.json with "ray_ratio": seconds of a collection by one worker for each of two, from the first call to the
     dataset; "ray_ratio_cpu": the same for questions to a transformers model, one worker with all cores against two with
     half of them each, null unless the cores are free; "ray_equal": whether the datasets of one and two workers are, to
     the byte, that of a collection without Ray; "ray_equal_after_kill": whether that of the run with a killed worker is;
     "ray": all numbers. Its other keys stay.

    python benchmarks/ray_workers.py FOLDER
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import provenance
from benchmarks.fault_server import Answer, FaultServer, completion
from benchmarks.scale import RESULTS
from benchmarks.scale_corpus import CHUNK_TOKENS, answer, write_corpus
from budget.clock import Clock
from data_processor.arguments import CollectionArguments, check_arguments
from data_processor.collection import collect
from engines.arguments import ApiArguments, EngineArguments
from engines.load import load_api_engine, load_engine
from engines.ray import RayEngine
from engines.ray_cluster import join_cluster
from utils import InputError, run_script, write_json

CHUNKS, CONCURRENCY, LATENCY_S = 30, 4, 2.0  # the latency far above what a call costs here, beside other work too
MODEL = Path(__file__).resolve().parents[1] / "models" / "SmolLM2-135M-Instruct"
CPU_QUESTIONS, CPU_TOKENS = 256, 48
BUSY_PERCENT = 10  # a core with more than this is not free
FILES = ("data.json", "data.test.json", "data.chunks.jsonl", "log/data.dropped.jsonl")


def reads_well(call: dict) -> Answer:
    return Answer(completion(answer(call["messages"][-1]["content"])))


def collected(folder: Path, name: str, workers: int | None, kill_after: int = 0) -> dict:
    """One collection: by `workers` on Ray, one of them killed after so many calls; or without, for its dataset, at once."""
    with FaultServer(default=reads_well, delay_s=LATENCY_S if workers else 0.0) as server:
        ray = {"ray_address": "local", "data_parallel_size": workers} if workers else {}
        engine = load_api_engine(ApiArguments(api_model="m", api_base=server.address, concurrency=CONCURRENCY, **ray))
        if workers:
            warm_up(engine)
        warming = len(server.calls)
        if kill_after:
            killing = (server, warming + kill_after, engine.workers.places[-1])
            threading.Thread(target=kill_worker, args=killing, daemon=True).start()
        arguments = CollectionArguments(
            data_path=str(folder / "texts"),
            json_save_dir=str(folder / name / "data.json"),
            chunk_size_by_token=CHUNK_TOKENS,
            tokenizer="tiktoken:gpt-4o",
            qa_amount_per_fact=2,
            role_amount_per_fact=1,
            test_ratio=0.1,
        )
        documents = check_arguments(arguments)
        clock = Clock("collection", time.time(), math.inf, folder / name)
        collect(engine, arguments.tokenizer, documents, arguments, clock)
        seconds = time.monotonic() - server.calls[warming]["time"]
        if workers:
            engine.close()
    return {
        "seconds": round(seconds, 1),
        "calls": len(server.calls) - warming,
        "calls_at_once": server.most_at_once,
    }


def warm_up(engine: RayEngine) -> None:
    """Wait for all workers, and have each make its first calls: what they import is not part of what is measured."""
    while not all(place.about for place in engine.workers.places):
        time.sleep(0.1)
    engine.chat([[{"role": "user", "content": f"Question {number}?"}] for number in range(4 * CONCURRENCY)])


def kill_worker(server: FaultServer, calls: int, place) -> None:
    while len(server.calls) < calls:
        time.sleep(0.05)
    os.kill(place.about.pid, signal.SIGKILL)


def same_files(folder: Path, some: str, other: str) -> bool:
    return all((folder / some / file).read_bytes() == (folder / other / file).read_bytes() for file in FILES)


def cores_are_free() -> bool:
    """Whether there are two cores for this process on which nothing else runs."""
    import psutil

    usage = psutil.cpu_percent(interval=5, percpu=True)
    own = [usage[core] for core in os.sched_getaffinity(0)]
    return len(own) >= 2 and max(own) < BUSY_PERCENT


def seconds_on_cpu(workers: int) -> float:
    """Of the questions put to a model on the CPU."""
    arguments = EngineArguments(engine="transformers", ray_address="local", data_parallel_size=workers)
    engine = load_engine(str(MODEL), arguments)
    warm_up(engine)
    questions = [[{"role": "user", "content": f"What is {number} plus 3?"}] for number in range(CPU_QUESTIONS)]
    started = time.monotonic()
    engine.chat(questions, max_new_tokens=CPU_TOKENS)
    seconds = time.monotonic() - started
    engine.close()
    return round(seconds, 1)


def main() -> None:
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        raise InputError(
            "expected the path of a new folder, found something else: python benchmarks/ray_workers.py FOLDER"
        )
    folder = Path(sys.argv[1])
    join_cluster("local")  # one for all runs
    write_corpus(folder / "texts", CHUNKS)
    runs = {"without": collected(folder, "without", None)}
    runs |= {name: collected(folder, name, workers) for name, workers in (("one", 1), ("two", 2))}
    runs["killed"] = collected(folder, "killed", 2, runs["two"]["calls"] // 2)
    cpu = {workers: seconds_on_cpu(workers) for workers in (1, 2)} if cores_are_free() else {}
    made = {
        "ray_ratio": round(runs["one"]["seconds"] / runs["two"]["seconds"], 2),
        "ray_ratio_cpu": round(cpu[1] / cpu[2], 2) if cpu else None,
        "ray_equal": same_files(folder, "without", "one") and same_files(folder, "without", "two"),
        "ray_equal_after_kill": same_files(folder, "without", "killed"),
    }
    about = {"workers": 2, "concurrency": CONCURRENCY, "latency_s": LATENCY_S, "chunks": CHUNKS, "runs": runs}
    about |= {"cpu_seconds": cpu or None, "ray": version("ray"), "machine": provenance.machine()}
    about |= {"date": provenance.today(), "commit": provenance.commit()}
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    write_json(RESULTS, {**known, **made, "ray": about})


if __name__ == "__main__":
    run_script(main)
