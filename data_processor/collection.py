"""From documents to a dataset: the run that both collection scripts share, whatever engine answers."""

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
from data_processor.chunking import Chunk, chunk_document, require_tokenizer, splitter
from data_processor.dataset import to_format
from data_processor.documents import Document, read_documents
from data_processor.estimate import estimate, print_estimate
from data_processor.facts import NOT_COVERED, Fact
from data_processor.pipeline import Collected
from data_processor.prompts import language_of, load_prompts
from data_processor.small_model import questions as questions_of_small_model
from data_processor.split import ASKED, split
from data_processor.work import Work
from engines.chat import Engine
from engines.journal import JournaledEngine
from provenance import write_meta
from utils import InputError, log_file, progress_bar, write_json, write_text

QUESTIONS = {"names": questions, "words": questions_of_small_model}  # by --guard

log = logging.getLogger(__name__)


@dataclass
class CollectionArguments(BudgetArguments):
    """Arguments of both scripts."""

    data_path: str = field(
        default="demo/documents", metadata={"help": "Folder of .txt and .md files, read recursively."}
    )
    json_save_dir: str = field(
        default="output/data.json", metadata={"help": "The dataset to write: a .json file, or a folder for data.json."}
    )
    chunk_size_by_token: int = field(default=512, metadata={"help": "Most tokens of a chunk."})
    tokenizer: str | None = field(
        default=None,
        metadata={
            "help": "Whose tokens are counted: a model's folder or name, or tiktoken:gpt-4o for those of an OpenAI model. "
            "By default the model's own (local), or tiktoken:gpt-4o (API)."
        },
    )
    language: str = field(
        default="auto",
        metadata={
            "help": "Language of the prompts: en, zh or another with a file in data_processor/prompts; "
            "auto chooses en or zh by each document's letters."
        },
    )
    prompts: str | None = field(
        default=None,
        metadata={"help": "TOML file of your own prompts, with keys as in data_processor/prompts: [en.theme]."},
    )
    qa_amount_per_fact: int = field(default=5, metadata={"help": "Most questions a fact."})
    role_amount_per_fact: int = field(
        default=3, metadata={"help": "Roles from whose angle each question is asked again; 0 for none."}
    )
    unknown_amount_per_chunk: int = field(
        default=1, metadata={"help": "Questions without an answer, whose right answer is that it is not known."}
    )
    guard: Literal["names", "words"] = field(
        default="names",
        metadata={
            "help": "What a stated fact must keep of its source: its names and numbers, or its words in their order too. The "
            "second is for models under about 1B, whose questions are then made by rule: data_processor/small_model/README.md."
        },
    )
    verify: Literal["rules", "llm"] = field(
        default="rules",
        metadata={
            "help": "What facts and pairs must pass: rules, or the model's own yes to each besides (more calls by half)."
        },
    )
    format: Literal["conversations", "sharegpt", "openai", "alpaca"] = field(
        default="conversations",
        metadata={"help": "Form of the examples; finetune.py reads all but alpaca."},
    )
    test_ratio: float = field(
        default=0.0,
        metadata={
            "help": "Share of the questions kept for NAME.test.json: other wordings of trained facts, and facts not trained."
        },
    )
    context_sentences: int = field(
        default=3, metadata={"help": "Sentences before the one whose facts are asked for, shown to the model."}
    )
    seed: int = field(default=0, metadata={"help": "Same seed, same model, same machine: same dataset."})
    dry_run: bool = field(
        default=False, metadata={"help": "Measure a sample, say what the whole would take, and write nothing."}
    )
    price_in: float = field(default=0.0, metadata={"help": "Price of a million prompt tokens, for the cost."})
    price_out: float = field(default=0.0, metadata={"help": "Price of a million written tokens, for the cost."})
    rounds: int | None = field(
        default=None, metadata={"help": "With a time budget: stop after so many rounds; 1 measures what a unit takes."}
    )
    limit: int | None = field(
        default=None, metadata={"help": "Take the first N sentences of each chunk only: a smoke run."}
    )


