"""The scripts as a person starts them: wrong input named in one line, and one run of all four on the real model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COLLECT, FINETUNE, INFER, EVALUATE = (
    "data_processor/data_collection_local.py",
    "finetune.py",
    "inference.py",
    "evaluate.py",
)


def start(script: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, script, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)


@pytest.fixture
def connections(tmp_path, monkeypatch) -> Callable[[], str]:
    """What the scripts that are started in this test have connected to beyond this machine."""
    monkeypatch.setenv("CONNECTIONS", str(tmp_path / "connections"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "watched"), prepend=os.pathsep)
    return lambda: (tmp_path / "connections").read_text() if (tmp_path / "connections").exists() else ""


def test_a_connection_is_seen(tmp_path, connections):
    (tmp_path / "script.py").write_text(
        "import socket, contextlib\n"
        "for host in ('localhost', '192.0.2.1', 'nowhere.invalid'):\n"
        "    with contextlib.suppress(OSError):\n"
        "        socket.create_connection((host, 9), timeout=0.1)\n"
    )
    assert start(str(tmp_path / "script.py")).returncode == 0
    assert [line.split()[:2] for line in connections().splitlines()] == [
        ["socket.getaddrinfo", "192.0.2.1"],
        ["socket.connect", "192.0.2.1"],
        ["socket.getaddrinfo", "nowhere.invalid"],
    ]


def rows(*questions: str) -> list[dict]:
    return [
        {
            "id": f"identity_{n}",
            "conversations": [{"from": "user", "value": question}, {"from": "assistant", "value": "Paris"}],
            "fact": "Paris is the capital of France.",
            "file_name": "a.txt",
        }
        for n, question in enumerate(questions)
    ]


@pytest.fixture
def folder(tmp_path, model_path):
    """One of each: good and bad inputs."""
    (tmp_path / "empty_folder").mkdir()
    for name, content in (("empty_text", b""), ("no_text", b"\xff\x00\x00\xfe\x81")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_bytes(content)
    (tmp_path / "good.json").write_text(json.dumps(rows("What is the capital of France?")))
    (tmp_path / "cut.json").write_text('[{"id": "a"')
    (tmp_path / "no_key.json").write_text('[{"id": "a"}]')
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen2.5-7B"}')
    return tmp_path


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        (COLLECT, "--data_path {f}/nowhere", "found nothing"),
        (COLLECT, "--data_path {f}/empty_folder", "found none"),
        (COLLECT, "--data_path {f}/empty_text", "empty file"),
        (COLLECT, "--data_path {f}/no_text", "UTF-8"),
        (COLLECT, "--guard nonsense", "--guard"),
        (COLLECT, "--qa_amount_per_fact 0", "--qa_amount_per_fact"),
        (COLLECT, "--data_path demo/documents --model_name_or_path {f}/nowhere", "config.json|found nothing"),
        ("data_processor/data_collection_api.py", "--data_path demo/documents --tokenizer {m}", "--api_model"),
        (FINETUNE, "--model_name_or_path {m} --data_path {f}/nowhere.json", "found nothing"),
        (FINETUNE, "--model_name_or_path {m} --data_path {f}/cut.json", "line 1"),
        (FINETUNE, "--model_name_or_path {m} --data_path {f}/no_key.json", "conversations"),
        (FINETUNE, "--model_name_or_path {f}/nowhere --data_path {f}/good.json", "found nothing"),
        (FINETUNE, "--model_name_or_path {m} --data_path {f}/good.json --q_lora True", "CUDA|good"),
        (FINETUNE, "--model_name_or_path {m} --data_path {f}/good.json --lora_rank 3", "--lora_rank"),
        (INFER, "--model_name_or_path {m} --test_data_path {f}/cut.json --output_path {f}/o.json", "line 1"),
        (
            INFER,
            "--model_name_or_path {m} --test_data_path {f}/good.json --output_path {f}/o.json --lora_weights {f}/adapter",
            "Qwen2.5-7B",
        ),
        (
            INFER,
            "--model_name_or_path {m} --test_data_path {f}/good.json --output_path {f}/o.json --open_book {f}",
            "a.txt",
        ),
        (
            EVALUATE,
            "--data_path {f} --data_name_sft none.json --data_name_base nil.json --judge match",
            "found nothing",
        ),
        (EVALUATE, "--data_path {f} --data_name_sft a --data_name_base b --judge nonsense", "--judge"),
        ("benchmarks/quickstart.py", "--data_path {f}", "found nothing"),
    ],
)
def test_wrong_input_is_one_line_with_what_to_do(script, arguments, words, folder, model_path):
    done = start(script, *arguments.format(f=folder, m=model_path).split())
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert any(word in lines[0] for word in words.split("|")), lines[0]
    assert "Loading weights" not in done.stderr


def test_the_demo_model_is_converted_once_and_whole(tmp_path):
    target = tmp_path / "model"
    done = start("demo/model.py", "--output_dir", target)
    assert done.returncode == 0, done.stderr
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= {
        path.name for path in target.iterdir()
    }
    written = (target / "model.safetensors").stat().st_mtime_ns
    assert "already exists" in start("demo/model.py", "--output_dir", target).stderr
    assert (target / "model.safetensors").stat().st_mtime_ns == written and len(list(tmp_path.iterdir())) == 1
    (target / "model.safetensors").unlink()
    assert "error: expected" in start("demo/model.py", "--output_dir", target).stderr


def test_the_four_scripts_on_the_real_model(tmp_path, model_path, connections):
    """Documents in, an adapter and its score out, and nothing leaves the machine; every file is checked."""
    documents = tmp_path / "documents"
    documents.mkdir()
    shutil.copy(ROOT / "demo" / "documents" / "company_year.txt", documents)
    data, lora = tmp_path / "data.json", tmp_path / "lora"

    collected = start(
        COLLECT, "--model_name_or_path", model_path, "--data_path", documents, "--json_save_dir", data, "--guard", "words",
        "--qa_amount_per_fact", 3, "--limit", 2,
    )  # fmt: skip
    assert collected.returncode == 0, collected.stderr
    examples, meta = json.loads(data.read_text()), json.loads((tmp_path / "log" / "data.meta.json").read_text())
    text = (documents / "company_year.txt").read_text()
    assert {example["kind"] for example in examples} == {"qa", "reverse", "unknown", "passage"}
    assert len({example["id"] for example in examples}) == len(examples) == sum(meta["counts"]["rows"].values())
    assert len({json.dumps(example["conversations"]) for example in examples}) == len(examples)
    for source in (example["source"] for example in examples if example["kind"] != "unknown"):
        assert text[source["start"] : source["end"]] == source["quote"]
    assert meta["dropped"] and meta["model"] == model_path and meta["versions"]["torch"]

    tuned = start(
        FINETUNE, "--model_name_or_path", model_path, "--data_path", data, "--output_dir", lora, "--limit", 8, "--max_steps", 30,
        "--per_device_train_batch_size", 4, "--learning_rate", 3e-3, "--lora_r", 8, "--system_prompt", "Be brief.", "--replay_ratio", 0,
        "--key", "very-secret-4711",
    )  # fmt: skip
    assert tuned.returncode == 0, tuned.stderr
    assert "very-secret-4711" not in tuned.stdout + tuned.stderr
    assert (lora / "adapter_model.safetensors").is_file()
    for path in lora.rglob("*"):
        assert not path.is_file() or b"very-secret-4711" not in path.read_bytes(), f"the key is in {path.name}"
    training = json.loads((lora / "log" / "training.meta.json").read_text())
    assert training["updates"] == 30 and training["reopened_difference"] <= 0.05  # in bfloat16, if the CPU has it
    settings = json.loads((lora / "knowledge_update.json").read_text())
    assert settings["system_prompt"] == "Be brief." and len(settings["base_weights"]) == 32

    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps(examples[:8]))  # what was trained: the point is that the chain carries it through
    for name, extra in (("base", []), ("tuned", ["--lora_weights", lora]), ("open_book", ["--open_book", documents])):
        asked = start(
            INFER, "--model_name_or_path", model_path, "--test_data_path", questions, "--output_path", tmp_path / f"{name}.json",
            "--max_new_tokens", 24, "--system_prompt" if name == "base" else "--limit", "Be brief." if name == "base" else 8, *extra,
        )  # fmt: skip
        assert asked.returncode == 0, asked.stderr
        answers = json.loads((tmp_path / f"{name}.json").read_text())
        assert [answer["question"] for answer in answers] == [
            example["conversations"][0]["value"] for example in examples[:8]
        ]
    assert json.loads((tmp_path / "log" / "tuned.meta.json").read_text())["system_prompt"] == "Be brief."

    judged = start(
        EVALUATE,
        "--data_path",
        tmp_path,
        "--data_name_sft",
        "tuned.json",
        "--data_name_base",
        "base.json",
        "--judge",
        "match",
    )
    assert judged.returncode == 0, judged.stderr
    accuracy = {name: json.loads((tmp_path / f"{name}_acc.json").read_text())["accuracy"] for name in ("tuned", "base")}
    assert accuracy["tuned"] >= accuracy["base"] + 0.5, accuracy
    assert json.loads((tmp_path / "tuned_win_rate.json").read_text())["wins"] >= 4
    # and what other programs read
    kept = {"train_log.json", "trainer_state.json", "loss_curve.png", "knowledge_update.json", "README.md", "log"}
    others = {path.name for path in lora.iterdir()} - kept
    assert all(
        name.startswith(("adapter_", "tokenizer", "chat_template", "special_tokens", "vocab", "merges"))
        for name in others
    ), others
    assert connections() == ""
