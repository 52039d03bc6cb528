"""Which library finds the borders of sentences: each one alone, and data_processor/segmentation.py, on 448 texts.

The texts, in 14 languages, and their sentences were written for this (tests/inputs/sentences.json); half of them, the part
"report", were not looked at while segmentation.py was written. Both are by one hand, which flatters segmentation.py.

In:  the libraries that can be imported; of the others only yasbd-lib is in requirements.txt.
Out: `library_scores` for benchmarks/inputs.py; alone, it prints them.

    pip install --no-deps --target output/libraries pysbd==0.3.4 sentencex==1.0.32 sentencesplit==0.1.0
    rm -r output/libraries/benchmarks    # sentencesplit brings one, which would hide ours
    PYTHONPATH=output/libraries python benchmarks/sentence_libraries.py
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_processor.segmentation import rules_for, segment
from utils import read_json, run_script

GOLD = Path(__file__).resolve().parents[1] / "tests" / "inputs" / "sentences.json"
Spans = list[tuple[int, int]]


def pysbd_spans(text: str, language: str) -> Spans:
    return [(found.start, found.end) for found in segmenter("pysbd", language, char_span=True).segment(text)]


def sentencesplit_spans(text: str, language: str) -> Spans:
    return [(found.start, found.end) for found in segmenter("sentencesplit", language).segment_spans(text)]


@functools.cache
def segmenter(library: str, language: str, **options):
    known = importlib.import_module(f"{library}.languages").LANGUAGE_CODES
    return importlib.import_module(library).Segmenter(language=language if language in known else "en", **options)


def sentencex_spans(text: str, language: str) -> Spans:
    import sentencex

    found = sentencex.get_sentence_boundaries(language, text)
    return [(one["start_index"], one["end_index"]) for one in found]


def yasbd_spans(text: str, language: str) -> Spans:
    import yasbd

    ends = yasbd.BoundaryDetector(lang=rules_for(language, text), preserve_quote_and_paren=True).detect(text)
    edges = [0, *sorted(ends), len(text)]
    return list(itertools.pairwise(edges))


LIBRARIES: dict[str, Callable[[str, str], Spans]] = {
    "data_processor/segmentation.py": segment,
    "yasbd": yasbd_spans,
    "sentencesplit": sentencesplit_spans,
    "pysbd": pysbd_spans,
    "sentencex": sentencex_spans,
}


def library_scores() -> dict[str, dict[str, float]]:
    """For each library that is installed, of the texts "exact": the share cut as they should be, "f1": of the borders."""
    texts = [one for one in read_json(GOLD, "texts with their sentences") if one["part"] == "report"]
    return {name: score(cut, texts) for name, cut in LIBRARIES.items() if is_installed(name)}


def is_installed(name: str) -> bool:
    return "/" in name or importlib.util.find_spec(name) is not None


def score(cut: Callable[[str, str], Spans], texts: list[dict]) -> dict[str, float]:
    exact = right = found = wanted = 0
    for one in texts:
        ours = trimmed(one["text"], cut(one["text"], one["language"]))
        gold = gold_spans(one)
        exact += ours == gold
        inner, meant = {end for _, end in ours[:-1]}, {end for _, end in gold[:-1]}
        right, found, wanted = right + len(inner & meant), found + len(inner), wanted + len(meant)
    return {"texts": len(texts), "exact": round(exact / len(texts), 3), "f1": round(2 * right / (found + wanted), 3)}


def gold_spans(one: dict) -> Spans:
    spans: Spans = []
    for sentence in one["sentences"]:
        start = one["text"].index(sentence, spans[-1][1] if spans else 0)
        spans.append((start, start + len(sentence)))
    return spans


def trimmed(text: str, spans: Spans) -> Spans:
    """Spans without the white space at their ends, and without those of which nothing remains."""
    cut = []
    for start, end in spans:
        part = text[start:end]
        start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
        if start < end:
            cut.append((start, end))
    return cut


def main() -> None:
    print(json.dumps(library_scores(), indent=1))


if __name__ == "__main__":
    run_script(main)
