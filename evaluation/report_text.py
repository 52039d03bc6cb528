"""The report as text: report.md, whose first lines evaluate.py also prints."""

from __future__ import annotations

from math import isfinite

from evaluation import judge_controls, report_days
from evaluation.matching import UNANSWERABLE
from evaluation.significance import amount
from utils import MostlyFailed

MODELS = {"base": "base", "sft": "tuned", "open_book": "open book", "rag": "RAG"}
KINDS = {
    "qa": "forward",
    "reverse": "reverse",
    "held_out_wording": "held-out wording",
    "held_out_fact": "held-out fact",
    "unknown": "unanswerable",
    "retention": "general knowledge",
}
POINTS = {"with_points": "its points", "without_points": "the whole reference"}
BREAKDOWNS = {
    "by_kind": "kind of question",
    "by_points": "what an answer must say",
    "by_document": "document",
    "by_role": "role",
}
MAX_COLUMN_WIDTH = 30  # characters: a column is as wide as its content, up to this


def percent(share: float | None) -> str:
    """A share from 0 to 1 in percent, with a decimal unless it is none or all; "n/a" if there is no number."""
    if share is None or not isfinite(share):
        return "n/a"
    return f"{share:.0%}" if share in (0, 1) else f"{share:.1%}"


def interval(bounds: list[float] | None) -> str:
    """Two shares from 0 to 1 as "12.3% to 90.0%"; empty if there is no interval."""
    return "" if not bounds else f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def accuracy_cell(score: dict | None) -> str:
    """ "26.7% (16/60)", and how many have no verdict."""
    if score is None:
        return ""
    scored = score["n"] - score["unscored"]
    return f"{percent(score['accuracy'])} ({score['correct']}/{scored})" + (
        f", {score['unscored']} unscored" if score["unscored"] else ""
    )


def wins_cell(wins: dict) -> str:
    """ "50.0% (2, 1, 1)", and how many have no verdict."""
    return f"{percent(wins['win_rate'])} ({wins['wins']}, {wins['ties']}, {wins['losses']})" + (
        f", {wins['unscored']} unscored" if wins["unscored"] else ""
    )


def headline(report_data: dict) -> str:
    """The result in one sentence."""
    tuned, base, verdict = (
        report_data["scores"]["sft"],
        report_data["scores"]["base"],
        report_data["compared"]["mcnemar"],
    )
    text = f"{accuracy_cell(tuned)} of the questions after tuning, {accuracy_cell(base)} before: {verdict['words']}."
    gap = (report_data["compared"]["gap_closed"] or {}).get("gap_closed")
    failure = judge_failure(report_data)
    if failure:
        text = f"The judge failed, so these numbers say little: {failure}. {text}"
    return text + (f" That closes {percent(gap)} of the gap to an open book." if gap is not None else "")


def judge_failure(report_data: dict) -> str | None:
    """What the judge failed in, if it gave no verdict on most answers of a model or most pairs; else None."""
    failures = [(MODELS[what], score.get("judge_failed")) for what, score in report_data["scores"].items()]
    failures.append(("win rate", report_data["wins"].get("judge_failed")))
    return "; ".join(f"{name}: {failure}" for name, failure in failures if failure) or None


def require_verdicts(report_data: dict) -> None:
    """MostlyFailed if the judge gave no verdict on most answers of a model or most pairs."""
    if failure := judge_failure(report_data):
        raise MostlyFailed(
            f"expected verdicts from {report_data['judge']}, found that {failure}: give another judge, or --judge match"
        )


def about_points(report_data: dict) -> str | None:
    """How much of the scores rests on points, in one sentence; None if nothing does."""
    groups = report_data["scores"]["sft"].get("by_points") or {}
    if "with_points" not in groups:
        return None
    asked, others = groups["with_points"]["n"], groups.get("without_points", {"n": 0})["n"]
    how = "they alone decide" if report_data["judge"] == "match" else "the judge is shown them"
    said = []
    for what in report_data["scores"]:
        answers = [row[what] for row in report_data["questions"] if row.get(what, {}).get("points_needed")]
        found, needed = (sum(answer[key] for answer in answers) for key in ("points_found", "points_needed"))
        said.append(f"{MODELS[what]} {found}/{needed}")
    return (
        f"{asked} of {asked + others} questions have a long answer, with the points that any right one must say; {how}. "
        f"Points said, by string match: {', '.join(said)}"
    )


def about_unanswerable(report_data: dict) -> str | None:
    """Why fewer questions are counted than were asked, in one sentence; None if all are."""
    left_out = len(report_data["questions"]) - report_data["scores"]["sft"]["n"]
    if left_out <= 0:
        return None
    return f"{amount(left_out, 'further question')} without an answer in the documents: counted by kind only"


