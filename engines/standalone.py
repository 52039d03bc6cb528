"""A model's folder from which any server answers as inference.py does, told nothing but the question.

inference.py puts the system prompt of the training first, asks a model not to think, and takes the likeliest token. A server
knows of none of this: it renders the folder's chat template, and samples as the folder's generation config says. So the
template is given the system prompt as its default, and the generation config takes the likeliest token. What a client sends
(its own system prompt, a temperature) still wins.
"""

from __future__ import annotations

import copy
import functools
import json
import os
from pathlib import Path
from types import SimpleNamespace

from engines.adapter import PICKLED, WEIGHTS, read_header
from engines.chat import with_system_prompt
from engines.chat_template import (
    PROBE,
    THINKING_OFF,
    answer_frame,
    prompt_text,
    stop_token_ids,
    takes_system_turn,
)
from engines.hub import cached_folder, has_weights
from utils import InputError

# Weights in Mistral's own format, which some of its models have twice: where vLLM finds them it takes the tokenizer of that
# format too, which has no chat template (vllm.transformers_utils.config and vllm.tokenizers.registry).
MISTRALS_OWN = "consolidated*"
MAGNITUDES = "lora_magnitude_vector"  # of DoRA, the end of a tensor's name


def standalone_template(tokenizer, system_prompt: str | None) -> str:
    """The chat template that by itself renders a question as inference.py does; InputError if none is found that does.

    `system_prompt` is that of the training, None if there was none. It stands in the template as a default: turns that
    begin with a system prompt keep theirs.
    """
    quoted = functools.partial(json.dumps, ensure_ascii=False)  # Jinja reads two escapes of JSON as two characters
    prefix = answer_frame(tokenizer).prefix
    parts = [f"{{% set {name} = {name} | default(false) %}}" for name in THINKING_OFF]
    if system_prompt is not None and takes_system_turn(tokenizer):
        turn = f'{{"role": "system", "content": {quoted(system_prompt)}}}'
        parts.append(
            f'{{% if messages[0]["role"] != "system" %}}{{% set messages = [{turn}] + messages %}}{{% endif %}}'
        )
    elif system_prompt:  # goes before the question: see chat_template.system_in_question
        content = f'{quoted(system_prompt)} + "\\n\\n" + messages[0]["content"]'
        turns = f'[{{"role": "user", "content": {content}}}] + messages[1:]'
        parts.append(f'{{% if messages[0]["role"] == "user" %}}{{% set messages = {turns} %}}{{% endif %}}')
    # Hugging Face's environment removes the line break after a block, so that the template still begins a line.
    parts += ["\n", tokenizer.get_chat_template().removesuffix("\n")]
    if prefix:
        parts.append(f"{{{{ {quoted(prefix)} if add_generation_prompt else '' }}}}")
    template = "".join(parts)
    require_same_prompt(tokenizer, template, system_prompt)
    return template


def require_same_prompt(tokenizer, template: str, system_prompt: str | None) -> None:
    """InputError if a server that renders `template` gives the model another text to read than inference.py does."""
    alone = copy.copy(tokenizer)
    alone.chat_template = template
    question = [{"role": "user", "content": PROBE}]
    for _ in range(2):  # a date in a template may change between two renderings, but not twice
        expected = prompt_text(tokenizer, with_system_prompt(question, system_prompt))
        found = alone.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
        if found == expected:
            return
    raise InputError(
        f"expected a chat template of {tokenizer.name_or_path} that takes a default system prompt, found that it writes "
        f"{found[:200]!r} where inference.py reads {expected[:200]!r}: send the system prompt with every request to a "
        "server of the unchanged model"
    )


def save_tokenizer_and_defaults(base: str, system_prompt: str | None, folder: Path) -> None:
    """Write to `folder` the tokenizer of `base` with its standalone template, and a generation config without sampling."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    try:
        given = transformers.GenerationConfig.from_pretrained(base)
    except OSError:  # a model without one: from its config, as transformers does when it loads the model
        given = transformers.GenerationConfig.from_model_config(transformers.AutoConfig.from_pretrained(base))
    stops = stop_token_ids(SimpleNamespace(generation_config=given), tokenizer)
    tokenizer.chat_template = standalone_template(tokenizer, system_prompt)
    tokenizer.save_pretrained(folder)
    ids = {"bos_token_id": given.bos_token_id, "pad_token_id": given.pad_token_id}
    transformers.GenerationConfig(do_sample=False, eos_token_id=stops, **ids).save_pretrained(folder)


def local_folder(model: str) -> Path:
    """The folder of a model, downloaded from the hub if it is not there."""
    if Path(model).is_dir():
        return Path(model).resolve()
    import huggingface_hub

    cached = cached_folder(model)
    return cached if cached and has_weights(cached) else Path(huggingface_hub.snapshot_download(model))


def link_model(base: str, system_prompt: str | None, folder: Path, adapter: str | None = None) -> None:
    """Make `folder` a standalone model without copying weights, with an adapter in it if one is given.

    transformers takes a folder with config.json and adapter_config.json for a model with an adapter of its own.
    """
    folder.mkdir(parents=True)
    save_tokenizer_and_defaults(base, system_prompt, folder)
    if adapter:
        link_adapter(Path(adapter).resolve(), folder)
    for file in local_folder(base).iterdir():
        if file.is_file() and not (folder / file.name).exists() and not file.match(MISTRALS_OWN):
            os.symlink(file.resolve(), folder / file.name)


def link_adapter(adapter: Path, folder: Path) -> None:
    """Put an adapter into a model's folder without copying it, unless transformers would leave out a part of it.

    PEFT saves DoRA's magnitudes without the ".weight" under which transformers (5.19) looks for them; it then takes those of
    an adapter that was never trained, and says so only in its log.
    """
    for name in ("adapter_config.json", WEIGHTS, PICKLED):
        if (adapter / name).is_file():
            os.symlink(adapter / name, folder / name)
    if (adapter / WEIGHTS).is_file() and any(name.endswith(MAGNITUDES) for name in read_header(adapter / WEIGHTS)):
        from safetensors.torch import load_file, save_file

        tensors = load_file(adapter / WEIGHTS)
        renamed = {f"{name}.weight" if name.endswith(MAGNITUDES) else name: one for name, one in tensors.items()}
        (folder / WEIGHTS).unlink()
        save_file(renamed, folder / WEIGHTS)
