"""Teach a chat model the facts of a dataset by LoRA fine-tuning: alone, or under torchrun with DeepSpeed.

In:  a dataset (see dataset.py); its "conversations" are the training text. Only the assistant's turns, and the token that
     ends each of them, are trained.
Out: --output_dir with the LoRA adapter, its tokenizer, `train_log.json`, `loss_curve.png`, `log/training.meta.json`.

    python finetune.py --model_name_or_path models/SmolLM2-135M-Instruct --data_path output/data.json --output_dir output/lora
    torchrun --nproc_per_node 8 finetune.py --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path data.json \\
        --deepspeed ds_configs/zero2.json --save_minutes 10 --resume_from_checkpoint auto --output_dir output/lora
    python finetune.py --model_name_or_path MODEL --data_path data.json --check_only True     # the doctor: trains nothing
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import transformers

import provenance
from budget.clock import SAVING_SHARE, BudgetArguments, Clock, process_start, stage_clock
from data_processor.dataset import read_dataset, require_words
from data_processor.languages import identify_all, in_language, texts_of_rows
from engines.adapter import BASE_WEIGHTS, weights_fingerprint
from engines.processes import end_with_parent, lock_folder
from evaluation.matching import UNANSWERABLE
from training import doctor, ranks
from training.adapters import INITIAL_ADAPTER, load_model, save_initial_adapter
from training.arguments import (
    ArgumentGroups,
    DataArguments,
    LoraArguments,
    ModelArguments,
    TrainingArguments,
    check_arguments,
)
from training.batches import make_collator
from training.checkpoints import Checkpoints, remove_old_checkpoints, resume_point, resume_settings, seconds_to_save
from training.clock import TrainingClock, apply_budget
from training.continued import take_over_adapter
from training.data import LazySupervisedDataset, SupervisedDataset, count_facts, split_by_fact
from training.extensions import warn_of_locks
from training.frozen_trunk import StatesCollator, TrunkTrainer, keep_states, remove_states
from training.layout import OUT_OF_MEMORY, require_reason_to_restart, restart_with_half_batches
from training.log import LogFile, ProgressLines, colour_trained_tokens, without_colours, write_log
from training.null_space import FILE as DIRECTIONS
from training.null_space import aim, find_directions
from training.plan import Plan, resolve_defaults
from training.read_back import safe_save_model_for_hf_trainer
from training.recall import Recall, make_recall, remove_best_adapter, require_questions
from training.replay import REPLAY_PROMPTS, UntrainedModel, replay_examples
from training.reporting import set_up_reporting
from training.row_file import RowFile
from training.taught import remove_teacher
from training.teaching import Teacher, make_teacher
from training.trainer import Trainer, make_trainer
from training.turns import TakingTurns
from utils import ADAPTER_SETTINGS, log_file, parse_arguments, run_script, write_json

log = logging.getLogger(__name__)


class Rows(NamedTuple):
    """The rows to train on, the rows held out of them, and the questions asked during training."""

    train: Sequence[dict]
    held_out: Sequence[dict]
    questions: list[dict]  # held-out wordings
    general: list[dict]


def main() -> None:
    if "--deepspeed" in sys.argv:
        warn_of_locks()
        if not torch.cuda.is_available():
            import deepspeed

            deepspeed.init_distributed(dist_backend="gloo")
    *parsed, budget = parse_arguments(ModelArguments, DataArguments, LoraArguments, TrainingArguments, BudgetArguments)
    started, arguments = time.time(), ArgumentGroups(*parsed)
    name, training = arguments.model.model_name_or_path, arguments.training
    is_main = training.process_index == 0  # the only rank that writes and logs
    if "LOCAL_RANK" in os.environ:
        end_with_parent()  # otherwise the workers of a killed torchrun would run on and keep the GPUs
    if not is_main:
        logging.getLogger().setLevel(logging.WARNING)
    rows = read_rows(arguments.data, training.seed)
    check_arguments(*arguments)
    take_over_adapter(name, *arguments[1:])
    if training.early_stopping:
        require_questions(rows.questions, rows.general)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    if arguments.data.check_only:
        raise SystemExit(doctor.report(rows.train, rows.held_out, tokenizer, name, arguments.data, training))
    set_up_reporting(training)
    with lock_folder(training.output_dir) if is_main else contextlib.nullcontext():
        with stage_clock(budget, "fine-tuning", training.output_dir, is_main) as clock:
            apply_budget(clock, training)
            require_reason_to_restart(training)
            train(arguments, rows, tokenizer, clock, started)
        if is_main:
            remove_temporary_files(training)  # the stage has ended, so a kill can no longer undo anything
    ranks.leave()


def read_rows(data: DataArguments, seed: int) -> Rows:
    """The rows to train on, to validate with and to ask; InputError for a file that is missing or has an empty row."""
    read = RowFile if data.lazy_preprocess else read_dataset
    rows = read(data.data_path, "a dataset", data.limit)
    held_out = read(data.eval_data_path, "a validation dataset") if data.eval_data_path else []
    if data.validation and not held_out:
        rows, held_out = split_by_fact(rows, data.validation_size, seed)
    recall_path, general_path = data.recall_data_path or questions_beside(data.data_path), data.retention_data_path
    questions = read_dataset(recall_path, "held-out questions", bare_questions=True) if recall_path else []
    general = read_dataset(general_path, "general questions", bare_questions=True) if general_path else []
    if not data.check_only:  # the doctor names them among its other findings
        require_words(rows, data.data_path)
        require_words(held_out, data.eval_data_path or data.data_path)
    require_words((row for row in questions if row.get("kind") != UNANSWERABLE), recall_path)
    require_words(general, general_path)
    return Rows(rows, held_out, questions, general)


def questions_beside(data_path: str) -> str | None:
    """NAME.test.json or NAME.test.jsonl beside NAME.json, if it exists."""
    paths = (Path(data_path).with_suffix(f".test{suffix}") for suffix in (".json", ".jsonl"))
    return next((str(path) for path in paths if path.is_file()), None)


def train(arguments: ArgumentGroups, rows: Rows, tokenizer, clock: Clock, started: float) -> None:
    """Train the adapter, save it and read it back. `started` is this process's start as time.time()."""
    name, (_, data, lora, training) = arguments.model.model_name_or_path, arguments
    output, is_main = Path(training.output_dir), training.process_index == 0

    train_set, eval_set = make_datasets(arguments, rows, tokenizer)  # before a model is loaded: a row may be refused
    began = time.monotonic()
    replayed = round(data.replay_ratio * sum(row.get("kind") != "replay" for row in rows.train))  # in each epoch
    train_set = train_set.with_rows(replay := replay_rows(arguments, rows.train, replayed))
    preparation_seconds = time.monotonic() - began
    in_turns = partial(TakingTurns, turning=range(len(rows.train), len(rows.train) + len(replay)), per_epoch=replayed)
    facts = count_facts(rows.train)
    resolve_defaults(name, lora, training, facts, in_turns(train_set).lengths)
    settings = resume_settings(*arguments, rows.train)
    resume, elapsed = resume_point(training, settings)

    transformers.set_seed(training.seed)
    directions = find_directions(name, lora, training, train_set, resume)
    began = time.monotonic()
    model = load_model(name, lora, training)
    aim(model, directions, training.output_dir)
    read_back_seconds = started - process_start() + time.monotonic() - began  # a process that starts like this one
    initial = save_initial_adapter(model, lora, output, is_main)

    began = time.monotonic()
    teacher = make_teacher(model, train_set, name, data, training, clock)
    train_set = teacher.examples if teacher else train_set
    collator = make_collator(tokenizer, training)
    with_states = keep_states(model, train_set, collator, data, training)
    preparation_seconds += time.monotonic() - began
    kind, collator = (TrunkTrainer, StatesCollator(collator)) if with_states else (Trainer, collator)
    trainer = make_trainer(kind, in_turns(with_states or train_set), collator, eval_set, model, tokenizer, training)
    plan = trainer.plan(facts, replayed, len(rows.held_out), lora.lora_r if lora.use_lora else None)
    log_plan(plan, resume, elapsed)
    callbacks = add_callbacks(trainer, teacher, plan, rows, data, clock, read_back_seconds, settings, elapsed)
    training_clock, recall, checkpoints = callbacks

    result = run_to_the_end(trainer, resume, checkpoints)
    weights_of_step = recall.restore_best(training.output_dir, result.global_step) if recall else result.global_step
    if is_main:  # first: an adapter that is saved, and then cannot be read back, would be asked with another prompt
        write_adapter_settings(output, name, data.system_prompt)
    difference = safe_save_model_for_hf_trainer(trainer, training.output_dir, collator([train_set[0]]), initial)
    if is_main:
        write_log(training.output_dir, plan.as_dict(), trainer.state.log_history)
        provenance.write_meta(
            output / "training",
            {**vars(arguments.model), **vars(data), **vars(lora), **training.to_dict()},
            started,
            counts={"examples": len(rows.train), "replay": len(replay), "held_out": len(rows.held_out)},
            engine=type(trainer.model_wrapped).__name__,
            updates=result.global_step,
            weights_of_step=weights_of_step,
            train_loss=result.training_loss,
            preparing_seconds=round(preparation_seconds, 1),
            training_seconds=round(checkpoints.elapsed, 1),
            recall_seconds=round(recall.seconds_spent, 1) if recall else 0.0,
            reopened_difference=difference,
            **({"teacher": teacher.report()} if teacher else {}),
            **({"budget": dataclasses.asdict(training_clock.report())} if training_clock else {}),
        )


