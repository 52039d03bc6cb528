"""The names, dates, times, amounts and codes of a text: what a question can ask for, each whole or not at all.

Libraries that search dates and amounts were compared and not taken, because they cut: dateparser finds "Mai 1897" in
"3. Mai 1897", datefinder reads English, quantulum3 finds "50 Euro" in "1.250,50 Euro". The words come from CLDR.
"""

from __future__ import annotations

from functools import cache, lru_cache

import regex

from data_processor import span_words
from data_processor.span_patterns import CJK, LETTER, LETTER_OR_DIGIT, NUMBER, SPACE, span_pattern
from data_processor.span_words import OPENING_WORDS, language_of

KINDS = {"link": "code", "address": "name"}  # what else a group of the pattern is called
YEAR = regex.compile(r"(?:19|20)\d\d")
YEAR_WORD = regex.compile(rf" (?:{span_words.YEAR_WORDS})")
BEFORE_YEAR = regex.compile(rf"(?i)\b(?:{span_words.YEAR_BEFORE}) $")
WORD_END = regex.compile(rf"[{CJK}]|[^\s{CJK}]*", regex.VERSION1)
GERMAN_NOUN = regex.compile(r"\p{Lu}[\p{Ll}'’]*(?:-\p{Lu}?\p{Ll}+)*-?")
SLAVIC_ADJECTIVE = regex.compile(r"(?:ий|ый|ая|яя|ое|ее|ие|ые|ого|его|ому|ему|ую|юю|ых|их|ыми|ими)$")
NOT_A_VERB = regex.compile(r" (?!\p{Ll}+(?:л|ла|ло|ли|лся|лась|лись|ет|ит|ют|ат|ят)(?!\p{L}))\p{Ll}")
ADVERB = regex.compile(r"\p{Lu}\p{Ll}+(?:al|ive|ent|ant|ate|ous|ab|ed|ar|ing|ern)ly")  # "Alternatively"
RANGE = regex.compile(rf" (?:to|bis|до|à) {NUMBER}")
GERMAN_UNIT = regex.compile(r" \p{Lu}\p{Ll}+(?![\w-])")
CLOSE_UNIT = regex.compile(
    rf" ?[多余几]?[十百千万亿億兆]*[多余]?(?:{span_words.CJK_UNITS})| ?[多余]?[十百千万亿億]+|(?:k|K|M|bn|m|tn)(?![\p{{L}}/²³\d])"
)
NEXT_WORD = regex.compile(rf"{SPACE}?(\p{{L}}+)(?!\p{{L}})")
OF_UNIT = regex.compile(r" (?:de |d['’]|di )(\p{L}+)(?!\p{L})")
UNIT_WORD = r"[\p{L}°µ][\p{L}²³]*(?:/[\p{L}][\p{L}²³]*)?\d?"
NEXT_WORDS = {
    count: regex.compile(rf"{SPACE}?({UNIT_WORD}(?: {UNIT_WORD}){{{count - 1}}})(?![\p{{L}}\d'’-])")
    for count in (1, 2, 3)
}
RATE = regex.compile(  # what an amount is for each of: "miles/hour", "€/m²", "l/100 km"
    rf"(?:{SPACE}?(?P<unit>[%{span_words.CURRENCY_SIGNS}]|[\p{{L}}°µ][\p{{L}}²³]*))?"
    rf"/(?:\d+{SPACE}?)?(?P<per>\p{{L}}+)[²³]?(?![\p{{L}}\d/’'-])"
)
PLURAL = regex.compile(rf"{SPACE}(?!(?:{'|'.join(span_words.NEVER_A_UNIT)})(?!\p{{L}}))[a-z]+s(?!\p{{L}})")
RUNS_INTO = {  # by kind: what may not follow a span
    "name": regex.compile(rf"{LETTER_OR_DIGIT}|[-‑@_]{LETTER_OR_DIGIT}|[·•・＆]", regex.VERSION1),
    "number": regex.compile(
        rf"{LETTER_OR_DIGIT}|[-‑–−/:.,_×^+=@'’°]\d|\. \p{{Ll}}|[-‑/_@]{LETTER}|['’](?!s\b){LETTER}", regex.VERSION1
    ),
}
FOLLOWS = {  # by kind: what may not stand before one
    "name": regex.compile(rf"{LETTER_OR_DIGIT}$|{LETTER_OR_DIGIT}[-‑@_]$|[·•・＆]$|{LETTER}\.$", regex.VERSION1),
    "number": regex.compile(rf"{LETTER_OR_DIGIT}$|\d[-–−/:.,_×^+=°'’]$|{LETTER}[-‑/.:_@'’]$", regex.VERSION1),
}
FIRST_PERSON = regex.compile(r"I(?:['’](?:m|ve|ll|d))?")


