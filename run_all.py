"""All stages, in full or to a deadline: documents in, an adapter and a report out.

In:  --data_path, a folder of .txt, .md, .html, .pdf or .docx files; --test_data_path, questions about them (default: some of those the collection made).
Out: in --out, what the stages write (data.json, lora, base.json, tuned.json, open_book.json, report.html ...), and run.json:
     how long each stage took; with a time budget also the deadline and the plan.

Without --time_budget or --until every stage does all its work. With one of them each does what fits, and all end by the
deadline.

Restarted after any kind of stop, it resumes: a stage that ended according to run.json runs again only if its output is
gone, or the output of an earlier stage is newer, as after an edit by hand; the unfinished stage continues from its journal
or last checkpoint. The deadline does not change; once a run with a deadline has ended, the next start is a new run.
If the documents have changed since, it is one of its own, in OUT/days/DATE: see docs/days.md.

    python run_all.py --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts --out output/all
    python run_all.py --time_budget 24h --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts --out output/day
    python run_all.py --time_budget 24h --plan_only True --model_name_or_path Qwen/Qwen2.5-7B-Instruct --data_path my_texts
"""

from __future__ import annotations

import contextlib
import logging
import math
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from budget import forecast
from budget.arguments import Arguments
from budget.calibration import calibrate, estimate_judge_startup, estimate_startup_times
from budget.clock import RUN_FILE, find_stage, format_duration, parse_time, read_run, time_of_day
from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED, StartupTimes
from budget.reports import CollectionTime, read_report
from budget.run import Interrupted, Run, read_timings
from budget.stages import (
    TEST_RATIO,
    GoingOn,
    Quiz,
    add_comparison,
    build_steps,
    further_answers,
    onward_passes,
    remove_outputs,
)
from budget.step import Step
from budget.watching import require_reporters, watched
from data_processor.arguments import can_judge
from data_processor.documents import Document, read_documents
from data_processor.languages import identify_all, in_language
from days import day as days
from days import intake
from days.asked import GONE, QUESTIONS
from days.carried import TODAY
from days.changes import fingerprint, write_fingerprints
from days.day import ANEW, BESIDE, WAYS
from days.folders import BESIDE_FOLDER, Day, all_runs
from days.known import QUIZ, TRAINED
from days.ledger import TEST
from days.overview import over_time
from days.superseded import Sources
from engines.hub import require_model
from engines.processes import claim_run_folder
from evaluation import report
from provenance import meta_file
from training.nodes import find_machines
from utils import InputError, log_file, parse_arguments, read_json, run_script, write_json

# In English; beside it in other languages. They are measured on and never trained on.
GENERAL_QUESTIONS = Path(__file__).parent / "evaluation" / "general" / "questions.json"

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
    count_questions(arguments)
    gpus = None
    # before hours of collection, that the training needs what they share
    if arguments.ray_address not in (None, "local"):
        gpus = sum(machine.gpus for machine in find_machines(arguments.ray_address, Path(arguments.out)))
    starts = estimate_startup_times(arguments.model_name_or_path, shlex.split(arguments.inference_args), gpus)
    minimum = forecast.minimum_budget(starts, estimate_judge_startup(shlex.split(arguments.evaluate_args), starts))
    if budget < minimum and not arguments.plan_only:
        raise InputError(
            f"expected a time budget of at least {format_duration(minimum)} for all stages, found {format_duration(budget)}: give more, "
            "or run the stages one by one"
        )
    return starts, documents


def print_plan(run: Run, steps: dict[str, list[Step]], starts: StartupTimes, arguments: Arguments) -> None:
    """Print what the budget buys, and what half, twice and four times as much would."""
    calibrate(run, steps, starts, ask=arguments.test_data_path is not None)
    timings, collected = read_timings(run.out), read_report(meta_file(run.out / "data.json"), CollectionTime)
    questions, general = count_questions(arguments)
    if questions is None:
        questions = round(TEST_RATIO * collected.units * timings.questions_a_unit)
    plans = [
        forecast.forecast(run.budget * times, timings, collected.units, questions, general, arguments.quiz)
        for times in (1, 0.5, 2, 4)
    ]
    print("\n".join(forecast.format_plan(plans[0], plans[1:])))


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


