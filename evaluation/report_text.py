"""A run in words: report.md, with whose first lines evaluate.py ends."""

from __future__ import annotations

from evaluation import judge_controls
from evaluation.matching import UNANSWERABLE

MODELS = {"base": "base", "sft": "tuned", "open_book": "open book", "rag": "RAG"}
KINDS = {
    "qa": "forward",
    "reverse": "reverse",
    "held_out_wording": "held-out wording",
    "held_out_fact": "held-out fact",
    "unknown": "unanswerable",
    "retention": "general knowledge",
}
BREAKDOWNS = {"by_kind": "kind of question", "by_document": "document", "by_role": "role"}
MAX_COLUMN_WIDTH = 30  # characters: columns are as wide as what is in them, but for the rest of longer texts


def percent(share: float | None) -> str:
    return "n/a" if share is None else f"{share:.0%}" if share in (0, 1) else f"{share:.1%}"


def interval(bounds: list[float] | None) -> str:
    return "" if not bounds else f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def accuracy_cell(score: dict | None) -> str:
    """ "26.7% (16/60)", and how many have no verdict."""
    if score is None:
        return ""
    scored = score["n"] - score["unscored"]
    return f"{percent(score['accuracy'])} ({score['correct']}/{scored})" + (
        f", {score['unscored']} unscored" if score["unscored"] else ""
    )


def wins_cell(won: dict) -> str:
    """ "50.0% (2, 1, 1)", and how many have no verdict."""
    return f"{percent(won['win_rate'])} ({won['wins']}, {won['ties']}, {won['losses']})" + (
        f", {won['unscored']} unscored" if won["unscored"] else ""
    )


def headline(found: dict) -> str:
    """The result in one sentence."""
    tuned, base, verdict = found["scores"]["sft"], found["scores"]["base"], found["compared"]["mcnemar"]
    text = f"{accuracy_cell(tuned)} of the questions after tuning, {accuracy_cell(base)} before: {verdict['words']}."
    gap = (found["compared"]["gap_closed"] or {}).get("gap_closed")
    return text + (f" That closes {percent(gap)} of the gap to an open book." if gap is not None else "")


def notes(found: dict) -> list[str]:
    """What else there is to say, a line each: match beside the judge, win rate, forgetting, cost."""
    lines, wins = [], found["wins"]
    shift = found["compared"]["mcnemar"]
    if shift.get("interval"):
        lines.append(
            f"difference {shift['difference']:+.1%}, {interval(shift['interval'])} by bootstrap over {shift['facts']} facts"
        )
    gap = found["compared"]["gap_closed"] or {}
    if gap.get("gap_closed") is not None:
        lines.append(
            f"gap closed {percent(gap['gap_closed'])}" + (f", {interval(gap['interval'])}" if gap["interval"] else "")
        )
    for what, score in found["scores"].items():
        beside = score["match"]
        if score["judge"] != "match" and beside["agreement"] is not None:
            lines.append(
                f"{MODELS[what]}: match {percent(beside['accuracy'])} ({beside['correct']}/{beside['n']}), agrees with the "
                f"judge on {percent(beside['agreement'])}, {len(beside['disagreements'])} disagreements"
            )
        if score["not_attempted"]:
            lines.append(
                f"{MODELS[what]}: {score['not_attempted']} not attempted; of the attempted {percent(score['attempted_accuracy'])} correct"
            )
    lines.append(
        f"win rate {percent(wins['win_rate'])}: {wins['words']}; {wins['ties']} ties, {wins['unscored']} unscored"
    )
    lines.append(
        f"score with ties as half {percent(wins['score'])}, length-adjusted {percent(wins['length_adjusted'])}; mean length "
        f"{wins['mean_length_sft']:.0f} characters tuned, {wins['mean_length_base']:.0f} base; the longer answer won {percent(wins['longer_wins'])}"
    )
    if wins["flip_rate"] is not None:
        lines.append(
            f"the order changed {percent(wins['flip_rate'])} of the verdicts; the first answer was chosen {percent(wins['first_seat'])} of the time"
        )
    lines += forgetting_lines(found["forgetting"])
    usage = found["usage"]
    if usage:
        cost = "" if usage["cost"] is None else f", cost {usage['cost']:.4f}"
        lines.append(
            f"judge: {usage['asked']} calls, {usage['from_journal']} from the journal; {usage['prompt_tokens']} tokens read, "
            f"{usage['completion_tokens']} written{cost}"
        )
    return lines


