"""An adapter that is not the trained one is not called saved, and one that is, in any precision, is."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from trainings import make_trainer, tiny_lora

from training import read_back
from training.batches import PaddingFreeCollator
from training.read_back import (
    compare_in_fresh_process,
    relative_difference,
    rounding_tolerance,
    single_process_environment,
)

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


def test_a_merged_adapter_may_differ_by_twice_as_much(monkeypatch):
    more = FINE.double() * (1 + 1.5 * rounding_tolerance("float32", 3))
    answering(monkeypatch, [FINE, more])
    assert compare_in_fresh_process(REQUEST, {}, FINE, {}) > rounding_tolerance("float32", 3)
    answering(monkeypatch, [more, more])
    with pytest.raises(RuntimeError, match="differs from the trained one"):
        compare_in_fresh_process(REQUEST, {}, FINE, {})


NORMS = {"a": [[2, 3], 1.0], "b": [[4], 2.0]}


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (NORMS, True),
        ({**NORMS, "b": [[4], 2.0001]}, True),  # a sum in another order
        ({**NORMS, "b": [[4], 2.0005]}, False),
        ({**NORMS, "b": [[4], float("nan")]}, False),
        ({**NORMS, "b": [[2, 2], 2.0]}, False),
        ({"a": NORMS["a"]}, False),
        ({**NORMS, "c": [[1], 0.0]}, False),
        ({}, False),
    ],
    ids=["same", "rounded", "other norm", "no number", "other shape", "one missing", "one too many", "none"],
)
def test_every_tensor_that_was_trained_has_to_be_there_as_it_was(monkeypatch, found, same):
    answering(monkeypatch, [FINE, FINE], found)
    if same:
        assert compare_in_fresh_process(REQUEST, {}, FINE, NORMS) == 0
    else:
        with pytest.raises(RuntimeError, match="with norm"):
            compare_in_fresh_process(REQUEST, {}, FINE, NORMS)
    assert compare_in_fresh_process(REQUEST, {}, FINE, {}) == 0, "a converted adapter has other tensors"


def test_the_larger_of_the_two_differences_is_told(monkeypatch):
    near = FINE.double() * (1 + 4e-6)
    for logits in ([FINE, near], [near, FINE]):
        answering(monkeypatch, logits)
        assert compare_in_fresh_process(REQUEST, {}, FINE, {}) == pytest.approx(4e-6)


def test_a_process_that_fails_is_an_error_with_its_words(monkeypatch):
    monkeypatch.setattr(read_back, "run_child", lambda *_, **__: (1, "OSError: no such file\n"))
    with pytest.raises(RuntimeError, match="somewhere cannot be read back: OSError: no such file"):
        compare_in_fresh_process(REQUEST, {}, FINE, {})


def test_the_adapter_is_read_from_the_disk_beside_its_base_and_merged_into_it(tiny_model_path, tmp_path):
    """What inference does is merged: an adapter that is right beside its base alone would not be noticed."""
    model = tiny_lora(tiny_model_path).eval()
    model.save_pretrained(tmp_path)
    inputs = {"input_ids": torch.tensor([[1, 2, 3, 4]])}
    torch.save(inputs, tmp_path / "inputs.pt")
    read_back.reopen({
        "base": tiny_model_path, "adapter": str(tmp_path), "folder": str(tmp_path), "dtype": "float32", "attention": "sdpa",
        "in_4_bits": False, "precision": "float32", "device": "cpu",
    })  # fmt: skip
    answer = torch.load(tmp_path / "answer.pt")
    with torch.no_grad():
        trained = model(**inputs).logits
        with model.disable_adapter():
            assert relative_difference(model(**inputs).logits, trained) > 1e-3, "the adapter changes what is said"
    beside, merged = answer["logits"]
    assert relative_difference(beside, trained) < 1e-5 and relative_difference(merged, trained) < 1e-4
    assert not torch.equal(beside, merged), "merged, they are rounded otherwise"
    assert len(answer["norms"]) == 2 * 7 * 3 and all(norm > 0 for _, norm in answer["norms"].values())


def test_what_a_training_computes_in():
    for bf16, fp16, tf32, device, expected in (
        (True, False, True, "cuda", "bfloat16"),
        (False, True, True, "cuda", "float16"),
        (False, False, True, "cuda", "tf32"),
        (False, False, True, "cpu", "float32"),  # which has no such units
        (False, False, False, "cuda", "float32"),
    ):
        own = SimpleNamespace(bf16=bf16, fp16=fp16, tf32=tf32, device=torch.device(device))
        assert read_back.compute_precision(own) == expected


def test_what_rounding_explains_goes_by_what_was_computed_how():
    """5 % of the largest logit let everything pass, and float32's millionth failed every training in 4 bits."""
    assert rounding_tolerance("float32", 30) == pytest.approx(2.1e-5, rel=0.05)
    assert rounding_tolerance("bfloat16", 28) == pytest.approx(0.124, rel=0.05)
    assert (
        rounding_tolerance("float16", 28)
        == rounding_tolerance("tf32", 28)
        == pytest.approx(rounding_tolerance("bfloat16", 28) / 8)
    )
    assert relative_difference(FINE * 1.01, FINE) == pytest.approx(0.01) and relative_difference(FINE, FINE) == 0


def test_float32_weights_under_bfloat16_autocast_are_compared_as_such(tiny_model_path, tokenizer, tmp_path):
    """The base is float32, as when all weights are trained; products are of bfloat16."""
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, model=tiny_lora(tiny_model_path), max_steps=1)
    trainer.args.bf16 = True
    batch = trainer.data_collator([trainer.train_dataset[3]])
    request = read_back.make_request(trainer.model, str(tmp_path), trainer.args)
    assert (request["precision"], request["dtype"]) == ("bfloat16", "bfloat16")
    difference = read_back.safe_save_model_for_hf_trainer(trainer, str(tmp_path / "lora"), batch)
    assert rounding_tolerance("float32", 3) < difference < rounding_tolerance("bfloat16", 3)


@pytest.mark.parametrize("collator", [None, PaddingFreeCollator(False)], ids=["padded", "without padding"])
def test_of_a_long_example_the_beginning_is_compared(tiny_model_path, tokenizer, tmp_path, monkeypatch, collator):
    """Its logits over a large vocabulary took memory that was not there, at the end of the training."""
    monkeypatch.setattr(read_back, "COMPARED_TOKENS", 40)
    trainer = make_trainer(tiny_model_path, tokenizer, tmp_path, collator=collator)
    batch, seen = trainer.data_collator([trainer.train_dataset[7]]), []
    assert batch["input_ids"].shape[1] > 40

    def compare(_request, inputs, logits, _norms) -> float:
        seen.append(({name: value.shape for name, value in inputs.items()}, logits.shape[:2]))
        return 0.0

    monkeypatch.setattr(read_back, "compare_in_fresh_process", compare)
    assert read_back.safe_save_model_for_hf_trainer(trainer, str(tmp_path / "lora"), batch) == 0.0
    names = ["input_ids"] if collator is None else ["input_ids", "position_ids"]
    assert seen == [(dict.fromkeys(names, (1, 40)), (1, 40))]


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
    assert not {"RANK", "WORLD_SIZE", "OMP_NUM_THREADS", "TORCHELASTIC_RUN_ID"} & single_process_environment().keys()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert single_process_environment()["OMP_NUM_THREADS"] == "1", "the user's own"
