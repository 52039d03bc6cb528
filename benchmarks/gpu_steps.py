"""Parts 4 and 8 of benchmarks/gpu.py: steps of LoRA training on the same rows, with our layout and loss and with others.

Everything is written out in plain torch, so that each fix can be undone on its own; what finetune.py does is `OURS`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.gpu_model import Bench, examples

WARM_STEPS = 2
RANK, LEARNING_RATE = 16, 1e-4
CPU_BATCH_TOKENS = 1024  # on a GPU, training/layout.py says how many are enough
TRL_ROWS = 8  # per batch: per_device_train_batch_size of TRL 1.16


@dataclass(frozen=True)
class Variant:
    """How a step is laid out and what else it computes; the defaults are what finetune.py does."""

    side: str = "right"  # of the padding
    mask: bool = False
    cast_inputs: bool = False  # as PEFT does: each LoRA layer casts its input to float32, and autocast casts it back
    head: str = "index"  # logits of the trained tokens by index; by a "boolean" mask; or "everywhere"
    count_parameters: bool = False  # as transformers' Trainer does for each micro-batch
    checkpointing: bool = False


OURS = Variant()
VARIANTS = {
    "ours": OURS,
    "left padding with a mask": dataclasses.replace(OURS, side="left", mask=True),
    "right padding with a mask": dataclasses.replace(OURS, mask=True),
    "LoRA inputs cast to float32": dataclasses.replace(OURS, cast_inputs=True),
    "boolean index before the head": dataclasses.replace(OURS, head="boolean"),
    "logits everywhere": dataclasses.replace(OURS, head="everywhere"),
    "parameters counted in each micro-batch": dataclasses.replace(OURS, count_parameters=True),
    "gradient checkpointing": dataclasses.replace(OURS, checkpointing=True),
    "all but checkpointing": Variant("left", True, True, "boolean", True),
}
TRL = Variant(mask=True, cast_inputs=True, head="everywhere", count_parameters=True)


def make_batch(rows: list[dict], variant: Variant, pad: int, device: str) -> dict:
    """A batch (B, T): input_ids, labels, attention_mask and, for padding on the left, position_ids."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    ids, labels = torch.full((len(rows), width), pad), torch.full((len(rows), width), -100)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for number, row in enumerate(rows):
        length = len(row["input_ids"])
        place = slice(width - length, width) if variant.side == "left" else slice(0, length)
        ids[number, place], labels[number, place] = torch.tensor(row["input_ids"]), torch.tensor(row["labels"])
        mask[number, place] = 1
    batch = {"input_ids": ids, "labels": labels}
    if variant.mask:
        batch["attention_mask"] = mask
    if variant.side == "left":
        batch["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
    trained = torch.nn.functional.pad(labels[:, 1:] != -100, (0, 1))  # positions whose next token is trained
    batch["trained"] = trained.flatten().nonzero()[:, 0] if variant.head == "index" else trained
    return {name: value.to(device) for name, value in batch.items()}


def compute_loss(model, batch: dict, variant: Variant):
    """The mean cross-entropy over the trained tokens."""
    from torch.nn.functional import cross_entropy

    labels, trained = batch["labels"], batch["trained"]
    inputs = {name: value for name, value in batch.items() if name not in ("labels", "trained")}
    if variant.head == "everywhere":
        logits = model(**inputs, use_cache=False).logits[:, :-1].float()
        return cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)

    def before(_, arguments: tuple) -> tuple:
        states = arguments[0]
        return (states.flatten(0, 1).index_select(0, trained) if variant.head == "index" else states[trained],)

    following = labels.roll(-1, dims=1)
    targets = following.flatten().index_select(0, trained) if variant.head == "index" else following[trained]
    handle = model.get_output_embeddings().register_forward_pre_hook(before)
    try:
        logits = model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return cross_entropy(logits.float(), targets)


