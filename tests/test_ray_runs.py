"""The scripts with --ray_address, as a person starts them, against the same without."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, save_random_adapter
from test_judge_process import ASKED

from benchmarks.collection_kills import count_journal_repeats, same_bytes
from benchmarks.fault_server import FaultServer
from benchmarks.ray_workers import reads_well
from benchmarks.scale_corpus import write_corpus
from engines.arguments import EngineArguments
from engines.load import load_engine
from evaluation.judge_process import JudgeProcess
from utils import read_json

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.slow,
]
ON_RAY = ("--ray_address", "local", "--data_parallel_size", 2)
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}  # as in each worker


def start(*command: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, *map(str, command)], cwd=ROOT, env=ONE_THREAD, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen) -> str:
    _, printed = process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def test_two_workers_answer_as_inference_does_with_the_adapter_and_without(tiny_model_path, tmp_path):
    save_random_adapter(tiny_model_path, tmp_path / "lora", 4)
    (tmp_path / "questions.json").write_text(json.dumps([f"What is {number} plus 3?" for number in range(20)]))
    common = [
        "inference.py", "--model_name_or_path", tiny_model_path, "--lora_weights", tmp_path / "lora", "--also_base",
        "--test_data_path", tmp_path / "questions.json", "--max_new_tokens", 8,
    ]  # fmt: skip
    finish(start(*common, "--output_path", tmp_path / "here.json"))
    printed = finish(start(*common, "--output_path", tmp_path / "ray.json", *ON_RAY))
    for name in ("", "_base"):
        assert same_bytes(tmp_path / f"here{name}.json", tmp_path / f"ray{name}.json")
    assert not same_bytes(tmp_path / "ray.json", tmp_path / "ray_base.json")
    assert printed.count("is ready: process") == 4, "two workers, and two with the adapter"


def test_a_judge_on_ray_answers_as_its_engine_does(tiny_model_path):
    judge = JudgeProcess(tiny_model_path, EngineArguments(ray_address="local", data_parallel_size=1))
    replies = judge.chat(ASKED, max_new_tokens=8)
    judge.close()
    assert replies == load_engine(tiny_model_path, EngineArguments()).chat(ASKED, max_new_tokens=8)


def test_a_collection_whose_driver_is_killed_goes_on_to_the_same_dataset(tmp_path):
    write_corpus(tmp_path / "texts", 20)

    def collect(name: str, server: FaultServer, *on_ray: object) -> subprocess.Popen:
        return start(
            "data_processor/data_collection_api.py", "--api_model", "m", "--api_base", server.address, "--concurrency", 4,
            "--data_path", tmp_path / "texts", "--json_save_dir", tmp_path / name / "data.json", "--test_ratio", 0.1,
            "--chunk_size_by_token", 160, "--role_amount_per_fact", 1, *on_ray,
        )  # fmt: skip

    with FaultServer(default=reads_well, delay_s=0.1) as server:
        finish(collect("here", server))
        calls = len(server.calls)
    with FaultServer(default=reads_well, delay_s=0.5) as server:
        killed = collect("ray", server, *ON_RAY)
        while len(server.calls) < calls // 2:
            assert killed.poll() is None, killed.stderr.read().decode()
            time.sleep(0.1)
        os.kill(killed.pid, signal.SIGKILL)
        finish(collect("ray", server, *ON_RAY))
    for name in ("data.json", "data.test.json", "data.chunks.jsonl", "log/data.dropped.jsonl"):
        assert same_bytes(tmp_path / "here" / name, tmp_path / "ray" / name), name
    assert count_journal_repeats(tmp_path / "ray" / "log" / "data.journal.jsonl") == 0
    counted = read_json(Path(tmp_path, "ray", "log", "data.meta.json"), "a meta file")["calls"]
    assert counted["from_journal"] >= calls // 4 and 0 < counted["asked"] < calls
