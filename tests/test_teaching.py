"""What the open-book teacher read is found again if it is of the same; what was left out, and what it cost, is said."""

# ruff: noqa: F811, F401 - fixtures

from __future__ import annotations

import itertools
import logging

import numpy
import pytest
from clocks import endless, running_clock
from open_books import arguments, data, low_bar, model, rows, teach

from training import distillation, teaching
from training.arguments import DataArguments, LoraArguments, ModelArguments, check_arguments
from training.data import SupervisedDataset
from training.taught import FILE, remove_teacher
from training.teaching import make_teacher
from utils import InputError


def test_rows_tokens_and_costs_are_said(teach, caplog, monkeypatch):
    monkeypatch.setattr(teaching, "LEAST_RIGHT", -1e-9)  # now no token is above
    with caplog.at_level(logging.INFO):
        teacher = teach()
    report = teacher.report()
    tokens = sum(map(len, (teacher.examples.records_of(row) for row in range(9))))
    assert (report["rows"], report["rows_without_passage"], report["rows_not_read"]) == (9, 1, 0)
    assert report["tokens"] == report["tokens_below_half"] == tokens and report["tokens_too_long"] == 0
    assert report["file_mb"] == round(tokens * 168 / 1e6, 1) and report["seconds"] > 0 and report["peak_mb"] >= 0
    line = caplog.messages[-1]
    assert (
        line.startswith("teacher: 9 rows with their passages, read in ") and "100% of them plain cross-entropy" in line
    )
    assert line.endswith("; 1 rows have plain cross-entropy")


def count_reads(monkeypatch) -> list[int]:
    counted, original = [], teaching.read
    monkeypatch.setattr(
        teaching, "read", lambda model, reading: counted.append(len(reading.prompts)) or original(model, reading)
    )
    return counted


def test_a_second_start_reads_nothing_and_after_a_kill_only_what_is_missing(teach, monkeypatch, tmp_path, caplog):
    counted = count_reads(monkeypatch)
    path = tmp_path / "lora" / FILE.format(0)
    teach()
    whole = path.read_bytes()
    assert counted == [3, 3, 3]
    with caplog.at_level(logging.INFO):
        again = teach()
    assert counted == [3, 3, 3] and path.read_bytes() == whole and "as read before" in caplog.messages[-1]
    assert again.examples[0]["teacher"]["right"].tolist() == numpy.frombuffer(whole, distillation.RECORD)["right"][
        again.examples._start_of[0] :][: len(again.examples[0]["teacher"])].tolist()  # fmt: skip
    path.write_bytes(whole[: len(whole) * 2 // 3])  # killed in the middle of a passage
    teach()
    assert counted[3:] in ([3], [3, 3]) and path.read_bytes() == whole


@pytest.mark.parametrize("changed", ["answer", "passage", "system prompt", "order"])
def test_other_rows_passages_or_settings_are_read_anew(
    teach, data, tokenizer, model, tiny_model_path, tmp_path, monkeypatch, changed
):
    counted = count_reads(monkeypatch)
    teach()
    given, prompt = rows(), ""
    if changed == "answer":
        given[0]["messages"][1]["content"] = "Ilsabet"
    elif changed == "order":
        given[0], given[3] = given[3], given[0]
    elif changed == "passage":
        path = tmp_path / "data.chunks.jsonl"
        path.write_text(path.read_text().replace("Umbrel", "Umbrol"))
    else:
        prompt = "Be brief."
    examples = SupervisedDataset(given, tokenizer, prompt, 512)
    make_teacher(model, examples, tiny_model_path, data, arguments(tmp_path), endless(tmp_path))
    assert counted == [3] * 6


def test_what_does_not_fit_into_the_time_is_left_out_and_said(teach, tmp_path, caplog, monkeypatch):
    """The first passage is read, and takes longer than a quarter of what is left."""
    late = itertools.chain([0.0, 0.0, 0.0, 0.0], itertools.repeat(1000.0))
    monkeypatch.setattr(teaching.time, "monotonic", lambda: next(late))
    with caplog.at_level(logging.INFO):
        teacher = teach(clock=running_clock(tmp_path, 100.0))
    report = teacher.report()
    assert report["rows"] == 3 and report["rows_not_read"] == 6
    assert "7 rows have plain cross-entropy (6 for lack of time)" in caplog.messages[-1]
    assert sum("teacher" in teacher.examples[index] for index in range(11)) == 3
    monkeypatch.undo()
    counted = count_reads(monkeypatch)
    assert teach().report()["rows"] == 3 and not counted, "a resumed training trains as it began"


def test_a_row_that_is_too_long_for_the_model_is_not_compared(teach, model):
    model.config.max_position_embeddings = 90
    try:
        teacher = teach()
    finally:
        model.config.max_position_embeddings = 8192
    report = teacher.report()
    assert 0 < report["tokens_too_long"] < report["tokens"] and report["rows"] == 9
    assert numpy.isneginf(teacher.examples[8]["teacher"]["right"]).all()
    assert numpy.isfinite(teacher.examples[0]["teacher"]["right"]).all()


def test_without_a_weight_or_a_passage_there_is_no_teacher(teach, tmp_path, caplog):
    assert teach(distill_weight=0.0) is None
    with caplog.at_level(logging.INFO):
        assert teach([row for row in rows() if row["id"] in ("bare", "replayed")]) is None
    assert "found none of 1: plain cross-entropy for all" in caplog.messages[-1]
    assert not (tmp_path / "lora").exists()


def test_the_files_go_at_the_end(teach, tmp_path):
    teach()
    (tmp_path / "lora" / "adapter.bin").write_text("stays")
    assert len(list((tmp_path / "lora").iterdir())) == 3
    remove_teacher(tmp_path / "lora")
    assert [path.name for path in (tmp_path / "lora").iterdir()] == ["adapter.bin"]


@pytest.mark.parametrize(
    ("weight", "init", "found"),
    [
        (1.5, "true", "from 0 to 1, found 1.5"),
        (-0.1, "true", "found -0.1"),
        (0.5, "pissa", "--distill_weight, found one"),
    ],
)
def test_a_weight_that_cannot_be_is_refused(tiny_model_path, tmp_path, weight, init, found):
    given = (
        ModelArguments(tiny_model_path),
        DataArguments("a.json", replay_ratio=0.0),
        LoraArguments(init_lora_weights=init),
    )
    with pytest.raises(InputError, match=found):
        check_arguments(*given, arguments(tmp_path, distill_weight=weight))
