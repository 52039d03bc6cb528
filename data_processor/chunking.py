"""From a document to chunks of at most N tokens, cut at paragraph and sentence borders, with overlap."""

from __future__ import annotations

import re
from dataclasses import dataclass

from data_processor.documents import Document

OVERLAP_SHARE = 0.1  # of a chunk, repeated at the start of the next, so that a fact on a border is whole in one of them
ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|vs|etc|e\.g|i\.e|approx|Inc|Ltd|Co)|\b[A-Z])\.$")
SENTENCE_END = re.compile(r'(?:[.!?]["\'”’)]*(?=\s+["\'“‘(]?[A-Z0-9])|[。！？；]["”’）]*)')


@dataclass(frozen=True)
class Chunk:
    """A stretch of a document; `start` and `end` are offsets in its clean text, in characters."""

    file_name: str
    number: int
    start: int
    end: int
    text: str
    title: str


def chunk_document(document: Document, tokenizer, chunk_size: int) -> list[Chunk]:
    """Cut one document; `tokenizer` is a Hugging Face tokenizer, `chunk_size` the most tokens of a chunk."""
    from semantic_text_splitter import TextSplitter

    splitter = TextSplitter.from_huggingface_tokenizer(
        tokenizer.backend_tokenizer, capacity=chunk_size, overlap=int(chunk_size * OVERLAP_SHARE)
    )
    title = document_title(document.text)
    return [
        Chunk(document.file_name, number, start, start + len(text), text, title)
        for number, (start, text) in enumerate(splitter.chunk_indices(document.text))
    ]


def document_title(text: str) -> str:
    """The first line, if it is a heading rather than a sentence; else nothing."""
    first = text.strip().splitlines()[0].strip()
    return "" if len(first) > 120 or first.endswith((".", "。", "!", "?")) else first.lstrip("# ")


def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, headings left out (a line without an end mark is a heading)."""
    found = []
    for line in re.finditer(r"[^\n]+", text):
        start = line.start()
        for mark in SENTENCE_END.finditer(text, line.start(), line.end()):
            if not ABBREVIATION.search(text[start : mark.start() + 1]):
                found.append((start, mark.end()))
                start = mark.end()
        if re.search(r'[.!?。！？]["\'”’)）]*\s*$', text[start : line.end()]):
            found.append((start, line.end()))
    trimmed = [(s + len(text[s:e]) - len(text[s:e].lstrip()), e) for s, e in found]
    return [(s, s + len(text[s:e].rstrip())) for s, e in trimmed if text[s:e].strip()]
