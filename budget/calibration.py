"""What forecast.py reckons with on this machine: before anything is measured, and after the first work of each stage.

starts_of and judge_start look at weights, GPUs and who will answer; `words` are arguments of a stage. A calibration times
that work with the run's own arguments. It is worth a small share of a budget; --plan_only makes nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from dataclasses import asdict
from pathlib import Path

from budget import forecast
from budget.clock import written
from budget.forecast import BASE, COLLECTION, TRAINING, Starts, Timings, prior_starts
from budget.reports import AskingTime, CollectionTime, read_report
from budget.run import CALIBRATION_FILE, Interrupted, Run
from budget.step import Step
from provenance import meta_file
from utils import InputError, find_log_file, log_file, read_json, write_json

# Batches come from long to short, and again: in as few examples as a calibration has, after about so many updates.
UPDATES = 16
QUESTIONS = 8
ONE_HOUR = 3600


def starts_of(model_name_or_path: str, words: list[str]) -> Starts:
    """The prior of a start with this model on this machine, asked as these words to inference.py say."""
    from engines.gpus import usable_gpus

    on_gpu = bool(usable_gpus())
    return prior_starts(weight_bytes(model_name_or_path), on_gpu, on_gpu and uses_vllm(words))


def judge_start(words: list[str], starts: Starts) -> float:
    """The prior, in seconds, of a local judge's start where it has a GPU; 0 without, and for a judge of another kind."""
    given = parse_launch_arguments(words)
    if given.judge not in ("auto", "local") or not given.local_model_path or not starts.on_gpu:
        return 0.0
    return prior_starts(weight_bytes(given.local_model_path), True, uses_vllm(words)).asking


def uses_vllm(words: list[str]) -> bool:
    """Whether vLLM answers where there is a GPU (engines.choose)."""
    given = parse_launch_arguments(words)
    return given.engine != "transformers" and not given.api_model and importlib.util.find_spec("vllm") is not None


def parse_launch_arguments(words: list[str]) -> argparse.Namespace:
    """The arguments of a stage that decide on its starts; all others are passed over."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in (("engine", "auto"), ("api_model", None), ("judge", "auto"), ("local_model_path", None)):
        parser.add_argument(f"--{name}", default=default)
    return parser.parse_known_args(words)[0]


def weight_bytes(model_name_or_path: str) -> float:
    """The bytes that a start reads: of a folder's files, else what engines.placement finds for a name of the hub."""
    from engines import placement

    folder = Path(model_name_or_path)
    files = [file for kind in ("safetensors", "bin") for file in folder.glob(f"*.{kind}")]
    if files:
        return sum(file.stat().st_size for file in files)
    try:
        return placement.weight_bytes(model_name_or_path)
    except OSError as error:  # of transformers: no such name, or no network
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"expected the weights or the config of {model_name_or_path}, found neither here nor on the hub ({reason}): "
            "check the name"
        ) from None


def calibrate(day: Run, steps: dict[str, list[Step]], starts: Starts, ask: bool) -> None:
    """Time the first round of the collection, which is kept, some updates on what it made, and (`ask`) some questions."""
    folder = find_log_file(day.out / "calibration")
    begun, later = time.time(), time.time() + ONE_HOUR

    def finish(step: Step, *more: str) -> float:
        """The seconds of its process."""
        started = time.monotonic()
        code = day.start([*step.command, *more], folder, later, "calibration")
        if day.stopped_by:
            raise Interrupted(day.stopped_by)
        if code:
            raise InputError(f"expected the calibration of {step.name} to end well, found exit code {code}: see above")
        return time.monotonic() - started

    finish(steps[COLLECTION][0], "--rounds", "1", "--until", written(later))
    updates = str(UPDATES)
    said = ["--logging_steps", updates, "--logging_first_step", "True"]  # the first is the slowest
    training = finish(steps[TRAINING][0], "--output_dir", str(folder / "lora"), "--max_steps", updates, *said)
    if ask:
        more = ["--output_path", str(folder / "base.json"), "--limit", str(QUESTIONS)]
        finish(steps[BASE][0], *more, "--until", written(later))
    alike = uses_vllm(steps[COLLECTION][0].command) == starts.vllm or not starts.on_gpu
    ranks = most_ranks(steps[TRAINING][0].command) if starts.on_gpu else 1
    timings = asdict(timings_of(day.out, training, starts, alike, ranks))
    kept = {name: round(value, 4) for name, value in timings.items() if value is not None}
    write_json(log_file(day.out / CALIBRATION_FILE), kept)
    record = {"name": "calibration", "planned_seconds": forecast.calibration_seconds(starts), "started": written(begun)}
    day.state["stages"].append({**record, "seconds": round(time.time() - begun, 1)})


def most_ranks(command: list[str]) -> int:
    """The ranks that the command of a training starts where the data are large; a calibration's keep one or two busy."""
    from training.launch import plan_launch

    return plan_launch(command[command.index("--model_name_or_path") + 1], None, command).processes


def timings_of(out: Path, training: float, starts: Starts, alike: bool = True, ranks: int = 1) -> Timings:
    """What the files of a calibration in `out` say, the process of its training having taken `training` seconds.

    `alike`: the collection was asked by the same engine as the questions will be, so that its start is theirs. The
    training itself will have `ranks`, each as fast as those of the calibration.
    """
    folder, collection = find_log_file(out / "calibration"), meta_file(out / "data.json")
    made = read_json(collection, "the collection's numbers")
    trained = read_json(meta_file(folder / "lora" / "training"), "the training's numbers")
    log_of_training = read_json(folder / "lora" / "train_log.json", "the training's log")
    plan, said = log_of_training["plan"], [entry for entry in log_of_training["log"] if "loss" in entry]
    examples = plan["examples"] + plan["replayed"]
    tokens_an_update = plan["tokens"] / examples * plan["examples_per_update"]
    collected, counts = read_report(collection, CollectionTime), made["counts"]
    asked = read_report(meta_file(folder / "base.json"), AskingTime)
    units = collected.units
    start = collected.seconds_to_start if alike else starts.asking
    read = forecast.mean_units(collected.share_read * units, units)
    questions = counts["rows"].get("qa", 0) + counts["rows"].get("reverse", 0)
    reworded = counts["questions_made_by"].get("model", 0) if made["arguments"]["guard"] == "words" else questions
    working, preparing, loading = trained["training_seconds"], trained["preparing_seconds"], None
    overhead = start + trained["seconds"] - working - preparing
    if starts.vllm:  # which neither the training's start is, nor that of its check: about half of what is left each
        overhead = training - working - preparing
        loading = overhead / 2
    replay_start = min(start, preparing) if plan["replayed"] else 0.0  # of a process, once, however many are replayed
    return Timings(
        start=start,
        unit=collected.seconds_of_all_facts / units,
        questions_a_unit=questions / read,
        rows_a_unit=sum(counts["rows"].values()) / read,
        role_unit=collected.seconds_of_a_role / units,
        role_rows_a_unit=forecast.ROLE_YIELD * reworded / read,
        facts_a_unit=counts["facts"] / read,
        roles=made["arguments"]["role_amount_per_fact"],
        update=tokens_an_update / said[-1]["tokens_per_second"] * plan["processes"] / max(ranks, plan["processes"]),
        examples_an_update=plan["examples_per_update"],
        epochs=trained["arguments"]["num_train_epochs"],
        replay=plan["replayed"] / plan["examples"],
        example=(preparing - replay_start) / examples,
        training_overhead=overhead + replay_start,
        question=(asked and asked.seconds_a_question) or forecast.QUESTION_CALLS * collected.seconds_a_call,
        loading=loading,
    )
