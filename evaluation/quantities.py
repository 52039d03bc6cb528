"""The numbers, amounts, dates and times of a text in one form, whatever the language writes them as.

    read("Der Preis beträgt 1.250,50 €.", "de")    # Quantity(value=1250.5, unit="EUR") and the words "der preis beträgt"

Number words are read by text2num and, in Chinese, by cn2an; the names of months, units and currencies and the decimal
separators are those of CLDR, by Babel.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
import unicodedata
import warnings
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

from evaluation.digits import known_number_words, plain
from evaluation.tokens import TIMES

WORDED = ("en", "de", "fr", "es", "ru", "zh")  # that words.toml has words of
SPELLED = ("de", "en", "es", "fr", "ca", "pt", "ru")  # whose number words text2num knows
FOLDED = ("denies", "hedges", "conditions", "forbids", "yes", "no", "refusals", "but")  # of words.toml
WORDS_FILE = Path(__file__).with_name("words.toml")
# Units of CLDR that a text may name, with what they are measured in and how many of it they are.
UNITS = {
    "duration-second": ("s", 1), "duration-minute": ("s", 60), "duration-hour": ("s", 3600), "duration-day": ("s", 86400),
    "duration-week": ("s", 7 * 86400), "duration-month": ("months", 1), "duration-year": ("months", 12),
    "length-kilometer": ("m", 1000), "length-meter": ("m", 1), "length-centimeter": ("m", 0.01), "length-millimeter": ("m", 0.001),
    "length-mile": ("m", 1609.344), "area-square-kilometer": ("m2", 1e6), "area-hectare": ("m2", 1e4), "area-square-meter": ("m2", 1),
    "volume-cubic-meter": ("l", 1000), "volume-liter": ("l", 1), "volume-milliliter": ("l", 0.001),
    "mass-tonne": ("kg", 1000), "mass-kilogram": ("kg", 1), "mass-gram": ("kg", 0.001), "mass-milligram": ("kg", 1e-6),
    "temperature-celsius": ("degree", 1), "temperature-generic": ("degree", 1), "temperature-fahrenheit": ("fahrenheit", 1),
    "angle-degree": ("degree", 1), "degree": ("degree", 1), "speed-kilometer-per-hour": ("km/h", 1), "electric-volt": ("V", 1),
    "electric-ampere": ("A", 1), "electric-ohm": ("ohm", 1), "power-kilowatt": ("W", 1000), "power-watt": ("W", 1),
    "frequency-hertz": ("Hz", 1), "digital-megabyte": ("MB", 1), "digital-gigabyte": ("MB", 1000), "digital-kilobyte": ("MB", 0.001),
    "concentr-percent": ("percent", 1), "percent": ("percent", 1),
}  # fmt: skip
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "CNY", "RUB")
SCALES = {"1000": 1e3, "1000000": 1e6, "1000000000": 1e9, "1000000000000": 1e12}
HAN_SCALES = {"百": 1e2, "千": 1e3, "万": 1e4, "亿": 1e8}
SYMBOLS = {"%": "percent", "€": "EUR", "£": "GBP", "$": "USD", "¥": "CNY", "₽": "RUB", "m2": "area-square-meter",
           "m3": "volume-cubic-meter", "м2": "area-square-meter", "м3": "volume-cubic-meter", "°c": "degree", "°": "degree", "°f": "temperature-fahrenheit", "v": "electric-volt"}  # fmt: skip
GERMAN_HOURS = {
    name: hour for hour, name in enumerate("eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf".split(), 1)
} | {"ein": 1}
NUMBER = r"(?<![\w.,])[-+]?\d[\d.,]*(?<![.,])|\d+(?:\.\d+)*"


@dataclass(frozen=True)
class Quantity:
    """A number with its unit, in the unit that all of its kind are measured in; the unit is None for a bare number."""

    value: float
    unit: str | None = None
    written: float = 0.0  # the number as it stands in the text


@cache
def words_of(language: str) -> dict:
    """The words of a language; of one without words, those of none."""
    tables = tomllib.loads(WORDS_FILE.read_text(encoding="utf-8"))
    empty: dict = {key: type(value)() for key, value in tables["de"].items()}
    words = empty | tables.get(language, {})
    return words | {key: folded(words[key]) for key in FOLDED}


def folded(value: str | list[str]) -> str | list[str]:
    """Words or regular expressions as they are searched in a text after casefold, which has "ss" for "ß"."""
    return value.replace("ß", "ss") if isinstance(value, str) else [one.replace("ß", "ss") for one in value]


@cache
def locale(language: str):
    from babel import Locale

    return Locale.parse(language)


@cache
def month_names(language: str) -> dict[str, int]:
    names = {}
    for width in ("abbreviated", "wide"):
        for context in ("format", "stand-alone"):
            for number, name in locale(language).months[context][width].items():
                names[name.lower().strip(".")] = number  # as the text: casefold would take Greek apart
    return names


@cache
def unit_names(language: str, normal) -> dict[tuple[str, ...], str]:
    """From the words of a unit's name, each in normal form, to our name of it."""
    names = {(normal(symbol),): unit for symbol, unit in SYMBOLS.items()}
    spellings = [language, "en_GB"] if language == "en" else [language]
    all_patterns, currencies = (
        [locale(one)._data["unit_patterns"] for one in spellings],
        {},
    )  # Babel has no function for them
    for unit, patterns in product(UNITS, all_patterns):
        for width in ("narrow", "short", "long"):
            if width == "narrow" and unit.startswith("duration") and language != "zh":
                continue
            for key, pattern in dict(patterns.get(unit, {}).get(width, {})).items():
                if key != "per":
                    names[spelled(str(pattern).replace("{0}", " "), normal)] = unit
    for code in CURRENCIES:
        currencies[locale(language).currencies.get(code, code)] = code
        for name in dict(locale(language)._data.get("currency_names_plural", {}).get(code, {})).values():
            currencies[name] = code
        currencies[code] = code
    currencies |= {name: unit for name, unit in words_of(language)["units"].items()}
    names |= {spelled(name, normal): unit for name, unit in currencies.items()}
    names.pop((normal("a"),), None)  # ampere, but a word in many languages: "9 à 17 heures", "40 a day"
    return names


