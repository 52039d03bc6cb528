"""The process that finds directions for LoRA's A: it measures the inputs of the layers, and solves for them (null_space.py).

In:  REQUEST.json, {"name": the base model's, "lora": the LoRA arguments of finetune.py, "on_cpu", "seed", "new" and "general":
     lists of token ids, "path", "identity"}.
Out: safetensors at "path", A of each linear layer with LoRA by peft's name for it; "identity" as "of" in its metadata.

python -m training.moments REQUEST.json
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.linalg import cholesky, eigh, qr, solve_triangular

from training.arguments import LoraArguments
from training.null_space import A
from utils import read_json, run_script

TOKENS_A_PASS = 4096  # of a batch
MOMENTS_BYTES = 4 << 30  # of the layers that are measured in one pass over the tokens; on a GPU half of what is free
ENERGY = 2.0  # of a direction in the new rows, for that of a random row of A; by dev passages, see docs/log.md
EPSILON = 0.01  # of the median energy of an input in general answers: what counts as none
ROUNDING = 1e-4  # more than that of sums in float32: a few inputs are a thousand times as large as the others
OVERSAMPLING, ITERATIONS = 16, 6  # of the subspace iteration (Halko et al. 2011, section 4.5)
LEAST_SHARE = 1e-6  # of the largest energy among the directions that the smallest must have: else there are too few
WORK_COPIES = 4  # of a layer's moments, in float64, that solving for its directions takes

Sequences = list[list[int]]


@dataclass
class Moments:
    """Of the inputs of a layer, width d: the sum of x x' (d, d), and |x|² of each token."""

    product: torch.Tensor
    energies: list[torch.Tensor]

    def tokens(self) -> int:
        return sum(map(len, self.energies))


class AllRead(Exception):
    """All layers of a lot have run: nothing above them need be."""


def answer_request() -> None:
    """Write A for each linear layer that has LoRA and whose inputs fill so many directions."""
    from peft import get_peft_model
    from safetensors.torch import save_file

    from engines.weights import answering_dtype, load_base
    from training.adapters import lora_config
    from training.precision import cpu_prefers_bfloat16

    request = read_json(sys.argv[1], "what to measure")
    lora = LoraArguments(**request["lora"])
    on_cpu = request["on_cpu"] or not torch.cuda.is_available()
    dtype = (torch.bfloat16 if cpu_prefers_bfloat16() else torch.float32) if on_cpu else answering_dtype()
    base = load_base(request["name"], dtype, lora.q_lora, **({} if on_cpu else {"device_map": "auto"}))
    model = get_peft_model(base, lora_config(lora, base)).eval()
    torch.manual_seed(request["seed"])
    found = {}
    for layers in lots(model, MOMENTS_BYTES if on_cpu else free_bytes() // 2):
        new, owners = measure(model, layers, request["new"])
        general, _ = measure(model, layers, request["general"])
        for name, a in directions_of(layers, owners, new, general).items():
            found[name + A] = a
    path = Path(request["path"])
    part = path.with_suffix(".part")
    save_file(found, part, metadata={"of": request["identity"]})
    part.replace(path)


def free_bytes() -> int:
    """On the GPU that has the least."""
    return min(torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count()))


def lots(model, room: int) -> Iterator[dict[str, torch.nn.Module]]:
    """The linear layers with LoRA, by name, in lots whose two moments fit into so many bytes; at least one in each lot.

    The head is none of them: it reads the last token alone here.
    """
    head, lot, size = model.get_output_embeddings(), {}, 0
    for name, layer in model.named_modules():
        has_lora = hasattr(layer, "lora_A") and len(layer.lora_A) > 0
        if not has_lora or layer is head or not isinstance(layer.base_layer, torch.nn.Linear):
            continue
        needed = 2 * 4 * layer.in_features**2
        if lot and size + needed > room:
            yield lot
            lot, size = {}, 0
        lot[name], size = layer, size + needed
    if lot:
        yield lot


