"""benchmarks/gpu.py: its measurements on a tiny model, what it writes down of parts that fail, and all of it on a CPU.

python -m pytest tests/test_benchmark_gpu.py -m slow      # every part, as on a bare GPU machine: about four minutes
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from benchmarks import gpu, gpu_model, gpu_parts, gpu_run, gpu_steps
from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
ABSENT = (  # on a machine that has torch, transformers, peft, accelerate, psutil and matplotlib, and what these bring
    "bitsandbytes", "bm25s", "chardet", "chardetng_py", "deepspeed", "flash_attn", "ftfy", "gguf", "jsonschema",
    "lemminflect", "liger_kernel", "llguidance", "markdown_it", "natsort", "openai", "pyrate_limiter", "scipy", "semantic_text_splitter",
    "statsmodels", "tenacity", "tensorboard", "tiktoken", "trl", "vllm", "wandb",
)  # fmt: skip
HIDES = f"""
import sys
from importlib.machinery import PathFinder

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {ABSENT!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
"""


@pytest.fixture
def bare(tmp_path) -> dict[str, str]:
    """An environment in which Python finds none of the ABSENT packages."""
    (tmp_path / "hides").mkdir()
    (tmp_path / "hides" / "sitecustomize.py").write_text(HIDES)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "hides")}


@pytest.fixture(scope="module")
def bench(model_path, tmp_path_factory) -> gpu_model.Bench:
    folder = tmp_path_factory.mktemp("gpu")
    made = gpu_model.Bench(folder, folder / "whole", model_path, False)
    list(gpu_model.make_cut(made))
    return made


def session(bench, tmp_path) -> gpu.Session:
    return gpu.Session(
        dataclasses.replace(bench, folder=tmp_path), str(tmp_path / "gpu.json"), {"parts": {}, "models": {}}
    )


def python(program: str):
    """A child_words that runs this program, which finds the path of its answer in `answer`."""
    return lambda name, bench, answer: [sys.executable, "-c", f"answer = {str(answer)!r}; name = {name!r}\n{program}"]


def test_a_part_that_crashes_or_takes_too_long_loses_nothing(bench, tmp_path, monkeypatch):
    program = """
import os, time
open(answer, "w").write('{"measured": ' + name + "}")
print("the last words of", name, flush=True)
if name == "9": os.abort()
if name == "4": time.sleep(60)
"""
    monkeypatch.setattr(gpu, "child_command", python(program))
    monkeypatch.setitem(gpu.PARTS, 4, dataclasses.replace(gpu.PARTS[4], limit=0.5, model=None))
    session(bench, tmp_path).run([1, 9, 4])
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert {number: part["measured"] for number, part in parts.items()} == {"1": 1, "9": 9, "4": 4}
    assert {number: part["state"] for number, part in parts.items()} == {"1": "done", "9": "failed", "4": "failed"}
    assert parts["9"]["reason"] == "exit code -6" and parts["9"]["output"] == "the last words of 9\n"
    assert parts["4"]["reason"] == "over its limit of 2 seconds" and parts["4"]["seconds"] < 30


def test_without_its_model_a_part_is_skipped_and_the_others_run(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "child_command", python("raise SystemExit(3 if name == 'cut' else 0)"))
    session(bench, tmp_path).run([1, 4, 7, 6])
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert {number: part["state"] for number, part in result["parts"].items()} == {
        "1": "done", "4": "skipped", "7": "skipped", "6": "skipped",
    }  # fmt: skip
    assert result["parts"]["4"]["reason"] == "its model, 'cut', could not be made"
    assert list(result["models"]) == ["cut"] and result["models"]["cut"]["reason"] == "exit code 3"


def test_a_part_over_its_limit_leaves_no_process(tmp_path):
    """A rank of torchrun is in a session of its own, as is the child here; a part that can still end what it started does."""
    program = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(60)
"""
    assert gpu_run.run_with_limit([sys.executable, "-c", program], 2.0, tmp_path / "printed.txt") is None
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_on_a_gpu_all_parts_share_five_minutes(bench, tmp_path):
    on_gpu = gpu.Session(dataclasses.replace(bench, cuda=True), str(tmp_path / "gpu.json"), {"parts": {}, "models": {}})
    assert on_gpu.limit(gpu.PARTS[2]) == gpu.PARTS[2].limit
    on_gpu.began = time.monotonic() - 180
    assert 0 < on_gpu.limit(gpu.PARTS[2]) <= 10 and on_gpu.limit(gpu.PARTS[10]) == gpu.PARTS[10].limit
    on_gpu.began = time.monotonic() - 299.5
    for part in gpu.PARTS.values():
        entry = gpu.run_child("any", part, bench, on_gpu.limit(part))
        assert entry == {"title": part.title, "state": "skipped", "reason": "no time left of 300 seconds"}


def test_what_a_part_needs_is_named_with_the_pinned_version(monkeypatch):
    part = gpu.PARTS[5]
    assert gpu.missing_requirement(part, cuda=False) == "needs a CUDA GPU"
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: None)
    assert gpu.missing_requirement(part, cuda=True).startswith("needs bitsandbytes: pip install bitsandbytes==0.")
    assert gpu.missing_requirement(gpu.PARTS[1], cuda=False) is None
    assert gpu.pins()["torch"].count(".") == 2


