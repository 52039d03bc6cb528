"""From conversations to tensors: what is read, what is trained, how a batch is padded, what the loss is."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset

from dataset import to_messages
from llm import with_system_prompt
from utils import InputError

IGNORED = -100  # the label of a token that is read but not trained


def preprocess(
    messages: list[dict[str, str]],
    tokenizer,
    system_prompt: str | None,
    max_length: int,
    name: str = "",
    unfinished: bool = False,
) -> dict:
    """Turn one conversation into tokens: {"input_ids": [T], "labels": [T]}.

    Labels are IGNORED except on the assistant's words and on the token that ends its turn, which is what generation
    stops at. Each stretch is tokenised by itself, as it is at inference, where the prompt is tokenised alone.
    An `unfinished` conversation was cut off in its last turn, which then is trained without an end.
    """
    messages = with_system_prompt(messages, system_prompt)
    input_ids: list[int] = []
    labels: list[int] = []
    written = ""
    for turn, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = tokenizer.apply_chat_template(messages[:turn], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(messages[: turn + 1], tokenize=False)
        if not (prompt.startswith(written) and whole.startswith(prompt)):
            raise InputError(
                f"the chat template of {tokenizer.name_or_path} rewrites earlier turns, so they cannot be trained: split {name}"
            )
        answer = whole[len(prompt) :].split(tokenizer.eos_token)[0].rstrip("\n") + tokenizer.eos_token
        for text, trained in ((prompt[len(written) :], False), (answer, True)):
            ids = tokenizer(text, add_special_tokens=False).input_ids
            input_ids += ids
            labels += ids if trained else [IGNORED] * len(ids)
        written = prompt + answer
    if unfinished:
        del input_ids[-1], labels[-1]
    if len(input_ids) > max_length:
        raise InputError(
            f"expected at most {max_length} tokens in an example, found {len(input_ids)} in {name}: split it or raise --model_max_length"
        )
    return {"input_ids": input_ids, "labels": labels}


class LazySupervisedDataset(Dataset):
    """Examples tokenised when they are first asked for."""

    def __init__(self, rows: list[dict], tokenizer, system_prompt: str | None, max_length: int):
        self.rows, self.tokenizer, self.system_prompt, self.max_length = rows, tokenizer, system_prompt, max_length
        self.examples: dict[int, dict] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        if index not in self.examples:
            row = self.rows[index]
            self.examples[index] = preprocess(
                to_messages(row),
                self.tokenizer,
                self.system_prompt,
                self.max_length,
                f"example {row.get('id', index)}",
                unfinished=row.get("unfinished", False),
            )
        return self.examples[index]


class SupervisedDataset(LazySupervisedDataset):
    """Examples tokenised at the start, so that a bad one is named before training."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        for index in range(len(self)):
            self[index]


@dataclass
class AnswerCollator:
    """Pad to the longest example on the left, so that answers line up and the head runs on few columns.

    Gives input_ids, attention_mask, position_ids (B, T); logits_to_keep (K,), the columns whose next token is trained
    in any row; labels (B, 1 + K), a first column of IGNORED and then the next tokens of those columns. The Trainer
    drops the first column when it counts trained tokens. The padding token never decides what is trained.
    """

    pad_token_id: int

    def __call__(self, examples: list[dict]) -> dict[str, torch.Tensor]:
        width = max(len(example["input_ids"]) for example in examples)
        input_ids = torch.full((len(examples), width), self.pad_token_id)
        labels = torch.full((len(examples), width), IGNORED)
        mask = torch.zeros((len(examples), width), dtype=torch.long)
        for row, example in enumerate(examples):
            start = width - len(example["input_ids"])
            input_ids[row, start:] = torch.tensor(example["input_ids"])
            labels[row, start:] = torch.tensor(example["labels"])
            mask[row, start:] = 1
        columns = (labels[:, 1:] != IGNORED).any(dim=0).nonzero()[:, 0]
        return {
            "input_ids": input_ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0),
            "logits_to_keep": columns,
            "labels": torch.cat([labels[:, :1].fill_(IGNORED), labels[:, columns + 1]], dim=1),
        }


def loss_per_token(outputs, labels: torch.Tensor, num_items_in_batch: torch.Tensor | None = None) -> torch.Tensor:
    """Cross-entropy over the trained tokens, averaged over all of an update's (`num_items_in_batch`), not per batch."""
    targets = labels[:, 1:].flatten()
    logits = outputs["logits"].flatten(0, 1).float()
    total = torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
    return total / (num_items_in_batch if num_items_in_batch is not None else (targets != IGNORED).sum())


def split_by_fact(rows: list[dict], size: int, seed: int) -> tuple[list[dict], list[dict]]:
    """Hold out whole facts, at least `size` examples of them, so that no wording of a held-out fact is trained."""

    def fact_of(row: dict) -> str:
        return str(row.get("fact_id") or row.get("fact") or row["id"])

    facts = sorted({fact_of(row) for row in rows})
    random.Random(seed).shuffle(facts)
    held: set[str] = set()
    while facts and sum(fact_of(row) in held for row in rows) < size:
        held.add(facts.pop())
    if not facts:
        raise InputError(
            f"expected more than {size} examples to hold out whole facts, found {len(rows)}: lower --validation_size"
        )
    return [row for row in rows if fact_of(row) not in held], [row for row in rows if fact_of(row) in held]
