"""The plan of a training: fills in what its arguments leave open, and describes it all before the first step."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import transformers

from engines.memory import model_shape
from training.layout import choose_attention, choose_batches
from training.read_back import compute_precision
from training.recommended import recommended_learning_rate, recommended_rank

FEW_UPDATES = 200
EXPECTED_MFU = {"cpu": 0.4, "cuda": 0.35}  # to estimate the duration before the start; measured on CPUs only


def resolve_defaults(name: str, lora, training, facts: int, lengths: list[int]) -> None:
    """Fill in what the arguments `lora` and `training` leave open: rank, batches, gradient checkpointing, learning rate.

    `name` is the model's, `facts` the number of facts in the data, `lengths` the lengths of the examples in tokens.
    """
    lora.lora_r = lora.lora_r or recommended_rank(facts)
    choose_attention(training)
    choose_batches(training, model_shape(name), sum(lengths), max(lengths), lora.lora_r, lora.q_lora)
    if training.learning_rate is None:
        hidden_size = transformers.AutoConfig.from_pretrained(name).get_text_config().hidden_size
        recommended = recommended_learning_rate(hidden_size, training.update_tokens)
        training.learning_rate = recommended * (1 if lora.use_lora else 0.1)
    training.dataloader_pin_memory = training.device.type == "cuda"
    training.remove_unused_columns = False  # the loss needs to know which rows are replayed


@dataclass
class Plan:
    """What will be trained. Token counts are per epoch."""

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
    exposures_per_fact: float = 0.0
    expected_minutes: float = 0.0

    def __post_init__(self):
        self.exposures_per_fact = round(self.epochs * self.examples / max(self.facts, 1), 1)
        work = self.operations_per_token() * self.tokens / max(self.processes, 1)
        device = self.device.partition(":")[0]
        self.expected_minutes = round(work / (EXPECTED_MFU.get(device, 0.35) * self.peak_flops) / 60, 1)

    def operations_per_token(self) -> float:
        """Over all epochs: per weight, 2 forward and 2 for the gradients that pass through it."""
        return 4 * self.parameters * self.epochs

    def lines(self) -> list[str]:
        rank = f"rank {self.rank}" if self.rank else "all weights"
        has_few_updates = self.updates < FEW_UPDATES
        hint = (
            f"; few updates, {FEW_UPDATES} would teach more: use smaller batches or raise --num_train_epochs"
            if has_few_updates
            else ""
        )
        return [
            f"{self.examples} examples of {self.facts} facts, {self.replayed} replayed answers, {self.held_out} held out",
            f"{self.trained_tokens} of {self.tokens} tokens are trained; {self.epochs:g} epochs, {self.updates} updates of "
            f"{self.examples_per_update} examples, each fact {self.exposures_per_fact:g} times",
            f"learning rate {self.learning_rate:g}, {rank}: {self.trainable_parameters / 1e6:.1f} M trainable parameters "
            f"of {self.parameters / 1e6:.1f} M",
            f"{self.processes} processes on {self.device}, {self.precision}, {self.layout}; "
            f"about {self.expected_minutes:g} minutes{hint}",
        ]

    def as_dict(self) -> dict:
        return dataclasses.asdict(self)


def make_plan(
    trainer, facts: int, replayed: int, held_out: int, rank: int | None, plan_class: type[Plan] = Plan, **extra_fields
) -> Plan:
    """The plan for one of our Trainers; `rank` is None if all weights are trained. A subclass as `plan_class` has `extra_fields`."""
    training, data = trainer.args, trainer.train_dataset
    sample = [data[index] for index in range(0, len(data), max(1, len(data) // 1000))]
    scale = len(data) / len(sample)
    updates_per_epoch = -(-len(trainer.get_train_dataloader()) // training.gradient_accumulation_steps)
    updates = training.max_steps if training.max_steps > 0 else round(updates_per_epoch * training.num_train_epochs)
    trained_counts = [sum(label >= 0 for label in example["labels"]) for example in sample]
    layout = "padding-free batches" if training.padding_free else "padded batches of similar length"
    options = {
        "gradient checkpointing": training.gradient_checkpointing, "Liger kernels": training.use_liger_kernel,
        "TF32": training.tf32, "torch.compile": training.torch_compile, "DeepSpeed": training.deepspeed,
    }  # fmt: skip
    return plan_class(
        examples=len(data) - replayed,
        facts=facts,
        replayed=replayed,
        held_out=held_out,
        tokens=round(scale * sum(len(example["input_ids"]) for example in sample)),
        trained_tokens=round(scale * sum(trained_counts)),
        updates=updates,
        epochs=updates / updates_per_epoch,
        examples_per_update=round(len(data) / updates_per_epoch),
        learning_rate=training.learning_rate,
        rank=rank,
        trainable_parameters=sum(getattr(p, "ds_numel", p.numel()) for p in trainer.model.parameters() if p.requires_grad),
        parameters=trainer.parameter_count,
        processes=training.world_size,
        device=str(training.device),
        precision=compute_precision(training),
        layout=", ".join([f"{training.attention} attention, {layout}", *(name for name, on in options.items() if on)]),
        peak_flops=trainer.peak_flops,
        **extra_fields,
    )  # fmt: skip
