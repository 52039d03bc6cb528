"""Wave 1 and 2: what a chunk states, all of it, by a model that reads the chunk as a whole.

First one request a chunk: what it is about, the names in it, who would ask, and its facts, each with the numbers of the
sentences it rests on (as LongCite does, Zhang et al. 2024, arXiv 2409.02897). A number cannot be misquoted, and costs a
fraction of the tokens. Then one request for the sentences that no fact rests on: their facts, or what they are instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from data_processor.checks import keep_following
from data_processor.chunking import Chunk
from data_processor.languages import name_of_language
from data_processor.numbered import (
    MAX_QUOTES,
    MAX_SENTENCES_A_QUOTE,
    Span,
    invented_numbers,
    numbered_text,
    quotes_of,
)
from data_processor.pairs import Fact
from data_processor.points import fold
from data_processor.units import with_lead_in
from data_processor.work import Work, an_object
from engines.failures import concerns_content

LONGEST_READING = 3072  # tokens of a reply: some 60 facts; a chunk of 512 tokens has 20 to 30
LONGEST_REST = 1536
LONGEST_FACT, SHORTEST_FACT = 400, 25  # characters
MOST_NAMES = 10
# what a sentence is that states nothing
NOTHING = ("heading", "greeting", "question", "reference", "repetition", "other")
ARTICLES = ("a", "an", "the")
MARKS = ".,;:!?…\"'()[]*_。，、；：！？（）"  # not those of signs and units: "-5", "<5", "5%"
NOT_COVERED = "no fact covers this sentence"
STATES_NOTHING = "states nothing"
REFUSED = f"{NOT_COVERED}: the server refuses to read it"


@dataclass
class Reading:
    """What was read in some chunks."""

    facts: list[Fact] = field(default_factory=list)
    themes: dict[Chunk, str] = field(default_factory=dict)
    roles: dict[Chunk, list[str]] = field(default_factory=dict)
    names: dict[Chunk, list[str]] = field(default_factory=dict)


def read_units(
    work: Work, units: list[list[Fact]], themes: dict[Chunk, str], roles: int, on_step_end: Callable[[str], None]
) -> Reading:
    """What whole chunks state. A unit has the sentences of one chunk that are to be read, as facts still without text.

    A sentence whose facts all fail the checks, and one about which the model says nothing, is a fact as it is.
    """
    reading = Reading()
    nothing: set[tuple[Chunk, int]] = set()  # (chunk, start) of the sentences that state nothing, or cannot be read
    stated = read_chunks(work, units, roles, reading, nothing)
    left_out = [uncovered(unit, stated[unit[0].chunk]) for unit in units if unit[0].chunk in stated]
    rest = [[item for item in unit if (item.chunk, item.start) not in nothing] for unit in left_out]
    for fact in read_rest(work, [sentences for sentences in rest if sentences], nothing):
        stated[fact.chunk].append(fact)
    kept = keep_following(work, [fact for facts in stated.values() for fact in facts])
    by_chunk: dict[Chunk, list[Fact]] = {chunk: [] for chunk in stated}
    for fact in kept:
        by_chunk[fact.chunk].append(fact)
    for unit in units:
        chunk = unit[0].chunk
        left = [item for item in uncovered(unit, by_chunk.get(chunk, [])) if (chunk, item.start) not in nothing]
        if chunk in stated:
            by_chunk[chunk] += [replace(item, text=with_lead_in(item.lead_in, item.quote)) for item in left]
        else:
            for item in left:
                work.drop("facts", NOT_COVERED, item.quote, item)
        reading.facts += keep_new(work, by_chunk.get(chunk, []), reading.themes[chunk])
    return reading


def read_chunks(
    work: Work, units: list[list[Fact]], roles: int, reading: Reading, refused: set[tuple[Chunk, int]]
) -> dict[Chunk, list[Fact]]:
    """The facts of each chunk that was answered; themes, names and roles are put into `reading`.

    Where a server refuses a chunk, for what it says or its length, each half of its sentences is asked for with the other one
    covered, and so on: what is refused alone is added to `refused`, and no request shows it again.
    """
    stated: dict[Chunk, list[Fact]] = {}
    parts = units
    while parts:
        replies, problems = ask_to_read(work, parts, units, roles)
        halves = []
        for part, reply, problem in zip(parts, replies, problems, strict=True):
            chunk, middle = part[0].chunk, len(part) // 2
            if reply is not None:
                stated.setdefault(chunk, []).extend(take_in(work, part, reply, roles, reading))
            elif middle and problem:
                halves += [part[:middle], part[middle:]]
            elif problem:
                refused.add((chunk, part[0].start))
                chunk.withheld.append((part[0].start, part[0].end))
                work.drop("read", REFUSED, part[0].quote, part[0])
        parts = halves
    for chunk in (unit[0].chunk for unit in units):
        reading.themes.setdefault(chunk, chunk.title or chunk.file_name)
        reading.roles.setdefault(chunk, [])
        reading.names.setdefault(chunk, [])
    return stated


def ask_to_read(work: Work, parts: list[list[Fact]], units: list[list[Fact]], roles: int) -> tuple[list, list[bool]]:
    """The replies to the requests to read these parts of units, and which of them were refused for what they show."""
    sentences = {unit[0].chunk: unit for unit in units}
    requests, refused = [], [False] * len(parts)
    for part in parts:
        chunk, shown = part[0].chunk, {item.start for item in part}
        others = [(item.start, item.end) for item in sentences[chunk] if item.start not in shown]
        prompts = work.prompts[chunk.language]
        requests.append(prompts.conversation("read", **document_of(part, others), roles=max(1, roles)))

    def on_error(number: int, error: str) -> None:
        refused[number] = concerns_content(error)

    schemas, chunks = [reading_schema(part, roles) for part in parts], [part[0].chunk for part in parts]
    replies = work.ask_json("read", requests, LONGEST_READING, schemas, chunks, on_error=on_error)
    return replies, refused


def take_in(work: Work, part: list[Fact], told: dict, roles: int, reading: Reading) -> list[Fact]:
    """The facts of a reply about a chunk or a part of it; its theme, names and roles are put into `reading`."""
    chunk = part[0].chunk
    names = [name for name in unique(told.get("names", ())) if name in chunk.text]
    reading.themes.setdefault(chunk, one_line(told.get("theme", "")) or chunk.title or chunk.file_name)
    reading.roles[chunk] = unique([*reading.roles.get(chunk, []), *told.get("roles", ())])[:roles]
    reading.names[chunk] = unique([*reading.names.get(chunk, []), *names])
    facts = [to_fact(work, part, fact["fact"], fact["sentences"]) for fact in told.get("facts", ())]
    return [fact for fact in facts if fact]


def document_of(unit: list[Fact], without: Sequence[Span] = ()) -> dict[str, str]:
    """What a request about the sentences of a chunk shows: its title, its text with the sentences numbered, its language."""
    chunk = unit[0].chunk
    return {
        "title": chunk.heading,
        "text": numbered_text(chunk, unit, without),
        "language": name_of_language(chunk.text_language, chunk.language),
    }


def reading_schema(unit: list[Fact], roles: int) -> dict:
    """The JSON schema of a reply of the first wave, with room for more facts than any text has."""
    sentences, characters = len(unit), sum(item.end - item.start for item in unit)
    short = {"type": "string", "minLength": 1, "maxLength": 100}
    numbers = {"type": "array", "items": {"enum": list(range(1, sentences + 1))}, "minItems": 1}
    fact = an_object(
        fact={"type": "string", "minLength": 4, "maxLength": LONGEST_FACT},
        sentences={**numbers, "maxItems": MAX_QUOTES * MAX_SENTENCES_A_QUOTE},
    )
    return an_object(
        theme={"type": "string", "maxLength": 120},
        names={"type": "array", "items": short, "maxItems": MOST_NAMES},
        roles={"type": "array", "items": short, "maxItems": max(1, roles)},
        facts={"type": "array", "items": fact, "maxItems": 2 * sentences + characters // SHORTEST_FACT},
    )


def to_fact(work: Work, unit: list[Fact], text: str, numbers: list[int], step: str = "read") -> Fact | None:
    """A stated fact with its quotes; None if it has a number that its chunk does not have."""
    chunk, text = unit[0].chunk, one_line(text)
    (start, end), *more = quotes_of(chunk, unit, numbers)
    fact = replace(unit[0], text=text, start=start, end=end, lead_in="", more=tuple(more))
    lead_ins = " ".join(item.lead_in for item in unit)
    if invented_numbers(text, f"{chunk.heading} {lead_ins} {chunk.text}"):
        work.drop(step, "a number that its chunk does not have", text, fact)
        return None
    return fact


def uncovered(unit: list[Fact], facts: list[Fact]) -> list[Fact]:
    """The sentences of a unit that no quote of the facts covers."""
    spans = {span for fact in facts for span in fact.spans}
    return [item for item in unit if not any(start <= item.start and item.end <= end for start, end in spans)]


def read_rest(work: Work, rest: list[list[Fact]], nothing: set[tuple[Chunk, int]]) -> list[Fact]:
    """The facts of the sentences, some of a chunk each, that the first request left out.

    What the model calls a heading, a greeting and the like is dropped under that name, and added to `nothing`.
    """
    requests = [work.prompts[left[0].chunk.language].conversation("rest", **document_of(left)) for left in rest]
    schemas, chunks, found = [rest_schema(len(left)) for left in rest], [left[0].chunk for left in rest], []
    for left, reply in zip(rest, work.ask_json("rest", requests, LONGEST_REST, schemas, chunks), strict=True):
        for told in reply or ():
            item = left[told["sentence"] - 1]
            facts = [to_fact(work, left, text, [told["sentence"]], "rest") for text in told["facts"]]
            if told["nothing"] and not facts and (item.chunk, item.start) not in nothing:
                nothing.add((item.chunk, item.start))
                work.drop("rest", f"{STATES_NOTHING}: {told['nothing']}", item.quote, item)
            found += [fact for fact in facts if fact]
    return found


def rest_schema(sentences: int) -> dict:
    told = an_object(
        sentence={"enum": list(range(1, sentences + 1))},
        nothing={"enum": ["", *NOTHING]},
        facts={"type": "array", "items": {"type": "string", "minLength": 4, "maxLength": LONGEST_FACT}, "maxItems": 3},
    )
    return {"type": "array", "items": told, "minItems": sentences, "maxItems": sentences}


def keep_new(work: Work, facts: list[Fact], theme: str) -> list[Fact]:
    """The facts of a chunk without copies of any before, in the order of their quotes.

    One word can turn a long fact round ("not", 不, "nine" for "three"), so a near copy is dropped only if it has the same words.
    """
    kept = []
    for fact in sorted(facts, key=lambda fact: (fact.start, fact.end)):
        if work.kept_texts["facts"].is_new(fact.text, words_in_order(fact.text)):
            kept.append(replace(fact, theme=theme))
        else:
            work.drop("facts", "near copy", fact.text, fact)
    return kept


def words_in_order(text: str) -> tuple[str, ...]:
    """All that is written between spaces, without case, typography, the marks around it and English articles."""
    found = (word.strip(MARKS) for word in fold(text).split())
    return tuple(word for word in found if word and word not in ARTICLES)


def one_line(text: str) -> str:
    return " ".join(text.split())


def unique(texts) -> list[str]:
    return list(dict.fromkeys(filter(None, map(one_line, texts))))
