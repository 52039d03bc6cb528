"""Ask the model of a collection about pairs of facts that may contradict one another, with the quotes of both before it.

In:  log/candidates.json beside the dataset of --json_save_dir: a list of {"id", "file_name", "first", "second": {"fact",
     "quote", "file_name"}}, as run_all.py writes it for documents that have changed (days/superseded.py).
Out: log/contradictions.json: a list of {"id", "verdict": "contradicts", "both" (both can be true), "same" (in other words) or
     "unclear", "thing": what both tell of}, or of {"id", "error"} without a verdict. With a time budget, as many as fit.

The arguments are those of the collection, so that the same model answers, in the same engine or by the same API. A model
that is no judge (--guard words) is not asked.

    python data_processor/contradictions.py --model_name_or_path Qwen/Qwen2.5-7B-Instruct --json_save_dir output/data.json
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from budget.asking import NOT_ASKED, ask_in_time
from budget.clock import Clock, stage_clock
from budget.reports import AskingTime
from data_processor import data_collection_api, data_collection_local
from data_processor.arguments import CollectionArguments, dataset_path
from data_processor.languages import detect_language
from data_processor.prompts import Conversation, Prompts, load_prompts
from data_processor.work import an_object
from engines.chat import Engine, Reply
from engines.failures import require_answers
from engines.hub import require_model
from engines.journal import JournaledEngine
from engines.json_replies import CUT_OFF, parse_json
from engines.load import load_api_engine, load_engine
from engines.progress import progress_bar
from provenance import write_meta
from utils import InputError, find_log_file, log_file, parse_arguments, read_json, run_script, write_json

CANDIDATES, CONTRADICTIONS = "candidates.json", "contradictions.json"
STEP = "contradicts"  # the key of the prompt
CONTRADICTS, UNCLEAR = "contradicts", "unclear"
VERDICTS = (CONTRADICTS, "both", "same", UNCLEAR)
TOKENS_A_VERDICT = 120  # "thing" at one token a character at worst (Chinese), plus the JSON around it
SCHEMA = an_object(thing={"type": "string", "maxLength": 80}, verdict={"type": "string", "enum": [*VERDICTS]})


def to_conversation(prompts: dict[str, Prompts], pair: dict, language: str) -> Conversation:
    """The question about a pair, in a language, or with "auto" in that of its facts, if there are prompts in it."""
    shown = {}
    for side in ("first", "second"):
        fact = pair[side]
        shown |= {side: fact["fact"], f"{side}_file": fact["file_name"], f"{side}_quote": fact["quote"]}
    if language == "auto":
        found = detect_language(f"{shown['first']}\n{shown['second']}")
        language = found if found in prompts else "en"
    return prompts[language].conversation(STEP, **shown)


def judge_pairs(
    engine: JournaledEngine, pairs: list[dict], prompts: dict[str, Prompts], language: str, clock: Clock
) -> tuple[list[Reply], AskingTime]:
    """A reply on each pair, with an error where there was no time for it."""
    conversations = [to_conversation(prompts, pair, language) for pair in pairs]
    with progress_bar(STEP, len(pairs)) as bar:

        def ask(numbers: list[int]) -> list[Reply]:
            return engine.chat(
                [conversations[number] for number in numbers],
                max_new_tokens=TOKENS_A_VERDICT,
                schemas=SCHEMA,
                on_reply=lambda *_: bar.update(1),
            )

        return ask_in_time(engine, ask, pairs, clock)


def to_verdict(pair: dict, reply: Reply) -> dict:
    """What a reply says of a pair."""
    if reply.error:
        return {"id": pair["id"], "error": reply.error}
    try:
        told = parse_json(reply.text)
    except json.JSONDecodeError:
        return {"id": pair["id"], "error": CUT_OFF}
    return {"id": pair["id"], "verdict": told["verdict"], "thing": told["thing"]}


def load(arguments: CollectionArguments, prompts: int) -> Engine:
    """The model of the collection."""
    if isinstance(arguments, data_collection_api.Arguments):
        return load_api_engine(arguments)
    require_model(arguments.model_name_or_path)
    return load_engine(arguments.model_name_or_path, arguments, prompts=prompts)


def main() -> None:
    collection = data_collection_api if "--api_model" in sys.argv else data_collection_local
    (arguments,) = parse_arguments(collection.Arguments)
    started, dataset = time.time(), dataset_path(arguments.json_save_dir)
    if not arguments.method.CAN_JUDGE:
        raise InputError(
            "expected a model that is trusted to judge facts, found the method for one that is not "
            "(data_processor/small_model/README.md): ask a larger model"
        )
    pairs = read_json(find_log_file(dataset.with_name(CANDIDATES)), "pairs of facts")
    prompts = load_prompts(arguments.prompts, arguments.method.PROMPTS)
    path = log_file(dataset.with_name(CONTRADICTIONS))
    with stage_clock(arguments, "contradictions", dataset.parent) as clock:
        engine = JournaledEngine(load(arguments, len(pairs)), path.with_suffix(".journal.jsonl"))
        replies, spent = judge_pairs(engine, pairs, prompts, arguments.language, clock)
        verdicts = [to_verdict(*both) for both in zip(pairs, replies, strict=True)]
        write_json(path, verdicts)
        counts = Counter(verdict.get("verdict", "not_judged") for verdict in verdicts)
        write_meta(
            dataset.with_name(CONTRADICTIONS),
            arguments,
            started,
            model=engine.name,
            counts={"pairs": len(pairs), **counts},
            tokens={
                "prompt": sum(reply.prompt_tokens for reply in replies),
                "completion": sum(reply.completion_tokens for reply in replies),
            },
            calls={"asked": engine.asked, "from_journal": engine.reused},
            **({"budget": asdict(spent)} if clock.limited else {}),
        )
        errors = [verdict["error"] for verdict in verdicts if verdict.get("error", NOT_ASKED) != NOT_ASKED]
        require_answers(errors, spent.asked, f"the others are in {path}")


if __name__ == "__main__":
    run_script(main)
