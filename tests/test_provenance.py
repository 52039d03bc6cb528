"""How a file was made stands beside it: what was asked, on which commit and machine, with which versions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass

import psutil
import pytest

import provenance


@dataclass
class Words:
    name: str = "a"


@pytest.mark.parametrize(("arguments", "said"), [(Words("b"), {"name": "b"}), ({"name": "c"}, {"name": "c"})])
def test_how_a_file_was_made_stands_in_the_log_beside_it(tmp_path, monkeypatch, arguments, said):
    monkeypatch.setattr(sys, "argv", ["/somewhere/script.py", "--name", "b"])
    monkeypatch.setattr(time, "time", lambda: 1_000_000.26)
    (tmp_path / "data.meta.json").write_text("{}")  # by an earlier version, of the data that are gone
    assert provenance.meta_file(tmp_path / "data.json") == tmp_path / "data.meta.json"
    meta = provenance.write_meta(tmp_path / "data.json", arguments, 999_990.0, counts={"rows": 3})
    assert provenance.meta_file(tmp_path / "data.json") == tmp_path / "log" / "data.meta.json"
    assert json.loads((tmp_path / "log" / "data.meta.json").read_text()) == meta
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert [path.name for path in (tmp_path / "log").iterdir()] == ["data.meta.json"]
    assert (meta["made_by"], meta["arguments"], meta["seconds"]) == ("script.py", said, 10.3)
    assert meta["counts"] == {"rows": 3}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", meta["finished"])
    resident = psutil.Process().memory_info().rss / 2**30
    assert 0.9 * resident <= meta["peak_gib"] < psutil.virtual_memory().total / 2**30


def git(folder, *words: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_commit_is_marked_where_the_code_differs_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    for name in ("code.py", "results/a.json", "docs/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    whole = git(tmp_path, "rev-parse", "HEAD")
    assert provenance.commit() == whole[:12]
    for name in ("results/a.json", "docs/a.png", "not_added.txt"):  # what the code writes is not the code
        (tmp_path / name).write_text("new")
        assert provenance.commit() == whole[:12], name
    (tmp_path / "code.py").write_text("new")
    assert provenance.commit() == whole[:12] + "+"


def test_outside_of_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.commit() == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))  # no git at all
    assert provenance.commit() == "unknown"


def test_the_machine_is_its_processor_cores_and_memory():
    name, cores, memory = provenance.machine().rsplit(", ", 2)
    assert name and cores == f"{os.cpu_count()} cores"
    assert memory == f"{psutil.virtual_memory().total / 2**30:.0f} GiB"


def test_versions_are_of_what_is_installed(monkeypatch):
    monkeypatch.setattr(provenance, "REPORTED_PACKAGES", ("pytest", "no-such-package"))
    assert provenance.versions() == {"python": sys.version.split()[0], "pytest": pytest.__version__}
