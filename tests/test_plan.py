"""What is said before the first step, in numbers that can be reckoned by hand."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
import torch
from trainings import training

from training import layout
from training.arguments import LoraArguments, TrainingArguments
from training.plan import Plan, make_plan, resolve_defaults
from utils import InputError

PLAN = dict(
    examples=1000, facts=100, replayed=50, held_out=20, tokens=50_000, trained_tokens=9000, updates=200, epochs=3.0,
    examples_per_update=8, learning_rate=1e-3, rank=16, trainable_parameters=5_000_000, parameters=10**8, processes=1,
    device="cpu", precision="float32", layout="sdpa", peak_flops=1e11,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "minutes"),
    [
        ({}, 25.0),  # 4 operations, 10**8 weights, 3 epochs of 50,000 tokens, at 0.4 of 10**11 a second
        ({"processes": 2}, 12.5),
        ({"device": "cuda:0"}, 28.6),  # at 0.35
    ],
)
def test_how_long_it_takes_is_said_from_work_and_speed(changed, minutes):
    assert Plan(**PLAN | changed).expected_minutes == minutes


def test_a_plan_in_words():
    assert Plan(**PLAN).lines() == [
        "1000 examples of 100 facts, 50 replayed answers, 20 held out",
        "9000 of 50000 tokens are trained; 3 epochs, 200 updates of 8 examples, each fact 30 times",
        "learning rate 0.001, rank 16: 5.0 M trainable parameters of 100.0 M",
        "1 processes on cpu, float32, sdpa; about 25 minutes",
    ]
    few = Plan(**PLAN | {"updates": 199, "rank": None}).lines()
    assert "learning rate 0.001, all weights" in few[2]
    assert "few updates, 200 would teach more" in few[3]


@pytest.mark.parametrize(("max_steps", "updates", "epochs"), [(-1, 8, 8 / 3), (6, 6, 2.0)])
def test_the_plan_of_a_trainer_counts_what_it_will_do(max_steps, updates, epochs):
    labels = [-100, -100, 0, 5]  # the token 0 is trained like any other
    data = [{"input_ids": [1, 2, 0, 5], "labels": labels}] * 3000
    own = SimpleNamespace(
        gradient_accumulation_steps=4, max_steps=max_steps, num_train_epochs=2.5, padding_free=False, world_size=2,
        gradient_checkpointing=True, use_liger_kernel=False, tf32=None, torch_compile=False, deepspeed=None, bf16=True,
        learning_rate=1e-3, device=torch.device("cpu"), attention="sdpa",
    )  # fmt: skip
    model = torch.nn.Linear(10, 10, bias=False)
    model.register_parameter("frozen", torch.nn.Parameter(torch.zeros(7), requires_grad=False))
    trainer = SimpleNamespace(
        args=own, train_dataset=data, get_train_dataloader=lambda: range(10), model=model, parameter_count=107,
        peak_flops=1e3,
    )  # fmt: skip
    plan = make_plan(trainer, facts=900, replayed=300, held_out=40, rank=16)
    assert (plan.examples, plan.facts, plan.replayed, plan.held_out) == (2700, 900, 300, 40)
    assert (plan.tokens, plan.trained_tokens, plan.examples_per_update) == (12_000, 6_000, 1000)
    assert (plan.updates, plan.epochs) == (updates, epochs)
    assert (plan.trainable_parameters, plan.parameters) == (100, 107)
    assert (plan.processes, plan.device, plan.precision) == (2, "cpu", "bfloat16")
    assert plan.layout == "sdpa attention, padded batches of similar length, gradient checkpointing"


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
    resolve_defaults(model_path, lora, own, 1001, [100, 300])
    assert (lora.lora_r, own.learning_rate) == (rank, pytest.approx(rate))
    assert own.update_tokens == 512 and own.dataloader_pin_memory is own.remove_unused_columns is False
    kept = SimpleNamespace(**{**vars(own), "learning_rate": 7.0})
    resolve_defaults(model_path, lora, kept, 1001, [100, 300])
    assert kept.learning_rate == 7.0


@pytest.mark.parametrize(
    ("given", "longest", "expected"),
    [
        ({"max_tokens_per_batch": 4096}, 2048, 2),
        ({"max_tokens_per_batch": 4096}, 9000, 1),
        ({"max_tokens_per_batch": 4096}, 100, 8),
        ({"per_device_train_batch_size": 2}, 1000, 2),
        ({"per_device_train_batch_size": 2, "per_device_eval_batch_size": 1}, 1000, 1),
    ],
)
def test_validation_takes_no_more_tokens_at_once_than_training(tmp_path, given, longest, expected):
    """It took 8 of the longest, and ran out of memory at the end of the first epoch."""
    own = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **given)
    layout.limit_evaluation(own, 1000, longest)
    assert own.per_device_eval_batch_size == expected


@pytest.mark.parametrize(
    ("count", "resume", "out_of_memory", "refused"),
    [("0", None, False, False), ("1", None, False, True), ("1", "auto", False, False), ("1", None, True, False)],
)
def test_ranks_that_torchrun_starts_again_begin_anew_only_with_less_memory(
    tmp_path, monkeypatch, count, resume, out_of_memory, refused
):
    """It starts them again whatever they failed of: after five hours without checkpoints, another five to the same end."""
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
    if out_of_memory:
        (tmp_path / layout.OUT_OF_MEMORY).write_text('{"size": 8, "unit": "examples"}')
    own = training(output_dir=str(tmp_path), resume_from_checkpoint=resume)
    with pytest.raises(InputError, match="reason above") if refused else contextlib.nullcontext():
        layout.require_reason_to_restart(own)
