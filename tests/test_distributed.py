"""Several processes give the adapter of one: DDP, ZeRO-1, 2 and 3, and two "nodes", on CPU through gloo; and resume.

python -m pytest tests/test_distributed.py              # DDP and ZeRO-3, about a minute
python -m pytest tests/test_distributed.py -m slow      # the others, about three minutes
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from engines.processes import lock_folder

ROOT = Path(__file__).resolve().parents[1]
SAME_WEIGHTS = 1e-4
STEPS = 6


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "data.json"
    rows = [
        {
            "id": f"identity_{n}",
            "conversations": [
                {"from": "user", "value": f"Where is number {n}?"},
                {"from": "assistant", "value": " ".join(["there"] * (1 + n % 7))},
            ],
            "fact": f"Number {n // 2} is there.",
        }
        for n in range(24)
    ]
    path.write_text(json.dumps(rows))
    return path


def arguments(model: str, data: Path, out: Path, *more: object) -> list[str]:
    return [
        "finetune.py", "--model_name_or_path", model, "--data_path", str(data), "--output_dir", str(out), "--replay_ratio", "0",
        "--lora_r", "4", "--learning_rate", "1e-3", "--max_steps", str(STEPS), "--logging_steps", "1", "--use_cpu", "True",
        "--system_prompt", "", "--bf16", "False", *map(str, more),
    ]  # fmt: skip


def start(processes: int, command: list[str], node: int = 0, nodes: int = 1, port: int | None = None):
    environment = {**os.environ, "OMP_NUM_THREADS": "1" if processes * nodes > 1 else "2", "WANDB_MODE": "disabled"}
    launcher = []
    if processes * nodes > 1 or "--deepspeed" in command:
        launcher = [
            "-m", "torch.distributed.run", "--nnodes", str(nodes), "--node_rank", str(node), "--nproc_per_node", str(processes),
            "--master_addr", "127.0.0.1", "--master_port", str(port or free_port()),
        ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *launcher, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(*processes) -> str:
    output = ""
    for process in processes:
        output += process.communicate(timeout=600)[0]
    assert all(process.returncode == 0 for process in processes), output[-4000:]
    return output


def losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in json.loads((folder / "train_log.json").read_text())["log"] if "loss" in entry]


def largest_difference(a: Path, b: Path) -> float:
    first, second = load_file(a / "adapter_model.safetensors"), load_file(b / "adapter_model.safetensors")
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.fixture(scope="module")
def single(tiny_model_path, data, tmp_path_factory) -> Path:
    """One process, batches of 8: what all others must give."""
    out = tmp_path_factory.mktemp("single")
    more = ["--per_device_train_batch_size", 8, "--report_to", "tensorboard", "--show_mask", 1]
    output = finish(start(1, arguments(tiny_model_path, data, out, *more)))
    assert "[[there" in output and "updates of 8 examples" in output
    assert list(out.rglob("events.out.tfevents.*")) and (out / "loss_curve.png").is_file()
    assert max(t.abs().max() for n, t in load_file(out / "adapter_model.safetensors").items() if "lora_B" in n) > 1e-3
    return out


def check(single: Path, out: Path) -> None:
    assert largest_difference(single, out) <= SAME_WEIGHTS
    assert losses(out) == pytest.approx(losses(single), abs=1e-3) and len(losses(out)) == STEPS
    assert json.loads((out / "log" / "training.meta.json").read_text())["reopened_difference"] <= 1e-3


@pytest.mark.parametrize(
    "config",
    [
        None,
        pytest.param("zero1", marks=pytest.mark.slow),
        pytest.param("zero2", marks=pytest.mark.slow),
        pytest.param("zero2_offload", marks=pytest.mark.slow),
        "zero3",
    ],
    ids=lambda config: config or "ddp",
)
def test_two_processes_give_the_adapter_of_one(config, single, tiny_model_path, data, tmp_path):
    """An update of 8 examples is one batch of 4 a rank, or two of 2: loss and gradients are of its trained tokens."""
    size, accumulated = (2, 2) if config in (None, "zero2") else (4, 1)
    more = ["--per_device_train_batch_size", size, "--gradient_accumulation_steps", accumulated]
    more += ["--deepspeed", f"ds_configs/{config}.json"] if config else []
    finish(start(2, arguments(tiny_model_path, data, tmp_path, *more)))
    check(single, tmp_path)
    # On a CPU accelerate can leave DeepSpeed out without a word.
    engine = json.loads((tmp_path / "log" / "training.meta.json").read_text())["engine"]
    assert engine == ("DeepSpeedEngine" if config else "DistributedDataParallel")


@pytest.mark.slow
def test_two_nodes_of_one_process_give_the_adapter_of_one(single, tiny_model_path, data, tmp_path):
    port = free_port()
    command = arguments(tiny_model_path, data, tmp_path, "--per_device_train_batch_size", 4)
    finish(*(start(1, command, node, 2, port) for node in range(2)))
    check(single, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("config", [None, "zero2", "zero3"], ids=lambda config: config or "ddp")
def test_a_stopped_run_of_two_processes_goes_on_where_it_was(config, single, tiny_model_path, data, tmp_path):
    """SIGTERM to the launcher reaches the ranks, who save together; the resumed losses are those of one unbroken run."""
    more = ["--per_device_train_batch_size", 4, "--resume_from_checkpoint", "auto"]
    more += ["--deepspeed", f"ds_configs/{config}.json"] if config else []
    command = arguments(tiny_model_path, data, tmp_path, *more)
    process = start(2, command)
    output = ""
    for line in process.stdout:
        output += line
        if "step 2/" in line:
            process.send_signal(signal.SIGTERM)
    process.wait(timeout=120)
    assert process.returncode != 0 and "--resume_from_checkpoint auto to continue" in output, output[-3000:]
    assert "resumed from" in finish(start(2, command))
    check(single, tmp_path)


def validation_losses(folder: Path) -> list[float]:
    history = json.loads((folder / "train_log.json").read_text())["log"]
    return [entry["eval_loss"] for entry in history if "eval_loss" in entry]


@pytest.mark.slow
def test_validation_on_two_ranks_finds_the_loss_of_one(tiny_model_path, data, tmp_path):
    """It was divided by the number of ranks. Seven examples are held out, which do not divide by two."""
    found = []
    for ranks in (1, 2):
        more = ["--per_device_train_batch_size", 8 // ranks, "--validation", "True", "--validation_size", 7]
        finish(start(ranks, arguments(tiny_model_path, data, tmp_path / str(ranks), *more)))
        found.append(validation_losses(tmp_path / str(ranks)))
    assert len(found[0]) >= 2 and found[0] == pytest.approx(found[1], rel=1e-3)


def with_replay(command: list[str]) -> list[str]:
    """The default share of replayed answers, which the other tests leave out."""
    place = command.index("--replay_ratio")
    return [*command[:place], *command[place + 2 :]]


@pytest.mark.slow
@pytest.mark.parametrize("config", [None, "zero3"], ids=lambda config: config or "ddp")
def test_replayed_answers_are_made_once_while_the_other_rank_waits(config, tiny_model_path, data, tmp_path):
    """Rank 0 alone loaded the model under ZeRO-3's hooks, for which it needed the other rank, which waited for it."""
    more = ["--deepspeed", f"ds_configs/{config}.json"] if config else []
    output = finish(start(2, with_replay(arguments(tiny_model_path, data, tmp_path, *more))))
    assert "the others wait, at most 120 minutes" in output
    made = json.loads((tmp_path / "log" / "training.meta.json").read_text())["counts"]["replay"]
    assert made == 7 * 3, "seven an epoch, others in each of three"
    asked = [json.loads(line) for line in (tmp_path / "log" / "replay.journal.jsonl").read_text().splitlines()]
    assert sum(map(len, asked)) == made, "each answer once"


