"""A model, with or without a LoRA adapter, answers the questions of a file: by vLLM, transformers or an API.

In:  --test_data_path, a dataset (see dataset.py): the last user's turn is asked, the last assistant's is the reference.
     Or a list of questions: texts, or objects with "question" and, where known, "reference", "fact", "id", "file_name", "kind".
Out: --output_path, a list of {"fact", "question", "response", "id", "reference", "file_name", "kind"} in the same order, and
     "role", "fact_id", "source" where the question has them; "error" in place of an answer that could not be had;
     "retrieved" with --rag: the chunks that were in the prompt. With a time budget, as many questions as fit are asked,
     evenly over the documents; the others have an error.

    python inference.py --model_name_or_path models/SmolLM2-135M-Instruct --test_data_path demo/questions.json \\
        --output_path output/tuned.json --lora_weights output/lora --also_base output/base.json
    python inference.py --api_model gpt-4o-mini --test_data_path questions.json --output_path output/rag.json --rag my_texts
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from budget.asking import even_order, next_round
from budget.clock import BudgetArguments, Clock, Stopped, start_clock
from data_processor.chunking import OPENAI_TOKENIZER, require_tokenizer
from data_processor.dataset import question_and_reference, read_dataset
from data_processor.documents import read_documents
from data_processor.retrieval import find_chunks, read_book
from engines.arguments import ApiArguments, EngineArguments
from engines.chat import Engine, Reply, with_system_prompt
from engines.load import load_api_engine, load_base_and_tuned, load_engine
from provenance import write_meta
from utils import (
    InputError,
    log_file,
    parse_arguments,
    progress_bar,
    require_adapter,
    require_model,
    run,
    trained_system_prompt,
    write_json,
)

if TYPE_CHECKING:
    from engines.journal import JournaledEngine

HANDED_ON = ("role", "fact_id", "source")  # of a collection's test file: the report counts and quotes by them
FIRST_QUESTIONS = 32  # asked with a time budget to see how long one takes
WRITING_S = 1.0  # kept back to write the answers
NO_TIME = "not asked: the time budget had no room"
WITH_TEXT = "{text}\n\n{question} Answer in a few words."

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Arguments(BudgetArguments, ApiArguments, EngineArguments):
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "A model folder, or a name on the Hugging Face hub; or give --api_model."}
    )
    test_data_path: str = field(metadata={"help": "The questions: a dataset, or a list of questions."})
    output_path: str = field(metadata={"help": "The answers file to write."})
    lora_weights: str | None = field(
        default=None, metadata={"help": "The folder of a LoRA adapter made for this model."}
    )
    also_base: str | None = field(
        default=None,
        metadata={
            "nargs": "?",
            "const": "",
            "help": "With --lora_weights: ask the model without the adapter too, under the same system prompt, and write "
            "its answers here (default: NAME_base.json beside NAME.json).",
        },
    )
    system_prompt: str | None = field(
        default=None,
        metadata={"help": "Default: what the adapter was trained with; without one, the chat template's own."},
    )
    open_book: str | None = field(
        default=None,
        metadata={"help": "Folder of the documents: each question gets its document in the prompt (the ceiling)."},
    )
    rag: str | None = field(
        default=None,
        metadata={
            "help": "Folder of the documents: each question gets the chunks that BM25 finds for it in the prompt."
        },
    )
    rag_chunks: int = field(default=3, metadata={"help": "Most chunks in a prompt of --rag."})
    chunk_size_by_token: int = field(default=512, metadata={"help": "Most tokens of a chunk of --rag."})
    tokenizer: str | None = field(
        default=None,
        metadata={
            "help": "Whose tokens are counted: a model's folder or name, or tiktoken:gpt-4o for those of an OpenAI model. "
            "By default the model's own, or tiktoken:gpt-4o where an API answers."
        },
    )
    max_new_tokens: int = field(default=64, metadata={"help": "The longest answer."})
    limit: int | None = field(default=None, metadata={"help": "Ask the first N questions only: a smoke run."})


def check_arguments(arguments: Arguments) -> str | None:
    """The system prompt to ask with, once all arguments make sense; nothing heavy is loaded before."""
    if bool(arguments.model_name_or_path) == bool(arguments.api_model):
        found = "both" if arguments.api_model else "neither"
        raise InputError(f"expected --model_name_or_path or --api_model, found {found}: give one")
    if arguments.api_model and arguments.lora_weights:
        raise InputError(
            "expected no --lora_weights with --api_model, found both: serve the adapter and give its name as --api_model"
        )
    if arguments.also_base is not None and not arguments.lora_weights:
        raise InputError("expected --lora_weights with --also_base, found none: give the adapter's folder")
    if arguments.also_base and Path(arguments.also_base) == Path(arguments.output_path):
        raise InputError(
            f"expected a file of its own for --also_base, found --output_path {arguments.output_path} again"
        )
    if arguments.open_book and arguments.rag:
        raise InputError("expected --open_book or --rag, found both: run them one after the other")
    for name, least in (("rag_chunks", 1), ("chunk_size_by_token", 64)):
        if getattr(arguments, name) < least:
            raise InputError(f"expected --{name} of at least {least}, found {getattr(arguments, name)}: raise it")
    if arguments.model_name_or_path:
        require_model(arguments.model_name_or_path)
    require_tokenizer(arguments.tokenizer)
    if not arguments.lora_weights:
        return arguments.system_prompt
    require_adapter(arguments.lora_weights, arguments.model_name_or_path)
    if arguments.system_prompt is None:
        return trained_system_prompt(arguments.lora_weights)
    return arguments.system_prompt


def answering_engines(
    arguments: Arguments, system_prompt: str | None, amount: int
) -> Iterator[tuple[Path, str | None, Engine]]:
    """The files to write, the adapter of each, and the engine that answers `amount` questions; each is used before the next."""
    output, adapter = Path(arguments.output_path), arguments.lora_weights
    if arguments.api_model:
        yield output, None, load_api_engine(arguments)
    elif arguments.also_base is None:
        yield output, adapter, load_engine(arguments.model_name_or_path, arguments, adapter, system_prompt, amount)
    else:
        base = Path(arguments.also_base or output.with_name(f"{output.stem}_base.json"))
        pair = load_base_and_tuned(arguments.model_name_or_path, arguments, adapter, system_prompt, amount)
        yield from zip((base, output), (None, adapter), pair, strict=True)


def prompts(arguments: Arguments, rows: list[dict], questions: list[str]) -> tuple[list[str], list[dict]]:
    """What is asked, with the source text where one is wanted, and what each answer says of that text."""
    if arguments.open_book:
        book = read_book(arguments.open_book, rows, arguments.test_data_path)
        texts, notes = [book[row["file_name"]].strip() for row in rows], [{}] * len(rows)
    elif arguments.rag:
        documents = read_documents(arguments.rag)
        tokenizer = arguments.tokenizer or arguments.model_name_or_path or OPENAI_TOKENIZER
        found = find_chunks(questions, documents, tokenizer, arguments.chunk_size_by_token, arguments.rag_chunks)
        texts = ["\n\n".join(text for text, _ in chunks) for chunks in found]
        notes = [{"retrieved": [place for _, place in chunks]} for chunks in found]
    else:
        return questions, [{}] * len(rows)
    asked = [WITH_TEXT.format(text=text, question=question) for text, question in zip(texts, questions, strict=True)]
    return asked, notes


def ask_in_time(
    engine: JournaledEngine,
    ask: Callable[[list[int]], list[Reply]],
    rows: list[dict],
    clock: Clock,
    until: float,
    most: int,
):
    """(replies, seconds a question): to as many questions, at most `most`, as can be asked until a moment.

    They are taken in an order that is even over the documents and the same each time; those left out have an error.
    """
    order = even_order([row.get("file_name", "") for row in rows])[:most]
    replies = [Reply("", finish_reason="error", error=NO_TIME)] * len(rows)
    done, cost = 0, None
    while size := next_round(len(order) - done, FIRST_QUESTIONS, cost, until - time.time()):
        places = sorted(order[done : done + size])
        started, asked = time.monotonic(), engine.asked
        try:
            with clock.interruptible(clock.deadline - until):
                answered = ask(places)
        except Stopped:
            break
        for place, reply in zip(places, answered, strict=True):
            replies[place] = reply
        done += size
        if engine.asked > asked:  # not all from the journal
            cost = (time.monotonic() - started) / (engine.asked - asked)
        left = (cost or 0) * (len(order) - done)
        words = f"{done} of {len(rows)} questions asked" + (f", the rest would take {left:.0f} s" if left else "")
        clock.say(done / len(order), time.time() + left, words)
    return replies, cost


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    started = time.time()
    rows = read_dataset(arguments.test_data_path, "test questions", arguments.limit, bare_questions=True)
    system_prompt = check_arguments(arguments)
    pairs = [question_and_reference(row) for row in rows]
    asked, notes = prompts(arguments, rows, [question for question, _ in pairs])
    conversations = [[{"role": "user", "content": text}] for text in asked]
    if arguments.api_model:
        conversations = [with_system_prompt(messages, system_prompt) for messages in conversations]

    clock = start_clock(arguments, f"inference, {Path(arguments.output_path).stem}", Path(arguments.output_path).parent)

    from engines.journal import JournaledEngine, weights_stamp

    models, most = 1 if arguments.also_base is None else 2, len(rows)
    for path, adapter, engine in answering_engines(arguments, system_prompt, len(rows)):
        settings = (weights_stamp(adapter) if adapter else None, system_prompt, *filter(None, [arguments.api_base]))
        engine = JournaledEngine(engine, log_file(path.with_suffix(".journal.jsonl")), *settings)
        with progress_bar(path.stem, len(conversations)) as bar:

            def ask(places: list[int], engine=engine, bar=bar) -> list[Reply]:
                asked = [conversations[place] for place in places]
                options = {"max_new_tokens": arguments.max_new_tokens, "on_reply": lambda *_: bar.update(1)}
                return engine.chat(asked, **options)

            budget = {}
            if clock is None:
                replies = ask(list(range(len(rows))))
            else:
                ready, models = time.time(), models - 1
                until = clock.deadline - WRITING_S - clock.left() / 2 * models
                replies, cost = ask_in_time(engine, ask, rows, clock, until, most)
                most = sum(reply.error != NO_TIME for reply in replies)
                budget = {
                    "seconds": round(clock.seconds, 1),
                    "seconds_to_start": round(ready - clock.started, 1),
                    "seconds_a_question": cost and round(cost, 3),
                    "questions": len(rows),
                    "left_out": len(rows) - most,
                }
        answers = [
            {
                "fact": row.get("fact", ""),
                "question": question,
                "response": reply.text,
                "id": row.get("id", str(number)),
                "reference": reference,
                "file_name": row.get("file_name", ""),
                "kind": row.get("kind", "qa"),
                **{key: row[key] for key in HANDED_ON if row.get(key)},
                **note,
                **({"error": reply.error} if reply.error else {}),
            }
            for number, (row, (question, reference), note, reply) in enumerate(
                zip(rows, pairs, notes, replies, strict=True)
            )
        ]
        failed = [reply.error for reply in replies if reply.error not in (None, NO_TIME)]
        left_out = sum(reply.error == NO_TIME for reply in replies)
        write_json(path, answers)
        write_meta(
            path,
            arguments,
            started,
            adapter=adapter,
            system_prompt=system_prompt,
            engine=type(engine.engine).__name__,
            calls={"asked": engine.asked, "from_journal": engine.reused},
            counts={
                "asked": len(rows) - left_out,
                "failed": len(failed),
                "cut_at_max_new_tokens": sum(reply.finish_reason == "length" for reply in replies),
            },
            tokens={
                "prompt": sum(reply.prompt_tokens for reply in replies),
                "completion": sum(reply.completion_tokens for reply in replies),
            },
            **({"budget": budget} if clock else {}),
        )
        log.info("%d answers in %s", len(answers) - len(failed) - left_out, path)
        if left_out:
            log.info("%d of %d questions left out for time, evenly over the documents", left_out, len(rows))
        if failed:
            log.warning("%d not answered, the first: %s; the next run asks them again", len(failed), failed[0])
        if clock and clock.stopped_by:
            log.info("stopped; run this again to go on")
            raise SystemExit(128 + clock.stopped_by)
        started = time.time()
    if clock:
        clock.end()


if __name__ == "__main__":
    run(main)
