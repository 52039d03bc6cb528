"""The language a text is written in, as a code of ISO 639-1.

By py3langid, which knew all 448 texts of 14 languages that sentence libraries were compared on. Two things are left to the
script, since a few borrowed words must not decide: Chinese and Japanese.
"""

from __future__ import annotations

import functools

import regex

SAMPLE = 20_000  # characters of a text that are looked at
CHINESE_SHARE = 0.2  # of a text's letters; above it the text is Chinese, or Japanese if it has KANA_SHARE of kana too
KANA_SHARE = 0.05
KNOWN = (  # what is told apart: a language less is a mistake less in a short text
    "ar bg ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nl no pl pt ro ru sk sl sr sv th tr uk vi zh"
)


@functools.cache
def _identifier():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(KNOWN.split())
    return identifier


def detect_language(text: str) -> str:
    """The code of a text's language, "en" for a text without letters."""
    sample = text[:SAMPLE]
    letters = len(regex.findall(r"\p{L}", sample))
    if not letters:
        return "en"
    kana, han = len(regex.findall(r"[\p{Hiragana}\p{Katakana}]", sample)), len(regex.findall(r"\p{Han}", sample))
    if kana + han > CHINESE_SHARE * letters:
        return "ja" if kana > KANA_SHARE * letters else "zh"
    return _identifier().classify(sample)[0]
