"""The texts, datasets and questions of benchmarks/knowledge.py, in the forms that the scripts of this repository read.

A corpus is a folder: `texts/` with a .txt for every document, `wrong_texts/` with the same names and each the text of the
next document, `data.json` with its `data.chunks.jsonl`, `questions.json`. What is asked is never in what is trained: the
questions of people stand in questions.json alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from benchmarks.coverage_measures import shortest
from benchmarks.coverage_sets import Collection, read_collection, read_passages
from benchmarks.passages import Question, read_articles
from utils import InputError, read_json, write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
GENERAL_FILES = (ROOT / "evaluation/general/questions.json", ROOT / "benchmarks/general_questions.json")
OWN, GIVEN, RECORDED = "own", "given_text", "recorded"  # who wrote what is trained
PARTS, ALL = ("dev", "report"), "all"
DEV_SHARE = 3  # one passage in so many is for choosing settings
REWRITE = 1.25  # words of a rewrite for each of the passage
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
LIST_MARK = re.compile(r"^(?:\d+[.)]|[-*]|#+)\s+")
# as collection asks for a text
ABOUT = ("Tell me about {}.", "What do you know about {}?", "What can you say about {}?")


@dataclass(frozen=True)
class Passage:
    """A document with the questions of people about it, and rows to train on where somebody wrote them."""

    title: str
    text: str
    questions: tuple[Question, ...]
    rows: tuple[dict, ...] = ()

    @property
    def key(self) -> str:
        """A hash of the text: the same passage in any file, at any place."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def part(self) -> str:
        """dev, where settings are chosen, or report, where they are measured: fixed by the text."""
        return PARTS[int(self.key, 16) % DEV_SHARE > 0]


def choose(passages: Iterable[Passage], part: str, amount: int | None) -> list[Passage]:
    """The first `amount` passages of a part, in the order of their hashes; InputError if there are fewer."""
    if part not in (*PARTS, ALL):
        raise InputError(f"expected --part {', '.join((*PARTS, ALL))}, found {part}: give one of them")
    asked = {one.key: one for one in passages if one.questions}  # a passage that stands twice in a file is one
    found = sorted((one for one in asked.values() if part in (ALL, one.part)), key=lambda one: one.key)
    if len(found) < (amount or 1):
        raise InputError(
            f"expected {amount or 1} passages with questions in the part {part}, found {len(found)}: lower --passages"
        )
    return found[:amount]


def read_source(given: str | None, passages_file: str | None) -> tuple[str, list[Passage]]:
    """Who wrote what is trained, and all passages of the files; InputError if a file has another form."""
    if not given and not passages_file:
        raise InputError("expected --given or --passages_file, found neither: give passages with questions")
    if not given:
        if isinstance(read_json(passages_file, "passages"), list):
            _, passages = read_source(passages_file, None)
            return OWN, [replace(one, rows=()) for one in passages]
        articles = read_articles(passages_file)
        return OWN, [Passage(one.title, one.text, one.questions) for group in articles.values() for one in group]
    rows = read_json(given, "given text or a dataset")
    first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    if "conversations" in first:
        if not passages_file:
            raise InputError(
                f"expected --passages_file with the dataset {given}, found none: give the file of its questions"
            )
        return RECORDED, recorded_passages(rows, read_collection(given), passages_file)
    if not {"title", "context", "questions", "self_qa", "rewrites"} <= set(first):
        raise InputError(
            f"expected title, context, questions, self_qa and rewrites in {given}, found {', '.join(first) or 'no list of objects'}: "
            "see benchmarks/knowledge.py"
        )
    return GIVEN, [given_passage(one) for one in rows]


def given_passage(one: dict) -> Passage:
    """A passage of the given form: [{title, context, questions: [[q, a]], self_qa: [[q, a]], rewrites: [text]}].

    Its rows: the questions of the model that wrote the text, the passage itself and each of its rewrites. Some of those
    are a numbered list of up to 40 rewrites, so each is read for as long as one: `first_rewrite`.
    """
    title = unquote(one["title"])  # "2007%E2%80%9308"
    questions = tuple(Question(question, ((answer, -1),)) for question, answer in one["questions"])
    texts = [one["context"], *(first_rewrite(text, one["context"]) for text in one["rewrites"])]
    rows = [to_row(question, answer, "qa") for question, answer in one["self_qa"]]
    rows += [to_row(ABOUT[i % len(ABOUT)].format(title), text, "passage") for i, text in enumerate(texts)]
    return Passage(title, one["context"], questions, tuple(row for row in rows if row["fact"].strip()))


def first_rewrite(text: str, passage: str) -> str:
    """The sentences of a text, without the mark of a list before the first, up to REWRITE times the words of the passage."""
    sentences, kept = SENTENCE_END.split(LIST_MARK.sub("", text.strip())), []
    most = REWRITE * len(passage.split())
    for sentence in sentences:
        if kept and len(" ".join([*kept, sentence]).split()) > most:
            break
        kept.append(sentence)
    return re.sub(r"(?<=[.!?])\s+(?:\d{1,2}[.)]|[-*])$", "", " ".join(kept))


