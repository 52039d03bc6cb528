"""Facts that a newer document contradicts: found by rule, decided by the model with both quotes before it, and no longer trained.

    candidates = to_judge(records, run, before)     # for data_processor/contradictions.py, whose verdicts come back
    pairs = find_superseded(records, run, before, Sources(documents, "my_texts"), verdicts)
    write_json(folder / FILE, pairs)                # for the report and the reader
    supersede(records, pairs, run)                  # into the ledger
    take_out(folder, records)                       # out of data.json and data.test.json

A pair is {"old", "new": {"id", "text", "quote", "file_name", "value"}, "newer": the file of the new one or null, "known_by": how
that is known, "decided_by": "model", "rule" or null, "thing": what both tell of, if the model said it, "undecided": why, if
nobody decided}. Where it cannot be told which of two is newer, or whether they contradict one another, both stay in
training, and the pair is listed all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from data_processor.contradictions import CONTRADICTS, UNCLEAR
from data_processor.documents import Document
from data_processor.languages import detect_language
from days.candidates import Rival, find_rivals
from days.dates import dated
from days.ledger import Records, mark_gone

FILE = "superseded.json"
MOST_JUDGED = 200  # pairs that the model is asked about: some minutes of a day
MODEL_UNSURE = "the model cannot tell"
NOT_ASKED = "the model was not asked"
# Files copied together, or checked out, are saved within a short time of one another: that says nothing of their age.
SAVED_APART = timedelta(hours=1)
# How it is known which of two is newer.
ONLY_ONE_LEFT, AS_TOLD, BY_DATE, BY_SAVING = (
    "only one is still in the folder",
    "--newer",
    "their dates",
    "when they were saved",
)

log = logging.getLogger(__name__)


class Sources:
    """What is known of the age of the documents of a folder. `newer`: files that replace all others, the newest last."""

    def __init__(self, documents: Iterable[Document], folder: str | Path, newer: Sequence[str] = ()):
        self.newer = list(newer)
        self.dates: dict[str, date | None] = {}
        self.saved: dict[str, datetime] = {}
        for document in documents:
            language = detect_language(document.text)
            self.dates[document.file_name] = dated(document.file_name, document.text, language, document.metadata)
            self.saved[document.file_name] = datetime.fromtimestamp((Path(folder) / document.file_name).stat().st_mtime)

    def newer_of(self, first: str, second: str) -> tuple[str | None, str | None]:
        """Which of two files is newer and how that is known; None, None if it cannot be told."""
        ranks = [self.newer.index(name) if name in self.newer else -1 for name in (first, second)]
        if ranks[0] != ranks[1]:
            return (first if ranks[0] > ranks[1] else second), AS_TOLD
        dates = [self.dates.get(name) for name in (first, second)]
        if None not in dates and dates[0] != dates[1]:
            return (first if dates[0] > dates[1] else second), BY_DATE
        saved = [self.saved.get(name) for name in (first, second)]
        if None not in saved and abs(saved[0] - saved[1]) >= SAVED_APART:
            return (first if saved[0] > saved[1] else second), BY_SAVING
        return None, None


def find_superseded(
    records: Records, run: str, before: str | None, sources: Sources, verdicts: Mapping[str, dict] | None = None
) -> list[dict]:
    """The pairs of facts that contradict one another, one of them stated in this `run` and not in the one `before` it.

    Two facts that a file states together do not count: it is the file's to say which of them holds when. `verdicts` are the
    model's, by the id of a pair, {} where it was not asked, on those that it was to be shown, as no rule is sure of them:
    one without a clear verdict is undecided. Pairs that were to be shown to nobody are only counted.
    """
    facts, rivals = rivals_of_run(records, run, before)
    pairs, unseen = [], 0
    for rival in rivals:
        told = (verdicts or {}).get(pair_id(facts, rival))
        if rival.is_sure:
            pairs.append(to_pair(facts, rival, run, sources, decided_by="rule"))
        elif told is None:
            unseen += 1
        elif told.get("verdict") == CONTRADICTS:
            pairs.append(to_pair(facts, rival, run, sources, decided_by="model", thing=told["thing"]))
        elif told.get("verdict", UNCLEAR) == UNCLEAR:
            why = MODEL_UNSURE if "verdict" in told else told.get("error", NOT_ASKED)
            pairs.append(to_pair(facts, rival, run, sources, decided_by=None, undecided=why))
    if unseen:
        log.info("%d pairs of facts might contradict one another: no rule is sure, and no model was asked", unseen)
    return pairs


def to_judge(records: Records, run: str, before: str | None) -> list[dict]:
    """The pairs for CANDIDATES, which no rule is sure of: the MOST_JUDGED that are most alike."""
    facts, rivals = rivals_of_run(records, run, before)
    unsure = sorted((rival for rival in rivals if not rival.is_sure), key=lambda rival: -rival.alike)
    return [to_candidate(facts, rival) for rival in unsure[:MOST_JUDGED]]


def rivals_of_run(records: Records, run: str, before: str | None) -> tuple[list[dict], list[Rival]]:
    """The facts that count, and the pairs of them, by position, that may contradict one another."""
    facts = [record for record in records.values() if run in record["runs"] or not record["superseded_by"]]
    fresh = {number for number, record in enumerate(facts) if run in record["runs"] and before not in record["runs"]}
    rivals = [rival for rival in find_rivals(facts, fresh) if may_replace(facts[rival.first], facts[rival.second], run)]
    return facts, rivals


def may_replace(one: dict, other: dict, run: str) -> bool:
    """Whether one of two facts may take the place of the other: one is stated now, and not both in one file."""
    stated = [run in record["runs"] for record in (one, other)]
    return any(stated) and not (all(stated) and one["file_name"] == other["file_name"])


def pair_id(facts: Sequence[dict], rival: Rival) -> str:
    """The same for two facts in whatever order."""
    return "+".join(sorted((facts[rival.first]["id"], facts[rival.second]["id"])))


def to_candidate(facts: Sequence[dict], rival: Rival) -> dict:
    first, second = (
        {"fact": fact["text"], "quote": quote_of(fact), "file_name": fact["file_name"]}
        for fact in (facts[rival.first], facts[rival.second])
    )
    return {"id": pair_id(facts, rival), "file_name": second["file_name"], "first": first, "second": second}


def quote_of(record: dict) -> str:
    return " ... ".join(record["quotes"]) or record["text"]


def to_pair(facts: Sequence[dict], rival: Rival, run: str, sources: Sources, **decision: str | None) -> dict:
    """A pair for the file, the older fact first; with "newer" null the order says nothing."""
    sides = [
        {
            "id": fact["id"],
            "text": fact["text"],
            "quote": quote_of(fact),
            "file_name": fact["file_name"],
            "value": value,
        }
        for fact, value in zip((facts[rival.first], facts[rival.second]), rival.values, strict=True)
    ]
    stated = [run in facts[number]["runs"] for number in (rival.first, rival.second)]
    newer, known_by = sources.newer_of(*(side["file_name"] for side in sides))
    if not all(stated):
        newer, known_by = sides[stated.index(True)]["file_name"], ONLY_ONE_LEFT
    old_first = newer != sides[0]["file_name"] if all(stated) else stated[1]
    old, new = sides if old_first else sides[::-1]
    return {"old": old, "new": new, "newer": newer, "known_by": known_by, **decision}


def supersede(records: Records, pairs: Iterable[dict], run: str) -> None:
    """Say in the ledger which facts are superseded by which, as far as a pair is decided and it is known which is newer."""
    for pair in pairs:
        if pair["newer"] and pair["decided_by"]:
            old, new = (records[pair[side]["id"]] for side in ("old", "new"))
            new["superseded_by"] = [one for one in new["superseded_by"] if one != old["id"]]
            old["superseded_by"] = list(dict.fromkeys([*old["superseded_by"], new["id"]]))
    mark_gone(records, run)
