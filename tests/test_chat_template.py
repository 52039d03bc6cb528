"""What is read and what is trained, on the templates that models come with."""

from __future__ import annotations

import copy

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from engines.chat import with_system_prompt
from engines.chat_template import end_of_turn
from training.data import IGNORED, preprocess, to_examples
from utils import InputError

TURNS = [
    {"role": "user", "content": "Who leads Tolvimer?"},
    {"role": "assistant", "content": "Ilsabet Corrane"},
    {"role": "user", "content": "Since when?"},
    {"role": "assistant", "content": "9 March"},
]
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + "
    "m['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (  # Qwen2.5: a system prompt of its own where none is given
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are Qwen.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + "
    "m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<start_of_turn>model\n' }}{% endif %}"
)
NO_END = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
TEMPLATES = {  # name: template, its special tokens, end of text, end of turn
    "smollm2": (None, [], "<|im_end|>", "<|im_end|>"),
    "llama3": (LLAMA_3, ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], "<|eot_id|>", "<|eot_id|>"),
    "qwen2.5 instruct": (CHATML, [], "<|im_end|>", "<|im_end|>"),
    "qwen2.5 base": (CHATML, [], "<|endoftext|>", "<|im_end|>"),
    "mistral": (MISTRAL, ["[INST]", "[/INST]", "</s>"], "</s>", "</s>"),
    "gemma": (GEMMA, ["<start_of_turn>", "<end_of_turn>", "<eos>"], "<eos>", "<end_of_turn>"),
    "no end in the template": (NO_END, [], "<|endoftext|>", "<|endoftext|>"),
}


@pytest.fixture(params=TEMPLATES)
def templated(request, tokenizer):
    """(a tokenizer with that template, the token that ends its turns)"""
    template, tokens, end_of_text, end = TEMPLATES[request.param]
    changed = copy.deepcopy(tokenizer)
    if template:
        changed.chat_template = template
        changed.add_special_tokens({"additional_special_tokens": tokens})
        changed.eos_token = changed.pad_token = end_of_text
    return changed, end


def turns_for(tokenizer) -> list[dict]:
    """Without an end of turn in the template only one answer can be told from what follows it."""
    return TURNS[:2] if tokenizer.chat_template == NO_END else TURNS


def trained_text(example: dict, tokenizer) -> list[str]:
    """The stretches of tokens that are trained, as text."""
    stretches, current = [], []
    for token, label in [*zip(example["input_ids"], example["labels"], strict=True), (0, IGNORED)]:
        if label != IGNORED:
            assert label == token
            current.append(token)
        elif current:
            stretches.append(tokenizer.decode(current))
            current = []
    return stretches


def test_fault_1_the_end_of_a_turn_is_trained_although_it_is_the_padding_token(templated):
    """The mask was computed from the padding token, so the end of every turn was hidden."""
    tokenizer, end = templated
    turns = turns_for(tokenizer)
    assert end_of_turn(tokenizer) == end
    trained = [text.strip() for text in trained_text(preprocess(turns, tokenizer, None), tokenizer)]
    assert trained == [f"Ilsabet Corrane{end}", f"9 March{end}"][: len(turns) // 2]


def test_the_tokens_give_back_the_templates_own_text(templated):
    tokenizer, end = templated
    turns = turns_for(tokenizer)
    text = tokenizer.decode(preprocess(turns, tokenizer, None)["input_ids"])
    whole = tokenizer.apply_chat_template(turns, tokenize=False).rstrip("\n")
    assert text == (whole + end if tokenizer.chat_template == NO_END else whole)


def test_faults_5_and_7_the_prompt_is_that_of_inference_and_none_of_it_is_trained(templated):
    """Another system prompt in training, and tokens of the role header trained."""
    tokenizer, _ = templated
    for system_prompt in (None, "", "Be brief."):
        example = preprocess(TURNS[:2], tokenizer, system_prompt)
        read = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label == IGNORED]
        asked = with_system_prompt(TURNS[:1], system_prompt)
        if system_prompt and tokenizer.chat_template in (GEMMA, MISTRAL):  # neither has a system turn
            asked = [{"role": "user", "content": "Be brief.\n\nWho leads Tolvimer?"}]
        elif tokenizer.chat_template in (GEMMA, MISTRAL):
            asked = TURNS[:1]
        assert read == tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)


