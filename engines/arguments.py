"""Arguments for every script that asks a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class WorkerArguments:
    """Arguments for how many answer at the same time, and where."""

    ray_address: str | None = field(
        default=None,
        metadata={
            "help": "A Ray cluster on which to answer: auto (the one this machine belongs to), HOST:PORT, or local (started on "
            "this machine). Without, everything runs here."
        },
    )
    data_parallel_size: int | None = field(
        default=None,
        metadata={
            "help": "vLLM: copies of the model, each on its own GPUs, that share the prompts; by default as many as fit on the "
            "GPUs that nobody else uses, fewer for few prompts. With --ray_address: workers, by default as many as the "
            "cluster's GPUs hold, or one a machine."
        },
    )


@dataclass
class EngineArguments(WorkerArguments):
    """Arguments for the engine of a local model."""

    engine: Literal["auto", "vllm", "transformers"] = field(
        default="auto",
        metadata={"help": "auto: vLLM if it is installed and there is a CUDA GPU, otherwise transformers."},
    )
    tensor_parallel_size: int | None = field(
        default=None,
        metadata={"help": "vLLM: GPUs that share one copy of the model; by default as few as hold its weights."},
    )
    max_model_len: int | None = field(
        default=None,
        metadata={"help": "vLLM: maximum tokens of a prompt with its answer; a lower limit needs less memory."},
    )


@dataclass
class ApiArguments(WorkerArguments):
    """Arguments for a model behind an OpenAI-compatible API. Its key is in the environment, as OPENAI_API_KEY."""

    api_model: str | None = field(default=None, metadata={"help": "The model's name on the server."})
    api_base: str | None = field(
        default=None,
        metadata={
            "help": "The server's address, such as http://localhost:8000/v1, or for Azure "
            "https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2024-10-21."
        },
    )
    max_attempts: int = field(
        default=5, metadata={"help": "Attempts for a call that fails with an error that may go away."}
    )
    retry_delay: float = field(default=2.0, metadata={"help": "Seconds before the first retry, doubled each time."})
    timeout: float = field(default=300.0, metadata={"help": "Seconds to wait for an answer."})
    concurrency: int = field(
        default=1,
        metadata={
            "help": "Concurrent calls. 1 is the cautious default; 8 to 32 are many times faster if the server allows it, "
            "and after a kill up to 8 times as many calls are repeated."
        },
    )
    rpm: int | None = field(default=None, metadata={"help": "Maximum requests per minute."})
    tpm: int | None = field(default=None, metadata={"help": "Maximum tokens per minute, prompt and reply, estimated."})
