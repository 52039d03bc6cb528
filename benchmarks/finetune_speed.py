"""Real tokens per second of LoRA training: ours, TRL's SFTTrainer, LLaMA-Factory, and padding everything to the maximum.

Same model, same rows, same adapters, same number of updates, one process after another on a quiet machine. A real token
is one that is not padding; the seconds are those of the training loop, without loading. Each contestant runs --repeats
times in turn and its fastest run counts; one beside which other programs took more than QUIET of the machine is run
again, and counts for nothing if it never was quiet. All must train the same tokens, which is checked. Every row is trained once; the
loss is that of all the trained tokens under the adapter that each contestant leaves, measured by the same code. TRL and
LLaMA-Factory run in environments of their own; without one, their figures are left out.

In:  --data_path, a dataset of stage 1.
Out: --results, {"ours_tok_s", "trl_tok_s", "trl_best_tok_s", "llamafactory_tok_s", "llamafactory_best_tok_s",
     "reference_tok_s", "mfu", "loss_ours", "loss_trl", ..., "loss_untrained"}.

    python benchmarks/finetune_speed.py --data_path output/quickstart/data.json --results results/finetune_speed.json \\
        --trl_python ~/trl/bin/python --llamafactory_python ~/llamafactory/bin/python

    ~/trl: pip install torch==2.13.0 transformers==5.19.0 peft==0.21.2 accelerate==1.15.0 trl datasets
    ~/llamafactory: pip install torch==2.13.0 llamafactory

LLaMA-Factory brings torchvision and torchaudio; their builds for CUDA do not import beside a torch for the CPU. Where no
others can be had: pip uninstall torchvision, and remove torchaudio/lib/*.so. Training on text needs neither.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOPS_PER_PARAMETER = 4  # frozen weights: no gradients of their own
QUIET, ATTEMPTS = 0.05, 3  # share of all cores other programs may take; attempts to get such a run
# The settings that make the others fastest on a CPU. TRL warns that batches without padding need FlashAttention,
# but a mask keeps the rows apart on a CPU too.
TRL_BEST = {
    "gradient_checkpointing": False,
    "padding_free": True,
    "max_length": None,
    "train_sampling_strategy": "group_by_length",
}
# The row order of the others' defaults, without padding: any remaining difference in loss is not due to the order.
OURS_RANDOM = ["--padding_free", "True", "--train_sampling_strategy", "random"]
LLAMAFACTORY_BEST = {"disable_gradient_checkpointing": True, "train_sampling_strategy": "group_by_length"}


@dataclass
class Arguments:
    data_path: str = "output/quickstart/data.json"
    model_name_or_path: str = "models/SmolLM2-135M-Instruct"
    updates: int = 24
    reference_updates: int = field(
        default=4, metadata={"help": "Fewer, since each takes so long; the speed is the same."}
    )
    per_device_train_batch_size: int = 8
    model_max_length: int = field(default=512, metadata={"help": "What the reference way pads every row to."})
    learning_rate: float = 1.2e-3
    lora_r: int = 16
    repeats: int = 2
    trl_python: str | None = None
    llamafactory_python: str | None = None
    seed: int = 42
    results: str | None = None


def prepare(arguments: Arguments, folder: Path) -> dict:
    """Write the rows for all contestants; return {"rows", "tokens", "trained_tokens"} for one pass."""
    sys.path.insert(0, str(ROOT))
    from transformers import AutoTokenizer

    from data_processor.dataset import read_dataset, to_messages
    from training.data import preprocess, trained_parts

    rows = [row for row in read_dataset(arguments.data_path) if len(to_messages(row)) == 2]
    random.Random(arguments.seed).shuffle(rows)
    rows = rows[: arguments.updates * arguments.per_device_train_batch_size]
    tokenizer = AutoTokenizer.from_pretrained(arguments.model_name_or_path)
    plain, counts = [], {"rows": len(rows), "tokens": 0, "trained_tokens": 0}
    for row in rows:
        ((prompt, answer),) = trained_parts(to_messages(row), tokenizer, "", row["id"])
        plain.append({"prompt": prompt, "completion": answer})
        example = preprocess(to_messages(row), tokenizer, "")
        counts["tokens"] += len(example["input_ids"])
        counts["trained_tokens"] += sum(label >= 0 for label in example["labels"])
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "plain.json").write_text(json.dumps(plain))
    alpaca = [{"instruction": row["prompt"], "input": "", "output": row["completion"]} for row in plain]
    (folder / "alpaca.json").write_text(json.dumps(alpaca))
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "alpaca.json"}}))
    return counts


def run_command(command: list) -> bool:
    """Run a contestant; False if it failed, after printing the end of its output."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "WANDB_MODE": "disabled"}
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"{command[0]} failed, its figure is left out:\n{(done.stdout + done.stderr)[-3000:]}", file=sys.stderr)
    return done.returncode == 0


