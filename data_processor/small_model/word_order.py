"""Turn an English statement by rule into a question in question word order: "When did the town open the bridge?".

All its words come from the statement except the question phrase, "did" and the verb's base form, so a question is as true as
its statement (after Heilman and Smith 2010, with verb forms instead of a parser).
"""

from __future__ import annotations

import re

from data_processor.curation import find_spans
from data_processor.small_model.verbs import AUXILIARY, may_be_participle, past_of, present_of

PREPOSITION = frozenset(
    "of in on at to for by with from as into over under after before since until during between against about near "
    "through throughout among within without across along around behind beyond despite like outside toward towards upon via "
    "above below beside beneath inside off onto".split()
)
MOVED_WITH = r"(?i:\b(?:in|on|at|by|from|with|to|for|under|during|through|since|until|into|within|near|after|before))$"
RELATIVE = frozenset("who whom whose which that where when what how why".split())
ARTICLE = frozenset("the a an its his her their this that these those every each no".split())
JOINING = frozenset("and but or so while because although though if nor yet unless whereas as than".split())
PRONOUN = frozenset("it he she they we there".split())
HAVING = {"has": "does", "have": "do", "had": "did"}
NEXT_CLAUSE = r"[;:] |, (?:and|but|so|while|where|when) "


def wh_questions(left: str, phrase: str, right: str, is_time: bool) -> list[str]:
    """Questions for the gap between `left` and `right`, the longest first; `phrase` is its question phrase: "which baker".

    None at all if the statement's verb is not found for certain. A preposition goes with the phrase ("on what date") if it is a time's, or
    something follows the gap. Shorter ones leave out what a statement can do without: "in the rain", at its end or its start.
    """
    before = drop_aside(re.split(NEXT_CLAUSE, left)[-1].strip(" "))
    after = re.split(rf"{NEXT_CLAUSE}|, (?!\d{{4}}\b)", right)[0].strip(" .,")  # not at the comma of "Sep 4, 2025"
    if after.startswith("of "):
        return []
    if not before or before.endswith(","):  # the gap is the subject
        is_sure = find_verb(["it", *after.split(" ")]) == 1 and is_one_clause(after)
        return [f"{phrase} {text}" for text in shorter(after.split(" "), 2)] if is_sure else []
    before, after = pick_predicate(before, after)
    moved = re.search(MOVED_WITH, before)
    goes_along = phrase == "where" or bool(moved and (is_time or after))
    if goes_along:
        before = before[: moved.start()].strip(" ")
        phrase = phrase if phrase == "where" else f"{moved[0].lower()} {'whom' if phrase == 'who' else phrase}"
        if not before:  # "On 3 May, the town opened ..."
            after = first_clause(drop_aside(re.split(NEXT_CLAUSE, right.strip(" ,"))[0]))
    is_within_subject = before and find_verb(without_front(before).split(" ")) is None
    is_stranded = after and not goes_along and before.split(" ")[-1] in PREPOSITION
    if is_within_subject or is_stranded or not is_one_clause(f"{without_front(before)} {after}".strip()):
        return []
    return [f"{phrase} {text}" for text in invert(before, after, goes_along)]


def shorter(tokens: list[str], kept: int) -> list[str]:
    """A predicate, and it without its last prepositional phrase, or two; of its first tokens so many are kept, and AUXILIARY one more.

    "opened the mill on 3 May in the rain" can do without both, but not without what stands right after the verb.
    """
    kept += tokens[0] in AUXILIARY
    cuts = [
        place for place in range(kept, len(tokens) - 1) if tokens[place] in PREPOSITION - {"of"}
    ]  # not "carried over"
    return [" ".join(tokens[:end]) for end in (len(tokens), *reversed(cuts[-2:]))]


def first_clause(statement: str) -> str:
    """A statement up to the first comma after its verb, but not that of "Sep 4, 2025"."""
    first, *_ = re.split(r", (?!\d{4}\b)", statement)
    return (first if find_verb(["it", *first.split(" ")]) else statement).strip(" .")


def without_front(statement: str) -> str:
    """A statement without "In May," or "Since the mid-1990s," before it."""
    opening = re.match(r"([A-Z][a-z]+) [^,]{1,60}, (?=\S)", statement)
    return statement[opening.end() :] if opening and opening[1].lower() in PREPOSITION else statement


