"""vLLM behind the same `chat()`: continuous batching, prefix caching, LoRA adapters chosen per request.

    engine = VllmEngine.load("Qwen/Qwen2.5-7B-Instruct", lora_weights="output/lora")
    replies = engine.chat([[{"role": "user", "content": "Hello"}]], max_new_tokens=32)
    replies = engine.base().chat(...)    # the same weights in memory, without the adapter

Prompts, stop tokens, sampling and the layout of JSON are those of llm.TransformersEngine, so that either engine can go on
with a journal of the other. On several GPUs vLLM starts processes of its own, and a script needs `if __name__ == "__main__"`.
"""

from __future__ import annotations

import copy
import itertools
import os
import zlib
from pathlib import Path

from llm import JSON_LAYOUT, TOP_K, TOP_P, Conversation, Reply, for_each, with_system_prompt
from utils import InputError, read_json

WAVE = 512  # prompts between two lines of a journal: what a kill may cost; vLLM decodes at most 256 to 1024 at once
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the ranks vLLM reserves memory for (vllm.config.lora, 0.32)
CPU_CACHE_BYTES = 2 << 30  # keys and values; on a GPU it is what --gpu_memory_utilization leaves beside the weights


class VllmEngine:
    """A local model through vLLM's `LLMEngine`, with or without a LoRA adapter."""

    def __init__(self, engine, tokenizer, name: str, system_prompt: str | None = None, lora_request=None):
        from training.chat_template import end_of_turn

        self.engine, self.tokenizer, self.name = engine, tokenizer, name
        self.system_prompt, self.lora_request = system_prompt, lora_request
        self.max_model_len = engine.model_config.max_model_len
        # vLLM knows the ends that the model's folder names; a template may end a turn with yet another token
        self.stop_ids = [tokenizer.convert_tokens_to_ids(end_of_turn(tokenizer))]
        self._numbers = itertools.count()

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        lora_weights: str | None = None,
        system_prompt: str | None = None,
        *,
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float = 0.9,
        max_model_len: int | None = None,
    ) -> VllmEngine:
        """Start vLLM on `tensor_parallel_size` GPUs, or on the CPU where vLLM was built for it (float32 there)."""
        for name, value in (
            ("VLLM_LOGGING_LEVEL", "ERROR"),
            ("VLLM_NO_USAGE_STATS", "1"),  # what a person asks a model goes nowhere, and neither does a count of it
            ("VLLM_WORKER_MULTIPROC_METHOD", "spawn"),  # a fork after CUDA was looked at cannot use it
            # No process between this one and the GPU: one that was killed would leave it running, and the memory taken.
            ("VLLM_ENABLE_V1_MULTIPROCESSING", "0"),
        ):
            os.environ.setdefault(name, value)
        from transformers import AutoTokenizer
        from vllm.engine.arg_utils import EngineArgs
        from vllm.lora.request import LoRARequest
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.llm_engine import LLMEngine

        options = {"enable_lora": True, "max_lora_rank": lora_rank(lora_weights)} if lora_weights else {}
        if current_platform.is_cpu():
            # compiling takes longer than a first look lasts, and is left out by vLLM itself where LoRA is on
            options |= {"dtype": "float32", "kv_cache_memory_bytes": CPU_CACHE_BYTES, "enforce_eager": True}
        arguments = EngineArgs(
            model=model_name_or_path,
            tensor_parallel_size=tensor_parallel_size,
            gpu_memory_utilization=gpu_memory_utilization,
            max_model_len=max_model_len,
            enable_prefix_caching=True,
            structured_outputs_config={"backend": "guidance"},
            **options,
        )
        try:
            config = arguments.create_engine_config(UsageContext.LLM_CLASS)
        except ValueError as error:
            raise InputError(
                f"expected settings that vLLM can run {model_name_or_path} with, found this fault: {first_sentence(error)}"
            ) from None
        request = LoRARequest("adapter", 1, str(Path(lora_weights).resolve())) if lora_weights else None
        engine = LLMEngine.from_vllm_config(config, UsageContext.LLM_CLASS, disable_log_stats=True)
        tokenizer = AutoTokenizer.from_pretrained(model_name_or_path)
        return cls(engine, tokenizer, model_name_or_path, system_prompt, request)

    def base(self) -> VllmEngine:
        """The same engine without the adapter."""
        other = copy.copy(self)
        other.lora_request = None
        return other

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        from vllm.exceptions import VLLMValidationError
        from vllm.inputs.engine import tokens_input

        amount = len(conversations)
        temperatures, seeds, schemas = (for_each(value, amount) for value in (temperature, seed, schemas))
        replies: list[Reply | None] = [None] * amount

        def finish(index: int, reply: Reply) -> None:
            replies[index] = reply
            if on_reply:
                on_reply(index, reply)

        writing: dict[str, int] = {}  # request: index of its conversation
        try:
            for index, (messages, schema) in enumerate(zip(conversations, schemas, strict=True)):
                prompt = self._prompt(messages)
                if len(prompt) >= self.max_model_len:
                    finish(index, self._too_long(prompt))
                    continue
                request = str(next(self._numbers))
                sampling = self._sampling(prompt, schema, max_new_tokens, temperatures[index], seeds[index])
                try:
                    self.engine.add_request(request, tokens_input(prompt), sampling, lora_request=self.lora_request)
                except VLLMValidationError as error:
                    raise ValueError(f"this JSON schema cannot be enforced: {error}\n{str(schema)[:500]}") from None
                writing[request] = index
            while writing:
                for output in self.engine.step():
                    if output.finished:
                        finish(writing.pop(output.request_id), self._reply(output))
        finally:
            self.engine.abort_request([*writing])  # none, unless something was raised
        return replies

    def waves(self, conversations, max_new_tokens):
        order = list(range(len(conversations)))
        return [order[start : start + WAVE] for start in range(0, len(order), WAVE)]

    def _prompt(self, messages: Conversation) -> list[int]:
        messages = with_system_prompt(messages, self.system_prompt)
        return self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)

    def _sampling(self, prompt: list[int], schema: dict | None, max_new_tokens: int, temperature: float, seed: int):
        """What vLLM needs to know of one request."""
        import numpy
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        prompt_hash = zlib.crc32(numpy.array(prompt, dtype=numpy.int32).tobytes())
        drawn = {
            "temperature": temperature,
            "top_p": TOP_P,
            "top_k": TOP_K,
            "seed": int(numpy.random.SeedSequence([seed, prompt_hash]).generate_state(1)[0]),
        }
        form = None if schema is None else StructuredOutputsParams(json={**schema, "x-guidance": JSON_LAYOUT})
        return SamplingParams(
            max_tokens=max_new_tokens,
            stop_token_ids=self.stop_ids,
            structured_outputs=form,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **(drawn if temperature else {"temperature": 0.0}),
        )

    def _reply(self, output) -> Reply:
        [completion] = output.outputs
        ids = list(completion.token_ids)
        if completion.finish_reason == "stop" and ids:
            ids.pop()  # the token that ends the turn
        text = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return Reply(text, len(output.prompt_token_ids), len(ids), completion.finish_reason)

    def _too_long(self, prompt: list[int]) -> Reply:
        reason = f"the prompt has {len(prompt)} tokens, --max_model_len leaves room for {self.max_model_len - 1}"
        return Reply("", prompt_tokens=len(prompt), finish_reason="error", error=reason)


def lora_rank(folder: str) -> int:
    """The smallest rank vLLM can reserve that holds the adapter's."""
    config = read_json(Path(folder) / "adapter_config.json", "a LoRA adapter", "give the --output_dir of finetune.py")
    rank = max(config["r"], *(config.get("rank_pattern") or {"": 0}).values())
    fitting = [size for size in LORA_RANKS if size >= rank]
    if not fitting:
        raise InputError(
            f"expected a LoRA adapter of rank {LORA_RANKS[-1]} or less, found {rank} in {folder}: "
            "use --engine transformers"
        )
    return fitting[0]


def first_sentence(error: Exception) -> str:
    """What is wrong, in one line: pydantic wraps it in lines and advice of its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if line.startswith("Value error")), lines[0])
    return line.removeprefix("Value error, ").partition(". ")[0]
