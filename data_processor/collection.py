"""From documents to a dataset: the run that both collection scripts share, whatever engine answers."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from budget.clock import BudgetArguments, Clock
from data_processor import questions, rounds
from data_processor.chunking import Chunk, chunk_document, require_tokenizer, splitter
from data_processor.dataset import to_format
from data_processor.documents import Document, read_documents
from data_processor.estimate import estimate, print_estimate
from data_processor.facts import NOT_COVERED, find_facts, find_roles, find_themes, handles, rewrite
from data_processor.pairs import Pair
from data_processor.prompts import language_of, load_prompts
from data_processor.split import ASKED, hold_out_facts, split
from data_processor.work import Fact, Work
from engines.chat import Engine
from engines.journal import JournaledEngine
from provenance import write_meta
from utils import InputError, log_file, progress_bar, write_json, write_text

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
    language: Literal["auto", "en", "zh"] = field(
        default="auto", metadata={"help": "Language of the prompts; auto chooses by each document's letters."}
    )
    prompts: str | None = field(
        default=None,
        metadata={"help": "TOML file of your own prompts; it has keys of data_processor/prompts.toml."},
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
            "help": "What a stated fact must keep of its source: its names and numbers, or (for models under about 1B, "
            "which mix up who did what) its words in their order too; its questions are then made by rule, and the model's own "
            "are kept where only their answer fits."
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
    load_prompts(arguments.prompts)
    require_tokenizer(arguments.tokenizer)
    return read_documents(arguments.data_path)


def collect(
    engine: Engine, tokenizer, documents: list[Document], arguments: CollectionArguments, clock: Clock | None = None
) -> None:
    """Run all steps and write the dataset with its meta file; `tokenizer` as chunking.splitter takes it.

    With a `clock`, what it gives time for; ended by a signal, the dataset has what is whole, and the exit code says so.
    """
    started = time.time()
    path = dataset_path(arguments.json_save_dir)
    chunks = chunks_of(documents, tokenizer, arguments)
    log.info("%d documents, %d chunks", len(documents), len(chunks))

    def price(tokens: dict[str, int]) -> float:
        return round((tokens["prompt"] * arguments.price_in + tokens["completion"] * arguments.price_out) / 1e6, 4)

    if arguments.dry_run:
        print_estimate(estimate(work_of(engine, arguments), chunks, make_rows(documents, arguments), price))
        return
    journal = JournaledEngine(engine, log_file(path.with_suffix(".journal.jsonl")))
    if journal.known:
        log.info("%d replies of an earlier run in %s are not asked for again", len(journal.known), journal.path)
    work = work_of(journal, arguments)
    budget = {}
    if clock:
        rows, facts, pairs, held, budget = rows_in_time(work, documents, chunks, arguments, clock)
    else:
        rows, facts, pairs, held = make_rows(documents, arguments)(work, chunks)
    if not any(row["kind"] in ASKED for row in rows):
        raise InputError(
            f"expected facts in {arguments.data_path}, found none that passed the checks ({dict(work.drops)}): "
            "try a larger model, or documents that state names, dates or numbers"
        )
    rows, test = split(without_copies(work, rows), held, arguments.test_ratio, arguments.seed)
    write_json(path, [to_format(row, arguments.format) for row in rows])
    if arguments.test_ratio:
        write_json(path.with_suffix(".test.json"), test)
    write_text(
        log_file(path.with_suffix(".dropped.jsonl")),
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in work.dropped),
    )
    path.with_suffix(".dropped.jsonl").unlink(missing_ok=True)  # an earlier version's: of another dataset
    counts = {
        "documents": len(documents),
        "chunks": len(chunks),
        "facts": len(facts),
        "rows": dict(Counter(row["kind"] for row in rows)),
        "test_rows": dict(Counter(row["kind"] for row in test)),
        "questions_made_by": dict(Counter(pair.made for pair in pairs)),
    }
    write_meta(
        path,
        arguments,
        started,
        model=engine.name,
        counts=counts,
        dropped=dict(work.drops.most_common()),
        tokens={**work.tokens, "cost": price(work.tokens)},
        calls={"asked": journal.asked, "from_journal": journal.reused},
        **({"budget": {**budget, "seconds_to_start": round(started - clock.started, 1)}} if clock else {}),
    )
    print_yield(documents, chunks, facts, rows, work)
    log.info("%d examples in %s, %d test questions", len(rows), path, len(test))
    if clock and clock.stopped_by:
        log.info("stopped; run this again to go on")
        raise SystemExit(128 + clock.stopped_by)
    if clock:
        log.info("%s", rounds.in_words(budget))
        clock.end()


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
        copies_only=arguments.guard == "words",
        context_sentences=arguments.context_sentences,
        llm_check=arguments.verify == "llm",
        prompts=load_prompts(arguments.prompts),
    )


def make_rows(documents: list[Document], arguments: CollectionArguments):
    """All steps, as a function of the run and its chunks.

    It gives the dataset's rows, the facts, the pairs, and the ids of the facts that are to be held out whole.
    """

    def make(work: Work, chunks: list[Chunk]) -> tuple[list[dict], list[Fact], list[Pair], set[str]]:
        themes = find_themes(work, chunks)
        facts = find_facts(work, chunks, themes, arguments.limit)
        log.info("%d facts", len(facts))
        pairs = questions.ask_questions(work, facts, arguments.qa_amount_per_fact)
        log.info("%d pairs of a question and an answer", len(pairs))
        if arguments.role_amount_per_fact:
            roles = find_roles(work, chunks, themes, arguments.role_amount_per_fact)
            pairs += questions.diversify(work, pairs, roles)
            log.info("%d pairs with those of the roles", len(pairs))
        if arguments.unknown_amount_per_chunk:
            pairs += questions.ask_unknown(work, chunks, arguments.unknown_amount_per_chunk)
        held = hold_out_facts(facts, arguments.test_ratio, arguments.seed)
        passages = rewrite(work, [fact for number, fact in enumerate(facts) if number not in held])
        return to_rows(work, documents, facts, pairs, passages), facts, pairs, ids_of(facts, held)

    return make


def rows_in_time(
    work: Work, documents: list[Document], chunks: list[Chunk], arguments: CollectionArguments, clock: Clock
) -> tuple[list[dict], list[Fact], list[Pair], set[str], dict]:
    """What make_rows gives, of the units that `clock` gives time for, and what was left out."""
    path = log_file(dataset_path(arguments.json_save_dir).with_suffix(".rounds.jsonl"))
    in_rounds = rounds.Rounds(work, chunks, arguments, clock, path)

    def rows_of(made: rounds.Collected) -> list[dict]:
        return to_rows(work, documents, made.facts, made.pairs, made.passages)

    def assemble(made: rounds.Collected) -> None:
        split(rows_of(made), ids_of(made.facts, made.held), arguments.test_ratio, arguments.seed)

    made = in_rounds.run(assemble, arguments.rounds)
    return rows_of(made), made.facts, made.pairs, ids_of(made.facts, made.held), in_rounds.coverage()


def ids_of(facts: list[Fact], numbers: set[int]) -> set[str]:
    return {f"{facts[number].chunk.file_name}#{number}" for number in numbers}


def to_rows(
    work: Work, documents: list[Document], facts: list[Fact], pairs: list[Pair], passages: list[tuple[Fact, str, str]]
) -> list[dict]:
    """The dataset: question rows, then passages: each fact and each rewrite told in answer to "Tell me about ..."."""
    by_name = {document.file_name: document for document in documents}
    numbers: dict[int, int] = {}
    for fact in [*facts, *(pair.fact for pair in pairs)]:
        numbers.setdefault(id(fact), len(numbers))

    def row(question: str, answer: str, fact: Fact, kind: str, role: str) -> dict:
        source: dict[str, int | str] = {"chunk": fact.chunk.number}
        if fact.quote:
            start, end = fact.chunk.start + fact.start, fact.chunk.start + fact.end
            start, end = by_name[fact.chunk.file_name].in_file(start, end)
            source |= {"start": start, "end": end, "quote": fact.quote}
        return {
            "id": f"identity_{len(rows)}",
            "conversations": [{"from": "user", "value": question}, {"from": "assistant", "value": answer}],
            "fact": fact.text,
            "file_name": fact.chunk.file_name,
            "kind": kind,
            "role": role,
            "theme": fact.theme,
            "fact_id": f"{fact.chunk.file_name}#{numbers[id(fact)]}",
            "source": source,
        }

    rows: list[dict] = []
    for pair in pairs:
        rows.append(row(pair.question, pair.answer, pair.fact, pair.kind, pair.role))
    for fact, style, text in [*((fact, "", fact.text) for fact in facts), *passages]:
        for name in handles(fact, text)[:2]:
            forms = work.prompts[fact.chunk.language].about
            rows.append(row(forms[len(rows) % len(forms)].format(name=name), text, fact, "passage", style))
    return rows


def without_copies(work: Work, rows: list[dict]) -> list[dict]:
    """The rows, each question with its answer once: a step does not see what the other steps made."""
    kept: dict[tuple[str, str], dict] = {}
    for row in rows:
        question, answer = (turn["value"] for turn in row["conversations"])
        if kept.setdefault((question, answer), row) is not row:
            where = {name: row[name] for name in ("file_name", "fact")}
            work.drop("dataset", "the same question and answer twice", question, answer=answer, **where)
    return list(kept.values())


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
