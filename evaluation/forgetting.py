"""What tuning cost: general questions lost, drift from the base model, claims to know the unknowable.

`retention` and `refusals` compare verdicts; `drift` runs both models; `lm_eval` passes both to lm-evaluation-harness.
The last two load models, each in a separate process, so that no two are in memory at once.

python -m evaluation.forgetting REQUEST.json ANSWER.json     # the process that measures drift: see `drift_in_child`
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable
from math import isfinite
from pathlib import Path

from data_processor.languages import identify_all, in_language, texts_of_rows
from engines.adapter import trained_system_prompt
from engines.processes import run_child
from evaluation.accuracy import paired
from evaluation.matching import CORRECT, UNANSWERABLE, refuses
from evaluation.significance import (
    amount,
    describe_comparison,
    describe_verdict,
    format_p_value,
    mcnemar,
    wilson_interval,
)
from utils import InputError, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
NEUTRAL_PROMPTS = str(ROOT / "evaluation" / "neutral_prompts.json")
DRIFT_ROWS = 32  # prompts answered together
DRIFT_TOKENS = 48  # of the base model's answer to each neutral prompt


def measure_answers(rows: dict[str, list[dict]], verdicts: dict[str, list[dict]]) -> dict:
    """Retention and refusals, from the answers ("sft", "base", "retention_sft" ...) and the verdicts on them."""
    measured: dict = {}
    if "retention_sft" in rows:
        measured["retention"] = retention(rows["retention_sft"], verdicts["retention_sft"], verdicts["retention_base"])
    refused = refusals(rows["sft"], rows["base"])
    if refused:
        measured["refusals"] = refused
    return measured


def model_measurements(arguments) -> dict[str, Callable[[], dict]]:
    """The measurements on the models themselves, as functions by name; none if evaluate.py was not given the models."""
    if not arguments.lora_weights:
        return {}
    models = (arguments.model_name_or_path, arguments.lora_weights)
    prompts = read_prompts(arguments.neutral_prompts)[: arguments.limit]
    system_prompt = arguments.system_prompt
    if system_prompt is None:
        system_prompt = trained_system_prompt(arguments.lora_weights)
    measures: dict[str, Callable[[], dict]] = {"drift": lambda: drift_in_child(*models, prompts, system_prompt)}
    if arguments.lm_eval:
        folder = Path(arguments.data_path)
        measures["lm_eval"] = lambda: lm_eval(arguments.lm_eval, *models, folder, arguments.limit)
    return measures


def neutral_prompts(rows: list[dict]) -> str:
    """The file of our neutral prompts in the language of most answered questions, or in English."""
    return str(in_language(NEUTRAL_PROMPTS, identify_all(texts_of_rows(rows))))


def retention(rows: list[dict], sft: list[dict], base: list[dict]) -> dict:
    """Which of the questions that the base model answered right the tuned one still does, and which it gained.

    `rows` are the tuned model's answers to general questions, `sft` and `base` the verdicts on both models' answers.
    """
    both = paired(rows, sft, base)
    before = [i for i in both if base[i]["verdict"] == CORRECT]
    kept = sum(sft[i]["verdict"] == CORRECT for i in before)
    gained = sum(sft[i]["verdict"] == CORRECT and base[i]["verdict"] != CORRECT for i in both)
    lost = len(before) - kept
    return {
        "n": len(both),
        "known_before": len(before),
        "kept": kept,
        "lost": lost,
        "gained": gained,
        "kept_share": round(kept / len(before), 4) if before else None,
        "interval": wilson_interval(kept, len(before)),
        "lost_answers": [
            {key: row.get(key) for key in ("id", "question", "reference", "response")}
            for row in (rows[i] for i in before if sft[i]["verdict"] != CORRECT)
        ],
        "p": round(mcnemar(gained, lost), 6),
        "words": describe_comparison(gained, lost),
    }


def refusals(sft: list[dict], base: list[dict]) -> dict | None:
    """How often each model says that it does not know, for unanswerable and for answerable questions.

    A question counts if both models were asked. None if none of the kind UNANSWERABLE does.
    """
    groups = {"unanswerable": True, "answerable": False}
    pairs = enumerate(zip(sft, base, strict=True))  # what no judge had time for has an error too, but an answer
    answered = [i for i, pair in pairs if not any(row.get("error") and not row["response"].strip() for row in pair)]
    positions = {
        name: [i for i in answered if (sft[i].get("kind") == UNANSWERABLE) == is_unanswerable]
        for name, is_unanswerable in groups.items()
    }
    if not positions["unanswerable"]:
        return None
    result: dict = {}
    for name, group_positions in positions.items():
        refused = {
            model: [refuses(rows[i]["response"], sft[i]["reference"] if groups[name] else "") for i in group_positions]
            for model, rows in (("sft", sft), ("base", base))
        }
        result[name] = {
            model: {"n": len(x), "refused": sum(x), "interval": wilson_interval(sum(x), len(x))}
            for model, x in refused.items()
        }
        if name == "unanswerable":
            gained = sum(a and not b for a, b in zip(refused["sft"], refused["base"], strict=True))
            lost = sum(b and not a for a, b in zip(refused["sft"], refused["base"], strict=True))
            p = mcnemar(gained, lost)
            result["words"] = (
                f"{amount(gained, 'refusal')} gained, {lost} lost: {describe_verdict(gained, lost, p)} (exact McNemar, {format_p_value(p)})"
            )
    return result


def drift(model_name_or_path: str, lora_weights: str, prompts: list[str], system_prompt: str | None = None) -> dict:
    """How far the adapter moves the model where nothing was meant to change.

    The base model answers each neutral prompt greedily; at every token of these answers the next-token distributions
    of both are compared. "mean_kl" is KL(base || tuned) in nats, "top1_agreement" the share of positions where both
    models rank the same token first.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from engines.arguments import EngineArguments
    from engines.chat import with_system_prompt
    from engines.chat_template import padded_on_the_left, prompt_ids, stop_token_ids
    from engines.gpus import torch_device_index
    from engines.placement import place_model

    gpus = place_model(model_name_or_path, EngineArguments(engine="transformers")).gpus
    device, dtype = (f"cuda:{torch_device_index(gpus[0])}", torch.bfloat16) if gpus else ("cpu", torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model_name_or_path)
    base_model = AutoModelForCausalLM.from_pretrained(model_name_or_path, dtype=dtype)
    model = PeftModel.from_pretrained(base_model, lora_weights).to(device).eval()
    stops = stop_token_ids(base_model, tokenizer)
    kl, agreements = [], []
    for start in range(0, len(prompts), DRIFT_ROWS):
        chats = [
            with_system_prompt([{"role": "user", "content": prompt}], system_prompt)
            for prompt in prompts[start : start + DRIFT_ROWS]
        ]
        ids, read = padded_on_the_left([prompt_ids(tokenizer, chat) for chat in chats], stops[0], device)
        with torch.inference_mode():
            with model.disable_adapter():
                options = {"max_new_tokens": DRIFT_TOKENS, "eos_token_id": stops, "pad_token_id": stops[0]}
                generated = model.generate(input_ids=ids, attention_mask=read, do_sample=False, **options)
                answer = generated[:, ids.shape[1] :]
                ends = torch.isin(answer, torch.tensor(stops, device=device)).long()
                real = ends.cumsum(dim=1) - ends == 0  # up to the end of the turn
                mask = torch.cat([read, real.long()], dim=1)
                model_inputs = {
                    "input_ids": generated,
                    "attention_mask": mask,
                    "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0),
                    "logits_to_keep": answer.shape[1] + 1,
                }
                base = model(**model_inputs).logits[:, :-1][real].float().log_softmax(-1)
            tuned = model(**model_inputs).logits[:, :-1][real].float().log_softmax(-1)
        kl += (base.exp() * (base - tuned)).sum(-1).tolist()
        agreements += (base.argmax(-1) == tuned.argmax(-1)).tolist()
    return {
        "prompts": len(prompts),
        "tokens": len(kl),
        "mean_kl": round(sum(kl) / len(kl), 4),
        "top1_agreement": round(sum(agreements) / len(agreements), 4),
    }


