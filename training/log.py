"""What a person sees of a training: its examples, a line now and then, and finally `train_log.json` and `loss_curve.png`."""

from __future__ import annotations

import itertools
import json
import logging
import re
import time
from pathlib import Path

import transformers
from transformers.integrations.integration_utils import rewrite_logs

from budget.watched_numbers import STEP, TRAINING_LOG, read_entries
from training.clock import TrainingClock
from training.data import IGNORED
from utils import log_file, write_json, write_text

log = logging.getLogger(__name__)


class ProgressLines(transformers.TrainerCallback):
    """Logs one line per entry on rank 0, instead of a progress bar. A `clock` may end the training before its last step."""

    def __init__(self, clock: TrainingClock | None = None):
        self.clock = clock

    def on_train_begin(self, args, state, control, **_):
        self._began, self._first = time.monotonic(), state.global_step

    def on_log(self, args, state, control, logs=None, **_):
        if state.is_world_process_zero and logs:
            if "loss" in logs:
                pace = (time.monotonic() - self._began) / max(state.global_step - self._first, 1)
                left = (state.max_steps - state.global_step) * pace
                left = min(left, self.clock.left()) if self.clock else left
                log.info("%s", format_entry(logs, state.global_step, state.max_steps, left))
            elif "eval_loss" in logs:
                log.info("step %d: loss on the held-out facts %.3f", state.global_step, logs["eval_loss"])


class LogFile(transformers.TrainerCallback):
    """Appends every entry to TRAINING_LOG on rank 0, for whoever watches the training, under the names of transformers' reports.

    A resumed training removes what came after the step at which it resumes.
    """

    def on_train_begin(self, args, state, control, **_):
        if state.is_world_process_zero:
            self.path = log_file(Path(args.output_dir) / TRAINING_LOG)
            kept = [entry for entry in read_entries(self.path) if entry[STEP] <= state.global_step]
            write_text(self.path, map(to_line, kept if state.global_step else []))

    def on_log(self, args, state, control, logs=None, **_):
        if state.is_world_process_zero and logs:
            line = to_line({"time": time.time(), STEP: state.global_step, **rewrite_logs(logs)})
            try:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(line)
            except OSError as error:  # such as a full disk: a line of a log is no reason to end a training
                log.warning("%s: %s; the training goes on without this entry", self.path, error.strerror)


def to_line(entry: dict) -> str:
    return json.dumps(entry) + "\n"


def format_entry(logs: dict, step: int, steps: int, seconds_left: float) -> str:
    """A log entry as one line of text."""
    parts = [
        f"step {step}/{steps}",
        f"loss {logs['loss']:.3f}",
        f"learning rate {logs['learning_rate']:.2e}",
        f"{logs['tokens_per_second']:.0f} tokens/s",
        f"padding {logs['padding_share']:.0%}",
    ]
    if "mfu" in logs:
        parts.append(f"MFU {logs['mfu']:.0%}")
    return ", ".join([*parts, f"{seconds_left / 60:.1f} min left"])


def colour_trained_tokens(example: dict, tokenizer) -> str:
    """The text of an example for a terminal: trained tokens in green, others in grey."""
    text = ""
    pairs = zip(example["input_ids"], example["labels"], strict=True)
    for read_only, stretch in itertools.groupby(pairs, key=lambda pair: pair[1] == IGNORED):
        text += ("\033[90m" if read_only else "\033[1;32m") + tokenizer.decode([token for token, _ in stretch])
    return text + "\033[0m"


def without_colours(text: str) -> str:
    """What colour_trained_tokens shows, with [[ ]] around trained tokens instead of colours, for a file."""
    marked = re.sub(r"\033\[1;32m(.*?)(?=\033\[)", r"[[\1]]", text, flags=re.DOTALL)
    return re.sub(r"\033\[[\d;]*m", "", marked)


def write_log(folder: str | Path, plan: dict, history: list[dict]) -> None:
    """Write `train_log.json` (the plan and all log entries), and plot the losses as `loss_curve.png`."""
    folder = Path(folder)
    write_json(folder / "train_log.json", {"plan": plan, "log": history})

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for key, label in (("loss", "training"), ("eval_loss", "held-out facts")):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
    axes.set_xlabel("update")
    axes.set_ylabel("loss per trained token (nats)")
    scores = [key for key in ("recall", "retention") if any(key in entry for entry in history)]
    if scores:
        shares = axes.twinx()
        shares.set_ylabel("share of answers right")
        shares.set_ylim(0, 1)
        for key in scores:
            points = [(entry["step"], entry[key]) for entry in history if key in entry]
            shares.plot(*zip(*points, strict=True), "--", marker="o", label=key)
        shares.legend(loc="upper right")
    if axes.lines:
        axes.legend(loc="upper left")
    figure.savefig(folder / "loss_curve.png", dpi=120)
    pyplot.close(figure)
