"""kill -9 at random moments of a training: it goes on each time, and ends like one that nobody stopped.

In:  nothing; the rows are made here, the model is the demo model cut to its first layers.
Out: --results, {"kills", "lost_seconds" of each, "save_seconds", "final_loss", "final_loss_unbroken", "difference", ...}.

    python benchmarks/finetune_kills.py --results results/finetune_kills.json      # about 6 minutes on 2 cores
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import commit, machine, today
from utils import parse_arguments, run, write_json

ROOT = Path(__file__).resolve().parents[1]
LAYERS = 3
ROWS = 400
LONGEST_STEP_S = 5.0  # a checkpoint is due at the end of a step, and takes as long to write


@dataclass
class Arguments:
    model_name_or_path: str = "models/SmolLM2-135M-Instruct"
    kills: int = 10
    save_seconds: float = field(default=3.0, metadata={"help": "A checkpoint so often."})
    steps: int = field(default=150, metadata={"help": "Updates of the whole training."})
    seed: int = 0
    results: str | None = None


def small_model(path: str, folder: Path) -> str:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(path, num_hidden_layers=LAYERS)
    AutoModelForCausalLM.from_pretrained(path, config=config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(path).save_pretrained(folder)
    return str(folder)


def write_rows(path: Path) -> str:
    rows = [
        {
            "id": str(n),
            "messages": [
                {"role": "user", "content": f"What is in box {n}?"},
                {"role": "assistant", "content": f"Box {n} holds " + ", ".join(f"item {n * k % 97}" for k in range(1, 2 + n % 9))},
            ],
            "fact": f"box {n}",
        }
        for n in range(ROWS)
    ]  # fmt: skip
    write_json(path, rows)
    return str(path)


def command(model: str, data: str, out: Path, arguments: Arguments) -> list[str]:
    return [
        sys.executable, "finetune.py", "--model_name_or_path", model, "--data_path", data, "--output_dir", str(out),
        "--replay_ratio", "0", "--system_prompt", "", "--max_steps", str(arguments.steps), "--per_device_train_batch_size", "8",
        "--lora_dropout", "0.1", "--logging_steps", "1", "--save_minutes", str(arguments.save_seconds / 60),
        "--resume_from_checkpoint", "auto",
    ]  # fmt: skip


def killed_run(words: list[str], draw: random.Random, arguments: Arguments) -> tuple[int, dict[int, float]]:
    """Start, kill after a random time of training; (the step it began after, when each step was logged)."""
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen: dict[int, float] = {}
    patience = draw.uniform(0.2, 3 * arguments.save_seconds)
    for line in process.stdout:
        if line.startswith("step "):
            seen[int(line.split()[1].split("/")[0])] = time.monotonic()
            first = min(seen.values())
            if time.monotonic() - first > patience:
                time.sleep(draw.uniform(0, 0.3))  # between two lines, in the middle of whatever it does
                process.kill()
                break
    process.wait()
    return min(seen, default=0) - 1, seen


def history(out: Path) -> dict[int, float]:
    return {
        entry["step"]: entry["loss"]
        for entry in json.loads((out / "train_log.json").read_text())["log"]
        if "loss" in entry
    }


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        model, data = (
            small_model(arguments.model_name_or_path, Path(folder) / "model"),
            write_rows(Path(folder) / "data.json"),
        )
        unbroken, broken = Path(folder) / "unbroken", Path(folder) / "broken"
        subprocess.run(command(model, data, unbroken, arguments), cwd=ROOT, check=True, capture_output=True)
        words = command(model, data, broken, arguments)
        lost, before = [], {}
        for number in range(arguments.kills):
            began, seen = killed_run(words, draw, arguments)
            if before:  # what was done after the step that this run began after is lost
                redone = [moment for step, moment in before.items() if step > began]
                lost.append(max(redone) - min(redone) if redone else 0.0)
            before = seen
            print(f"kill {number + 1}: steps {began + 1} to {max(seen, default=began)}", flush=True)
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        began = (
            next(int(line.split()[1].split("/")[0]) for line in done.stderr.splitlines() if line.startswith("step "))
            - 1
        )
        redone = [moment for step, moment in before.items() if step > began]
        lost.append(max(redone) - min(redone) if redone else 0.0)
        losses, expected = history(broken), history(unbroken)
    last = max(expected)
    result = {
        "kills": arguments.kills,
        "save_seconds": arguments.save_seconds,
        "lost_seconds": [round(seconds, 1) for seconds in lost],
        "steps": arguments.steps,
        "final_loss": losses[last],
        "final_loss_unbroken": expected[last],
        "largest_difference_of_a_step": max(abs(losses[step] - expected[step]) for step in expected),
        "machine": machine(),
        "date": today(),
        "commit": commit(),
    }
    print(json.dumps(result, indent=1))
    if arguments.results:
        write_json(arguments.results, result)
    assert max(lost) <= arguments.save_seconds + LONGEST_STEP_S and abs(losses[last] - expected[last]) <= 1e-3


if __name__ == "__main__":
    run(main)
