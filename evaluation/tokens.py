"""The words and numbers of a text in normal form, and how many of one text's stand in another.

tokens("Twenty-one percent")    # ["21", "percent"], as of "21%"
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache

from evaluation.digits import plain, without_han_numbers

MATCH_RECALL = 0.8  # one token in five of the reference may be missing
FILLERS = "a an the of in on at to for by with from and as is was were are be its his her their it that".split()
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
ORDINALS = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
NUMBER_WORDS = {word: value for words in (f"{NUMBERS} {TEENS}", ORDINALS) for value, word in enumerate(words.split())}
ONES = "|".join(word for word, value in NUMBER_WORDS.items() if 1 <= value <= 9)
NUMBER_WORDS |= {f"{word}th": value for value, word in enumerate(TEENS.split(), start=13)}
NUMBER_WORDS |= {word: 10 * value for value, word in enumerate(TENS.split(), start=2)}
NUMBER_WORDS |= {f"{word[:-1]}ieth": 10 * value for value, word in enumerate(TENS.split(), start=2)}
SYMBOLS = str.maketrans(
    {"%": " percent ", "&": " and ", "$": " dollars ", "£": " pounds ", "€": " euros ", "°": " degrees ", "\u2019": "'"}
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")  # hyphens, en dash, minus
)
NUMBER = rf"\b(?:(?:{TENS.replace(' ', '|')})[\s-](?:{ONES})|{'|'.join(NUMBER_WORDS)})\b"
HUNDREDS = r"(?<![\w.])(?:(\d\d?)[\s-])?hundred(?:(?:\sand)?[\s-](\d\d?))?\b(?![.,:/-]?\d)"
MONTHS = "january february march april may june july august september october november december".split()
SHORT_MONTH = rf"({'|'.join(month[:3] for month in MONTHS)}|sept)\b\.?"
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


Forms = Sequence[tuple[str, str | Callable[[re.Match], str]]]


def decimal_point(found: re.Match) -> str:
    return re.sub(r"[.\s]", "", found[0]).replace(",", ".")


def full_month(found: re.Match) -> str:
    return next(month for month in MONTHS if month.startswith(found[1][:3]))


def date(year: str, month: str, day: str) -> str:
    """ "4 april 1987" of the digits of a date; as it was, with hyphens, if no month has that number."""
    return f"{int(day)} {MONTHS[int(month) - 1]} {year}" if 1 <= int(month) <= 12 else f"{year}-{month}-{day}"


def amount(found: re.Match) -> str:
    """3.2 million, 12 thousand or 2 thousand and 50, as one number."""
    return f"{(Decimal(found[1]) * SCALES[found[2]] + int(found[3] or 0)).normalize():f}"


def slashed_date(one: str, other: str, year: str) -> str:
    """A date like 21/5/2026; one like 3/5/2026 stays, for it is another day in another country."""
    if one != other and int(one) <= 12 and int(other) <= 12:
        return f"{one}/{other}/{year}"
    return date(year, one, other) if int(other) > 12 else date(year, other, one)


def time_of_day(hour: str, minute: str | None, half: str) -> str:
    """2 pm as 14:00."""
    return f"{int(hour) % 12 + 12 * (half == 'p')}:{minute or '00'}"


REWRITES = (  # in this order, on lower-case text
    (r"(?<=\w)'s\b", ""),
    (r"\bper cent\b", "percent"),
    (r"\b(?:[a-z]\.){2,}(?:[a-z]\b)?", lambda found: found[0].replace(".", "") + " "),  # a.m., U.S.
    (NUMBER, lambda found: str(sum(NUMBER_WORDS[word] for word in re.split(r"[\s-]", found[0])))),
    (HUNDREDS, lambda found: str(100 * int(found[1] or 1) + int(found[2] or 0))),
    (r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!,?\d)", lambda found: found[0].replace(",", "")),
    (r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![.,]?\d)", lambda found: found[0].replace(".", "")),  # 1.250.000
    (r"(?<![\d.,])\d{1,3}(?:[.\s]\d{3})+,\d+(?![.,]?\d)", decimal_point),  # 1.250,50
    (r"(?<![\d.,])(\d+),(\d{1,2}|\d{4,})(?![.,]?\d)", r"\1.\2"),  # 1250,50
    (r"(?<![\w.])\.(?=\d)", "0."),
    (r"(?<=\d)(?:st|nd|rd|th)\b", ""),
    (r"\b(\d+)\sand\s(?:a\shalf|1/2)\b", r"\1.5"),
    (rf"(?<![\d.,:/-])(\d+(?:\.\d+)?)[\s-]({'|'.join(SCALES)})\b(?:\s(?:and\s)?(\d{{1,3}})\b(?![.,:/-]?\d))?", amount),
    (r"(?<![\d.-])(\d{4})-(\d\d)-(\d\d)(?![\d-])", lambda found: date(*found.groups())),
    (rf"(?<=\d\s){SHORT_MONTH}", full_month),
    (rf"\b{SHORT_MONTH}(?=\s\d)", full_month),
)
YEAR_FIRST = (  # dates of any language, on the same text
    (
        r"(?<![\d./-])(\d{4})(?:([-/.])|[年년]\s?)(\d{1,2})(?:\2|[月월]\s?)(\d{1,2})(?![\d./-]*\d)[日일]?",
        lambda found: date(found[1], found[3], found[4]),
    ),
)
TIMES = (  # of English
    (r"(?<![\d.,:/-])(\d{1,2})(?:[:.](\d\d))?\s?([ap])\.?m\b\.?", lambda found: time_of_day(*found.groups())),
    (r"\b(?:12\s)?noon\b", "12:00"),
    (r"\b(?:12\s)?midnight\b", "0:00"),
    (r"(?<![\d.:])0(?=\d:\d\d)", ""),
)
FORMS = (  # after REWRITES, for a second comparison of English texts: what else says the same
    *YEAR_FIRST,
    (r"\b(can)(?:'t|not)\b", r"\1 not"),
    (r"\bwon't\b", "will not"),
    (r"n't\b", " not"),
    *TIMES,
    (r"\bhttps?://(?:www\.)?", ""),
    (r"(?<![\d.,])\d{1,3}(?:\s\d{3})+(?![\d.,]*\d)", lambda found: re.sub(r"\s", "", found[0])),
    (r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?![.\d])", lambda found: date(found[3], found[2], found[1])),
    (r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4})(?![/\d])", lambda found: slashed_date(*found.groups())),
    (r"\bbetween\s(\d[\d.]*)\sand\s(?=\d)", r"\1-"),
    (r"(?<=\d)\s(?:to|until|till|through)\s(?=\d)", "-"),
    (r"(?<=\d)\s-\s(?=\d)", "-"),
    (r"\bv(?:ersion)?\.?\s?(?=\d+\.\d)", ""),
    (r"(?<![.\w])[a-z]\.?(?:\s[a-z]\.?)+(?=\s|$)", lambda found: re.sub(r"[.\s]", "", found[0])),  # J. R. R.
)
# What stands after a name or a noun in Korean: "is", the topic, the object, "at", "from", "to".
KOREAN_ENDING = re.compile(
    r"(?<=[\uac00-\ud7af]{2})(?:이다|입니다|이었다|였다|이에요|예요|은|는|을|를|에서|에게|으로)(?![\uac00-\ud7af])"
)
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
BASE_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "œ": "oe", "æ": "ae", "þ": "th"})
CJK = r"\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
# A CJK character; a number with sign, decimals or parts (84.6, 28-27, 10:30); a word, which may end in one (gpt4.5).
TOKEN = re.compile(rf"[{CJK}]|(?:(?<!\w)-)?\d+(?:[.:/-]\d+)*|[^\W_{CJK}]+(?:(?<=\d)\.\d+)*")


def tokens(text: str, forms: Forms = ()) -> list[str]:
    """The words and numbers of a text in normal form: "Twenty-one percent" and "21%" give the same list.

    `forms` are rewritten too: FORMS or YEAR_FIRST.
    """
    text = plain(text).casefold().translate(SYMBOLS).replace("i\u0307", "i").replace("ı", "i")  # capitals of Turkish
    text = KOREAN_ENDING.sub("", without_han_numbers(text))
    for pattern, replacement in (*REWRITES, *forms):
        text = re.sub(pattern, replacement, text)
    return TOKEN.findall(text)


@cache
def without_marks(token: str) -> str:
    """A token without accents, as a keyboard without them or capitals of Greek write it."""
    parts = unicodedata.normalize("NFD", token).translate(BASE_LETTERS)
    return re.sub(r"(?<=[\u0000-\u03ff])[\u0300-\u036f]+|(?<=[\u0590-\u06ff])[\u05b0-\u05c7\u064b-\u0655]+", "", parts)


def as_wanted(wanted: list[str], found: list[str]) -> list[str]:
    """The tokens found, each spelled as wanted where one of the two has no accents and they differ in nothing else."""
    spellings = {token.translate(UMLAUTS): token for token in wanted}
    spellings |= {without_marks(token): token for token in wanted}

    def spelled(token: str) -> str:
        for plain_token in (without_marks(token), token.translate(UMLAUTS)) if token not in wanted else ():
            other = spellings.get(plain_token)
            if other and plain_token in (token, other):
                return other
        return token

    return [spelled(token) for token in found]


def token_recall(reference: str, response: str, forms: Forms = ()) -> float:
    """The share of the reference's tokens, counted as often as they occur, that the response also has.

    Articles and prepositions of the reference do not count ("in the 1970s" asks for "1970s"), but its last token always
    does: the A of "vitamin A" is no article.
    """
    in_order = tokens(reference, forms)
    wanted = Counter([token for token in in_order[:-1] if token not in FILLERS] + in_order[-1:])
    return (wanted & Counter(as_wanted(in_order, tokens(response, forms)))).total() / max(wanted.total(), 1)


def places(wanted: list[str], found: list[str]) -> list[int]:
    """Where a list of tokens has all of another one after the other."""
    return [start for start in range(len(found) - len(wanted) + 1) if found[start : start + len(wanted)] == wanted]


def stands_in(part: str, text: str) -> bool:
    """Whether a text has all tokens of a part one after the other."""
    return bool(places(tokens(part), tokens(text)))


def has_tokens(reference: str, response: str, forms: Forms = ()) -> bool:
    """Whether a response has the numbers and nearly all tokens of a reference."""
    numbers = Counter(token for token in tokens(reference, forms) if any(map(str.isdigit, token)))
    return token_recall(reference, response, forms) >= MATCH_RECALL and numbers <= Counter(tokens(response, forms))
