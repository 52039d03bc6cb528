"""Whether a judge can be trusted: it is tested on cases with a known verdict before the real ones.

A right answer is the reference in another frame, or the whole fact. Wrong answers are of three kinds, counted separately
because judges fail them differently: the answer to another fact, the reference with a number or name altered, and a vague
statement on the topic. An answer compared with itself must be a tie. All cases are made by rule from the questions
themselves, so nobody has to label anything.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from evaluation.judging import ACCURACY, UNSCORED, WIN_RATE, Judge, ask, to_case
from evaluation.matching import CORRECT, UNANSWERABLE, grade, match, needed_points, points_of
from evaluation.significance import wilson_interval
from evaluation.tokens import token_recall

MIN_PASS_RATE = 0.8  # of each kind, to be trusted
RIGHT, OTHER, ALTERED, VAGUE, IDENTICAL = "right", "other fact", "altered", "vague", "identical pair"
WRONG = (OTHER, ALTERED, VAGUE)
FRAMES = ("It was {}.", "The answer is {}.", "{}, as far as I know.", "That would be {}.")
SENTENCE_FRAME = "As far as I know: {}."
SENTENCE_WORDS = 7  # a reference with more words is a sentence of its own
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
MAX_DRAWN_ROWS = 20  # per control of a kind
MAX_SHARED_WORDS = 0.5  # share of words the answer to another fact may have in common with the right one


@dataclass(frozen=True)
class Control:
    """One case whose verdict is known: `kind` is RIGHT, one of WRONG, or IDENTICAL."""

    kind: str
    row: dict
    answer: str


def make_controls(rows: list[dict], per_kind: int, seed: int = 0) -> list[Control]:
    """Up to `per_kind` controls of each kind, from rows drawn without replacement; fewer if the rows do not give enough."""
    usable = [row for row in rows if row.get("kind") != UNANSWERABLE]
    random.Random(seed).shuffle(usable)
    usable = usable[: MAX_DRAWN_ROWS * per_kind]
    controls: list[Control] = []
    for kind in (RIGHT, *WRONG, IDENTICAL):
        count = 0
        for position, row in enumerate(usable):
            if count == per_kind:
                break
            answer = control_answer(kind, row, usable, position)
            if answer:
                controls.append(Control(kind, row, answer))
                count += 1
    return controls


def control_answer(kind: str, row: dict, rows: list[dict], position: int) -> str | None:
    """The answer for a control of this kind to the row's question, or None if none can be made from the row."""
    is_sentence = len(row["reference"].split()) > SENTENCE_WORDS
    frame = SENTENCE_FRAME if is_sentence else FRAMES[position % len(FRAMES)]
    if kind == RIGHT:
        says_it = match(row["reference"], row.get("fact") or "", points=points_of(row))
        fact = row.get("fact") if position % 2 and says_it else None
        return fact or frame.format(row["reference"].strip(" ."))
    if kind == OTHER:
        others = [
            other["reference"] for other in rows[position + 1 :] + rows[:position] if is_another_answer(row, other)
        ]
        similar = [x for x in others if bool(NUMBER.search(x)) == bool(NUMBER.search(row["reference"]))]
        return frame.format((similar or others)[0].strip(" .")) if others else None
    if kind == ALTERED:
        altered = altered_reference(row, rows[position + 1 :] + rows[:position])
        return altered and frame.format(altered.strip(" ."))
    if kind == VAGUE:
        topics = [topic for topic in TOPIC.findall(row["question"]) if not match(row["reference"], topic)]
        return VAGUE_FRAMES[position % len(VAGUE_FRAMES)].format(max(topics, key=len, default="this"))
    return row["response"].strip() or None


def is_another_answer(row: dict, other: dict) -> bool:
    """Whether the other row's reference is a wrong answer to this row's question."""
    known_text = f"{row['reference']} {row.get('fact') or ''}"
    overlaps = (token_recall(row["reference"], other["reference"]), token_recall(other["reference"], known_text))
    return max(overlaps) < MAX_SHARED_WORDS


