"""What a day asks besides its own questions: those of all earlier days, and those whose answer has gone.

QUESTIONS (questions.json), for inference.py: the day's own, and every question that an earlier day asked about a fact that
is still valid; where its answer has changed, with the new one.

GONE (gone.json), for inference.py too: up to WORDINGS questions on each fact that is superseded or stated no more, which
name neither the old value nor the new one: [{"id", "question", "reference": the old answer, "new": the new one or null,
"why": "superseded" or "deleted", "record": the fact's id, "since": the run in which it went, "fact", "file_name"}].
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from data_processor.curation import contains
from data_processor.dataset import question_and_reference
from data_processor.languages import identify
from data_processor.split import TEST_KINDS
from days.candidates import SURE, same_value
from days.ledger import Records, key_of, key_of_record
from days.quiz import GUESSABLE, OF_MORE_FACTS, WORDINGS
from days.restated import Restated
from evaluation.accuracy import judge_answers
from evaluation.matching import CORRECT, UNANSWERABLE
from utils import read_json

QUESTIONS, GONE, GONE_SCORES = "questions.json", "gone.json", "gone_acc.json"
MODELS = ("base", "before", "tuned")  # that are asked what has gone: gone_base.json ...
BLANK = re.compile(r"_{3,}")  # of a cloze question
ROW_KEYS = ("fact", "kind", "points", "role", "fact_id", "source")  # of an answer that make it a question again


def earlier_questions(runs: Iterable[Path]) -> list[dict]:
    """What the runs before asked, as answers; the newest run's first."""
    paths = [run / "tuned.json" for run in reversed([*runs])]
    return [row for path in paths if path.exists() for row in read_json(path, "answers")]


def find_record(records: Records) -> Callable[[Mapping], dict | None]:
    """A function that finds the record of an answer: by its fact, or else by its question and reference."""
    by_key = {key_of_record(record): record for record in records.values()}
    by_pair = {(one["question"], one["answer"]): record for record in records.values() for one in record["questions"]}
    return lambda row: by_key.get(key_of(row)) or by_pair.get((row["question"], row.get("reference", "")))


class AnswersNow:
    """What takes the place of an answer that has gone, according to the ledger and the pairs of all days."""

    def __init__(self, records: Records, pairs: Iterable[dict], run: str):
        self.records = records
        valid = [record for record in records.values() if not record["gone"] and run in record["runs"]]
        self.by_question = {one["question"]: (one["answer"], record) for record in valid for one in record["questions"]}
        self.valid = valid
        self.pairs: dict[str, list[dict]] = defaultdict(list)
        for pair in pairs:
            self.pairs[pair["old"]["id"]].append(pair)

    def find(self, record: dict, question: str, answer: str) -> tuple[str, dict] | None:
        """The answer to the same question today, with the record of its fact; None if nothing states one.

        It is the old one if another fact says it in other words.
        """
        return self.replacing(record, question, answer) or self.restating(record, question, answer, SURE)

    def replacing(self, record: dict, question: str, answer: str) -> tuple[str, dict] | None:
        """The same, as far as the question is asked today, or a fact that is superseded is followed by another."""
        return self.by_question.get(question) or self._replacing(record, answer, set())

    def restating(self, record: dict, question: str, answer: str, share: float) -> tuple[str, dict] | None:
        """The old answer, if a fact is "deleted" that a document still states in other words, a `share` of them the same."""
        still = self.restated.find(record, question, answer, share) if record["gone"] == "deleted" else None
        return (answer, still) if still else None

    @cached_property
    def restated(self) -> Restated:
        return Restated(self.valid)

    def _replacing(self, record: dict, value: str, seen: set[str]) -> tuple[str, dict] | None:
        seen.add(record["id"])
        for pair in self.pairs[record["id"]]:
            newer, new = self.records.get(pair["new"]["id"]), pair["new"]["value"]
            if newer is None or newer["id"] in seen or newer["id"] not in record["superseded_by"]:
                continue
            if same_value(value, pair["old"]["value"], identify(record["text"])):
                if not newer["gone"]:
                    return new, newer
                return self._replacing(newer, new, seen) or self.restating(newer, "", new, SURE)
        return None


def to_ask(own: Sequence[dict], earlier: Iterable[dict], records: Records, now: AnswersNow) -> list[dict]:
    """The day's `own` questions, as rows of a dataset, and those of `earlier` answers that can still be asked.

    What belongs to no record, such as a person's question, is asked as long as it is among the day's own.
    """
    found: dict[tuple[str, str], dict] = {question_and_reference(row): row for row in own}
    find = find_record(records)
    for number, row in enumerate(earlier):
        record = None if row.get("kind") == UNANSWERABLE else find(row)
        if record is None:
            continue
        question, reference = row["question"], row["reference"]
        kept = {key: row[key] for key in ROW_KEYS if row.get(key)}
        if record["gone"]:
            replaced = now.find(record, question, reference)
            if replaced is None or contains(question, reference) or contains(question, replaced[0]):
                continue
            reference, record = replaced
            kept = {"kind": row["kind"], "fact": record["text"], "source": {"quote": next(iter(record["quotes"]), "")}}
        asked = {"id": f"earlier_{number}", "question": question, "reference": reference}
        found.setdefault((question, reference), {**asked, "file_name": record["file_name"], **kept})
    return list(found.values())


