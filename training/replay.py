"""What the untrained model answers to general prompts: mixed into training, it keeps what would be forgotten."""

from __future__ import annotations

import functools
import random
from pathlib import Path

from engines.journal import JournaledEngine
from utils import read_json

REPLAY_TOKENS = 32  # a replayed answer is cut here and trained without an end: how it begins is what gets lost


def replay_examples(
    model_name_or_path: str, prompts_path: str, system_prompt: str | None, count: int, journal: Path, seed: int
) -> list[dict]:
    """`count` examples with the untrained model's answers; where there are fewer prompts, they are repeated.

    Every answer is asked once: it is kept in the file `journal`, also when the run is stopped in between.
    """
    if count == 0:
        return []
    prompts = read_json(prompts_path, "a list of general prompts")
    random.Random(seed).shuffle(prompts)
    prompts = prompts[:count]
    engine = JournaledEngine(UntrainedModel(model_name_or_path, system_prompt), journal, system_prompt)
    replies = engine.chat([[{"role": "user", "content": prompt}] for prompt in prompts], max_new_tokens=REPLAY_TOKENS)
    examples = [
        {
            "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply.text}],
            "kind": "replay",
            "unfinished": reply.finish_reason != "stop",
        }
        for prompt, reply in zip(prompts, replies, strict=True)
        if reply.text
    ]
    return [{"id": f"replay_{i}", **examples[i % len(examples)]} for i in range(count)]


class UntrainedModel:
    """An engine whose weights are loaded at the first prompt that the journal cannot answer."""

    def __init__(self, name: str, system_prompt: str | None):
        self.name, self.system_prompt = name, system_prompt

    @functools.cached_property
    def _engine(self):
        from llm import TransformersEngine

        return TransformersEngine.load(self.name, system_prompt=self.system_prompt)

    def chat(self, conversations, **options):
        return self._engine.chat(conversations, **options)

    def waves(self, conversations, max_new_tokens):
        return self._engine.waves(conversations, max_new_tokens)
