"""With --quiz, what the base model knows already is not trained: it is asked first, and what it says of that is replayed.

    write_quiz(run, dataset)          # QUIZ, for inference.py without an adapter, whose answers are QUIZ_BASE
    leave_out_known(run, dataset)     # TRAINED, for finetune.py

TRAINED has those rows of a dataset whose fact the base model was not right on, or was not asked for lack of time; and its
own answers to the other questions, of the kind "replay", so that training does not take away what it knows.

Graded by string match: no judge has to be loaded, or paid, before the training, and where it is too strict, a fact is
trained that need not be.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from data_processor.dataset import question_and_reference
from days.carried import link_passages, unique
from days.ledger import key_of, read_rows
from days.quiz import quiz, split_known
from days.unlearning import to_replay
from evaluation.accuracy import judge_answers
from utils import read_json, write_json

QUIZ, QUIZ_BASE, TRAINED = "quiz.json", "quiz_base.json", "trained.json"

log = logging.getLogger(__name__)


def write_quiz(run: Path, dataset: str, taught: Collection[str] = ()) -> bool:
    """Write QUIZ, from the rows that would be trained; whether there is a question.

    Facts whose key is among the `taught` are not asked, so that they are trained whatever the base model knows.
    """
    rows = [row for row in read_rows(run / dataset) if key_of(row) not in taught]
    asked = quiz(rows)
    if asked:
        write_json(run / QUIZ, asked)
    else:
        remove_quiz(run)
    return bool(asked)


def remove_quiz(run: Path) -> None:
    """Without these files all rows are trained."""
    for name in (QUIZ, TRAINED):
        (run / name).unlink(missing_ok=True)


def read_answers(run: Path) -> list[dict]:
    """What the base model answered to QUIZ, under the ids of the rows asked; answers to an earlier list are left out."""
    if not ((run / QUIZ).exists() and (run / QUIZ_BASE).exists()):
        return []
    answers = read_json(run / QUIZ_BASE, "answers")
    found = {(answer["question"], answer["reference"]): answer for answer in answers if not answer.get("error")}
    asked = ((row["id"], found.get(question_and_reference(row))) for row in read_json(run / QUIZ, "questions"))
    return [{**answer, "id": name} for name, answer in asked if answer]


def quiz_verdicts(run: Path) -> list[dict]:
    """The answers of the base model, each with its "verdict"."""
    answers = read_answers(run)
    return [{**answer, **verdict} for answer, verdict in zip(answers, judge_answers(answers, None), strict=True)]


def leave_out_known(run: Path, dataset: str) -> None:
    """Write TRAINED from a dataset and the answers to QUIZ."""
    asked, rows, verdicts = read_json(run / QUIZ, "questions"), read_rows(run / dataset), quiz_verdicts(run)
    known, unknown = split_known(rows, asked, verdicts)
    keys = {key_of(row) for row in known}
    write_json(run / TRAINED, unique([*unknown, *(to_replay(one) for one in verdicts if key_of(one) in keys)]))
    link_passages(run / TRAINED)
    message = (
        "the base model knows %d of %d facts, by its answers to %d of %d questions: it trains on what it said of them"
    )
    log.info(message, len(keys), len({key_of(row) for row in asked}), len(verdicts), len(asked))
