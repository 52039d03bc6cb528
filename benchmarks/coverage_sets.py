"""A collected dataset with the texts it was made from, and what it covers of them: for benchmarks/coverage.py.

In: a dataset as collection writes it, with its meta file, which names the folder of texts, and its data.chunks.jsonl; of
paragraphs from benchmarks/passages.py also FOLDER.passages.json, and the file with their questions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import runs
from benchmarks.collection_quality import SHOWN, answer, question, quoted
from benchmarks.coverage_measures import (
    RECALL,
    Asked,
    Fact,
    Span,
    answerable,
    covered,
    holds,
    overlap,
    share,
    shortest,
    token_recall,
    words_quoted,
)  # fmt: skip
from benchmarks.passages import Paragraph, places_file, read_articles
from data_processor.chunking import parse
from data_processor.curation import words
from data_processor.documents import Document, clean, read_documents, read_text
from data_processor.languages import detect_language
from data_processor.spans import find_spans
from utils import InputError, read_json

STATES_NOTHING = (
    "states nothing"  # in the reasons of a meta file: sentences that the model called a heading, a greeting, ...
)
QUESTION_KINDS = ("qa", "reverse", "held_out_wording", "held_out_fact")  # the last two in data.test.json


@dataclass
class Collection:
    """A dataset: `rows` with those held out, `documents` and the `texts` of their files by name, `chunks` by FILE#NUMBER."""

    name: str
    rows: list[dict]
    documents: dict[str, Document]
    texts: dict[str, str]
    chunks: dict[str, str]
    meta: dict

    def place(self, name: str, start: int, end: int) -> Span:
        """Where a part of a file stands in its document's text."""
        return self.documents[name].to_text_offset(start), self.documents[name].to_text_offset(end)


@dataclass(frozen=True)
class Passage:
    """A paragraph with human questions, where it begins in a file, and where it stands in the text of the document."""

    paragraph: Paragraph
    file_name: str
    start: int
    span: Span


def read_collection(path: str | Path) -> Collection:
    """A dataset and its texts; InputError if a part of it is missing."""
    path = Path(path)
    meta, rows = runs.meta(path), runs.rows(path)
    if path.with_suffix(".test.json").exists():
        rows = rows + runs.rows(path.with_suffix(".test.json"))
    chunks = read_json(path.with_suffix(".chunks.jsonl"), "the chunks of a dataset", "collect it again", or_lines=True)
    folder = Path(meta["arguments"]["data_path"])
    documents = {document.file_name: document for document in read_documents(folder)}
    missing = {row["file_name"] for row in rows} - set(documents)
    if missing:
        raise InputError(f"expected the texts of {path} in {folder}, found no {min(missing)}: put it back")
    texts = {name: read_text(folder / name) or "" for name in documents}
    name = path.stem if path.stem != "data" else path.resolve().parent.name
    return Collection(name, rows, documents, texts, {one["id"]: one["text"] for one in chunks}, meta)


def read_passages(collection: Collection, files: dict[str, Path]) -> list[Passage]:
    """The paragraphs of a collection, in the order of its files; `files` has those with questions by their names."""
    places = read_json(places_file(collection.meta["arguments"]["data_path"]), "places", "see benchmarks/passages.py")
    if places["file"] not in files:
        raise InputError(
            f"expected {places['file']} in --bench for {collection.name}, found {', '.join(files)}: add it"
        )
    articles = read_articles(files[places["file"]])
    by_number = {one.number: one for paragraphs in articles.values() for one in paragraphs}
    passages = []
    for place in places["paragraphs"]:
        paragraph, name, start = by_number[place["number"]], place["file_name"], place["start"]
        if not collection.texts.get(name, "").startswith(paragraph.text, start):
            raise InputError(
                f"expected paragraph {paragraph.number} in {name} at {start}, found other text: draw it anew"
            )
        span = collection.place(name, start, start + len(paragraph.text))
        passages.append(Passage(paragraph, name, start, span))
    return passages


