"""A run as one model: its weights are base and adapter, and another model is not exported."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import save_random_adapter
from test_full_disk import full_disk
from tuned_runs import SYSTEM_PROMPT, write_tuned_run

from engines.hf import TransformersEngine
from engines.tuned_run import TunedRun, read_run
from training import gguf_file, merge
from training.export import export, export_gguf
from training.in_place import put_in_place
from training.merge import (
    check_merged,
    merge_adapter,
    merge_in_float32,
    merging_tolerance,
    require_full_weights,
)
from utils import InputError, log_file, write_json


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


@pytest.mark.parametrize(
    "options", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"modules_to_save": ["embed_tokens"]}]
)
def test_an_adapter_of_another_kind_is_merged_whole(run, tmp_path, tiny_model_path, options):
    """With a head of its own, or embeddings, a model that had one matrix for both has two."""
    save_random_adapter(tiny_model_path, tmp_path / "lora", 3, **options)
    other = TunedRun(run.folder, run.base, str(tmp_path / "lora"), run.system_prompt)
    merge_adapter(other, tmp_path / "export", "bfloat16")
    found = check_merged(other, tmp_path / "export", "bfloat16")
    assert found.merged < found.allowed < found.effect / 4
    assert ("lm_head.weight" in weights(tmp_path / "export")) == ("modules_to_save" in options)


@pytest.mark.parametrize("end", ["lm_head", "embed_tokens"])
def test_an_adapter_on_one_end_of_a_tied_model_is_refused_where_it_is_merged(run, tmp_path, tiny_model_path, end):
    """inference.py answered with another model, and export.sh found that out only after merging."""
    save_random_adapter(tiny_model_path, tmp_path / "lora", 3, target_modules=["q_proj", end])
    other = TunedRun(run.folder, run.base, str(tmp_path / "lora"), run.system_prompt)
    with pytest.raises(
        InputError, match=r"expected an adapter that can be merged in .*lora, found one on the embeddings"
    ):
        merge_adapter(other, tmp_path / "export", "bfloat16")
    with pytest.raises(InputError, match="expected an adapter that can be merged"):
        TransformersEngine.load(tiny_model_path, str(tmp_path / "lora"))


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

    elsewhere = run.folder / "another_disk"
    elsewhere.mkdir()
    (run.folder / "export").symlink_to(elsewhere)
    (elsewhere / "of_an_earlier_run").write_text("")
    monkeypatch.setattr("training.export.write_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(run, "bfloat16", None, None)
    assert [file.name for file in (run.folder / "export").iterdir()] == ["of_an_earlier_run"]
    assert not list(run.folder.glob(".*unfinished")), "nothing as large as a model is left where nobody looks"
    monkeypatch.undo()
    folder = export(run, "float32", "owner/base", "mit")
    assert folder == run.folder / "export" and folder.is_symlink() and folder.resolve() == elsewhere
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


def test_a_checkout_without_the_converter_is_an_error_and_none_at_all_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    assert gguf_file.find_converter() is None
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    with pytest.raises(InputError, match=r"found none: give a checkout of llama\.cpp"):
        gguf_file.find_converter()
    (tmp_path / "convert_hf_to_gguf.py").write_text("print('no such architecture'); raise SystemExit(1)")
    converter = gguf_file.find_converter()
    with pytest.raises(
        InputError, match=r"to convert .*, found exit code 1: no such architecture\ninstall what it needs"
    ):
        gguf_file.convert(converter, tmp_path, "bfloat16")


def test_a_converter_that_does_not_start_is_an_error_before_anything_is_merged(tmp_path, monkeypatch):
    """Such as one whose packages are not installed: known after merging, it cost the merge."""
    (tmp_path / "convert_hf_to_gguf.py").write_text("import no_such_package")
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    monkeypatch.setattr("training.export.merge_adapter", lambda *_: 1 / 0)
    with pytest.raises(
        InputError, match=r"to start, found exit code 1: (.*\n)*.*no_such_package(.*\n)*install what it needs"
    ):
        export(TunedRun(tmp_path, "owner/model", str(tmp_path / "lora"), None), "bfloat16", None, None)


def test_a_disk_without_room_is_an_error_before_anything_is_merged(tmp_path, monkeypatch, tiny_model_path):
    monkeypatch.setattr("training.export.merge_adapter", lambda *_: 1 / 0)
    monkeypatch.setattr(
        "shutil.disk_usage", lambda _: SimpleNamespace(free=70 * 2**20)
    )  # its bfloat16 weights have 74 MiB
    run = TunedRun(tmp_path, tiny_model_path, str(tmp_path / "lora"), None)
    for dtype, gib in (("bfloat16", "0.1"), ("float32", "0.1")):
        with pytest.raises(
            InputError, match=rf"expected {gib} GiB free for .*export, found 0\.1: free the disk, or make"
        ):
            export(run, dtype, None, None)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100 * 2**20))
    with pytest.raises(ZeroDivisionError):
        export(run, "bfloat16", None, None)
    with pytest.raises(InputError, match=r"GiB free"):
        export(run, "float32", None, None)


def test_a_disk_that_is_full_while_merging_leaves_nothing_on_it(run):
    with (
        full_disk(1_000_000),
        pytest.raises(InputError, match=r"expected to write .*unfinished, found .*: free the disk"),
    ):
        export(run, "bfloat16", None, None)
    assert not list(run.folder.glob(".export*"))


def test_an_export_goes_where_a_link_leads_and_takes_the_place_of_what_is_there(tmp_path):
    earlier, new = tmp_path / "disk" / "export", tmp_path / "disk" / ".export.unfinished"
    for folder in (earlier, new):
        folder.mkdir(parents=True)
        (folder / folder.name).write_text("")
    put_in_place(new, earlier)
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["export"]
    assert [path.name for path in earlier.iterdir()] == [".export.unfinished"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
@pytest.mark.skipif(not os.environ.get("LLAMA_CPP"), reason="llama.cpp's converter (LLAMA_CPP) is not installed")
def test_a_gguf_file_answers_as_inference_does(model_path, tmp_path):
    run = read_run(write_tuned_run(tmp_path, model_path))
    merge_adapter(run, tmp_path / "export", "float32")
    likeness = export_gguf(run, gguf_file.find_converter(), tmp_path / "export", "float32", count=12)
    assert likeness.same >= 0.9 * likeness.asked == 0.9 * 12
