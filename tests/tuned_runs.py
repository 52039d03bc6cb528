"""A finished run with a real model, as far as serving, chatting and exporting read it: made by the code that makes one."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import ROOT, save_random_adapter

from engines.hf import TransformersEngine
from utils import ADAPTER_SETTINGS, log_file, write_json

SYSTEM_PROMPT = "Answer briefly."
MAX_NEW_TOKENS = 8


def write_tuned_run(folder: Path, model_path: str, count: int = 12) -> Path:
    """An adapter that changes every answer, and both models' answers to the first demo questions, as in a run's files."""
    rows = json.loads((ROOT / "demo" / "questions.json").read_text())[:count]
    questions = [row["conversations"][0]["value"] for row in rows]
    save_random_adapter(model_path, folder / "lora", 3)
    write_json(folder / "lora" / ADAPTER_SETTINGS, {"system_prompt": SYSTEM_PROMPT})
    engine = TransformersEngine.load(model_path, system_prompt=SYSTEM_PROMPT)
    for name in ("base", "tuned"):
        engine = engine if name == "base" else engine.merge(str(folder / "lora"))
        asked = [[{"role": "user", "content": question}] for question in questions]
        replies = engine.chat(asked, max_new_tokens=MAX_NEW_TOKENS)
        answers = [
            {"question": question, "response": reply.text} for question, reply in zip(questions, replies, strict=True)
        ]
        write_json(folder / f"{name}.json", answers)
        write_json(log_file(folder / f"{name}.meta.json"), {"arguments": {"max_new_tokens": MAX_NEW_TOKENS}})
    return folder
