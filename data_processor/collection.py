"""From documents to a dataset: the run shared by both collection scripts, whichever engine answers."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from budget.clock import Clock
from budget.reports import CollectionTime
from data_processor import pipeline, rounds
from data_processor.accounting import count_characters, count_yield, print_yield
from data_processor.arguments import CollectionArguments, dataset_path
from data_processor.boilerplate import set_boilerplate_aside
from data_processor.chunking import Chunk, chunk_document, make_splitter, parse
from data_processor.dataset import to_format
from data_processor.disputed import describe_disputed, find_disputed
from data_processor.documents import Document
from data_processor.estimate import estimate, print_estimate
from data_processor.languages import detect_language
from data_processor.parts import Spool, in_parts
from data_processor.pipeline import Collected
from data_processor.prompts import load_prompts
from data_processor.split import ANSWERABLE_KINDS, TEST_KINDS, split
from data_processor.work import Work
from engines.chat import Engine
from engines.failures import describe_failures, require_answers
from engines.journal import JournaledEngine
from engines.progress import progress_bar
from provenance import write_meta
from utils import InputError, log_file, read_json, write_text

GC_THRESHOLD = 50_000  # objects between two searches for cycles: rows and replies, which are many, have none
PART_CHARACTERS = 1_000_000  # of neighbouring documents that are collected together: about 500 chunks of 512 tokens

log = logging.getLogger(__name__)


def collect(
    engine: Engine, tokenizer, documents: Sequence[Document], arguments: CollectionArguments, clock: Clock
) -> None:
    """Run all steps and write the dataset with its meta file; `tokenizer` is as for chunking.make_splitter.

    A big folder is collected in parts of neighbouring documents, so that time grows with its size and memory does not: each
    is collected like a folder of its own, and over all of them only exact copies are looked for. A limited `clock`, which
    chooses among all documents, takes them as one part; it may cut this short: the dataset then has what was finished in
    time or before a signal. MostlyFailed if most calls failed.
    """
    started = time.time()
    gc.set_threshold(GC_THRESHOLD)
    path = dataset_path(arguments.json_save_dir)
    if arguments.dry_run:
        chunks, _ = cut_into_chunks(documents, tokenizer, arguments)
        log.info("%d documents, %d chunks", len(documents), len(chunks))
        print_estimate(estimate_collection(engine, documents, chunks, arguments))
        return
    journal = JournaledEngine(engine, log_file(path.with_suffix(".journal.jsonl")))
    if journal.known:
        log.info("%d replies from an earlier run in %s are reused", len(journal.known), journal.path)
    work = make_work(journal, arguments)
    made, coverage = Dataset(), {}
    parts = [documents] if clock.limited else in_parts(documents, lambda one: len(one.text), PART_CHARACTERS)
    for part in parts:
        with work.deferred():  # a part that waits for a batch does not keep the next one from asking
            coverage = collect_part(work, part, tokenizer, arguments, clock, made)
        work.end_part()
    work.stop_if_waiting()
    if work.errors:
        log.warning("%s; the next run will ask them again", describe_failures(work.errors, work.calls))
    if not made.answerable:
        require_answers(work.errors, work.calls, "nothing was collected from the others")
        raise InputError(
            f"expected facts in {arguments.data_path}, found none that passed the checks ({dict(work.drops)}): "
            "try a larger model, or documents that state something"
        )
    budget = CollectionTime(**coverage, seconds_to_start=round(started - clock.started, 1)) if coverage else None
    write_dataset(work, made, budget, arguments, started)
    print_yield(made.yields, made.characters, work, log_file(path.with_suffix(".yield.json")))
    log.info("%d examples in %s, %d test questions", len(made.rows), path, len(made.test))
    if clock.limited and not clock.stopped_by:
        log.info("%s", rounds.describe_left_out(coverage))
    require_answers(work.errors, work.calls, f"what was made without them is in {path}")


def collect_part(
    work: Work, documents: Sequence[Document], tokenizer, arguments: CollectionArguments, clock: Clock, made: Dataset
) -> dict:
    """Collect these documents and add what they gave to `made`; the coverage if the clock is limited."""
    chunks, characters = cut_into_chunks(documents, tokenizer, arguments)
    log.info("%d documents, %d chunks", len(documents), len(chunks))
    coverage = {}
    if clock.limited:
        collected, coverage = collect_in_time(work, documents, chunks, arguments, clock)
    else:
        collected = pipeline.collect_all(work, chunks, arguments)
    rows, test = pipeline.to_dataset(work, documents, collected, arguments)
    made.add(work, chunks, characters, collected, rows, test)
    work.rows_before.add(rows, test)
    return coverage


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
    with_prompts = load_prompts(arguments.prompts, arguments.method.PROMPTS)
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
        arguments.method,
        verify=arguments.verify == "llm",
        prompts=load_prompts(arguments.prompts, arguments.method.PROMPTS),
    )


@dataclass
class Dataset:
    """What all parts have given so far: what is written line by line is on disk, and the rest is counted."""

    rows: Spool[dict] = field(default_factory=Spool)
    test: Spool[dict] = field(default_factory=Spool)
    chunks: Spool[dict] = field(default_factory=Spool)
    dropped: Spool[dict] = field(default_factory=Spool)
    disputed: list[dict] = field(default_factory=list)
    characters: dict[str, Counter[str]] = field(default_factory=dict)  # by file name
    yields: dict[str, dict[str, int]] = field(default_factory=dict)  # likewise
    facts: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # of the rows
    test_kinds: Counter[str] = field(default_factory=Counter)
    makers: Counter[str] = field(default_factory=Counter)  # of the pairs
    pairs_per_role: int = 0
    answerable: bool = False  # whether there is a question with an answer

    def add(
        self,
        work: Work,
        chunks: list[Chunk],
        characters: dict[str, Counter[str]],
        collected: Collected,
        rows: list[dict],
        test: list[dict],
    ) -> None:
        """Add what one part has given, with what `work` has dropped of it."""
        for spool, items in (
            (self.rows, rows),
            (self.test, test),
            (self.chunks, map(to_line, chunks)),
            (self.dropped, work.dropped),
        ):
            spool.extend(items)
        self.disputed += find_disputed([*rows, *test])
        self.characters |= characters
        self.yields |= count_yield(characters, chunks, collected.facts, rows, work)
        self.facts += len(collected.facts)
        self.kinds.update(row["kind"] for row in rows)
        self.test_kinds.update(row["kind"] for row in test)
        self.makers.update(pair.made_by for pair in collected.pairs)
        self.pairs_per_role += work.method.pairs_per_role(collected.pairs)
        self.answerable = self.answerable or any(pair.kind in ANSWERABLE_KINDS for pair in collected.pairs)

    def counts(self) -> dict:
        """For the meta file."""
        return {
            "documents": len(self.characters),
            "characters": dict(sum(self.characters.values(), Counter())),
            "chunks": len(self.chunks),
            "facts": self.facts,
            "rows": dict(self.kinds),
            "test_rows": dict(self.test_kinds),
            "questions_made_by": dict(self.makers),
            "pairs_per_role": self.pairs_per_role,
        }


def write_dataset(
    work: Work, made: Dataset, budget: CollectionTime | None, arguments: CollectionArguments, started: float
) -> None:
    """Write the dataset, its test questions, the chunks, what was dropped, and the meta file."""
    path, journal = dataset_path(arguments.json_save_dir), work.engine
    if not arguments.test_ratio:
        remove_old_test(path.with_suffix(".test.json"))
    write_text(path, json_list(to_format(row, arguments.format) for row in made.rows))
    if arguments.test_ratio:
        write_text(path.with_suffix(".test.json"), json_list(made.test))
    write_lines(path.with_suffix(".chunks.jsonl"), made.chunks)
    write_lines(log_file(path.with_suffix(".dropped.jsonl")), made.dropped)
    write_lines(log_file(path.with_suffix(".disputed.jsonl")), made.disputed)
    if made.disputed:
        log.warning("%s", describe_disputed(made.disputed, log_file(path.with_suffix(".disputed.jsonl"))))
    path.with_suffix(".dropped.jsonl").unlink(missing_ok=True)  # written by an earlier version, for another dataset
    write_meta(
        path,
        arguments,
        started,
        model=journal.name,
        counts=made.counts(),
        dropped=dict(work.drops.most_common()),
        tokens={**work.tokens, "cost": token_cost(work.tokens, arguments)},
        calls={"asked": journal.asked, "from_journal": journal.reused},
        **({"budget": asdict(budget)} if budget else {}),
    )


def remove_old_test(path: Path) -> None:
    """Remove the test questions of an earlier collection: this dataset trains them. Questions from elsewhere stay."""
    try:
        rows = read_json(path, "test questions") if path.exists() else None
    except InputError:
        return
    if isinstance(rows, list) and all(isinstance(row, dict) and row.get("kind") in TEST_KINDS for row in rows):
        path.unlink()
        log.info(
            "removed %s: an earlier collection held these %d questions out, this one (without --test_ratio) trains them; "
            "for new ones collect with --test_ratio",
            path,
            len(rows),
        )


def to_line(chunk: Chunk) -> dict:
    """A chunk as training reads it, for the passage that a row rests on: the row's file_name and source.chunk name it."""
    return {
        "id": f"{chunk.file_name}#{chunk.number}",
        "file_name": chunk.file_name,
        "chunk": chunk.number,
        "text": chunk.text,
    }


def write_lines(path: Path, records: Iterable[dict]) -> None:
    write_text(path, (json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def json_list(rows: Iterable[dict]) -> Iterator[str]:
    """What utils.write_json would write of a list of these rows, a row at a time."""
    before = "[\n "
    for row in rows:
        yield before + json.dumps(row, ensure_ascii=False, indent=1).replace("\n", "\n ")
        before = ",\n "
    yield "[]\n" if before.startswith("[") else "\n]\n"
