"""What became of a document: of its characters (read, a heading, markup, left out, not read), and of its sentences.

A text of which a part is lost without a word would look as well collected as any other.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

from data_processor.chunking import Chunk
from data_processor.documents import Document
from data_processor.edits import BOILERPLATE, HEADING, MARKUP, NOT_READ, TEXT
from data_processor.facts import NOT_COVERED, STATES_NOTHING
from data_processor.pairs import Fact
from data_processor.units import Parsed
from data_processor.work import Work
from utils import write_json

SPACE = "space"
PRINTED_DOCUMENTS = 20

LETTERS = {"s": SPACE, "n": NOT_READ, "m": MARKUP}


class _LetterOf(dict):
    """For str.translate: the letter of the kind of a character that no unit covers, found once for each character."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = "s" if char.isspace() else "n" if char.isalnum() else "m"
        return self[code]


letter_of = _LetterOf()


def count_characters(document: Document, parsed: Parsed) -> Counter[str]:
    """How many characters of the decoded file are of each kind; `parsed` has the document's units.

    The kinds: "text" (in a unit, or in what leads in one), "heading", "markup" (marks of list items and cells too),
    "metadata", "boilerplate", "space" (and what is invisible), "not read". Their sum is the length of the file.
    """
    kinds = [SPACE] * (document.spans[-1][1] if document.spans else 0)

    def set_kind(start: int, end: int, kind: str) -> None:
        first, last = document.to_file_offsets(start, end)
        kinds[first:last] = [kind] * (last - first)

    here = [LETTERS[letter] for letter in document.text.translate(letter_of)]
    replaced = {stretch[0]: stretch for stretch in document.replaced}
    for (start, place), (end, _) in itertools.pairwise([*document.offsets, (len(here), 0)]):
        if start in replaced:
            _, _, first, last = replaced[start]
            kinds[first:last] = here[end - 1 : end] * (last - first)
        else:
            kinds[place : place + end - start] = here[start:end]
    units = [(unit.start, unit.end) for unit in parsed.units]
    told = ((MARKUP, parsed.markup), (HEADING, parsed.headings), (TEXT, parsed.leads), (TEXT, units))
    for kind, spans in (*told, (BOILERPLATE, parsed.boilerplate)):
        for start, end in spans:
            if start < end:
                set_kind(*parsed.joined.to_source(start, end), kind)
    for start, end, kind in document.spans:
        if kind not in (TEXT, HEADING):
            kinds[start:end] = [kind] * (end - start)
    return Counter(kinds)


def count_yield(
    characters: dict[str, Counter[str]], chunks: list[Chunk], facts: list[Fact], rows: list[dict], work: Work
) -> dict[str, dict[str, int]]:
    """What each document yielded, by file name: chunks, facts, rows, what was dropped, and sentences that state nothing or that no fact covers.

    `characters` has the counts of `count_characters` by file name.
    """
    chunk_counts = Counter(chunk.file_name for chunk in chunks)
    fact_counts = Counter(fact.chunk.file_name for fact in facts)
    row_counts = Counter((row["file_name"], row["kind"] == "passage") for row in rows)
    drop_counts = Counter((record.get("file_name"), column_of(record["reason"])) for record in work.dropped)
    return {
        name: {
            "chunks": chunk_counts[name],
            "facts": fact_counts[name],
            "questions": row_counts[name, False],
            "passages": row_counts[name, True],
            "dropped": drop_counts[name, ""],
            "state nothing": drop_counts[name, STATES_NOTHING],
            "not covered": drop_counts[name, NOT_COVERED],
        }
        for name in characters
    }


def print_yield(table: dict[str, dict[str, int]], characters: dict[str, Counter[str]], work: Work, path: Path) -> None:
    """Print the table of count_yield, and why texts were dropped; the file `path` gets the whole table.

    Of many documents those without a question are printed, and those with the most sentences that no fact covers.
    """
    write_json(path, table)
    widths = {
        "chunks": 8,
        "facts": 7,
        "questions": 11,
        "passages": 10,
        "dropped": 9,
        "state nothing": 15,
        "not covered": 13,
    }
    print(f"{'document':<28}{''.join(key.rjust(width) for key, width in widths.items())}")
    shown = list(table)
    if len(table) > PRINTED_DOCUMENTS:
        shown.sort(key=lambda name: (min(table[name]["questions"], 1), -table[name]["not covered"]))
    for name in shown[:PRINTED_DOCUMENTS]:
        print(f"{name[:27]:<28}{''.join(str(table[name][key]).rjust(width) for key, width in widths.items())}")
    if len(table) > PRINTED_DOCUMENTS:
        total = sum(map(Counter, table.values()), Counter())
        print(f"{f'all {len(table):,}':<28}{''.join(str(total[k]).rjust(w) for k, w in widths.items())}")
        print(
            f"{sum(not row['questions'] for row in table.values()):,} documents without a question; all of them: {path}"
        )
    print("dropped: " + ("; ".join(f"{count} {reason}" for reason, count in work.drops.most_common()) or "nothing"))
    print(describe_not_read(characters))


def column_of(reason: str) -> str:
    """The reason, if sentences that are dropped for it have a column of their own in the yield table; else ""."""
    return next((column for column in (NOT_COVERED, STATES_NOTHING) if reason.startswith(column)), "")


def describe_not_read(characters: dict[str, Counter[str]]) -> str:
    """How much of all files was not read, and in which files, most first."""
    total = sum((Counter(counts) for counts in characters.values()), Counter())
    lost = Counter({name: counts[NOT_READ] for name, counts in characters.items() if counts[NOT_READ]})
    where = f", most in {', '.join(name for name, _ in lost.most_common(3))}" if lost else ""
    return f"not read: {total[NOT_READ]:,} of {total.total():,} characters{where}"
