"""lm-evaluation-harness as a command: another package of its name takes its place, and writes where it is told to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from evaluation import forgetting

PACKAGE = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("model", "model_args", "tasks", "batch_size", "output_path", "limit"):
    parser.add_argument(f"--{name}")
given = parser.parse_args()
folder = pathlib.Path(given.output_path, given.model_args.replace("/", "__"))  # as it does
folder.mkdir(parents=True)
metrics = {"acc,none": 0.75 if "peft=" in given.model_args else 0.5, "alias": "t"}
results = {"results": {given.tasks: metrics}, "given": vars(given), "path": sys.path}
(folder / "results_2026-11-24T07-30-00.json").write_text(json.dumps(results))
"""


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    (tmp_path / "packages" / "lm_eval").mkdir(parents=True)
    for name, code in (("__init__", ""), ("__main__", PACKAGE)):
        (tmp_path / "packages" / "lm_eval" / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    return tmp_path


@pytest.mark.parametrize("limit", [5, None])
def test_the_harness_measures_both_models_and_its_numbers_are_read(package, limit):
    found = forgetting.lm_eval("a_task", "base-model", str(package / "lora"), package / "out", limit)
    assert found == {"base": {"a_task": {"acc,none": 0.5}}, "sft": {"a_task": {"acc,none": 0.75}}}
    for name, model in (("base", "pretrained=base-model"), ("sft", f"pretrained=base-model,peft={package / 'lora'}")):
        (written,) = (package / "out" / "lm_eval" / name).rglob("results*.json")
        results = json.loads(written.read_text())
        assert results["given"] == {
            "model": "hf", "model_args": model, "tasks": "a_task", "batch_size": "8",
            "output_path": str(package / "out" / "lm_eval" / name), "limit": limit and str(limit),
        }  # fmt: skip
        assert os.getcwd() not in results["path"], "its own `import evaluate` would find the script of this repository"
