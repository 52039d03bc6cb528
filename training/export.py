"""Export a finished run: base and adapter merged to full weights, checked, with a model card, ready for `hf upload`.

In:  RUN, the OUT of run_all.py: lora/, its answers, scores and metas.
Out: RUN/export/: model.safetensors, config.json, generation_config.json, tokenizer and chat template (with the system prompt
     of the training inside), README.md; model-bf16.gguf where llama.cpp's converter is installed. RUN/log/export.meta.json
     with "merged_difference", "merged_allowed", "adapter_effect" (training.merge) and "gguf": {"asked", "same"}.

    python -m training.export output/run "" bfloat16 "" ""       # RUN MODEL DTYPE BASE_NAME LICENSE
"""

from __future__ import annotations

import argparse
import logging
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch

from engines.placement import weight_bytes
from engines.processes import lock
from engines.served import CHECKED, TUNED, Likeness, choose, compare, require_served
from engines.tuned_run import TunedRun, read_run
from provenance import write_meta
from training.gguf_file import CHECKOUT, TYPES, ask_gguf, can_ask, convert, find_converter, require_converter
from training.in_place import put_in_place
from training.merge import check_merged, merge_adapter, require_full_weights
from training.model_card import write_card
from utils import InputError, log_file, run_script

FOLDER = "export"

log = logging.getLogger(__name__)


def export_gguf(run: TunedRun, converter: Path, folder: Path, dtype: str, count: int = CHECKED) -> Likeness | None:
    """Write the GGUF file and ask it `count` of the run's questions; None where llama-cpp-python is not installed.

    InputError if its answers are not those of inference.py.
    """
    file = convert(converter, folder, dtype)
    if not can_ask():
        log.warning("%s was not asked anything: pip install llama-cpp-python, and export again, to check it", file.name)
        return None
    asked = choose(run.questions(), count)
    likeness = compare(asked, ask_gguf(file, asked, run.max_new_tokens), TUNED)
    require_served(likeness, str(file))
    log.info("%s: %d of %d answers are inference.py's", file.name, likeness.same, likeness.asked)
    return likeness


def require_room(base: str, folder: Path, dtype: str, with_gguf: bool) -> None:
    """InputError if the disk of a folder has no room for the export: found out now rather than after merging."""
    needed = weight_bytes(base) * getattr(torch, dtype).itemsize / 2 * (2 if with_gguf else 1)
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise InputError(
            f"expected {needed / 2**30:.1f} GiB free for {folder}, found {free / 2**30:.1f}: free the disk, or make that "
            "folder a link to one on another disk"
        )


def export(run: TunedRun, dtype: str, base_name: str | None, licence: str | None) -> Path:
    """Write RUN/export/, in place of an earlier one, once all of it is there and checked; returns its folder.

    Where that is a link, the folder that it leads to is written.
    """
    started, folder = time.time(), (run.folder / FOLDER).resolve()
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    converter = find_converter()
    if converter:
        require_converter(converter)
    folder.parent.mkdir(parents=True, exist_ok=True)
    require_room(run.base, folder, dtype, converter is not None)
    try:
        merge_adapter(run, unfinished, dtype)
        difference = check_merged(run, unfinished, dtype)
        log.info("merged: the logits differ by %.2g, %.2g is allowed", difference.merged, difference.allowed)
        likeness = None
        if converter:
            likeness = export_gguf(run, converter, unfinished, dtype)
        else:
            log.info("no GGUF file: for one, set %s to a checkout of llama.cpp", CHECKOUT)
        write_card(run, unfinished, dtype, difference, likeness, base_name, licence)
        put_in_place(unfinished, folder)
    finally:  # as large as the model, and nobody looks for it
        shutil.rmtree(unfinished, ignore_errors=True)
    facts = {
        "merged_difference": difference.merged,
        "merged_allowed": difference.allowed,
        "adapter_effect": difference.effect,
        "gguf": likeness and {"asked": likeness.asked, "same": likeness.same},
    }
    folder = run.folder / FOLDER
    write_meta(folder, {**asdict(run), "folder": str(run.folder), "dtype": dtype}, started, **facts)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="the folder of a run, OUT of shells/run_all.sh")
    parser.add_argument("model", help='where its base model is; "" for where it was')
    parser.add_argument("dtype", choices=list(TYPES), help="of the weights on disk")
    parser.add_argument("base_name", help='the base on the Hugging Face hub, for the card; "" if MODEL is that')
    parser.add_argument("licence", help='the licence, for the card; "" for that of the base')
    given = parser.parse_args()
    run = read_run(given.run, given.model or None)
    run.questions()  # InputError now rather than after merging
    require_full_weights(run.base)
    with lock(log_file(run.folder / ".export.lock"), f"the export of {run.folder}"):
        folder = export(run, given.dtype, given.base_name or None, given.licence or None)
    print(f"exported: {folder}; read its README.md, then: hf upload OWNER/NAME {folder}")


if __name__ == "__main__":
    run_script(main)
