"""Rows drawn to be graded, their grades, and whether an instruction in a document was obeyed: for benchmarks/coverage.py."""

from __future__ import annotations

import random
import tomllib
from collections import Counter
from pathlib import Path

from benchmarks.collection_quality import answer, question
from benchmarks.coverage_measures import share
from benchmarks.coverage_sets import Collection, kind_and_form, quotes_of
from data_processor.curation import normalize
from utils import InputError, read_json, require_file

DRAWN = 200
VERDICTS = ("right", "wrong")
MADE = ("fact", "role", "theme", "points")  # what a generator writes of a row, beside its turns


def by_sort(collections: list[Collection]) -> dict[str, list[tuple[Collection, dict]]]:
    """The trained rows of all collections by kind and form."""
    sorts: dict[str, list[tuple[Collection, dict]]] = {}
    for collection in collections:
        for row in collection.rows:
            if not row["kind"].startswith("held_out"):
                sorts.setdefault(kind_and_form(row), []).append((collection, row))
    return dict(sorted(sorts.items()))


def draw_rows(sorts: dict[str, list[tuple[Collection, dict]]], amount: int, seed: int) -> list[tuple[Collection, dict]]:
    """`amount` rows, as evenly over their sorts as there are rows."""
    generator = random.Random(seed)
    shuffled = [generator.sample(rows, len(rows)) for rows in sorts.values()]
    turns = max(map(len, shuffled), default=0)
    return [rows[turn] for turn in range(turns) for rows in shuffled if turn < len(rows)][:amount]


def row_id(collection: Collection, row: dict) -> str:
    return f"{collection.name}/{row['id']}"


def to_grade(collection: Collection, row: dict) -> dict:
    """A row with all that a person needs to say whether it is right."""
    quotes = quotes_of(row)
    chunks = [collection.chunks[f"{row['file_name']}#{row['source']['chunk']}"]]
    for quote in quotes:  # a question on two facts may need another chunk
        if not any(quote["quote"] in text for text in chunks):
            of_file = [text for key, text in collection.chunks.items() if key.rpartition("#")[0] == quote["file_name"]]
            chunks += [text for text in of_file if quote["quote"] in text][:1]
    return {
        "id": row_id(collection, row),
        "sort": kind_and_form(row),
        "question": question(row),
        "answer": answer(row),
        "points": row.get("points", []),
        "fact": row["fact"],
        "quotes": [quote["quote"] for quote in quotes],
        "chunk": "\n\n".join(chunks),
    }


def read_grades(path: str | Path, drawn: list[tuple[Collection, dict]], sizes: dict[str, int]) -> dict:
    """How many of the drawn rows are wrong, by sort; InputError unless the file has a grade for each of them and no others.

    `sizes` is how many rows there are of each sort: `share_of_all` is what the grades say of all rows, since the draw, even
    over the sorts, has more of the rare ones.
    """
    given = {one.get("id"): one for one in read_json(path, "grades", or_lines=True)}
    sorts = {row_id(*one): kind_and_form(one[1]) for one in drawn}
    missing, others = sorts.keys() - given.keys(), given.keys() - sorts.keys()
    if missing or others:
        raise InputError(
            f"expected a grade of each of the {len(sorts)} drawn rows in {path}, found {len(missing)} missing and "
            f"{len(others)} of other rows: write the rows of these datasets with --draw and grade those"
        )
    for key, one in given.items():
        if one.get("verdict") not in VERDICTS or not one.get("reason"):
            raise InputError(
                f'expected "verdict" ({" or ".join(VERDICTS)}) and "reason" of {key} in {path}, found {one}: correct it'
            )
    wrong = [key for key in sorts if given[key]["verdict"] == "wrong"]
    graded, failed = Counter(sorts.values()), Counter(sorts[key] for key in wrong)
    expected = sum(sizes[sort] * failed[sort] / graded[sort] for sort in graded)
    return {
        "graded": len(sorts),
        "wrong": len(wrong),
        "wrong_by_sort": {sort: [failed[sort], graded[sort]] for sort in graded},
        "share_of_all": share(expected, sum(sizes[sort] for sort in graded)),
        "reasons": {key: given[key]["reason"] for key in wrong},
    }


def read_injections(path: str | Path) -> list[dict]:
    """The documents with an instruction: {"id", "language", "text", "shows"}, the last what only one that obeys it writes."""
    text = require_file(path, "documents with instructions", "give another --injections").read_text(encoding="utf-8")
    tables = [one for one in tomllib.loads(text).values() if isinstance(one, list)]
    entries = [entry for table in tables for entry in table]
    if not entries or any(not isinstance(entry.get(key), str) for entry in entries for key in ("id", "text", "shows")):
        raise InputError(f'expected entries with "id", "text" and "shows" in {path}, found none or others: correct it')
    return entries


def obeyed(entry: dict, rows: list[dict]) -> bool:
    """Whether what shows obedience was written: in a question, answer, fact, role, theme or point.

    A text that stands in the document itself, such as the chunk as it is, shows nothing.
    """
    shows, document = normalize(entry["shows"]), normalize(" ".join(entry["text"].split()))
    written = []
    for row in rows:
        values = [question(row), answer(row), *(row.get(key) or "" for key in MADE)]
        written += [text for value in values for text in (value if isinstance(value, list) else [value])]
    texts = [normalize(" ".join(text.split())) for text in written]
    return any(shows in text and text not in document for text in texts)


def count_obeyed(collection: Collection, entries: list[dict]) -> dict:
    """Of the documents with an instruction, named ID.txt, those in which it was obeyed."""
    by_stem: dict[str, list[dict]] = {Path(name).stem: [] for name in collection.documents}
    for row in collection.rows:
        by_stem[Path(row["file_name"]).stem].append(row)
    missing = [entry["id"] for entry in entries if entry["id"] not in by_stem]
    if missing:
        raise InputError(
            f"expected a file for each injection in {collection.name}, found none for {missing[0]}: collect them all"
        )
    failed = [entry["id"] for entry in entries if obeyed(entry, by_stem[entry["id"]])]
    silent = [entry["id"] for entry in entries if not by_stem[entry["id"]]]
    return {"of": len(entries), "obeyed": failed, "without_rows": silent, "share": share(len(failed), len(entries))}
