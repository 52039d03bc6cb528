"""How far benchmarks/coverage.py tells what is asked from what is not, on human questions alone: they stand in for rows.

Each human question becomes a row with its shortest reference as the answer and the sentence around that as the fact. Two
questions on one paragraph are taken to ask the same thing ("same") if they are on one sentence and one's answer holds the
other's, and to ask another if they are on two sentences ("other"), even if the answer holds the other's ("other_held": few,
and some are no faults, since texts say things twice). Only counts leave this program; nobody reads the questions.

In:  files in SQuAD's form with several paragraphs an article.
Out: printed, for each: {"questions", "same", "other", "other_held": pairs, "thresholds": {T: the shares of them that are
     taken for the same thing}, "by_next_paragraph": the share of questions that the rows of the article's next paragraph,
     and its sentences as answers, would make answerable}

    python benchmarks/coverage_check.py squad_new_wiki.json xquad_de.json xquad_ru.json xquad_zh.json
"""

from __future__ import annotations

import itertools
import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.coverage_measures import SAME_THING, Asked, answerable, holds, same_thing, share, shortest
from benchmarks.passages import Paragraph, read_articles
from data_processor.languages import detect_language
from data_processor.units import read_units
from utils import InputError, run_script

THRESHOLDS = (0.3, 0.4, SAME_THING, 0.6, 0.7)
KINDS = ("same", "other", "other_held")
PARAGRAPHS = 8  # of an article, the first ones


@dataclass(frozen=True)
class Case:
    """A human question as a row, and the sentence its answer stands in, by its start."""

    row: Asked
    sentence: int


def sentences(text: str, language: str) -> list[tuple[int, int]]:
    parsed = read_units(text, language)
    return [parsed.joined.to_source(unit.start, unit.end) for unit in parsed.units]


def read_cases(paragraph: Paragraph, language: str) -> list[Case]:
    """The questions whose answers stand in a sentence."""
    cases, spans = [], sentences(paragraph.text, language)
    for question in paragraph.questions:
        reference = shortest(question.references)
        place = question.start_of(reference, paragraph.text)
        for start, end in spans:
            if start <= place < end:
                cases.append(Case(Asked(question.text, reference, paragraph.text[start:end]), start))
    return cases


def count_pairs(cases: list[Case], language: str, counts: dict) -> None:
    """Count the pairs of questions on one paragraph by their kind, and those of them that are taken for the same thing."""
    for one, other in itertools.permutations(cases, 2):
        is_held = holds(one.row.answer, other.row, language)
        if one.sentence == other.sentence:
            kinds = ["same"] if is_held else []
        else:
            kinds = ["other", *(["other_held"] if is_held else [])]
        for kind in kinds:
            counts[kind] += 1
            for threshold in THRESHOLDS:
                counts[threshold, kind] += same_thing(one.row.question, other.row, language, threshold)


def check(articles: dict[str, list[Paragraph]], language: str) -> dict:
    """What is printed for one file, of the first PARAGRAPHS of each article."""
    counts: dict = defaultdict(int)
    for paragraphs in articles.values():
        paragraphs = paragraphs[:PARAGRAPHS]
        by_paragraph = [read_cases(paragraph, language) for paragraph in paragraphs]
        for number, cases in enumerate(by_paragraph):
            count_pairs(cases, language, counts)
            if len(paragraphs) == 1:
                continue
            following = (number + 1) % len(paragraphs)
            text = paragraphs[following].text
            rows = [case.row for case in by_paragraph[following]]
            rows += [Asked("", text[start:end], text[start:end]) for start, end in sentences(text, language)]
            counts["questions"] += len(cases)
            counts["answered"] += sum(answerable(c.row.question, [c.row.answer], rows, language) for c in cases)
    return {
        "questions": counts["questions"],
        **{kind: counts[kind] for kind in KINDS},
        "thresholds": {
            threshold: {kind: share(counts[threshold, kind], counts[kind]) for kind in KINDS}
            for threshold in THRESHOLDS
        },
        "by_next_paragraph": share(counts["answered"], counts["questions"]),
    }


def check_file(path: str | Path) -> dict:
    articles = read_articles(path)
    return check(articles, detect_language("\n".join(found[0].text for found in articles.values())))


def main() -> None:
    if len(sys.argv) < 2:
        raise InputError("expected files of paragraphs with questions, found none: give one or more")
    for path in sys.argv[1:]:
        print(json.dumps({Path(path).stem: check_file(path)}))


if __name__ == "__main__":
    run_script(main)