class Steps:
    """A model with fresh LoRA layers on `layers` of its layers, and the seconds of its training steps."""

    def __init__(self, bench: Bench, layers: int):
        import torch
        import transformers
        from peft import LoraConfig, get_peft_model

        self.device = bench.device
        dtype = torch.bfloat16 if bench.cuda else torch.float32
        model = transformers.AutoModelForCausalLM.from_pretrained(
            bench.cut, dtype=dtype, num_hidden_layers=layers, attn_implementation="sdpa"
        )
        torch.manual_seed(0)
        settings = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
        self.model = get_peft_model(model, settings).to(self.device).train()
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE, fused=True)  # as transformers' Trainer
        self.pad = model.config.eos_token_id

    def set(self, variant: Variant) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer

        for layer in self.model.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.cast_input_dtype_enabled = variant.cast_inputs
        if variant.checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            self.model.gradient_checkpointing_disable()

    def step(self, rows: list[dict], variant: Variant):
        """One update with a micro-batch, including its copy to the device; returns the loss."""
        import torch

        mixed = torch.autocast("cuda", torch.bfloat16) if self.device == "cuda" else contextlib.nullcontext()
        batch = make_batch(rows, variant, self.pad, self.device)
        with mixed:
            loss = compute_loss(self.model, batch, variant)
        if variant.count_parameters:
            self.model.num_parameters(exclude_embeddings=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def seconds(self, batches: list[list[dict]], variant: Variant) -> tuple[float, bool]:
        """The seconds of these steps, after WARM_STEPS others, and whether all losses were finite."""
        import torch

        self.set(variant)
        for rows in itertools.islice(itertools.cycle(batches), WARM_STEPS):
            self.step(rows, variant)
        self.wait()
        began = time.perf_counter()
        losses = [self.step(rows, variant) for rows in batches]
        self.wait()
        return time.perf_counter() - began, bool(torch.stack(losses).isfinite().all())

    def wait(self) -> None:
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()


def fill_batches(dataset, tokens: int, count: int | None = None) -> list[list[dict]]:
    """Batches of rows of similar length, up to `tokens` including padding; the first `count` in random order."""
    from training.batches import TokenBudgetBatches

    batches = itertools.islice(TokenBudgetBatches(dataset.lengths, tokens, True, 0), count)
    return [[dataset[index] for index in batch] for batch in batches]


def real_tokens(batches: list[list[dict]]) -> int:
    return sum(len(row["input_ids"]) for batch in batches for row in batch)


def mends(bench: Bench) -> Iterator[dict]:
    """Part 4: {tokens of a micro-batch: {way: {"ms_a_step", "real_tokens_s", "finite"}}}, each fix undone on its own."""
    steps, dataset = Steps(bench, bench.sizes.layers), examples(bench, bench.sizes.rows)
    found: dict[str, dict] = {}
    for tokens in bench.sizes.step_tokens:
        batches = fill_batches(dataset, tokens, bench.sizes.steps)
        count = real_tokens(batches)
        measured = found[str(tokens)] = {"real_tokens_a_step": round(count / len(batches))}
        for name, variant in VARIANTS.items():
            seconds, finite = steps.seconds(batches, variant)
            measured[name] = {
                "ms_a_step": round(1e3 * seconds / len(batches), 2),
                "real_tokens_s": round(count / seconds, 1),
                "finite": finite,
            }
            yield {"layers": bench.sizes.layers, "by_tokens": found}


def against_trl(bench: Bench) -> Iterator[dict]:
    """Part 8: real tokens per second in one pass over the same rows: ours, and TRL's layout and loss, in plain torch.

    TRL's is right-padded to the longest row of a random batch of 8, with a mask, logits everywhere, PEFT's casts; without and
    with the gradient checkpointing that is its default. Measured on few layers and on half of them; the difference is that of
    so many layers, by which the seconds of a whole model are extrapolated: on few layers the head counts too much.
    """
    from training.layout import ENOUGH_TOKENS

    dataset = examples(bench, bench.sizes.compared_rows)
    order = random.Random(0).sample(range(len(dataset)), len(dataset))
    by_eight = [
        [dataset[index] for index in order[start : start + TRL_ROWS]] for start in range(0, len(order), TRL_ROWS)
    ]
    contestants = {
        "ours": (fill_batches(dataset, ENOUGH_TOKENS if bench.cuda else CPU_BATCH_TOKENS), OURS),
        "trl_layout": (by_eight, TRL),
        "trl_layout_checkpointed": (by_eight, dataclasses.replace(TRL, checkpointing=True)),
    }
    tokens, many = real_tokens(by_eight), bench.sizes.layers
    seconds: dict[int, dict[str, float]] = {}
    for layers in (many, many // 2):
        steps, seconds[layers] = Steps(bench, layers), {}
        for name, (batches, variant) in contestants.items():
            seconds[layers][name], finite = steps.seconds(batches, variant)
            yield {"real_tokens": tokens, f"{layers}_layers": speeds(seconds[layers], tokens), f"finite_{name}": finite}
    whole = bench.sizes.all_layers
    yield {f"{whole}_layers_extrapolated": speeds(extrapolated(seconds, whole), tokens)}


def speeds(seconds: dict[str, float], tokens: int) -> dict:
    """Real tokens per second for each, and the ratio of ours to each of the others."""
    found = {f"{name}_tok_s": round(tokens / value, 1) for name, value in seconds.items()}
    others = {name: value for name, value in seconds.items() if name != "ours"}
    return {**found, **{f"ratio_{name}": round(value / seconds["ours"], 2) for name, value in others.items()}}


def extrapolated(seconds: dict[int, dict[str, float]], layers: int) -> dict[str, float]:
    """The seconds for `layers` layers, by a straight line through those for two numbers of layers."""
    (few, first), (many, second) = sorted(seconds.items())
    return {name: second[name] + (layers - many) * (second[name] - first[name]) / (many - few) for name in second}