def altered_reference(row: dict, others: list[dict]) -> str | None:
    """The reference with its first number changed, or else with its last name changed by one from another reference.

    In a long answer only what is in one of its points is changed: no answer needs the rest.
    """
    points = needed_points(points_of(row), row["question"])
    places = [place for point in points for place in re.finditer(re.escape(point), row["reference"], re.IGNORECASE)]

    def counts(found: re.Match) -> bool:
        return not points or any(place.start() <= found.start() < place.end() for place in places)

    reference, known_text = row["reference"], f"{row['reference']} {row.get('fact') or ''} {row['question']}"
    number = next(filter(counts, NUMBER.finditer(reference)), None)
    if number:
        changed = str(int(number[0]) + 1 + 2 * len(number[0])).zfill(len(number[0]))
        return reference[: number.start()] + changed + reference[number.end() :]
    name = next(reversed(list(filter(counts, NAME.finditer(reference)))), None)
    candidates = (other for row in others for other in NAME.findall(row["reference"]))
    other = next((other for other in candidates if other not in known_text and other not in MONTHS), None)
    if name is None or other is None:
        return None
    has_words_before = " " in reference[: name.end()].strip()  # then the name is replaced, else its second half
    changed = other if has_words_before else name[0][: len(name[0]) // 2] + other[len(other) // 2 :]
    return reference[: name.start()] + changed + reference[name.end() :]


def run_controls(rows: list[dict], judge: Judge | None, per_kind: int, seed: int = 0) -> dict:
    """Give the controls to the judge; returns what is written: shares with intervals, and whether to trust the judge.

    "sensitivity" is the share of right answers called correct, "specificity" that of wrong ones called anything else.
    Without a judge, `grade` gives the verdicts, and no pairs are compared.
    """
    controls = make_controls(rows, per_kind, seed)
    single_cases = [control for control in controls if control.kind != IDENTICAL]
    pairs = [control for control in controls if control.kind == IDENTICAL] if judge else []
    if judge:
        judged = ask(judge, ACCURACY, [to_case(c.row, f"control, {c.kind}", answer=c.answer) for c in single_cases])
        cases = [to_case(c.row, "control, identical", answer_A=c.answer, answer_B=c.answer) for c in pairs]
        judged += ask(judge, WIN_RATE, cases) if pairs else []
    else:
        judged = [
            grade(c.row["reference"], c.answer, question=c.row["question"], points=points_of(c.row))
            for c in single_cases
        ]
    items = [
        {"kind": c.kind, "question": c.row["question"], "reference": c.row["reference"], "answer": c.answer,
         "verdict": verdict, "reason": reason, "passed": is_passed(c.kind, verdict)}
        for c, (verdict, reason) in zip(single_cases + pairs, judged, strict=True)
    ]  # fmt: skip

    def count_passed(*kinds: str) -> dict:
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

    kinds = {kind: count_passed(kind) for kind in (*WRONG, *([IDENTICAL] if judge else []))}
    result = {
        "judge": judge.name if judge else "match",
        "floor": MIN_PASS_RATE,
        "sensitivity": count_passed(RIGHT),
        "specificity": count_passed(*WRONG),
        "kinds": kinds,
    }
    why = failed_controls(result) if items else ["no controls were made"]
    return {**result, "trusted": not why, "why": why, "items": items}


def is_passed(kind: str, verdict: str) -> bool:
    return verdict == CORRECT if kind == RIGHT else verdict == "tie" if kind == IDENTICAL else verdict != CORRECT


def failed_controls(result: dict) -> list[str]:
    """Why the judge cannot be trusted: a sentence for each kind below MIN_PASS_RATE; none if it can."""
    failures = {
        RIGHT: "right answers were called correct",
        OTHER: "answers to another fact were found wrong",
        ALTERED: "answers with an altered number or name were found wrong",
        VAGUE: "vague answers were found wrong",
        IDENTICAL: "identical pairs were called a tie",
    }
    tested = {"right": result["sensitivity"]["n"], "wrong": result["specificity"]["n"]}
    why = [f"no control with a {name} answer got a verdict" for name, n in tested.items() if n == 0]
    for kind, counts in {RIGHT: result["sensitivity"], **result["kinds"]}.items():
        if counts["n"] and counts["rate"] < MIN_PASS_RATE:
            why.append(
                f"only {counts['passed']} of {counts['n']} {failures[kind]} (at least {MIN_PASS_RATE:.0%} is needed)"
            )
    return why


def describe_controls(result: dict) -> str:
    """The results of the controls as two lines of text."""

    def line(name: str, counts: dict) -> str:
        if not counts["n"]:
            return f"{name} none"
        low, high = counts["interval"]
        return f"{name} {counts['rate']:.0%} ({counts['passed']}/{counts['n']}, {low:.0%} to {high:.0%})"

    overall = [line("sensitivity", result["sensitivity"]), line("specificity", result["specificity"])]
    kinds = [line(kind, counts) for kind, counts in result["kinds"].items()]
    trust = "passed" if result["trusted"] else "THIS JUDGE CANNOT BE TRUSTED: " + "; ".join(result["why"])
    return f"controls of {result['judge']}: {', '.join(overall)}; {', '.join(kinds)}\n{trust}"
