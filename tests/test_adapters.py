"""Where adapters are put, in what precision, and which arguments suit a model; found out before its weights are loaded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import transformers
from trainings import ON_CPU, lora

from engines.memory import empty_model, shape_from_config
from training.adapters import load_model, parts_without_text, require_lora
from utils import InputError

SMALL = dict(
    hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    vocab_size=64,
)  # fmt: skip
SEEING = dict(
    hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
)
CONFIGS = {
    "tied": transformers.LlamaConfig(**SMALL, tie_word_embeddings=True),
    "dense": transformers.LlamaConfig(**SMALL, tie_word_embeddings=False),
    "experts": transformers.Qwen3MoeConfig(**SMALL, moe_intermediate_size=8, num_experts=4, num_experts_per_tok=2),
    "seeing": transformers.Gemma3Config(text_config=SMALL, vision_config=SEEING, mm_tokens_per_image=4),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a small random model of each of the CONFIGS."""

    def save(kind: str) -> str:
        folder = tmp_path_factory.getbasetemp() / f"small_{kind}"
        if not folder.is_dir():
            model_class = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(CONFIGS[kind])]
            model_class(CONFIGS[kind]).save_pretrained(folder)
        return str(folder)

    return save


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("tied", {"lora_target_modules": ["q_proj", "lm_head"]}, r'tied .*"modules_to_save": \["lm_head"\]'),
        ("tied", {"lora_target_modules": ["model.embed_tokens"]}, r'tied .*"modules_to_save": \["embed_tokens"\]'),
        ("dense", {"lora_options": '{"lora_rank": 3}'}, "unexpected keyword argument 'lora_rank'"),
        ("dense", {"lora_options": "{use_dora: true}"}, "Expecting property name"),
        ("dense", {"lora_options": "[1]"}, "not a mapping"),
        ("dense", {"lora_target_modules": ["q_prj"]}, "q_prj"),
        ("dense", {"init_lora_weights": "piss"}, "Unknown initialization"),
        ("dense", {"lora_options": '{"modules_to_save": ["lm_hed"]}'}, "no module lm_hed"),
        ("experts", {"lora_options": '{"use_dora": true}'}, "use_dora"),
    ],
)
def test_lora_arguments_that_do_not_suit_a_model_are_refused_before_it_is_loaded(
    saved, monkeypatch, kind, arguments, said
):
    """They failed when the model was there, after replayed answers had been made with it; lm_hed not even then."""
    monkeypatch.setattr("training.adapters.load_base", lambda *_: pytest.fail("loaded"))
    with pytest.raises(InputError, match=said):
        require_lora(saved(kind), lora(**arguments))


@pytest.mark.parametrize("arguments", [
    {}, {"lora_r": None}, {"use_lora": False, "lora_options": "{"}, {"init_lora_weights": "pissa"},
    {"lora_options": '{"use_dora": true, "use_rslora": true, "rank_pattern": {"q_proj": 2}}'},
    {"lora_options": '{"modules_to_save": ["lm_head"]}'}, {"init_lora_weights": "orthogonal"},
    {"lora_target_modules": ["q_proj"], "lora_options": '{"layers_to_transform": [1]}'},
], ids=str)  # fmt: skip
def test_those_that_suit_it_are_not(saved, arguments):
    require_lora(saved("dense"), lora(**arguments))


def test_a_model_that_is_no_language_model_is_named():
    """Mistral Small 3.1 ended in a KeyError."""
    with pytest.raises(InputError, match="expected a causal language model, found mistral3"):
        empty_model(transformers.Mistral3Config())


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_every_adapter_is_used_for_text(saved, kind):
    """In a vision tower it is not, for which DistributedDataParallel ends a training at its second update."""
    model = load_model(saved(kind), lora(), ON_CPU)
    model.train()
    model(input_ids=torch.arange(8)[None]).logits.sum().backward()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained and not [name for name, parameter in trained.items() if parameter.grad is None]


def test_what_is_beside_the_text_is_found_by_where_it_stands(saved):
    found = {kind: parts_without_text(empty_model(config)) for kind, config in CONFIGS.items()}
    assert found == {"tied": None, "dense": None, "experts": None, "seeing": r"(?:model\.vision_tower)(?:\..*)?"}


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_an_adapter_is_as_large_as_reckoned(saved, kind):
    """Adapters on experts were not counted: 13 GB of a training of Qwen3-30B-A3B."""
    model = load_model(saved(kind), lora(lora_r=4), ON_CPU)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    router = 2 * 4 * (16 + 4) if kind == "experts" else 0  # too small to be counted
    assert trained == 4 * shape_from_config(CONFIGS[kind]).adapter_weights + router


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("arguments", [
    {"use_lora": False}, {}, {"lora_target_modules": ["q_proj"], "lora_options": '{"modules_to_save": ["lm_head"]}'}
], ids=["all weights", "LoRA", "head in full"])  # fmt: skip
def test_what_is_trained_is_in_float32_and_nothing_else(saved, precision, arguments):
    """In bfloat16 an update of 3e-5 leaves most weights as they were; float16 ends in "Attempting to unscale FP16"."""
    settings = SimpleNamespace(**{**vars(ON_CPU), precision: True})
    model = load_model(saved("dense"), lora(**arguments), settings)
    trained = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    frozen = {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad}
    half = torch.bfloat16 if precision == "bf16" else torch.float16
    assert trained == {torch.float32} and frozen == (set() if "use_lora" in arguments else {half})
