"""What is reported of a run: numbers by name, each when it changes, and a training's log, each entry once."""

from __future__ import annotations

import json
import logging
import os
from types import SimpleNamespace

import pytest

from budget import watcher
from budget.clock import timestamp
from budget.watched_numbers import (
    ChangedFiles,
    GrowingJournals,
    numbers_of_meta,
    numbers_of_progress,
    numbers_of_time,
    read_entries,
)
from budget.watcher import Order, Report, find_deadline
from budget.watching import open_run, read_state
from training.log import LogFile
from utils import log_file, write_json

COLLECTED = {
    "made_by": "data_collection_api.py", "arguments": {"seed": 0}, "seconds": 60.0, "commit": "0123", "model": "m",
    "counts": {"chunks": 4, "facts": 9, "rows": {"qa": 5, "reverse": 2, "passage": 3}},
    "dropped": {"facts: near copy": 2, "read: speaks to a language model: kept as text, not read": 1},
    "tokens": {"prompt": 500, "completion": 30}, "calls": {"asked": 12, "from_journal": 1},
}  # fmt: skip
SCORED = {
    "made_by": "evaluate.py", "judge": "match", "n": 17, "correct": 3, "accuracy": 0.1765, "interval": [0.06, 0.41],
    "f_score": None, "judge_failed": None, "by_kind": {"qa": {"n": 17}}, "usage": {"asked": 3}, "trusted": True,
}  # fmt: skip


def test_the_yield_of_a_collection(tmp_path):
    assert numbers_of_meta(tmp_path / "mine.meta.json", COLLECTED) == {
        "collection/seconds": 60.0, "collection/chunks": 4, "collection/facts": 9, "collection/rows/qa": 5,
        "collection/rows/reverse": 2, "collection/rows/passage": 3, "collection/questions": 7,
        "collection/dropped/facts_near_copy": 2,
        "collection/dropped/read_speaks_to_a_language_model_kept_as_text_not_read": 1, "collection/dropped_in_all": 3,
        "collection/tokens/prompt": 500, "collection/tokens/completion": 30, "collection/calls/asked": 12,
        "collection/calls/from_journal": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "group"),
    [
        ("tuned_acc", "scores/tuned"),
        ("retention_base_acc", "scores/retention_base"),
        ("tuned_win_rate", "scores/win_rate"),
        ("tuned_forgetting", "scores/forgetting"),
        ("tuned_controls", "scores/controls"),
    ],
)
def test_scores_have_their_intervals(tmp_path, file, group):
    assert numbers_of_meta(tmp_path / f"{file}.meta.json", SCORED) == {
        f"{group}/n": 17, f"{group}/correct": 3, f"{group}/accuracy": 0.1765, f"{group}/interval/low": 0.06,
        f"{group}/interval/high": 0.41,
    }  # fmt: skip


def test_answers_go_by_the_name_of_their_file_and_what_is_no_stage_is_left_out(tmp_path):
    meta = {"made_by": "inference.py", "counts": {"asked": 17}, "loss": float("nan")}
    assert numbers_of_meta(tmp_path / "retention_base.meta.json", meta) == {"answers/retention_base/asked": 17}
    assert numbers_of_meta(tmp_path / "export.meta.json", {**meta, "made_by": "export.py"}) == {}
    assert numbers_of_meta(tmp_path / "lm_eval.meta.json", {**meta, "made_by": "evaluate.py"}) == {
        "scores/lm_eval/asked": 17
    }


def test_the_time_planned_for_and_taken_by_each_stage_and_what_is_left():
    stages = [
        {"name": "collection", "planned_seconds": 18.0, "seconds": 12.5},
        {"name": "inference, base", "planned_seconds": 10},
    ]
    run = {"stages": stages, "etas": [{"at": 5, "end": 70.0}, {"at": 10, "end": 66.0}]}
    assert numbers_of_time(run, 100.0, 88.0) == {
        "budget/collection/planned_seconds": 18.0, "budget/collection/seconds": 12.5,
        "budget/inference_base/planned_seconds": 10, "budget/seconds_left": 12.0, "budget/expected_seconds": 66.0,
    }  # fmt: skip
    assert numbers_of_time({"stages": []}, 100.0, 103.0) == {"budget/seconds_left": 0.0}
    assert numbers_of_time({"stages": [], "seconds": 31.0}, None, 0.0) == {"budget/seconds": 31.0}
    assert numbers_of_progress({"stage": "inference, base", "done": 0.25}) == {"budget/inference_base/done": 0.25}


