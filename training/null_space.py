"""LoRA with A fixed to directions that the new rows use and general answers hardly do (`--init_lora_weights null_space`).

LoRA adds B A x to what a layer makes of its input x, so nothing changes where A x is zero. Each row of A is a direction a of the
layer's inputs. Here they are those with the most energy in the new rows for their energy in the untrained model's answers to
general prompts: the first generalised eigenvectors of N a = λ (G + εI) a, where N and G are the second moments of the inputs in
the one and in the other (moments.py). A stays as it is, and only B is trained, from zero as usual. InfLoRA (Liang & Li 2024,
arXiv 2404.00228, section 3.2) fixes A too; LoRA-Null (Tang et al. 2025, arXiv 2503.02659) goes by G alone.

The moments are measured by a process of its own, which can use all GPUs and has ended before any rank loads weights. What is
trained beside LoRA's matrices, such as DoRA's magnitudes or modules_to_save, is not held back by this.
"""

from __future__ import annotations

import hashlib
import logging
import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import torch

from engines.adapter import weights_fingerprint
from engines.processes import wait_for_child
from training import ranks
from training.adapters import NULL_SPACE, gathered_parameters
from training.read_back import single_process_environment
from utils import InputError, write_json

A = ".lora_A.default.weight"  # after the name of a layer
FILE = "directions.safetensors"  # in --output_dir, until the training has ended
TOKENS = 16384  # that are read at most, of the new rows and of the general answers

log = logging.getLogger(__name__)


def uses_null_space(lora) -> bool:
    return lora.use_lora and lora.init_lora_weights.lower() == NULL_SPACE


def find_directions(name: str, lora, training, examples, resume: str | None) -> list[str]:
    """Have A of each layer written to FILE; returns the names of the layers, none if the arguments ask for another A.

    `examples` are those of the training, replayed answers among them, `lora` and `training` the arguments of finetune.py,
    `resume` the checkpoint that it goes on from: then the file is the one it began with. InputError if there are no replayed
    answers, or the process fails. All ranks must call this.
    """
    if not uses_null_space(lora):
        return []
    path = Path(training.output_dir) / FILE
    return ranks.run_on_rank_0(
        lambda: make_file(path, name, lora, training, examples, resume), "directions for LoRA are found"
    )


def make_file(path: Path, name: str, lora, training, examples, resume: str | None) -> list[str]:
    replayed = [row.get("kind") == "replay" for row in examples.rows]
    new, general = ([index for index, found in enumerate(replayed) if found == wanted] for wanted in (False, True))
    if not general:
        raise InputError(
            "expected replayed answers for --init_lora_weights null_space, found none: raise --replay_ratio, or leave it out"
        )
    request = {
        "name": name,
        "lora": asdict(lora),
        "on_cpu": training.device.type == "cpu",
        "seed": training.seed,
        "new": some(examples, new, training.seed),
        "general": some(examples, general, training.seed),
    }
    identity = hashlib.sha256(repr((sorted(request.items()), weights_fingerprint(name))).encode()).hexdigest()[:16]
    names = names_in(path, None if resume else identity)
    if resume and training.deepspeed and not names:
        raise InputError(
            f"expected the directions of this training in {path}, found none, and DeepSpeed's checkpoints are without them: "
            "start again in another --output_dir"
        )
    if not names:
        began = time.monotonic()
        measure_in_child({**request, "identity": identity, "path": str(path.resolve())})
        names = names_in(path, identity)
        if not names:
            raise InputError(
                f"expected linear layers for --init_lora_weights null_space in {name}, found none: leave it out"
            )
        log.info("LoRA's A is fixed in %d layers, to directions found in %.0f s", len(names), time.monotonic() - began)
    return names


def some(examples, indices: list[int], seed: int) -> list[list[int]]:
    """The token ids of examples drawn at random, as many as have TOKENS tokens."""
    chosen, left = [], TOKENS
    for index in random.Random(seed).sample(indices, len(indices)):
        if left <= 0:
            break
        chosen.append(list(examples[index]["input_ids"]))
        left -= len(chosen[-1])
    return chosen


def measure_in_child(request: dict) -> None:
    """Have moments.py write the file of a request; InputError if it fails."""
    Path(request["path"]).parent.mkdir(parents=True, exist_ok=True)
    environment = single_process_environment() | ({"CUDA_VISIBLE_DEVICES": ""} if request["on_cpu"] else {})
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "request.json"
        write_json(asked, request)
        code = wait_for_child([sys.executable, "-m", "training.moments", str(asked)], env=environment)
    if code:
        raise InputError(
            f"expected directions for LoRA from {request['name']}, found exit code {code}: see above, or leave "
            "--init_lora_weights out"
        )


def names_in(path: Path, identity: str | None) -> list[str]:
    """The layers of a file that is whole and was made from `identity`, or from anything if that is None."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return []
    try:
        with safe_open(path, "pt") as file:
            found = [name.removesuffix(A) for name in file.keys()]  # noqa: SIM118 - it is no dictionary
            return found if identity in (None, file.metadata()["of"]) else []
    except SafetensorError:  # cut short by a power failure
        return []


def aim(model, names: list[str], folder: str) -> None:
    """Put the directions in `folder` into the A of these layers, which is not trained then. All ranks must call this.

    Rank 0 alone reads them, since another machine may not see the file: DDP and DeepSpeed begin with the weights of rank 0.
    peft is told, too: it would let A be trained again whenever an adapter that was off is on again.
    """
    from safetensors.torch import load_file

    if not names:
        return
    found = load_file(Path(folder) / FILE) if ranks.is_rank_0() else {}
    with torch.no_grad(), gathered_parameters(model, modifier_rank=0) as parameters:
        for name, parameter in parameters:
            if name in found:
                parameter.copy_(found[name])
    for name in names:
        layer = model.get_submodule(name)
        layer.frozen_peft_weight_names = {"default": ("lora_A",)}
        layer._freeze_non_trainable_peft_weights()