def quotes_of(row: dict) -> list[dict]:
    """The quotes a row rests on, each with its file; none for a question without an answer."""
    source = row.get("source", {})
    found = [source, *source.get("more", [])] if source.get("quote") else []
    return [{"file_name": row["file_name"], **quote} for quote in found]


def is_question(row: dict) -> bool:
    return row["kind"] in QUESTION_KINDS


def facts_by_file(collection: Collection) -> dict[str, dict[str, Fact]]:
    """For each file, the facts that quote it by their ids."""
    asked = {row["fact_id"] for row in collection.rows if is_question(row)}
    found: dict[str, dict[str, Fact]] = {name: {} for name in collection.documents}
    for row in collection.rows:
        for quote in quotes_of(row):
            fact = found[quote["file_name"]].setdefault(row["fact_id"], Fact(is_asked=row["fact_id"] in asked))
            span = collection.place(quote["file_name"], quote["start"], quote["end"])
            if span not in fact.spans:
                fact.spans.append(span)
                fact.quotes.append(quote["quote"])
    return found


def sentences_of(document: Document) -> list[Span]:
    """Where the sentences, items and rows of a document stand in its text."""
    parsed = parse(document, detect_language(document.text))
    return [parsed.joined.to_source(unit.start, unit.end) for unit in parsed.units if unit.start < unit.end]


def not_verified(collection: Collection) -> list[str]:
    """The quotes that do not stand in their files where their rows say."""
    places = {(q["file_name"], q["start"], q["end"], q["quote"]) for row in collection.rows for q in quotes_of(row)}
    return [
        f"{collection.name}/{one[0]} {one[1]}-{one[2]}" for one in sorted(places) if not is_verified(collection, *one)
    ]


def is_verified(collection: Collection, name: str, start: int, end: int, quote: str) -> bool:
    """Whether a quote is a part of a file, or what is read of it: without marks, or a row with its table's header.

    What is read there is looked up by the collection's own way back to the file, so its end is looked for in the file too.
    """
    part, (first, last) = collection.texts[name][start:end], collection.place(name, start, end)
    source = {"start": 0, "end": None, "quote": quote}
    if quoted(source, part) or quoted(source, clean(name, part).text):
        return True
    return words(part)[-1:] == words(quote)[-1:] and quoted(source, collection.documents[name].text[first:last])


def measure(collection: Collection) -> dict:
    """What a collection covers of its texts, and what it took: shares, counts and means."""
    facts, sentences, missed = facts_by_file(collection), 0, []
    for name, document in collection.documents.items():
        spans = sentences_of(document)
        sentences += len(spans)
        missed += [(name, span) for span in spans if not covered(span, facts[name].values())]
    quotes = {(q["file_name"], q["start"], q["end"]) for row in collection.rows for q in quotes_of(row)}
    wrong = not_verified(collection)
    quoted_words = sum(len(words(q)) for of_file in facts.values() for fact in of_file.values() for q in fact.quotes)
    chunk_words = sum(len(words(text)) for text in collection.chunks.values())
    ids = {fact_id for of_file in facts.values() for fact_id in of_file}
    asked = [row for row in collection.rows if is_question(row)]
    return {
        "documents": len(collection.documents),
        "chunks": len(collection.chunks),
        "sentences": sentences,
        "facts": len(ids),
        "questions": len(asked),
        "rows": dict(Counter(kind_and_form(row) for row in collection.rows)),
        "sentences_covered": share(sentences - len(missed), sentences),
        "sentences_missed": [f"{name} {start}-{end}" for name, (start, end) in missed],
        "called_empty": {key: n for key, n in collection.meta.get("dropped", {}).items() if STATES_NOTHING in key},
        "quotes": len(quotes),
        "quotes_verified": share(len(quotes) - len(wrong), len(quotes)),
        "quotes_not_found": wrong[:SHOWN],
        "quote_share": share(quoted_words, chunk_words),
        "words_per_fact_quoted": share(quoted_words, len(ids)),
        "facts_per_sentence": share(len(ids), sentences),
        "rows_per_sentence": share(len(asked), sentences),
        **measure_calls(collection.meta),
    }


