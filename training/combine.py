"""Two LoRA adapters of one base as one that does what both do together: their ranks are concatenated.

A layer W with both adapters computes W x + s1 B1 A1 x + s2 B2 A2 x, which is W x + B A x for A = [A1; A2] and
B = [s1 B1, s2 B2]: one adapter of rank r1 + r2, which every server can load, and nothing is lost but the rounding of s B.

In:  FIRST and SECOND, two folders of plain LoRA adapters.
Out: OUT, an adapter in PEFT's format with the tokenizer of SECOND, `knowledge_update.json`, `log/combined.meta.json`.

    python -m training.combine output/monday/lora output/tuesday/lora output/both
"""

from __future__ import annotations

import argparse
import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engines.adapter import BASE_WEIGHTS, WEIGHTS, require_adapter, require_adapter_weights
from engines.vllm_lora import UNSUPPORTED, adapter_config
from provenance import write_meta
from training.continued import require_plain_lora
from training.in_place import put_in_place
from utils import ADAPTER_SETTINGS, InputError, read_json, require_file, run_script, write_json

if TYPE_CHECKING:
    import torch

PREFIX = "base_model.model."  # of every tensor in PEFT's format
ENDS = (".lora_A.weight", ".lora_B.weight")
# what tells the folder of an adapter, or of a training that was stopped, from others
TRACES = ("adapter_config.json", "checkpoint-*", "initial_adapter", "log/train_log.jsonl", "log/replay.journal.jsonl")
CHOOSING_LAYERS = ("layers_to_transform", "layers_pattern", "exclude_modules")  # narrow what target_modules names

Layers = dict[str, tuple["torch.Tensor", "torch.Tensor"]]  # by module: A (r, in) and B (out, r), the scale in B


def combine(first: str, second: str, out: str) -> None:
    """Write the two adapters as one into the folder `out`, whole or not at all, in place of an earlier one.

    InputError if they are not of one base, were trained with different system prompts, or are more than plain LoRA.
    """
    from safetensors.torch import save_file

    require_pair(first, second, out)
    started, folder = time.time(), Path(out).resolve()  # where a link leads
    layers = concatenate(read_layers(first), read_layers(second))
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(second, unfinished, ignore=kept_of_second)
    tensors = {
        f"{PREFIX}{name}{end}": tensor.contiguous()
        for name, pair in layers.items()
        for end, tensor in zip(ENDS, pair, strict=True)
    }
    save_file(tensors, unfinished / WEIGHTS, metadata={"format": "pt"})
    rank = len(next(iter(layers.values()))[0])
    write_json(unfinished / "adapter_config.json", combined_config(first, second, rank, list(layers)))
    write_json(unfinished / ADAPTER_SETTINGS, settings_of(first) | settings_of(second))
    write_meta(unfinished / "combined", {"first": first, "second": second}, started, rank=rank)
    put_in_place(unfinished, folder)


def require_pair(first: str, second: str, out: str) -> None:
    """InputError if the two adapters cannot be one: another base, prompt or kind, or OUT in place of other files."""
    for folder in (first, second):
        require_plain_lora(folder, adapter_config(folder))
        require_file(Path(folder) / WEIGHTS, "the weights of an adapter", "give the --output_dir of finetune.py")
        more = [what for key, what in UNSUPPORTED.items() if adapter_config(folder).get(key)]
        if more:
            raise InputError(
                f"expected plain LoRA in {folder}, found {', '.join(more)}: such adapters cannot be added, train on both "
                "datasets together instead"
            )
        if Path(folder).resolve().is_relative_to(Path(out).resolve()):
            raise InputError(f"expected another folder than {out} for both adapters, found {folder}: give another OUT")
    if not may_be_replaced(Path(out)):
        raise InputError(f"expected a new folder, or one with an adapter to replace, found {out}: give another OUT")
    bases = [settings_of(folder).get(BASE_WEIGHTS) for folder in (first, second)]
    if not all(bases):
        require_adapter(second, adapter_config(first)["base_model_name_or_path"])
    elif bases[0] != bases[1]:
        raise InputError(
            f"expected two adapters of one base, found {first} and {second} trained on different weights: train the second "
            "on the base of the first"
        )
    prompts = [settings_of(folder).get("system_prompt") for folder in (first, second)]
    if prompts[0] != prompts[1]:
        raise InputError(
            f"expected two adapters with one system prompt, found {prompts[0]!r} in {first} and {prompts[1]!r} in {second}: "
            "train the second with that of the first (--system_prompt)"
        )
    for folder in (first, second):
        require_adapter_weights(folder)


