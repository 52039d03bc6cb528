"""Runs shells/run_all.sh under time budgets: whether it ends in time, what it has learnt by then, and what kills cost.

In:  nothing; the documents and questions of the demo. COLLECT_ARGS, FINETUNE_ARGS ... are passed on to shells/run_all.sh.
Out: --results, a list of runs, each with "budget_s", "wall_s", "overrun_s", "lr_end_over_peak", "eta_error" (of the end
     announced after a tenth of the run, as a share of the run), "documents", "documents_covered", "tuned", "loaded", "kills"; a
     run that was disturbed is compared with the one of its budget that was not, on the same questions (McNemar), as
     "p_against_alone"; a run of the same kind replaces the one in the file. --picture, accuracy against budget.
     --simulate writes NAME_simulation.json beside it.

    python benchmarks/budget.py --budgets 6m          # each takes as long as it says; 12m, 30m and 60m likewise
    python benchmarks/budget.py --budgets 12m --loaded True     # another process takes a core from the middle of each stage on
    python benchmarks/budget.py --budgets 12m --kills 12        # SIGKILL of all processes, a new start 5 s later
    python benchmarks/budget.py --simulate 1000                 # the plan for a thousand times the demo; no model is asked
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from budget import forecast
from budget.clock import RUN_FILE, parse_duration, parse_time
from budget.reports import CollectionTime, TrainingTime, read_report
from data_processor.arguments import METHODS
from data_processor.chunking import OPENAI_TOKENIZER, chunk_document, make_splitter
from data_processor.documents import Document, read_documents
from data_processor.pipeline import split_into_units
from data_processor.rounds import spread_evenly
from data_processor.work import Work
from engines.progress import progress_bar
from evaluation.significance import mcnemar, wilson_interval
from provenance import commit, machine, meta_file, today
from utils import InputError, parse_arguments, read_json, run_script, write_json

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo" / "documents"
PAUSE_S = 5.0  # from a kill to the next start
QUIET_SHARE = 0.03  # of the budget, at both ends, during which nothing is killed
HUNG_S = 300.0  # a run this far beyond its budget is ended
RESUMABLE_FILES = (
    "log/*.journal.jsonl",
    "lora/log/*.journal.jsonl",
    "lora/frozen_states.bin",
    "log/*.rounds.jsonl",
    "log/*_verdicts.jsonl",
    "lora/checkpoint-*/whole.json",
    "log/*.meta.json",
)


@dataclass
class Arguments:
    budgets: list[str] = field(default_factory=list, metadata={"help": "One run for each, for example 6m 12m 30m 60m."})
    loaded: bool = field(default=False, metadata={"help": "Burn a core from the middle of each stage on."})
    kills: int = field(default=0, metadata={"help": "How often to kill all processes, at random moments."})
    simulate: int = field(default=0, metadata={"help": "Plan for this many copies of the demo's documents."})
    simulated_budget: str = "24h"
    timings: str = field(default="benchmarks/budget_timings.json", metadata={"help": "calibration.json of a run."})
    folder: str = field(default="output/budget", metadata={"help": "Folder for the runs; an earlier one is removed."})
    results: str = "results/budget.json"
    picture: str = "docs/budget.png"
    seed: int = 0


class Load:
    """A process that burns one core from the middle of each stage to its end.

    The middle is half the time planned in run.json, or half of what the stage took undisturbed if that is less.
    """

    def __init__(self, run_file: Path, undisturbed_seconds: dict[str, float]):
        self.run_file, self.undisturbed_seconds, self.burner = run_file, undisturbed_seconds, None

    def follow(self) -> None:
        stages = read_json(self.run_file, "a run")["stages"] if self.run_file.is_file() else []
        current = stages[-1] if stages and "seconds" not in stages[-1] else None
        due = current and time.time() > parse_time(current["started"], 0) + self.middle(current)
        if due and not self.burner:
            self.burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        if self.burner and not due:
            self.end()

    def middle(self, stage: dict) -> float:
        planned = stage["planned_seconds"]
        return min(planned, self.undisturbed_seconds.get(stage["name"], planned)) / 2

    def end(self) -> None:
        if self.burner:
            self.burner.kill()
            self.burner.wait()
            self.burner = None


def start(budget: str, out: Path) -> subprocess.Popen:
    """shells/run_all.sh in a process group of its own; its output is appended to a file beside `out`."""
    venv = os.environ.get("VENV") or str(Path(sys.executable).parents[1])
    with out.with_suffix(".txt").open("a") as printed:
        return subprocess.Popen(
            ["bash", "shells/run_all.sh", "--time_budget", budget],
            cwd=ROOT,
            env={**os.environ, "OUT": str(out.resolve()), "VENV": venv},
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill_all(process: subprocess.Popen) -> None:
    """`kill -9` a run and its stages, which have their own sessions."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def lost(out: Path, started: float) -> float:
    """Seconds since the last file that a restart can use was written, or since this process was started."""
    found = [path.stat().st_mtime for pattern in RESUMABLE_FILES for path in out.glob(pattern)]
    return time.time() - max([started, *found])


