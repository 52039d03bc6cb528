"""What finetune.py decides before it trains: what is read, what a resumed run must share, what was left open."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import transformers

import finetune
from finetune import keeps_states, make_recall, read_rows, resume_settings, set_pace, settle
from training.arguments import DataArguments, LoraArguments, ModelArguments
from training.row_file import RowFile
from utils import InputError


def rows(count: int, prefix: str = "") -> list[dict]:
    turns = [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "9 March"}]
    return [{"id": f"{prefix}{n}", "messages": turns, "fact": f"{prefix}{n // 2}"} for n in range(count)]


def write(folder, name: str, found: list[dict]) -> str:
    (folder / name).write_text(json.dumps(found))
    return str(folder / name)


def ids(found) -> list[str]:
    return [row["id"] for row in found]


@pytest.mark.parametrize("lazy", [False, True])
def test_what_is_trained_held_out_and_asked(tmp_path, lazy):
    data = DataArguments(write(tmp_path, "data.json", rows(10)), lazy_preprocess=lazy)
    train, held_out, questions, general = read_rows(data, 0)
    assert ids(train) == [str(n) for n in range(10)] and isinstance(train, RowFile) == lazy
    assert not held_out and questions == general == []
    train, held_out, *_ = read_rows(replace(data, validation=True, validation_size=3, limit=8), 0)
    assert len(held_out) == 4 and sorted(ids(train) + ids(held_out)) == [str(n) for n in range(8)]
    assert ids(read_rows(replace(data, validation=True, validation_size=3), 0)[1]) != ids(
        read_rows(replace(data, validation=True, validation_size=3), 2)[1]
    ), "by the seed"
    given = replace(data, validation=True, eval_data_path=write(tmp_path, "eval.json", rows(2, "held_")))
    train, held_out, *_ = read_rows(given, 0)
    assert (len(train), ids(held_out)) == (10, ["held_0", "held_1"]), "the dataset stays whole"


def test_questions_beside_the_dataset_are_asked_unless_others_are_given(tmp_path):
    data = DataArguments(write(tmp_path, "data.json", rows(2)))
    write(tmp_path, "data.test.json", rows(1, "beside_"))
    assert ids(read_rows(data, 0)[2]) == ["beside_0"]
    given = replace(
        data,
        recall_data_path=write(tmp_path, "a.json", rows(1, "given_")),
        retention_data_path=write(tmp_path, "b.json", rows(1, "general_")),
    )
    assert [ids(found) for found in read_rows(given, 0)[2:]] == [["given_0"], ["general_0"]]


def training(**changed) -> SimpleNamespace:
    return SimpleNamespace(**{
        "world_size": 1, "num_train_epochs": 3.0, "max_steps": -1, "learning_rate": 1e-3, "kl_weight": 0.0, "seed": 42,
        "update_tokens": 0, "gradient_accumulation_steps": 2, "max_tokens_per_batch": None, "per_device_train_batch_size": 4,
        "deepspeed": None, "padding_free": False, "torch_compile": False, "gradient_checkpointing": False,
        "keep_frozen_states": True, "early_stopping": None, "device": torch.device("cpu"), "attention": "sdpa", **changed,
    })  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        {"model": ModelArguments("other")}, {"lora": LoraArguments(use_lora=False)}, {"lora": LoraArguments(lora_r=8)},
        {"lora": LoraArguments(lora_target_modules=["q_proj"])}, {"lora": LoraArguments(q_lora=True)}, {"count": 9},
        {"text": "other"}, {"data": {"system_prompt": "Be brief."}}, {"data": {"replay_ratio": 0.2}},
        *({"training": {name: 7}} for name in (
            "world_size", "num_train_epochs", "max_steps", "learning_rate", "kl_weight", "seed", "update_tokens",
            "gradient_accumulation_steps", "max_tokens_per_batch", "per_device_train_batch_size",
        )),
    ],
    ids=str,
)  # fmt: skip
def test_a_resumed_run_must_share_all_that_decides_on_the_weights(tmp_path, other):
    path = tmp_path / "data.json"

    def settings(model=None, lora=None, data=None, training_=None, count=10, text="data") -> dict:
        path.write_text(text)
        return resume_settings(
            model or ModelArguments("m"), DataArguments(str(path), **(data or {})), lora or LoraArguments(),
            training(**(training_ or {})), range(count),
        )  # fmt: skip

    changed = {"training_" if name == "training" else name: value for name, value in other.items()}
    assert settings() == settings() != settings(**changed)


def test_how_an_update_is_cut_into_batches_may_change_on_a_resume(tmp_path):
    (tmp_path / "data.json").write_text("data")
    given = (ModelArguments("m"), DataArguments(str(tmp_path / "data.json")), LoraArguments())
    first, second = (
        resume_settings(*given, training(gradient_accumulation_steps=steps, per_device_train_batch_size=size), range(3))
        for steps, size in ((2, 4), (8, 1))
    )
    assert first == second and first["size of an update"] == 8


@pytest.mark.parametrize(
    ("given", "rank", "rate"),
    [
        ({}, 32, 1.3e-3),  # for a width of 576
        ({"use_lora": False}, 32, 1.3e-4),
        ({"lora_r": 4}, 4, 1.3e-3),
    ],
    ids=["lora", "all weights", "a rank that is given"],
)
def test_what_is_left_open_is_decided_and_what_is_given_stays(tmp_path, model_path, given, rank, rate):
    lora, own = LoraArguments(**given), training(learning_rate=None, padding_free=None, output_dir=str(tmp_path))
    own = SimpleNamespace(**vars(own), counts_tokens=True, use_liger_kernel=False)
    settle(model_path, lora, own, 1001, [100, 300])
    assert (lora.lora_r, own.learning_rate) == (rank, pytest.approx(rate))
    assert own.update_tokens == 512 and own.dataloader_pin_memory is own.remove_unused_columns is False
    kept = SimpleNamespace(**{**vars(own), "learning_rate": 7.0})
    settle(model_path, lora, kept, 1001, [100, 300])
    assert kept.learning_rate == 7.0


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, True), ({"keep_frozen_states": False}, False), ({"world_size": 2}, False), ({"deepspeed": "a.json"}, False),
        ({"padding_free": True}, False), ({"torch_compile": True}, False), ({"gradient_checkpointing": True}, False),
    ],
    ids=str,
)  # fmt: skip
def test_states_are_kept_where_one_process_runs_the_layers_as_they_are(changed, kept):
    assert keeps_states(training(**changed), DataArguments("a.json")) == kept
    assert not keeps_states(training(**changed), DataArguments("a.json", lazy_preprocess=True))


def test_questions_are_asked_where_there_are_any_and_they_can_be(tmp_path):
    data = DataArguments("a.json", system_prompt="Be brief.")
    asked = make_recall(rows(3), rows(2), data, LoraArguments(), training(early_stopping=4))
    assert (asked.patience, asked.system_prompt) == (4, "Be brief.")
    assert [len(asked.sets[name]) for name in ("recall", "retention")] == [3, 2]
    assert make_recall([], [], data, LoraArguments(), training()) is None
    assert make_recall(rows(3), [], data, LoraArguments(use_lora=False), training()) is None
    assert make_recall([], rows(2), data, LoraArguments(), training(early_stopping=4)), "general ones are enough"
    with pytest.raises(InputError, match="found neither"):
        make_recall([], [], data, LoraArguments(), training(early_stopping=4))


@pytest.mark.parametrize(
    ("clock", "minutes", "resume", "expected"),
    [
        (SimpleNamespace(limited=False), 0.0, None, (0.0, None)),
        (SimpleNamespace(limited=True, seconds=6000), 0.0, None, (1.0, "auto")),  # a hundredth of the time
        (SimpleNamespace(limited=True, seconds=6000), 5.0, "here", (5.0, "here")),
    ],
)
def test_with_a_budget_a_run_saves_now_and_then_and_goes_on(clock, minutes, resume, expected):
    own = SimpleNamespace(save_minutes=minutes, resume_from_checkpoint=resume)
    set_pace(clock, own)
    assert (own.save_minutes, own.resume_from_checkpoint) == expected


@pytest.fixture
def smallest_model_path(tokenizer, tmp_path) -> str:
    """One layer of width 8, which says nothing."""
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_what_is_asked_for_reaches_the_trainer(smallest_model_path, tmp_path, monkeypatch):
    given, asked = {}, []

    def trainer(**options):
        given.update(options)
        raise KeyboardInterrupt

    def replayed(model, prompts, count, journal, seed):
        asked.append((model.name, model.system_prompt, model.on_cpu, count, journal, seed))
        return [{**row, "kind": "replay"} for row in rows(count, "replay_")]

    monkeypatch.setattr(finetune, "Trainer", trainer)
    monkeypatch.setattr(finetune, "replay_examples", replayed)
    monkeypatch.setattr(finetune, "measured_peak_flops", lambda *_: 1e9)
    data, held_out = write(tmp_path, "data.json", rows(10)), write(tmp_path, "eval.json", rows(2, "held_"))
    words = (
        f"--model_name_or_path {smallest_model_path} --data_path {data} --eval_data_path {held_out} --use_cpu True --seed 7 "
        f"--output_dir {tmp_path / 'lora'} --kl_weight 0.5 --replay_ratio 0.2 --max_tokens_per_batch 90 --lora_r 4 "
        "--system_prompt Brief. --save_total_limit 3 --save_minutes 2"
    )
    monkeypatch.setattr(sys, "argv", ["finetune.py", *words.split()])
    with pytest.raises(KeyboardInterrupt):
        finetune.main()
    journal = tmp_path / "lora" / "log" / "replay.journal.jsonl"
    assert asked == [(smallest_model_path, "Brief.", True, 2, journal, 7)]
    assert (given["kl_weight"], given["max_tokens_per_batch"], given["peak_flops"]) == (0.5, 90, 1e9)
    assert [example["replay"] for example in given["train_dataset"]] == [False] * 10 + [True] * 2
    assert len(given["eval_dataset"]) == 2 and given["args"].eval_strategy == "epoch" and given["data_collator"].padded
    (saving,) = (callback for callback in given["callbacks"] if isinstance(callback, finetune.Checkpoints))
    assert (saving.minutes, saving.keep, saving.settings["kl_weight"]) == (2.0, 3, 0.5)
    assert given["args"].save_total_limit is None, "the Trainer would remove an old one before the new one is whole"
    assert given["model"].peft_config["default"].r == 4
