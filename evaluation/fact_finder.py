"""The fact of a dataset that a question is about, by the words they share; none for a question about something else."""

from __future__ import annotations

import math
from collections import Counter

from data_processor.chunking import Chunk
from data_processor.dataset import question_and_reference, source_of
from data_processor.retrieval import Retriever, terms

CANDIDATES = 10  # of BM25's best; the first that covers enough of the question is taken
COVERED = 0.45  # of a question's words, weighted by how rare they are, must be in a row's question, answer and fact


class FactFinder:
    """Searches the rows of a dataset that have a fact and its quote."""

    def __init__(self, rows: list[dict]):
        self.rows = [row for row in rows if row.get("fact") and source_of(row).get("quote")]
        texts = [" ".join([*question_and_reference(row), row["fact"]]) for row in self.rows]
        self.terms = [frozenset(terms(text)) for text in texts]
        self.counts = Counter(term for one in self.terms for term in one)
        chunks = [Chunk("", number, 0, len(text), text, "") for number, text in enumerate(texts)]
        self.retriever = Retriever(chunks) if chunks else None

    def find(self, question: str) -> dict | None:
        """The row of the dataset that fits best, None if none fits."""
        asked = set(terms(question))
        total = sum(map(self._weight, asked))
        if self.retriever is None or not total:
            return None
        for chunk in self.retriever.search(question, CANDIDATES):
            if sum(map(self._weight, asked & self.terms[chunk.number])) >= COVERED * total:
                return self.rows[chunk.number]
        return None

    def _weight(self, term: str) -> float:
        """How rare a term is in the rows: BM25's idf (Robertson & Zaragoza 2009); one in no row counts as if it were in one."""
        count = max(self.counts[term], 1)
        return math.log(1 + (len(self.rows) - count + 0.5) / (count + 0.5))