def forgetting_lines(lost: dict) -> list[str]:
    """What was forgotten, a line for each measurement that was made."""
    lines = []
    if "retention" in lost:
        kept = lost["retention"]
        lines.append(
            f"general questions kept: {kept['kept']} of {kept['known_before']} ({percent(kept['kept_share'])}, {interval(kept['interval'])}); {kept['words']}"
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


def summary_lines(found: dict) -> list[str]:
    """The lines that report.md begins with and evaluate.py ends with: what came of it, and how far to trust that."""
    scores, controls = found["scores"], found["controls"]
    lines = [
        "# Report",
        "",
        f"{found['made']['date']}, judged by {cell(found['judge'])}, {cell(found['made']['machine'])}",
        "",
        f"**{headline(found)}**",
        "",
    ]
    if controls and not controls["trusted"]:
        lines += [f"> This judge cannot be trusted: {'; '.join(controls['why'])}.", ""]
    lines += table(["", "correct", "95 % interval", "incorrect", "not attempted", "unscored", "by match"], [
        [MODELS[what], accuracy_cell(s), interval(s["interval"]), s["incorrect"], s["not_attempted"], s["unscored"], percent(s["match"]["accuracy"])]
        for what, s in scores.items()
    ])  # fmt: skip
    lines += breakdown_table(found, "by_kind")
    lines += ["## Notes", "", *(f"- {note}" for note in notes(found)), ""]
    if controls:
        said = judge_controls.describe_controls(controls).splitlines()
        lines += ["## Controls of the judge", "", *(f"- {line}" for line in said), ""]
    return lines


def render_markdown(found: dict) -> str:
    """report.md: the head, the numbers of each document and role, and every question whose answer changed sides."""
    lines = summary_lines(found) + breakdown_table(found, "by_document") + breakdown_table(found, "by_role")
    lines += time_table(found.get("timeline"))
    for title, name in (("Learnt", "learnt"), ("Lost", "lost"), ("Judge and match disagree", "disagree")):
        chosen = [row for row in found["questions"] if name in tags(row)]
        if chosen:
            lines += [f"## {title}", ""]
            lines += table(["question", "reference", "base", "tuned"], [
                [row["question"], row["reference"], row["base"]["response"], row["sft"]["response"]] for row in chosen
            ])  # fmt: skip
    return "\n".join(lines)


def breakdown_table(found: dict, breakdown: str) -> list[str]:
    """The accuracy of every model in each group of a breakdown, and the win rate where it was counted by these groups."""
    scores, names = found["scores"], {"by_kind": KINDS}.get(breakdown, {})
    if not scores["sft"][breakdown]:
        return []
    heads, wins = [MODELS[what] for what in scores], found["wins"].get(breakdown)
    rows = [
        [names.get(group, group), *(accuracy_cell(score[breakdown].get(group)) for score in scores.values())]
        for group in scores["sft"][breakdown]
    ]
    if wins:
        heads.append("win rate (wins, ties, losses)")
        rows = [[*row, wins_cell(wins[group])] for row, group in zip(rows, scores["sft"][breakdown], strict=True)]
    return [f"## By {BREAKDOWNS[breakdown]}", "", *table(["", *heads], rows)]


def time_table(timeline: dict | None) -> list[str]:
    """What each stage took, and what it was given where the run had a time budget."""
    if not timeline:
        return []
    stages = [
        [stage["name"], *(f"{stage[key] / 60:.1f}" if stage.get(key) else "" for key in ("planned_seconds", "seconds"))]
        for stage in timeline["stages"]
    ]
    budget = timeline["budget_seconds"]
    used = sum(stage.get("seconds") or 0 for stage in timeline["stages"])
    words = f", {used / 60:.1f} of {budget / 60:.1f} minutes used" if budget else ""
    return [f"## Time{words}", "", *table(["stage", "minutes planned", "minutes"], stages)]


def tags(row: dict) -> list[str]:
    """Which filters of the report a question passes."""
    after, before = row["sft"]["verdict"] == "correct", row["base"]["verdict"] == "correct"
    changed = {(True, False): ["learnt"], (False, True): ["lost"]}.get((after, before), [])
    if row.get("kind") == UNANSWERABLE:  # counted apart everywhere
        changed = []
    both = [row[what] for what in ("sft", "base") if row[what]["verdict"] != "unscored"]
    disagree = any((answer["verdict"] == "correct") != (answer["match"] == "correct") for answer in both)
    return changed + ["disagree"] * disagree


def table(heads: list[str], rows: list[list]) -> list[str]:
    """A table of markdown that is one on a terminal too."""
    lines = [[cell(value) for value in line] for line in (heads, *rows)]
    widths = [min(max(3, *map(len, column)), MAX_COLUMN_WIDTH) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines] + [""]


def cell(value: object) -> str:
    """A value inside a table of markdown: on one line, and nothing in it is markup."""
    text = " ".join(str(value).split()).replace("\\", "\\\\")
    for mark in "|`*_<[":
        text = text.replace(mark, "\\" + mark)
    return text
