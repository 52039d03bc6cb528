"""In which language a question and its answer are compared, by letters and by the words that questions are asked with.

    answer_language("Wie viel?", "3,5 Prozent")    # "de"

py3langid alone is not sure of so short a text. A word that one language asks with makes that language ASKING times as
probable, any other of its common words COMMON times (naive Bayes, as langid.py itself; the words are in words.toml).
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from data_processor.languages import CONFIDENCE, ENGLISH, LANGUAGES, LONGEST_TEXT, identifier
from evaluation.quantities import WORDED, month_names, words_of

ASKING, COMMON = 100.0, 10.0
UKRAINIAN = set("іїєґ")
WORD = re.compile(r"[^\W\d_]+|¿")


@cache
def evidence(language: str) -> dict[str, float]:
    """How many times as probable a word makes a language."""
    words, found = words_of(language), {}
    for key in ("fillers", "titles", "yes", "no"):
        found |= {word: COMMON for word in str(words[key]).casefold().split() if len(word) > 1}
    found |= {word: COMMON for word in month_names(language)}
    return found | {word: ASKING for key in ("who", "asks") for word in words[key].casefold().split()}


def probabilities(text: str, question: str) -> dict[str, float]:
    """The probability of each of LANGUAGES for a text, from its letters and from the question's words or, if none counts, its own."""
    letters = {str(language): float(share) for language, share in identifier(LANGUAGES).rank(text[:LONGEST_TEXT])}
    if not UKRAINIAN & set(text.casefold()):
        letters["uk"] = 0.0
    for asked in (question, text):
        words = set(WORD.findall(asked.casefold()[:LONGEST_TEXT]))
        told = {language: [evidence(language)[word] for word in words & set(evidence(language))] for language in WORDED}
        if any(told.values()):
            for language, factors in told.items():
                for factor in factors:
                    letters[language] *= factor
            break
    total = sum(letters.values())
    return {language: share / total for language, share in letters.items()} if total else letters


@lru_cache(maxsize=10_000)
def answer_language(question: str, reference: str, response: str = "", default: str = ENGLISH) -> str:
    """The code of the language of question and reference or, if that cannot be told, of all three texts; else the default."""
    for text in (f"{question} {reference}" if question else "", f"{question} {reference} {response}"):
        if re.search(r"[^\W\d_]", text):
            shares = probabilities(text, question)
            language = max(shares, key=lambda one: shares[one])
            if shares[language] >= CONFIDENCE:
                return language
    return default
