"""Compare a tuned model's answers with those of its base model: accuracy, win rate, forgetting, and a report.

In:  answers files in --data_path, each a list of {"fact", "question", "response"} and, from inference.py, "id",
     "reference", "file_name", "kind"; the same questions in each, matched by id, or by order if ids are missing.
Out: beside them, each with its log/<name>.meta.json:
     <sft>_controls.json      the judge's verdicts on cases with a known verdict
     <sft>_acc.json, <base>_acc.json  {"judge", "n", "correct", "incorrect", "not_attempted", "unscored", "accuracy",
                              "match", "by_kind", "by_document", "by_role", "verdicts"}; also for the open book and RAG
     <sft>_win_rate.json      "wins", "ties", "losses", "win_rate", "flip_rate" ..., "mcnemar", "gap_closed", "usage"
     <sft>_forgetting.json    "retention", "refusals", "drift", "lm_eval", each if its arguments are given
     report.md, report.html   all of it, to read; the summary from report.md is also printed
     log/<sft>_verdicts.jsonl every reply of the judge: a rerun repeats no question, --rescore asks none at all
A rate is a share of the scored questions. A question without a verdict counts as unscored; with a time budget, so do
those the judge has no time for, spread evenly over the documents.

    python evaluate.py --data_path output --data_name_sft tuned.json --data_name_base base.json --judge match
    python evaluate.py --data_path output --data_name_sft tuned.json --data_name_base base.json --local_model_path JUDGE \\
        --data_name_retention_sft retention_tuned.json --data_name_retention_base retention_base.json
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import provenance
from budget.asking import judge_in_time, mark_not_judged
from budget.clock import REPORT_S, Clock, Stopped
from budget.watching import WatchArguments, watched_clock
from engines.adapter import require_adapter, require_adapter_weights
from engines.arguments import ApiArguments, EngineArguments
from engines.hub import require_model
from engines.journal import weights_stamp
from engines.load import load_api_engine
from evaluation import accuracy, forgetting, judge_controls, report, report_text, win_rate
from evaluation.answers import pair_answers, read_answers
from evaluation.judge_process import JudgeProcess
from evaluation.judging import Judge, hash_text
from evaluation.matching import CORRECT
from evaluation.significance import gap_closed
from evaluation.verdict_journal import VerdictJournal
from utils import InputError, log_file, parse_arguments, read_json, run_script, write_json

LOCAL_SEPARATOR = " #"  # between a local judge's name and the stamp of its weights

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Arguments(WatchArguments, ApiArguments, EngineArguments):
    data_path: str = field(metadata={"help": "The folder with the answers; verdicts are written there too."})
    data_name_sft: str = field(metadata={"help": "File name of the tuned model's answers."})
    data_name_base: str = field(metadata={"help": "File name of the base model's answers."})
    data_name_open_book: str | None = field(
        default=None,
        metadata={"help": "File name of the base model's answers with the document in its prompt: the ceiling."},
    )
    data_name_rag: str | None = field(
        default=None, metadata={"help": "File name of the base model's answers with retrieval."}
    )
    data_name_retention_sft: str | None = field(
        default=None, metadata={"help": "File name of the tuned model's answers to general questions."}
    )
    data_name_retention_base: str | None = field(default=None, metadata={"help": "The same for the base model."})
    local_model_path: str | None = field(default=None, metadata={"help": "The local judge: a folder or a hub name."})
    judge: Literal["auto", "match", "local", "api"] = field(
        default="auto", metadata={"help": "match: token recall; auto: local with --local_model_path, else api."}
    )
    price_in: float | None = field(default=None, metadata={"help": "Price of a million tokens the judge reads."})
    price_out: float | None = field(default=None, metadata={"help": "Price of a million tokens the judge writes."})
    controls: int = field(default=20, metadata={"help": "Known cases of each kind given to the judge first; 0: none."})
    rescore: bool = field(default=False, metadata={"help": "Compute every score from the journal; ask no judge."})
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "The base model; with --lora_weights, drift from it is measured."}
    )
    lora_weights: str | None = field(default=None, metadata={"help": "The folder of the tuned model's LoRA adapter."})
    system_prompt: str | None = field(default=None, metadata={"help": "Default: the one the adapter was trained with."})
    neutral_prompts: str | None = field(
        default=None, metadata={"help": "Texts on which no change is meant. Default: ours in the questions' language."}
    )
    lm_eval: str | None = field(
        default=None, metadata={"help": "Tasks of lm-evaluation-harness, for both models; it must be installed."}
    )
    documents: str | None = field(
        default=None,
        metadata={"help": "Folder of the documents quoted in the report; default: where they were read from."},
    )
    limit: int | None = field(default=None, metadata={"help": "Judge the first N questions only, as a trial run."})
    seed: int = 0


def choose_judge(arguments: Arguments) -> str:
    """The judge to use: "match", "local" or "api"; InputError if it lacks something it needs."""
    judge = arguments.judge if arguments.judge != "auto" else "local" if arguments.local_model_path else "api"
    if judge == "match" or (arguments.rescore and arguments.judge == "auto" and not arguments.api_model):
        return judge
    if judge == "local":
        if not arguments.local_model_path:
            raise InputError("expected --local_model_path for a local judge, found none: give the judge's model folder")
        require_model(arguments.local_model_path, "a judge")
    if judge == "api" and not arguments.api_model:
        raise InputError("expected --local_model_path or --api_model, found neither: give one, or --judge match")
    return judge


def load_judge(arguments: Arguments, kind: str, journal: Path) -> Judge | None:
    """The judge with its journal; None for `match`."""
    if kind == "match":
        return None
    verdicts = VerdictJournal(journal)
    model = arguments.local_model_path if kind == "local" else arguments.api_model
    if arguments.rescore and not verdicts.replies:
        raise InputError(f"expected verdicts to score in {journal}, found none: run without --rescore first")
    if model is None:  # --rescore alone: the last judge
        return Judge(verdicts.last_judge, None, verdicts, LOCAL_SEPARATOR in verdicts.last_judge, arguments.seed)
    name = f"{model}{LOCAL_SEPARATOR}{hash_text(weights_stamp(model))[:8]}" if kind == "local" else model
    if arguments.rescore:
        engine = None
    elif kind == "local":
        engine = JudgeProcess(model, arguments)
    else:
        engine = load_api_engine(arguments)
    return Judge(name, engine, verdicts, kind == "local", arguments.seed)


def read_all(arguments: Arguments, kind: str) -> dict[str, list[dict]]:
    """The answers files given, by role: sft, base, open_book, rag, retention_sft, retention_base."""
    names = {
        key.removeprefix("data_name_"): name
        for key, name in vars(arguments).items()
        if key.startswith("data_name_") and name
    }
    stems = [Path(name).stem for name in names.values()]
    duplicate = next((stem for stem in stems if stems.count(stem) > 1), None)
    if duplicate:
        raise InputError(
            f"expected different answers files, found {duplicate} twice: their verdicts would share a name"
        )
    if ("retention_sft" in names) != ("retention_base" in names):
        raise InputError(
            "expected --data_name_retention_sft and --data_name_retention_base, found one: give both or none"
        )
    rows = {what: read_answers(Path(arguments.data_path, name), kind) for what, name in names.items()}
    for what in rows:
        leader = "retention_sft" if what.startswith("retention") else "sft"
        rows[what] = pair_answers(rows[leader], rows[what])
    return {what: answers[: arguments.limit] for what, answers in rows.items()}


def check(arguments: Arguments) -> None:
    """InputError for whatever can be found wrong before any model is loaded."""
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"expected --limit of 1 or more, found {arguments.limit}: leave it out to judge all")
    if arguments.documents and not Path(arguments.documents).is_dir():
        raise InputError(
            f"expected the documents in {arguments.documents}, found no folder: give the one that was collected from"
        )
    if arguments.lora_weights or arguments.lm_eval:
        if not (arguments.model_name_or_path and arguments.lora_weights):
            raise InputError(
                "expected --model_name_or_path and --lora_weights for drift and --lm_eval, found one: give both"
            )
        require_model(arguments.model_name_or_path)
        require_adapter(arguments.lora_weights, arguments.model_name_or_path)
        require_adapter_weights(arguments.lora_weights)
        if arguments.neutral_prompts:
            forgetting.read_prompts(arguments.neutral_prompts)
    if arguments.lm_eval:
        forgetting.require_lm_eval()


def usage_with_cost(judge: Judge, arguments: Arguments) -> dict:
    """The calls and tokens spent on the verdicts, and their cost at the given prices."""
    cost = None
    if arguments.price_in is not None or arguments.price_out is not None:
        spent = judge.usage["prompt_tokens"] * (arguments.price_in or 0) + judge.usage["completion_tokens"] * (
            arguments.price_out or 0
        )
        cost = round(spent / 1e6, 6)
    return {**judge.usage, "cost": cost}


def measure_on_models(arguments: Arguments, clock: Clock, reserved_seconds: float) -> Iterator[tuple[str, dict]]:
    """Yield what is measured on the base and tuned models themselves; with a time budget, as much as there is time for.

    A failure is an InputError, but only a warning with a budget: then this is one stage of many, and the report matters.
    """
    for name, measure in forgetting.model_measurements(arguments).items():
        try:
            with clock.interruptible(reserved_seconds):
                measured = measure()
        except Stopped:
            log.info("no time to measure %s: left out", name)
        except InputError as error:
            if not clock.limited:
                raise
            log.warning("%s was not measured: %s", name, error)
        else:
            yield name, measured


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    started = time.time()
    kind = choose_judge(arguments)
    check(arguments)
    rows = read_all(arguments, kind)
    arguments.neutral_prompts = arguments.neutral_prompts or forgetting.neutral_prompts(rows["sft"])
    names = {what: Path(getattr(arguments, f"data_name_{what}")).stem for what in rows}
    folder = Path(arguments.data_path)

    def write(name: str, measured: dict) -> dict:
        """Write a measurement as soon as it is known, so that nothing is lost if the judge fails later."""
        write_json(folder / f"{name}.json", measured)
        numbers = {key: value for key, value in measured.items() if key not in ("verdicts", "items")}
        provenance.write_meta(folder / f"{name}.json", arguments, started, **numbers)
        return measured

    with watched_clock(arguments, "evaluation", folder) as clock:
        judge = load_judge(arguments, kind, log_file(folder / f"{names['sft']}_verdicts.jsonl"))
        forgotten = judge_all(arguments, judge, rows, names, clock, write)
        if judge:
            judge.release()  # free its memory for the models that are measured next
        report_all(arguments, forgotten, names, clock, write)


def judge_all(
    arguments: Arguments, judge: Judge | None, rows: dict[str, list[dict]], names: dict[str, str], clock: Clock, write
) -> dict:
    """Judge controls, accuracies and the win rate, writing each as <name>.json; return the forgetting seen in the answers."""
    sft, judge_name = names["sft"], {"judge": judge.name if judge else "match"}
    began, control_input = time.monotonic(), (rows["sft"], judge, arguments.controls, arguments.seed)
    release = judge.release if judge else None
    write(f"{sft}_controls", judge_in_time(clock, lambda: judge_controls.run_controls(*control_input), release))
    if clock.limited and judge and judge.usage["asked"]:
        cost = (time.monotonic() - began) / judge.usage["asked"]
        left_out = mark_not_judged(rows, clock.left() - REPORT_S, cost)
        log.info("%.1f s per verdict: %d questions left out for time, evenly over the documents", cost, left_out)
    verdicts = {}
    for what, answers in rows.items():
        judge_input = (answers, judge, names[what])
        verdicts[what] = judge_in_time(
            clock, lambda judge_input=judge_input: accuracy.judge_answers(*judge_input), release
        )
        match_score = {"match": accuracy.score_match(answers, verdicts[what])}
        write(f"{names[what]}_acc", {**judge_name, **match_score, **accuracy.measure(answers, verdicts[what])})

    wins = judge_in_time(clock, lambda: win_rate.judge_pairs(rows["sft"], rows["base"], judge), release)
    comparison = compare(rows, verdicts, arguments.seed)
    usage = {"usage": usage_with_cost(judge, arguments)} if judge else {}
    measured = accuracy.measure(rows["sft"], wins, win_rate.summarize)
    write(f"{sft}_win_rate", {**judge_name, **comparison, **usage, **measured})
    forgotten = forgetting.measure_answers(rows, verdicts)
    earlier_file = Path(arguments.data_path, f"{sft}_forgetting.json")
    if arguments.rescore and earlier_file.is_file():  # keep what needs a model
        forgotten = read_json(earlier_file, "what was forgotten") | forgotten
    return judge_name | forgotten | judge_name  # the current judge, as the first key


def compare(rows: dict[str, list[dict]], verdicts: dict[str, list[dict]], seed: int) -> dict:
    """Compare the tuned model with its base, question by question, and with the open book: how much of the gap is closed."""
    comparison = {"mcnemar": accuracy.compare(rows["sft"], verdicts["sft"], verdicts["base"], seed)}
    if "open_book" in rows:
        both = accuracy.paired(rows["sft"], verdicts["sft"], verdicts["base"], verdicts["open_book"])
        right = ([verdicts[what][i]["verdict"] == CORRECT for i in both] for what in ("sft", "base", "open_book"))
        comparison["gap_closed"] = gap_closed(*right, [accuracy.fact_of(rows["sft"][i]) for i in both], seed)
    return comparison


def report_all(arguments: Arguments, forgotten: dict, names: dict[str, str], clock: Clock, write) -> None:
    """Write the forgetting and the report, and both again after each measurement; MostlyFailed if the judge failed."""
    folder, sft = Path(arguments.data_path), names["sft"]

    def write_report() -> dict:
        write(f"{sft}_forgetting", forgotten)
        report_data = report.collect_report_data(folder, sft, names["base"], documents=arguments.documents)
        report.write_reports(folder, report_data)
        return report_data

    began = time.monotonic()
    report_data = write_report()  # complete, even if the models cannot be measured
    write_seconds = time.monotonic() - began
    for name, measured in measure_on_models(arguments, clock, 2 * write_seconds + 1):
        forgotten[name] = measured
        report_data = write_report()
    print("\n".join([*report_text.summary_lines(report_data), f"report: {folder / 'report.html'}"]))
    report_text.require_verdicts(report_data)


if __name__ == "__main__":
    run_script(main)
