"""Teach a chat model the facts of a dataset by LoRA fine-tuning: alone, or under torchrun with DeepSpeed.

In:  a dataset (see dataset.py), the "conversations" of which are the training text; only the assistant's turns and the
     token that ends them are trained.
Out: --output_dir with the LoRA adapter, its tokenizer, `train_log.json`, `loss_curve.png`, `log/training.meta.json`.

    python finetune.py --model_name_or_path models/SmolLM2-135M-Instruct --data_path output/data.json --output_dir output/lora
    torchrun --nproc_per_node 8 finetune.py --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path data.json \\
        --deepspeed ds_configs/zero2.json --save_minutes 10 --resume_from_checkpoint auto --output_dir output/lora
    python finetune.py --model_name_or_path MODEL --data_path data.json --check_only True     # the doctor: trains nothing
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import shutil
import sys
import time
from pathlib import Path

import torch
import transformers

import provenance
from budget.clock import BudgetArguments, Clock, process_start, stage_clock
from data_processor.dataset import read_dataset
from engines.memory import shape_of
from engines.processes import end_with_parent, lock_folder
from training import doctor
from training.adapters import changes_base, load_model
from training.arguments import (
    DataArguments,
    LoraArguments,
    ModelArguments,
    TrainingArguments,
    check_arguments,
    set_up_wandb,
)
from training.batches import PaddedCollator, PaddingFreeCollator
from training.checkpoints import Checkpoints, newest, remove_old
from training.clock import TrainingClock, seconds_to_save
from training.data import LazySupervisedDataset, SupervisedDataset, coloured, fact_of, split_by_fact
from training.frozen_trunk import frozen_layers, remove_states, with_states
from training.layout import (
    OUT_OF_MEMORY,
    choose_attention,
    choose_batches,
    measure_batches,
    restart_by_halves,
    weights_dtype,
)
from training.log import TrainingLines, write_log
from training.plan import make_plan, recommended_learning_rate, recommended_rank
from training.ranks import made_by_rank_0
from training.read_back import computed_in, safe_save_model_for_hf_trainer
from training.recall import Recall, remove_best
from training.replay import Untrained, replay_examples
from training.row_file import RowFile
from training.trainer import Trainer, measured_peak_flops
from utils import ADAPTER_SETTINGS, InputError, log_file, parse_arguments, run, write_json

SAVED_SHARE = 0.01  # of a time budget: a checkpoint so often,
SAVING_SHARE = 0.02  # if saving the adapter alone takes no more than this of the time

log = logging.getLogger(__name__)


def read_rows(data: DataArguments, seed: int):
    """(training rows, held-out rows, questions of held-out wordings, general questions)"""
    read = RowFile if data.lazy_preprocess else read_dataset
    rows = read(data.data_path, "a dataset", data.limit)
    held_out = read(data.eval_data_path, "a validation dataset") if data.eval_data_path else []
    if data.validation and not held_out:
        rows, held_out = split_by_fact(rows, data.validation_size, seed)
    beside = Path(data.data_path).with_suffix(".test.json")
    recall_path = data.recall_data_path or (str(beside) if beside.is_file() else None)
    questions = read_dataset(recall_path, "held-out questions") if recall_path else []
    general = read_dataset(data.retention_data_path, "general questions") if data.retention_data_path else []
    return rows, held_out, questions, general


def resume_settings(model, data, lora, training, rows) -> dict:
    """What a resumed run must share with the one it goes on with."""
    with Path(data.data_path).open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return {
        "model_name_or_path": model.model_name_or_path,
        "content of --data_path": content,
        "number of examples": len(rows),
        "number of processes": training.world_size,
        **{name: getattr(data, name) for name in ("system_prompt", "replay_ratio")},
        **{name: getattr(lora, name) for name in ("use_lora", "lora_r", "lora_target_modules", "q_lora")},
        **{name: getattr(training, name) for name in ("num_train_epochs", "max_steps", "learning_rate", "kl_weight", "seed")},
        "size of an update": training.update_tokens or training.gradient_accumulation_steps
        * (training.max_tokens_per_batch or training.per_device_train_batch_size),  # not how it is cut into batches
    }  # fmt: skip


def settle(name: str, lora: LoraArguments, training: TrainingArguments, facts: int, lengths) -> None:
    """Decide what was left open: rank, layout of the batches, gradient checkpointing, learning rate."""
    lora.lora_r = lora.lora_r or recommended_rank(facts)
    choose_attention(training)
    choose_batches(training, shape_of(name), sum(lengths), max(lengths), lora.lora_r, lora.q_lora)
    if training.learning_rate is None:
        hidden = transformers.AutoConfig.from_pretrained(name).get_text_config().hidden_size
        recommended = recommended_learning_rate(hidden, training.update_tokens)
        training.learning_rate = recommended * (1 if lora.use_lora else 0.1)
    training.dataloader_pin_memory = training.device.type == "cuda"
    training.remove_unused_columns = False  # the loss needs to know what is replayed


def keeps_states(training: TrainingArguments, data: DataArguments) -> bool:
    """Whether what frozen layers give is kept: where one process runs them as they are, on examples in memory."""
    alone = training.world_size == 1 and not training.deepspeed
    changed = training.padding_free or training.torch_compile or training.gradient_checkpointing
    return training.keep_frozen_states and alone and not changed and not data.lazy_preprocess


def make_recall(questions, general, data: DataArguments, lora: LoraArguments, training) -> Recall | None:
    """The questions asked while training, where there are any and they can be asked."""
    if training.early_stopping and not (questions or general):
        raise InputError(
            "expected --recall_data_path or --retention_data_path with --early_stopping, found neither: give one"
        )
    if not (questions or general):
        return None
    if not lora.use_lora or transformers.integrations.is_deepspeed_zero3_enabled():
        log.info("no questions are asked while training: that needs LoRA, and not ZeRO-3, where generation crawls")
        return None
    return Recall(questions, general, data.system_prompt, training.early_stopping, training.seed)


def set_pace(clock: Clock, training: TrainingArguments) -> None:
    """With a budget: a checkpoint each hundredth of it, and from there on after a kill, unless said."""
    if clock.limited:
        training.save_minutes = training.save_minutes or clock.seconds * SAVED_SHARE / 60
        training.resume_from_checkpoint = training.resume_from_checkpoint or "auto"


def main() -> None:
    with contextlib.ExitStack() as stack:
        train(stack)


def train(stack: contextlib.ExitStack) -> None:
    """`stack` is left at the end: what the training has for itself until then."""
    if "--deepspeed" in sys.argv and not torch.cuda.is_available():
        import deepspeed

        deepspeed.init_distributed(dist_backend="gloo")
    model_arguments, data, lora, training, budget = parse_arguments(
        ModelArguments, DataArguments, LoraArguments, TrainingArguments, BudgetArguments
    )
    started, output = time.time(), Path(training.output_dir)
    to_start = started - process_start()  # seconds, of importing for the most part
    if "LOCAL_RANK" in os.environ:
        end_with_parent()  # torchrun killed, its workers would go on and hold the GPUs
    if training.process_index:
        logging.getLogger().setLevel(logging.WARNING)  # rank 0 speaks for all
    rows, held_out, questions, general = read_rows(data, training.seed)
    check_arguments(model_arguments, data, lora, training)
    set_up_wandb(training)
    name = model_arguments.model_name_or_path
    tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    if data.check_only:
        raise SystemExit(doctor.report(rows, held_out, tokenizer, name, data, training))
    if training.process_index == 0:
        stack.enter_context(lock_folder(training.output_dir))
    clock = stack.enter_context(
        stage_clock(budget, "fine-tuning", training.output_dir, writes=training.process_index == 0)
    )
    set_pace(clock, training)

    preparing = time.monotonic()
    untrained = Untrained(name, data.system_prompt, lora.q_lora, training.device.type == "cpu")
    replay = made_by_rank_0(
        lambda: replay_examples(
            untrained, data.replay_prompts, round(data.replay_ratio * len(rows)),
            log_file(output / "replay.journal.jsonl"), training.seed,
        ),
        "replayed answers are made",
    )  # fmt: skip
    preparing = time.monotonic() - preparing
    kind = LazySupervisedDataset if data.lazy_preprocess else SupervisedDataset
    options = (tokenizer, data.system_prompt, training.model_max_length, data.split_long_examples)
    train_set = kind(rows + replay, *options)
    eval_set = kind(held_out, *options) if held_out else None
    if eval_set is not None and training.eval_strategy == "no":
        training.eval_strategy = transformers.IntervalStrategy.EPOCH
    if training.process_index == 0:
        for index in range(min(data.show_mask, len(train_set))):
            print(coloured(train_set[index], tokenizer))

    facts = len({fact_of(row) for row in rows})
    settle(name, lora, training, facts, train_set.lengths)
    transformers.set_seed(training.seed)
    to_load = time.monotonic()
    model = load_model(name, lora, training)
    to_load = time.monotonic() - to_load
    initial = None
    if lora.use_lora and changes_base(lora.init_lora_weights):
        initial = str(output / "initial_adapter")
        model.peft_config["default"].init_lora_weights = True  # read back, it must not be taken out of the base again
        if training.process_index == 0:
            model.save_pretrained(initial)
    resume, elapsed = training.resume_from_checkpoint, 0.0
    settings = resume_settings(model_arguments, data, lora, training, rows)
    if resume == "auto":
        resume, elapsed = newest(training.output_dir, settings) or (None, 0.0)
    checkpoints = Checkpoints(training.save_minutes, training.save_total_limit, settings, elapsed)
    training.save_total_limit = None  # Checkpoints removes old ones, after the new one is whole
    recall = make_recall(questions, general, data, lora, training)
    pace = (
        TrainingClock(clock, elapsed, to_start + to_load) if clock.limited else None
    )  # to read back: another such start
    collator = (
        PaddingFreeCollator(training.attention.startswith("flash"))
        if training.padding_free
        else PaddedCollator(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)
    )
    frozen = frozen_layers(model) if keeps_states(training, data) else 0
    to_keep = time.monotonic()
    train_data = train_set
    if frozen:
        train_data = with_states(model, train_set, collator, frozen, output, computed_in(training))
    preparing += time.monotonic() - to_keep
    trainer = Trainer(
        frozen_layers=frozen if train_data is not train_set else 0,
        kl_weight=training.kl_weight,
        max_tokens_per_batch=training.max_tokens_per_batch,
        peak_flops=measured_peak_flops(training.device, weights_dtype(training)),
        model=model,
        args=training,
        train_dataset=train_data,
        eval_dataset=eval_set,
        data_collator=collator,
        processing_class=tokenizer,
        clock=pace,
        callbacks=[TrainingLines(pace), *filter(None, [pace, recall]), checkpoints],
    )
    for shown_by_us in (transformers.PrinterCallback, transformers.ProgressCallback):
        trainer.remove_callback(shown_by_us)
    measure_batches(trainer)
    plan = make_plan(trainer, facts, len(replay), len(held_out), lora.lora_r if lora.use_lora else None)
    if training.process_index == 0:
        for line in plan.lines():
            log.info("%s", line)
        if resume:
            log.info("resumed from %s, after %.1f minutes of training", resume, elapsed / 60)
    if recall:
        recall.trainer = trainer
    if pace:
        to_save = seconds_to_save(trainer)
        pace.prepare(to_save, plan, recall)
        checkpoints.minutes = max(checkpoints.minutes, to_save / SAVING_SHARE / 60)
        log.info("%s", pace.words())

    try:
        result = trainer.train(resume_from_checkpoint=resume)
    except torch.OutOfMemoryError:
        restart_by_halves(training, trainer.state.global_step + 1)
    if checkpoints.stopped_by:
        log.info("stopped at step %d; add --resume_from_checkpoint auto to go on", result.global_step)
        raise SystemExit(128 + checkpoints.stopped_by)
    weights_of_step = recall.restore_best(training.output_dir, result.global_step) if recall else result.global_step
    difference = safe_save_model_for_hf_trainer(trainer, training.output_dir, collator([train_set[0]]), initial)
    if training.process_index == 0:
        write_json(output / ADAPTER_SETTINGS, {"system_prompt": data.system_prompt})
        write_log(training.output_dir, plan.as_dict(), trainer.state.log_history)
        provenance.write_meta(
            output / "training",
            {**vars(model_arguments), **vars(data), **vars(lora), **training.to_dict()},
            started,
            counts={"examples": len(rows), "replay": len(replay), "held_out": len(held_out)},
            engine=type(trainer.model_wrapped).__name__,
            updates=result.global_step,
            weights_of_step=weights_of_step,
            train_loss=result.training_loss,
            preparing_seconds=round(preparing, 1),
            training_seconds=round(checkpoints.elapsed, 1),
            recall_seconds=round(recall.spent, 1) if recall else 0.0,
            reopened_difference=difference,
            **({"budget": dataclasses.asdict(pace.report())} if pace else {}),
        )
        remove_best(training.output_dir)  # from here on a kill can undo nothing
        if initial:
            shutil.rmtree(initial)
        remove_states(output)
        (output / OUT_OF_MEMORY).unlink(missing_ok=True)
        if training.save_strategy == "no":  # those of --save_minutes have served
            remove_old(output, 0, None)
        words = "adapter in %s; read back by a fresh process, its logits differ by %.1e of theirs"
        log.info(words, output, difference or 0)


if __name__ == "__main__":
    run(main)
