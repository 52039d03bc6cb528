"""What is read of a folder of documents, held to expectations, with each character accounted for. Nobody is asked."""

from __future__ import annotations

import functools
import html
import logging
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import regex

from benchmarks.inputs_entries import ROOT, Entry, failures, write_documents
from data_processor.accounting import count_characters
from data_processor.chunking import OPENAI_TOKENIZER, chunk_document, make_splitter, parse
from data_processor.documents import Document, read_documents, read_file, read_folder
from data_processor.edits import NOT_READ
from data_processor.languages import detect_language, identify_all, in_language
from data_processor.pipeline import sentences_to_read
from data_processor.spans import find_spans
from utils import InputError

CHECKS = (
    "read left_out language title metadata units together apart never headings text_lacks back whole no_spans general_language"
).split()
# of a "read" run; a process is held to the last three elsewhere
IN_PROCESS = [*CHECKS, "exit_code", "stderr_has", "stderr_lacks"]
GENERAL_QUESTIONS = ROOT / "evaluation/general/questions.json"
# tags, and marks of notes, within a stretch of a file
MARKS = re.compile(r"<[^<>\n]{1,80}>|\[(?:\d+|\w|[a-z]+ [^\]]*)\]")
CHUNK_TOKENS = 100_000  # a document is one chunk here


@dataclass
class Unit:
    """A stretch that is asked for facts: its text, the same stretch of the decoded file, and the spans in it."""

    text: str
    in_file: str
    spans: list[str] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Found:
    """What was read: `kinds` counts the characters by what they were taken for, `lengths` all of them."""

    code: int = 0
    lines: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    languages: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    metadata: list[dict] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    kinds: Counter = field(default_factory=Counter)
    length: int = 0
    general_language: str = ""


@functools.cache
def splitter():
    return make_splitter(OPENAI_TOKENIZER, CHUNK_TOKENS)


class Lines(logging.Handler):
    """Collects what is logged."""

    def __init__(self, lines: list[str]):
        super().__init__(logging.INFO)
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def read(folder: Path) -> Found:
    """Read a folder as a collection does."""
    found = Found()
    handler, logger = Lines(found.lines), logging.getLogger("data_processor")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        documents = read_documents(folder)
    except InputError as error:
        found.code, documents = 2, []
        found.lines.append(f"error: {error}")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    found.left_out = read_folder(folder)[1]
    for document in documents:
        add(found, document, read_file(folder / document.file_name).text)
    found.general_language = language_of_questions([document.text for document in documents]) if documents else ""
    return found


def language_of_questions(texts: list[str]) -> str:
    """The language of the general questions that are asked on documents."""
    path = in_language(GENERAL_QUESTIONS, identify_all(texts))
    return path.suffixes[0].strip(".") if len(path.suffixes) > 1 else "en"


def add(found: Found, document: Document, raw: str) -> None:
    """What is read of one document, whose decoded file is `raw`."""
    language = detect_language(document.text)
    parsed = parse(document, language)
    chunks = chunk_document(document, splitter())
    found.names.append(document.file_name)
    found.languages.append(chunks[0].text_language if chunks else language)
    found.titles.append(chunks[0].title if chunks else document.title)
    found.metadata.append(document.metadata)
    found.headings += [
        " ".join(parsed.joined.text[start:end].strip("# \t").split())
        for start, end in [*parsed.headings, *parsed.leads]
    ]
    known_texts = {unit.text for unit in found.units}
    for fact in sentences_to_read(chunks):
        if fact.quote in known_texts:
            continue
        start, end = document.to_file_offsets(*fact.chunk.to_document(fact.start, fact.end))
        spans = find_spans(fact.quote, fact.chunk.text)
        found.units.append(
            Unit(fact.quote, raw[start:end], [fact.quote[s:e] for s, e, _ in spans], [span[:2] for span in spans])
        )
        known_texts.add(fact.quote)
    found.kinds += count_characters(document, parsed)
    found.length += len(raw)


def letters(text: str) -> str:
    """The letters and digits of a text, with entities of HTML read and compatible forms made one."""
    return "".join(c for c in unicodedata.normalize("NFKC", html.unescape(text)) if c.isalnum())


def leads_back(unit: Unit) -> bool:
    """Whether a unit's stretch of the file begins and ends as the unit and has its letters in their order, perhaps among markup."""
    wanted = letters(unit.text)

    def holds(there: str) -> bool:
        rest = iter(there)
        return there[:1] == wanted[0] and there[-1:] == wanted[-1] and all(letter in rest for letter in wanted)

    return not wanted or any(holds(letters(stretch)) for stretch in (unit.in_file, MARKS.sub("", unit.in_file)))


def differences(what: str, expected: list, found: list) -> list[str]:
    """One failure that names what is missing and what is too much; [] if the lists are equal."""
    if expected == found:
        return []
    missing, more = [one for one in expected if one not in found], [one for one in found if one not in expected]
    return [f"{what}: expected {missing or 'another order'}, found {more or found}"]


