"""The open-book teacher at work: the untrained model reads a passage once, and then every question on it.

It is the model that is being trained, with its adapter switched off, so it takes no memory of its own. What is kept of it
is in distillation.py, where it is kept in taught.py.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy
import torch
from transformers import DynamicCache

from engines.shared_prefix import common_prefix_length
from training.distillation import to_records
from training.loss import head_only_at
from training.open_book import TeacherPrompt
from training.read_back import autocast, relative_difference, rounding_tolerance

TOKENS_PER_PASS = 8192  # read in one pass, with a copy of the passage for each row
ANSWERS_PER_PASS = 1024  # trained tokens in one pass, whose logits over the vocabulary are in memory together
COMPARED = 4  # prompts that are read with and without a shared passage, to see that it makes no difference


class Reading(NamedTuple):
    """How the prompts on one passage are read: their first `shared` tokens once, then these batches of them."""

    prompts: list[TeacherPrompt]
    shared: int
    batches: list[list[int]]

    @property
    def passes(self) -> int:
        """The number of forward passes."""
        return len(self.batches) + bool(self.shared)


def plan_reading(prompts: list[TeacherPrompt], shares_passage: bool) -> Reading:
    """The passes over the prompts of one passage, those of similar length together."""
    shared = common_prefix_length([one.prompt for one in prompts]) if shares_passage and len(prompts) > 1 else 0
    size = [len(one.prompt) + len(one.answer) for one in prompts]
    batches: list[list[int]] = []
    answers = 0
    for index in sorted(range(len(prompts)), key=lambda index: -size[index]):
        answers += len(prompts[index].answer)
        full = not batches or size[batches[-1][0]] * (len(batches[-1]) + 1) > TOKENS_PER_PASS
        if full or answers > ANSWERS_PER_PASS:
            batches.append([])
            answers = len(prompts[index].answer)
        batches[-1].append(index)
    return Reading(prompts, shared, batches)


@contextlib.contextmanager
def untrained(model, precision: str) -> Iterator[None]:
    """Context in which the model computes as before its training, in a precision of read_back.compute_precision."""
    was_training = model.training
    model.eval()
    adapter_off = model.disable_adapter() if hasattr(model, "peft_config") else contextlib.nullcontext()
    try:
        with torch.no_grad(), adapter_off, autocast(precision, model.device.type):
            yield
    finally:
        model.train(was_training)


def read(model, reading: Reading) -> list[numpy.ndarray]:
    """The teacher's records for the answer of each prompt, RECORD (n,), n the tokens of that answer."""
    records: list[numpy.ndarray] = [numpy.empty(0)] * len(reading.prompts)
    passage = read_passage(model, reading)
    for batch in reading.batches:
        rows = [reading.prompts[index] for index in batch]
        logits, targets = answer_logits(model, rows, reading.shared, passage)
        ends = numpy.cumsum([len(row.answer) for row in rows])
        for index, found in zip(batch, numpy.split(to_records(logits, targets), ends[:-1]), strict=True):
            records[index] = found
    return records


def read_passage(model, reading: Reading) -> DynamicCache | None:
    """The keys and values of the tokens that all prompts begin with; None if they are not read beforehand."""
    if not reading.shared:
        return None
    ids = torch.tensor([reading.prompts[0].prompt[: reading.shared]], device=model.device)
    with head_only_at(model, torch.zeros(1, dtype=torch.long, device=model.device)):
        return model(input_ids=ids, use_cache=True).past_key_values


def answer_logits(
    model, rows: list[TeacherPrompt], shared: int, passage: DynamicCache | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (M, V) before each token of the answers, and these tokens (M,), row by row.

    Rows are padded on the right, after the last token that counts, so no mask is needed.
    """
    own = [[*row.prompt, *row.answer][shared:-1] for row in rows]  # nothing is predicted after the last token
    width = max(map(len, own))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in own], device=model.device)
    places = [
        number * width + place
        for number, row in enumerate(rows)
        for place in range(len(own[number]) - len(row.answer), len(own[number]))
    ]
    options = {"use_cache": False}
    if passage is not None:
        cache = copy.deepcopy(passage)  # reading on would lengthen it
        cache.batch_repeat_interleave(len(rows))
        options = {"use_cache": True, "past_key_values": cache}
    with head_only_at(model, torch.tensor(places, device=model.device)):
        logits = model(input_ids=ids, **options).logits
    return logits, torch.tensor([token for row in rows for token in row.answer], device=model.device)


def can_share_passage(model, prompts: list[TeacherPrompt], precision: str) -> bool:
    """Whether the model gives the same, up to rounding, if it has read the passage beforehand.

    Not every architecture keeps what it read as keys and values that several rows can go on from. All ranks run the same
    passes, as ZeRO-3 needs.
    """
    reading = plan_reading(prompts[:COMPARED], shares_passage=True)
    if not reading.shared:
        return True
    if not isinstance(read_passage(model, reading), DynamicCache):
        return False
    found, expected = (
        torch.from_numpy(numpy.concatenate([records["logprobs"] for records in read(model, way)]))
        for way in (reading, plan_reading(prompts[:COMPARED], shares_passage=False))
    )
    layers = model.config.get_text_config().num_hidden_layers
    return relative_difference(found, expected) <= rounding_tolerance(precision, layers)