def dataset_path(json_save_dir: str) -> Path:
    path = Path(json_save_dir)
    return path if path.suffix == ".json" else path / "data.json"


def check_arguments(arguments: CollectionArguments) -> list[Document]:
    """The documents, once all arguments make sense; nothing heavy is loaded before."""
    for name, least in (
        ("chunk_size_by_token", 64),
        ("qa_amount_per_fact", 1),
        ("role_amount_per_fact", 0),
        ("unknown_amount_per_chunk", 0),
        ("context_sentences", 0),
        ("price_in", 0),
        ("price_out", 0),
    ):
        if getattr(arguments, name) < least:
            raise InputError(f"expected --{name} of at least {least}, found {getattr(arguments, name)}: raise it")
    if not 0 <= arguments.test_ratio <= 0.5:
        raise InputError(f"expected --test_ratio from 0 to 0.5, found {arguments.test_ratio}: change it")
    if arguments.rounds is not None and (arguments.rounds < 1 or not (arguments.time_budget or arguments.until)):
        raise InputError(f"expected a time budget and 1 or more with --rounds, found {arguments.rounds}: mend it")
    languages = ["auto", *load_prompts(arguments.prompts)]
    if arguments.language not in languages:
        raise InputError(
            f"expected --language to be one of {', '.join(languages)}, found {arguments.language}: "
            f"choose one, or write data_processor/prompts/{arguments.language}.toml"
        )
    require_tokenizer(arguments.tokenizer)
    return read_documents(arguments.data_path)


def collect(engine: Engine, tokenizer, documents: list[Document], arguments: CollectionArguments, clock: Clock) -> None:
    """Run all steps and write the dataset with its meta file; `tokenizer` as chunking.splitter takes it.

    By a limited `clock`, what it gives time for; ended by a signal, the dataset has what is whole.
    """
    started = time.time()
    path = dataset_path(arguments.json_save_dir)
    chunks = chunks_of(documents, tokenizer, arguments)
    log.info("%d documents, %d chunks", len(documents), len(chunks))
    if arguments.dry_run:
        print_estimate(measured_on_a_sample(engine, documents, chunks, arguments))
        return
    journal = JournaledEngine(engine, log_file(path.with_suffix(".journal.jsonl")))
    if journal.known:
        log.info("%d replies of an earlier run in %s are not asked for again", len(journal.known), journal.path)
    work = work_of(journal, arguments)
    coverage, budget = {}, None
    if clock.limited:
        made, coverage = collect_in_time(work, documents, chunks, arguments, clock)
        budget = CollectionTime(**coverage, seconds_to_start=round(started - clock.started, 1))
    else:
        made = pipeline.collect_all(work, chunks, arguments)
    if not any(pair.kind in ASKED for pair in made.pairs):
        raise InputError(
            f"expected facts in {arguments.data_path}, found none that passed the checks ({dict(work.drops)}): "
            "try a larger model, or documents that state names, dates or numbers"
        )
    rows, test = pipeline.to_dataset(work, documents, made, arguments)
    counts = {"documents": len(documents), "chunks": len(chunks), **counts_of(work, made, rows, test)}
    write_dataset(work, rows, test, counts, budget, arguments, started)
    print_yield(documents, chunks, made.facts, rows, work)
    log.info("%d examples in %s, %d test questions", len(rows), path, len(test))
    if clock.limited and not clock.stopped_by:
        log.info("%s", rounds.in_words(coverage))


def collect_in_time(
    work: Work, documents: list[Document], chunks: list[Chunk], arguments: CollectionArguments, clock: Clock
) -> tuple[Collected, dict]:
    """What pipeline.collect_all gives, of the units that `clock` gives time for, and what was left out."""
    path = log_file(dataset_path(arguments.json_save_dir).with_suffix(".rounds.jsonl"))
    in_rounds = rounds.Rounds(work, chunks, arguments, clock, path)

    def assemble(made: Collected) -> None:
        rows = pipeline.to_rows(work, documents, made)
        split(rows, made.held_ids, arguments.test_ratio, arguments.seed)

    return in_rounds.run(assemble, arguments.rounds), in_rounds.coverage()


