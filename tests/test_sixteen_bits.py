"""Training in bfloat16, in a process of its own."""

from __future__ import annotations

import json

import pytest
import torch
from test_distributed import arguments, data, finish, start, with_replay  # noqa: F401


@pytest.fixture
def narrow_model_path(tiny_model_path, tmp_path) -> str:
    """Three layers of 64 values, with random weights."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    torch.manual_seed(0)  # with some random weights no prompt gets an answer
    config = AutoConfig.from_pretrained(tiny_model_path, hidden_size=64, intermediate_size=128, **heads)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(tiny_model_path).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.mark.slow
def test_sixteen_bits_train_ask_and_keep_states(narrow_model_path, data, tmp_path):  # noqa: F811
    """Every forward pass beside the training's own (KL, questions, kept states, comparison) has to cast as it does.

    A CPU without instructions for bfloat16 multiplies 70 times slower in it than in float32: so a narrow model, few steps.
    """
    (tmp_path / "prompts.json").write_text(json.dumps(["Name a colour.", "What is a river?"]))
    general = [{"id": f"g{n}", "question": f"What is {n}?", "reference": str(n)} for n in range(8)]
    turns = [{**row, "conversations": [{"from": "user", "value": row.pop("question")},
                                       {"from": "assistant", "value": row.pop("reference")}]} for row in general]  # fmt: skip
    (tmp_path / "general.json").write_text(json.dumps(turns))
    upper = '{"layers_to_transform": [2]}'
    command = with_replay(arguments(narrow_model_path, data, tmp_path / "out", "--bf16", "True", "--kl_weight", "1"))
    more = ["--replay_prompts", tmp_path / "prompts.json", "--retention_data_path", tmp_path / "general.json",
            "--lora_options", upper, "--lora_target_modules", "q_proj", "down_proj", "--max_steps", "8"]  # fmt: skip
    output = finish(start(1, [*command, *map(str, more)]))
    assert "the lowest 2 layers run once per example" in output and "recall" in output, output[-3000:]