def write_adapter_settings(output: Path, name: str, system_prompt: str | None) -> None:
    write_json(output / ADAPTER_SETTINGS, {"system_prompt": system_prompt, BASE_WEIGHTS: weights_fingerprint(name)})


def replay_rows(arguments: ArgumentGroups, rows, per_epoch: int) -> list[dict]:
    """Examples of the untrained model's answers to general prompts in the language of the rows, for all epochs."""
    data, training = arguments.data, arguments.training
    untrained = UntrainedModel(
        arguments.model.model_name_or_path, data.system_prompt, arguments.lora.q_lora, training.device.type == "cpu"
    )
    prompts = data.replay_prompts or str(in_language(REPLAY_PROMPTS, identify_all(texts_of_rows(rows))))
    journal = log_file(Path(training.output_dir) / "replay.journal.jsonl")
    return ranks.run_on_rank_0(
        lambda: replay_examples(untrained, prompts, per_epoch, training.num_train_epochs, journal, training.seed),
        "replayed answers are made",
    )


def make_datasets(arguments: ArgumentGroups, rows: Rows, tokenizer):
    """(training set, validation set or None); prints some training examples with their mask if --show_mask asks for it."""
    data, training = arguments.data, arguments.training
    dataset_class = LazySupervisedDataset if data.lazy_preprocess else SupervisedDataset
    options = (tokenizer, data.system_prompt, training.model_max_length, data.split_long_examples)
    train_set = dataset_class(rows.train, *options)
    eval_set = dataset_class(rows.held_out, *options) if rows.held_out else None
    if eval_set is not None and training.eval_strategy == "no":
        training.eval_strategy = transformers.IntervalStrategy.EPOCH
    if training.process_index == 0:
        for index in range(min(data.show_mask, len(train_set))):
            shown = colour_trained_tokens(train_set[index], tokenizer)
            print(shown if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else without_colours(shown))
    return train_set, eval_set


