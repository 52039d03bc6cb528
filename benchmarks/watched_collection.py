"""data_collection_local.py that records every batch sent to its model, and asks a share of each again one at a time.

    python benchmarks/watched_collection.py CALLS_FILE SHARE --data_path demo/documents --json_save_dir out/data.json

CALLS_FILE has for each batch a line before it is answered, {"time": epoch seconds, "calls": [a hash each]}, and one
after, {"time", "batch_s", "one_by_one_s": [seconds each], "same": how many of these replies are those of the batch};
the last line, {"time", "ended": true}, says when the dataset was written. One at a time is what a plain loop does:
`model.generate` on one prompt, then on the next, with the same prompts, grammar and sampling. SHARE 0 asks none this
way, 1 asks all.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_processor import data_collection_local
from engines.chat import Reply, broadcast
from engines.hf import Row, TransformersEngine
from utils import InputError, run_script

MIN_SAMPLED_CALLS = 3  # per batch, if it has that many, so that the spread is known


def generate_one(engine, conversation, schema, max_new_tokens: int, temperature: float, seed: int) -> Reply:
    """The reply to one conversation by `model.generate`."""
    import torch

    [prompt] = engine._prompts([conversation])
    row = Row(engine, 0, prompt, schema, max_new_tokens, temperature, seed)

    def choose(ids, logits):
        """Leave only the token that the engine would choose, by the row's grammar and random numbers."""
        [token] = engine._next_tokens(logits, [row])
        row.push(token)
        return torch.full_like(logits, float("-inf")).index_fill(1, torch.tensor([token], device=logits.device), 0.0)

    ids = torch.tensor([prompt], device=engine.device)
    engine.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        pad_token_id=engine.stop_ids[0],
        logits_processor=[choose],
        stopping_criteria=[lambda ids, logits: torch.full((1,), bool(row.finish_reason), device=ids.device)],
    )
    return row.reply(engine.tokenizer)


class Recorder:
    """Replaces TransformersEngine.chat: answers with it, and records what was asked and how long it took."""

    def __init__(self, path: Path, share: float):
        self.path, self.share, self.draw = path, share, random.Random(0)
        self.chat = TransformersEngine.chat

    def write_line(self, **line) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"time": time.time(), **line}) + "\n")

    def answer(
        self, engine, conversations, *, max_new_tokens=256, temperature=0.0, seed=0, schemas=None, on_reply=None
    ):
        amount = len(conversations)
        temperatures, seeds, schemas = (broadcast(value, amount) for value in (temperature, seed, schemas))
        asked = [
            json.dumps([messages, schema, (max_new_tokens, warmth, draw)])
            for messages, schema, warmth, draw in zip(conversations, schemas, temperatures, seeds, strict=True)
        ]
        self.write_line(calls=[hashlib.sha256(one.encode()).hexdigest()[:16] for one in asked])
        started = time.perf_counter()
        replies = self.chat(
            engine,
            conversations,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            schemas=schemas,
            on_reply=on_reply,
        )
        batch_s = time.perf_counter() - started

        amount = min(len(asked), max(MIN_SAMPLED_CALLS, math.ceil(self.share * len(asked)))) if self.share else 0
        attention = engine.model.config._attn_implementation
        seconds, same = [], 0
        if amount:
            engine.model.set_attn_implementation("sdpa")  # as in a plain loop
        for index in self.draw.sample(range(len(asked)), amount):
            started = time.perf_counter()
            sampling = (max_new_tokens, temperatures[index], seeds[index])
            reply = generate_one(engine, conversations[index], schemas[index], *sampling)
            seconds.append(time.perf_counter() - started)
            same += reply.text == replies[index].text
        if amount:
            engine.model.set_attn_implementation(attention)
        self.write_line(batch_s=batch_s, one_by_one_s=seconds, same=same)
        return replies


def main() -> None:
    path, share, *arguments = sys.argv[1:]
    if Path(path).exists():
        raise InputError(f"expected no file at {path}, found one: remove it")
    recorder = Recorder(Path(path), float(share))
    TransformersEngine.chat = lambda engine, conversations, **options: recorder.answer(engine, conversations, **options)
    sys.argv = [data_collection_local.__file__, *arguments]
    data_collection_local.main()
    recorder.write_line(ended=True)


if __name__ == "__main__":
    run_script(main)
