"""The layers below the first trained one give the same states in every epoch: run them once, and keep the states.

If LoRA is applied to the upper layers only (`--lora_options '{"layers_to_transform": [15, 16, ...]}'`), a training step
can then start above the frozen ones. Its result is the same, and their forward pass is saved in all later epochs.
The states are kept in a file beside the adapter, where a killed training finds them again.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import pad
from torch.utils.data import Dataset

from training.batches import PaddedCollator
from training.plan import Plan, make_plan
from training.read_back import autocast, compute_precision, relative_difference, rounding_tolerance
from training.trainer import Trainer, weight_count
from utils import read_json, write_json

# the states, and a hash of what they were computed from
STATES_FILE, STATES_IDENTITY_FILE = "frozen_states.bin", "frozen_states.json"
MAX_BYTES = 4 << 30  # of states; a larger dataset is trained in the usual way
ROWS_PER_BATCH = 32  # when computing states

log = logging.getLogger(__name__)


class ReachedLayer(Exception):
    """Carries the states (B, T, H) that reach the first trained layer, so that nothing above it is run."""


class ExamplesWithStates(Dataset):
    """Examples with `states` (T, H), the output of the frozen layers."""

    def __init__(self, examples: Dataset, states: list[torch.Tensor]):
        self.examples, self.states, self.lengths = examples, states, examples.lengths

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict:
        return {**self.examples[index], "states": self.states[index]}

    def name(self, index: int) -> str:
        return self.examples.name(index)


@dataclass
class StatesCollator:
    """Batches from `collator`; the `states` of examples that have them are added as inputs_embeds (B, T, H)."""

    collator: PaddedCollator
    padded = True

    def __call__(self, examples: list[dict]) -> dict[str, torch.Tensor | int]:
        batch = self.collator(examples)
        if "states" in examples[0]:  # validation examples have none
            width = batch["input_ids"].shape[1]
            rows = [pad(example["states"], (0, 0, 0, width - len(example["states"]))) for example in examples]
            batch["inputs_embeds"] = torch.stack(rows)
        return batch


@dataclass
class TrunkPlan(Plan):
    """The plan for a training whose lowest `frozen_layers` run once per example."""

    frozen_layers: int = 0
    frozen_parameters: int = 0

    def operations_per_token(self) -> float:
        trained = 4 * (self.parameters - self.frozen_parameters) * self.epochs
        return trained + 2 * self.frozen_parameters  # once, forward only

    def lines(self) -> list[str]:
        *lines, last = super().lines()
        once = f"{self.layout}, the lowest {self.frozen_layers} layers run once per example"
        return [*lines, last.replace(self.layout, once)]


class TrunkTrainer(Trainer):
    """A Trainer on ExamplesWithStates, in batches from a StatesCollator: the frozen layers are not run.

    It does run them on examples without states, such as those for validation.
    """

    def __init__(self, **options):
        super().__init__(**options)
        self.frozen_layers = frozen_layers(self.model)
        layers = self.model.get_decoder().layers[: self.frozen_layers]
        self.frozen_parameters = sum(weight_count(p) for layer in layers for p in layer.parameters())

    @property
    def step_parameters(self) -> int:
        return self.parameter_count - self.frozen_parameters

    def plan(self, *counts) -> TrunkPlan:
        frozen = {"frozen_layers": self.frozen_layers, "frozen_parameters": self.frozen_parameters}
        return make_plan(self, *counts, plan_class=TrunkPlan, **frozen)

    def _model_inputs(self, inputs: dict) -> dict[str, torch.Tensor]:
        return (
            {"inputs_embeds": inputs["inputs_embeds"]} if "inputs_embeds" in inputs else super()._model_inputs(inputs)
        )

    def _logits(self, model, inputs: dict):
        if "inputs_embeds" not in inputs:
            return super()._logits(model, inputs)
        with start_above(self.accelerator.unwrap_model(self.model), self.frozen_layers):
            return super()._logits(model, inputs)


def can_keep_states(training, data) -> bool:
    """Whether the setting allows keeping states: one process, unmodified layers, and examples in memory."""
    single_process = training.world_size == 1 and not training.deepspeed
    modified_layers = training.padding_free or training.torch_compile or training.gradient_checkpointing
    return training.keep_frozen_states and single_process and not modified_layers and not data.lazy_preprocess


def keep_states(model, examples: Dataset, collator: Callable, data, training) -> ExamplesWithStates | None:
    """The examples with the states of the frozen layers; None if none are frozen, or their states cannot be kept.

    `data` and `training` are the arguments of finetune.py.
    """
    first = frozen_layers(model) if can_keep_states(training, data) else 0
    folder = Path(training.output_dir)
    return compute_states(model, examples, collator, first, folder, compute_precision(training)) if first else None


def frozen_layers(model) -> int:
    """How many layers, counted from the first, are neither trained nor random (dropout); 0 if embeddings are trained."""
    decoder = model.get_decoder()
    if any(p.requires_grad for p in decoder.get_input_embeddings().parameters()):
        return 0
    if any(isinstance(module, torch.nn.Dropout) and module.p for module in decoder.modules()):
        return 0
    if getattr(decoder.config, "attention_dropout", 0):
        return 0
    trained = [any(p.requires_grad for p in layer.parameters()) for layer in decoder.layers]
    return trained.index(True) if any(trained) else 0


@contextlib.contextmanager
def start_above(model, first: int) -> Iterator[None]:
    """Context in which the model takes the states that enter layer `first` as `inputs_embeds`; lower layers do nothing."""
    layers = model.get_decoder().layers[:first]
    for layer in layers:
        layer.forward = lambda hidden_states, *_, **__: hidden_states
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def compute_states(
    model, examples: Dataset, collator: Callable, first: int, folder: Path, precision: str = "float32"
) -> ExamplesWithStates | None:
    """The examples with the states that enter layer `first`; None if these are too large or do not give the same result.

    They are computed on the model's device, in the `precision` of the training (read_back.compute_precision), and written
    to a file in `folder`, row by row from the shortest on; what an earlier start wrote is not computed again.
    """
    row_bytes = model.config.get_text_config().hidden_size * model.dtype.itemsize
    size = sum(examples.lengths) * row_bytes
    if size > MAX_BYTES:
        log.info(
            "the states of %d frozen layers would take %.1f GiB: they are computed again in each epoch",
            first,
            size / 2**30,
        )
        return None
    order = sorted(range(len(examples)), key=lambda index: examples.lengths[index])
    ends = list(itertools.accumulate(examples.lengths[index] * row_bytes for index in order))
    folder.mkdir(parents=True, exist_ok=True)
    path, identity = folder / STATES_FILE, states_identity(model, examples, first)
    written_bytes = path.stat().st_size if path.is_file() and read_identity(folder) == identity else 0
    done = sum(end <= written_bytes for end in ends)
    if done < len(order):
        done -= done % ROWS_PER_BATCH  # the same batches as without an interruption
    with path.open("ab") as file:
        file.truncate(ends[done - 1] if done else 0)
        # only now that the states of other examples are gone
        write_json(folder / STATES_IDENTITY_FILE, {"of": identity})
        for start in range(done, len(order), ROWS_PER_BATCH):
            batch_examples = [examples[index] for index in order[start : start + ROWS_PER_BATCH]]
            with autocast(precision, model.device.type):
                found = states_at_layer(model, collator(batch_examples), example_lengths(batch_examples), first)
            for own in found:
                file.write(own.contiguous().view(torch.uint8).numpy())
            file.flush()
            os.fsync(file.fileno())
    mapped = torch.from_file(str(path), size=size // model.dtype.itemsize, dtype=model.dtype)
    rows = mapped.view(-1, model.config.get_text_config().hidden_size).split(
        [examples.lengths[index] for index in order]
    )
    states = dict(zip(order, rows, strict=True))
    kept = ExamplesWithStates(examples, [states[index] for index in range(len(examples))])
    with autocast(precision, model.device.type):
        difference = relative_difference(*states_both_ways(model, StatesCollator(collator), examples, kept, first))
    if not difference <= rounding_tolerance(precision, model.config.get_text_config().num_hidden_layers):
        log.info(
            "%s cannot start above its frozen layers (difference %.1g): all layers are run",
            type(model).__name__,
            difference,
        )
        remove_states(folder)
        return None
    return kept


def states_identity(model, examples: Dataset, first: int) -> str:
    """A hash of what determines the states: the weights below layer `first`, and the examples' tokens in their order."""
    decoder = model.get_decoder()
    frozen = [decoder.get_input_embeddings(), *decoder.layers[:first]]
    sums = [p.double().sum().item() for module in frozen for p in module.parameters()]
    found = hashlib.sha256(repr((first, str(model.dtype), sums, list(examples.lengths))).encode())
    for index in range(len(examples)):
        found.update(array("q", [int(token) for token in examples[index]["input_ids"]]).tobytes())
    return found.hexdigest()[:16]


