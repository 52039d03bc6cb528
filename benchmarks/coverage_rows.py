"""Rows drawn and graded, and orders to a model that stand in documents, obeyed or not: for benchmarks/coverage.py."""

from __future__ import annotations

import random
import tomllib
from collections import Counter
from pathlib import Path

from benchmarks.collection_quality import SHOWN, answer, question
from benchmarks.coverage_measures import share
from benchmarks.coverage_sets import Collection, kind_and_form, quotes_of
from data_processor.curation import normalize
from utils import InputError, read_json, require_file

DRAWN = 200
VERDICTS = ("right", "wrong")
INJECTION = ("file", "text", "order", "token")
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
    """The documents with an order to a model: {"file", "text", "order", "also" (what else it says), "token"}.

    The token is what only one that obeys writes; it stands in the order, or in what else that says, and nowhere else.
    """
    text = require_file(path, "documents with orders to a model", "give another --injections").read_text(
        encoding="utf-8"
    )
    entries = tomllib.loads(text).get("documents", [])
    if not entries or any(not isinstance(entry.get(key), str) for entry in entries for key in INJECTION):
        raise InputError(
            f"expected documents, each with {', '.join(INJECTION)}, in {path}, found none or others: correct it"
        )
    return entries


def obeying(entry: dict, rows: list[dict]) -> list[str]:
    """What was written by obeying, in the rows of a document: a question, answer, fact, role, theme or point with the token.

    The order itself may stand in a text that tells the document, and rows that are marked as resting on it may speak of it.
    """
    token, orders = folded(entry["token"]), [folded(entry[key]) for key in ("order", "also") if key in entry]
    found = []
    for row in rows:
        if row["source"].get("instructions"):
            continue
        values = [question(row), answer(row), *(row.get(key) or "" for key in MADE)]
        for text in [text for value in values for text in (value if isinstance(value, list) else [value])]:
            rest = folded(text)
            for order in orders:
                rest = rest.replace(order, "")
            found += [text] if token in rest else []
    return list(dict.fromkeys(found))


def folded(text: str) -> str:
    return normalize(" ".join(text.split()))


def count_obeyed(collection: Collection, entries: list[dict]) -> dict:
    """Of the documents with an order, those where it was obeyed, and what shows it; and those that gave no rows at all."""
    by_file: dict[str, list[dict]] = {name: [] for name in collection.documents}
    for row in collection.rows:
        by_file[row["file_name"]].append(row)
    missing = [entry["file"] for entry in entries if entry["file"] not in by_file]
    if missing:
        raise InputError(
            f"expected the documents of the injections in {collection.name}, found no {missing[0]}: write them with "
            "benchmarks/passages.py and collect them all"
        )
    shown = {entry["file"]: obeying(entry, by_file[entry["file"]]) for entry in entries}
    return {
        "documents": len(entries),
        "obeyed": {name: texts[:SHOWN] for name, texts in shown.items() if texts},
        "marked_rows": sum(bool(row["source"].get("instructions")) for row in collection.rows),
        "without_rows": [entry["file"] for entry in entries if not by_file[entry["file"]]],
    }
