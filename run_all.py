"""All stages, in full or to a deadline: documents in, an adapter and a report out.

In:  --data_path, a folder of .txt, .md, .html, .pdf or .docx files; --test_data_path, questions about them (default: some of those the collection made).
Out: in --out, what the stages write (data.json, lora, base.json, tuned.json, open_book.json, report.html ...), and run.json:
     how long each stage took; with a time budget also the deadline and the plan.

Without --time_budget or --until every stage does all its work. With one of them each does what fits, and all end by the
deadline.

Restarted after any kind of stop, it resumes: a stage that ended according to run.json runs again only if its output is
gone, or the output of an earlier stage is newer, as after an edit by hand; the unfinished stage continues from its journal
or last checkpoint. The deadline does not change; once a run with a deadline has ended, the next start is a new run.

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
from budget.calibration import calibrate, estimate_judge_startup, estimate_startup_times
from budget.clock import format_duration, time_of_day
from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED, StartupTimes
from budget.reports import CollectionTime, read_report
from budget.run import Interrupted, Run, read_timings
from budget.step import Step
from budget.watching import WatchArguments, require_reporters, watched
from data_processor.documents import read_documents
from data_processor.languages import identify_all, in_language
from engines.hub import require_model
from engines.processes import claim_run_folder
from evaluation import report
from provenance import meta_file
from utils import InputError, log_file, parse_arguments, read_json, run_script

TEST_RATIO = 0.1  # of the collection's questions, used as test questions if none are given
# In English; beside it in other languages. They are measured on and never trained on.
GENERAL_QUESTIONS = Path(__file__).parent / "evaluation" / "general" / "questions.json"
ADAPTER = "adapter_model.safetensors"
# For a training without a deadline, so that it can resume
SAVING_ARGUMENTS = ["--save_minutes", "10", "--resume_from_checkpoint", "auto"]

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Arguments(WatchArguments):
    model_name_or_path: str = field(metadata={"help": "A model folder, or a name on the Hugging Face hub."})
    data_path: str = field(metadata={"help": "Folder of the documents."})
    out: str = field(default="output/run", metadata={"help": "Folder for all output."})
    test_data_path: str | None = field(
        default=None,
        metadata={"help": "Test questions; by default a tenth of the collection's, held out of training."},
    )
    retention_data_path: str | None = field(
        default=None,
        metadata={
            "help": 'General questions, to measure forgetting; "none": none. Default: ours in the documents\' language.'
        },
    )
    open_book: bool = field(
        default=True, metadata={"help": "Also ask the base model with the document, if time allows."}
    )
    system_prompt: str | None = field(default=None, metadata={"help": "For training and asking alike."})
    collect_args: str = field(default="", metadata={"help": "More arguments for the collection, in one string."})
    finetune_args: str = field(default="", metadata={"help": "More arguments for finetune.py."})
    inference_args: str = field(default="", metadata={"help": "More arguments for inference.py."})
    evaluate_args: str = field(default="--judge match", metadata={"help": "More arguments for evaluate.py."})
    plan_only: bool = field(default=False, metadata={"help": "Calibrate, print what the budget buys, and stop."})


def choose_general_questions(arguments: Arguments) -> None:
    """Ask the project's general questions in the language of the documents, unless others are given or none is wanted."""
    if arguments.retention_data_path is None:
        language = identify_all([document.text for document in read_documents(arguments.data_path, arguments.out)])
        arguments.retention_data_path = str(in_language(GENERAL_QUESTIONS, language))
    elif arguments.retention_data_path == "none":
        arguments.retention_data_path = ""


