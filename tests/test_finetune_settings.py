"""What finetune.py decides before it trains: what is read, what a resumed run must share, what was left open."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import transformers

import finetune
from finetune import read_rows
from training.arguments import (
    KL_WEIGHT,
    REPLAY_RATIO,
    DataArguments,
    LoraArguments,
    ModelArguments,
    TrainingArguments,
    check_arguments,
)
from training.checkpoints import Checkpoints
from training.clock import TrainingClock
from training.log import LogFile, ProgressLines
from training.recall import Recall
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


@pytest.mark.parametrize("lazy", [False, True])
def test_rows_without_ids_are_held_out_one_by_one(tmp_path, lazy):
    data = DataArguments(
        write(tmp_path, "data.json", [{"messages": row["messages"]} for row in rows(4)]),
        lazy_preprocess=lazy, validation=True, validation_size=1,
    )  # fmt: skip
    train, held_out, *_ = read_rows(data, 0)
    assert (len(train), len(held_out)) == (3, 1)
    assert sorted(ids(train) + ids(held_out)) == ["row_0", "row_1", "row_2", "row_3"]


def test_what_says_nothing_is_refused_by_name_before_a_training_and_left_to_the_doctor(tmp_path):
    empty = {
        **rows(1)[0],
        "id": "empty",
        "messages": [{"role": "user", "content": "When?"}, {"role": "assistant", "content": ""}],
    }
    good, bad = write(tmp_path, "good.json", rows(2)), write(tmp_path, "bad.json", [*rows(2), empty])
    for name in ("data_path", "eval_data_path", "recall_data_path", "retention_data_path"):
        data = DataArguments(**{"data_path": good, name: bad})
        with pytest.raises(InputError, match=r"bad\.json, found rows without: the answer is empty in 1, such as empty"):
            read_rows(data, 0)
    assert len(read_rows(DataArguments(bad, check_only=True), 0).train) == 3
    unknown = write(tmp_path, "unknown.json", [{**empty, "kind": "unknown"}])
    assert ids(read_rows(DataArguments(good, recall_data_path=unknown), 0).questions) == ["empty"]


def test_questions_beside_json_lines_are_found_and_may_be_bare(tmp_path):
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows(2))))
    (tmp_path / "data.test.jsonl").write_text('{"question": "Who?", "reference": "Ann"}\n')
    assert ids(read_rows(DataArguments(str(tmp_path / "data.jsonl")), 0).questions) == ["row_0"]


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
    given, asked = [], []

    class Asked(finetune.Trainer):
        def train(self, **options):
            given.append(self)
            raise KeyboardInterrupt

    def replayed(model, prompts, count, epochs, journal, seed):
        asked.append((model.name, model.system_prompt, model.on_cpu, count, epochs, seed))
        return [{**row, "kind": "replay"} for row in rows(count, "replay_")]

    monkeypatch.setattr(finetune, "Trainer", Asked)
    monkeypatch.setattr(finetune, "replay_examples", replayed)
    monkeypatch.setattr("training.trainer.measure_peak_flops", lambda *_: 1e9)
    of_the_base = [{**row, "kind": "replay"} for row in rows(5, "base_")]  # which are replayed already
    data, held_out = (
        write(tmp_path, "data.json", rows(10) + of_the_base),
        write(tmp_path, "eval.json", rows(2, "held_")),
    )
    words = (
        f"--model_name_or_path {smallest_model_path} --data_path {data} --eval_data_path {held_out} --use_cpu True --seed 7 "
        f"--output_dir {tmp_path / 'lora'} --kl_weight 0.5 --replay_ratio 0.2 --max_tokens_per_batch 90 --lora_r 4 "
        "--system_prompt Brief. --save_total_limit 3 --save_minutes 2"
    )
    monkeypatch.setattr(sys, "argv", ["finetune.py", *words.split()])
    with pytest.raises(KeyboardInterrupt):
        finetune.main()
    assert asked == [(smallest_model_path, "Brief.", True, 2, 3.0, 7)]
    (trainer,) = given
    assert (trainer.args.kl_weight, trainer.args.max_tokens_per_batch, trainer.peak_flops) == (0.5, 90, 1e9)
    assert [example["replay"] for example in trainer.train_dataset] == [False] * 10 + [True] * 7
    assert len(trainer.eval_dataset) == 2 and trainer.args.eval_strategy == "epoch" and trainer.data_collator.padded
    (saving,) = (callback for callback in trainer.callback_handler.callbacks if isinstance(callback, Checkpoints))
    assert (saving.minutes, saving.keep, saving.settings["kl_weight"]) == (2.0, 3, 0.5)
    assert trainer.args.save_total_limit is None, "the Trainer would remove an old one before the new one is whole"
    assert trainer.model.peft_config["default"].r == 4


@pytest.mark.parametrize(
    ("lora", "replay_ratio", "asked", "found"),
    [
        ({}, REPLAY_RATIO, None, KL_WEIGHT),
        ({}, REPLAY_RATIO, 0.0, 0.0),
        ({}, REPLAY_RATIO, 5.0, 5.0),
        ({}, 0.0, None, 0.0),
        ({"use_lora": False}, REPLAY_RATIO, None, 0.0),
        ({"init_lora_weights": "pissa"}, REPLAY_RATIO, None, 0.0),
    ],
    ids=["default", "none asked for", "another", "nothing replayed", "all weights trained", "base weights changed"],
)
def test_the_model_is_held_near_the_base_unless_asked_otherwise_or_there_is_none(
    smallest_model_path, tmp_path, lora, replay_ratio, asked, found
):
    training = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, kl_weight=asked)
    data = DataArguments("data.json", replay_ratio=replay_ratio)
    check_arguments(ModelArguments(smallest_model_path), data, LoraArguments(**lora), training)
    assert training.kl_weight == found and DataArguments("data.json").replay_ratio == REPLAY_RATIO


def test_a_time_budget_reaches_the_trainer_and_what_is_done_meanwhile_comes_in_order(
    smallest_model_path, tmp_path, monkeypatch
):
    given = []

    class Asked(finetune.Trainer):
        def train(self, **options):
            given.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(finetune, "Trainer", Asked)
    monkeypatch.setattr(finetune, "seconds_to_save", lambda _: 6.0)
    monkeypatch.setattr("training.trainer.measure_peak_flops", lambda *_: 1e9)
    data, general = write(tmp_path, "data.json", rows(10)), write(tmp_path, "general.json", rows(2))
    words = (
        f"--model_name_or_path {smallest_model_path} --data_path {data} --retention_data_path {general} --use_cpu True "
        f"--output_dir {tmp_path / 'lora'} --replay_ratio 0 --time_budget 1h"
    )
    monkeypatch.setattr(sys, "argv", ["finetune.py", *words.split()])
    with pytest.raises(KeyboardInterrupt):
        finetune.main()
    (trainer,) = given
    own = [one for one in trainer.callback_handler.callbacks if type(one).__module__.startswith("training.")]
    assert [type(one) for one in own] == [ProgressLines, LogFile, TrainingClock, Recall, Checkpoints]
    lines, _, pace, recall, saving = own
    assert trainer.clock is lines.clock is pace and pace.recall is recall and recall.trainer is trainer
    assert saving.minutes == 5.0, "saving takes 6 seconds, and at most a fiftieth of the time; else it were 0.6"
    assert pace.finish > 6.0


def test_the_trainer_removes_no_checkpoint_itself(tmp_path):
    """It would remove an old one before the new one is whole."""
    given = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, save_total_limit=3)
    assert (given.save_total_limit, given.kept_checkpoints) == (None, 3)
