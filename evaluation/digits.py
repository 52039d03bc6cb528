"""Numbers of any script, and number words as they are written or declined, in the form that the readers of numbers know.

plain("١٢٬٥٠٠")    # "12,500"
known_number_words("двадцати двух", "ru")    # "двадцать два", which text2num reads
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from data_processor.numbered import RAISED

SEPARATORS = str.maketrans({"٬": ",", "٫": ".", "⁄": "/"})
FRACTIONS = {"¼": "25", "½": "5", "¾": "75"}
HAN_DIGITS = {c: str(value) for value, c in enumerate("〇一二三四五六七八九")} | {"零": "0"}
HAN_TENS, HAN_MYRIADS = {"十": 10, "百": 100, "千": 1000}, {"万": 10**4, "億": 10**8, "亿": 10**8, "兆": 10**12}
HAN_NUMBER = re.compile(
    r"[一二三四五六七八九十](?:[〇零一二三四五六七八九十百千万億亿兆\d]+|(?=[人個年月日円本枚匹頭台歳時分秒回件名週度階]))"
    r"|[百千](?=[一二三四五六七八九十])[一二三四五六七八九十百千万億亿兆]+|(?<![\d.])\d+[十百千万億亿兆][十百千万億亿兆\d]*"
)
# text2num spells these otherwise, or knows one form of them.
GERMAN = {"dreissig": "dreißig", "fuenf": "fünf", "zwoelf": "zwölf"}
RUSSIAN_TEENS = {f"{one}надцать": f"{one}ьнадцать" for one in ("пят", "шест", "сем", "восем")}
RUSSIAN_TENS = "двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто"
RUSSIAN_ORDINALS = (
    "перв втор треть четверт пят шест седьм восьм девят десят одиннадцат двенадцат тринадцат четырнадцат пятнадцат "
    "шестнадцат семнадцат восемнадцат девятнадцат двадцат"
).split()
ORDINAL_ENDINGS = "ый|ий|ой|ого|его|ому|ему|ым|им|ом|ем|ая|ую|ое|ей|ые|ых|ими|ыми|я|ю|е"


def plain(text: str) -> str:
    """A text in NFKC with the digits and decimal signs of any script as ASCII, without the narrow spaces inside numbers.

    A raised number stays apart from what it stands on: "10⁶" is "10^6", not "106".
    """
    text = re.sub(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(\d*)([¼½¾])", lambda found: f"{found[1] or 0}.{FRACTIONS[found[2]]}", text)
    text = unicodedata.normalize("NFKC", RAISED.sub(r"^\1", text)).translate(SEPARATORS)
    return re.sub(r"\d", lambda found: str(unicodedata.decimal(found[0])), text)


@cache
def russian_forms() -> dict[str, str]:
    """From the declined forms of Russian numerals to the one of each that text2num knows."""
    forms = dict.fromkeys("две двух двум двумя".split(), "два") | dict.fromkeys("трех трем тремя".split(), "три")
    forms |= dict.fromkeys("четырех четырем четырьмя".split(), "четыре") | {"сорока": "сорок", "девяноста": "девяносто"}
    forms |= {"восьми": "восемь", "восьмью": "восемь", "ста": "сто"} | RUSSIAN_TEENS
    regular = "пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать четырнадцать девятнадцать"
    for word in f"{regular} двадцать тридцать {' '.join(RUSSIAN_TEENS)}".split():
        forms |= dict.fromkeys((f"{word[:-1]}и", f"{word}ю"), RUSSIAN_TEENS.get(word, word))
    for one, genitive in {
        "пять": "пяти",
        "шесть": "шести",
        "семь": "семи",
        "восемь": "восьми",
        "девять": "девяти",
    }.items():
        forms |= dict.fromkeys((f"{genitive}десяти", f"{one}юдесятью"), f"{one}десят")
        forms |= dict.fromkeys((f"{genitive}сот", f"{genitive}стам", f"{genitive}стах"), f"{one}сот")
    for genitive, word in {"двухсот": "двести", "трехсот": "триста", "четырехсот": "четыреста"}.items():
        forms |= dict.fromkeys((genitive, f"{genitive[:-3]}стах"), word)
    forms |= dict.fromkeys("тысячу тысячей тысячам тысячами тысячах".split(), "тысяч")
    for word in ("миллион", "миллиард"):
        forms |= dict.fromkeys((f"{word}{end}" for end in ("у", "ом", "е", "ам", "ами", "ах")), f"{word}ов")
    return forms


def russian_numbers(text: str) -> str:
    """A Russian text with its numerals as text2num knows them, and ordinals as digits."""
    forms = russian_forms()
    text = re.sub(r"[а-яё]+", lambda found: forms.get(found[0].replace("ё", "е"), found[0]), text)
    text = re.sub(r"\b(?:одна|одну|одной)(?= тысяч)|(?<=десят |дцать )(?:одна|одну|одно|одной|одного)\b", "один", text)
    values = {stem: value for value, stem in enumerate(RUSSIAN_ORDINALS, 1)} | {"тридцат": 30}
    tens = {word: 10 * value for value, word in enumerate(RUSSIAN_TENS.split(), 2)}
    return re.sub(
        rf"\b(?:({'|'.join(tens)}) )?({'|'.join(values)})(?:{ORDINAL_ENDINGS})\b",
        lambda found: str(tens.get(found[1], 0) + values[found[2]]),
        text.replace("четвёрт", "четверт"),
    )


def known_number_words(text: str, language: str) -> str:
    """A text in lower case with its number words as text2num knows them."""
    if language == "de":
        return re.sub("|".join(GERMAN), lambda found: GERMAN[found[0]], text)
    return russian_numbers(text) if language == "ru" else text


def han_number(text: str) -> int:
    """The value of a number of Han characters and digits: 三百二十万 and 320万 are 3200000, 一九八七 is 1987."""
    digits = "".join(HAN_DIGITS.get(c, c) for c in text)
    if digits.isdigit():
        return int(digits)
    total = part = 0
    for number, unit in re.findall(r"(\d*)([十百千万億亿兆]?)", digits):
        if unit in HAN_MYRIADS:
            total, part = total + (part + int(number or (not part))) * HAN_MYRIADS[unit], 0
        else:
            part += int(number or bool(unit)) * HAN_TENS.get(unit, 1)
    return total + part


def without_han_numbers(text: str) -> str:
    """A text with digits for the numbers of two or more Han characters, of digits and Han characters, or before a counter."""
    return HAN_NUMBER.sub(lambda found: str(han_number(found[0])), text)
