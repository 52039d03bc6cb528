"""The ten parts of benchmarks/gpu.py, and the code of the short ones: attention (1), the transformers engine (7), matmul (9).

    python -m benchmarks.gpu_parts SETTINGS.json      # one of them, in a separate process; gpu.py starts it

A part yields results; the answer file is written after each, so that a part that is ended leaves what it had measured.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import gpu_steps, gpu_training
from benchmarks.gpu_model import Bench, make_cut, make_rows, make_whole
from benchmarks.gpu_run import stop_at_sigterm
from utils import run_script, write_json

LENGTHS = (64, 192, 320, 704, 1088)  # length % 128 == 64
HEADS, HEAD_WIDTH = 8, 128
LOW_LOGIT = -120.0  # every row's logsumexp is then below ln of the largest float32, as in pytorch#196678
REAL_SHARES = (1.0, 0.75, 0.5, 0.1)  # of the length of each row of a batch
NEW_TOKENS = 48
SCHEMA = {
    "type": "object",
    "properties": {
        "answer": {"type": "string", "maxLength": 24},
        "kind": {"enum": ["fact", "opinion", "unknown"]},
        "sure": {"type": "boolean"},
    },
    "required": ["answer", "kind", "sure"],
    "additionalProperties": False,
}


def attention(bench: Bench) -> Iterator[dict]:
    """Part 1: non-finite numbers in the output and gradients of attention, by length, with each fix on and off."""
    import torch

    found: dict[str, dict] = {}
    for kind, make in (("logits near -120", low_logits), ("padded rows", padded_rows)):
        for cudnn in (True, False):
            torch.backends.cuda.enable_cudnn_sdp(cudnn)
            for masked in (True, False):
                name = f"{'a mask' if masked else 'no mask'}, cuDNN {'on' if cudnn else 'off'}"
                counts = {str(length): count_not_finite(*make(length, masked, bench.device)) for length in LENGTHS}
                found.setdefault(kind, {})[name] = counts
                yield {"not_finite": found}
    yield {"not_finite_as_we_train": sum(sum(found[kind]["no mask, cuDNN off"].values()) for kind in found)}


def low_logits(length: int, masked: bool, device: str):
    """(q, k, v, mask or None, gradient of the output): every logit is near LOW_LOGIT; nothing is padded."""
    import torch

    q, k, v, gradient = random_tensors(1, length, device)
    q, k = 0.1 * q, 0.1 * k
    q[..., 0], k[..., 0] = 1.0, LOW_LOGIT * math.sqrt(HEAD_WIDTH)
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]
    return q, k, v, causal if masked else None, gradient


def padded_rows(length: int, masked: bool, device: str):
    """The same for rows of REAL_SHARES: padded on the left with a mask, else on the right; no gradient from padding."""
    import torch

    q, k, v, gradient = random_tensors(len(REAL_SHARES), length, device)
    real = torch.tensor([max(1, round(share * length)) for share in REAL_SHARES], device=device)[:, None]
    places = torch.arange(length, device=device)[None]
    is_real = places >= length - real if masked else places < real
    gradient = gradient * is_real[:, None, :, None]
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    return q, k, v, causal & is_real[:, None, None, :] if masked else None, gradient


def random_tensors(rows: int, length: int, device: str):
    """q, k, v and the gradient of the output, each (rows, HEADS, length, HEAD_WIDTH), in bfloat16."""
    import torch

    torch.manual_seed(length)
    shape = (4, rows, HEADS, length, HEAD_WIDTH)
    return torch.randn(shape, device=device).to(torch.bfloat16).unbind()


def count_not_finite(q, k, v, mask, gradient) -> int:
    """How many numbers in the output and the three gradients are not finite."""
    import torch

    inputs = [tensor.clone().requires_grad_() for tensor in (q, k, v)]
    output = torch.nn.functional.scaled_dot_product_attention(*inputs, attn_mask=mask, is_causal=mask is None)
    output.backward(gradient)
    return sum(int((~tensor.isfinite()).sum()) for tensor in (output, *(i.grad for i in inputs)))


def matmul(bench: Bench) -> Iterator[dict]:
    """Part 9: the best of a few large products in bfloat16, as finetune.py measures it for its MFU."""
    import torch

    from training.precision import measure_peak_flops

    yield {"bf16_tflops": round(measure_peak_flops(torch.device(bench.device), torch.bfloat16) / 1e12, 3)}


def engine(bench: Bench) -> Iterator[dict]:
    """Part 7: the transformers engine answers many prompts, each following a JSON schema if llguidance is installed."""
    from engines.hf import TransformersEngine

    schemas = SCHEMA if importlib.util.find_spec("llguidance") else None
    yield {"schemas": "enforced" if schemas else "none: llguidance is not installed (pip install llguidance)"}
    loaded = TransformersEngine.load(str(bench.cut))
    questions = [row["conversations"][0]["value"] for row in make_rows(bench.sizes.prompts, bench.sizes.long, seed=1)]
    conversations = [[{"role": "user", "content": question}] for question in questions]
    began = time.perf_counter()
    replies = loaded.chat(conversations, max_new_tokens=NEW_TOKENS, temperature=1.0, schemas=schemas)
    seconds = time.perf_counter() - began
    whole = [reply for reply in replies if reply.finish_reason == "stop"]
    yield {
        "device": loaded.device,
        "prompts": len(replies),
        "errors": sum(reply.error is not None for reply in replies),
        "finished": len(whole),
        **({"finished_and_by_schema": sum(follows_schema(reply.text) for reply in whole)} if schemas else {}),
        "seconds_answering": round(seconds, 2),
        "prompts_s": round(len(replies) / seconds, 2),
        "new_tokens_s": round(sum(reply.completion_tokens for reply in replies) / seconds, 1),
    }


def follows_schema(text: str) -> bool:
    """Whether a reply is a JSON object with the keys of SCHEMA and an allowed kind."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return False
    properties = SCHEMA["properties"]
    return isinstance(value, dict) and value.keys() == properties.keys() and value["kind"] in properties["kind"]["enum"]


