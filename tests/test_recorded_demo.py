"""`quickstart.sh --recorded`: the demo's collection on recorded replies, in seconds, and what it passes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from data_processor import data_collection_api
from utils import AnswersAwaited

ROOT = Path(__file__).resolve().parents[1]
NOTES_TAKER = '#!/usr/bin/env bash\nprintf "%s\\n" "$@" >> notes\n'


def recorded_arguments() -> list[str]:
    shown = 'source demo/arguments.sh; printf "%s\\n" "${DEMO_RECORDED_ARGS[@]}"'
    return subprocess.run(["bash", "-c", shown], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def replay(folder: Path, *more: str) -> Path:
    """Collect the demo's documents as the quickstart does; AnswersAwaited if a request has no recorded reply."""
    (folder / "log").mkdir()
    shutil.copy(ROOT / "demo" / "recorded.jsonl", folder / "log" / "data.journal.jsonl")
    command = [
        "data_collection_api.py",
        "--data_path",
        str(ROOT / "demo" / "documents"),
        "--json_save_dir",
        str(folder / "data.json"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*command, *recorded_arguments(), *more])
        data_collection_api.main()
    return folder / "data.json"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    try:
        return replay(tmp_path_factory.mktemp("recorded"))
    except AnswersAwaited as awaited:
        pytest.fail(
            f"a request of the demo has no reply in demo/recorded.jsonl: record again (docs/files.md): {awaited}"
        )


def test_every_request_is_recorded_and_every_recorded_reply_is_used(dataset):
    meta = json.loads((dataset.parent / "log" / "data.meta.json").read_text())
    waves = [json.loads(line) for line in (ROOT / "demo" / "recorded.jsonl").read_text().splitlines()]
    assert meta["calls"] == {"asked": 0, "from_journal": 272} and sum(map(len, waves)) == 272
    assert meta["counts"]["documents"] == meta["counts"]["chunks"] == 5 and meta["counts"]["facts"] == 161


def test_the_recorded_dataset_has_all_kinds_of_rows(dataset):
    rows = json.loads(dataset.read_text())
    assert Counter(row["kind"] for row in rows) == {"qa": 1600, "reverse": 448, "unknown": 5, "passage": 80}
    assert Counter(row["form"] for row in rows if "form" in row) == {
        "short": 1156, "reverse": 424, "yes_no": 328, "why": 68, "how": 32, "rule": 20, "two": 20,
    }  # fmt: skip
    asked = Counter(row["fact_id"] for row in rows if row["kind"] in ("qa", "reverse"))
    assert len(asked) == 161 and min(asked.values()) == 8
    assert (dataset.parent / "log" / "data.dropped.jsonl").read_text() == ""


def test_another_prompt_makes_a_request_without_a_reply(tmp_path):
    (tmp_path / "mine.toml").write_text(
        '[en.retell]\nrequest = "{title}\\n{text}\\nRetell it in {language}, as {style}."\n'
    )
    with pytest.raises(AnswersAwaited, match=r"expected answers in .*wave_1\.answers\.jsonl"):
        replay(tmp_path, "--prompts", str(tmp_path / "mine.toml"))
    asked = (tmp_path / "data.batch" / "wave_1.requests.jsonl").read_text().splitlines()
    assert len(asked) == 40  # eight styles for each of five chunks
    assert not (tmp_path / "data.json").exists()


@pytest.fixture
def quickstart(tmp_path):
    """Run quickstart.sh with a Python that only takes notes; returns (exit code, what it was given, standard error)."""
    for name in ("shells/quickstart.sh", "demo/arguments.sh", "demo/recorded.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "shells" / "setup.sh").write_text("INSTALLED=no\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(NOTES_TAKER)
    (tmp_path / "bin" / "python").chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    def run(*words: str) -> tuple[int, list[str], str]:
        (tmp_path / "notes").write_text("")
        command = ["bash", str(tmp_path / "shells" / "quickstart.sh"), *words]
        done = subprocess.run(command, env=environment, timeout=60, capture_output=True, text=True)
        return done.returncode, (tmp_path / "notes").read_text().splitlines(), done.stdout + done.stderr

    return run


def test_the_quickstart_trains_on_the_recorded_replies_only_if_asked_to(quickstart, tmp_path):
    code, given, said = quickstart()
    assert code == 0 and "output/quickstart" in given and "results/quickstart.json" in given
    (collect,) = [word for word in given if word.startswith("--collect_args=")]
    assert "--guard words" in collect and not (tmp_path / "output" / "quickstart" / "log").exists()
    assert "training data written by: the demo model itself" in said.splitlines()

    code, given, said = quickstart("--recorded")
    assert code == 0 and "output/quickstart_recorded" in given and "results/quickstart_recorded.json" in given
    assert f"--collect_args={' '.join(recorded_arguments())}" in given
    journal = tmp_path / "output" / "quickstart_recorded" / "log" / "data.journal.jsonl"
    assert journal.read_bytes() == (ROOT / "demo" / "recorded.jsonl").read_bytes()
    line = "training data written by: a large language model, recorded in demo/recorded.jsonl"
    assert said.splitlines().count(line) == 2  # before the long work, and under the table


def test_fresh_removes_the_run_it_names_and_no_other(quickstart, tmp_path):
    quickstart()
    quickstart("--recorded")
    runs = [tmp_path / "output" / name for name in ("quickstart", "quickstart_recorded")]
    for run in runs:
        (run / "data.json").write_text("[]")
    assert quickstart("--recorded", "--fresh")[0] == 0
    assert [(run / "data.json").exists() for run in runs] == [True, False]


def test_a_word_the_quickstart_does_not_know_is_refused_before_anything_is_done(quickstart, tmp_path):
    code, given, said = quickstart("--record")
    assert (code, given) == (2, []) and "expected --fresh, --recorded, both or nothing, found --record" in said
    assert not (tmp_path / "output").exists()
