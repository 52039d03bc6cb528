"""How much GPU memory a training needs, calculated from the model's shape before any weights are loaded.

The activations per token were counted as the tensors that autograd saves (tests/test_layout.py recounts them); what else a
GPU holds is listed below. Sizes are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from utils import InputError

WIDTH_16_BIT, WIDTH_32_BIT = 2, 4
WIDTH_4_BIT = 0.55  # nf4 with its scales quantised as well (Dettmers et al. 2023): 0.516, plus padding between blocks
TRAINED_WIDTH = 16  # for a trained weight: the weight, its gradient and Adam's two moments, in float32
# Saved for each token in a layer, in 16 bits with LoRA on all linear layers: multiples of the hidden width, the width of the
# keys or values, and the inner width of a gated MLP; True is with Liger's kernels, which keep no float32 copy or second gate.
SAVED = {False: (16, 4, 8), True: (12, 4, 6)}
WORKING_LAYERS = 2  # layers of activations during a backward pass: one layer's saved tensors and as much in gradients
LOGIT_WIDTH = 14  # for one logit of a trained token: in 16 bits, in float32, as probability and as gradient
TRAINED_SHARE = 0.5  # prior: the share of tokens that are trained
RESERVED = 2 << 30  # for CUDA, cuBLAS, NCCL and fragmentation in the allocator
USABLE = 0.95  # of a card: the driver takes the rest


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder that determine its memory."""

    layers: int
    hidden: int
    kv_width: int  # of the keys; the values have the same
    mlp_width: int  # the inner width of the MLP; of all experts that a token passes through
    vocabulary: int
    parameters: int
    linear_weights: int  # in all linear layers within the decoder layers
    adapter_weights: int  # of a rank-1 LoRA on all these linear layers and, of each, on all experts

    def activation_bytes(self, fused: bool = False) -> float:
        """Bytes saved for one token in one layer."""
        hidden, kv, mlp = SAVED[fused]
        return hidden * self.hidden + kv * self.kv_width + mlp * self.mlp_width

    def bytes_per_token(self, checkpointing: bool, fused: bool = False, trained: float = TRAINED_SHARE) -> float:
        """Bytes that one more token in a batch takes; `trained` is the share of tokens with logits."""
        layer = self.activation_bytes(fused)
        saved = self.layers * (WIDTH_16_BIT * self.hidden if checkpointing else layer)
        return saved + WORKING_LAYERS * layer + trained * LOGIT_WIDTH * self.vocabulary

    def weight_bytes(self, in_4_bits: bool = False, ranks: int = 1) -> float:
        """Bytes of the base model on one card, its 16-bit weights divided among `ranks` (ZeRO-3) or whole on each (1)."""
        if in_4_bits:
            return WIDTH_4_BIT * self.linear_weights + WIDTH_16_BIT * (self.parameters - self.linear_weights)
        gathered = WIDTH_16_BIT * 2 * self.linear_weights / self.layers if ranks > 1 else 0.0  # this layer and the next
        return WIDTH_16_BIT * self.parameters / ranks + gathered

    def adapter_bytes(self, rank: int) -> float:
        """Bytes of a rank-`rank` adapter with its gradients and optimizer states."""
        return TRAINED_WIDTH * rank * self.adapter_weights


@lru_cache
def model_shape(model_name_or_path: str) -> Shape:
    """The shape of a model, from its config alone."""
    import transformers

    return shape_from_config(transformers.AutoConfig.from_pretrained(model_name_or_path))


def empty_model(config):
    """The model without memory, on torch's meta device; InputError if transformers has no causal language model of this kind."""
    import accelerate
    import transformers

    if type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(
            f"expected a causal language model, found {config.model_type}, which transformers does not load as one: give the "
            "language model alone, or another model"
        )
    # from its class: with AutoModel ZeRO-3 would partition it
    with accelerate.init_empty_weights(include_buffers=True):
        kind = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        return kind(config if isinstance(config, kind.config_class) else config.get_text_config())


def shape_from_config(config) -> Shape:
    """The counts of the model itself, so that they are exact for any architecture."""
    import torch

    model = empty_model(config)
    text = config.get_text_config()
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // heads
    layers = model.get_decoder().layers
    linear = [part for part in layers.modules() if isinstance(part, torch.nn.Linear)]
    stacks = [(name, p.shape) for name, p in layers.named_parameters() if p.dim() == 3]  # experts: (number, out, in)
    experts = getattr(text, "num_experts_per_tok", None)
    inner = (getattr(text, "moe_intermediate_size", None) if experts else None) or text.intermediate_size
    return Shape(
        layers=len(layers),
        hidden=text.hidden_size,
        kv_width=head * (getattr(text, "num_key_value_heads", None) or heads),
        mlp_width=inner * (experts or 1),
        vocabulary=text.vocab_size,
        parameters=model.num_parameters(),
        linear_weights=sum(part.weight.numel() for part in linear),
        adapter_weights=sum(part.in_features + part.out_features for part in linear)
        + sum(
            number * (a + b) * (2 if "gate_up" in name else 1) for name, (number, a, b) in stacks
        ),  # peft: two in one
    )


def activation_room(card: float, shape: Shape, rank: int, in_4_bits: bool = False, ranks: int = 1) -> float:
    """Bytes left for activations on a card of `card` bytes; below 0 if the weights alone do not fit."""
    return USABLE * card - RESERVED - shape.weight_bytes(in_4_bits, ranks) - shape.adapter_bytes(rank)