def measured_on_a_sample(
    engine: Engine, documents: list[Document], chunks: list[Chunk], arguments: CollectionArguments
) -> dict[str, float]:
    """What the whole would take; nothing is written."""

    def rows_of(work: Work, sample: list[Chunk]) -> list[dict]:
        return pipeline.to_rows(work, documents, pipeline.collect_all(work, sample, arguments))

    return estimate(work_of(engine, arguments), chunks, rows_of, lambda tokens: price_of(tokens, arguments))


def price_of(tokens: dict[str, int], arguments: CollectionArguments) -> float:
    return round((tokens["prompt"] * arguments.price_in + tokens["completion"] * arguments.price_out) / 1e6, 4)


def chunks_of(documents: list[Document], tokenizer, arguments: CollectionArguments) -> list[Chunk]:
    cut = splitter(tokenizer, arguments.chunk_size_by_token)
    chunks = []
    for document in documents:
        language = language_of(document.text) if arguments.language == "auto" else arguments.language
        chunks += chunk_document(document, cut, language)
    return chunks


def work_of(engine: Engine, arguments: CollectionArguments) -> Work:
    return Work(
        engine,
        arguments.seed,
        progress_bar,
        QUESTIONS[arguments.guard],
        context_sentences=arguments.context_sentences,
        llm_check=arguments.verify == "llm",
        prompts=load_prompts(arguments.prompts),
    )


def counts_of(work: Work, made: Collected, rows: list[dict], test: list[dict]) -> dict:
    return {
        "facts": len(made.facts),
        "rows": dict(Counter(row["kind"] for row in rows)),
        "test_rows": dict(Counter(row["kind"] for row in test)),
        "questions_made_by": dict(Counter(pair.made for pair in made.pairs)),
        "pairs_of_a_role": work.questions.pairs_of_a_role(made.pairs),
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
    """The dataset, its test questions, what was dropped, and the meta file."""
    path, journal = dataset_path(arguments.json_save_dir), work.engine
    write_json(path, [to_format(row, arguments.format) for row in rows])
    if arguments.test_ratio:
        write_json(path.with_suffix(".test.json"), test)
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in work.dropped]
    write_text(log_file(path.with_suffix(".dropped.jsonl")), "".join(lines))
    path.with_suffix(".dropped.jsonl").unlink(missing_ok=True)  # an earlier version's: of another dataset
    write_meta(
        path,
        arguments,
        started,
        model=journal.name,
        counts=counts,
        dropped=dict(work.drops.most_common()),
        tokens={**work.tokens, "cost": price_of(work.tokens, arguments)},
        calls={"asked": journal.asked, "from_journal": journal.reused},
        **({"budget": asdict(budget)} if budget else {}),
    )


def print_yield(
    documents: list[Document], chunks: list[Chunk], facts: list[Fact], rows: list[dict], work: Work
) -> None:
    """What each document gave, how many of its sentences no fact covers, and why things were dropped."""
    print(
        f"{'document':<28}{'chunks':>8}{'facts':>7}{'questions':>11}{'passages':>10}{'dropped':>9}{'not covered':>13}"
    )
    own_chunks = Counter(chunk.file_name for chunk in chunks)
    own_facts = Counter(fact.chunk.file_name for fact in facts)
    kinds = Counter((row["file_name"], row["kind"] == "passage") for row in rows)
    dropped = Counter((record.get("file_name"), record["reason"] == NOT_COVERED) for record in work.dropped)
    for name in (document.file_name for document in documents):
        print(
            f"{name[:27]:<28}{own_chunks[name]:>8}{own_facts[name]:>7}{kinds[name, False]:>11}{kinds[name, True]:>10}"
            f"{dropped[name, False]:>9}{dropped[name, True]:>13}"
        )
    print("dropped: " + ("; ".join(f"{count} {reason}" for reason, count in work.drops.most_common()) or "nothing"))
