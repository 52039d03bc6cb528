"""Which checkpoint is whole, which are kept, and when one is asked for; tests/test_recall_and_log.py has it by the clock."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_recall_and_log import checkpoint
from trainings import training
from transformers.integrations import HfDeepSpeedConfig

from training.arguments import DataArguments, LoraArguments, ModelArguments, TrainingArguments
from training.checkpoints import (
    BEFORE,
    Checkpoints,
    newest_checkpoint,
    remove_old_checkpoints,
    require_checkpoint,
    resume_point,
    resume_settings,
    seconds_to_save,
    why_incomplete,
)
from utils import InputError


def args(folder, **changed):
    return SimpleNamespace(**{"world_size": 1, "process_index": 0, "output_dir": str(folder), **changed})


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda folder: (folder / "global" / "rank_0.pt").unlink(), "global/rank_0.pt has no bytes of 3"),
        (lambda folder: (folder / "global" / "rank_0.pt").write_bytes(b"1234"), "global/rank_0.pt has 4 bytes of 3"),
        (lambda folder: (folder / "whole.json").write_text('{"si'), "no whole.json"),
        (lambda folder: (folder / "whole.json").write_text("{}"), "no whole.json"),
    ],
    ids=["a file is gone", "a file is longer", "the mark is cut", "the mark says nothing"],
)
def test_a_torn_checkpoint_says_what_it_lacks_and_is_not_used(tmp_path, harm, reason):
    folder = checkpoint(tmp_path, 2, whole=False)
    (folder / "global").mkdir()
    (folder / "global" / "rank_0.pt").write_bytes(b"123")
    saving = Checkpoints(0, None, {"seed": 1})
    saving.on_save(args(tmp_path), SimpleNamespace(global_step=2, best_model_checkpoint=None), None)
    assert why_incomplete(folder) is None and newest_checkpoint(tmp_path, {"seed": 1})[0] == str(folder)
    harm(folder)
    assert reason in why_incomplete(folder) and newest_checkpoint(tmp_path, {"seed": 1}) is None


def test_a_saved_checkpoint_knows_its_step_its_settings_and_the_time_before_a_resume(tmp_path):
    checkpoint(tmp_path, 3, whole=False)
    saving = Checkpoints(0, None, {"seed": 1}, elapsed=100.0)
    saving.on_save(args(tmp_path), SimpleNamespace(global_step=3, best_model_checkpoint=None), None)
    mark = json.loads((tmp_path / "checkpoint-3" / "whole.json").read_text())
    assert (mark["step"], mark["settings"], mark["sizes"]) == (3, {"seed": 1}, {"optimizer.pt": 3})
    assert 100 <= mark["elapsed"] < 160 and newest_checkpoint(tmp_path, {"seed": 1})[1] == mark["elapsed"]


def test_a_training_that_goes_on_from_nothing_has_just_begun(monkeypatch):
    monkeypatch.setattr("training.checkpoints.time.monotonic", lambda: 7.0)
    assert (Checkpoints(0, None, {}).elapsed, Checkpoints(0, None, {}, elapsed=100.0).elapsed) == (0.0, 100.0)


@pytest.mark.parametrize(
    ("keep", "best", "left"),
    [
        (None, None, [4, 5]),
        (1, None, [5]),
        (3, None, [3, 4, 5]),
        (5, None, [2, 3, 4, 5]),
        (1, "/x/checkpoint-3", [3, 5]),
    ],
)
def test_a_saved_checkpoint_replaces_the_oldest(tmp_path, keep, best, left):
    for step in (2, 3, 4):
        checkpoint(tmp_path, step)
    checkpoint(tmp_path, 5, whole=False)
    Checkpoints(0, keep, {}).on_save(args(tmp_path), SimpleNamespace(global_step=5, best_model_checkpoint=best), None)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"checkpoint-{step}" for step in left]


def test_rank_0_alone_marks_and_removes(tmp_path):
    for step in (2, 3, 4, 5):
        checkpoint(tmp_path, step, whole=step < 5)
    Checkpoints(0, 1, {}).on_save(
        args(tmp_path, process_index=1), SimpleNamespace(global_step=5, best_model_checkpoint=None), None
    )
    assert len(list(tmp_path.iterdir())) == 4 and why_incomplete(tmp_path / "checkpoint-5")


def test_at_the_end_all_go_and_what_is_no_checkpoint_stays(tmp_path):
    checkpoint(tmp_path, 2)
    checkpoint(tmp_path, 3, whole=False)
    (tmp_path / "checkpoint-notes").mkdir()
    remove_old_checkpoints(tmp_path, 0, None)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-notes"]


def test_a_setting_that_the_checkpoint_does_not_have_is_another_setting(tmp_path):
    checkpoint(tmp_path, 2, seed=1)
    with pytest.raises(InputError, match="kl_weight"):
        newest_checkpoint(tmp_path, {"seed": 1, "kl_weight": 0.5})


def test_a_checkpoint_of_before_there_was_a_teacher_goes_on_without_one_and_not_with_one(tmp_path):
    checkpoint(tmp_path, 2, seed=1)
    assert newest_checkpoint(tmp_path, {"seed": 1, "distill_weight": 0.0})[0].endswith("checkpoint-2")
    with pytest.raises(InputError, match=r"distill_weight of .*, 0\.0, found 0\.5"):
        newest_checkpoint(tmp_path, {"seed": 1, "distill_weight": 0.5})


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops_at_the_next_step_and_a_second_ctrl_c_at_once(tmp_path, first):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    saving = Checkpoints(0, None, {})
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    saving.on_train_begin(args(tmp_path), None, control)
    try:
        saving.on_step_end(args(tmp_path), None, control)
        assert not control.should_save and not control.should_training_stop, "without minutes none is due"
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGTERM)  # torchrun passes it on
        saving.on_step_end(args(tmp_path), None, control)
        assert control.should_save and control.should_training_stop and saving.stopped_by == first
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGINT)
        assert ended.value.code == 130
    finally:
        saving.on_train_end(args(tmp_path), None, control)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_signal_after_the_last_step_leaves_the_adapter_to_be_saved(tmp_path):
    """One that came while the last validation ran ended the training without adapter and without checkpoint."""
    saving = Checkpoints(0, None, {})
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    saving.on_train_begin(args(tmp_path), None, control)
    try:
        saving.on_step_end(args(tmp_path), None, control)
        signal.raise_signal(signal.SIGTERM)
        assert not saving.stopped_by
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGINT)
    finally:
        saving.on_train_end(args(tmp_path), None, control)
    assert not saving.stopped_by


def test_checkpoints_are_said_and_torn_ones_are_named(tmp_path, caplog):
    caplog.set_level("INFO")
    checkpoint(tmp_path, 7, whole=False)
    Checkpoints(0, None, {}).on_save(args(tmp_path), SimpleNamespace(global_step=7, best_model_checkpoint=None), None)
    assert caplog.messages == [f"checkpoint at step 7 in {tmp_path}/checkpoint-7"]
    (tmp_path / "checkpoint-7" / "whole.json").unlink()
    caplog.clear()
    assert newest_checkpoint(tmp_path, {}) is None
    assert caplog.messages == [f"skipped {tmp_path}/checkpoint-7: torn, it has no whole.json"]


def test_another_setting_is_named_with_both_its_values(tmp_path):
    checkpoint(tmp_path, 7, whole=False)
    saving = Checkpoints(0, None, {"seed": 1, "data": "a.json"})
    saving.on_save(args(tmp_path), SimpleNamespace(global_step=7, best_model_checkpoint=None), None)
    with pytest.raises(InputError) as error:
        newest_checkpoint(tmp_path, {"seed": 2, "data": "a.json"})
    assert str(error.value) == (
        f"expected --resume_from_checkpoint auto with the seed of {tmp_path}/checkpoint-7, 1, found 2: give that, or "
        "another --output_dir"
    )


@pytest.mark.parametrize(
    ("seconds", "step", "due"),
    [
        (53.9, 0, False),  # a minute less a tenth, which the first writing is taken to need
        (54.1, 0, True),
        (43.9, 10, False),  # less a step of 10 s besides
        (44.1, 10, True),
        (29.9, 29.9, False),  # a long step: half a minute at most
        (30.1, 30.1, True),
    ],
)
def test_a_checkpoint_is_asked_for_as_much_earlier_as_it_takes(tmp_path, monkeypatch, seconds, step, due):
    now = [1000.0]
    monkeypatch.setattr("training.checkpoints.time.monotonic", lambda: now[0])
    saving, control = Checkpoints(1, None, {}), SimpleNamespace(should_save=False, should_training_stop=False)
    saving._ended += seconds - step  # the end of the step before
    now[0] += seconds
    saving.on_step_end(args(tmp_path), SimpleNamespace(global_step=1), control)
    assert control.should_save is due


@pytest.mark.parametrize(
    "other",
    [
        {"model": ModelArguments("other")}, {"lora": LoraArguments(use_lora=False)}, {"lora": LoraArguments(lora_r=8)},
        {"lora": LoraArguments(lora_target_modules=["q_proj"])}, {"lora": LoraArguments(q_lora=True)}, {"count": 9},
        {"lora": LoraArguments(lora_alpha=7)}, {"lora": LoraArguments(lora_options='{"use_dora": true}')},
        {"lora": LoraArguments(init_lora_weights="pissa")}, {"data": {"split_long_examples": True}},
        {"text": "other"}, {"data": {"system_prompt": "Be brief."}}, {"data": {"replay_ratio": 0.2}},
        *({"training": {name: 7}} for name in (
            "world_size", "num_train_epochs", "max_steps", "learning_rate", "kl_weight", "distill_weight", "seed", "update_size",
            "weight_decay", "warmup_steps", "model_max_length",
        )),
        {"training": {"optim": "sgd"}}, {"training": {"lr_scheduler_type": "linear"}},
        {"training": {"deepspeed": "zero2.json", "hf_deepspeed_config": HfDeepSpeedConfig({"zero_optimization": {"stage": 2}})}},
    ],
    ids=lambda change: re.sub(" object at 0x[0-9a-f]+", "", str(change)),  # the same names in each process
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


def test_what_a_resumed_run_must_share_is_named_as_a_person_is_told_of_it(tmp_path):
    """A checkpoint of an older version is held to the same names."""
    (tmp_path / "data.json").write_text("data")
    data = DataArguments(str(tmp_path / "data.json"))
    assert resume_settings(ModelArguments("m"), data, LoraArguments(lora_r=4), training(), range(3)) == {
        "model_name_or_path": "m", "content of --data_path": "3a6eb0790f39ac87", "number of examples": 3,
        "number of processes": 1, "system_prompt": None, "replay_ratio": 0.3, "split_long_examples": False, "use_lora": True,
        "lora_r": 4, "lora_alpha": None, "lora_options": None, "init_lora_weights": "true", "ZeRO stage": None,
        "optim": "adamw_torch_fused", "lr_scheduler_type": "cosine", "warmup_steps": 0.05, "weight_decay": 0.0,
        "model_max_length": 2048,
        "lora_target_modules": ["all-linear"], "q_lora": False, "content of --lora_weights": None, "num_train_epochs": 3.0, "max_steps": -1,
        "learning_rate": 1e-3, "kl_weight": 0.0, "distill_weight": 0.0, "seed": 42, "size of an update": 8,
    }  # fmt: skip


def test_saving_is_timed_and_the_rehearsal_removed_or_reckoned_under_deepspeed(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("training.checkpoints.time.monotonic", lambda: now[0])

    def save(folder: str) -> None:
        Path(folder).mkdir()
        now[0] += 7.0

    args = SimpleNamespace(output_dir=str(tmp_path), process_index=0)
    trainer = SimpleNamespace(is_deepspeed_enabled=False, args=args, save_model=save)
    assert seconds_to_save(trainer) == 7.0 and not list(tmp_path.iterdir())
    lora = SimpleNamespace(peft_config={})
    sharded = SimpleNamespace(is_deepspeed_enabled=True, args=args, save_model=save, model=lora)
    assert seconds_to_save(sharded) == 7.0, "an adapter is small enough to be written, under DeepSpeed too"
    other = SimpleNamespace(output_dir=str(tmp_path), process_index=1)
    assert seconds_to_save(SimpleNamespace(is_deepspeed_enabled=False, args=other, save_model=save)) == 7.0
    assert [path.name for path in tmp_path.iterdir()] == ["rehearsal"], "rank 0 removes it"
    whole = SimpleNamespace(
        is_deepspeed_enabled=True, parameter_count=10**9, model=SimpleNamespace(dtype=torch.bfloat16)
    )
    assert seconds_to_save(whole) == 10.0  # 2 bytes each, 200 MB a second


def test_a_training_goes_on_from_the_newest_or_from_what_is_given(tmp_path):
    asked = SimpleNamespace(output_dir=str(tmp_path), resume_from_checkpoint="auto")
    assert resume_point(asked, {}) == (None, 0.0)
    checkpoint(tmp_path, 7)
    assert resume_point(asked, {}) == (str(tmp_path / "checkpoint-7"), 420.0)
    asked.resume_from_checkpoint = None
    assert resume_point(asked, {}) == (None, 0.0)


def test_a_checkpoint_that_is_named_is_held_to_the_same_as_the_newest(tmp_path):
    """It was taken as it was: with another scale, or to begin anew where another optimizer's state could not be read."""
    folder = str(checkpoint(tmp_path, 7, seed=1))
    asked = SimpleNamespace(output_dir="elsewhere", resume_from_checkpoint=folder)
    assert resume_point(asked, {"seed": 1}) == (folder, 420.0)
    with pytest.raises(InputError, match=f"expected --resume_from_checkpoint {folder} with the seed of {folder}, 1"):
        resume_point(asked, {"seed": 2})
    for whole in (None, "auto", folder):
        require_checkpoint(whole)
    for torn in (str(tmp_path / "nowhere"), str(checkpoint(tmp_path, 8, whole=False)), "True"):
        with pytest.raises(InputError, match=r"complete checkpoint at .* has no whole\.json: give another, or auto"):
            require_checkpoint(torn)


def test_a_checkpoint_of_an_earlier_version_had_what_was_the_default_then():
    """So a training begun before an update goes on after it."""
    given = TrainingArguments(output_dir="x", use_cpu=True)
    own = {
        name: getattr(given, name) for name in ("model_max_length", "weight_decay", "lr_scheduler_type", "warmup_steps")
    }
    own |= {name: getattr(LoraArguments(), name) for name in ("lora_alpha", "lora_options", "init_lora_weights")}
    own |= {"optim": given.optim.value, "split_long_examples": DataArguments("x").split_long_examples}
    assert own.items() <= BEFORE.items()