@dataclass(frozen=True)
class Part:
    """What is run, its limit in seconds on a GPU, and what it needs: a model, packages, a GPU.

    `alone`: its speed counts, so nothing else runs meanwhile; the others run in parallel on a GPU.
    """

    title: str
    run: Callable[[Bench], Iterator[dict]]
    limit: float
    model: str | None = "cut"
    packages: tuple[str, ...] = ()
    cuda: bool = False
    alone: bool = True


PARTS = {
    1: Part("attention, forward and backward", attention, 25, model=None),
    9: Part("peak of matrix products", matmul, 20, model=None),
    2: Part("finetune.py at full depth", gpu_training.whole, 85, model="whole"),
    4: Part("training steps, the mends one by one", gpu_steps.mends, 45),
    8: Part("against TRL's layout and loss", gpu_steps.against_trl, 45),
    7: Part("the transformers engine", engine, 40),
    3: Part("finetune.py with --validation", gpu_training.validation, 90, alone=False),
    5: Part("finetune.py with --q_lora", gpu_training.q_lora, 90, packages=("bitsandbytes",), cuda=True, alone=False),
    6: Part("torchrun: stopped, resumed, killed", gpu_training.launcher, 120, alone=False),
    10: Part("finetune.py with a time budget", gpu_training.budget, 110, alone=False),
}
MODELS = {
    "cut": Part("the model of few layers", make_cut, 40, model=None),
    "whole": Part("the model at full depth", make_whole, 60, model=None),
}


def main() -> None:
    """Run the part that the settings name: {"part", "answer", "folder", "whole", "tokenizer", "cuda"}."""
    stop_at_sigterm()
    settings = json.loads(Path(sys.argv[1]).read_text())
    bench = Bench(Path(settings["folder"]), Path(settings["whole"]), settings["tokenizer"], settings["cuda"])
    part = MODELS.get(settings["part"]) or PARTS[int(settings["part"])]
    found: dict = {}
    for facts in part.run(bench):
        found |= facts
        write_json(settings["answer"], found)


if __name__ == "__main__":
    run_script(main)
