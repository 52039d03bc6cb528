"""Whether an answer says what a reference says, by its words and numbers: no model, the same on every machine."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

MATCH_RECALL = 0.8  # one token in five of the reference may be missing
ARTICLES = ("a", "an", "the")
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
ORDINALS = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
NUMBER_WORDS = {word: value for words in (f"{NUMBERS} {TEENS}", ORDINALS) for value, word in enumerate(words.split())}
ONES = "|".join(word for word, value in NUMBER_WORDS.items() if 1 <= value <= 9)
NUMBER_WORDS |= {word: 10 * value for value, word in enumerate(TENS.split(), start=2)}
SYMBOLS = str.maketrans(
    {"%": " percent ", "&": " and ", "$": " dollars ", "£": " pounds ", "€": " euros ", "°": " degrees ", "\u2019": "'"}
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")  # hyphens, en dash, minus
)
NUMBER = rf"\b(?:(?:{TENS.replace(' ', '|')})[\s-](?:{ONES})|{'|'.join(NUMBER_WORDS)})\b"
HUNDREDS = r"(?<![\w.])(?:(\d\d?)[\s-])?hundred(?:(?:\sand)?[\s-](\d\d?))?\b(?![.,:/-]?\d)"
REWRITES = (  # in this order, on text in lower case
    (r"(?<=\w)'s\b", ""),
    (r"\bper cent\b", "percent"),
    (r"\b(?:[a-z]\.){2,}", lambda found: found[0].replace(".", "") + " "),  # a.m., U.S.
    (NUMBER, lambda found: str(sum(NUMBER_WORDS[word] for word in re.split(r"[\s-]", found[0])))),
    (HUNDREDS, lambda found: str(100 * int(found[1] or 1) + int(found[2] or 0))),
    (r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!,?\d)", lambda found: found[0].replace(",", "")),
    (r"(?<![\w.])\.(?=\d)", "0."),
    (r"(?<=\d)(?:st|nd|rd|th)\b", ""),
)
CJK = r"\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
# A CJK character; a number with sign, decimals or parts (84.6, 28-27, 10:30); a word, which may end in one (gpt4.5).
TOKEN = re.compile(rf"[{CJK}]|(?:(?<!\w)-)?\d+(?:[.:/-]\d+)*|[^\W_{CJK}]+(?:(?<=\d)\.\d+)*")


def tokens(text: str) -> list[str]:
    """The words and numbers of a text in one normal form: "Twenty-one percent" and "21%" give the same list."""
    text = unicodedata.normalize("NFKC", text).casefold().translate(SYMBOLS)
    for pattern, replacement in REWRITES:
        text = re.sub(pattern, replacement, text)
    return TOKEN.findall(text)


def token_recall(reference: str, response: str) -> float:
    """The share of the reference's tokens, counted as often as they occur, that the response has too.

    Articles of the reference do not count, but its last token always does: the A of "vitamin A" is no article.
    """
    wanted = tokens(reference)
    wanted = Counter([token for token in wanted[:-1] if token not in ARTICLES] + wanted[-1:])
    return (wanted & Counter(tokens(response))).total() / max(wanted.total(), 1)


def match(reference: str, response: str) -> bool:
    """Whether the response has (nearly) all tokens of the reference, in any order and among any others."""
    return token_recall(reference, response) >= MATCH_RECALL
