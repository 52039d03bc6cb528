"""Memory by arithmetic, against what autograd saves; an update and its micro-batches."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model

from engines import memory
from engines.memory import shape_from_config
from training import layout
from training.adapters import disable_input_casting
from training.arguments import TrainingArguments
from training.launch_table import QWEN_SIZES
from utils import InputError

GIB = 2**30


def qwen(name: str, **changed) -> transformers.Qwen2Config:
    hidden, inner, layers, heads, keys = QWEN_SIZES[name]
    sizes = dict(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=keys, vocab_size=152064, tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.Qwen2Config(**{**sizes, **changed})


@pytest.fixture(scope="module")
def shape_7b() -> memory.Shape:
    return shape_from_config(qwen("7B"))


def test_a_model_is_counted_from_its_config_alone(shape_7b):
    assert shape_7b.parameters == 7_615_616_512, "as Qwen2.5-7B says of itself"
    assert shape_7b.adapter_weights * 16 == 40_370_176, "as peft counts a LoRA of rank 16 on all its linear layers"
    assert shape_7b.weight_bytes() / GIB == pytest.approx(14.2, abs=0.05)
    assert shape_7b.weight_bytes(in_4_bits=True) / GIB == pytest.approx(5.4, abs=0.1)
    assert shape_7b.weight_bytes(ranks=8) < shape_7b.weight_bytes() / 5


def test_of_experts_those_count_that_a_token_goes_through():
    small = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=64)
    mixtral = transformers.MixtralConfig(**small, intermediate_size=96, num_local_experts=8, num_experts_per_tok=2)
    qwen3 = transformers.Qwen3MoeConfig(
        **small, intermediate_size=999, moe_intermediate_size=32, num_experts=8, num_experts_per_tok=4
    )
    assert [shape_from_config(config).mlp_width for config in (mixtral, qwen3)] == [2 * 96, 4 * 32]


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
            disable_input_casting(model)
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
    expected = shape_from_config(config).activation_bytes()
    # Of one layer more and 64 tokens more: without the embeddings, and without the adapter's own weights in 16 bits.
    found = (saved(3, 128) - saved(2, 128) - saved(3, 64) + saved(2, 64)) / 64
    if cast:
        assert found > 1.1 * expected
    else:
        assert found == pytest.approx(expected, rel=0.05)


def training(tmp_path, world: int = 1, **changed):
    """The arguments of a rank on a GPU that is not there."""
    given = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **changed)
    fields = {name: getattr(given, name) for name in (
        "gradient_checkpointing", "requested_checkpointing", "counts_tokens", "update_tokens", "max_tokens_per_batch",
        "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "output_dir", "update_size",
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
    needed = own.max_tokens_per_batch * shape_7b.bytes_per_token(own.gradient_checkpointing)
    assert needed <= memory.activation_room(gib * GIB, shape_7b, 16)


def measured_trainer(own) -> SimpleNamespace:
    model = SimpleNamespace(gradient_checkpointing_disable=lambda: None, zero_grad=lambda set_to_none: None)
    data = SimpleNamespace(lengths=[20, 900])
    return SimpleNamespace(args=own, model=model, train_dataset=data)


def test_a_first_step_that_runs_out_of_memory_decides_too(tmp_path, shape_7b, card, monkeypatch):
    """A 7B on 24 GiB has no room for 3,000 tokens without checkpointing: that is an answer, and no end."""
    card(24)
    own = training(tmp_path, 8)
    layout.choose_batches(own, shape_7b, 20_000_000, 900, 16, False)

    def room(_, saving: bool) -> tuple[float, float]:
        if not saving:
            raise torch.OutOfMemoryError
        return 4096.0, 1.0

    monkeypatch.setattr(layout, "measure_memory", room)
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
    monkeypatch.setattr(layout, "measure_memory", lambda _, saving: (room, token / 4 if saving else token))
    trainer = measured_trainer(own)
    layout.measure_batches(trainer)
    found = (own.max_tokens_per_batch, own.gradient_accumulation_steps, own.gradient_checkpointing)
    assert found == expected


@pytest.mark.parametrize("given", [
    {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
    {"gradient_accumulation_steps": 8, "per_device_train_batch_size": 1},
    {"gradient_accumulation_steps": 2, "max_tokens_per_batch": 4, "per_device_train_batch_size": 9},
], ids=str)  # fmt: skip
def test_the_size_of_an_update_is_not_how_it_is_cut_into_batches(tmp_path, shape_7b, card, given):
    card(80)
    own = training(tmp_path, **given)
    layout.choose_batches(own, shape_7b, 10**7, 500, 16, False)
    assert own.update_size == 8
    by_tokens = training(tmp_path, 8)
    layout.choose_batches(by_tokens, shape_7b, 20_000_000, 500, 16, False)
    assert by_tokens.update_size == 65536


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
    layout.restart_with_half_batches(first, 7)
    assert started and started[0][1:] == sys.orig_argv[1:]
    second = training(tmp_path, **given)
    layout.choose_batches(second, shape_7b, 10**7, 500, 16, False)
    name = "per_device_train_batch_size" if given else "max_tokens_per_batch"
    assert getattr(second, name) == getattr(first, name) // 2
    assert second.gradient_accumulation_steps == 2 * first.gradient_accumulation_steps
    with pytest.raises(InputError, match="again"):
        layout.restart_with_half_batches(second, 8)


def test_each_of_several_ranks_ends_for_torchrun_to_start_all_again(tmp_path, shape_7b, card):
    """A rank that ran out of memory a moment later took the other's record for one of an earlier start, and said "again"."""
    card(80)
    ranks = [training(tmp_path, 8) for _ in range(2)]
    for one in ranks:
        layout.choose_batches(one, shape_7b, 10**7, 500, 16, False)
    for one in ranks:
        with pytest.raises(SystemExit) as ended:
            layout.restart_with_half_batches(one, 7)
        assert ended.value.code == layout.RESTART_EXIT_CODE