def test_the_deadline_is_that_of_the_run_or_of_the_stage_that_is_at_work():
    ended, working = {"deadline": timestamp(1000), "seconds": 3}, {"deadline": timestamp(2000)}
    assert find_deadline({"stages": [ended, working]}) == 2000
    assert find_deadline({"deadline": timestamp(3000), "stages": [{"name": "collection"}]}) == 3000
    assert find_deadline({"deadline": timestamp(3000), "ended": timestamp(2900), "stages": [ended]}) is None


def test_replies_are_counted_while_a_stage_is_asking(tmp_path):
    path, reply = tmp_path / "data.journal.jsonl", {"text": "t", "prompt_tokens": 10, "completion_tokens": 3}
    line = json.dumps({"hash 1": reply, "hash 2": reply}) + "\n"
    path.write_text(line + line[:20])
    journals = GrowingJournals(since=0)
    expected = {"received": 2, "prompt_tokens": 20, "completion_tokens": 6}
    assert journals.read(path) == {f"replies/data/{name}": value for name, value in expected.items()}
    path.write_text(line)  # what a kill cut off is removed when the stage starts again
    assert journals.read(path) == {}
    path.write_text(line + line)
    assert journals.read(path)["replies/data/received"] == 4
    os.utime(path, (100, 100))
    assert GrowingJournals(since=200).read(path) == {}, "of an earlier run"
    assert journals.read(tmp_path / "gone.journal.jsonl") == {}


def test_a_file_is_read_when_it_has_changed_since_the_run_began(tmp_path):
    path = tmp_path / "data.meta.json"
    files = ChangedFiles(since=100)
    assert files.read(path) is None
    for moment, content, found in ((50, '{"a": 0}', None), (150, '{"a": 1}', {"a": 1}), (150, '{"a": 2}', None)):
        path.write_text(content)
        os.utime(path, (moment, moment))
        assert files.read(path) == found
    for moment, content, found in ((160, '{"a"', None), (160, '{"a": 3}', {"a": 3}), (170, "[]", None)):
        path.write_text(content)
        os.utime(path, (moment, moment))
        assert files.read(path) == found


class Recorder:
    """Keeps what is written; fails at a number that it is told."""

    def __init__(self, run, fails_at: str = ""):
        self.written, self.described, self.closed, self.fails_at = [], {}, False, fails_at

    def write(self, numbers, step, when):
        if self.fails_at in numbers:
            raise BrokenPipeError("the service has gone\nwith more words")
        self.written.append((numbers, step))

    def describe(self, name, arguments):
        self.described[name] = arguments

    def close(self):
        self.closed = True


@pytest.fixture
def reported(tmp_path, monkeypatch):
    """The reporting on a run that began at 1000 s; its training writes into lora."""
    monkeypatch.setattr(watcher, "WRITERS", {"wandb": Recorder, "tensorboard": Recorder})
    monkeypatch.setattr(watcher, "time", SimpleNamespace(time=lambda: 1060.0))
    order = Order(str(tmp_path), ["wandb", "tensorboard"], str(tmp_path / "lora"), 1000.0, True, 1)
    return lambda: Report(open_run(tmp_path, 1000.0, True), order)


def written(report: Report, name: str = "wandb") -> list:
    return report.writers[name].written


