"""What a time budget buys: shares of the stages from stated priors, corrected by what was measured.

Everything here is arithmetic on recorded timings (see Timings); no model is loaded and no clock is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from budget.clock import format_duration
from utils import InputError, read_json

COLLECTION, BASE, TRAINING, TUNED, EVALUATION = STAGES = (
    "collection", "inference, base", "fine-tuning", "inference, tuned", "evaluation",
)  # fmt: skip
# The priors: what is taken for true until it has been measured. The source of each: "demo" is the demo on 2 cores, in runs of
# 6 to 60 minutes (results/budget.json); "chosen" is by judgement.
# Shares of the whole budget, demo; fine-tuning also gets what the others leave.
SHARES = {COLLECTION: 0.18, BASE: 0.10, TRAINING: 0.57, TUNED: 0.10, EVALUATION: 0.05}
OPEN_BOOK_SHARE = 0.03  # chosen: of the budget that it is worth; where it takes more, it is asked if time is left over
# The collection.
LATER_COST = 0.65  # demo: a unit in later rounds, by the first, where more can be asked at once
LATER_YIELD = 0.85  # demo, 51 rows a unit after 59: what opens a document has more names, and nothing repeats
ROLE_YIELD = 0.65  # demo: rows in the words of a role, for each question that a model made before
# Asking and judging.
QUESTION_CALLS = 2  # demo: a question answered at length takes as long as so many calls of the collection
OPEN_BOOK_COST = 4  # demo: a question with its document takes as long as so many without
EVALUATION_STARTS = 4.5  # demo: string match and the drift, in starts of a process with the model, with room to spare
# StartupTimes of a process. On a CPU: importing, and reading weights from the disk (demo).
IMPORT_S, BYTES_A_SECOND = 6.0, 200e6
# Where there is a GPU: the CUDA libraries besides (chosen), and 22 GiB in 18 s (vllm-project/vllm#44881, 2026).
GPU_IMPORT_S, GPU_BYTES_A_SECOND = 10.0, 1e9
# What vLLM's start takes besides: compiling 43 s (the same issue) and capturing CUDA graphs 17 s (vllm-project/vllm#20264).
VLLM_START_S = 60.0
# The least that a run stage_seconds: processes that ask the model (collection, 2 with the base, 2 tuned), processes that work on it
# with transformers (fine-tuning and its check), and besides the first round of a collection, some updates, some questions (demo).
STARTS_TO_ASK, STARTS_TO_TRAIN, MIN_WORK_S = 5, 2, 75.0
# A calibration: on a CPU with its starts (demo), on a GPU besides them (chosen), and the share of a budget that it is worth (chosen).
CALIBRATION_S, GPU_CALIBRATION_WORK_S, CALIBRATION_SHARE = 110.0, 60.0, 0.075


@dataclass(frozen=True)
class Timings:
    """What a calibration measures. Seconds and counts on one machine, with one model and its arguments."""

    start: float  # until a process is ready to ask the model
    unit: float  # a unit of the collection, from facts to rewrites
    questions_a_unit: float
    rows_a_unit: float  # without those by role
    role_unit: float  # a unit for one role
    role_rows_a_unit: float
    facts_a_unit: float
    roles: int
    update: float  # of the training
    examples_an_update: int
    epochs: float  # the most that are trained
    replay: float  # share of replayed answers
    example: float  # to prepare one: replayed answers, and the states of layers that are run once
    training_overhead: float  # to start, read back and write
    question: float  # of inference
    loading: float | None = (
        None  # until a process works on the model with transformers, where vLLM asks; else as `start`
    )


@dataclass(frozen=True)
class StartupTimes:
    """Prior: seconds until a process is ready to ask the model, and until one works on it with transformers."""

    asking: float
    training: float
    on_gpu: bool = False
    vllm: bool = False  # asks


def prior_startup_times(weight_bytes: float, on_gpu: bool = False, vllm: bool = False) -> StartupTimes:
    """What is taken for a start before any was measured."""
    loading = IMPORT_S + weight_bytes / BYTES_A_SECOND
    if on_gpu:
        loading = GPU_IMPORT_S + weight_bytes / GPU_BYTES_A_SECOND
    return StartupTimes(loading + VLLM_START_S * vllm, loading, on_gpu, vllm)


def read_timings(path: str | Path) -> Timings:
    """A calibration.json; InputError where there is none, or one of another version."""
    found = read_json(path, "a calibration")
    try:
        return Timings(**found)
    except TypeError:
        raise InputError(f"expected a calibration of this version at {path}, found other fields: remove it") from None


@dataclass(frozen=True)
class Forecast:
    """What fits into a budget. Seconds for each stage, and how far the documents are covered."""

    budget: float
    stages: dict[str, float]
    units_done: int
    units: int
    roles_done: float  # of those for each question
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


def mean_units(read: float, units: int) -> float:
    """The units of the mean yield that give as much as the first `read` of all `units` gave."""
    return units * read / (read + LATER_YIELD * (units - read))


def stage_seconds(budget: float, measured: dict[str, float], shares: dict[str, float] = SHARES) -> dict[str, float]:
    """The seconds of each stage but fine-tuning: its share at most, and no more than it was measured to need."""
    return {name: min(shares[name] * budget, measured.get(name, budget)) for name in STAGES if name != TRAINING}


def asking_seconds(
    budget: float, timings: Timings, questions: int, general: int, judged_by_model: bool, open_book: bool = True
) -> dict[str, float]:
    """The seconds in which base and tuned model answer everything, and of the evaluation where it can be known.

    What is asked with the document comes last, after the tuned model's questions.
    """
    t = timings
    both = 2 * t.start + (questions + general) * t.question
    tuned = both + (open_book_seconds(budget, t.start, questions, t.question) if open_book else 0.0)
    return {BASE: both, TUNED: tuned, **evaluation_seconds(t.loading or t.start, judged_by_model)}


def open_book_seconds(budget: float, start: float, questions: int, question: float) -> float:
    """Seconds kept to ask with the document in each prompt, by those of one `question` without: none if it is too many."""
    seconds = start + OPEN_BOOK_COST * questions * question
    return seconds if seconds <= OPEN_BOOK_SHARE * budget else 0.0


def collection_share(budget: float, timings: Timings, asking: dict[str, float]) -> float:
    """The prior, or as much more as leaves time to train all epochs of what is collected."""
    t, others = timings, sum(stage_seconds(budget, asking).values()) - SHARES[COLLECTION] * budget
    training_of_a_unit = t.rows_a_unit * (1 + t.replay) * (t.example + t.epochs / t.examples_an_update * t.update)
    room = max(0.0, budget - others - t.training_overhead - t.start)
    collected = t.start + room * t.unit / (t.unit + training_of_a_unit)
    return max(SHARES[COLLECTION], collected / budget)


def evaluation_seconds(start: float, judged_by_model: bool) -> dict[str, float]:
    return {} if judged_by_model else {EVALUATION: EVALUATION_STARTS * start}


def forecast(budget: float, timings: Timings, units: int, questions: int, general: int = 0) -> Forecast:
    """The plan of a run that asks `questions` and `general` ones, evaluated by string match."""
    t = timings
    asking = asking_seconds(budget, t, questions, general, judged_by_model=False)
    most = stage_seconds(budget, asking, {**SHARES, COLLECTION: collection_share(budget, t, asking)})
    facts_whole = t.unit * units
    roles_whole = t.roles * t.role_unit * units
    room = max(0.0, most[COLLECTION] - t.start)
    units_done = min(units, int(room / t.unit))
    roles_done = 0.0
    if units_done == units and roles_whole:
        roles_done = t.roles * min(1.0, (room - facts_whole) / roles_whole)
    collection = t.start + t.unit * units_done + roles_whole * roles_done / max(t.roles, 1)
    share_asked = max(0.0, most[BASE] - 2 * t.start) / max(asking[BASE] - 2 * t.start, 1e-9)
    rows = units_done * (t.rows_a_unit + roles_done * t.role_rows_a_unit)
    examples = rows * (1 + t.replay)
    updates_an_epoch = max(1.0, examples / t.examples_an_update)
    others = collection + most[BASE] + most[TUNED] + most[EVALUATION]
    to_prepare = t.training_overhead + t.example * examples
    updates = min(t.epochs * updates_an_epoch, max(0.0, budget - others - to_prepare) / t.update)
    epochs = updates / updates_an_epoch
    return Forecast(
        budget=budget,
        stages={
            COLLECTION: collection,
            BASE: most[BASE],
            TRAINING: to_prepare + updates * t.update,
            TUNED: most[TUNED],
            EVALUATION: most[EVALUATION],
        },
        units_done=units_done,
        units=units,
        roles_done=roles_done,
        epochs=epochs,
        exposures=epochs * rows / max(1.0, t.facts_a_unit * units_done),
        questions_asked=int(questions * share_asked),  # in this order: 60 * x / x may be less than 60
        questions=questions,
    )


def training_seconds(rows: float, timings: Timings) -> float:
    """Of a training that does all its epochs."""
    t, examples = timings, rows * (1 + timings.replay)
    return t.training_overhead + examples * (t.example + t.epochs / t.examples_an_update * t.update)


def minimum_budget(starts: StartupTimes, judge_startup: float = 0.0) -> float:
    """Seconds below which a run makes no sense, by the prior: nothing has been measured yet."""
    # On a GPU one more to replay answers: on a CPU that start is small beside the work.
    asking = STARTS_TO_ASK + (1 if starts.on_gpu else 0)
    return asking * starts.asking + STARTS_TO_TRAIN * starts.training + judge_startup + MIN_WORK_S


def calibration_seconds(starts: StartupTimes) -> float:
    """Of a calibration, by the prior: collection and replayed answers ask, fine-tuning and its check load."""
    if not starts.on_gpu:
        return CALIBRATION_S
    return GPU_CALIBRATION_WORK_S + 2 * starts.asking + 2 * starts.training


def format_plan(chosen: Forecast, others: list[Forecast]) -> list[str]:
    """The plan for a person: minutes a stage, what it does, and what more time would buy."""
    what = {
        COLLECTION: f"{chosen.units_done} of {chosen.units} units of sentences ({chosen.coverage:.0%}), {chosen.roles_done:.2g} roles a question",
        BASE: f"{chosen.questions_asked} of {chosen.questions} questions",
        TRAINING: f"{chosen.epochs:.2f} epochs, each covered fact {chosen.exposures:.0f} times",
        TUNED: "the same questions",
        EVALUATION: "by string match",
    }
    found = [f"plan for {format_duration(chosen.budget)}: {format_duration(chosen.seconds)} used"]
    found += [f"  {name:<18}{seconds / 60:8.1f} min  {what[name]}" for name, seconds in chosen.stages.items()]
    found += [
        f"with {format_duration(other.budget)}: {other.coverage:.0%} of the sentences, {other.roles_done:.2g} roles a question, "
        f"{other.epochs:.2f} epochs, each covered fact {other.exposures:.0f} times; {format_duration(other.seconds)} used"
        for other in others
    ]
    return found