def notes(report_data: dict) -> list[str]:
    """Further results, a line each: string match beside the judge, win rate, forgetting, cost."""
    lines, wins = [], report_data["wins"]
    lines += filter(None, [about_points(report_data), about_unanswerable(report_data)])
    shift = report_data["compared"]["mcnemar"]
    if shift.get("interval"):
        lines.append(
            f"difference {shift['difference']:+.1%}, {interval(shift['interval'])} by bootstrap over {shift['facts']} facts"
        )
    gap = report_data["compared"]["gap_closed"] or {}
    if gap.get("gap_closed") is not None:
        lines.append(
            f"gap closed {percent(gap['gap_closed'])}" + (f", {interval(gap['interval'])}" if gap["interval"] else "")
        )
    for what, score in report_data["scores"].items():
        beside = score["match"]
        if score["judge"] != "match" and beside["agreement"] is not None:
            lines.append(
                f"{MODELS[what]}: match {percent(beside['accuracy'])} ({beside['correct']}/{beside['n']}), agrees with the "
                f"judge on {percent(beside['agreement'])}, {amount(len(beside['disagreements']), 'disagreement')}"
            )
        if score["not_attempted"]:
            right = score["attempted_accuracy"]
            of_attempted = "" if right is None else f"; of the attempted {percent(right)} correct"
            lines.append(f"{MODELS[what]}: {score['not_attempted']} not attempted{of_attempted}")
    lines.append(
        f"win rate {percent(wins['win_rate'])}: {wins['words']}; {amount(wins['ties'], 'tie')}, {wins['unscored']} unscored"
    )
    if wins["mean_length_sft"] is not None:  # a pair was scored
        lines.append(
            f"score with ties as half {percent(wins['score'])}, length-adjusted {percent(wins['length_adjusted'])}; mean length "
            f"{wins['mean_length_sft']:.0f} characters tuned, {wins['mean_length_base']:.0f} base; the longer answer won {percent(wins['longer_wins'])}"
        )
    if wins["flip_rate"] is not None:
        lines.append(
            f"the order changed {percent(wins['flip_rate'])} of the verdicts; the first answer was chosen {percent(wins['first_seat'])} of the time"
        )
    lines += forgetting_lines(report_data["forgetting"])
    usage = report_data["usage"]
    if usage:
        cost = "" if usage["cost"] is None else f", cost {usage['cost']:.4f}"
        lines.append(
            f"judge: {usage['asked']} calls, {usage['from_journal']} from the journal; {usage['prompt_tokens']} tokens read, "
            f"{usage['completion_tokens']} written{cost}"
        )
    return lines


def forgetting_lines(lost: dict) -> list[str]:
    """Forgetting, a line for each measurement that was made."""
    lines = []
    if "retention" in lost:
        kept = lost["retention"]
        lines.append(
            f"general questions kept: none of the {kept['n']} with a verdict was answered right before, so nothing can be said"
            if not kept["known_before"]
            else f"general questions kept: {kept['kept']} of {kept['known_before']} ({percent(kept['kept_share'])}, {interval(kept['interval'])}); {kept['words']}"
        )
    if "drift" in lost:
        drift = lost["drift"]
        lines.append(
            f"drift on {drift['prompts']} neutral prompts: mean KL {drift['mean_kl']:.3f} nats, the same next token {percent(drift['top1_agreement'])}"
        )
    if "refusals" in lost:
        known = lost["refusals"]["unanswerable"]
        lines.append(
            f"says that it does not know: {known['sft']['refused']} of {known['sft']['n']} unanswerable questions tuned, "
            f"{known['base']['refused']} base; {lost['refusals']['words']}"
        )
    for task, metrics in lost.get("lm_eval", {}).get("sft", {}).items():
        before = lost["lm_eval"]["base"].get(task, {})
        shown = [
            f"{name} {before.get(name, float('nan')):.4g} to {value:.4g}"
            for name, value in metrics.items()
            if "stderr" not in name
        ]
        lines.append(f"lm_eval {task}, base to tuned: {', '.join(shown)}")
    return lines


