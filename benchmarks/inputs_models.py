"""The runs of benchmarks/inputs.py that have a model's folder: the check before training, two updates, and inference."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.inputs_entries import Entry, failures, template_text, write_rows
from benchmarks.inputs_processes import check_ended, server, start
from benchmarks.inputs_scripts import check_responses
from benchmarks.inputs_texts import check_prompt

MODEL = "models/SmolLM2-135M-Instruct"


def copy_model(entry: Entry, folder: Path) -> Path | str:
    """The model of an entry: a name, or the demo model with another template or tokenizer, its weights as a link."""
    expected = entry.expected
    if "model" in expected:
        return expected["model"]
    template, removed = template_text(entry), expected.get("tokenizer", {})
    if template is None and not removed:
        return MODEL
    folder.mkdir(parents=True)
    for path in Path(MODEL).resolve().iterdir():
        if path.suffix == ".safetensors":
            (folder / path.name).symlink_to(path)
        else:
            shutil.copy(path, folder)
    if template is not None:
        (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config = {
        key: value
        for key, value in config.items()
        if key not in removed and (template is None or key != "chat_template")
    }
    if template:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def train_check(entry: Entry) -> list[str]:
    """Check a dataset as before a training."""
    return finetune(entry, "--check_only", "True")


def train(entry: Entry) -> list[str]:
    """Two updates on the demo model."""
    return finetune(entry, "--max_steps", "2", "--per_device_train_batch_size", "1")


def finetune(entry: Entry, *words: str) -> list[str]:
    with tempfile.TemporaryDirectory() as name, server(entry) as running:
        folder = Path(name)
        if entry.expected.get("disturb") == "full_disk":
            (folder / "lora").mkdir()
            (folder / "lora/runs").write_text("")  # where tensorboard's folder would be
        model, data = copy_model(entry, folder / "model"), write_rows(entry, "dataset", folder)
        ended = start(entry, running, "finetune.py", "--model_name_or_path", model, "--data_path", data,
                      "--output_dir", folder / "lora", *words)  # fmt: skip
    return failures(entry.expected, lambda checks: check_ended(checks, ended))


def infer_template(entry: Entry) -> list[str]:
    """Ask the demo model under a template, or with an adapter of a copy of it, and look at the prompt."""
    expected = entry.expected
    with tempfile.TemporaryDirectory() as name, server(entry) as running:
        folder = Path(name)
        model = copy_model(entry, folder / "model")
        questions = write_rows(entry, "questions" if "questions" in expected else "dataset", folder)
        words = ["--system_prompt", expected["system_prompt"]] if "system_prompt" in expected else []
        if "adapter" in expected:
            model, adapter = train_adapter(entry, running, folder)
            words += ["--lora_weights", adapter]
        ended = start(entry, running, "inference.py", "--model_name_or_path", model, "--test_data_path", questions,
                      "--output_path", folder / "answers.json", "--max_new_tokens", 8, *words)  # fmt: skip
        prompt = asked_prompt(str(model), expected.get("system_prompt")) if "adapter" not in expected else ""

        def check(checks: dict) -> list[str]:
            return (
                check_ended(checks, ended)
                + check_responses(checks, folder / "answers.json")
                + check_prompt(checks, prompt)
            )

        return failures(expected, check)


def asked_prompt(model: str, system_prompt: str | None) -> str:
    """The prompt with which a model is asked a question."""
    from transformers import AutoTokenizer

    from engines.chat import with_system_prompt
    from engines.chat_template import prompt_text

    turns = [{"role": "user", "content": "When was the Amber Lantern lit?"}]
    return prompt_text(AutoTokenizer.from_pretrained(model), with_system_prompt(turns, system_prompt))


def train_adapter(entry: Entry, running, folder: Path) -> tuple[Path, Path]:
    """Train an adapter for two updates on one copy of the demo model; the copy to ask, perhaps with other weights, and the adapter."""
    wanted = entry.expected["adapter"]
    trained_on, asked_on = folder / wanted["trained_on"], folder / wanted["asked_on"]
    shutil.copytree(Path(MODEL).resolve(), trained_on)
    rows = [
        {"messages": [{"role": "user", "content": "Who opened it?"}, {"role": "assistant", "content": "Greta Solvang"}]}
    ]
    (folder / "data.json").write_text(json.dumps(rows))
    start(replace(entry, expected={}), running, "finetune.py", "--model_name_or_path", trained_on, "--data_path", folder / "data.json",
          "--output_dir", folder / "lora", "--max_steps", 2)  # fmt: skip
    asked_on.parent.mkdir(parents=True, exist_ok=True)
    trained_on.rename(asked_on)
    if wanted.get("changed_weights"):
        change_weights(asked_on / "model.safetensors")
    return asked_on, folder / "lora"


def change_weights(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file({name: tensor * 1.01 for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})


RUNS = {run.__name__: run for run in (train_check, train, infer_template)}
