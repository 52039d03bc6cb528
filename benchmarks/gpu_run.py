"""Processes for benchmarks/gpu.py: a part with a limit, a training watched line by line, and the GPU memory meanwhile."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gpu_model import ROOT, Bench
from provenance import meta_file
from utils import InputError

GRACE_S = 5.0  # for a part over its limit to end what it started
TAIL = 3000  # characters of a process's output kept in a result
SAMPLE_INTERVAL_S, POLL_INTERVAL_S = 0.2, 0.05
GIB = 2**30


def run_with_limit(command: list[str], limit: float, output: Path) -> int | None:
    """The exit code of a process whose output goes to `output`; None if it was ended after `limit` seconds."""
    import psutil

    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w") as file:
        process = psutil.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            return process.wait(limit)
        except psutil.TimeoutExpired:
            started = process.children(recursive=True)
            process.terminate()
            psutil.wait_procs([process], timeout=GRACE_S)
            kill_processes([process, *started])
            return None


def kill_processes(processes: list) -> None:
    """SIGKILL the psutil processes that still run; psutil does not mistake a reused id for the old process."""
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=GRACE_S)


def tail(text: str) -> str:
    return text[-TAIL:]


def read_card() -> dict:
    """{"card", "card_mib", "driver"} of the first GPU, as nvidia-smi gives them; "unknown" if it fails."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return {"card": "unknown"}
    return dict(zip(("card", "card_mib", "driver"), done.stdout.splitlines()[0].split(", "), strict=True))


@dataclass
class Training:
    """One start of finetune.py: exit code (None: left running), seconds, and each line with the second it was printed."""

    code: int | None
    seconds: float
    lines: list[tuple[float, str]]

    @property
    def output(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def first_line_with(self, text: str) -> str | None:
        """The first line that contains `text`."""
        return next((line for _, line in self.lines if text in line), None)

    @property
    def steps(self) -> dict[int, float]:
        """The second at which the line of each step was printed."""
        return {parse_step(line): second for second, line in self.lines if parse_step(line)}


def parse_step(line: str) -> int:
    """The step of a line with losses; 0 for any other line."""
    found = re.match(r"step (\d+)/\d+, loss ", line)
    return int(found[1]) if found else 0


def training_command(bench: Bench, model: Path, out: Path, *more: object, launcher: tuple[str, ...] = ()) -> list[str]:
    """The command for a training on the generated rows, without replay unless `more` asks for it."""
    command = [
        sys.executable, *launcher, "finetune.py", "--model_name_or_path", model, "--data_path", bench.rows,
        "--output_dir", out, "--replay_ratio", 0, "--system_prompt", "", "--logging_steps", 1, *bench.sizes.train, *more,
    ]  # fmt: skip
    return [str(word) for word in command]


def train(
    command: list[str], printed: Path, stop_at: int | None = None, act: Callable[[subprocess.Popen], None] | None = None
) -> Training:
    """Run a training with its output in the file `printed`; after step `stop_at`, `act` on the process and let it end.

    Not through a pipe: ranks that outlive their launcher would die from a pipe that nobody reads.
    """
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "WANDB_MODE": "disabled"}
    began, lines, rest, acted = time.monotonic(), [], "", False
    with printed.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
    with printed.open(errors="replace") as file:
        code = None
        while code is None:
            time.sleep(POLL_INTERVAL_S)
            code = process.poll()
            second = round(time.monotonic() - began, 2)
            *whole, rest = (rest + file.read()).split("\n")
            lines += [(second, line) for line in whole]
            if act and not acted and max((parse_step(line) for line in whole), default=0) >= stop_at:
                acted = True
                act(process)
    return Training(code, round(time.monotonic() - began, 2), lines)


def training_results(training: Training, out: Path) -> Iterator[dict]:
    """The results of a training: exit code, whether all losses and gradient norms are finite, seconds, speed, difference.

    If it failed, InputError after yielding the exit code: then the part has failed too.
    """
    yield {"exit_code": training.code, "wall_seconds": training.seconds}
    if training.code:
        raise InputError(f"expected finetune.py to end with 0, found {training.code}: {tail(training.output)}")
    log, meta = (json.loads(path.read_text()) for path in (out / "train_log.json", meta_file(out / "training")))
    entries, plan = log["log"], log["plan"]
    values = [entry[key] for entry in entries for key in ("loss", "grad_norm", "eval_loss") if key in entry]
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    in_training = next(entry["train_runtime"] for entry in entries if "train_runtime" in entry)
    after = training.seconds - max(training.steps.values())
    # by this process: a budget may end it earlier, or it may have been resumed
    done = len(training.steps) / plan["updates"]
    tokens = plan["tokens"] * plan["epochs"] * done
    yield {
        "phases": {
            "before_training": round(training.seconds - after - in_training, 1),
            "training": round(in_training, 1),
            "save_and_read_back": round(after, 1),
        },
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "validation_loss": next((entry["eval_loss"] for entry in reversed(entries) if "eval_loss" in entry), None),
        "finite": all(math.isfinite(value) for value in values),
        "reopened_difference": meta["reopened_difference"],
        "updates": meta["updates"],
        "real_tokens": round(tokens),
        "real_tokens_s": round(tokens / in_training, 1),
        "mfu": round(4 * plan["parameters"] * tokens / in_training / plan["peak_flops"], 4),
        "parameters": plan["parameters"],
        "peak_tflops": round(plan["peak_flops"] / 1e12, 3),
        "layout": plan["layout"],
    }


@dataclass
class Memory:
    """GPU memory used by other processes: [(second, bytes)] since watching began, on top of what was used then."""

    samples: list[tuple[float, int]] = field(default_factory=list)

    def peak(self, until: float = math.inf) -> float | None:
        """The peak in GiB; None if nothing was watched."""
        sizes = [size for second, size in self.samples if second <= until]
        return round(max(sizes) / GIB, 2) if sizes else None


@contextlib.contextmanager
def watch_memory(cuda: bool) -> Iterator[Memory]:
    """Context in which the memory of GPU 0, which nobody else uses, is sampled; on a CPU nothing is."""
    memory = Memory()
    if not cuda:
        yield memory
        return
    import torch

    done, began = threading.Event(), time.monotonic()
    before = torch.cuda.mem_get_info()[0]

    def sample() -> None:
        while not done.wait(SAMPLE_INTERVAL_S):
            memory.samples.append((time.monotonic() - began, before - torch.cuda.mem_get_info()[0]))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        done.set()
        thread.join()


def stop_at_sigterm() -> None:
    """Make a part over its limit exit by an exception, so that what it started is ended."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
