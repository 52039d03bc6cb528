"""The commands of every stage of run_all.py, as steps: what each reads and writes, and the ways to go on from a run before.

`arguments` are those of run_all.py.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED
from budget.step import Step
from engines.processes import run_child
from provenance import ROWS_CONTENT, content_digest
from utils import InputError, log_file, read_json

ROOT = Path(__file__).resolve().parents[1]
UNLEARN_TOKENS = 20  # of an answer that is trained against what has gone; of 12, other facts went too (docs/log.md)
EPOCHS = 3.0  # of finetune.py, if its arguments ask for no number of them
COLLECTING_PART = 0.9  # of the collection's time on a day, which also has to tell what contradicts what
# Of a training that goes on from an adapter, which can answer already: of the epochs of one from the base model
# (results/update.json)
ONWARD_EPOCHS = 0.5
TEST_RATIO = 0.1  # of the collection's questions, used as test questions if none are given
ADAPTER = "adapter_model.safetensors"
OF_SOME_RUNS = ("lora/" + ADAPTER, "unlearn_base.json", "quiz_base.json")  # what not every run writes
# For a training without a deadline, so that it can resume
SAVING_ARGUMENTS = ["--save_minutes", "10", "--resume_from_checkpoint", "auto"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GoingOn:
    """How a day goes on from the run before it, whose `adapter` is a folder.

    `rows` are those to train, if not all: the training starts at the adapter, or with `beside`, a folder, makes one there
    from the base model, and both become one. `recall` are the questions asked during it, `gone` those on what has gone;
    `unlearn` are those whose answers by the base model it trains.
    """

    adapter: Path
    rows: Path | None = None
    beside: Path | None = None
    recall: Path | None = None
    gone: Path | None = None
    unlearn: Path | None = None


@dataclass(frozen=True)
class Quiz:
    """With --quiz: the `questions` that the base model is asked first, and the file of the `rows` to train after that.

    `recall` are the questions asked during the training.
    """

    questions: Path
    rows: Path
    recall: Path | None = None


def build_steps(
    arguments, limited: bool = True, going_on: GoingOn | None = None, quiz: Quiz | None = None
) -> dict[str, list[Step]]:
    """The commands of every stage; if the time is `limited`, each is also given the time to end at when it is run."""
    out, (base, tuned) = Path(arguments.out), asking_steps(arguments, limited, going_on, quiz)
    model, _ = model_and_prompt(arguments)
    collect = collection_arguments(arguments)
    script = f"data_processor/data_collection_{'api' if '--api_model' in collect else 'local'}.py"
    judge = ["evaluate.py", "--data_path", str(out), "--data_name_sft", "tuned.json", "--data_name_base", "base.json"]
    judge += [*model, "--lora_weights", str(out / "lora"), "--documents", arguments.data_path]
    judge += on_cluster(arguments)
    return {
        COLLECTION: [Step("collection", out / "data.json", [script, *collect])],
        BASE: base,
        TRAINING: training_steps(arguments, limited, going_on, quiz),
        TUNED: tuned,
        EVALUATION: [
            Step("evaluation", out / "tuned_win_rate.json", [*judge, *shlex.split(arguments.evaluate_args)]),
        ],
    }


def collection_arguments(arguments) -> list[str]:
    """The arguments of the collection, whichever model it asks."""
    words = ["--data_path", arguments.data_path, "--json_save_dir", str(Path(arguments.out, "data.json"))]
    words += [] if arguments.test_data_path else ["--test_ratio", str(TEST_RATIO)]
    words += on_cluster(arguments)
    own = shlex.split(arguments.collect_args)
    return [*words, *own] if "--api_model" in own else [*model_and_prompt(arguments)[0], *words, *own]


def add_comparison(collection: list[Step], arguments, prepare: Callable[[], bool]) -> None:
    """Add to the collection of a day the question which facts contradict one another, put to the same model.

    `prepare` writes the pairs of facts that it is asked about, once the facts are known.
    """
    output, command = Path(arguments.out, "contradictions.json"), ["data_processor/contradictions.py"]
    command += collection_arguments(arguments)
    collection[0].part = COLLECTING_PART
    collection.append(Step("contradictions", output, command, needed=False, prepare=prepare))


def training_steps(arguments, limited: bool, going_on: GoingOn | None, quiz: Quiz | None) -> list[Step]:
    """The training of all rows from the base model, or of some of them as `going_on` and `quiz` say."""
    out, (model, prompt) = Path(arguments.out), model_and_prompt(arguments)
    rows, folder, recall, more = out / "data.json", out / "lora", None, []
    if going_on and going_on.rows:
        rows, folder, recall = going_on.rows, going_on.beside or folder, going_on.recall
        more = [] if going_on.beside else ["--lora_weights", str(going_on.adapter)]
    if quiz:
        rows, recall = quiz.rows, quiz.recall
    more += ["--recall_data_path", str(recall)] if recall else []
    train = ["-m", "training.launch", *model, "--data_path", str(rows), "--output_dir", str(folder), *prompt, *more]
    own = shlex.split(arguments.finetune_args)
    train += [*on_cluster(arguments), *([] if limited else SAVING_ARGUMENTS), *own]
    if going_on and going_on.rows and not going_on.beside:
        train += ["--num_train_epochs", "1"]  # of rows that are written out for all of onward_passes
    meta, rescue = folder / "training.meta.json", lambda: rescue_adapter(folder)
    prepare = partial(drop_other_checkpoints, folder, rows)
    steps = [Step("fine-tuning", meta, train, sealed=True, rescue=rescue, prepare=prepare)]
    if folder != out / "lora":
        both = ["-m", "training.combine", str(going_on.adapter), str(folder), str(out / "lora")]
        steps.append(Step("both adapters as one", out / "lora" / ADAPTER, both, sealed=True, timed=False))
    return steps


def require_finetune_arguments(finetune_args: str) -> None:
    """InputError for a word in them that finetune.py does not know. It takes seconds, as torch is loaded for it."""
    needed = ["--model_name_or_path", "model", "--data_path", "data.json"]
    command = [sys.executable, "-m", "training.arguments", *needed, *shlex.split(finetune_args)]
    code, output = run_child(command, cwd=ROOT)
    if code:
        raise InputError(f"finetune.py: {output.rpartition('error: ')[2].strip()}")


def onward_passes(finetune_args: str) -> int:
    """How often a training that goes on from an adapter shows its rows, by the epochs that arguments of finetune.py ask for."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--num_train_epochs", "--num-train-epochs", type=float, default=EPOCHS)
    epochs = parser.parse_known_args(shlex.split(finetune_args))[0].num_train_epochs
    return max(1, round(ONWARD_EPOCHS * epochs))