def gone_questions(records: Records, now: AnswersNow, since: Mapping[str, str]) -> list[dict]:
    """The rows of GONE; `since` {id: the run in which a fact went} has all facts that have gone.

    Questions that were held out come first: no training has seen them, and so those that were trained are left to unlearn.
    Those that ask for something else of the fact than what has gone are left out where it has others.
    """
    found = []
    for record in (records[one] for one in since):
        rows = []
        for one in sorted(record["questions"], key=lambda one: one.get("kind") not in TEST_KINDS):
            question, old = one["question"], one["answer"]
            new, _ = now.find(record, question, old) or (None, None)
            if not is_plain(one) or contains(question, old) or (new and contains(question, new)):
                continue
            if new and same_value(old, new, identify(record["text"])):
                continue
            told = {"question": question, "reference": old, "new": new, "why": record["gone"], "record": record["id"]}
            told |= {"points": one["points"]} if one.get("points") else {}
            told |= {"since": since[record["id"]], "fact": record["text"], "file_name": record["file_name"]}
            rows.append(told)
        values = [pair["old"]["value"] for pair in now.pairs[record["id"]]]
        rows = [row for row in rows if asks_for_what_went(row["question"], row["reference"], values)] or rows
        found += [{"id": f"{record['id']}_{number}", **row} for number, row in enumerate(rows[:WORDINGS])]
    return found


def is_plain(asked: Mapping) -> bool:
    """Whether a question of a record asks for its value, and not the other way round or for yes or no."""
    forms = (asked.get("kind"), asked.get("form"))
    return "reverse" not in forms and not {*GUESSABLE, *OF_MORE_FACTS} & {*forms}


def asks_for_what_went(question: str, answer: str, values: Collection[str]) -> bool:
    """Whether a question can ask for what has gone, of which `values` are known: "The ____ lantern costs 64 euros?" cannot.

    A blank that more words follow stands for the subject, or for a word of it, unless a number belongs there.
    """
    blank = BLANK.search(question)
    if blank and re.search(r"\w", question[blank.end() :]) and not re.search(r"\d", answer):
        return False
    return not any(contains(question, value) and not contains(answer, value) for value in values)


def gone_since(records: Records, before: Mapping[str, str], run: str) -> dict[str, str]:
    """{id: the run in which it went} of all facts that have gone; `before` is the same of the run before."""
    return {name: before.get(name, run) for name, record in records.items() if record["gone"]}


def grade_gone(run: Path) -> list[dict]:
    """The rows of GONE with what each model said: {"said": {model: the old answer?}, "says_new": {model: the new one?}}.

    Graded by string match, as each answer is held against two references.
    """
    rows = read_json(run / GONE, "questions on what has gone") if (run / GONE).exists() else []
    graded = {row["id"]: {**row, "said": {}, "says_new": {}, "responses": {}} for row in rows}
    for model in MODELS:
        path = run / f"gone_{model}.json"
        answers = [row for row in read_json(path, "answers") if not row.get("error")] if path.exists() else []
        answers = [row for row in answers if row["id"] in graded]
        for row, verdict in zip(answers, judge_answers(answers, None), strict=True):
            graded[row["id"]]["said"][model] = verdict["verdict"] == CORRECT
            graded[row["id"]]["responses"][model] = row["response"]
        changed = [{**row, "reference": graded[row["id"]]["new"], "points": []} for row in answers]
        changed = [row for row in changed if row["reference"]]
        for row, verdict in zip(changed, judge_answers(changed, None), strict=True):
            graded[row["id"]]["says_new"][model] = verdict["verdict"] == CORRECT
    return list(graded.values())


def count_gone(graded: Sequence[dict], run: str) -> dict[str, dict[str, int]]:
    """By what happened ("superseded", "deleted" in this run, "earlier" before it), counts of facts.

    {"facts", "known": the old answer was said right before, "still_said" and "base_said": of these, the old answer is said
    now, and by the base model, "changed": of these, there is a new answer, "new_right": and it is said}. A fact is said if
    the answer to any of its questions is. Where the run before was not asked, all facts count as known.
    """
    counts: dict[str, dict[str, int]] = {}
    by_fact: dict[str, list[dict]] = defaultdict(list)
    for row in graded:
        by_fact[row["record"]].append(row)
    for rows in by_fact.values():
        what = rows[0]["why"] if rows[0]["since"] == run else "earlier"
        count = counts.setdefault(
            what, dict.fromkeys(("facts", "known", "still_said", "base_said", "changed", "new_right"), 0)
        )
        count["facts"] += 1
        if what != "earlier" and not any(row["said"].get("before", True) for row in rows):
            continue
        count["known"] += 1
        count["still_said"] += any(row["said"].get("tuned", False) for row in rows)
        count["base_said"] += any(row["said"].get("base", False) for row in rows)
        count["changed"] += any(row["new"] for row in rows)
        count["new_right"] += any(row["says_new"].get("tuned", False) for row in rows)
    return counts


def not_asked_any_more(earlier: Iterable[dict], asked: Iterable[dict]) -> Collection[tuple[str, str]]:
    """The questions, with their references, that earlier days asked and this one does not, as they have no answer now."""
    now = {
        question_and_reference(row) if "conversations" in row else (row["question"], row["reference"]) for row in asked
    }
    return {(row["question"], row.get("reference", "")) for row in earlier} - now
