"""The table and the JSON at the end of the quickstart, from small files of the stages."""

from __future__ import annotations

import json
import sys

import pytest
from runs import answers, write_demo_run

from benchmarks import quickstart
from utils import InputError

RESULT_KEYS = {
    "base", "tuned", "open_book", "reverse_tuned", "retention_before", "retention_after", "minutes_total",
    "minutes_after_install", "peak_gib", "machine", "commit",
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    return write_demo_run(tmp_path)


def start(monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["quickstart.py", *map(str, words)])
    quickstart.main()


def test_the_result_holds_the_shares_and_how_they_were_made(run, monkeypatch, capsys):
    (run / "lora" / "log" / "training.meta.json").write_text(json.dumps({"seconds": 60, "peak_gib": 2.5}))
    start(monkeypatch, "--data_path", run, "--results", run / "result.json", "--minutes_after_install", 9.5)
    result = json.loads((run / "result.json").read_text())
    assert set(result) >= RESULT_KEYS
    names = ("base", "tuned", "open_book", "reverse_tuned", "retention_before", "retention_after")
    assert [result[name] for name in names] == [0.0, 0.5, 1.0, 1.0, 1.0, 0.5]
    assert result["minutes"] == {"collection": 1.0, "fine-tuning": 1.0, "inference": 5.0, "evaluation": 1.0}
    assert result["counts"] == {
        "base": "0/2", "tuned": "1/2", "open_book": "2/2", "reverse_base": "0/1", "reverse_tuned": "1/1",
        "reverse_open_book": "0/1", "retention_before": "2/2", "retention_after": "1/2",
    }  # fmt: skip
    assert result["intervals_95"]["tuned"] == [0.0945, 0.9055] and result["dataset"] == {"facts": 3}
    assert result["peak_gib"] == 2.5  # the most of any stage
    assert result["minutes_after_install"] == 9.5 and result["minutes_total"] is None
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines()[1:5]] == [
        ["base", "tuned", "open", "book"],
        ["questions", "0/2", "0%", "1/2", "50%", "2/2", "100%"],
        ["asked", "the", "other", "way", "round", "0/1", "0%", "1/1", "100%", "0/1", "0%"],
        ["general", "knowledge", "kept", "2/2", "100%", "1/2", "50%"],
    ]
    assert "minutes: collection 1.0, fine-tuning 1.0, inference 5.0, evaluation 1.0; peak memory 2.5 GiB" in printed
    assert "minutes after the installation: 9.5, in all: None" in printed
    assert printed.splitlines()[-1] == f"report: {run / 'report.html'} (open it in a browser), {run / 'report.md'}"


def test_questions_of_a_kind_that_nobody_asked_have_no_share(tmp_path):
    (tmp_path / "tuned.json").write_text(json.dumps(answers(True, False, True, kinds="qqr")))
    assert quickstart.count_right(tmp_path, "tuned") == (2, 3)
    assert (quickstart.count_right(tmp_path, "tuned", "qa"), quickstart.count_right(tmp_path, "tuned", "reverse")) == (
        (1, 2),
        (1, 1),
    )
    with pytest.raises(InputError, match=r"expected answers of kind 'unknown' in .*tuned\.json, found none"):
        quickstart.count_right(tmp_path, "tuned", "unknown")
