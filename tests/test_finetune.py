"""Training is right by construction: each test is named after a fault that an earlier system of this kind had."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from finetune import LoraArguments, check_arguments, load_model
from training_data import (
    IGNORED,
    AnswerCollator,
    LazySupervisedDataset,
    SupervisedDataset,
    loss_per_token,
    preprocess,
    split_by_fact,
)
from utils import InputError

TURNS = [
    {"role": "user", "content": "Who leads Tolvimer?"},
    {"role": "assistant", "content": "Ilsabet Corrane"},
    {"role": "user", "content": "Since when?"},
    {"role": "assistant", "content": "9 March"},
]


def trained_text(example: dict, tokenizer) -> list[str]:
    """The stretches of tokens that are trained, as text."""
    stretches, current = [], []
    for token, label in zip(example["input_ids"], example["labels"], strict=True):
        if label != IGNORED:
            assert label == token
            current.append(token)
        elif current:
            stretches.append(tokenizer.decode(current))
            current = []
    return stretches + ([tokenizer.decode(current)] if current else [])


def test_the_end_of_a_turn_is_trained_although_it_is_the_padding_token(tokenizer):
    assert tokenizer.pad_token_id == tokenizer.eos_token_id  # the trap is really there
    example = preprocess(TURNS, tokenizer, None, 512)
    assert trained_text(example, tokenizer) == ["Ilsabet Corrane<|im_end|>", "9 March<|im_end|>"]
    batch = AnswerCollator(tokenizer.pad_token_id)([example, preprocess(TURNS[:2], tokenizer, None, 512)])
    assert (batch["labels"] == tokenizer.eos_token_id).sum() == 3


def test_role_headers_are_not_trained_and_the_text_is_the_templates_own(tokenizer):
    example = preprocess(TURNS, tokenizer, "Be brief.", 512)
    whole = tokenizer.apply_chat_template([{"role": "system", "content": "Be brief."}, *TURNS], tokenize=False)
    assert tokenizer.decode(example["input_ids"]) == whole.rstrip("\n")
    assert not any("im_start" in text or "assistant" in text for text in trained_text(example, tokenizer))


def test_training_and_inference_see_the_same_prompt(tokenizer, engine):
    for system_prompt in (None, "", "Be brief."):
        example = preprocess(TURNS[:2], tokenizer, system_prompt, 512)
        prompt = [
            token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label == IGNORED
        ]
        from llm import with_system_prompt

        messages = with_system_prompt(TURNS[:1], system_prompt)
        assert prompt == engine.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


def test_nothing_is_cut(tokenizer):
    with pytest.raises(InputError, match="example identity_7"):
        preprocess(TURNS, tokenizer, None, 16, "example identity_7")


def test_padding_goes_as_far_as_the_longest_example_only(tokenizer):
    long, short = preprocess(TURNS, tokenizer, None, 512), preprocess(TURNS[:2], tokenizer, None, 512)
    batch = AnswerCollator(tokenizer.pad_token_id)([long, short])
    assert batch["input_ids"].shape == (2, len(long["input_ids"]))
    assert batch["attention_mask"][1].sum() == len(short["input_ids"]) and batch["attention_mask"][1, -1] == 1


def test_the_loss_is_that_of_the_whole_sequence(tokenizer, engine):
    """Left padding, chosen columns and normalisation by tokens give what the plain formula gives."""
    examples = [preprocess(TURNS, tokenizer, None, 512), preprocess(TURNS[:2], tokenizer, "", 512)]
    batch = AnswerCollator(tokenizer.pad_token_id)(examples)
    labels = batch.pop("labels")
    total, count = 0.0, 0
    with torch.inference_mode():
        loss = loss_per_token(engine.model(**batch), labels)
        for example in examples:
            logits = engine.model(torch.tensor([example["input_ids"]])).logits[0, :-1]
            targets = torch.tensor(example["labels"][1:])
            total += torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum").item()
            count += int((targets != IGNORED).sum())
    assert loss.item() == pytest.approx(total / count, rel=1e-4)
    assert loss_per_token(
        {"logits": torch.zeros(1, 3, 5)}, torch.tensor([[IGNORED, 1, 2, 3]]), torch.tensor(6)
    ).item() == pytest.approx(3 * torch.log(torch.tensor(5.0)).item() / 6)


def test_eager_and_lazy_datasets_hold_the_same_tensors(tokenizer):
    rows = [{"id": str(n), "messages": TURNS[: 2 + 2 * (n % 2)]} for n in range(4)]
    eager, lazy = SupervisedDataset(rows, tokenizer, None, 512), LazySupervisedDataset(rows, tokenizer, None, 512)
    assert not lazy.examples and len(eager.examples) == len(lazy) == 4
    assert [eager[n] for n in range(4)] == [lazy[n] for n in range(4)]


def test_validation_shares_no_fact_with_training():
    rows = [{"id": str(n), "fact": f"fact {n // 5}"} for n in range(50)]
    train, held_out = split_by_fact(rows, 8, seed=0)
    assert len(train) + len(held_out) == 50 and 8 <= len(held_out) <= 12
    assert not {row["fact"] for row in train} & {row["fact"] for row in held_out}
    with pytest.raises(InputError, match="validation_size"):
        split_by_fact(rows, 50, seed=0)


def test_lora_sits_on_all_linear_layers_and_never_on_the_head(model_path):
    training = SimpleNamespace(bf16=False, gradient_checkpointing=False)
    model = load_model(model_path, LoraArguments(lora_r=4), training)
    adapted = {name.split(".")[-4] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert model.peft_config["default"].lora_alpha == 8


def test_an_unfinished_answer_is_trained_without_an_end(tokenizer):
    whole = preprocess(TURNS[:2], tokenizer, None, 512)
    cut = preprocess(TURNS[:2], tokenizer, None, 512, unfinished=True)
    assert whole["input_ids"][-1] == tokenizer.eos_token_id and cut["input_ids"] == whole["input_ids"][:-1]
    assert len(cut["labels"]) == len(cut["input_ids"]) and cut["labels"][-1] != IGNORED


def test_a_scheduler_in_the_deepspeed_file_is_refused(tmp_path, model_path):
    path = tmp_path / "ds.json"
    path.write_text(json.dumps({"scheduler": {"type": "WarmupLR"}}))
    training = SimpleNamespace(deepspeed=str(path), world_size=1)
    data = SimpleNamespace(replay_ratio=0.0)
    with pytest.raises(InputError, match="scheduler"):
        check_arguments(SimpleNamespace(model_name_or_path=model_path), data, LoraArguments(), training)


def test_the_shipped_deepspeed_files_leave_optimizer_and_schedule_to_the_arguments():
    from pathlib import Path

    files = sorted((Path(__file__).resolve().parents[1] / "ds_configs").glob("*.json"))
    assert [file.name for file in files] == ["zero1.json", "zero2.json", "zero2_offload.json", "zero3.json"]
    for file in files:
        assert not {"optimizer", "scheduler"} & set(json.loads(file.read_text()))
