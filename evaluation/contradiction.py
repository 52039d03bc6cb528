"""Whether a response that has what a reference says denies it, leaves it open, or says it of something else.

    denied("Vorstand", "Der Vorstand muss nicht zustimmen.", "Wer muss zustimmen?", "de")    # True

The words for it are in words.toml. Where rules end, a judge is needed. What contradicts the points of a long answer is in
point_contradiction.py.
"""

from __future__ import annotations

import re

from evaluation.quantities import words_of
from evaluation.reading import has_any, read, same_quantity, simplified, word_set

HAN = r"[\u3400-\u9fff]"
SENTENCE = re.compile(rf"(?<=[^\W\d_]{{3}}[.!?])\s+|[。！？；;\n]|[!?](?={HAN})")
CLAUSE = re.compile(rf"[,、:;]\s|[，；：。;]|[,:!?](?={HAN})|\n| - | – |\b(?:sondern|but|mais|sino|а|но)\b")
ROLE_LETTERS = 5  # at which the name of a role begins, so that "Vorsitz" is that of a "Vorsitzende"
AND = r"\s(?:und|sowie|and|et|y|e|и)\s"


def split_yes_or_no(reference: str, language: str) -> tuple[bool | None, str]:
    """What a reference answers to a yes/no question, None if it answers another one, and what else it says."""
    for verdict, key in ((False, "no"), (True, "yes")):
        for word in sorted(words_of(language)[key].split(), key=len, reverse=True):
            plain = simplified(reference, language).strip(" .!。！")
            if plain == word:
                return verdict, ""
            if re.match(re.escape(word) + r"\s?(?:[,，;；]|\.(?!\s?\d))", plain):  # not: No. 5
                return verdict, reference.strip()[len(word) + 1 :].strip()
    return None, reference


def says_yes(text: str, question: str, language: str) -> bool:
    """Whether a text answers a yes/no question with yes: by its first word, or else because its first clause denies nothing."""
    words, plain = words_of(language), simplified(text, language).strip(" .!。！\"'¡¿")
    border = "" if language == "zh" else r"(?!\w)"
    for verdict, key in ((False, "no"), (True, "yes")):
        if any(re.match(re.escape(word) + border, plain) for word in words[key].split()):
            return verdict
    conditions = words["conditions"].split()
    clauses = [clause.strip() for clause in CLAUSE.split(SENTENCE.split(plain)[0]) if clause and clause.strip()]
    forbids = words["forbids"].split()
    forbidding = re.compile("|".join(map(re.escape, sorted(forbids, key=len, reverse=True))) or "(?!)")

    def is_negative(clause: str) -> bool:  # what is not forbidden is allowed
        denies = words["denies"] and re.search(words["denies"], forbidding.sub("", clause))
        return bool(denies) != has_any(clause, forbids, language)

    negative = any(is_negative(clause) for clause in clauses if clause.split()[0] not in conditions)
    return negative == has_any(simplified(question, language), forbids, language)


def matching_clauses(reference: str, response: str, language: str, border: re.Pattern = CLAUSE) -> list[str]:
    """The clauses of a response that have most of what the reference says."""
    wanted = read(reference, language)
    fillers = word_set(language, "fillers")
    words = {word for word in wanted.words if word not in fillers}
    clauses = [clause for clause in border.split(response) if clause and clause.strip()]

    def hits(clause: str) -> int:
        found = read(clause, language)
        quantities = sum(any(same_quantity(one, other) for other in found.quantities) for one in wanted.quantities)
        return len(words & set(found.words)) + quantities + len(set(wanted.labels) & set(found.labels))

    most = max(map(hits, clauses), default=0)
    return [clause for clause in clauses if most and hits(clause) == most]


def denied(reference: str, response: str, question: str, language: str) -> bool:
    """Whether a response denies what it has of the reference, or names it only among candidates."""
    words, response = words_of(language), simplified(response, language)
    hedges, denies = words["hedges"], words["denies"]
    if hedges and re.search(hedges, response) and not re.search(hedges, simplified(reference, language)):
        return True
    if among_alternatives(reference, response, question, language):
        return True
    if not denies or re.search(denies, simplified(reference, language)):
        return False
    if has_any(simplified(question, language), words["forbids"].split(), language):
        return False  # what is forbidden, one must not
    clauses = matching_clauses(reference, response, language)
    return bool(clauses) and all(re.search(denies, clause) for clause in clauses)


def roles_and_names(reference: str, question: str, language: str) -> list[tuple[str, str]]:
    """The roles and names of a reference like "chair: A. Bell, deputy: C. Dunn" if the question asks for the roles."""
    pairs = []
    for item in re.split(r"[,;，；]", reference):
        if language == "zh":
            role, _, name = re.sub("[为是]", ":", item, count=1).partition(":")
            roles, names = [role], [name]
        else:
            words = re.findall(r"[^\W\d_]+", item)
            roles = [
                word[:ROLE_LETTERS] for word in words if len(word) >= ROLE_LETTERS and word[:ROLE_LETTERS] in question
            ]
            names = [word for word in words if word not in question and word[:ROLE_LETTERS] not in roles]
        if not roles or not names or not names[-1] or roles[0] not in question:
            return []
        pairs.append((roles[0], names[-1]))
    return pairs


def swapped(reference: str, response: str, question: str, language: str) -> bool:
    """Whether the reference gives two names to two roles, and a clause of the response gives one to the other role."""
    reference, response, question = (simplified(text, language) for text in (reference, response, question))
    pairs = roles_and_names(reference, question, language)
    if len(pairs) != 2:
        return False
    for clause in filter(None, CLAUSE.split(response)):
        for (role, name), (other, other_name) in (pairs, pairs[::-1]):
            longer, shorter = (role, other) if len(role) > len(other) else (other, role)  # one may be part of the other
            there = {longer: longer in clause, shorter: shorter in clause.replace(longer, "")}
            if name in clause and other_name not in clause and there[other] and not there[role]:
                return True
    return False


def among_alternatives(reference: str, response: str, question: str, language: str) -> bool:
    """Whether a word like "or" stands beside what the response has of the reference, and in neither reference nor question."""
    words = set(read(reference, language).words) - word_set(language, "fillers")
    for word in words_of(language)["or"].split():
        joint = word if language == "zh" else rf"\s{word}\s"
        if re.search(joint, simplified(f" {question} {reference} ", language)):
            continue
        for sentence in SENTENCE.split(response):
            *before, last = re.split(joint, sentence or "")
            items = [read(item, language).words for side in before for item in re.split("[,，、] ?", side)]
            # The alternatives are the last words before "or" and of the items of a list before it, and the first after it.
            near = [item[-2:] for item in items] + ([read(last, language).words[:2]] if items else [])
            if words & {one for item in near for one in item}:
                return True
    return False


def turned_round(reference: str, response: str, question: str, language: str) -> bool:
    """Whether question and reference have one of two opposite words, and the response only the other."""
    said, answered = simplified(f"{question} {reference}", language), simplified(response, language)
    clause = " ".join(matching_clauses(reference, answered, language))
    for pair in words_of(language)["opposites"]:
        one, other = ([word.casefold() for word in side.split()] for side in pair)
        for this, that in ((one, other), (other, one)):
            wanted = has_any(said, this, language) and not has_any(said, that, language)
            if wanted and has_any(clause, that, language) and not has_any(answered, this, language):
                return True
    return False
