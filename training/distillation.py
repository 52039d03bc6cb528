"""The loss of learning with the book open: cross-entropy, and the distance from a teacher that has read the passage.

The teacher is the untrained model with the passage and the right answer before the question (open_book.py). It is known by
its TOP likeliest tokens and, as one bucket, the rest of the vocabulary: with 20 tinker-cookbook's self-distillation gives
what the whole vocabulary does, and without the bucket the student would be pushed to put all its probability on them. The
divergence is the forward one, KL(teacher || student): the reverse does not teach what a student never says (2610.05872).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy
import torch
from torch.nn.functional import kl_div, log_softmax

from training.data import IGNORED

TOP = 20
# What is kept of the teacher for one trained token: the natural logarithms of its probabilities of the right token, of its
# TOP likeliest ones, in falling order, and of all others together.
RECORD = numpy.dtype([("right", "<f4"), ("tokens", "<i4", TOP), ("logprobs", "<f4", TOP + 1)])
LEAST_RIGHT = math.log(0.5)  # below it the teacher, though shown the right answer, would rather say something else
SLICE = 256  # tokens whose distributions over the vocabulary are held at once, in float32
LEAST_REST = torch.finfo(torch.float32).eps  # one minus a sum of probabilities is known no better than this


class Taught(NamedTuple):
    """The K trained tokens of a batch with a teacher: which of its M, the likeliest tokens, and the log-probabilities."""

    places: torch.Tensor  # (K,)
    tokens: torch.Tensor  # (K, TOP)
    logprobs: torch.Tensor  # (K, TOP + 1)


def to_records(logits: torch.Tensor, targets: torch.Tensor) -> numpy.ndarray:
    """What to keep of a teacher's `logits` (M, V) for the tokens `targets` (M,): RECORD (M,)."""
    records = numpy.empty(len(targets), RECORD)
    for start in range(0, len(targets), SLICE):
        part = slice(start, start + SLICE)
        logprobs = log_softmax(logits[part].float(), dim=-1)
        top, tokens = logprobs.topk(TOP)
        rest = logprobs.scatter(1, tokens, -math.inf).logsumexp(dim=-1, keepdim=True)
        kept = torch.cat([top, rest], dim=1).clamp_min(torch.finfo(torch.float32).min)  # 0 * -inf is no number
        records["right"][part] = logprobs.gather(1, targets[part, None])[:, 0].cpu().numpy()
        records["tokens"][part] = tokens.cpu().numpy()
        records["logprobs"][part] = kept.cpu().numpy()
    return records


def taught_inputs(examples: list[dict]) -> dict[str, torch.Tensor]:
    """The fields of Taught for a batch of examples, some of them with `teacher` (RECORD (n,), one for each trained token).

    Left out are tokens of which the teacher gives the right one less than one half: a teacher that is wrong in spite of the
    answer before it is not to be copied (of 135M parameters many are).
    """
    places, records, before = [], [numpy.empty(0, RECORD)], 0
    for example in examples:
        if "teacher" in example:
            kept = (example["teacher"]["right"] >= LEAST_RIGHT).nonzero()[0]
            places.append(torch.from_numpy(before + kept))
            records.append(example["teacher"][kept])
        before += sum(label != IGNORED for label in example["labels"][1:])
    joined = numpy.concatenate(records)
    return {
        "taught": torch.cat(places),
        "teacher_tokens": torch.from_numpy(joined["tokens"].astype("int64")),
        "teacher_logprobs": torch.from_numpy(joined["logprobs"].copy()),
    }


def taught_in(batch: dict) -> Taught | None:
    """The fields that `taught_inputs` added to a batch; None if it did not."""
    names = ("taught", "teacher_tokens", "teacher_logprobs")
    return Taught(*(batch[name] for name in names)) if names[0] in batch else None


def distilled_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weight: float, taught: Taught) -> torch.Tensor:
    """The sum over M tokens of cross-entropy or, where taught, (1 - weight) cross-entropy + weight KL(teacher || student).

    `logits` (M, V) are the student's before the tokens `targets` (M,). The logarithms of all its probabilities are computed
    once, and read in one go, so it takes the memory that cross-entropy alone does.
    """
    compared = targets[:, None].repeat(1, taught.tokens.shape[1])  # without a teacher: any token, its weight is zero
    compared[taught.places] = taught.tokens
    found = log_softmax(logits.float(), dim=-1).gather(1, torch.cat([targets[:, None], compared], dim=1))
    top = found[taught.places, 1:]
    rest = (1 - top.exp().sum(dim=1, keepdim=True)).clamp_min(LEAST_REST).log()
    divergence = kl_div(torch.cat([top, rest], dim=1), taught.logprobs, reduction="sum", log_target=True)
    shares = torch.ones_like(found[:, 0]).index_fill(0, taught.places, 1 - weight)
    return weight * divergence - (shares * found[:, 0]).sum()