def test_every_way_of_laying_out_a_batch_has_the_loss_of_our_training(bench):
    """Padding, mask, selection and checkpointing change what a step costs, and nothing of what it computes."""
    from training.batches import PaddedCollator
    from training.loss import head_only_at, loss_per_token

    steps = gpu_steps.Steps(bench, 2)
    dataset = gpu_model.examples(bench, 5)
    rows = [dataset[index] for index in range(5)]
    assert len({len(row["input_ids"]) for row in rows}) > 1  # some are padded
    batch = PaddedCollator(steps.pad)(rows)
    with torch.no_grad(), head_only_at(steps.model, batch["positions"]):
        logits = steps.model(input_ids=batch["input_ids"], use_cache=False).logits
    expected = loss_per_token(logits, batch["targets"]).item()
    for name, variant in {**gpu_steps.VARIANTS, "TRL": gpu_steps.TRL}.items():
        steps.set(variant)
        with torch.no_grad():
            loss = gpu_steps.compute_loss(steps.model, gpu_steps.make_batch(rows, variant, steps.pad, "cpu"), variant)
        assert loss.item() == pytest.approx(expected, abs=2e-5), name


def test_seconds_of_more_layers_follow_a_straight_line():
    seconds = {2: {"ours": 3.0, "other": 5.0}, 4: {"ours": 4.0, "other": 8.0}}
    whole = gpu_steps.extrapolated(seconds, 28)
    assert whole == {"ours": 16.0, "other": 44.0}
    assert gpu_steps.speeds(whole, 880) == {"ours_tok_s": 55.0, "other_tok_s": 20.0, "ratio_other": 2.75}


def test_attention_is_tried_on_what_the_report_describes():
    q, k, _, mask, _ = gpu_parts.low_logits(192, True, "cpu")
    logits = (q.float() @ k.float().mT) / math.sqrt(gpu_parts.HEAD_WIDTH)
    assert (logits.mean() + 120).abs() < 1 and torch.logsumexp(logits, dim=-1).max() < -math.log(3.4e38)
    assert mask.shape == (1, 1, 192, 192) and not mask[0, 0, 0, 1] and mask[0, 0, 1, 0]
    *_, mask, gradient = gpu_parts.padded_rows(320, True, "cpu")
    real = round(0.1 * 320)
    assert mask[3, 0, -1].sum() == real and not mask[3, 0, :, : 320 - real].any()
    assert gradient[3, :, :-real].abs().max() == 0 and gradient[3, :, -real:].abs().min() >= 0


def test_numbers_that_are_not_finite_are_counted():
    q, k, v, mask, gradient = gpu_parts.low_logits(64, True, "cpu")
    assert gpu_parts.count_not_finite(q, k, v, mask, gradient) == 0
    v[0, 0, 3, 5] = float("nan")  # reaches the output of position 3 and after
    assert gpu_parts.count_not_finite(q, k, v, mask, gradient) >= 61


def test_a_training_is_acted_on_once_at_its_step(tmp_path):
    program = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("asked to stop", flush=True))
for step in range(1, 6):
    print(f"step {step}/5, loss 1.000, learning rate 1e-4", flush=True)
    time.sleep(0.3)