def processor_seconds() -> tuple[float, float]:
    """CPU seconds used by the whole machine, and by this process and its finished children."""
    ticks = Path("/proc/stat").read_text().split("\n")[0].split()[1:4]  # user, nice, system
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])


def run_when_quiet(run: Callable[[], dict | None]) -> dict | None:
    """The result of `run` while nobody else uses the machine; None if it fails or the machine never gets quiet."""
    for _ in range(ATTEMPTS):
        began, before = time.perf_counter(), processor_seconds()
        found = run()
        if found is None:
            return None
        all_of_it, own = (after - earlier for after, earlier in zip(processor_seconds(), before, strict=True))
        found["elsewhere"] = round((all_of_it - own) / (time.perf_counter() - began) / os.cpu_count(), 3)
        if found["elsewhere"] <= QUIET:
            return found
        print(f"not quiet: other programs took {found['elsewhere']:.0%} of the machine", flush=True)
    return None


def run_ours(contestant: str, extra_arguments: list[str], arguments: Arguments, folder: Path) -> dict | None:
    out = folder / contestant
    command = [
        sys.executable, "finetune.py", "--model_name_or_path", arguments.model_name_or_path,
        "--data_path", folder / "rows.json", "--output_dir", out, "--system_prompt", "", "--replay_ratio", 0,
        "--max_steps", arguments.updates, "--per_device_train_batch_size", arguments.per_device_train_batch_size,
        "--learning_rate", arguments.learning_rate, "--lora_r", arguments.lora_r, "--logging_steps", 1,
        "--seed", arguments.seed, "--bf16", "False", *extra_arguments,
    ]  # fmt: skip
    if not run_command(command):
        return None
    log = json.loads((out / "train_log.json").read_text())
    seconds = next(entry["train_runtime"] for entry in log["log"] if "train_runtime" in entry)
    plan = {key: log["plan"][key] for key in ("tokens", "trained_tokens", "parameters", "peak_flops")}
    return {"seconds": seconds, **plan}


def run_other_trainer(
    contestant: str, python: str, extra_arguments: dict, arguments: Arguments, folder: Path
) -> dict | None:
    """Another trainer, run by this file in its own environment, with `extra_arguments` on top of its defaults."""
    settings = {**vars(arguments), "folder": str(folder), "contestant": contestant, "more": extra_arguments}
    (folder / "settings.json").write_text(json.dumps(settings))
    if not run_command([python, __file__, folder / "settings.json"]):
        return None
    return json.loads((folder / f"{contestant}.json").read_text())


def common_arguments(settings: dict) -> dict:
    """The arguments that TRL, LLaMA-Factory and the reference share with ours."""
    return dict(
        output_dir=f"{settings['folder']}/{settings['contestant']}",
        max_steps=settings["updates"],
        per_device_train_batch_size=settings["per_device_train_batch_size"],
        learning_rate=settings["learning_rate"],
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        seed=settings["seed"],
        use_cpu=True,
    )


def lora_config(settings: dict):
    """The same adapter as ours, with the same initial values."""
    import transformers
    from peft import LoraConfig

    transformers.set_seed(settings["seed"])
    return LoraConfig(
        r=settings["lora_r"], lora_alpha=2 * settings["lora_r"], target_modules="all-linear", task_type="CAUSAL_LM"
    )


