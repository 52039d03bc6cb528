"""Whether two English answers say the same, be it in another form, and whether one takes back what it has of the other.

    same_answer("14:30", "It opens at 2.30 pm.", "When does it open?")    # True
    same_answer("Ann Bell", "It was not Ann Bell.", "Who wrote it?")    # False

Words are compared as they are written and not by their stems. What denies is looked for right before them: elsewhere in a
long English sentence, a "not" or an "or" speaks of something else too often.
"""

from __future__ import annotations

import re
from itertools import takewhile

from evaluation.comparison import LIST, names_person, same_decision
from evaluation.contradiction import SENTENCE, split_yes_or_no
from evaluation.quantities import Quantity, words_of
from evaluation.reading import has_any, read, same_quantity, simplified, word_set
from evaluation.tokens import FILLERS, FORMS, MATCH_RECALL, as_wanted, has_tokens, places, tokens

NEGATIONS = ("not", "never")
ASIDE = re.compile(r"(?i),\s(?:and\s|but\s)?not\b[^,.;]*")  # Ann, not Bob, came.
LONGEST_ITEM = 3  # words that count in an item of a list; a reference with longer ones is a sentence
SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "tn": "trillion"}
SHORT_SCALE = re.compile(r"(?i)(?<=\d)\s?(bn|mn|tn)\b|(?<=[$€£¥])(\d[\d.,]*)\s?([km])\b")


def same_answer(reference: str, response: str, question: str) -> bool:
    """Whether a response has what the reference says and does not take it back."""
    verdict, more = split_yes_or_no(reference, "en")
    if verdict is not None:
        return same_decision(verdict, more, response, question, "en")
    has_it = has_same(reference, response) or names_who(reference, response, question)
    return has_it and has_all_items(reference, response) and not taken_back(reference, response, question)


def has_same(reference: str, response: str) -> bool:
    """Whether a response has the numbers and nearly all words of a reference, in this or another form."""
    if has_tokens(reference, response):
        return True
    reference, response = (SHORT_SCALE.sub(full_scale, text) for text in (reference, response))
    return has_tokens(reference, response, FORMS) or has_amounts(reference, response)


def full_scale(found: re.Match) -> str:
    return f"{found[2] or ''} {SCALES[(found[1] or found[3]).lower()]}"


def has_amounts(reference: str, response: str) -> bool:
    """Whether a response has the amounts of a reference, each with its unit or in another one, and nearly all its words."""
    wanted, found = read(reference, "en"), read(response, "en")
    if not any(one.unit for one in wanted.quantities) or not set(wanted.labels) <= set(found.labels):
        return False
    if not all(any(has_amount(one, other) for other in found.quantities) for one in wanted.quantities):
        return False
    words = [word for word in wanted.words if word not in word_set("en", "fillers")]
    return sum(word in found.words for word in words) >= MATCH_RECALL * len(words)


def has_amount(wanted: Quantity, found: Quantity) -> bool:
    return (wanted.unit is None) == (found.unit is None) and same_quantity(wanted, found)


def names_who(reference: str, response: str, question: str) -> bool:
    """Whether a response has the person whom a reference names, if the question asks who."""
    asks_who = has_any(simplified(question, "en"), words_of("en")["who"].split(), "en")
    if not asks_who or any(map(str.islower, re.findall(r"\b[^\W\d_]", reference))):  # no name
        return False
    return names_person(reference, read(reference, "en").words, read(response, "en").words, question, "en")


def has_all_items(reference: str, response: str) -> bool:
    """Whether a response has something of each item of a list of three or more; a reference that is no list has none."""
    items = [tokens(item) for item in LIST.split(re.sub(r"(?<=\d),(?=\d)", "", reference))]
    items = [[word for word in item if word not in FILLERS] for item in items]
    if len(items) < 3 or not all(1 <= len(item) <= LONGEST_ITEM for item in items):
        return True
    found = as_wanted(tokens(reference), tokens(response))
    return all(set(item) & set(found) for item in items)


def taken_back(reference: str, response: str, question: str) -> bool:
    """Whether a response denies what it has of the reference, states what that denies, or has it as one of several."""
    words, texts = words_of("en"), [simplified(text, "en") for text in (reference, response, question)]
    forbids = words["forbids"].split()
    is_negative, answers_negatively, asks_negatively = (
        bool(re.search(words["denies"], text)) or has_any(text, forbids, "en") for text in texts
    )
    if is_negative or asks_negatively:
        return is_negative and not answers_negatively and not asks_negatively
    return is_denied(reference, ASIDE.sub(" ", response)) or is_choice(reference, response, question)


def is_denied(reference: str, response: str) -> bool:
    """Whether a "not" or "never" stands right before the reference, or inside it, wherever a response has it."""
    wanted, found = tokens(reference, FORMS), tokens(response, FORMS)

    def follows_not(start: int) -> bool:
        return next((word for word in reversed(found[:start]) if word not in FILLERS), "") in NEGATIONS

    starts = places(wanted, found)
    if starts:
        return all(map(follows_not, starts))
    without = [word for word in found if word not in NEGATIONS]
    return len(without) < len(found) and bool(places(wanted, without))


def is_choice(reference: str, response: str, question: str) -> bool:
    """Whether a response commits to none of several candidates, or has a number of the reference only beside others and an "or"."""
    if re.search(r"\bor\b", simplified(f"{question} {reference}", "en")):
        return False
    wanted, hedges = set(tokens(reference)), words_of("en")["hedges"]
    for sentence in filter(None, SENTENCE.split(response)):
        found = tokens(sentence)
        is_hedged = bool(wanted & set(found)) and re.search(hedges, simplified(sentence, "en"))
        if is_hedged or any(len(wanted & numbers) == 1 for numbers in alternatives(found)):
            return True
    return False


def alternatives(found: list[str]) -> list[set[str]]:
    """The numbers of each "5, 6 or 7" among the tokens of a sentence; "8 or 40 percent" is one amount told in two ways."""
    result = []
    for place in (place for place, word in enumerate(found) if word == "or"):
        before = list(takewhile(has_digit, reversed(found[:place])))
        after = found[place + 1 : place + 3]
        if before and after and has_digit(after[0]) and after[1:] != ["percent"]:
            result.append({*before, after[0]})
    return result


def has_digit(word: str) -> bool:
    return word[-1].isdigit()