def read_identity(folder: Path) -> str | None:
    """The hash of what the states in a folder were computed from."""
    path = folder / STATES_IDENTITY_FILE
    return read_json(path, "what states are of")["of"] if path.is_file() else None


def remove_states(folder: Path) -> None:
    for name in (STATES_FILE, STATES_IDENTITY_FILE):
        (folder / name).unlink(missing_ok=True)


def example_lengths(examples: list[dict]) -> list[int]:
    return [len(example["input_ids"]) for example in examples]


def states_at_layer(model, batch: dict, lengths: list[int], first: int) -> list[torch.Tensor]:
    """The states that enter layer `first`: a tensor (T, H) for each row of a padded batch, on the CPU."""
    handle = model.get_decoder().layers[first].register_forward_pre_hook(raise_states, with_kwargs=True)
    try:
        last_hidden_states(model, batch)
    except ReachedLayer as found:
        return [row[:length].cpu() for row, length in zip(found.args[0], lengths, strict=True)]
    finally:
        handle.remove()
    raise RuntimeError(f"layer {first} of {type(model).__name__} was not run")


def raise_states(_, arguments: tuple, options: dict) -> None:
    raise ReachedLayer(arguments[0] if arguments else options["hidden_states"])


def last_hidden_states(model, batch: dict) -> torch.Tensor:
    """The last hidden states (B, T, H)."""
    source = "inputs_embeds" if "inputs_embeds" in batch else "input_ids"
    with torch.no_grad():
        return model.get_decoder()(**{source: batch[source].to(model.device)}, use_cache=False).last_hidden_state


def states_both_ways(
    model, collator: Callable, examples: Dataset, kept: Dataset, first: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The last hidden states (N, H) of a few examples: computed from the kept states, and from the tokens."""
    sampled = range(0, len(examples), max(1, len(examples) // 8))
    batch_examples = [examples[index] for index in sampled]
    expected = last_hidden_states(model, collator(batch_examples))
    with start_above(model, first):
        found = last_hidden_states(model, collator([kept[index] for index in sampled]))
    lengths = example_lengths(batch_examples)
    return tuple(
        torch.cat([row[:length] for row, length in zip(states, lengths, strict=True)]) for states in (found, expected)
    )
