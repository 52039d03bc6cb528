"""The method, told once: from chunks of text to the rows of a dataset.

    chunk -> theme -> facts -> questions -> questions in roles -> questions without an answer -> rewrites -> rows -> split

`collect_all` goes through it from first to last with every sentence of the documents. To a time budget, rounds.py calls the same
parts (`read`, `ask_in_roles`, `ask_without_answer`, `retell`) with a few units of sentences at a time. The steps inside are
functions of facts.py and questions.py, which check what the model gives and record in `work.dropped` what they refuse.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from data_processor.chunking import Chunk
from data_processor.documents import Document
from data_processor.facts import Fact, find_facts, find_themes, handles, rewrite, sentences_to_read
from data_processor.pairs import Pair
from data_processor.questions import find_roles
from data_processor.split import hold_out_facts, split
from data_processor.work import Work

UNIT_SENTENCES = 3  # as many facts as a rewrite tells

log = logging.getLogger(__name__)


@dataclass
class Collected:
    """What has been made so far, or what one part has made of it."""

    facts: list[Fact] = field(default_factory=list)
    held: set[int] = field(default_factory=set)  # the places in `facts` of those that are not trained at all
    pairs: list[Pair] = field(default_factory=list)
    passages: list[tuple[Fact, str, str]] = field(default_factory=list)  # (first fact told, style, text)
    themes: dict[Chunk, str] = field(default_factory=dict)
    roles: dict[str, list[str]] = field(default_factory=dict)  # by theme

    def add(self, part: Collected) -> None:
        self.held |= {len(self.facts) + place for place in part.held}
        self.facts += part.facts
        self.pairs += part.pairs
        self.passages += part.passages
        self.themes |= part.themes
        self.roles |= part.roles

    @property
    def held_ids(self) -> set[str]:
        """The same facts by their `fact_id` in the rows."""
        return {fact_id(self.facts[place], place) for place in self.held}


def collect_all(work: Work, chunks: list[Chunk], arguments) -> Collected:
    """All that the documents say, asked and told: the method from first to last."""
    made = Collected()
    made.add(read(work, made, units_of(chunks, arguments.limit), arguments))
    log.info("%d facts", len(made.facts))
    log.info("%d pairs of a question and an answer", len(made.pairs))
    if arguments.role_amount_per_fact:
        made.add(ask_in_roles(work, made, made.pairs, arguments))
        log.info("%d pairs with those of the roles", len(made.pairs))
    if arguments.unknown_amount_per_chunk:
        made.add(ask_without_answer(work, made, chunks, arguments))
    made.passages = retell(work, made)
    return made


def units_of(chunks: list[Chunk], limit: int | None = None) -> list[list[Fact]]:
    """Up to UNIT_SENTENCES neighbouring sentences of a chunk each, as facts without text yet; in the documents' order.

    `limit` takes the first sentences of each chunk only.
    """
    by_chunk: dict[Chunk, list[Fact]] = {}
    for item in sentences_to_read(chunks, limit):
        by_chunk.setdefault(item.chunk, []).append(item)
    return [
        own[start : start + UNIT_SENTENCES] for own in by_chunk.values() for start in range(0, len(own), UNIT_SENTENCES)
    ]


def by_unit(pairs: list[Pair], units: list[list[Fact]]) -> list[list[Pair]]:
    """The pairs of each unit."""
    place = {(item.chunk, item.start): number for number, unit in enumerate(units) for item in unit}
    found: list[list[Pair]] = [[] for _ in units]
    for pair in pairs:
        found[place[pair.fact.chunk, pair.fact.start]].append(pair)
    return found


def read(
    work: Work, made: Collected, units: list[list[Fact]], arguments, after: Callable[[str], None] = lambda step: None
) -> Collected:
    """Theme, facts and questions of these units, and which of the facts are held out; `after` hears each step end."""
    chunks = [chunk for chunk in dict.fromkeys(unit[0].chunk for unit in units) if chunk not in made.themes]
    themes = dict(zip(chunks, find_themes(work, chunks), strict=True))
    after("theme")
    known = made.themes | themes
    facts = find_facts(work, [replace(item, theme=known[item.chunk]) for unit in units for item in unit])
    held = hold_out_facts(facts, arguments.test_ratio, arguments.seed, len(made.facts), len(made.held))
    after("facts")
    pairs = work.questions.ask_questions(work, facts, arguments.qa_amount_per_fact)
    after("questions")
    return Collected(facts=facts, held=held, pairs=pairs, themes=themes)


def ask_in_roles(work: Work, made: Collected, pairs: list[Pair], arguments, which: slice = slice(None)) -> Collected:
    """These pairs asked again from the angle of roles, of all that their theme has or `which` of them."""
    chunks = [
        chunk for chunk in dict.fromkeys(pair.fact.chunk for pair in pairs) if made.themes[chunk] not in made.roles
    ]
    themes = [made.themes[chunk] for chunk in chunks]
    roles = find_roles(work, chunks, themes, arguments.role_amount_per_fact) if chunks else {}
    angles = {theme: names[which] for theme, names in (made.roles | roles).items()}
    return Collected(pairs=work.questions.diversify(work, pairs, angles), roles=roles)


def ask_without_answer(work: Work, made: Collected, chunks: list[Chunk], arguments) -> Collected:
    """Questions on what was read to which none of `chunks`, all of the documents, has the answer."""
    chunks_read = [chunk for chunk in chunks if chunk in made.themes]
    return Collected(pairs=work.questions.ask_unknown(work, chunks_read, arguments.unknown_amount_per_chunk, chunks))


def retell(work: Work, made: Collected) -> list[tuple[Fact, str, str]]:
    """The facts again as texts in several styles, but for those held out."""
    return rewrite(work, [fact for place, fact in enumerate(made.facts) if place not in made.held])


def to_dataset(work: Work, documents: list[Document], made: Collected, arguments) -> tuple[list[dict], list[dict]]:
    """The rows to train on and the questions kept out of training, for NAME.test.json."""
    rows = without_copies(work, to_rows(work, documents, made))
    return split(rows, made.held_ids, arguments.test_ratio, arguments.seed)


def to_rows(work: Work, documents: list[Document], made: Collected) -> list[dict]:
    """The dataset: question rows, then passages: each fact and each rewrite told in answer to "Tell me about ..."."""
    by_name = {document.file_name: document for document in documents}
    places: dict[int, int] = {}
    for fact in [*made.facts, *(pair.fact for pair in made.pairs)]:
        places.setdefault(id(fact), len(places))

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
            "fact_id": fact_id(fact, places[id(fact)]),
            "source": source,
        }

    rows: list[dict] = []
    for pair in made.pairs:
        rows.append(row(pair.question, pair.answer, pair.fact, pair.kind, pair.role))
    for fact, style, text in [*((fact, "", fact.text) for fact in made.facts), *made.passages]:
        for name in handles(fact, text)[:2]:
            forms = work.prompts[fact.chunk.language].about
            rows.append(row(forms[len(rows) % len(forms)].format(name=name), text, fact, "passage", style))
    return rows


def fact_id(fact: Fact, place: int) -> str:
    return f"{fact.chunk.file_name}#{place}"


def without_copies(work: Work, rows: list[dict]) -> list[dict]:
    """The rows, each question with its answer once: a step does not see what the other steps made."""
    kept: dict[tuple[str, str], dict] = {}
    for row in rows:
        question, answer = (turn["value"] for turn in row["conversations"])
        if kept.setdefault((question, answer), row) is not row:
            where = {name: row[name] for name in ("file_name", "fact")}
            work.drop("dataset", "the same question and answer twice", question, answer=answer, **where)
    return list(kept.values())
