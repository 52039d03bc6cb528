"""Rows of a run's dataset that say what is superseded, taken out of the training; and put back when it is valid again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from data_processor.curation import contains
from data_processor.dataset import question_and_reference, source_of
from data_processor.languages import identify
from data_processor.unknown import stems
from days.ledger import DATASET, TAKEN_OUT, TEST, Records, folded, key_of, key_of_record, read_rows
from utils import log_file, read_json, write_json

ORIGIN = "taken_from"  # of a row that was taken out: the file it was in
SAYS_IT = 0.5  # share of a fact's words in a text that also has its value: then it says the fact


def take_out(folder: str | Path, records: Records, pairs: Iterable[dict]) -> int:
    """Take the rows of superseded facts out of a run's data.json and data.test.json; returns how many are out.

    They are kept in log/data.superseded.json, from where those of a fact that is valid again go back: `records` decide,
    however often this is called, and a kill in between loses no row. `pairs` give the values by which a text that tells of
    several facts is known to tell of an old one.
    """
    folder = Path(folder)
    files = {name: folder / name for name in (DATASET, TEST) if (folder / name).exists()}
    kept_apart = log_file(folder / TAKEN_OUT)
    before = read_json(kept_apart, "rows taken out of a dataset") if kept_apart.exists() else []
    there = {name: read_rows(path) for name, path in files.items()}
    known = {identity(row) for rows in there.values() for row in rows}
    for row in before:
        if identity(row) not in known and row[ORIGIN] in there:
            there[row[ORIGIN]].append({key: value for key, value in row.items() if key != ORIGIN})
    says_old = Superseded(records, pairs)
    out = [{**row, ORIGIN: name} for name, rows in there.items() for row in rows if says_old(row)]
    if not out and not before:
        return 0
    held = {identity(row) for row in out}
    write_json(kept_apart, [*out, *(row for row in before if identity(row) not in held)])
    for name, path in files.items():
        write_json(path, [row for row in there[name] if not says_old(row)])
    write_json(kept_apart, out)
    return len(out)


def identity(row: dict) -> tuple[str, str, str]:
    """What tells a row from all others, whatever number a later collection gives it."""
    return key_of(row), *question_and_reference(row)


class Superseded:
    """Whether a row says something that is superseded."""

    def __init__(self, records: Records, pairs: Iterable[dict]):
        gone = {record["id"]: record for record in records.values() if record["gone"] == "superseded"}
        self.keys = {key_of_record(record) for record in gone.values()}
        self.quotes = {(record["file_name"], folded(quote)) for record in gone.values() for quote in record["quotes"]}
        self.values: dict[str, list[tuple[dict, str]]] = defaultdict(list)  # by file, under its name of today
        for old in (pair["old"] for pair in pairs):
            if old["id"] in gone:
                self.values[gone[old["id"]]["file_name"]].append((gone[old["id"]], old["value"]))

    def __call__(self, row: dict) -> bool:
        if row.get("kind") == "unknown":
            return False
        if key_of(row) in self.keys:
            return True
        file_name, source = row.get("file_name", ""), source_of(row)
        places = [(place.get("file_name", file_name), folded(place["quote"])) for place in source.get("more", ())]
        if row.get("form") == "two" and self.quotes & {*places}:
            return True
        return row.get("kind") == "passage" and any(
            says(question_and_reference(row)[1], *told) for told in self.values.get(file_name, ())
        )


def says(text: str, fact: dict, value: str) -> bool:
    """Whether a text that is no row of a fact tells it all the same: it has its value and most of its other words.

    A fact without a value, which was superseded by its denial, is told by all of its words.
    """
    language = identify(fact["text"])
    of_value = stems(value, language)
    wanted = stems(fact["text"], language) - of_value
    found = wanted & stems(text, language)
    return contains(text, value) and len(found) >= SAYS_IT * len(wanted) if value else found == wanted
