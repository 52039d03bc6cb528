"""All stages, in full or to a deadline: documents in, an adapter and a report out.

In:  --data_path, a folder of .txt, .md, .html, .pdf or .docx files; --test_data_path, questions about them (default: some of those the collection made).
Out: in --out, what the stages write (data.json, lora, base.json, tuned.json, open_book.json, report.html ...), and run.json:
     how long each stage took; with a time budget also the deadline and the plan.

Without --time_budget or --until every stage does all its work. With one of them each does what fits, and all end by the
deadline.

Restarted after any kind of stop, it resumes: a stage that ended according to run.json runs again only if its output is
gone, or the output of an earlier stage is newer, as after an edit by hand; the unfinished stage continues from its journal
or last checkpoint. The deadline does not change. Once a run has ended, a start with a deadline has nothing to do, and says how
to make it again; if the documents have changed since, it is a run of its own, in OUT/days/DATE: see docs/days.md.

    python run_all.py --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts --out output/all
    python run_all.py --time_budget 24h --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts --out output/day
    python run_all.py --time_budget 24h --plan_only True --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts
"""

from __future__ import annotations

import contextlib
import logging
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

import evaluate
import inference
from budget import forecast
from budget.arguments import Arguments
from budget.calibration import (
    CALIBRATION,
    calibrate,
    estimate_judge_startup,
    estimate_startup_times,
    print_plan,
)
from budget.clock import find_stage, format_duration, time_of_day
from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED, StartupTimes
from budget.run import Interrupted, Run
from budget.stages import (
    GoingOn,
    Quiz,
    add_comparison,
    build_steps,
    further_answers,
    onward_passes,
    remove_outputs,
    require_finetune_arguments,
)
from budget.step import Step
from budget.watching import require_reporters, watched
from data_processor import data_collection_api, data_collection_local
from data_processor.arguments import can_judge
from data_processor.documents import Document, read_documents
from data_processor.languages import identify_all, in_language
from days import day as days
from days import intake
from days.asked import GONE, QUESTIONS
from days.carried import TODAY
from days.changes import fingerprint, write_fingerprints
from days.day import ANEW, BESIDE, WAYS
from days.folders import BESIDE_FOLDER, Day, all_runs, read_day
from days.known import QUIZ, TRAINED
from days.ledger import TEST
from days.overview import over_time
from days.superseded import Sources
from engines.hub import require_model
from engines.processes import claim_run_folder
from evaluation import report
from evaluation.answers import require_gradable
from evaluation.forgetting import require_lm_eval
from training.nodes import find_machines
from utils import InputError, log_file, parse_arguments, read_json, require_key, run_script, write_json

# In English; beside it in other languages. They are measured on and never trained on.
GENERAL_QUESTIONS = Path(__file__).parent / "evaluation" / "general" / "questions.json"

# What the answers of both models are to have in common
COMPARED = ("model_name_or_path", "system_prompt", "test_data_path", "retention_data_path")

log = logging.getLogger(__name__)


def choose_general_questions(arguments: Arguments, documents: Sequence[Document]) -> None:
    """Ask the project's general questions in the language of the documents, unless others are given or none is wanted."""
    if arguments.retention_data_path is None:
        language = identify_all([document.text for document in documents])
        arguments.retention_data_path = str(in_language(GENERAL_QUESTIONS, language))
    elif arguments.retention_data_path == "none":
        arguments.retention_data_path = ""


def count_questions(arguments: Arguments) -> tuple[int | None, int]:
    """The numbers of test questions and of general ones; the former is None before the collection has made them."""
    paths = (arguments.test_data_path, arguments.retention_data_path)
    test, general = (len(read_json(path, "questions", or_lines=True)) if path else None for path in paths)
    return test, general or 0


def read_stages(arguments: Arguments) -> dict[str, object]:
    """The arguments of the stages, by script, as those read them: a slip in them would otherwise show after hours.

    Those of finetune.py are read by check_arguments, where there is time to load torch, and otherwise soon by the calibration.
    """
    scripts = {"data_collection_local": data_collection_local, "data_collection_api": data_collection_api}
    scripts |= {"inference": inference, "evaluate": evaluate}
    try:
        steps = build_steps(arguments, limited=False)
    except ValueError as error:  # from shlex
        raise InputError(
            f"expected arguments for the stages as a shell reads them, found {error}: correct the quotes"
        ) from None
    commands = [step.command for name in (COLLECTION, TUNED, EVALUATION) for step in steps[name][:1]]
    named = [(Path(script).stem, words) for script, *words in commands]
    return {name: parse_arguments(scripts[name].Arguments, words=words)[0] for name, words in named}


