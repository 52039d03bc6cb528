"""What forecast.py calculates with on this machine: before anything is measured, and after the first work of each stage.

The priors depend on the weights, the GPUs and the engine that will answer. A calibration times that first work with the
run's own arguments. It is worth a small share of the budget; --plan_only does nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

from budget import forecast
from budget.clock import format_duration, read_run, timestamp
from budget.forecast import BASE, COLLECTION, TRAINING, StartupTimes, Timings, prior_startup_times
from budget.reports import AskingTime, CollectionTime, read_report
from budget.run import Interrupted, Run
from budget.stages import TEST_RATIO
from budget.step import Step
from provenance import meta_file
from utils import InputError, find_log_file, log_file, read_json, write_json

# Batches run from long to short, then start over: with the few examples of a calibration, after about this many updates.
UPDATES = 16
QUESTIONS = 8
CALIBRATION = "calibration"  # in run.json, before the stages
ONE_HOUR = 3600
MOST_SHARE = 0.2  # of the time left: longer than that no calibration is worth (chosen)
LATE_S = 5.0  # a stage that fails this close to its end, or after it, had too little time

log = logging.getLogger(__name__)


def estimate_startup_times(
    model_name_or_path: str, arguments: list[str], cluster_gpus: int | None = None
) -> StartupTimes:
    """The priors for starts with this model, given the arguments of inference.py.

    `cluster_gpus` is the number of GPUs in a Ray cluster, where the run is on one instead of on this machine.
    """
    from engines.gpus import usable_gpus

    on_gpu = bool(usable_gpus() if cluster_gpus is None else cluster_gpus)
    starts = prior_startup_times(weight_bytes(model_name_or_path), on_gpu, on_gpu and uses_vllm(arguments))
    return replace(starts, cluster_gpus=cluster_gpus)


def estimate_judge_startup(arguments: list[str], starts: StartupTimes) -> float:
    """The prior, in seconds, for the start of a local judge on a GPU; 0 without a GPU and for any other judge."""
    engine_arguments = parse_engine_arguments(arguments)
    if engine_arguments.judge not in ("auto", "local") or not engine_arguments.local_model_path or not starts.on_gpu:
        return 0.0
    return prior_startup_times(weight_bytes(engine_arguments.local_model_path), True, uses_vllm(arguments)).asking


def uses_vllm(arguments: list[str]) -> bool:
    """Whether vLLM answers if there is a GPU (engines.placement.choose_engine)."""
    engine_arguments = parse_engine_arguments(arguments)
    return (
        engine_arguments.engine != "transformers"
        and not engine_arguments.api_model
        and importlib.util.find_spec("vllm") is not None
    )


def parse_engine_arguments(arguments: list[str]) -> argparse.Namespace:
    """The arguments of a stage that affect how long it takes to start; all others are ignored."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in (("engine", "auto"), ("api_model", None), ("judge", "auto"), ("local_model_path", None)):
        parser.add_argument(f"--{name}", default=default)
    return parser.parse_known_args(arguments)[0]


def weight_bytes(model_name_or_path: str) -> float:
    """The bytes that a start reads: the size of a folder's files, else what engines.placement finds for a hub name."""
    from engines import placement

    folder = Path(model_name_or_path)
    files = [file for suffix in ("safetensors", "bin") for file in folder.glob(f"*.{suffix}")]
    if files:
        return sum(file.stat().st_size for file in files)
    try:
        return placement.weight_bytes(model_name_or_path)
    except OSError as error:  # from transformers: no such name, or no network
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"expected the weights or the config of {model_name_or_path}, found neither here nor on the hub ({reason}): "
            "check the name"
        ) from None


def calibrate(run: Run, steps: dict[str, list[Step]], starts: StartupTimes, ask: bool) -> bool:
    """Time the first round of the collection, which is kept, updates on its output, and (if `ask`) some questions.

    False if that took too long, as where a model is still downloaded: the run then goes on with the priors.
    """
    started = time.time()
    most = (
        min(ONE_HOUR, MOST_SHARE * run.left()) if run.resumable else ONE_HOUR
    )  # a plan alone is no part of the budget
    in_time = time_first_work(run, steps, starts, ask, started + most)
    record = {
        "name": CALIBRATION,
        "planned_seconds": forecast.calibration_seconds(starts),
        "started": timestamp(started),
    }
    run.state["stages"].append({**record, "seconds": round(time.time() - started, 1)})
    if not in_time:
        log.warning("no calibration: its first work did not end within %s; priors are used", format_duration(most))
    return in_time