def undisturbed_seconds(budget: float, runs: list[dict]) -> dict[str, float]:
    """The seconds of each stage in the undisturbed run with this budget, if there is one."""
    stages = next((found["stages"] for found in runs if run_kind(found) == (budget, False, 0)), {})
    return {name: seconds for name, (_, seconds) in stages.items()}


def measure_run(budget: str, arguments: Arguments, before: list[dict]) -> dict:
    seconds, draw = parse_duration(budget), random.Random(arguments.seed)
    name = budget + "_loaded" * arguments.loaded + f"_{arguments.kills}_kills" * bool(arguments.kills)
    out = Path(arguments.folder) / name
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".txt").unlink(missing_ok=True)
    moments = sorted(draw.uniform(QUIET_SHARE, 1 - QUIET_SHARE) * seconds for _ in range(arguments.kills))
    began = started = time.time()
    process, load, losses = start(budget, out), Load(out / RUN_FILE, undisturbed_seconds(seconds, before)), []
    try:
        while process.poll() is None:
            time.sleep(0.2)
            if arguments.loaded:
                load.follow()
            if moments and time.time() - began > moments[0]:
                moments.pop(0)
                losses.append(lost(out, started))
                kill_all(process)
                time.sleep(PAUSE_S)
                started = time.time()
                process = start(budget, out)
            if time.time() - began > seconds + HUNG_S:
                break
    finally:
        load.end()
        if process.poll() is None:
            kill_all(process)
    wall = time.time() - began
    if process.returncode:
        output = out.with_suffix(".txt").read_text(errors="replace")[-2000:]
        raise InputError(f"expected the run of {budget} to end well, found exit code {process.returncode}: {output}")
    found = {**measured(out, seconds, wall), "loaded": arguments.loaded, "kills": len(losses)}
    return {**found, **kill_losses(losses, seconds), **provenance_fields()}


def provenance_fields() -> dict:
    return {"machine": machine(), "date": today(), "commit": commit()}


def kill_losses(losses: list[float], budget: float) -> dict:
    """The work that each kill lost, in seconds and as the largest share of the budget."""
    if not losses:
        return {}
    return {"lost_s": [round(seconds, 1) for seconds in losses], "largest_loss": round(max(losses) / budget, 4)}


def measured(out: Path, budget: float, wall: float) -> dict:
    """The numbers in the files of a run."""
    state = read_json(out / RUN_FILE, "a run")
    counts = read_json(meta_file(out / "data.json"), "the collection's numbers")["counts"]
    collected = read_report(meta_file(out / "data.json"), CollectionTime)
    meta = meta_file(out / "lora" / "training")  # not there where the training had to be ended from outside
    trained = read_report(meta, TrainingTime)
    scores = {name: read_json(out / f"{name}_acc.json", "an accuracy") for name in ("base", "tuned")}
    lost = read_json(out / "tuned_forgetting.json", "what was forgotten").get("retention") or {}
    return {
        "budget_s": budget,
        "wall_s": round(wall, 1),
        "overrun_s": round(max(0.0, wall - budget), 1),
        "eta_error": eta_error(state["etas"], state["seconds"]),
        "lr_end_over_peak": trained.lr_end_over_peak if trained else None,
        "updates": read_json(meta, "the training's numbers")["updates"] if trained else None,
        "documents": collected.documents,
        "documents_covered": collected.documents_covered,
        "sentences": collected.sentences,
        "sentences_read": collected.sentences_read,
        "examples": sum(counts["rows"].values()),
        "tuned": scores["tuned"]["accuracy"],
        "base": scores["base"]["accuracy"],
        "tuned_correct": scores["tuned"]["correct"],
        "right": [row["id"] for row in scores["tuned"]["verdicts"] if row["verdict"] == "correct"],
        "scored": scores["tuned"]["n"] - scores["tuned"]["unscored"],
        "questions": scores["tuned"]["n"],
        "kept": lost.get("kept_share"),
        "stages": {stage["name"]: [stage["planned_seconds"], stage["seconds"]] for stage in state["stages"]},
    }


