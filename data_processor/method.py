"""The steps of the method for a model that can read: what pipeline.py calls.

small_model/method.py has the same names for a model that cannot. Which of the two is used is chosen once, in arguments.py.
"""

from __future__ import annotations

from pathlib import Path

from data_processor.chunking import Chunk
from data_processor.facts import Reading, read_units
from data_processor.pairs import Fact, Pair
from data_processor.phrases import translate_phrases
from data_processor.questions import WORDINGS_A_REQUEST, ask_questions, ask_unknown, diversify
from data_processor.texts import names_to_ask_by, write_texts
from data_processor.two_facts import ask_two
from data_processor.unknown import drop_answered
from data_processor.work import Work

__all__ = ["Reading", "ask_questions", "diversify", "drop_answered", "names_to_ask_by", "read_units", "write_texts"]

UNIT_SENTENCES = None  # a unit of work is a whole chunk
FACTS_ARE_TEXTS = False  # the texts about a chunk say more than each fact by itself
WAVES = {  # by --verify: the steps that can be asked together, in turn, for a collection by batches
    "rules": (
        ("phrases", "read"),
        ("rest",),
        ("questions", "unknown", "two facts", "texts"),
        ("wordings", "unknown, check"),
    ),
    "llm": (
        ("phrases", "read"),
        ("rest",),
        ("facts, check",),
        ("questions", "unknown", "two facts", "texts"),
        ("questions, check", "unknown, check", "two facts, check"),
        ("questions, same", "two facts, same"),
        ("wordings",),
        ("wordings, check",),
        ("wordings, same",),
    ),
}
PROMPTS = Path(__file__).parent / "prompts"
CAN_JUDGE = True  # whether what it says of two facts decides anything


def prepare(work: Work, chunks: list[Chunk]) -> None:
    """What is needed before anything else: the dataset's own phrases in the languages of the documents."""
    translate_phrases(work, chunks)


def unit_weight(unit: list[Fact]) -> int:
    """What a unit's cost and yield are about proportional to: its sentences."""
    return len(unit)


def find_roles(work: Work, chunks: list[Chunk], themes: list[str], amount: int) -> dict[Chunk, list[str]]:
    """None more: the first wave names the roles of every chunk."""
    return {}


def ask_late(
    work: Work, facts: list[Fact], names: list[str], read: list[Chunk], chunks: list[Chunk], amount: int
) -> list[Pair]:
    """What is asked once all facts are known: `amount` questions without an answer a chunk read, and those on two facts."""
    unknown: list[Pair] = []
    with work.deferred():
        unknown = ask_unknown(work, read, amount) if amount else []
    return unknown + ask_two(work, facts, names)


def late_calls(chunks: int, verify: bool) -> int:
    """About how many calls `ask_late` makes for so many chunks."""
    return (4 if verify else 3) * chunks


def calls_per_role(pairs: list[Pair]) -> int:
    """The most calls that `diversify` makes for one role: a wording and its check for WORDINGS_A_REQUEST pairs."""
    return 2 * -(-len(pairs) // WORDINGS_A_REQUEST)


def pairs_per_role(pairs: list[Pair]) -> int:
    """The most pairs that `diversify` makes for one role."""
    return sum(pair.made_by == "model" for pair in pairs)
