"""Parts 2, 3, 5, 6 and 10 of benchmarks/gpu.py: finetune.py as users start it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu_model import Bench
from benchmarks.gpu_run import Training, kill_processes, tail, train, training_command, training_results, watch_memory
from provenance import meta_file

WHOLE_EPOCHS, WHOLE_UPDATES = 16, 20  # updates as large as for a dataset this many times larger; only a few are made
BUDGET_S = 90
STOP_AT = 2  # steps before the training is asked to stop, or its launcher is killed
GONE_S = 8.0  # within which the ranks of a killed launcher have to be gone
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1")


def whole(bench: Bench) -> Iterator[dict]:
    """Part 2: finetune.py at full depth, with its defaults for a large enough dataset: updates of about 10k tokens."""
    more, out = ("--num_train_epochs", WHOLE_EPOCHS, "--max_steps", WHOLE_UPDATES), bench.folder / "whole"
    yield {"arguments": " ".join(map(str, more))}
    with watch_memory(bench.cuda) as memory:
        training = train(training_command(bench, bench.whole, out, *more), bench.folder / "whole.txt")
    yield {name: training.first_line_with(name) for name in ("measured: a micro-batch", "out of memory at step")}
    yield from training_results(training, out)
    training_ended = max(training.steps.values())
    yield {"peak_gib": memory.peak(training_ended), "peak_gib_with_the_process_that_reads_back": memory.peak()}


def validation(bench: Bench) -> Iterator[dict]:
    """Part 3: with --validation, and with the default share of replayed answers."""
    more = ("--validation", "True", "--validation_size", 8, "--replay_ratio", 0.1, "--num_train_epochs", 1)
    yield from run_training(bench, "validation", *more)


def q_lora(bench: Bench) -> Iterator[dict]:
    """Part 5: the base in 4 bits, and the adapter read back on it."""
    yield from run_training(bench, "q_lora", "--q_lora", "True", "--num_train_epochs", 1)


def run_training(bench: Bench, name: str, *more: object) -> Iterator[dict]:
    out = bench.folder / name
    yield {"arguments": " ".join(map(str, more))}
    yield from training_results(
        train(training_command(bench, bench.cut, out, *more), bench.folder / f"{name}.txt"), out
    )


def budget(bench: Bench) -> Iterator[dict]:
    """Part 10: with a time budget and more epochs than fit; `in_time` if the process ended within it."""
    out = bench.folder / "budget"
    command = training_command(bench, bench.cut, out, "--num_train_epochs", 10000, "--time_budget", f"{BUDGET_S}s")
    training = train(command, bench.folder / "budget.txt")
    yield {"budget_s": BUDGET_S, "in_time": training.seconds <= BUDGET_S}
    yield from training_results(training, out)


def launcher(bench: Bench) -> Iterator[dict]:
    """Part 6: torchrun with one process is asked to stop, resumed, killed, and started again."""
    import psutil

    out = bench.folder / "launcher"
    more = ("--max_steps", bench.sizes.updates, "--save_minutes", 0.05, "--resume_from_checkpoint", "auto")
    command = training_command(bench, bench.cut, out, *more, launcher=TORCHRUN)
    stopped = train(command, bench.folder / "stopped.txt", STOP_AT, lambda process: process.terminate())
    yield {"sigterm": describe_stop(stopped, out)}

    ranks: list[psutil.Process] = []

    def kill(process: subprocess.Popen) -> None:
        ranks.extend(psutil.Process(process.pid).children(recursive=True))
        process.kill()

    try:
        killed = train(command, bench.folder / "killed.txt", max(stopped.steps, default=0) + STOP_AT, kill)
        gone, left = psutil.wait_procs(ranks, timeout=GONE_S)
        yield {
            "launcher_killed": {
                "exit_code": killed.code,
                "resumed": killed.first_line_with("resumed from"),
                "ranks": len(gone) + len(left),
                "ranks_left": len(left),
                "went_on_to_the_end": meta_file(out / "training").is_file(),
                "seconds_waited": GONE_S,
            }
        }
        again = train(command, bench.folder / "again.txt")
        yield {"next_start_resumed": again.first_line_with("resumed from")}
        yield from training_results(again, out)
    finally:
        kill_processes(ranks)


def describe_stop(stopped: Training, out: Path) -> dict:
    """How a training ended after it was asked to: exit code, seconds since then, steps done, checkpoints."""
    asked = next((second for step, second in stopped.steps.items() if step >= STOP_AT), stopped.seconds)
    return {
        "exit_code": stopped.code,
        "seconds_to_end": round(stopped.seconds - asked, 1),
        "steps": max(stopped.steps, default=0),
        "checkpoints": sorted(path.name for path in out.glob("checkpoint-*")),
        **({} if stopped.steps else {"output": tail(stopped.output)}),
    }