def eta_error(etas: list[dict], seconds: float) -> float | None:
    """The error of the end first announced after a tenth of the run, as a share of the run."""
    announced = next((eta["end"] for eta in etas if eta["at"] >= seconds / 10), None)
    return None if announced is None else round(abs(announced - seconds) / seconds, 4)


def run_kind(found: dict) -> tuple:
    return found["budget_s"], found["loaded"], found["kills"]


def merged(before: list[dict], new: dict) -> list[dict]:
    runs = sorted([found for found in before if run_kind(found) != run_kind(new)] + [new], key=run_kind)
    alone = {found["budget_s"]: found for found in runs if not found["loaded"] and not found["kills"]}
    for found in runs:
        other = alone.get(found["budget_s"])
        if other and other is not found:
            right, expected = set(found["right"]), set(other["right"])
            found["p_against_alone"] = round(mcnemar(len(right - expected), len(expected - right)), 4)
    return runs


def draw_curve(runs: list[dict], path: str) -> None:
    """Accuracy against budget, with 95 % intervals; loaded and killed runs are separate points."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    groups = (  # label, style, place beside the budget's, runs
        ("alone", "o-", 1.0, [found for found in runs if not found["loaded"] and not found["kills"]]),
        ("a core taken from the middle of each stage", "s", 1.03, [found for found in runs if found["loaded"]]),
        ("killed and started again", "^", 0.97, [found for found in runs if found["kills"]]),
    )
    for label, style, beside, chosen in groups:
        if chosen:
            shares = [found["tuned"] for found in chosen]
            bounds = [wilson_interval(found["tuned_correct"], found["scored"]) for found in chosen]
            spread = [
                [share - low for share, (low, _) in zip(shares, bounds, strict=True)],
                [high - share for share, (_, high) in zip(shares, bounds, strict=True)],
            ]
            minutes = [beside * found["budget_s"] / 60 for found in chosen]
            axes.errorbar(minutes, shares, yerr=spread, fmt=style, capsize=3, label=label)
    budgets = sorted({found["budget_s"] / 60 for found in runs})
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{minutes:g}" for minutes in budgets])
    axes.minorticks_off()
    axes.set_xlabel("time budget (minutes)")
    axes.set_ylabel("questions answered right after tuning")
    axes.set_ylim(0, 1)
    axes.legend(loc="upper left", frameon=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def simulate(arguments: Arguments) -> dict:
    """The plan for many documents: how long planning takes, its memory, and how evenly the chosen units are spread."""
    demo = read_documents(str(DEMO))
    started = time.monotonic()
    documents = [
        Document(f"{number:06}_{document.file_name}", document.text)
        for number in range(arguments.simulate)
        for document in demo
    ]
    cut = make_splitter(OPENAI_TOKENIZER, 512)
    chunks = [chunk for document in documents for chunk in chunk_document(document, cut)]
    units = spread_evenly(split_into_units(Work(None, 0, progress_bar, METHODS["words"]), chunks))
    timings = forecast.read_timings(arguments.timings)
    plan = forecast.forecast(parse_duration(arguments.simulated_budget), timings, len(units), 60, 24)
    seconds = time.monotonic() - started
    chosen = Counter(unit[0].chunk.file_name for unit in units[: plan.units_done])
    place = {document.file_name: number for number, document in enumerate(documents)}
    tenths = Counter(10 * place[name] // len(documents) for name in chosen.elements())
    return {
        "documents": len(documents),
        "units": len(units),
        "budget_s": plan.budget,
        "planned_s": {name: round(value, 1) for name, value in plan.stages.items()},
        "units_chosen": plan.units_done,
        "documents_covered": len(chosen),
        "units_of_a_document": [min(chosen[document.file_name] for document in documents), max(chosen.values())],
        "units_of_each_tenth": [tenths[number] for number in range(10)],
        "planning_s": round(seconds, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        **provenance_fields(),
    }


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    if not arguments.budgets and not arguments.simulate:
        raise InputError("expected --budgets or --simulate, found neither: give one")
    results = Path(arguments.results)
    for budget in arguments.budgets:
        before = read_json(results, "earlier runs") if results.is_file() else []
        found = measure_run(budget, arguments, before)
        write_json(results, merged(before, found))
        draw_curve(read_json(results, "the runs"), arguments.picture)
        print(found)
    if arguments.simulate:
        found = simulate(arguments)
        write_json(results.with_name(f"{results.stem}_simulation.json"), found)
        print(found)


if __name__ == "__main__":
    run_script(main)
