"""How many answers are correct, incorrect or not attempted, overall and for each kind, document and role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from evaluation.judging import ACCURACY, UNSCORED, Judge, ask, to_case
from evaluation.matching import CORRECT, INCORRECT, NOT_ATTEMPTED, UNANSWERABLE, grade
from evaluation.significance import clustered_difference, cohens_kappa, in_words, mcnemar, wilson_interval

SHOWN = ("question", "reference", "fact", "kind", "file_name", "role", "source")  # what a verdict repeats of its answer
BREAKDOWNS = {"by_kind": "kind", "by_document": "file_name", "by_role": "role"}


def judge_answers(rows: list[dict], judge: Judge | None, name: str = "") -> list[dict]:
    """For each answer its verdict with the reason, and beside it what string matching says.

    An answer that inference could not get (it has an "error") is unscored: it says nothing about the model.
    """
    asked = [place for place, row in enumerate(rows) if not row.get("error")]
    verdicts = [
        {
            "response": row["response"],
            "verdict": UNSCORED,
            "reason": f"no answer: {row.get('error')}",
            "match": UNSCORED,
        }
        for row in rows
    ]
    matched = [grade(rows[i]["reference"], rows[i]["response"], rows[i].get("kind")) for i in asked]
    judged = matched
    if judge:
        named = {i: f"{name} {rows[i].get('id', i)}".strip() for i in asked}
        judged = ask(judge, ACCURACY, [to_case(rows[i], named[i], answer=rows[i]["response"]) for i in asked])
    for place, (verdict, reason), (label, _) in zip(asked, judged, matched, strict=True):
        verdicts[place] |= {"verdict": verdict, "reason": reason, "match": label}
    return verdicts


def summarize(rows: list[dict], verdicts: list[dict]) -> dict:
    """The counts and shares of some answers. What was not scored is in no share; see SimpleQA for the last two.

    "attempted_accuracy" is the share of the attempted answers that is correct, "f_score" its harmonic mean with the
    accuracy. Questions that have no answer are counted apart, in their kind.
    """
    found = Counter(verdict["verdict"] for verdict in verdicts)
    correct, attempted = found[CORRECT], found[CORRECT] + found[INCORRECT]
    scored = attempted + found[NOT_ATTEMPTED]
    return {
        "n": len(verdicts),
        "correct": correct,
        "incorrect": found[INCORRECT],
        "not_attempted": found[NOT_ATTEMPTED],
        "unscored": found[UNSCORED],
        "accuracy": round(correct / scored, 4) if scored else None,
        "interval": wilson_interval(correct, scored),
        "attempted_accuracy": round(correct / attempted, 4) if attempted else None,
        "f_score": round(2 * correct / (scored + attempted), 4) if scored else None,
    }


def measure(rows: list[dict], verdicts: list[dict], summary: Callable = summarize) -> dict:
    """The numbers of a measurement, overall (without the unanswerable) and broken down, and its verdicts."""

    def part(places: list[int]) -> dict:
        return summary([rows[i] for i in places], [verdicts[i] for i in places])

    parts, overall = {}, set(counted(rows))
    for name, key in BREAKDOWNS.items():
        groups: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            if row.get(key) and (key == "kind" or place in overall):
                groups.setdefault(row[key], []).append(place)
        parts[name] = {group: part(places) for group, places in groups.items()}
    shown = [
        {"id": row.get("id", place), **{key: row[key] for key in SHOWN if row.get(key)}, **verdict}
        for place, (row, verdict) in enumerate(zip(rows, verdicts, strict=True))
    ]
    return {**part(counted(rows)), **parts, "verdicts": shown}


def beside_match(rows: list[dict], verdicts: list[dict]) -> dict:
    """What string matching says of the same answers: its accuracy, and where it and the judge disagree."""
    answerable = [verdicts[i] for i in counted(rows) if verdicts[i]["match"] != UNSCORED]
    right = sum(verdict["match"] == CORRECT for verdict in answerable)
    scored = [
        (verdict["verdict"] == CORRECT, verdict["match"] == CORRECT)
        for verdict in verdicts
        if verdict["verdict"] != UNSCORED
    ]
    disagreements = [
        row.get("id", place)
        for place, (row, verdict) in enumerate(zip(rows, verdicts, strict=True))
        if verdict["verdict"] != UNSCORED and (verdict["verdict"] == CORRECT) != (verdict["match"] == CORRECT)
    ]
    return {
        "n": len(answerable),
        "correct": right,
        "accuracy": round(right / len(answerable), 4) if answerable else None,
        "interval": wilson_interval(right, len(answerable)),
        "agreement": round(1 - len(disagreements) / len(scored), 4) if scored else None,
        "kappa": cohens_kappa(*zip(*scored, strict=True)) if scored else None,
        "disagreements": disagreements,
    }


def compare(rows: list[dict], sft: list[dict], base: list[dict], seed: int = 0) -> dict:
    """What tuning changed, question by question, where both were scored: gained, lost, the exact p and it in words.

    "difference" is that of the accuracies with an interval by facts. Questions that have no answer are left out.
    """
    both = paired(rows, sft, base)
    after, before = ([verdicts[i]["verdict"] == CORRECT for i in both] for verdicts in (sft, base))
    gained = sum(a and not b for a, b in zip(after, before, strict=True))
    lost = sum(b and not a for a, b in zip(after, before, strict=True))
    shift = clustered_difference(after, before, [fact_of(rows[i]) for i in both], seed) if both else {}
    return {
        "gained": gained,
        "lost": lost,
        "p": round(mcnemar(gained, lost), 6),
        **shift,
        "words": in_words(gained, lost),
    }


def paired(rows: list[dict], *measured: list[dict]) -> list[int]:
    """The places of the counted questions that every measurement has scored."""
    return [i for i in counted(rows) if all(verdicts[i]["verdict"] != UNSCORED for verdicts in measured)]


def counted(rows: list[dict]) -> list[int]:
    """The places of the questions that make up an overall number: those with an answer, or all if none has one."""
    answerable = [place for place, row in enumerate(rows) if row.get("kind") != UNANSWERABLE]
    return answerable or list(range(len(rows)))


def fact_of(row: dict) -> str:
    """What the questions about one fact have in common."""
    return str(row.get("fact_id") or f"{row.get('file_name', '')} {row.get('fact') or row['reference']}")
