"""An adapter that is not the trained one is not called saved, and one that is, in any precision, is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_finetune import make_trainer, tiny_lora

from training import read_back
from training.read_back import alone, compare_in_fresh_process, relative_difference, rounding

FINE = torch.tensor([[[1.0, -2.0, 3.0]]])
REQUEST = {"adapter": "somewhere", "precision": "float32", "layers": 3}


def answering(monkeypatch, logits: list[torch.Tensor], norms: dict | None = None) -> None:
    """A fresh process that finds these logits, beside the base and merged into it."""

    def run(command, **_):
        folder = Path(json.loads(Path(command[-1]).read_text())["folder"])
        torch.save({"norms": norms or {}, "logits": logits}, folder / "answer.pt")
        return 0, ""

    monkeypatch.setattr(read_back, "run_child", run)


@pytest.mark.parametrize("place", [0, 1], ids=["beside its base", "merged"])
@pytest.mark.parametrize(
    "wrong", [FINE * 1.001, FINE * float("nan"), FINE + 0.01], ids=["scaled", "no number", "moved"]
)
def test_logits_that_differ_are_an_error_on_either_path(monkeypatch, place, wrong):
    found = [FINE.clone(), FINE.clone()]
    answering(monkeypatch, found)
    assert compare_in_fresh_process(REQUEST, {}, FINE, {}) == 0
    found[place] = wrong
    answering(monkeypatch, found)
    with pytest.raises(RuntimeError, match="differs from the trained one"):
        compare_in_fresh_process(REQUEST, {}, FINE, {})


def test_what_rounding_explains_goes_by_what_was_computed_how():
    """5 % of the largest logit let everything pass, and float32's millionth failed every training in 4 bits."""
    assert rounding("float32", 30) == pytest.approx(2.1e-5, rel=0.05)
    assert rounding("bfloat16", 28) == pytest.approx(0.124, rel=0.05)
    assert rounding("float16", 28) == rounding("tf32", 28) == pytest.approx(rounding("bfloat16", 28) / 8)
    assert relative_difference(FINE * 1.01, FINE) == pytest.approx(0.01) and relative_difference(FINE, FINE) == 0


def test_float32_weights_under_bfloat16_autocast_are_compared_as_such(tiny_model_path, tokenizer, tmp_path):
    """As --q_lora leaves them: its norms and embeddings are float32, and its products are of bfloat16."""
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, model=tiny_lora(tiny_model_path), max_steps=1)
    trainer.args.bf16 = True
    batch = trainer.data_collator([trainer.train_dataset[3]])
    request = read_back.request_for(trainer.model, str(tmp_path), trainer.args)
    assert (request["precision"], request["dtype"]) == ("bfloat16", "bfloat16")
    difference = read_back.safe_save_model_for_hf_trainer(trainer, str(tmp_path / "lora"), batch)
    assert rounding("float32", 3) < difference < rounding("bfloat16", 3)


def test_an_adapter_with_another_scale_is_found_by_its_logits(tiny_model_path, tokenizer, tmp_path, monkeypatch):
    """Its tensors are those trained; what is done with them is not."""
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path)
    save = trainer.save_model

    def rescaled(folder):
        save(folder)
        path = Path(folder) / "adapter_config.json"
        settings = json.loads(path.read_text())
        path.write_text(json.dumps({**settings, "lora_alpha": settings["lora_alpha"] * 1.05}))

    monkeypatch.setattr(trainer, "save_model", rescaled)
    with pytest.raises(RuntimeError, match="differs from the trained one"):
        read_back.safe_save_model_for_hf_trainer(
            trainer, str(tmp_path), trainer.data_collator([trainer.train_dataset[0]])
        )


def test_a_process_of_its_own_is_no_rank_and_has_all_cores(monkeypatch):
    """Under torchrun it inherited OMP_NUM_THREADS=1, and read a 7B with one thread."""
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "8"), ("OMP_NUM_THREADS", "1"), ("TORCHELASTIC_RUN_ID", "x")):
        monkeypatch.setenv(name, value)
    assert not {"RANK", "WORLD_SIZE", "OMP_NUM_THREADS", "TORCHELASTIC_RUN_ID"} & alone().keys()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert alone()["OMP_NUM_THREADS"] == "1", "the user's own"
