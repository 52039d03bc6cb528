"""The language a text is written in, as a code of ISO 639-1, by py3langid (Lui and Baldwin 2012, langid.py).

detect_language(document)    # of a whole text: one of KNOWN
identify("Wie lange dauert die Probezeit?")    # of a question or an answer: one of LANGUAGES, "en" in doubt
in_language("training/replay_prompts.json", "de")    # training/replay_prompts.de.json

py3langid knew all 448 texts of 14 languages that sentence libraries were compared on. Two things are left to the script,
since a few borrowed words must not decide: Chinese and Japanese. In a short text (23 letters), Russian and Bulgarian can be
equally probable: then it is the language that more is written in (1,134 of 1,141 single sentences, not 1,123).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path

import regex

ENGLISH = "en"
KNOWN = (  # what is told apart: a language less is a mistake less in a short text; those that most is written in first
    "en es de ja fr pt ru it tr nl pl fa zh vi id cs ko uk ar el he sv ro hu th da fi sk no hi bg hr sr lt sl et ca lv ms"
)
NEARLY = 0.5  # of the highest probability: a language so probable may as well be the one
LANGUAGES = "cs da de en es fr it ja ko nl pl pt ru sv tr uk zh"  # those of answers; of more, names would be rare ones
CONFIDENCE = 0.9  # below it an answer is English, as a name or a number in another language would be
LONGEST_TEXT = 20_000  # characters of a text that are looked at
CHINESE_SHARE = 0.2  # of a text's letters; above it the text is Chinese, or Japanese if it has KANA_SHARE of kana too
KANA_SHARE = 0.05
SAMPLES, SAMPLE_CHARACTERS = 50, 400  # texts of a collection that are looked at, and how much of each


@cache
def identifier(languages: str):
    """A py3langid identifier of these languages, whose `classify` gives a language and its probability."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # a second to load: only where it is needed

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(languages.split())
    return found


def detect_language(text: str) -> str:
    """The code of a text's language, "en" for a text without letters."""
    sample = text[:LONGEST_TEXT]
    letters = len(regex.findall(r"\p{L}", sample))
    if not letters:
        return ENGLISH
    if not sample.isascii():
        kana, han = len(regex.findall(r"[\p{Hiragana}\p{Katakana}]", sample)), len(regex.findall(r"\p{Han}", sample))
        if kana + han > CHINESE_SHARE * letters:
            return "ja" if kana > KANA_SHARE * letters else "zh"
    ranked = identifier(KNOWN).rank(sample)
    near = [language for language, probability in ranked if probability >= NEARLY * ranked[0][1]]
    return str(min(near, key=KNOWN.split().index))


@lru_cache(maxsize=10_000)
def identify(text: str) -> str:
    """The code of the language of a question or an answer, one of LANGUAGES; "en" if it cannot be told."""
    language, confidence = identifier(LANGUAGES).classify(text[:LONGEST_TEXT])
    return str(language) if confidence >= CONFIDENCE else ENGLISH


def identify_all(texts: Sequence[str]) -> str:
    """The language of most of the texts, by a sample from all of them."""
    step = max(1, len(texts) // SAMPLES)
    return identify("\n".join(text[:SAMPLE_CHARACTERS] for text in islice(texts, 0, None, step)))


@cache
def name_of_language(code: str, inside: str = ENGLISH) -> str:
    """The name of a language inside a text in another: "German" of "de" inside "en", "德语" inside "zh"."""
    from babel import Locale

    return str(Locale.parse(code).get_display_name(inside))


def listed(names: Sequence[str], language: str) -> str:
    """Names as a language lists them, by CLDR: "Leeds and Galway", "Leeds und Galway", "利兹和高威"."""
    from babel import Locale
    from babel.core import UnknownLocaleError
    from babel.lists import format_list

    try:
        return format_list(names, locale=Locale.parse(language))
    except (UnknownLocaleError, ValueError):
        return ", ".join(names)


def in_language(path: str | Path, language: str) -> Path:
    """The file NAME.LANGUAGE.json beside NAME.json, or that itself, which is English, if there is none."""
    path = Path(path)
    translated = path.with_suffix(f".{language}{path.suffix}")
    return translated if translated.is_file() else path


def texts_of_rows(rows: Iterable[dict]) -> list[str]:
    """What is asked in the first rows of a dataset, or of answers, in any of their forms."""
    found = []
    for row in islice(rows, SAMPLES):
        turns = row.get("messages") or row.get("conversations") or [{"content": row.get("question")}]
        found += [str(turn.get("content") or turn.get("value") or "") for turn in turns]
    return found