def kind_and_form(row: dict) -> str:
    """What sort of row it is: "qa why", "reverse", "passage"."""
    form = row.get("form", "")
    return row["kind"] if form in ("", row["kind"]) else f"{row['kind']} {form}"


def measure_calls(meta: dict) -> dict:
    """Calls a chunk, and tokens a fact, of a collection of this or of an earlier version."""
    counts, tokens = meta["counts"], meta["tokens"]
    calls = meta["calls"]["asked"] + meta["calls"]["from_journal"]
    return {
        "calls_per_chunk": share(calls, counts["chunks"]),
        "tokens_per_fact": {kind: share(tokens[kind], counts["facts"]) for kind in ("prompt", "completion")},
    }


def measure_questions(collection: Collection, passages: list[Passage]) -> dict:
    """Of human questions, the share that the question rows of their paragraph answer, and beside it:

    `answer_held`: some row's answer has the reference, whatever it asks; `answerable_by_next_paragraph`, by whose rows none
    should be; `rules_ceiling`: the reference stands in a name, date, number or quotation that rules find.
    """
    rows = [question_rows(collection, passage) for passage in passages]
    counts: Counter[str] = Counter()
    for number, passage in enumerate(passages):
        language = detect_language(passage.paragraph.text)
        following = rows[(number + 1) % len(rows)] if len(rows) > 1 else []
        spans = [passage.paragraph.text[start:end] for start, end, _ in find_spans(passage.paragraph.text)]
        for one in passage.paragraph.questions:
            reference = shortest(one.references)
            counts["asked"] += 1
            counts["answerable"] += answerable(one.text, one.references, rows[number], language)
            counts["answer_held"] += any(holds(reference, row, language) for row in rows[number])
            counts["answerable_by_next_paragraph"] += answerable(one.text, one.references, following, language)
            counts["rules_ceiling"] += any(token_recall(reference, span, language) >= RECALL for span in spans)
    keys = ("answerable", "answer_held", "answerable_by_next_paragraph", "rules_ceiling")
    return {
        "paragraphs": len(passages),
        "human_questions": counts["asked"],
        **{key: share(counts[key], counts["asked"]) for key in keys},
    }


def question_rows(collection: Collection, passage: Passage) -> list[Asked]:
    """The question rows whose first quote stands in a paragraph."""
    found = []
    for row in filter(is_question, collection.rows):
        for quote in quotes_of(row)[:1]:
            name, start, end = passage.file_name, quote["start"], quote["end"]
            if quote["file_name"] == name and overlap(collection.place(name, start, end), passage.span):
                quotes = " ".join(quote["quote"] for quote in quotes_of(row))
                found.append(Asked(question(row), answer(row), f"{row['fact']} {quotes}"))
    return found


def measure_spans(collection: Collection, passages: list[Passage]) -> dict:
    """Of the spans that answer human questions, the share of content words inside quotes: the mean over all answers."""
    facts, shares = facts_by_file(collection), []
    for passage in passages:
        document, text = collection.documents[passage.file_name], passage.paragraph.text
        for one in passage.paragraph.questions:
            for reference in dict.fromkeys(one.references):
                if (place := one.start_of(reference, text)) < 0:
                    continue
                start = passage.start + place
                span = collection.place(passage.file_name, start, start + len(reference))
                inside, of = words_quoted(document.text, span, facts[passage.file_name].values(), detect_language(text))
                shares += [inside / of] if of else []
    return {"spans": len(shares), "spans_covered": share(sum(shares), len(shares))}
