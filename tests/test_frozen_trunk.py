"""A step that begins above the frozen layers is the step that runs them all."""

from __future__ import annotations

import pytest
import torch
from test_batches import EXAMPLES
from test_plan import PLAN
from trainings import apart, examples, make_trainer, one_update, tiny_lora, training

from training import frozen_trunk
from training.arguments import DataArguments
from training.batches import PaddedCollator
from training.data import SupervisedDataset
from training.frozen_trunk import (
    ExamplesWithStates,
    StatesCollator,
    TrunkPlan,
    TrunkTrainer,
    can_keep_states,
    compute_states,
    frozen_layers,
    start_above,
)

UPPER_LAYER = {"lora_options": '{"layers_to_transform": [2]}', "lora_target_modules": ["q_proj", "down_proj"]}


@pytest.fixture
def upper(tiny_model_path):
    """The tiny model with LoRA on the last of its three layers."""
    return tiny_lora(tiny_model_path, **UPPER_LAYER)


@pytest.fixture
def data(tokenizer):
    return SupervisedDataset(examples(8), tokenizer, "", 512)


def test_the_update_is_the_same_with_kept_states(tiny_model_path, tokenizer, tmp_path, upper, data):
    collator = PaddedCollator(tokenizer.pad_token_id)
    common = dict(per_device_train_batch_size=4, gradient_accumulation_steps=2, kl_weight=1.0)
    expected = one_update(make_trainer(tiny_model_path, tokenizer, tmp_path, model=upper, **common))
    model = tiny_lora(tiny_model_path, **UPPER_LAYER)
    options = {"kind": TrunkTrainer, "train_dataset": compute_states(model, data, collator, 2, tmp_path)}
    assert isinstance(options["train_dataset"], ExamplesWithStates)
    trainer = make_trainer(
        tiny_model_path, tokenizer, tmp_path, None, StatesCollator(collator), options, model=model, **common
    )
    ran = []
    model.get_decoder().layers[0].mlp.register_forward_hook(lambda *_: ran.append(1))
    found = one_update(trainer)
    assert not ran
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert apart(found[1], expected[1]) < 1e-4


def test_only_layers_below_all_that_is_trained_are_frozen(tiny_model_path, upper):
    assert frozen_layers(upper) == 2
    assert frozen_layers(tiny_lora(tiny_model_path)) == 0
    upper.get_decoder().get_input_embeddings().weight.requires_grad_(True)
    assert frozen_layers(upper) == 0


def test_the_layers_run_again_afterwards(upper, data, tokenizer):
    batch = PaddedCollator(tokenizer.pad_token_id)([data[0]])
    before = frozen_trunk.last_hidden_states(upper, batch)
    with start_above(upper, 2):
        assert not torch.equal(frozen_trunk.last_hidden_states(upper, batch), before)
    assert torch.equal(frozen_trunk.last_hidden_states(upper, batch), before)


@pytest.mark.parametrize("limit, allowed", [(0, 1e-3), (1 << 30, -1.0)])
def test_states_that_are_too_many_or_not_the_same_are_not_kept(
    upper, data, tokenizer, tmp_path, monkeypatch, limit, allowed
):
    monkeypatch.setattr(frozen_trunk, "MAX_BYTES", limit)
    monkeypatch.setattr(frozen_trunk, "rounding_tolerance", lambda *_: allowed)
    assert compute_states(upper, data, PaddedCollator(tokenizer.pad_token_id), 2, tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_after_a_kill_only_the_states_that_are_missing_are_run(upper, data, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_trunk, "ROWS_PER_BATCH", 2)
    ran, states_at_layer = [], frozen_trunk.states_at_layer
    monkeypatch.setattr(frozen_trunk, "states_at_layer", lambda *given: ran.append(1) or states_at_layer(*given))

    def states(examples=data) -> list[torch.Tensor]:
        ran.clear()
        return [row.clone() for row in compute_states(upper, examples, PaddedCollator(0), 2, tmp_path).states]

    whole, path = states(), tmp_path / frozen_trunk.STATES_FILE
    assert len(ran) == 4
    assert all(map(torch.equal, states(), whole)) and not ran
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])  # in the middle of a row
    assert all(map(torch.equal, states(), whole)) and 1 <= len(ran) < 4
    fewer = SupervisedDataset(examples(6), tokenizer, "", 512)
    assert len(states(fewer)) == 6 and len(ran) == 3  # the states of other examples are not taken for these
    assert all(map(torch.equal, states(fewer), whole[:6]))


def test_no_layer_is_frozen_where_chance_enters_or_nothing_is_trained(tiny_model_path, upper):
    upper.get_decoder().config.attention_dropout = 0.1
    assert frozen_layers(upper) == 0
    upper.get_decoder().config.attention_dropout = 0.0
    assert frozen_layers(tiny_lora(tiny_model_path, **UPPER_LAYER, lora_dropout=0.1)) == 0
    upper.requires_grad_(False)
    assert frozen_layers(upper) == 0


def test_kept_states_are_padded_as_the_tokens_are():
    states = [torch.full((len(example["input_ids"]), 2), 1.0) for example in EXAMPLES]
    batch = StatesCollator(PaddedCollator(0))(
        [{**example, "states": own} for example, own in zip(EXAMPLES, states, strict=True)]
    )
    assert batch["inputs_embeds"][:, :, 0].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch["inputs_embeds"].shape == (3, 5, 2)


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, True), ({"keep_frozen_states": False}, False), ({"world_size": 2}, False), ({"deepspeed": "a.json"}, False),
        ({"padding_free": True}, False), ({"torch_compile": True}, False), ({"gradient_checkpointing": True}, False),
    ],
    ids=str,
)  # fmt: skip
def test_states_are_kept_where_one_process_runs_the_layers_as_they_are(changed, kept):
    assert can_keep_states(training(**changed), DataArguments("a.json")) == kept
    assert not can_keep_states(training(**changed), DataArguments("a.json", lazy_preprocess=True))


def test_the_plan_of_a_training_above_frozen_layers_says_so_and_counts_their_work_once():
    plan = TrunkPlan(**PLAN, frozen_layers=2, frozen_parameters=5 * 10**7)
    assert plan.expected_minutes == 14.6, "of 25.0: half of the weights run once, forward only"
    assert (
        plan.lines()[-1]
        == "1 processes on cpu, float32, sdpa, the lowest 2 layers run once per example; about 14.6 minutes"
    )
    assert plan.as_dict()["frozen_layers"] == 2


def test_a_trainer_above_frozen_layers_validates_on_tokens_and_plans_with_them(
    tiny_model_path, tokenizer, tmp_path, upper, data
):
    collator = PaddedCollator(tokenizer.pad_token_id)
    expected = make_trainer(tiny_model_path, tokenizer, tmp_path, model=upper).evaluate(data)["eval_loss"]
    kept = compute_states(upper, data, collator, 2, tmp_path)
    options = {"kind": TrunkTrainer, "train_dataset": kept, "peak_flops": 1e12}
    trainer = make_trainer(
        tiny_model_path, tokenizer, tmp_path, None, StatesCollator(collator), options, model=upper, max_steps=2
    )
    assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected)
    frozen = sum(p.numel() for layer in upper.get_decoder().layers[:2] for p in layer.parameters())
    plan = trainer.plan(4, 0, 0, 4)
    assert (plan.frozen_layers, plan.frozen_parameters, plan.parameters) == (2, frozen, trainer.parameter_count)
    trainer.train()
    assert trainer.state.total_flos == 4 * (trainer.parameter_count - frozen) * trainer.token_counts["padded"]
