"""Loading a base model's weights, for answering and for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def load_base(name: str, dtype: torch.dtype, in_4_bits: bool = False, **options):
    """The base model, its linear layers in nf4 if requested (Dettmers et al. 2023, QLoRA)."""
    import torch
    import transformers

    quantization = None
    if in_4_bits:
        quantization = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    return transformers.AutoModelForCausalLM.from_pretrained(
        name, dtype=dtype, quantization_config=quantization, **options
    )
