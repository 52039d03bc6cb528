"""A run as one model: its weights are base and adapter, another model is not exported, and its card says what files say."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from pathlib import Path

import huggingface_hub
import pytest
import torch
from runs import write_demo_run
from tuned_runs import SYSTEM_PROMPT, write_tuned_run

from engines.served import Likeness
from engines.tuned_run import TunedRun, read_run
from training import gguf_file, merge
from training.export import export, export_gguf
from training.merge import (
    Difference,
    check_merged,
    merge_adapter,
    merge_in_float32,
    merging_tolerance,
    require_full_weights,
)
from training.model_card import base_licence, write_card
from utils import InputError, log_file, write_json

DIFFERENCE = Difference(0.0054, 0.021, 0.64)


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model_path) -> TunedRun:
    return read_run(write_tuned_run(tmp_path_factory.mktemp("run"), tiny_model_path))


@pytest.fixture(scope="module")
def merged(run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("merged") / "export"
    merge_adapter(run, folder, "bfloat16")
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_the_merged_model_is_the_tuned_one_to_one_rounding(run, merged):
    found = check_merged(run, merged, "bfloat16")
    assert found.allowed == pytest.approx(2**-8 * math.sqrt(3))
    assert 0 < found.merged < found.allowed < found.effect / 4
    assert {tensor.dtype for tensor in weights(merged).values()} == {torch.bfloat16}


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8", "bitsandbytes"])
def test_a_quantised_base_is_refused_before_it_is_loaded(tmp_path, tiny_model_path, method):
    config = json.loads((Path(tiny_model_path) / "config.json").read_text())
    require_full_weights(tiny_model_path)
    write_json(tmp_path / "config.json", config | {"quantization_config": {"quant_method": method, "bits": 4}})
    with pytest.raises(
        InputError, match=rf"expected weights in 16 or 32 bits .*found them quantised \({method}\): serve"
    ):
        require_full_weights(str(tmp_path))


@pytest.mark.parametrize("share", [0.0, 0.95], ids=["no adapter", "another scale"])
def test_another_model_is_not_called_the_tuned_one(run, tmp_path, share):
    """As where a merge leaves the adapter out, or takes another alpha."""
    other = tmp_path / "lora"
    other.mkdir()
    for file in Path(run.adapter).glob("*.*"):
        (other / file.name).write_bytes(file.read_bytes())
    settings = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps({**settings, "lora_alpha": settings["lora_alpha"] * share}))
    merge_adapter(TunedRun(run.folder, run.base, str(other), run.system_prompt), tmp_path / "export", "bfloat16")
    with pytest.raises(RuntimeError, match=r"differs from .*lora beside its base"):
        check_merged(run, tmp_path / "export", "bfloat16")


def test_a_sum_of_16_bits_is_rounded_once():
    """PEFT rounds the adapter's share to the base's precision, and then the sum."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4, vocab_size=64)
    base = LlamaForCausalLM(LlamaConfig(**sizes)).to(torch.bfloat16)
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    before, change = layer.base_layer.weight.detach().clone(), layer.get_delta_weight("default").float()
    once, twice = (before.float() + change).bfloat16(), before + change.bfloat16()
    assert not torch.equal(once, twice)
    found = merge_in_float32(model).model.layers[0].self_attn.q_proj.weight
    assert found.dtype == torch.bfloat16 and torch.equal(found, once)


def test_an_adapter_that_rounding_swallows_is_not_exported(run, monkeypatch, merged):
    """Its effect is below the tolerance: without the second limit, its base would pass for it."""
    tuned = torch.randn(1, 4, 8)
    logits = [tuned, tuned * 1.001, tuned * 1.0009]
    monkeypatch.setattr(merge, "ask_fresh_process", lambda *_: {"logits": logits})
    with pytest.raises(RuntimeError, match="give DTYPE=float32"):
        check_merged(run, merged, "bfloat16")
    logits[2] = tuned * 1.0001
    assert check_merged(run, merged, "bfloat16").allowed == pytest.approx(0.00025, rel=0.01)


