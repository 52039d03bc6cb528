"""How a training is launched: on how many GPUs, and with weights whole on each, sharded by ZeRO-3, or in 4 bits.

python -m training.launch --model_name_or_path MODEL --data_path DATA [arguments of finetune.py]
starts finetune.py accordingly and logs why; the user's own arguments take precedence.
python -m training.launch --table prints the table in docs/gpu.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import dataclass

from engines import memory
from engines.hub import require_model
from engines.memory import Shape
from engines.vllm_lora import adapter_config, adapter_rank
from training.recommended import MAX_UPDATE_TOKENS, MIN_TOKENS_PER_RANK, recommended_rank, update_tokens
from utils import InputError, run_script

ACTIVATION_SHARE = 0.2  # of a card: with less, batches get small and the allocator has no slack
EPOCHS = 3.0  # the default of Hugging Face's TrainingArguments
MEASURED_ROWS = 1000  # tokenised to estimate the size of a dataset
GIB = 2**30
CARD_SIZES_GIB = (24, 48, 80, 141)
QWEN_SIZES = {  # hidden size, intermediate size, layers, attention heads, key-value heads
    "7B": (3584, 18944, 28, 28, 4), "14B": (5120, 13824, 48, 40, 8),
    "32B": (5120, 27648, 64, 40, 8), "72B": (8192, 29568, 80, 64, 8),
}  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Launch:
    """`sharding`: "whole" (each card holds all 16-bit weights), "zero3", "4 bits", or "given" (set by the arguments)."""

    processes: int
    sharding: str
    reason: str
    devices: tuple[str, ...]  # as CUDA_VISIBLE_DEVICES names them

    @property
    def arguments(self) -> list[str]:
        """The arguments added to those of finetune.py."""
        added = {"zero3": ["--deepspeed", "ds_configs/zero3.json"], "4 bits": ["--q_lora", "True"]}
        return added.get(self.sharding, [])


def choose_sharding(shape: Shape, card: float, gpus: int, rank: int) -> tuple[str, int]:
    """("whole", "zero3" or "4 bits", and the fewest cards that suffice); InputError if nothing fits.

    The model is served with 16-bit weights, so 4 bits are the last resort. A batch of MIN_TOKENS_PER_RANK with gradient
    checkpointing has to fit beside the weights, and 16-bit weights must leave ACTIVATION_SHARE of a card for it.
    """
    batch = MIN_TOKENS_PER_RANK["cuda"] * shape.bytes_per_token(checkpointing=True)
    needed = max(batch, ACTIVATION_SHARE * card)
    if memory.activation_room(card, shape, rank) >= needed:
        return "whole", 1
    for ranks in range(2, gpus + 1):
        if memory.activation_room(card, shape, rank, ranks=ranks) >= needed:
            return "zero3", ranks
    if memory.activation_room(card, shape, rank, in_4_bits=True) >= batch:
        return "4 bits", 1
    least = shape.weight_bytes(in_4_bits=True) + shape.adapter_bytes(rank) + batch + memory.RESERVED
    raise InputError(
        f"expected GPUs that hold {shape.parameters / 1e9:.1f} billion weights, in 4 bits {least / GIB:.0f} GiB a card, found "
        f"{gpus} of {card / GIB:.0f} GiB: use a smaller model or more GPUs"
    )


def choose_launch(shape: Shape | None, card: float, devices: tuple[str, ...], update: int, rank: int) -> Launch:
    """Ranks and sharding for updates of `update` tokens and a LoRA `rank`, on at most all `devices` of `card` bytes each.

    Without a `shape` the arguments have already set the sharding. There are fewer ranks than devices if an update has
    too few tokens for all of them.
    """
    gpus = len(devices)
    sharding, least = ("given", 1) if shape is None else choose_sharding(shape, card, gpus, rank)
    ranks = max(least, min(gpus, max(update // MIN_TOKENS_PER_RANK["cuda"], 1)))
    few = f"; {gpus - ranks} stay idle, as an update has {update} tokens" if ranks < gpus else ""
    return Launch(
        ranks, sharding, f"{ranks} of {gpus} GPUs, {describe_sharding(sharding, shape, card)}{few}", devices[:ranks]
    )


def describe_sharding(sharding: str, shape: Shape | None, card: float) -> str:
    if shape is None:
        return "memory as set by the arguments"
    size = f"{shape.weight_bytes(sharding == '4 bits') / GIB:.0f} GiB of weights"
    beside = f"beside activations on a card of {card / GIB:.0f} GiB"
    return {
        "whole": f"{size} on each: they fit {beside}",
        "zero3": f"{size} sharded by ZeRO-3: they do not fit {beside}",
        "4 bits": f"{size} in 4 bits: in 16 bits they do not fit {beside}",
    }[sharding]


def plan_launch(model_name_or_path: str, data_path: str | None, arguments: list[str]) -> Launch:
    """The launch of finetune.py on this machine: one process without a GPU. No `data_path`: assume data for all GPUs.

    `arguments` are those for finetune.py; what they set for batches, DeepSpeed and 4 bits stays.
    """
    from engines.gpus import usable_gpus

    parsed = parse_launch_arguments(arguments)
    gpus = [] if parsed.use_cpu else usable_gpus()
    if not gpus:
        return Launch(1, "whole", "one process on the CPU", ())
    devices = tuple(gpu.index for gpu in gpus)
    given_rank = adapter_rank(adapter_config(parsed.lora_weights)) if parsed.lora_weights else parsed.lora_r
    update, rank = MAX_UPDATE_TOKENS, given_rank or recommended_rank(0)
    if data_path:
        tokens, facts = count_tokens_and_facts(data_path, model_name_or_path)
        rank = given_rank or recommended_rank(facts)
        if not (parsed.per_device_train_batch_size or parsed.max_tokens_per_batch):
            update = update_tokens(tokens, parsed.num_train_epochs, "cuda")
    sharding_is_set = parsed.deepspeed or parsed.q_lora or not parsed.use_lora
    shape = None if sharding_is_set else memory.model_shape(model_name_or_path)
    return choose_launch(shape, min(gpu.total_bytes for gpu in gpus), devices, update, rank)


def parse_launch_arguments(arguments: list[str]) -> argparse.Namespace:
    """The arguments of finetune.py that affect the launch; all others are ignored."""

    def parse_bool(text: str) -> bool:
        return text.lower() in ("true", "1", "yes", "y", "t")

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in (("use_lora", True), ("q_lora", False), ("use_cpu", False)):
        parser.add_argument(f"--{name}", nargs="?", const=True, default=default, type=parse_bool)
    for name, kind in (("lora_r", int), ("per_device_train_batch_size", int), ("max_tokens_per_batch", int)):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--num_train_epochs", type=float, default=EPOCHS)
    parser.add_argument("--deepspeed")
    parser.add_argument("--lora_weights")
    return parser.parse_known_args(arguments)[0]


def count_tokens_and_facts(data_path: str, model_name_or_path: str) -> tuple[float, int]:
    """(tokens, facts) in a dataset; tokens are extrapolated from MEASURED_ROWS rows spread evenly over it."""
    import transformers

    from data_processor.dataset import read_dataset, to_messages
    from training.data import fact_of, to_examples

    rows = read_dataset(data_path, "a dataset")
    sample = rows[:: max(1, len(rows) // MEASURED_ROWS)]
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_name_or_path)
    examples = (
        example
        for row in sample
        for example in to_examples(to_messages(row), tokenizer, None, name=f"example {row['id']}")
    )
    sampled_tokens = sum(len(example["input_ids"]) for example in examples)
    return sampled_tokens / len(sample) * len(rows), len({fact_of(row) for row in rows})


def build_command(launch: Launch, arguments: list[str]) -> list[str]:
    """What follows `python` to run finetune.py with `arguments`: through torchrun for several ranks or DeepSpeed.

    After running out of memory, all ranks are started once more (layout.restart_with_half_batches).
    """
    command = ["finetune.py", *arguments, *launch.arguments]
    if launch.processes == 1 and "--deepspeed" not in command:
        return command
    ranks = ["--standalone", "--max_restarts", "1", "--nproc_per_node", str(launch.processes)]
    return ["-m", "torch.distributed.run", *ranks, *command]


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


def main() -> None:
    arguments = sys.argv[1:]
    if arguments == ["--table"]:
        print("\n".join(table()))
        return
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model_name_or_path")
    parser.add_argument("--data_path")
    parsed, _ = parser.parse_known_args(arguments)
    launch = Launch(1, "given", "", ())
    if parsed.model_name_or_path and parsed.data_path:  # else finetune.py reports what is missing, or prints --help
        require_model(parsed.model_name_or_path)
        launch = plan_launch(parsed.model_name_or_path, parsed.data_path, arguments)
    if launch.devices:
        log.info("%s", launch.reason)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(launch.devices)
    os.execv(sys.executable, [sys.executable, *build_command(launch, arguments)])


if __name__ == "__main__":
    run_script(main)
