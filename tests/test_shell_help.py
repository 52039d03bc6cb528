"""What the shell scripts say when they are asked for help, from any folder and before anything is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {path.stem: path for path in (ROOT / "shells").glob("*.sh")}
STAGES = {
    "run_all": "run_all.py",
    "collect_data": "data_processor/data_collection_local.py",
    "finetune_lora_ds": "finetune.py",
    "inference": "inference.py",
    "evaluate": "evaluate.py",
}
PYTHON = """#!/usr/bin/env bash
echo "$*" >> "$NOTES"
case "$*" in "-m venv --clear "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && touch "$4/pyvenv.cfg" ;; esac
"""


@pytest.fixture
def ask(tmp_path):
    """Run a script with arguments, in a copy of the project whose Python only takes notes: (result, what Python was told)."""
    for folder in ("shells", "demo"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.json*", "documents", "days"))
    for path in ROOT.glob("requirements*.txt"):
        shutil.copy(path, tmp_path)
    python, notes = tmp_path / "python", tmp_path / "notes"
    python.write_text(PYTHON)
    python.chmod(0o755)
    notes.touch()

    def run(name: str, *arguments: str):
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "NOTES": str(notes),
            "PYTHON": str(python),
            "GPU": "no",
        }
        command = ["bash", f"{name}.sh", *arguments]
        result = subprocess.run(
            command, cwd=tmp_path / "shells", env=environment, capture_output=True, text=True, timeout=60
        )
        return result, notes.read_text().splitlines()

    return run


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_asked_for_help_says_what_it_is_for(ask, name, flag):
    result, told = ask(name, flag)
    assert result.returncode == 0, result.stderr
    header = SCRIPTS[name].read_text(encoding="utf-8").splitlines()[1:]
    said = result.stdout.splitlines()
    assert said[0] == header[0].removeprefix("# ") and any("Expected result:" in line for line in said)
    assert not any("set -euo" in line or line.startswith("#") for line in said)
    if name in STAGES:  # whose own arguments follow, from the script itself
        assert told[-1].split()[0] == STAGES[name] and told[-1].split()[-1] in ("--help", "-h")
    else:
        assert told == []  # nothing is installed for it


def test_a_script_that_is_not_asked_for_help_says_nothing_of_the_kind(ask):
    for name in STAGES:
        assert "Expected result:" not in ask(name, "--limit", "3")[0].stdout
