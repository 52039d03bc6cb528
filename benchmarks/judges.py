"""How far string match, and a local judge, agree with external verdicts.

In:  FILE, one JSON object a line: {"question", "gold", "answer", "verdict"}. "gold" is a text, or a list of texts, each of
     which is right; "verdict" is correct or incorrect, true or false, 1 or 0, or a class of SimpleQA (A, B, C, not attempted).
Out: --results, {"n", "share_correct", "match_agreement", "match_kappa", "match_sensitivity", "match_specificity"} and with
     --local_model_path the same for the judge, and its results on the controls. Its verdicts are kept in --journal.

    python benchmarks/judges.py verdicts.jsonl
    python benchmarks/judges.py verdicts.jsonl --local_model_path models/SmolLM2-135M-Instruct --limit 200
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import provenance
from engines.hf import TransformersEngine
from engines.hub import require_model
from engines.journal import weights_stamp
from evaluation import judge_controls
from evaluation.accuracy import judge_answers
from evaluation.judging import UNSCORED, Judge, hash_text
from evaluation.matching import CORRECT, match
from evaluation.significance import cohens_kappa, wilson_interval
from evaluation.tokens import tokens
from evaluation.verdict_journal import VerdictJournal
from utils import InputError, parse_arguments, require_file, run_script, write_json

VERDICTS = dict.fromkeys(("correct", "true", "yes", "right", "1", "a"), True)
VERDICTS |= dict.fromkeys(("incorrect", "false", "no", "wrong", "0", "b", "c", "not attempted"), False)


@dataclass
class Arguments:
    file: str = field(metadata={"help": "The external verdicts, as JSONL; may also be the first argument."})
    local_model_path: str | None = field(default=None, metadata={"help": "A local judge: a folder or a hub name."})
    results: str = field(default="results/judges.json", metadata={"help": "The JSON file to write."})
    journal: str = field(
        default="output/judges.verdicts.jsonl", metadata={"help": "Where the judge's replies are kept for a rerun."}
    )
    controls: int = field(default=20, metadata={"help": "Known cases of each kind given to the judge first; 0: none."})
    limit: int | None = field(default=None, metadata={"help": "The first N lines only."})
    seed: int = 0


def read_rows(path: str, limit: int | None = None) -> list[dict]:
    """The lines of a file, each as {"question", "golds", "answer", "right"}; InputError names the first bad one."""
    rows = []
    lines = require_file(path, "verdicts as JSONL", "give a file").read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {number} of {path}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"expected a JSON object as {where}, found {error.msg}: correct it") from None
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("question", "answer")):
            raise InputError(
                f'expected "question", "gold", "answer" and "verdict" in {where}, found {line[:80]}: add them'
            )
        golds = row.get("gold") if isinstance(row.get("gold"), list) else [row.get("gold")]
        golds = [gold for gold in golds if isinstance(gold, str) and tokens(gold)]
        right = VERDICTS.get(" ".join(str(row.get("verdict")).casefold().replace("_", " ").split()))
        if not golds or right is None:
            key = "verdict" if golds else "gold"
            raise InputError(
                f'expected a known "{key}" in {where}, found {row.get(key)!r}: give one of {", ".join(VERDICTS)}'
            )
        rows.append({"question": row["question"], "golds": golds, "answer": row["answer"], "right": right})
    if not rows:
        raise InputError(f"expected verdicts in {path}, found no line: give another file")
    return rows[:limit]


def agreement(expected: list[bool], found: list[bool]) -> dict:
    """How far verdicts agree with the expected ones; sensitivity is over right answers, specificity over wrong ones."""
    pairs = list(zip(expected, found, strict=True))
    result: dict = {
        "agreement": share(sum(a == b for a, b in pairs), len(pairs)),
        "kappa": cohens_kappa(expected, found),
    }
    for name, side in (("sensitivity", True), ("specificity", False)):
        chosen = [found == side for expected, found in pairs if expected == side]
        result |= {name: share(sum(chosen), len(chosen)), f"{name}_interval": wilson_interval(sum(chosen), len(chosen))}
    return result


def share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def local_judge(arguments: Arguments, rows: list[dict]) -> dict:
    """The verdicts of a local model on the same answers, and on controls made from them."""
    path = arguments.local_model_path
    name = f"{path} #{hash_text(weights_stamp(path))[:8]}"
    judge = Judge(name, TransformersEngine.load(path), VerdictJournal(arguments.journal), seed=arguments.seed)
    answers = [
        {"question": row["question"], "reference": " or ".join(row["golds"]), "response": row["answer"]} for row in rows
    ]
    controls = (
        judge_controls.run_controls(answers, judge, arguments.controls, arguments.seed) if arguments.controls else None
    )
    verdicts = [verdict["verdict"] for verdict in judge_answers(answers, judge)]
    scored = [
        (row["right"], verdict == CORRECT) for row, verdict in zip(rows, verdicts, strict=True) if verdict != UNSCORED
    ]
    found = {"judge": path, "scored": len(scored), "unscored": len(rows) - len(scored)}
    found |= agreement(*map(list, zip(*scored, strict=True))) if scored else {}
    if controls:
        print(judge_controls.describe_controls(controls))
        kept = ("trusted", "why", "sensitivity", "specificity", "kinds")
        found["controls"] = {key: controls[key] for key in kept}
    return found


def main() -> None:
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        sys.argv[1:1] = ["--file"]
    (arguments,) = parse_arguments(Arguments)
    started = time.time()
    rows = read_rows(arguments.file, arguments.limit)
    if arguments.local_model_path:
        require_model(arguments.local_model_path, "a judge")
    expected = [row["right"] for row in rows]
    matched = agreement(
        expected, [any(match(gold, row["answer"], row["question"]) for gold in row["golds"]) for row in rows]
    )
    result = {"file": Path(arguments.file).name, "n": len(rows), "share_correct": share(sum(expected), len(expected))}
    result |= {f"match_{key}": value for key, value in matched.items()}
    lines = [("match", matched)]
    if arguments.local_model_path:
        judged = local_judge(arguments, rows)
        result |= {f"judge_{key}": value for key, value in judged.items() if key not in ("judge", "controls")}
        result |= {"judge": judged["judge"], "judge_controls": judged.get("controls")}
        lines.append((f"{judged['judge']}, {judged['unscored']} unscored", judged))
    result |= {"machine": provenance.machine(), "date": provenance.today(), "commit": provenance.commit()}
    result["seconds"] = round(time.time() - started, 1)
    write_json(arguments.results, result)
    print(f"{len(rows)} answers, {result['share_correct']:.1%} of them correct")
    for name, found in lines:
        shown = ", ".join(f"{key} {found.get(key)}" for key in ("agreement", "kappa", "sensitivity", "specificity"))
        print(f"{name}: {shown}")


if __name__ == "__main__":
    run_script(main)
