"""LoRA adapters: laid on a model, saved, and read again by a fresh process before anybody is told that they are saved.

python -m training.adapters REQUEST.json     # that process: see `reopen`
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers

from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
SAME_LOGITS = 1e-3  # of the adapter read back and the trained model, in float32
SAME_LOGITS_16_BIT = 0.05  # as a share of the largest logit: bfloat16 keeps 8 bits, and kernels round differently
SAME_NORM = 1e-4  # relative
CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # initial values that are taken out of the base weights

log = logging.getLogger(__name__)


def changes_base(init_lora_weights: str | bool) -> bool:
    """Whether this way to begin changes the base weights, so that without the adapter the model is another one."""
    return str(init_lora_weights).startswith(CHANGES_BASE)


def load_base(name: str, dtype: torch.dtype, in_4_bits: bool = False, **options):
    """The base model, its linear layers in nf4 where asked for (Dettmers et al. 2023, QLoRA)."""
    quantization = None
    if in_4_bits:
        quantization = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    return transformers.AutoModelForCausalLM.from_pretrained(
        name, dtype=dtype, quantization_config=quantization, **options
    )


def load_model(name: str, lora, training):
    """The base model in the training's precision, with fresh LoRA layers where they are asked for.

    `lora` and `training` are the arguments of finetune.py.
    """
    from peft import get_peft_model, prepare_model_for_kbit_training

    if "lm_head" in lora.lora_target_modules and transformers.AutoConfig.from_pretrained(name).tie_word_embeddings:
        raise InputError(
            f"expected a head of its own in {name} for --lora_target_modules lm_head, found it tied to the embeddings, "
            "which merging the adapter would change too: take --modules_to_save lm_head"
        )
    options = {"attn_implementation": training.attention} if getattr(training, "attention", None) else {}
    model = load_base(name, torch.bfloat16 if training.bf16 else torch.float32, lora.q_lora, **options)
    model.config.use_cache = False
    if lora.q_lora:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=bool(training.gradient_checkpointing))
    elif training.gradient_checkpointing:
        model.enable_input_require_grads()
    return get_peft_model(model, lora_config(lora)) if lora.use_lora else model


def lora_config(lora):
    """peft's configuration from the arguments; InputError where an option of --lora_options is none of peft's."""
    from peft import LoraConfig

    targets = lora.lora_target_modules
    initial = {"true": True, "false": False}.get(lora.init_lora_weights.lower(), lora.init_lora_weights)
    options = json.loads(lora.lora_options) if lora.lora_options else {}
    try:
        return LoraConfig(
            r=lora.lora_r,
            lora_alpha=lora.lora_alpha or 2 * lora.lora_r,
            lora_dropout=lora.lora_dropout,
            target_modules=targets[0] if targets == ["all-linear"] else targets,
            modules_to_save=lora.modules_to_save,
            use_dora=lora.use_dora,
            use_rslora=lora.use_rslora,
            init_lora_weights=initial,
            task_type="CAUSAL_LM",
            **options,
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"expected options of peft's LoraConfig, found: {error}: mend the LoRA arguments") from None


@contextlib.contextmanager
def gathered(model, modifier_rank: int | None = None) -> Iterator[list[tuple[str, torch.nn.Parameter]]]:
    """The trainable parameters by name, whole even where ZeRO-3 has spread them over the ranks."""
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not transformers.integrations.is_deepspeed_zero3_enabled():
        yield parameters
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters([p for _, p in parameters], modifier_rank=modifier_rank):
        yield parameters


def norms(tensors: dict[str, torch.Tensor]) -> dict[str, list]:
    """{name: [shape, norm]}"""
    return {name: [list(t.shape), t.detach().float().norm().item()] for name, t in tensors.items()}


def safe_save_model_for_hf_trainer(
    trainer: transformers.Trainer,
    output_dir: str,
    batch: dict[str, torch.Tensor] | None = None,
    initial: str | None = None,
) -> float | None:
    """Save the adapter (or the whole model) on rank 0; under ZeRO-3 its weights are gathered, and nothing else.

    With a `batch`, a fresh process reads base and adapter from the disk, and shapes and norms of all tensors and the
    logits on the batch must be those of the trained model. Returns the largest difference of logits; RuntimeError
    where one is too large. `initial` is the folder of the adapter before its first update, where its initial values
    were taken from the base (`changes_base`): what is saved is then an adapter of the unchanged base.
    """
    from peft import get_peft_model_state_dict

    model = trainer.accelerator.unwrap_model(trainer.model)
    is_lora = hasattr(model, "peft_config")
    if initial is None:
        trainer.save_model(output_dir)
    elif trainer.args.process_index == 0:
        model.save_pretrained(output_dir, path_initial_model_for_weight_conversion=initial)
        trainer.processing_class.save_pretrained(output_dir)
    trainer.save_state()
    if batch is None or not is_lora:
        return None
    inputs = {key: value for key, value in batch.items() if key not in ("labels", "replay")}
    on_device = {
        key: value.to(trainer.args.device) if torch.is_tensor(value) else value for key, value in inputs.items()
    }
    model.eval()
    with torch.no_grad():
        trained = model(**on_device, use_cache=False).logits.float().cpu()
    with gathered(model):
        # A converted adapter has other tensors than the trained one: its logits alone are compared.
        expected = norms(get_peft_model_state_dict(model)) if initial is None else {}
    difference = None
    if trainer.args.process_index == 0:
        difference = compare_in_fresh_process(model, output_dir, inputs, trained, expected)
    trainer.accelerator.wait_for_everyone()
    return difference


def compare_in_fresh_process(model, adapter: str, inputs: dict, trained: torch.Tensor, expected: dict) -> float:
    """See safe_save_model_for_hf_trainer. `trained` are the logits (B, K, V), `expected` the norms by file name."""
    base = model.peft_config["default"].base_model_name_or_path
    dtype = str(model.dtype).removeprefix("torch.")
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.pt"
        torch.save(inputs, Path(folder) / "inputs.pt")
        request.write_text(
            json.dumps(
                {
                    "base": base,
                    "adapter": str(Path(adapter).resolve()),
                    "dtype": dtype,
                    "in_4_bits": bool(getattr(model, "is_loaded_in_4bit", False)),
                    "inputs": str(Path(folder) / "inputs.pt"),
                    "answer": str(answer),
                }
            )
        )
        alone = {key: value for key, value in os.environ.items() if key not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
        alone["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "training.adapters", str(request)]
        done = subprocess.run(command, capture_output=True, text=True, env=alone)
        if done.returncode:
            raise RuntimeError(f"the adapter in {adapter} cannot be read back: {done.stderr.strip()[-2000:]}")
        found = torch.load(answer, weights_only=True)
    for name in sorted(set(expected) | set(found["norms"]) if expected else ()):
        (shape, norm), (shape_found, norm_found) = expected.get(name, [None, 0]), found["norms"].get(name, [None, 0])
        if shape != shape_found or not math.isclose(norm, norm_found, rel_tol=SAME_NORM, abs_tol=1e-12):
            raise RuntimeError(
                f"the adapter in {adapter} has {name} as {shape_found} with norm {norm_found:.6g}, "
                f"trained was {shape} with norm {norm:.6g}"
            )
    difference = max((logits - trained).abs().max().item() for logits in found["logits"])
    allowed = SAME_LOGITS if dtype == "float32" else SAME_LOGITS_16_BIT * trained.abs().max().item()
    if not difference <= allowed:
        raise RuntimeError(f"the adapter in {adapter} differs from the trained one by {difference:.2g} in its logits")
    return difference


def reopen(request: dict) -> None:
    """Read a base and an adapter from the disk; write the norms of the adapter's tensors and the logits on a batch,
    beside the base and merged into it.

    `request` has base, adapter, dtype, in_4_bits, and the files inputs (a batch without labels) and answer.
    """
    from peft import PeftModel
    from safetensors.torch import load_file

    base = load_base(request["base"], getattr(torch, request["dtype"]), request["in_4_bits"])
    size = sum(p.numel() * p.element_size() for p in base.parameters())
    # The trained model is still on the GPU: this one goes beside it where there is room, else to the CPU.
    device = "cuda" if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > 1.3 * size else "cpu"
    model = PeftModel.from_pretrained(base.to(device) if not request["in_4_bits"] else base, request["adapter"]).eval()
    inputs = torch.load(request["inputs"], weights_only=True)
    inputs = {key: value.to(model.device) if torch.is_tensor(value) else value for key, value in inputs.items()}
    with torch.inference_mode():
        logits = [model(**inputs, use_cache=False).logits.float().cpu()]
        if not request["in_4_bits"]:  # inference merges the adapter into the base
            logits.append(model.merge_and_unload()(**inputs, use_cache=False).logits.float().cpu())
    saved = load_file(Path(request["adapter"]) / "adapter_model.safetensors")
    torch.save({"norms": norms(saved), "logits": logits}, request["answer"])


if __name__ == "__main__":
    transformers.utils.logging.disable_progress_bar()
    reopen(json.loads(Path(sys.argv[1]).read_text()))
