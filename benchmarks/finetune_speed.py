"""Real tokens per second of LoRA training: ours, TRL's SFTTrainer, LLaMA-Factory, and all padded to the maximum.

Same model, same rows, same adapters, same number of updates, one process after another on a quiet machine. A real token
is one that is not padding; the seconds are those of the training loop, without loading. Each contestant runs --repeats
times in turn and its fastest run counts. TRL and LLaMA-Factory run in environments of their own; without one, their
figures are left out.

In:  --data_path, a dataset of stage 1.
Out: --results, {"ours_tok_s", "trl_tok_s", "trl_best_tok_s", "llamafactory_tok_s", "llamafactory_best_tok_s",
     "reference_tok_s", "mfu", "loss_ours", "loss_trl", ...}.

    python benchmarks/finetune_speed.py --data_path output/quickstart/data.json --results results/finetune_speed.json \\
        --trl_python ~/trl/bin/python --llamafactory_python ~/llamafactory/bin/python

    ~/trl: pip install torch==2.13.0 transformers==5.19.0 peft==0.21.2 accelerate==1.15.0 trl datasets
    ~/llamafactory: pip install torch==2.13.0 llamafactory
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOPS_PER_PARAMETER = 4  # frozen weights: no gradients of their own


@dataclass
class Arguments:
    data_path: str = "output/quickstart/data.json"
    model_name_or_path: str = "models/SmolLM2-135M-Instruct"
    updates: int = 24
    reference_updates: int = field(
        default=4, metadata={"help": "Fewer, since each takes so long; its speed is the same."}
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
    """Write the rows for all of them; {"tokens", "trained_tokens"} of one pass."""
    sys.path.insert(0, str(ROOT))
    from transformers import AutoTokenizer

    from dataset import read_dataset, to_messages
    from training.chat_template import trained_parts
    from training.data import preprocess

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
    alpaca = [{"instruction": p["prompt"], "output": p["completion"].removesuffix(tokenizer.eos_token)} for p in plain]
    (folder / "alpaca.json").write_text(json.dumps(alpaca))
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "alpaca.json"}}))
    return counts


def call(command: list, folder: Path) -> bool:
    """Run a contestant; False where it failed, with the end of what it said."""
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "WANDB_MODE": "disabled"}
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"{command[0]} failed, its figure is left out:\n{(done.stdout + done.stderr)[-3000:]}", file=sys.stderr)
    return done.returncode == 0


def ours(arguments: Arguments, folder: Path, *more: str) -> dict:
    out = folder / "ours"
    call(
        [
            sys.executable, "finetune.py", "--model_name_or_path", arguments.model_name_or_path,
            "--data_path", folder / "rows.json", "--output_dir", out, "--system_prompt", "", "--replay_ratio", 0,
            "--max_steps", arguments.updates, "--per_device_train_batch_size", arguments.per_device_train_batch_size,
            "--learning_rate", arguments.learning_rate, "--lora_r", arguments.lora_r, "--logging_steps", 1,
            "--seed", arguments.seed, *more,
        ],
        folder,
    )  # fmt: skip
    log = json.loads((out / "train_log.json").read_text())
    seconds = next(entry["train_runtime"] for entry in log["log"] if "train_runtime" in entry)
    losses = [entry["loss"] for entry in log["log"] if "loss" in entry]
    plan = log["plan"]
    return {"seconds": seconds, "losses": losses, "parameters": plan["parameters"], "peak_flops": plan["peak_flops"]}


def child(contestant: str, python: str, arguments: Arguments, folder: Path) -> dict | None:
    """Another trainer, by this file in its own environment."""
    settings = {**vars(arguments), "folder": str(folder), "contestant": contestant}
    (folder / "settings.json").write_text(json.dumps(settings))
    if not call([python, __file__, folder / "settings.json"], folder):
        return None
    return json.loads((folder / f"{contestant}.json").read_text())


def common_arguments(settings: dict) -> dict:
    """What TRL, LLaMA-Factory and the reference share with ours."""
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


def lora(settings: dict):
    from peft import LoraConfig

    return LoraConfig(
        r=settings["lora_r"], lora_alpha=2 * settings["lora_r"], target_modules="all-linear", task_type="CAUSAL_LM"
    )


def timed(trainer) -> dict:
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]}


def train_trl(settings: dict, best: bool) -> dict:
    """SFTTrainer as it comes, with no more than what makes the task the same; `best` also groups rows by length.

    Its default is gradient checkpointing, bf16 and rows up to 1024 tokens; on a CPU bf16 is emulated, so it runs in
    float32 in both.
    """
    import transformers
    from trl import SFTConfig, SFTTrainer

    from datasets import Dataset

    model = transformers.AutoModelForCausalLM.from_pretrained(settings["model_name_or_path"], dtype="float32")
    faster = dict(train_sampling_strategy="group_by_length", gradient_checkpointing=False) if best else {}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**common_arguments(settings), bf16=False, **faster),
        train_dataset=Dataset.from_list(json.loads(Path(settings["folder"], "plain.json").read_text())),
        processing_class=transformers.AutoTokenizer.from_pretrained(settings["model_name_or_path"]),
        peft_config=lora(settings),
    )
    return timed(trainer)


def train_reference(settings: dict) -> dict:
    """The way of the first system of this kind: every row padded to the maximum, logits everywhere."""
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
    model = transformers.AutoModelForCausalLM.from_pretrained(settings["model_name_or_path"], dtype="float32")
    settings["updates"] = settings["reference_updates"]
    arguments = transformers.TrainingArguments(**common_arguments(settings))
    return timed(transformers.Trainer(get_peft_model(model, lora(settings)), arguments, train_dataset=rows))


def train_llamafactory(settings: dict, best: bool) -> dict:
    """`llamafactory-cli train` on the same text; `best` also groups rows by length and packs nothing."""
    from llamafactory.train.tuner import run_exp

    common = common_arguments(settings)
    started = time.perf_counter()
    run_exp(
        {
            **common,
            "model_name_or_path": settings["model_name_or_path"],
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "lora_rank": settings["lora_r"],
            "lora_alpha": 2 * settings["lora_r"],
            "lora_target": "all",
            "dataset": "rows",
            "dataset_dir": settings["folder"],
            "template": "empty",
            "overwrite_output_dir": True,
            **({"group_by_length": True, "disable_gradient_checkpointing": True} if best else {}),
        }
    )
    state = json.loads(Path(common["output_dir"], "trainer_state.json").read_text())["log_history"]
    seconds = next(
        (entry["train_runtime"] for entry in state if "train_runtime" in entry), time.perf_counter() - started
    )
    return {"seconds": seconds, "losses": [entry["loss"] for entry in state if "loss" in entry]}


def run_child(settings: dict) -> None:
    contestant = settings["contestant"]
    if contestant == "reference":
        found = train_reference(settings)
    else:
        train = train_trl if contestant.startswith("trl") else train_llamafactory
        found = train(settings, contestant.endswith("best"))
    Path(settings["folder"], f"{contestant}.json").write_text(json.dumps(found))


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from provenance import commit, machine, today
    from utils import parse_arguments, write_json

    (arguments,) = parse_arguments(Arguments)
    contestants = [("ours", None), ("reference", sys.executable)]
    for name, python in (("trl", arguments.trl_python), ("llamafactory", arguments.llamafactory_python)):
        contestants += [(name, python), (f"{name}_best", python)] if python else []
    result: dict = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = prepare(arguments, folder)
        for _ in range(arguments.repeats):
            for contestant, python in contestants:
                found = ours(arguments, folder) if python is None else child(contestant, python, arguments, folder)
                if found is None:
                    continue
                share = arguments.reference_updates / arguments.updates if contestant == "reference" else 1.0
                speed = counts["tokens"] * share / found["seconds"]
                print(
                    f"{contestant}: {speed:.1f} real tokens/s, loss {sum(found['losses']) / len(found['losses']):.4f}",
                    flush=True,
                )
                result[f"{contestant}_tok_s"] = max(round(speed, 1), result.get(f"{contestant}_tok_s", 0.0))
                if contestant != "reference":
                    result[f"loss_{contestant}"] = round(sum(found["losses"]) / len(found["losses"]), 4)
                if contestant == "ours":
                    mfu = FLOPS_PER_PARAMETER * found["parameters"] * speed / found["peak_flops"]
                    result["mfu"] = max(round(mfu, 4), result.get("mfu", 0.0))
                    result["peak_gflops"] = round(found["peak_flops"] / 1e9, 1)
    result |= {
        "ratio_" + key[:-6]: round(result["ours_tok_s"] / value, 2)
        for key, value in result.items()
        if key.endswith("_tok_s")
    }
    result |= {**counts, "arguments": vars(arguments), "machine": machine(), "date": today(), "commit": commit()}
    print(json.dumps(result, indent=1))
    if arguments.results:
        write_json(arguments.results, result)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].endswith("settings.json"):
        run_child(json.loads(Path(sys.argv[1]).read_text()))
    else:
        main()
