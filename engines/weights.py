"""Loading a base model's weights, for answering and for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def answering_dtype() -> torch.dtype:
    """The precision in which a local model answers, on the GPU if there is one."""
    import torch

    if not torch.cuda.is_available():
        return torch.float32
    # A GPU before Ampere only emulates bfloat16.
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def load_base(name: str, dtype: torch.dtype | str, in_4_bits: bool = False, **options):
    """The base model, its linear layers in nf4 if requested (Dettmers et al. 2023, QLoRA). "auto": in its own precision."""
    import transformers

    quantization = None
    if in_4_bits:
        quantization = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,  # bfloat16 is only emulated on GPUs that train in float16
        )
    return transformers.AutoModelForCausalLM.from_pretrained(
        name, dtype=dtype, quantization_config=quantization, **options
    )
