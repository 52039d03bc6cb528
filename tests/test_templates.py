"""What is read and what is trained under the published templates: the same before an answer in training and when asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from templated import ANSWER, EXPECTED, SYSTEM_PROMPT, TURNS, TWO_ANSWERS, expected, make_tokenizer, published
from test_chat_template import trained_text

from engines.chat import with_system_prompt
from engines.chat_template import (
    answer_frame,
    answer_text,
    end_of_turn,
    padded_on_the_left,
    padding_id,
    prompt_ids,
    prompt_text,
    stop_token_ids,
)
from engines.hf import TransformersEngine
from engines.vllm_decoder import VllmDecoder
from training import doctor
from training.data import IGNORED, LazySupervisedDataset, SupervisedDataset, preprocess, to_examples
from utils import InputError

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + (m['content'] | trim) + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
MARKS = ["<|im_start|>", "<|im_end|>"]


@pytest.fixture(params=sorted(EXPECTED))
def name(request) -> str:
    return request.param


def read_text(example: dict, tokenizer) -> str:
    """What is read before the first trained token."""
    return tokenizer.decode(example["input_ids"][: [label != IGNORED for label in example["labels"]].index(True)])


def test_exactly_the_words_and_the_end_of_the_turn_are_trained(name):
    tokenizer = published(name)
    example = preprocess(TURNS, tokenizer, SYSTEM_PROMPT)
    assert read_text(example, tokenizer) == expected(name, "before")
    assert trained_text(example, tokenizer) == [expected(name, "trained")]


def test_a_model_is_asked_with_the_tokens_that_it_was_trained_after(name):
    """By transformers, by vLLM, for recall, and where there is no system prompt too."""
    tokenizer = published(name)
    asked = [TURNS[:1]]
    for system_prompt in (SYSTEM_PROMPT, "", None):
        example = preprocess(TURNS, tokenizer, system_prompt)
        read = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label == IGNORED]
        engine = SimpleNamespace(tokenizer=tokenizer, system_prompt=system_prompt)
        assert TransformersEngine._prompts(engine, asked) == [read]
        assert VllmDecoder._prompt(engine, asked[0]) == read
        assert prompt_ids(tokenizer, with_system_prompt(asked[0], system_prompt)) == read


def test_each_of_two_answers_is_trained_once_under_the_prompt_that_it_is_asked_with(name):
    tokenizer = published(name)
    examples = to_examples(TWO_ANSWERS, tokenizer, SYSTEM_PROMPT)
    assert len(examples) == EXPECTED[name]["examples"]
    trained = [text for example in examples for text in trained_text(example, tokenizer)]
    assert trained == [expected(name, "trained"), expected(name, "trained").replace(ANSWER, "On 9 May 1991")]
    assert read_text(examples[0], tokenizer) == expected(name, "before")
    last = tokenizer.decode(examples[-1]["input_ids"]).removesuffix(trained[-1])
    system = [{"role": "system", "content": SYSTEM_PROMPT}]
    assert last == prompt_text(tokenizer, [*system, *TWO_ANSWERS[:3]])


def test_a_turn_ends_where_generation_stops(name):
    tokenizer = published(name)
    assert end_of_turn(tokenizer) == expected(name, "end")
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=None))
    stops = stop_token_ids(model, tokenizer)
    assert tokenizer.convert_tokens_to_ids(expected(name, "end")) in stops and None not in stops
    assert isinstance(padding_id(tokenizer), int)


def test_the_check_before_training_finds_nothing_wrong(name):
    tokenizer = published(name)
    assert list(doctor.template_findings(tokenizer, SYSTEM_PROMPT)) == []
    notes = list(doctor.template_notes(tokenizer, SYSTEM_PROMPT))
    assert any("without a thought" in note for note in notes) == (name in ("deepseek_r1_distill", "gpt_oss"))
    assert any("before the first question" in note for note in notes) == (name == "gemma2")


def test_a_thought_in_a_dataset_is_neither_trained_nor_read_again(name):
    tokenizer = published(name)
    thought = {"role": "assistant", "content": f"<think>\nPiet Halloran? No.\n</think>\n\n{ANSWER}"}
    for system_prompt in (None, SYSTEM_PROMPT):
        turns = [TURNS[0], thought, *TWO_ANSWERS[2:]]
        assert to_examples(turns, tokenizer, system_prompt) == to_examples(TWO_ANSWERS, tokenizer, system_prompt)


@pytest.mark.parametrize("kind", [SupervisedDataset, LazySupervisedDataset])
def test_a_row_whose_template_rewrites_history_is_a_piece_for_each_answer(kind):
    tokenizer = published("qwen3")
    rows = [
        {"id": "one", "messages": TURNS},
        {"id": "two", "messages": TWO_ANSWERS},
        {"id": "three", "messages": TURNS},
    ]
    data = kind(rows, tokenizer, None, 512)
    assert [data.name(place) for place in range(len(data))] == ["one", "two", "three", "two"]
    assert [trained_text(example, tokenizer) for example in data] == [
        ["Greta Solvang<|im_end|>"],
        ["Greta Solvang<|im_end|>"],
        ["Greta Solvang<|im_end|>"],
        ["On 9 May 1991<|im_end|>"],
    ]


def test_prompts_of_different_lengths_end_together():
    ids, mask = padded_on_the_left([[5, 6, 7], [8]], 9, "cpu")
    assert ids.tolist() == [[5, 6, 7], [9, 9, 8]] and mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_the_system_prompt_stands_before_the_question_where_a_template_leaves_it_out_in_silence():
    users = PLAIN.replace("{{ m['role']", "{% if m['role'] != 'system' %}{{ m['role']").replace(
        "{% endfor", "{% endif %}{% endfor"
    )
    tokenizer = make_tokenizer(users, [], eos_token="</s>")
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
    assert prompt_text(tokenizer, asked) == "user: Be brief.\n\nWho?\nassistant: "
    asked[0]["content"] = ""
    assert prompt_text(tokenizer, asked) == "user: Who?\nassistant: "


def test_without_an_eos_token_the_templates_end_of_turn_stops_and_pads():
    tokenizer = make_tokenizer(CHATML, MARKS)
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=None))
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert stop_token_ids(model, tokenizer) == [end] and padding_id(tokenizer) == end
    tokenizer.eos_token = "<|im_start|>"
    assert padding_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_start|>")
    tokenizer.pad_token = "<|im_end|>"
    assert padding_id(tokenizer) == end


def test_a_tokenizer_without_any_end_is_refused_with_the_key_to_set():
    tokenizer = make_tokenizer(PLAIN, [])
    with pytest.raises(InputError, match="found none in the chat template of some/model and no eos_token"):
        preprocess(TURNS, tokenizer, None)
    (finding,) = doctor.template_findings(tokenizer, None)
    assert "set eos_token in tokenizer_config.json" in finding


def test_a_token_that_a_template_uses_and_the_tokenizer_lacks_is_named():
    tokenizer = make_tokenizer("{{ bos_token + messages[0]['content'] }}", [])
    with pytest.raises(InputError, match=r"'bos_token' is undefined.*tokenizer_config\.json"):
        prompt_text(tokenizer, TURNS[:1])


def test_a_template_that_leaves_the_answer_out_is_refused():
    tokenizer = make_tokenizer("{{ messages[0]['content'] }}{% if add_generation_prompt %}A: {% endif %}", ["</s>"])
    with pytest.raises(InputError, match="nothing would be trained"):
        preprocess(TURNS, tokenizer, None)


def test_a_template_whose_prompt_is_not_what_stands_before_an_answer_is_refused():
    template = CHATML.replace("<|im_start|>assistant\n' }}", "<|im_start|>machine\n' }}")
    with pytest.raises(InputError, match=r"machine\\n' in a prompt and .*assistant\\n' before an answer"):
        preprocess(TURNS, make_tokenizer(template, MARKS), None)


@pytest.mark.parametrize(
    ("opening", "block", "prompt"),
    [
        ("<think>\n", "", "<think>\n\n</think>\n\n"),  # R1: history has no thought
        ("<think>", "", "<think>\n\n</think>\n\n"),
        ("<think>\n", "<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),  # the last turn has an empty one
        ("", "<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),  # and the prompt has none
        ("[THINK]", "", "[THINK]\n\n[/THINK]\n\n"),
    ],
)
def test_a_thought_is_closed_in_the_prompt_however_a_template_opens_it(opening, block, prompt):
    template = CHATML.replace("assistant\n' }}", f"assistant\n{opening}' }}}}").replace(
        "(m['content'] | trim)", f"('{block}' if m['role'] == 'assistant' else '') + m['content']"
    )
    tokenizer = make_tokenizer(template.replace("\n", "\\n"), MARKS)
    assert prompt_text(tokenizer, TURNS[:1]).endswith(f"<|im_start|>assistant\n{prompt}")
    assert answer_text(tokenizer, ANSWER) == "Greta Solvang<|im_end|>"


def test_a_header_that_the_generation_prompt_lacks_is_read_and_not_trained():
    tokenizer = make_tokenizer(CHATML.partition("{% if add_generation_prompt")[0], MARKS)
    assert answer_frame(tokenizer) == ("<|im_start|>assistant\n", "", "<|im_end|>", "<|im_end|>")
    assert trained_text(preprocess(TURNS, tokenizer, None), tokenizer) == ["Greta Solvang<|im_end|>"]


@pytest.mark.parametrize("argument", ["enable_thinking", "thinking"])
def test_a_template_is_asked_not_to_think_wherever_it_says_so(argument):
    template = f"{{% if {argument} is defined and not {argument} %}}quietly {{% endif %}}{CHATML}"
    tokenizer = make_tokenizer(template, MARKS)
    assert prompt_text(tokenizer, TURNS[:1]).startswith("quietly <|im_start|>user")
    assert tokenizer.decode(preprocess(TURNS, tokenizer, None)["input_ids"]).startswith("quietly <|im_start|>user")


def test_words_are_trained_as_the_template_writes_them():
    tokenizer = make_tokenizer(CHATML, MARKS)
    turns = [{"role": "user", "content": " Who? \n"}, {"role": "assistant", "content": "  Greta Solvang \n"}]
    assert trained_text(preprocess(turns, tokenizer, None), tokenizer) == ["Greta Solvang<|im_end|>"]


def test_a_date_that_changes_while_a_row_is_rendered_changes_nothing():
    """Llama 3 and gpt-oss write today's date: a run over midnight goes on."""

    class Midnight:
        def __init__(self, tokenizer, last: int):
            self.tokenizer, self.left, self.name_or_path = tokenizer, last, "m"

        def __getattr__(self, name):
            return getattr(self.tokenizer, name)

        def __call__(self, text, **options):
            return self.tokenizer(text, **options)

        def apply_chat_template(self, turns, **options):
            self.left -= 1
            return f"{'31 May' if self.left >= 0 else '1 June'} " + self.tokenizer.apply_chat_template(turns, **options)

    for last in range(2, 6):  # two renderings find what stands around an answer
        assert answer_text(Midnight(make_tokenizer(CHATML, MARKS), last), ANSWER) == "Greta Solvang<|im_end|>"


def test_turns_that_do_not_alternate_are_refused_where_the_template_refuses_them():
    turns = [*TURNS, {"role": "assistant", "content": "In May"}]
    with pytest.raises(InputError, match="example seven: Conversation roles must alternate"):
        preprocess(turns, published("gemma3"), None, name="example seven")
