"""The points of a long answer: the one to four phrases, copied from the text, that any right answer must say.

check_points(["before they take a day off"], answer, quotes_text, "en")    # those that can be relied on; [] if there are none

A model proposes them (questions.py), or they are the words that answer and text share; here they are checked by string. evaluation/matching.py scores by them, and the judge is
shown them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from data_processor.curation import WORD, normalize, words
from data_processor.span_words import FUNCTION_WORDS, OPENING_WORDS
from utils import InputError

MOST_POINTS = 4
POINT_WORDS = 5  # of a point found by rule, at most; twice as many characters where there are no spaces
# no space tells where a word ends; Korean writes particles on to it
UNSPACED = ("zh", "ja", "ko", "th", "lo", "km", "my")
# In OPENING_WORDS too, but a point may be one of them: "zwei".
NUMBER_WORDS = frozenset("zwei drei deux trois dos tres due tre dois três один одна два три".split())
CHINESE_FUNCTION_WORDS = frozenset(
    "的地得了着过是在有和与及以由为于因每个其该这那些从到至向也都就而且但并或者被把对将会能可要应当须必需没不无非如若则所之它他她"
)
QUOTES = str.maketrans(dict.fromkeys("“”„‟«»‹›「」『』《》〈〉`´", '"') | dict.fromkeys("‘‚‛ʼ", "'") | {"\u00ad": ""})
DASHES = re.compile("[\u2010-\u2015\u2212]")


def check_points(points: Sequence[str], answer: str, quotes_text: str, language: str) -> list[str]:
    """The points that stand in the answer and in the text of its quotes, at most MOST_POINTS, in their order.

    They are compared by string, case and typography apart, and in whole words where the language (a code of ISO 639-1) has
    spaces. A point that is empty or only function words says nothing. Of two of which one holds the other, the shorter
    stays: whoever says the longer one says it too.
    """
    places = [fold(text) for text in (answer, quotes_text)]
    kept: list[str] = []
    for point in points:
        point = point.strip(" \t\n.,;:!?…\"'“”„«»。，；：！？、「」") if isinstance(point, str) else ""
        if not says_something(point, language) or not all(stands_in(fold(point), place, language) for place in places):
            continue
        if any(stands_in(fold(other), fold(point), language) for other in kept):
            continue
        kept = [other for other in kept if not stands_in(fold(point), fold(other), language)] + [point]
    return kept[:MOST_POINTS]


def points_by_rule(answer: str, text: str, language: str) -> list[str]:
    """The phrases that an answer has from a text, in the order of the answer, those with the most to say; [] if it has none.

    Each is a stretch of POINT_WORDS words or characters at most, without function words at its ends.
    """
    answer, text = fold(answer), fold(text)
    found, longest = list(WORD.finditer(answer)), POINT_WORDS * (2 if language in UNSPACED else 1)
    matcher = SequenceMatcher(None, [word[0] for word in found], WORD.findall(text), autojunk=False)
    phrases: list[tuple[int, int, str]] = []  # (words that say something, place in the answer, phrase)
    for block in matcher.get_matching_blocks():
        for start in range(block.a, block.a + block.size, longest):
            run = found[start : min(start + longest, block.a + block.size)]
            telling = [place for place, word in enumerate(run) if says_something(word[0], language)]
            if telling:
                run = run[telling[0] : telling[-1] + 1]
                phrases.append((len(telling), run[0].start(), answer[run[0].start() : run[-1].end()]))
    best = sorted(sorted(phrases, key=lambda phrase: -phrase[0])[:MOST_POINTS], key=lambda phrase: phrase[1])
    return check_points([phrase for *_, phrase in best], answer, text, language)


def fold(text: str) -> str:
    """A text without what only typography decides: case, widths, forms of quotation marks and dashes, kinds of space."""
    return " ".join(DASHES.sub("-", normalize(text).translate(QUOTES)).split())


def says_something(point: str, language: str) -> bool:
    """Whether a point has a word that is no function word."""
    silent = function_words(language)
    return any(word not in silent for word in words(point))


def function_words(language: str) -> frozenset[str]:
    """The words of a language, in Chinese the characters, that say nothing by themselves."""
    if language == "zh":
        return CHINESE_FUNCTION_WORDS
    return FUNCTION_WORDS if language == "en" else OPENING_WORDS.get(language, frozenset()) - NUMBER_WORDS


def stands_in(part: str, text: str, language: str) -> bool:
    """Whether a part is in a text, both folded; as whole words in a language with spaces."""
    if language in UNSPACED:
        return part in text
    return re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None


def require_points(row: dict, where: str) -> None:
    """InputError if the points of a row are not a list of phrases."""
    points = row.get("points")
    if points is None or (isinstance(points, list) and all(isinstance(one, str) and words(one) for one in points)):
        return
    raise InputError(f'expected a list of phrases as "points" in {where}, found {points!r}: correct or remove it')