def test_what_merging_may_change_goes_by_what_is_rounded():
    assert merging_tolerance("bfloat16", "float32", 30) == pytest.approx(0.0214, rel=0.01)
    assert merging_tolerance("bfloat16", "bfloat16", 30) == pytest.approx(0.128, rel=0.01)
    assert merging_tolerance("float32", "float32", 30) == pytest.approx(2.1e-5, rel=0.01)


def test_the_export_is_there_whole_or_not_at_all_and_loads_like_any_model(run, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (run.folder / "export").mkdir()
    (run.folder / "export" / "of_an_earlier_run").write_text("")
    monkeypatch.setattr("training.export.write_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(run, "bfloat16", None, None)
    assert [file.name for file in (run.folder / "export").iterdir()] == ["of_an_earlier_run"]
    monkeypatch.undo()
    folder = export(run, "float32", "owner/base", "mit")
    assert {file.name for file in folder.iterdir()} == {
        "README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    meta = json.loads(log_file(run.folder / "export.meta.json").read_text())
    assert meta["merged_difference"] <= meta["merged_allowed"] < meta["adapter_effect"] and meta["gguf"] is None
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    expected = json.loads((run.folder / "tuned.json").read_text())[0]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": expected["question"]}], tokenize=False, add_generation_prompt=True
    )
    assert SYSTEM_PROMPT in text
    inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    answer = model.generate(**inputs, max_new_tokens=8)[0, inputs.input_ids.shape[1] :]
    assert tokenizer.decode(answer, skip_special_tokens=True).strip() == expected["response"]


def full_run(folder: Path, base: str) -> TunedRun:
    """A demo run's files with all that a card tells of."""
    write_demo_run(folder)
    rows = [{"file_name": f"{n:02}.txt"} for n in range(12)]
    write_json(folder / "data.json", rows)
    counts = {"documents": 12, "chunks": 30, "facts": 1234, "rows": {"qa": 9, "passage": 3}}
    write_json(log_file(folder / "data.meta.json"), {"counts": counts})
    arguments = {
        "lora_target_modules": ["q_proj"], "lora_alpha": None, "lora_r": 16, "kl_weight": 8.0, "learning_rate": 2e-3,
        "lr_scheduler_type": "cosine",
    }  # fmt: skip
    training = {
        "arguments": arguments, "counts": {"examples": 1663, "replay": 499}, "updates": 1017, "weights_of_step": 900,
        "seconds": 1332.9, "machine": "a machine", "versions": {"torch": "2.13.0", "deepspeed": "0"}, "commit": "abc",
        "finished": "2026-11-29 08:21:47",
    }  # fmt: skip
    write_json(log_file(folder / "lora" / "training.meta.json"), training)
    retention = {
        "known_before": 24, "kept": 19, "kept_share": 0.7917, "interval": [0.5953, 0.9076],
        "lost_answers": [{"question": f"Lost {n}?"} for n in range(11)],
    }  # fmt: skip
    drift = {"prompts": 24, "mean_kl": 0.0903, "top1_agreement": 0.8698}
    write_json(folder / "tuned_forgetting.json", {"retention": retention, "drift": drift})
    chunks = [{"text": "Der Vorstand beschließt über die Kündigung der Verträge mit den Lieferanten."}] * 3
    chunks += [{"text": "The board decides on the suppliers' contracts and on when they end."}] * 7
    (folder / "data.chunks.jsonl").write_text("".join(json.dumps(chunk) + "\n" for chunk in chunks))
    return TunedRun(folder, base, str(folder / "lora"), "Answer briefly.")


def card(run: TunedRun, folder: Path, *names: str | None, gguf: Likeness | None = None) -> huggingface_hub.ModelCard:
    folder.mkdir(exist_ok=True)
    write_card(run, folder, "bfloat16", DIFFERENCE, gguf, *names)
    return huggingface_hub.ModelCard.load(folder / "README.md")


def test_the_head_of_the_card_is_what_the_hub_reads(tmp_path):
    base = tmp_path / "some-model"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: llama3.2\n---\n# A model\n")
    run = full_run(tmp_path, str(base))
    found = card(run, tmp_path / "export", "owner/some-model", None).data
    assert (found.base_model, found.library_name, found.license) == ("owner/some-model", "transformers", "llama3.2")
    assert found.language == ["en", "de"] and "knowledge-update" in found.tags and "gguf" not in found.tags
    (tmp_path / "export" / "model-bf16.gguf").write_bytes(b"")
    found = card(run, tmp_path / "export", None, "mit").data
    assert found.base_model is None, "a folder's name would be read as that of somebody's model"
    assert found.license == "mit" and "gguf" in found.tags
    (base / "README.md").write_text("# A model without a head\n")
    assert base_licence(str(base)) == "unknown"


def test_the_card_says_what_was_read_trained_measured_and_forgotten(tmp_path):
    text = card(full_run(tmp_path, "owner/model"), tmp_path / "export", None, "mit").text
    for said in (
        "# model, taught", "`Answer briefly.`", "12 documents in 30 chunks: 00.txt, 01.txt", "09.txt and 2 more",
        "1,234 facts", "12 rows of training data (9 qa, 3 passage)", "rank 16, alpha 32, on q_proj", "1,663 examples",
        "1,017 updates at a learning rate of 0.002", "weights of update 900", "22 minutes on a machine; torch 2.13.0\n",
        "| before | 0 | 3 | 0.0 % [0.0, 56.1] |", "| after | 2 | 3 | 66.7 % [20.8, 93.8] |", "qa 1/2, reverse 1/1",
        "2 answers gained, 0 lost", "answers 19: 79.2 % [59.5, 90.8]. Lost:\n- Lost 0?", "- Lost 9?\n- and 1 more",
        "0.090 nats a token", "87.0 %", "5.4e-03", "2.1e-02 was allowed", "1 of 3 wrongly",
    ):  # fmt: skip
        assert said in text, said
    assert "Lost 10?" not in text and "10.txt" not in text and "GGUF" not in text


def test_what_no_file_says_is_left_out(tmp_path):
    (tmp_path / "lora").mkdir()
    found = card(TunedRun(tmp_path, "owner/model", str(tmp_path / "lora"), None), tmp_path / "export", None, "mit")
    assert [line for line in found.text.splitlines() if line.startswith("## ")] == ["## Checked", "## Limits"]
    assert found.data.language is None and "None" not in found.content and "wrongly" not in found.text


def test_the_answers_of_a_gguf_file_are_told(tmp_path):
    run = full_run(tmp_path, "owner/model")
    text = card(run, tmp_path / "export", None, "mit", gguf=Likeness("tuned", 8, 7, 8, 0)).text
    assert "The GGUF file gave 7 of 8 answers" in text


def test_a_checkout_without_the_converter_is_an_error_and_none_at_all_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    assert gguf_file.find_converter() is None
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    with pytest.raises(InputError, match=r"found none: give a checkout of llama\.cpp"):
        gguf_file.find_converter()
    (tmp_path / "convert_hf_to_gguf.py").write_text("print('no such architecture'); raise SystemExit(1)")
    converter = gguf_file.find_converter()
    with pytest.raises(RuntimeError, match=r"could not convert .*: no such architecture"):
        gguf_file.convert(converter, tmp_path, "bfloat16")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
@pytest.mark.skipif(not os.environ.get("LLAMA_CPP"), reason="llama.cpp's converter (LLAMA_CPP) is not installed")
def test_a_gguf_file_answers_as_inference_does(model_path, tmp_path):
    run = read_run(write_tuned_run(tmp_path, model_path))
    merge_adapter(run, tmp_path / "export", "float32")
    likeness = export_gguf(run, gguf_file.find_converter(), tmp_path / "export", "float32", count=12)
    assert likeness.same >= 0.9 * likeness.asked == 0.9 * 12
