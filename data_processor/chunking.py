"""From a folder of documents to chunks of at most N tokens, cut at paragraph and sentence borders, with overlap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from utils import InputError

OVERLAP_SHARE = 0.1  # of a chunk, repeated at the start of the next, so that a fact on a border is whole in one of them
ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|vs|etc|e\.g|i\.e|approx|Inc|Ltd|Co)|\b[A-Z])\.$")
SENTENCE_END = re.compile(r'(?:[.!?]["\'”’)]*(?=\s+["\'“‘(]?[A-Z0-9])|[。！？；]["”’）]*)')


@dataclass(frozen=True)
class Document:
    file_name: str
    text: str


@dataclass(frozen=True)
class Chunk:
    """A stretch of a document; `start` and `end` are offsets in characters."""

    file_name: str
    number: int
    start: int
    end: int
    text: str
    title: str


def read_documents(folder: str | Path) -> list[Document]:
    """All .txt files of a folder, in natural order; InputError names a file that cannot be read."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"expected a folder of .txt files at {folder}, found {'a file' if folder.exists() else 'nothing'}: give --data_path"
        )
    paths = sorted(
        folder.glob("*.txt"), key=lambda path: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", path.name)]
    )
    if not paths:
        raise InputError(f"expected .txt files in {folder}, found none: put the documents there")
    documents = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(
                f"expected UTF-8 text in {path}, found byte {error.object[error.start]:#04x} at {error.start}: save it as UTF-8 or take it out"
            ) from None
        if not text.strip():
            raise InputError(f"expected text in {path}, found an empty file: fill it or take it out")
        documents.append(Document(path.name, text))
    return documents


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
