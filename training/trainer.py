"""The Hugging Face Trainer with our batches, our loss, and a log of what one wants to know while it runs."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from torch.utils.data import DataLoader, Dataset
from transformers.trainer_utils import EvalLoopOutput

from training import ranks
from training.adapters import save_adapter
from training.batches import LengthBucketedSampler, TokenBudgetBatches
from training.checkpoints import unfinished_checkpoint
from training.clock import TrainingClock
from training.distillation import taught_in
from training.layout import limit_evaluation, measure_batches
from training.loss import head_only_at, loss_per_token, sums_by_row
from training.plan import Plan, make_plan
from training.precision import measure_peak_flops, weights_dtype
from training.reporting import guard_reporters
from utils import InputError

# Per token of LoRA training: 2 forward, 2 for the gradients that pass through frozen weights. By convention all weights
# count, which flatters a small model with a large vocabulary: its head runs on the trained tokens only.
FLOPS_PER_PARAMETER = 4
KERNEL_INPUTS = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")  # of a padding-free batch
NAMED_ROWS = 8  # rows named when an update fails
COMPARED_BATCHES = 32  # to find the one that takes most memory


class Trainer(transformers.Trainer):
    """`transformers.Trainer` on datasets with `lengths` and batches from our collators.

    The argument `max_tokens_per_batch` fills batches by tokens instead of examples, and `kl_weight` weights the KL
    divergence on replayed examples, `distill_weight` that from the open-book teacher. `peak_flops` is the device's speed in matrix products, per second; the log then has
    the share of it that is used (MFU). If a TrainingClock is among the callbacks, the schedule follows it.
    """

    def __init__(self, *, peak_flops: float = 0.0, **options):
        super().__init__(**options)
        self.peak_flops = peak_flops
        # The loss is ours: it takes the number of trained tokens per update and must not be scaled again.
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = self._loss_shifts_labels = True
        self.parameter_count = sum(map(weight_count, self.model.parameters()))
        self.token_counts = {"real": 0, "padded": 0}  # tokens on this rank, in this process
        self._last_log = (time.monotonic(), 0, 0)
        # Rows and loss of each batch in the current update.
        self._update_losses: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.sampler = None

    @property
    def clock(self) -> TrainingClock | None:
        """The TrainingClock among the callbacks, if the training has a time budget."""
        return next((c for c in self.callback_handler.callbacks if isinstance(c, TrainingClock)), None)

    @property
    def step_parameters(self) -> int:
        """The number of weights used in a step."""
        return self.parameter_count

    def plan(self, facts: int, replayed: int, held_out: int, rank: int | None) -> Plan:
        """See make_plan."""
        return make_plan(self, facts, replayed, held_out, rank)

    def _get_train_sampler(self, train_dataset=None):
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        # Examples per update, over all ranks: so the updates do not depend on the number of ranks.
        examples_per_update = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        self.sampler = LengthBucketedSampler(self.train_dataset.lengths, examples_per_update, self.args.seed)
        return self.sampler

    def get_train_dataloader(self) -> DataLoader:
        if not self.args.max_tokens_per_batch:
            return super().get_train_dataloader()
        self.sampler = TokenBudgetBatches(
            self.train_dataset.lengths,
            self.args.max_tokens_per_batch,
            self.data_collator.padded,
            self.args.seed,
            self.args.process_index,
            self.args.world_size,
            self.args.train_sampling_strategy == "group_by_length",
        )
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.sampler,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def create_scheduler(self, num_training_steps, optimizer=None):
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        if self.clock:
            self.clock.drive_schedule(scheduler, num_training_steps)
        return scheduler

    def _run_epoch(self, **options):
        # a loader that skips ahead to resume does not pass the epoch on
        for part in (self.sampler, self.train_dataset):
            if hasattr(part, "set_epoch"):
                part.set_epoch(options["epoch"])
        return super()._run_epoch(**options)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = self._logits(model, inputs)
        kl_weight = self.args.kl_weight
        base_logits = self._base_logits(inputs) if kl_weight and model.training else None
        loss = loss_per_token(
            outputs.logits, inputs["targets"], num_items_in_batch, kl_weight, inputs["replayed"], base_logits,
            self.args.distill_weight, taught_in(inputs),
        )  # fmt: skip
        if model.training:
            self.token_counts["padded"] += inputs["labels"].numel()
            self.token_counts["real"] += inputs["tokens"]
            self._update_losses.append((inputs["index"], loss.detach()))
            if num_items_in_batch is not None:  # counted over all ranks, whose gradients are averaged
                loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _model_inputs(self, inputs: dict) -> dict[str, torch.Tensor]:
        """The inputs of the model in a batch: tensors (B, T, ...)."""
        return {name: inputs[name] for name in ("input_ids", "position_ids") if name in inputs}

    def _logits(self, model, inputs: dict):
        """The model's output on a batch, with logits (M, V) only at the M `positions`."""
        model_inputs = self._model_inputs(inputs) | {name: inputs[name] for name in KERNEL_INPUTS if name in inputs}
        positions = inputs["positions"]
        compiled = self.args.torch_compile  # the selection would be recompiled for every batch
        inner = self.accelerator.unwrap_model(model)
        with contextlib.nullcontext() if compiled else head_only_at(inner, positions):
            outputs = model(**model_inputs, use_cache=False)
        if compiled:
            outputs.logits = outputs.logits.flatten(0, 1).index_select(0, positions)
        return outputs

    def _base_logits(self, inputs: dict) -> torch.Tensor | None:
        """The untrained model's logits (R, V) for the replayed tokens; only rows with such tokens are run."""
        rows, width, positions = inputs["replay_rows"], inputs["replay_width"], inputs["replay_positions"]
        if not len(rows):
            # Under ZeRO-3 the ranks share the weights, so all must run the same number of passes.
            if not transformers.integrations.is_deepspeed_zero3_enabled():
                return None
            rows, width = rows.new_zeros(1), 1
        model_inputs = {
            name: value.index_select(0, rows)[:, :width] for name, value in self._model_inputs(inputs).items()
        }
        replay_inputs = {**inputs, **model_inputs, "positions": positions}
        model = self.accelerator.unwrap_model(self.model)
        with torch.no_grad(), model.disable_adapter():
            return self._logits(model, replay_inputs).logits

    def _get_grad_norm(self, model, grad_norm=None):
        """The gradient norm of an update; it and the losses must be finite, or the training ends here."""
        norm = super()._get_grad_norm(model, grad_norm)
        update, self._update_losses = self._update_losses, []
        uses_scaler = self.args.fp16  # accelerate's or DeepSpeed's: it skips an update whose gradients overflow
        losses = torch.stack([loss for _, loss in update]).tolist()
        if math.isfinite(sum(losses)) and (uses_scaler or math.isfinite(norm)):
            return norm
        bad_batches = [rows for (rows, _), loss in zip(update, losses, strict=True) if not math.isfinite(loss)]
        names = [self.train_dataset.name(int(i)) for rows in bad_batches or [rows for rows, _ in update] for i in rows]
        more = f" and {len(names) - NAMED_ROWS} more" if len(names) > NAMED_ROWS else ""
        raise InputError(
            f"expected a finite loss and gradient norm, found losses that add up to {sum(losses):g} and a norm of "
            f"{float(norm):g} at step {self.state.global_step + 1}, rank {self.args.process_index}, in a batch of "
            f"{', '.join(names[:NAMED_ROWS])}{more}: look at these rows, or lower --learning_rate; checkpoints are kept"
        )

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ) -> EvalLoopOutput:
        """The loss per trained token over all examples, each counted once, whatever the number of ranks and batches."""
        model = self._wrap_model(self.model, training=False)
        model.eval()
        sums: dict[int, tuple[float, float]] = {}
        for batch in dataloader:
            inputs = self._prepare_inputs(batch)
            with torch.no_grad(), self.compute_loss_context_manager():
                logits = self._logits(model, inputs).logits
            row_sums = sums_by_row(logits, inputs["targets"], inputs["rows"], len(inputs["index"]))
            rows = torch.cat([inputs["index"].double()[:, None], row_sums.to(inputs["index"].device)], dim=1)
            for index, loss, tokens in self.accelerator.gather(rows).tolist():
                sums[int(index)] = (loss, tokens)  # a rank that ran out of examples repeats some
        loss, tokens = (sum(column) for column in zip(*sums.values(), strict=True))
        metrics = {f"{metric_key_prefix}_loss": loss / max(tokens, 1.0)}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=len(sums))

    def save_model(self, output_dir=None, _internal_call=False):
        """Save only the adapter, if there is one: nothing of the base is copied, not even under DeepSpeed."""
        if not hasattr(self.accelerator.unwrap_model(self.model), "peft_config"):
            super().save_model(output_dir, _internal_call)
            return
        save_adapter(self.accelerator.unwrap_model(self.model), output_dir or self.args.output_dir)
        if self.args.should_save:
            self.processing_class.save_pretrained(output_dir or self.args.output_dir)

    def _save_checkpoint(self, model, trial):
        """Save a checkpoint; if a rank cannot write its part, all do without it. DeepSpeed's ranks wait for each other in it."""
        if self.is_deepspeed_enabled:
            super()._save_checkpoint(model, trial)
            return
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        saved = False
        with unfinished_checkpoint(folder):
            super()._save_checkpoint(model, trial)
            saved = True
        if not ranks.minimum([saved])[0]:
            shutil.rmtree(folder, ignore_errors=True)

    def floating_point_ops(self, inputs) -> int:
        """The operations for one batch; transformers would count all parameters again each time."""
        return FLOPS_PER_PARAMETER * self.step_parameters * inputs["labels"].numel()

    def heaviest_batch(self, tokens: int) -> dict:
        """Of batches of about `tokens` tokens, from long examples to short ones, the one that takes most memory.

        That is the one with most logits: trained tokens, and replayed ones once more for the untrained model. All else in a
        GPU's memory goes by the number of tokens. Short answers are trained in larger part than long questions.
        """
        batches = TokenBudgetBatches(
            self.train_dataset.lengths, tokens, self.data_collator.padded, self.args.seed
        ).batches
        compared = batches[:: max(1, len(batches) // COMPARED_BATCHES)]
        collated = (self.data_collator([self.train_dataset[index] for index in batch]) for batch in compared)
        return max(
            collated, key=lambda batch: len(batch["targets"]) + bool(self.args.kl_weight) * len(batch["replayed"])
        )

    def rehearse(self, batch: dict) -> None:
        """A forward and backward pass that is not counted anywhere."""
        self.model.train()
        token_counts = dict(self.token_counts)
        with self.compute_loss_context_manager(), self.accelerator.autocast():
            self.compute_loss(self.model, self._prepare_inputs(batch)).backward()
        self.token_counts, self._update_losses = token_counts, []

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add to a log entry with a loss the speed since the last one, over all ranks."""
        if "loss" in logs:
            now, real, padded = time.monotonic(), self.token_counts["real"], self.token_counts["padded"]
            then, real_then, padded_then = self._last_log
            self._last_log = (now, real, padded)
            speed = (real - real_then) / (now - then)  # ranks have batches of similar length, so one stands for all
            logs["tokens_per_second"] = round(speed * self.args.world_size, 1)
            logs["padding_share"] = round(1 - (real - real_then) / max(padded - padded_then, 1), 4)
            if self.peak_flops:
                work = FLOPS_PER_PARAMETER * self.step_parameters * speed
                if work > self.peak_flops:  # another process ran while the peak was measured: measure it again
                    self.peak_flops = max(work, measure_peak_flops(self.args.device, self.model.dtype))
                logs["mfu"] = round(work / self.peak_flops, 4)
        super().log(logs, start_time)


def make_trainer(
    trainer_class: type[Trainer],
    train_set: Dataset,
    collator: Callable,
    eval_set: Dataset | None,
    model,
    tokenizer,
    training,
) -> Trainer:
    """A Trainer of class `trainer_class`, ready to train with the arguments `training`; on a GPU it measures batches."""
    trainer = trainer_class(
        peak_flops=measure_peak_flops(training.device, weights_dtype(training)),
        model=model,
        args=training,
        train_dataset=train_set,
        eval_dataset=eval_set,
        data_collator=collator,
        processing_class=tokenizer,
    )
    for replaced in (transformers.PrinterCallback, transformers.ProgressCallback):
        trainer.remove_callback(replaced)
    guard_reporters(trainer)
    measure_batches(trainer)
    if eval_set is not None:
        limit_evaluation(training, max(train_set.lengths), max(eval_set.lengths))
    return trainer


def weight_count(parameter: torch.nn.Parameter) -> int:
    """How many weights a parameter holds, even if ZeRO-3 has sharded it or 4 bits pack two into a byte."""
    if hasattr(parameter, "ds_numel"):
        return parameter.ds_numel
    state = getattr(parameter, "quant_state", None)
    return math.prod(state.shape) if state is not None else parameter.numel()
