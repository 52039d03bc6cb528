"""Whether a LoRA adapter fits a base model: by the base's weights where they were recorded, by its name otherwise."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path

from engines.hub import cached_folder
from utils import ADAPTER_SETTINGS, InputError, read_json, require_file

BASE_WEIGHTS = "base_weights"  # in ADAPTER_SETTINGS: the fingerprint of the weights an adapter was trained on
# from the middle of each: a model of 32B takes a second, even from a slow disk
SAMPLED_TENSORS, SAMPLED_BYTES = (256, 512)
WEIGHTS, PICKLED = "adapter_model.safetensors", "adapter_model.bin"  # an adapter's; PEFT once wrote the second


def require_adapter(folder: str, model_name_or_path: str) -> None:
    """Check a LoRA adapter's folder against its base model before any weights are loaded."""
    config = read_json(Path(folder) / "adapter_config.json", "a LoRA adapter", "give the --output_dir of finetune.py")
    base = config.get("base_model_name_or_path") or ""
    fits = fits_by_weights(folder, base, model_name_or_path)
    if fits or (fits is None and Path(base).name == Path(model_name_or_path).name):
        return
    if fits is None:
        raise InputError(
            f"expected an adapter for {model_name_or_path}, found one for {base} in {folder}: give its own base model; if "
            f"they are the same, write {model_name_or_path} as base_model_name_or_path into its adapter_config.json"
        )
    raise InputError(
        f"expected an adapter for {model_name_or_path}, found one for {base} in {folder}, trained on other weights: give "
        f"its own base model; to use it all the same, write {model_name_or_path} as base_model_name_or_path into its "
        f'adapter_config.json and remove "{BASE_WEIGHTS}" from its {ADAPTER_SETTINGS}'
    )


def require_adapter_weights(folder: str) -> None:
    """InputError if the weights of an adapter are not there whole, as where its training or a copy of it was cut short."""
    if not (Path(folder) / PICKLED).is_file():
        read_header(
            require_file(Path(folder) / WEIGHTS, "the weights of an adapter", "train it to its end, or copy it again")
        )


def fits_by_weights(folder: str, base: str, model_name_or_path: str) -> bool | None:
    """Whether the weights are those that the adapter was trained on; None if one of the two is not known.

    An adapter without a record, made by an earlier version or elsewhere, is compared with the base in its old place.
    """
    settings = Path(folder) / ADAPTER_SETTINGS
    recorded = read_json(settings, "the adapter's settings").get(BASE_WEIGHTS) if settings.is_file() else None
    if not recorded and Path(base).name == Path(model_name_or_path).name:
        return None
    trained_on, found = recorded or weights_fingerprint(base), weights_fingerprint(model_name_or_path)
    return trained_on == found if trained_on and found else None


@functools.lru_cache
def weights_fingerprint(model_name_or_path: str) -> str | None:
    """A hash of a local or downloaded model's safetensors, the same however they are spread over files; None without any.

    It covers name, type and shape of every tensor and a few bytes of up to SAMPLED_TENSORS, chosen by the hash of their
    names, so that all kinds of layers are among them.
    """
    folder = Path(model_name_or_path) if Path(model_name_or_path).is_dir() else cached_folder(model_name_or_path)
    tensors = {} if folder is None else read_headers(folder)
    if not tensors:
        return None
    digest = hashlib.sha256()
    for name in sorted(tensors):
        _, dtype, shape, _, _ = tensors[name]
        digest.update(json.dumps([name, dtype, shape]).encode())
    for name in sorted(tensors, key=lambda name: hashlib.sha256(name.encode()).digest())[:SAMPLED_TENSORS]:
        file, _, _, start, size = tensors[name]
        with file.open("rb") as opened:
            digest.update(
                os.pread(opened.fileno(), min(size, SAMPLED_BYTES), start + max(0, size - SAMPLED_BYTES) // 2)
            )
    return digest.hexdigest()[:32]


def read_headers(folder: Path) -> dict[str, tuple[Path, str, list[int], int, int]]:
    """{tensor: (file, type, shape, first byte, bytes)} of a model's safetensors files.

    A file starts with the length of its header, 8 bytes, and the header, JSON (github.com/huggingface/safetensors).
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        files = sorted({folder / name for name in read_json(index, "a model's index")["weight_map"].values()})
    else:
        whole = folder / "model.safetensors"
        files = [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))
    tensors = {}
    for file in files:
        tensors |= read_header(file)
    return tensors


def read_header(file: Path) -> dict[str, tuple[Path, str, list[int], int, int]]:
    """See read_headers; InputError if the file is another one, or is not whole."""
    try:
        with file.open("rb") as opened:
            length, found = int.from_bytes(opened.read(8), "little"), file.stat().st_size
            header = json.loads(opened.read(min(length, found)))
    except (OSError, ValueError):
        raise InputError(
            f"expected a model's weights in {file}, found no safetensors: copy or download it again"
        ) from None
    tensors = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            start, end = tensor["data_offsets"]
            tensors[name] = (file, tensor["dtype"], tensor["shape"], 8 + length + start, end - start)
    whole = max((start + size for _, _, _, start, size in tensors.values()), default=0)
    if found < whole:
        raise InputError(
            f"expected {whole:,} bytes of weights in {file}, found {found:,}: it was cut short, copy or download it again"
        )
    return tensors


def trained_system_prompt(lora_weights: str | Path) -> str | None:
    """The system prompt an adapter was trained with; None if that is not recorded, or there was none."""
    settings = Path(lora_weights) / ADAPTER_SETTINGS
    return read_json(settings, "the adapter's settings")["system_prompt"] if settings.is_file() else None