@pytest.mark.parametrize(
    ("given", "measured", "expected"),
    [
        ({}, {"max_tokens_per_batch": 3000, "gradient_checkpointing": True}, (1366, True)),  # 8192 tokens in 6 parts
        ({}, {"max_tokens_per_batch": 3000, "gradient_checkpointing": False}, (1366, False)),
        ({"gradient_checkpointing": False}, {"max_tokens_per_batch": 3001}, (1366, False)),
        ({"max_tokens_per_batch": 900}, {"max_tokens_per_batch": 3000}, (900, False)),  # lowered, as the message said
        ({"max_tokens_per_batch": 4097}, {}, (1366, False)),  # in 3 parts, as 2 of 2048 are too few
        ({"per_device_train_batch_size": 5}, {}, (2, False)),
        ({"per_device_train_batch_size": 1}, {}, (1, True)),  # cannot be halved
    ],
)
def test_half_is_half_of_what_did_not_fit_and_not_of_what_arithmetic_says(
    tmp_path, shape_7b, card, monkeypatch, given, measured, expected
):
    """Measured were 3,000 tokens; half of the 8,192 that are reckoned here ran out of memory again."""
    card(80)
    monkeypatch.setattr(layout.os, "execv", lambda *_: None)
    first, second = training(tmp_path, **given), training(tmp_path, **given)
    layout.choose_batches(first, shape_7b, 20_000_000, 500, 16, False)
    vars(first).update(measured)
    layout.restart_with_half_batches(first, 7)
    layout.choose_batches(second, shape_7b, 20_000_000, 500, 16, False)
    assert second.update_size == first.update_size, "so that it resumes from the first one's checkpoints"
    found = second.max_tokens_per_batch or second.per_device_train_batch_size
    assert (found, second.gradient_checkpointing) == expected


def test_one_example_that_does_not_fit_is_not_tried_again(tmp_path, shape_7b, card):
    card(80)
    own = training(tmp_path, per_device_train_batch_size=1, gradient_checkpointing=True)
    layout.choose_batches(own, shape_7b, 10**7, 500, 16, False)
    with pytest.raises(
        InputError, match="micro-batches of 1 examples to fit into cuda, found it out of memory at step 7:"
    ):
        layout.restart_with_half_batches(own, 7)


def test_a_kernel_that_is_compiled_for_each_number_of_rows_is_left_out(tmp_path):
    """Batches by tokens have many; the other Liger kernels do not ask."""
    common = dict(output_dir=str(tmp_path), use_cpu=True)
    assert TrainingArguments(**common, use_liger_kernel=True).liger_kernel_config == {"rope": False}
    assert TrainingArguments(**common, use_liger_kernel=False).liger_kernel_config is None
    own = {"rope": True}
    assert TrainingArguments(**common, use_liger_kernel=True, liger_kernel_config=own).liger_kernel_config == own
