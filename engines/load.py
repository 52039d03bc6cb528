"""How each engine is loaded: vLLM, transformers or an API."""

from __future__ import annotations

from collections.abc import Iterator

from engines.arguments import ApiArguments, EngineArguments
from engines.chat import Engine
from engines.gpus import torch_device_index
from engines.placement import Placement, place_model


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
    return ApiEngine(arguments.api_model, **{name: getattr(arguments, name) for name in names})