def write_entries(tmp_path, first: float, *steps: int) -> None:
    path = log_file(tmp_path / "lora" / "train_log.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [{"time": first + place, "train/global_step": step} for place, step in enumerate(steps)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_a_number_is_reported_when_it_changes_also_by_the_next_process(reported, tmp_path):
    report, path = reported(), log_file(tmp_path / "data.meta.json")
    report.once()
    assert written(report) == [], "nothing yet"
    write_json(path, {"made_by": "inference.py", "counts": {"asked": 3, "failed": 0}, "arguments": {"limit": 3}})
    report.once()
    report.once()
    assert (
        written(report) == [({"answers/data/asked": 3, "answers/data/failed": 0}, 60)] == written(report, "tensorboard")
    )
    assert report.writers["wandb"].described == {"data": {"limit": 3}}
    again = reported()
    write_json(path, {"made_by": "inference.py", "counts": {"asked": 4, "failed": 0}})
    again.once()
    assert written(again) == [({"answers/data/asked": 4}, 60)]
    assert read_state(tmp_path).reported == {"answers/data/asked": 4, "answers/data/failed": 0}


def test_an_entry_of_the_training_is_reported_once_and_those_of_a_new_training_too(reported, tmp_path):
    write_entries(tmp_path, 990.0, 1)
    report = reported()
    report.once()
    assert written(report) == [], "from before the run"
    write_entries(tmp_path, 1010.0, 1, 2, 3)
    report.once()
    assert [step for _, step in written(report)] == [1, 2, 3]
    write_entries(tmp_path, 1010.0, 1, 2)  # resumed from a checkpoint
    again = reported()
    again.once()
    write_entries(tmp_path, 1010.0, 1, 2, 3, 4)
    again.once()
    assert [step for _, step in written(again)] == [4]
    write_entries(tmp_path, 1030.0, 1)
    again.once()
    assert written(again)[-1] == ({"train/global_step": 1}, 1)


def test_one_that_fails_is_left_out_and_the_other_goes_on(reported, tmp_path, monkeypatch, caplog):
    report = reported()
    report.writers["wandb"].fails_at = "answers/data/asked"
    for asked in (3, 4):
        write_json(log_file(tmp_path / "data.meta.json"), {"made_by": "inference.py", "counts": {"asked": asked}})
        with caplog.at_level(logging.WARNING):
            report.once()
    report.call("close")
    assert caplog.messages == ["wandb: BrokenPipeError: the service has gone; the run goes on without it"]
    assert list(report.writers) == ["tensorboard"] and report.writers["tensorboard"].closed
    assert [numbers["answers/data/asked"] for numbers, _ in written(report, "tensorboard")] == [3, 4]


def test_one_that_does_not_start_is_left_out(reported, monkeypatch, caplog):
    def fail(run):
        raise ImportError

    monkeypatch.setitem(watcher.WRITERS, "tensorboard", fail)
    with caplog.at_level(logging.WARNING):
        report = reported()
    assert list(report.writers) == ["wandb"]
    assert caplog.messages == ["tensorboard: ImportError: ImportError; the run goes on without it"]


def test_a_long_run_is_read_less_often(reported, tmp_path):
    report = reported()
    assert report.seconds_between_reads() == 5.0
    write_json(tmp_path / "run.json", {"deadline": timestamp(1000 + 24 * 3600), "stages": []})
    report.once()
    assert report.seconds_between_reads() == pytest.approx(86.4)
    assert written(report) == [({"budget/seconds_left": 86340.0}, 60)]


def test_a_training_appends_its_log_and_a_resumed_one_takes_back_what_came_after(tmp_path):
    arguments, path = SimpleNamespace(output_dir=str(tmp_path)), log_file(tmp_path / "train_log.jsonl")

    def state(step: int, main: bool = True) -> SimpleNamespace:
        return SimpleNamespace(global_step=step, is_world_process_zero=main)

    other = LogFile()
    other.on_train_begin(arguments, state(0, main=False), None)
    other.on_log(arguments, state(10, main=False), None, logs={"loss": 9.0})
    assert not path.exists(), "one rank writes"
    lines = LogFile()
    for begin in (0, 20, 0):
        lines.on_train_begin(arguments, state(begin), None)
        assert [entry["train/global_step"] for entry in read_entries(path)] == [10, 20, 20][: 3 if begin else 0]
        lines.on_log(arguments, state(10 + begin), None, logs={"loss": 2.0})
        lines.on_log(arguments, state(20 + begin), None, logs={"loss": 1.0, "recall": 0.5})
        lines.on_log(arguments, state(20 + begin), None, logs={"eval_loss": 1.5})
        lines.on_log(arguments, state(30 + begin), None, logs=None)
    last, validated = read_entries(path)[-2:]
    assert (last["train/loss"], last["train/recall"], validated["eval/loss"]) == (1.0, 0.5, 1.5)
    with path.open("a") as file:
        file.write('{"time": 1')  # being written
    assert len(read_entries(path)) == 3
