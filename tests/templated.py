"""Chat templates rebuilt small from the published ones (tests/templates), each with a tokenizer of single bytes and no model."""

from __future__ import annotations

import datetime
import functools
import tomllib

from conftest import ROOT
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

FOLDER = ROOT / "tests" / "templates"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))
SYSTEM_PROMPT, QUESTION, ANSWER = (EXPECTED.pop(key) for key in ("system_prompt", "question", "answer"))
TURNS = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
TWO_ANSWERS = [*TURNS, {"role": "user", "content": "When?"}, {"role": "assistant", "content": "On 9 May 1991"}]
NO_SPECIAL = ("<think>", "</think>")  # in Qwen3 and R1 these are added tokens that decoding does not skip


def make_tokenizer(template: str | None, tokens: list[str], **special: str) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes and `tokens`; `special` are its bos_token, eos_token and pad_token, where it has them."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens([AddedToken(token, special=token not in NO_SPECIAL, normalized=False) for token in tokens])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    tokenizer.name_or_path, tokenizer.chat_template = "some/model", template
    return tokenizer


@functools.cache
def published(name: str) -> PreTrainedTokenizerFast:
    """The tokenizer with the template of that name."""
    entry = EXPECTED[name]
    special = {f"{key}_token": entry[key] for key in ("bos", "eos", "pad") if entry[key]}
    return make_tokenizer((FOLDER / f"{name}.jinja").read_text(encoding="utf-8"), entry["tokens"], **special)


def expected(name: str, key: str) -> str:
    return EXPECTED[name][key].replace("{today}", datetime.datetime.now().strftime("%Y-%m-%d"))
