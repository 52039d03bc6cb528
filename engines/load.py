"""How each engine is loaded: vLLM, transformers or an API; in this process, or in the workers on a Ray cluster."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engines.adapter import weights_fingerprint
from engines.arguments import ApiArguments, EngineArguments
from engines.chat import Engine
from engines.gpus import torch_device_index
from engines.hub import require_model
from engines.placement import Placement, place_model
from utils import InputError

if TYPE_CHECKING:
    from engines.ray import RayEngine
    from engines.ray_cluster import Share


def load_engine(
    model_name_or_path: str,
    arguments: EngineArguments,
    lora_weights: str | None = None,
    system_prompt: str | None = None,
    prompts: int | None = None,
) -> Engine:
    """Load a local model, with an adapter if one is given; InputError if the requested engine is not available.

    `prompts` is how many conversations are to come, if known: a few do not need a copy on every GPU.
    """
    if arguments.ray_address:
        share, arguments = share_cluster(model_name_or_path, arguments, lora_weights, prompts)
        return load_on_ray(share, arguments, model_name_or_path, lora_weights, system_prompt)
    placement = place_model(model_name_or_path, arguments, lora_weights, prompts)
    return load_placed(placement, arguments, model_name_or_path, lora_weights, system_prompt)


def load_base_and_tuned(
    model_name_or_path: str,
    arguments: EngineArguments,
    lora_weights: str,
    system_prompt: str | None = None,
    prompts: int | None = None,
) -> Iterator[Engine]:
    """The model without its adapter, then with it, with the weights loaded once; finish with the first before the second.

    `prompts` is the number of conversations for each.
    """
    if arguments.ray_address:
        share, arguments = share_cluster(model_name_or_path, arguments, lora_weights, prompts and 2 * prompts)
        yield from load_both_on_ray(share, arguments, model_name_or_path, lora_weights, system_prompt)
        return
    placement = place_model(model_name_or_path, arguments, lora_weights, prompts and 2 * prompts)
    if placement.engine == "vllm":
        tuned = load_placed(placement, arguments, model_name_or_path, lora_weights, system_prompt)
        yield tuned.base()
        yield tuned
    else:
        base = load_placed(placement, arguments, model_name_or_path, None, system_prompt)
        yield base
        yield base.merge(lora_weights)


def load_placed(placement: Placement, arguments: EngineArguments, *model_adapter_prompt: str | None) -> Engine:
    """Load the engine as placed; `model_adapter_prompt` are model, adapter and system prompt."""
    if placement.engine == "transformers":
        from engines.hf import TransformersEngine

        if placement.gpus:
            import torch

            torch.cuda.set_device(torch_device_index(placement.gpus[0]))
        return TransformersEngine.load(*model_adapter_prompt)
    options = {"max_model_len": arguments.max_model_len, "tensor_parallel_size": placement.tensor_parallel_size}
    from engines.vllm import VllmEngine

    return VllmEngine.load(placement.devices, *model_adapter_prompt, **options)


def load_api_engine(arguments: ApiArguments) -> Engine:
    """A model behind an OpenAI-compatible API; the first call shows whether address, key and model are correct."""
    from engines.api import ApiEngine

    names = ("api_base", "max_attempts", "retry_delay", "timeout", "concurrency", "rpm", "tpm")
    engine = ApiEngine(arguments.api_model, **{name: getattr(arguments, name) for name in names})
    if arguments.ray_address:
        return load_api_on_ray(arguments)
    if arguments.data_parallel_size is not None:
        raise InputError(
            f"expected --ray_address with --data_parallel_size {arguments.data_parallel_size} and an API, found none: give "
            "it, or raise --concurrency instead"
        )
    return engine


def share_cluster(
    model_name_or_path: str, arguments: EngineArguments, lora_weights: str | None, prompts: int | None
) -> tuple[Share, EngineArguments]:
    """Join the cluster of the arguments: how many workers the model gets on it, and the arguments for each of them."""
    from engines import ray_cluster

    ray_cluster.join_cluster(arguments.ray_address)
    model = (model_name_or_path, plain(arguments, EngineArguments), lora_weights, prompts)
    share, arguments = ray_cluster.share_for_model(*model)
    ray_cluster.say_if_taken(share)
    return share, arguments


def load_on_ray(
    share: Share,
    arguments: EngineArguments,
    model_name_or_path: str,
    lora_weights: str | None,
    system_prompt: str | None,
) -> RayEngine:
    """The model in workers on the cluster. A model or adapter in a folder is read from there on every machine."""
    from transformers import AutoTokenizer

    from engines.ray import RayEngine
    from engines.ray_pool import WorkerPool

    folders = [
        str(Path(path).resolve()) if path and Path(path).exists() else path
        for path in (model_name_or_path, lora_weights)
    ]
    weights = {path: weights_fingerprint(path) for path in folders if path and Path(path).is_dir()}
    load = functools.partial(load_in_worker, arguments, *folders, system_prompt, weights)
    with_vllm = arguments.engine == "vllm"
    options = {"tuned": lora_weights is not None} if with_vllm else {}
    tokenizer = AutoTokenizer.from_pretrained(model_name_or_path)
    return RayEngine(model_name_or_path, WorkerPool(share, load), with_vllm, tokenizer, **options)


def load_both_on_ray(
    share: Share, arguments: EngineArguments, model_name_or_path: str, lora_weights: str, system_prompt: str | None
) -> Iterator[RayEngine]:
    """As load_base_and_tuned. Workers with transformers are ended, and started again with the adapter."""
    if arguments.engine == "vllm":
        tuned = load_on_ray(share, arguments, model_name_or_path, lora_weights, system_prompt)
        yield tuned.base()
        yield tuned
    else:
        base = load_on_ray(share, arguments, model_name_or_path, None, system_prompt)
        yield base
        base.close()
        yield load_on_ray(share, arguments, model_name_or_path, lora_weights, system_prompt)


def load_in_worker(
    arguments: EngineArguments,
    model_name_or_path: str,
    lora_weights: str | None,
    system_prompt: str | None,
    weights: dict[str, str | None],
    number: int,
) -> Engine:
    """The engine of the worker with this number, on its machine, with the GPUs that Ray has given it.

    `weights`: fingerprints of those in the folders, as the machine that starts the workers has them.
    """
    for folder, fingerprint in weights.items():
        require_same_weights(folder, fingerprint)
    require_model(model_name_or_path)
    if arguments.engine == "transformers":
        return load_engine(model_name_or_path, arguments, lora_weights, system_prompt)
    from engines.ray_worker import DecoderEngine
    from engines.vllm_decoder import VllmDecoder

    options = {"max_model_len": arguments.max_model_len, "tensor_parallel_size": arguments.tensor_parallel_size}
    return DecoderEngine(VllmDecoder.load(model_name_or_path, lora_weights, system_prompt, seed=number, **options))


def require_same_weights(folder: str, fingerprint: str | None) -> None:
    """InputError unless a folder is on this machine too, with weights of this fingerprint: a copy may be an old one."""
    found = weights_fingerprint(folder) if Path(folder).is_dir() else "no folder"
    if found != fingerprint:
        raise InputError(
            f"expected in {folder} the weights that the machine has on which this was started, found "
            f"{found if found == 'no folder' else 'others'}: use a file system that all machines share, or copy the folder to each"
        )


def load_api_on_ray(arguments: ApiArguments) -> RayEngine:
    """An API that every worker on the cluster asks by itself, `concurrency` calls at once each, `rpm` and `tpm` each."""
    from engines import ray_cluster
    from engines.ray import RayEngine
    from engines.ray_pool import WorkerPool

    ray_cluster.join_cluster(arguments.ray_address)
    share = ray_cluster.share_machines(ray_cluster.machines(), arguments.data_parallel_size)
    here = replace(plain(arguments, ApiArguments), ray_address=None, data_parallel_size=None)
    pool = WorkerPool(share, functools.partial(load_api_in_worker, here))
    return RayEngine(arguments.api_model, pool, continuous=True)


def load_api_in_worker(arguments: ApiArguments, number: int) -> Engine:
    engine = load_api_engine(arguments)
    engine.capacity = arguments.concurrency
    return engine


def plain(arguments: EngineArguments | ApiArguments, kind: type) -> EngineArguments | ApiArguments:
    """The arguments of this kind alone, of a script's: the workers do not know its class."""
    return kind(**{one.name: getattr(arguments, one.name) for one in fields(kind)})
