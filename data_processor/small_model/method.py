"""The steps of the method for a model that cannot be trusted to read or to judge: the names of data_processor/method.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from data_processor.chunking import Chunk
from data_processor.curation import find_spans
from data_processor.facts import Reading
from data_processor.pairs import Fact, Pair
from data_processor.small_model.facts import find_facts, find_themes, names_to_ask_by, rewrite_facts
from data_processor.small_model.questions import ask_questions, ask_unknown
from data_processor.work import Work

__all__ = ["ask_questions", "names_to_ask_by"]

UNIT_SENTENCES = 3  # equal to the number of facts in a rewrite
FACTS_ARE_TEXTS = True
WAVES = {"rules": (("theme",), ("facts",), ("rewrites",))}
PROMPTS = Path(__file__).parent / "prompts"
CAN_JUDGE = False  # whether what it says of two facts decides anything


def prepare(work: Work, chunks: list[Chunk]) -> None:
    """Nothing: a small model cannot translate."""


def unit_weight(unit: list[Fact]) -> int:
    """Names and numbers in its sentences, at least one per sentence: a unit's cost and yield are proportional to it."""
    return sum(max(1, len(find_spans(item.quote, item.chunk.text))) for item in unit)


def read_units(
    work: Work, units: list[list[Fact]], themes: dict[Chunk, str], roles: int, on_step_end: Callable[[str], None]
) -> Reading:
    """The facts of units of a few sentences each, and the themes of the chunks that are not in `themes` yet."""
    chunks = [chunk for chunk in dict.fromkeys(unit[0].chunk for unit in units) if chunk not in themes]
    found = dict(zip(chunks, find_themes(work, chunks), strict=True))
    on_step_end("theme")
    known = themes | found
    facts = find_facts(work, [replace(item, theme=known[item.chunk]) for unit in units for item in unit])
    return Reading(facts, found)


def find_roles(work: Work, chunks: list[Chunk], themes: list[str], amount: int) -> dict[Chunk, list[str]]:
    """None: of what a small model asks as somebody else, hardly anything is right."""
    return {}


def diversify(work: Work, pairs: list[Pair], roles: dict[Chunk, list[str]]) -> list[Pair]:
    """None, as there are no roles."""
    return []


def calls_per_role(pairs: list[Pair]) -> int:
    return 0


def pairs_per_role(pairs: list[Pair]) -> int:
    return 0


def write_texts(
    work: Work, units: list[list[Fact]], facts: list[Fact], held: list[Fact], names: dict[Chunk, list[str]], arguments
) -> list[tuple[Fact, str, str]]:
    """(first fact, style, text) of each rewrite of a few facts, except those held out."""
    return rewrite_facts(work, facts)


def ask_late(
    work: Work, facts: list[Fact], names: list[str], read: list[Chunk], chunks: list[Chunk], amount: int
) -> list[Pair]:
    """`amount` stock questions for each chunk read, which none of `chunks`, those of all documents, answers."""
    return ask_unknown(work, read, amount, chunks) if amount else []


def drop_answered(work: Work, pairs: list[Pair], facts: list[Fact]) -> list[Pair]:
    """All of them: a stock question is asked only where its document has none of its words."""
    return pairs


def late_calls(chunks: int, verify: bool) -> int:
    """No call: the questions are stock questions."""
    return 0
