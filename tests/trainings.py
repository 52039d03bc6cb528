"""Small trainings for the tests: arguments, examples, a model with adapters that say something, a trainer, an update."""

from __future__ import annotations

from types import SimpleNamespace

import torch
import transformers

from training.adapters import load_model
from training.arguments import LoraArguments, TrainingArguments
from training.batches import PaddedCollator
from training.data import SupervisedDataset
from training.trainer import Trainer

ON_CPU = SimpleNamespace(bf16=False, fp16=False, gradient_checkpointing=False, device=torch.device("cpu"))


def lora(**changed) -> LoraArguments:
    return LoraArguments(**{"lora_r": 4, **changed})


def tiny_lora(path: str, **changed):
    """Random adapters, so that they change what the model says."""
    transformers.set_seed(0)
    model = load_model(path, lora(**changed), ON_CPU)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return model


def examples(count: int) -> list[dict]:
    """Answers of very different lengths, every fourth of them replayed."""
    answers = [" ".join(["word"] * (1 + 3 * n)) for n in range(count)]
    return [
        {
            "id": str(n),
            "messages": [{"role": "user", "content": f"Question {n}?"}, {"role": "assistant", "content": answer}],
            "kind": "replay" if n % 4 == 0 else "qa",
        }
        for n, answer in enumerate(answers)
    ]


def make_trainer(path, tokenizer, tmp_path, data=None, collator=None, options=None, model=None, **training):
    """`options` are more of the Trainer's, or others; `kind` among them is its class. `training` are arguments."""
    arguments = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, remove_unused_columns=False, disable_tqdm=True, logging_strategy="no",
        **{"bf16": False, "learning_rate": 1e-2, "max_steps": 1, "max_grad_norm": 0.0, "optim": "sgd", "warmup_steps": 0, **training},
    )  # fmt: skip
    given = {
        "kind": Trainer,
        "train_dataset": SupervisedDataset(data or examples(8), tokenizer, "", 512),
        **(options or {}),
    }
    return given.pop("kind")(
        model=model or tiny_lora(path),
        args=arguments,
        data_collator=collator or PaddedCollator(tokenizer.pad_token_id),
        processing_class=tokenizer,
        **given,
    )


def one_update(trainer) -> tuple[float, torch.Tensor]:
    """The loss of the first update, and its step in all adapter weights (plain SGD: the gradient)."""
    before = torch.cat([p.detach().flatten().clone() for p in trainer.model.parameters() if p.requires_grad])
    loss = trainer.train().training_loss
    after = torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad])
    return loss, after - before


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """The distance of two updates as a share of their size."""
    assert b.norm() > 0
    return ((a - b).norm() / b.norm()).item()


def training(**changed) -> SimpleNamespace:
    return SimpleNamespace(**{
        "world_size": 1, "num_train_epochs": 3.0, "max_steps": -1, "learning_rate": 1e-3, "kl_weight": 0.0, "seed": 42,
        "distill_weight": 0.0, "update_size": 8,
        "optim": "adamw_torch_fused", "lr_scheduler_type": "cosine", "warmup_steps": 0.05, "weight_decay": 0.0, "model_max_length": 2048,
        "deepspeed": None, "padding_free": False, "torch_compile": False, "gradient_checkpointing": False,
        "keep_frozen_states": True, "early_stopping": None, "device": torch.device("cpu"), "attention": "sdpa", **changed,
    })  # fmt: skip
