"""Engine, GPUs and copies of a model, by its config and the GPUs of a machine that is not there."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from pathlib import Path

import pytest

from engines import placement
from engines.arguments import EngineArguments
from engines.gpus import Gpu
from engines.load import load_engine
from engines.placement import allowed_sizes, place_model, weight_bytes
from engines.vllm_lora import reserved_rank
from utils import InputError

SHAPES = {  # of Qwen2.5: hidden size, inner size, layers, heads, heads of keys and values, own output layer
    "7B": (3584, 18944, 28, 28, 4, True),
    "14B": (5120, 13824, 48, 40, 8, True),
    "32B": (5120, 27648, 64, 40, 8, True),
    "72B": (8192, 29568, 80, 64, 8, True),
}
PARAMETERS = {"7B": 7.6e9, "14B": 14.8e9, "32B": 32.8e9, "72B": 72.7e9}  # as their model cards say


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Folders with a config alone."""
    from transformers import Qwen2Config

    folders = {}
    for name, (hidden, inner, layers, heads, keys, own_head) in SHAPES.items():
        folders[name] = str(tmp_path_factory.mktemp("models") / name)
        Qwen2Config(
            hidden_size=hidden,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=keys,
            vocab_size=152064,
            tie_word_embeddings=not own_head,
        ).save_pretrained(folders[name])
    return folders


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine with so many usable GPUs of so many GiB, with vLLM or without."""
    real = importlib.util.find_spec

    def make(count: int, size: float, vllm: bool = True, kind: str = "GPU", in_use: int = 0) -> None:
        gpus = [Gpu(str(n), f"{kind}-{n}", "a GPU", int(size * 2**30), int(size * 2**30)) for n in range(count)]
        monkeypatch.setattr("engines.placement.usable_gpus", lambda: gpus)
        monkeypatch.setattr("torch.cuda.device_count", lambda: count + in_use)
        spec = importlib.util.spec_from_loader("vllm", None) if vllm else None
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda name, *more: spec if name == "vllm" else real(name, *more)
        )

    return make


@pytest.mark.parametrize("name", SHAPES)
def test_weights_are_counted_from_the_config(models, name):
    assert weight_bytes(models[name]) == pytest.approx(2 * PARAMETERS[name], rel=0.01)


def test_weights_that_are_downloaded_in_part_are_counted_from_the_config(models, tmp_path, monkeypatch):
    """A start that was killed while it downloaded leaves a few of the files in the hub's cache."""
    import torch
    from huggingface_hub import constants
    from safetensors.torch import save_file

    files = tmp_path / "models--owner--name" / "snapshots" / "1"
    files.mkdir(parents=True)
    (tmp_path / "models--owner--name" / "refs").mkdir()
    (tmp_path / "models--owner--name" / "refs" / "main").write_text("1")
    shutil.copy(Path(models["7B"]) / "config.json", files)
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (files / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict(enumerate(names))}))
    save_file({"a": torch.zeros(3, dtype=torch.bfloat16)}, files / names[0])
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert weight_bytes("owner/name") == pytest.approx(2 * PARAMETERS["7B"], rel=0.01)
    save_file({"b": torch.zeros(4, dtype=torch.bfloat16)}, files / names[1])
    assert weight_bytes("owner/name") == 14


def test_stored_float32_weights_are_counted_in_16_bits(model_path, tmp_path):
    import torch
    from safetensors.torch import save_file

    assert weight_bytes(model_path) == pytest.approx(2 * 134.5e6, rel=0.01)
    save_file(
        {"a": torch.zeros(8, dtype=torch.float32), "b": torch.zeros(8, dtype=torch.int8)},
        tmp_path / "model.safetensors",
    )
    assert weight_bytes(str(tmp_path)) == 8 * 2 + 8


@pytest.mark.parametrize(
    ("name", "count", "size", "expected"),
    [
        ("7B", 8, 80, (1, 8)),
        ("7B", 1, 24, (1, 1)),
        ("14B", 4, 24, (2, 2)),
        ("14B", 1, 80, (1, 1)),
        ("32B", 8, 80, (2, 4)),  # fits on one, with room for a few conversations only
        ("32B", 1, 80, (1, 1)),
        ("32B", 3, 80, (2, 1)),
        ("72B", 8, 80, (4, 2)),
        ("72B", 2, 141, (2, 1)),
    ],
)
def test_copies_fill_the_usable_gpus(machine, models, name, count, size, expected):
    machine(count, size)
    placement = place_model(models[name], EngineArguments())
    assert (placement.tensor_parallel_size, placement.copies) == expected
    used = [gpu for devices in placement.devices for gpu in devices]
    assert used == [str(number) for number in range(expected[0] * expected[1])]


def test_few_prompts_have_few_copies_and_one_line_says_what_was_chosen(machine, models, caplog):
    caplog.set_level(logging.INFO)
    machine(8, 80)
    assert [place_model(models["7B"], EngineArguments(), None, prompts).copies for prompts in (0, 60, 1500, 10**6)] == [
        1,
        1,
        2,
        8,
    ]
    assert caplog.messages[2] == "vLLM: copies of the model: 2, GPUs for each: 1 (0; 1) of 8 usable"


def test_a_given_argument_wins(machine, models):
    machine(8, 80)
    for given, expected in (
        ({"tensor_parallel_size": 4}, (4, 1)),  # few prompts
        ({"data_parallel_size": 3}, (1, 3)),
        ({"tensor_parallel_size": 2, "data_parallel_size": 4}, (2, 4)),
    ):
        placement = place_model(models["7B"], EngineArguments(**given), None, 10)
        assert (placement.tensor_parallel_size, placement.copies) == expected
    with pytest.raises(InputError, match=r"expected 16 usable GPUs .* found 8"):
        place_model(models["7B"], EngineArguments(tensor_parallel_size=2, data_parallel_size=8))


