"""What is known of a machine and a model before anything is measured: weights, GPUs, and who will answer.

starts_of(model, words) and judge_start(words, starts) are what forecast.least_budget takes; `words` are arguments of a stage.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from budget.forecast import Starts, prior_starts
from utils import InputError


def starts_of(model_name_or_path: str, words: list[str]) -> Starts:
    """The prior of a start with this model on this machine, asked as these words to inference.py say."""
    from engines.gpus import usable_gpus

    on_gpu = bool(usable_gpus())
    return prior_starts(weight_bytes(model_name_or_path), on_gpu, on_gpu and uses_vllm(words))


def judge_start(words: list[str], starts: Starts) -> float:
    """The prior, in seconds, of a local judge's start where it has a GPU; 0 without, and for a judge of another kind."""
    given = read_given(words)
    if given.judge not in ("auto", "local") or not given.local_model_path or not starts.on_gpu:
        return 0.0
    return prior_starts(weight_bytes(given.local_model_path), True, uses_vllm(words)).asking


def uses_vllm(words: list[str]) -> bool:
    """Whether vLLM answers where there is a GPU (engines.choose)."""
    given = read_given(words)
    return given.engine != "transformers" and not given.api_model and importlib.util.find_spec("vllm") is not None


def read_given(words: list[str]) -> argparse.Namespace:
    """The arguments of a stage that decide on its starts; all others are passed over."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in (("engine", "auto"), ("api_model", None), ("judge", "auto"), ("local_model_path", None)):
        parser.add_argument(f"--{name}", default=default)
    return parser.parse_known_args(words)[0]


def weight_bytes(model_name_or_path: str) -> float:
    """The bytes that a start reads: of a folder's files, else what engines.placement finds for a name of the hub."""
    from engines import placement

    folder = Path(model_name_or_path)
    files = [file for kind in ("safetensors", "bin") for file in folder.glob(f"*.{kind}")]
    if files:
        return sum(file.stat().st_size for file in files)
    try:
        return placement.weight_bytes(model_name_or_path)
    except OSError as error:  # of transformers: no such name, or no network
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"expected the weights or the config of {model_name_or_path}, found neither here nor on the hub ({reason}): "
            "check the name"
        ) from None
