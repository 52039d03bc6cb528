"""Whether an answer says what a reference says, by words and numbers: without a model, and the same on every machine.

    grade("84.6 million euros", "It was €84.6 million.")    # ("correct", "token recall 1.00")

A long answer is compared by its points, the phrases that any right answer must say, and not by all of its words. English is compared here; other languages, which have their own numbers, words and inflection, in comparison.py. An answer is
"correct", "incorrect" or "not attempted", the three classes of SimpleQA (Wei et al. 2024, arXiv 2411.04368).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from functools import cache

from data_processor.languages import ENGLISH, identify_all, texts_of_rows
from engines.thoughts import without_thoughts
from evaluation import comparison
from evaluation.answer_language import answer_language
from evaluation.digits import plain, without_han_numbers
from evaluation.point_contradiction import contradicts
from evaluation.quantities import WORDED, with_plain_numbers, words_of

CORRECT, INCORRECT, NOT_ATTEMPTED = "correct", "incorrect", "not attempted"
UNANSWERABLE = "unknown"  # the kind of questions whose right answer is that it is not known

MATCH_RECALL = 0.8  # one token in five of the reference may be missing
FILLERS = "a an the of in on at to for by with from and as is was were are be its his her their it that".split()
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
MONTHS = "january february march april may june july august september october november december".split()
SHORT_MONTH = rf"({'|'.join(month[:3] for month in MONTHS)}|sept)\b\.?"
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


def decimal_point(found: re.Match) -> str:
    return re.sub(r"[.\s]", "", found[0]).replace(",", ".")


def full_month(found: re.Match) -> str:
    return next(month for month in MONTHS if month.startswith(found[1][:3]))


def date(year: str, month: str, day: str) -> str:
    return f"{int(day)} {MONTHS[int(month) - 1]} {year}" if 1 <= int(month) <= 12 else f"{year}-{month}-{day}"


def amount(found: re.Match) -> str:
    """3.2 million, 12 thousand or 2 thousand and 50, as one number."""
    return f"{(Decimal(found[1]) * SCALES[found[2]] + int(found[3] or 0)).normalize():f}"


REWRITES = (  # in this order, on lower-case text
    (r"(?<=\w)'s\b", ""),
    (r"\bper cent\b", "percent"),
    (r"\b(?:[a-z]\.){2,}", lambda found: found[0].replace(".", "") + " "),  # a.m., U.S.
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
# What stands after a name or a noun in Korean: "is", the topic, the object, "at", "from", "to".
KOREAN_ENDING = re.compile(
    r"(?<=[\uac00-\ud7af]{2})(?:이다|입니다|이었다|였다|이에요|예요|은|는|을|를|에서|에게|으로)(?![\uac00-\ud7af])"
)
BASE_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "œ": "oe", "æ": "ae", "þ": "th"})
CJK = r"\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
# A CJK character; a number with sign, decimals or parts (84.6, 28-27, 10:30); a word, which may end in one (gpt4.5).
TOKEN = re.compile(rf"[{CJK}]|(?:(?<!\w)-)?\d+(?:[.:/-]\d+)*|[^\W_{CJK}]+(?:(?<=\d)\.\d+)*")
NOT = r"(?:\s?not|n'?t|'t)"
UNKNOWN = re.compile(  # phrases that say the answer is not known, in English or Chinese
    rf"""\b(?:(?:do|does|did){NOT}\s(?:\w+\s)?(?:know|say|state|mention|specify|have\s(?:\w+\s){{0,3}}(?:information|records?|data|answers?|details?))
    |(?:can|could){NOT}\s(?:\w+\s)?(?:answer|say|tell|find|determine|confirm|provide|verify|recall)
    |(?:(?:am|are|is|was|were){NOT}|i'?m\snot|ha(?:s|ve|d){NOT}\sbeen)\s(?:\w+\s)?(?:known|certain|sure|mentioned|stated|specified|given|recorded
        |documented|announced|disclosed|available|aware|familiar)
    |unable\sto\s(?:\w+\s)?(?:answer|say|find|determine|confirm|provide|verify)|have\sno\sidea
    |(?:is|are|remains?)\s(?:still\s)?(?:unknown|unclear|undisclosed|unspecified)
    |(?:no|not\sany|not\senough|insufficient)\s(?:\w+\s)?(?:information|records?|data|details?|evidence|mention)
    |^unknown$|^n/a$|^not\sapplicable$|^not\s(?:known|stated|mentioned|given|specified|available))\b
    |不知道|不清楚|不确定|未知|未提及|没有(?:提及|相关|足够)|无法(?:回答|确定|得知|提供)|无从得知""",
    re.VERBOSE,
)


def tokens(text: str) -> list[str]:
    """The words and numbers of a text in normal form: "Twenty-one percent" and "21%" give the same list."""
    text = plain(text).casefold().translate(SYMBOLS).replace("i\u0307", "i").replace("ı", "i")  # capitals of Turkish
    text = KOREAN_ENDING.sub("", without_han_numbers(text))
    for pattern, replacement in REWRITES:
        text = re.sub(pattern, replacement, text)
    return TOKEN.findall(text)


@cache
def without_marks(token: str) -> str:
    """A token without accents, as a keyboard without them or capitals of Greek write it."""
    parts = unicodedata.normalize("NFD", token).translate(BASE_LETTERS)
    return re.sub(r"(?<=[\u0000-\u03ff])[\u0300-\u036f]+|(?<=[\u0590-\u06ff])[\u05b0-\u05c7\u064b-\u0652]+", "", parts)


def as_wanted(wanted: list[str], found: list[str]) -> list[str]:
    """The tokens found, each spelled as wanted where one of the two has no accents and they differ in nothing else."""
    spellings = {without_marks(token): token for token in wanted}

    def spelled(token: str) -> str:
        other = spellings.get(without_marks(token), token)
        return other if token not in wanted and without_marks(token) in (token, other) else token

    return [spelled(token) for token in found]


def token_recall(reference: str, response: str) -> float:
    """The share of the reference's tokens, counted as often as they occur, that the response also has.

    Articles and prepositions of the reference do not count ("in the 1970s" asks for "1970s"), but its last token always
    does: the A of "vitamin A" is no article.
    """
    in_order = tokens(reference)
    wanted = Counter([token for token in in_order[:-1] if token not in FILLERS] + in_order[-1:])
    return (wanted & Counter(as_wanted(in_order, tokens(response)))).total() / max(wanted.total(), 1)


def match(
    reference: str, response: str, question: str = "", language: str = ENGLISH, points: Sequence[str] = ()
) -> bool:
    """Whether the response has all numbers and nearly all words of the reference, in any order and among any others.

    With `points`, whether it says each of them so, in any order, and contradicts neither them nor the reference.
    `language` is that of all the answers, for an answer whose own cannot be told.
    """
    language = answer_language(question, reference, response, language)
    if points:
        found, needed = count_points(points, reference, response, question, language)
        return found == needed and not contradicts(
            needed_points(points, question), reference, response, question, language
        )
    if language != ENGLISH and language in WORDED:
        return bool(response.strip()) and comparison.same_answer(reference, response, question, language)
    return has_words(reference, response, language)


def has_words(reference: str, response: str, language: str) -> bool:
    """Whether a response in a language that is compared by tokens has what the reference says."""
    if has_tokens(reference, response):
        return True
    if language in (ENGLISH, "ja", "ko"):  # their numbers are read as tokens
        return False
    return has_tokens(with_plain_numbers(reference, language), with_plain_numbers(response, language))


def needed_points(points: Sequence[str], question: str) -> list[str]:
    """The points that an answer must say: those that the question itself does not say, or all if it says all."""
    return [point for point in points if not stands_in(point, question)] or list(points)


def stands_in(part: str, text: str) -> bool:
    """Whether a text has all tokens of a part one after the other."""
    wanted, found = tokens(part), tokens(text)
    return any(found[start : start + len(wanted)] == wanted for start in range(len(found) - len(wanted) + 1))


def count_points(
    points: Sequence[str], reference: str, response: str, question: str = "", language: str = ENGLISH
) -> tuple[int, int]:
    """How many points a response says, be they denied or not, and how many it must."""
    language, needed = answer_language(question, reference, response, language), needed_points(points, question)

    def is_said(point: str) -> bool:
        if stands_in(point, response):  # even if rules read it otherwise than in its sentence: "April" of "16 April"
            return True
        if language == ENGLISH or language not in WORDED:
            return has_words(point, response, language)
        if language == "zh":
            point = comparison.without_article(point, response, question)
        return comparison.has_content(point, response, question, language)

    return sum(map(is_said, needed)) if response.strip() else 0, len(needed)


def points_of(row: dict) -> list[str]:
    """The points of a question; one that has no answer has none."""
    return [] if row.get("kind") == UNANSWERABLE else list(row.get("points") or [])


def count_points_of_row(row: dict, language: str = ENGLISH) -> tuple[int, int]:
    """The same two counts for a row of answers, whose thoughts do not count."""
    response = without_thoughts(row["response"])[0]
    return count_points(points_of(row), row["reference"], response, row.get("question") or "", language)


def has_tokens(reference: str, response: str) -> bool:
    """Whether a response has the numbers and nearly all tokens of a reference."""
    numbers = Counter(token for token in tokens(reference) if any(map(str.isdigit, token)))
    return token_recall(reference, response) >= MATCH_RECALL and numbers <= Counter(tokens(response))


@cache
def phrases(key: str) -> re.Pattern:
    """The regular expressions under a key of words.toml, of all languages."""
    found = [words_of(language)[key] for language in WORDED]
    return re.compile("|".join(phrase for one in found for phrase in ([one] if isinstance(one, str) else one)))


def says_unknown(response: str) -> bool:
    """Whether the response is empty, or says in its first sentence that the answer is not known, and does not give one after a "but"."""
    text = unicodedata.normalize("NFKC", response).casefold().translate(SYMBOLS).strip()
    first = re.split(r"(?<=[.!?。！？])\s|(?<=[。！？])|\n", text)[0].strip(" .!\"'")
    if not first:
        return True
    ends = [found.end() for found in (UNKNOWN.search(first), phrases("refusals").search(first)) if found]
    but = phrases("but").search(first, min(ends)) if ends else None
    return bool(ends) and (but is None or says_unknown(first[but.end() :]))


def grade(
    reference: str,
    response: str,
    kind: str | None = None,
    question: str = "",
    language: str = ENGLISH,
    points: Sequence[str] = (),
) -> tuple[str, str]:
    """One of the three classes for a response, and why. For an unanswerable question, saying so is correct.

    Thoughts are not graded; a response that was cut off in them says nothing.
    """
    response = without_thoughts(response)[0]
    unknown = says_unknown(response)
    if kind == UNANSWERABLE:
        if not response.strip():
            return NOT_ATTEMPTED, "says nothing"
        return (CORRECT, "says that it is not known") if unknown else (INCORRECT, "claims to know")
    is_right = match(reference, response, question, language, points)
    verdict = CORRECT if is_right else NOT_ATTEMPTED if unknown else INCORRECT
    if not points:
        return verdict, f"token recall {token_recall(reference, response):.2f}"
    found, needed = count_points(points, reference, response, question, language)
    contradicted = ", but contradicts the reference" if found == needed and not is_right else ""
    return verdict, f"says {found} of {needed} points{contradicted}"


def grade_row(row: dict, language: str = ENGLISH) -> tuple[str, str]:
    """The same for a row of answers: its "reference", "response", "kind", "question" and "points"."""
    texts = (row["reference"], row["response"], row.get("kind"), row.get("question") or "")
    return grade(*texts, language, points_of(row))


def language_of_rows(rows: list[dict]) -> str:
    """The language of most of the questions of a file of answers."""
    return identify_all(texts_of_rows(rows))
