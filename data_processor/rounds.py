"""Collection under a time budget, in rounds of units spread evenly over the documents; a round counts only when complete.

pipeline.py says what is done with a unit, up to UNIT_SENTENCES neighbouring sentences of a chunk. A round takes the next few
units through facts, questions and rewrites; once all units have those, a round asks their questions again in a role. It
starts only if the measured time per unit says that it fits, and its results are kept only if it finishes. (Without the
first round there is no dataset, so its facts and questions are kept even if time runs out during its rewrites.) The order
of units does not depend on time, and round sizes are in a journal: a killed run repeats the same rounds from the replies it
has, then continues.
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
from data_processor.pairs import Fact, Pair
from data_processor.pipeline import Collected, group_by_unit, split_into_units
from data_processor.work import Work
from engines.journal import JournaledEngine, append_line, read_journal
from utils import InputError

MAX_FIRST_UNITS = 16  # in the first round, whose purpose is to measure
IDENTITY_ARGUMENTS = (  # those that decide what the rounds ask
    "seed", "limit", "language", "verify", "qa_amount_per_fact", "role_amount_per_fact",
    "unknown_amount_per_chunk", "test_ratio",
)  # fmt: skip
STEP_COSTS = {"theme": "theme", "questions": "call"}  # by step, the cost measured within a round: seconds per call

log = logging.getLogger(__name__)


class Stopwatch:
    """Seconds since its creation, extrapolated as if replies from the journal had been asked for as well."""

    def __init__(self, engine: JournaledEngine):
        self.engine, self.asked, self.reused, self.started = engine, engine.asked, engine.reused, time.monotonic()

    @property
    def calls(self) -> int:
        return self.engine.asked + self.engine.reused - self.asked - self.reused

    @property
    def seconds(self) -> float | None:
        """None if all replies came from the journal."""
        asked = self.engine.asked - self.asked
        return (time.monotonic() - self.started) * self.calls / asked if asked else None


def spread_evenly(units: list[list[Fact]]) -> list[list[Fact]]:
    """The units in processing order: even over the documents, and within each from beginning to end."""
    return [units[index] for index in even_order([unit[0].chunk.file_name for unit in units])]


class Rounds:
    """The rounds of one collection: what comes next, what it costs, and the journal of both."""

    def __init__(self, work: Work, chunks: list[Chunk], arguments, clock: Clock, path: Path):
        self.work, self.chunks, self.arguments, self.clock, self.path = work, chunks, arguments, clock, path
        self.engine: JournaledEngine = work.engine
        self.units = spread_evenly(split_into_units(work, chunks, arguments.limit))
        self.weights = [work.method.unit_weight(unit) for unit in self.units]
        self.collected = Collected()
        self.done = {"facts": 0, "unknown": 0, "roles": 0}  # units done, by kind of round
        self.questions: list[list[Pair]] = []  # for each unit with facts: what roles ask again
        self.identity = compute_identity(self.units, arguments, work)
        self.recorded: dict[tuple[str, int], dict] = {}
        read_journal(path, self._read_line, "a journal of rounds")
        # Seconds: "facts" per unit of weight, "theme" per chunk, "call" per question call, "unknown" in total, "roles" per unit.
        self.costs: dict[str, float] = {}
        self.fact_rounds: list[float] = []  # seconds of each
        self.reserved_seconds = WRITING_S
        self.before_rewrites: Collected | None = None  # of the current round, without its passages

    def _read_line(self, line: dict) -> None:
        if line["of"] == self.identity:
            self.recorded[line["kind"], line["start"]] = line

    def run(self, assemble: Callable[[Collected], object], max_rounds: int | None) -> Collected:
        """Run all rounds that fit, up to `max_rounds`. `assemble` puts rows together: it is timed, to reserve as much."""
        first = self.recorded.get(("facts", 0), {})
        if not first.get("rewrites", True) and self.clock.left() > first["seconds"]:  # had no time for rewrites
            self.recorded["facts", 0] = {"size": first["size"]}
        self.work.method.prepare(self.work, self.chunks)
        kinds = (
            ("facts", len(self.units), self._collect_facts),
            ("unknown", 1, self._ask_late),
            ("roles", len(self.units) * self.arguments.role_amount_per_fact, self._ask_roles),
        )
        count = 0
        for kind, total, collect in kinds:
            units_done = self.done["facts"]
            if (kind != "facts" and not units_done) or (kind == "roles" and units_done < len(self.units)):
                break
            while self.done[kind] < total and count != max_rounds:
                size = self._next_size(kind, total - self.done[kind])
                if not size or not self._run_round(kind, size, collect):
                    break
                count += 1
                if count == 1:
                    self.reserved_seconds = WRITING_S + self._seconds_to_assemble(assemble)
        if not self.done["facts"]:
            raise InputError(
                f"expected a time budget in which the first {self._first_size()} units of sentences can be finished, found "
                f"{self.clock.seconds:.0f} s: give more"
            )
        return self.collected

    def _seconds_to_assemble(self, assemble: Callable[[Collected], object]) -> float:
        """For all units that there will be time for, extrapolated from the first round."""
        assemble(self.collected)  # once untimed, for its imports
        started = time.monotonic()
        assemble(self.collected)
        seconds, done = time.monotonic() - started, self.done["facts"]
        expected = min(len(self.units), done + max(0.0, self.clock.left()) / max(self._unit_cost("facts"), 1e-6))
        return SLACK * seconds * expected / done

    def _first_size(self) -> int:
        return min(MAX_FIRST_UNITS, max(1, len({chunk.file_name for chunk in self.chunks})), len(self.units))

    def _next_size(self, kind: str, left: int) -> int:
        """Units in the next round: as recorded if it was started before and still fits."""
        recorded = self.recorded.get((kind, self.done[kind]), {})
        if "seconds" in recorded:
            return recorded["size"]
        size = next_round_size(
            left, self._first_size(), self._unit_cost(kind), self.clock.left() - self.reserved_seconds
        )
        return min(recorded["size"], 2 * size) if recorded else size

    def _unit_cost(self, kind: str) -> float | None:
        """Seconds per remaining unit: as measured, or for the first round of a kind from the calls it will make."""
        if kind == "facts":
            left = max(1, len(self.units) - self.done["facts"])
            return self._seconds_for_facts() / left if "facts" in self.costs else None
        if kind in self.costs:
            return self.costs[kind]
        return self.costs["call"] * (self._role_calls() if kind == "roles" else self._late_calls())

    def _seconds_for_facts(self) -> float:
        """Expected seconds for the facts of all remaining units, including themes."""
        done = self.done["facts"]
        chunks = {unit[0].chunk for unit in self.units[done:]} - self.collected.themes.keys()
        return self.costs["facts"] * sum(self.weights[done:]) + self.costs.get("theme", 0.0) * len(chunks)

    def _expected_seconds(self, left: float) -> float:
        """Of `left` seconds at the last round's cost, those expected. Not used to size rounds: one too large is lost."""
        only_first = len(self.fact_rounds) == 1 and "roles" not in self.costs
        return LATER_COST * left if only_first and self.engine.largest_wave != 1 else left

    def _late_calls(self) -> int:
        return self.work.method.late_calls(len(self.collected.themes), self.work.verify)

    def _role_calls(self) -> float:
        """Per unit, for one role."""
        pairs = [pair for unit_pairs in self.questions for pair in unit_pairs]
        return self.work.method.calls_per_role(pairs) / max(self._share_read() * len(self.units), 1e-9)

    def _share_read(self) -> float:
        return sum(self.weights[: self.done["facts"]]) / sum(self.weights)

    def _run_round(self, kind: str, size: int, collect: Callable[[int, int], Collected]) -> bool:
        """Run one round; False if it was stopped, leaving no trace but replies in the journal."""
        start = self.done[kind]
        recorded = self.recorded.get((kind, start), {})
        line = {"of": self.identity, "kind": kind, "start": start, "size": size}
        if not recorded:
            append_line(self.path, line)
        dropped_before, stopwatch, seconds = len(self.work.dropped), Stopwatch(self.engine), recorded.get("seconds")
        try:  # a round completed before is replayed from the journal of replies, however little time is left
            with self.clock.interruptible(self.reserved_seconds) if seconds is None else contextlib.nullcontext():
                part = collect(start, size)
        except Stopped:
            if self.before_rewrites is None or self.done["facts"]:
                del self.work.dropped[dropped_before:]
                return False
            part, line["rewrites"] = self.before_rewrites, False  # without the first round there would be no dataset
            log.info("time ran out during the first rewrites: the facts and questions are kept without them")
        if seconds is None:
            seconds = stopwatch.seconds or size * (self._unit_cost(kind) or 0.0)
            call_costs = {name: round(self.costs[name], 4) for name in STEP_COSTS.values() if name in self.costs}
            append_line(self.path, {**line, "seconds": round(seconds, 3), "parts": call_costs})
        self.costs |= recorded.get("parts", {})
        if kind == "facts":
            new_chunks = {unit[0].chunk for unit in self.units[start : start + size]} - self.collected.themes.keys()
            without_themes = max(0.0, seconds - self.costs.get("theme", 0.0) * len(new_chunks))
            self.fact_rounds.append(seconds)
            self.costs["facts"] = without_themes / sum(self.weights[start : start + size])
            self.costs.setdefault("call", seconds / max(stopwatch.calls, 1))
            self.questions += group_by_unit(part.pairs, self.units[start : start + size])
        else:
            self.costs[kind] = seconds / size
        self.collected.add(part)
        self.done[kind] += size
        self._report_progress(kind, size, seconds)
        return True

    def _report_progress(self, kind: str, size: int, seconds: float) -> None:
        done, units, roles = self.done, len(self.units), self.arguments.role_amount_per_fact
        left = self._seconds_for_facts()
        if roles:
            left += (units * roles - done["roles"]) * self._unit_cost("roles")
        left = self._expected_seconds(left)
        message = f"{size} units of {kind} in {seconds:.0f} s; {done['facts']} of {units} units have facts"
        message += f", {done['roles']} of {units * roles} have a role" if done["roles"] else ""
        message += f"; the rest would take {format_duration(left)}" if left else ""
        spent = (now := time.time()) - self.clock.started
        self.clock.report_progress(
            spent / (spent + min(left, self.clock.left())), now + left + self.reserved_seconds, message
        )

    def _collect_facts(self, start: int, size: int) -> Collected:
        stopwatch = Stopwatch(self.engine)

        def measure(step: str) -> None:
            nonlocal stopwatch
            if step in STEP_COSTS and stopwatch.seconds is not None:
                self.costs[STEP_COSTS[step]] = stopwatch.seconds / stopwatch.calls
            stopwatch = Stopwatch(self.engine)

        units = self.units[start : start + size]
        self.before_rewrites = pipeline.collect_units(self.work, self.collected, units, self.arguments, measure)
        if not self.recorded.get(("facts", start), {}).get("rewrites", True):
            return self.before_rewrites
        held_before = self.collected.held_facts
        texts = pipeline.write_texts(self.work, self.before_rewrites, units, self.arguments, held_before)
        return replace(self.before_rewrites, texts=texts)

    def _ask_late(self, start: int, size: int) -> Collected:
        return pipeline.ask_late(self.work, self.collected, self.chunks, self.arguments)

    def _ask_roles(self, start: int, size: int) -> Collected:
        """All units in turn for the first role, then for the next."""
        units, part = len(self.units), Collected(themes=self.collected.themes, roles=dict(self.collected.roles))
        for role in range(start // units, (start + size - 1) // units + 1):
            first, last = max(start, role * units), min(start + size, (role + 1) * units)
            pairs = [pair for number in range(first, last) for pair in self.questions[number % units]]
            part.add(pipeline.ask_in_roles(self.work, part, pairs, self.arguments, slice(role, role + 1)))
        return part

    def coverage(self) -> dict:
        """How much was done and left out: the fields of CollectionTime except seconds_to_start."""
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
            "seconds_of_all_facts": round(sum(self.fact_rounds) + self._expected_seconds(self._seconds_for_facts()), 3),
            "seconds_of_a_role": round(self._expected_seconds(self._unit_cost("roles") * units), 3),
            "seconds_a_call": round(self.costs["call"], 4),
            "stopped_by_signal": self.clock.stopped_by,
        }


def compute_identity(units: list[list[Fact]], arguments, work: Work) -> str:
    """A hash of everything that decides which units the rounds have and what is asked about them."""
    settings = [work.method.__name__, *(getattr(arguments, name) for name in IDENTITY_ARGUMENTS)]
    prompts = Path(arguments.prompts).read_text(encoding="utf-8") if arguments.prompts else None
    text = json.dumps([work.engine.identity, settings, prompts, [[item.quote for item in unit] for unit in units]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_left_out(coverage: dict) -> str:
    """A line saying what the budget left out."""
    counts = (
        ("sentences_read", "sentences", "sentences"),
        ("documents_covered", "documents", "whole documents"),
        ("role_units_done", "role_units", "wordings by role"),
    )
    parts = [
        f"{coverage[total] - coverage[done]} of {coverage[total]} {name}"
        for done, total, name in counts
        if coverage[done] < coverage[total]
    ]
    return "left out for lack of time: " + (", ".join(parts) or "nothing")
