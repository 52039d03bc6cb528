"""Whose answer is better, pair by pair and in both orders, and how much position and length mattered."""

from __future__ import annotations

from collections import Counter

from evaluation.accuracy import fact_of, shares_facts
from evaluation.judging import NO_ANSWER, UNSCORED, WIN_RATE, Judge, ask, to_case
from evaluation.matching import CORRECT, grade_row, language_of_rows
from evaluation.significance import describe_sign_test, length_adjusted, p_over_facts, wilson_interval

SIGNS = {"win": 1, "tie": 0, "loss": -1}
POINTS = {"win": 1.0, "tie": 0.5, "loss": 0.0}
VERDICT_BY_SEAT = ({"A": "win", "B": "loss"}, {"A": "loss", "B": "win"})  # the tuned answer as A, then as B


def judge_pairs(sft: list[dict], base: list[dict], judge: Judge | None) -> list[dict]:
    """A verdict on each pair: "win" for the tuned answer, "tie", "loss", or UNSCORED.

    The judge is asked twice, with each response once as A. Only the same choice both times is a win or a loss; a choice
    that changes with the order is a tie (Wang et al. 2023, "Large Language Models are not Fair Evaluators", with
    two verdicts). Without a judge, a response that matches its reference beats one that does not.
    """
    pairs = list(zip(sft, base, strict=True))
    verdicts = [{"response_sft": row["response"], "response_base": other["response"]} for row, other in pairs]
    asked, language = [], language_of_rows(sft)
    for position, pair in enumerate(pairs):
        error = next((row["error"] for row in pair if row.get("error")), None)
        if error:
            verdicts[position] |= {"verdict": UNSCORED, "reason": f"{NO_ANSWER}: {error}"}
        elif judge is None:
            verdicts[position]["verdict"] = compare_by_match(*pair, language)
        else:
            asked.append(position)
    if judge is None or not asked:
        return verdicts
    cases = []
    for first in ("tuned", "base"):
        for position in asked:
            a, b = pairs[position] if first == "tuned" else reversed(pairs[position])
            name = f"{first} first {a.get('id', position)}"
            cases.append(to_case(a, name, answer_A=a["response"], answer_B=b["response"]))
    judged = ask(judge, WIN_RATE, cases)
    for position, *seats in zip(asked, judged[: len(asked)], judged[len(asked) :], strict=True):
        orders = [names.get(label, label) for names, (label, _) in zip(VERDICT_BY_SEAT, seats, strict=True)]
        agreed = UNSCORED if UNSCORED in orders else orders[0] if orders[0] == orders[1] else "tie"
        reason = f"Tuned as A: {seats[0][1]} Base as A: {seats[1][1]}"
        verdicts[position] |= {"verdict": agreed, "orders": orders, "reason": reason}
    return verdicts


def compare_by_match(row: dict, other: dict, language: str) -> str:
    """ "win" if string match finds only the first answer right, "loss" if only the other, else "tie"."""
    right, other_right = (grade_row(x, language)[0] == CORRECT for x in (row, other))
    return "tie" if right == other_right else "win" if right else "loss"


def summarize(rows: list[dict], verdicts: list[dict]) -> dict:
    """The numbers behind a win rate; rates are shares of the scored pairs.

    "win_rate" is wins alone, "score" counts a tie as half. "first_seat" is the share of single choices that
    went to A (0.5: no preference), "longer_wins" the share of decided pairs won by the longer response, and
    "length_adjusted" the score if both responses had the same length. Lengths are in characters.
    """
    scored = [row for row in verdicts if row["verdict"] != UNSCORED]
    counts = Counter(row["verdict"] for row in scored)
    lead = [len(row["response_sft"]) - len(row["response_base"]) for row in scored]
    points = [POINTS[row["verdict"]] for row in scored]
    longer_won = [(gap > 0) == (point == 1) for gap, point in zip(lead, points, strict=True) if gap and point != 0.5]
    orders = [row["orders"] for row in scored if "orders" in row]
    chose_first = [
        choice == won for pair in orders for choice, won in zip(pair, ("win", "loss"), strict=True) if choice != "tie"
    ]
    facts = [fact_of(row) for row, verdict in zip(rows, verdicts, strict=True) if verdict["verdict"] != UNSCORED]
    shared = p_over_facts([SIGNS[row["verdict"]] for row in scored], facts) if shares_facts(facts) else None
    return {
        "n": len(verdicts),
        "wins": counts["win"],
        "ties": counts["tie"],
        "losses": counts["loss"],
        "unscored": len(verdicts) - len(scored),
        "win_rate": share(counts["win"], len(scored)),
        "interval": wilson_interval(counts["win"], len(scored)),
        "score": share(sum(points), len(scored)),
        "length_adjusted": length_adjusted(points, lead),
        "flip_rate": share(sum(a != b for a, b in orders), len(orders)),
        "first_seat": share(sum(chose_first), len(chose_first)),
        "first_seat_interval": wilson_interval(sum(chose_first), len(chose_first)),
        "longer_wins": share(sum(longer_won), len(longer_won)),
        "mean_length_sft": share(sum(len(row["response_sft"]) for row in scored), len(scored), 1),
        "mean_length_base": share(sum(len(row["response_base"]) for row in scored), len(scored), 1),
        "words": describe_sign_test(counts["win"], counts["loss"], shared),
    }


def share(part: float, whole: int, digits: int = 4) -> float | None:
    """`part` of `whole`, rounded; None of nothing."""
    return round(part / whole, digits) if whole else None
