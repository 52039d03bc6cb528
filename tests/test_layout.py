"""Memory by arithmetic, against what autograd saves; the tokens of an update, its micro-batches, and the launch for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

from engines import gpus, memory
from engines.gpus import Gpu
from engines.memory import shape_of_config
from training import launch, layout
from training.adapters import leave_inputs_as_they_are
from training.arguments import TrainingArguments
from training.launch import Launch, choose_launch, choose_sharding, plan_launch, update_tokens
from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30


def qwen(name: str, **changed) -> transformers.Qwen2Config:
    hidden, inner, layers, heads, keys = launch.QWEN[name]
    sizes = dict(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=keys, vocab_size=152064, tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.Qwen2Config(**{**sizes, **changed})


@pytest.fixture(scope="module")
def shape_7b() -> memory.Shape:
    return shape_of_config(qwen("7B"))


def test_a_model_is_counted_from_its_config_alone(shape_7b):
    assert shape_7b.parameters == 7_615_616_512, "as Qwen2.5-7B says of itself"
    assert shape_7b.adapter * 16 == 40_370_176, "as peft counts a LoRA of rank 16 on all its linear layers"
    assert shape_7b.weights() / GIB == pytest.approx(14.2, abs=0.05)
    assert shape_7b.weights(in_4_bits=True) / GIB == pytest.approx(5.4, abs=0.1)
    assert shape_7b.weights(ranks=8) < shape_7b.weights() / 5


def test_of_experts_those_count_that_a_token_goes_through():
    small = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=64)
    mixtral = transformers.MixtralConfig(**small, intermediate_size=96, num_local_experts=8, num_experts_per_tok=2)
    qwen3 = transformers.Qwen3MoeConfig(
        **small, intermediate_size=999, moe_intermediate_size=32, num_experts=8, num_experts_per_tok=4
    )
    assert [shape_of_config(config).inner for config in (mixtral, qwen3)] == [2 * 96, 4 * 32]


@pytest.mark.parametrize("heads, keys, inner", [(4, 2, 1024), (8, 8, 2048), (8, 1, 512)])
@pytest.mark.parametrize("cast", [False, True], ids=["as they are", "cast to float32"])
def test_saved_activations_are_what_the_arithmetic_says(heads, keys, inner, cast):
    """Counted on a CPU under bfloat16 autocast. PEFT's cast of each LoRA input to float32 takes half as much again."""

    def saved(layers: int, tokens: int) -> int:
        config = transformers.Qwen2Config(
            hidden_size=512, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=keys, vocab_size=64,
        )  # fmt: skip
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))
        if not cast:
            leave_inputs_as_they_are(model)
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        kept: dict[int, torch.Tensor] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.untyped_storage().data_ptr() not in weights:
                kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autocast("cpu", torch.bfloat16), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            model.get_decoder()(input_ids=torch.randint(0, 64, (1, tokens)), use_cache=False)
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())

    config = qwen("7B", hidden_size=512, intermediate_size=inner, num_attention_heads=heads, num_key_value_heads=keys)
    expected = shape_of_config(config).activations()
    # Of one layer more and 64 tokens more: without the embeddings, and without the adapter's own weights in 16 bits.
    found = (saved(3, 128) - saved(2, 128) - saved(3, 64) + saved(2, 64)) / 64
    if cast:
        assert found > 1.1 * expected
    else:
        assert found == pytest.approx(expected, rel=0.05)


def test_an_update_has_so_many_tokens_that_a_training_has_some_hundreds():
    """128 examples an update on 8 GPUs left a handful of a small dataset."""
    for tokens, epochs in ((5e5, 3), (3e6, 3), (8e6, 2)):
        updates = tokens * epochs / update_tokens(tokens, epochs, "cuda")
        assert 200 <= updates <= 1000
    assert update_tokens(1000, 1, "cuda") == 2048, "fewer keep a GPU waiting"
    assert update_tokens(1e9, 3, "cuda") == 65536, "more are learnt from no better"
    assert update_tokens(1000, 1, "cpu") == 512


