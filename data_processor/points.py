"""Points: what any right answer must hold, if the answer is too long to be compared as a whole."""

from __future__ import annotations

from difflib import SequenceMatcher

from data_processor.curation import WORD, content_words, normalize

MOST_POINTS = 4
POINT_WORDS = 5  # in a point found by rule, at most


def check_points(points: list[str], answer: str, text: str, language: str) -> list[str]:
    return [p for p in points if normalize(p) in normalize(answer) and normalize(p) in normalize(text)][:MOST_POINTS]


def points_by_rule(answer: str, text: str, language: str) -> list[str]:
    """The longest runs of words that an answer has from a text, in the order of the answer: [] if they share none.

    Each is cut to POINT_WORDS words, and has at least one that is not a function word.
    """
    found = list(WORD.finditer(normalize(answer)))
    blocks = SequenceMatcher(None, [word[0] for word in found], WORD.findall(normalize(text)), autojunk=False)
    runs = [(block.a, min(block.size, POINT_WORDS)) for block in blocks.get_matching_blocks() if block.size]
    runs = [(first, size) for first, size in runs if content_words(" ".join(w[0] for w in found[first : first + size]))]
    longest = sorted(sorted(runs, key=lambda run: -run[1])[:MOST_POINTS])
    return [normalize(answer)[found[first].start() : found[first + size - 1].end()] for first, size in longest]
