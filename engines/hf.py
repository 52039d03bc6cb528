"""A local model, with or without a LoRA adapter, through Hugging Face transformers.

engine = TransformersEngine.load("models/SmolLM2-135M-Instruct")
replies = engine.chat([[{"role": "user", "content": "Hello"}]], max_new_tokens=32)
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from engines.chat import JSON_LAYOUT, TOP_K, TOP_P, Conversation, Reply, broadcast, to_reply, with_system_prompt
from engines.chat_template import prompt_ids, stop_token_ids
from engines.weights import answering_dtype, load_adapter_to_merge, load_base

MAX_ROWS = {"cpu": 128, "cuda": 256}  # rows decoded together; beyond this a step is bound by compute, not by overhead
CACHE_BYTES = {"cpu": 2 << 30, "cuda": 8 << 30}  # for the keys and values of one batch
PREFILL_TOKENS = {"cpu": 4096, "cuda": 65536}  # per forward pass, which limits its memory
SHARED_PREFIX_TOKENS = 16  # a shorter common prefix is not worth a forward pass of its own
COMPACT_SHARE = 0.8  # finished rows leave the batch once at most this share is unfinished


class TransformersEngine:
    """A local model through Hugging Face transformers: left-padded batches of similar lengths, one shared prefix."""

    def __init__(self, model, tokenizer, name: str, system_prompt: str | None = None):
        from engines import shared_prefix

        self.name, self.model, self.tokenizer, self.system_prompt = name, model.eval(), tokenizer, system_prompt
        config = model.config
        self.shares_prefix = shared_prefix.is_supported(config)
        if self.shares_prefix:
            model.set_attn_implementation(shared_prefix.IMPLEMENTATION)
        self.stop_ids = stop_token_ids(model, tokenizer)
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        self._cache_bytes_per_token = 2 * config.num_hidden_layers * kv_heads * head_size * model.dtype.itemsize
        self._grammar_tokenizer: Any = None
        self._executor: Any = None  # fills the grammar masks on several cores

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        lora_weights: str | None = None,
        system_prompt: str | None = None,
        in_4_bits: bool = False,
    ):
        """Load a model, merge an adapter into it if one is given, and put it on the GPU if there is one.

        `in_4_bits` loads it as finetune.py --q_lora does.
        """
        import torch
        from transformers import AutoTokenizer

        model = load_base(model_name_or_path, answering_dtype(), in_4_bits)
        model = model if in_4_bits else model.to("cuda" if torch.cuda.is_available() else "cpu")
        engine = cls(model, AutoTokenizer.from_pretrained(model_name_or_path), model_name_or_path, system_prompt)
        return engine.merge(lora_weights) if lora_weights else engine

    def merge(self, lora_weights: str) -> TransformersEngine:
        """Merge an adapter into the weights; from then on the engine answers as the tuned model."""
        self.model = load_adapter_to_merge(self.model, lora_weights).merge_and_unload().eval()
        return self

    @property
    def device(self) -> str:
        return self.model.device.type

    def chat(self, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None):
        prompts = self._prompts(conversations)
        temperatures, seeds, schemas = (broadcast(value, len(prompts)) for value in (temperature, seed, schemas))
        replies: list[Reply | None] = [None] * len(prompts)
        for batch in self._batches(prompts, max_new_tokens):
            rows = [Row(self, i, prompts[i], schemas[i], max_new_tokens, temperatures[i], seeds[i]) for i in batch]
            self._decode(rows, [prompts[i] for i in batch], replies, on_reply)
        return replies

    def waves(self, conversations, max_new_tokens):
        return list(self._batches(self._prompts(conversations), max_new_tokens))

    def _prompts(self, conversations: list[Conversation]) -> list[list[int]]:
        return [
            prompt_ids(self.tokenizer, with_system_prompt(messages, self.system_prompt)) for messages in conversations
        ]

    def _batches(self, prompts: list[list[int]], max_new_tokens: int):
        """Indices of prompts to decode together: a common prefix, similar lengths, as many as fit in the cache."""
        from engines import shared_prefix

        room = CACHE_BYTES[self.device] // self._cache_bytes_per_token
        for group in shared_prefix.prefix_groups(prompts) if self.shares_prefix else [list(range(len(prompts)))]:
            batch: list[int] = []
            for index in sorted(group, key=lambda i: -len(prompts[i])):
                longest = len(prompts[batch[0]]) if batch else 0
                full = len(batch) == MAX_ROWS[self.device] or (len(batch) + 1) * (longest + max_new_tokens) > room
                if batch and full:
                    yield batch
                    batch = []
                batch.append(index)
            if batch:
                yield batch

    def _decode(self, rows: list[Row], prompts: list[list[int]], replies, on_reply):
        """Generate the replies to one batch of prompts, token by token, dropping rows as they finish."""
        import torch

        with torch.inference_mode():
            logits, cache, mask, positions, prefix = self._prefill(prompts)
            while rows:
                tokens = self._next_tokens(logits, rows)
                for row, token in zip(rows, tokens, strict=True):
                    row.push(token)
                    if row.finish_reason and replies[row.index] is None:
                        replies[row.index] = row.reply(self.tokenizer)
                        if on_reply:
                            on_reply(row.index, replies[row.index])
                unfinished = [i for i, row in enumerate(rows) if not row.finish_reason]
                if len(unfinished) <= COMPACT_SHARE * len(rows):
                    keep = torch.tensor(unfinished, device=self.device, dtype=torch.long)
                    rows, tokens = [rows[i] for i in unfinished], [tokens[i] for i in unfinished]
                    mask, positions = mask[keep], positions[keep]
                    cache.batch_select_indices(keep)
                if not rows:
                    break
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
                positions = positions + 1
                logits = self.model(
                    input_ids=torch.tensor(tokens, device=self.device)[:, None],
                    attention_mask=mask,
                    position_ids=positions[:, None],
                    past_key_values=cache,
                    **prefix,
                ).logits[:, -1]

    def _prefill(self, prompts: list[list[int]]):
        """Read the prompts; their common prefix is read only once, and so is a prompt that occurs several times.

        Returns the logits (B, V) after each prompt, the cache and mask (B, T) of the rows without that prefix, each row's
        last position (B,), and the shared prefix as an argument for later calls of the model.
        """
        import torch
        from transformers import DynamicCache

        from engines import shared_prefix

        shared = shared_prefix.common_prefix_length(prompts) if self.shares_prefix and len(prompts) > 1 else 0
        prefix = {}
        if shared >= SHARED_PREFIX_TOKENS:
            ids = torch.tensor([prompts[0][:shared]], device=self.device)
            prefix_cache = DynamicCache(config=self.model.config)
            self.model(input_ids=ids, past_key_values=prefix_cache, logits_to_keep=1)
            prefix = {"shared_prefix": [(layer.keys, layer.values) for layer in prefix_cache.layers]}
        else:
            shared = 0
        row_of: dict[tuple[int, ...], int] = {}  # the row in which each distinct prompt is read
        source_rows = torch.tensor(
            [row_of.setdefault(tuple(prompt), len(row_of)) for prompt in prompts], device=self.device
        )
        prompts = [list(prompt) for prompt in row_of]
        width = max(len(prompt) for prompt in prompts) - shared
        ids = torch.full((len(prompts), width), self.stop_ids[0], device=self.device)
        mask = torch.zeros((len(prompts), width), dtype=torch.long, device=self.device)
        for row, prompt in enumerate(prompts):
            length = len(prompt) - shared
            ids[row, width - length :] = torch.tensor(prompt[shared:], device=self.device)
            mask[row, width - length :] = 1
        positions = shared + (mask.cumsum(dim=1) - 1).clamp(min=0)
        logits, caches = [], []
        for part in torch.arange(len(prompts)).split(max(1, PREFILL_TOKENS[self.device] // width)):
            caches.append(DynamicCache(config=self.model.config))
            output = self.model(
                input_ids=ids[part],
                attention_mask=mask[part],
                position_ids=positions[part],
                past_key_values=caches[-1],
                logits_to_keep=1,
                **prefix,
            )
            logits.append(output.logits[:, -1])
        cache = shared_prefix.concatenate(caches, self.model.config)
        if len(prompts) < len(source_rows):
            cache.batch_select_indices(source_rows)
        return torch.cat(logits)[source_rows], cache, mask[source_rows], positions[source_rows, -1], prefix

    def _next_tokens(self, logits, rows: list[Row]) -> list[int]:
        """Greedy at temperature 0, otherwise top-k, then nucleus sampling with each row's own random numbers."""
        import torch

        logits = logits.float()
        if any(row.matcher for row in rows):
            logits = logits.masked_fill(~self._allowed_tokens(rows, logits.shape[-1]), float("-inf"))
        greedy = logits.argmax(dim=-1)
        sampled = [i for i, row in enumerate(rows) if row.temperature]
        if not sampled:
            return greedy.tolist()
        best, ids = logits[sampled].topk(TOP_K, dim=-1)
        temperatures = torch.tensor([rows[i].temperature for i in sampled], device=logits.device, dtype=best.dtype)
        probabilities = (best / temperatures[:, None]).softmax(dim=-1)
        mass_before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(mass_before >= TOP_P, 0.0)
        draws = torch.tensor([rows[i].draw() for i in sampled], device=logits.device, dtype=probabilities.dtype)[
            :, None
        ]
        chosen = (probabilities.cumsum(dim=-1) < draws * probabilities.sum(dim=-1, keepdim=True)).sum(
            dim=-1, keepdim=True
        )
        greedy[sampled] = ids.gather(1, chosen.clamp(max=TOP_K - 1))[:, 0]
        return greedy.tolist()

    def _allowed_tokens(self, rows: list[Row], vocabulary: int):
        """(B, V) bool: the tokens that each row's grammar allows next; all for a row without one."""
        import llguidance.numpy
        import numpy
        import torch

        bitmask = llguidance.numpy.allocate_token_bitmask(len(rows), vocabulary)
        unfinished = [(row.matcher, i) for i, row in enumerate(rows) if row.matcher and not row.finish_reason]
        llguidance.numpy.fill_next_token_bitmask_par(self._executor, unfinished, bitmask)
        bits = numpy.unpackbits(bitmask.view(numpy.uint8), axis=1, bitorder="little")[:, :vocabulary]
        return torch.from_numpy(bits.astype(bool)).to(self.device)

    def matcher(self, schema: dict | None):
        """The grammar state for one reply; None without a schema."""
        if schema is None:
            return None
        import llguidance
        import llguidance.hf

        if self._grammar_tokenizer is None:
            self._executor = llguidance.LLExecutor()
            self._grammar_tokenizer = llguidance.hf.from_tokenizer(
                self.tokenizer, n_vocab=self.model.config.vocab_size, eos_token=self.stop_ids[0]
            )
        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults=JSON_LAYOUT)
        matcher = llguidance.LLMatcher(self._grammar_tokenizer, grammar)
        if matcher.is_error():
            raise ValueError(f"this JSON schema cannot be enforced: {matcher.get_error()}\n{json.dumps(schema)[:500]}")
        return matcher