def spelled(text: str, normal) -> tuple[str, ...]:
    text = unicodedata.normalize("NFKC", text).casefold()
    return tuple(normal(word) for word in re.findall(r"[^\W\d_]+\d?|[%€$£¥°]\w?", text))


def to_base(value: float, unit: str | None) -> Quantity:
    """A number with CLDR's name of its unit as a Quantity in that unit's base (km in m); any other unit stays."""
    base, factor = UNITS.get(unit or "", (unit, 1))
    return Quantity(round(value * factor, 6), base, value)


def parse_number(text: str, language: str) -> float | None:
    """The value of digits with separators: of the language, or, where that cannot be meant, the other way round."""
    decimal = locale(language).number_symbols["latn"]["decimal"]
    group = "." if decimal == "," else ","
    if re.fullmatch(rf"[-+]?\d{{1,3}}(?:[{group}]\d{{3}})+(?:[{decimal}]\d+)?", text):
        text = text.replace(group, "")
    elif re.fullmatch(rf"[-+]?(?:\d+|\d{{1,3}}(?:[{decimal}]\d{{3}})+)[{group}]\d+", text):
        text, decimal = text.replace(decimal, ""), group  # 3.5 and 1,250.50 in German, 3,5 and 1.250,50 in English
    with contextlib.suppress(ValueError):
        return float(text.replace(decimal, ".") if decimal == "," else text.replace(",", ""))
    return None


