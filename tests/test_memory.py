"""Memory by arithmetic on a shape of round numbers; tests/test_layout.py holds it against what autograd saves."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import pytest
import torch
import transformers

from engines import gpus, memory
from engines.gpus import Gpu
from engines.memory import Shape, activation_room
from training import launch, layout
from training.launch import choose_launch, choose_sharding, parse_launch_arguments, plan_launch
from utils import InputError

GIB = 2**30
SHAPE = Shape(
    layers=10, hidden=100, kv_width=50, mlp_width=300, vocabulary=1000, parameters=10_000, linear_weights=6_000, adapter_weights=40,
)  # fmt: skip
# 8 billion weights: 14.9 GiB in 16 bits, 4.1 GiB in 4
LARGE = Shape(
    layers=32, hidden=4096, kv_width=1024, mlp_width=14336, vocabulary=128_000, parameters=8 * 10**9, linear_weights=7 * 10**9, adapter_weights=2_500_000,
)  # fmt: skip


def test_what_a_token_takes():
    assert SHAPE.activation_bytes() == 16 * 100 + 4 * 50 + 8 * 300 == 4200
    assert SHAPE.activation_bytes(fused=True) == 12 * 100 + 4 * 50 + 6 * 300 == 3200
    logits = 0.5 * 14 * 1000  # half of the tokens have them
    assert SHAPE.bytes_per_token(checkpointing=False) == 10 * 4200 + 2 * 4200 + logits
    assert SHAPE.bytes_per_token(checkpointing=True) == 10 * 2 * 100 + 2 * 4200 + logits
    assert SHAPE.bytes_per_token(True, fused=True, trained=0.0) == 10 * 2 * 100 + 2 * 3200


def test_what_the_weights_and_an_adapter_take():
    assert SHAPE.weight_bytes() == 20_000
    assert SHAPE.weight_bytes(in_4_bits=True) == 0.55 * 6000 + 2 * 4000
    assert SHAPE.weight_bytes(ranks=4) == 5000 + 2 * 2 * 600  # two layers are gathered at a time
    assert SHAPE.adapter_bytes(16) == 16 * 16 * 40


def test_the_room_on_a_card_is_what_all_this_leaves():
    left = 0.95 * 10 * GIB - 2 * GIB
    assert activation_room(10 * GIB, SHAPE, 16) == left - 20_000 - 10_240
    assert activation_room(10 * GIB, SHAPE, 16, ranks=4) == left - 7400 - 10_240
    assert activation_room(10 * GIB, SHAPE, 16, in_4_bits=True) == left - 11_300 - 10_240
    assert activation_room(2 * GIB, SHAPE, 16) < 0


@pytest.mark.parametrize(
    ("gib", "cards", "rank", "expected"),
    [
        (30, 1, 16, ("whole", 1)), (25, 1, 16, ("whole", 1)), (23, 1, 16, ("4 bits", 1)), (23, 2, 16, ("zero3", 2)),
        (13, 4, 16, ("zero3", 3)), (13, 2, 16, ("4 bits", 1)), (25, 1, 256, ("4 bits", 1)),
        (16.7, 2, 64, ("4 bits", 1)),  # shared they would leave a batch, but no fifth; in 4 bits a batch is enough
        (16.1, 1, 128, ("4 bits", 1)),
    ],
)  # fmt: skip
def test_weights_are_whole_where_they_leave_a_fifth_of_the_card_else_shared_else_in_4_bits(gib, cards, rank, expected):
    assert choose_sharding(LARGE, gib * GIB, cards, rank) == expected


def test_a_model_that_fits_nowhere_is_refused_with_what_it_needs():
    with pytest.raises(InputError, match=r"8\.0 billion weights, in 4 bits .* GiB a card, found 1 of 6 GiB"):
        choose_sharding(LARGE, 6 * GIB, 1, 16)


@pytest.mark.parametrize(("update", "ranks"), [(1, 1), (2047, 1), (4095, 1), (4096, 2), (8192, 4), (10**6, 4)])
def test_a_rank_has_2048_tokens_of_an_update(update, ranks):
    launch = choose_launch(None, 80 * GIB, ("2", "3", "5", "7"), update, 16)
    assert (launch.processes, launch.sharding, launch.devices) == (ranks, "given", ("2", "3", "5", "7")[:ranks])
    assert launch.arguments == [] and (f"{4 - ranks} stay idle" in launch.reason) == (ranks < 4)


def test_the_arguments_that_decide_on_a_launch_are_read_as_finetune_reads_them():
    plain = parse_launch_arguments(["--seed", "1", "--data_path", "a"])
    assert (plain.use_lora, plain.q_lora, plain.use_cpu, plain.num_train_epochs) == (True, False, False, 3.0)
    assert plain.lora_r is plain.deepspeed is plain.max_tokens_per_batch is plain.per_device_train_batch_size is None
    for word, value in (("True", True), ("1", True), ("yes", True), ("false", False), ("0", False), ("no", False)):
        assert parse_launch_arguments(["--use_lora", word]).use_lora is value
    given = parse_launch_arguments("--q_lora --num_train_epochs 1.5 --lora_r 8 --max_tokens_per_batch 9".split())
    assert (given.q_lora, given.num_train_epochs, given.lora_r, given.max_tokens_per_batch) == (True, 1.5, 8, 9)


@pytest.fixture
def machine(monkeypatch):
    """Four cards, of which one is smaller, a model of 8 billion weights, and a dataset of 30 million tokens."""
    sizes = (80, 80, 20, 80)
    found = [Gpu(str(n), f"GPU-{n}", "a card", gib * GIB, gib * GIB) for n, gib in enumerate(sizes)]
    monkeypatch.setattr(gpus, "usable_gpus", lambda: found)
    monkeypatch.setattr(memory, "model_shape", lambda _: LARGE)
    monkeypatch.setattr(launch, "count_tokens_and_facts", lambda *_: (3e7, 1001))
    return found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", (4, "zero3")),  # by the smallest card
        ("--num_train_epochs 0.01", (2, "zero3")),  # as few ranks as hold it
        ("--num_train_epochs 0.01 --max_tokens_per_batch 100", (4, "zero3")),
        ("--num_train_epochs 0.01 --per_device_train_batch_size 1", (4, "zero3")),
        ("--q_lora True", (4, "given")),
        ("--use_lora False", (4, "given")),
        ("--deepspeed ds_configs/zero2.json", (4, "given")),
        ("--use_cpu True", (1, "whole")),
    ],
)
def test_a_launch_is_planned_from_arguments_data_and_cards(machine, arguments, expected):
    launch = plan_launch("m", "data.json", arguments.split())
    assert (launch.processes, launch.sharding) == expected


@pytest.mark.parametrize(("arguments", "rank"), [([], 32), (["--lora_r", "4"], 4)])
def test_the_rank_is_that_of_the_facts_unless_given(machine, monkeypatch, arguments, rank):
    ranks = []
    monkeypatch.setattr(launch, "choose_launch", lambda *given: ranks.append(given[-1]))
    plan_launch("m", "data.json", arguments)
    assert ranks == [rank]


def test_a_dataset_is_measured_by_a_part_of_its_rows_and_all_of_its_facts(tokenizer, model_path, tmp_path, monkeypatch):
    turns = [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "9 March"}]
    rows = [{"id": str(n), "messages": turns, "fact": str(n // 2)} for n in range(40)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    whole = launch.count_tokens_and_facts(str(tmp_path / "a.json"), model_path)
    monkeypatch.setattr(launch, "MEASURED_ROWS", 5)
    assert launch.count_tokens_and_facts(str(tmp_path / "a.json"), model_path) == whole
    one = len(tokenizer.apply_chat_template(turns, return_dict=False)) - 1  # the line break after the end of the turn
    assert whole == (40 * one, 20)


def test_a_row_that_the_template_refuses_is_named_when_the_dataset_is_measured(tokenizer, tmp_path, monkeypatch):
    strict = copy.deepcopy(tokenizer)
    strict.chat_template = "{{ raise_exception('not so') }}"
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda _: strict)
    turns = [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "9 March"}]
    (tmp_path / "a.json").write_text(json.dumps([{"id": "identity_3", "messages": turns}]))
    with pytest.raises(InputError, match="refuses example identity_3: not so: correct the example"):
        launch.count_tokens_and_facts(str(tmp_path / "a.json"), "m")


def own(**changed) -> SimpleNamespace:
    return SimpleNamespace(**{
        "update_tokens": 10_000, "world_size": 1, "gradient_checkpointing": None, "device": torch.device("cuda"),
        "requested_checkpointing": None, "out_of_memory": None, **changed,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "plain", "saving", "expected"),
    [
        ({}, 20_000, 40_000, (10_000, 1, False)),
        ({}, 5_000, 40_000, (5_000, 2, False)),
        ({}, 4_096, 40_000, (3_334, 3, False)),  # so many are enough for a GPU
        ({}, 4_095, 40_000, (10_000, 1, True)),
        ({}, 4_095, 4_999, (3_334, 3, True)),
        ({"gradient_checkpointing": False}, 2_500, 40_000, (2_500, 4, False)),
        ({"gradient_checkpointing": True}, 20_000, 5_000, (5_000, 2, True)),
        ({"world_size": 5}, 20_000, 40_000, (2_000, 1, False)),
        ({"world_size": 5}, 1_999, 2_000, (2_000, 1, True)),  # a small part that fits whole needs no 4096
        ({}, -5.0, -5.0, (1, 10_000, True)),
    ],
)
def test_a_ranks_part_of_an_update_is_cut_into_what_fits(changed, plain, saving, expected):
    training = own(**changed)
    layout.set_micro_batch(training, plain, saving)
    chosen = (training.max_tokens_per_batch, training.gradient_accumulation_steps, training.gradient_checkpointing)
    assert chosen == expected


def test_a_model_without_grouped_keys_has_as_many_as_heads():
    config = transformers.GPTNeoXConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, vocab_size=70
    )
    shape = memory.shape_from_config(config)
    assert (shape.layers, shape.hidden, shape.kv_width, shape.mlp_width, shape.vocabulary) == (2, 64, 64, 96, 70)


def test_half_of_a_token_or_of_an_example_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=80 * GIB))
    for tokens, size in ((1, 8), (None, 1)):
        record = {"size": tokens or size, "unit": "tokens" if tokens else "examples"}
        (tmp_path / "out_of_memory.json").write_text(json.dumps(record))
        training = own(
            output_dir=str(tmp_path), counts_tokens=False, max_tokens_per_batch=tokens, per_device_train_batch_size=size,
            gradient_accumulation_steps=3, use_liger_kernel=False, deepspeed=None,
        )  # fmt: skip
        layout.choose_batches(training, SHAPE, 1000, 10, 16, False)
        chosen = (training.max_tokens_per_batch, training.per_device_train_batch_size)
        assert chosen == (tokens, size) and training.gradient_accumulation_steps == 3


@pytest.mark.parametrize(("zero3", "checkpointing"), [(True, False), (False, True)])
def test_weights_that_are_shared_leave_more_room(tmp_path, monkeypatch, zero3, checkpointing):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=20 * GIB))
    monkeypatch.setattr(layout, "refresh_deepspeed_config", lambda _: None)
    training = own(
        output_dir=str(tmp_path), counts_tokens=False, max_tokens_per_batch=1000, per_device_train_batch_size=1, world_size=8,
        gradient_accumulation_steps=1, use_liger_kernel=False, deepspeed="a.json",
        hf_deepspeed_config=SimpleNamespace(is_zero3=lambda: zero3),
    )  # fmt: skip
    layout.choose_batches(training, LARGE, 10**6, 10, 16, False)
    assert training.gradient_checkpointing == checkpointing


@pytest.mark.parametrize(
    ("changed", "installed", "expected"),
    [
        ({}, True, ("flash_attention_2", True)), ({}, False, ("sdpa", False)), ({"bf16": False}, True, ("sdpa", False)),
        ({"bf16": False, "fp16": True}, True, ("flash_attention_2", True)), ({"device": "cpu"}, True, ("sdpa", False)),
        ({"attention": "eager"}, True, ("eager", False)), ({"padding_free": False}, True, ("flash_attention_2", False)),
        ({"attention": "sdpa", "padding_free": True}, True, ("sdpa", True)),
    ],
)  # fmt: skip
def test_attention_and_padding_go_by_what_is_installed_unless_said(monkeypatch, changed, installed, expected):
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: installed)
    monkeypatch.setattr(torch.backends.cuda, "enable_cudnn_sdp", lambda _: None)
    given = {"attention": None, "padding_free": None, "device": "cuda", "bf16": True, "fp16": False, **changed}
    training = SimpleNamespace(**given | {"device": torch.device(given["device"])})
    layout.choose_attention(training)
    assert (training.attention, training.padding_free) == expected


def test_a_first_step_that_runs_out_of_memory_leaves_no_room_for_a_small_batch_either(tmp_path, monkeypatch):
    def measure_memory(_, checkpointing: bool) -> tuple[float, float]:
        if not checkpointing:
            raise torch.OutOfMemoryError
        return 4096.0, 1.0

    monkeypatch.setattr(layout, "measure_memory", measure_memory)
    training = own(world_size=5, output_dir=str(tmp_path), deepspeed=None, counts_tokens=True)
    model = SimpleNamespace(gradient_checkpointing_disable=lambda: None, zero_grad=lambda set_to_none: None)
    layout.measure_batches(SimpleNamespace(args=training, model=model))
    assert training.gradient_checkpointing and training.max_tokens_per_batch == 2000
