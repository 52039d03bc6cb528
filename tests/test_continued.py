"""A training that goes on from an adapter has its shape, starts at its weights, and compares with the untrained model."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_distributed import SAME_WEIGHTS, arguments, data, finish, largest_difference, losses, start
from trainings import ON_CPU, apart, lora, make_trainer, one_update, tiny_lora

from engines.adapter import weights_fingerprint
from engines.gpus import Gpu
from training.adapters import load_model
from training.arguments import DataArguments, TrainingArguments
from training.continued import WEIGHTS, load_adapter_weights, take_over_adapter
from training.frozen_trunk import frozen_layers
from training.launch import plan_launch
from training.teacher import untrained
from utils import ADAPTER_SETTINGS, InputError, read_json, write_json

# ruff: noqa: F811, F401 - fixtures

SHAPES = {
    "plain": {},
    "other rank and modules": {"lora_r": 3, "lora_alpha": 5, "lora_target_modules": ["q_proj", "down_proj"]},
    "dora rslora": {"lora_options": '{"use_dora": true, "use_rslora": true, "rank_pattern": {"q_proj": 2}}'},
    "upper layers": {"lora_options": '{"layers_to_transform": [2]}', "lora_target_modules": ["q_proj", "down_proj"]},
    "head in full": {"lora_options": '{"modules_to_save": ["lm_head"]}', "lora_target_modules": ["q_proj"]},
}


def save_adapter(folder: Path, path: str, system_prompt: str | None = None, **shape) -> str:
    """An adapter that changes what the model says, as finetune.py writes one."""
    tiny_lora(path, **shape).save_pretrained(folder)
    write_json(folder / ADAPTER_SETTINGS, {"system_prompt": system_prompt, "base_weights": weights_fingerprint(path)})
    return str(folder)


def change_config(folder: str, **changed) -> None:
    path = Path(folder) / "adapter_config.json"
    write_json(path, read_json(path, "a configuration") | changed)


def took_over(tmp_path, path: str, given, prompt: str | None = None, out: str = "out"):
    """The arguments for data and LoRA, after those of the adapter were taken over."""
    data = DataArguments("data.json", system_prompt=prompt)
    take_over_adapter(path, data, given, TrainingArguments(str(tmp_path / out), use_cpu=True))
    return data, given


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([[5, 77, 901, 12, 3000]])).logits


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_training_starts_where_the_adapter_ended_and_its_update_is_the_next_one(
    tiny_model_path, tokenizer, tmp_path, shape
):
    before = tiny_lora(tiny_model_path, **shape)
    folder = save_adapter(tmp_path / "first", tiny_model_path, **shape)
    _, given = took_over(tmp_path, tiny_model_path, lora(lora_r=None, lora_weights=folder))
    model = load_model(tiny_model_path, given, ON_CPU)
    assert torch.equal(logits(model), logits(before))
    assert frozen_layers(model) == frozen_layers(before)
    updates = [
        one_update(make_trainer(tiny_model_path, tokenizer, tmp_path, model=one, kl_weight=0.5))
        for one in (before, model)
    ]
    assert updates[1][0] == updates[0][0] and apart(updates[1][1], updates[0][1]) < 1e-6


def test_the_untrained_model_is_the_base_without_any_adapter(tiny_model_path, tmp_path):
    folder = save_adapter(tmp_path / "first", tiny_model_path)
    _, given = took_over(tmp_path, tiny_model_path, lora(lora_weights=folder))
    model = load_model(tiny_model_path, given, ON_CPU)
    base = load_model(tiny_model_path, lora(use_lora=False), ON_CPU)
    with untrained(model, "float32"):
        assert torch.equal(logits(model), logits(base))
    assert not torch.allclose(logits(model), logits(base), atol=1e-2)


def test_shape_and_system_prompt_are_the_adapters_unless_a_prompt_is_given(tiny_model_path, tmp_path):
    shape = {"lora_r": 3, "lora_alpha": 5, "lora_target_modules": ["q_proj", "down_proj"]}
    folder = save_adapter(tmp_path / "first", tiny_model_path, "Be brief.", **shape)
    data, given = took_over(tmp_path, tiny_model_path, lora(lora_r=None, lora_weights=folder))
    assert (given.lora_r, given.lora_alpha, given.lora_target_modules) == (3, 5, ["down_proj", "q_proj"])
    assert data.system_prompt == "Be brief."
    same = lora(lora_r=3, lora_alpha=5, lora_target_modules=["q_proj", "down_proj"], lora_weights=folder)
    assert took_over(tmp_path, tiny_model_path, same, "Be long.")[0].system_prompt == "Be long."
    fresh = lora(lora_r=None)
    assert took_over(tmp_path, tiny_model_path, fresh)[0].system_prompt is None and fresh.lora_r is None


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"lora_r": 8}, "expected --lora_r 4, as the adapter in .* has it, found 8"),
        ({"lora_alpha": 4}, "expected --lora_alpha 8, as"),
        ({"lora_target_modules": ["q_proj"]}, r"expected --lora_target_modules \['down_proj', .*, found \['q_proj'\]"),
        ({"lora_options": '{"use_dora": true}'}, "expected --lora_options use_dora False, as .*, found True"),
        ({"init_lora_weights": "pissa"}, "expected --init_lora_weights or --lora_weights, found both"),
        ({"use_lora": False}, "expected --use_lora True with --lora_weights, found False"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_another_shape_than_the_adapters_is_refused(tiny_model_path, tmp_path, asked, found):
    folder = save_adapter(tmp_path / "first", tiny_model_path)
    with pytest.raises(InputError, match=found):
        took_over(tmp_path, tiny_model_path, lora(**asked, lora_weights=folder))


def test_what_is_no_adapter_of_this_base_is_refused_before_weights_are_loaded(tiny_model_path, model_path, tmp_path):
    folder = save_adapter(tmp_path / "first", tiny_model_path)
    given = lora(lora_weights=folder)
    with pytest.raises(InputError, match="trained on other weights"):
        took_over(tmp_path, model_path, given)
    for out in ("first", "."):
        with pytest.raises(InputError, match="expected an --output_dir that does not hold --lora_weights"):
            took_over(tmp_path, tiny_model_path, given, out=out)
    change_config(folder, init_lora_weights="pissa_niter_4")
    with pytest.raises(InputError, match="found init_lora_weights pissa_niter_4, which changes the base"):
        took_over(tmp_path, tiny_model_path, given)
    change_config(folder, peft_type="VERA")
    with pytest.raises(InputError, match=r"expected a LoRA adapter in .*, found VERA"):
        took_over(tmp_path, tiny_model_path, given)
    (Path(folder) / WEIGHTS).unlink()
    with pytest.raises(InputError, match="expected the weights of an adapter at"):
        took_over(tmp_path, tiny_model_path, given)


@pytest.mark.parametrize("harm", ["missing", "of another module"])
def test_an_adapter_with_too_few_or_other_weights_is_named(tiny_model_path, tmp_path, harm):
    folder = save_adapter(tmp_path / "first", tiny_model_path)
    weights = load_file(Path(folder) / WEIGHTS)
    name = next(name for name in weights if "q_proj" in name)
    tensor = weights.pop(name)
    if harm == "of another module":
        weights |= {name: tensor, name.replace("q_proj", "z_proj"): tensor.clone()}
    save_file(weights, Path(folder) / WEIGHTS)
    with pytest.raises(InputError, match=r"found 1 missing or of other modules, such as .*[qz]_proj"):
        load_adapter_weights(tiny_lora(tiny_model_path), folder)


def test_the_launch_reckons_with_the_adapters_rank(tiny_model_path, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("engines.gpus.usable_gpus", lambda: [Gpu("0", "GPU-0", "a card", 80 << 30, 80 << 30)])
    monkeypatch.setattr("training.launch.choose_launch", lambda *given: seen.append(given[-1]))
    folder = save_adapter(tmp_path / "first", tiny_model_path, lora_options='{"rank_pattern": {"q_proj": 96}}')
    for more in (["--lora_weights", folder], ["--lora_r", "5"], []):
        plan_launch(tiny_model_path, None, more)
    assert seen == [96, 5, 16]


@pytest.fixture(scope="module")
def first(tiny_model_path, tmp_path_factory) -> str:
    return save_adapter(tmp_path_factory.mktemp("first") / "lora", tiny_model_path)


def continuing(tiny_model_path, data, out, first, *more) -> list[str]:
    return arguments(tiny_model_path, data, out, "--lora_weights", first, *more)


@pytest.fixture(scope="module")
def single(tiny_model_path, data, first, tmp_path_factory) -> Path:
    """One process that goes on: what two must give."""
    out = tmp_path_factory.mktemp("single")
    output = finish(start(1, continuing(tiny_model_path, data, out, first, "--per_device_train_batch_size", 8)))
    assert "rank 4" in output and 1e-3 < largest_difference(out, Path(first)) < 0.1
    settings = read_json(out / ADAPTER_SETTINGS, "settings")
    assert settings == {"system_prompt": "", "base_weights": weights_fingerprint(tiny_model_path)}
    return out


@pytest.mark.parametrize(
    "config", [None, pytest.param("zero2", marks=pytest.mark.slow), "zero3"], ids=lambda config: config or "ddp"
)
def test_two_processes_that_go_on_give_the_adapter_of_one(config, single, tiny_model_path, data, first, tmp_path):
    more = ["--per_device_train_batch_size", 4, *(["--deepspeed", f"ds_configs/{config}.json"] if config else [])]
    finish(start(2, continuing(tiny_model_path, data, tmp_path, first, *more)))
    assert largest_difference(single, tmp_path) <= SAME_WEIGHTS
    assert losses(tmp_path) == pytest.approx(losses(single), abs=1e-3)


def test_a_stopped_training_goes_on_from_its_checkpoint_and_not_from_another_adapter(
    single, tiny_model_path, data, first, tmp_path
):
    more = ["--per_device_train_batch_size", 8, "--resume_from_checkpoint", "auto"]
    command = continuing(tiny_model_path, data, tmp_path / "out", first, *more)
    process = start(1, command)
    for line in process.stdout:
        if "step 2/" in line:
            process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=600) == 128 + signal.SIGTERM
    other = shutil.copytree(first, tmp_path / "other")
    weights = load_file(other / WEIGHTS)
    save_file({name: 2 * tensor for name, tensor in weights.items()}, other / WEIGHTS)
    refused = start(1, continuing(tiny_model_path, data, tmp_path / "out", str(other), *more))
    assert "with the content of --lora_weights of" in refused.communicate()[0] and refused.returncode == 2
    assert "resumed from" in finish(start(1, command))
    assert largest_difference(single, tmp_path / "out") <= SAME_WEIGHTS