def time_first_work(run: Run, steps: dict[str, list[Step]], starts: StartupTimes, ask: bool, until: float) -> bool:
    """Run the first work of the stages and write the timings; False if it is not done by `until`."""
    folder = find_log_file(run.out / "calibration")

    def time_step(step: Step, *more: str) -> float | None:
        """Run a step; returns the seconds it took, None if it had to be stopped."""
        step_started = time.monotonic()
        code = run.run_command([*step.command, *more], folder, until, CALIBRATION)
        if run.stopped_by:
            raise Interrupted(run.stopped_by)
        if code and time.time() < until - LATE_S:
            raise InputError(f"expected the calibration of {step.name} to succeed, found exit code {code}: see above")
        return None if code else time.monotonic() - step_started

    if time_step(steps[COLLECTION][0], "--rounds", "1", "--until", timestamp(until)) is None:
        return False
    updates = str(UPDATES)
    logs = ["--logging_steps", updates, "--logging_first_step", "True"]  # the first is the slowest
    training = time_step(steps[TRAINING][0], "--output_dir", str(folder / "lora"), "--max_steps", updates, *logs)
    if training is None:
        return False
    if ask:
        more = ["--output_path", str(folder / "base.json"), "--limit", str(QUESTIONS)]
        if time_step(steps[BASE][0], *more, "--until", timestamp(until)) is None:
            return False
    same_engine = uses_vllm(steps[COLLECTION][0].command) == starts.vllm or not starts.on_gpu
    ranks = max_ranks(steps[TRAINING][0].command, starts.cluster_gpus) if starts.on_gpu else 1
    timings = asdict(compute_timings(run.out, training, starts, same_engine, ranks))
    rounded = {name: round(value, 4) for name, value in timings.items() if value is not None}
    write_json(log_file(run.out / forecast.CALIBRATION_FILE), rounded)
    return True


def print_plan(
    run: Run, steps: dict[str, list[Step]], starts: StartupTimes, questions: int | None, general: int, quiz: bool
) -> None:
    """Print what the budget buys, and what half, twice and four times as much would.

    `questions` are None if they are still to be collected.
    """
    begun = read_run(run.path)
    if len(run.state["starts"]) > 1 or ("started" in begun and not begun.keys() & {"deadline", "ended"}):
        raise InputError(  # the first round, which is collected for the plan, would take the place of its dataset
            f"expected no run under way with --plan_only, found one in {run.path}: leave --plan_only out to go on with it, "
            "or give another --out"
        )
    if not calibrate(run, steps, starts, ask=questions is not None):
        raise InputError(
            f"expected the first work of each stage within an hour, found that it takes longer: see {run.out}, start it again"
        )
    timings, collected = forecast.find_timings(run.out), read_report(meta_file(run.out / "data.json"), CollectionTime)
    if questions is None:
        questions = round(TEST_RATIO * collected.units * timings.questions_a_unit)
    plans = [
        forecast.forecast(run.budget * times, timings, collected.units, questions, general, quiz)
        for times in (1, 0.5, 2, 4)
    ]
    print("\n".join(forecast.format_plan(plans[0], plans[1:])))


def max_ranks(command: list[str], cluster_gpus: int | None) -> int:
    """The ranks that a training command starts on a large dataset; a calibration has examples for one or two."""
    from training.launch import MAX_UPDATE_TOKENS, choose_launch, plan_launch

    if cluster_gpus is not None:
        return choose_launch(None, 0.0, tuple(map(str, range(cluster_gpus))), MAX_UPDATE_TOKENS, 0).processes
    return plan_launch(command[command.index("--model_name_or_path") + 1], None, command).processes


def compute_timings(
    out: Path, training: float, starts: StartupTimes, same_engine: bool = True, ranks: int = 1
) -> Timings:
    """The timings from the files of a calibration in `out` whose training process took `training` seconds.

    `same_engine`: the collection uses the engine that will answer the questions, so both take equally long to start. The
    training itself will have `ranks`, each as fast as those of the calibration.
    """
    folder, data_meta = find_log_file(out / "calibration"), meta_file(out / "data.json")
    collection = read_json(data_meta, "the collection's numbers")
    trained = read_json(meta_file(folder / "lora" / "training"), "the training's numbers")
    train_log = read_json(folder / "lora" / "train_log.json", "the training's log")
    plan, losses = train_log["plan"], [entry for entry in train_log["log"] if "loss" in entry]
    examples = plan["examples"] + plan["replayed"]
    tokens_an_update = plan["tokens"] / examples * plan["examples_per_update"]
    collected, counts = read_report(data_meta, CollectionTime), collection["counts"]
    asked = read_report(meta_file(folder / "base.json"), AskingTime)
    units = collected.units
    start = collected.seconds_to_start if same_engine else starts.asking
    units_read = forecast.mean_units(collected.share_read * units, units)
    questions = counts["rows"].get("qa", 0) + counts["rows"].get("reverse", 0)
    updating, preparing, loading = trained["training_seconds"], trained["preparing_seconds"], None
    overhead = start + trained["seconds"] - updating - preparing
    if starts.vllm:  # neither the training nor its check starts vLLM: about half of what is left each
        overhead = training - updating - preparing
        loading = overhead / 2
    # A process starts once, however many answers are replayed.
    replay_start = min(start, preparing) if plan["replayed"] else 0.0
    return Timings(
        start=start,
        unit=collected.seconds_of_all_facts / units,
        questions_a_unit=questions / units_read,
        rows_a_unit=sum(counts["rows"].values()) / units_read,
        role_unit=collected.seconds_of_a_role / units,
        role_rows_a_unit=forecast.ROLE_YIELD * counts["pairs_per_role"] / units_read,
        facts_a_unit=counts["facts"] / units_read,
        roles=collection["arguments"]["role_amount_per_fact"],
        update=tokens_an_update / losses[-1]["tokens_per_second"] * plan["processes"] / max(ranks, plan["processes"]),
        examples_an_update=plan["examples_per_update"],
        epochs=trained["arguments"]["num_train_epochs"],
        replay=plan["replayed"] / plan["examples"],
        example=(preparing - replay_start) / examples,
        training_overhead=overhead + replay_start,
        question=(asked and asked.seconds_a_question) or forecast.QUESTION_CALLS * collected.seconds_a_call,
        loading=loading,
    )
