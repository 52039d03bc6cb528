"""A base model and its LoRA adapter as one model of full weights, compared with the two before it is called exported.

merge_adapter(run, Path("export"), "bfloat16")                # writes weights, config, tokenizer
difference = check_merged(run, Path("export"), "bfloat16")    # RuntimeError if it is another model
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError

from engines.chat import with_system_prompt
from engines.chat_template import answer_text, padding_id, prompt_ids
from engines.served import choose
from engines.standalone import save_tokenizer_and_defaults
from engines.tuned_run import TunedRun
from engines.weights import answering_dtype, load_adapter_to_merge, load_base
from training.read_back import ROUNDING_UNITS, ask_fresh_process, relative_difference, rounding_tolerance
from utils import InputError

COMPARED = 16  # questions of the run, with the tuned model's answers, whose logits are compared
# Of what the adapter changes in the logits, merging may change at most this: where rounding changes more, as it can with an
# adapter that was hardly trained, the merged model is no longer the tuned one.
EFFECT_SHARE = 0.25


@dataclass(frozen=True)
class Difference:
    """Differences in logits, each as a share of the root mean square of the adapter's beside its base.

    `merged`: of the merged model; `allowed`: how large that may be; `effect`: of the base without the adapter.
    """

    merged: float
    allowed: float
    effect: float


def require_full_weights(base: str) -> None:
    """InputError if the base is quantised: what the adapter adds cannot be added to such weights and rounded once."""
    found = getattr(transformers.AutoConfig.from_pretrained(base), "quantization_config", None)
    if found:
        method = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)
        raise InputError(
            f"expected weights in 16 or 32 bits in {base}, found them quantised ({method or 'somehow'}): serve the model with "
            "its adapter (bash shells/serve.sh), or train it on the model that is not quantised"
        )


def merge_adapter(run: TunedRun, folder: Path, dtype: str) -> None:
    """Write base and adapter of a run as one model in `folder`, its weights in `dtype`, for any server (engines.standalone).

    Needs memory for the base in its own precision.
    """
    model = merge_in_float32(load_adapter_to_merge(load_base(run.base, "auto"), run.adapter))
    model.to(getattr(torch, dtype))
    model.generation_config = transformers.GenerationConfig()  # the one for servers is written below
    try:
        model.save_pretrained(folder)
    except (SafetensorError, OSError) as error:  # of a full disk
        raise InputError(f"expected to write {folder}, found {error}: free the disk") from None
    save_tokenizer_and_defaults(run.base, run.system_prompt, folder)


def merge_in_float32(model) -> transformers.PreTrainedModel:
    """A PeftModel's base with the adapter added to each layer in float32, so that the sum is rounded once.

    In the 16 bits of a large model PEFT would round the adapter's share, and then the sum. One layer at a time is float32.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in list(model.modules()):
        if isinstance(module, BaseTunerLayer):
            layer = module.get_base_layer()
            own = next(layer.parameters()).dtype
            layer.float()
            module.merge(safe_merge=True)
            layer.to(own)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All adapters are already merged")
        return model.merge_and_unload()


def check_merged(run: TunedRun, folder: Path, dtype: str) -> Difference:
    """Compare the model in `folder` with the adapter beside its base, both read from disk by a fresh process.

    RuntimeError if they differ by more than rounding the weights to `dtype` explains, or by more than EFFECT_SHARE of what
    the adapter changes.
    """
    config = transformers.AutoConfig.from_pretrained(folder).get_text_config()
    request = {
        "base": run.base,
        "adapter": str(Path(run.adapter).resolve()),
        "merged": str(folder.resolve()),
        "dtype": str(answering_dtype()).removeprefix("torch."),
        "attention": "sdpa",
        "in_4_bits": False,
        "precision": "float32",  # that of the weights above, without autocast
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
    tuned, base, merged = ask_fresh_process(request, batch_of_answers(run))["logits"]
    effect = relative_difference(base, tuned)
    rounding = merging_tolerance(dtype, request["dtype"], config.num_hidden_layers)
    allowed = min(rounding, EFFECT_SHARE * effect)
    found = Difference(relative_difference(merged, tuned), allowed, effect)
    if not found.merged <= allowed:  # NaN is not allowed either
        raise RuntimeError(
            f"the merged model in {folder} differs from {run.adapter} beside its base by {found.merged:.2g} in its logits; "
            f"rounding the weights to {dtype} explains {rounding:.2g}, and the adapter "
            f"changes {effect:.2g}, of which {EFFECT_SHARE:.0%} may be lost: give DTYPE=float32, or report this"
        )
    return found


def merging_tolerance(on_disk: str, computed_in: str, layers: int) -> float:
    """How far the logits of a merged model may differ, as a share of their root mean square.

    Its weights were rounded once: one rounding unit, times the square root of the layers (see `rounding_tolerance`).
    Products are rounded in each layer, so where they are computed in 16 bits, more is explained.
    """
    weights_rounded = ROUNDING_UNITS[on_disk][0] * math.sqrt(layers)
    return max(weights_rounded, rounding_tolerance(computed_in, layers))


def batch_of_answers(run: TunedRun) -> dict[str, torch.Tensor]:
    """{"input_ids": (B, T)}: questions of the run with the tuned model's answers, padded on the right.

    No mask: what stands on the right changes no logits before it, and is the same for both models.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(run.base)
    rows = []
    for one in choose(run.questions(), COMPARED):
        prompt = prompt_ids(
            tokenizer, with_system_prompt([{"role": "user", "content": one.question}], run.system_prompt)
        )
        rows.append(
            torch.tensor(prompt + tokenizer(answer_text(tokenizer, one.tuned), add_special_tokens=False).input_ids)
        )
    return {"input_ids": torch.nn.utils.rnn.pad_sequence(rows, True, padding_id(tokenizer))}
