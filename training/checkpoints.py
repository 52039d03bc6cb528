"""Checkpoints at intervals and at a stop, marked once complete, and how the newest complete one is found again.

The Trainer writes a checkpoint file by file. Only when all ranks are done does rank 0 add MARK, which lists the size of
every file; a checkpoint without it, or with different sizes, was cut short by a kill and is never resumed from.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError

from provenance import ROWS_CONTENT, content_digest
from training import ranks
from training.continued import weights_digest
from training.layout import zero_stage
from utils import InputError, write_json

MARK = "whole.json"
FIRST_SAVE_SHARE = 0.1  # of the time between two checkpoints: the assumed cost of writing the first
BEFORE = {  # settings that checkpoints of earlier versions do not have
    "distill_weight": 0.0, "content of --lora_weights": None, "ZeRO stage": None, "split_long_examples": False,
    "model_max_length": 2048, "lora_alpha": None, "lora_options": None, "init_lora_weights": "true", "weight_decay": 0.0,
    "optim": "adamw_torch_fused", "lr_scheduler_type": "cosine", "warmup_steps": 0.05,
}  # fmt: skip
KEPT_CHECKPOINTS = 2  # complete ones; the older one is there while the newer is written
WRITE_BYTES_PER_SECOND = 200e6  # prior for writing weights to a disk
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger(__name__)


class Checkpoints(transformers.TrainerCallback):
    """Request a checkpoint every `minutes` and at SIGTERM or SIGINT, which also ends the training.

    Each is requested early enough to leave time for a step and for writing, so that a kill never loses more than that.
    `settings` are what a resumed run must share; see `newest_checkpoint`. `elapsed` is the seconds of training so far,
    including those before a resume; `stopped_by` is the signal that ended it. A signal that comes after the last step, while
    the last validation runs, no longer ends it: there is only the adapter left to be saved.
    """

    def __init__(self, minutes: float, keep: int | None, settings: dict, elapsed: float = 0.0):
        self.minutes, self.keep, self.settings = minutes, keep or KEPT_CHECKPOINTS, settings
        self.stopped_by = self._signalled = 0
        self._elapsed_before, self._began = elapsed, time.monotonic()
        self._saved = self._ended = self._began  # the end of the last step saved, and of the last step
        self._step_seconds, self._save_seconds = 0.0, 60 * minutes * FIRST_SAVE_SHARE
        self._handlers: dict[int, object] = {}

    @property
    def elapsed(self) -> float:
        return self._elapsed_before + time.monotonic() - self._began

    def on_train_begin(self, args, state, control, **_):
        self._began = self._saved = self._ended = time.monotonic()
        for number in SIGNALS:
            self._handlers[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number, _frame) -> None:
        if self._signalled and number == signal.SIGINT:  # Ctrl-C again: leave at once
            raise SystemExit(128 + number)
        self._signalled = self._signalled or number  # torchrun also passes a Ctrl-C on as a SIGTERM

    def on_step_end(self, args, state, control, **_):
        now = time.monotonic()
        self._step_seconds, self._ended = now - self._ended, now
        ahead = min(self._step_seconds + self._save_seconds, 30 * self.minutes)  # at most twice as often as requested
        due = bool(self.minutes) and now - self._saved >= 60 * self.minutes - ahead
        due, stop = map(int, ranks.maximum([due, self._signalled]))  # all ranks save, or stop, at the same step
        if stop:
            self.stopped_by = stop
            control.should_training_stop = True
        if due or stop:
            control.should_save = True

    def on_save(self, args, state, control, **_):
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        ranks.barrier()
        if args.process_index == 0 and folder.is_dir():  # see unfinished_checkpoint
            with unfinished_checkpoint(folder):
                write_mark(folder, {"settings": self.settings, "elapsed": self.elapsed, "step": state.global_step})
                best = Path(state.best_model_checkpoint).name if state.best_model_checkpoint else None
                remove_old_checkpoints(Path(args.output_dir), self.keep, best)
                log.info("checkpoint at step %d in %s", state.global_step, folder)
        self._saved, self._save_seconds = self._ended, time.monotonic() - self._ended

    def on_train_end(self, args, state, control, **_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def unfinished_checkpoint(folder: Path) -> Iterator[None]:
    """Context that writes a checkpoint: if that fails, as on a full disk, what is there of it goes, and the training goes on.

    The checkpoints before it are still there, and the next one is tried in due time. What went wrong is logged.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError, InputError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        shutil.rmtree(folder, ignore_errors=True)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        log.warning("no checkpoint in %s: %s; the training goes on, free the disk before the next one", folder, reason)


def write_mark(folder: Path, metadata: dict) -> None:
    """Flush all files to disk, then mark the checkpoint as complete."""
    sizes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MARK:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sizes[str(path.relative_to(folder))] = path.stat().st_size
    write_json(folder / MARK, {**metadata, "sizes": sizes})