def check_spans(checks: dict, texts: list[Unit]) -> list[str]:
    """Strings that no span may cut, and strings that are no span."""
    wrong = []
    for string in checks.get("whole", []):
        for unit in texts:
            for match in regex.finditer(regex.escape(string), unit.text):
                cut = [
                    unit.text[start:end]
                    for start, end in unit.places
                    if start < match.end()
                    and end > match.start()
                    and not (start <= match.start() and end >= match.end())
                ]
                wrong += [f"whole: expected {string!r} uncut, found {cut} in {unit.text!r}"] if cut else []
    for string in checks.get("no_spans", []):
        wrong += [
            f"no_spans: expected {string!r} to be none, found it in {unit.text!r}"
            for unit in texts
            if string in unit.spans
        ]
    return wrong


def check_units(checks: dict, found: Found) -> list[str]:
    texts = [unit.text for unit in found.units]
    wrong = differences("units", checks["units"], texts) if "units" in checks else []
    if "units" in checks:
        wrong += [f"back: {unit.text!r} leads to {unit.in_file!r}" for unit in found.units if not leads_back(unit)]
    for group in checks.get("together", []):
        if not any(all(part in text for part in group) for text in texts):
            near = [text for text in texts if any(part in text for part in group)] or texts
            wrong.append(f"together: expected one unit with {group}, found {near}")
    for group in checks.get("apart", []):
        wrong += [
            f"apart: expected at most one of {group}, found {text!r}"
            for text in texts
            if sum(part in text for part in group) > 1
        ]
    wrong += [f"never: found the unit {text!r}" for text in texts if text.strip() in checks.get("never", [])]
    for text, stretch in checks.get("back", {}).items():
        there = [unit.in_file for unit in found.units if unit.text == text]
        wrong += [] if there == [stretch] else [f"back: expected {stretch!r}, found {there}"]
    shown = [*texts, *found.headings, *found.titles]
    for string in checks.get("text_lacks", []):
        wrong += [f"text_lacks: found {string!r} in {text!r}" for text in shown if string in text]
    return wrong + check_spans(checks, found.units)


def check(checks: dict, found: Found) -> list[str]:
    """What of `checks` does not hold, in words."""
    wrong = differences("read", checks["read"], found.names) if "read" in checks else []
    for name, pattern in checks.get("left_out", {}).items():
        if not (name in found.left_out and re.search(pattern, found.left_out[name])):
            wrong.append(f"left_out: expected {name} for {pattern!r}, found {found.left_out.get(name)!r}")
    for key, values in (("language", found.languages), ("title", found.titles)):
        if key in checks and checks[key] not in values[:1]:
            wrong.append(f"{key}: expected {checks[key]!r}, found {values[:1]}")
    for key, value in checks.get("metadata", {}).items():
        there = (found.metadata or [{}])[0].get(key)
        wrong += [] if there == value else [f"metadata: expected {key} {value!r}, found {there!r}"]
    if checks.get("general_language", found.general_language) != found.general_language:
        wrong.append(f"general_language: expected {checks['general_language']!r}, found {found.general_language!r}")
    for heading in checks.get("headings", []):
        if " ".join(heading.split()) not in found.headings:
            wrong.append(f"headings: expected {heading!r}, found {found.headings}")
    if checks.get("exit_code", found.code) not in (found.code, "not 0" if found.code else found.code):
        wrong.append(f"exit_code: expected {checks['exit_code']}, found {found.code}")
    for pattern in checks.get("stderr_has", []):
        if not any(re.search(pattern, line) for line in found.lines):
            wrong.append(f"stderr_has: expected {pattern!r}, found {found.lines}")
    for pattern in checks.get("stderr_lacks", []):
        wrong += [f"stderr_lacks: found {pattern!r} in {line!r}" for line in found.lines if re.search(pattern, line)]
    return wrong + check_units(checks, found)


def check_accounts(found: Found) -> list[str]:
    """Whether every character is accounted for, none of it as not read."""
    total = sum(found.kinds.values())
    wrong = [] if total == found.length else [f"accounted: expected {found.length} characters, found {total}"]
    return wrong + (
        [f"not read: {found.kinds[NOT_READ]} of {found.length} characters"] if found.kinds[NOT_READ] else []
    )


def run(entry: Entry, folder: Path) -> tuple[list[str], Found]:
    """Read the documents of a "read" run, or those of a "collect" run; what is wrong, and what was read."""
    found = read(write_documents(entry, folder))
    keys = IN_PROCESS if entry.run == "read" else CHECKS

    def check_these(checks: dict) -> list[str]:
        return check({key: value for key, value in checks.items() if key in keys}, found)

    expected = (
        entry.expected
        if entry.run == "read"
        else {key: value for key, value in entry.expected.items() if key != "either"}
    )
    return failures(expected, check_these) + (check_accounts(found) if found.names else []), found
