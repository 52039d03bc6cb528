"""Whether a judge can be trusted: cases whose verdict is known are put to it before the real ones.

Known right is the reference in another frame, or the whole fact. Known wrong are three kinds, counted apart because
judges fail them differently: the answer of another fact, the reference with a number or name altered, and a vague
statement on the topic. An answer compared with itself must be a tie. Everything is made by rule from the questions
themselves, so it costs nobody's labels.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from evaluation.judging import ACCURACY, UNSCORED, WIN_RATE, Judge, ask, to_case
from evaluation.matching import CORRECT, UNANSWERABLE, grade, match, token_recall
from evaluation.significance import wilson_interval

FLOOR = 0.8  # the least share of each kind that a judge must get right to be trusted
RIGHT, OTHER, ALTERED, VAGUE, IDENTICAL = "right", "other fact", "altered", "vague", "identical pair"
WRONG = (OTHER, ALTERED, VAGUE)
FRAMES = ("It was {}.", "The answer is {}.", "{}, as far as I know.", "That would be {}.")
SENTENCE_FRAME = "As far as I know: {}."
SENTENCE_WORDS = 7  # a reference with more is a sentence of its own
VAGUE_FRAMES = (
    "There are several accounts of {}, and it depends on how one looks at it.",
    "{} has been discussed by many people over the years, in this respect too.",
    "With {} it happened much as one would expect, and a number of people were involved.",
    "Various sources describe {}, and the details differ from one to the other.",
)
TOPIC = re.compile(r"(?<=\w )[A-Z][\w'-]*(?: (?:of |the )*[A-Z0-9][\w'.-]*)*")  # a name inside a question
MONTHS = "January February March April May June July August September October November December".split()
NAME = re.compile(r"(?<!\w)[A-Z][\w'-]{2,}")
NUMBER = re.compile(r"\d+")
DRAWN = 20  # rows looked at for each control of a kind
DIFFERENT = 0.5  # share of its words that the answer of another fact may have in common with the right one


@dataclass(frozen=True)
class Control:
    """One case with its known class: `kind` is RIGHT, one of WRONG, or IDENTICAL."""

    kind: str
    row: dict
    answer: str


def make_controls(rows: list[dict], per_kind: int, seed: int = 0) -> list[Control]:
    """Up to `per_kind` controls of each kind, from rows drawn without replacement; fewer where the rows give fewer."""
    usable = [row for row in rows if row.get("kind") != UNANSWERABLE]
    random.Random(seed).shuffle(usable)
    usable = usable[: DRAWN * per_kind]
    controls: list[Control] = []
    for kind in (RIGHT, *WRONG, IDENTICAL):
        made = 0
        for place, row in enumerate(usable):
            if made == per_kind:
                break
            answer = answer_of(kind, row, usable, place)
            if answer:
                controls.append(Control(kind, row, answer))
                made += 1
    return controls


def answer_of(kind: str, row: dict, rows: list[dict], place: int) -> str | None:
    """The answer of a control of this kind to the row's question, or None where the row gives none."""
    whole = len(row["reference"].split()) > SENTENCE_WORDS
    frame = SENTENCE_FRAME if whole else FRAMES[place % len(FRAMES)]
    if kind == RIGHT:
        told = row.get("fact") if place % 2 and match(row["reference"], row.get("fact") or "") else None
        return told or frame.format(row["reference"].strip(" ."))
    if kind == OTHER:
        others = [other["reference"] for other in rows[place + 1 :] + rows[:place] if is_another_answer(row, other)]
        alike = [x for x in others if bool(NUMBER.search(x)) == bool(NUMBER.search(row["reference"]))]
        return frame.format((alike or others)[0].strip(" .")) if others else None
    if kind == ALTERED:
        altered = alter(row, rows[place + 1 :] + rows[:place])
        return altered and frame.format(altered.strip(" ."))
    if kind == VAGUE:
        topics = [topic for topic in TOPIC.findall(row["question"]) if not match(row["reference"], topic)]
        return VAGUE_FRAMES[place % len(VAGUE_FRAMES)].format(max(topics, key=len, default="this"))
    return row["response"].strip() or None


def is_another_answer(row: dict, other: dict) -> bool:
    """Whether the other row's reference is a wrong answer to this row's question."""
    known = f"{row['reference']} {row.get('fact') or ''}"
    shared = (token_recall(row["reference"], other["reference"]), token_recall(other["reference"], known))
    return max(shared) < DIFFERENT


