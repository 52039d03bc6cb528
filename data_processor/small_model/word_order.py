"""Questions in the word order of questions, by rule, from an English statement: "When did the town open the bridge?".

All their words are the statement's own, but the question word, "did" and the verb's base form: what such a question says
is as true as the statement (after Heilman and Smith 2010, with the forms of verbs in the place of a parser).
"""

from __future__ import annotations

import re

from data_processor.cloze import PREPOSITION, base_of_past
from data_processor.curation import DATE

AUXILIARY = frozenset("was were is are has have had will can could would must should may might did does do".split())
RELATIVE = frozenset("who whom whose which that where when what".split())
ARTICLE = frozenset("the a an its his her their this that these those every each no".split())
JOINING = frozenset("and but or so while because although though if nor yet".split())
PRONOUN = frozenset("it he she they we".split())
FRONT_DATE = rf"(?:On|In) (?:{DATE}|\d{{4}})"
NEXT_CLAUSE = r"[;:] |, (?:and|but|so|while|where|when) "


def wh_question(left: str, asked: str, right: str, is_time: bool) -> str | None:
    """The question for what stands between `left` and `right`, `asked` being its question word: "which baker".

    None where the statement's verb is not found. Of a time the preposition goes along: "on what date".
    """
    before = without_aside(re.split(NEXT_CLAUSE, left)[-1].strip(" "))
    after = re.split(rf"{NEXT_CLAUSE}|, ", right)[0].strip(" .,")
    moved = re.search(r"\b(?:[Oo]n|[Ii]n)$", before) if is_time else None
    if moved:
        asked, before = f"{moved[0].lower()} {asked}", before[: moved.start()].strip(" ")
        if not before:  # "On 3 May, the town opened ..."
            after = without_aside(re.split(NEXT_CLAUSE, right.strip(" ,"))[0]).strip(" .")
    elif not before or before.endswith(","):  # it is the subject
        return f"{asked} {after}" if verb_at(["it", *after.split(" ")]) == 1 else None
    order = inverted(*second_predicate(before, after))
    return f"{asked} {order}" if order else None


def second_predicate(before: str, after: str) -> tuple[str, str]:
    """Of two predicates joined by "and" the one in which something is asked for, with the subject in front."""
    tokens = before.split(" ")
    verb = verb_at(tokens)
    joints = [place for place, token in enumerate(tokens) if token == "and" and place + 1 < len(tokens)]
    for joint in reversed(joints):
        following = tokens[joint + 1]
        if verb is not None and joint > verb and (following in AUXILIARY or base_of_past(following)):
            passive = tokens[verb] in ("was", "were", "is", "are") and "by" in tokens[joint + 2 : joint + 3]
            return " ".join([*tokens[: verb + passive], *tokens[joint + 1 :]]), after
    halves = re.split(r"(?:^| )and (?=[a-z]+)", after)
    for number in range(1, len(halves)):
        following = halves[number].split(" ")[0]
        if following in AUXILIARY or base_of_past(following) or re.fullmatch(r"[a-z]+s", following):
            return before, " and ".join(halves[:number])
    return before, after


def inverted(before: str, after: str) -> str | None:
    """A statement in the order of a question, without its question word; None where no verb is found for certain.

    "In May the town was moved" gives "was the town moved in May", "The Otters lost" gives "did the Otters lose".
    """
    statement = f"{before} {after}".strip()
    front = ""
    head = re.match(rf"({FRONT_DATE})(?= )|([A-Z][a-z]+ [^,]{{1,60}}), (?=\S)", statement)
    if head and head[0].split(" ")[0].lower() in PREPOSITION:
        front, statement = head[1] or head[2], statement[head.end() :].lstrip(" ,")
    tokens = statement.split(" ")
    while tokens and tokens[0].lower() in JOINING:
        tokens = tokens[1:]
    place = verb_at(tokens)
    if not place or "," in " ".join(tokens[:place]):
        return None
    subject, verb, rest = tokens[:place], tokens[place], tokens[place + 1 :]
    clause_begins = any(token.lower() in RELATIVE | JOINING for token in subject) or PRONOUN & set(subject[1:])
    if clause_begins or subject[0].lower() in PREPOSITION:
        return None
    first, base = (verb, []) if verb in AUXILIARY else ("did", [base_of_past(verb) or verb])
    return " ".join([first, lower_start(" ".join(subject)), *base, *rest, *([lower_start(front)] if front else [])])


def without_aside(statement: str) -> str:
    """Without what stands between two commas after its subject: "The Mirle, swollen by rain, rose"."""
    found = re.match(r"([^,]+), [^,]+, (\S.*)$", statement)
    return f"{found[1]} {found[2]}" if found and verb_at(["it", *found[2].split(" ")]) == 1 else statement


def verb_at(tokens: list[str]) -> int | None:
    """Where the first finite verb stands that its form gives away, an auxiliary or a simple past; None without one."""
    for place, token in enumerate(tokens):
        before = tokens[place - 1].lower() if place else ""
        if place and token in AUXILIARY:
            return place
        if place and before not in ARTICLE | PREPOSITION and token.islower() and base_of_past(token):
            return place
    return None


def asides(left: str, right: str) -> tuple[str, str, str]:
    """What is said of a name in passing: (a definite description, the predicate of a relative clause, right without them).

    For Ida Holm, of "..., the cook, won." ("the cook", "", " won."), of "..., who won." ("", "won", ".").
    """
    description = predicate = ""
    if re.search(r"(?:^|[,;:] )(?:In|On|At|For|By|After|Before|Since|Until|From|With) $", left):
        return "", "", right
    found = re.match(r", ([^,;:]+?)(?:,|(?=[;:.]|$))", right)
    if found:
        tokens = found[1].split(" ")
        if tokens[0] in ("who", "which") and verb_at(["it", *tokens[1:]]) == 1:
            predicate = " ".join(tokens[1:])
        elif tokens[0] in ("the", "a", "an") or tokens[0].endswith("'s"):
            cut = next((place for place, token in enumerate(tokens) if token in RELATIVE), len(tokens))
            if verb_at(tokens[:cut]) is None:
                description = found[1]
        if predicate or description:
            right = right[found.end() :]
            following = right.split(" ")[1:2]
            if not predicate and re.match(r"who |which ", right[1:]):  # "the cook, who won,"
                predicate, right = asides(left, f",{right}")[1:]
            elif following and following[0] not in PREPOSITION and verb_at(["it", *following]) != 1:
                right = ""
    before = re.search(r"\b([Tt]he (?:[\w'’-]+ ){0,3}?[\w'’-]+(?: of (?:the )?[\w'’-]+)?), $", left)
    if not description and before and re.match(r"[,.]", right) and verb_at(before[1].split(" ")) is None:
        description = before[1]
    return (lower_start(description) if description[:4].lower() == "the " else ""), predicate, right


def lower_start(text: str) -> str:
    """With its first word in lower case where that is no name."""
    first = text.split(" ")[0].lower()
    return text[0].lower() + text[1:] if first in ARTICLE | PREPOSITION | PRONOUN else text