def check_questions(arguments: Arguments) -> None:
    """That the judge can be asked, and can grade the questions that were given."""
    asked: evaluate.Arguments = read_stages(arguments)["evaluate"]
    judge = evaluate.choose_judge(asked)
    if judge == "api":
        require_key(asked.api_base)
    if asked.lm_eval:
        require_lm_eval()
    for path in filter(None, (arguments.test_data_path, arguments.retention_data_path)):
        require_gradable(path, judge)


def check_arguments(
    arguments: Arguments, budget: float, documents: Sequence[Document] | None
) -> tuple[StartupTimes, Sequence[Document]]:
    """Report what can be known to be wrong before anything starts, and choose the general questions.

    Returns the priors for starts, and the `documents`, read if they were not.
    """
    if arguments.plan_only and budget == math.inf:
        raise InputError("expected --time_budget or --until with --plan_only, found neither: give one")
    require_reporters(arguments.report_to)
    require_model(arguments.model_name_or_path)
    if not Path(arguments.data_path).is_dir():
        raise InputError(f"expected a folder of documents at {arguments.data_path}, found none: give --data_path")
    if documents is None:
        documents = read_documents(arguments.data_path, arguments.out)
    unknown = {*arguments.newer} - {document.file_name for document in documents}
    if unknown:
        raise InputError(
            f"expected documents in {arguments.data_path} as --newer, found no {min(unknown)}: give their names there"
        )
    choose_general_questions(arguments, documents)
    check_questions(arguments)
    if budget == math.inf and arguments.finetune_args:
        require_finetune_arguments(arguments.finetune_args)
    gpus = None
    # before hours of collection, that the training needs what they share
    if arguments.ray_address not in (None, "local"):
        found = find_machines(arguments.ray_address, Path(arguments.out), arguments.model_name_or_path)
        gpus = sum(machine.gpus for machine in found)
    starts = estimate_startup_times(arguments.model_name_or_path, shlex.split(arguments.inference_args), gpus)
    minimum = forecast.minimum_budget(starts, estimate_judge_startup(shlex.split(arguments.evaluate_args), starts))
    if budget < minimum and not arguments.plan_only:
        raise InputError(
            f"expected a time budget of at least {format_duration(minimum)} for all stages, found {format_duration(budget)}: give more, "
            "or run the stages one by one"
        )
    return starts, documents


def finish_run(run: Run, day: Day, documents: str) -> None:
    """Say what was learnt and lost, write the report once more, with the time that everything took, and move `latest`."""
    gate = days.judge(day)
    if not day.is_first:
        write_json(log_file(run.out / report.DAYS_FILE), over_time(day, gate))
    report.write_reports(run.out, report.collect_report_data(run.out, "tuned", "base", documents=documents))
    days.close(day, gate)
    run.end()
    for stage in run.state["stages"]:
        planned = f"planned {format_duration(stage['planned_seconds']):>8}, " if run.limited else ""
        log.info("%-18s %stook %8s", stage["name"], planned, format_duration(stage["seconds"]))
    before = f"{format_duration(run.left())} before the deadline: " if run.limited else ""
    log.info("%s%s, %s", before, run.out / "lora", run.out / "report.html")


def go_on(day: Day) -> GoingOn | None:
    """How a day goes on from the run before it, by the way that it has chosen; None for the first run."""
    if day.is_first:
        return None
    way, test, gone = read_day(day.run).get("way", ANEW), day.run / TEST, day.run / GONE
    return GoingOn(
        adapter=day.before.run / "lora",
        rows=None if way == ANEW else day.run / TODAY,
        beside=day.run / BESIDE_FOLDER if way == BESIDE else None,
        recall=test if test.is_file() else None,
        gone=gone if read_json(gone, "questions") else None,
        unlearn=days.questions_to_unlearn(day),
    )


