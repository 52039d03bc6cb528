"""The arguments of the collection, and its estimate. No model."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from clocks import endless
from generators import ReadingEngine

from data_processor.arguments import CollectionArguments, check_arguments
from data_processor.chunking import Chunk
from data_processor.collection import collect
from data_processor.estimate import pick_sample
from engines.chat import Reply
from utils import InputError, MostlyFailed

DEMO = Path(__file__).resolve().parents[1] / "demo" / "documents"


def test_a_language_without_a_prompt_file_is_rejected():
    check_arguments(CollectionArguments(data_path=str(DEMO), language="zh"))
    with pytest.raises(InputError, match=r"one of auto, en, zh, found it: .*prompts/it\.toml"):
        check_arguments(CollectionArguments(data_path=str(DEMO), language="it"))


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


class RefusingEngine(ReadingEngine):
    """Refuses the prompts that hold one of some words."""

    def __init__(self, *words: str):
        self.words = words

    def chat(self, conversations, *, on_reply=None, **options):
        replies = super().chat(conversations, on_reply=lambda *_: None, **options)
        for index, messages in enumerate(conversations):
            if any(word in messages[-1]["content"] for word in self.words):
                replies[index] = Reply("", finish_reason="error", error="status 400, content_filter: filtered")
            on_reply(index, replies[index])
        return replies


@pytest.mark.parametrize(
    ("guard", "refused", "failed"),
    [
        ("quotes", ("Orla Venn",), False),
        ("words", ("Orla Venn",), False),
        ("quotes", ("Tell all", "Write in"), True),
        ("words", ("Sentence: ", "Ask a question", "Write these facts"), True),
        ("quotes", ("",), True),
    ],
)
def test_a_refused_prompt_is_counted_and_most_of_them_are_a_failure_of_the_run(
    tmp_path, caplog, guard, refused, failed
):
    (tmp_path / "texts").mkdir()
    text = "The Hexley bridge was opened on 3 May 2031. It cost 48 million euros. {} built it in Hexley."
    for file, name in (("a.txt", "Orla Venn"), ("b.txt", "Nils Berg"), ("c.txt", "Ida Holm")):
        (tmp_path / "texts" / file).write_text(text.replace("Hexley", f"Hexley {file[0]}").format(name))
    arguments = CollectionArguments(
        data_path=str(tmp_path / "texts"),
        json_save_dir=str(tmp_path / "out" / "data.json"),
        tokenizer="tiktoken:gpt-4o",
        role_amount_per_fact=0,
        guard=guard,
    )
    given = (RefusingEngine(*refused), arguments.tokenizer, check_arguments(arguments), arguments, endless(tmp_path))
    with caplog.at_level(logging.WARNING):
        if failed:
            with pytest.raises(MostlyFailed, match=r"calls failed: \d+ status 400, content_filter \(filtered\)"):
                collect(*given)
        else:
            collect(*given)
    assert "content_filter (filtered); the next run will ask them again" in caplog.text
    if refused == ("",):
        assert not (tmp_path / "out" / "data.json").exists()
        return
    assert (tmp_path / "out" / "data.json").is_file()  # what there is, is written
    chunks = [json.loads(line) for line in (tmp_path / "out" / "data.chunks.jsonl").read_text().splitlines()]
    assert [(chunk["id"], chunk["file_name"], chunk["chunk"]) for chunk in chunks][:1] == [("a.txt#0", "a.txt", 0)]
    assert chunks[0]["text"].endswith("Orla Venn built it in Hexley a.") and len(chunks) == 3


@pytest.mark.parametrize("own", [False, True])
def test_without_a_test_share_the_test_questions_of_an_earlier_run_go_and_ones_own_stay(tmp_path, caplog, own):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(
        "The Hexley bridge was opened on 3 May 2031. Orla Venn built it in Hexley."
    )
    path = tmp_path / "data.test.json"
    for ratio in (0.5, 0.0):
        arguments = CollectionArguments(
            data_path=str(tmp_path / "texts"), json_save_dir=str(tmp_path / "data.json"), tokenizer="tiktoken:gpt-4o",
            test_ratio=ratio,
        )  # fmt: skip
        with caplog.at_level(logging.INFO):
            collect(ReadingEngine(), arguments.tokenizer, check_arguments(arguments), arguments, endless(tmp_path))
        if ratio:
            assert json.loads(path.read_text()) and f"removed {path}" not in caplog.text
            if own:
                path.write_text('[{"question": "Who opened it?", "reference": "Orla Venn"}]')
    assert path.exists() is own and (f"removed {path}" in caplog.text) is not own


def test_a_small_model_is_asked_neither_to_judge_nor_in_roles():
    with pytest.raises(InputError, match="expected --verify rules with --guard words"):
        check_arguments(CollectionArguments(data_path=str(DEMO), guard="words", verify="llm"))
    arguments = CollectionArguments(data_path=str(DEMO), guard="words")
    check_arguments(arguments)
    assert arguments.role_amount_per_fact == 0, "nor to ask in roles"
