"""One run of benchmarks/knowledge.py: train, then answer, each step a script of this repository as a process of its own.

A run has a folder named by a hash of what determines it: the dataset, the arguments, the seed, the model. A step whose file
is there is not made again, so a kill loses the step that was running and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from provenance import commit
from utils import InputError, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "benchmarks" / "knowledge.toml"
TRL_TRAINERS = ("text", "sft", "sdft")
DRIFT_PROMPTS = ROOT / "evaluation" / "neutral_prompts.json"
SHOWN = 2000  # characters of a failed step's output


@dataclass(frozen=True)
class Settings:
    """A table of knowledge.toml, with the arguments of the run that it is `like` before its own."""

    name: str
    trainer: str
    note: str
    peer: bool = False
    arguments: tuple[str, ...] = ()
    options: str = "{}"  # JSON, of TRL's trainer
    lora: str = "{}"  # JSON, of peft's LoraConfig
    kinds: tuple[str, ...] = ()  # of the rows to train on; all if there are none


@dataclass(frozen=True)
class Run:
    """What is trained: settings, seed, a corpus's folder, and the documents of it (all if there are none)."""

    settings: Settings
    seed: int
    model: str
    corpus: Path
    documents: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        one = self.settings
        parts = (
            one.trainer,
            one.peer,
            one.arguments,
            one.options,
            one.lora,
            self.seed,
            Path(self.model).name,
            self.documents,
            *([one.kinds] if one.kinds else []),
        )
        data = hashlib.sha256((self.corpus / "data.json").read_bytes()).hexdigest()
        return self.corpus / "runs" / hashlib.sha256(json.dumps([*parts, data]).encode()).hexdigest()[:16]


def read_settings(path: Path = SETTINGS) -> dict[str, Settings]:
    """The runs of knowledge.toml by name; InputError if one is like a run that is not there."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["runs"]
    found: dict[str, Settings] = {}
    for name, table in tables.items():
        like = table.get("like")
        if like is not None and like not in found:
            raise InputError(
                f"expected the run {like!r} before {name!r}, which is like it, in {path}, found none: add it"
            )
        trainer = table.get("trainer") or found[like].trainer
        if trainer not in ("finetune", *TRL_TRAINERS):
            raise InputError(
                f"expected the trainer finetune, text, sft or sdft for {name!r} in {path}, found {trainer!r}"
            )
        inherited, kinds = (found[like].arguments, found[like].kinds) if like else ((), ())
        found[name] = Settings(
            name,
            trainer,
            table["note"],
            table.get("peer", False),
            (*inherited, *table.get("arguments", [])),
            json.dumps(table.get("options", {}), sort_keys=True),
            json.dumps(table.get("lora", {}), sort_keys=True),
            tuple(table.get("kinds", kinds)),
        )
    return found


def run_step(command: list, log: Path) -> float:
    """Run a process to its end; its output goes to `log`. Returns its seconds; InputError if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("w") as file:
        environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}
        code = subprocess.run(
            [str(word) for word in command], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
        ).returncode
    if code:
        raise InputError(
            f"expected {Path(str(command[1])).name} to end well, found exit code {code}: see {log}\n"
            + log.read_text(errors="replace")[-SHOWN:]
        )
    return time.monotonic() - began


def collect(corpus: Path, model: str) -> None:
    """Let the model write its own dataset about the texts of a corpus; the journal of a killed collection is used."""
    if (corpus / "data.json").exists():
        return
    arguments = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["collection"]["arguments"]
    out = corpus / "collected"
    seconds = run_step(
        [sys.executable, "data_processor/data_collection_local.py", "--model_name_or_path", model,
         "--data_path", corpus / "texts", "--json_save_dir", out, *arguments],
        corpus / "collection.log",
    )  # fmt: skip
    shutil.copy(out / "data.chunks.jsonl", corpus)
    write_json(corpus / "collection.json", {"minutes": round(seconds / 60, 1)})
    # last: it says that all is there
    write_json(corpus / "data.json", read_json(out / "data.json", "the collected dataset"))


def train(run: Run, data: Path, seconds: float | None, trl_python: str | None) -> dict:
    """Train the adapter of a run once; returns {"name", "seconds", "commit", ...}, also in its run.json.

    `seconds` is the deadline of a peer. A training that was killed begins again: its seconds are counted.
    """
    record = run.folder / "run.json"
    if record.exists():
        return read_json(record, "a run")
    lora = run.folder / "lora"
    shutil.rmtree(lora, ignore_errors=True)
    if run.settings.trainer == "finetune":
        command = [
            sys.executable, "finetune.py", "--model_name_or_path", run.model, "--data_path", data, "--output_dir", lora,
            "--seed", run.seed, *run.settings.arguments,
        ]  # fmt: skip
        if seconds is not None:  # no checkpoints: others pay for none
            command += ["--time_budget", f"{max(seconds, 1):.0f}s", "--save_minutes", "10000"]
    else:
        command = [trl_python, "benchmarks/knowledge_trl.py", write_request(run, data, lora, seconds)]
    taken = run_step(command, run.folder / "training.log")
    made = {
        "name": run.settings.name,
        "seed": run.seed,
        "documents": list(run.documents),
        "settings": {key: value for key, value in vars(run.settings).items() if key != "name"},
        "deadline_seconds": seconds and round(seconds, 1),
        "seconds": round(taken, 1),
        "commit": commit(),
    }
    write_json(record, made)
    return read_json(record, "a run")  # the same as when it is there already


def write_request(run: Run, data: Path, lora: Path, seconds: float | None) -> Path:
    """What knowledge_trl.py is to do, as a file."""
    request = {
        "trainer": run.settings.trainer,
        "model_name_or_path": run.model,
        "data_path": str(data),
        "texts": str(run.corpus / "texts"),
        "documents": list(run.documents),
        "output_dir": str(lora),
        "seconds": seconds,
        "seed": run.seed,
        "options": json.loads(run.settings.options),
        "lora": json.loads(run.settings.lora),
    }
    write_json(run.folder / "request.json", request)
    return run.folder / "request.json"


def answer(model: str, questions: Path, output: Path, adapter: Path | None = None, *more) -> list[dict]:
    """The answers of a model, greedy, with the system prompt that inference.py uses by default."""
    if not output.exists():
        adapted = ["--lora_weights", adapter] if adapter else []
        command = [sys.executable, "inference.py", "--model_name_or_path", model, "--test_data_path", questions]
        run_step([*command, "--output_path", output, *adapted, *more], output.with_suffix(".log"))
    rows = read_json(output, "answers")
    failed = [row["error"] for row in rows if row.get("error")]
    if failed:
        raise InputError(
            f"expected an answer to every question in {output}, found {len(failed)} errors ({failed[0]}): remove it"
        )
    return rows


def measure_drift(model: str, adapter: Path, folder: Path) -> float:
    """KL(base || tuned) in nats a token, on the base model's answers to neutral prompts (evaluation/forgetting.py)."""
    measured = folder / "drift.json"
    if not measured.exists():
        prompts = read_json(DRIFT_PROMPTS, "neutral prompts")
        settings = adapter / "knowledge_update.json"
        system_prompt = read_json(settings, "an adapter's settings")["system_prompt"] if settings.exists() else None
        asked = {
            "model_name_or_path": model,
            "lora_weights": str(adapter),
            "prompts": prompts,
            "system_prompt": system_prompt,
        }
        write_json(folder / "drift_request.json", asked)
        command = [sys.executable, "-m", "evaluation.forgetting", folder / "drift_request.json", measured]
        run_step(command, folder / "drift.log")
    return read_json(measured, "a drift")["mean_kl"]
