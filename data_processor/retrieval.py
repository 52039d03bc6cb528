"""Source text for a question's prompt: its own document (open book), or the chunks that BM25 finds for it (RAG)."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from data_processor.chunking import Chunk
from data_processor.conversion import kept_file
from data_processor.documents import Document, clean, read_file
from utils import InputError

# Scripts whose terms are pairs of neighbouring characters: Chinese, Japanese, Korean (as in Lucene's CJKAnalyzer)
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
TERM = re.compile(rf"(?P<unspaced>[{UNSPACED}]+)|[^\W{UNSPACED}]+")


class Retriever:
    """A BM25 index of chunks (Robertson & Zaragoza 2009), using the library bm25s."""

    def __init__(self, chunks: list[Chunk]):
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it tells of every index it builds
        self.chunks = chunks
        self.index = bm25s.BM25()
        self.index.index([terms(chunk.text) for chunk in chunks], show_progress=False)

    def search(self, question: str, count: int) -> list[Chunk]:
        """At most `count` chunks that share a term with the question, best first; ties stay in corpus order."""
        import numpy

        known = [term for term in terms(question) if term in self.index.vocab_dict]
        if not known:
            return []
        scores = self.index.get_scores(known)
        best = numpy.argsort(-scores, kind="stable")[:count]
        return [self.chunks[index] for index in best if scores[index] > 0]


def terms(text: str) -> list[str]:
    """The terms that are indexed: words and numbers in lower case, and character pairs in UNSPACED scripts."""
    result = []
    for match in TERM.finditer(text.lower()):
        word = match.group()
        pairs = [word[i : i + 2] for i in range(len(word) - 1)] if match["unspaced"] else []
        result += pairs or [word]
    return result


def find_chunks(
    questions: list[str], documents: list[Document], tokenizer, chunk_size: int, count: int
) -> list[list[tuple[str, dict]]]:
    """For each question, the chunks to put in its prompt, each as (text, {"file_name", "start", "end"})."""
    from data_processor.chunking import chunk_document, make_splitter

    splitter = make_splitter(tokenizer, chunk_size)
    by_name = {document.file_name: document for document in documents}
    retriever = Retriever([chunk for document in documents for chunk in chunk_document(document, splitter)])

    def location(chunk: Chunk) -> dict:
        start, end = by_name[chunk.file_name].to_file_offsets(chunk.start, chunk.end)
        return {"file_name": chunk.file_name, "start": start, "end": end}

    return [[(chunk.text, location(chunk)) for chunk in retriever.search(question, count)] for question in questions]


def read_source_documents(folder: str, rows: list[dict], path: str, out: Path | None = None) -> dict[str, str]:
    """The text, without markup, of every document named in `rows`, which come from the file at `path`.

    `out` is the folder of the run, which has the texts of PDF and Word files.
    """
    texts = {}
    for name in {str(row.get("file_name") or "") for row in rows}:
        document = Path(folder) / name
        if not name or not document.is_file():
            raise InputError(
                f"expected the document {name!r} of {path} in {folder}, found none: give the folder collection read"
            )
        found = read_file(document, kept_file(out, name))
        if found.text is None:
            raise InputError(f"expected text in {document}, found none: {found.reason}")
        texts[name] = clean(name, found.text).text
    return texts
