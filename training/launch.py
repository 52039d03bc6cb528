"""How a training is launched: on how many GPUs, with the weights whole on each, shared by ZeRO-3, or in 4 bits.

python -m training.launch --model_name_or_path MODEL --data_path DATA [arguments of finetune.py]
starts finetune.py so, and says why; an argument of the user's wins. python -m training.launch --table prints the table of
docs/gpu.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import dataclass

from engines import memory
from engines.memory import Shape
from training.recommended import MAX_UPDATE_TOKENS, MIN_TOKENS_PER_RANK, recommended_rank, update_tokens
from utils import InputError, require_model, run

ACTIVATION_SHARE = 0.2  # of a card: with less, batches are small and the allocator has nothing in reserve
EPOCHS = 3.0  # of Hugging Face's TrainingArguments
MEASURED_ROWS = 1000
GIB = 2**30
CARD_SIZES_GIB = (24, 48, 80, 141)
QWEN_SIZES = {  # hidden and inner width, layers, heads, heads of keys
    "7B": (3584, 18944, 28, 28, 4), "14B": (5120, 13824, 48, 40, 8),
    "32B": (5120, 27648, 64, 40, 8), "72B": (8192, 29568, 80, 64, 8),
}  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Launch:
    """`sharding`: "whole" (each card has all 16-bit weights), "zero3", "4 bits", or "given" by the arguments."""

    processes: int
    sharding: str
    reason: str
    devices: tuple[str, ...]  # as CUDA_VISIBLE_DEVICES names them

    @property
    def arguments(self) -> list[str]:
        """What finetune.py is told besides."""
        more = {"zero3": ["--deepspeed", "ds_configs/zero3.json"], "4 bits": ["--q_lora", "True"]}
        return more.get(self.sharding, [])


def choose_sharding(shape: Shape, card: float, gpus: int, rank: int) -> tuple[str, int]:
    """("whole", "zero3" or "4 bits", and the fewest cards that hold it); InputError where nothing fits.

    Weights in 16 bits are what the model is served with, so 4 bits come last. A batch of MIN_TOKENS_PER_RANK with
    gradient checkpointing has to fit beside the weights, and 16-bit ones leave ACTIVATION_SHARE of a card for it.
    """
    batch = MIN_TOKENS_PER_RANK["cuda"] * shape.token(checkpointing=True)
    enough = max(batch, ACTIVATION_SHARE * card)
    if memory.room(card, shape, rank) >= enough:
        return "whole", 1
    for ranks in range(2, gpus + 1):
        if memory.room(card, shape, rank, ranks=ranks) >= enough:
            return "zero3", ranks
    if memory.room(card, shape, rank, in_4_bits=True) >= batch:
        return "4 bits", 1
    least = shape.weights(in_4_bits=True) + shape.trained(rank) + batch + memory.RESERVED
    raise InputError(
        f"expected GPUs that hold {shape.parameters / 1e9:.1f} billion weights, in 4 bits {least / GIB:.0f} GiB a card, found "
        f"{gpus} of {card / GIB:.0f} GiB: take a smaller model or more GPUs"
    )


def choose_launch(shape: Shape | None, card: float, devices: tuple[str, ...], update: int, rank: int) -> Launch:
    """Ranks and sharding for updates of `update` tokens and a LoRA `rank`, on up to all `devices` of `card` bytes.

    Without a `shape` the arguments have decided on the sharding. Fewer ranks than devices where an update has too few
    tokens for all of them.
    """
    gpus = len(devices)
    sharding, least = ("given", 1) if shape is None else choose_sharding(shape, card, gpus, rank)
    ranks = max(least, min(gpus, max(update // MIN_TOKENS_PER_RANK["cuda"], 1)))
    few = f"; {gpus - ranks} stay idle, as an update has {update} tokens" if ranks < gpus else ""
    return Launch(ranks, sharding, f"{ranks} of {gpus} GPUs, {reason(sharding, shape, card)}{few}", devices[:ranks])


def reason(sharding: str, shape: Shape | None, card: float) -> str:
    if shape is None:
        return "memory as the arguments say"
    size = f"{shape.weights(sharding == '4 bits') / GIB:.0f} GiB of weights"
    beside = f"beside activations on a card of {card / GIB:.0f} GiB"
    return {
        "whole": f"{size} on each: they fit {beside}",
        "zero3": f"{size} shared by ZeRO-3: they do not fit {beside}",
        "4 bits": f"{size} in 4 bits: in 16 bits they do not fit {beside}",
    }[sharding]


def plan_launch(model_name_or_path: str, data_path: str | None, arguments: list[str]) -> Launch:
    """The launch of finetune.py on this machine; without a GPU one process. No `data_path`: data enough for all GPUs.

    `arguments` are those for finetune.py; what they say of batches, DeepSpeed and 4 bits stands.
    """
    from engines.gpus import usable_gpus

    given = parse_launch_arguments(arguments)
    gpus = [] if given.use_cpu else usable_gpus()
    if not gpus:
        return Launch(1, "whole", "one process on the CPU", ())
    devices = tuple(gpu.index for gpu in gpus)
    update, rank = MAX_UPDATE_TOKENS, given.lora_r or recommended_rank(0)
    if data_path:
        tokens, facts = measured(data_path, model_name_or_path)
        rank = given.lora_r or recommended_rank(facts)
        if not (given.per_device_train_batch_size or given.max_tokens_per_batch):
            update = update_tokens(tokens, given.num_train_epochs, "cuda")
    decided = given.deepspeed or given.q_lora or not given.use_lora
    shape = None if decided else memory.shape_of(model_name_or_path)
    return choose_launch(shape, min(gpu.total_bytes for gpu in gpus), devices, update, rank)


def parse_launch_arguments(arguments: list[str]) -> argparse.Namespace:
    """The arguments of finetune.py that decide on a launch; all others are passed over."""

    def true(text: str) -> bool:
        return text.lower() in ("true", "1", "yes", "y", "t")

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in (("use_lora", True), ("q_lora", False), ("use_cpu", False)):
        parser.add_argument(f"--{name}", nargs="?", const=True, default=default, type=true)
    for name, kind in (("lora_r", int), ("per_device_train_batch_size", int), ("max_tokens_per_batch", int)):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--num_train_epochs", type=float, default=EPOCHS)
    parser.add_argument("--deepspeed")
    return parser.parse_known_args(arguments)[0]


def measured(data_path: str, model_name_or_path: str) -> tuple[float, int]:
    """(tokens, facts) of a dataset: tokens of MEASURED_ROWS evenly from all of it, times as many as there are."""
    import transformers

    from data_processor.dataset import read_dataset, to_messages
    from training.data import fact_of, preprocess

    rows = read_dataset(data_path, "a dataset")
    some = rows[:: max(1, len(rows) // MEASURED_ROWS)]
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_name_or_path)
    counted = sum(len(preprocess(to_messages(row), tokenizer, None)["input_ids"]) for row in some)
    return counted / len(some) * len(rows), len({fact_of(row) for row in rows})


def command(launch: Launch, arguments: list[str]) -> list[str]:
    """finetune.py with its `arguments`, as words after `python`: by torchrun where there are several ranks or DeepSpeed.

    Out of memory, all ranks are started once more (layout.restart_with_half_batches).
    """
    words = ["finetune.py", *arguments, *launch.arguments]
    if launch.processes == 1 and "--deepspeed" not in words:
        return words
    ranks = ["--standalone", "--max_restarts", "1", "--nproc_per_node", str(launch.processes)]
    return ["-m", "torch.distributed.run", *ranks, *words]


def table() -> list[str]:
    """Rows of docs/gpu.md: for models as Qwen2.5 has them, which launch on which cards, and the room that is left."""
    import transformers

    rows = ["| model | card | 1 GPU | 2 | 4 | 8 |", "|---|---|---|---|---|---|"]
    for name, (hidden, inner, layers, heads, keys) in QWEN_SIZES.items():
        config = transformers.Qwen2Config(
            hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=keys, vocab_size=152064, tie_word_embeddings=False,
        )  # fmt: skip
        shape = memory.shape_of_config(config)
        rows += [f"| {name} | {card} GiB | " + " | ".join(cells(shape, card * GIB)) + " |" for card in CARD_SIZES_GIB]
    return rows


def cells(shape: Shape, card: float) -> list[str]:
    """For 1, 2, 4 and 8 GPUs: the sharding, and the tokens that fit into a micro-batch with gradient checkpointing."""
    found = []
    for gpus in (1, 2, 4, 8):
        try:
            sharding, least = choose_sharding(shape, card, gpus, recommended_rank(0))
        except InputError:
            found.append("-")
            continue
        ranks = gpus if sharding == "zero3" else 1
        free = memory.room(card, shape, recommended_rank(0), sharding == "4 bits", ranks)
        plain, saving = (free / shape.token(checkpointing) for checkpointing in (False, True))
        found.append(
            f"{sharding}, {thousands(plain)}/{thousands(saving)}" + (f", from {least} on" if least > 1 else "")
        )
    return found


def thousands(tokens: float) -> str:
    return f"{tokens / 1000:.{0 if tokens >= 10_000 else 1}f}k"


def main() -> None:
    arguments = sys.argv[1:]
    if arguments == ["--table"]:
        print("\n".join(table()))
        return
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--model_name_or_path")
    own.add_argument("--data_path")
    found, _ = own.parse_known_args(arguments)
    launch = Launch(1, "given", "", ())
    if found.model_name_or_path and found.data_path:  # else finetune.py says what is missing, or --help
        require_model(found.model_name_or_path)
        launch = plan_launch(found.model_name_or_path, found.data_path, arguments)
    if launch.devices:
        log.info("%s", launch.reason)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(launch.devices)
    os.execv(sys.executable, [sys.executable, *command(launch, arguments)])


if __name__ == "__main__":
    run(main)