@torch.no_grad()
def measure(
    model, layers: dict[str, torch.nn.Module], sequences: Sequences
) -> tuple[dict[str, Moments], dict[str, str]]:
    """The moments of the layers' inputs over the tokens of the sequences, and by which layer's name each has its own.

    Layers that read one tensor, such as those of queries, keys and values, share those of the first of them.
    """
    moments: dict[str, Moments] = {}
    owners: dict[str, str] = {}
    before: list = ["", None]  # the layer that ran before, and what it read
    run: set[str] = set()  # in this pass

    def hook(name: str):
        def read(_, inputs: tuple[torch.Tensor, ...]) -> None:
            if inputs[0] is before[1]:
                owners[name] = before[0]
            else:
                before[:], owners[name] = [name, inputs[0]], name
                x = inputs[0].flatten(0, -2).float()
                energies = torch.linalg.vector_norm(x, dim=-1).square()
                if name not in moments:
                    moments[name] = Moments(x.new_zeros(x.shape[1], x.shape[1]), [])
                moments[name].product.addmm_(x.T, x)
                moments[name].energies.append(energies)
            run.add(name)
            if len(run) == len(layers):
                raise AllRead

        return read

    handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items()]
    device = model.get_input_embeddings().weight.device
    try:
        for ids in batches(sequences):
            run.clear()
            with contextlib.suppress(AllRead), model.disable_adapter():  # which has not been given to each device
                model(input_ids=ids.to(device), use_cache=False, logits_to_keep=1)
    finally:
        for handle in handles:
            handle.remove()
    return moments, owners


def batches(sequences: Sequences) -> Iterator[torch.Tensor]:
    """Token ids (B, T) of sequences of about one length, each cut to the shortest of them, so that none has padding."""
    in_order = sorted(sequences, key=len)
    while in_order:
        width = len(in_order[0])
        alike = sum(0.9 * len(ids) <= width for ids in in_order)
        count = min(alike, max(1, TOKENS_A_PASS // width))
        yield torch.tensor([ids[:width] for ids in in_order[:count]])
        in_order = in_order[count:]


def directions_of(
    layers: dict[str, torch.nn.Module], owners: dict[str, str], new: dict[str, Moments], general: dict[str, Moments]
) -> dict[str, torch.Tensor]:
    """A of each layer that has one; without are those that have seen too little, as one of many experts may have."""
    made: dict[tuple[str, int], torch.Tensor | None] = {}
    found = {}
    for name, layer in layers.items():
        owner, shape = owners.get(name, ""), layer.lora_A["default"].weight.shape
        if owner not in general or min(new[owner].tokens(), general[owner].tokens()) <= shape[0]:
            continue
        if (owner, shape[0]) not in made:
            made[owner, shape[0]] = directions(new[owner], general[owner], shape[0])
        a = made[owner, shape[0]]
        if a is not None and a.shape == shape:
            found[name] = a.clone()
    return found


def directions(new: Moments, general: Moments, rank: int) -> torch.Tensor | None:
    """A (rank, d): the directions, each with ENERGY times as much in a typical token of the new rows as a random row of A.

    Those are uniform within ±1/√d (peft: kaiming_uniform_ with a = √5), so that they give |x|² / 3d on average. None if the
    new rows do not have so many directions. Where the GPU has no room for it, this is done in main memory.
    """
    n, g = new.product / new.tokens(), general.product / general.tokens()
    width = len(n)
    if n.is_cuda and torch.cuda.mem_get_info(n.device)[0] < WORK_COPIES * 8 * width**2:
        n, g = n.cpu(), g.cpu()
    n, g = n.double(), g.double()
    usual = g.diagonal().median().clamp(min=torch.finfo(torch.float32).tiny)
    g.diagonal().mul_(1 + ROUNDING).add_(EPSILON * usual)
    root = cholesky(g)  # g = root root'

    def apply(vectors: torch.Tensor) -> torch.Tensor:
        """The inverse of the root, n, and the transposed inverse of the root, on (d, k)."""
        return solve_triangular(root, n @ solve_triangular(root.T, vectors, upper=True), upper=False)

    block = torch.randn(width, min(width, rank + OVERSAMPLING), dtype=n.dtype, device=n.device)
    for _ in range(ITERATIONS):
        block = qr(apply(block)).Q
    vectors = block @ eigh(block.T @ apply(block)).eigenvectors[:, -rank:]
    rows = solve_triangular(root.T, vectors, upper=True).T
    rows = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    energies = ((rows @ n) * rows).sum(1)
    wanted = ENERGY * torch.cat(new.energies).median().double() / (3 * width)
    if not (energies.min() > LEAST_SHARE * energies.max() and wanted > 0):
        return None
    return (rows * (wanted.to(rows.device) / energies).sqrt()[:, None]).float().cpu().contiguous()


if __name__ == "__main__":
    run_script(answer_request)
