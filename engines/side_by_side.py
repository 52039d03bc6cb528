"""One loaded model that answers twice at once: with its LoRA adapter, and with the adapter switched off.

pair = SideBySide.load(read_run("output/run"))
for base, tuned in pair.answers("Who wrote Halfmoth?", 256):      # the texts so far, after each token
    ...
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from engines.arguments import EngineArguments
from engines.chat import with_system_prompt
from engines.chat_template import prompt_ids, stop_token_ids
from engines.gpus import torch_device_index
from engines.placement import place_model
from engines.thoughts import without_thoughts
from engines.tuned_run import TunedRun
from engines.weights import answering_dtype, load_base

UNFINISHED = "\ufffd"  # what a tokenizer decodes the first bytes of a character to


class SideBySide:
    """A PeftModel on its device, its tokenizer, and the system prompt of its training."""

    def __init__(self, model, tokenizer, system_prompt: str | None):
        self.model, self.tokenizer, self.system_prompt = model.eval(), tokenizer, system_prompt
        self.stop_ids = stop_token_ids(model, tokenizer)

    @classmethod
    def load(cls, run: TunedRun) -> SideBySide:
        """Load base and adapter of a run, not merged, on a GPU that is free or on the CPU."""
        from peft import PeftModel
        from transformers import AutoTokenizer

        placement = place_model(run.base, EngineArguments(engine="transformers"), run.adapter)
        device = f"cuda:{torch_device_index(placement.gpus[0])}" if placement.gpus else "cpu"
        base = load_base(run.base, answering_dtype()).to(device)
        return cls(
            PeftModel.from_pretrained(base, run.adapter), AutoTokenizer.from_pretrained(run.base), run.system_prompt
        )

    def answers(self, question: str, max_new_tokens: int) -> Iterator[tuple[str, str]]:
        """The texts (base, tuned) after each token of the two, without thoughts; greedy, as inference.py."""
        messages = with_system_prompt([{"role": "user", "content": question}], self.system_prompt)
        prompt = prompt_ids(self.tokenizer, messages)
        both = [self._tokens(prompt, adapter, max_new_tokens) for adapter in (False, True)]
        texts: list[str] = ["", ""]
        while any(both):
            for place, tokens in enumerate(both):
                so_far = next(tokens, None) if tokens else None
                if so_far is None:
                    both[place] = None
                else:
                    texts[place] = self._text(so_far)
            yield texts[0], texts[1]

    def _text(self, tokens: list[int]) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True).rstrip(UNFINISHED)
        return without_thoughts(text)[0].strip()

    def _tokens(self, prompt: list[int], adapter: bool, max_new_tokens: int) -> Iterator[list[int]]:
        """The tokens of one answer so far, after each; the adapter is as asked for in this iterator's steps only."""
        import torch
        from transformers import DynamicCache

        tokens: list[int] = []
        cache, ids = DynamicCache(config=self.model.config), prompt
        while len(tokens) < max_new_tokens:
            switched: Any = contextlib.nullcontext() if adapter else self.model.disable_adapter()
            with torch.inference_mode(), switched:
                inputs = torch.tensor([ids], device=self.model.device)
                logits = self.model(input_ids=inputs, past_key_values=cache, logits_to_keep=1).logits
            token = int(logits[0, -1].argmax())
            if token in self.stop_ids:
                return
            tokens.append(token)
            ids = [token]
            yield tokens
