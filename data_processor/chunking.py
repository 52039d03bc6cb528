"""Cut a document into overlapping chunks of at most N tokens, at paragraph and sentence boundaries."""

from __future__ import annotations

import bisect
import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import regex

from data_processor.documents import Document
from data_processor.edits import to_source
from data_processor.languages import detect_language
from data_processor.segmentation import ends_sentence
from data_processor.units import LONGEST_HEADING, Parsed, Unit, read_units
from engines.hub import require_model
from utils import InputError

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter

TIKTOKEN = "tiktoken:"
OPENAI_TOKENIZER = f"{TIKTOKEN}gpt-4o"  # used where only the API knows the model's own tokenizer

# Of a chunk, repeated at the start of the next, so that a fact at a boundary is complete in one of them.
OVERLAP_SHARE = 0.1
# Where the splitter, which goes by Unicode's rules, sees the end of a sentence.
ENDS_FOR_SPLITTER = regex.compile(r"[.!?](?=[\"'”’)\]]*\s)|[。！？](?=[”」』）]*\S)")

NOT_SPACE = regex.compile(r"\S")


@dataclass(frozen=True)
class Chunk:
    """Part of a document; `start` and `end` are character offsets into its cleaned text.

    `text` has wrapped lines joined; `places` leads from there back to the cleaned text, in pairs (offset in `text`, offset
    there). `language` is that of the prompts, `text_language` that of the text; `units` is what is asked for facts.
    `section` is the heading that its first unit stands under, where that is in a chunk before.
    `withheld` are the stretches of `text` that the generator's server refuses to read, added as that is found out.
    """

    file_name: str
    number: int
    start: int
    end: int
    text: str
    title: str
    language: str = "en"
    text_language: str = "en"
    places: tuple[tuple[int, int], ...] = ()
    units: tuple[Unit, ...] | None = field(default=None, compare=False)
    withheld: list[tuple[int, int]] = field(default_factory=list, compare=False)
    section: str = ""
    running: str = ""

    @property
    def heading(self) -> str:
        """What it is shown under to a model: its document's title, or else the name of the file, what runs over all pages, and
        the section.
        """
        name = self.title or self.file_name
        running = f" ({self.running})" if self.running and self.running.casefold() not in name.casefold() else ""
        return " – ".join(filter(None, (name + running, self.section)))

    def to_document(self, start: int, end: int) -> tuple[int, int]:
        """Offsets in the document's cleaned text of a part of `text`, which is not empty."""
        return to_source(self.places or ((0, self.start),), start, end)


def require_tokenizer(tokenizer: str | None) -> None:
    """Check --tokenizer before anything heavy is loaded."""
    if tokenizer and not tokenizer.startswith(TIKTOKEN):
        require_model(tokenizer, "a tokenizer")


@functools.lru_cache(maxsize=1)  # a second for an OpenAI model, and a big folder is cut part by part
def make_splitter(tokenizer, chunk_size: int):
    """A splitter that cuts texts into chunks of at most `chunk_size` tokens.

    `tokenizer` is a Hugging Face tokenizer, a model's folder or name, or "tiktoken:MODEL" for an OpenAI model's tokens
    (they ship with the splitter's package, so nothing is downloaded).
    """
    from semantic_text_splitter import TextSplitter

    size = {"capacity": chunk_size, "overlap": int(chunk_size * OVERLAP_SHARE)}
    if isinstance(tokenizer, str) and tokenizer.startswith(TIKTOKEN):
        try:
            return TextSplitter.from_tiktoken_model(tokenizer.removeprefix(TIKTOKEN), **size)
        except Exception as error:  # the library raises nothing more specific
            raise InputError(
                f"expected an OpenAI model after {TIKTOKEN}, found {tokenizer} ({error}): try {OPENAI_TOKENIZER}"
            ) from None
    if isinstance(tokenizer, str):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    return TextSplitter.from_huggingface_tokenizer(tokenizer.backend_tokenizer, **size)


def parse(document: Document, language: str) -> Parsed:
    """The units of a document in this language, with the headings, rows and paragraphs that its markup tells."""
    known = dict.fromkeys((start for start, _ in document.headings), "heading")
    known |= dict.fromkeys((start for start, _ in document.rows), "row")
    return read_units(document.text, language, known, document.paragraphs)