@pytest.mark.slow
def test_deepspeed_trains_to_a_time_budget(tiny_model_path, data, tmp_path):
    """How long it takes to save was measured with an engine that is not there before the training."""
    more = ["--deepspeed", "ds_configs/zero2.json", "--time_budget", "3m"]
    output = finish(start(2, arguments(tiny_model_path, data, tmp_path, *more)))
    assert "reserved to save and check" in output
    assert json.loads((tmp_path / "log" / "training.meta.json").read_text())["budget"]["progress"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("launch", ["zero3", "bf16"])
def test_updates_by_tokens_are_the_default_at_any_count_of_ranks(launch, tiny_model_path, data, tmp_path):
    more = ["--deepspeed", "ds_configs/zero3.json"] if launch == "zero3" else ["--bf16", "True"]
    output = finish(start(2, arguments(tiny_model_path, data, tmp_path, *more)))
    assert "256 tokens per update for each of 2 ranks: with fewer ranks each would have enough work" in output
    meta = json.loads((tmp_path / "log" / "training.meta.json").read_text())
    assert meta["arguments"]["max_tokens_per_batch"] == 256 and len(losses(tmp_path)) == STEPS
    assert meta["reopened_difference"] <= (0.03 if launch == "bf16" else 1e-5)


@pytest.mark.slow
def test_a_killed_launcher_leaves_no_worker_and_the_next_start_goes_on(tiny_model_path, data, tmp_path):
    """torchrun's workers are in sessions of their own and outlived a kill -9, with the GPUs' memory."""
    more = ["--per_device_train_batch_size", 4, "--resume_from_checkpoint", "auto"]
    command = arguments(tiny_model_path, data, tmp_path, *more)
    process = start(2, command)
    output, workers = "", []
    for line in process.stdout:
        output += line
        if "step 2/" in line:
            workers = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            break
    assert len(workers) >= 2, output[-3000:]
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left
    output += process.communicate(timeout=60)[0]
    assert list(tmp_path.glob("checkpoint-*")), output[-3000:]
    assert "resumed from" in finish(start(2, command))


def test_two_trainings_do_not_share_a_folder(tiny_model_path, data, tmp_path):
    with lock_folder(tmp_path):
        process = start(1, arguments(tiny_model_path, data, tmp_path))
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 2 and f"process {os.getpid()}" in output.splitlines()[-1]


def test_a_stop_saves_and_a_torn_checkpoint_is_passed_over(single, tiny_model_path, data, tmp_path):
    command = arguments(
        tiny_model_path, data, tmp_path, "--per_device_train_batch_size", 8, "--resume_from_checkpoint", "auto"
    )
    process = start(1, command)
    for line in process.stdout:
        if "step 2/" in line:
            process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    (whole,) = tmp_path.glob("checkpoint-*")
    torn = tmp_path / "checkpoint-5"
    torn.mkdir()
    (torn / "optimizer.pt").write_bytes(b"half")
    other = subprocess.run(
        [sys.executable, *command, "--learning_rate", "2e-3"], cwd=ROOT, capture_output=True, text=True
    )
    assert other.returncode == 2 and "learning_rate" in other.stderr.splitlines()[-1]
    output = finish(start(1, command))
    assert f"skipped {torn}: torn" in output and f"resumed from {whole}" in output
    check(single, tmp_path)


def test_the_doctor_takes_seconds_and_trains_nothing(tiny_model_path, data, tmp_path):
    started = time.time()
    output = finish(start(1, arguments(tiny_model_path, data, tmp_path / "out", "--check_only", "True")))
    assert "24 rows, 0 errors, 0 warnings; nothing was trained" in output
    assert not (tmp_path / "out").exists() and time.time() - started < 60
