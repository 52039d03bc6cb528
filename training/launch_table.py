"""The table in docs/gpu.md: how Qwen2.5 of several sizes is trained on several cards, and how much fits beside it.

python -m training.launch_table prints it.
"""

from __future__ import annotations

from engines import memory
from engines.memory import Shape
from training.launch import GIB, choose_sharding
from training.recommended import recommended_rank
from utils import InputError

CARD_SIZES_GIB = (24, 48, 80, 141)
QWEN_SIZES = {  # hidden size, intermediate size, layers, attention heads, key-value heads
    "7B": (3584, 18944, 28, 28, 4), "14B": (5120, 13824, 48, 40, 8),
    "32B": (5120, 27648, 64, 40, 8), "72B": (8192, 29568, 80, 64, 8),
}  # fmt: skip


def table() -> list[str]:
    """The table in docs/gpu.md: for each size of Qwen2.5, the launch on each card and the room left for activations."""
    import transformers

    rows = ["| model | card | 1 GPU | 2 | 4 | 8 |", "|---|---|---|---|---|---|"]
    for name, (hidden, intermediate, layers, heads, key_value_heads) in QWEN_SIZES.items():
        config = transformers.Qwen2Config(
            hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=key_value_heads, vocab_size=152064, tie_word_embeddings=False,
        )  # fmt: skip
        shape = memory.shape_from_config(config)
        rows += [
            f"| {name} | {card} GiB | " + " | ".join(table_cells(shape, card * GIB)) + " |" for card in CARD_SIZES_GIB
        ]
    return rows


def table_cells(shape: Shape, card: float) -> list[str]:
    """For 1, 2, 4 and 8 GPUs: the sharding, and the tokens per micro-batch without and with gradient checkpointing."""
    found = []
    for gpus in (1, 2, 4, 8):
        try:
            sharding, least = choose_sharding(shape, card, gpus, recommended_rank(0))
        except InputError:
            found.append("-")
            continue
        ranks = gpus if sharding == "zero3" else 1
        free = memory.activation_room(card, shape, recommended_rank(0), sharding == "4 bits", ranks)
        plain, saving = (free / shape.bytes_per_token(checkpointing) for checkpointing in (False, True))
        found.append(
            f"{sharding}, {format_thousands(plain)}/{format_thousands(saving)}"
            + (f", from {least} on" if least > 1 else "")
        )
    return found


def format_thousands(tokens: float) -> str:
    return f"{tokens / 1000:.{0 if tokens >= 10_000 else 1}f}k"


if __name__ == "__main__":
    print("\n".join(table()))