def training(tmp_path, world: int = 1, **changed):
    """The arguments of a rank on a GPU that is not there."""
    given = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **changed)
    fields = {name: getattr(given, name) for name in (
        "gradient_checkpointing", "asked_checkpointing", "counts_tokens", "update_tokens", "max_tokens_per_batch",
        "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "output_dir",
    )}  # fmt: skip
    return SimpleNamespace(
        **fields, world_size=world, device=torch.device("cuda"), use_liger_kernel=False, deepspeed=None
    )


@pytest.fixture
def card(monkeypatch):
    """As if every rank had a card of so many GiB."""

    def of(gib: float):
        properties = SimpleNamespace(total_memory=gib * GIB)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)

    return of


@pytest.mark.parametrize(
    "gib, world, most, checkpointing", [(80, 1, 8192, False), (80, 8, 8192, False), (24, 1, 4096, True)]
)
def test_a_micro_batch_fits_and_an_update_stays_as_large(tmp_path, shape_7b, card, gib, world, most, checkpointing):
    card(gib)
    own = training(tmp_path, world)
    layout.choose_batches(own, shape_7b, 20_000_000, 900, 16, False)
    assert own.update_tokens == 65536 and own.gradient_checkpointing == checkpointing
    whole = own.max_tokens_per_batch * own.gradient_accumulation_steps * world
    assert whole == pytest.approx(65536, rel=0.01)
    assert own.max_tokens_per_batch <= 1.05 * most
    needed = own.max_tokens_per_batch * shape_7b.token(own.gradient_checkpointing)
    assert needed <= memory.room(gib * GIB, shape_7b, 16)


def measured_trainer(own) -> SimpleNamespace:
    model = SimpleNamespace(gradient_checkpointing_disable=lambda: None, zero_grad=lambda set_to_none: None)
    data = SimpleNamespace(lengths=[20, 900])
    return SimpleNamespace(args=own, model=model, max_tokens_per_batch=own.max_tokens_per_batch, train_dataset=data)


def test_a_first_step_that_runs_out_of_memory_decides_too(tmp_path, shape_7b, card, monkeypatch):
    """A 7B on 24 GiB has no room for 3,000 tokens without checkpointing: that is an answer, and no end."""
    card(24)
    own = training(tmp_path, 8)
    layout.choose_batches(own, shape_7b, 20_000_000, 900, 16, False)

    def room(_, saving: bool) -> tuple[float, float]:
        if not saving:
            raise torch.OutOfMemoryError
        return 4096.0, 1.0

    monkeypatch.setattr(layout, "measured_room", room)
    layout.measure_batches(measured_trainer(own))
    assert (own.gradient_checkpointing, own.max_tokens_per_batch, own.gradient_accumulation_steps) == (True, 4096, 2)


@pytest.mark.parametrize(
    "given, room, token, expected",
    [
        ({}, 40 * GIB, 4 << 20, (8192, 1, False)),  # a rank's part of an update fits whole
        ({}, 20 * GIB, 4 << 20, (4096, 2, False)),  # 5120 tokens fit: two micro-batches
        ({}, 10 * GIB, 4 << 20, (8192, 1, True)),  # 2560 fit, or with checkpointing 10240
        ({"gradient_checkpointing": False}, 10 * GIB, 4 << 20, (2048, 4, False)),
        ({"max_tokens_per_batch": 4000}, 10 * GIB, 4 << 20, (4000, 1, True)),
        ({"per_device_train_batch_size": 2}, 10 * GIB, 4 << 20, (None, 1, False)),  # 2 * 900 tokens at most
    ],
)
def test_a_measured_first_step_decides(tmp_path, shape_7b, card, monkeypatch, given, room, token, expected):
    card(80)
    own = training(tmp_path, 8, **given)
    layout.choose_batches(own, shape_7b, 20_000_000, 900, 16, False)
    monkeypatch.setattr(layout, "measured_room", lambda _, saving: (room, token / 4 if saving else token))
    trainer = measured_trainer(own)
    layout.measure_batches(trainer)
    found = (trainer.max_tokens_per_batch, own.gradient_accumulation_steps, own.gradient_checkpointing)
    assert found == expected


