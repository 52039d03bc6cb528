"""The engines that answer: vLLM, transformers or an API. Arguments every script shares, and how each is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from engines.gpus import torch_number
from engines.placement import Placement, place
from llm import Engine


@dataclass
class EngineArguments:
    """Arguments of a local model's engine."""

    engine: Literal["auto", "vllm", "transformers"] = field(
        default="auto",
        metadata={"help": "auto: vLLM where it is installed and a CUDA GPU is there, else transformers."},
    )
    tensor_parallel_size: int | None = field(
        default=None,
        metadata={"help": "vLLM: GPUs that share one copy of the model; by default as few as hold its weights."},
    )
    data_parallel_size: int | None = field(
        default=None,
        metadata={
            "help": "vLLM: copies of the model, each on GPUs of its own, that share the prompts; by default as many as the "
            "GPUs that nobody else uses are enough for, fewer for few prompts."
        },
    )
    gpu_memory_utilization: float = field(
        default=0.9, metadata={"help": "vLLM: share of a GPU's memory for weights and cache together."}
    )
    max_model_len: int | None = field(
        default=None,
        metadata={"help": "vLLM: most tokens of a prompt with its answer; a lower one needs less memory."},
    )


@dataclass
class ApiArguments:
    """Arguments of a model behind an OpenAI-compatible API."""

    api_model: str | None = field(default=None, metadata={"help": "The model's name at the server."})
    api_base: str | None = field(
        default=None, metadata={"help": "The server's address, such as http://localhost:8000/v1."}
    )
    api_key_env: str = field(default="OPENAI_API_KEY", metadata={"help": "Environment variable that holds the key."})
    max_attempts: int = field(default=5, metadata={"help": "Tries of a call that may pass by itself."})
    retry_delay: float = field(default=2.0, metadata={"help": "Seconds before the first repeat, doubled each time."})
    timeout: float = field(default=300.0, metadata={"help": "Seconds to wait for an answer."})
    concurrency: int = field(
        default=1,
        metadata={
            "help": "Calls at once. 1 is the careful default; 8 to 32 are many times faster where the server allows it, "
            "and after a kill up to 8 times as many calls are repeated."
        },
    )
    rpm: int | None = field(default=None, metadata={"help": "Most requests a minute."})
    tpm: int | None = field(default=None, metadata={"help": "Most tokens a minute, prompt and reply, estimated."})


def load_engine(
    model_name_or_path: str,
    arguments: EngineArguments,
    lora_weights: str | None = None,
    system_prompt: str | None = None,
    prompts: int | None = None,
) -> Engine:
    """Load a local model, with an adapter where one is given; InputError where the engine asked for cannot be had.

    `prompts` is how many conversations are to come, where that is known: a few do not need a copy on every GPU.
    """
    placement = place(model_name_or_path, arguments, lora_weights, prompts)
    return load_placed(placement, arguments, model_name_or_path, lora_weights, system_prompt)


def load_base_and_tuned(
    model_name_or_path: str,
    arguments: EngineArguments,
    lora_weights: str,
    system_prompt: str | None = None,
    prompts: int | None = None,
) -> Iterator[Engine]:
    """The model without its adapter, then with it, its weights loaded once; be done with the first before the second.

    `prompts` are the conversations for each.
    """
    placement = place(model_name_or_path, arguments, lora_weights, prompts and 2 * prompts)
    if placement.engine == "vllm":
        tuned = load_placed(placement, arguments, model_name_or_path, lora_weights, system_prompt)
        yield tuned.base()
        yield tuned
    else:
        base = load_placed(placement, arguments, model_name_or_path, None, system_prompt)
        yield base
        yield base.merge(lora_weights)


def load_placed(placement: Placement, arguments: EngineArguments, *wanted: str | None) -> Engine:
    """The engine where `place` said; `wanted` are model, adapter and system prompt."""
    if placement.engine == "transformers":
        from llm import TransformersEngine

        if placement.gpus:
            import torch

            torch.cuda.set_device(torch_number(placement.gpus[0]))
        return TransformersEngine.load(*wanted)
    options = {name: getattr(arguments, name) for name in ("gpu_memory_utilization", "max_model_len")}
    options["tensor_parallel_size"] = placement.tensor_parallel_size
    from engines.vllm import VllmEngine

    return VllmEngine.load(placement.devices, *wanted, **options)


def load_api_engine(arguments: ApiArguments) -> Engine:
    """A model behind an OpenAI-compatible API; the first call shows whether address, key and model are right."""
    from engines.api import ApiEngine

    names = ("api_base", "api_key_env", "max_attempts", "retry_delay", "timeout", "concurrency", "rpm", "tpm")
    return ApiEngine(arguments.api_model, **{name: getattr(arguments, name) for name in names})