def model_and_prompt(arguments) -> tuple[list[str], list[str]]:
    """The arguments of a stage for the model, and for the system prompt."""
    prompt = [] if arguments.system_prompt is None else ["--system_prompt", arguments.system_prompt]
    return ["--model_name_or_path", arguments.model_name_or_path], prompt


def on_cluster(arguments) -> list[str]:
    """The arguments of a stage for the Ray cluster that it runs on, if any."""
    return ["--ray_address", arguments.ray_address] if arguments.ray_address else []


def asking_steps(
    arguments, limited: bool, going_on: GoingOn | None, quiz: Quiz | None
) -> tuple[list[Step], list[Step]]:
    """The steps that ask the base model before the training, and those that ask afterwards.

    The time the base model takes tells how much is left for the training. Without a deadline it is asked together with the
    tuned model, so that the weights are loaded only once.
    """
    out, (model, prompt), cluster = Path(arguments.out), model_and_prompt(arguments), on_cluster(arguments)

    def ask(name: str, questions: str, part: float, *more: str, needed: bool = False) -> Step:
        output = out / f"{name}.json"
        command = ["inference.py", *model, "--test_data_path", questions, "--output_path", str(output), *prompt, *more]
        return Step(name, output, [*command, *cluster, *shlex.split(arguments.inference_args)], part, needed)

    test = arguments.test_data_path or str(out / "data.test.json")
    sets = [("", test, 0.6, True)]
    if arguments.retention_data_path:
        sets.append(("retention_", arguments.retention_data_path, 1.0, False))
    gone = str(going_on.gone) if going_on and going_on.gone else None
    if gone:
        sets.append(("gone_", gone, 1.0, False))
    base, tuned = [], []
    for prefix, questions, part, needed in sets:
        lora = ["--lora_weights", str(out / "lora")]
        if limited:
            base.append(ask(f"{prefix}base", questions, part, needed=needed))
        else:
            lora += ["--also_base", str(out / f"{prefix}base.json")]
        tuned.append(ask(f"{prefix}tuned", questions, 0.8, *lora, needed=needed))
    if gone:
        tuned.append(ask("gone_before", gone, 1.0, "--lora_weights", str(going_on.adapter)))
    if going_on and going_on.unlearn:  # without a deadline too: the answers are trained
        base.append(ask("unlearn_base", str(going_on.unlearn), 1.0))
        base[-1].command += ["--max_new_tokens", str(UNLEARN_TOKENS)]
    if quiz:  # last, as it takes whatever time the others leave
        base.append(ask("quiz_base", str(quiz.questions), 1.0))
    if arguments.open_book:  # last, so that it takes no time from the others
        tuned.append(ask("open_book", test, 1.0, "--open_book", arguments.data_path))
    return base, tuned


def remove_outputs(out: Path, steps: dict[str, list[Step]]) -> None:
    """Remove what an earlier run left, so that it is not mistaken for the new run's own; its journals stay."""
    paths = [step.output for name in (BASE, TRAINING, TUNED, EVALUATION) for step in steps[name]]
    for path in (*paths, *map(log_file, paths), *(out / name for name in OF_SOME_RUNS)):
        path.unlink(missing_ok=True)


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


def drop_other_checkpoints(lora: Path, rows: Path) -> bool:
    """Remove the checkpoints of a training that was stopped, if its rows were edited or collected anew since.

    Returns True, as the training can begin: what is left there is of the same rows, or torn, which finetune.py tells.
    """
    for mark in lora.glob("checkpoint-*/whole.json"):
        try:
            content = json.loads(mark.read_text())["settings"][ROWS_CONTENT]
        except (ValueError, KeyError):
            continue
        if content != content_digest(rows):
            log.info("%s has changed: it is trained from the start, without %s", rows, mark.parent)
            shutil.rmtree(mark.parent)
    return True


def rescue_adapter(lora: Path) -> bool:
    """Whether a training that had to be stopped left an adapter: saved but not compared, or that of its last checkpoint."""
    if (lora / ADAPTER).is_file():
        return True
    checkpoints = sorted(lora.glob("checkpoint-*/whole.json"), key=lambda mark: int(mark.parent.name.partition("-")[2]))
    if checkpoints:
        for name in (ADAPTER, "adapter_config.json"):
            shutil.copy(checkpoints[-1].with_name(name), lora / name)
    return bool(checkpoints)
