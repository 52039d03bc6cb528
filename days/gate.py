"""Whether `latest` may move to a new run: what was known is still known, and general questions are answered as before.

    gate = compare_runs(day, history(out, day))     # of the folders: days/folders.py
    close_day(out, day, gate.passed, gate.lines())

The verdicts of the new run's tuned_acc.json and retention_tuned_acc.json are set beside those of the run before, and, so
that small losses do not add up from day to day, beside those of the run that asked a question first. The new run asks the
questions of all earlier days besides its own; what is superseded or taken back is not asked any more, or is in `gone`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from days.folders import read_day
from evaluation.judging import UNSCORED
from evaluation.matching import CORRECT, UNANSWERABLE
from evaluation.significance import LEVEL, excess
from utils import read_json

ALLOWED = 0.05  # of the questions answered right before: so many may be lost, or more where chance explains it
FACTS, GENERAL = "what was learnt", "general questions"
ANSWERS = {FACTS: "tuned", GENERAL: "retention_tuned"}  # the answers files, without .json

Question = tuple[str, str]  # with its reference: ids are of one run, and a changed fact keeps its question


@dataclass(frozen=True)
class Comparison:
    """Questions answered right before, and what has become of them; `what` is FACTS or GENERAL, `since` a run's name.

    `gained` counts those answered right now and wrong before. What was learnt must be kept itself; of general questions,
    which stand for many others, a gain makes up for a loss. `not_asked`: known before, and not asked or not scored now.
    `left_out`: known before, and none of the general questions that the new run was given.
    """

    what: str
    since: str
    known: int
    lost: tuple[Question, ...]
    gained: int
    not_asked: int
    left_out: int = 0

    @property
    def p(self) -> float:
        """The exact p-value of the loss, if ALLOWED of all questions known before may be lost."""
        return excess(max(0, len(self.lost) - (self.gained if self.what == GENERAL else 0)), self.known, ALLOWED)

    @property
    def held(self) -> bool:
        return self.p > LEVEL and not (self.not_asked and not self.known)

    def line(self) -> str:
        """The comparison as a sentence for the terminal and the report."""
        not_asked = f", {self.not_asked} not asked again" if self.not_asked else ""
        not_asked += f", {self.left_out} no longer among them" if self.left_out else ""
        if self.left_out and not self.known + self.not_asked:
            return f"{self.what}, since {self.since}: other general questions than before: nothing to compare; held"
        if not self.known:
            verdict = "held" if self.held else "not held"
            return f"{self.what}, since {self.since}: none asked that was answered right{not_asked}; {verdict}"
        kept = self.known - len(self.lost)
        counts = f"{kept} of {self.known} kept, {len(self.lost)} lost, {self.gained} gained{not_asked}"
        verdict = "held" if self.held else f"not held: more than {ALLOWED:.0%} lost"
        return f"{self.what}, since {self.since}: {counts}; {verdict} (exact binomial, p = {self.p:.2g})"


@dataclass(frozen=True)
class Gate:
    """The comparisons of a new run with earlier ones; it passed if all of them held."""

    comparisons: tuple[Comparison, ...]

    @property
    def passed(self) -> bool:
        return all(one.held for one in self.comparisons)

    def lines(self) -> list[str]:
        """Why it passed or did not, what did not hold first."""
        return [one.line() for one in sorted(self.comparisons, key=lambda one: one.held)]


def compare_runs(run: Path, earlier: Sequence[Path], gone: Collection[Question] = ()) -> Gate:
    """Compare a run with the runs that led to it, the first one first (folders.history).

    Without any, it passes: there is nothing to keep. `gone` are the questions whose answers are meant to have changed.
    InputError if a run was not evaluated; general questions are left out if no run before asked any. Where the new run was
    given others, or none, those of before say nothing about it; where it had no time for them, they count as not asked.
    """
    comparisons = []
    for what in (FACTS, GENERAL) if earlier else ():
        judged = [read_verdicts(one, what) for one in (*earlier, run)]
        if not any(judged[:-1]):
            continue
        given = general_questions(run, judged[-1]) if what == GENERAL else None
        now, *before = (right_answers(one, same_judge(judged)) for one in (judged[-1], *judged[:-1]))
        since = earlier[-1].resolve().name if len(earlier) > 1 else "the first run"  # whose folder is that of all days
        if judged[-2]:
            comparisons.append(compare_answers(what, since, before[-1], now, gone, given))
        first: dict[Question, bool] = {}
        for answers in before:
            first = answers | first
        if len(earlier) > 1:
            comparisons.append(compare_answers(what, "each was first asked", first, now, gone, given))
    return Gate(tuple(comparisons))


def compare_answers(
    what: str,
    since: str,
    before: Mapping[Question, bool],
    now: Mapping[Question, bool],
    gone: Collection[Question] = (),
    given: Collection[Question] | None = None,
) -> Comparison:
    """Compare which questions are answered right now with which were before, as far as they are among those `given` now."""
    known = [one for one, right in before.items() if right and one not in gone]
    left_out = [one for one in known if given is not None and one not in given]
    known = [one for one in known if given is None or one in given]
    asked = [one for one in known if one in now]
    return Comparison(
        what=what,
        since=since,
        known=len(asked),
        lost=tuple(one for one in asked if not now[one]),
        gained=sum(now[one] for one, right in before.items() if not right and one in now and one not in gone),
        not_asked=len(known) - len(asked),
        left_out=len(left_out),
    )


def general_questions(run: Path, judged: Mapping) -> set[Question] | None:
    """The general questions that a run was given, also those it had no time for; None if it had time for none of them."""
    if judged:
        return {question_of(row) for row in judged["verdicts"]}
    return set() if read_day(run).get("general") == "" else None


def read_verdicts(run: Path, what: str) -> dict:
    """What evaluate.py wrote of a run's answers; nothing if it asked no general questions."""
    path = run / f"{ANSWERS[what]}_acc.json"
    if what == GENERAL and not path.is_file():
        return {}
    return read_json(path, "the verdicts on a run's answers", "run evaluate.py there")


def same_judge(judged: Sequence[Mapping]) -> bool:
    """Whether one judge gave all verdicts; otherwise string match, which stands beside every verdict, compares the runs."""
    return len({one["judge"] for one in judged if one}) == 1


def right_answers(judged: Mapping, by_judge: bool) -> dict[Question, bool]:
    """Whether each question with an answer was answered right: what was not scored, or has no answer, is left out.

    A question that was asked twice must be answered right both times.
    """
    key = "verdict" if by_judge else "match"
    found: dict[Question, bool] = {}
    for row in judged.get("verdicts", ()):
        if row[key] != UNSCORED and row.get("kind") != UNANSWERABLE:
            question = question_of(row)
            found[question] = found.get(question, True) and row[key] == CORRECT
    return found


def question_of(row: Mapping) -> Question:
    return row["question"], row.get("reference", "")
