"""The files that evaluate.py leaves, by match, made without a command line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from budget.reports import AskingTime, CollectionTime
from evaluation import accuracy, win_rate
from utils import log_file, write_json


def write_run(folder: Path, sft: list[dict], base: list[dict], names: tuple[str, str] = ("sft", "base")) -> None:
    verdicts = []
    for name, rows in zip(names, (sft, base), strict=True):
        verdicts.append(accuracy.judge_answers(rows, None))
        beside = {"judge": "match", "match": accuracy.score_match(rows, verdicts[-1])}
        (folder / f"{name}_acc.json").write_text(json.dumps({**beside, **accuracy.measure(rows, verdicts[-1])}))
    wins = accuracy.measure(sft, win_rate.judge_pairs(sft, base, None), win_rate.summarize)
    compared = {"judge": "match", "mcnemar": accuracy.compare(sft, *verdicts)}
    (folder / f"{names[0]}_win_rate.json").write_text(json.dumps({**compared, **wins}))


def answers(*right: bool, kinds: str = "") -> list[dict]:
    kinds = kinds or "q" * len(right)
    return [
        {
            "question": f"{n}?",
            "reference": "Ann Pellow",
            "response": "Ann Pellow" if ok else "no",
            "kind": {"q": "qa", "r": "reverse"}[k],
        }
        for n, (ok, k) in enumerate(zip(right, kinds, strict=True))
    ]


def write_demo_run(tmp_path: Path) -> Path:
    """A finished run of the demo: answers, verdicts, metas and the adapter's log."""
    files = {
        "base": answers(False, False, False, kinds="qqr"),
        "tuned": answers(True, False, True, kinds="qqr"),
        "open_book": answers(True, True, False, kinds="qqr"),
        "retention_base": answers(True, True),
        "retention_tuned": answers(True, False),
    }
    (tmp_path / "lora").mkdir()
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    write_run(tmp_path, files["tuned"], files["base"], names=("tuned", "base"))
    for name in (*files, "data", "lora/training", "tuned_win_rate", "tuned_forgetting"):
        meta = {"seconds": 60, "peak_gib": 1.5, "counts": {"facts": 3}}
        write_json(log_file(tmp_path / f"{name}.meta.json"), meta)
    return tmp_path


def collection_time(**changed) -> dict:
    """What a collection of 10 units, all read, reports about its time in its meta file."""
    fields = {field.name: 0 for field in dataclasses.fields(CollectionTime)}
    return {**fields, "units": 10, "units_done": 10, "share_read": 1.0, "seconds_to_start": 90.0, **changed}


def asking_time(**changed) -> dict:
    """What a model reports that was asked 60 questions and had time for 40."""
    report = AskingTime(seconds=100.0, seconds_to_start=4.0, seconds_a_question=0.5, questions=60, left_out=20)
    return {**dataclasses.asdict(report), **changed}
