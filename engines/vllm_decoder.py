"""One copy of a model in vLLM: requests are added while others are in progress, and replies come as they finish.

Prompts, stop tokens, sampling and JSON layout are those of hf.TransformersEngine, so that either engine can continue with
the other's journal. This is loaded in a process of its own (engines.vllm).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engines.chat import JSON_LAYOUT, TOP_K, TOP_P, Conversation, Reply, to_reply, with_system_prompt
from engines.placement import MEMORY_SHARE
from engines.vllm_lora import reserved_rank
from utils import InputError

CPU_CACHE_BYTES = 2 << 30  # for keys and values; on a GPU they get what MEMORY_SHARE leaves beside the weights
QUEUED = 256  # requests in vLLM beyond those it runs at once, to replace those that end in one step


@dataclass(frozen=True)
class Request:
    """One conversation with all that determines its reply; `tuned`: with the adapter."""

    messages: Conversation
    schema: dict | None
    max_new_tokens: int
    temperature: float
    tuned: bool


class Decoder(Protocol):
    """Generates the replies to many requests at once. Keys are the caller's, and none is used twice.

    `capacity` is how many requests to give it at once: those it runs, and some queued to replace them.
    """

    capacity: int

    def add(self, key: str, request: Request) -> Reply | None:
        """Add a request; returns an error reply if it cannot be answered. ValueError if its schema cannot be enforced."""

    def step(self) -> list[tuple[str, Reply]]:
        """Generate further tokens; returns the replies that are finished."""

    def abort(self, keys: list[str]) -> None:
        """Drop these; unknown keys are ignored."""


class VllmDecoder:
    """A local model through vLLM's `LLMEngine`, with or without a LoRA adapter: a `Decoder`."""

    def __init__(self, engine, tokenizer, system_prompt: str | None = None, lora_request=None):
        from engines.chat_template import end_of_turn

        self.engine, self.tokenizer = engine, tokenizer
        self.system_prompt, self.lora_request = system_prompt, lora_request
        self.max_model_len = engine.model_config.max_model_len
        self.capacity = engine.vllm_config.scheduler_config.max_num_seqs + QUEUED
        # vLLM knows the stop tokens in the model's folder; a template may end a turn with yet another one
        self.stop_ids = [tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer))]

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        lora_weights: str | None = None,
        system_prompt: str | None = None,
        *,
        tensor_parallel_size: int = 1,
        max_model_len: int | None = None,
        seed: int = 0,
    ) -> VllmDecoder:
        """Start vLLM on `tensor_parallel_size` GPUs, or on the CPU if vLLM was built for it (then in float32).

        Without `max_model_len` a prompt with its answer may be as long as the model and the memory allow. `seed` is for all
        random numbers; copies need different ones, so that they answer the same prompt differently.
        """
        for name, value in (
            ("VLLM_LOGGING_LEVEL", "ERROR"),
            ("VLLM_NO_USAGE_STATS", "1"),  # no usage statistics are sent anywhere
            ("VLLM_WORKER_MULTIPROC_METHOD", "spawn"),  # a process forked after CUDA was initialised cannot use it
            # No process between this one and the GPU: if this one were killed, it would keep running and hold the memory.
            ("VLLM_ENABLE_V1_MULTIPROCESSING", "0"),
        ):
            os.environ.setdefault(name, value)
        from transformers import AutoTokenizer
        from vllm.engine.arg_utils import EngineArgs
        from vllm.lora.request import LoRARequest
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.llm_engine import LLMEngine

        options = {"enable_lora": True, "max_lora_rank": reserved_rank(lora_weights)} if lora_weights else {}
        if current_platform.is_cpu():
            # compiling takes longer than a short trial, and vLLM itself skips it with LoRA
            options |= {"dtype": "float32", "kv_cache_memory_bytes": CPU_CACHE_BYTES, "enforce_eager": True}
        arguments = EngineArgs(
            model=model_name_or_path,
            tensor_parallel_size=tensor_parallel_size,
            gpu_memory_utilization=MEMORY_SHARE,
            max_model_len=-1 if max_model_len is None else max_model_len,
            seed=seed,
            enable_prefix_caching=True,
            structured_outputs_config={"backend": "guidance"},
            **options,
        )
        try:
            config = arguments.create_engine_config(UsageContext.LLM_CLASS)
        except ValueError as error:
            raise InputError(
                f"expected settings with which vLLM can run {model_name_or_path}, found this problem: {first_sentence(error)}"
            ) from None
        request = LoRARequest("adapter", 1, str(Path(lora_weights).resolve())) if lora_weights else None
        engine = LLMEngine.from_vllm_config(config, UsageContext.LLM_CLASS, disable_log_stats=True)
        tokenizer = AutoTokenizer.from_pretrained(model_name_or_path)
        return cls(engine, tokenizer, system_prompt, request)

    def add(self, key: str, request: Request) -> Reply | None:
        from vllm.exceptions import VLLMValidationError
        from vllm.inputs.engine import tokens_input

        prompt = self._prompt(request.messages)
        if len(prompt) >= self.max_model_len:
            return self._too_long(prompt)
        adapter = self.lora_request if request.tuned else None
        try:
            self.engine.add_request(key, tokens_input(prompt), self._sampling_params(request), lora_request=adapter)
        except VLLMValidationError as error:
            raise ValueError(f"this JSON schema cannot be enforced: {error}\n{str(request.schema)[:500]}") from None
        return None

    def step(self) -> list[tuple[str, Reply]]:
        return [(output.request_id, self._reply(output)) for output in self.engine.step() if output.finished]

    def abort(self, keys: list[str]) -> None:
        self.engine.abort_request(keys)

    def _prompt(self, messages: Conversation) -> list[int]:
        from engines.chat_template import prompt_ids

        messages = with_system_prompt(messages, self.system_prompt)
        return prompt_ids(self.tokenizer, messages)

    def _sampling_params(self, request: Request):
        """The sampling parameters of one request."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        schema = {**request.schema, "x-guidance": JSON_LAYOUT} if request.schema is not None else None
        truncation = {"top_p": TOP_P, "top_k": TOP_K} if request.temperature else {}
        return SamplingParams(
            max_tokens=request.max_new_tokens,
            temperature=request.temperature,
            stop_token_ids=self.stop_ids,
            structured_outputs=None if schema is None else StructuredOutputsParams(json=schema),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **truncation,
        )

    def _reply(self, output) -> Reply:
        [completion] = output.outputs
        ids = list(completion.token_ids)
        if completion.finish_reason == "stop" and ids:
            ids.pop()  # the token that ends the turn
        text = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return to_reply(text, len(output.prompt_token_ids), len(ids), completion.finish_reason)

    def _too_long(self, prompt: list[int]) -> Reply:
        reason = f"the prompt has {len(prompt)} tokens, --max_model_len leaves room for {self.max_model_len - 1}"
        return Reply("", prompt_tokens=len(prompt), finish_reason="error", error=reason)


def first_sentence(error: Exception) -> str:
    """The error in one line: pydantic wraps it in lines and advice of its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if line.startswith("Value error")), lines[0])
    return line.removeprefix("Value error, ").partition(". ")[0]
