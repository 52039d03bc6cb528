"""Loading a base model's weights, for answering and for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utils import InputError

if TYPE_CHECKING:
    import peft
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


def load_adapter_to_merge(base, adapter: str) -> peft.PeftModel:
    """A model with an adapter beside it, which may be merged; InputError if that would change what it is not on.

    Embeddings and head may be one matrix: an adapter on one of them, merged into it, changes the other too.
    """
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    model = PeftModel.from_pretrained(base, adapter)
    ends = [model.get_base_model().get_input_embeddings(), model.get_base_model().get_output_embeddings()]
    adapted = [end for end in ends if isinstance(end, BaseTunerLayer)]
    if adapted and ends[0].weight is ends[1].weight:
        raise InputError(
            f"expected an adapter that can be merged in {adapter}, found one on the embeddings or the head of a model that has "
            "one matrix for both, which merging would change for both: train it without them, or with modules_to_save"
        )
    return model
