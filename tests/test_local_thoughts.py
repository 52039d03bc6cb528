"""What is made of a thought that a local model writes in spite of its prompt: by transformers, by vLLM and during training."""

from __future__ import annotations

from types import SimpleNamespace

from templated import SYSTEM_PROMPT, TURNS, expected, published

from engines.hf import Row
from engines.vllm_decoder import VllmDecoder
from training.recall import Recall


def test_recall_asks_without_a_thought_and_reads_what_stands_behind_one():
    import torch

    tokenizer, asked = published("qwen3"), {}

    class Model:
        device, generation_config = "cpu", SimpleNamespace(eos_token_id=None)

        def generate(self, input_ids, **_):
            asked["prompt"] = tokenizer.decode(input_ids[0])
            answer = tokenizer("Piet?\n</think>\n\nGreta Solvang").input_ids
            return torch.cat([input_ids, torch.tensor([answer])], dim=1)

        def eval(self):
            return self

        train = eval

    model = Model()
    recall = SimpleNamespace(
        system_prompt=SYSTEM_PROMPT,
        max_new_tokens=8,
        trainer=SimpleNamespace(
            accelerator=SimpleNamespace(unwrap_model=lambda _: model),
            model=model,
            processing_class=tokenizer,
            args=SimpleNamespace(device=torch.device("cpu"), bf16=False, fp16=False, tf32=False),
        ),
    )
    row = {
        "id": "a",
        "messages": [TURNS[0], {"role": "assistant", "content": "<think>\nPiet?\n</think>\nGreta Solvang"}],
    }
    assert Recall._count_right(recall, [row]) == 1
    assert asked["prompt"] == expected("qwen3", "before")
    wrong = {"id": "b", "messages": [TURNS[0], {"role": "assistant", "content": "Piet"}]}
    assert Recall._count_right(recall, [wrong]) == 0


def reply_of(text: str, finish_reason: str):
    """What transformers and vLLM make of these words; both must be the same."""
    tokenizer = published("qwen3")
    ids = tokenizer(text).input_ids
    row = SimpleNamespace(tokens=ids, prompt_tokens=9, finish_reason=finish_reason)
    ended = [*ids, tokenizer.eos_token_id] if finish_reason == "stop" else ids
    completion = SimpleNamespace(token_ids=ended, finish_reason=finish_reason)
    output = SimpleNamespace(request_id="a", outputs=[completion], prompt_token_ids=[0] * 9)
    reply = Row.reply(row, tokenizer)
    assert VllmDecoder._reply(SimpleNamespace(tokenizer=tokenizer), output) == reply
    return reply


def test_a_local_models_thought_is_cut_from_its_reply():
    assert reply_of("<think>\nPiet? No.\n</think>\n\nGreta Solvang", "stop").text == "Greta Solvang"
    assert reply_of("Piet? No.\n</think>\n\nGreta Solvang", "length").text == "Greta Solvang"
    assert reply_of("Greta Solvang", "stop").text == "Greta Solvang"


def test_a_reply_cut_off_while_thinking_is_an_error_with_the_limit_to_raise():
    reply = reply_of("<think>\nPiet? No", "length")
    assert (reply.text, reply.finish_reason, reply.completion_tokens) == ("", "error", 10)
    assert reply.error == "cut off while thinking, after 10 tokens: raise --max_new_tokens"