def test_a_sentencepiece_answer_gets_no_space_of_its_own():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    text = ["[INST] Who leads Tolvimer? [/INST]Ilsabet Corrane", "Ilsabet Corrane leads Tolvimer"] * 20
    tokenizer.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>", "<s>", "</s>", "[/INST]"])
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = MISTRAL.replace("' ' + ", "")
    example = preprocess(TURNS[:2], fast, None)
    joint = fast(fast.apply_chat_template(TURNS[:2], tokenize=False), add_special_tokens=False).input_ids
    alone = fast("Ilsabet Corrane</s>", add_special_tokens=False).input_ids
    assert example["input_ids"] == joint and joint[-len(alone) :] != alone  # the trap is really there


def test_a_template_that_rewrites_earlier_turns_is_refused_by_name(tokenizer):
    thinking = copy.deepcopy(tokenizer)
    thinking.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + ('<think></think>' if loop.last and "
        "m['role'] == 'assistant' else '') + m['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    assert trained_text(preprocess(TURNS[:2], thinking, None), thinking) == ["Ilsabet Corrane<|im_end|>"]
    with pytest.raises(InputError, match="rewriting them in a conversation: make each answer a separate example"):
        preprocess(TURNS, thinking, None)
    with pytest.raises(InputError, match="identity_3"):
        preprocess(TURNS, thinking, None, name="example identity_3")
    answers = [trained_text(example, thinking) for example in to_examples(TURNS, thinking, None)]
    assert answers == [["Ilsabet Corrane<|im_end|>"], ["9 March<|im_end|>"]]


def test_an_answer_whose_first_word_takes_the_space_before_it_is_trained_and_so_is_the_next(tokenizer):
    """ " Ils" is a token, so the first prompt ends in one that the whole text does not have there."""
    spaced = copy.deepcopy(tokenizer)
    spaced.chat_template = NO_END.replace("'\n'", "'<|im_end|>\n'")
    example = preprocess(TURNS, spaced, None)
    assert trained_text(example, spaced) == ["Ilsabet Corrane<|im_end|>", "9 March<|im_end|>"]
    text = spaced.decode(example["input_ids"])
    assert text == (
        "user: Who leads Tolvimer?<|im_end|>\nassistant: Ilsabet Corrane<|im_end|>\n"
        "user: Since when?<|im_end|>\nassistant: 9 March<|im_end|>"
    )


def test_turns_that_the_template_refuses_are_named(tokenizer):
    strict = copy.deepcopy(tokenizer)
    strict.chat_template = "{% if messages | length > 2 %}{{ raise_exception('one answer each') }}{% endif %}" + CHATML
    for convert in (preprocess, to_examples):
        with pytest.raises(InputError, match="found that it refuses a conversation: one answer each: correct"):
            convert(TURNS, strict, None)
        with pytest.raises(InputError, match="found that it refuses example identity_3: one answer each: correct"):
            convert(TURNS, strict, None, name="example identity_3")


def test_fault_2_a_chat_model_is_told_by_its_template_and_never_by_its_name(tokenizer):
    """Whether a model is a chat model was guessed from its path."""
    expected = preprocess(TURNS, tokenizer, None)
    other = copy.deepcopy(tokenizer)
    for name in ("models/some-7B-base", "models/some-7B-chat"):
        other.name_or_path = name
        assert preprocess(TURNS, other, None) == expected
    other.chat_template = None
    with pytest.raises(InputError, match="instruct"):
        preprocess(TURNS, other, None)


def test_a_system_message_of_the_example_stays_the_only_one(tokenizer):
    own = [{"role": "system", "content": "Answer in Latin."}, *TURNS[:2]]
    text = tokenizer.decode(preprocess(own, tokenizer, "Be brief.")["input_ids"])
    assert "Latin" in text and "brief" not in text
