"""All stages, once or to a deadline: documents in, an adapter and a report out.

In:  --data_path, a folder of .txt files; --test_data_path, questions about them (default: some of the collection's own).
Out: in --out what the stages write (data.json, lora, base.json, tuned.json, open_book.json, report.html ...), and run.json:
     for each stage what it took; with a time budget the deadline too, and what was planned.

Without --time_budget and --until every stage does all of its work. With one of them each does what fits, and all have ended
by the deadline.

Started again it goes on, however it was stopped: a stage that has ended by run.json is made again only if what it made is
gone, or what an earlier stage made is newer, as after a change by hand; the stage under way goes on from its journal or its
last checkpoint. A deadline stays what it was; once a run with a deadline has ended, the next start is a new run.

    python run_all.py --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts --out output/all
    python run_all.py --time_budget 24h --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts --out output/day
    python run_all.py --time_budget 24h --plan_only True --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts
"""

from __future__ import annotations

import contextlib
import logging
import math
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from budget import forecast
from budget.calibration import calibrate, judge_start, starts_of
from budget.clock import BudgetArguments, in_words, of_day
from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED, Starts
from budget.reports import CollectionTime, read_report
from budget.run import Interrupted, Run, read_timings
from budget.step import Step
from engines.processes import alone_in
from evaluation import report
from provenance import meta_file
from utils import InputError, log_file, parse_arguments, read_json, require_model, run

TEST_RATIO = 0.1  # of the collection's questions, where there are no others to test with
ADAPTER = "adapter_model.safetensors"
SAVED = ["--save_minutes", "10", "--resume_from_checkpoint", "auto"]  # by a training without a deadline, to go on from

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Arguments(BudgetArguments):
    model_name_or_path: str = field(metadata={"help": "A model folder, or a name on the Hugging Face hub."})
    data_path: str = field(metadata={"help": "Folder of the documents."})
    out: str = field(default="output/run", metadata={"help": "Folder of all that is made."})
    test_data_path: str | None = field(
        default=None,
        metadata={"help": "The test questions; by default a tenth of the collection's, kept out of training."},
    )
    retention_data_path: str | None = field(
        default=None, metadata={"help": "General questions, to see what is forgotten."}
    )
    open_book: bool = field(default=True, metadata={"help": "Ask the base model with the document too, if it fits."})
    system_prompt: str | None = field(default=None, metadata={"help": "Of training and asking alike."})
    collect_args: str = field(default="", metadata={"help": "More arguments of the collection, in one string."})
    finetune_args: str = field(default="", metadata={"help": "More arguments of finetune.py."})
    inference_args: str = field(default="", metadata={"help": "More arguments of inference.py."})
    evaluate_args: str = field(default="--judge match", metadata={"help": "More arguments of evaluate.py."})
    plan_only: bool = field(default=False, metadata={"help": "Calibrate, say what the budget buys, and stop."})


def steps_of(arguments: Arguments, limited: bool = True) -> dict[str, list[Step]]:
    """The commands of every stage, but for the moment each has to end at, if the time is `limited`."""
    out, (base, tuned) = Path(arguments.out), asking_steps(arguments, limited)
    model, prompt = model_and_prompt(arguments)
    collect_args = shlex.split(arguments.collect_args)
    collect = ["data_processor/data_collection_local.py", *model]
    if "--api_model" in collect_args:
        collect = ["data_processor/data_collection_api.py"]
    collect += ["--data_path", arguments.data_path, "--json_save_dir", str(out / "data.json")]
    collect += [] if arguments.test_data_path else ["--test_ratio", str(TEST_RATIO)]
    train = ["-m", "training.launch", *model, "--data_path", str(out / "data.json"), "--output_dir", str(out / "lora")]
    train += [*prompt, *([] if limited else SAVED), *shlex.split(arguments.finetune_args)]
    judge = ["evaluate.py", "--data_path", str(out), "--data_name_sft", "tuned.json", "--data_name_base", "base.json"]
    judge += [*model, "--lora_weights", str(out / "lora"), "--documents", arguments.data_path]
    trained, rescue = out / "lora" / "training.meta.json", lambda: rescue_adapter(out / "lora")
    return {
        COLLECTION: [Step("collection", out / "data.json", [*collect, *collect_args])],
        BASE: base,
        TRAINING: [Step("fine-tuning", trained, train, sealed=True, rescue=rescue)],
        TUNED: tuned,
        EVALUATION: [
            Step("evaluation", out / "tuned_win_rate.json", [*judge, *shlex.split(arguments.evaluate_args)]),
        ],
    }