def summary_lines(report_data: dict) -> list[str]:
    """The lines that report.md begins with and evaluate.py prints last: the result, and how far to trust it."""
    scores, controls = report_data["scores"], report_data["controls"]
    lines = [
        "# Report",
        "",
        f"{report_data['made']['date']}, judged by {cell(report_data['judge'])}, {cell(report_data['made']['machine'])}",
        "",
        f"**{headline(report_data)}**",
        "",
    ]
    if controls and not controls["trusted"]:
        lines += [f"> This judge cannot be trusted: {'; '.join(controls['why'])}.", ""]
    lines += table(["", "correct", "95 % interval", "incorrect", "not attempted", "unscored", "by match"], [
        [MODELS[what], accuracy_cell(s), interval(s["interval"]), s["incorrect"], s["not_attempted"], s["unscored"], percent(s["match"]["accuracy"])]
        for what, s in scores.items()
    ])  # fmt: skip
    lines += breakdown_table(report_data, "by_kind") + breakdown_table(report_data, "by_points")
    lines += ["## Notes", "", *(f"- {note}" for note in notes(report_data)), ""]
    if controls:
        control_lines = judge_controls.describe_controls(controls).splitlines()
        lines += ["## Controls of the judge", "", *(f"- {line}" for line in control_lines), ""]
    return lines


def render_markdown(report_data: dict) -> str:
    """report.md: the summary, the numbers by document and role, and every question learnt, lost or in dispute."""
    lines = (
        summary_lines(report_data)
        + breakdown_table(report_data, "by_document")
        + breakdown_table(report_data, "by_role")
    )
    lines += time_table(report_data.get("timeline"))
    lines += report_days.markdown(report_data.get("days", []), table)
    for title, name in (("Learnt", "learnt"), ("Lost", "lost"), ("Judge and match disagree", "disagree")):
        chosen = [row for row in report_data["questions"] if name in tags(row)]
        if chosen:
            lines += [f"## {title}", ""]
            lines += table(["question", "reference", "base", "tuned"], [
                [row["question"], row["reference"], row["base"]["response"], row["sft"]["response"]] for row in chosen
            ])  # fmt: skip
    return "\n".join(lines)


def breakdown_table(report_data: dict, breakdown: str) -> list[str]:
    """The accuracy of every model in each group of a breakdown, and the win rate if there is one for these groups."""
    scores, names = report_data["scores"], {"by_kind": KINDS, "by_points": POINTS}.get(breakdown, {})
    if not scores["sft"].get(breakdown):  # by_points: only where there are any
        return []
    headers, wins = [MODELS[what] for what in scores], report_data["wins"].get(breakdown)
    rows = [
        [names.get(group, group), *(accuracy_cell(score.get(breakdown, {}).get(group)) for score in scores.values())]
        for group in scores["sft"][breakdown]
    ]
    if wins:
        headers.append("win rate (wins, ties, losses)")
        rows = [[*row, wins_cell(wins[group])] for row, group in zip(rows, scores["sft"][breakdown], strict=True)]
    return [f"## By {BREAKDOWNS[breakdown]}", "", *table(["", *headers], rows)]


def time_table(timeline: dict | None) -> list[str]:
    """The time each stage took and, if the run had a time budget, was given."""
    if not timeline:
        return []
    stages = [
        [stage["name"], *(f"{stage[key] / 60:.1f}" if stage.get(key) else "" for key in ("planned_seconds", "seconds"))]
        for stage in timeline["stages"]
    ]
    budget = timeline["budget_seconds"]
    used_seconds = sum(stage.get("seconds") or 0 for stage in timeline["stages"])
    words = f", {used_seconds / 60:.1f} of {budget / 60:.1f} minutes used" if budget else ""
    return [f"## Time{words}", "", *table(["stage", "minutes planned", "minutes"], stages)]


def tags(row: dict) -> list[str]:
    """The filters of the report that show this question."""
    after, before = row["sft"]["verdict"] == "correct", row["base"]["verdict"] == "correct"
    changed = {(True, False): ["learnt"], (False, True): ["lost"]}.get((after, before), [])
    if row.get("kind") == UNANSWERABLE:  # counted separately everywhere
        changed = []
    scored_answers = [row[what] for what in ("sft", "base") if row[what]["verdict"] != "unscored"]
    disagree = any((answer["verdict"] == "correct") != (answer["match"] == "correct") for answer in scored_answers)
    return changed + ["disagree"] * disagree


def table(headers: list[str], rows: list[list]) -> list[str]:
    """A markdown table that is also readable on a terminal."""
    lines = [[cell(value) for value in line] for line in (headers, *rows)]
    widths = [min(max(3, *map(len, column)), MAX_COLUMN_WIDTH) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines] + [""]


def cell(value: object) -> str:
    """A value for a markdown table: on one line, with all markup escaped."""
    text = " ".join(str(value).split()).replace("\\", "\\\\")
    for mark in "|`*_<[":
        text = text.replace(mark, "\\" + mark)
    return text
