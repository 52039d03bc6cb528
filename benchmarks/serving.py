"""Whether a tuned model answers the same behind a server, merged, and as a GGUF file: the part of results/scale.json on that.

In:  RUN, a finished run of run_all.py or quickstart.sh; PORT. LLAMA_CPP as in shells/export.sh, for the GGUF file.
Out: results/scale.json with "served_same": of the questions that tell base and tuned apart, at most 50, the share that a
     server answers as inference.py did; "unapplied_found": whether the check before "ready" finds an adapter that is not
     applied; "merged_difference" and "merged_allowed" (training.merge); "gguf_same", a share likewise, null without
     llama.cpp; "serving": engine, counts, seconds, machine, date, commit. Its other keys stay (benchmarks/scale.py).

    python benchmarks/serving.py output/quickstart 8137
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import provenance
from benchmarks.scale import RESULTS
from engines.arguments import EngineArguments
from engines.placement import place_model
from engines.serve import running_server
from engines.served import TUNED, ask_server, check_server, choose, compare
from engines.tuned_run import ADAPTER, TunedRun, read_run
from training.export import export_gguf
from training.gguf_file import find_converter
from training.merge import check_merged, merge_adapter
from utils import InputError, run_script, write_json

ASKED = 50  # questions at most
DTYPE = "bfloat16"
WEIGHTS = "adapter_model.safetensors"


def served(run: TunedRun, port: int) -> dict:
    """The share of answers behind a server that are inference.py's."""
    asked, began = choose(run.questions(), ASKED), time.monotonic()
    with running_server(run, EngineArguments(data_parallel_size=1), port, []) as (_, address):
        likeness = compare(asked, ask_server(address, TUNED, asked, run.max_new_tokens), TUNED)
    return {"same": likeness.same, "asked": likeness.asked, "seconds": round(time.monotonic() - began, 1)}


def unapplied_is_found(run: TunedRun, port: int, folder: Path) -> bool:
    """Whether the check finds the run's adapter without effect, its second matrices being zero."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(run.adapter, folder / ADAPTER, ignore=shutil.ignore_patterns("checkpoint-*", "log"))
    file = folder / ADAPTER / WEIGHTS
    save_file({name: weight * ("lora_A" in name) for name, weight in load_file(file).items()}, file)
    without = read_run(folder, run.base)
    with running_server(without, EngineArguments(data_parallel_size=1), port, []) as (_, address):
        try:
            check_server(address, run.questions(), run.max_new_tokens)
        except InputError as error:
            return "has no effect" in str(error)
    return False


def exported(run: TunedRun, folder: Path) -> dict:
    """The difference of the merged model and, with llama.cpp, the answers of its GGUF file."""
    converter = find_converter()
    merge_adapter(run, folder, DTYPE)
    difference = check_merged(run, folder, DTYPE)
    likeness = export_gguf(run, converter, folder, DTYPE, ASKED) if converter else None
    return {
        "merged_difference": float(f"{difference.merged:.2g}"),
        "merged_allowed": float(f"{difference.allowed:.2g}"),
        "adapter_effect": float(f"{difference.effect:.2g}"),
        "gguf_same": likeness and round(likeness.share, 4),
    }


def main() -> None:
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        raise InputError(
            "expected the folder of a run and a port, found something else: python benchmarks/serving.py RUN PORT"
        )
    run, port = read_run(sys.argv[1]), int(sys.argv[2])
    answers = served(run, port)
    with tempfile.TemporaryDirectory() as folder:
        made = {
            "served_same": round(answers["same"] / answers["asked"], 4),
            "unapplied_found": unapplied_is_found(run, port, Path(folder) / "unapplied"),
            **exported(run, Path(folder) / "merged"),
        }
    engine = place_model(run.base, EngineArguments(data_parallel_size=1), run.adapter).engine
    about = {"engine": engine, **answers, "dtype": DTYPE}
    about |= {"machine": provenance.machine(), "date": provenance.today(), "commit": provenance.commit()}
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    write_json(RESULTS, {**known, **made, "serving": about})


if __name__ == "__main__":
    run_script(main)
