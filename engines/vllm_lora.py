"""Which LoRA adapters vLLM supports, judging by their adapter_config.json, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from utils import read_json

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the ranks vLLM reserves memory for (vllm.config.lora, 0.32)
# PEFT features that vLLM rejects when the adapter is first used (vllm.lora.peft_helper and lora_model)
UNSUPPORTED = {
    "use_dora": "DoRA",
    "modules_to_save": "modules_to_save",
    "trainable_token_indices": "trainable_token_indices",
    "lora_bias": "lora_bias",
    "alora_invocation_tokens": "activated LoRA",
    "layer_replication": "layer_replication",
    "use_bdlora": "block-diagonal LoRA",
    "use_qalora": "QALoRA",
}
# others change the base model when they are loaded
PLAIN_INITIALIZATIONS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")


def adapter_config(folder: str) -> dict:
    """The adapter's configuration; InputError if there is none."""
    return read_json(Path(folder) / "adapter_config.json", "a LoRA adapter", "give the --output_dir of finetune.py")


def adapter_rank(config: dict) -> int:
    return max(config["r"], *(config.get("rank_pattern") or {"": 0}).values())


def unsupported_by_vllm(folder: str) -> str | None:
    """What vLLM does not support about an adapter; None if it supports it."""
    config = adapter_config(folder)
    reasons = [name for key, name in UNSUPPORTED.items() if config.get(key)]
    if config.get("bias", "none") != "none":
        reasons.append(f"bias {config['bias']}")
    initialization = config.get("init_lora_weights", True)
    if isinstance(initialization, str) and initialization.lower() not in PLAIN_INITIALIZATIONS:
        reasons.append(f"init_lora_weights {initialization}")
    if adapter_rank(config) > LORA_RANKS[-1]:
        reasons.append(f"rank {adapter_rank(config)}, above {LORA_RANKS[-1]}")
    return ", ".join(reasons) or None


def reserved_rank(folder: str) -> int:
    """The smallest rank vLLM can reserve that fits the adapter, which `unsupported_by_vllm` has accepted."""
    return next(size for size in LORA_RANKS if size >= adapter_rank(adapter_config(folder)))
