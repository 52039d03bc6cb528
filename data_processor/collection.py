"""From documents to a dataset: the run shared by both collection scripts, whichever engine answers."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from budget.clock import BudgetArguments, Clock
from budget.reports import CollectionTime
from data_processor import pipeline, questions, rounds
from data_processor.accounting import count_characters, print_yield
from data_processor.boilerplate import set_boilerplate_aside
from data_processor.chunking import Chunk, chunk_document, make_splitter, parse, require_tokenizer
from data_processor.dataset import to_format
from data_processor.documents import Document, read_documents
from data_processor.estimate import estimate, print_estimate
from data_processor.languages import detect_language
from data_processor.pipeline import Collected
from data_processor.prompts import load_prompts
from data_processor.small_model import questions as questions_of_small_model
from data_processor.split import ANSWERABLE_KINDS, split
from data_processor.work import Work
from engines.chat import Engine
from engines.failures import describe_failures, require_answers
from engines.journal import JournaledEngine
from engines.progress import progress_bar
from provenance import write_meta
from utils import InputError, log_file, write_json, write_text

QUESTIONS = {"names": questions, "words": questions_of_small_model}  # by --guard

log = logging.getLogger(__name__)


@dataclass
class CollectionArguments(BudgetArguments):
    """Arguments that both scripts share."""

    data_path: str = field(
        default="demo/documents", metadata={"help": "Folder of .txt, .md, .html, .pdf, .docx files, read recursively."}
    )
    json_save_dir: str = field(
        default="output/data.json", metadata={"help": "The dataset to write: a .json file, or a folder for data.json."}
    )
    chunk_size_by_token: int = field(default=512, metadata={"help": "Maximum tokens in a chunk."})
    tokenizer: str | None = field(
        default=None,
        metadata={
            "help": "Tokenizer that measures chunks: a model's folder or name, or tiktoken:gpt-4o for an OpenAI model's. "
            "Default: the model's own (local), or tiktoken:gpt-4o (API)."
        },
    )
    language: str = field(
        default="auto",
        metadata={
            "help": "Language of the prompts: en, zh or another with a file in data_processor/prompts; "
            "auto: that of each document, or en where it has none."
        },
    )
    prompts: str | None = field(
        default=None,
        metadata={"help": "TOML file with your own prompts, under the keys of data_processor/prompts: [en.theme]."},
    )
    qa_amount_per_fact: int = field(default=5, metadata={"help": "Maximum questions per fact."})
    role_amount_per_fact: int = field(
        default=3, metadata={"help": "Roles in which each question is asked again; 0 for none."}
    )
    unknown_amount_per_chunk: int = field(
        default=1, metadata={"help": "Unanswerable questions, whose right answer is that it is not known."}
    )
    guard: Literal["names", "words"] = field(
        default="names",
        metadata={
            "help": "How closely a stated fact must match its source: in its names and numbers, or also in its words and their "
            "order. The latter is for models under about 1B, and makes questions by rule: data_processor/small_model/README.md."
        },
    )
    verify: Literal["rules", "llm"] = field(
        default="rules",
        metadata={
            "help": "What facts and pairs must pass: rules alone, or also a yes from the model for each (about 1.5 times the calls)."
        },
    )
    format: Literal["conversations", "sharegpt", "openai", "alpaca"] = field(
        default="conversations",
        metadata={"help": "Format of the examples; finetune.py reads all but alpaca."},
    )
    test_ratio: float = field(
        default=0.0,
        metadata={
            "help": "Share of the questions held out in NAME.test.json: other wordings of trained facts, and untrained facts."
        },
    )
    context_sentences: int = field(
        default=3,
        metadata={"help": "How many preceding sentences to show the model with the one whose facts it states."},
    )
    seed: int = field(default=0, metadata={"help": "The same seed, model and machine give the same dataset."})
    dry_run: bool = field(
        default=False, metadata={"help": "Measure a sample, estimate the whole run from it, and write nothing."}
    )
    price_in: float = field(default=0.0, metadata={"help": "Price of a million prompt tokens, to compute the cost."})
    price_out: float = field(
        default=0.0, metadata={"help": "Price of a million completion tokens, to compute the cost."}
    )
    rounds: int | None = field(
        default=None,
        metadata={"help": "With a time budget: stop after this many rounds; 1 measures how long a unit takes."},
    )
    limit: int | None = field(
        default=None, metadata={"help": "Read only the first N sentences of each chunk, for a smoke test."}
    )


def dataset_path(json_save_dir: str) -> Path:
    path = Path(json_save_dir)
    return path if path.suffix == ".json" else path / "data.json"


def check_arguments(arguments: CollectionArguments) -> list[Document]:
    """The documents, after all arguments have been checked; nothing heavy is loaded before."""
    for name, minimum in (
        ("chunk_size_by_token", 64),
        ("qa_amount_per_fact", 1),
        ("role_amount_per_fact", 0),
        ("unknown_amount_per_chunk", 0),
        ("context_sentences", 0),
        ("price_in", 0),
        ("price_out", 0),
    ):
        if getattr(arguments, name) < minimum:
            raise InputError(f"expected --{name} of at least {minimum}, found {getattr(arguments, name)}: raise it")
    if not 0 <= arguments.test_ratio <= 0.5:
        raise InputError(f"expected --test_ratio from 0 to 0.5, found {arguments.test_ratio}: change it")
    if arguments.rounds is not None and (arguments.rounds < 1 or not (arguments.time_budget or arguments.until)):
        raise InputError(f"expected a time budget and 1 or more with --rounds, found {arguments.rounds}: change it")
    languages = ["auto", *load_prompts(arguments.prompts)]
    if arguments.language not in languages:
        raise InputError(
            f"expected --language to be one of {', '.join(languages)}, found {arguments.language}: "
            f"choose one, or write data_processor/prompts/{arguments.language}.toml"
        )
    require_tokenizer(arguments.tokenizer)
    out = None if arguments.dry_run else dataset_path(arguments.json_save_dir).parent
    return read_documents(arguments.data_path, out)


def collect(engine: Engine, tokenizer, documents: list[Document], arguments: CollectionArguments, clock: Clock) -> None:
    """Run all steps and write the dataset with its meta file; `tokenizer` is as for chunking.make_splitter.

    A limited `clock` may cut this short: the dataset then has what was finished in time or before a signal. MostlyFailed
    if most calls failed.
    """
    started = time.time()
    path = dataset_path(arguments.json_save_dir)
    chunks, characters = cut_into_chunks(documents, tokenizer, arguments)
    log.info("%d documents, %d chunks", len(documents), len(chunks))
    if arguments.dry_run:
        print_estimate(estimate_collection(engine, documents, chunks, arguments))
        return
    journal = JournaledEngine(engine, log_file(path.with_suffix(".journal.jsonl")))
    if journal.known:
        log.info("%d replies from an earlier run in %s are reused", len(journal.known), journal.path)
    work = make_work(journal, arguments)
    coverage, budget = {}, None
    if clock.limited:
        collected, coverage = collect_in_time(work, documents, chunks, arguments, clock)
        budget = CollectionTime(**coverage, seconds_to_start=round(started - clock.started, 1))
    else:
        collected = pipeline.collect_all(work, chunks, arguments)
    if work.errors:
        log.warning("%s; the next run will ask them again", describe_failures(work.errors, work.calls))
    if not any(pair.kind in ANSWERABLE_KINDS for pair in collected.pairs):
        require_answers(work.errors, work.calls, "nothing was collected from the others")
        raise InputError(
            f"expected facts in {arguments.data_path}, found none that passed the checks ({dict(work.drops)}): "
            "try a larger model, or documents that state names, dates or numbers"
        )
    rows, test = pipeline.to_dataset(work, documents, collected, arguments)
    counts = {
        "documents": len(documents),
        "characters": dict(sum(characters.values(), Counter())),
        "chunks": len(chunks),
        **count_rows(work, collected, rows, test),
    }
    write_dataset(work, rows, test, counts, budget, arguments, started)
    print_yield(characters, chunks, collected.facts, rows, work, log_file(path.with_suffix(".yield.json")))
    log.info("%d examples in %s, %d test questions", len(rows), path, len(test))
    if clock.limited and not clock.stopped_by:
        log.info("%s", rounds.describe_left_out(coverage))
    require_answers(work.errors, work.calls, f"what was made without them is in {path}")


def collect_in_time(
    work: Work, documents: list[Document], chunks: list[Chunk], arguments: CollectionArguments, clock: Clock
) -> tuple[Collected, dict]:
    """What pipeline.collect_all gives, for as many units as `clock` allows, and the coverage."""
    path = log_file(dataset_path(arguments.json_save_dir).with_suffix(".rounds.jsonl"))
    all_rounds = rounds.Rounds(work, chunks, arguments, clock, path)

    def assemble(collected: Collected) -> None:
        rows = pipeline.to_rows(work, documents, collected)
        split(rows, collected.held_ids, arguments.test_ratio, arguments.seed)

    return all_rounds.run(assemble, arguments.rounds), all_rounds.coverage()


def estimate_collection(
    engine: Engine, documents: list[Document], chunks: list[Chunk], arguments: CollectionArguments
) -> dict[str, float]:
    """Estimate the whole run from a sample; nothing is written."""

    def make_rows(work: Work, sample: list[Chunk]) -> list[dict]:
        rows = pipeline.to_rows(work, documents, pipeline.collect_all(work, sample, arguments))
        require_answers(work.errors, work.calls)
        return rows

    return estimate(make_work(engine, arguments), chunks, make_rows, lambda tokens: token_cost(tokens, arguments))


def token_cost(tokens: dict[str, int], arguments: CollectionArguments) -> float:
    return round((tokens["prompt"] * arguments.price_in + tokens["completion"] * arguments.price_out) / 1e6, 4)


def cut_into_chunks(
    documents: list[Document], tokenizer, arguments: CollectionArguments
) -> tuple[list[Chunk], dict[str, Counter[str]]]:
    """The chunks of all documents, and what became of each one's characters, by file name.

    In a language without prompts of its own a text is asked about in English.
    """
    splitter = make_splitter(tokenizer, arguments.chunk_size_by_token)
    with_prompts = load_prompts(arguments.prompts)
    languages = {document.file_name: detect_language(document.text) for document in documents}
    files = {document.file_name: parse(document, languages[document.file_name]) for document in documents}
    set_boilerplate_aside(files)
    chunks, characters = [], {}
    for document in documents:
        found, parsed = languages[document.file_name], files[document.file_name]
        language = arguments.language if arguments.language != "auto" else found if found in with_prompts else "en"
        chunks += chunk_document(document, splitter, language, found, parsed)
        characters[document.file_name] = count_characters(document, parsed)
    return chunks, characters


def make_work(engine: Engine, arguments: CollectionArguments) -> Work:
    return Work(
        engine,
        arguments.seed,
        progress_bar,
        QUESTIONS[arguments.guard],
        context_sentences=arguments.context_sentences,
        llm_check=arguments.verify == "llm",
        prompts=load_prompts(arguments.prompts),
    )


def count_rows(work: Work, collected: Collected, rows: list[dict], test: list[dict]) -> dict:
    return {
        "facts": len(collected.facts),
        "rows": dict(Counter(row["kind"] for row in rows)),
        "test_rows": dict(Counter(row["kind"] for row in test)),
        "questions_made_by": dict(Counter(pair.made_by for pair in collected.pairs)),
        "pairs_per_role": work.questions.pairs_per_role(collected.pairs),
    }


def write_dataset(
    work: Work,
    rows: list[dict],
    test: list[dict],
    counts: dict,
    budget: CollectionTime | None,
    arguments: CollectionArguments,
    started: float,
) -> None:
    """Write the dataset, its test questions, what was dropped, and the meta file."""
    path, journal = dataset_path(arguments.json_save_dir), work.engine
    write_json(path, [to_format(row, arguments.format) for row in rows])
    if arguments.test_ratio:
        write_json(path.with_suffix(".test.json"), test)
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in work.dropped]
    write_text(log_file(path.with_suffix(".dropped.jsonl")), "".join(lines))
    path.with_suffix(".dropped.jsonl").unlink(missing_ok=True)  # written by an earlier version, for another dataset
    write_meta(
        path,
        arguments,
        started,
        model=journal.name,
        counts=counts,
        dropped=dict(work.drops.most_common()),
        tokens={**work.tokens, "cost": token_cost(work.tokens, arguments)},
        calls={"asked": journal.asked, "from_journal": journal.reused},
        **({"budget": asdict(budget)} if budget else {}),
    )
