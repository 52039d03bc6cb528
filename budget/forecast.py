"""What a time budget buys: the shares of the stages, from priors and corrected by measurements.

Everything here is arithmetic on recorded timings (see Timings); it loads no model and reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from budget.clock import format_duration
from utils import InputError, find_log_file, read_json

CALIBRATION_FILE = "calibration.json"  # the Timings measured by the first work of a run
COLLECTION, BASE, TRAINING, TUNED, EVALUATION = STAGES = (
    "collection", "inference, base", "fine-tuning", "inference, tuned", "evaluation",
)  # fmt: skip
# Priors: assumed until measured. Their sources: "demo" is the demo on 2 cores, in runs of 6 to 60 minutes
# (results/budget.json); "chosen" is a matter of judgement.
# Shares of the whole budget (demo); fine-tuning also gets what the others leave.
SHARES = {COLLECTION: 0.18, BASE: 0.10, TRAINING: 0.57, TUNED: 0.10, EVALUATION: 0.05}
OPEN_BOOK_SHARE = (
    0.03  # chosen: the share of the budget that it is worth; if it takes more, it only gets time left over
)
# The collection.
LATER_COST = 0.65  # demo: a unit in later rounds relative to the first, as more can be asked at once
LATER_YIELD = 0.85  # demo, 51 rows per unit after 59: a document's beginning has more names, and nothing repeats yet
ROLE_YIELD = 0.65  # demo: rows in the words of a role for each question that the model had made
# Asking and judging.
QUESTION_CALLS = 2  # demo: a question answered at length takes as long as this many calls of the collection
OPEN_BOOK_COST = 4  # demo: a question with its document takes as long as this many without
EVALUATION_STARTS = 4.5  # demo: string match and drift, in process starts with the model, with a margin
# Of the stages that ask: the least, in process starts with the model, of which the questions needed have 0.6 and 0.8 (chosen).
LEAST_STARTS = {BASE: 2.0, TUNED: 1.6}
LEAST_TRAINING = (
    0.5  # chosen: of its part of the time that is left, what training keeps when the others want more than that
)
# Process starts. On a CPU: importing, and reading weights from disk (demo).
IMPORT_S, BYTES_A_SECOND = 6.0, 200e6
# On a GPU: the CUDA libraries as well (chosen), and 22 GiB in 18 s (vllm-project/vllm#44881, 2026).
GPU_IMPORT_S, GPU_BYTES_A_SECOND = 10.0, 1e9
# What vLLM's start adds: compiling 43 s (the same issue) and capturing CUDA graphs 17 s (vllm-project/vllm#20264).
VLLM_START_S = 60.0
# The least that a run needs: processes that ask the model (collection, 2 with the base, 2 tuned), processes that use it
# through transformers (fine-tuning and its check), and a first round of collection, some updates, some questions (demo).
STARTS_TO_ASK, STARTS_TO_TRAIN, MIN_WORK_S = 5, 2, 75.0
# A calibration: on a CPU including its starts (demo), on a GPU without them (chosen); the share of a budget it is worth (chosen).
CALIBRATION_S, GPU_CALIBRATION_WORK_S, CALIBRATION_SHARE = 110.0, 60.0, 0.075


@dataclass(frozen=True)
class Timings:
    """What a calibration measures: seconds and counts on one machine, with one model and its arguments."""

    start: float  # until a process is ready to ask the model
    unit: float  # one unit of the collection, from facts to rewrites
    questions_a_unit: float
    rows_a_unit: float  # without those written for a role
    role_unit: float  # one unit for one role
    role_rows_a_unit: float
    facts_a_unit: float
    roles: int
    update: float  # of the training
    examples_an_update: int
    epochs: float  # at most
    replay: float  # replayed answers per example
    # To prepare one: its replayed answers, what the open-book teacher says, and the states of layers that run only once.
    example: float
    training_overhead: float  # to start, read back and write
    question: float  # of inference
    # Until a process is ready to use the model through transformers, if vLLM asks; otherwise None, the same as `start`.
    loading: float | None = None


@dataclass(frozen=True)
class StartupTimes:
    """Priors: seconds until a process can ask the model, and until one can use it through transformers."""

    asking: float
    training: float
    on_gpu: bool = False
    vllm: bool = False  # whether vLLM asks
    cluster_gpus: int | None = None  # of the Ray cluster, if the run is on one


def prior_startup_times(weight_bytes: float, on_gpu: bool = False, vllm: bool = False) -> StartupTimes:
    """How long starts are assumed to take before any is measured."""
    loading = IMPORT_S + weight_bytes / BYTES_A_SECOND
    if on_gpu:
        loading = GPU_IMPORT_S + weight_bytes / GPU_BYTES_A_SECOND
    return StartupTimes(loading + VLLM_START_S * vllm, loading, on_gpu, vllm)


def read_timings(path: str | Path) -> Timings:
    """A calibration.json; InputError if there is none, or if it is from another version."""
    fields = read_json(path, "a calibration")
    try:
        return Timings(**fields)
    except TypeError:
        raise InputError(f"expected a calibration from this version at {path}, found other fields: remove it") from None


def find_timings(out: Path) -> Timings | None:
    """Those measured by the first work of a run in `out`; None if nothing was."""
    path = find_log_file(out / CALIBRATION_FILE)
    return read_timings(path) if path.is_file() else None


@dataclass(frozen=True)
class Forecast:
    """What fits into a budget: seconds for each stage, and how far the documents are covered."""

    budget: float
    stages: dict[str, float]
    units_done: int
    units: int
    roles_done: float  # out of the roles for each question
    epochs: float
    exposures: float  # of a covered fact
    questions_asked: int
    questions: int

    @property
    def seconds(self) -> float:
        return sum(self.stages.values())

    @property
    def coverage(self) -> float:
        return self.units_done / max(self.units, 1)


def mean_units(units_read: float, units: int) -> float:
    """How many units of average yield would give as much as the first `units_read` of all `units` gave."""
    return units * units_read / (units_read + LATER_YIELD * (units - units_read))


def stage_seconds(
    budget: float, measured: dict[str, float], shares: dict[str, float] = SHARES, start: float = 0.0
) -> dict[str, float]:
    """Seconds for each stage but fine-tuning: at most its share, and no more than it was measured to need.

    But at least what those that ask need for a `start` of a process with the model: with less they could not ask at all.
    """
    most = {name: min(shares[name] * budget, measured.get(name, budget)) for name in STAGES if name != TRAINING}
    return {name: max(seconds, LEAST_STARTS.get(name, 0.0) * start) for name, seconds in most.items()}


def shortened(others: dict[str, float], wanted: float, left: float) -> dict[str, float]:
    """The seconds of `others`, all by one factor fewer where the flexible stage, which `wanted` so many, would get too few.

    That is after a long interruption, when all of them want more than is `left`.
    """
    total = sum(others.values())
    least = LEAST_TRAINING * wanted * min(1.0, max(0.0, left) / max(total + wanted, 1e-9))
    factor = min(1.0, max(0.0, left - least) / max(total, 1e-9))
    return {name: factor * seconds for name, seconds in others.items()}


def asking_seconds(
    budget: float,
    timings: Timings,
    questions: int,
    general: int,
    judged_by_model: bool,
    open_book: bool = True,
    quiz: bool = False,
) -> dict[str, float]:
    """Seconds for base and tuned model to answer everything, and for the evaluation if they can be known.

    Questions with the document come last, after the tuned model's. The quiz takes what is left of the base model's share.
    """
    t = timings
    both = 2 * t.start + (questions + general) * t.question
    base = max(both, SHARES[BASE] * budget) if quiz else both
    tuned = both + (open_book_seconds(budget, t.start, questions, t.question) if open_book else 0.0)
    return {BASE: base, TUNED: tuned, **evaluation_seconds(t.loading or t.start, judged_by_model)}


def open_book_seconds(budget: float, start: float, questions: int, question: float) -> float:
    """Seconds reserved for questions with their document, given those of a `question` without; 0 if too many."""
    seconds = start + OPEN_BOOK_COST * questions * question
    return seconds if seconds <= OPEN_BOOK_SHARE * budget else 0.0


def collection_share(budget: float, timings: Timings, asking: dict[str, float]) -> float:
    """The prior, or more if that still leaves time to train all epochs on what is collected."""
    t, others = timings, sum(stage_seconds(budget, asking).values()) - SHARES[COLLECTION] * budget
    training_per_unit = t.rows_a_unit * (1 + t.replay) * (t.example + t.epochs / t.examples_an_update * t.update)
    available = max(0.0, budget - others - t.training_overhead - t.start)
    collected = t.start + available * t.unit / (t.unit + training_per_unit)
    return max(SHARES[COLLECTION], collected / budget)


def evaluation_seconds(start: float, judged_by_model: bool) -> dict[str, float]:
    return {} if judged_by_model else {EVALUATION: EVALUATION_STARTS * start}


def forecast(
    budget: float, timings: Timings, units: int, questions: int, general: int = 0, quiz: bool = False
) -> Forecast:
    """The plan for a run that asks `questions` and `general` questions, evaluated by string match."""
    t = timings
    asking = asking_seconds(budget, t, questions, general, judged_by_model=False, quiz=quiz)
    limits = stage_seconds(budget, asking, {**SHARES, COLLECTION: collection_share(budget, t, asking)})
    all_facts_seconds = t.unit * units
    all_roles_seconds = t.roles * t.role_unit * units
    available = max(0.0, limits[COLLECTION] - t.start)
    units_done = min(units, int(available / t.unit))
    roles_done = 0.0
    if units_done == units and all_roles_seconds:
        roles_done = t.roles * min(1.0, (available - all_facts_seconds) / all_roles_seconds)
    collection = t.start + t.unit * units_done + all_roles_seconds * roles_done / max(t.roles, 1)
    share_asked = max(0.0, limits[BASE] - 2 * t.start) / max(asking[BASE] - 2 * t.start, 1e-9)
    rows = units_done * (t.rows_a_unit + roles_done * t.role_rows_a_unit)
    examples = rows * (1 + t.replay)
    updates_per_epoch = max(1.0, examples / t.examples_an_update)
    others = collection + limits[BASE] + limits[TUNED] + limits[EVALUATION]
    fixed_seconds = t.training_overhead + t.example * examples
    updates = min(t.epochs * updates_per_epoch, max(0.0, budget - others - fixed_seconds) / t.update)
    epochs = updates / updates_per_epoch
    return Forecast(
        budget=budget,
        stages={
            COLLECTION: collection,
            BASE: limits[BASE],
            TRAINING: fixed_seconds + updates * t.update,
            TUNED: limits[TUNED],
            EVALUATION: limits[EVALUATION],
        },
        units_done=units_done,
        units=units,
        roles_done=roles_done,
        epochs=epochs,
        exposures=epochs * rows / max(1.0, t.facts_a_unit * units_done),
        questions_asked=int(questions * share_asked),  # in this order: (60 * x) / x may be less than 60
        questions=questions,
    )


def training_seconds(rows: float, timings: Timings) -> float:
    """Seconds for a training that runs all its epochs."""
    t, examples = timings, rows * (1 + timings.replay)
    return t.training_overhead + examples * (t.example + t.epochs / t.examples_an_update * t.update)


def minimum_budget(starts: StartupTimes, judge_startup: float = 0.0) -> float:
    """Seconds below which a run makes no sense, from the priors, as nothing has been measured yet."""
    # On a GPU, one more start to replay answers: on a CPU it is short compared with the work.
    asking_starts = STARTS_TO_ASK + (1 if starts.on_gpu else 0)
    return asking_starts * starts.asking + STARTS_TO_TRAIN * starts.training + judge_startup + MIN_WORK_S


def calibration_seconds(starts: StartupTimes) -> float:
    """Seconds for a calibration, from the priors: collection and replay ask, fine-tuning and its check load."""
    if not starts.on_gpu:
        return CALIBRATION_S
    return GPU_CALIBRATION_WORK_S + 2 * starts.asking + 2 * starts.training


def format_plan(chosen: Forecast, others: list[Forecast]) -> list[str]:
    """The plan for people to read, line by line: minutes per stage, what it does, and what other budgets would buy."""
    details = {
        COLLECTION: f"{chosen.units_done} of {chosen.units} units of sentences ({chosen.coverage:.0%}), {chosen.roles_done:.2g} roles a question",
        BASE: f"{chosen.questions_asked} of {chosen.questions} questions",
        TRAINING: f"{chosen.epochs:.2f} epochs, each covered fact {chosen.exposures:.0f} times",
        TUNED: "the same questions",
        EVALUATION: "by string match",
    }
    lines = [f"plan for {format_duration(chosen.budget)}: {format_duration(chosen.seconds)} used"]
    lines += [f"  {name:<18}{seconds / 60:8.1f} min  {details[name]}" for name, seconds in chosen.stages.items()]
    lines += [
        f"with {format_duration(other.budget)}: {other.coverage:.0%} of the sentences, {other.roles_done:.2g} roles a question, "
        f"{other.epochs:.2f} epochs, each covered fact {other.exposures:.0f} times; {format_duration(other.seconds)} used"
        for other in others
    ]
    return lines
