"""Five days of a small company's files: what a model that is trained day after day still says, says anew and says no more.

In:  demo/days, whose facts and questions are taken from key.json instead of being collected, so that a day costs its training
     and its answers; one wording of each fact is held out and asked.
Out: --results: {"day5_cost_ratio": seconds of training on day 5, of those of training on all from the base model
     ("day5_tokens_ratio": trained tokens likewise),
     "day1_kept": of the facts of day 1 answered right on day 1 and valid on day 5, those right on day 5, "changed_known",
     "superseded_said", "new_value_right": superseded facts that were said right before, and of these the old value still said
     and the new one said, "retracted_known", "retracted_said": the same of facts taken back, less what the base model says,
     all of the way `default`; "ways" {way: the same, and "days"}, "with_retrieval", see update_retrieval.py, "machine",
     "commit"}, a PNG, and NAME_runs.jsonl beside it, a line for each day and way, none of which is made again.
     --work_dir has all runs, each as run_all.py leaves it. A kill costs the step at work.

    python benchmarks/update.py
    python benchmarks/update.py --small True --results /tmp/update.json --work_dir /tmp/update    # one file a day, 4 updates
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import update_plot, update_retrieval
from benchmarks.update_data import DEMO, collect_day
from benchmarks.update_summary import summarise
from budget.arguments import Arguments as RunArguments
from budget.clock import BudgetArguments
from budget.forecast import BASE, TRAINING, TUNED
from budget.run import Run
from budget.stages import GoingOn, build_steps, onward_passes
from data_processor.documents import read_documents
from days import day as days
from days import intake
from days.asked import GONE, GONE_SCORES, QUESTIONS
from days.carried import TODAY
from days.changes import fingerprint, write_fingerprints
from days.day import ANEW, BESIDE, ONWARD
from days.folders import BESIDE_FOLDER, Day, close_day
from days.gate import Gate
from days.ledger import DATASET, TEST
from days.superseded import Sources
from evaluation import accuracy
from evaluation.matching import CORRECT
from provenance import commit, machine, today
from utils import InputError, parse_arguments, read_json, run_script, write_json, write_text

LAST = 5
WAYS = (ANEW, ONWARD, BESIDE)
FIRST = "first"  # day 1, which all ways share
HELD_OUT, WORDINGS = 0, 4  # the first question of each fact is asked; up to four others are trained
UPPER_LAYERS = [*range(18, 30)]  # of the embedded model, as in demo/arguments.sh
TRAINING_ARGUMENTS = (
    "--learning_rate 2e-3 --lora_r 16 --num_train_epochs 8 --per_device_train_batch_size 8 --replay_ratio 0.3 --kl_weight 8 "
    "--lora_target_modules q_proj k_proj v_proj o_proj gate_proj up_proj down_proj "
    f"--lora_options '{{\"layers_to_transform\": {UPPER_LAYERS}}}'"
)
SMALL_ARGUMENTS = " --max_steps 4 --replay_ratio 0 --kl_weight 0 --lora_options '{}'"  # for a model of any depth
ANSWER_ARGUMENTS = "--max_new_tokens 16"


@dataclass
class Arguments:
    ways: list[str] = field(default_factory=lambda: [*WAYS], metadata={"help": "Of anew, onward and beside."})
    model_name_or_path: str = "models/SmolLM2-135M-Instruct"
    results: str = "results/update.json"
    work_dir: str = "output/update"
    small: bool = field(
        default=False, metadata={"help": "One file a day and four updates, to see that all of it runs."}
    )


def live(arguments: Arguments, out: Path, number: int, way: str) -> dict:
    """Make a day in the folder `out`, or go on with it, and return its record."""
    documents = read_documents(DEMO / str(number))
    day = days.choose_run(out, documents)
    days.open_run(day)
    run = Run(BudgetArguments(), day.run)
    run.write()
    if not (day.run / DATASET).exists():
        write_fingerprints(day.run, fingerprint(documents))
        collect_day(day.run, number, HELD_OUT, WORDINGS, files=1 if arguments.small else None)
    steps, chosen = steps_of(arguments, day, DEMO / str(number), way, Sources(documents, DEMO / str(number)))
    for stage in (BASE, TRAINING, TUNED):
        if steps[stage]:
            run.run_stage(stage, steps[stage])
        if stage == BASE:
            days.use_base_answers(day)
    for name in ("base", "tuned", "retention_base", "retention_tuned"):
        write_verdicts(day.run, name)
    gate = days.judge(day)
    record = to_record(day, number, chosen, gate)
    if day.is_first:
        days.close(day, gate)
    else:  # so that the next day goes on from this one, whatever it has lost: that is what is measured
        close_day(out, day.run, True, gate.lines())
    run.end()
    return record


def steps_of(arguments: Arguments, day: Day, documents: Path, way: str, sources: Sources) -> tuple[dict, str]:
    """The commands of a day, and the way that it goes on."""
    given = RunArguments(
        model_name_or_path=arguments.model_name_or_path, data_path=str(documents), out=str(day.run),
        test_data_path=str(day.run / (TEST if day.is_first else QUESTIONS)), system_prompt="", open_book=False,
        retention_data_path="demo/retention.json", inference_args=ANSWER_ARGUMENTS,
        finetune_args=TRAINING_ARGUMENTS + SMALL_ARGUMENTS * arguments.small,
    )  # fmt: skip
    if day.is_first:
        intake.take_in_first(day)
        return build_steps(given, limited=False), ANEW
    intake.take_in(day, sources, None)
    way = days.choose_way(day, way, onward_passes(given.finetune_args))
    going_on = GoingOn(
        adapter=day.before.run / "lora",
        rows=None if way == ANEW else day.run / TODAY,
        beside=day.run / BESIDE_FOLDER if way == BESIDE else None,
        gone=day.run / GONE if read_json(day.run / GONE, "questions") else None,
        unlearn=days.questions_to_unlearn(day),
    )
    return build_steps(given, limited=False, going_on=going_on), way


def write_verdicts(run: Path, name: str) -> None:
    """Grade the answers of a run by string match, as evaluate.py does."""
    answers = read_json(run / f"{name}.json", "answers")
    write_json(
        run / f"{name}_acc.json", {"judge": "match", **accuracy.measure(answers, accuracy.judge_answers(answers, None))}
    )


def right_in(run: Path, name: str) -> dict[str, bool]:
    """Whether each fact, or general question, was answered right."""
    rows = read_json(run / f"{name}_acc.json", "verdicts")["verdicts"]
    return {row["fact"] or row["question"]: row["verdict"] == CORRECT for row in rows}


def to_record(day: Day, number: int, way: str, gate: Gate) -> dict:
    """What a day has shown: what was right, by fact, what has gone, what it cost."""
    trained = day.run / (BESIDE_FOLDER if way == BESIDE else "lora")
    plan = read_json(trained / "train_log.json", "the log of a training")["plan"]
    stages = read_json(day.run / "run.json", "the times of a run")["stages"]
    seconds = {stage["name"]: stage["seconds"] for stage in stages}
    scores = day.run / GONE_SCORES
    return {
        "day": number, "way": way, "right": right_in(day.run, "tuned"), "base_right": right_in(day.run, "base"),
        "general": [*right_in(day.run, "retention_tuned").values()],
        "general_base": [*right_in(day.run, "retention_base").values()],
        "gone": read_json(scores, "what has gone")["questions"] if scores.exists() else [], "run": day.name,
        "training_seconds": seconds[TRAINING] + seconds.get(BASE, 0.0),  # the base's answers that are trained
        "answering_seconds": seconds[TUNED],
        "trained_tokens": round(plan["tokens"] * plan["epochs"]),
        "passed": gate.passed, "why": gate.lines(), "commit": commit(), "date": today(),
    }  # fmt: skip


class Records:
    """The finished days in a file of JSON lines, by way and day."""

    def __init__(self, path: Path):
        self.path = path
        found = read_json(path, "finished days", or_lines=True) if path.is_file() else []
        self.by_key = {(line["of"], line["day"]): line for line in found}

    def get(self, of: str, day: int, make: Callable[[], dict]) -> dict:
        """The record of a day, made if there is none."""
        if (of, day) not in self.by_key:
            self.by_key[of, day] = {"of": of, **make()}
            lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in self.by_key.values())
            write_text(self.path, lines)
        return self.by_key[of, day]

    def by_way(self) -> dict[str, list[dict]]:
        """The days of each way that has any, the first before them, also of ways that are not gone on with now."""
        of = {way: [one for (name, _), one in self.by_key.items() if name == way] for way in WAYS}
        return {
            way: [self.by_key[FIRST, 1], *sorted(days, key=lambda one: one["day"])] for way, days in of.items() if days
        }


def copy_first(first: Path, out: Path) -> None:
    """Begin a way with the first day, which all have in common."""
    if not out.exists():
        unfinished = out.with_name(f".{out.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(first, unfinished, symlinks=True)
        unfinished.rename(out)


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    if unknown := {*arguments.ways} - {*WAYS}:
        raise InputError(f"expected --ways of {', '.join(WAYS)}, found {min(unknown)}: correct it")
    results, work = Path(arguments.results), Path(arguments.work_dir).resolve()
    records = Records(results.with_name(f"{results.stem}_runs.jsonl"))
    (work / FIRST).mkdir(parents=True, exist_ok=True)
    first = records.get(FIRST, 1, lambda: live(arguments, work / FIRST, 1, ANEW))
    made = {"machine": machine(), "commit": commit(), "date": today(), "model": Path(arguments.model_name_or_path).name}
    retrieval = update_retrieval.ask(arguments.model_name_or_path, work, work / FIRST / "lora", first, ANSWER_ARGUMENTS)
    for number in range(2, LAST + 1):  # day by day, so that what is there can be compared
        for way in arguments.ways:
            copy_first(work / FIRST, work / way)
            records.get(way, number, lambda n=number, w=way: live(arguments, work / w, n, w))
            found = {**summarise(records.by_way()), "with_retrieval": retrieval, **made}
            write_json(results, found)
            update_plot.draw(found, results.with_suffix(".png"))
            print(f"day {number}, {way}: done", flush=True)


if __name__ == "__main__":
    run_script(main)