def model_and_prompt(arguments: Arguments) -> tuple[list[str], list[str]]:
    """Arguments of a stage."""
    prompt = [] if arguments.system_prompt is None else ["--system_prompt", arguments.system_prompt]
    return ["--model_name_or_path", arguments.model_name_or_path], prompt


def asking_steps(arguments: Arguments, limited: bool) -> tuple[list[Step], list[Step]]:
    """What asks the base model before the training, and what asks after it.

    The time that the base model takes says how much the training can have. Without a deadline it is asked together with
    the tuned model, which is loaded once for both.
    """
    out, (model, prompt) = Path(arguments.out), model_and_prompt(arguments)

    def ask(name: str, questions: str, part: float, *more: str, needed: bool = False) -> Step:
        output = out / f"{name}.json"
        command = ["inference.py", *model, "--test_data_path", questions, "--output_path", str(output), *prompt, *more]
        return Step(name, output, [*command, *shlex.split(arguments.inference_args)], part, needed)

    test = arguments.test_data_path or str(out / "data.test.json")
    sets = [("", test, 0.6, True)]
    if arguments.retention_data_path:
        sets.append(("retention_", arguments.retention_data_path, 1.0, False))
    base, tuned = [], []
    for kind, questions, part, needed in sets:
        lora = ["--lora_weights", str(out / "lora")]
        if limited:
            base.append(ask(f"{kind}base", questions, part, needed=needed))
        else:
            lora += ["--also_base", str(out / f"{kind}base.json")]
        tuned.append(ask(f"{kind}tuned", questions, 0.8, *lora, needed=needed))
    if arguments.open_book:  # last: it takes nothing from what comes before, where there is little time
        tuned.append(ask("open_book", test, 1.0, "--open_book", arguments.data_path))
    return base, tuned


def rescue_adapter(lora: Path) -> bool:
    """Whether a training that had to be ended left an adapter: saved and not compared, or that of its last checkpoint."""
    if (lora / ADAPTER).is_file():
        return True
    whole = sorted(lora.glob("checkpoint-*/whole.json"), key=lambda mark: int(mark.parent.name.partition("-")[2]))
    if whole:
        for name in (ADAPTER, "adapter_config.json"):
            shutil.copy(whole[-1].with_name(name), lora / name)
    return bool(whole)


def counts_of(arguments: Arguments) -> tuple[int | None, int]:
    """How many test questions and general ones there are; None before the collection has made them."""
    paths = (arguments.test_data_path, arguments.retention_data_path)
    test, general = (len(read_json(path, "questions")) if path else None for path in paths)
    return test, general or 0


def check(arguments: Arguments, budget: float) -> Starts:
    """What can be known to be wrong before anything is started. Returns the prior of a start."""
    if arguments.plan_only and budget == math.inf:
        raise InputError("expected --time_budget or --until with --plan_only, found neither: give one")
    require_model(arguments.model_name_or_path)
    if not Path(arguments.data_path).is_dir():
        raise InputError(f"expected a folder of documents at {arguments.data_path}, found none: give --data_path")
    counts_of(arguments)
    starts = starts_of(arguments.model_name_or_path, shlex.split(arguments.inference_args))
    least = forecast.least_budget(starts, judge_start(shlex.split(arguments.evaluate_args), starts))
    if budget < least and not arguments.plan_only:
        raise InputError(
            f"expected a time budget of at least {in_words(least)} for all stages, found {in_words(budget)}: give more, "
            "or run the stages one by one"
        )
    return starts