def take_in(day: Day, documents: Sequence[Document], arguments: Arguments, limited: bool) -> dict[str, list[Step]]:
    """Put what was collected into the ledger; returns the steps of all later stages, which depend on it."""
    going_on, test, gone = None, day.run / TEST, day.run / GONE
    if day.is_first:
        intake.take_in_first(day)
    else:
        intake.take_in(day, Sources(documents, arguments.data_path, arguments.newer), arguments.test_data_path)
        arguments.test_data_path = str(day.run / QUESTIONS)
        way = days.choose_way(day, arguments.way, onward_passes(arguments.finetune_args))
        going_on = GoingOn(
            adapter=day.before.run / "lora",
            rows=None if way == ANEW else day.run / TODAY,
            beside=day.run / BESIDE_FOLDER if way == BESIDE else None,
            recall=test if test.is_file() else None,
            gone=gone if read_json(gone, "questions") else None,
            unlearn=days.questions_to_unlearn(day),
        )
        log.info("%s: %s", day.run, WAYS[way])
    quiz = Quiz(day.run / QUIZ, day.run / TRAINED, test if test.is_file() else None)
    steps = build_steps(arguments, limited, going_on, quiz if days.prepare_quiz(day, arguments.quiz) else None)
    return {name: steps[name] for name in (BASE, TRAINING, TUNED, EVALUATION)}


def run_stages(run: Run, day: Day, starts: StartupTimes, arguments: Arguments, documents: Sequence[Document]) -> None:
    """Run all stages, or with --plan_only just print the plan."""
    steps = build_steps(arguments, run.limited)
    if arguments.plan_only:
        print_plan(run, steps, starts, arguments)
        return
    if not day.is_first and can_judge(shlex.split(arguments.collect_args)):
        add_comparison(steps[COLLECTION], arguments, lambda: intake.write_candidates(day))
    if len(run.state["starts"]) == 1:
        if not day.is_first and days.is_closed(day.run):
            log.info("no document has changed since %s: nothing to do", day.run)
            return
        remove_outputs(run.out, steps)
        if run.limited:
            durations = map(format_duration, (run.budget, run.left()))
            log.info("%s, %s left until %s", *durations, time_of_day(run.deadline))
        run.write()
    with watched(run, arguments.report_to):
        worthwhile = run.limited and forecast.CALIBRATION_SHARE * run.budget > forecast.calibration_seconds(starts)
        if worthwhile and read_timings(run.out) is None:
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
                steps |= take_in(day, documents, arguments, run.limited)
            if name == BASE:
                days.use_base_answers(day)
        finish_run(run, day, arguments.data_path)


def find_day(arguments: Arguments, documents: Sequence[Document]) -> Day:
    """The run to start in --out, which becomes its folder. A day whose deadline has passed gets a new one."""
    out = Path(arguments.out)
    day = Day(out, days.find_run(out, documents))
    arguments.out = str(day.run)
    state = {} if day.is_first else read_run(day.run / RUN_FILE)
    if "deadline" in state and "ended" not in state and parse_time(state["deadline"], 0) <= time.time():
        log.info("going on with %s, whose deadline has passed, to a new one", day.run)
        (day.run / RUN_FILE).unlink()
    return day


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    out = Path(arguments.out)
    day, documents, existed = Day(out, out), None, out.is_dir()
    with contextlib.ExitStack() as stack:
        if existed:  # before anything looks for GPUs, which processes of an earlier run may occupy
            stack.enter_context(claim_run_folder(out))
            documents = read_documents(arguments.data_path, all_runs(out)[-1])
            day = find_day(arguments, documents)
        if not day.is_first:
            stack.enter_context(claim_run_folder(day.run))
        run = Run(arguments, day.run, resumable=not arguments.plan_only)
        starts, documents = check_arguments(arguments, run.budget, documents)
        if not existed:
            stack.enter_context(claim_run_folder(run.out))
        run.transformers_startup = starts.training if starts.vllm else None
        try:
            run_stages(run, day, starts, arguments, documents)
        except Interrupted as interrupted:
            before = f" before {time_of_day(run.deadline)}" if run.limited else ""
            log.info("stopped; run this again%s to continue", before)
            raise SystemExit(128 + interrupted.number) from None


if __name__ == "__main__":
    run_script(main)
