"""kill -9 at random moments of a training: it resumes each time, and ends like an undisturbed one.

In:  nothing; the rows are made here, the model is the demo model cut to its first layers.
Out: --results, {"kills", "save_seconds", "lost_seconds" of each, "largest_lost_seconds", "final_loss",
     "final_loss_unbroken", "largest_difference_of_a_step", ...}.

    python benchmarks/finetune_kills.py --results results/finetune_kills.json      # about 6 minutes on 2 cores
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import commit, machine, today
from utils import InputError, parse_arguments, run_script, write_json

ROOT = Path(__file__).resolve().parents[1]
LAYERS = 3
ROWS = 400
SLACK_S = 1.0  # for a step or write slower than the previous one


@dataclass
class Arguments:
    model_name_or_path: str = "models/SmolLM2-135M-Instruct"
    kills: int = 10
    save_seconds: float = field(default=3.0, metadata={"help": "Seconds between checkpoints."})
    steps: int = field(default=250, metadata={"help": "Updates in the whole training."})
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


@dataclass
class Training:
    """One start of finetune.py: the step it began after, when the line of each step was read, and when it ended."""

    began: int
    steps: dict[int, float]
    ended: float

    def lost(self, kept: int) -> float:
        """Seconds of its work that a run starting after step `kept` has to repeat."""
        first, last = min(self.steps.values()), max(self.steps.values())
        start = first - (last - first) / max(len(self.steps) - 1, 1)
        return self.ended - self.steps.get(kept, start)


def run_and_kill(command_line: list[str], kill_after: float | None, draw: random.Random) -> Training:
    """Start a training and kill it `kill_after` seconds after its first step; None lets it finish."""
    process = subprocess.Popen(command_line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    steps: dict[int, float] = {}
    output = ""
    for line in process.stdout:
        output += line
        if line.startswith("step "):
            steps[int(line.split()[1].split("/")[0])] = time.monotonic()
            if kill_after is not None and time.monotonic() - min(steps.values()) > kill_after:
                time.sleep(draw.uniform(0, 0.3))  # between two lines, in the middle of whatever it does
                process.kill()
                break
    ended = time.monotonic()
    code, expected = process.wait(), 0 if kill_after is None else -signal.SIGKILL
    if code != expected or not steps:
        raise InputError(
            f"expected exit code {expected}, found {code} (it ended too early? more --steps): {output[-2000:]}"
        )
    return Training(min(steps) - 1, steps, ended)


def read_losses(out: Path) -> dict[int, float]:
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
        command_line = command(model, data, broken, arguments)
        runs = []
        for number in range(arguments.kills):
            runs.append(run_and_kill(command_line, draw.uniform(0.2, 3 * arguments.save_seconds), draw))
            print(f"kill {number + 1}: steps {min(runs[-1].steps)} to {max(runs[-1].steps)}", flush=True)
        runs.append(run_and_kill(command_line, None, draw))
        losses, expected = read_losses(broken), read_losses(unbroken)
    lost = [run.lost(after.began) for run, after in itertools.pairwise(runs)]
    last = max(expected)
    result = {
        "kills": arguments.kills,
        "save_seconds": arguments.save_seconds,
        "lost_seconds": [round(seconds, 1) for seconds in lost],
        "largest_lost_seconds": round(max(lost), 1),
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
    assert max(lost) <= arguments.save_seconds + SLACK_S and abs(losses[last] - expected[last]) <= 1e-3


if __name__ == "__main__":
    run_script(main)