def is_one_clause(statement: str) -> bool:
    """Whether nothing in it begins a clause of its own, before which its verb, or what was asked for, may stand."""
    tokens = re.sub(r", (?=\d{4}\b)", " ", statement).split(" ")  # "Sep 4, 2025"
    verb = find_verb(["it", *tokens]) if tokens else None
    place = len(tokens) if verb is None else verb - 1
    if any(mark in statement for mark in "()[]–—:;") or any(token.endswith(",") for token in tokens[:-1]):
        return False
    if RELATIVE & {token.lower() for token in tokens}:
        return False
    later = tokens[place + 1 :]
    is_sure = place < len(tokens) and tokens[place] in AUXILIARY
    by_agent = not is_sure and later[:1] == ["by"]  # "celebrated by the tribes" is a participle
    return not by_agent and not (not is_sure and AUXILIARY & set(later))


def pick_predicate(before: str, after: str) -> tuple[str, str]:
    """Of two predicates joined by "and", the one that has the gap, with the subject in front."""
    tokens = before.split(" ")
    verb = find_verb(tokens)
    conjunctions = [place for place, token in enumerate(tokens) if token == "and" and place + 1 < len(tokens)]
    for joint in reversed(conjunctions):
        following = tokens[joint + 1]
        if verb is not None and joint > verb and (following in AUXILIARY or past_of(following)):
            passive = tokens[verb] in ("was", "were", "is", "are") and "by" in tokens[joint + 2 : joint + 3]
            return " ".join([*tokens[: verb + passive], *tokens[joint + 1 :]]), after
    halves = re.split(r"(?:^| )and (?=[a-z]+)", after)
    for number in range(1, len(halves)):
        following = halves[number].split(" ")[0]
        if following in AUXILIARY or past_of(following) or re.fullmatch(r"[a-z]+s", following):
            return before, " and ".join(halves[:number])
    return before, after


def invert(before: str, after: str, is_whole: bool) -> list[str]:
    """A statement in question word order, without the question phrase, and shorter ones; none if no verb is found for certain.

    "In May the town was moved" gives "was the town moved in May", "The Otters lost" gives "did the Otters lose". What stands before
    the gap can only be left out if it `is_whole` without the gap.
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
        return []
    subject, verb, rest = tokens[:place], tokens[place], tokens[place + 1 :]
    has_clause = any(token.lower() in RELATIVE | JOINING for token in subject) or PRONOUN & set(subject[1:])
    if has_clause or subject[0].lower() in PREPOSITION | AUXILIARY | {"there"}:
        return []
    helper, base = helper_of(verb, rest)
    start = " ".join([helper, lowercase_start(" ".join(subject)), *base])
    kept = 1 if is_whole else len(rest) - len(after.split())
    short = shorter([verb, *rest], 1 + max(kept, 1))
    texts = [f"{start} {text[len(verb) + 1 :]}".strip() for text in short]
    return list(dict.fromkeys([f"{texts[0]} {lowercase_start(front)}" if front else texts[0], *texts]))


def helper_of(verb: str, rest: list[str]) -> tuple[str, list[str]]:
    """What stands before the subject of a question, and what after: ("did", ["open"]) for "opened", ("was", []) for "was"."""
    if verb in HAVING and rest and not may_be_participle(rest[0]):  # "has a harbour", not "has opened"
        return HAVING[verb], ["have"]
    if verb in AUXILIARY:
        return verb, []
    past = past_of(verb)
    return ("did", [past]) if past else ("does", [present_of(verb)])


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
        is_verb = token.islower() and (past_of(token) or present_of(token))
        if place and before not in ARTICLE | PREPOSITION and is_verb:
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
    if description.endswith(" one"):  # "including the oldest one, The Bowery"
        description = ""
    return (lowercase_start(description) if description[:4].lower() == "the " else ""), predicate, right


def lowercase_start(text: str) -> str:
    """The text with its first word in lower case, unless that may be a name."""
    first_word = text.split(" ")[0].lower()
    return text[0].lower() + text[1:] if first_word in ARTICLE | PREPOSITION | PRONOUN else text
