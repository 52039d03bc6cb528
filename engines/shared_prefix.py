"""Prompts with a common prefix: which to batch together, and attention that stores and reads the prefix only once.

Few-shot prompts share most of their tokens. With the usual cache, each row would keep its own copy of the shared keys and
values, and decoding, which is bound by reading them, would slow down accordingly (Juravsky et al. 2024, Hydragen).
Importing this module registers the implementation with transformers under the name IMPLEMENTATION.
"""

from __future__ import annotations

import itertools

import torch
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask

IMPLEMENTATION = "shared_prefix"
GROUP_ROWS, GROUP_TOKENS = 8, 128  # this many prompts that share this many more tokens than with the rest form a group
PLAIN_ATTENTION = ("llama", "qwen2", "qwen3")  # model types with full causal attention and no extra terms in the scores

Prefix = list[tuple[torch.Tensor, torch.Tensor]]  # for each layer, keys and values (1, KV heads, P, D)


def is_supported(config) -> bool:
    """Whether the model uses the plain attention that `attend` computes."""
    return config.model_type in PLAIN_ATTENTION and not getattr(config, "use_sliding_window", False)


def attend(module, query, key, value, attention_mask, scaling=None, shared_prefix: Prefix | None = None, **options):
    """Softmax attention of queries (B, H, L, D) over the shared prefix and each row's own keys (B, KV, T, D).

    `attention_mask` (B, 1, L, T) is added to the scores of a row's own keys; all rows see the prefix. Returns
    (B, L, H, D) and None, as transformers expects.
    """
    if shared_prefix is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    prefix_key, prefix_value = shared_prefix[module.layer_idx]
    batch, heads, length, size = query.shape
    kv_heads, own = key.shape[1:3]
    group = heads // kv_heads
    scale = size**-0.5 if scaling is None else scaling

    grouped = (query * scale).reshape(batch, kv_heads, group * length, size)
    by_head = grouped.transpose(0, 1).reshape(kv_heads, batch * group * length, size)
    prefix_scores = (by_head @ prefix_key[0].transpose(1, 2)).view(kv_heads, batch, group * length, -1).transpose(0, 1)
    own_scores = (grouped @ key.transpose(2, 3)).view(batch, kv_heads, group, length, own)
    if attention_mask is not None:
        own_scores = own_scores + attention_mask[:, :, None, :, :own]
    scores = torch.cat([prefix_scores, own_scores.reshape(batch, kv_heads, group * length, own)], dim=-1)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)

    prefix_weights, own_weights = weights.split([prefix_key.shape[2], own], dim=-1)
    prefix_rows = prefix_weights.transpose(0, 1).reshape(kv_heads, batch * group * length, -1)
    from_prefix = (prefix_rows @ prefix_value[0]).view(kv_heads, batch, group * length, size).transpose(0, 1)
    output = from_prefix + own_weights @ value
    return output.reshape(batch, heads, length, size).transpose(1, 2).contiguous(), None


def common_prefix_length(sequences: list[list[int]]) -> int:
    """How many leading tokens all sequences share, leaving each at least one of its own."""
    first, last = min(sequences), max(sequences)
    limit = min(len(sequence) for sequence in sequences) - 1
    shared = 0
    while shared < limit and first[shared] == last[shared]:
        shared += 1
    return shared


def prefix_groups(prompts: list[list[int]]) -> list[list[int]]:
    """Indices of prompts, grouped by a shared document or another long prefix that the rest does not have.

    In sorted order a group ends where the prefix shared with the neighbour gets shorter by GROUP_TOKENS; groups of fewer
    than GROUP_ROWS are put together, as a small batch costs more than its shared prefix saves.
    """
    order = sorted(range(len(prompts)), key=lambda i: prompts[i])
    if len(order) < 2:
        return [order] if order else []
    shared = [common_prefix_length([prompts[a], prompts[b]]) for a, b in itertools.pairwise(order)]
    runs: list[list[int]] = [[order[0]]]
    for i, index in enumerate(order[1:]):
        if max(shared[max(0, i - 1) : i + 2]) - shared[i] >= GROUP_TOKENS:
            runs.append([])
        runs[-1].append(index)
    groups = [run for run in runs if len(run) >= GROUP_ROWS]
    rest = [index for run in runs if len(run) < GROUP_ROWS for index in run]
    return [*groups, rest] if rest else groups


def concatenate(caches: list[DynamicCache], config) -> DynamicCache:
    """One cache with the rows of several, which must be equally wide."""
    if len(caches) == 1:
        return caches[0]
    combined = DynamicCache(config=config)
    for number, layers in enumerate(zip(*(cache.layers for cache in caches), strict=True)):
        combined.update(
            torch.cat([layer.keys for layer in layers]), torch.cat([layer.values for layer in layers]), number
        )
    return combined


AttentionInterface.register(IMPLEMENTATION, attend)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
