"""Which LoRA adapters vLLM can run: known from their adapter_config.json, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from utils import read_json

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the ranks vLLM reserves memory for (vllm.config.lora, 0.32)
# What PEFT can put into an adapter and vLLM refuses, when the adapter is first used (vllm.lora.peft_helper and lora_model)
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
PLAIN_INITIALIZATIONS = (
    "gaussian",
    "eva",
    "orthogonal",
    "mica",
    "lora_ga",
)  # others change the base when they are loaded


def adapter_config(folder: str) -> dict:
    """The adapter's configuration; InputError where there is none."""
    return read_json(Path(folder) / "adapter_config.json", "a LoRA adapter", "give the --output_dir of finetune.py")


def adapter_rank(config: dict) -> int:
    return max(config["r"], *(config.get("rank_pattern") or {"": 0}).values())


def unsupported_by_vllm(folder: str) -> str | None:
    """What about an adapter vLLM does not run, in words; None where it runs it."""
    config = adapter_config(folder)
    found = [words for key, words in UNSUPPORTED.items() if config.get(key)]
    if config.get("bias", "none") != "none":
        found.append(f"bias {config['bias']}")
    beginning = config.get("init_lora_weights", True)
    if isinstance(beginning, str) and beginning.lower() not in PLAIN_INITIALIZATIONS:
        found.append(f"init_lora_weights {beginning}")
    if adapter_rank(config) > LORA_RANKS[-1]:
        found.append(f"rank {adapter_rank(config)}, above {LORA_RANKS[-1]}")
    return ", ".join(found) or None


def reserved_rank(folder: str) -> int:
    """The smallest rank vLLM can reserve that holds the adapter's, which `unsupported_by_vllm` has let pass."""
    return next(size for size in LORA_RANKS if size >= adapter_rank(adapter_config(folder)))