def checkpoints_by_step(output_dir: Path) -> list[Path]:
    """The checkpoint folders, the newest last."""
    folders = [path for path in output_dir.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(folders, key=lambda path: int(path.name.partition("-")[2]))


def why_incomplete(folder: Path) -> str | None:
    """Why a checkpoint is not complete, or None if it is."""
    try:
        sizes = json.loads((folder / MARK).read_text())["sizes"]
    except (OSError, ValueError, KeyError):
        return f"it has no {MARK}"
    for name, size in sizes.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            return f"{name} has {found if found is not None else 'no'} bytes of {size}"
    return None


def remove_old_checkpoints(output_dir: Path, keep: int, best: str | None) -> None:
    """Remove all but the newest `keep` complete checkpoints and the best one."""
    complete = [folder for folder in checkpoints_by_step(output_dir) if why_incomplete(folder) is None]
    kept = {folder.name for folder in complete[len(complete) - min(keep, len(complete)) :]} | {best}
    for folder in checkpoints_by_step(output_dir):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def newest_checkpoint(output_dir: str | Path, settings: dict) -> tuple[str, float] | None:
    """The newest complete checkpoint and the seconds of training behind it; None if there is none.

    InputError if it was made with other `settings`: see `seconds_behind`.
    """
    for folder in reversed(checkpoints_by_step(Path(output_dir))):
        reason = why_incomplete(folder)
        if reason:
            log.info("skipped %s: torn, %s", folder, reason)
            continue
        return str(folder), seconds_behind(folder, settings, "auto")
    return None


def seconds_behind(folder: Path, settings: dict, asked: str) -> float:
    """The seconds of training behind a checkpoint, for which --resume_from_checkpoint has `asked`.

    InputError if it was made with other `settings`: going on would train something nobody asked for.
    """
    mark = json.loads((folder / MARK).read_text())
    saved = BEFORE | mark["settings"]
    for key, value in settings.items():
        if saved.get(key) != value:
            raise InputError(
                f"expected --resume_from_checkpoint {asked} with the {key} of {folder}, {saved.get(key)}, "
                f"found {value}: give that, or another --output_dir"
            )
    return mark["elapsed"]


def require_checkpoint(asked: str | None) -> None:
    """InputError if --resume_from_checkpoint names a folder that is no complete checkpoint."""
    reason = why_incomplete(Path(asked)) if asked not in (None, "auto") else None
    if reason:
        raise InputError(
            f"expected a complete checkpoint at --resume_from_checkpoint {asked}, found that {reason}: give another, or auto"
        )


def resume_settings(model, data, lora, training, rows) -> dict:
    """The settings a resumed run must share with the run it continues; the first four arguments are those of finetune.py."""
    return {
        "model_name_or_path": model.model_name_or_path,
        ROWS_CONTENT: content_digest(data.data_path),
        "number of examples": len(rows),
        "number of processes": training.world_size,
        **{name: getattr(data, name) for name in ("system_prompt", "replay_ratio", "split_long_examples")},
        **{name: getattr(lora, name) for name in ("use_lora", "lora_r", "lora_alpha", "lora_target_modules", "q_lora")},
        **{name: getattr(lora, name) for name in ("init_lora_weights", "lora_options")},
        "content of --lora_weights": weights_digest(lora.lora_weights),
        **{name: getattr(training, name) for name in ("num_train_epochs", "max_steps", "learning_rate", "warmup_steps")},
        **{name: str.__str__(getattr(training, name)) for name in ("optim", "lr_scheduler_type")},  # not an enumeration
        **{name: getattr(training, name) for name in ("weight_decay", "model_max_length")},
        "ZeRO stage": zero_stage(training),  # no other can read the optimizer's state, and some would begin anew in silence
        **{name: getattr(training, name) for name in ("kl_weight", "distill_weight", "seed")},
        "size of an update": training.update_size,  # not how it is cut into batches
    }  # fmt: skip


def resume_point(training, settings: dict) -> tuple[str | None, float]:
    """The checkpoint that --resume_from_checkpoint asks for, or None, and its seconds of training, as far as known."""
    asked = training.resume_from_checkpoint
    if asked is None:
        return None, 0.0
    if asked == "auto":
        return newest_checkpoint(training.output_dir, settings) or (None, 0.0)
    return asked, seconds_behind(Path(asked), settings, asked)


def seconds_to_save(trainer) -> float:
    """Seconds to save the adapter, measured before the first update; for full weights under DeepSpeed, estimated by size.

    DeepSpeed's engine, which gathers the weights, exists only from the first update on.
    """
    if trainer.is_deepspeed_enabled and not hasattr(trainer.model, "peft_config"):
        return trainer.parameter_count * trainer.model.dtype.itemsize / WRITE_BYTES_PER_SECOND
    folder, started = Path(trainer.args.output_dir) / "rehearsal", time.monotonic()
    trainer.save_model(str(folder))
    if trainer.args.process_index == 0:
        shutil.rmtree(folder)
    return time.monotonic() - started
