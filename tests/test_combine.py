"""Two adapters as one compute what both compute together, in every layer and of every rank and scale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_continued import change_config, logits, save_adapter
from trainings import ON_CPU, lora

from training.adapters import load_model
from training.combine import combine
from training.read_back import relative_difference
from utils import ADAPTER_SETTINGS, InputError, log_file, read_json, write_json

PAIRS = {
    "of one shape": ({}, {}),
    "other ranks, scales and modules": (
        {"lora_r": 3, "lora_alpha": 5, "lora_target_modules": ["q_proj", "down_proj"]},
        {"lora_r": 6, "lora_options": '{"rank_pattern": {"layers.1.*.v_proj": 2}, "alpha_pattern": {"v_proj": 7}}'},
    ),
    "rslora and one layer": (
        {"lora_options": '{"use_rslora": true}'},
        {"lora_options": '{"layers_to_transform": [2]}', "lora_target_modules": ["q_proj", "up_proj"]},
    ),
}  # fmt: skip


def with_both(path: str, first: str, second: str):
    """PEFT's own way: two adapters beside each other, both active."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(load_model(path, lora(use_lora=False), ON_CPU), first, adapter_name="first")
    model.load_adapter(second, "second")
    model.base_model.set_adapter(["first", "second"])
    return model


@pytest.mark.parametrize("shapes", PAIRS.values(), ids=PAIRS)
def test_both_as_one_give_the_logits_of_both_side_by_side(tiny_model_path, tmp_path, shapes):
    from peft import PeftModel

    folders = [
        save_adapter(tmp_path / name, tiny_model_path, **shape)
        for name, shape in zip(("first", "second"), shapes, strict=True)
    ]
    combine(*folders, str(tmp_path / "both"))
    base = load_model(tiny_model_path, lora(use_lora=False), ON_CPU)
    before = logits(base)
    found = logits(PeftModel.from_pretrained(base, str(tmp_path / "both")))
    expected = logits(with_both(tiny_model_path, *folders))
    assert relative_difference(found, expected) < 1e-5 < 1e-2 < relative_difference(before, expected)
    config = read_json(tmp_path / "both" / "adapter_config.json", "a configuration")
    assert config["rank_pattern"] == config["alpha_pattern"] == {} and config["r"] == config["lora_alpha"]
    assert config["layers_to_transform"] is None and not list(tmp_path.glob(".both*"))


@pytest.fixture
def pair(tmp_path) -> list[str]:
    """Two folders as far as they are looked at before any weights."""
    for name in ("first", "second"):
        config = {"peft_type": "LORA", "base_model_name_or_path": "models/a", "r": 4, "lora_alpha": 8}
        write_json(tmp_path / name / "adapter_config.json", config)
        write_json(tmp_path / name / ADAPTER_SETTINGS, {"system_prompt": None, "base_weights": "1f"})
        (tmp_path / name / "adapter_model.safetensors").write_bytes(b"weights")
    return [str(tmp_path / name) for name in ("first", "second")]


@pytest.mark.parametrize(
    ("settings", "config", "found"),
    [
        ({"base_weights": "2e"}, {}, "expected two adapters of one base, found .* trained on different weights"),
        ({"base_weights": None}, {"base_model_name_or_path": "models/b"}, "an adapter for models/a, found one for models/b"),
        ({"system_prompt": "Be brief."}, {}, "with one system prompt, found None in .* and 'Be brief.'"),
        ({}, {"use_dora": True}, "expected plain LoRA in .*second, found DoRA"),
        ({}, {"modules_to_save": ["lm_head"]}, "expected plain LoRA in .*second, found modules_to_save"),
        ({}, {"init_lora_weights": "pissa"}, "found init_lora_weights pissa, which changes the base"),
        ({}, {"peft_type": "LOHA"}, "expected a LoRA adapter in .*second, found LOHA"),
    ],
    ids=lambda one: str(one)[:40],
)  # fmt: skip
def test_what_cannot_be_added_is_refused(pair, tmp_path, settings, config, found):
    path = Path(pair[1]) / ADAPTER_SETTINGS
    write_json(path, read_json(path, "settings") | settings)
    change_config(pair[1], **config)
    with pytest.raises(InputError, match=found):
        combine(*pair, str(tmp_path / "both"))
    assert not (tmp_path / "both").exists()


def test_neither_of_the_two_is_written_over(pair):
    for folder in pair:
        with pytest.raises(InputError, match=f"expected another folder than {folder} for both"):
            combine(*pair, folder)


@pytest.mark.parametrize("name", ["around", "notes", "notes/a.txt"])
def test_nothing_but_an_adapter_is_replaced(pair, tmp_path, name):
    around, notes = tmp_path / "around", tmp_path / "notes"
    for folder in (around, notes):
        folder.mkdir()
    (notes / "a.txt").write_text("of somebody")
    pair = [str(Path(folder).rename(around / Path(folder).name)) for folder in pair]
    with pytest.raises(
        InputError, match=f"found .*{Path(name).name}: give another OUT|found .*first: give another OUT"
    ):
        combine(*pair, str(tmp_path / name))
    assert (notes / "a.txt").read_text() == "of somebody" and Path(pair[0]).is_dir()


def test_weights_besides_those_of_linear_layers_are_named(tiny_model_path, tmp_path):
    folder = save_adapter(tmp_path / "first", tiny_model_path, lora_target_modules=["q_proj", "embed_tokens"])
    with pytest.raises(InputError, match=r"found base_model\.model\.model\.embed_tokens\."):
        combine(folder, folder, str(tmp_path / "both"))


def test_the_command_replaces_an_earlier_one_and_keeps_tokenizer_settings_and_how_it_was_made(
    tiny_model_path, tmp_path
):
    first, second = (
        save_adapter(tmp_path / name, tiny_model_path, "Be brief.", lora_target_modules=["q_proj"])
        for name in ("first", "second")
    )
    (tmp_path / "second" / "tokenizer.json").write_text("the tokenizer")
    (tmp_path / "second" / "train_log.json").write_text("of the second alone")
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "checkpoint-3").mkdir()
    command = [sys.executable, "-m", "training.combine", first, second, str(tmp_path / "both")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"combined: {tmp_path / 'both'}, rank 8"
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "knowledge_update.json", "log", "tokenizer.json",
    ]  # fmt: skip
    assert read_json(tmp_path / "both" / ADAPTER_SETTINGS, "settings")["system_prompt"] == "Be brief."
    meta = read_json(log_file(tmp_path / "both" / "combined.meta.json"), "how it was made")
    assert meta["arguments"] == {"first": first, "second": second} and meta["rank"] == 8
