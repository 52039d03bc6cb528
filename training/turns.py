"""Examples that take turns: replayed answers, of which every epoch trains on others.

A model keeps what lies near the prompts that it is replayed; with the same few in each epoch it learns those by heart.
"""

from __future__ import annotations

import itertools
import math
from array import array

from torch.utils.data import Dataset


class TakingTurns(Dataset):
    """The examples of one epoch: those in `turning` take turns, `per_epoch` at a time, all others are always there.

    `lengths`, in tokens, are those of the longest example that comes to stand in each place, so that batches planned once
    for all epochs hold what they were planned for.
    """

    def __init__(self, examples: Dataset, turning: range, per_epoch: int):
        self.examples, self.turning, self.per_epoch, self.epoch = examples, turning, per_epoch, 0
        cycle = math.gcd(per_epoch, len(turning))  # a place sees every `cycle`-th of those that take turns
        longest = [max(examples.lengths[turning.start + place : turning.stop : cycle]) for place in range(cycle)]
        own = [longest[place % cycle] for place in range(per_epoch)]
        parts = (examples.lengths[: turning.start], own, examples.lengths[turning.stop :])
        self.lengths = array("q", itertools.chain(*parts))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, place: int) -> dict:
        turn = place - self.turning.start
        if not 0 <= turn < self.per_epoch:
            return self.examples[place if turn < 0 else place + len(self.turning) - self.per_epoch]
        return self.examples[self.turning[(turn + self.epoch * self.per_epoch) % len(self.turning)]]

    def name(self, index: int) -> str:
        """The id of the example with this `index` in all `examples`."""
        return self.examples.name(index)
