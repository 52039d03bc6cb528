"""What a stage reports about its time in its meta file, under "budget", for the plan to read back.

The field names are the keys in the files, those of earlier runs included.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from utils import InputError, read_json


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """Reported by every stage: the seconds of the whole budget."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class CollectionTime(StageTime):
    """How far the collection came. A unit is a few sentences; times are in seconds."""

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
    share_read: float  # of the work in all units
    seconds_of_all_facts: float  # for every unit, including those left out
    seconds_of_a_role: float  # for every unit in the words of one role
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
    """How far the training came."""

    kept_back: float  # seconds reserved to save and check the adapter
    progress: float  # 1 at its end
    lr_end_over_peak: float | None
    seconds_an_update: float | None


Report = TypeVar("Report", bound=StageTime)


def read_report(meta: Path, kind: type[Report]) -> Report | None:
    """What a stage reported; None if it has no meta file or had no budget.

    InputError if a field is missing. Other keys are ignored.
    """
    report = read_json(meta, "a meta file").get("budget") if meta.is_file() else None
    if report is None:
        return None
    names = {field.name for field in fields(kind)}
    if missing := sorted(names - report.keys()):
        raise InputError(
            f"expected {', '.join(missing)} in the budget of {meta}, found none: run that stage again with this version"
        )
    return kind(**{name: value for name, value in report.items() if name in names})
