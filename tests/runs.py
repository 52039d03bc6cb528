"""The files that evaluate.py leaves, by match, made without a command line."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation import accuracy, win_rate


def write_run(folder: Path, sft: list[dict], base: list[dict], names: tuple[str, str] = ("sft", "base")) -> None:
    verdicts = []
    for name, rows in zip(names, (sft, base), strict=True):
        verdicts.append(accuracy.judge_answers(rows, None))
        beside = {"judge": "match", "match": accuracy.beside_match(rows, verdicts[-1])}
        (folder / f"{name}_acc.json").write_text(json.dumps({**beside, **accuracy.measure(rows, verdicts[-1])}))
    wins = accuracy.measure(sft, win_rate.judge_pairs(sft, base, None), win_rate.summarize)
    compared = {"judge": "match", "mcnemar": accuracy.compare(sft, *verdicts)}
    (folder / f"{names[0]}_win_rate.json").write_text(json.dumps({**compared, **wins}))
