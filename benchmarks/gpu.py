"""The whole training and the engine on a bare CUDA machine without network: ten parts, at most five minutes on one H100.

Needs torch, transformers, peft, accelerate, psutil and matplotlib, and the demo model's tokenizer (`python demo/model.py`
makes it; or --tokenizer). A part that needs more is skipped if that is missing, and says so. The weights are random, with the shapes of
Qwen2.5-7B, at full depth in part 2 and with four layers elsewhere. Each part is a separate process with a limit; one that
fails, is killed or takes too long is recorded with the end of its output, and the others go on. Parts 3, 5, 6 and 10, whose
speed does not matter, run in parallel on a GPU. Without a GPU the model is tiny: that shows only that the parts work.

In:  nothing.
Out: --out, {"parts": {"1": {"title", "state": "done", "failed" or "skipped", "seconds", ...}, ...}, "models", "card",
     "versions", "pinned", "machine", "date", "commit"}, rewritten after each part.

    python benchmarks/gpu.py                        # all
    python benchmarks/gpu.py --parts 1 4 --out /tmp/gpu.json
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib.util
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gpu_model import ROOT, Bench, fast_folder, make_rows
from benchmarks.gpu_parts import MODELS, PARTS, Part
from benchmarks.gpu_run import read_card, run_with_limit, tail
from provenance import commit, machine, today, versions
from utils import InputError, parse_arguments, require_file, run_script, write_json

TOTAL_S = 300.0  # on a GPU
PARALLEL_PARTS_S = 110.0  # of it, set aside for the parts that run in parallel
CPU_LIMIT = 4  # times as long a part may take without a GPU
PINNED = ("torch", "transformers", "peft", "accelerate")


@dataclass
class Arguments:
    parts: list[int] = field(default_factory=lambda: sorted(PARTS), metadata={"help": "Which of the ten."})
    out: str = "results/gpu.json"
    tokenizer: str = field(
        default="models/SmolLM2-135M-Instruct", metadata={"help": "A folder with a tokenizer and a chat template."}
    )


def missing_requirement(part: Part, cuda: bool) -> str | None:
    """Why a part cannot run here, or None if it can."""
    if part.cuda and not cuda:
        return "needs a CUDA GPU"
    absent = [package for package in part.packages if importlib.util.find_spec(package) is None]
    return f"needs {', '.join(absent)}: pip install {' '.join(map(requirement, absent))}" if absent else None


def requirement(package: str) -> str:
    """The package with the version pinned in the requirements files, if any."""
    return next((f"{name}=={version}" for name, version in pins().items() if name == package), package)


def pins() -> dict[str, str]:
    text = "\n".join((ROOT / name).read_text() for name in ("requirements.txt", "requirements-gpu.txt"))
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))


def child_command(name: str, bench: Bench, answer: Path) -> list[str]:
    """The command that runs a part or makes a model, and writes its results to `answer`."""
    settings = bench.folder / f"{name}.settings.json"
    write_json(
        settings,
        {
            "part": name,
            "answer": str(answer),
            **{k: v if isinstance(v, bool) else str(v) for k, v in vars(bench).items()},
        },
    )
    return [sys.executable, "-m", "benchmarks.gpu_parts", str(settings)]


def run_child(name: str, part: Part, bench: Bench, limit: float) -> dict:
    """The entry for a part: its results or, if it failed, how far it got, why, and the end of its output."""
    if limit < 1:
        return {"title": part.title, "state": "skipped", "reason": f"no time left of {TOTAL_S:.0f} seconds"}
    answer, output = bench.folder / f"{name}.answer.json", bench.folder / f"{name}.printed.txt"
    began = time.monotonic()
    code = run_with_limit(child_command(name, bench, answer), limit, output)
    found = json.loads(answer.read_text()) if answer.is_file() else {}
    entry = {
        "title": part.title,
        "state": "done" if code == 0 else "failed",
        "seconds": round(time.monotonic() - began, 1),
    }
    if code != 0:
        entry["reason"] = f"exit code {code}" if code is not None else f"over its limit of {limit:.0f} seconds"
        entry["output"] = tail(output.read_text(errors="replace"))
    return {**entry, **found}


class Session:
    """Runs the parts in order and writes the results after each."""

    def __init__(self, bench: Bench, out: str, result: dict):
        self.bench, self.out, self.result = bench, out, result
        self.began = time.monotonic()

    def limit(self, part: Part) -> float:
        """The seconds a part may take now."""
        if not self.bench.cuda:
            return CPU_LIMIT * part.limit
        left = TOTAL_S - (PARALLEL_PARTS_S if part.alone else 0) - (time.monotonic() - self.began)
        return min(part.limit, left)

    def record(self, group: str, name: str, entry: dict) -> None:
        self.result[group][name] = entry
        self.result["seconds"] = round(time.monotonic() - self.began, 1)
        write_json(self.out, self.result)
        print(f"{group} {name}: {entry['state']}, {entry.get('seconds', entry.get('reason'))}", flush=True)

    def skip_reason(self, part: Part) -> str | None:
        """Why a part is not run: something is missing, or its model could not be made (tried once)."""
        reason = missing_requirement(part, self.bench.cuda)
        if reason or part.model is None:
            return reason
        models = self.result["models"]
        if part.model not in models:
            model = MODELS[part.model]
            self.record("models", part.model, run_child(part.model, model, self.bench, self.limit(model)))
        return None if models[part.model]["state"] == "done" else f"its model, {part.model!r}, could not be made"

    def run(self, numbers: list[int]) -> None:
        """Run the parts whose speed counts one after another; then the others, in parallel on a GPU."""
        chosen = {number: part for number, part in PARTS.items() if number in numbers}
        ready = {}
        for number, part in sorted(chosen.items(), key=lambda item: not item[1].alone):
            reason = self.skip_reason(part)
            if reason:
                self.record("parts", str(number), {"title": part.title, "state": "skipped", "reason": reason})
            elif part.alone:
                self.record("parts", str(number), run_child(str(number), part, self.bench, self.limit(part)))
            else:
                ready[number] = part
        with concurrent.futures.ThreadPoolExecutor(len(PARTS) if self.bench.cuda else 1) as pool:
            running = {
                pool.submit(lambda n=n, p=p: run_child(str(n), p, self.bench, self.limit(p))): n
                for n, p in ready.items()
            }
            for done in concurrent.futures.as_completed(running):
                self.record("parts", str(running[done]), done.result())


def card() -> dict:
    """The GPU's name, memory and driver and what torch was built for; empty without one. No context is created on it."""
    import torch

    if not torch.cuda.is_available():
        return {}
    return {**read_card(), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}


@contextlib.contextmanager
def temporary_folders(cuda: bool) -> Iterator[tuple[Path, Path]]:
    """Folders for the parts' files and for the model at full depth; removed afterwards."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir=fast_folder(cuda)) as whole:
        yield Path(name), Path(whole)


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        raise InputError(f"expected --parts from 1 to {len(PARTS)}, found {sorted(unknown)}: correct it")
    tokenizer = Path(arguments.tokenizer).resolve()
    require_file(tokenizer / "tokenizer.json", "a tokenizer", "run demo/model.py, or give --tokenizer FOLDER")
    found = card()
    result = {
        "parts": {},
        "models": {},
        **found,
        "versions": versions(),
        "pinned": {name: version for name, version in pins().items() if name in PINNED},
        "machine": machine(),
        "date": today(),
        "commit": commit(),
    }
    with temporary_folders(bool(found)) as (folder, whole):
        bench = Bench(folder, whole, str(tokenizer), bool(found))
        write_json(bench.rows, make_rows(bench.sizes.rows, bench.sizes.long))
        Session(bench, arguments.out, result).run(arguments.parts)


if __name__ == "__main__":
    run_script(main)
