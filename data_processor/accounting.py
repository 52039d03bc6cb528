"""What became of a document: of its characters (read, a heading, markup, left out, not read), and of its sentences.

A text of which a part is lost without a word would look as well collected as any other.
"""

from __future__ import annotations

from collections import Counter

from data_processor.chunking import Chunk
from data_processor.documents import Document
from data_processor.edits import HEADING, MARKUP, NOT_READ, TEXT
from data_processor.facts import NOT_COVERED, STATES_NOTHING
from data_processor.pairs import Fact
from data_processor.units import Parsed
from data_processor.work import Work

SPACE = "space"


def count_characters(document: Document, parsed: Parsed) -> Counter[str]:
    """How many characters of the decoded file are of each kind; `parsed` has the document's units.

    The kinds: "text" (in a unit, or in what leads in one), "heading", "markup" (marks of list items and cells too),
    "metadata", "boilerplate", "space" (and what is invisible), "not read". Their sum is the length of the file.
    """
    kinds = [SPACE] * (document.spans[-1][1] if document.spans else 0)

    def set_kind(start: int, end: int, kind: str) -> None:
        first, last = document.to_file_offsets(start, end)
        kinds[first:last] = [kind] * (last - first)

    for position, char in enumerate(document.text):
        if not char.isspace():
            set_kind(position, position + 1, NOT_READ if char.isalnum() else MARKUP)
    units = [(unit.start, unit.end) for unit in parsed.units]
    for kind, spans in ((MARKUP, parsed.markup), (HEADING, parsed.headings), (TEXT, parsed.leads), (TEXT, units)):
        for start, end in spans:
            if start < end:
                set_kind(*parsed.joined.to_source(start, end), kind)
    for start, end, kind in document.spans:
        if kind not in (TEXT, HEADING):
            kinds[start:end] = [kind] * (end - start)
    return Counter(kinds)


def print_yield(
    characters: dict[str, Counter[str]], chunks: list[Chunk], facts: list[Fact], rows: list[dict], work: Work
) -> None:
    """Print what each document yielded, how many of its sentences state nothing or have no fact, and why texts were dropped.

    `characters` has the counts of `count_characters` by file name.
    """
    print(
        f"{'document':<28}{'chunks':>8}{'facts':>7}{'questions':>11}{'passages':>10}{'dropped':>9}"
        f"{'state nothing':>15}{'not covered':>13}"
    )
    chunk_counts = Counter(chunk.file_name for chunk in chunks)
    fact_counts = Counter(fact.chunk.file_name for fact in facts)
    row_counts = Counter((row["file_name"], row["kind"] == "passage") for row in rows)
    drop_counts = Counter((record.get("file_name"), column_of(record["reason"])) for record in work.dropped)
    for name in characters:
        print(
            f"{name[:27]:<28}{chunk_counts[name]:>8}{fact_counts[name]:>7}{row_counts[name, False]:>11}{row_counts[name, True]:>10}"
            f"{drop_counts[name, '']:>9}{drop_counts[name, STATES_NOTHING]:>15}{drop_counts[name, NOT_COVERED]:>13}"
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
