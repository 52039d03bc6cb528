"""The forms that dates, times, amounts, codes and names have, as one pattern over the words of span_words.py."""

from __future__ import annotations

from functools import cache

import regex

from data_processor import span_words
from data_processor.span_words import OPENING_WORDS

CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}々〇ー"  # written without spaces, and without capitals
LETTER = rf"[[\p{{L}}\p{{M}}]--[{CJK}]]"
LETTER_OR_DIGIT = rf"[[\p{{L}}\p{{M}}\p{{Nd}}]--[{CJK}]]"
NAME_CHARACTER = rf"[[\w'’\p{{M}}\-‑]--[{CJK}]]"
SPACE = r"[ \u00a0\u202f\u2009]"

QUOTED = (
    r"(?<![\w.,!?])\"(?!\s)[^\"“”]{2,60}(?<!\s)\"(?!\w)|“[^\"“”]{2,60}[”\"]|„[^„“”\"]{2,60}[“”\"]|《[^》]+》|「[^」]{2,60}」|『[^』]{2,60}』"
    r"|«\s?[^«»]{2,60}\s?»|»[^«»\s][^«»]{1,60}«"
)
URL = r"(?:https?://|www\.)[^\s<>\"“”«»，。、）]*[^\s<>\"“”«»，。、）.,;:!?)\]'’]"
EMAIL = r"[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+"

# Numbers: groups of three digits, decimals, and ranges, scores and ratios of them; 6'2", 59°54′N, 10^6.
DIGITS = rf"(?:\d{{1,3}}(?:{SPACE}\d{{3}})+(?!\d)(?:[.,]\d+)?|\d[\d.,'’٬٫]*\d|\d)"
NUMBER = rf"(?:{DIGITS}(?:(?:-|–|/|:|: |−){DIGITS})*[½¼¾]?|[½¼¾])"
ANGLE = r"\d{1,3}°\d{1,2}[′'](?:\d{1,2}(?:[.,]\d+)?[″\"])?(?: ?[NSEWO]\b)?|\d{1,2}['′]\d{1,2}[\"″]"
ORDINAL = r"s|st|nd|rd|th|er|re|e|ère|ème|º|ª|-(?:х|й|я|е|го|му|м|ю|ые|ых|ми|та)"
POWER = r"\^-?\d+|[⁰¹²³⁴-⁹]+|(?: ?[×x·] ?10(?:\^-?\d+|[⁰¹²³⁴-⁹⁻]+)| ?× ?10\d{1,2}(?!\d))"
CHINESE_NUMBER = r"[一二三四五六七八九十百千万亿两零〇]"