print("resumed from nothing")
sys.exit(7)
"""
    acted = []
    training = gpu_run.train(
        [sys.executable, "-c", program], tmp_path / "printed.txt", 2, lambda process: acted.append(process.terminate())
    )
    assert training.code == 7 and len(acted) == 1 and training.output.count("asked to stop") == 1
    assert list(training.steps) == [1, 2, 3, 4, 5] and training.steps[5] - training.steps[1] > 1
    assert training.first_line_with("resumed from") == "resumed from nothing"


def test_a_training_that_failed_fails_its_part_after_its_exit_code_is_kept(tmp_path):
    facts = gpu_run.training_results(gpu_run.Training(1, 2.5, [(1.0, "out of memory")]), tmp_path)
    assert next(facts) == {"exit_code": 1, "wall_seconds": 2.5}
    with pytest.raises(InputError, match="found 1: out of memory"):
        next(facts)


def test_a_disk_without_room_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"expected 1048576\.0 GiB free at .*set TMPDIR to a larger disk"):
        gpu_model.require_disk_space(tmp_path, 2.0**50)


def test_all_of_it_imports_on_a_bare_machine(bare):
    """finetune.py and what it starts, the transformers engine and the benchmark, with no other package."""
    modules = (
        "finetune, training.launch, training.read_back, engines.hf, engines, engines.shared_prefix, benchmarks.gpu"
    )
    words = [sys.executable, "-c", f"import {modules}"]
    done = subprocess.run(words, cwd=ROOT, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_numbers_of_the_docs_are_those_of_the_arithmetic():
    """docs/gpu.md states memory by formula, and a step's arithmetic from the same shape."""
    from engines import memory

    config = gpu_model.make_config(gpu_model.QWEN_7B, gpu_model.ON_A_GPU.all_layers)
    shape, text = memory.shape_from_config(config), (ROOT / "docs" / "gpu.md").read_text()
    fixed = shape.weight_bytes() + shape.adapter_bytes(16) + memory.RESERVED
    plain, saving = (
        (fixed + 8192 * shape.bytes_per_token(checkpointing)) / gpu_run.GIB for checkpointing in (False, True)
    )
    assert f"| {shape.weight_bytes() / gpu_run.GIB:.1f} GiB; {shape.weight_bytes(True) / gpu_run.GIB:.1f} GiB |" in text
    assert f"| {shape.adapter_bytes(16) / gpu_run.GIB:.2f} GiB |" in text
    assert (
        f"| {shape.bytes_per_token(False) / 2**20:.2f} MiB |" in text
        and f"| {shape.bytes_per_token(True) / 2**20:.2f} MiB |" in text
    )
    assert f"| {plain:.1f} GiB; {saving:.1f} GiB with checkpointing |" in text
    assert (
        f"4N = {4 * shape.parameters / 1e9:.1f} GFLOP" in text
        and f"{shape.linear_weights / 1e9:.2f} of them in linear" in text
    )
    inputs = 6 * shape.hidden + shape.mlp_width  # of the seven linear layers of a layer
    assert f"{inputs:,} inputs" in text and f"{inputs * shape.layers * 24 / 1e6:.0f} MB a token" in text


@pytest.mark.slow
def test_every_part_runs_on_a_cpu_as_on_a_bare_machine(model_path, tmp_path, bare):
    out = tmp_path / "gpu.json"
    words = [sys.executable, "benchmarks/gpu.py", "--out", str(out), "--tokenizer", model_path]
    done = subprocess.run(words, cwd=ROOT, env=bare, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(out.read_text())
    parts = result["parts"]
    states = {number: part["state"] for number, part in parts.items()}
    assert states == {str(n): "skipped" if n == 5 else "done" for n in range(1, 11)}, parts
    assert parts["1"]["not_finite_as_we_train"] == 0 and len(parts["1"]["not_finite"]["padded rows"]) == 4
    for number in "2", "3", "6", "10":
        part = parts[number]
        assert (part["exit_code"], part["finite"]) == (0, True) and part["reopened_difference"] < 0.05  # bfloat16
        # the peak is measured at another moment, when a shared processor may have been slower
        assert part["real_tokens_s"] > 0 and 0 < part["mfu"] < 2 and part["phases"]["training"] > 0
    assert parts["3"]["validation_loss"] == pytest.approx(math.log(49152), abs=1.5)
    for measured in parts["4"]["by_tokens"].values():
        assert all(measured[name]["finite"] and measured[name]["ms_a_step"] > 0 for name in gpu_steps.VARIANTS)
    assert "needs a CUDA GPU" in parts["5"]["reason"]
    assert parts["6"]["sigterm"]["checkpoints"] and "checkpoint-" in parts["6"]["launcher_killed"]["resumed"]
    killed = parts["6"]["launcher_killed"]
    assert (killed["ranks"], killed["ranks_left"], killed["went_on_to_the_end"]) == (1, 0, False)
    assert "checkpoint-" in parts["6"]["next_start_resumed"]
    assert parts["7"]["prompts"] == 256 and parts["7"]["errors"] == 0 and "not installed" in parts["7"]["schemas"]
    assert parts["8"]["2_layers"]["ratio_trl_layout"] > 1 and parts["9"]["bf16_tflops"] > 0
    assert parts["10"]["in_time"] and parts["10"]["wall_seconds"] <= 90
    assert result["versions"]["torch"].startswith(result["pinned"]["torch"]) and result["commit"]


def test_the_engine_enforces_its_schema(bench):
    (_, facts) = list(gpu_parts.engine(bench))
    assert facts["prompts"] == 256 and facts["finished"] > 0 and facts["finished_and_by_schema"] == facts["finished"]
