"""From a document to chunks of at most N tokens, cut at paragraph and sentence borders, with overlap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_processor.documents import Document
from utils import InputError, require_model

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter

TIKTOKEN = "tiktoken:"
OPENAI_TOKENIZER = f"{TIKTOKEN}gpt-4o"  # counts where only an API knows the model's own

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
    language: str = "en"


def require_tokenizer(tokenizer: str | None) -> None:
    """Check the --tokenizer of a command line before anything heavy is loaded."""
    if tokenizer and not tokenizer.startswith(TIKTOKEN):
        require_model(tokenizer, "a tokenizer")


def splitter(tokenizer, chunk_size: int):
    """Cuts texts into chunks of at most `chunk_size` tokens.

    `tokenizer` is a Hugging Face tokenizer, or "tiktoken:MODEL" for the tokens of an OpenAI model (in the splitter's
    own package: nothing is downloaded), or a model's folder or name.
    """
    from semantic_text_splitter import TextSplitter

    size = {"capacity": chunk_size, "overlap": int(chunk_size * OVERLAP_SHARE)}
    if isinstance(tokenizer, str) and tokenizer.startswith(TIKTOKEN):
        try:
            return TextSplitter.from_tiktoken_model(tokenizer.removeprefix(TIKTOKEN), **size)
        except Exception as error:  # the library raises nothing narrower
            raise InputError(
                f"expected a model of OpenAI after {TIKTOKEN}, found {tokenizer} ({error}): try {OPENAI_TOKENIZER}"
            ) from None
    if isinstance(tokenizer, str):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    return TextSplitter.from_huggingface_tokenizer(tokenizer.backend_tokenizer, **size)


def chunk_document(document: Document, split: TextSplitter, language: str = "en") -> list[Chunk]:
    """Cut one document with a `splitter`."""
    title = document_title(document.text)
    return [
        Chunk(document.file_name, number, start, start + len(text), text, title, language)
        for number, (start, text) in enumerate(split.chunk_indices(document.text))
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
