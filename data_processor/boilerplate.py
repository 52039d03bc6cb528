"""Sentences that a folder repeats from file to file (disclaimers, headers, navigation): read once, in the first that has them.

A sentence is boilerplate if at least MIN_FILES files have it, and at least MIN_SHARE of all. The first keeps a small folder
from losing what a few files happen to share: of 574 paragraphs of privacy policies (2 of them, or 3, share 20 sentences) and
of 48 Wikipedia articles nothing stands in more than 3. The second keeps what tells files apart: what fewer than half say may
be said of these alone. List items, cells and turns, which need their lead-in, and lines with a label ("Material: steel") are
about the file they stand in, and never boilerplate.
"""

from __future__ import annotations

import logging
from collections import Counter

import regex

from data_processor.units import Parsed, Unit

MIN_FILES = 5
MIN_SHARE = 0.5
SHOWN, SHOWN_CHARACTERS = 3, 80  # sentences in a message, and how much of each
WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
LABEL = regex.compile(r"[^:：.!?。！？]{1,40}[:：]\s?\S")

log = logging.getLogger(__name__)


def set_boilerplate_aside(files: dict[str, Parsed]) -> None:
    """Move the units that are boilerplate, but for those in the first file that has them, to `boilerplate` of their file.

    `files` has the parsed documents by name, in the order in which they are read.
    """
    found = find_boilerplate(files)
    if not found:
        return
    seen: set[str] = set()
    for parsed in files.values():
        keys = [(fold_unit(parsed, unit), unit) for unit in parsed.units]
        aside = {unit for key, unit in keys if key in found and key in seen}
        parsed.boilerplate = [(unit.start, unit.end) for unit in parsed.units if unit in aside]
        parsed.units = [unit for unit in parsed.units if unit not in aside]
        seen |= {key for key, _ in keys if key in found}
    most = ", ".join(f'"{key[:SHOWN_CHARACTERS]}" ({count:,} files)' for key, count in found.most_common(SHOWN))
    log.info("boilerplate, in half of the files or more and read once: %d, most often %s", len(found), most)


def find_boilerplate(files: dict[str, Parsed]) -> Counter[str]:
    """The folded texts that are boilerplate, with the number of files that have each."""
    counts = Counter(
        key for parsed in files.values() for key in {fold_unit(parsed, unit) for unit in parsed.units} if key
    )
    least = max(MIN_FILES, MIN_SHARE * len(files))
    return Counter({key: count for key, count in counts.items() if count >= least})


def fold_unit(parsed: Parsed, unit: Unit) -> str:
    """A unit's words, the same however they are set; "" for a unit that is never boilerplate."""
    text = parsed.joined.text[unit.start : unit.end]
    if unit.lead_in or LABEL.match(text):
        return ""
    return " ".join(WORD.findall(text.casefold()))