def is_cut(text: str, start: int, end: int, kind: str) -> bool:
    """Whether a span is part of something longer: "12" of "12-year-old", "German" of "non-German"."""
    if kind in ("link", "quoted"):
        return kind == "quoted" and bool(regex.match(LETTER, text[end : end + 1], regex.VERSION1))
    side = "name" if kind == "name" else "number"
    return bool(RUNS_INTO[side].match(text[end : end + 3]) or FOLLOWS[side].search(text[max(0, start - 2) : start]))


def find_spans(text: str, context: str = "") -> list[tuple[int, int, str]]:
    """What a question can ask for, as (start, end, kind), where kind is quoted, date, year, time, number, code or name.

    A span is whole or it is none. A single capitalised word at the start of a sentence is a name only if a comma follows, or if
    `context` (the chunk) has it capitalised inside a sentence too. German writes every noun so: there only several words are one.
    """
    return list(_find_spans(text, context))


@lru_cache(maxsize=4096)  # a sentence and its chunk are asked for at every step
def _find_spans(text: str, context: str) -> tuple[tuple[int, int, str], ...]:
    language = language_of(context or text)
    spans = []
    position = 0
    while match := span_pattern().search(text, position):
        start, end, kind = match.start(), match.end(), match.lastgroup
        position = end
        if kind == "quoted":
            start, end = start + 1, end - 1
            start += len(text[start:end]) - len(text[start:end].lstrip())
            end = start + len(text[start:end].rstrip())
            end -= text[end - 1] in ",."
        elif kind == "name":
            skipped = words_before_name(text, start, end, language)
            if skipped:
                position = start + skipped
                continue
            end -= len(text[start:end]) - len(text[start:end].rstrip("'’-"))
            if " " not in text[start:end] and not is_single_name(text, start, end, context, language):
                continue
        elif kind == "number":
            end = position = end_of_amount(text, start, end, language)
            if YEAR.fullmatch(text, start, end):
                kind = "year"
        if is_cut(text, start, end, kind):
            position = max(end, WORD_END.match(text, end).end())
        else:
            spans.append((start, end, KINDS.get(kind, kind)))
    return tuple(spans)


def words_before_name(text: str, start: int, end: int, language: str) -> int:
    """How many characters at the start of a name do not belong to it: "On" at the start of a sentence, "I" anywhere."""
    first_word = text[start:end].partition(" ")[0]
    if FIRST_PERSON.fullmatch(first_word):
        return len(first_word)
    alone = first_word == text[start:end]
    word = first_word.lower().replace("’", "'")
    is_opening = word in OPENING_WORDS[language] or (language == "en" and ADVERB.fullmatch(first_word))
    if is_opening and starts_sentence(text, start):
        return len(first_word)
    is_word = first_word.istitle() and word in OPENING_WORDS[language] and word not in ("will", "may", "art")
    return len(first_word) if alone and is_word else 0


