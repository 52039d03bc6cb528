"""Cut a document into overlapping chunks of at most N tokens, at paragraph and sentence boundaries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_processor.documents import Document
from engines.hub import require_model
from utils import InputError

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter

TIKTOKEN = "tiktoken:"
OPENAI_TOKENIZER = f"{TIKTOKEN}gpt-4o"  # used where only the API knows the model's own tokenizer

OVERLAP_SHARE = (
    0.1  # of a chunk, repeated at the start of the next, so that a fact at a boundary is complete in one of them
)
ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|vs|etc|e\.g|i\.e|approx|Inc|Ltd|Co)|\b[A-Z])\.$")
SENTENCE_END = re.compile(r'(?:[.!?]["\'”’)]*(?=\s+["\'“‘(]?[A-Z0-9])|[。！？；]["”’）]*)')


@dataclass(frozen=True)
class Chunk:
    """Part of a document; `start` and `end` are character offsets into its cleaned text."""

    file_name: str
    number: int
    start: int
    end: int
    text: str
    title: str
    language: str = "en"


def require_tokenizer(tokenizer: str | None) -> None:
    """Check --tokenizer before anything heavy is loaded."""
    if tokenizer and not tokenizer.startswith(TIKTOKEN):
        require_model(tokenizer, "a tokenizer")


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


def chunk_document(document: Document, splitter: TextSplitter, language: str = "en") -> list[Chunk]:
    """Cut one document with a splitter from `make_splitter`."""
    title = document_title(document.text)
    return [
        Chunk(document.file_name, number, start, start + len(text), text, title, language)
        for number, (start, text) in enumerate(splitter.chunk_indices(document.text))
    ]


def document_title(text: str) -> str:
    """The first line if it is a heading rather than a sentence, else an empty string."""
    first_line = text.strip().splitlines()[0].strip()
    return "" if len(first_line) > 120 or first_line.endswith((".", "。", "!", "?")) else first_line.lstrip("# ")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """The start and end of each sentence, without headings (lines that end in no sentence mark)."""
    untrimmed = []
    for line in re.finditer(r"[^\n]+", text):
        start = line.start()
        for mark in SENTENCE_END.finditer(text, line.start(), line.end()):
            if not ABBREVIATION.search(text[start : mark.start() + 1]):
                untrimmed.append((start, mark.end()))
                start = mark.end()
        if re.search(r'[.!?。！？]["\'”’)）]*\s*$', text[start : line.end()]):
            untrimmed.append((start, line.end()))
    left_trimmed = [(s + len(text[s:e]) - len(text[s:e].lstrip()), e) for s, e in untrimmed]
    return [(s, s + len(text[s:e].rstrip())) for s, e in left_trimmed if text[s:e].strip()]