def date_pattern() -> str:
    """Dates in words and in digits. The lists of months and weekdays are given when the pattern is compiled."""
    month = r"(?:\L<months>(?!\p{L})|\L<short_months>(?!\p{L})\.?|\L<stopped_months>\.)"
    day = r"(?<!\d)(?:[12]?\d|3[01])(?:st|nd|rd|th|er|\.|º|ª)?"
    link = rf"(?:{SPACE}?(?:{span_words.DATE_LINKS}){SPACE}?|{SPACE})"
    year = rf"(?:\d{{4}}(?!\d)(?:{SPACE}(?:{span_words.YEAR_WORDS})(?!\p{{L}}))?|['’]\d\d(?!\d))"
    era = rf"(?:{span_words.ERAS})(?!\p{{L}})"
    weekday = rf"\L<weekdays>\.?,?{SPACE}(?:(?:{span_words.WEEKDAY_LINKS}){SPACE})?"
    days = rf"{day}(?:(?:{span_words.DATE_RANGE}){day})?"
    days_after = days.replace(r"|\.", "")  # "May 3" at the end of a sentence
    # then a digit: before the lists
    one_word, two_words = r"(?=\p{L}++\.?,?\s['’]?\d)", r"(?=\p{L}++\.?,?\s\p{L}++\.?\s\d)"
    first_month = rf"(?:\L<months>(?!\p{{L}})|\L<short_months>(?!\p{{L}})\.?){SPACE}{days_after}(?!\d|[.,:]\d|\p{{L}})(?:,?{SPACE}{year})?"
    clock = r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
    return "|".join(
        [
            rf"\d{{4}}(?P<mark>[-/.])(?:0?[1-9]|1[0-2])(?P=mark)(?:[0-2]?\d|3[01])(?!\d){clock}",
            r"(?=\d)(?:[0-2]?\d|3[01])(?P<stop>[./-])(?:0?[1-9]|1[0-2])(?P=stop)\d{4}(?!\d)|(?:0?\d|1[0-2])/\d{1,2}/\d{2,4}(?!\d)",
            r"\d{1,2}\. ?(?:0?[1-9]|1[0-2])\. ?\d{4}(?!\d)",
            r"\d{1,2}[-/](?:\L<months>|\L<short_months>)[-/]\d{2,4}(?!\d)",
            rf"(?:(?=\d)|(?:{one_word}|{two_words}){weekday}){days}{link}{month}(?:,?{link}{year}(?:{SPACE}{era})?)?",
            rf"{one_word}{first_month}|{two_words}{weekday}{first_month}",
            rf"(?:{one_word}|{two_words}){month},?{link}{year}(?:{SPACE}{era})?",
            rf"\d{{1,2}}(?:st|nd|rd|th|e|\.)?(?:(?:-|–| and | to | und | bis ){DIGITS}(?:st|nd|rd|th|\.)?)?[ -](?:{span_words.CENTURIES})(?!\p{{L}})(?:{SPACE}{era})?",
            rf"[IVX]+(?:e|ème)?{SPACE}(?:{span_words.CENTURIES})(?!\p{{L}})|(?:siglo|secolo|século){SPACE}[IVX]+\b",
            rf"\d{{1,4}}(?:[-–]\d{{1,4}})?{SPACE}{era}|A\.?D\.?{SPACE}\d{{1,4}}(?!\d)",
            rf"(?:{span_words.CJK_ERAS})?\d{{4}}(?:[-–至到]\d{{4}})? ?年(?!代)(?: ?\d{{1,2}} ?月(?: ?\d{{1,2}} ?[日号])?|初|底|末)?",
            rf"(?:{span_words.CJK_ERAS})\d{{1,4}}年(?:\d{{1,2}}月(?:\d{{1,2}}日)?)?|(?:公元前|公元)?\d{{1,2}}世[纪紀](?:\d0年代)?(?:[早中晚后前]期|中叶|初|末)?",
            r"(?:\d{4}|\d0)年代(?:[早中晚后前]期|中叶|初|末)?|\d{1,2} ?月(?: ?\d{1,2} ?[日号])?|\d{4}년(?: ?\d{1,2}월(?: ?\d{1,2}일)?)?",
            r"(?=\p{Lu})\L<lone_months>(?!\p{L})",
        ]
    )


def time_pattern() -> str:
    hour, minute = r"(?<!\d[:.])(?:[01]?\d|2[0-4])", r"[0-5]\d"
    marks = rf"(?:{SPACE}?(?:{span_words.MINUTES})(?!\p{{L}})(?:{SPACE}[0-5]\d(?!\d))?)"
    zone = r"(?: (?:UTC|GMT|C?EST|CET|EDT|PST|MEZ|МСК))?"
    return "|".join(
        [
            rf"{hour}:{minute}(?::{minute}(?:[.,]\d+)?)?(?![\d:]){marks}?{zone}",
            rf"{hour}\.{minute}{marks}{zone}|{hour}{marks}{zone}|{hour} ?o['’]clock",
            rf"(?:{span_words.CJK_DAY_PARTS})?\d{{1,2}}(?:[点點]|[时時](?![期代间間]))(?:\d{{1,2}}分|半)?(?:\d{{1,2}}秒)?",
        ]
    )


def code_pattern() -> str:
    """Provisions of law, versions, addresses on a network, telephone and account numbers."""
    number = r"\d+(?:[.\-/]\d+)*[a-z]?(?!\p{L})(?:\(\w{1,4}\))*"
    law = r"(?: \p{Lu}[\p{Ll}]*\p{Lu}[\p{L}]*)?"
    parts = rf"(?: ?(?:{span_words.PROVISION_PARTS}) ?\w+)*"
    return "|".join(
        [
            rf"(?:\d+ U\.S\.C\. )?§§? ?{number}(?:(?:, | und | and |-|–){number})*{parts}{law}",
            rf"(?:{span_words.PROVISIONS}){SPACE}{number}{parts}{law}|第 ?\d+ ?[{CJK}]",
            r"v\d+(?:\.\d+)*(?:[-+][\w.]*\w)?|(?!\d{1,3}(?:\.\d{3})+(?![.\d]))\d+(?:\.\d+){2,}(?:[-+][\w.]*\w)?",
            r"\p{Lu}{2}\d{2}(?: ?\d{4}){2,}(?: ?\d{1,4})?(?!\d)|\+\d{1,3}(?:[ \-./]?\(?\d{1,5}\)?){2,7}|\d+(?:-\d+){2,}",
        ]
    )


