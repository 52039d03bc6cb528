"""How batches are laid out and filled, on examples that can be followed by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from training.batches import (
    LengthBucketedSampler,
    PaddedCollator,
    PaddingFreeCollator,
    TokenBudgetBatches,
    make_collator,
)

NOT = -100  # the label of what is read only
EXAMPLES = [
    {"input_ids": [10, 11, 12], "labels": [NOT, 11, 12], "replay": False, "index": 7},
    {"input_ids": [20, 21, 22, 23, 24], "labels": [NOT, NOT, 22, 23, NOT], "replay": True, "index": 3},
    {"input_ids": [30, 31], "labels": [30, 31], "replay": True, "index": 5},  # before its first token stands nothing
]


def as_lists(batch: dict) -> dict:
    return {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def test_a_batch_is_laid_out_as_the_arguments_ask():
    tokenizer = SimpleNamespace(pad_token_id=9, eos_token_id=2)
    found = [
        make_collator(tokenizer, SimpleNamespace(padding_free=free, attention=attention))
        for free, attention in ((False, "sdpa"), (True, "sdpa"), (True, "flash_attention_2"))
    ]
    assert found == [PaddedCollator(9), PaddingFreeCollator(False), PaddingFreeCollator(True)]


def test_a_padded_batch_says_where_its_trained_and_its_replayed_tokens_are():
    assert as_lists(PaddedCollator(0)(EXAMPLES)) == {
        "input_ids": [[10, 11, 12, 0, 0], [20, 21, 22, 23, 24], [30, 31, 0, 0, 0]],
        "labels": [[NOT, 11, 12, NOT, NOT], [NOT, NOT, 22, 23, NOT], [30, 31, NOT, NOT, NOT]],
        "positions": [0, 1, 6, 7, 10],  # before the tokens that are trained
        "targets": [11, 12, 22, 23, 31],
        "rows": [0, 0, 1, 1, 2],
        "replayed": [2, 3, 4],
        "replay_rows": [1, 2],
        "replay_width": 3,  # the replayed rows are read no further than to the token before their last trained one
        "replay_positions": [1, 2, 3],
        "index": [7, 3, 5],
        "tokens": 10,
    }


@pytest.mark.parametrize("flash", [False, True])
def test_a_batch_without_padding_says_where_its_examples_begin(flash):
    expected = {
        "input_ids": [[10, 11, 12, 20, 21, 22, 23, 24, 30, 31]],
        "labels": [[NOT, 11, 12, NOT, NOT, 22, 23, NOT, NOT, 31]],  # 30 is not trained from the example before
        "position_ids": [[0, 1, 2, 0, 1, 2, 3, 4, 0, 1]],
        "positions": [0, 1, 4, 5, 8],
        "targets": [11, 12, 22, 23, 31],
        "rows": [0, 0, 1, 1, 2],
        "replayed": [2, 3, 4],
        "replay_rows": [0],
        "replay_width": 10,
        "replay_positions": [4, 5, 8],
        "index": [7, 3, 5],
        "tokens": 10,
    }
    starts = {"cu_seq_lens_q": [0, 3, 8, 10], "cu_seq_lens_k": [0, 3, 8, 10], "max_length_q": 5, "max_length_k": 5}
    batch = PaddingFreeCollator(flash)(EXAMPLES)
    assert as_lists(batch) == expected | (starts if flash else {})
    assert not flash or batch["cu_seq_lens_q"].dtype == torch.int32, "as the kernels take it"


@pytest.mark.parametrize("collator", [PaddedCollator(0), PaddingFreeCollator(False)], ids=["padded", "padding-free"])
def test_an_example_alone_and_nothing_replayed_is_a_batch_too(collator):
    batch = as_lists(collator(EXAMPLES[:1]))
    assert (batch["positions"], batch["targets"], batch["rows"]) == ([0, 1], [11, 12], [0, 0])
    assert batch["replayed"] == batch["replay_rows"] == batch["replay_positions"] == []


@pytest.mark.parametrize(
    ("lengths", "padded", "expected"),
    [
        ([10] * 6, True, [[10, 10, 10], [10, 10, 10]]),  # 30 tokens are no more than 30
        ([10] * 6, False, [[10, 10, 10], [10, 10, 10]]),
        ([11] * 6, True, [[11, 11]] * 3),
        ([10, 20, 10, 10, 10], True, [[20], [10, 10, 10], [10]]),  # 20 and 10 are padded to 40
        ([10, 20, 10, 10, 10], False, [[20, 10], [10, 10, 10]]),
        ([12, 14, 5, 5], True, [[14, 12], [5, 5]]),
        ([5, 50, 5, 40], True, [[50], [40], [5, 5]]),  # one that is too long for a batch is one by itself
    ],
)
def test_a_batch_has_as_many_examples_as_fit(lengths, padded, expected):
    batches = TokenBudgetBatches(lengths, 30, padded, seed=0).batches
    assert [[lengths[index] for index in batch] for batch in batches] == expected
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))


def test_examples_of_one_length_are_put_together_by_chance_that_the_seed_decides():
    first, again, other = (TokenBudgetBatches([10] * 40, 20, True, seed).batches for seed in (1, 1, 2))
    assert first == again != other and first != sorted(first)


def test_every_epoch_has_the_same_batches_in_an_order_of_its_own():
    batches = TokenBudgetBatches([10] * 40, 20, True, seed=1)
    orders = []
    for epoch in (0, 1, 2):
        batches.set_epoch(epoch)
        orders.append(list(batches))
        assert sorted(orders[-1]) == sorted(batches.batches) and len(batches) == 20
    assert orders[0] != orders[1] != orders[2] != orders[0]
    resumed = TokenBudgetBatches([10] * 40, 20, True, seed=1)
    resumed.set_epoch(2)
    assert list(resumed) == orders[2]


def test_the_ranks_share_out_the_order_of_one_and_get_equally_many():
    lengths = [10] * 10
    alone = list(TokenBudgetBatches(lengths, 20, True, seed=1))
    first, second = (TokenBudgetBatches(lengths, 20, True, 1, rank, 2) for rank in range(2))
    assert len(alone) == 5 and len(first) == len(second) == 3
    assert list(first) == alone[::2] and list(second) == [alone[1], alone[3], alone[0]]


def test_examples_of_like_length_are_near_each_other_in_an_order_that_the_seed_decides():
    lengths = [n % 13 + 1 for n in range(200)]
    first, again, other = (list(LengthBucketedSampler(lengths, 4, seed)) for seed in (1, 1, 2))
    assert first == again != other and len(LengthBucketedSampler(lengths, 4, 1)) == 200
    batches = [[lengths[index] for index in first[start : start + 4]] for start in range(0, 200, 4)]
    assert sum(max(batch) - min(batch) for batch in batches) <= 50, "by chance they are about 400"


def test_every_epoch_has_batches_of_its_own_and_finds_them_again():
    lengths, orders = [*range(1, 43)], []
    sampler = LengthBucketedSampler(lengths, 4, seed=7)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert sorted(orders[-1]) == [*range(42)]
    batches = [{frozenset(order[start : start + 4]) for start in range(0, 40, 4)} for order in orders]
    assert batches[0] != batches[1] != batches[2]
    for epoch in (2, 0, 1):
        sampler.set_epoch(epoch)
        assert list(sampler) == orders[epoch]


def test_the_batch_of_the_longest_comes_first_and_the_odd_ones_last():
    lengths = [5] * 30 + [900, 5, 5] + [5] * 30 + [950]
    for epoch in range(20):
        sampler = LengthBucketedSampler(lengths, 3, seed=1)
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert {30, 63} <= {*order[:3], order[-1]}, "64 examples: one is left over, of any length"
    assert [list(LengthBucketedSampler([7] * n, 4, seed=1)) for n in (1, 0)] == [[0], []]


def test_batches_by_tokens_come_in_an_order_of_the_seed_and_the_epoch():
    sampler = TokenBudgetBatches([9] * 12, 18, padded=True, seed=7)
    orders = []
    for epoch in range(3):
        order = torch.randperm(6, generator=torch.Generator().manual_seed(8 + epoch)).tolist()
        orders.append([sampler.batches[place] for place in order])
    assert list(sampler) == orders[0] != orders[1] != orders[2]
    for epoch in (2, 0, 1):
        sampler.set_epoch(epoch)
        assert list(sampler) == orders[epoch]