def test_what_is_given_keeps_its_meaning(tmp_path, shape_7b, card):
    card(80)
    rows = training(tmp_path, per_device_train_batch_size=4, gradient_accumulation_steps=2)
    layout.choose_batches(rows, shape_7b, 10**7, 500, 16, False)
    assert (rows.per_device_train_batch_size, rows.gradient_accumulation_steps) == (4, 2)
    assert rows.max_tokens_per_batch is None and rows.gradient_checkpointing is False
    long = training(tmp_path, per_device_train_batch_size=16)
    layout.choose_batches(long, shape_7b, 10**7, 2048, 16, False)
    assert long.gradient_checkpointing, "16 of the longest examples would not fit otherwise"
    tokens = training(tmp_path, max_tokens_per_batch=3000, gradient_checkpointing=True)
    layout.choose_batches(tokens, shape_7b, 10**7, 500, 16, False)
    assert tokens.max_tokens_per_batch == 3000 and tokens.gradient_checkpointing


@pytest.mark.parametrize("given", [{}, {"per_device_train_batch_size": 16}], ids=["by tokens", "by examples"])
def test_out_of_memory_starts_again_once_with_half(tmp_path, shape_7b, card, monkeypatch, given):
    card(80)
    started = []
    monkeypatch.setattr(layout.os, "execv", lambda program, words: started.append(words))
    first = training(tmp_path, **given)
    layout.choose_batches(first, shape_7b, 10**7, 500, 16, False)
    layout.restart_by_halves(first, 7)
    assert started and started[0][1:] == sys.orig_argv[1:]
    second = training(tmp_path, **given)
    layout.choose_batches(second, shape_7b, 10**7, 500, 16, False)
    name = "per_device_train_batch_size" if given else "max_tokens_per_batch"
    assert getattr(second, name) == getattr(first, name) // 2
    assert second.gradient_accumulation_steps == 2 * first.gradient_accumulation_steps
    with pytest.raises(InputError, match="again"):
        layout.restart_by_halves(second, 8)
    ranks = training(tmp_path / "other", 8, **given)
    with pytest.raises(SystemExit) as ended:
        layout.restart_by_halves(ranks, 7)
    assert ended.value.code == layout.RESTART, "torchrun starts all of them again"


def test_precision_is_what_the_gpu_has_units_for(monkeypatch):
    """A T4 emulates bfloat16, at a fraction of its speed, and says that it supports it."""
    for major, expected in ((9, (True, False)), (7, (False, True))):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda *_, m=major: SimpleNamespace(major=m))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda m=major: (m, 0))
        own = SimpleNamespace(bf16=None, fp16=False, tf32=None, use_liger_kernel=False, use_cpu=False)
        layout.choose_precision(own)
        assert (own.bf16, own.fp16) == expected


def test_a_kernel_that_is_compiled_for_each_number_of_rows_is_left_out(tmp_path):
    """Batches by tokens have many; the other Liger kernels do not ask."""
    common = dict(output_dir=str(tmp_path), use_cpu=True)
    assert TrainingArguments(**common, use_liger_kernel=True).liger_kernel_config == {"rope": False}
    assert TrainingArguments(**common, use_liger_kernel=False).liger_kernel_config is None
    own = {"rope": True}
    assert TrainingArguments(**common, use_liger_kernel=True, liger_kernel_config=own).liger_kernel_config == own


# --- which launch ---


def test_sharding_goes_by_weights_card_and_number(shape_7b):
    shapes = {"7B": shape_7b, **{name: shape_of_config(qwen(name)) for name in ("32B", "72B")}}
    for name, gib, count, expected in (
        ("7B", 80, 8, ("whole", 1)), ("7B", 24, 1, ("whole", 1)), ("32B", 80, 1, ("4 bits", 1)),
        ("32B", 80, 8, ("zero3", 2)), ("32B", 141, 1, ("whole", 1)), ("72B", 80, 8, ("zero3", 3)),
    ):  # fmt: skip
        assert choose_sharding(shapes[name], gib * GIB, count, 16) == expected, (name, gib, count)
    with pytest.raises(InputError, match=r"72\.7 billion weights"):
        choose_sharding(shapes["72B"], 24 * GIB, 4, 16)


