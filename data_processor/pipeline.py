"""The whole method in one place: from chunks of text to the rows of a dataset.

    chunk -> theme -> facts -> questions -> questions in roles -> questions without an answer -> rewrites -> rows -> split

`collect_all` runs it from start to finish on every sentence of the documents. Under a time budget, rounds.py calls the same
parts (`collect_units`, `ask_in_roles`, `ask_unanswerable`, `write_passages`) on a few units of sentences at a time. The steps
within are functions in facts.py and questions.py, which check the model's output and record rejects in `work.dropped`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from data_processor.chunking import Chunk
from data_processor.documents import Document
from data_processor.facts import Fact, find_facts, find_themes, names_to_ask_by, rewrite_facts, sentences_to_read
from data_processor.pairs import Pair
from data_processor.questions import find_roles
from data_processor.split import hold_out_facts, split
from data_processor.work import Work

UNIT_SENTENCES = 3  # equal to the number of facts in a rewrite
WAVES = (  # the steps that can be asked together, in turn; a step with a check only has one with --verify llm
    ("theme",),
    ("facts",),
    ("facts, check",),
    ("questions", "unknown", "rewrites"),
    ("questions, check", "unknown, check"),
    ("questions, entailed",),
    ("roles",),
    ("wordings",),
    ("wordings, check",),
    ("wordings, entailed",),
)

log = logging.getLogger(__name__)


@dataclass
class Collected:
    """What a collection has produced so far, or what one part of it has."""

    facts: list[Fact] = field(default_factory=list)
    held: set[int] = field(default_factory=set)  # indices in `facts` of those that are not trained at all
    pairs: list[Pair] = field(default_factory=list)
    passages: list[tuple[Fact, str, str]] = field(default_factory=list)  # (first fact of the group, style, text)
    themes: dict[Chunk, str] = field(default_factory=dict)
    roles: dict[str, list[str]] = field(default_factory=dict)  # by theme

    def add(self, part: Collected) -> None:
        self.held |= {len(self.facts) + index for index in part.held}
        self.facts += part.facts
        self.pairs += part.pairs
        self.passages += part.passages
        self.themes |= part.themes
        self.roles |= part.roles

    @property
    def held_ids(self) -> set[str]:
        """The held-out facts by their `fact_id` in the rows."""
        return {fact_id(self.facts[index], index) for index in self.held}


def collect_all(work: Work, chunks: list[Chunk], arguments) -> Collected:
    """Run the method from start to finish on all chunks."""
    collected = Collected()
    collected.add(collect_units(work, collected, split_into_units(chunks, arguments.limit), arguments))
    log.info("%d facts", len(collected.facts))
    log.info("%d question-answer pairs", len(collected.pairs))
    if arguments.role_amount_per_fact:
        with work.deferred():
            collected.add(ask_in_roles(work, collected, collected.pairs, arguments))
        log.info("%d pairs including those by role", len(collected.pairs))
    if arguments.unknown_amount_per_chunk:
        with work.deferred():
            collected.add(ask_unanswerable(work, collected, chunks, arguments))
    with work.deferred():
        collected.passages = write_passages(work, collected)
    work.stop_if_waiting()
    return collected


def split_into_units(chunks: list[Chunk], limit: int | None = None) -> list[list[Fact]]:
    """Units of up to UNIT_SENTENCES neighbouring sentences of one chunk, as facts still without text, in document order.

    `limit` keeps only the first sentences of each chunk.
    """
    by_chunk: dict[Chunk, list[Fact]] = {}
    for item in sentences_to_read(chunks, limit):
        by_chunk.setdefault(item.chunk, []).append(item)
    return [
        items[start : start + UNIT_SENTENCES]
        for items in by_chunk.values()
        for start in range(0, len(items), UNIT_SENTENCES)
    ]


def group_by_unit(pairs: list[Pair], units: list[list[Fact]]) -> list[list[Pair]]:
    """The pairs of each unit."""
    unit_numbers = {(item.chunk, item.start): number for number, unit in enumerate(units) for item in unit}
    pairs_by_unit: list[list[Pair]] = [[] for _ in units]
    for pair in pairs:
        pairs_by_unit[unit_numbers[pair.fact.chunk, pair.fact.start]].append(pair)
    return pairs_by_unit


def collect_units(
    work: Work,
    collected: Collected,
    units: list[list[Fact]],
    arguments,
    on_step_end: Callable[[str], None] = lambda step: None,
) -> Collected:
    """Themes, facts (some held out) and questions from these units; `on_step_end` is called after each step."""
    chunks = [chunk for chunk in dict.fromkeys(unit[0].chunk for unit in units) if chunk not in collected.themes]
    themes = dict(zip(chunks, find_themes(work, chunks), strict=True))
    on_step_end("theme")
    all_themes = collected.themes | themes
    facts = find_facts(work, [replace(item, theme=all_themes[item.chunk]) for unit in units for item in unit])
    held = hold_out_facts(facts, arguments.test_ratio, arguments.seed, len(collected.facts), len(collected.held))
    on_step_end("facts")
    pairs: list[Pair] = []
    with work.deferred():
        pairs = work.questions.ask_questions(work, facts, arguments.qa_amount_per_fact)
    on_step_end("questions")
    return Collected(facts=facts, held=held, pairs=pairs, themes=themes)


def ask_in_roles(
    work: Work, collected: Collected, pairs: list[Pair], arguments, which: slice = slice(None)
) -> Collected:
    """The questions of these pairs asked again in roles: all that their theme has, or `which` of them."""
    chunks = [
        chunk
        for chunk in dict.fromkeys(pair.fact.chunk for pair in pairs)
        if collected.themes[chunk] not in collected.roles
    ]
    themes = [collected.themes[chunk] for chunk in chunks]
    roles = find_roles(work, chunks, themes, arguments.role_amount_per_fact) if chunks else {}
    selected = {theme: names[which] for theme, names in (collected.roles | roles).items()}
    return Collected(pairs=work.questions.diversify(work, pairs, selected), roles=roles)


def ask_unanswerable(work: Work, collected: Collected, chunks: list[Chunk], arguments) -> Collected:
    """Questions about the chunks read so far that none of `chunks`, those of all documents, answers."""
    chunks_read = [chunk for chunk in chunks if chunk in collected.themes]
    return Collected(pairs=work.questions.ask_unknown(work, chunks_read, arguments.unknown_amount_per_chunk, chunks))


def write_passages(work: Work, collected: Collected) -> list[tuple[Fact, str, str]]:
    """Passages that retell the facts in several styles, except those held out."""
    return rewrite_facts(work, [fact for index, fact in enumerate(collected.facts) if index not in collected.held])


def to_dataset(work: Work, documents: list[Document], collected: Collected, arguments) -> tuple[list[dict], list[dict]]:
    """The training rows, and the questions held out for NAME.test.json."""
    rows = drop_duplicates(work, to_rows(work, documents, collected))
    return split(rows, collected.held_ids, arguments.test_ratio, arguments.seed)


def to_rows(work: Work, documents: list[Document], collected: Collected) -> list[dict]:
    """The dataset: question rows, then passages, in which each fact and each rewrite answers "Tell me about ..."."""
    by_name = {document.file_name: document for document in documents}
    numbers: dict[int, int] = {}
    for fact in [*collected.facts, *(pair.fact for pair in collected.pairs)]:
        numbers.setdefault(id(fact), len(numbers))

    def row(question: str, answer: str, fact: Fact, kind: str, role: str) -> dict:
        source: dict[str, int | str] = {"chunk": fact.chunk.number}
        if fact.quote:
            start, end = fact.chunk.to_document(fact.start, fact.end)
            start, end = by_name[fact.chunk.file_name].to_file_offsets(start, end)
            source |= {"start": start, "end": end, "quote": fact.quote}
        return {
            "id": f"identity_{len(rows)}",
            "conversations": [{"from": "user", "value": question}, {"from": "assistant", "value": answer}],
            "fact": fact.text,
            "file_name": fact.chunk.file_name,
            "kind": kind,
            "role": role,
            "theme": fact.theme,
            "fact_id": fact_id(fact, numbers[id(fact)]),
            "source": source,
        }

    rows: list[dict] = []
    for pair in collected.pairs:
        rows.append(row(pair.question, pair.answer, pair.fact, pair.kind, pair.role))
    for fact, style, text in [*((fact, "", fact.text) for fact in collected.facts), *collected.passages]:
        for name in names_to_ask_by(fact, text)[:2]:
            requests = work.prompts[fact.chunk.language].about
            rows.append(row(requests[len(rows) % len(requests)].format(name=name), text, fact, "passage", style))
    return rows


def fact_id(fact: Fact, number: int) -> str:
    return f"{fact.chunk.file_name}#{number}"


def drop_duplicates(work: Work, rows: list[dict]) -> list[dict]:
    """The rows without repeated question-answer pairs, since one step does not see what another made."""
    kept: dict[tuple[str, str], dict] = {}
    for row in rows:
        question, answer = (turn["value"] for turn in row["conversations"])
        if kept.setdefault((question, answer), row) is not row:
            source = {key: row[key] for key in ("file_name", "fact")}
            work.drop("dataset", "the same question and answer twice", question, answer=answer, **source)
    return list(kept.values())
