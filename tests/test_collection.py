"""The arguments of the collection, and its estimate. No model."""

from __future__ import annotations

from pathlib import Path

import pytest
from clocks import endless
from generators import ReadingEngine

from data_processor.chunking import Chunk
from data_processor.collection import CollectionArguments, check_arguments, collect
from data_processor.estimate import pick_sample
from utils import InputError

DEMO = Path(__file__).resolve().parents[1] / "demo" / "documents"


def test_a_language_without_a_prompt_file_is_rejected():
    check_arguments(CollectionArguments(data_path=str(DEMO), language="zh"))
    with pytest.raises(InputError, match=r"one of auto, en, zh, found de: .*prompts/de\.toml"):
        check_arguments(CollectionArguments(data_path=str(DEMO), language="de"))


def test_an_estimate_samples_from_the_first_chunk_to_the_last():
    chunks = [Chunk("a.txt", n, 0, 1, "x", "") for n in range(100)]
    assert [chunk.number for chunk in pick_sample(chunks)] == [0, 25, 50, 74, 99]
    assert pick_sample(chunks[:1]) == chunks[:1]


def test_a_dry_run_estimates_the_whole_run_and_writes_nothing(tmp_path, capsys):
    arguments = CollectionArguments(
        data_path=str(DEMO),
        json_save_dir=str(tmp_path / "data.json"),
        chunk_size_by_token=256,
        tokenizer="tiktoken:gpt-4o",
        dry_run=True,
    )
    collect(ReadingEngine(), arguments.tokenizer, check_arguments(arguments), arguments, endless(tmp_path))
    assert "2 of 14 chunks measured. The whole run: about " in capsys.readouterr().out and not list(tmp_path.iterdir())
