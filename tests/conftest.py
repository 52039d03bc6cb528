"""The real small model, made once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def model_path() -> str:
    """The folder shells/test.sh makes; made here where a test is run by hand."""
    folder = ROOT / "models" / "SmolLM2-135M-Instruct"
    if not (folder / "model.safetensors").exists():
        from demo_model import convert, find_gguf

        folder.parent.mkdir(exist_ok=True)
        convert(find_gguf(), folder)
    return str(folder)


@pytest.fixture(scope="session")
def tokenizer(model_path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path)


@pytest.fixture(scope="session")
def engine(model_path):
    from llm import TransformersEngine

    return TransformersEngine.load(model_path)
