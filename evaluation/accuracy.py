"""How many answers are correct, incorrect or not attempted: overall and by kind, document and role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from evaluation.judging import ACCURACY, NO_ANSWER, UNSCORED, Judge, ask, describe_failure, to_case
from evaluation.matching import (
    CORRECT,
    INCORRECT,
    NOT_ATTEMPTED,
    UNANSWERABLE,
    count_points_of_row,
    grade_row,
    language_of_rows,
    points_of,
)
from evaluation.significance import (
    clustered_difference,
    cohens_kappa,
    describe_comparison,
    mcnemar,
    p_over_facts,
    wilson_interval,
)
from evaluation.tokens import tokens

# copied from the answer into its verdict
REPEATED_KEYS = ("question", "reference", "points", "fact", "kind", "file_name", "role", "source")
BREAKDOWNS = {"by_kind": "kind", "by_document": "file_name", "by_role": "role"}


def judge_answers(rows: list[dict], judge: Judge | None, name: str = "") -> list[dict]:
    """For each answer its verdict with the reason, and the class given by string match; with points, how many it says.

    An answer that inference failed to get (it has an "error") is unscored: it says nothing about the model.
    """
    answered = [position for position, row in enumerate(rows) if not row.get("error")]
    verdicts = [
        {
            "response": row["response"],
            "verdict": UNSCORED,
            "reason": f"{NO_ANSWER}: {row.get('error')}",
            "match": UNSCORED,
        }
        for row in rows
    ]
    language = language_of_rows(rows)
    matched = [grade_row(rows[i], language) for i in answered]
    judged = matched
    if judge:
        named = {i: f"{name} {rows[i].get('id', i)}".strip() for i in answered}
        judged = ask(judge, ACCURACY, [to_case(rows[i], named[i], answer=rows[i]["response"]) for i in answered])
    for position, (verdict, reason), (label, _) in zip(answered, judged, matched, strict=True):
        verdicts[position] |= {"verdict": verdict, "reason": reason, "match": label}
        if points_of(rows[position]):
            found, needed = count_points_of_row(rows[position], language)
            verdicts[position] |= {"points_found": found, "points_needed": needed}
    return verdicts


def summarize(rows: list[dict], verdicts: list[dict]) -> dict:
    """Counts and shares for some answers. Shares leave out what was not scored; for the last two see SimpleQA.

    "attempted_accuracy" is the share of attempted answers that are correct, "f_score" its harmonic mean with the
    accuracy. Unanswerable questions are counted separately, by their kind.
    """
    counts = Counter(verdict["verdict"] for verdict in verdicts)
    correct, attempted = counts[CORRECT], counts[CORRECT] + counts[INCORRECT]
    scored = attempted + counts[NOT_ATTEMPTED]
    return {
        "n": len(verdicts),
        "correct": correct,
        "incorrect": counts[INCORRECT],
        "not_attempted": counts[NOT_ATTEMPTED],
        "unscored": counts[UNSCORED],
        "accuracy": round(correct / scored, 4) if scored else None,
        "interval": wilson_interval(correct, scored),
        "attempted_accuracy": round(correct / attempted, 4) if attempted else None,
        "f_score": round(2 * correct / (scored + attempted), 4) if scored else None,
    }


def measure(rows: list[dict], verdicts: list[dict], summary: Callable = summarize) -> dict:
    """The numbers of a measurement, overall (without unanswerable questions) and broken down, and its verdicts.

    "by_points" keeps answers that are scored by their points apart from the others; it is there if any is.

    "judge_failed" says, in words, that the judge gave too few verdicts; it is None if it gave enough.
    """

    def summarize_positions(positions: list[int]) -> dict:
        return summary([rows[i] for i in positions], [verdicts[i] for i in positions])

    breakdowns, overall = {}, set(counted(rows))
    for name, key in BREAKDOWNS.items():
        groups: dict[str, list[int]] = {}
        for position, row in enumerate(rows):
            if row.get(key) and (key == "kind" or position in overall):
                groups.setdefault(row[key], []).append(position)
        breakdowns[name] = {group: summarize_positions(positions) for group, positions in groups.items()}
    with_points = [position for position in counted(rows) if points_of(rows[position])]
    if with_points:
        others = [position for position in counted(rows) if position not in set(with_points)]
        groups = {"with_points": with_points, "without_points": others}
        breakdowns["by_points"] = {group: summarize_positions(found) for group, found in groups.items() if found}
    shown_verdicts = [
        {"id": row.get("id", position), **{key: row[key] for key in REPEATED_KEYS if row.get(key)}, **verdict}
        for position, (row, verdict) in enumerate(zip(rows, verdicts, strict=True))
    ]
    failed = {"judge_failed": describe_failure(verdicts)}
    return {**summarize_positions(counted(rows)), **failed, **breakdowns, "verdicts": shown_verdicts}


def score_match(rows: list[dict], verdicts: list[dict]) -> dict:
    """String match on the same answers: its accuracy, and where it and the judge disagree."""
    answerable = [verdicts[i] for i in counted(rows) if verdicts[i]["match"] != UNSCORED]
    right = sum(verdict["match"] == CORRECT for verdict in answerable)
    scored = [
        (verdict["verdict"] == CORRECT, verdict["match"] == CORRECT)
        for verdict in verdicts
        if verdict["verdict"] != UNSCORED
    ]
    disagreements = [
        row.get("id", position)
        for position, (row, verdict) in enumerate(zip(rows, verdicts, strict=True))
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
    """What tuning changed, question by question, where both were scored: gained, lost, the exact p, and a sentence.

    "difference" is that of the accuracies, with an interval over facts, and so is the p where questions share facts. Unanswerable questions are left out.
    """
    both = paired(rows, sft, base)
    after, before = ([verdicts[i]["verdict"] == CORRECT for i in both] for verdicts in (sft, base))
    gained = sum(a and not b for a, b in zip(after, before, strict=True))
    lost = sum(b and not a for a, b in zip(after, before, strict=True))
    facts = [fact_of(rows[i]) for i in both]
    difference = clustered_difference(after, before, facts, seed) if both else {}
    shared = p_over_facts([a - b for a, b in zip(after, before, strict=True)], facts) if shares_facts(facts) else None
    return {
        "gained": gained,
        "lost": lost,
        "p": round(mcnemar(gained, lost) if shared is None else shared, 6),
        **difference,
        "words": describe_comparison(gained, lost, shared),
    }


def paired(rows: list[dict], *measured: list[dict]) -> list[int]:
    """The positions of the counted questions that every measurement has scored."""
    return [i for i in counted(rows) if all(verdicts[i]["verdict"] != UNSCORED for verdicts in measured)]


def counted(rows: list[dict]) -> list[int]:
    """The positions of the questions behind an overall number: the answerable ones, or all if none is."""
    answerable = [position for position, row in enumerate(rows) if row.get("kind") != UNANSWERABLE]
    return answerable or list(range(len(rows)))


def fact_of(row: dict) -> str:
    """A key that questions about the same fact share.

    Where a row names no fact, a reference of one word ("yes", "B", "1998") is none either: many questions have it.
    """
    fact = row.get("fact") or (row["reference"] if len(tokens(row["reference"])) > 1 else row.get("question"))
    return str(row.get("fact_id") or f"{row.get('file_name', '')} {fact}")


def shares_facts(facts: list[str]) -> bool:
    """Whether two of the questions are about one fact."""
    return len(set(facts)) < len(facts)
