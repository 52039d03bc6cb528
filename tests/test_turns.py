"""Replayed examples take turns over the epochs; the others are in each."""

from __future__ import annotations

from array import array

import pytest
from trainings import examples, make_trainer

from training.batches import LengthBucketedSampler, PaddedCollator, TokenBudgetBatches
from training.data import SupervisedDataset
from training.turns import TakingTurns


class Named:
    """Examples that are known by their place; `first` and `pieces` stand before and after those that take turns."""

    def __init__(self, lengths):
        self.lengths = lengths

    def __getitem__(self, index: int) -> int:
        return range(len(self.lengths))[index]

    def name(self, index: int) -> str:
        return f"row {index}"


def epoch_of(turns: TakingTurns, epoch: int) -> list[int]:
    turns.set_epoch(epoch)
    return [turns[place] for place in range(len(turns))]


@pytest.mark.parametrize("kind", [list, lambda lengths: array("q", lengths)])
def test_those_that_take_turns_do_and_the_others_are_always_there(kind):
    turns = TakingTurns(Named(kind([9] * 10)), range(3, 8), 2)  # 3 rows, 5 that take turns, 2 more pieces of rows
    assert [epoch_of(turns, epoch) for epoch in (0, 1, 2, 5)] == [
        [0, 1, 2, 3, 4, 8, 9], [0, 1, 2, 5, 6, 8, 9], [0, 1, 2, 7, 3, 8, 9], [0, 1, 2, 3, 4, 8, 9],
    ]  # fmt: skip
    assert len(turns) == len(turns.lengths) == 7 and turns.name(8) == "row 8"


@pytest.mark.parametrize(("pool", "per_epoch"), [(6, 2), (6, 4), (5, 2), (4, 4), (1, 1), (7, 3)])
def test_a_place_is_as_long_as_the_longest_that_will_stand_there(pool, per_epoch):
    lengths = [1, *range(10, 10 + pool), 2]
    turns = TakingTurns(Named(lengths), range(1, 1 + pool), per_epoch)
    longest = [0] * len(turns)
    for epoch in range(pool * per_epoch):
        for place, index in enumerate(epoch_of(turns, epoch)):
            longest[place] = max(longest[place], lengths[index])
    assert list(turns.lengths) == longest


def test_without_any_everything_stays_as_it_is():
    turns = TakingTurns(Named([3, 4, 5]), range(2, 2), 0)
    assert list(turns.lengths) == [3, 4, 5] and epoch_of(turns, 0) == epoch_of(turns, 7) == [0, 1, 2]


@pytest.mark.parametrize("make", [LengthBucketedSampler, lambda n, size, seed: TokenBudgetBatches(n, 8, True, seed)])
def test_a_sampler_plans_the_places_of_an_epoch(make):
    turns = TakingTurns(Named([2] * 12), range(6, 12), 2)
    sampler = make(turns.lengths, 4, 1)
    seen = set()
    for epoch in range(3):
        sampler.set_epoch(epoch)
        turns.set_epoch(epoch)
        places = [place for batch in sampler for place in (batch if isinstance(batch, list) else [batch])]
        found = sorted(turns[place] for place in places)
        assert found == [0, 1, 2, 3, 4, 5, 6 + 2 * epoch, 7 + 2 * epoch]
        seen |= {*found}
    assert seen == {*range(12)}


def test_a_training_takes_other_replayed_examples_in_each_epoch(tiny_model_path, tokenizer, tmp_path):
    turns = TakingTurns(SupervisedDataset(examples(6), tokenizer, "", 512), range(2, 6), 2)
    seen = []

    class Noting(PaddedCollator):
        def __call__(self, batch):
            seen.append(sorted(example["index"] for example in batch))
            return super().__call__(batch)

    trainer = make_trainer(
        tiny_model_path, tokenizer, tmp_path, collator=Noting(0), options={"train_dataset": turns},
        per_device_train_batch_size=4, max_steps=-1, num_train_epochs=3,
    )  # fmt: skip
    trainer.train()
    assert seen == [[0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 2, 3]]