def alter(row: dict, others: list[dict]) -> str | None:
    """The reference with its first number changed, else with the end of its last name taken from another reference."""
    reference, known = row["reference"], f"{row['reference']} {row.get('fact') or ''} {row['question']}"
    number = NUMBER.search(reference)
    if number:
        changed = str(int(number[0]) + 1 + 2 * len(number[0])).zfill(len(number[0]))
        return reference[: number.start()] + changed + reference[number.end() :]
    name = next(reversed(list(NAME.finditer(reference))), None)
    found = (other for row in others for other in NAME.findall(row["reference"]))
    other = next((other for other in found if other not in known and other not in MONTHS), None)
    if name is None or other is None:
        return None
    whole = " " in reference[: name.end()].strip()  # of two names the last is replaced, of one its second half
    changed = other if whole else name[0][: len(name[0]) // 2] + other[len(other) // 2 :]
    return reference[: name.start()] + changed + reference[name.end() :]


def run_controls(rows: list[dict], judge: Judge | None, per_kind: int, seed: int = 0) -> dict:
    """Put the controls to the judge; returns what is written: shares with intervals, and whether to trust it.

    "sensitivity" is the share of right answers called correct, "specificity" of wrong ones called something else.
    Without a judge, `grade` gives the verdicts; it compares no pairs.
    """
    controls = make_controls(rows, per_kind, seed)
    single = [control for control in controls if control.kind != IDENTICAL]
    pairs = [control for control in controls if control.kind == IDENTICAL] if judge else []
    if judge:
        judged = ask(judge, ACCURACY, [to_case(c.row, f"control, {c.kind}", answer=c.answer) for c in single])
        cases = [to_case(c.row, "control, identical", answer_A=c.answer, answer_B=c.answer) for c in pairs]
        judged += ask(judge, WIN_RATE, cases) if pairs else []
    else:
        judged = [grade(c.row["reference"], c.answer) for c in single]
    items = [
        {"kind": c.kind, "question": c.row["question"], "reference": c.row["reference"], "answer": c.answer,
         "verdict": verdict, "reason": reason, "passed": passes(c.kind, verdict)}
        for c, (verdict, reason) in zip(single + pairs, judged, strict=True)
    ]  # fmt: skip

    def counted(*kinds: str) -> dict:
        passed = [item["passed"] for item in items if item["kind"] in kinds and item["verdict"] != UNSCORED]
        rate = round(sum(passed) / len(passed), 4) if passed else None
        unscored = sum(item["kind"] in kinds and item["verdict"] == UNSCORED for item in items)
        return {
            "n": len(passed),
            "passed": sum(passed),
            "rate": rate,
            "interval": wilson_interval(sum(passed), len(passed)),
            "unscored": unscored,
        }

    kinds = {kind: counted(kind) for kind in (*WRONG, *([IDENTICAL] if judge else []))}
    result = {
        "judge": judge.name if judge else "match",
        "floor": FLOOR,
        "sensitivity": counted(RIGHT),
        "specificity": counted(*WRONG),
        "kinds": kinds,
    }
    why = reasons(result) if items else ["no controls were made"]
    return {**result, "trusted": not why, "why": why, "items": items}


def passes(kind: str, verdict: str) -> bool:
    return verdict == CORRECT if kind == RIGHT else verdict == "tie" if kind == IDENTICAL else verdict != CORRECT


def reasons(result: dict) -> list[str]:
    """Why the judge cannot be trusted, a sentence for each kind under the floor; none where it can."""
    failures = {
        RIGHT: "right answers were called correct",
        OTHER: "answers of another fact were found wrong",
        ALTERED: "answers with an altered number or name were found wrong",
        VAGUE: "vague answers were found wrong",
        IDENTICAL: "identical pairs were called a tie",
    }
    tested = {"right": result["sensitivity"]["n"], "wrong": result["specificity"]["n"]}
    why = [f"no control with a {name} answer got a verdict" for name, n in tested.items() if n == 0]
    for kind, counts in {RIGHT: result["sensitivity"], **result["kinds"]}.items():
        if counts["n"] and counts["rate"] < FLOOR:
            why.append(f"only {counts['passed']} of {counts['n']} {failures[kind]} (at least {FLOOR:.0%} is needed)")
    return why


def in_words(result: dict) -> str:
    """The controls as lines of text."""

    def line(name: str, counts: dict) -> str:
        if not counts["n"]:
            return f"{name} none"
        low, high = counts["interval"]
        return f"{name} {counts['rate']:.0%} ({counts['passed']}/{counts['n']}, {low:.0%} to {high:.0%})"

    overall = [line("sensitivity", result["sensitivity"]), line("specificity", result["specificity"])]
    kinds = [line(kind, counts) for kind, counts in result["kinds"].items()]
    trust = "passed" if result["trusted"] else "THIS JUDGE CANNOT BE TRUSTED: " + "; ".join(result["why"])
    return f"controls of {result['judge']}: {', '.join(overall)}; {', '.join(kinds)}\n{trust}"
