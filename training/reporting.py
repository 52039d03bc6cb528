"""Where a training is reported beside our own log: wandb, TensorBoard and others. What fails there ends no training."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path

import transformers
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from budget.wandb_run import RUN_NAME, choose_wandb_mode, start_wandb
from budget.watching import find_watched_run

log = logging.getLogger(__name__)


def set_up_reporting(training) -> None:
    """Have the reports go on with the run that the other stages reported to, and wandb where it can be used.

    Only the rank that reports asks wandb's server. `training` are the arguments of finetune.py.
    """
    key, training.key = training.key, None  # the key must not reach a log or a file
    if training.use_wandb and "wandb" not in training.report_to:
        training.report_to = [*training.report_to, "wandb"]
    reports = training.process_index == 0
    watched = find_watched_run(Path(training.output_dir).parent) if training.report_to and reports else None
    for name, value in (watched.environment() if watched else {}).items():
        os.environ.setdefault(name, value)
    if "wandb" not in training.report_to:
        return
    training.run_name = training.wandb_run_name
    if watched and training.run_name == RUN_NAME:
        training.run_name = watched.name
    if key:
        os.environ["WANDB_API_KEY"] = key
    choose_wandb_mode(ask=reports)


def guard_reporters(trainer: transformers.Trainer) -> None:
    """Put a Reporter around each of a Trainer's callbacks that report elsewhere."""
    reporters, handler = tuple(INTEGRATION_TO_CALLBACK.values()), trainer.callback_handler
    handler.callbacks = [Reporter(one) if isinstance(one, reporters) else one for one in handler.callbacks]


class Reporter(transformers.TrainerCallback):
    """Passes every event on to a callback such as wandb's; its first error ends this reporting, but not the training."""

    def __init__(self, callback: transformers.TrainerCallback):
        self.callback, self.name = callback, type(callback).__name__.removesuffix("Callback")

    def pass_on(self, event: str, args, state, control, **options) -> None:
        if self.callback is None:
            return
        try:
            if event == "on_train_begin" and self.name == "Wandb" and state.is_world_process_zero:
                start_wandb(args.run_name)
            getattr(self.callback, event)(args, state, control, **options)
        except Exception as error:  # whatever a library for reporting raises
            self.callback = None
            reason = (str(error).strip().splitlines() or [""])[0]
            log.warning("%s: %s: %s; the training goes on without it", self.name, type(error).__name__, reason)


for one in vars(transformers.TrainerCallback):
    if one.startswith("on_"):
        setattr(Reporter, one, functools.partialmethod(Reporter.pass_on, one))
