"""Measure the collection: speed, a real API server, kills, a faulty server, and the quality of the data.

Out: --results, one JSON object: a part for each measurement that was run, with its machine, date, commit and seconds,
     and at the top the numbers that SUMMARY takes from the parts. A part that was not run keeps the results of an earlier
     run; what was never measured is left out.

    python benchmarks/collection.py --parts speed
    python benchmarks/collection.py --parts kills --kills 20
    python benchmarks/collection.py --parts quality --paragraphs_file squad.json --paragraphs 40
    python benchmarks/collection.py --parts api --documents 2 --limit 3 --vllm_python .venv-vllm/bin/python
    python benchmarks/collection.py --parts faults

On a quiet machine with 2 cores the parts take 3 (faults) to 10 minutes (kills); the results give the seconds of each.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import collection_faults, collection_kills, collection_quality, collection_speed
from engines.hub import require_model
from provenance import commit, machine, today, versions
from utils import InputError, parse_arguments, read_json, require_file, run_script, write_json

PARTS = ("speed", "api", "kills", "faults", "quality")
SUMMARY = {  # name in the results: where it comes from
    "pairs_per_min_ours": ("speed", "ours", "pairs_per_min"),
    "pairs_per_min_reference": ("speed", "reference", "pairs_per_min"),
    "ratio": ("speed", "ratio"),
    "kills": ("kills", "kills"),
    "kills_identical": ("kills", "kills_identical"),
    "calls_repeated_most": ("kills", "calls_repeated_most"),
    "largest_wave": ("kills", "largest_wave"),
    "faults_passed": ("faults", "passed"),
    "faults": ("faults", "of"),
    "quotes_verified": ("quality", "quotes_verified"),
    "answers_supported": ("quality", "answers_supported"),
    "leaks": ("quality", "leaks"),
    "facts": ("quality", "facts"),
    "answers": ("quality", "answers"),
    "tests": ("quality", "tests"),
}


@dataclass
class Arguments:
    parts: list[str] = field(default_factory=lambda: ["speed"], metadata={"help": f"Of {' '.join(PARTS)}."})
    results: str = field(default="results/collection.json", metadata={"help": "The JSON file to write into."})
    work_dir: str | None = field(
        default=None, metadata={"help": "Keep the files of the runs in this folder; else they are removed."}
    )
    model_name_or_path: str = field(
        default="models/SmolLM2-135M-Instruct", metadata={"help": "The model that makes the data."}
    )
    collection_arguments: str = field(
        default="--guard words",
        metadata={"help": "Further arguments of all collections but those from the faulty server, in one string."},
    )
    documents: int = field(default=5, metadata={"help": "speed, api, kills: the first so many demo documents."})
    limit: int | None = field(
        default=None, metadata={"help": "speed, api, kills: the first so many sentences of each chunk; else all."}
    )
    reference_share: float = field(
        default=0.15, metadata={"help": "speed: share of the calls that are asked one at a time too; 1 for all."}
    )
    api_base: str | None = field(default=None, metadata={"help": "api: a server that runs; else one is started."})
    api_model: str | None = field(default=None, metadata={"help": "api: the model's name there."})
    vllm_python: str | None = field(
        default=None,
        metadata={"help": "api: a Python that has vLLM; where none is found, transformers serve is started."},
    )
    kills: int = field(default=20, metadata={"help": "kills: how many."})
    paragraphs_file: str | None = field(default=None, metadata={"help": "quality: a file in the form of SQuAD."})
    paragraphs: int = field(default=40, metadata={"help": "quality: how many of them."})
    test_ratio: float = field(default=0.2, metadata={"help": "quality: share of the questions held out."})
    seed: int = field(default=0, metadata={"help": "For the moments of the kills and the choice of paragraphs."})


def check_arguments(arguments: Arguments) -> None:
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        raise InputError(f"expected --parts of {' '.join(PARTS)}, found {' '.join(unknown)}: change it")
    if arguments.api_base and not arguments.api_model:
        raise InputError("expected --api_model with --api_base, found none: give the model's name at the server")
    if "quality" in arguments.parts:
        require_file(
            arguments.paragraphs_file or "", "paragraphs", "give --paragraphs_file, a file in the form of SQuAD"
        )
    if not 0 < arguments.reference_share <= 1:
        raise InputError(
            f"expected --reference_share above 0 and up to 1, found {arguments.reference_share}: change it"
        )
    require_model(arguments.model_name_or_path)


def measure(part: str, folder: Path, arguments: Arguments) -> dict:
    """Measure one part, in its own folder."""
    model = arguments.model_name_or_path
    shared = shlex.split(arguments.collection_arguments)
    local = ["--model_name_or_path", model, "--engine", "transformers", *shared]
    if part == "speed":
        return collection_speed.speed(folder, local, arguments.documents, arguments.limit, arguments.reference_share)
    if part == "api":
        server = {name: getattr(arguments, name) for name in ("api_base", "api_model", "vllm_python")}
        return collection_speed.api(folder, shared, arguments.documents, arguments.limit, model, server)
    if part == "kills":
        return collection_kills.kills(
            folder, local, arguments.documents, arguments.limit, arguments.kills, arguments.seed
        )
    if part == "faults":
        return collection_faults.faults(folder, model)
    return collection_quality.quality(
        folder, local, arguments.paragraphs_file, arguments.paragraphs, arguments.test_ratio, arguments.seed
    )


def merged(results: dict, part: str, measured: dict) -> dict:
    """The results with one part replaced, and a new summary of all parts."""
    parts = {**results.get("parts", {}), part: measured}
    summary = {}
    for name, path in SUMMARY.items():
        value = parts
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            summary[name] = value
    return {
        **summary,
        "machine": measured["machine"],
        "date": measured["date"],
        "commit": measured["commit"],
        "parts": {name: parts[name] for name in PARTS if name in parts},
    }


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    check_arguments(arguments)
    made = {"machine": machine(), "date": today(), "commit": commit(), "versions": versions()}
    how = {name: getattr(arguments, name) for name in ("model_name_or_path", "collection_arguments", "seed")}
    with tempfile.TemporaryDirectory() as temporary:
        for part in arguments.parts:
            started = time.time()
            folder = Path(arguments.work_dir or temporary).resolve() / part
            if folder.exists():
                raise InputError(f"expected no folder {folder}, found one: remove it, or give another --work_dir")
            folder.mkdir(parents=True)
            measured = measure(part, folder, arguments)
            measured |= {"how": how, "seconds": round(time.time() - started, 1), **made}
            earlier = read_json(arguments.results, "results") if Path(arguments.results).exists() else {}
            results = merged(earlier, part, measured)
            write_json(arguments.results, results)
            print(f"{part}: {measured['seconds']:.0f} s, in {arguments.results}")
    for name, value in results.items():
        if name != "parts":
            print(f"{name:<26}{value}")


if __name__ == "__main__":
    run_script(main)
