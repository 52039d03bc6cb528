"""From documents to a dataset: the run that both collection scripts share, whatever engine answers."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data_processor import prompts, questions, steps
from data_processor.chunking import Chunk, chunk_document
from data_processor.documents import Document, read_documents
from data_processor.split import hold_out_facts, split
from dataset import to_format
from journal import JournaledEngine
from llm import Engine
from provenance import write_meta
from utils import InputError, progress_bar, write_json, write_text

log = logging.getLogger(__name__)


@dataclass
class CollectionArguments:
    """Arguments of both scripts."""

    data_path: str = field(
        default="datasets/demo", metadata={"help": "Folder of .txt and .md files, read recursively."}
    )
    json_save_dir: str = field(
        default="output/data.json", metadata={"help": "The dataset to write: a .json file, or a folder for data.json."}
    )
    chunk_size_by_token: int = field(default=512, metadata={"help": "Most tokens of a chunk."})
    qa_amount_per_fact: int = field(default=5, metadata={"help": "Most questions a fact."})
    role_amount_per_fact: int = field(
        default=3, metadata={"help": "Roles in whose words each question is asked again; 0 for none."}
    )
    guard: Literal["names", "words"] = field(
        default="names",
        metadata={
            "help": "What a stated fact must keep of its source: its names and numbers, or (for models under about 1B, "
            "which mix up who did what) its words in their order too."
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
    limit: int | None = field(
        default=None, metadata={"help": "Take the first N sentences of each chunk only: a smoke run."}
    )


def dataset_path(json_save_dir: str) -> Path:
    path = Path(json_save_dir)
    return path if path.suffix == ".json" else path / "data.json"


def check_arguments(arguments: CollectionArguments) -> list[Document]:
    """The documents, once all arguments make sense; nothing heavy is loaded before."""
    for name, least in (("chunk_size_by_token", 64), ("qa_amount_per_fact", 1), ("role_amount_per_fact", 0)):
        if getattr(arguments, name) < least:
            raise InputError(f"expected --{name} of at least {least}, found {getattr(arguments, name)}: raise it")
    if not 0 <= arguments.test_ratio <= 0.5:
        raise InputError(f"expected --test_ratio from 0 to 0.5, found {arguments.test_ratio}: change it")
    return read_documents(arguments.data_path)


def collect(engine: Engine, tokenizer, documents: list[Document], arguments: CollectionArguments) -> None:
    """Run all steps and write the dataset with its meta file."""
    started = time.time()
    path = dataset_path(arguments.json_save_dir)
    engine = JournaledEngine(engine, path.with_suffix(".journal.jsonl"))
    if engine.known:
        log.info(
            "%d replies of an earlier run in %s; what they answer is not asked again", len(engine.known), engine.path
        )
    chunks = [
        chunk for document in documents for chunk in chunk_document(document, tokenizer, arguments.chunk_size_by_token)
    ]
    log.info("%d documents, %d chunks", len(documents), len(chunks))
    work = steps.Work(engine, arguments.seed, progress_bar, arguments.guard == "words", arguments.context_sentences)

    themes = steps.find_themes(work, chunks)
    facts = steps.find_facts(work, chunks, themes, arguments.limit)
    pairs = questions.ask_questions(work, facts, arguments.qa_amount_per_fact)
    if arguments.role_amount_per_fact:
        roles = steps.find_roles(work, themes, arguments.role_amount_per_fact)
        pairs += questions.diversify(work, pairs, dict(zip(themes, roles, strict=True)))
    held = hold_out_facts(facts, arguments.test_ratio, arguments.seed)
    passages = steps.rewrite(work, [fact for number, fact in enumerate(facts) if number not in held])

    rows = to_rows(documents, facts, pairs, passages)
    if not rows:
        raise InputError(
            f"expected facts in {arguments.data_path}, found none that passed the checks ({dict(work.drops)}): "
            "try a larger model, or documents that state names, dates or numbers"
        )
    held_ids = {row["fact_id"] for row in rows if int(row["fact_id"].rpartition("#")[2]) in held}
    rows, test = split(rows, held_ids, arguments.test_ratio, arguments.seed)
    write_json(path, [to_format(row, arguments.format) for row in rows])
    if arguments.test_ratio:
        write_json(path.with_suffix(".test.json"), test)
    write_text(
        path.with_suffix(".dropped.jsonl"),
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in work.dropped),
    )
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
        tokens=dict(work.tokens),
        calls={"asked": engine.asked, "from_journal": engine.reused},
    )
    print_yield(documents, chunks, facts, rows, work.drops)
    log.info("%d examples in %s, %d test questions", len(rows), path, len(test))


def to_rows(
    documents: list[Document],
    facts: list[steps.Fact],
    pairs: list[questions.Pair],
    passages: list[tuple[steps.Fact, str, str]],
) -> list[dict]:
    """The dataset: question rows, then passages: each fact and each rewrite told in answer to "Tell me about ..."."""
    by_name = {document.file_name: document for document in documents}
    numbers = {id(fact): number for number, fact in enumerate(facts)}

    def row(question: str, answer: str, fact: steps.Fact, kind: str, role: str) -> dict:
        start, end = by_name[fact.chunk.file_name].in_file(fact.chunk.start + fact.start, fact.chunk.start + fact.end)
        return {
            "id": f"identity_{len(rows)}",
            "conversations": [{"from": "user", "value": question}, {"from": "assistant", "value": answer}],
            "fact": fact.text,
            "file_name": fact.chunk.file_name,
            "kind": kind,
            "role": role,
            "theme": fact.theme,
            "fact_id": f"{fact.chunk.file_name}#{numbers[id(fact)]}",
            "source": {"chunk": fact.chunk.number, "start": start, "end": end, "quote": fact.quote},
        }

    rows: list[dict] = []
    for pair in pairs:
        rows.append(row(pair.question, pair.answer, pair.fact, "qa", pair.role))
    for fact, style, text in [*((fact, "", fact.text) for fact in facts), *passages]:
        for name in steps.handles(fact, text)[:2]:
            about = prompts.ABOUT[len(rows) % len(prompts.ABOUT)].format(name=name)
            rows.append(row(about, text, fact, "passage", style))
    return rows


def print_yield(
    documents: list[Document], chunks: list[Chunk], facts: list[steps.Fact], rows: list[dict], drops: Counter
) -> None:
    """What each document gave, and why things were dropped, on standard output."""
    print(f"{'document':<28}{'chunks':>8}{'facts':>8}{'questions':>11}{'passages':>10}")
    for document in documents:
        name = document.file_name
        kinds = Counter(row["kind"] for row in rows if row["file_name"] == name)
        own_chunks = sum(chunk.file_name == name for chunk in chunks)
        own_facts = sum(fact.chunk.file_name == name for fact in facts)
        print(f"{name[:27]:<28}{own_chunks:>8}{own_facts:>8}{kinds['qa']:>11}{kinds['passage']:>10}")
    print("dropped: " + ("; ".join(f"{count} {reason}" for reason, count in drops.most_common()) or "nothing"))