def test_ranks_that_would_have_too_little_to_do_are_not_started(shape_7b):
    eight = tuple(map(str, range(8)))
    for update, expected in ((65536, 8), (6000, 2), (2048, 1)):
        found = choose_launch(shape_7b, 80 * GIB, eight, update, 16)
        assert (found.processes, found.devices) == (expected, eight[:expected])
        assert ("stay idle" in found.reason) == (expected < 8)
    shared = choose_launch(shape_of_config(qwen("72B")), 80 * GIB, eight, 2048, 16)
    assert shared.processes == 3 and shared.arguments == ["--deepspeed", "ds_configs/zero3.json"]


@pytest.fixture
def eight_gpus(monkeypatch):
    found = [Gpu(str(n), f"GPU-{n}", "a card", 80 * GIB, 80 * GIB) for n in range(8)]
    monkeypatch.setattr(gpus, "usable_gpus", lambda: found)


def dataset(tmp_path, rows: int, words: int) -> str:
    path = tmp_path / "data.json"
    turns = [{"from": "user", "value": "Where?"}, {"from": "assistant", "value": "word " * words}]
    path.write_text(json.dumps([{"id": str(n), "conversations": turns, "fact": f"f{n}"} for n in range(rows)]))
    return str(path)


def test_the_launch_is_planned_from_the_data_and_an_argument_wins(tmp_path, model_path, eight_gpus):
    few, many = dataset(tmp_path, 100, 30), None
    assert plan_launch(model_path, few, []).processes == 1
    assert plan_launch(model_path, many, []).processes == 8
    assert plan_launch(model_path, few, ["--per_device_train_batch_size", "4"]).processes == 8
    given = plan_launch(model_path, few, ["--deepspeed", "ds_configs/zero2.json"])
    assert given.arguments == [] and "as the arguments say" in given.reason
    assert plan_launch(model_path, many, ["--use_cpu", "True"]).processes == 1


def test_a_launch_is_a_command():
    alone = Launch(1, "whole", "", ("0",))
    assert launch.command(alone, ["--seed", "1"]) == ["finetune.py", "--seed", "1"]
    words = launch.command(Launch(2, "zero3", "", ("0", "1")), ["--seed", "1"])
    assert words[:2] == ["-m", "torch.distributed.run"] and words[words.index("--nproc_per_node") + 1] == "2"
    assert words[-2:] == ["--deepspeed", "ds_configs/zero3.json"] and words[words.index("--max_restarts") + 1] == "1"
    assert "torch.distributed.run" in launch.command(Launch(1, "given", "", ("0",)), ["--deepspeed", "zero2.json"])


def test_a_launch_starts_finetune_on_its_gpus_and_says_why(tmp_path, model_path, eight_gpus, monkeypatch, caplog):
    started = []
    monkeypatch.setattr(launch.os, "execv", lambda program, words: started.append(words[1:]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    given = ["--model_name_or_path", model_path, "--data_path", dataset(tmp_path, 100, 30)]
    monkeypatch.setattr(sys, "argv", ["launch.py", *given])
    with caplog.at_level("INFO"):
        launch.main()
    assert started == [["finetune.py", *given]] and os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    assert "1 of 8 GPUs, 0 GiB of weights on each" in caplog.text
    assert "7 stay idle, as an update has 2048 tokens" in caplog.text


def test_without_a_gpu_a_launch_is_finetune_itself(tmp_path, model_path):
    """Through the module, as the shell and run_all.py start it: what finetune.py says of its arguments is what is said."""
    given = ["--model_name_or_path", model_path, "--data_path", dataset(tmp_path, 3, 2), "--check_only", "True"]
    command = [sys.executable, "-m", "training.launch", *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "3 rows, 0 errors" in done.stderr, done.stderr[-2000:]


def test_the_table_of_the_docs_is_the_one_that_is_computed():
    assert "\n".join(launch.table()) in (ROOT / "docs" / "gpu.md").read_text()