def rewrite(text: str, language: str) -> str:
    """A text in lower case with digits for number words, and "day month#N year" for dates, "H:MM" for times."""
    text = plain(text).lower()  # not casefold: text2num knows "dreißig" only
    text = re.sub(r"[\u2010-\u2013\u2212]", "-", text).replace("\u2019", "'")
    if language == "zh":
        return rewrite_chinese(text)
    text = re.sub(r"(?<=\d)[\s\u202f'](?=\d{3}(?!\d))", "", text)  # 12 480
    text = re.sub(r"(?<!\w)v(?=\d+\.\d)", "", text)  # of a version: v2.3
    text = known_number_words(text, language)
    numbers = words_of(language)["numbers"]
    if numbers:
        pattern = "|".join(sorted(map(re.escape, numbers), key=len, reverse=True))
        text = re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", lambda found: f" {numbers[found[0]].casefold()} ", text)
    text = re.sub(r"(?<!\d)(\d{1,2})[./](\d{1,2})[./](\d{4})(?!\d)", r" \1 month#\2 \3 ", text)
    text = re.sub(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)", r" \3 month#\2 \1 ", text)
    text = re.sub(r"month#0?(?=\d)", "month#", text)
    text = re.sub(r"\bhttps?://(?:www\.)?", "", text)
    if language == "en":
        for form, replacement in TIMES:
            text = re.sub(form, replacement, text)
    if language == "de":
        text = rewrite_german(text)
    elif language in ("fr", "es"):
        text = re.sub(r"(?<!\d)(\d{1,2}) ?h ?(\d{2})(?!\d)", r"\1:\2", text)
    text = re.sub(r"(?<!\w)(?<!au )(?<!al )(?<!por lo )(?:minus|moins|menos|минус) (?=\d)", "-", text)  # not: at least
    # no number: an article
    text = re.sub(r"(?<![\w-])(?<!et )(?<!y )un(?= (?!mill))", "una", text) if language in ("fr", "es") else text
    if language in SPELLED:
        from text_to_num import alpha2digit

        with contextlib.suppress(Exception):  # a text that it cannot read stays as it is
            text = alpha2digit(text, language, ordinal_threshold=0)
    text = re.sub(r"(\d+) (euros?|€|eur) (\d{2})(?!\w|[.,]\d)", r"\1,\3 \2", text)  # 4 Euro 50
    text = re.sub(r"(?<![\d/])(\d)/(\d)(?![\d/])", percentage, text)
    text = re.sub(r"(?<![\d,.])(\d{1,3}) zu (\d{1,3})(?![\d,.])", r"\1:\2", text)  # a score
    months = month_names(language)
    names = "|".join(sorted(map(re.escape, months), key=len, reverse=True))
    if language == "en":  # May 21
        text = re.sub(rf"(?<!\w)({names})\b\.? (\d{{1,2}})(?:st|nd|rd|th)?(?![\w:])(?!,\d)", r"\2 \1 ", text)
    text = re.sub(
        rf"(?<!\w)(\d{{1,2}})\D{{0,5}}? (?:de )?({names})\b(?:\.)?",
        lambda found: f"{found[1]} month#{months[found[2]]} ",
        text,
    )
    text = re.sub(rf"(?<!\w)({names})\b(?=\.? (?:de )?\d{{4}})", lambda found: f"month#{months[found[1]]} ", text)
    text = re.sub(
        r"(\d[\d.,]*) (?:de )?(1000000000000|1000000000|1000000|1000)\b",
        lambda found: shown((parse_number(found[1], language) or 0) * SCALES[found[2]], language),
        text,
    )
    return re.sub(r"(?<=\d)(?:st|nd|rd|th|er|e|ème|eme|º|ª|ий|й)\b", "", text)


def with_plain_numbers(text: str, language: str) -> str:
    """A rewritten text of a language that Babel knows, with "." before decimals and nothing between thousands."""
    try:
        locale(language)
    except (LookupError, ValueError):
        return text

    def number(found: re.Match) -> str:
        value = parse_number(found[0], language)
        return found[0] if value is None or re.match(r"0\d", found[0]) else shown(value, "en")

    text = re.sub(NUMBER, number, rewrite(text, language))
    if "month#" in text:  # then a short word is an article or a preposition, and no unit
        text = re.sub(r"(?<![^\W_])[^\W\d_]{1,3}(?![^\W_])", " ", text)
    return re.sub(r"month#(\d+)", r"month\1", text)


def percentage(found: re.Match) -> str:
    """Two thirds, as 67 %."""
    return f" {round(100 * int(found[1]) / max(int(found[2]), 1))} % "


