"""The functions of data_processor/questions.py for a generator that cannot be trusted to ask: rules find what a fact can be asked for.

Questions that the model wrote for given answers were tried, and nearly all were wrong ("How many people attended the annual
conference in 1915?", "1896"): docs/log.md, 30 November 2026.
"""

from __future__ import annotations

from data_processor.chunking import Chunk
from data_processor.curation import content_words, find_subject, words
from data_processor.pairs import Fact, Pair, prompts_for
from data_processor.questions import unknown_pairs
from data_processor.small_model.cloze import find_gaps
from data_processor.small_model.cues import cue_questions
from data_processor.small_model.forms import other_forms
from data_processor.work import Work


def ask_questions(work: Work, facts: list[Fact], amount: int) -> list[Pair]:
    """Questions for up to `amount` answers per fact, each with a blank, and as a question where the grammar is clear."""
    asked: dict[tuple[str, str], Pair] = {}
    for fact in facts:
        gaps = find_gaps(fact, prompts_for(work, fact))[:amount]
        for gap in gaps:
            for pair in [*gap.cloze(), *other_forms(gap), *cue_questions(gap, gaps)]:
                asked.setdefault((pair.question, pair.answer), pair)
    return list(asked.values())


def ask_unknown(work: Work, chunks: list[Chunk], amount: int, among: list[Chunk] | None = None) -> list[Pair]:
    """`amount` stock questions on each chunk's subject, of which only those whose words its document does not use.

    `among` are all chunks of the documents, if there are more than `chunks`.
    """
    texts: dict[str, str] = {}
    for chunk in among or chunks:
        texts[chunk.file_name] = f"{texts.get(chunk.file_name, '')} {chunk.text}"
    asked: list[tuple[Chunk, str, str]] = []
    for number, (chunk, subject) in enumerate(chunks_with_subjects(chunks)):
        forms = work.prompts[chunk.language].table["words"]["unknown_questions"]
        for turn in range(min(amount, len(forms))):
            form = forms[(number + turn) % len(forms)]
            if not set(content_words(form.format(name=""))) & set(words(texts[chunk.file_name])):
                asked.append((chunk, subject, form.format(name=subject)))
    return unknown_pairs(work, asked)


def chunks_with_subjects(chunks: list[Chunk]) -> list[tuple[Chunk, str]]:
    """The chunks that have a subject, each with its subject."""
    subjects = [(chunk, find_subject(chunk.title, chunk.text)) for chunk in chunks]
    return [(chunk, subject) for chunk, subject in subjects if subject]
