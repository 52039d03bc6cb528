"""Turn an English statement by rule into a question in question word order: "When did the town open the bridge?".

All its words come from the statement except the question phrase, "did" and the verb's base form, so a question is as true as
its statement (after Heilman and Smith 2010, with verb forms instead of a parser).
"""

from __future__ import annotations

import re

from data_processor.curation import find_spans
from data_processor.small_model.cloze import PREPOSITION, base_form

AUXILIARY = frozenset("was were is are has have had will can could would must should may might did does do".split())
RELATIVE = frozenset("who whom whose which that where when what".split())
ARTICLE = frozenset("the a an its his her their this that these those every each no".split())
JOINING = frozenset("and but or so while because although though if nor yet".split())
PRONOUN = frozenset("it he she they we".split())
NEXT_CLAUSE = r"[;:] |, (?:and|but|so|while|where|when) "


def wh_question(left: str, phrase: str, right: str, is_time: bool) -> str | None:
    """The question for the gap between `left` and `right`; `phrase` is its question phrase: "which baker".

    None if the statement's verb is not found. A time keeps its preposition: "on what date".
    """
    before = drop_aside(re.split(NEXT_CLAUSE, left)[-1].strip(" "))
    after = re.split(rf"{NEXT_CLAUSE}|, (?!\d{{4}}\b)", right)[0].strip(" .,")  # not at the comma of "Sep 4, 2025"
    moved = re.search(r"\b(?:[Oo]n|[Ii]n)$", before) if is_time else None
    if moved:
        phrase, before = f"{moved[0].lower()} {phrase}", before[: moved.start()].strip(" ")
        if not before:  # "On 3 May, the town opened ..."
            after = drop_aside(re.split(NEXT_CLAUSE, right.strip(" ,"))[0]).strip(" .")
    elif not before or before.endswith(","):  # the gap is the subject
        return f"{phrase} {after}" if find_verb(["it", *after.split(" ")]) == 1 else None
    inverted = invert(*pick_predicate(before, after))
    return f"{phrase} {inverted}" if inverted else None


def pick_predicate(before: str, after: str) -> tuple[str, str]:
    """Of two predicates joined by "and", the one that has the gap, with the subject in front."""
    tokens = before.split(" ")
    verb = find_verb(tokens)
    conjunctions = [place for place, token in enumerate(tokens) if token == "and" and place + 1 < len(tokens)]
    for joint in reversed(conjunctions):
        following = tokens[joint + 1]
        if verb is not None and joint > verb and (following in AUXILIARY or base_form(following)):
            passive = tokens[verb] in ("was", "were", "is", "are") and "by" in tokens[joint + 2 : joint + 3]
            return " ".join([*tokens[: verb + passive], *tokens[joint + 1 :]]), after
    halves = re.split(r"(?:^| )and (?=[a-z]+)", after)
    for number in range(1, len(halves)):
        following = halves[number].split(" ")[0]
        if following in AUXILIARY or base_form(following) or re.fullmatch(r"[a-z]+s", following):
            return before, " and ".join(halves[:number])
    return before, after


def invert(before: str, after: str) -> str | None:
    """A statement in question word order, without the question phrase; None if no verb is found for certain.

    "In May the town was moved" gives "was the town moved in May", "The Otters lost" gives "did the Otters lose".
    """
    statement = f"{before} {after}".strip()
    front = ""
    opening = re.match(r"([A-Z][a-z]+ [^,]{1,60}), (?=\S)", statement)
    end = end_of_front_date(statement)
    if not end and opening and opening[0].split(" ")[0].lower() in PREPOSITION:
        end = opening.end(1)
    if end:
        front, statement = statement[:end], statement[end:].lstrip(" ,")
    tokens = statement.split(" ")
    while tokens and tokens[0].lower() in JOINING:
        tokens = tokens[1:]
    place = find_verb(tokens)
    if not place or "," in " ".join(tokens[:place]):
        return None
    subject, verb, rest = tokens[:place], tokens[place], tokens[place + 1 :]
    has_clause = any(token.lower() in RELATIVE | JOINING for token in subject) or PRONOUN & set(subject[1:])
    if has_clause or subject[0].lower() in PREPOSITION:
        return None
    first, base = (verb, []) if verb in AUXILIARY else ("did", [base_form(verb) or verb])
    return " ".join(
        [first, lowercase_start(" ".join(subject)), *base, *rest, *([lowercase_start(front)] if front else [])]
    )


def end_of_front_date(statement: str) -> int:
    """Where "On 3 May" or "In 1990" ends at the start of a statement; 0 if there is none, or no word after it."""
    spans = find_spans(statement) if statement.startswith(("On ", "In ")) else []
    start, end, kind = spans[0] if spans else (0, 0, "")
    return end if start == 3 and kind in ("date", "year") and statement[end : end + 1] == " " else 0


def drop_aside(statement: str) -> str:
    """The statement without an aside between commas after its subject: "The Mirle, swollen by rain, rose"."""
    parts = re.match(r"([^,]+), [^,]+, (\S.*)$", statement)
    return f"{parts[1]} {parts[2]}" if parts and find_verb(["it", *parts[2].split(" ")]) == 1 else statement


def find_verb(tokens: list[str]) -> int | None:
    """The index of the first verb recognisable by its form, an auxiliary or a simple past, or None."""
    for place, token in enumerate(tokens):
        before = tokens[place - 1].lower() if place else ""
        if place and token in AUXILIARY:
            return place
        if place and before not in ARTICLE | PREPOSITION and token.islower() and base_form(token):
            return place
    return None


def find_asides(left: str, right: str) -> tuple[str, str, str]:
    """What is said about a name in passing: (a description, the predicate of a relative clause, `right` without them).

    For Ida Holm, "..., the cook, won." gives ("the cook", "", " won."), and "..., who won." gives ("", "won", ".").
    """
    description = predicate = ""
    if re.search(r"(?:^|[,;:] )(?:In|On|At|For|By|After|Before|Since|Until|From|With) $", left):
        return "", "", right
    aside = re.match(r", ([^,;:]+?)(?:,|(?=[;:.]|$))", right)
    if aside:
        tokens = aside[1].split(" ")
        if tokens[0] in ("who", "which") and find_verb(["it", *tokens[1:]]) == 1:
            predicate = " ".join(tokens[1:])
        elif tokens[0] in ("the", "a", "an") or tokens[0].endswith("'s"):
            cut = next((place for place, token in enumerate(tokens) if token in RELATIVE), len(tokens))
            if find_verb(tokens[:cut]) is None:
                description = aside[1]
        if predicate or description:
            right = right[aside.end() :]
            following = right.split(" ")[1:2]
            if not predicate and re.match(r"who |which ", right[1:]):  # "the cook, who won,"
                predicate, right = find_asides(left, f",{right}")[1:]
            elif following and following[0] not in PREPOSITION and find_verb(["it", *following]) != 1:
                right = ""
    before = re.search(r"\b([Tt]he (?:[\w'’-]+ ){0,3}?[\w'’-]+(?: of (?:the )?[\w'’-]+)?), $", left)
    if not description and before and re.match(r"[,.]", right) and find_verb(before[1].split(" ")) is None:
        description = before[1]
    return (lowercase_start(description) if description[:4].lower() == "the " else ""), predicate, right


def lowercase_start(text: str) -> str:
    """The text with its first word in lower case, unless that may be a name."""
    first_word = text.split(" ")[0].lower()
    return text[0].lower() + text[1:] if first_word in ARTICLE | PREPOSITION | PRONOUN else text
