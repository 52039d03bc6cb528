"""benchmarks/judges.py on verdicts made by rule from the demo's questions; no file from outside."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import judges as benchmark
from data_processor.dataset import question_and_reference
from evaluation import judge_controls
from utils import InputError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def given() -> list[dict]:
    """Right answers in five wordings, one of them short of the reference, and the controls' wrong ones."""
    rows = []
    for row in json.loads((ROOT / "demo" / "questions.json").read_text()):
        question, reference = question_and_reference(row)
        rows.append({**row, "question": question, "reference": reference, "response": reference})
    wordings = (
        lambda row: f"It was {row['reference']}.",
        lambda row: row["fact"],
        lambda row: row["reference"].upper(),
        lambda row: row["reference"].split()[-1],
        lambda row: f"{row['reference']}, and nobody else says otherwise",
    )
    lines = [(row, wordings[place % len(wordings)](row), "correct") for place, row in enumerate(rows)]
    wrong = [c for c in judge_controls.make_controls(rows, 20) if c.kind in judge_controls.WRONG]
    lines += [(c.row, c.answer, "incorrect") for c in wrong]
    return [
        {"question": row["question"], "gold": row["reference"], "answer": text, "verdict": verdict}
        for row, text, verdict in lines
    ]


def start(monkeypatch, folder: Path, rows: list[dict], *words: str) -> dict:
    (folder / "v.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    monkeypatch.setattr(
        sys, "argv", ["judges.py", str(folder / "v.jsonl"), "--results", str(folder / "r.json"), *words]
    )
    benchmark.main()
    return json.loads((folder / "r.json").read_text())


def test_match_against_verdicts_from_outside(tmp_path, monkeypatch, given, capsys):
    result = start(monkeypatch, tmp_path, given)
    assert (result["n"], result["share_correct"]) == (120, 0.5)
    assert result["match_kappa"] >= 0.7 and 0.85 <= result["match_agreement"] < 1
    assert result["match_specificity"] == 1 and result["match_sensitivity"] < 1
    assert "120 answers, 50.0% of them correct" in capsys.readouterr().out
    assert start(monkeypatch, tmp_path, given, "--limit", "60")["n"] == 60


def test_forms_of_verdicts_and_golds(tmp_path, monkeypatch):
    right = [True, 1, "1", "Correct", "CORRECT", "A", "yes"]
    wrong = [False, 0, "incorrect", "not_attempted", "Not attempted", "B", "c", "no"]
    rows = [
        {"question": "q", "gold": ["x", "ann pellow"], "answer": "It is Ann Pellow.", "verdict": form} for form in right
    ]
    rows += [{"question": "q", "gold": "ann pellow", "answer": "Bob", "verdict": form} for form in wrong]
    result = start(monkeypatch, tmp_path, rows)
    assert (result["match_agreement"], result["match_kappa"], result["n"]) == (1.0, 1.0, 15)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "expected a JSON object as line 2"),
        ("[]", 'expected "question", "gold"'),
        ('{"question": "q", "gold": "g", "verdict": 1}', 'expected "question", "gold"'),
        ('{"question": "q", "gold": "?", "answer": "a", "verdict": 1}', 'expected a known "gold" in line 2'),
        (
            '{"question": "q", "gold": "g", "answer": "a", "verdict": "maybe"}',
            'expected a known "verdict" in line 2 .*maybe',
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, words):
    good = '{"question": "q", "gold": "g", "answer": "a", "verdict": "correct"}'
    (tmp_path / "v.jsonl").write_text(f"{good}\n{line}\n")
    with pytest.raises(InputError, match=words):
        benchmark.read_rows(tmp_path / "v.jsonl")


def test_the_local_judge_on_the_real_model(tmp_path, monkeypatch, given, model_path, engine):
    # the same model, loaded once for all tests
    monkeypatch.setattr("engines.hf.TransformersEngine.load", lambda path: engine)
    rows = [given[0], given[-1]]
    words = ("--local_model_path", model_path, "--controls", "0", "--journal", str(tmp_path / "j.jsonl"))
    result = start(monkeypatch, tmp_path, rows, *words)
    assert result["judge_scored"] + result["judge_unscored"] == 2
    lines = (tmp_path / "j.jsonl").read_text().splitlines()
    assert len(lines) >= 2 and all('"verdict"' in json.loads(line)["text"] for line in lines)
    assert start(monkeypatch, tmp_path, rows, *words)["judge_agreement"] == result["judge_agreement"]
    assert (tmp_path / "j.jsonl").read_text().splitlines() == lines
