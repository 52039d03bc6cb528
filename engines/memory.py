"""What a training needs of a GPU's memory, by arithmetic on the model's shape: before any weights are loaded.

A token's activations were counted as the tensors that autograd saves (tests/test_layout.py does it again); what is held on
a GPU besides is stated below. Sizes are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

WIDTH_16_BIT, WIDTH_32_BIT = 2, 4
WIDTH_4_BIT = 0.55  # nf4 with its scales quantised again (Dettmers et al. 2023): 0.516, and what lies between blocks
TRAINED_WIDTH = 16  # of a trained weight: itself, its gradient and Adam's two moments, in float32
# Saved for each token in a layer, in 16 bits with LoRA on all linear layers: so many times the hidden width, the width of
# the keys and values, and the inner width of a gated MLP. Liger's kernels keep no float32 copy and no second gate.
SAVED = {False: (16, 4, 8), True: (12, 4, 6)}
WORKING_LAYERS = 2  # of activations, while one layer is run backward: its saved tensors and as much of gradients
LOGIT_WIDTH = 14  # of one logit of a trained token: in 16 bits, in float32, as probability and as gradient
TRAINED_SHARE = 0.5  # prior: tokens that are trained; a question is about as long as its answer and its prompt
RESERVED = 2 << 30  # what CUDA, cuBLAS, NCCL and a fragmented allocator take
USABLE = 0.95  # of a card: the driver has the rest


@dataclass(frozen=True)
class Shape:
    """What of a decoder decides its memory; `linear` are all weights of the linear layers within the decoder's layers."""

    layers: int
    hidden: int
    kv_width: int  # the width of the keys, equal to that of the values
    mlp_width: int  # of the MLP; of all experts that a token goes through
    vocabulary: int
    parameters: int
    linear_weights: int
    adapter_weights: int  # weights of LoRA of rank 1 on all of these linear layers

    def activation_bytes(self, fused: bool = False) -> float:
        """Bytes saved for one token in one layer."""
        hidden, keys, inner = SAVED[fused]
        return hidden * self.hidden + keys * self.kv_width + inner * self.mlp_width

    def bytes_per_token(self, checkpointing: bool, fused: bool = False, trained: float = TRAINED_SHARE) -> float:
        """Bytes that one more token in a batch takes; `trained` is the share of tokens that have logits."""
        layer = self.activation_bytes(fused)
        saved = self.layers * (WIDTH_16_BIT * self.hidden if checkpointing else layer)
        return saved + WORKING_LAYERS * layer + trained * LOGIT_WIDTH * self.vocabulary

    def weight_bytes(self, in_4_bits: bool = False, ranks: int = 1) -> float:
        """Bytes of the base on one card, its 16-bit weights shared by `ranks` (ZeRO-3) or each with its own (1)."""
        if in_4_bits:
            return WIDTH_4_BIT * self.linear_weights + WIDTH_16_BIT * (self.parameters - self.linear_weights)
        gathered = WIDTH_16_BIT * 2 * self.linear_weights / self.layers if ranks > 1 else 0.0  # this layer and the next
        return WIDTH_16_BIT * self.parameters / ranks + gathered

    def adapter_bytes(self, rank: int) -> float:
        """Bytes of an adapter of `rank` with its gradients and optimizer states."""
        return TRAINED_WIDTH * rank * self.adapter_weights


@lru_cache
def model_shape(model_name_or_path: str) -> Shape:
    """The shape of a model, from its config alone."""
    import transformers

    return shape_from_config(transformers.AutoConfig.from_pretrained(model_name_or_path))


def shape_from_config(config) -> Shape:
    """The model is built without memory (on torch's meta device), so that any architecture is counted as it is."""
    import accelerate
    import torch
    import transformers

    with accelerate.init_empty_weights(include_buffers=True):  # by its class: AutoModel would let ZeRO-3 share it out
        model = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
    text = config.get_text_config()
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // heads
    layers = model.get_decoder().layers
    linear = [part for part in layers.modules() if isinstance(part, torch.nn.Linear)]
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
        adapter_weights=sum(part.in_features + part.out_features for part in linear),
    )


def activation_room(card: float, shape: Shape, rank: int, in_4_bits: bool = False, ranks: int = 1) -> float:
    """Bytes that a card of `card` bytes has for activations; below 0 where the weights alone do not fit."""
    return USABLE * card - RESERVED - shape.weight_bytes(in_4_bits, ranks) - shape.adapter_bytes(rank)
