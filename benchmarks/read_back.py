"""How much logits differ when computed twice: the basis of what training/read_back.py allows.

In:  --model_name_or_path; its first layers, and all of them, get random adapters.
Out: --results, for each precision and number of layers the largest relative difference between an example alone and in a
     padded batch, and between an adapter beside its base and merged into it; what is allowed; and how much an adapter
     that is left out, or scaled up by a tenth, would differ.

    python benchmarks/read_back.py
"""

from __future__ import annotations

import copy
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import transformers
from peft import LoraConfig, get_peft_model

import provenance
from engines.hub import require_model
from training.adapters import disable_input_casting
from training.read_back import autocast, relative_difference, rounding_tolerance
from utils import parse_arguments, run_script, write_json

TEXTS = (
    "The second site was opened in Kestrel Bay on 14 March 2031, and 212 engineers were hired for it.",
    "The council voted seven to two to keep the library open on Sundays.",
)
LAYERS = (3, None)  # None: all of them
# standard deviations of the adapters' second matrices: from the start to a long training
ADAPTER_SIZES = (0.002, 0.01, 0.03)


@dataclass
class Arguments:
    model_name_or_path: str = field(default="models/SmolLM2-135M-Instruct", metadata={"help": "A model folder."})
    results: str = field(default="results/read_back.json", metadata={"help": "The JSON file to write."})
    seed: int = 0


def logits(model, texts: list[torch.Tensor], precision: str) -> list[torch.Tensor]:
    with torch.no_grad(), autocast(precision, "cpu"):
        return [model(text, use_cache=False).logits.float() for text in texts]


def largest_difference(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    return max(relative_difference(a, b) for a, b in zip(found, expected, strict=True))


def measure(name: str, layers: int | None, precision: str, seed: int) -> dict:
    """The largest differences over all SIZES of adapters."""
    config = transformers.AutoConfig.from_pretrained(name)
    config.num_hidden_layers = layers or config.num_hidden_layers
    tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    texts = [torch.tensor([tokenizer(text).input_ids]) for text in TEXTS]
    base = transformers.AutoModelForCausalLM.from_pretrained(name, config=config, dtype=getattr(torch, precision))
    untrained = logits(base, texts, precision)
    options = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, options).eval()
    disable_input_casting(model)
    rows = {"padded": [], "merged": [], "left_out": [], "scaled": []}
    for size in ADAPTER_SIZES:
        torch.manual_seed(seed)
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                parameter.data.normal_(std=size)
        alone = logits(model, texts, precision)
        width = max(text.shape[1] for text in texts)
        together = torch.cat([torch.nn.functional.pad(text, (0, width - text.shape[1])) for text in texts])
        [both] = logits(model, [together], precision)
        padded = [both[number, : text.shape[1]][None] for number, text in enumerate(texts)]
        merged = copy.deepcopy(model).merge_and_unload()
        rows["padded"].append(largest_difference(padded, alone))
        rows["merged"].append(largest_difference(logits(merged, texts, precision), alone))
        rows["left_out"].append(largest_difference(untrained, alone))
        for parameter_name, parameter in model.named_parameters():
            if "lora_B" in parameter_name:
                parameter.data *= 1.1
        rows["scaled"].append(largest_difference(logits(model, texts, precision), alone))
    found = {key: [float(f"{value:.2e}") for value in values] for key, values in rows.items()}
    allowed = rounding_tolerance(precision, config.num_hidden_layers)
    return {"precision": precision, "layers": config.num_hidden_layers, "allowed": float(f"{allowed:.2e}"), **found}


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    require_model(arguments.model_name_or_path)
    started = time.time()
    measured = [
        measure(arguments.model_name_or_path, layers, precision, arguments.seed)
        for layers in LAYERS
        for precision in ("float32", "bfloat16")
    ]
    write_json(
        arguments.results,
        {
            "adapter_sizes": ADAPTER_SIZES,
            "relative_differences": measured,
            "seconds": round(time.time() - started, 1),
            "machine": provenance.machine(),
            "date": provenance.today(),
            "commit": provenance.commit(),
            "versions": provenance.versions(),
        },
    )
    for row in measured:
        print(row)


if __name__ == "__main__":
    run_script(main)
