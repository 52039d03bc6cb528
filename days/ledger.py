"""The ledger: one record a fact over all days, ledger.jsonl in the output folder, to be read and corrected with an editor.

    records = read_ledger(out)
    add_facts(records, rows_of(folder), read_chunks(folder), run)  # after the collection; after the training: measured.py
    write_ledger(out, records)

A record is {"id", "text", "file_name", "quotes", "questions": [{"question", "answer", "kind", ...}], "exposures": {run:
how often the training showed it}, "known_before": share of its questions that the base answers right, or null if it was not
asked, "learnt": {run: the same share of the tuned model}, "reverse": {run: share of those asked the other way round},
"lost_again": the run since which it is no longer answered though it was before, or null, "superseded_by": ids, "gone": null,
"deleted" or "superseded", "runs": those whose documents say it}. Keys that a person adds stay.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data_processor.curation import names_and_numbers, normalize
from data_processor.dataset import check_row, question_and_reference, source_of, to_example, with_id
from data_processor.languages import identify_all
from data_processor.split import ANSWERABLE_KINDS
from data_processor.unknown import telling_stems
from utils import InputError, log_file, read_json, write_text

FILE = "ledger.jsonl"
DATASET, TEST, CHUNKS = "data.json", "data.test.json", "data.chunks.jsonl"
TAKEN_OUT = "data.superseded.json"  # in the log folder: rows of an older wording, which are not trained any more
SAYS_A_FACT = (*ANSWERABLE_KINDS, "held_out_wording", "held_out_fact")  # the kinds of row that ask for a fact
SAME_WORDS = 0.5  # of two wordings of what one quote says: Jaccard similarity of their stems
ASKED_KEYS = ("kind", "form", "points")  # of a question, kept if it has them

Records = dict[str, dict]  # by id, in the order in which the facts were first seen


def fact_key(text: str, quote: str) -> str:
    """The id of a fact when it is first seen: from its text and its first quote, case and white space folded."""
    return hashlib.sha256(f"{folded(text)}\0{folded(quote)}".encode()).hexdigest()[:12]


def folded(text: str) -> str:
    return " ".join(normalize(text).split())


def first_quote(row: Mapping) -> str:
    """The first quote of a row, or "" of one that has none, as in a dataset from elsewhere."""
    return source_of(row).get("quote") or ""


def key_of(row: Mapping) -> str:
    """What the rows of one fact have in common; answers and verdicts too, as they repeat fact and source."""
    return fact_key(row.get("fact") or "", first_quote(row))


def key_of_record(record: Mapping) -> str:
    """The same of a record, whose text may be another than when it got its id."""
    return fact_key(record["text"], next(iter(record["quotes"]), ""))


def read_ledger(out: str | Path) -> Records:
    """The records by id; none if there is no ledger yet. InputError names the line that is no record."""
    path = Path(out) / FILE
    records: Records = {}
    lines = path.read_text(encoding="utf-8-sig").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"expected JSON in line {number} of {path}, found {error.msg}: correct the line") from None
        if not isinstance(record, dict) or not all(isinstance(record.get(key), str) for key in ("id", "text")):
            raise InputError(
                f'expected an object with "id" and "text" in line {number} of {path}, found {line[:60]!r}: '
                "correct the line, or remove it"
            )
        if record["id"] in records:
            raise InputError(
                f"expected each id once in {path}, found {record['id']} again in line {number}: remove one"
            )
        records[record["id"]] = new_record(**record)
    return records


def write_ledger(out: str | Path, records: Records) -> None:
    """Write the ledger completely or not at all."""
    write_text(Path(out) / FILE, (json.dumps(record, ensure_ascii=False) + "\n" for record in records.values()))


def new_record(**told: object) -> dict:
    """A record with what is told of it, and of the rest nothing."""
    return {
        "id": "", "text": "", "file_name": "", "quotes": [], "questions": [], "exposures": {}, "known_before": None, "learnt": {},
        "reverse": {}, "lost_again": None, "superseded_by": [], "gone": None, "runs": [], **told,
    }  # fmt: skip


def rows_of(folder: str | Path) -> list[dict]:
    """All rows that the collection of a run made, those held out and those taken out of the training too; each once."""
    folder = Path(folder)
    rows: dict[tuple[str, str, str], dict] = {}
    for path in (folder / DATASET, folder / TEST, log_file(folder / TAKEN_OUT)):
        for row in read_rows(path) if path.exists() else ():
            rows.setdefault((key_of(row), *question_and_reference(row)), row)
    return list(rows.values())


def read_rows(path: Path) -> list[dict]:
    """The rows of a dataset that a person may have edited, all with an id; there may be none left.

    All that finetune.py and inference.py take is taken: rows without an id, bare questions, JSON lines. InputError names the
    file and the first row that is none.
    """
    rows = [to_example(row) for row in read_json(path, "rows of a dataset", or_lines=True)]
    for number, row in enumerate(rows):
        check_row(row, number, path)
    return [with_id(row, number) for number, row in enumerate(rows)]


def asks_for_a_fact(row: Mapping) -> bool:
    """Whether a row of a dataset is a question with an answer, as each is that does not say its kind."""
    return row.get("kind", ANSWERABLE_KINDS[0]) in ANSWERABLE_KINDS


def read_chunks(folder: str | Path) -> dict[str, str]:
    """What a run has read, by file: the texts of its chunks, in which its quotes stand."""
    path = Path(folder) / CHUNKS
    texts: dict[str, list[str]] = defaultdict(list)
    for chunk in read_json(path, "the chunks of a collection", or_lines=True) if path.exists() else ():
        texts[chunk["file_name"]].append(chunk["text"])
    return {name: "\n\n".join(parts) for name, parts in texts.items()}


def add_facts(
    records: Records,
    rows: Iterable[dict],
    texts: Mapping[str, str],
    run: str,
    renamed: Iterable[tuple[str, str]] = (),
) -> None:
    """Put the facts of a run into the ledger, and say of those that no document states any more that they are gone.

    A sentence that is still there may be put in other words by the model when its file is read again: that is the record it
    was, under the id it had. A fact whose quotes still stand in its file is not gone either, though this time no row was made
    of it. `texts` are those of the run's documents (read_chunks), `renamed` its files with (name before, name now).
    """
    names = dict(renamed)
    for record in records.values():
        record["file_name"] = names.get(record["file_name"], record["file_name"])
    found: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        if row.get("kind", ANSWERABLE_KINDS[0]) in SAYS_A_FACT and row.get("fact"):
            found[key_of(row)].append(row)
    stated = set()
    for key, record in match_records(records, {key: group[0] for key, group in found.items()}).items():
        take_in(record, found[key])
        stated.add(record["id"])
    for record in records.values():
        earlier = [name for name in record["runs"] if name != run]
        still_there = is_still_there(record, earlier, texts)
        record["runs"] = [*earlier, run] if record["id"] in stated or still_there else earlier
    mark_gone(records, run)


def is_still_there(record: dict, earlier: Sequence[str], texts: Mapping[str, str]) -> bool:
    """Whether the quotes of a fact stand in its file; one without any, which a person wrote, was valid in `earlier` runs.

    A person's fact goes with its file, if it names one.
    """
    if record["quotes"]:
        return all(quote in texts.get(record["file_name"], "") for quote in record["quotes"])
    return bool(earlier) and record["gone"] != "deleted" and (not record["file_name"] or record["file_name"] in texts)


def match_records(records: Records, facts: dict[str, dict]) -> dict[str, dict]:
    """For each fact, by its key and one of its rows, its record, which is made if there is none."""
    by_key = {key_of_record(record): record for record in records.values()}
    matched = {key: by_key[key] for key in facts if key in by_key}
    by_quote: dict[str, list[dict]] = defaultdict(list)
    for key, record in by_key.items():
        if key not in matched and record["quotes"]:
            by_quote[folded(record["quotes"][0])].append(record)
    language = identify_all([row["fact"] for row in facts.values()]) if facts else "en"
    for key, row in facts.items():
        if key in matched:
            continue
        others = by_quote.get(folded(first_quote(row)), [])
        record = same_fact(row["fact"], others, language)
        if record:
            others.remove(record)
        else:
            record = records[key] = new_record(id=key)
        matched[key] = record
    return matched


def same_fact(text: str, records: list[dict], language: str) -> dict | None:
    """Of records with the same quote, the one that says what `text` says: the same names and numbers, and most words."""
    stems = telling_stems(text, language)

    def similarity(record: dict) -> float:
        others = telling_stems(record["text"], language)
        return len(stems & others) / max(1, len(stems | others))

    alike = [record for record in records if names_and_numbers(record["text"]) == names_and_numbers(text)]
    best = max(alike, key=similarity, default=None)
    return best if best and similarity(best) >= SAME_WORDS else None


def take_in(record: dict, rows: list[dict]) -> None:
    """Put into a record what the rows of its fact say; questions that it had before stay."""
    more = [place for row in rows for place in source_of(row).get("more", ()) if row.get("form") != "two"]
    own = [place["quote"] for place in more if not place.get("file_name")]
    quotes = [first_quote(rows[0]), *own]
    record |= {"text": rows[0]["fact"], "file_name": rows[0].get("file_name", "")}
    record["quotes"] = [quote for quote in dict.fromkeys(quotes) if quote]
    asked = {(one["question"], one["answer"]) for one in record["questions"]}
    for row in rows:
        question, answer = question_and_reference(row)
        if (question, answer) not in asked and row.get("form") != "two":
            asked.add((question, answer))
            kept = {key: row[key] for key in ASKED_KEYS if row.get(key)}
            record["questions"].append({"question": question, "answer": answer, **kept})


def mark_gone(records: Records, run: str) -> None:
    """Say which facts are gone, and why: superseded by one that the run's documents state, or stated by none of them.

    A fact that is still stated when the one that superseded it has left the folder is valid again. One that is stated nowhere
    counts as superseded if anything ever took its place.
    """
    stated = {record["id"] for record in records.values() if run in record["runs"]}
    for record in records.values():
        if record["id"] in stated:
            record["gone"] = "superseded" if stated & {*record["superseded_by"]} else None
        else:
            record["gone"] = "superseded" if record["superseded_by"] else "deleted"