def chunk_document(
    document: Document,
    splitter: TextSplitter,
    language: str = "en",
    text_language: str | None = None,
    parsed: Parsed | None = None,
) -> list[Chunk]:
    """Cut one document with a splitter from `make_splitter`.

    `language` is that of the prompts. `text_language`, that of the text, and `parsed`, its units, are found if they are None.

    Its wrapped lines are joined first. Every unit is whole in one of the chunks; one longer than a chunk is in parts. Where boilerplate was set aside,
    chunks without units are left out.
    """
    text_language = text_language or detect_language(document.text)
    parsed = parsed or parse(document, text_language)
    text, title = parsed.joined.text, document.title or parsed.title
    title = title if len(title) <= LONGEST_HEADING or title == parsed.head else ""
    spans = [(start, start + len(part)) for start, part in splitter.chunk_indices(hide_stops(text, parsed.units))]
    units = share_out(parsed.units, spans)
    spans = without_loose_ends(parsed, spans, units)
    return [
        Chunk(
            document.file_name, number, *parsed.joined.to_source(start, end), text[start:end], title, language,
            text_language, cut_places(parsed.joined.offsets, start, end), tuple(units[number]),
            section=section_of(parsed, start, title) if units[number] else "", running=document.running,
        )
        for number, (start, end) in enumerate(spans) if units[number] or not parsed.boilerplate
    ]  # fmt: skip


def without_loose_ends(parsed: Parsed, spans: list[tuple[int, int]], units: list[list[Unit]]) -> list[tuple[int, int]]:
    """The chunks' spans without a heading or a lead-in at their end, where it leads to nothing, if the next has it too."""
    leading, text = sorted([*parsed.headings, *parsed.leads]), parsed.joined.text
    for number, (start, end) in enumerate(spans[:-1]):
        last = start + max((unit.end for unit in units[number]), default=end)
        after = bisect.bisect_left(leading, (last, 0))
        loose = leading[after][0] if after < len(leading) else end
        if spans[number + 1][0] <= loose < end:
            spans[number] = (start, start + len(text[start:loose].rstrip()))
    return spans


def section_of(parsed: Parsed, start: int, title: str) -> str:
    """The last heading before a chunk that begins at `start`, unless the chunk begins with one, or that is the title."""
    begins = NOT_SPACE.search(parsed.joined.text, start).start()
    after = bisect.bisect_right(parsed.headings, begins, key=lambda span: span[0])
    first, last = parsed.headings[after - 1] if after else (0, 0)
    if begins < last or not after:
        return ""
    section = " ".join(parsed.joined.text[first:last].strip("# \t").split())
    return section if section != title and len(section) <= LONGEST_HEADING else ""


def hide_stops(text: str, units: list[Unit]) -> str:
    """The text without stops in the middle of a unit ("Dr. Ann"), at which a splitter would cut."""
    letters = list(text)
    for unit in units:
        tail = text[unit.start : unit.end].rstrip("\"'”’)]」』）")
        for stop in ENDS_FOR_SPLITTER.finditer(text, unit.start, unit.start + max(0, len(tail) - 1)):
            letters[stop.start()] = ","
    return "".join(letters)


def share_out(units: list[Unit], spans: list[tuple[int, int]]) -> list[list[Unit]]:
    """For each chunk's span, the units that are whole in it, and the parts of those that are whole in none.

    Their offsets are those in the chunk.
    """
    shared: list[list[Unit]] = [[] for _ in spans]
    for unit in units:
        holders = [number for number, (start, end) in enumerate(spans) if start <= unit.start and unit.end <= end]
        done = unit.start
        for number, (start, end) in enumerate(spans):
            first, last = (unit.start, unit.end) if holders else (max(done, start), min(unit.end, end))
            if (number in holders or not holders) and first < last:
                done = last
                shared[number].append(replace(unit, start=first - start, end=last - start))
    return shared


def cut_places(places: tuple[tuple[int, int], ...], start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Of the pairs that lead back from a text to its source, those of a part, counted from the part's start."""
    inside = [(here - start, there) for here, there in places if start < here < end]
    return ((0, to_source(places, start, end)[0]), *inside)


def chunk_units(chunk: Chunk) -> tuple[Unit, ...]:
    """What is asked for facts in a chunk, in order."""
    return tuple(read_units(chunk.text, chunk.text_language).units) if chunk.units is None else chunk.units


def sentence_spans(text: str, language: str | None = None) -> list[tuple[int, int]]:
    """The start and end of each sentence with an end mark, so without headings; wrapped lines are one sentence.

    `language` is a code such as "de", and found in the text if it is None.
    """
    language = language or detect_language(text)
    parsed = read_units(text, language)
    return [
        parsed.joined.to_source(unit.start, unit.end)
        for unit in parsed.units
        if ends_sentence(parsed.joined.text[unit.start : unit.end], language)
    ]
