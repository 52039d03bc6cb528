"""Compare the answers of a tuned model with those of its base: accuracy, win rate, what was forgotten, and a report.

In:  answers files in --data_path, each a list of {"fact", "question", "response"}, and from inference.py "id",
     "reference", "file_name", "kind" too; the same questions in each, matched by id, or by order where ids are missing.
Out: beside them, each with its log/<name>.meta.json:
     <sft>_controls.json      what the judge says of cases whose verdict is known
     <sft>_acc.json, <base>_acc.json  {"judge", "n", "correct", "incorrect", "not_attempted", "unscored", "accuracy",
                              "match", "by_kind", "by_document", "by_role", "verdicts"}; also for the open book and RAG
     <sft>_win_rate.json      "wins", "ties", "losses", "win_rate", "flip_rate" ..., "mcnemar", "gap_closed", "usage"
     <sft>_forgetting.json    "retention", "refusals", "drift", "lm_eval", each where its arguments are given
     report.md, report.html   all of it, to read; the head of report.md is on standard output too
     log/<sft>_verdicts.jsonl every reply of the judge: a rerun asks nothing again, --rescore asks nothing at all
A rate is a share of the questions that were scored. A question without a verdict is counted as unscored: with a time
budget also those that the judge has no time for, spread evenly over the documents.

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
from budget.clock import REPORT_S, BudgetArguments, Clock, Stopped, stage_clock
from engines.arguments import ApiArguments, EngineArguments
from engines.journal import weights_stamp
from engines.load import load_api_engine
from evaluation import accuracy, forgetting, judge_controls, report, report_text, win_rate
from evaluation.answers import pair_answers, read_answers
from evaluation.judge_process import JudgeProcess
from evaluation.judging import Judge, hashed
from evaluation.matching import CORRECT
from evaluation.significance import gap_closed
from evaluation.verdict_journal import VerdictJournal
from utils import (
    InputError,
    log_file,
    parse_arguments,
    read_json,
    require_adapter,
    require_model,
    run_script,
    write_json,
)

LOCAL_MARK = " #"  # between a local judge's name and the stamp of its weights

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Arguments(BudgetArguments, ApiArguments, EngineArguments):
    data_path: str = field(metadata={"help": "The folder of the answers; the verdicts are written there too."})
    data_name_sft: str = field(metadata={"help": "File name of the tuned model's answers."})
    data_name_base: str = field(metadata={"help": "File name of the base model's answers."})
    data_name_open_book: str | None = field(
        default=None,
        metadata={"help": "File name of the base model's answers with the document before it: the ceiling."},
    )
    data_name_rag: str | None = field(
        default=None, metadata={"help": "File name of the base model's answers by retrieval."}
    )
    data_name_retention_sft: str | None = field(
        default=None, metadata={"help": "File name of the tuned model's answers to general questions."}
    )
    data_name_retention_base: str | None = field(default=None, metadata={"help": "The same of the base model."})
    local_model_path: str | None = field(default=None, metadata={"help": "The local judge: a folder or a hub name."})
    judge: Literal["auto", "match", "local", "api"] = field(
        default="auto", metadata={"help": "match: token recall; auto: local with --local_model_path, else api."}
    )
    price_in: float | None = field(default=None, metadata={"help": "Price of a million tokens the judge reads."})
    price_out: float | None = field(default=None, metadata={"help": "Price of a million tokens the judge writes."})
    controls: int = field(default=20, metadata={"help": "Known cases of each kind put to the judge first; 0: none."})
    rescore: bool = field(default=False, metadata={"help": "Compute every score from the journal; ask no judge."})
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "The base model; with --lora_weights its drift is measured."}
    )
    lora_weights: str | None = field(default=None, metadata={"help": "The folder of the tuned model's LoRA adapter."})
    system_prompt: str | None = field(default=None, metadata={"help": "Default: what the adapter was trained with."})
    neutral_prompts: str = field(
        default=forgetting.NEUTRAL_PROMPTS, metadata={"help": "Prompts on which the tuned model should stay as it was."}
    )
    lm_eval: str | None = field(
        default=None, metadata={"help": "Tasks of lm-evaluation-harness, for both models; it must be installed."}
    )
    documents: str | None = field(
        default=None, metadata={"help": "Folder of the documents, quoted in the report; default: where they were read."}
    )
    limit: int | None = field(default=None, metadata={"help": "Judge the first N questions only: a smoke run."})
    seed: int = 0


def choose_judge(arguments: Arguments) -> str:
    """The judge to use: "match", "local" or "api"; InputError where what it needs is missing."""
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
    if model is None:  # --rescore alone: whoever judged last
        return Judge(verdicts.last_judge, None, verdicts, LOCAL_MARK in verdicts.last_judge, arguments.seed)
    name = f"{model}{LOCAL_MARK}{hashed(weights_stamp(model))[:8]}" if kind == "local" else model
    if arguments.rescore:
        engine = None
    elif kind == "local":
        engine = JudgeProcess(model, arguments)
    else:
        engine = load_api_engine(arguments)
    return Judge(name, engine, verdicts, kind == "local", arguments.seed)


def read_all(arguments: Arguments, kind: str) -> dict[str, list[dict]]:
    """The answers files that are given, by what they are: sft, base, open_book, rag, retention_sft, retention_base."""
    names = {
        key.removeprefix("data_name_"): name
        for key, name in vars(arguments).items()
        if key.startswith("data_name_") and name
    }
    stems = [Path(name).stem for name in names.values()]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice:
        raise InputError(f"expected different answers files, found {twice} twice: their verdicts would share a name")
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
    """What can be known to be wrong before any model is loaded."""
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"expected --limit of 1 or more, found {arguments.limit}: leave it out to judge all")
    if arguments.documents and not Path(arguments.documents).is_dir():
        raise InputError(
            f"expected the documents in {arguments.documents}, found no folder: give the one collection read"
        )
    if arguments.lora_weights or arguments.lm_eval:
        if not (arguments.model_name_or_path and arguments.lora_weights):
            raise InputError(
                "expected --model_name_or_path and --lora_weights for drift and --lm_eval, found one: give both"
            )
        require_model(arguments.model_name_or_path)
        require_adapter(arguments.lora_weights, arguments.model_name_or_path)
        forgetting.read_prompts(arguments.neutral_prompts)
    if arguments.lm_eval:
        forgetting.require_lm_eval()


def usage_of(judge: Judge, arguments: Arguments) -> dict:
    """The calls and tokens behind the verdicts, and what they cost at the prices given."""
    cost = None
    if arguments.price_in is not None or arguments.price_out is not None:
        spent = judge.usage["prompt_tokens"] * (arguments.price_in or 0) + judge.usage["completion_tokens"] * (
            arguments.price_out or 0
        )
        cost = round(spent / 1e6, 6)
    return {**judge.usage, "cost": cost}


def measure_models(arguments: Arguments, clock: Clock, reserved_seconds: float) -> Iterator[tuple[str, dict]]:
    """What is measured on base and tuned model, one after the other; with a time budget what there is time for.

    What fails is an InputError, with a budget a line: there it is one of many stages, and the report is what counts.
    """
    for name, measure in forgetting.by_models(arguments).items():
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
    names = {what: Path(getattr(arguments, f"data_name_{what}")).stem for what in rows}
    folder = Path(arguments.data_path)

    def write(name: str, measured: dict) -> dict:
        """Write one measurement as soon as it is known: a judge that fails later takes nothing with it."""
        write_json(folder / f"{name}.json", measured)
        numbers = {key: value for key, value in measured.items() if key not in ("verdicts", "items")}
        provenance.write_meta(folder / f"{name}.json", arguments, started, **numbers)
        return measured

    with stage_clock(arguments, "evaluation", folder) as clock:
        judge = load_judge(arguments, kind, log_file(folder / f"{names['sft']}_verdicts.jsonl"))
        lost = judge_all(arguments, judge, rows, names, clock, write)
        if judge:
            judge.release()  # its memory, for the models that are measured now
        report_all(arguments, lost, names, clock, write)


def judge_all(
    arguments: Arguments, judge: Judge | None, rows: dict[str, list[dict]], names: dict[str, str], clock: Clock, write
) -> dict:
    """Controls, accuracies and the win rate, each written as <name>.json; returns what was forgotten by the answers."""
    sft, by = names["sft"], {"judge": judge.name if judge else "match"}
    begun, asked = time.monotonic(), (rows["sft"], judge, arguments.controls, arguments.seed)
    release = judge.release if judge else None
    write(f"{sft}_controls", judge_in_time(clock, lambda: judge_controls.run_controls(*asked), release))
    if clock.limited and judge and judge.usage["asked"]:
        cost = (time.monotonic() - begun) / judge.usage["asked"]
        left = mark_not_judged(rows, clock.left() - REPORT_S, cost)
        log.info("%.1f s a verdict: %d questions left out for time, evenly over the documents", cost, left)
    verdicts = {}
    for what, answers in rows.items():
        own = (answers, judge, names[what])
        verdicts[what] = judge_in_time(clock, lambda own=own: accuracy.judge_answers(*own), release)
        beside = {"match": accuracy.beside_match(answers, verdicts[what])}
        write(f"{names[what]}_acc", {**by, **beside, **accuracy.measure(answers, verdicts[what])})

    wins = judge_in_time(clock, lambda: win_rate.judge_pairs(rows["sft"], rows["base"], judge), release)
    compared = compare(rows, verdicts, arguments.seed)
    usage = {"usage": usage_of(judge, arguments)} if judge else {}
    write(f"{sft}_win_rate", {**by, **compared, **usage, **accuracy.measure(rows["sft"], wins, win_rate.summarize)})
    lost, before = forgetting.by_answers(rows, verdicts), Path(arguments.data_path, f"{sft}_forgetting.json")
    if arguments.rescore and before.is_file():  # what needs a model stays as it was
        lost = read_json(before, "what was forgotten") | lost
    return by | lost | by  # of this judging, and first


def compare(rows: dict[str, list[dict]], verdicts: dict[str, list[dict]], seed: int) -> dict:
    """The tuned model beside its base, question by question, and how much of the way to an open book that is."""
    compared = {"mcnemar": accuracy.compare(rows["sft"], verdicts["sft"], verdicts["base"], seed)}
    if "open_book" in rows:
        both = accuracy.paired(rows["sft"], verdicts["sft"], verdicts["base"], verdicts["open_book"])
        right = ([verdicts[what][i]["verdict"] == CORRECT for i in both] for what in ("sft", "base", "open_book"))
        compared["gap_closed"] = gap_closed(*right, [accuracy.fact_of(rows["sft"][i]) for i in both], seed)
    return compared


def report_all(arguments: Arguments, lost: dict, names: dict[str, str], clock: Clock, write) -> None:
    """What was forgotten, and the report; both again with each thing that is measured on the models."""
    folder, sft = Path(arguments.data_path), names["sft"]

    def write_report() -> dict:
        write(f"{sft}_forgetting", lost)
        found = report.gather(folder, sft, names["base"], documents=arguments.documents)
        report.write_reports(folder, found)
        return found

    begun = time.monotonic()
    found = write_report()  # whole, whatever comes of the models
    writing = time.monotonic() - begun
    for name, measured in measure_models(arguments, clock, 2 * writing + 1):
        lost[name] = measured
        found = write_report()
    print("\n".join([*report_text.head(found), f"report: {folder / 'report.html'}"]))


if __name__ == "__main__":
    run_script(main)
