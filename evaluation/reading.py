"""What a text says, in a form that can be compared: its quantities, its dates and times, and the stems of its words.

    read("Man hat dreißig Tage Urlaub.", "de")    # Reading([Quantity(2592000, "s", 30)], [], ["man", "hat", "urlaub"])

Words are compared by their stems (Snowball, Porter 2001), Chinese by characters, traditional ones as simplified (OpenCC).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache, partial

from evaluation.quantities import (
    NUMBER,
    SYMBOLS,
    Quantity,
    parse_number,
    rewrite,
    simplifier,
    to_base,
    unit_names,
    words_of,
)  # fmt: skip

TOKEN = re.compile(rf"(?:month|weekday)#\d+|\d+:\d+|{NUMBER}|°[cf]|[%€$£¥₽°]|[mм][²³23]\b|[^\W\d_]+")
CHINESE = re.compile(
    r"(?P<label>(?:month|weekday)#\d+|\d+:\d+)|(?P<number>(?<!\w)-?\d+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"|(?P<word>[a-z]+|[\u3400-\u9fff])|.",
    re.DOTALL,
)
STEMMERS = {"de": "german", "en": "english", "fr": "french", "es": "spanish", "ru": "russian"}
LONGEST_UNIT = 3  # words


@dataclass
class Reading:
    """What a text says: `quantities`; `labels`, its months, weekdays and times of day; `words`, in normal form."""

    quantities: list[Quantity] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


@cache
def stemmer(language: str):
    import snowballstemmer

    return snowballstemmer.stemmer(STEMMERS[language]) if language in STEMMERS else None


@cache
def normal(word: str, language: str) -> str:
    """The stem of a word in lower case, without accents; in German "ö", "oe" and "o" are one, and "ß" is "ss"."""
    found, word = stemmer(language), word.replace("ё", "е")
    stem = found.stemWord(word) if found else word
    stem = "".join(c for c in unicodedata.normalize("NFD", stem.casefold()) if not unicodedata.combining(c))
    return re.sub("(?<=[aou])e(?!r)", "", stem) if language == "de" else stem


@cache
def word_set(language: str, key: str) -> frozenset[str]:
    """The words of a language under a key of words.toml, in normal form."""
    return frozenset(normal(word, language) for word in str(words_of(language)[key]).casefold().split())


@cache
def names_of_units(language: str) -> dict[tuple[str, ...], str]:
    return unit_names(language, partial(normal, language=language))


def read(text: str, language: str) -> Reading:
    """What a text says, as a Reading."""
    text = rewrite(text, language)
    return read_chinese(text) if language == "zh" else read_words(TOKEN.findall(text), language)


def read_words(tokens: list[str], language: str) -> Reading:
    """What the tokens of a text in a language with spaces say; a number takes the unit after it, or the currency before it."""
    reading, units = Reading(), names_of_units(language)
    forms = [normal(token, language) for token in tokens]
    position = 0
    while position < len(tokens):
        token = tokens[position]
        value = parse_number(token, language) if token[-1].isdigit() and "#" not in token and ":" not in token else None
        if value is None:
            if "#" in token or re.match(r"\d+:", token):
                reading.labels.append(re.sub(r"^0(?=\d:)", "", token))
            elif token[-1].isdigit():  # no number: a version, an address, a section
                reading.words.append(token)
            elif token.isalnum() and not (is_currency(forms, position, units) and before_number(tokens, position)):
                reading.words.append(forms[position])
            position += 1
            continue
        unit, length = None, 0
        for words in range(1, LONGEST_UNIT + 1):
            name = tuple(forms[position + 1 : position + 1 + words])
            unit, length = (units[name], words) if name in units else (unit, length)
        if unit is None and position and is_currency(forms, position - 1, units):
            unit = units[(forms[position - 1],)]
        reading.quantities.append(to_base(value, unit))
        position += 1 + length
    return reading


def is_currency(forms: list[str], position: int, units: dict) -> bool:
    return units.get((forms[position],), "").isupper()


def before_number(tokens: list[str], position: int) -> bool:
    return position + 1 < len(tokens) and tokens[position + 1][-1].isdigit()


@cache
def chinese_units() -> dict[str, str]:
    return {"".join(name): unit for name, unit in unit_names("zh", str).items()}


def read_chinese(text: str) -> Reading:
    """What a rewritten Chinese text says; its words are the single characters, and words in Latin letters whole."""
    reading, units, position = Reading(), chinese_units(), 0
    while found := CHINESE.match(text, position):
        position = found.end()
        if found["label"]:
            reading.labels.append(found["label"])
        elif found["word"]:
            reading.words.append(found["word"])
        elif found["number"]:
            following = text[position:].lstrip()
            name = max((name for name in units if following.startswith(name)), key=len, default="")
            before = text[found.start() - 1] if found.start() else ""
            reading.quantities.append(to_base(float(found["number"]), units.get(name) or SYMBOLS.get(before)))
            position = len(text) - len(following) + len(name)
    return reading


def simplified(text: str, language: str) -> str:
    """A text in lower case and, if it is Chinese, in simplified characters."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return simplifier().convert(text) if language == "zh" else text


def has_any(text: str, words: list[str], language: str) -> bool:
    """Whether a text has one of the words; those of at least four letters count as beginnings of words too."""
    if language == "zh":
        return any(word in text for word in words)
    return any(re.search(rf"(?<!\w){re.escape(word)}" + (r"" if len(word) > 3 else r"(?!\w)"), text) for word in words)


def same_quantity(wanted: Quantity, found: Quantity) -> bool:
    """Whether two numbers are one; a bare number may stand for one with any unit."""
    if wanted.unit is None or found.unit is None:
        return wanted.written == found.written
    return wanted.unit == found.unit and abs(wanted.value - found.value) <= 1e-6 * max(1.0, abs(wanted.value))
