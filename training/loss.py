"""The training loss: cross-entropy on the trained tokens and, on replayed ones, the distance to the untrained model.

With --distill_weight a part of the cross-entropy gives way to the distance from the open-book teacher (distillation.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from training.distillation import Taught, distilled_cross_entropy


@contextlib.contextmanager
def head_only_at(model, positions: torch.Tensor) -> Iterator[None]:
    """Context in which the model computes logits (M, V) only at M `positions` of the flattened (B * T) states.

    Vocabularies are large: for short answers to long questions this saves most of the head's work and memory.
    """
    handle = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: (inputs[0].flatten(0, 1).index_select(0, positions),)
    )
    try:
        yield
    finally:
        handle.remove()


def sums_by_row(logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor, count: int) -> torch.Tensor:
    """For each of `count` examples, its summed cross-entropy and its number of trained tokens: (count, 2), in float64."""
    losses = cross_entropy(logits.float(), targets, reduction="none").double()
    sums = torch.zeros(count, 2, dtype=torch.float64, device=losses.device)
    return sums.index_add_(0, rows, torch.stack([losses, torch.ones_like(losses)], dim=1))


def loss_per_token(
    logits: torch.Tensor,
    targets: torch.Tensor,
    tokens_in_update: torch.Tensor | int | None = None,
    kl_weight: float = 0.0,
    replayed: torch.Tensor | None = None,
    base_logits: torch.Tensor | None = None,
    distill_weight: float = 0.0,
    taught: Taught | None = None,
) -> torch.Tensor:
    """The sum of the trained tokens' losses, divided by the number of trained tokens in the whole update, on all ranks.

    So it does not matter how an update is cut into batches, and a long answer counts in proportion to its length.
    `logits` (M, V) predict the tokens `targets` (M,). For the R of them that are `replayed` (R,), the loss per token is
    cross-entropy + kl_weight * KL(base || tuned), computed with `base_logits` (R, V). On the tokens that are `taught`,
    `distill_weight` of the cross-entropy is replaced by the distance from the teacher.
    """
    if distill_weight and taught is not None:
        total = distilled_cross_entropy(logits, targets, distill_weight, taught)
    else:
        total = cross_entropy(logits.float(), targets, reduction="sum")
    if kl_weight and base_logits is not None:
        tuned = log_softmax(logits.index_select(0, replayed).float(), dim=-1)
        base = log_softmax(base_logits.float(), dim=-1)
        total = total + kl_weight * kl_div(tuned, base, reduction="sum", log_target=True)
    return total / (tokens_in_update if tokens_in_update is not None else max(len(targets), 1))
