"""Collection to a time budget: rounds that are each whole, of units spread evenly over the documents.

What is done with a unit, up to UNIT_SENTENCES neighbouring sentences of a chunk, is in pipeline.py. A round takes the next few
from facts through questions to rewrites; once all units have that, a round asks their questions again in the words of a
role. It is begun only if the measured time of a unit says that it fits, and what it made is taken only if it ends (of the
first, without which there is no dataset, also facts and questions whose rewrites have no time). Which units are next does
not depend on the time, and the sizes of the rounds are in a journal: a run that was killed makes the same rounds again,
from the replies it has, and goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from budget.asking import SLACK, even_order, next_round_size
from budget.clock import WRITING_S, Clock, Stopped, format_duration
from budget.forecast import LATER_COST
from data_processor import pipeline
from data_processor.chunking import Chunk
from data_processor.curation import spans
from data_processor.facts import Fact
from data_processor.pairs import Pair
from data_processor.pipeline import Collected, by_unit, units_of
from data_processor.work import Work
from engines.journal import JournaledEngine, append_line, read_journal
from utils import InputError

FIRST_UNITS = 16  # of the first round at most: it is there to measure
MADE_BY = (  # the arguments that decide what the rounds ask
    "seed", "limit", "language", "guard", "verify", "context_sentences", "qa_amount_per_fact", "role_amount_per_fact",
    "unknown_amount_per_chunk", "test_ratio",
)  # fmt: skip
PARTS = {"theme": "theme", "questions": "call"}  # by step, what is measured within a round: the seconds of one call

log = logging.getLogger(__name__)


class Watch:
    """Seconds since it was made, as if the replies that came from the journal had been asked for as well."""

    def __init__(self, engine: JournaledEngine):
        self.engine, self.asked, self.reused, self.started = engine, engine.asked, engine.reused, time.monotonic()

    @property
    def calls(self) -> int:
        return self.engine.asked + self.engine.reused - self.asked - self.reused

    @property
    def seconds(self) -> float | None:
        """None where all came from the journal."""
        asked = self.engine.asked - self.asked
        return (time.monotonic() - self.started) * self.calls / asked if asked else None


def evenly(units: list[list[Fact]]) -> list[list[Fact]]:
    """The units in the order they are taken: even over the documents, and over each from its begin to its end."""
    return [units[place] for place in even_order([unit[0].chunk.file_name for unit in units])]


def to_ask_for(unit: list[Fact]) -> int:
    """The names and numbers of its sentences, one at least of each: what a unit costs and gives goes by these."""
    return sum(max(1, len(spans(item.quote, item.chunk.text))) for item in unit)


class Rounds:
    """The rounds of one collection: what is next, what it cost, and the journal of both."""

    def __init__(self, work: Work, chunks: list[Chunk], arguments, clock: Clock, path: Path):
        self.work, self.chunks, self.arguments, self.clock, self.path = work, chunks, arguments, clock, path
        self.engine: JournaledEngine = work.engine
        self.units = evenly(units_of(chunks, arguments.limit))
        self.weights = [to_ask_for(unit) for unit in self.units]
        self.made = Collected()
        self.done = {"facts": 0, "unknown": 0, "roles": 0}  # units, by kind of round
        self.questions: list[list[Pair]] = []  # of each unit that has facts: what roles ask again
        self.identity = identity_of(self.units, arguments, self.engine)
        self.recorded: dict[tuple[str, int], dict] = {}
        read_journal(path, self._take, "a journal of rounds")
        # Seconds: "facts" for one thing to ask for, "theme" for a chunk, "call" for a question, "unknown" in all, "roles" a unit.
        self.costs: dict[str, float] = {}
        self.fact_rounds: list[float] = []  # the seconds of each
        self.kept_back = WRITING_S
        self.so_far: Collected | None = None  # of the round under way, before its rewrites

    def _take(self, line: dict) -> None:
        if line["of"] == self.identity:
            self.recorded[line["kind"], line["start"]] = line

    def run(self, assemble: Callable[[Collected], object], most: int | None) -> Collected:
        """All rounds that fit, at most `most`; `assemble` puts the rows together, to see how long that takes."""
        first = self.recorded.get(("facts", 0), {})
        if not first.get("rewrites", True) and self.clock.left() > first["seconds"]:  # there was no time for them then
            self.recorded["facts", 0] = {"size": first["size"]}
        kinds = (
            ("facts", len(self.units), self._facts),
            ("unknown", min(1, self.arguments.unknown_amount_per_chunk), self._unknown),
            ("roles", len(self.units) * self.arguments.role_amount_per_fact, self._roles),
        )
        count = 0
        for kind, total, make in kinds:
            facts = self.done["facts"]
            if (kind != "facts" and not facts) or (kind == "roles" and facts < len(self.units)):
                break
            while self.done[kind] < total and count != most:
                size = self._size(kind, total - self.done[kind])
                if not size or not self._round(kind, size, make):
                    break
                count += 1
                if count == 1:
                    self.kept_back = WRITING_S + self._seconds_to_assemble(assemble)
        if not self.done["facts"]:
            raise InputError(
                f"expected a time budget in which the first {self._first()} units of sentences are done, found "
                f"{self.clock.seconds:.0f} s: give more"
            )
        return self.made

    def _seconds_to_assemble(self, assemble: Callable[[Collected], object]) -> float:
        """For all units that there will be time for, by those of the first round."""
        assemble(self.made)  # once unmeasured: it imports
        started = time.monotonic()
        assemble(self.made)
        seconds, done = time.monotonic() - started, self.done["facts"]
        expected = min(len(self.units), done + max(0.0, self.clock.left()) / max(self._cost("facts"), 1e-6))
        return SLACK * seconds * expected / done

    def _first(self) -> int:
        return min(FIRST_UNITS, max(1, len({chunk.file_name for chunk in self.chunks})), len(self.units))

    def _size(self, kind: str, left: int) -> int:
        """The units of the next round: as recorded where it was begun before, if it still fits."""
        recorded = self.recorded.get((kind, self.done[kind]), {})
        if "seconds" in recorded:
            return recorded["size"]
        size = next_round_size(left, self._first(), self._cost(kind), self.clock.left() - self.kept_back)
        return min(recorded["size"], 2 * size) if recorded else size

    def _cost(self, kind: str) -> float | None:
        """Seconds a unit of those left: as measured, or for the first round of a kind by the calls it will make."""
        if kind == "facts":
            left = max(1, len(self.units) - self.done["facts"])
            return self._facts_left() / left if "facts" in self.costs else None
        if kind in self.costs:
            return self.costs[kind]
        return self.costs["call"] * (self._role_calls() if kind == "roles" else self._unknown_calls())

    def _facts_left(self) -> float:
        """Seconds, themes included."""
        done = self.done["facts"]
        chunks = {unit[0].chunk for unit in self.units[done:]} - self.made.themes.keys()
        return self.costs["facts"] * sum(self.weights[done:]) + self.costs.get("theme", 0.0) * len(chunks)

    def _expected(self, left: float) -> float:
        """Of seconds left at the cost of the last round. Rounds are sized without it: one too large would be lost."""
        only_first = len(self.fact_rounds) == 1 and "roles" not in self.costs
        return LATER_COST * left if only_first and self.engine.largest_wave != 1 else left

    def _unknown_calls(self) -> int:
        return self.work.questions.UNKNOWN_CALLS * len(self.made.themes)

    def _role_calls(self) -> float:
        """Of a unit, for one role."""
        pairs = [pair for own in self.questions for pair in own]
        return self.work.questions.calls_of_a_role(pairs) / max(self._share_read() * len(self.units), 1e-9)

    def _share_read(self) -> float:
        return sum(self.weights[: self.done["facts"]]) / sum(self.weights)

    def _round(self, kind: str, size: int, make: Callable[[int, int], Collected]) -> bool:
        """One round; False where it was stopped, and left no trace but replies in the journal."""
        start = self.done[kind]
        recorded = self.recorded.get((kind, start), {})
        line = {"of": self.identity, "kind": kind, "start": start, "size": size}
        if not recorded:
            append_line(self.path, line)
        drops, watch, seconds = len(self.work.dropped), Watch(self.engine), recorded.get("seconds")
        try:  # what was whole before is in the journal of replies, whatever the time is now
            with self.clock.interruptible(self.kept_back) if seconds is None else contextlib.nullcontext():
                part = make(start, size)
        except Stopped:
            if self.so_far is None or self.done["facts"]:
                del self.work.dropped[drops:]
                return False
            part, line["rewrites"] = self.so_far, False  # without the first round there would be no dataset
            log.info("the time ended in the first rewrites: its facts and questions are taken without")
        if seconds is None:
            seconds = watch.seconds or size * (self._cost(kind) or 0.0)
            parts = {name: round(self.costs[name], 4) for name in PARTS.values() if name in self.costs}
            append_line(self.path, {**line, "seconds": round(seconds, 3), "parts": parts})
        self.costs |= recorded.get("parts", {})
        if kind == "facts":
            new = {unit[0].chunk for unit in self.units[start : start + size]} - self.made.themes.keys()
            without_themes = max(0.0, seconds - self.costs.get("theme", 0.0) * len(new))
            self.fact_rounds.append(seconds)
            self.costs["facts"] = without_themes / sum(self.weights[start : start + size])
            self.costs.setdefault("call", seconds / max(watch.calls, 1))
            self.questions += by_unit(part.pairs, self.units[start : start + size])
        else:
            self.costs[kind] = seconds / size
        self.made.add(part)
        self.done[kind] += size
        self._say(kind, size, seconds)
        return True

    def _say(self, kind: str, size: int, seconds: float) -> None:
        done, units, roles = self.done, len(self.units), self.arguments.role_amount_per_fact
        left = self._facts_left()
        if roles:
            left += (units * roles - done["roles"]) * self._cost("roles")
        left = self._expected(left)
        words = f"{size} units of {kind} in {seconds:.0f} s; {done['facts']} of {units} units have facts"
        words += f", {done['roles']} of {units * roles} a role" if done["roles"] else ""
        words += f"; all of the rest would take {format_duration(left)}" if left else ""
        spent = (now := time.time()) - self.clock.started
        self.clock.report_progress(spent / (spent + min(left, self.clock.left())), now + left + self.kept_back, words)

    def _facts(self, start: int, size: int) -> Collected:
        watch = Watch(self.engine)

        def after(step: str) -> None:
            nonlocal watch
            if step in PARTS and watch.seconds is not None:
                self.costs[PARTS[step]] = watch.seconds / watch.calls
            watch = Watch(self.engine)

        self.so_far = pipeline.read(self.work, self.made, self.units[start : start + size], self.arguments, after)
        if not self.recorded.get(("facts", start), {}).get("rewrites", True):
            return self.so_far
        return replace(self.so_far, passages=pipeline.retell(self.work, self.so_far))

    def _unknown(self, start: int, size: int) -> Collected:
        return pipeline.ask_without_answer(self.work, self.made, self.chunks, self.arguments)

    def _roles(self, start: int, size: int) -> Collected:
        """Units in turn for the first role, then for the next."""
        units, part = len(self.units), Collected(themes=self.made.themes, roles=dict(self.made.roles))
        for role in range(start // units, (start + size - 1) // units + 1):
            first, last = max(start, role * units), min(start + size, (role + 1) * units)
            pairs = [pair for number in range(first, last) for pair in self.questions[number % units]]
            part.add(pipeline.ask_in_roles(self.work, part, pairs, self.arguments, slice(role, role + 1)))
        return part

    def coverage(self) -> dict:
        """What was done of what, and what was left out: the fields of CollectionTime, but for the start."""
        done, roles, units = self.done, self.arguments.role_amount_per_fact, len(self.units)
        covered = {unit[0].chunk.file_name for unit in self.units[: done["facts"]]}
        documents = {chunk.file_name for chunk in self.chunks}
        return {
            "seconds": round(self.clock.seconds, 1),
            "documents": len(documents),
            "documents_covered": len(covered),
            "units": units,
            "units_done": done["facts"],
            "sentences": sum(map(len, self.units)),
            "sentences_read": sum(map(len, self.units[: done["facts"]])),
            "role_units": units * roles,
            "role_units_done": done["roles"],
            "unknown_asked": bool(done["unknown"]),
            "share_read": round(self._share_read(), 4),
            "seconds_of_all_facts": round(sum(self.fact_rounds) + self._expected(self._facts_left()), 1),
            "seconds_of_a_role": round(self._expected(self._cost("roles") * units), 1),
            "seconds_a_call": round(self.costs["call"], 4),
            "stopped_by_signal": self.clock.stopped_by,
        }


def identity_of(units: list[list[Fact]], arguments, engine: JournaledEngine) -> str:
    """What decides which units the rounds have and what is asked about them."""
    settings = [getattr(arguments, name) for name in MADE_BY]
    prompts = Path(arguments.prompts).read_text(encoding="utf-8") if arguments.prompts else None
    text = json.dumps([engine.identity, settings, prompts, [[item.quote for item in unit] for unit in units]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def in_words(coverage: dict) -> str:
    """What a budget left out."""
    counted = (
        ("sentences_read", "sentences", "sentences"),
        ("documents_covered", "documents", "documents whole"),
        ("role_units_done", "role_units", "wordings by role"),
    )
    words = [
        f"{coverage[whole] - coverage[done]} of {coverage[whole]} {what}"
        for done, whole, what in counted
        if coverage[done] < coverage[whole]
    ]
    return "left out for time: " + (", ".join(words) or "nothing")