def may_be_replaced(out: Path) -> bool:
    """Whether nothing is lost with a folder but an adapter, or what a training that was stopped left of one."""
    if not out.is_dir():
        return not out.exists()
    return not any(out.iterdir()) or any(next(out.glob(trace), None) for trace in TRACES)


def settings_of(folder: str) -> dict:
    """The other settings that an adapter was trained with; none if it comes from elsewhere."""
    path = Path(folder) / ADAPTER_SETTINGS
    return read_json(path, "the adapter's settings") if path.is_file() else {}


def read_layers(folder: str) -> Layers:
    """The matrices of an adapter by module, B times the scale, in float32; InputError for anything but pairs of them."""
    from peft import LoraConfig
    from peft.utils.other import get_pattern_key
    from safetensors.torch import load_file

    config, tensors = LoraConfig.from_pretrained(folder), load_file(Path(folder) / WEIGHTS)
    names = {name.removesuffix(end) for name in tensors for end in ENDS if name.endswith(end)}
    others = tensors.keys() - {f"{name}{end}" for name in names for end in ENDS}
    if others:
        raise InputError(
            f"expected only lora_A and lora_B of linear layers in {folder}, found {min(others)}: train on both "
            "datasets together instead"
        )
    layers = {}
    for name in names:
        module = name.removeprefix(PREFIX)
        a, b = (tensors[f"{name}{end}"].float() for end in ENDS)
        alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern, module), config.lora_alpha)
        layers[module] = a, b * (alpha / (math.sqrt(len(a)) if config.use_rslora else len(a)))
    return layers


def concatenate(first: Layers, second: Layers) -> Layers:
    """The layers of both, all of one rank: where a module has less, as when it is in one of them only, zeros fill it up.

    Ranks by module (PEFT's rank_pattern) are what most servers do not read.
    """
    from torch import cat
    from torch.nn.functional import pad

    pairs = {name: [one[name] for one in (first, second) if name in one] for name in sorted({*first, *second})}
    both = {name: (cat([a for a, _ in pair]), cat([b for _, b in pair], dim=1)) for name, pair in pairs.items()}
    rank = max(len(a) for a, _ in both.values())
    return {name: (pad(a, (0, 0, 0, rank - len(a))), pad(b, (0, rank - len(a)))) for name, (a, b) in both.items()}


def combined_config(first: str, second: str, rank: int, modules: list[str]) -> dict:
    """adapter_config.json of both together: the second's, with one rank and a scale of 1 for all modules."""
    configs = [adapter_config(folder) for folder in (first, second)]
    targets = [config["target_modules"] for config in configs]
    narrowed = any(isinstance(names, str) for names in targets) or any(
        config.get(key) for config in configs for key in CHOOSING_LAYERS
    )
    return configs[1] | {
        "r": rank,
        "lora_alpha": rank,
        "use_rslora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": modules if narrowed else sorted({name for names in targets for name in names}),
        **dict.fromkeys(CHOOSING_LAYERS),
    }


def kept_of_second(folder: str, names: list[str]) -> list[str]:
    """What is not copied from the second adapter's folder: all but its tokenizer and chat template."""
    return [name for name in names if not name.startswith(("tokenizer", "special_tokens", "chat_template"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("first", help="the folder of an adapter")
    parser.add_argument("second", help="that of another one, of the same base")
    parser.add_argument("out", help="the folder to write both into, as one")
    given = parser.parse_args()
    combine(given.first, given.second, given.out)
    rank = adapter_config(given.out)["r"]
    print(f"combined: {given.out}, rank {rank}")


if __name__ == "__main__":
    run_script(main)