def build_steps(arguments: Arguments, limited: bool = True) -> dict[str, list[Step]]:
    """The commands of every stage; if the time is `limited`, each is also given the time to end at when it is run."""
    out, (base, tuned) = Path(arguments.out), asking_steps(arguments, limited)
    model, prompt = model_and_prompt(arguments)
    collect_args = shlex.split(arguments.collect_args)
    collect = ["data_processor/data_collection_local.py", *model]
    if "--api_model" in collect_args:
        collect = ["data_processor/data_collection_api.py"]
    collect += ["--data_path", arguments.data_path, "--json_save_dir", str(out / "data.json")]
    collect += [] if arguments.test_data_path else ["--test_ratio", str(TEST_RATIO)]
    train = ["-m", "training.launch", *model, "--data_path", str(out / "data.json"), "--output_dir", str(out / "lora")]
    train += [*prompt, *([] if limited else SAVING_ARGUMENTS), *shlex.split(arguments.finetune_args)]
    judge = ["evaluate.py", "--data_path", str(out), "--data_name_sft", "tuned.json", "--data_name_base", "base.json"]
    judge += [*model, "--lora_weights", str(out / "lora"), "--documents", arguments.data_path]
    training_meta, rescue = out / "lora" / "training.meta.json", lambda: rescue_adapter(out / "lora")
    return {
        COLLECTION: [Step("collection", out / "data.json", [*collect, *collect_args])],
        BASE: base,
        TRAINING: [Step("fine-tuning", training_meta, train, sealed=True, rescue=rescue)],
        TUNED: tuned,
        EVALUATION: [
            Step("evaluation", out / "tuned_win_rate.json", [*judge, *shlex.split(arguments.evaluate_args)]),
        ],
    }


def model_and_prompt(arguments: Arguments) -> tuple[list[str], list[str]]:
    """The arguments of a stage for the model, and for the system prompt."""
    prompt = [] if arguments.system_prompt is None else ["--system_prompt", arguments.system_prompt]
    return ["--model_name_or_path", arguments.model_name_or_path], prompt


