"""A local model, with or without a LoRA adapter, through Hugging Face transformers.

engine = TransformersEngine.load("models/SmolLM2-135M-Instruct")
replies = engine.chat([[{"role": "user", "content": "Hello"}]], max_new_tokens=32)
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from engines.chat import JSON_LAYOUT, TOP_K, TOP_P, Conversation, Reply, broadcast, with_system_prompt
from engines.chat_template import stop_token_ids
from engines.weights import load_base

MAX_ROWS = {"cpu": 128, "cuda": 256}  # rows decoded together; beyond it a step is bound by compute, not by overhead
CACHE_BYTES = {"cpu": 2 << 30, "cuda": 8 << 30}  # keys and values one batch may hold
PREFILL_TOKENS = {"cpu": 4096, "cuda": 65536}  # read in one forward pass, which bounds its memory
SHARED_PREFIX_TOKENS = 16  # a shorter common beginning is not worth a forward pass of its own
COMPACT_SHARE = 0.8  # finished rows leave the batch once this share or less is still writing


class TransformersEngine:
    """A local model through Hugging Face transformers: left-padded batches of similar length, one shared prefix."""

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
        self._executor: Any = None  # fills the grammars' masks on several cores

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        lora_weights: str | None = None,
        system_prompt: str | None = None,
        in_4_bits: bool = False,
    ):
        """Load a model, merge an adapter into it where one is given, and put it on the GPU if there is one.

        `in_4_bits` as finetune.py --q_lora loads it.
        """
        import torch
        from transformers import AutoTokenizer

        device, dtype = "cpu", torch.float32
        if torch.cuda.is_available():
            bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)  # a GPU before Ampere only emulates it
            device, dtype = "cuda", torch.bfloat16 if bfloat16 else torch.float16
        model = load_base(model_name_or_path, dtype, in_4_bits)
        model = model if in_4_bits else model.to(device)
        engine = cls(model, AutoTokenizer.from_pretrained(model_name_or_path), model_name_or_path, system_prompt)
        return engine.merge(lora_weights) if lora_weights else engine

    def merge(self, lora_weights: str) -> TransformersEngine:
        """Merge an adapter into the weights; from then on the engine answers as the tuned model."""
        from peft import PeftModel

        self.model = PeftModel.from_pretrained(self.model, lora_weights).merge_and_unload().eval()
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
            self.tokenizer.apply_chat_template(
                with_system_prompt(messages, self.system_prompt), add_generation_prompt=True, return_dict=False
            )
            for messages in conversations
        ]

    def _batches(self, prompts: list[list[int]], max_new_tokens: int):
        """Indices of prompts to decode together: one beginning, similar lengths, as many as the cache has room for."""
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
        """Write the replies to one batch of prompts, token by token, dropping rows as they finish."""
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
                writing = [i for i, row in enumerate(rows) if not row.finish_reason]
                if len(writing) <= COMPACT_SHARE * len(rows):
                    keep = torch.tensor(writing, device=self.device, dtype=torch.long)
                    rows, tokens = [rows[i] for i in writing], [tokens[i] for i in writing]
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
        """Read the prompts; what they all begin with is read once, and so is a prompt that occurs several times.

        Returns logits (B, V) after each prompt, the cache and the mask (B, T) of what is each row's own, each row's
        last position (B,), and the shared prefix as an argument of the model's further calls.
        """
        import torch
        from transformers import DynamicCache

        from engines import shared_prefix

        shared = shared_prefix.common_prefix_length(prompts) if self.shares_prefix and len(prompts) > 1 else 0
        prefix = {}
        if shared >= SHARED_PREFIX_TOKENS:
            ids = torch.tensor([prompts[0][:shared]], device=self.device)
            read = DynamicCache(config=self.model.config)
            self.model(input_ids=ids, past_key_values=read, logits_to_keep=1)
            prefix = {"shared_prefix": [(layer.keys, layer.values) for layer in read.layers]}
        else:
            shared = 0
        places: dict[tuple[int, ...], int] = {}  # of each prompt, the row that it is read in
        which = torch.tensor([places.setdefault(tuple(prompt), len(places)) for prompt in prompts], device=self.device)
        prompts = [list(prompt) for prompt in places]
        width = max(len(prompt) for prompt in prompts) - shared
        ids = torch.full((len(prompts), width), self.stop_ids[0], device=self.device)
        mask = torch.zeros((len(prompts), width), dtype=torch.long, device=self.device)
        for row, prompt in enumerate(prompts):
            own = len(prompt) - shared
            ids[row, width - own :] = torch.tensor(prompt[shared:], device=self.device)
            mask[row, width - own :] = 1
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
        if len(prompts) < len(which):
            cache.batch_select_indices(which)
        return torch.cat(logits)[which], cache, mask[which], positions[which, -1], prefix

    def _next_tokens(self, logits, rows: list[Row]) -> list[int]:
        """Greedy at temperature 0, else top-k, then nucleus sampling with each row's own random numbers."""
        import torch

        logits = logits.float()
        if any(row.matcher for row in rows):
            logits = logits.masked_fill(~self._allowed(rows, logits.shape[-1]), float("-inf"))
        greedy = logits.argmax(dim=-1)
        warm = [place for place, row in enumerate(rows) if row.temperature]
        if not warm:
            return greedy.tolist()
        best, ids = logits[warm].topk(TOP_K, dim=-1)
        temperatures = torch.tensor([rows[place].temperature for place in warm], device=logits.device, dtype=best.dtype)
        shares = (best / temperatures[:, None]).softmax(dim=-1)
        before = shares.cumsum(dim=-1) - shares
        shares = shares.masked_fill(before >= TOP_P, 0.0)
        draws = torch.tensor([rows[place].draw() for place in warm], device=logits.device, dtype=shares.dtype)[:, None]
        chosen = (shares.cumsum(dim=-1) < draws * shares.sum(dim=-1, keepdim=True)).sum(dim=-1, keepdim=True)
        greedy[warm] = ids.gather(1, chosen.clamp(max=TOP_K - 1))[:, 0]
        return greedy.tolist()

    def _allowed(self, rows: list[Row], vocabulary: int):
        """(B, V) bool: the tokens each row's grammar allows next; all of them for a row without one."""
        import llguidance.numpy
        import numpy
        import torch

        words = llguidance.numpy.allocate_token_bitmask(len(rows), vocabulary)
        writing = [(row.matcher, i) for i, row in enumerate(rows) if row.matcher and not row.finish_reason]
        llguidance.numpy.fill_next_token_bitmask_par(self._executor, writing, words)
        bits = numpy.unpackbits(words.view(numpy.uint8), axis=1, bitorder="little")[:, :vocabulary]
        return torch.from_numpy(bits.astype(bool)).to(self.device)

    def matcher(self, schema: dict | None):
        """A grammar state for one reply, or None."""
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
    """One reply being written: its tokens, its grammar, its random numbers."""

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
        """Take the next token; a finished row ignores it."""
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
        return Reply(text, self.prompt_tokens, len(self.tokens), self.finish_reason)
