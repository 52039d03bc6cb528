"""A calibration: the first work of each stage, timed on this machine with the run's own arguments, for forecast.Timings.

It is worth a small share of a budget; --plan_only makes nothing else.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from budget import forecast, prior
from budget.clock import written
from budget.forecast import BASE, COLLECTION, TRAINING, Starts, Timings
from budget.run import CALIBRATION_FILE, Interrupted, Run, Step, budget_of
from provenance import meta_file
from utils import InputError, find_log_file, log_file, read_json, write_json

SHARE = 0.075  # of a budget, which a calibration is worth
# Batches come from long to short, and again: in as few examples as a calibration has, after about so many updates.
UPDATES = 16
QUESTIONS = 8
ONE_HOUR = 3600


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
    alike = prior.uses_vllm(steps[COLLECTION][0].command) == starts.vllm or not starts.on_gpu
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
    folder = find_log_file(out / "calibration")
    made = read_json(meta_file(out / "data.json"), "the collection's numbers")
    trained = read_json(meta_file(folder / "lora" / "training"), "the training's numbers")
    log_of_training = read_json(folder / "lora" / "train_log.json", "the training's log")
    plan, said = log_of_training["plan"], [entry for entry in log_of_training["log"] if "loss" in entry]
    examples = plan["examples"] + plan["replayed"]
    tokens_an_update = plan["tokens"] / examples * plan["examples_per_update"]
    collected, counts = made["budget"], made["counts"]
    units, call = collected["units"], collected["seconds_a_call"]
    start = collected["seconds_to_start"] if alike else starts.asking
    read = forecast.mean_units(collected["share_read"] * units, units)
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
        unit=collected["seconds_of_all_facts"] / units,
        questions_a_unit=questions / read,
        rows_a_unit=sum(counts["rows"].values()) / read,
        role_unit=collected["seconds_of_a_role"] / units,
        role_rows_a_unit=forecast.ROLE_YIELD * reworded / read,
        facts_a_unit=counts["facts"] / read,
        roles=made["arguments"]["role_amount_per_fact"],
        update=tokens_an_update / said[-1]["tokens_per_second"] * plan["processes"] / max(ranks, plan["processes"]),
        examples_an_update=plan["examples_per_update"],
        epochs=trained["arguments"]["num_train_epochs"],
        replay=plan["replayed"] / plan["examples"],
        example=(preparing - replay_start) / examples,
        training_overhead=overhead + replay_start,
        question=(budget_of(folder / "base.json") or {}).get("seconds_a_question") or forecast.QUESTION_CALLS * call,
        loading=loading,
    )