def make_recorder(found: dict):
    """A Trainer callback that records what one pass trains, and the seconds of the training loop."""
    import torch
    import transformers

    class Recorder(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, train_dataloader=None, **_):
            found.update(tokens=0, trained_tokens=0)
            for row in train_dataloader.dataset:
                batch = train_dataloader.collate_fn([row])
                found["tokens"] += int(batch.get("attention_mask", torch.ones_like(batch["input_ids"])).sum())
                found["trained_tokens"] += int((batch["labels"] != -100).sum())
            self.began = time.perf_counter()

        def on_train_end(self, args, state, control, **_):
            found["seconds"] = time.perf_counter() - self.began

    return Recorder()


def train_trl(settings: dict) -> dict:
    """SFTTrainer with its defaults, changed only to make the task the same.

    Its defaults are gradient checkpointing, batches of random rows, and logits of the trained tokens alone; also bf16,
    which a CPU without units for it emulates many times slower, so it runs in float32, like all others.
    """
    import transformers
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    found: dict = {}
    model = transformers.AutoModelForCausalLM.from_pretrained(settings["model_name_or_path"], dtype="float32")
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**common_arguments(settings), bf16=False, **settings["more"]),
        train_dataset=Dataset.from_list(json.loads(Path(settings["folder"], "plain.json").read_text())),
        processing_class=transformers.AutoTokenizer.from_pretrained(settings["model_name_or_path"]),
        peft_config=lora_config(settings),
        callbacks=[make_recorder(found)],
    )
    trainer.train()
    trainer.save_model()
    return found


def train_reference(settings: dict) -> dict:
    """The approach of the first system of this kind: every row padded to the maximum, logits everywhere."""
    import torch
    import transformers
    from peft import get_peft_model

    tokenizer = transformers.AutoTokenizer.from_pretrained(settings["model_name_or_path"])
    rows = []
    for row in json.loads(Path(settings["folder"], "plain.json").read_text()):
        prompt, answer = (tokenizer(row[key]).input_ids for key in ("prompt", "completion"))
        missing = settings["model_max_length"] - len(prompt) - len(answer)
        rows.append(
            {
                "input_ids": torch.tensor(prompt + answer + [tokenizer.pad_token_id] * missing),
                "labels": torch.tensor([-100] * len(prompt) + answer + [-100] * missing),
                "attention_mask": torch.tensor([1] * (len(prompt) + len(answer)) + [0] * missing),
            }
        )
    found: dict = {}
    model = transformers.AutoModelForCausalLM.from_pretrained(settings["model_name_or_path"], dtype="float32")
    arguments = transformers.TrainingArguments(
        **common_arguments(settings | {"updates": settings["reference_updates"]})
    )
    adapted = get_peft_model(model, lora_config(settings))
    transformers.Trainer(adapted, arguments, train_dataset=rows, callbacks=[make_recorder(found)]).train()
    return found


def train_llamafactory(settings: dict) -> dict:
    """`llamafactory-cli train` on the same text; its defaults are gradient checkpointing and batches of random rows."""
    from llamafactory.train.tuner import run_exp

    found: dict = {}
    run_exp(
        {
            **common_arguments(settings),
            "model_name_or_path": settings["model_name_or_path"],
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "lora_rank": settings["lora_r"],
            "lora_alpha": 2 * settings["lora_r"],
            "lora_target": "all",
            "dataset": "rows",
            "dataset_dir": settings["folder"],
            "template": "empty",  # the text already includes the chat template
            "overwrite_output_dir": True,
            **settings["more"],
        },
        [make_recorder(found)],
    )
    return found


def run_child(settings: dict) -> None:
    contestant = settings["contestant"]
    trainers = {"trl": train_trl, "llamafactory": train_llamafactory, "reference": train_reference}
    name = contestant.partition("_")[0]
    found = trainers[name](settings)
    packages = ("torch", "transformers", "peft", *({name} - {"reference"}))
    found["versions"] = {package: importlib.metadata.version(package) for package in packages}
    Path(settings["folder"], f"{contestant}.json").write_text(json.dumps(found))