def drift_in_child(model_name_or_path: str, lora_weights: str, prompts: list[str], system_prompt: str | None) -> dict:
    """Run `drift` in a child process; InputError if that fails."""
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        encoded = {"model_name_or_path": model_name_or_path, "lora_weights": lora_weights}
        write_json(request, {**encoded, "prompts": prompts, "system_prompt": system_prompt})
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "evaluation.forgetting", str(request), str(answer)]
        code, output = run_child(command, env={**os.environ, "PYTHONPATH": path})
        if code:
            raise InputError(
                f"expected the drift of {lora_weights}, found exit code {code} ({last_line(output)}): free memory, or "
                "leave --lora_weights out"
            )
        return read_json(answer, "a drift")


def last_line(output: str) -> str:
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")


def read_prompts(path: str) -> list[str]:
    """The neutral prompts: a list of texts."""
    prompts = read_json(path, "neutral prompts", "give a list of texts")
    if not isinstance(prompts, list) or not prompts or not all(isinstance(text, str) and text for text in prompts):
        raise InputError(f"expected a list of texts in {path}, found something else: give one prompt a line")
    return prompts


def require_lm_eval() -> None:
    """Check that lm-evaluation-harness is installed before anything is loaded for it."""
    if importlib.util.find_spec("lm_eval") is None:
        raise InputError(
            'expected lm-evaluation-harness for --lm_eval, found no package lm_eval: pip install "lm_eval[hf]", '
            "or leave --lm_eval out"
        )


def lm_eval(tasks: str, model_name_or_path: str, lora_weights: str, folder: Path, limit: int | None = None) -> dict:
    """The results of lm-evaluation-harness on the tasks, without and with the adapter.

    Returns {"base": {task: {metric: value}}, "sft": ...}; its own files stay in `folder`/lm_eval.
    """
    adapters = {"base": "", "sft": f",peft={Path(lora_weights).resolve()}"}
    return {
        name: harness(tasks, f"pretrained={model_name_or_path}{peft}", folder / "lm_eval" / name, limit)
        for name, peft in adapters.items()
    }


def harness(tasks: str, model_arguments: str, folder: Path, limit: int | None) -> dict:
    """One run of lm-evaluation-harness, and the numbers in the file it writes."""
    command = [  # -P: its `import evaluate` must not find this repository's script
        sys.executable, "-P", "-m", "lm_eval", "--model", "hf", "--model_args", model_arguments, "--tasks", tasks,
        "--batch_size", "8", "--output_path", str(folder), *(["--limit", str(limit)] if limit else []),
    ]  # fmt: skip
    code, output = run_child(command)
    generated = sorted(folder.rglob("results*.json"), key=lambda path: path.stat().st_mtime)
    if code or not generated:
        raise InputError(
            f"expected results of lm_eval for {tasks}, found exit code {code} ({last_line(output)}): see `lm_eval ls tasks`"
        )
    results = json.loads(generated[-1].read_text(encoding="utf-8"))["results"]
    return {
        task: {
            key: value
            for key, value in metrics.items()
            if "," in key and isinstance(value, int | float) and isfinite(value)
        }
        for task, metrics in results.items()
    }


if __name__ == "__main__":
    write_json(sys.argv[2], drift(**read_json(sys.argv[1], "what to measure")))
