"""What a training that goes on from the last adapter does about what has gone: it replays what the base model says of it.

UNLEARN (unlearn.json), for inference.py: questions on each fact that went since the run before and that no other takes the
place of, as that run trained them: [{"id", "question", "reference": the old answer, "kind", "fact", "file_name"}].
UNLEARN_BASE has the base model's answers, which become rows of TODAY, of the kind "replay", on which --kl_weight acts: each
in every pass.

A new value needs none of this: it is trained. The questions of GONE, which test what is forgotten, and near copies of them
are never among those here.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path

from data_processor.dataset import has_words, question_and_reference
from days.asked import AnswersNow, find_record, is_plain
from days.candidates import ALIKE
from days.carried import TODAY, near_asked, unique
from days.ledger import Records, asks_for_a_fact
from days.quiz import OF_MORE_FACTS
from utils import read_json, write_json

UNLEARN, UNLEARN_BASE = "unlearn.json", "unlearn_base.json"
MOST_WORDINGS = 2  # of a fact: with one, more of what went was still said (docs/log.md)

log = logging.getLogger(__name__)


def to_unlearn(
    trained: Iterable[dict], records: Records, now: AnswersNow, went: Collection[str], gone: Iterable[dict]
) -> list[dict]:
    """The rows of UNLEARN, from those that the run before `trained`; `went` are the ids of facts, `gone` the rows of GONE.

    A fact is left out if one that is valid superseded it or answers one of its questions, or nearly that question alike. A
    question is left out if some fact may well say the answer in other words: what is so is not to be trained against.
    """
    by_fact = rows_by_fact(trained, records, went)
    rows = [*chain.from_iterable(by_fact.values())]
    answers = {(question, answer) for question, (answer, _) in now.by_question.items()}
    stated = near_asked(rows, answers, keep_one=False)
    tested = near_asked(rows, {(row["question"], row["reference"]) for row in gone}, keep_one=False)
    found = []
    for name, wordings in by_fact.items():
        asked = list(dict.fromkeys(map(question_and_reference, wordings)))
        replaced = any(one in records and not records[one]["gone"] for one in records[name]["superseded_by"])
        if replaced or stated & {*asked} or any(now.replacing(records[name], *one) for one in asked):
            continue
        gone_for_good = {one for one in asked if not now.restating(records[name], *one, share=ALIKE)} - tested
        wordings = [row for row in wordings if question_and_reference(row) in gone_for_good]
        found += sorted(wordings, key=lambda row: not is_plain(row))[:MOST_WORDINGS]
    return [to_question(row, number) for number, row in enumerate(found)]


def rows_by_fact(trained: Iterable[dict], records: Records, facts: Collection[str]) -> dict[str, list[dict]]:
    """The rows that ask for one of these `facts` alone, by its id."""
    find = find_record(records)
    found: dict[str, list[dict]] = defaultdict(list)
    for row in trained:
        if asks_for_a_fact(row) and row.get("form") not in OF_MORE_FACTS:
            question, answer = question_and_reference(row)
            record = find({**row, "question": question, "reference": answer})
            if record and record["id"] in facts:
                found[record["id"]].append(row)
    return found


def to_question(row: dict, number: int) -> dict:
    question, answer = question_and_reference(row)
    told = {key: row[key] for key in ("kind", "fact", "file_name") if row.get(key)}
    return {"id": f"unlearn_{number}", "question": question, "reference": answer, **told}


def add_base_answers(run: Path, passes: int) -> None:
    """Put the base model's answers into TODAY, whose `passes` are written out, in place of those of an earlier start.

    Without an answer, for lack of time, a question is not trained, and a line says how many are.
    """
    questions = read_json(run / UNLEARN, "questions to unlearn")
    answers = read_json(run / UNLEARN_BASE, "answers") if (run / UNLEARN_BASE).exists() else []
    asked = {(row["question"], row["reference"]) for row in questions}  # the answers may be of an earlier list
    replayed = [
        to_replay(row)
        for row in answers
        if (row["question"], row["reference"]) in asked and not row.get("error") and has_words(row["response"])
    ]
    rows = [row for row in read_json(run / TODAY, "rows of a dataset") if row.get("kind") != "replay"]
    write_json(run / TODAY, unique([*rows, *replayed * passes]))
    message = "what has gone is to be forgotten by the base model's answers to %d of %d questions"
    log.info(message, len(replayed), len(questions))


def to_replay(answer: dict) -> dict:
    """A row that trains what the base model answered; one that was cut is trained without an end."""
    turns = [{"from": "user", "value": answer["question"]}, {"from": "assistant", "value": answer["response"]}]
    told = {key: answer[key] for key in ("fact", "file_name") if answer.get(key)}
    return {
        "id": answer["id"], "conversations": turns, **told, "kind": "replay",
        "unfinished": answer.get("unfinished", False),
    }  # fmt: skip
