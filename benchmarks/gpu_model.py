"""What benchmarks/gpu.py trains: a model of random weights, made on the device, and generated rows.

On a GPU the model has the shapes of Qwen2.5-7B, whole or cut to four layers; on a CPU it is tiny, and the parts only
show that they work. Its tokens are those of the tokenizer: if the vocabulary is larger, no other token is ever chosen.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
QWEN_7B = dict(
    hidden_size=3584, intermediate_size=18944, num_attention_heads=28, num_key_value_heads=4, vocab_size=152064,
    max_position_embeddings=32768, rope_parameters={"rope_type": "default", "rope_theta": 1e6}, rms_norm_eps=1e-6,
)  # fmt: skip
TINY = dict(hidden_size=64, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2)
SHORT, LONG_SHARE = (12, 40), 0.25  # words in a short turn, from and to; share of rows with long turns
WHOLE_BYTES = 16 << 30  # the model at full depth on a GPU, and some room
SHARED_MEMORY, SHARED_MEMORY_SHARE = Path("/dev/shm"), 0.3  # share of the free memory that weights may take there
MAX_ROW_TOKENS = 2048
DISK_MARGIN = 1.2  # times the size of a model must be free where it is written


@dataclass(frozen=True)
class Sizes:
    """The sizes of everything, with or without a GPU. `layers` is for the cut model, `all_layers` for the whole one."""

    layers: int
    all_layers: int
    rows: int  # of a training
    compared_rows: int  # against the other layout
    long: tuple[int, int]  # words of a long turn, from and to
    step_tokens: tuple[int, ...]
    steps: int  # that are measured
    updates: int  # in trainings that are stopped: enough to be still running
    prompts: int = 256
    train: tuple[str, ...] = field(default=())  # further arguments of finetune.py


ON_A_GPU = Sizes(4, 28, 1000, 256, (75, 300), (1300, 4000, 8000, 16000), 6, 400)
ON_A_CPU = Sizes(2, 3, 60, 24, (20, 50), (256, 1024), 2, 200, train=("--use_cpu", "True", "--learning_rate", "1e-3"))


@dataclass(frozen=True)
class Bench:
    """The input of a part: folders for its files, the whole model and the tokenizer, and whether there is a GPU."""

    folder: Path
    whole: Path
    tokenizer: str
    cuda: bool

    @property
    def sizes(self) -> Sizes:
        return ON_A_GPU if self.cuda else ON_A_CPU

    @property
    def device(self) -> str:
        return "cuda" if self.cuda else "cpu"

    @property
    def cut(self) -> Path:
        return self.folder / "model"

    @property
    def rows(self) -> Path:
        return self.folder / "rows.json"


def make_cut(bench: Bench) -> Iterator[dict]:
    """The model of few layers, for all parts but 2."""
    yield make_model(bench, bench.sizes.layers, bench.cut)


def make_whole(bench: Bench) -> Iterator[dict]:
    """The model at full depth, for part 2: 14 GiB on a GPU."""
    yield make_model(bench, bench.sizes.all_layers, bench.whole)


def make_config(shape: dict, layers: int, **more):
    """The configuration of a Qwen2 model."""
    import transformers

    return transformers.Qwen2Config(
        **shape, num_hidden_layers=layers, tie_word_embeddings=False, bos_token_id=None, initializer_range=0.02, **more
    )


def make_model(bench: Bench, layers: int, folder: Path) -> dict:
    """Save random weights with this many layers and the tokenizer; return {"layers", "parameters", "gib"}."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(bench.tokenizer)
    shape = QWEN_7B if bench.cuda else {**TINY, "vocab_size": len(tokenizer)}
    config = make_config(shape, layers, eos_token_id=tokenizer.eos_token_id)
    torch.manual_seed(0)
    dtype = torch.bfloat16 if bench.cuda else torch.float32
    with torch.device(bench.device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        model.get_output_embeddings().weight[len(tokenizer) :] = 0
    parameters = model.num_parameters()
    require_disk_space(folder, DISK_MARGIN * parameters * dtype.itemsize)
    model.save_pretrained(folder, max_shard_size="4GB")
    tokenizer.save_pretrained(folder)
    return {"layers": layers, "parameters": parameters, "gib": round(parameters * dtype.itemsize / 2**30, 1)}


def require_disk_space(folder: Path, size: float) -> None:
    """InputError if the disk of `folder` does not have `size` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise InputError(
            f"expected {size / 2**30:.1f} GiB free at {folder}, found {free / 2**30:.1f}: set TMPDIR to a larger disk"
        )


def fast_folder(cuda: bool) -> Path | None:
    """The folder for weights, written once and read twice: in memory if they fit, else None, for TMPDIR."""
    if not cuda or not SHARED_MEMORY.is_dir():
        return None
    import psutil

    free, memory = shutil.disk_usage(SHARED_MEMORY).free, psutil.virtual_memory().available
    return SHARED_MEMORY if free > WHOLE_BYTES and SHARED_MEMORY_SHARE * memory > WHOLE_BYTES else None


def make_rows(count: int, long: tuple[int, int], seed: int = 0) -> list[dict]:
    """Questions and answers of random words from the demo's documents: three in four short, one long, two per fact.

    About half of their tokens are trained, as in a dataset of stage 1.
    """
    draw = random.Random(seed)
    text = "".join(path.read_text() for path in sorted((ROOT / "demo" / "documents").glob("*.txt")))
    words = sorted(set(re.findall(r"[A-Za-z]{3,}", text)))

    def some(least: int, most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(least, most)))

    rows = []
    for number in range(count):
        length = long if draw.random() < LONG_SHARE else SHORT
        turns = [{"from": "user", "value": f"{some(*length)}?"}, {"from": "assistant", "value": f"{some(*length)}."}]
        rows.append({"id": f"identity_{number}", "conversations": turns, "fact": f"fact {number // 2}"})
    return rows


def examples(bench: Bench, count: int):
    """The first `count` rows as finetune.py reads them: a dataset with `lengths`."""
    import transformers

    from training.data import SupervisedDataset

    tokenizer = transformers.AutoTokenizer.from_pretrained(bench.tokenizer)
    return SupervisedDataset(make_rows(bench.sizes.rows, bench.sizes.long)[:count], tokenizer, "", MAX_ROW_TOKENS)
