"""The table and the JSON at the end of a run, from small files of the stages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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


def test_the_result_holds_the_shares_and_how_they_were_made(tmp_path):
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
    for name in (*files, "data", "lora/training", "tuned_win_rate", "retention_tuned_win_rate"):
        (tmp_path / f"{name}.meta.json").write_text(
            json.dumps({"seconds": 60, "peak_gib": 1.5, "counts": {"facts": 3}})
        )

    results = tmp_path / "result.json"
    command = [
        sys.executable,
        "report.py",
        "--data_path",
        tmp_path,
        "--results",
        results,
        "--minutes_after_install",
        "9.5",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(results.read_text())
    assert set(result) >= RESULT_KEYS
    shares = [
        result[name] for name in ("base", "tuned", "open_book", "reverse_tuned", "retention_before", "retention_after")
    ]
    assert shares == [0.0, 0.5, 1.0, 1.0, 1.0, 0.5]
    assert result["minutes"] == {"collection": 1.0, "fine-tuning": 1.0, "inference": 5.0, "evaluation": 2.0}
    assert result["minutes_after_install"] == 9.5 and result["minutes_total"] is None
    assert "1/2" in done.stdout and "general knowledge kept" in done.stdout