class Row:
    """One reply in progress: its tokens, grammar and random numbers."""

    def __init__(
        self,
        engine: TransformersEngine,
        index: int,
        prompt: list[int],
        schema: dict | None,
        max_new_tokens: int,
        temperature: float,
        seed: int,
    ):
        import numpy

        self.index = index
        self.prompt_tokens = len(prompt)
        self.matcher = engine.matcher(schema)
        self.stop_ids = engine.stop_ids
        self.max_new_tokens, self.temperature = max_new_tokens, temperature
        self.tokens: list[int] = []
        self.finish_reason = ""
        prompt_hash = zlib.crc32(numpy.array(prompt, dtype=numpy.int32).tobytes())
        self.draw = numpy.random.default_rng([seed, prompt_hash]).random

    def push(self, token: int) -> None:
        """Append the next token; a finished row ignores it."""
        if self.finish_reason:
            return
        if token in self.stop_ids:
            self.finish_reason = "stop"
            return
        self.tokens.append(token)
        if self.matcher:
            self.matcher.consume_token(token)
            if self.matcher.is_stopped():
                self.finish_reason = "stop"
                return
        if len(self.tokens) >= self.max_new_tokens:
            self.finish_reason = "length"

    def reply(self, tokenizer) -> Reply:
        text = tokenizer.decode(self.tokens, skip_special_tokens=True).strip()
        return to_reply(text, self.prompt_tokens, len(self.tokens), self.finish_reason)
