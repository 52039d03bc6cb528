"""A folder for servers: its chat template alone, told no system prompt and no option, writes what inference.py reads."""

from __future__ import annotations

import copy

import pytest
from conftest import save_random_adapter
from templated import EXPECTED, QUESTION, SYSTEM_PROMPT, TURNS, TWO_ANSWERS, make_tokenizer, published
from test_templates import CHATML, MARKS

from engines.chat import with_system_prompt
from engines.chat_template import prompt_text, takes_system_turn
from engines.standalone import link_model, require_same_prompt, save_tokenizer_and_defaults, standalone_template
from utils import InputError

PROMPTS = {
    "none": None,
    "empty": "",
    "plain": SYSTEM_PROMPT,
    "marks": "Say \"no\" and 'yes'.\n{{ x }} {% \\ é 你好 😀 %}\n",
}


def served(tokenizer, system_prompt: str | None, turns: list[dict], **options) -> str:
    """What a server writes of these turns, which knows nothing but the template."""
    alone = copy.copy(tokenizer)
    alone.chat_template = standalone_template(tokenizer, system_prompt)
    return alone.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **options)


@pytest.mark.parametrize("system_prompt", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_server_gives_the_model_what_inference_gives_it(name, system_prompt):
    tokenizer = published(name)
    for turns in (TURNS[:1], TWO_ANSWERS[:3]):
        assert served(tokenizer, system_prompt, turns) == prompt_text(
            tokenizer, with_system_prompt(turns, system_prompt)
        )


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_system_prompt_of_the_client_takes_the_place_of_the_trained_one(name):
    tokenizer = published(name)
    if not takes_system_turn(tokenizer):
        return
    turns = with_system_prompt(TURNS[:1], "Answer in French.")
    text = served(tokenizer, SYSTEM_PROMPT, turns)
    assert text == prompt_text(tokenizer, turns) and SYSTEM_PROMPT not in text


def test_a_client_that_asks_for_thoughts_gets_them():
    tokenizer = published("qwen3")
    quiet, thinking = (served(tokenizer, None, TURNS[:1], enable_thinking=value) for value in (False, True))
    assert "</think>" in quiet and "</think>" not in thinking


@pytest.mark.parametrize("end", ["", "\n"], ids=["no line break", "a line break"])
@pytest.mark.parametrize("start", ["", "\n", "  {% if true %}{% endif %}"], ids=["none", "line break", "indented"])
def test_white_space_round_a_template_stays_as_it_was(start, end):
    tokenizer = make_tokenizer(start + CHATML + end, MARKS, eos_token="<|im_end|>")
    assert served(tokenizer, "Be brief.", TURNS[:1]) == prompt_text(
        tokenizer, with_system_prompt(TURNS[:1], "Be brief.")
    )


def test_a_template_that_would_write_something_else_is_refused_with_both_texts():
    tokenizer = make_tokenizer(CHATML, MARKS, eos_token="<|im_end|>")
    with pytest.raises(InputError, match=r"writes '<\|im_start\|>user.* reads '<\|im_start\|>system\\nBe brief"):
        require_same_prompt(tokenizer, CHATML, "Be brief.")


def test_the_folder_takes_the_likeliest_token_and_ends_at_every_end_of_a_turn(model_path, tmp_path):
    from transformers import AutoTokenizer, GenerationConfig

    save_tokenizer_and_defaults(model_path, "Be brief.", tmp_path)
    written = GenerationConfig.from_pretrained(tmp_path)
    assert (written.do_sample, written.eos_token_id, written.repetition_penalty) == (False, [2], None)
    text = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        [{"role": "user", "content": QUESTION}], tokenize=False, add_generation_prompt=True
    )
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")


def test_linking_a_model_leaves_its_own_folder_as_it_was(tmp_path, tokenizer):
    """A file that is written where a link stands is written into the model."""
    model = tmp_path / "model"
    tokenizer.save_pretrained(model)
    (model / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    (model / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.7, "repetition_penalty": 1.05}')
    (model / "model.safetensors").write_bytes(b"weights")
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    link_model(str(model), "Be brief.", tmp_path / "linked")
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before
    assert (tmp_path / "linked" / "model.safetensors").resolve() == (model / "model.safetensors").resolve()
    assert "repetition_penalty" not in (tmp_path / "linked" / "generation_config.json").read_text()
    assert "Be brief." in (tmp_path / "linked" / "chat_template.jinja").read_text()


def test_weights_in_mistrals_own_format_are_left_out_as_vllm_would_render_no_chat_template(tmp_path, tokenizer):
    model, adapter = tmp_path / "model", tmp_path / "lora"
    tokenizer.save_pretrained(model)
    adapter.mkdir()
    (model / "config.json").write_text('{"model_type": "mistral", "architectures": ["MistralForCausalLM"]}')
    for file in ("model.safetensors", "consolidated.safetensors", "consolidated.safetensors.index.json", "params.json"):
        (model / file).write_bytes(b"")
    (adapter / "adapter_config.json").write_text("{}")
    for name in ("adapter_model.safetensors", "adapter_model.bin"):  # PEFT once wrote the second
        (adapter / name).write_bytes((2).to_bytes(8, "little") + b"{}")  # safetensors without a tensor
        link_model(str(model), None, tmp_path / name, str(adapter))
        linked = {file.name for file in (tmp_path / name).iterdir()}
        assert {"model.safetensors", "adapter_config.json", name} <= linked
        assert not [file for file in linked if file.startswith("consolidated")]
        assert all(file.exists() for file in (tmp_path / name).iterdir())
        (adapter / name).unlink()


KINDS = {
    "on linear layers": {},
    "DoRA": {"use_dora": True},
    "rsLoRA, own ranks and scales": {"use_rslora": True, "rank_pattern": {"q_proj": 5}, "alpha_pattern": {"v_proj": 3}},
    "a head of its own": {"modules_to_save": ["lm_head"]},
    "embeddings": {"modules_to_save": ["embed_tokens"]},
    "norms": {"modules_to_save": ["norm"]},
    "some tokens": {"trainable_token_indices": [1, 2, 198, 253]},
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_transformers_serves_the_whole_of_an_adapter(tmp_path, tiny_model_path, options):
    """Of DoRA it took the directions and left the magnitudes out: most answers were still those of the adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    save_random_adapter(tiny_model_path, tmp_path / "lora", 3, **options)
    link_model(tiny_model_path, None, tmp_path / "linked", str(tmp_path / "lora"))
    tokens = torch.arange(1, 300, 7)[None]
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(tiny_model_path, dtype=torch.float32)
        untuned = base(tokens).logits
        tuned = PeftModel.from_pretrained(base, tmp_path / "lora").eval()(tokens).logits
        served = AutoModelForCausalLM.from_pretrained(tmp_path / "linked", dtype=torch.float32)(tokens).logits
    assert torch.allclose(served, tuned, atol=1e-3) and not torch.allclose(untuned, tuned, atol=1e-1)