@pytest.mark.parametrize(("count", "size", "kind"), [(1, 80, "GPU"), (2, 80, "GPU"), (8, 10, "GPU"), (8, 80, "MIG")])
def test_a_model_that_does_not_fit_is_named_before_anything_is_loaded(machine, models, count, size, kind):
    machine(count, size, kind=kind)
    with pytest.raises(InputError, match=r"expected room for the 135\.\d GiB of weights"):
        place_model(models["72B"], EngineArguments())


def test_heads_and_mlp_are_divided_evenly(models, model_path, tmp_path):
    from transformers import Qwen2Config

    gpus = [Gpu(str(number), f"GPU-{number}", "", 1, 1) for number in range(16)]
    assert allowed_sizes(models["7B"], gpus) == [1, 2, 4]  # 28 heads
    assert allowed_sizes(models["72B"], gpus) == [1, 2, 4, 8, 16]  # 8 heads of keys, each on two GPUs
    assert allowed_sizes(model_path, gpus) == [1]  # 9 heads
    for keys, inner, expected in ((3, 64, [1]), (12, 66, [1, 2]), (4, 64, [1, 2, 4])):
        Qwen2Config(num_attention_heads=12, num_key_value_heads=keys, intermediate_size=inner).save_pretrained(tmp_path)
        assert allowed_sizes(str(tmp_path), gpus) == expected


def test_a_gpu_without_vllm_is_said_in_one_line_with_the_remedy(machine, models, caplog):
    machine(2, 80, vllm=False)
    caplog.set_level(logging.WARNING)
    placement = place_model(models["7B"], EngineArguments())
    assert placement.engine == "transformers" and [gpu.index for gpu in placement.gpus] == ["0"]
    [line] = caplog.messages
    assert "vLLM, which is not installed: bash shells/setup.sh requirements-gpu.txt" in line
    with pytest.raises(InputError, match=r"bash shells/setup\.sh requirements-gpu\.txt"):
        place_model(models["7B"], EngineArguments(engine="vllm"))
    with pytest.raises(InputError, match=r"135\.\d GiB of weights"):
        place_model(models["72B"], EngineArguments())


def test_a_machine_whose_gpus_are_all_in_use_is_no_machine_without(machine, models):
    machine(0, 80, in_use=4)
    for engine in ("auto", "transformers", "vllm"):
        with pytest.raises(InputError, match="none of 4"):
            place_model(models["7B"], EngineArguments(engine=engine))
    machine(0, 80)
    placement = place_model(models["7B"], EngineArguments(engine="vllm", data_parallel_size=2))
    assert (placement.copies, placement.devices) == (2, [[], []])
    assert place_model(models["7B"], EngineArguments()).engine == "transformers"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"lora_bias": True}, "lora_bias"),
        ({"bias": "all"}, "bias all"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights pissa"),
        ({"rank_pattern": {"q_proj": 1000}}, "rank 1000, above 512"),
    ],
)
def test_an_adapter_that_vllm_refuses_is_known_before_a_model_is_loaded(
    machine, models, tmp_path, caplog, setting, words
):
    machine(1, 80)
    caplog.set_level(logging.WARNING)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 16, **setting}))
    assert place_model(models["7B"], EngineArguments(), str(tmp_path)).engine == "transformers"
    [line] = caplog.messages
    assert line.endswith(words)
    with pytest.raises(InputError, match=words):
        load_engine(models["7B"], EngineArguments(engine="vllm"), str(tmp_path))


def test_an_adapter_that_vllm_runs_has_the_next_rank_reserved(machine, models, tmp_path):
    machine(1, 80)
    plain = {"use_dora": False, "modules_to_save": None, "bias": "none", "init_lora_weights": True, "use_rslora": True}
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 16, "rank_pattern": {"q_proj": 20}, **plain}))
    assert place_model(models["7B"], EngineArguments(), str(tmp_path)).engine == "vllm"
    assert reserved_rank(str(tmp_path)) == 32


def test_each_copy_gets_its_own_usable_gpus(machine, models, monkeypatch):
    started = []
    monkeypatch.setattr("engines.vllm.VllmEngine.load", lambda *given, **options: started.append((given, options)))
    machine(4, 80)
    last = placement.usable_gpus()[2:]
    monkeypatch.setattr(placement, "usable_gpus", lambda: last)
    load_engine(models["7B"], EngineArguments(max_model_len=900), None, "Be brief.")
    load_engine(models["7B"], EngineArguments(), prompts=10)
    load_engine(models["32B"], EngineArguments())
    assert [given[0] for given, _ in started] == [[["2"], ["3"]], [["2"]], [["2", "3"]]]
    assert [options["tensor_parallel_size"] for _, options in started] == [1, 1, 2]
    assert started[0][0][1:] == (models["7B"], None, "Be brief.") and started[0][1]["max_model_len"] == 900


def test_transformers_takes_the_first_usable_gpu(machine, models, monkeypatch):
    machine(3, 80, vllm=False)
    loaded = []
    monkeypatch.setattr("engines.load.torch_device_index", lambda gpu: int(gpu.index) + 4)
    monkeypatch.setattr("torch.cuda.set_device", loaded.append)
    monkeypatch.setattr("engines.hf.TransformersEngine.load", lambda *wanted: loaded.append(wanted))
    load_engine(models["7B"], EngineArguments())
    assert loaded == [4, (models["7B"], None, None)]
