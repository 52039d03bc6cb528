"""The engine of local models, on the real small model."""

from __future__ import annotations

import json

import pytest

from engines.hf import TransformersEngine
from engines.shared_prefix import common_prefix_length, prefix_groups

QUESTIONS = [
    "What is the capital of France?",
    "Name three colours.",
    "Who wrote Hamlet, and when was it written?",
    "What is 2+2?",
]
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 40}, "sure": {"enum": ["yes", "no"]}},
    "required": ["answer", "sure"],
    "additionalProperties": False,
}


def asked(*questions: str) -> list:
    return [[{"role": "user", "content": question}] for question in questions]


def test_a_batch_gives_what_each_prompt_gives_alone(engine):
    together = [reply.text for reply in engine.chat(asked(*QUESTIONS), max_new_tokens=16)]
    alone = [engine.chat(asked(question), max_new_tokens=16)[0].text for question in QUESTIONS]
    assert together == alone
    assert "Paris" in together[0]


def test_the_shared_prefix_changes_no_answer(engine):
    shots = [{"role": "user", "content": "Answer in one word."}, {"role": "assistant", "content": "Yes."}] * 4
    conversations = [[*shots, *conversation] for conversation in asked(*QUESTIONS)]
    shared = [reply.text for reply in engine.chat(conversations, max_new_tokens=16)]
    engine.shares_prefix = False
    try:
        assert [reply.text for reply in engine.chat(conversations, max_new_tokens=16)] == shared
    finally:
        engine.shares_prefix = True


def test_it_answers_as_transformers_own_generate(engine):
    import torch

    conversation = asked(QUESTIONS[2])
    ids = engine.tokenizer.apply_chat_template(conversation[0], add_generation_prompt=True, return_dict=False)
    output = engine.model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False)
    expected = engine.tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True).strip()
    assert engine.chat(conversation, max_new_tokens=16)[0].text == expected


def test_json_follows_the_schema_even_when_sampled(engine):
    for temperature in (0.0, 1.0):
        for reply in engine.chat(asked(*QUESTIONS), max_new_tokens=64, temperature=temperature, schemas=SCHEMA):
            value = json.loads(reply.text)
            assert set(value) == {"answer", "sure"} and value["sure"] in ("yes", "no")


def test_each_conversation_may_have_its_own_choices(engine):
    schemas = [{"enum": ["red", "blue"]}, {"enum": ["one", "two"]}, None, {"enum": ["left"]}]
    texts = [reply.text for reply in engine.chat(asked(*QUESTIONS), max_new_tokens=8, schemas=schemas)]
    assert json.loads(texts[0]) in ("red", "blue") and json.loads(texts[1]) in ("one", "two") and texts[3] == '"left"'


def test_a_schema_that_cannot_be_enforced_is_an_error(engine):
    with pytest.raises(ValueError, match="cannot be enforced"):
        engine.chat(asked("Hi"), schemas={"type": "nonsense"})


def test_sampling_depends_on_the_seed_and_not_on_the_neighbours(engine):
    options = {"max_new_tokens": 12, "temperature": 1.0}
    first = engine.chat(asked(*QUESTIONS), seed=1, **options)
    assert first[1].text == engine.chat(asked(QUESTIONS[1]), seed=1, **options)[0].text
    assert [reply.text for reply in first] != [
        reply.text for reply in engine.chat(asked(*QUESTIONS), seed=2, **options)
    ]


def test_several_replies_to_one_prompt_are_those_that_it_gets_alone(engine, monkeypatch):
    prompts = asked(*[QUESTIONS[2]] * 3, QUESTIONS[1], QUESTIONS[3])
    sampling = [(0.0, 0), (1.0, 1), (1.0, 2), (1.0, 1), (0.0, 7)]
    alone = [
        engine.chat([prompt], max_new_tokens=12, temperature=warmth, seed=seed)[0].text
        for prompt, (warmth, seed) in zip(prompts, sampling, strict=True)
    ]
    assert len(set(alone)) == len(alone)
    read = []
    prefill = type(engine.model).forward
    monkeypatch.setattr(
        type(engine.model), "forward", lambda *a, **k: (read.append(k["input_ids"].shape), prefill(*a, **k))[1]
    )
    warmths, seeds = map(list, zip(*sampling, strict=True))
    replies = engine.chat(prompts, max_new_tokens=12, temperature=warmths, seed=seeds)
    assert [reply.text for reply in replies] == alone
    assert max(rows for rows, width in read if width > 1) == 3  # each prompt is read once


def test_replies_say_how_they_ended_and_are_reported_once(engine):
    seen = []
    replies = engine.chat(
        asked(*QUESTIONS), max_new_tokens=8, on_reply=lambda index, reply: seen.append((index, reply))
    )
    assert sorted(index for index, _ in seen) == [0, 1, 2, 3] and all(replies[index] is reply for index, reply in seen)
    assert (
        replies[0].finish_reason == "stop"
        and replies[2].finish_reason == "length"
        and replies[2].completion_tokens == 8
    )


def test_many_rows_go_in_batches_and_come_back_in_order(engine, monkeypatch):
    monkeypatch.setattr("engines.hf.MAX_ROWS", {"cpu": 3, "cuda": 3})
    replies = engine.chat(asked(*[f"Repeat the number {n}." for n in range(7)]), max_new_tokens=12)
    assert [str(n) in reply.text for n, reply in enumerate(replies)].count(True) >= 5


def test_prompts_read_in_parts_get_the_same_answers(engine, monkeypatch):
    whole = [reply.text for reply in engine.chat(asked(*QUESTIONS), max_new_tokens=16)]
    monkeypatch.setattr("engines.hf.PREFILL_TOKENS", {"cpu": 80, "cuda": 80})
    assert [reply.text for reply in engine.chat(asked(*QUESTIONS), max_new_tokens=16)] == whole


def test_prompts_about_one_document_are_read_together():
    documents = [[number] * 400 for number in (1, 2, 3)]
    prompts = [[*documents[question % 3][: 300 + question], 9, question] for question in range(30)]
    groups = prefix_groups(prompts)
    assert sorted(len(group) for group in groups) == [10, 10, 10]
    assert all(len({index % 3 for index in group}) == 1 for group in groups)
    few = [[0] * 10 + [number] * (200 + place) for number in range(5) for place in range(3)]
    assert [sorted(group) for group in prefix_groups(few)] == [list(range(15))], "too few of each to pay"
    assert prefix_groups([]) == [] and prefix_groups([[1, 2]]) == [[0]]


def test_common_prefix_leaves_each_its_own_token():
    assert common_prefix_length([[1, 2, 3], [1, 2, 3, 4], [1, 2, 9]]) == 2
    assert common_prefix_length([[1, 2], [1, 2]]) == 1


def test_an_adapter_is_merged_and_changes_answers(model_path, tmp_path, engine):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    tuned = TransformersEngine.load(model_path, str(tmp_path))
    assert (
        tuned.chat(asked(QUESTIONS[0]), max_new_tokens=8)[0].text
        != engine.chat(asked(QUESTIONS[0]), max_new_tokens=8)[0].text
    )