def amount_pattern() -> str:
    """Numbers with a currency before them, and amounts in Chinese characters. `end_of_amount` looks for what follows."""
    codes = "|".join(sorted(span_words.units()[2]))
    before = rf"(?:(?:\p{{Lu}}{{1,3}})?[{span_words.CURRENCY_SIGNS}] ?|(?=\p{{Lu}}{{3}} ?\d)(?:{codes}) ?)"
    return (
        rf"(?:(?<![\w)\]])[-−+±])?{before}?(?:{ANGLE}|{NUMBER}(?:{POWER})?(?:(?:{ORDINAL})(?!\p{{L}}))?)"
        rf"|(?<!{CHINESE_NUMBER}){CHINESE_NUMBER}{{2,12}}+[多余]?(?:{span_words.CJK_UNITS.replace('年代|', '').replace('世纪|', '')})"
    )


def name_pattern() -> str:
    """Words with a capital, and what stands between and after them in a name."""
    openings = "|".join(sorted({word.capitalize() for word in OPENING_WORDS["en"]}))
    next_name = rf"(?={SPACE}(?:\p{{Lu}}|(?:{span_words.PARTICLES}) \p{{Lu}}))(?!{SPACE}(?:{openings})(?![\w.]))"  # after an initial
    letters = rf"(?:{LETTER_OR_DIGIT}|[-‑])"
    code = (  # AX-4471/b, and account numbers: NO93 8601 1117 947
        rf"(?=(?:{letters}|[./:_])*\d)\p{{Lu}}{letters}*(?:[/:_.]{LETTER_OR_DIGIT}+)+|\p{{Lu}}{{2}}\d{{2}}(?: \d{{4}}){{2,}}(?: \d{{1,4}})?(?!\d)"
    )
    word = (
        rf"(?!(?:{span_words.PROVISIONS}){SPACE}\d)(?:\p{{Lu}}\.(?:\p{{Lu}}\.)+|\p{{Lu}}\.{next_name}"
        rf"|(?:{span_words.TITLES})\.(?={SPACE}\p{{Lu}})|\p{{Lu}}+&\p{{Lu}}+|C\+\+|[CF]#"
        rf"|{code}|(?:(?:al|el|ul|ad|as|an|ar|at|ed|abd)[-‑]|\p{{Ll}}{{1,2}}(?=\p{{Lu}}))?\p{{Lu}}{NAME_CHARACTER}*(?:\.\p{{Ll}}{{2,4}}(?!\p{{L}}))?)"
    )
    version = r" v?\d+(?:\.\d+)+(?<!\.\d{3})(?!\d|,\d)(?:-[\w.]*\w)?"
    numbered = rf"(?<=\p{{Lu}}\p{{Lu}}|\p{{Ll}}\p{{Lu}}\p{{Ll}}+|(?<!\p{{L}})(?:{span_words.NUMBERED})) (?:№ ?)?"
    number = rf"{numbered}\d+(?:[-:/.]\d+)*(?!{LETTER}|[.,:/-]?\d|-\p{{Ll}}| \p{{Ll}}+s(?!\p{{L}})| ?%)|{SPACE}(?:№|No\.|Nr\.) ?\d+"
    regulation = r" \((?:EU|EC|EG|UE|CE|EWG)\)(?: N[ro]\.?)? \d+/\d+(?:/\w+)?"
    house = rf"(?<=(?i:{span_words.STREET_ENDINGS})) \d+(?: ?[a-z](?!{LETTER}))?(?!\d)"
    join = rf"(?: (?:{span_words.PARTICLES}) | d['’]| d['’]| & | )"
    return rf"{word}(?:{join}{word})*+(?:{regulation}|{house}|{version}|(?:{number})(?: {word})*)?"


def address_pattern() -> str:
    return rf"(?:\d{{1,5}}[a-z]? (?:\p{{Lu}}[\p{{L}}'’-]+ ){{1,3}}|\d{{1,3}}(?:st|nd|rd|th) )(?:{span_words.STREETS})(?!{LETTER})"


@cache
def span_pattern() -> regex.Pattern:
    """The pattern of all spans, with the kind of a span as the name of its group; at a place the first kind wins."""
    months, short, alone = span_words.months()
    kinds = {
        "link": f"{URL}|{EMAIL}", "quoted": QUOTED, "date": date_pattern(), "time": time_pattern(), "code": code_pattern(),
        "address": address_pattern(), "number": amount_pattern(), "name": name_pattern(),
    }  # fmt: skip
    word_start = rf"(?:(?<!{LETTER})|(?!{LETTER}))"
    return regex.compile(
        word_start + "(?:" + "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in kinds.items()) + ")",
        regex.VERSION1,
        months=months,
        short_months={name for name in short if name[0].isupper()},
        stopped_months=short,
        lone_months=alone,
        weekdays=span_words.weekdays(),
    )
