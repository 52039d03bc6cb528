"""The whole method in one place: from chunks of text to the rows of a dataset.

    chunk -> theme, roles, facts -> questions -> texts -> questions in roles -> questions on two facts, and without an answer
          -> rows -> split

`collect_all` runs it from start to finish on every sentence of the documents. Under a time budget, rounds.py calls the same
parts (`collect_units`, `write_texts`, `ask_in_roles`, `ask_late`) on a few units of sentences at a time. The steps within are
those of `work.method`, which check the model's output and record rejects in `work.dropped`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from data_processor.chunking import Chunk, chunk_units
from data_processor.curation import find_subject
from data_processor.documents import Document
from data_processor.instructions import instructions_of, speaks_to_model
from data_processor.numbered import Span
from data_processor.pairs import Fact, Pair
from data_processor.parts import pair_of
from data_processor.split import hold_out_facts, split
from data_processor.work import Work

log = logging.getLogger(__name__)


@dataclass
class Collected:
    """What a collection has produced so far, or what one part of it has."""

    facts: list[Fact] = field(default_factory=list)
    held: set[int] = field(default_factory=set)  # indices in `facts` of those that are not trained at all
    pairs: list[Pair] = field(default_factory=list)
    texts: list[tuple[Fact, str, str]] = field(default_factory=list)  # (what it is about, style, text)
    themes: dict[Chunk, str] = field(default_factory=dict)
    roles: dict[Chunk, list[str]] = field(default_factory=dict)
    names: dict[Chunk, list[str]] = field(default_factory=dict)

    def add(self, part: Collected) -> None:
        self.held |= {len(self.facts) + index for index in part.held}
        self.facts += part.facts
        self.pairs += part.pairs
        self.texts += part.texts
        self.themes |= part.themes
        self.roles |= part.roles
        self.names |= part.names

    @property
    def trained_facts(self) -> list[Fact]:
        return [fact for index, fact in enumerate(self.facts) if index not in self.held]

    @property
    def held_facts(self) -> list[Fact]:
        return [self.facts[index] for index in sorted(self.held)]

    @property
    def held_ids(self) -> set[str]:
        """The held-out facts by their `fact_id` in the rows."""
        return {fact_id(self.facts[index], index) for index in self.held}


def collect_all(work: Work, chunks: list[Chunk], arguments) -> Collected:
    """Run the method from start to finish on all chunks."""
    collected = Collected()
    with work.deferred():
        work.method.prepare(work, chunks)
    units = split_into_units(work, chunks, arguments.limit)
    collected.add(collect_units(work, collected, units, arguments))
    log.info("%d facts", len(collected.facts))
    log.info("%d question-answer pairs", len(collected.pairs))
    if arguments.role_amount_per_fact:
        with work.deferred():
            collected.add(ask_in_roles(work, collected, collected.pairs, arguments))
        log.info("%d pairs including those by role", len(collected.pairs))
    with work.deferred():
        collected.add(ask_late(work, collected, chunks, arguments))
    with work.deferred():
        collected.texts = write_texts(work, collected, units, arguments)
    work.stop_if_waiting()
    return collected


def split_into_units(work: Work, chunks: list[Chunk], limit: int | None = None) -> list[list[Fact]]:
    """Units of neighbouring sentences of one chunk, as facts still without text, in document order.

    A unit has up to `method.UNIT_SENTENCES` of them, or all. `limit` keeps only the first sentences of each chunk.
    """
    by_chunk: dict[Chunk, list[Fact]] = {}
    for item in sentences_to_read(chunks, limit):
        if speaks_to_model(item.start, item.end, instructions_of(item.chunk)):
            work.drop("read", "speaks to a language model: kept as text, not read", item.quote, item)
            continue
        by_chunk.setdefault(item.chunk, []).append(item)
    size = work.method.UNIT_SENTENCES
    return [
        items[start : start + (size or len(items))]
        for items in by_chunk.values()
        for start in range(0, len(items), size or len(items))
    ]


def sentences_to_read(chunks: list[Chunk], limit: int | None = None) -> list[Fact]:
    """For each sentence, a fact still without text or theme; a sentence in the overlap of two chunks is read once.

    `limit` keeps only the first sentences of each chunk.
    """
    seen: set[tuple[str, str]] = set()
    items = []
    for chunk in chunks:
        subject = ""  # found once, and only where something is to be read
        for unit in chunk_units(chunk)[:limit]:
            key = (chunk.file_name, unit.lead_in, chunk.text[unit.start : unit.end])
            if key not in seen:
                seen.add(key)
                subject = subject or find_subject(chunk.title, chunk.text)
                items.append(Fact("", chunk, unit.start, unit.end, subject, lead_in=unit.lead_in))
    return items


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
    read = work.method.read_units(work, units, collected.themes, arguments.role_amount_per_fact, on_step_end)
    held = hold_out_facts(read.facts, arguments.test_ratio, arguments.seed, len(collected.facts), len(collected.held))
    on_step_end("facts")
    pairs: list[Pair] = []
    with work.deferred():
        pairs = work.method.ask_questions(work, read.facts, arguments.qa_amount_per_fact)
    on_step_end("questions")
    return Collected(facts=read.facts, held=held, pairs=pairs, themes=read.themes, roles=read.roles, names=read.names)


def ask_in_roles(
    work: Work, collected: Collected, pairs: list[Pair], arguments, which: slice = slice(None)
) -> Collected:
    """The questions of these pairs asked again in roles: all that their chunk has, or `which` of them."""
    chunks = [chunk for chunk in dict.fromkeys(pair.fact.chunk for pair in pairs) if chunk not in collected.roles]
    themes = [collected.themes[chunk] for chunk in chunks]
    roles = work.method.find_roles(work, chunks, themes, arguments.role_amount_per_fact) if chunks else {}
    selected = {chunk: names[which] for chunk, names in (collected.roles | roles).items()}
    return Collected(pairs=work.method.diversify(work, pairs, selected), roles=roles)


def ask_late(work: Work, collected: Collected, chunks: list[Chunk], arguments) -> Collected:
    """What needs to know all facts: questions without an answer in any of `chunks`, those of all documents, and on two facts."""
    read = [chunk for chunk in chunks if chunk in collected.themes]
    names = [name for chunk in read for name in collected.names.get(chunk, ())]
    amount = arguments.unknown_amount_per_chunk
    return Collected(pairs=work.method.ask_late(work, collected.trained_facts, names, read, chunks, amount))


def write_texts(
    work: Work, collected: Collected, units: list[list[Fact]], arguments, held_before: Sequence[Fact] = ()
) -> list[tuple[Fact, str, str]]:
    """Texts that tell what these units say, except what is held out, here or (`held_before`) in parts before this."""
    held = [*held_before, *collected.held_facts]
    return work.method.write_texts(work, units, collected.trained_facts, held, collected.names, arguments)


def to_dataset(
    work: Work, documents: Sequence[Document], collected: Collected, arguments
) -> tuple[list[dict], list[dict]]:
    """The training rows, and the questions held out for NAME.test.json.

    What is called unknown and is not, is taken out of `collected`; only now is all known that might answer it.
    """
    collected.pairs = work.method.drop_answered(work, collected.pairs, collected.facts)
    rows = to_rows(work, documents, collected)
    work.rows_before.ids += len(rows)
    rows = drop_duplicates(work, rows)
    train, test = work.rows_before.keep_apart(*split(rows, collected.held_ids, arguments.test_ratio, arguments.seed))
    record_left_out(work, rows, {row["id"] for row in [*train, *test]}, collected.held_ids)
    return train, test


def record_left_out(work: Work, rows: list[dict], kept: set[str], held_facts: set[str]) -> None:
    """Say of each row that `split` has put neither into training nor into the test why it is gone."""
    for row in rows:
        if row["id"] not in kept:
            held = row["fact_id"] in held_facts
            drop_row(work, "split", "of a fact held out whole" if held else "nearly the same as a test question", row)


def drop_row(work: Work, step: str, reason: str, row: dict) -> None:
    question, answer = (turn["value"] for turn in row["conversations"])
    place = {"file_name": row["file_name"], "chunk": row["source"]["chunk"], "fact": row["fact"]}
    work.drop(step, reason, question, answer=answer, **place)


def to_rows(work: Work, documents: Sequence[Document], collected: Collected) -> list[dict]:
    """The dataset: question rows, then texts, each of which answers "Tell me about ..."."""
    by_name = {document.file_name: document for document in documents}
    numbers: dict[int, int] = {}
    for fact in [
        *collected.facts,
        *(pair.fact for pair in collected.pairs),
        *(about for about, _, _ in collected.texts),
    ]:
        numbers.setdefault(id(fact), len(numbers))
    rows: list[dict] = []

    def add(question: str, answer: str, fact: Fact, kind: str, role: str, **more: object) -> None:
        rows.append(
            {
                "id": f"identity_{work.rows_before.ids + len(rows)}",
                "conversations": [{"from": "user", "value": question}, {"from": "assistant", "value": answer}],
                "fact": fact.text,
                "file_name": fact.chunk.file_name,
                "kind": kind,
                "role": role,
                "theme": fact.theme,
                "fact_id": fact_id(fact, numbers[id(fact)]),
                **more,
            }
        )

    for pair in collected.pairs:
        more: dict[str, object] = {"form": pair.form} if pair.form else {}
        more |= {"points": list(pair.points)} if pair.points else {}
        add(pair.question, pair.answer, pair.fact, pair.kind, pair.role, **more, source=make_source(by_name, pair))
    texts = [(fact, "", fact.text) for fact in collected.facts] if work.method.FACTS_ARE_TEXTS else []
    for fact, style, text in [*texts, *collected.texts]:
        for name in work.method.names_to_ask_by(fact, text)[:2]:
            requests = work.words(fact.chunk.text_language, fact.chunk.language)["about"]
            request = requests[len(rows) % len(requests)].format(name=name)
            orders = [fact.chunk.text[slice(*span)] for span in instructions_of(fact.chunk)]
            source = make_source(by_name, Pair("", "", fact, "")) | (
                {"instructions": True} if any(order in text for order in orders) else {}
            )
            add(request, text, fact, "passage", style, source=source)
    return rows


def make_source(documents: dict[str, Document], pair: Pair) -> dict:
    """Where a row comes from: its chunk and, by offsets in the file, its first quote and `more` of them, if it has any."""

    def place(fact: Fact, span: Span) -> dict:
        start, end = documents[fact.chunk.file_name].to_file_offsets(*fact.chunk.to_document(*span))
        elsewhere = {"file_name": fact.chunk.file_name} if fact.chunk.file_name != pair.fact.chunk.file_name else {}
        return {**elsewhere, "start": start, "end": end, "quote": fact.chunk.text[slice(*span)]}

    quotes = [place(fact, span) for fact in (pair.fact, pair.second) if fact and fact.quote for span in fact.spans]
    more = {"more": quotes[1:]} if len(quotes) > 1 else {}
    return {"chunk": pair.fact.chunk.number, **(quotes[0] if quotes else {}), **more}


def fact_id(fact: Fact, number: int) -> str:
    return f"{fact.chunk.file_name}#{number}"


def drop_duplicates(work: Work, rows: list[dict]) -> list[dict]:
    """The rows without repeated question-answer pairs, since one step does not see what another made."""
    kept: dict[str, dict] = {}
    for row in rows:
        pair = pair_of(row)
        if pair in work.rows_before.pairs or kept.setdefault(pair, row) is not row:
            drop_row(work, "dataset", "the same question and answer twice", row)
    return list(kept.values())
