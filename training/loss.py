"""What is minimised: cross-entropy on the trained tokens and, on replayed ones, the distance to the untrained model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from training.data import IGNORED


def before_labels(labels: torch.Tensor) -> torch.Tensor:
    """(B, T) bool: the positions whose next token is trained."""
    return torch.nn.functional.pad(labels[:, 1:] != IGNORED, (0, 1))


@contextlib.contextmanager
def head_only_at(model, positions: torch.Tensor) -> Iterator[None]:
    """Within this the model computes logits (M, V) for the M true `positions` (B, T), and none elsewhere.

    A vocabulary is large: for short answers to long questions most of the head's work, and its memory, is saved.
    """
    handle = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0][positions],))
    try:
        yield
    finally:
        handle.remove()


def loss_per_token(
    logits: torch.Tensor,
    targets: torch.Tensor,
    tokens_in_update: torch.Tensor | int | None = None,
    kl_weight: float = 0.0,
    replayed: torch.Tensor | None = None,
    base_logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sum of each trained token's loss, divided by the number of trained tokens of the whole update, on all ranks.

    So it does not matter how an update is cut into batches, and a long answer counts by its length. `logits` (M, V)
    predict the tokens `targets` (M,). Where `replayed` (M,) is true the loss of a token is
    cross-entropy + kl_weight * KL(base || tuned), with `base_logits` (R, V) for those R tokens.
    """
    total = cross_entropy(logits.float(), targets, reduction="sum")
    if kl_weight and base_logits is not None:
        tuned = log_softmax(logits[replayed].float(), dim=-1)
        base = log_softmax(base_logits.float(), dim=-1)
        total = total + kl_weight * kl_div(tuned, base, reduction="sum", log_target=True)
    return total / (tokens_in_update if tokens_in_update is not None else max(len(targets), 1))
