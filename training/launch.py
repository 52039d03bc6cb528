"""How a training is launched: on how many GPUs, and with weights whole on each, sharded by ZeRO-3, or in 4 bits.

python -m training.launch --model_name_or_path MODEL --data_path DATA [arguments of finetune.py]
starts finetune.py accordingly and logs why; the user's own arguments take precedence. With --ray_address it is started on as
many machines of that Ray cluster as there is enough work for (training/nodes.py).
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engines import memory
from engines.hub import require_model
from engines.memory import Shape
from engines.ray_cluster import Share, join_cluster, smallest_gpu
from engines.ray_launcher import Host
from engines.vllm_lora import adapter_config, adapter_rank
from training.nodes import Machine, machines_to_train, model_files, run_on_machines
from training.recommended import MAX_UPDATE_TOKENS, MIN_TOKENS_PER_RANK, recommended_rank, update_tokens
from utils import InputError, read_json, run_script

ACTIVATION_SHARE = 0.2  # of a card: with less, batches get small and the allocator has no slack
EPOCHS = 3.0  # the default of Hugging Face's TrainingArguments
MEASURED_ROWS = 1000  # tokenised to estimate the size of a dataset
GIB = 2**30

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
    card = min(gpu.total_bytes for gpu in gpus)
    return plan_on_gpus(tuple(gpu.index for gpu in gpus), card, model_name_or_path, data_path, parsed)


def plan_on_gpus(
    devices: tuple[str, ...], card: float, model_name_or_path: str, data_path: str | None, parsed: argparse.Namespace
) -> Launch:
    """The launch on GPUs of `card` bytes each; `parsed` are the arguments of finetune.py that affect it."""
    update, rank = size_of_update(model_name_or_path, data_path, parsed, "cuda")
    sharding_is_set = parsed.deepspeed or parsed.q_lora or not parsed.use_lora
    shape = None if sharding_is_set else memory.model_shape(model_name_or_path)
    return choose_launch(shape, card, devices, update, rank)


def size_of_update(
    model_name_or_path: str, data_path: str | None, parsed: argparse.Namespace, device: str
) -> tuple[int, int]:
    """(tokens of an update, LoRA rank). Without data, and where the arguments set the batches, there is work for all."""
    given_rank = adapter_rank(adapter_config(parsed.lora_weights)) if parsed.lora_weights else parsed.lora_r
    if not data_path:
        return MAX_UPDATE_TOKENS, given_rank or recommended_rank(0)
    tokens, facts = count_tokens_and_facts(data_path, model_name_or_path)
    update = MAX_UPDATE_TOKENS
    if not (parsed.per_device_train_batch_size or parsed.max_tokens_per_batch):
        update = update_tokens(tokens, parsed.num_train_epochs, device)
    return update, given_rank or recommended_rank(facts)


def plan_on_machines(
    machines: list[Machine], card: float, model_name_or_path: str, data_path: str | None, parsed: argparse.Namespace
) -> tuple[Launch, Share]:
    """The launch on machines of a cluster with GPUs of `card` bytes, and how many of them it takes, with what of each.

    All have as many ranks; without GPUs one each, on all its cores. A training that was stopped goes on with the ranks it had.
    """
    before, offered = ranks_before(Path(parsed.output_dir)), len(machines)
    most, gpus = (0, 0) if parsed.use_cpu else most_ranks(machines)
    if gpus:
        devices = tuple(map(str, range(most * gpus)))
        launch = plan_on_gpus(devices, card, model_name_or_path, data_path, parsed)
        ranks = before or launch.processes
        count = math.ceil(ranks / gpus)
        share = Share(count, 1, math.ceil(ranks / count))
        offered = sum(machine.gpus >= share.gpus for machine in machines)
        reason = f"{count} of {len(machines)} machines, {share.gpus} GPUs of each; {launch.reason}"
        launch = Launch(count * share.gpus, launch.sharding, reason, devices)
    else:
        update, _ = size_of_update(model_name_or_path, data_path, parsed, "cpu")
        ranks = before or max(1, min(len(machines), update // MIN_TOKENS_PER_RANK["cpu"]))
        share = Share(ranks, min(machine.cpus for machine in machines))
        reason = f"{ranks} of {len(machines)} machines, one process on the CPU of each; an update has {update} tokens"
        launch = Launch(ranks, "whole", reason, ())
    if share.workers > offered:
        raise InputError(
            f"expected {share.workers} machines in the cluster, on which the training in {parsed.output_dir} was stopped, found "
            f"{offered}: bring the others back (ray start), or remove its checkpoints to begin it anew"
        )
    return launch, share


def most_ranks(machines: list[Machine]) -> tuple[int, int]:
    """(machines, GPUs of each) that make the most ranks, if all machines have as many: a small one may be left out."""
    gpus = sorted((machine.gpus for machine in machines), reverse=True)
    return max(enumerate(gpus, 1), key=lambda pair: pair[0] * pair[1])


def ranks_before(output: Path) -> int | None:
    """The ranks of a training that was stopped, which it has to have again (training.checkpoints); None if there is none."""
    marks = sorted(output.glob("checkpoint-*/whole.json"), key=lambda mark: mark.stat().st_mtime)
    return read_json(marks[-1], "the mark of a checkpoint")["settings"]["number of processes"] if marks else None


def parse_launch_arguments(arguments: list[str]) -> argparse.Namespace:
    """The arguments of finetune.py that affect the launch; all others are ignored."""

    def parse_bool(text: str) -> bool:
        return text.lower() in ("true", "1", "yes", "y", "t")

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in (("use_lora", True), ("q_lora", False), ("use_cpu", False), ("check_only", False)):
        parser.add_argument(f"--{name}", nargs="?", const=True, default=default, type=parse_bool)
    for name, kind in (("lora_r", int), ("per_device_train_batch_size", int), ("max_tokens_per_batch", int)):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--num_train_epochs", type=float, default=EPOCHS)
    parser.add_argument("--deepspeed")
    parser.add_argument("--lora_weights")
    parser.add_argument("--output_dir", default="output/lora")
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


def build_command_of_node(launch: Launch, machines: int, arguments: list[str], number: int, first: Host) -> list[str]:
    """The same for one of several machines, by its `number`; the `first` one has rank 0."""
    if machines == 1:
        return build_command(launch, arguments)
    nodes, each = str(machines), str(launch.processes // machines)
    ranks = ["--nnodes", nodes, "--node_rank", str(number), "--nproc_per_node", each, "--max_restarts", "1"]
    meeting = ["--master_addr", first.address, "--master_port", str(first.port)]
    on_cpu = [] if launch.devices else ["--use_cpu", "True"]
    command = ["finetune.py", *arguments, *launch.arguments, *on_cpu]
    return ["-m", "torch.distributed.run", *ranks, *meeting, *command]


def train_on_cluster(address: str, model_name_or_path: str, data_path: str, arguments: list[str]) -> int:
    """Train on machines of a Ray cluster; returns torchrun's exit code."""
    parsed = parse_launch_arguments(arguments)
    join_cluster(address)
    machines = machines_to_train()
    card = smallest_gpu().total_bytes if machines[0].gpus and not parsed.use_cpu else 0.0
    launch, share = plan_on_machines(machines, card, model_name_or_path, data_path, parsed)
    log.info("%s", launch.reason)
    output, files = Path(parsed.output_dir), [Path(data_path), *model_files(model_name_or_path)]
    build = partial(build_command_of_node, launch, share.workers, arguments)
    return run_on_machines(share, build, output, files)


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ray_address")
    cluster, arguments = parser.parse_known_args()
    parser.add_argument("--model_name_or_path")
    parser.add_argument("--data_path")
    parsed, _ = parser.parse_known_args(arguments)
    launch = Launch(1, "given", "", ())
    if parsed.model_name_or_path and parsed.data_path:  # else finetune.py reports what is missing, or prints --help
        require_model(parsed.model_name_or_path)
        if cluster.ray_address and not parse_launch_arguments(arguments).check_only:
            raise SystemExit(
                train_on_cluster(cluster.ray_address, parsed.model_name_or_path, parsed.data_path, arguments)
            )
        launch = plan_launch(parsed.model_name_or_path, parsed.data_path, arguments)
    if launch.devices:
        log.info("%s", launch.reason)
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(launch.devices)
    os.execv(sys.executable, [sys.executable, *build_command(launch, arguments)])


if __name__ == "__main__":
    run_script(main)
