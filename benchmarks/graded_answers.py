"""How far string match agrees with answers graded by hand or by a strong model, in any language; part of benchmarks/inputs.py.

In:  FILEs, each a JSON list of {"question", "reference", "response", "correct": bool, "part", "unanswerable": bool,
     "points"}, the last three if there are any.
Out: for each, printed: {"n", "agreement", "kappa", "sensitivity", "specificity"} with 95 % intervals of the last two.

    python benchmarks/graded_answers.py de.json zh.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.judges import agreement
from evaluation.matching import CORRECT, UNANSWERABLE, grade
from utils import InputError, read_json, run_script

KEYS = {"question": str, "reference": str, "response": str, "correct": bool}


def measure(path: str | Path, part: str | None = "report") -> dict:
    """How string match agrees with the graded answers of a file, of one `part` of it or, with None, of all.

    InputError if an answer lacks a key, or if there is none of the part.
    """
    rows = [row for row in read_json(path, "graded answers") if part is None or row.get("part", part) == part]
    for number, row in enumerate(rows):
        missing = [key for key, kind in KEYS.items() if not isinstance(row.get(key), kind)]
        if missing:
            raise InputError(f"expected {', '.join(KEYS)} in answer {number} of {path}, found no {missing[0]}: add it")
    if not rows:
        raise InputError(f"expected graded answers of the part {part!r} in {path}, found none: give another file")
    found = [
        grade(
            row["reference"],
            row["response"],
            UNANSWERABLE if row.get("unanswerable") else None,
            row["question"],
            points=row.get("points") or (),
        )[0]
        for row in rows
    ]
    return {"n": len(rows), **agreement([row["correct"] for row in rows], [verdict == CORRECT for verdict in found])}


def main() -> None:
    if len(sys.argv) < 2:
        raise InputError("expected files of graded answers, found none: give one or more")
    for path in sys.argv[1:]:
        print(json.dumps({Path(path).stem: measure(path)}))


if __name__ == "__main__":
    run_script(main)
