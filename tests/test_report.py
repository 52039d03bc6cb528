"""The table and the JSON at the end of a run, and what the reports gather, from small files of the stages."""

from __future__ import annotations

import json
import sys

import pytest
from runs import write_run
from scripted import BASE, SFT

import report
from training.log import write_log
from utils import InputError

RESULT_KEYS = {
    "base", "tuned", "open_book", "reverse_tuned", "retention_before", "retention_after", "minutes_total",
    "minutes_after_install", "peak_gib", "machine", "commit",
}  # fmt: skip


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


@pytest.fixture
def run(tmp_path):
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
        (tmp_path / f"{name}.meta.json").write_text(json.dumps(meta))
    return tmp_path


def start(monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["report.py", *map(str, words)])
    report.main()


def test_the_result_holds_the_shares_and_how_they_were_made(run, monkeypatch, capsys):
    start(monkeypatch, "--data_path", run, "--results", run / "result.json", "--minutes_after_install", 9.5)
    result = json.loads((run / "result.json").read_text())
    assert set(result) >= RESULT_KEYS
    names = ("base", "tuned", "open_book", "reverse_tuned", "retention_before", "retention_after")
    assert [result[name] for name in names] == [0.0, 0.5, 1.0, 1.0, 1.0, 0.5]
    assert result["minutes"] == {"collection": 1.0, "fine-tuning": 1.0, "inference": 5.0, "evaluation": 1.0}
    assert result["minutes_after_install"] == 9.5 and result["minutes_total"] is None
    printed = capsys.readouterr().out
    assert "1/2" in printed and "general knowledge kept" in printed
    assert printed.splitlines()[-1] == f"report: {run / 'report.html'} (open it in a browser), {run / 'report.md'}"
    assert "66.7% (2/3)" in (run / "report.md").read_text() and "<main" in (run / "report.html").read_text()


def test_what_a_report_gathers(run):
    (run / "lora" / "trainer_state.json").write_text(
        json.dumps(
            {
                "log_history": [
                    {"step": 5, "loss": 2.0, "lr": 1},
                    {"step": 5, "eval_loss": 1.5},
                    {"train_runtime": 3},
                    {"step": 6, "loss": float("nan")},
                ]
            }
        )
    )
    found = report.gather(run, "tuned", "base")
    assert list(found["scores"]) == [
        "base",
        "sft",
        "open_book",
    ]  # the open book is scored by match where nobody else did
    assert found["scores"]["open_book"]["accuracy"] == 0.6667
    assert found["loss"] == [{"step": 5, "loss": 2.0}, {"step": 5, "eval_loss": 1.5}]
    assert found["timeline"]["stages"][1] == {"name": "fine-tuning", "seconds": 60}
    assert [row["open_book"]["verdict"] for row in found["questions"]] == ["correct", "correct", "incorrect"]
    stages = [{"name": "collection", "seconds": 50, "planned_seconds": 60}]
    (run / "run.json").write_text(json.dumps({"budget_seconds": 3600, "stages": stages}))
    write_log(run / "lora", {"updates": 1}, [{"step": 1, "loss": 3.0}])
    found = report.gather(run, "tuned", "base")
    assert found["timeline"] == {"budget_seconds": 3600, "stages": stages} and found["loss"] == [
        {"step": 1, "loss": 3.0}
    ]
    report.write_reports(run, found)
    assert "| collection | 1.0 | 0.8 |" in (run / "report.md").read_text()


def test_a_run_without_verdicts_is_told_to_make_them(tmp_path, monkeypatch):
    with pytest.raises(
        InputError, match=r"expected a win rate at .*tuned_win_rate.json, found nothing: run evaluate.py"
    ):
        start(monkeypatch, "--data_path", tmp_path)


def test_an_untrusted_judge_is_named_first(tmp_path):
    write_run(tmp_path, SFT, BASE)
    why = ["only 3 of 20 right answers were called correct (at least 80% is needed)"]
    counts = {"n": 20, "passed": 3, "rate": 0.15, "interval": [0.05, 0.36], "unscored": 0}
    controls = {
        "judge": "m",
        "floor": 0.8,
        "trusted": False,
        "why": why,
        "sensitivity": counts,
        "specificity": counts,
        "kinds": {},
        "items": [{}],
    }
    (tmp_path / "sft_controls.json").write_text(json.dumps(controls))
    found = report.gather(tmp_path, "sft", "base")
    report.write_reports(tmp_path, found)
    assert f"> This judge cannot be trusted: {why[0]}." in (tmp_path / "report.md").read_text()
    assert why[0] in (tmp_path / "report.html").read_text()
