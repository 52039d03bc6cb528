"""Learning with the book open on two ranks gives the adapter of one, under DDP and DeepSpeed; also without an adapter.

python -m pytest tests/test_open_book_ranks.py              # DDP, half a minute
python -m pytest tests/test_open_book_ranks.py -m slow      # ZeRO-2 and 3, killed and resumed runs
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from test_distributed import arguments, check, finish, start

WORD = " there"
LOGIT = 3.0  # by how much it is ahead of all other words, on average


@pytest.fixture(scope="module")
def sure_model_path(tiny_model_path, tmp_path_factory) -> str:
    """The tiny model with a head of its own that prefers one word, so that a teacher gives it more than one half."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(tmp_path_factory.mktemp("models") / "sure")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_path)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_path)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    ids = tokenizer("Where is number 7?\nassistant\nthere there there there there", return_tensors="pt").input_ids
    (word,) = tokenizer(WORD, add_special_tokens=False).input_ids
    with torch.no_grad():
        states = model.get_decoder()(ids).last_hidden_state[0, -5:]
        logits, mean = model.lm_head(states), states.mean(0)
        ahead = (logits.max(-1).values - logits[:, word]).mean() + LOGIT
        model.lm_head.weight[word] += ahead * mean / (mean @ mean)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Twenty rows on five passages, which two ranks cannot share equally, and four rows on none."""
    path = tmp_path_factory.mktemp("data") / "data.json"
    rows = [
        {
            "id": str(n),
            "conversations": [
                {"from": "user", "value": f"Where is number {n}?"},
                {"from": "assistant", "value": " ".join(["there"] * (2 + n % 7))},
            ],
            "file_name": "a.txt",
            **({"source": {"chunk": n % 5}} if n < 20 else {}),
        }
        for n in range(24)
    ]
    path.write_text(json.dumps(rows))
    lines = [
        {"file_name": "a.txt", "chunk": n, "text": f"Number {n} is there, there and there. " * (1 + n)}
        for n in range(5)
    ]
    path.with_suffix(".chunks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def meta(folder: Path) -> dict:
    return json.loads((folder / "log" / "training.meta.json").read_text())


def open_book(model: str, data: Path, out: Path, *more: object) -> list[str]:
    return arguments(model, data, out, "--distill_weight", 0.7, *more)


@pytest.fixture(scope="module")
def single(sure_model_path, data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("single")
    output = finish(start(1, open_book(sure_model_path, data, out, "--per_device_train_batch_size", 8)))
    assert "teacher: 20 rows with their passages" in output and "; 4 rows have plain cross-entropy" in output
    found = meta(out)["teacher"]
    assert 20 < found["tokens_below_half"] < found["tokens"] - 40, "tokens of both kinds, or nothing is shown here"
    assert not list(out.glob("teacher.*"))
    return out


@pytest.mark.parametrize(
    "config",
    [None, pytest.param("zero3", marks=pytest.mark.slow)],
    ids=str,
)
def test_two_ranks_with_the_book_open_give_the_adapter_of_one(config, single, sure_model_path, data, tmp_path):
    more = ["--per_device_train_batch_size", 4, *(["--deepspeed", f"ds_configs/{config}.json"] if config else [])]
    finish(start(2, open_book(sure_model_path, data, tmp_path, *more)))
    check(single, tmp_path)
    counted = ("rows", "rows_without_passage", "rows_not_read", "tokens", "tokens_below_half")
    found, expected = meta(tmp_path)["teacher"], meta(single)["teacher"]
    assert [found[name] for name in counted] == [expected[name] for name in counted]
    assert not list(tmp_path.glob("teacher.*"))


def stop_after_two_updates(command: list) -> None:
    process = start(2, command)
    for line in process.stdout:
        if "step 2/" in line:
            process.send_signal(signal.SIGTERM)
    process.wait(timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize("config", [None, "zero3"], ids=str)
def test_a_stopped_run_does_not_read_again(config, single, sure_model_path, data, tmp_path):
    more = ["--per_device_train_batch_size", 4, "--resume_from_checkpoint", "auto"]
    more += ["--deepspeed", f"ds_configs/{config}.json"] if config else []
    command = open_book(sure_model_path, data, tmp_path, *more)
    stop_after_two_updates(command)
    output = finish(start(2, command))
    assert "resumed from" in output and "as read before" in output
    check(single, tmp_path)


@pytest.mark.slow
def test_all_weights_learn_from_the_untrained_model_under_zero3_too(sure_model_path, data, tmp_path):
    """Its teacher reads when the engine is there, so before any update, and not again from weights that have changed."""
    more = ["--per_device_train_batch_size", 4, "--use_lora", "False", "--deepspeed", "ds_configs/zero3.json"]
    more += ["--resume_from_checkpoint", "auto", "--learning_rate", "1e-5"]
    command = open_book(sure_model_path, data, tmp_path, *more)
    stop_after_two_updates(command)
    kept = {path: path.read_bytes() for path in tmp_path.glob("teacher.*.bin")}
    assert len(kept) == 2
    for path in kept:
        path.unlink()
    refused = start(2, command)
    output = refused.communicate(timeout=300)[0]
    assert refused.returncode and "no longer the untrained model's" in output
    for path, content in kept.items():
        path.write_bytes(content)
    assert "as read before" in finish(start(2, command))


@pytest.mark.slow
def test_frozen_layers_and_a_budget_go_with_the_book_open(sure_model_path, data, tmp_path):
    upper = ["--lora_options", '{"layers_to_transform": [2]}', "--lora_target_modules", "q_proj", "down_proj"]
    output = finish(start(1, open_book(sure_model_path, data, tmp_path, *upper, "--time_budget", "4m")))
    assert "the lowest 2 layers run once per example" in output and "teacher: 20 rows" in output
    assert meta(tmp_path)["budget"]["progress"] == 1
    assert meta(tmp_path)["preparing_seconds"] >= meta(tmp_path)["teacher"]["seconds"] > 0