def shown(value: float, language: str) -> str:
    """A number as the language writes it, without separators of thousands."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return text if language in ("en", "zh") else text.replace(".", ",")


def rewrite_german(text: str) -> str:
    hours = "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf".split()
    late = 12 if re.search(r"\b(?:nachmittags?|abends?)\b", text) else 0
    text = re.sub(rf"\b({'|'.join(hours)}|ein) uhr\b", lambda found: f"{GERMAN_HOURS[found[1]]} uhr", text)
    text = re.sub(rf"\bhalb ({'|'.join(hours)})\b", lambda found: f"{GERMAN_HOURS[found[1]] - 1}:30 uhr", text)

    def time_of_day(found) -> str:
        hour = int(found[1]) + (late if int(found[1]) < 12 else 0)
        return f"{hour}:{found[2] or '00'}"

    text = re.sub(r"(?<![\d,.])(\d{1,2})(?:[.:](\d{2}))?(?= ?(?:-|bis) ?\d{1,2}(?:[.:]\d{2})? ?uhr)", time_of_day, text)
    text = re.sub(r"(?<![\d,.:])(\d{1,2})(?:[.:](\d{2}))? ?uhr(?: (\d{2})\b)?", lambda found: time_of_day(found) if not found[3] else f"{found[1]}:{found[3]}", text)  # fmt: skip
    ends = {"täg": "tage", "wöch": "wochen", "monat": "monate", "jähr": "jahre", "stünd": "stunden", "minüt": "minuten"}
    return re.sub(rf"\b(\w{{3,}}?)-?({'|'.join(ends)})(?:ig|lich)\w{{0,2}}\b",
                  lambda found: f"{found[1]} {ends[found[2]]}" if number_word(found[1]) else found[0], text)  # fmt: skip


def number_word(text: str) -> bool:
    from text_to_num import alpha2digit

    return text.isdigit() or alpha2digit(text, "de").isdigit()


@cache
def simplifier():
    from opencc import OpenCC

    return OpenCC("t2s")


def rewrite_chinese(text: str) -> str:
    import cn2an

    text = re.sub(r"(?<=\d)[,，](?=\d{3})", "", simplifier().convert(text))
    text = re.sub(
        r"([一二两三四五六七八九十\d]+)个半(?=小时|月|年|钟头)",
        lambda found: f"{found[1]}点五个".replace("两点", "二点"),
        text,
    )
    for name, amount in words_of("zh")["numbers"].items():
        text = text.replace(name, amount)
    text = re.sub(r"(?<=[天日周月年季期度])一次", "", text)  # once: "每两周一次" is "每14天"
    text = re.sub(r"(?:周|礼拜)(?=[一二三四五六日天])", "星期", text)
    text = re.sub(r"星期([一二三四五六])", lambda found: f"weekday#{'一二三四五六'.index(found[1]) + 1} ", text)
    text = re.sub(r"星期[日天]", "weekday#7 ", text)
    text = re.sub(r"两(?=[个周年天小月点百千万倍次])", "二", text)
    text = re.sub(r"(?<![\d/])(\d)/(\d)(?![\d/])", percentage, text).replace("% ", "%")
    text = re.sub(r"零下(?=[\d零一二三四五六七八九十])", "-", text)
    text = re.sub(r"(?<![分之零一二三四五六七八九十百\d])([一二三四五六七八九十]+)(?=点(?:半|整|钟|[一二三四五]?十?[一二三四五六七八九]?分|[^零一二三四五六七八九\d]|$))", lambda found: str(cn2an.cn2an(found[1], "smart")), text)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):
            text = cn2an.transform(text, "cn2an")
    text = re.sub(r"(\d+(?:\.\d+)?)([百千万亿]+)", lambda found: shown(scaled(float(found[1]), found[2]), "zh"), text)
    text = re.sub(r"(?<![\d.])(\d{1,3})[比:](\d)(?![\d.])", r" \1:\2 ", text)  # a score
    text = re.sub(r"(?<!\d)(\d{4})年(\d{1,2})月(?:(\d{1,2})[日号])?", lambda found: f" {found[3] or ''} month#{found[2]} {found[1]} ", text)  # fmt: skip
    text = re.sub(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)", lambda found: f" {int(found[3])} month#{int(found[2])} {found[1]} ", text)  # fmt: skip
    text = re.sub(r"(?<!\d)(\d{1,2})月(\d{1,2})[日号]", r" \2 month#\1 ", text)
    text = re.sub(r"(?<!\d)(\d{4})年", r" \1 ", text)

    def time_of_day(found) -> str:
        late = 12 if found[1] in ("下午", "晚上", "傍晚", "晚") and int(found[2]) < 12 else 0
        minute = 30 if found[3] in ("半", "0.5") else int(found[4] or 0)
        return f" {int(found[2]) + late}:{minute:02d} "

    return re.sub(
        r"(上午|下午|晚上|傍晚|晚|中午|凌晨|早上)?(\d{1,2})点(半|0\.5|整|钟|(\d{1,2})分?)?", time_of_day, text
    )


def scaled(value: float, scales: str) -> float:
    """A number times each of the Chinese powers of ten behind it: 3, "万" is 30000."""
    for scale in scales:
        value *= HAN_SCALES[scale]
    return value
