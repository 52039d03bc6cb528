"""A saved adapter is read back from disk by a fresh process, and compared, before it is reported as saved.

python -m training.read_back REQUEST.json     # that process: see `reopen`
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
import tempfile
from pathlib import Path

import torch
import transformers

from engines.adapter import WEIGHTS
from engines.processes import run_child
from engines.weights import load_base
from training import ranks
from training.adapters import disable_input_casting, gathered_parameters, save_adapter
from training.precision import weights_dtype

ROOT = Path(__file__).resolve().parents[1]
NORM_TOLERANCE = 1e-4  # relative
# The rounding unit, and by how many units two computations of logits may differ, times the square root of the layers.
# Less than half of it was measured (results/read_back.json). In float32 sums are rounded as often as products.
ROUNDING_UNITS = {"float32": (2.0**-24, 64), "tf32": (2.0**-11, 6), "float16": (2.0**-11, 6), "bfloat16": (2.0**-8, 6)}
# For a merged adapter: every weight is rounded once more, and an adapter may be larger than those measured.
MERGED_FACTOR = 2.0
MODEL_INPUTS = ("input_ids", "position_ids")
COMPARED_TOKENS = 512  # of the batch: logits of a long example over a large vocabulary take gigabytes, three times
LAUNCHER_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
)

log = logging.getLogger(__name__)


def compute_precision(training) -> str:
    """The precision in which a training computes products: a key of ROUNDING_UNITS."""
    if training.bf16 or training.fp16:
        return "bfloat16" if training.bf16 else "float16"
    return "tf32" if training.tf32 and training.device.type == "cuda" else "float32"


def rounding_tolerance(precision: str, layers: int) -> float:
    """How far logits or states computed twice may differ, as a share of their root mean square.

    The roundings of the layers add up like the steps of a random walk (Higham & Mary 2019, A new approach to
    probabilistic rounding error analysis). Another batch shape, another device, or merging the adapter into its base
    rounds differently; a larger difference means a different model.
    """
    unit, factor = ROUNDING_UNITS[precision]
    return factor * unit * math.sqrt(layers)


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The root mean square of the difference as a share of that of the expected values; NaN if any value is."""
    found, expected = found.double(), expected.double()
    return float((found - expected).square().mean().sqrt() / expected.square().mean().sqrt())


def safe_save_model_for_hf_trainer(
    trainer: transformers.Trainer,
    output_dir: str,
    batch: dict[str, torch.Tensor] | None = None,
    initial: str | None = None,
) -> float | None:
    """Save the adapter (or the whole model) on rank 0; under ZeRO-3 only its weights are gathered.

    With a `batch`, a fresh process reads base and adapter from disk; the shapes and norms of all tensors and the logits
    on the batch must match the trained model up to `rounding_tolerance`. On a GPU the trained model is released first,
    to make room for it. Returns the largest relative difference in logits; RuntimeError, on all ranks, if one is too
    large. `initial`: see `save_adapter`.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    is_lora = hasattr(model, "peft_config")
    if initial is None:
        trainer.save_model(output_dir)
    else:
        save_adapter(model, output_dir, initial)
        if trainer.args.process_index == 0:
            trainer.processing_class.save_pretrained(output_dir)
    trainer.save_state()
    if batch is None or not is_lora:
        log.info("saved in %s; not read back, as an adapter would be", output_dir)
        return None
    inputs = {name: batch[name][:, :COMPARED_TOKENS] for name in MODEL_INPUTS if name in batch}
    request = make_request(model, output_dir, trainer.args)
    trained_logits, expected_norms = logits_and_norms(model, inputs, trainer.args, norms_too=initial is None)
    release_model_memory(trainer)
    difference = ranks.run_on_rank_0(
        lambda: compare_in_fresh_process(request, inputs, trained_logits, expected_norms), "the adapter is read back"
    )
    message = "adapter in %s; read back by a fresh process, its logits differ by %.1e of theirs"
    log.info(message, output_dir, difference)
    return difference


def make_request(model, adapter: str, training) -> dict:
    """What the fresh process needs in order to compute as the training does, in the same precision."""
    return {
        "base": model.peft_config["default"].base_model_name_or_path,
        "adapter": str(Path(adapter).resolve()),
        "dtype": str(weights_dtype(training)).removeprefix("torch."),
        "attention": training.attention or "sdpa",
        "in_4_bits": bool(getattr(model, "is_loaded_in_4bit", False)),
        "precision": compute_precision(training),
        "layers": model.config.get_text_config().num_hidden_layers,
        "device": training.device.type,
    }


def autocast(precision: str, device: str) -> contextlib.AbstractContextManager:
    """The autocast of the training: products in `precision` if that has 16 bits."""
    if precision in ("bfloat16", "float16"):
        return torch.autocast(device, getattr(torch, precision))
    return contextlib.nullcontext()


def logits_and_norms(model, inputs: dict, training, norms_too: bool) -> tuple[torch.Tensor, dict]:
    """The trained model's logits (B, T, V) on a batch, and the norms of its adapter's tensors; call it on all ranks.

    A converted adapter has different tensors from the trained one, so only its logits are compared.
    """
    from peft import get_peft_model_state_dict

    model.eval()
    on_device = {name: value.to(training.device) for name, value in inputs.items()}
    with torch.no_grad(), autocast(compute_precision(training), training.device.type):
        logits = model(**on_device, use_cache=False).logits.float().cpu()
    with gathered_parameters(model):
        return logits, norms(get_peft_model_state_dict(model)) if norms_too else {}


def release_model_memory(trainer: transformers.Trainer) -> None:
    """Free the GPU memory of a model that is no longer trained. On a CPU the model stays as it is."""
    if trainer.args.device.type != "cuda":
        return
    for parameter in trainer.model.parameters():
        parameter.grad, parameter.data = None, parameter.data.new_empty(0)
        if hasattr(parameter, "ds_tensor"):  # this rank's part of it, under ZeRO-3
            parameter.ds_tensor.data = parameter.ds_tensor.data.new_empty(0)
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.accelerator.free_memory()


def norms(tensors: dict[str, torch.Tensor]) -> dict[str, list]:
    """{name: [shape, norm]}"""
    return {name: [list(t.shape), t.detach().float().norm().item()] for name, t in tensors.items()}


def compare_in_fresh_process(request: dict, inputs: dict, trained_logits: torch.Tensor, expected_norms: dict) -> float:
    """See safe_save_model_for_hf_trainer. `trained_logits` is (B, T, V), `expected_norms` is by tensor."""
    adapter, found = request["adapter"], ask_fresh_process(request, inputs)
    for name in sorted(set(expected_norms) | set(found["norms"]) if expected_norms else ()):
        (shape, norm), (shape_found, norm_found) = (
            expected_norms.get(name, [None, 0]),
            found["norms"].get(name, [None, 0]),
        )
        if shape != shape_found or not math.isclose(norm, norm_found, rel_tol=NORM_TOLERANCE, abs_tol=1e-12):
            raise RuntimeError(
                f"the adapter in {adapter} has {name} as {shape_found} with norm {norm_found:.6g}, "
                f"expected {shape} with norm {norm:.6g} as trained"
            )
    allowed = rounding_tolerance(request["precision"], request["layers"])
    differences = [relative_difference(logits, trained_logits) for logits in found["logits"]]
    limits = (allowed, MERGED_FACTOR * allowed)
    # no NaN is: no comparison finds it small enough
    if not all(difference <= limit for difference, limit in zip(differences, limits, strict=False)):
        raise RuntimeError(
            f"the adapter in {adapter} differs from the trained one by {differences} in its logits, beside its base and "
            f"merged into it; rounding explains {limits[0]:.2g} and {limits[1]:.2g}"
        )
    return max(differences)


def ask_fresh_process(request: dict, inputs: dict) -> dict:
    """What `reopen` finds in a process of its own; RuntimeError with that process's words if it fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(inputs, folder / "inputs.pt")
        (folder / "request.json").write_text(json.dumps({**request, "folder": name}))
        command = [sys.executable, "-m", "training.read_back", str(folder / "request.json")]
        code, output = run_child(command, env=single_process_environment())
        if code:
            raise RuntimeError(f"the adapter in {request['adapter']} cannot be read back: {output.strip()[-2000:]}")
        return torch.load(folder / "answer.pt", weights_only=True)


