"""Which examples go into a batch, and how it is laid out: padded on the right, or without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad
from torch.utils.data import Sampler

from engines.chat_template import padding_id
from training.data import IGNORED
from training.distillation import taught_inputs

LENGTH_NOISE = 0.2  # see LengthBucketedSampler


@dataclass
class PaddedCollator:
    """Pad on the right, to the longest example of the batch: attention is causal, so no token sees the padding.

    That needs no attention mask, which rules out the fast kernels and, with cuDNN's, gave NaN gradients (pytorch#196678).
    Labels are IGNORED by position, not by token id, so the padding token never decides what is trained.

    Returns input_ids and labels (B, T), index (B,), the examples' positions in their dataset, and the inputs of the loss
    (`loss_inputs`), computed here so that nothing has to wait for a GPU.
    """

    pad_token_id: int
    padded = True

    def __call__(self, examples: list[dict]) -> dict[str, torch.Tensor | int]:
        width = max(len(example["input_ids"]) for example in examples)
        input_ids = torch.full((len(examples), width), self.pad_token_id)
        labels = torch.full((len(examples), width), IGNORED)
        for row, example in enumerate(examples):
            length = len(example["input_ids"])
            input_ids[row, :length] = torch.tensor(example["input_ids"])
            labels[row, :length] = torch.tensor(example["labels"])
        return {"input_ids": input_ids, "labels": labels, **loss_inputs(examples, labels)}


@dataclass
class PaddingFreeCollator:
    """All examples one after another in a single row, without padding; attention must not cross between them.

    Returns what PaddedCollator does, with B = 1 and T the sum of the lengths, and position_ids (1, T), which restart
    with each example. From them transformers keeps the examples apart: in eager and SDPA attention by a block-diagonal
    mask; in FlashAttention, given the cumulative lengths as in DataCollatorWithFlattening, by its variable-length
    kernels, at no cost. The first token of an example is never a label.
    """

    flash_attention: bool
    padded = False

    def __call__(self, examples: list[dict]) -> dict[str, torch.Tensor | int]:
        lengths = torch.tensor([len(example["input_ids"]) for example in examples])
        labels = torch.cat([torch.tensor([IGNORED, *example["labels"][1:]]) for example in examples])[None]
        batch = {
            "input_ids": torch.cat([torch.tensor(example["input_ids"]) for example in examples])[None],
            "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
            "labels": labels,
            **loss_inputs(examples, labels),
        }
        if self.flash_attention:
            starts = pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
            longest = int(lengths.max())
            batch |= {
                "cu_seq_lens_q": starts,
                "cu_seq_lens_k": starts,
                "max_length_q": longest,
                "max_length_k": longest,
            }
        return batch


def loss_inputs(examples: list[dict], labels: torch.Tensor) -> dict[str, torch.Tensor | int]:
    """The positions that are trained in a batch with `labels` (B, T), computed here on the CPU.

    positions (M,): those in the flattened (B * T) states whose next token is trained; targets (M,): those tokens; rows
    (M,): the examples they belong to. replayed (R,): which of the M belong to replayed examples; replay_rows (N,): the
    rows of the batch that hold these; replay_width: how many tokens of each to read; replay_positions (R,): their
    positions in the flattened (N * replay_width) states. index (B,), and `tokens`, the number that are not padding. If any
    example has records of a teacher, `taught_inputs` too.
    """
    width = labels.shape[1]
    row, position = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    lengths = torch.tensor([len(example["input_ids"]) for example in examples])
    # Without padding all examples share one row.
    example_of = (
        row if labels.shape[0] == len(examples) else torch.bucketize(position + 1, lengths.cumsum(0), right=True)
    )
    replay = torch.tensor([bool(example.get("replay")) for example in examples])
    replayed = replay[example_of].nonzero()[:, 0]
    replay_row, replay_position = row[replayed], position[replayed]
    replay_rows = replay_row.unique()  # sorted
    replay_width = int(replay_position.max()) + 1 if len(replayed) and len(labels) > 1 else width
    return {
        "positions": row * width + position,
        "targets": labels[row, position + 1],
        "rows": example_of,
        "replayed": replayed,
        "replay_rows": replay_rows,
        "replay_width": replay_width,
        "replay_positions": torch.searchsorted(replay_rows, replay_row) * replay_width + replay_position,
        "index": torch.tensor([example.get("index", -1) for example in examples]),
        "tokens": int(lengths.sum()),
        **(taught_inputs(examples) if any("teacher" in example for example in examples) else {}),
    }


def make_collator(tokenizer, training) -> PaddedCollator | PaddingFreeCollator:
    """The collator that the arguments `training` ask for."""
    if training.padding_free:
        return PaddingFreeCollator(training.attention.startswith("flash"))
    return PaddedCollator(padding_id(tokenizer))


class LengthBucketedSampler(Sampler[int]):
    """Examples in random order, those of similar length near each other; the order depends only on seed and epoch.

    So all ranks agree on it, and a resumed run finds its place again. Lengths are blurred before they are sorted, so that
    no two epochs have the same batches. (Grouping by length in transformers sorts at most 50 batches at a time, which pads
    half as much again.) The batch of the longest comes first: if memory is too small, that shows at once.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed, self.epoch = torch.tensor(lengths), batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + 1 + self.epoch)
        shuffled = torch.randperm(len(self), generator=generator)
        whole = len(self) - len(self) % self.batch_size
        blurred = self.lengths[shuffled[:whole]] * (1 + LENGTH_NOISE * torch.rand(whole, generator=generator))
        batches = shuffled[:whole][blurred.argsort(descending=True)].view(-1, self.batch_size)
        later = 1 + torch.randperm(max(len(batches) - 1, 0), generator=generator)
        yield from torch.cat([batches[:1].flatten(), batches[later].flatten(), shuffled[whole:]]).tolist()


class TokenBudgetBatches(Sampler[list[int]]):
    """Batches of as many examples as fit into `max_tokens`, including any padding.

    With `by_length`, examples of similar length go together, so that there is little padding; otherwise at random.

    Each rank gets its own part, and all get the same number of batches: some are repeated if they do not divide evenly.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        max_tokens: int,
        padded: bool,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        by_length: bool = True,
    ):
        self.lengths, self.max_tokens, self.padded, self.seed = lengths, max_tokens, padded, seed
        self.by_length = by_length
        self.rank, self.world_size, self.epoch = rank, world_size, 0
        self.batches = self._fill()

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def _fill(self) -> list[list[int]]:
        """The same batches every epoch, so that its length is fixed; only their order changes."""
        generator = torch.Generator().manual_seed(self.seed)
        shuffled = torch.randperm(len(self.lengths), generator=generator).tolist()
        batches: list[list[int]] = []
        longest = total = 0
        if self.by_length:
            shuffled.sort(key=lambda i: -self.lengths[i])  # stable: equal lengths stay shuffled
        for index in shuffled:
            length = self.lengths[index]
            longest, total = max(longest, length), total + length
            size = longest * (len(batches[-1]) + 1) if self.padded and batches else total
            if not batches or size > self.max_tokens:
                batches.append([])
                longest = total = length
            batches[-1].append(index)
        return batches

    def __len__(self) -> int:
        return -(-len(self.batches) // self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed + 1 + self.epoch)
        order = torch.randperm(len(self.batches), generator=generator).tolist()
        for position in range(self.rank, len(self) * self.world_size, self.world_size):
            yield self.batches[order[position % len(order)]]
