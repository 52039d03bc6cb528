"""What a training will be, said before its first step; its learning rate and rank from the model and the data."""

from __future__ import annotations

import dataclasses
import logging
import math
from dataclasses import dataclass

LEARNING_RATE, LEARNING_RATE_HIDDEN, LEARNING_RATE_POWER = 5e-4, 2000, 0.781
LEARNING_RATE_TOKENS, LARGEST_FACTOR = (
    16384,
    2.0,
)  # an update up to which that rate fits; most it is raised for larger ones
SMALLEST_RANK, LARGEST_RANK, FACTS_OF_SMALLEST_RANK = 16, 256, 1000
FEW_UPDATES = 200
EXPECTED_MFU = {"cpu": 0.55, "cuda": 0.35}  # to say how long it takes before it has begun; the CPU's was measured

log = logging.getLogger(__name__)


def recommended_learning_rate(hidden_size: int, tokens_an_update: int = LEARNING_RATE_TOKENS) -> float:
    """Ten times a full fine-tuning's 5e-5, less for wider models: 5e-4 * (2000 / hidden size) ** 0.781.

    Schulman and Thinking Machines (2025), LoRA Without Regret, and their tinker-cookbook; the exponent is that for
    Llama. It does not depend on the rank. Gives 1.3e-3 for SmolLM2-135M, 3.2e-4 for Qwen2.5-7B. Larger updates, of which
    there are fewer, take more by the square root of their size (Malladi et al. 2022, section 4); smaller ones do not take
    less: the demo, with updates of 500 tokens, was best at more than this rate.
    """
    width = (LEARNING_RATE_HIDDEN / hidden_size) ** LEARNING_RATE_POWER
    size = min(max(tokens_an_update / LEARNING_RATE_TOKENS, 1.0) ** 0.5, LARGEST_FACTOR)
    return float(f"{LEARNING_RATE * width * size:.1e}")


def recommended_rank(facts: int) -> int:
    """16 up to a thousand facts, doubled for every ten times as many: a rank bounds how much an adapter can hold."""
    tens = max(0, math.ceil(math.log10(max(facts, 1) / FACTS_OF_SMALLEST_RANK)))
    return min(SMALLEST_RANK * 2**tens, LARGEST_RANK)


@dataclass
class Plan:
    """What will be trained. Tokens are of one epoch."""

    examples: int
    facts: int
    replayed: int
    held_out: int
    tokens: int
    trained_tokens: int
    updates: int
    epochs: float
    examples_per_update: int
    learning_rate: float
    rank: int | None
    trainable_parameters: int
    parameters: int
    processes: int
    device: str
    precision: str
    layout: str
    peak_flops: float
    frozen_layers: int = 0  # the lowest ones, run once an example
    frozen_parameters: int = 0
    exposures_per_fact: float = 0.0
    expected_minutes: float = 0.0

    def __post_init__(self):
        self.exposures_per_fact = round(self.epochs * self.examples / max(self.facts, 1), 1)
        run = 4 * (self.parameters - self.frozen_parameters) * self.epochs + 2 * self.frozen_parameters
        work = run * self.tokens / max(self.processes, 1)
        device = self.device.partition(":")[0]
        self.expected_minutes = round(work / (EXPECTED_MFU.get(device, 0.35) * self.peak_flops) / 60, 1)

    def lines(self) -> list[str]:
        rank = f"rank {self.rank}" if self.rank else "all weights"
        few = self.updates < FEW_UPDATES
        once = f", the lowest {self.frozen_layers} layers run once an example" if self.frozen_layers else ""
        hint = f"; few updates, {FEW_UPDATES} teach more: lower the batch or raise --num_train_epochs" if few else ""
        return [
            f"{self.examples} examples of {self.facts} facts, {self.replayed} replayed answers, {self.held_out} held out",
            f"{self.trained_tokens} of {self.tokens} tokens are trained; {self.epochs:g} epochs, {self.updates} updates of "
            f"{self.examples_per_update} examples, each fact {self.exposures_per_fact:g} times",
            f"learning rate {self.learning_rate:g}, {rank}: {self.trainable_parameters / 1e6:.1f} M trainable parameters "
            f"of {self.parameters / 1e6:.1f} M",
            f"{self.processes} processes on {self.device}, {self.precision}, {self.layout}{once}; "
            f"about {self.expected_minutes:g} minutes{hint}",
        ]

    def as_dict(self) -> dict:
        return dataclasses.asdict(self)


def make_plan(trainer, facts: int, replayed: int, held_out: int, rank: int | None) -> Plan:
    """The plan of a Trainer of ours; `rank` is None where all weights are trained."""
    from training.read_back import computed_in

    training, data = trainer.args, trainer.train_dataset
    sample = [data[index] for index in range(0, len(data), max(1, len(data) // 1000))]
    scale = len(data) / len(sample)
    per_epoch = -(-len(trainer.get_train_dataloader()) // training.gradient_accumulation_steps)
    updates = training.max_steps if training.max_steps > 0 else round(per_epoch * training.num_train_epochs)
    trained = [sum(label >= 0 for label in example["labels"]) for example in sample]
    layout = "padding-free batches" if training.padding_free else "padded batches of like length"
    extras = {
        "gradient checkpointing": training.gradient_checkpointing, "Liger kernels": training.use_liger_kernel,
        "TF32": training.tf32, "torch.compile": training.torch_compile, "DeepSpeed": training.deepspeed,
    }  # fmt: skip
    return Plan(
        examples=len(data) - replayed,
        facts=facts,
        replayed=replayed,
        held_out=held_out,
        tokens=round(scale * sum(len(example["input_ids"]) for example in sample)),
        trained_tokens=round(scale * sum(trained)),
        updates=updates,
        epochs=updates / per_epoch,
        examples_per_update=round(len(data) / per_epoch),
        learning_rate=training.learning_rate,
        rank=rank,
        trainable_parameters=sum(getattr(p, "ds_numel", p.numel()) for p in trainer.model.parameters() if p.requires_grad),
        parameters=trainer.parameter_count,
        frozen_layers=trainer.frozen_layers,
        frozen_parameters=trainer.frozen_parameters,
        processes=training.world_size,
        device=str(training.device),
        precision=computed_in(training),
        layout=", ".join([f"{training.attention} attention, {layout}", *(name for name, on in extras.items() if on)]),
        peak_flops=trainer.peak_flops,
    )  # fmt: skip
