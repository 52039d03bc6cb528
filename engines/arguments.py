"""Arguments of every script that asks a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


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
    max_model_len: int | None = field(
        default=None,
        metadata={"help": "vLLM: most tokens of a prompt with its answer; a lower one needs less memory."},
    )


@dataclass
class ApiArguments:
    """Arguments of a model behind an OpenAI-compatible API. Its key is in the environment, as OPENAI_API_KEY."""

    api_model: str | None = field(default=None, metadata={"help": "The model's name at the server."})
    api_base: str | None = field(
        default=None, metadata={"help": "The server's address, such as http://localhost:8000/v1."}
    )
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
