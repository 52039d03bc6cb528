"""The Hugging Face Trainer with our batches, our loss, and a log of what a person wants to know while it runs."""

from __future__ import annotations

import contextlib
import time

import torch
import transformers
from torch.utils.data import DataLoader

from training.batches import LengthBucketedSampler, TokenBudgetBatches
from training.loss import before_labels, head_only_at, loss_per_token

# A token of LoRA training: 2 forward, 2 for the gradients that pass through frozen weights. By convention of all of the
# weights, so a small model with a large vocabulary looks better than it is: its head runs on the trained tokens only.
FLOPS_PER_PARAMETER = 4


class Trainer(transformers.Trainer):
    """`transformers.Trainer` on datasets with `lengths` and batches of our collators.

    `max_tokens_per_batch` fills batches by tokens instead of examples. `peak_flops` is what the device does in matrix
    products, per second; the log then has the share of it that is used (MFU).
    """

    def __init__(
        self, *, kl_weight: float = 0.0, max_tokens_per_batch: int | None = None, peak_flops: float = 0.0, **options
    ):
        super().__init__(**options)
        self.kl_weight, self.max_tokens_per_batch, self.peak_flops = kl_weight, max_tokens_per_batch, peak_flops
        self.padded = "attention_mask" in options["data_collator"]([self.train_dataset[0]])
        # The loss is ours: it takes the number of an update's trained tokens and is not scaled again.
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = self._loss_shifts_labels = True
        self.parameter_count = sum(getattr(p, "ds_numel", p.numel()) for p in self.model.parameters())
        self.seen = {"real": 0, "padded": 0}  # tokens of this rank, in this process
        self._since = (time.monotonic(), 0, 0)
        self.sampler = None

    def _get_train_sampler(self, train_dataset=None):
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        # Examples of an update, on all ranks: so the updates do not depend on how many ranks there are.
        together = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        self.sampler = LengthBucketedSampler(self.train_dataset.lengths, together, self.args.seed)
        return self.sampler

    def get_train_dataloader(self) -> DataLoader:
        if not self.max_tokens_per_batch:
            return super().get_train_dataloader()
        self.sampler = TokenBudgetBatches(
            self.train_dataset.lengths,
            self.max_tokens_per_batch,
            self.padded,
            self.args.seed,
            self.args.process_index,
            self.args.world_size,
        )
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.sampler,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def _run_epoch(self, **options):
        if self.sampler is not None:  # a loader that skips to where a run is resumed does not pass the epoch on
            self.sampler.set_epoch(options["epoch"])
        return super()._run_epoch(**options)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels, replay = inputs.pop("labels"), inputs.pop("replay")
        positions = before_labels(labels)
        compiled = self.args.torch_compile  # the selection would have to be compiled anew for every batch
        inner = self.accelerator.unwrap_model(model)
        with contextlib.nullcontext() if compiled else head_only_at(inner, positions):
            outputs = model(**inputs, use_cache=False)
        logits = outputs.logits[positions] if compiled else outputs.logits
        targets = labels[:, 1:][positions[:, :-1]]
        replayed = base_logits = None
        if self.kl_weight and model.training:
            replayed = replay[positions]
            base_logits = self._base_logits(inputs, positions & replay)
        loss = loss_per_token(logits, targets, num_items_in_batch, self.kl_weight, replayed, base_logits)
        if model.training:
            mask = inputs.get("attention_mask")
            self.seen["padded"] += labels.numel()
            self.seen["real"] += labels.numel() if mask is None else mask.sum()
            if num_items_in_batch is not None:  # counted over all ranks, whose gradients are averaged
                loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _base_logits(self, inputs: dict, positions: torch.Tensor) -> torch.Tensor | None:
        """The untrained model's logits (R, V) at the true positions (B, T); only rows that have any are read."""
        rows = positions.any(dim=1).nonzero()[:, 0]
        if not len(rows):
            # Under ZeRO-3 the ranks hold the weights together, so all must read as often.
            if not transformers.integrations.is_deepspeed_zero3_enabled():
                return None
            rows = rows.new_zeros(1)
        model = self.accelerator.unwrap_model(self.model)
        part = {
            key: value[rows] if torch.is_tensor(value) and value.dim() == 2 else value for key, value in inputs.items()
        }
        positions = positions[rows]
        if self.padded:  # what is padding in all of these rows
            first = int(part["attention_mask"].any(dim=0).nonzero()[0, 0])
            part, positions = {key: value[:, first:] for key, value in part.items()}, positions[:, first:]
        with torch.no_grad(), model.disable_adapter(), head_only_at(model, positions):
            return model(**part, use_cache=False).logits

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add, to a line of losses, speed since the last one, over all ranks."""
        if "loss" in logs:
            now, real, padded = time.monotonic(), int(self.seen["real"]), int(self.seen["padded"])
            then, real_then, padded_then = self._since
            self._since = (now, real, padded)
            speed = (real - real_then) / (now - then)  # ranks have batches of like length: one speaks for all
            logs["tokens_per_second"] = round(speed * self.args.world_size, 1)
            logs["padding_share"] = round(1 - (real - real_then) / max(padded - padded_then, 1), 4)
            if self.peak_flops:
                logs["mfu"] = round(FLOPS_PER_PARAMETER * self.parameter_count * speed / self.peak_flops, 4)
        super().log(logs, start_time)


def measured_peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product, the best of a few."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