def single_process_environment() -> dict[str, str]:
    """This process's environment, for a process that is not a rank of a training and has all cores to itself."""
    removed_names = (*LAUNCHER_VARIABLES, *(("OMP_NUM_THREADS",) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ()))
    names = {name for name in os.environ if name in removed_names or name.startswith(("TORCHELASTIC_", "ACCELERATE_"))}
    kept = {name: value for name, value in os.environ.items() if name not in names}
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept


def reopen(request: dict) -> None:
    """Read a base and an adapter from disk; write the norms of the adapter's tensors and the logits on a batch, once
    beside the base and once merged into it.

    `request` comes from `make_request`, plus "folder", which has inputs.pt (a batch) and receives answer.pt. With "merged",
    the folder of a whole model (training.merge), the logits are those beside the base, of the base alone, and of that model.
    """
    from peft import PeftModel
    from safetensors.torch import load_file

    device, precision, folder = request["device"], request["precision"], Path(request["folder"])
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    options = {"device_map": "auto"} if device == "cuda" else {}  # over all GPUs if one is too small
    base = load_base(
        request["base"], getattr(torch, request["dtype"]), request["in_4_bits"],
        attn_implementation=request["attention"], **options,
    )  # fmt: skip
    model = PeftModel.from_pretrained(base, request["adapter"]).eval()
    disable_input_casting(model)
    inputs = torch.load(folder / "inputs.pt", weights_only=True)

    def logits_of(model) -> torch.Tensor:
        on_device = {name: value.to(model.device) for name, value in inputs.items()}
        return model(**on_device, use_cache=False).logits.float().cpu()

    with torch.no_grad(), autocast(precision, device):
        logits = [logits_of(model)]
        if "merged" in request:
            with model.disable_adapter():
                logits.append(logits_of(model))
            del model, base  # one after the other: a GPU may have room for one
            logits.append(logits_of(load_base(request["merged"], getattr(torch, request["dtype"]), **options).eval()))
        elif not request["in_4_bits"]:  # inference merges the adapter into the base
            logits.append(logits_of(model.merge_and_unload()))
    saved = {} if "merged" in request else load_file(Path(request["adapter"]) / WEIGHTS)
    torch.save({"norms": norms(saved), "logits": logits}, folder / "answer.pt")


if __name__ == "__main__":
    transformers.utils.logging.disable_progress_bar()
    reopen(json.loads(Path(sys.argv[1]).read_text()))
