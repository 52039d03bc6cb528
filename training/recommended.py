"""Recommended rank, learning rate and update size for a model and its data, if the arguments leave them open."""

from __future__ import annotations

import math

LEARNING_RATE, LEARNING_RATE_HIDDEN, LEARNING_RATE_POWER = 5e-4, 2000, 0.781
LEARNING_RATE_TOKENS = 16384  # per update; up to this size the rate applies as it is
LARGEST_FACTOR = 2.0  # the most by which larger updates raise it
SMALLEST_RANK, LARGEST_RANK, FACTS_OF_SMALLEST_RANK = 16, 256, 1000
UPDATES = 400  # per training: enough for a schedule to work, few enough to fill the GPUs
MAX_UPDATE_TOKENS = 65536  # large batches cost LoRA more than full fine-tuning (LoRA Without Regret, 2025)
MIN_TOKENS_PER_RANK = {"cuda": 2048, "cpu": 512}  # with fewer, a GPU mostly waits for kernel launches


def recommended_learning_rate(hidden_size: int, tokens_per_update: int = LEARNING_RATE_TOKENS) -> float:
    """Ten times the 5e-5 of full fine-tuning, less for wider models: 5e-4 * (2000 / hidden size) ** 0.781.

    Schulman and Thinking Machines (2025), LoRA Without Regret, and their tinker-cookbook; the exponent is the one for
    Llama. The rate does not depend on the rank. It is 1.3e-3 for SmolLM2-135M and 3.2e-4 for Qwen2.5-7B. Larger updates,
    of which there are fewer, raise it by the square root of their size (Malladi et al. 2022, section 4); smaller ones do
    not lower it: the demo, with updates of 500 tokens, was best above this rate.
    """
    width = (LEARNING_RATE_HIDDEN / hidden_size) ** LEARNING_RATE_POWER
    size = min(max(tokens_per_update / LEARNING_RATE_TOKENS, 1.0) ** 0.5, LARGEST_FACTOR)
    return float(f"{LEARNING_RATE * width * size:.1e}")


def recommended_rank(facts: int) -> int:
    """16 up to a thousand facts, doubled for every tenfold more: the rank bounds how much an adapter can hold."""
    doublings = max(0, math.ceil(math.log10(max(facts, 1) / FACTS_OF_SMALLEST_RANK)))
    return min(SMALLEST_RANK * 2**doublings, LARGEST_RANK)


def update_tokens(tokens: float, epochs: float, device: str) -> int:
    """Tokens per update, from those per epoch: a few hundred updates, within the bounds above."""
    wanted = tokens * epochs / UPDATES
    return int(min(max(wanted, MIN_TOKENS_PER_RANK[device]), MAX_UPDATE_TOKENS))