def print_plan(day: Run, steps: dict[str, list[Step]], starts: Starts, arguments: Arguments) -> None:
    """What the budget buys, and what half, twice and four times as much would."""
    calibrate(day, steps, starts, ask=arguments.test_data_path is not None)
    timings, made = read_timings(day.out), read_report(meta_file(day.out / "data.json"), CollectionTime)
    questions, general = counts_of(arguments)
    if questions is None:
        questions = round(TEST_RATIO * made.units * timings.questions_a_unit)
    plans = [forecast.forecast(day.budget * times, timings, made.units, questions, general) for times in (1, 0.5, 2, 4)]
    print("\n".join(forecast.lines(plans[0], plans[1:])))


def begin(day: Run, steps: dict[str, list[Step]]) -> None:
    """A new run: no answers of an earlier one are taken for its own; what the journals hold is not asked again."""
    for name in (BASE, TRAINING, TUNED, EVALUATION):
        for step in steps[name]:
            for path in (step.output, log_file(step.output)):
                path.unlink(missing_ok=True)
    (day.out / "lora" / ADAPTER).unlink(missing_ok=True)
    if day.limited:
        log.info("%s, until %s", in_words(day.budget), of_day(day.deadline))
    day.write()


def more_answers(out: Path) -> list[str]:
    """The further answers files in which something was answered, as arguments of evaluate.py."""

    def answered(name: str) -> bool:
        rows = read_json(out / name, "answers") if (out / name).is_file() else []
        return any(not row.get("error") for row in rows)

    words = ["--data_name_open_book", "open_book.json"] if answered("open_book.json") else []
    pair = [f"retention_{what}.json" for what in ("tuned", "base")]
    if all(map(answered, pair)):
        words += ["--data_name_retention_sft", pair[0], "--data_name_retention_base", pair[1]]
    return words


def finish(day: Run, documents: str) -> None:
    """The report once more, with the time that everything took."""
    day.end()
    report.write_reports(day.out, report.collect_report_data(day.out, "tuned", "base", documents=documents))
    for stage in day.state["stages"]:
        planned = f"planned {in_words(stage['planned_seconds']):>8}, " if day.limited else ""
        log.info("%-18s %stook %8s", stage["name"], planned, in_words(stage["seconds"]))
    before = f"{in_words(day.left())} before the deadline: " if day.limited else ""
    log.info("%s%s, %s", before, day.out / "lora", day.out / "report.html")


def carry_out(day: Run, steps: dict[str, list[Step]], starts: Starts, arguments: Arguments) -> None:
    """All stages, or with --plan_only the plan alone."""
    if arguments.plan_only:
        print_plan(day, steps, starts, arguments)
        return
    if len(day.state["starts"]) == 1:
        begin(day, steps)
    worth = day.limited and forecast.CALIBRATION_SHARE * day.budget > forecast.calibration_seconds(starts)
    if worth and read_timings(day.out) is None:
        calibrate(day, steps, starts, ask=False)
    for name in forecast.STAGES:
        if day.limited:
            questions, general = counts_of(arguments)
            day.measure(questions or 0, general, "match" not in arguments.evaluate_args, arguments.open_book)
        if name == EVALUATION:
            steps[name][0].command += more_answers(day.out)
        if steps[name]:
            day.carry_out(name, steps[name])
    finish(day, arguments.data_path)


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    day = Run(arguments, Path(arguments.out), kept=not arguments.plan_only)
    there = day.out.is_dir()
    with contextlib.ExitStack() as held:
        if there:  # before anything looks for GPUs, which processes of an earlier run may have
            held.enter_context(alone_in(day.out))
        steps, starts = steps_of(arguments, day.limited), check(arguments, day.budget)
        if not there:
            held.enter_context(alone_in(day.out))
        day.loading = starts.training if starts.vllm else None
        try:
            carry_out(day, steps, starts, arguments)
        except Interrupted as stopped:
            before = f" before {of_day(day.deadline)}" if day.limited else ""
            log.info("stopped; run this again%s to go on", before)
            raise SystemExit(128 + stopped.number) from None


if __name__ == "__main__":
    run(main)
