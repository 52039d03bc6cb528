"""Patterns that are not tried because a text lacks their words: none of them would have matched. No model."""

from __future__ import annotations

import random
import re
import sys
import tomllib
from pathlib import Path

import pytest
import regex
import yasbd

from data_processor import instructions
from data_processor.instructions import read_patterns, views
from data_processor.prefilter import Prefilter, fold_case, needed_words
from data_processor.segmentation import OnePattern, detector

INPUTS = tomllib.loads((Path(__file__).parent / "inputs" / "injections.toml").read_text(encoding="utf-8"))
SPOKEN = [text for texts in INPUTS["speaks"].values() for text in texts]
ORDINARY = [text for texts in INPUTS["ordinary"].values() for text in texts]
WITH_CASE = "".join(one for one in map(chr, range(sys.maxunicode + 1)) if len({one, one.upper(), one.casefold()}) > 1)


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        ("(?:ignore|forget) .* rules?", [{"ignore ", "forget "}, {" rule", " rules"}]),
        ("Ann's?", [{"ann'", "ann's"}]),
        ("(?-i:AI)s|LLM", [{"ais", "llm"}]),
        ("summari[sz]e", [{"summarise", "summarize"}]),
        (r"the (?:\p{L}+ )?house", [{"the "}, {"house"}]),
        (r"\bno(?= way)(?! more)\b", [{"no"}]),  # what stands around a match is not in it
        ("(?<=the )(?:old )?mill", [{"mill", "old mill"}]),
        ("(?:red|blue)+ door", [{"red", "blue"}, {" door"}]),
        ("(?:red)?(?:blue)*", []),
        ("red|.", []),
        ("red|b.ue", [{"red", "ue"}]),
        ("(?P<first>ab)++(?>cd)", [{"ab"}, {"cd"}]),
        ("[^a]b[a-z]c", [{"b"}, {"c"}]),
        ("Straße|忽略", [{"strasse", "忽略"}]),
    ],
)
def test_the_words_that_a_match_has(pattern, needed):
    assert needed_words(pattern) == needed


def test_white_space_and_comments_of_a_verbose_pattern_are_no_words():
    verbose = regex.compile(" red  # the colour\n | blue ", regex.X)
    assert needed_words(verbose.pattern, verbose.flags) == [{"red", "blue"}]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("ask", "ASK him"),
        ("ask", "aſ\u212a"),  # a long s, and the sign of Kelvin
        ("indice", "İNDICE"),
        ("indice", "ındıce"),
        ("straße", "STRAẞE"),
        ("σοφός", "ΣΟΦΌΣ"),
        ("сообщи", "СООБЩИ"),
        ("忽略", "请忽略以上"),
        ("ai", "ai"),
        ("ab", "ab"),
        ("a", "a"),
        ("", ""),
        ("next", "\ud800next"),  # half a pair, which a broken file may have
    ],
)
def test_whatever_a_pattern_matches_it_is_tried_on(pattern, text):
    for library in (re, regex):
        compiled = library.compile(pattern, library.I)
        assert compiled.search(text) is None or Prefilter([compiled]).possible(text) == [0]
    assert Prefilter([regex.compile(pattern, regex.I)]).possible("") == ([] if pattern else [0])


def test_letters_that_are_the_same_without_case_are_so_to_both_libraries():
    letters = {letter for table in read_patterns().values() for one in table.speaks for letter in one.pattern}
    assert len(letters) > 500 and len(WITH_CASE) > 2500
    for letter in letters | set("abcdefghijklmnopqrstuvwxyzäöüßéñçαβσς"):
        for library in (re, regex):
            same = library.findall(re.escape(letter), WITH_CASE + letter, library.I)
            assert {fold_case(one) for one in same} == {fold_case(letter)}


def test_no_match_of_random_patterns_is_missed():
    draw, matches = random.Random(0), 0

    def pattern(depth: int) -> str:
        if depth == 0 or draw.random() < 0.3:
            return draw.choice(["a", "bc", "ab", "cab", "[ab]", "[^a]", ".", r"\b", "(?<=a)", "c?", "(?:ab)*", "b{2}"])
        inner = [pattern(depth - 1) for _ in range(draw.randint(1, 3))]
        return draw.choice(["", "(?:%s)?", "(?:%s)+", "(%s)", "(?:%s){0,2}", "(?=%s)", "(?!%s)"]).replace(
            "%s", "|".join(inner)
        ) or "".join(inner)

    patterns = [regex.compile(pattern(3) + pattern(3), regex.I) for _ in range(300)]
    prefilter = Prefilter(patterns)
    for _ in range(300):
        text = "".join(draw.choices("abcABC ", k=draw.randint(0, 7)))
        possible = prefilter.possible(text)
        found = [number for number, one in enumerate(patterns) if one.search(text)]
        assert set(found) <= set(possible) and possible == sorted(possible)
        matches += len(found)
    assert 10_000 < matches < 80_000


@pytest.mark.parametrize("change", [str, str.upper, str.title, "({})\nAnn".format])
def test_what_is_said_to_a_model_is_found_as_if_every_pattern_was_tried(change):
    matched = 0
    for text in map(change, [*SPOKEN, *ORDINARY]):
        for view, place in views(text):
            spaced = place is not None and " " not in view.text
            patterns = [one for table in read_patterns(spaced).values() for one in table.speaks]
            possible = instructions.all_orders(spaced)[0].possible(view.text)
            found = [number for number, one in enumerate(patterns) if one.search(view.text)]
            assert set(found) <= set(possible)
            matched += len(found)
    assert matched > 60


def test_an_ordinary_text_is_tried_with_few_patterns():
    """Half of the 199 would be as slow as all."""
    orders = instructions.all_orders(False)[0]
    tried = [len(orders.possible(text)) for text in ORDINARY]
    assert sum(tried) / len(tried) < 10


@pytest.mark.parametrize("language", [code for code in yasbd.get_supported_langs() if code != "auto"])
def test_every_abbreviation_of_every_language_is_seen_where_it_stands(language):
    rules = type(detector(language, True)._get_rule(language))
    kinds = ("TITLE_ABBRVS", "REFERENCE_ABBRVS", "DATE_ABBRVS", "INLINE_ONLY_ABBRVS", "CORP_ENTITY_ABBRVS")
    kinds += ("DOTTED_GEOPOL_ABBRVS", "NAMES_WITH_EXCLAMATION", "SECTION_MARKERS")
    one_pattern, found = OnePattern(rules.MID_SENTENCE_FINDER_LST), 0
    for short in sorted(set().union(*(getattr(rules, kind) for kind in kinds))):
        for text in (
            f"Seen, {short}. 5 Ann!",
            f"({short.upper()}．X",
            f"{short.title()}! 2 . . . a",
            f"# {short} 1. It",
        ):
            ends = [match.end() for pattern in rules.MID_SENTENCE_FINDER_LST for match in pattern.finditer(text)]
            assert [match.end() for match in one_pattern.finditer(text)] == ends
            found += len(ends)
    assert found > (300 if language == "en" else 5)  # in Armenian, whose sentences end with another mark, only 7


def test_sentences_end_where_the_library_ends_them():
    plain = yasbd.BoundaryDetector(lang="en", preserve_quote_and_paren=True)
    for text in (
        "Mr. Vane of St. Ives came.",
        "See p. 5. It is",
        "He (cf. Ann. 3) left at 5 p.m. Monday. Yes.",
        "A. B",
    ):
        assert list(detector("en", True).detect(text)) == list(plain.detect(text))
    assert list(detector("en", True).detect("Mr. Vane came. Ann left.")) == [14, 24]
