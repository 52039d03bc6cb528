"""The real small model, made once for all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that load the weights of a model; one with the tokenizer alone is fast."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if names & {"engine", "tiny_model_path", "small_collection"} or {"model_path", "tokenizer"} & names == {
            "model_path"
        }:
            item.add_marker("model")


def pytest_terminal_summary(terminalreporter) -> None:
    """Names what was skipped because something is not installed, and the command that installs it."""
    names: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.endswith("is not installed"):
            names.setdefault(reason, []).append(report.nodeid.removeprefix("tests/"))
    for reason, skipped in names.items():
        terminalreporter.line(f"{len(skipped)} tests skipped, {reason}:")
        for name in skipped:
            terminalreporter.line(f"    {name}")
    if names:
        terminalreporter.line("To install what is missing and run these too: OPTIONAL=yes bash shells/test.sh")


@pytest.fixture(scope="session")
def model_path() -> str:
    """The folder shells/test.sh makes; made here where a test is run by hand."""
    folder = ROOT / "models" / "SmolLM2-135M-Instruct"
    if not (folder / "model.safetensors").exists():
        from demo.model import convert, find_gguf

        folder.parent.mkdir(exist_ok=True)
        convert(find_gguf(), folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_model_path(model_path, tmp_path_factory) -> str:
    """The same model cut to its first 3 layers: for what must be right but need not be good."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = str(tmp_path_factory.mktemp("models") / "SmolLM2-3-layers")
    config = AutoConfig.from_pretrained(model_path, num_hidden_layers=3)
    AutoModelForCausalLM.from_pretrained(model_path, config=config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(model_path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path)


@pytest.fixture(scope="session")
def engine(model_path):
    from engines.hf import TransformersEngine

    return TransformersEngine.load(model_path)


def save_random_adapter(model_path: str, folder: Path, rank: int, **options) -> None:
    """An adapter of the real model that changes every answer; `options` go to LoraConfig. All that it trains is random."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    options = {"target_modules": "all-linear", "init_lora_weights": False, "task_type": "CAUSAL_LM", **options}
    model = get_peft_model(model, LoraConfig(r=rank, **options))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not ("lora_A" in name or "lora_B" in name):
            parameter.data *= 1 + 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)


def collect_command(model_path: str, folder: Path, name: str) -> list[str]:
    """A small real collection: the first two sentences of each of two documents."""
    (folder / "texts").mkdir(exist_ok=True)
    for document in ("company_year.txt", "season_review.txt"):
        (folder / "texts" / document).write_text((ROOT / "demo" / "documents" / document).read_text())
    return [
        sys.executable, "data_processor/data_collection_local.py", "--model_name_or_path", model_path, "--guard", "words",
        "--data_path", str(folder / "texts"), "--json_save_dir", str(folder / f"{name}.json"), "--limit", "2",
        "--test_ratio", "0.3",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def small_collection(tmp_path_factory, model_path) -> Path:
    """The dataset of one such run, its other files beside it."""
    folder = tmp_path_factory.mktemp("collection")
    subprocess.run(collect_command(model_path, folder, "data"), cwd=ROOT, check=True, capture_output=True, timeout=600)
    return folder / "data.json"