def loss_of_adapters(arguments: Arguments, folder: Path, names: list[str]) -> dict[str, float]:
    """The mean loss over all trained tokens of the rows, with each adapter and without any."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from training.batches import PaddedCollator
    from training.data import SupervisedDataset
    from training.loss import head_only_at, loss_per_token

    tokenizer = AutoTokenizer.from_pretrained(arguments.model_name_or_path)
    rows = SupervisedDataset(json.loads((folder / "rows.json").read_text()), tokenizer, "", arguments.model_max_length)
    examples = sorted(rows, key=lambda example: len(example["input_ids"]))
    collate, size = PaddedCollator(tokenizer.pad_token_id), 32
    model = AutoModelForCausalLM.from_pretrained(arguments.model_name_or_path, dtype="float32")
    losses = {}
    for name in ["untrained", *names]:
        if name != "untrained":
            model = PeftModel.from_pretrained(model, folder / name)
        total = count = 0
        for start in range(0, len(examples), size):
            batch = collate(examples[start : start + size])
            with torch.inference_mode(), head_only_at(model, batch["positions"]):
                logits = model(batch["input_ids"], use_cache=False).logits
            total += len(logits) * float(loss_per_token(logits, batch["targets"]))
            count += len(logits)
        losses[name] = round(total / count, 4)
        if name != "untrained":
            model = model.unload()
    return losses


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from provenance import commit, machine, today, versions
    from utils import parse_arguments, write_json

    (arguments,) = parse_arguments(Arguments)
    contestants = [
        ("ours", None, []),
        ("ours_random", None, OURS_RANDOM),
        ("reference", sys.executable, {}),
    ]
    for name, python, best in (
        ("trl", arguments.trl_python, TRL_BEST),
        ("llamafactory", arguments.llamafactory_python, LLAMAFACTORY_BEST),
    ):
        contestants += [(name, python, {}), (f"{name}_best", python, best)] if python else []
    runs: dict[str, list[float]] = {}  # real tokens/s of each contestant's runs
    found_versions: dict[str, dict] = {"ours": versions()}
    parameters = peak_flops = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = prepare(arguments, folder)
        for _ in range(arguments.repeats):
            for contestant, python, extra_arguments in contestants:
                if python is None:
                    found = run_when_quiet(functools.partial(run_ours, contestant, extra_arguments, arguments, folder))
                else:
                    found = run_when_quiet(
                        functools.partial(run_other_trainer, contestant, python, extra_arguments, arguments, folder)
                    )
                if found is None:
                    continue
                for key in ("tokens", "trained_tokens"):
                    assert found[key] == counts[key], f"{contestant} has {found[key]} {key}, expected {counts[key]}"
                share = arguments.reference_updates / arguments.updates if contestant == "reference" else 1.0
                runs.setdefault(contestant, []).append(round(counts["tokens"] * share / found["seconds"], 1))
                print(f"{contestant}: {runs[contestant][-1]} real tokens/s", flush=True)
                found_versions.setdefault(contestant.partition("_")[0], found.get("versions", {}))
                if contestant == "ours":
                    parameters, peak_flops = found["parameters"], max(peak_flops, found["peak_flops"])
        losses = loss_of_adapters(arguments, folder, [name for name in runs if name != "reference"])
    speed = {name: max(found) for name, found in runs.items()}
    result = {
        **{f"{name}_tok_s": value for name, value in speed.items()},
        **{f"ratio_{name}": round(speed["ours"] / value, 2) for name, value in speed.items() if name != "ours"},
        "mfu": round(FLOPS_PER_PARAMETER * parameters * speed["ours"] / peak_flops, 4),
        "peak_gflops": round(peak_flops / 1e9, 1),
        **{f"loss_{name}": value for name, value in losses.items()},
        **counts,
        "all_runs_tok_s": runs,
        "settings": {"ours_random": OURS_RANDOM, "trl_best": TRL_BEST, "llamafactory_best": LLAMAFACTORY_BEST},
        "arguments": {key: value for key, value in vars(arguments).items() if not key.endswith("_python")},
        "versions": found_versions,
        "machine": machine(),
        "date": today(),
        "commit": commit(),
    }
    print(json.dumps(result, indent=1))
    if arguments.results:
        write_json(arguments.results, result)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].endswith("settings.json"):
        run_child(json.loads(Path(sys.argv[1]).read_text()))
    else:
        main()