def log_plan(plan: Plan, resume: str | None, elapsed: float) -> None:
    for line in plan.lines():
        log.info("%s", line)
    if resume:
        log.info("resumed from %s, after %.1f minutes of training", resume, elapsed / 60)


def add_callbacks(
    trainer,
    teacher: Teacher | None,
    plan: Plan,
    rows: Rows,
    data,
    clock: Clock,
    read_back_seconds: float,
    settings: dict,
    elapsed: float,
) -> tuple[TrainingClock | None, Recall | None, Checkpoints]:
    """Add the callbacks that log, keep to the clock, ask questions and save; they run in this order after each step.

    The teacher comes first: when training begins, the others start to measure its time.
    """
    training = trainer.args
    recall = make_recall(trainer, rows.questions, rows.general, data.system_prompt)
    save_seconds = seconds_to_save(trainer) if clock.limited else 0.0
    finish_seconds = read_back_seconds + save_seconds
    training_clock = TrainingClock(clock, plan, recall, elapsed, finish_seconds) if clock.limited else None
    if training_clock:
        log.info("%s", training_clock.describe())
    minutes = max(training.save_minutes, save_seconds / SAVING_SHARE / 60)
    checkpoints = Checkpoints(minutes, training.kept_checkpoints, settings, elapsed)
    lines = (ProgressLines(training_clock), LogFile())
    for callback in filter(None, (teacher, *lines, training_clock, recall, checkpoints)):
        trainer.add_callback(callback)
    return training_clock, recall, checkpoints


def run_to_the_end(trainer, resume: str | None, checkpoints: Checkpoints):
    """Train. Out of memory, start again; on a signal, save a checkpoint and exit with 128 + the signal's number."""
    try:
        result = trainer.train(resume_from_checkpoint=resume)
    except torch.OutOfMemoryError:
        restart_with_half_batches(trainer.args, trainer.state.global_step + 1)
    if checkpoints.stopped_by:
        log.info("stopped at step %d; add --resume_from_checkpoint auto to continue", result.global_step)
        ranks.leave()
        raise SystemExit(128 + checkpoints.stopped_by)
    return result


def remove_temporary_files(training: TrainingArguments) -> None:
    """Remove what was kept only for a resume, and for checking what was saved."""
    output = Path(training.output_dir)
    remove_best_adapter(training.output_dir)
    shutil.rmtree(output / INITIAL_ADAPTER, ignore_errors=True)
    remove_states(output)
    remove_teacher(output)
    for name in (OUT_OF_MEMORY, DIRECTIONS):
        (output / name).unlink(missing_ok=True)
    if training.save_strategy == "no":  # then all checkpoints come from --save_minutes
        remove_old_checkpoints(output, 0, None)


if __name__ == "__main__":
    run_script(main)
