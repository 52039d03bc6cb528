"""When a document was written, as far as it says so: in its front matter, its name or its first lines.

dated("minutes_2027-03-05.txt", "Minutes of the meeting of 5 March 2027\\n...", "en")    # date(2027, 3, 5)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import PurePath
from typing import Any

from data_processor.segmentation import ends_sentence
from data_processor.spans import find_spans

FIRST_LINES = 5  # that are not empty: a title, and what often stands below it ("Version 3", "Stand: 5. März 2027")
LONGEST_LINE = 120  # characters; a longer one is no title
# the last change first
METADATA_KEYS = ("date", "updated", "modified", "lastmod", "last_modified", "published", "created")
YEAR_FIRST = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
# "Version 5.3.2027" is a name to find_spans
YEAR_LAST = re.compile(r"(?<![\d./-])\d{1,2}([./-])\d{1,2}\1(?:19|20)\d\d(?!\d)")
ONLY_WHOLE = {"REQUIRE_PARTS": ["day", "month", "year"], "STRICT_PARSING": True}


def dated(file_name: str, text: str, language: str, metadata: Mapping[str, Any] | None = None) -> date | None:
    """The date of a document; None if nothing in it gives one, or if one place gives several.

    A date counts only with day, month and year. A line that ends like a sentence is no title: what it dates is something
    that the document tells of.
    """
    told = metadata or {}
    name = PurePath(file_name).stem
    lines = itertools.islice(filter(None, map(str.strip, text.splitlines())), FIRST_LINES)
    titles = [line for line in lines if len(line) <= LONGEST_LINE and not ends_sentence(line, language)]
    values = [told[key] for key in METADATA_KEYS if told.get(key)]
    places = [*map(_in_metadata, values), dates_in(name, language), *(dates_in(line, language) for line in titles)]
    return next((found.pop() for found in places if len(found) == 1), None)


def _in_metadata(value: Any) -> set[date]:
    if isinstance(value, datetime):
        return {value.date()}
    return {value} if isinstance(value, date) else dates_in(str(value), "en")


def dates_in(text: str, language: str) -> set[date]:
    """The whole dates of a line or a file name."""
    year_first = [found.group(1, 3, 4) for found in YEAR_FIRST.finditer(text)]
    if year_first:
        return set(_existing("-".join(parts) for parts in year_first))
    words = re.sub(r"[_\s]+", " ", text)
    spans = [words[start:end] for start, end, kind in find_spans(words) if kind == "date"]
    spans += [found[0] for found in YEAR_LAST.finditer(words)]
    return {found for span in spans if (found := read_date(span, language))}


def _existing(written: Iterable[str]) -> Iterable[date]:
    for text in written:
        try:
            yield date.fromisoformat(text)
        except ValueError:  # 2027-02-30
            continue


def read_date(text: str, language: str) -> date | None:
    """The date that a span of a text is; None if a part is missing, or if English leaves open which number is the day."""
    import dateparser  # seconds: only where there is a date to read

    known = language if language in _languages() else "en"
    orders = ("DMY", "MDY") if known == "en" else (None,)
    settings = [ONLY_WHOLE | ({"DATE_ORDER": order} if order else {}) for order in orders]
    found = {dateparser.parse(text, languages=[known], settings=one) for one in settings}
    first = found.pop()
    return first.date() if first and not found else None


def _languages() -> set[str]:
    from dateparser.data.languages_info import language_order

    return set(language_order)