def is_single_name(text: str, start: int, end: int, context: str, language: str) -> bool:
    """Whether one word with a capital is a name."""
    word = text[start:end]
    if len(word) == 1 or (language == "de" and GERMAN_NOUN.fullmatch(word)):
        return False
    if language in ("ru", "uk") and SLAVIC_ADJECTIVE.search(word) and NOT_A_VERB.match(text, end):
        return False  # "Национальный фронт", of which only the first word has a capital
    at_start = starts_sentence(text, start)
    return not at_start or (language == "en" and text[end : end + 1] == ",") or inside_sentence(word, context)


def end_of_amount(text: str, start: int, end: int, language: str) -> int:
    """Where the amount ends whose number is at `start` to `end`: after "million", a unit or a currency, in a range the last.

    "In 1990 sales rose" has a year, no amount; in German a noun is a unit too: "1.250 Frauen".
    """
    if rate := end_of_rate(text, start, end):
        return rate
    if YEAR.fullmatch(text, start, end) and (BEFORE_YEAR.search(text[:start]) or YEAR_WORD.match(text, end)):
        return end
    unit_end = end_of_unit(text, end)
    upper = RANGE.match(text, end) if unit_end == end else None
    if upper and end_of_unit(text, upper.end()) > upper.end():
        return end_of_unit(text, upper.end())
    if language == "de" and text[unit_end - 1].isdigit() and not YEAR.fullmatch(text, start, end):
        noun = GERMAN_UNIT.match(text, unit_end)
        return noun.end() if noun else unit_end
    return unit_end


def end_of_rate(text: str, start: int, end: int) -> int | None:
    """Where an amount for each of something ends, "60 miles/hour", "$9/day", whose number is at `start` to `end`; else None."""
    rate = RATE.match(text, end)
    if not rate:
        return None
    unit, per = rate["unit"] or "", rate["per"]
    _, units, codes = span_words.units()
    counted = unit in units or unit in codes or len(unit) == 1 or bool(PLURAL.match(f" {unit}"))
    has_unit = counted if unit else not text[start].isdigit()
    is_one = (per in units and per.removesuffix("s") not in units - {per}) or len(per) == 1
    return rate.end() if has_unit and is_one else None


@cache
def sign_pattern() -> regex.Pattern:
    """What may follow a number as its unit without being a word of CLDR: a sign, the code of a currency, percent."""
    codes = "|".join(sorted(span_words.units()[2]))
    return regex.compile(
        rf"{SPACE}?(?:[%‰{span_words.CURRENCY_SIGNS}]|(?:{span_words.CURRENCY_SHORT}|{codes})(?!\p{{L}}))"
        rf"|{SPACE}(?:percent|per cent|degrees?(?: Celsius)?)(?!\p{{L}})"
    )


def end_of_unit(text: str, end: int) -> int:
    """Where what belongs to the number that ends at `end` ends: "3.2" and " million crowns", "1250" and "元"."""
    close = CLOSE_UNIT.match(text, end)
    if close:
        return close.end()
    powers, units, _ = span_words.units()
    power = NEXT_WORD.match(text, end)
    if power and power[1] in powers:
        end = power.end()
        linked = OF_UNIT.match(text, end)  # "12,5 millones de euros"
        if linked and linked[1] in units:
            return linked.end()
    unit = sign_pattern().match(text, end)
    if unit:
        return unit.end()
    for count in (3, 2, 1):  # the longest name of a unit: "square kilometres"
        unit = NEXT_WORDS[count].match(text, end)
        if unit and unit[1] in units:
            per = NEXT_WORDS[1].match(text, unit.end() + 1) if text[unit.end() : unit.end() + 1] == "/" else None
            return per.end() if per and per[1] in units else unit.end()
    plural = PLURAL.match(text, end)
    return plural.end() if plural else end


def starts_sentence(text: str, position: int) -> bool:
    before = text[:position].rstrip(" \"“'(„«»¿¡")
    return not before or before[-1] in ".!?:\n。！？…"


def inside_sentence(word: str, text: str) -> bool:
    return any(not starts_sentence(text, match.start()) for match in regex.finditer(rf"\b{regex.escape(word)}\b", text))
