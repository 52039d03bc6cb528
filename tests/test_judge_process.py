"""A local judge in a process of its own: the same replies, and nothing left of it once it is let go."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from clocks import handlers, running_clock  # noqa: F401
from conftest import save_random_adapter
from safetensors.torch import load_file, save_file
from scripted import BASE, SFT
from test_processes import runs

from budget.asking import judge_in_time
from engines.arguments import EngineArguments
from engines.load import load_engine
from evaluation.judge_process import JudgeProcess
from evaluation.judging import Judge
from evaluation.verdict_journal import VerdictJournal
from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
ASKED = [[{"role": "user", "content": text}] for text in ("Hello", "Who are you?", "Hello")]


def judges() -> list[psutil.Process]:
    """The processes of judges that this one has started."""
    children = [child for child in psutil.Process().children(recursive=True) if runs(child.pid)]
    return [child for child in children if "evaluation.judge_process" in child.cmdline()]


def test_it_answers_as_its_engine_does_and_leaves_nothing(tiny_model_path, tmp_path):
    engine = JudgeProcess(tiny_model_path, EngineArguments())
    assert len(judges()) == 1
    told = []
    options = {"max_new_tokens": 8, "on_reply": lambda *reply: told.append(reply)}
    replies = engine.chat(ASKED, **options)
    assert replies == load_engine(tiny_model_path, EngineArguments()).chat(ASKED, max_new_tokens=8)
    assert sorted(told, key=lambda reply: reply[0]) == list(enumerate(replies))
    assert engine.chat(ASKED[:1], max_new_tokens=8) == replies[:1]
    judge = Judge("a judge", engine, VerdictJournal(tmp_path / "verdicts.jsonl"))
    judge.release()
    assert judges() == [] and judge.engine is None


def test_a_judge_that_is_cut_in_its_work_is_gone_at_once(tiny_model_path, tmp_path, handlers):  # noqa: F811
    clock, judge = running_clock(tmp_path, 60), Judge("a judge", None, VerdictJournal(tmp_path / "verdicts.jsonl"))
    judge.engine = JudgeProcess(tiny_model_path, EngineArguments())
    calls = []

    def ask() -> str:
        if judge.engine is None:
            return "what there is"
        calls.append(time.monotonic())
        clock.deadline = time.time()  # an alarm alone does not end the time
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        judge.engine.chat(ASKED * 100, max_new_tokens=2000)

    assert judge_in_time(clock, ask, judge.release) == "what there is"
    assert judges() == [] and time.monotonic() - calls[0] < 5


def test_a_judge_that_dies_is_one_line(tiny_model_path):
    engine = JudgeProcess(tiny_model_path, EngineArguments())
    judges()[0].kill()
    with pytest.raises(InputError, match="found its process ended with exit code -9"):
        engine.chat(ASKED)


def test_what_its_engine_refuses_is_said_here(tiny_model_path):
    with pytest.raises(InputError, match="tensor_parallel_size"):
        JudgeProcess(tiny_model_path, EngineArguments(engine="transformers", tensor_parallel_size=2))


# What evaluate.py has in memory and on the disk at the moment a drift is measured.
WATCHED = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import json, pathlib, psutil
import evaluate
from evaluation import forgetting
measure, folder = forgetting.drift_in_child, pathlib.Path(sys.argv[2])
def drift(*asked):
    names = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    seen = {"children": names, "torch": "torch" in sys.modules, "files": [str(path.relative_to(folder)) for path in folder.rglob("*")]}
    (folder / "seen.json").write_text(json.dumps(seen))
    return measure(*asked)
forgetting.drift_in_child = drift
evaluate.run_script(evaluate.main)
"""


@pytest.fixture
def command(tmp_path, tiny_model_path) -> list[str]:
    """evaluate.py on two files of answers, with a drift to measure."""
    for name, rows in (("sft", SFT), ("base", BASE)):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    save_random_adapter(tiny_model_path, tmp_path / "lora", 4)
    words = [
        "--data_path",
        str(tmp_path),
        "--data_name_sft",
        "sft.json",
        "--data_name_base",
        "base.json",
        "--limit",
        "2",
    ]
    return [
        *words,
        "--model_name_or_path",
        tiny_model_path,
        "--lora_weights",
        str(tmp_path / "lora"),
        "--controls",
        "0",
    ]


def start(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_judge_is_gone_and_all_is_written_before_the_next_model_comes(command, tmp_path, tiny_model_path):
    done = start("-c", WATCHED, str(ROOT), *command, "--judge", "local", "--local_model_path", tiny_model_path)
    assert done.returncode == 0, done.stderr
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["children"] == [] and not seen["torch"]
    assert {"report.html", "sft_forgetting.json", "sft_acc.json", "log/sft_verdicts.jsonl"} <= set(seen["files"])
    assert json.loads((tmp_path / "sft_forgetting.json").read_text())["drift"]["prompts"] == 2
    assert "drift" in (tmp_path / "report.html").read_text()


def test_a_drift_that_fails_loses_nothing(command, tmp_path):
    adapter = tmp_path / "lora" / "adapter_model.safetensors"
    save_file({name: tensor[:1].contiguous() for name, tensor in load_file(adapter).items()}, adapter)  # another shape
    done = start("evaluate.py", *command, "--judge", "match")
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: expected the drift of")
    assert (tmp_path / "report.html").is_file() and (tmp_path / "sft_forgetting.json").is_file()
    for name in ("report.html", "sft_forgetting.json"):
        (tmp_path / name).unlink()
    done = start("evaluate.py", *command, "--judge", "match", "--time_budget", "10m")  # as run_all.py starts it
    assert done.returncode == 0 and "drift was not measured: expected the drift of" in done.stderr
    assert "## By kind of question" in done.stdout and (tmp_path / "report.html").is_file()
    assert "drift" not in json.loads((tmp_path / "sft_forgetting.json").read_text())
