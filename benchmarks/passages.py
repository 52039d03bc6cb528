"""Paragraphs of a file with human questions as documents for the collection, without the questions.

In:  --file in SQuAD's form, data[].{title, paragraphs[].{context, qas[].{question, answers[].{text, answer_start}}}}, or a
     list of {"title", "context", "questions": [[question, answer], ...]}; or a TOML file with documents {"file", "text"},
     which are all written under their names.
Out: --folder, a .txt for every paragraph, or with --per_file N for up to N of one article that follow one another, drawn by
     --seed and evenly over the articles; and beside it FOLDER.passages.json, in which benchmarks/coverage.py finds them:
     {"file", "paragraphs": [{"number" (in the file), "file_name", "start" (in characters)}]}.

    python benchmarks/passages.py --file given_text.json --folder output/coverage/given/texts
    python benchmarks/passages.py --file policyqa_dev.json --folder output/coverage/policies/texts --per_file 8
    python benchmarks/passages.py --file xquad_de.json --folder output/coverage/de/texts --paragraphs 15
    python benchmarks/passages.py --file tests/inputs/injections.toml --folder output/coverage/injected/texts
"""

from __future__ import annotations

import random
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import regex

from utils import InputError, parse_arguments, read_json, run_script, write_json, write_text

BETWEEN = "\n\n"  # two paragraphs of one file


@dataclass
class Arguments:
    file: str = field(metadata={"help": "Paragraphs with questions."})
    folder: str = field(metadata={"help": "Where to write them; must not exist or be empty."})
    paragraphs: int = field(default=40, metadata={"help": "How many, evenly over the articles."})
    per_file: int = field(default=1, metadata={"help": "Neighbouring paragraphs of an article in one file, at most."})
    seed: int = 0


@dataclass(frozen=True)
class Question:
    """A human question; `references` are right answers, each with its place in the paragraph, -1 where it is not known."""

    text: str
    answers: tuple[tuple[str, int], ...]

    @property
    def references(self) -> list[str]:
        return [text for text, _ in self.answers]

    def start_of(self, reference: str, text: str) -> int:
        """Where a reference stands in the paragraph `text`; -1 if it does not."""
        place = dict(reversed(self.answers))[reference]
        return place if text.startswith(reference, max(place, 0)) else text.find(reference)


@dataclass(frozen=True)
class Paragraph:
    number: int  # in the file
    title: str
    text: str
    questions: tuple[Question, ...]


def read_articles(path: str | Path) -> dict[str, list[Paragraph]]:
    """The paragraphs of a file by the title of their article; InputError if it has neither of the two forms."""
    found = read_json(path, "paragraphs with questions")
    try:
        if isinstance(found, dict):
            given = [(one["title"], part) for one in found["data"] for part in one["paragraphs"]]
            parts = [(title, part["context"], read_squad(part["qas"])) for title, part in given]
        else:
            parts = [(one["title"], one["context"], read_pairs(one["questions"])) for one in found]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expected paragraphs in SQuAD's form or as a list in {path}, found none ({error!r}): see benchmarks/passages.py"
        ) from None
    articles: dict[str, list[Paragraph]] = {}
    for number, (title, text, questions) in enumerate(parts):
        articles.setdefault(title, []).append(Paragraph(number, title, without_marks(text), questions))
    return articles


def without_marks(text: str) -> str:
    """A text without the spaces around the answers in the Chinese part of XQuAD, which would show where they are."""
    return regex.sub(r"(?<=[\p{Han}，。、；：]) +(?=\S)|(?<=\S) +(?=[\p{Han}，。、；：])", "", text)


def read_squad(items: list[dict]) -> tuple[Question, ...]:
    """The questions that have an answer."""
    found = [
        (one["question"], tuple((without_marks(a["text"]), a["answer_start"]) for a in one["answers"])) for one in items
    ]
    return tuple(Question(text, answers) for text, answers in found if answers)


def read_pairs(items: list[list[str]]) -> tuple[Question, ...]:
    return tuple(Question(text, ((answer, -1),)) for text, answer in items)


def draw(articles: dict[str, list[Paragraph]], amount: int, per_file: int, seed: int) -> list[list[Paragraph]]:
    """`amount` paragraphs, evenly over the articles, as groups of up to `per_file` neighbours of one article."""
    random_draw, groups = random.Random(seed), []
    for paragraphs in articles.values():
        own = [paragraphs[start : start + per_file] for start in range(0, len(paragraphs), per_file)]
        random_draw.shuffle(own)
        groups.append(own)
    random_draw.shuffle(groups)
    chosen: list[list[Paragraph]] = []
    left = amount
    for turn in range(max(map(len, groups), default=0)):
        for own in groups:
            if turn < len(own) and left:
                chosen.append(own[turn][:left])
                left -= len(chosen[-1])
    if left:
        raise InputError(f"expected {amount} paragraphs, found {amount - left}: lower --paragraphs")
    return chosen


def write(groups: list[list[Paragraph]], folder: Path, file: str) -> None:
    """Write each group as a .txt, and where each paragraph stands."""
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"expected no files in {folder}, found some: remove them, or give another --folder")
    places = []
    for number, group in enumerate(groups):
        name, text = f"passage_{number:03}.txt", ""
        for paragraph in group:
            text += BETWEEN if text else ""
            places.append({"number": paragraph.number, "file_name": name, "start": len(text)})
            text += paragraph.text
        write_text(folder / name, text)
    write_json(places_file(folder), {"file": Path(file).name, "paragraphs": places})


def write_injections(path: str | Path, folder: Path) -> int:
    """Write the documents of a TOML file under their names; how many there are."""
    entries = tomllib.loads(Path(path).read_text(encoding="utf-8"))["documents"]
    for entry in entries:
        write_text(folder / entry["file"], entry["text"])
    return len(entries)


def places_file(folder: str | Path) -> Path:
    """Beside the folder of texts: in it the collection would name it as a file that is not read."""
    folder = Path(folder)
    return folder.with_name(f"{folder.name}.passages.json")


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    if arguments.file.endswith(".toml"):
        print(f"{write_injections(arguments.file, Path(arguments.folder))} documents in {arguments.folder}")
        return
    groups = draw(read_articles(arguments.file), arguments.paragraphs, arguments.per_file, arguments.seed)
    write(groups, Path(arguments.folder), arguments.file)
    print(f"{sum(map(len, groups))} paragraphs in {len(groups)} files in {arguments.folder}")


if __name__ == "__main__":
    run_script(main)
