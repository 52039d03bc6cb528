"""Have a model, with or without a LoRA adapter, answer the questions in a file, using vLLM, transformers or an API.

In:  --test_data_path, a dataset (see dataset.py): the last user turn is asked, the last assistant turn is the reference.
     Or a list of questions: strings, or objects with "question" and, if known, "reference", "points", "fact", "id",
     "file_name", "kind". As a JSON list or JSON lines.
Out: --output_path, a list of {"fact", "question", "response", "id", "reference", "file_name", "kind"} in the same order, plus
     "points", "role", "fact_id", "source" if the question has them; "unfinished": true if the answer was cut at
     --max_new_tokens; "error" if no answer could be obtained; and with --rag "retrieved", the chunks that were in the prompt.
     With a time budget, as many questions as fit are asked, evenly over the documents; the others have an error.

    python inference.py --model_name_or_path models/SmolLM2-135M-Instruct --test_data_path demo/questions.json \\
        --output_path output/tuned.json --lora_weights output/lora --also_base output/base.json
    python inference.py --api_model gpt-4o-mini --test_data_path questions.json --output_path output/rag.json --rag my_texts
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from budget.asking import NOT_ASKED, ask_in_time
from budget.clock import Clock
from budget.watching import WatchArguments, watched_clock
from data_processor.chunking import OPENAI_TOKENIZER, require_tokenizer
from data_processor.dataset import question_and_reference, read_dataset
from data_processor.documents import read_documents
from data_processor.retrieval import find_chunks, read_source_documents
from engines.adapter import require_adapter, require_adapter_weights, trained_system_prompt
from engines.arguments import ApiArguments, EngineArguments
from engines.chat import Conversation, Engine, Reply, with_system_prompt
from engines.failures import describe_failures, require_answers
from engines.hub import require_model
from engines.journal import JournaledEngine, weights_stamp
from engines.load import load_api_engine, load_base_and_tuned, load_engine
from engines.progress import progress_bar
from provenance import write_meta
from utils import (
    InputError,
    log_file,
    parse_arguments,
    run_script,
    write_json,
)

# from a collection's test file to the answers: they are scored by the first, the report counts and quotes by the others
COPIED_KEYS = ("points", "role", "fact_id", "source")
PROMPT_WITH_TEXT = "{text}\n\n{question} Answer in a few words."

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Arguments(WatchArguments, ApiArguments, EngineArguments):
    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "A model folder or a name on the Hugging Face hub. Alternatively, give --api_model."},
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
            "help": "With --lora_weights: also ask the model without the adapter, with the same system prompt, and write "
            "its answers to this file (default: NAME_base.json next to NAME.json).",
        },
    )
    system_prompt: str | None = field(
        default=None,
        metadata={
            "help": "Default: the one the adapter was trained with, or without an adapter the chat template's own."
        },
    )
    open_book: str | None = field(
        default=None,
        metadata={
            "help": "Folder of the documents: each question gets its own document in the prompt (the upper bound)."
        },
    )
    rag: str | None = field(
        default=None,
        metadata={
            "help": "Folder of the documents: each question gets the chunks that BM25 retrieves for it in the prompt."
        },
    )
    rag_chunks: int = field(default=3, metadata={"help": "Maximum chunks in a --rag prompt."})
    chunk_size_by_token: int = field(default=512, metadata={"help": "Maximum tokens in a --rag chunk."})
    tokenizer: str | None = field(
        default=None,
        metadata={
            "help": "Tokenizer that measures chunks: a model's folder or name, or tiktoken:gpt-4o for an OpenAI model's. "
            "Default: the model's own, or tiktoken:gpt-4o with an API."
        },
    )
    max_new_tokens: int = field(default=64, metadata={"help": "Maximum tokens in an answer."})
    limit: int | None = field(default=None, metadata={"help": "Ask only the first N questions, for a smoke test."})


def check_arguments(arguments: Arguments) -> str | None:
    """The system prompt to use, after all arguments have been checked; nothing heavy is loaded before."""
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
        raise InputError(f"expected a separate file for --also_base, found --output_path {arguments.output_path} again")
    if arguments.open_book and arguments.rag:
        raise InputError("expected --open_book or --rag, found both: run them one after the other")
    for name, minimum in (("rag_chunks", 1), ("chunk_size_by_token", 64)):
        if getattr(arguments, name) < minimum:
            raise InputError(f"expected --{name} of at least {minimum}, found {getattr(arguments, name)}: raise it")
    if arguments.model_name_or_path:
        require_model(arguments.model_name_or_path)
    require_tokenizer(arguments.tokenizer)
    if not arguments.lora_weights:
        return arguments.system_prompt
    require_adapter(arguments.lora_weights, arguments.model_name_or_path)
    require_adapter_weights(arguments.lora_weights)
    if arguments.system_prompt is None:
        return trained_system_prompt(arguments.lora_weights)
    return arguments.system_prompt


def answering_engines(
    arguments: Arguments, system_prompt: str | None, question_count: int
) -> Iterator[tuple[Path, str | None, Engine]]:
    """Yield (file to write, adapter, engine for `question_count` questions); each engine is used before the next is made."""
    output, adapter = Path(arguments.output_path), arguments.lora_weights
    if arguments.api_model:
        yield output, None, load_api_engine(arguments)
    elif arguments.also_base is None:
        yield (
            output,
            adapter,
            load_engine(arguments.model_name_or_path, arguments, adapter, system_prompt, question_count),
        )
    else:
        base = Path(arguments.also_base or output.with_name(f"{output.stem}_base.json"))
        engines = load_base_and_tuned(arguments.model_name_or_path, arguments, adapter, system_prompt, question_count)
        yield from zip((base, output), (None, adapter), engines, strict=True)


@dataclass
class Question:
    """A row of the test file as it is put to the model; `note` has keys for the answer about the text in its prompt."""

    row: dict
    messages: Conversation
    note: dict


def to_questions(arguments: Arguments, rows: list[dict], system_prompt: str | None) -> list[Question]:
    """The questions to ask, with source text if requested. A local engine adds the system prompt itself."""
    prompts, notes = build_prompts(arguments, rows, [question_and_reference(row)[0] for row in rows])
    conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
    if arguments.api_model:
        conversations = [with_system_prompt(messages, system_prompt) for messages in conversations]
    return [Question(*parts) for parts in zip(rows, conversations, notes, strict=True)]


def build_prompts(arguments: Arguments, rows: list[dict], questions: list[str]) -> tuple[list[str], list[dict]]:
    """The prompt for each question, and the note for its answer."""
    run_folder = Path(arguments.output_path).parent
    if arguments.open_book:
        documents = read_source_documents(arguments.open_book, rows, arguments.test_data_path, run_folder)
        texts, notes = [documents[row["file_name"]].strip() for row in rows], [{}] * len(rows)
    elif arguments.rag:
        documents = read_documents(arguments.rag, run_folder)
        tokenizer = arguments.tokenizer or arguments.model_name_or_path or OPENAI_TOKENIZER
        retrieved = find_chunks(questions, documents, tokenizer, arguments.chunk_size_by_token, arguments.rag_chunks)
        texts = ["\n\n".join(text for text, _ in chunks) for chunks in retrieved]
        notes = [{"retrieved": [location for _, location in chunks]} for chunks in retrieved]
    else:
        return questions, [{}] * len(rows)
    pairs = zip(texts, questions, strict=True)
    return [PROMPT_WITH_TEXT.format(text=text, question=question) for text, question in pairs], notes


def to_answer(question: Question, reply: Reply) -> dict:
    """A row for the answers file."""
    row = question.row
    text, reference = question_and_reference(row)
    return {
        "fact": row.get("fact", ""),
        "question": text,
        "response": reply.text,
        "id": row["id"],
        "reference": reference,
        "file_name": row.get("file_name", ""),
        "kind": row.get("kind", "qa"),
        **{key: row[key] for key in COPIED_KEYS if row.get(key)},
        **question.note,
        **({"unfinished": True} if reply.finish_reason == "length" else {}),
        **({"error": reply.error} if reply.error else {}),
    }


def write_answers(
    path: Path, questions: list[Question], replies: list[Reply], arguments: Arguments, started: float, meta: dict
) -> list[str]:
    """Write the answers and their meta file, and log what the user should know about them. Returns the errors."""
    answers = [to_answer(*pair) for pair in zip(questions, replies, strict=True)]
    errors = [reply.error for reply in replies if reply.error not in (None, NOT_ASKED)]
    left_out = sum(reply.error == NOT_ASKED for reply in replies)
    write_json(path, answers)
    write_meta(
        path,
        arguments,
        started,
        **meta,
        counts={
            "asked": len(replies) - left_out,
            "failed": len(errors),
            "cut_at_max_new_tokens": sum(reply.finish_reason == "length" for reply in replies),
        },
        tokens={
            "prompt": sum(reply.prompt_tokens for reply in replies),
            "completion": sum(reply.completion_tokens for reply in replies),
        },
    )
    log.info("%d answers in %s", len(answers) - len(errors) - left_out, path)
    if left_out:
        log.info("%d of %d questions left out for lack of time, evenly over the documents", left_out, len(answers))
    if errors:
        log.warning(
            "%s; the next run will ask them again", describe_failures(errors, len(replies) - left_out, "not answered")
        )
    return errors


def ask_models(
    arguments: Arguments, system_prompt: str | None, questions: list[Question], clock: Clock, started: float
) -> None:
    """Ask each model in turn, and write its answers; MostlyFailed if most questions of one were not answered."""
    rows = [question.row for question in questions]
    failed: list[tuple[list[str], int, str]] = []  # for each model the errors, the calls and what was written
    models_left, limit = 1 if arguments.also_base is None else 2, len(rows)
    for path, adapter, engine in answering_engines(arguments, system_prompt, len(rows)):
        settings = (weights_stamp(adapter) if adapter else None, system_prompt, *filter(None, [arguments.api_base]))
        engine = JournaledEngine(engine, log_file(path.with_suffix(".journal.jsonl")), *settings)
        models_left -= 1
        with progress_bar(path.stem, len(rows)) as bar:

            def ask(numbers: list[int], engine=engine, bar=bar) -> list[Reply]:
                conversations = [questions[number].messages for number in numbers]
                options = {"max_new_tokens": arguments.max_new_tokens, "on_reply": lambda *_: bar.update(1)}
                return engine.chat(conversations, **options)

            replies, spent = ask_in_time(engine, ask, rows, clock, models_left, limit)
        limit = spent.asked  # the same questions for the next model
        meta = {
            "adapter": adapter,
            "system_prompt": system_prompt,
            "engine": type(engine.engine).__name__,
            "calls": {"asked": engine.asked, "from_journal": engine.reused},
        }
        if clock.limited:
            meta["budget"] = asdict(spent)
        errors = write_answers(path, questions, replies, arguments, started, meta)
        failed.append((errors, spent.asked, f"the others are in {path}"))
        if clock.stopped_by:
            return
        started = time.time()
    for errors, asked, written in failed:
        require_answers(errors, asked, written)


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    started = time.time()
    rows = read_dataset(arguments.test_data_path, "test questions", arguments.limit, bare_questions=True)
    system_prompt = check_arguments(arguments)
    questions, output = to_questions(arguments, rows, system_prompt), Path(arguments.output_path)
    with watched_clock(arguments, f"inference, {output.stem}", output.parent) as clock:
        ask_models(arguments, system_prompt, questions, clock, started)


if __name__ == "__main__":
    run_script(main)
