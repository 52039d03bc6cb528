"""The untrained model's answers to general prompts: mixed into training, they prevent forgetting.

python -m training.replay REQUEST.json     # the process that answers: see `answer_request`
"""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from engines.chat import Reply
from engines.journal import JournaledEngine
from engines.processes import wait_for_child
from engines.thoughts import without_thoughts
from utils import InputError, read_json, run_script, write_json

REPLAY_PROMPTS = Path(__file__).with_name("replay_prompts.json")  # in English; beside it in other languages
REPLAY_TOKENS = 32  # replayed answers are cut here and trained without an end: how answers begin is what gets lost


@dataclass(frozen=True)
class UntrainedModel:
    """The model whose answers are replayed. It is not loaded in the training process: only the journal can answer there."""

    name: str
    system_prompt: str | None = None
    in_4_bits: bool = False
    on_cpu: bool = False

    def waves(self, conversations, max_new_tokens):
        raise LookupError("not loaded")


def replay_examples(
    model: UntrainedModel, prompts_path: str, per_epoch: int, epochs: float, journal: Path, seed: int
) -> list[dict]:
    """Examples with the untrained model's answers, enough for `per_epoch` others in each epoch.

    With fewer prompts they come round again, and there are at least `per_epoch`, if need be repeated. Every prompt is asked
    once: its answer is kept in the file `journal`, even if the run is interrupted.
    """
    if per_epoch == 0:
        return []
    prompts = read_json(prompts_path, "a list of general prompts")
    random.Random(seed).shuffle(prompts)
    prompts = prompts[: math.ceil(per_epoch * max(epochs, 1))]
    try:
        replies = answer_prompts(model, prompts, journal, model)
    except LookupError:
        replies = None
    if replies is None:  # not above: as long as an exception is handled, what failed keeps the journal to itself
        replies = answer_in_child(model, prompts, journal)
    answers = [without_thoughts(reply.text)[0] for reply in replies]  # an older journal may have thoughts
    examples = [
        {
            "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}],
            "kind": "replay",
            "unfinished": reply.finish_reason != "stop",
        }
        for prompt, answer, reply in zip(prompts, answers, replies, strict=True)
        if answer
    ]
    if not examples:
        reason = next((f" ({reply.error})" for reply in replies if reply.error), "")
        raise InputError(
            f"expected answers to {prompts_path} from {model.name}, found none{reason}: give --replay_ratio 0"
        )
    return [{"id": f"replay_{i}", **examples[i % len(examples)]} for i in range(max(len(examples), per_epoch))]


def answer_prompts(model: UntrainedModel, prompts: list[str], journal: Path, engine) -> list[Reply]:
    """The answers from the journal, and from `engine` for prompts that are not in it."""
    settings = (model.system_prompt, *(["nf4"] if model.in_4_bits else []))
    conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
    return JournaledEngine(engine, journal, *settings).chat(conversations, max_new_tokens=REPLAY_TOKENS)


def answer_in_child(model: UntrainedModel, prompts: list[str], journal: Path) -> list[Reply]:
    """Answers from a process that can use all GPUs, and ends before any rank loads weights.

    Within a rank, weights would be loaded the way ZeRO-3 does, by all ranks together, and would stay in memory.
    """
    from training.read_back import single_process_environment

    environment = single_process_environment() | ({"CUDA_VISIBLE_DEVICES": ""} if model.on_cpu else {})
    with tempfile.TemporaryDirectory() as folder:
        request, answers = Path(folder) / "request.json", Path(folder) / "answers.json"
        write_json(request, {"model": asdict(model), "prompts": prompts, "journal": str(journal.resolve())})
        code = wait_for_child([sys.executable, "-m", "training.replay", str(request)], env=environment)
        if code:
            raise InputError(f"expected replayed answers from {model.name}, found exit code {code}: see above")
        return [Reply(**reply) for reply in read_json(answers, "replayed answers")]


def answer_request() -> None:
    """Load the model, with vLLM if installed, answer the prompts of a request, and write the replies beside it.

    On a CPU with units for bfloat16 it answers in that, which is faster than float32: its answers are only trained.
    """
    import torch
    from transformers import AutoTokenizer

    from engines.arguments import EngineArguments
    from engines.hf import TransformersEngine
    from engines.load import load_engine
    from engines.weights import load_base
    from training.precision import cpu_prefers_bfloat16

    path = Path(sys.argv[1])
    request = json.loads(path.read_text())
    model = UntrainedModel(**request["model"])
    if model.in_4_bits:
        engine = TransformersEngine.load(model.name, system_prompt=model.system_prompt, in_4_bits=True)
    elif model.on_cpu and cpu_prefers_bfloat16():
        weights, tokenizer = load_base(model.name, torch.bfloat16), AutoTokenizer.from_pretrained(model.name)
        engine = TransformersEngine(weights, tokenizer, model.name, model.system_prompt)
    else:
        engine = load_engine(model.name, EngineArguments(), None, model.system_prompt, len(request["prompts"]))
    replies = answer_prompts(model, request["prompts"], Path(request["journal"]), engine)
    write_json(path.with_name("answers.json"), [asdict(reply) for reply in replies])


if __name__ == "__main__":
    run_script(answer_request)