def take_in(run: Run, day: Day, documents: Sequence[Document], arguments: Arguments) -> dict[str, list[Step]]:
    """Put what was collected into the ledger; returns the steps of all later stages, which depend on it.

    How a training that has ended went, and what it trained, stays as it was noted, whatever the arguments are now.
    """
    if day.is_first:
        intake.take_in_first(day)
    else:
        intake.take_in(day, Sources(documents, arguments.data_path, arguments.newer), arguments.test_data_path)
        day.note(general=arguments.retention_data_path)
        arguments.test_data_path = str(day.run / QUESTIONS)
    trained = run.has_ended(TRAINING, build_steps(arguments, run.limited, go_on(day))[TRAINING])
    if not day.is_first:
        before = read_day(day.run).get("way")
        if not trained:
            way = days.choose_way(day, arguments.way, onward_passes(arguments.finetune_args))
            if way != before or "seconds" in find_stage(run.state, TRAINING):
                run.forget(TRAINING)
        already = f"trained already; {days.how_to_repeat(day, arguments.way)}"
        log.info("%s: %s", day.run, already if trained else WAYS[way])
    asks = (day.run / QUIZ).exists() if trained else days.prepare_quiz(day, arguments.quiz)
    test = day.run / TEST
    quiz = Quiz(day.run / QUIZ, day.run / TRAINED, test if test.is_file() else None) if asks else None
    steps = build_steps(arguments, run.limited, go_on(day), quiz)
    return {name: steps[name] for name in (BASE, TRAINING, TUNED, EVALUATION)}


def run_stages(run: Run, day: Day, starts: StartupTimes, arguments: Arguments, documents: Sequence[Document]) -> None:
    """Run all stages, or with --plan_only just print the plan."""
    steps = build_steps(arguments, run.limited)
    if arguments.plan_only:
        print_plan(run, steps, starts, *count_questions(arguments), arguments.quiz)
        return
    if not day.is_first and can_judge(shlex.split(arguments.collect_args)):
        add_comparison(steps[COLLECTION], arguments, lambda: intake.write_candidates(day))
    if len(run.state["starts"]) == 1:
        remove_outputs(run.out, steps)
        if run.limited:
            durations = map(format_duration, (run.budget, run.left()))
            log.info("%s, %s left until %s", *durations, time_of_day(run.deadline))
        run.write()
    with watched(run, arguments.report_to):
        worthwhile = run.limited and forecast.CALIBRATION_SHARE * run.budget > forecast.calibration_seconds(starts)
        if worthwhile and forecast.find_timings(run.out) is None and not find_stage(run.state, CALIBRATION):
            calibrate(run, steps, starts, ask=False)
        if "seconds" not in find_stage(run.state, COLLECTION) or steps[COLLECTION][0].gone():
            write_fingerprints(run.out, fingerprint(documents))
        for name in forecast.STAGES:
            if run.limited:
                questions, general = count_questions(arguments)
                run.update_estimates(
                    questions or 0, general, "match" not in arguments.evaluate_args, arguments.open_book, arguments.quiz
                )
            if name == EVALUATION:
                steps[name][0].command += further_answers(run.out)
            if steps[name]:
                run.run_stage(name, steps[name])
            if name == COLLECTION:
                steps |= take_in(run, day, documents, arguments)
            if name == BASE:
                days.use_base_answers(day)
        finish_run(run, day, arguments.data_path)


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    out = Path(arguments.out)
    day, documents = Day(out, out), None
    with contextlib.ExitStack() as stack:
        claimed = out.is_dir()
        if claimed:  # before anything looks for GPUs, which processes of an earlier run may occupy
            stack.enter_context(claim_run_folder(out))
            documents = read_documents(arguments.data_path, all_runs(out)[-1])
            day = days.choose_run(out, documents, arguments.plan_only)
        is_new = not claimed if day.is_first else not day.run.is_dir()
        if not is_new and not day.is_first:
            stack.enter_context(claim_run_folder(day.run))
        run = Run(arguments, day.run, resumable=not arguments.plan_only, renewable=not day.is_first)
        run.keep_arguments({name: getattr(arguments, name) for name in COMPARED})
        starts, documents = check_arguments(arguments, run.budget, documents)
        if len(run.state["starts"]) == 1 and days.has_nothing_to_do(day.run):
            again = days.how_to_repeat(day, arguments.way)
            log.info("no document has changed since %s: nothing to do; %s", day.run, again)
            return
        days.open_run(day)
        if is_new:
            stack.enter_context(claim_run_folder(day.run))
        arguments.out = str(day.run)
        run.transformers_startup = starts.training if starts.vllm else None
        try:
            run_stages(run, day, starts, arguments, documents)
        except Interrupted as interrupted:
            before = f" before {time_of_day(run.deadline)}" if run.limited else ""
            log.info("stopped; run this again%s to continue", before)
            raise SystemExit(128 + interrupted.number) from None


if __name__ == "__main__":
    run_script(main)