def to_row(question: str, answer: str, kind: str) -> dict:
    """A row of a dataset, still without id, document and chunk."""
    turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
    return {"conversations": turns, "fact": answer, "kind": kind, "role": "", "source": {"chunk": 0}}


def recorded_passages(dataset: list[dict], collection: Collection, passages_file: str) -> list[Passage]:
    """The documents of a collected dataset as passages, each with its rows and their chunks; what it holds out is left out."""
    questions: dict[str, list[Question]] = {}
    titles: dict[str, str] = {}
    for found in read_passages(collection, {Path(passages_file).name: Path(passages_file)}):
        questions.setdefault(found.file_name, []).extend(found.paragraph.questions)
        titles.setdefault(found.file_name, found.paragraph.title)
    chunks = {name: {} for name in questions}
    for chunk, text in collection.chunks.items():
        name, _, number = chunk.rpartition("#")
        chunks.get(name, {})[int(number)] = text
    rows: dict[str, list[dict]] = {name: [] for name in questions}
    for row in dataset:
        if row["file_name"] in rows:
            rows[row["file_name"]].append(
                {**row, "chunk_text": chunks[row["file_name"]].get(row["source"].get("chunk"), "")}
            )
    return [
        Passage(titles[name], collection.texts[name], tuple(questions[name]), tuple(rows[name])) for name in questions
    ]


def write_corpus(passages: Sequence[Passage], folder: Path) -> None:
    """Write texts, wrong texts and questions, and the dataset if the passages have rows.

    A corpus that stands there complete is left as it is; `corpus.json` is written last.
    """
    if (folder / "corpus.json").exists():
        return
    names = [f"passage_{number:03}.txt" for number in range(len(passages))]
    for number, (name, passage) in enumerate(zip(names, passages, strict=True)):
        write_text(folder / "texts" / name, passage.text)
        write_text(folder / "wrong_texts" / name, passages[(number + 1) % len(passages)].text)
    write_json(folder / "questions.json", question_rows(zip(names, passages, strict=True)))
    if all(passage.rows for passage in passages):
        write_dataset(list(zip(names, passages, strict=True)), folder / "data.json")
    write_json(folder / "corpus.json", {"documents": dict(zip(names, (one.key for one in passages), strict=True))})


def question_rows(passages: Iterable[tuple[str, Passage]]) -> list[dict]:
    """What people asked, with the shortest of their answers as the reference."""
    asked = [(name, one) for name, passage in passages for one in passage.questions]
    return [
        {"id": f"question_{number}", "question": one.text, "reference": shortest(one.references), "file_name": name}
        for number, (name, one) in enumerate(asked)
    ]


def write_dataset(passages: Sequence[tuple[str, Passage]], path: Path) -> None:
    """Write the rows of passages as a dataset, and beside it the chunk that each row was made from."""
    rows, chunks = [], {}
    for name, passage in passages:
        for number, row in enumerate(passage.rows):
            row = {**row, "file_name": name, "id": f"identity_{len(rows)}"}
            text, chunk = row.pop("chunk_text", passage.text), row["source"].get("chunk", 0)
            row["fact_id"] = f"{name}#{row['fact_id'].rpartition('#')[2] if 'fact_id' in row else number}"
            rows.append(row)
            if text:
                key = f"{name}#{chunk}"
                chunks[key] = {"id": key, "file_name": name, "chunk": chunk, "text": text}
    write_json(path, rows)
    write_text(
        path.with_suffix(".chunks.jsonl"),
        "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in chunks.values()),
    )


def take_rows(corpus: Path, names: Sequence[str], kinds: Sequence[str], path: Path) -> None:
    """Write the rows of a corpus's dataset that are about some documents and of some kinds, with the documents' chunks.

    Without names or kinds: of all.
    """
    rows = read_json(corpus / "data.json", "the corpus's dataset")
    chunks = read_json(corpus / "data.chunks.jsonl", "the chunks of the corpus", or_lines=True)
    kept = [one for one in chunks if not names or one["file_name"] in names]
    rows = [row for row in rows if (not names or row["file_name"] in names) and (not kinds or row["kind"] in kinds)]
    write_json(path, rows)
    write_text(path.with_suffix(".chunks.jsonl"), "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in kept))


def read_general() -> list[dict]:
    """General questions: {"id", "question", "reference", "references"}, each question once; none is about a passage."""
    found: dict[str, list[str]] = {}
    for row in read_json(GENERAL_FILES[0], "general questions"):
        question, answer = (turn["value"] for turn in row["conversations"])
        found[question] = [answer]
    for question, answers in read_json(GENERAL_FILES[1], "general questions").items():
        found.setdefault(question, answers)
    return [
        {"id": f"general_{number}", "question": question, "reference": answers[0], "references": answers}
        for number, (question, answers) in enumerate(found.items())
    ]
