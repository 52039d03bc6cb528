"""What a stage says of its time in its meta file, under "budget"; the plan reads it from there by the same names.

The keys are those that files of earlier runs have.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from utils import InputError, read_json


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """Of every stage: the seconds of the whole budget."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class CollectionTime(StageTime):
    """What the collection did of what. Units are a few sentences each; times in seconds."""

    seconds_to_start: float  # until the model could be asked
    documents: int
    documents_covered: int
    units: int
    units_done: int
    sentences: int
    sentences_read: int
    role_units: int
    role_units_done: int
    unknown_asked: bool
    share_read: float  # of what the units have to ask for
    seconds_of_all_facts: float  # of every unit, those that were left out too
    seconds_of_a_role: float  # of every unit in the words of one role
    seconds_a_call: float
    stopped_by_signal: int | None


@dataclass(frozen=True, kw_only=True)
class AskingTime(StageTime):
    """How many questions one model was asked."""

    seconds_to_start: float
    seconds_a_question: float | None  # None where all answers came from the journal
    questions: int
    left_out: int

    @property
    def asked(self) -> int:
        return self.questions - self.left_out


@dataclass(frozen=True, kw_only=True)
class TrainingTime(StageTime):
    """How far a training came."""

    kept_back: float  # seconds to save and to check
    progress: float  # 1 at its end
    lr_end_over_peak: float | None
    seconds_an_update: float | None


Report = TypeVar("Report", bound=StageTime)


def read_report(meta: Path, kind: type[Report]) -> Report | None:
    """What a stage said of its time; None where its meta file is not there, or it had no budget.

    InputError where a field is missing. What is there besides is passed over.
    """
    found = read_json(meta, "a meta file").get("budget") if meta.is_file() else None
    if found is None:
        return None
    names = {field.name for field in fields(kind)}
    if missing := sorted(names - found.keys()):
        raise InputError(
            f"expected {', '.join(missing)} in the budget of {meta}, found none: run that stage again with this version"
        )
    return kind(**{name: value for name, value in found.items() if name in names})
