"""A merged model as one GGUF file, by the converter of llama.cpp, and that file asked through llama-cpp-python."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from engines.processes import run_child
from engines.thoughts import without_thoughts
from engines.tuned_run import Asked
from utils import InputError

CONVERTER = "convert_hf_to_gguf.py"
CHECKOUT = "LLAMA_CPP"  # the environment variable that says where llama.cpp is
TYPES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}  # of the weights, as the converter calls them
NEEDS = f"install what it needs (docs/serve.md), or leave {CHECKOUT} out"
LAST_WORDS = 2000  # characters of a converter that failed, which an error shows
CONTEXT = 4096  # tokens of a question and its answer


def find_converter() -> Path | None:
    """llama.cpp's converter: in the checkout that LLAMA_CPP names, else on the PATH; None if there is none.

    InputError if LLAMA_CPP names a folder without it.
    """
    if checkout := os.environ.get(CHECKOUT):
        path = Path(checkout) / CONVERTER
        if not path.is_file():
            raise InputError(f"expected {CONVERTER} in {CHECKOUT}={checkout}, found none: give a checkout of llama.cpp")
        return path
    found = shutil.which(CONVERTER)
    return Path(found) if found else None


def require_converter(converter: Path) -> None:
    """InputError if the converter does not start, as without its packages: known now rather than after merging."""
    code, output = run_child([sys.executable, str(converter.resolve()), "--help"])
    if code:
        raise InputError(
            f"expected {converter} to start, found exit code {code}: {output.strip()[-LAST_WORDS:]}\n{NEEDS}"
        )


def convert(converter: Path, model: Path, dtype: str) -> Path:
    """Write the model's folder as a GGUF file into it, with the same weights; InputError if llama.cpp cannot."""
    file = model / f"model-{TYPES[dtype]}.gguf"
    command = [
        sys.executable, str(converter.resolve()), str(model.resolve()),
        "--outfile", str(file.resolve()), "--outtype", TYPES[dtype],
    ]  # fmt: skip
    code, output = run_child(command)
    if code or not file.is_file():
        raise InputError(
            f"expected {CONVERTER} to convert {model}, found exit code {code}: {output.strip()[-LAST_WORDS:]}\n{NEEDS}"
        )
    return file


def can_ask() -> bool:
    return importlib.util.find_spec("llama_cpp") is not None


def ask_gguf(file: Path, asked: Sequence[Asked], max_new_tokens: int) -> list[str]:
    """The answers of a GGUF file, told nothing but the question, by the chat template in it; greedy, one at a time."""
    import llama_cpp

    model = llama_cpp.Llama(str(file), n_ctx=CONTEXT, verbose=False)
    texts = []
    for one in asked:
        messages = [{"role": "user", "content": one.question}]
        reply = model.create_chat_completion(messages, temperature=0.0, repeat_penalty=1.0, max_tokens=max_new_tokens)
        texts.append(without_thoughts(reply["choices"][0]["message"]["content"])[0])
    return texts