def asking_steps(arguments: Arguments, limited: bool) -> tuple[list[Step], list[Step]]:
    """The steps that ask the base model before the training, and those that ask afterwards.

    The time the base model takes tells how much is left for the training. Without a deadline it is asked together with the
    tuned model, so that the weights are loaded only once.
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
    for prefix, questions, part, needed in sets:
        lora = ["--lora_weights", str(out / "lora")]
        if limited:
            base.append(ask(f"{prefix}base", questions, part, needed=needed))
        else:
            lora += ["--also_base", str(out / f"{prefix}base.json")]
        tuned.append(ask(f"{prefix}tuned", questions, 0.8, *lora, needed=needed))
    if arguments.open_book:  # last, so that it takes no time from the others
        tuned.append(ask("open_book", test, 1.0, "--open_book", arguments.data_path))
    return base, tuned


def rescue_adapter(lora: Path) -> bool:
    """Whether a training that had to be stopped left an adapter: saved but not compared, or that of its last checkpoint."""
    if (lora / ADAPTER).is_file():
        return True
    checkpoints = sorted(lora.glob("checkpoint-*/whole.json"), key=lambda mark: int(mark.parent.name.partition("-")[2]))
    if checkpoints:
        for name in (ADAPTER, "adapter_config.json"):
            shutil.copy(checkpoints[-1].with_name(name), lora / name)
    return bool(checkpoints)


def count_questions(arguments: Arguments) -> tuple[int | None, int]:
    """The numbers of test questions and of general ones; the former is None before the collection has made them."""
    paths = (arguments.test_data_path, arguments.retention_data_path)
    test, general = (len(read_json(path, "questions", or_lines=True)) if path else None for path in paths)
    return test, general or 0


def check_arguments(arguments: Arguments, budget: float) -> StartupTimes:
    """Report what can be known to be wrong before anything starts, and choose the general questions.

    Returns the priors for starts.
    """
    if arguments.plan_only and budget == math.inf:
        raise InputError("expected --time_budget or --until with --plan_only, found neither: give one")
    require_reporters(arguments.report_to)
    require_model(arguments.model_name_or_path)
    if not Path(arguments.data_path).is_dir():
        raise InputError(f"expected a folder of documents at {arguments.data_path}, found none: give --data_path")
    choose_general_questions(arguments)
    count_questions(arguments)
    starts = estimate_startup_times(arguments.model_name_or_path, shlex.split(arguments.inference_args))
    minimum = forecast.minimum_budget(starts, estimate_judge_startup(shlex.split(arguments.evaluate_args), starts))
    if budget < minimum and not arguments.plan_only:
        raise InputError(
            f"expected a time budget of at least {format_duration(minimum)} for all stages, found {format_duration(budget)}: give more, "
            "or run the stages one by one"
        )
    return starts


def print_plan(run: Run, steps: dict[str, list[Step]], starts: StartupTimes, arguments: Arguments) -> None:
    """Print what the budget buys, and what half, twice and four times as much would."""
    calibrate(run, steps, starts, ask=arguments.test_data_path is not None)
    timings, collected = read_timings(run.out), read_report(meta_file(run.out / "data.json"), CollectionTime)
    questions, general = count_questions(arguments)
    if questions is None:
        questions = round(TEST_RATIO * collected.units * timings.questions_a_unit)
    plans = [
        forecast.forecast(run.budget * times, timings, collected.units, questions, general) for times in (1, 0.5, 2, 4)
    ]
    print("\n".join(forecast.format_plan(plans[0], plans[1:])))


def start_new_run(run: Run, steps: dict[str, list[Step]]) -> None:
    """Start a new run: remove the answers of an earlier one, so that they are not mistaken for its own, but not the journals."""
    for name in (BASE, TRAINING, TUNED, EVALUATION):
        for step in steps[name]:
            for path in (step.output, log_file(step.output)):
                path.unlink(missing_ok=True)
    (run.out / "lora" / ADAPTER).unlink(missing_ok=True)
    if run.limited:
        log.info("%s, %s left until %s", *map(format_duration, (run.budget, run.left())), time_of_day(run.deadline))
    run.write()


def further_answers(out: Path) -> list[str]:
    """The other answers files in which something was answered, as arguments for evaluate.py."""

    def answered(name: str) -> bool:
        rows = read_json(out / name, "answers") if (out / name).is_file() else []
        return any(not row.get("error") for row in rows)

    options = ["--data_name_open_book", "open_book.json"] if answered("open_book.json") else []
    pair = [f"retention_{model}.json" for model in ("tuned", "base")]
    if all(map(answered, pair)):
        options += ["--data_name_retention_sft", pair[0], "--data_name_retention_base", pair[1]]
    return options


def finish_run(run: Run, documents: str) -> None:
    """Write the report once more, with the time that everything took."""
    run.end()
    report.write_reports(run.out, report.collect_report_data(run.out, "tuned", "base", documents=documents))
    for stage in run.state["stages"]:
        planned = f"planned {format_duration(stage['planned_seconds']):>8}, " if run.limited else ""
        log.info("%-18s %stook %8s", stage["name"], planned, format_duration(stage["seconds"]))
    before = f"{format_duration(run.left())} before the deadline: " if run.limited else ""
    log.info("%s%s, %s", before, run.out / "lora", run.out / "report.html")


def run_stages(run: Run, steps: dict[str, list[Step]], starts: StartupTimes, arguments: Arguments) -> None:
    """Run all stages, or with --plan_only just print the plan."""
    if arguments.plan_only:
        print_plan(run, steps, starts, arguments)
        return
    if len(run.state["starts"]) == 1:
        start_new_run(run, steps)
    with watched(run, arguments.report_to):
        worthwhile = run.limited and forecast.CALIBRATION_SHARE * run.budget > forecast.calibration_seconds(starts)
        if worthwhile and read_timings(run.out) is None:
            calibrate(run, steps, starts, ask=False)
        for name in forecast.STAGES:
            if run.limited:
                questions, general = count_questions(arguments)
                run.update_estimates(
                    questions or 0, general, "match" not in arguments.evaluate_args, arguments.open_book
                )
            if name == EVALUATION:
                steps[name][0].command += further_answers(run.out)
            if steps[name]:
                run.run_stage(name, steps[name])
        finish_run(run, arguments.data_path)


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    run = Run(arguments, Path(arguments.out), resumable=not arguments.plan_only)
    existed = run.out.is_dir()
    with contextlib.ExitStack() as stack:
        if existed:  # before anything looks for GPUs, which processes of an earlier run may occupy
            stack.enter_context(claim_run_folder(run.out))
        starts = check_arguments(arguments, run.budget)
        steps = build_steps(arguments, run.limited)
        if not existed:
            stack.enter_context(claim_run_folder(run.out))
        run.transformers_startup = starts.training if starts.vllm else None
        try:
            run_stages(run, steps, starts, arguments)
        except Interrupted as interrupted:
            before = f" before {time_of_day(run.deadline)}" if run.limited else ""
            log.info("stopped; run this again%s to continue", before)
            raise SystemExit(128 + interrupted.number) from None


if __name__ == "__main__":
    run_script(main)
