"""Whether two answers in one language say the same, by its words, numbers and units.

    same_answer("30 Urlaubstage", "Man hat dreißig Tage Urlaub.", "Wie viele Urlaubstage hat man?", "de")    # True

Words are compared by their stems (Snowball, Porter 2001), German compounds by their parts, Chinese by runs of characters.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise

from evaluation.quantities import (
    NUMBER, SYMBOLS, Quantity, parse_number, rewrite, simplifier, to_base, unit_names, words_of,
)  # fmt: skip

RECALL = 0.8  # of the words of the reference
COMPOUNDING = ("de", "nl", "sv", "da")
LINKS = ("", "s", "es", "n", "en", "er", "e", "ns")  # between the parts of a German compound
SHORTEST_PART = 3  # letters of a stem in a compound
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\S)|[。！？；;\n]|(?<!\w\.)(?<=[^\W\d_]{3}[.!?])\s")
CLAUSE = re.compile(r"[,，、:：;；]\s|[，；：。;]|\n| - | – |\b(?:sondern|but|mais|sino|а|но)\b")
LIST = re.compile(r"[,;，、；]\s?|\s(?:und|sowie|and|et|y|e|и)\s|[和与及]|以及")
TOKEN = re.compile(rf"(?:month|weekday)#\d+|\d+:\d+|{NUMBER}|°[cf]|[%€$£¥₽°]|m[²³23]\b|[^\W\d_]+(?:'[^\W\d_]+)*")
HAN = re.compile(r"[\u3400-\u9fff]")

# The two to four characters of a name after an occupation or a form of address.
PERSON = re.compile(r"^.{1,6}[家师长员者授士理任官手工匠]([\u4e00-\u9fff]{2,4})$")


@dataclass
class Reading:
    """What a text says: `quantities`; `labels`, its months, weekdays and times of day; `words`, in normal form."""

    quantities: list[Quantity] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


@cache
def stemmer(language: str):
    import snowballstemmer

    names = {"de": "german", "en": "english", "fr": "french", "es": "spanish", "ru": "russian", "it": "italian", "nl": "dutch",
             "pt": "portuguese", "sv": "swedish", "da": "danish", "tr": "turkish"}  # fmt: skip
    return snowballstemmer.stemmer(names[language]) if language in names else None


@cache
def normal(word: str, language: str) -> str:
    """The stem of a word in lower case, without accents; in German "ö", "oe" and "o" are one, and "ß" is "ss"."""
    found, word = stemmer(language), word.replace("ё", "е")
    stem = found.stemWord(word) if found else word
    stem = "".join(c for c in unicodedata.normalize("NFD", stem.casefold()) if not unicodedata.combining(c))
    return re.sub("(?<=[aou])e(?!r)", "", stem) if language == "de" else stem


@cache
def word_set(language: str, key: str) -> frozenset[str]:
    return frozenset(normal(word, language) for word in str(words_of(language)[key]).casefold().split())


@cache
def names_of_units(language: str) -> dict[tuple[str, ...], str]:
    return unit_names(language, partial(normal, language=language))


def read(text: str, language: str) -> Reading:
    """What a text says, as a Reading."""
    text = rewrite(text, language)
    return read_chinese(text) if language == "zh" else read_words(TOKEN.findall(text), language)


def read_words(tokens: list[str], language: str) -> Reading:
    reading, units = Reading(), names_of_units(language)
    forms = [normal(token, language) for token in tokens]
    position = 0
    while position < len(tokens):
        token = tokens[position]
        value = parse_number(token, language) if token[-1].isdigit() and "#" not in token and ":" not in token else None
        if value is None:
            if "#" in token or re.match(r"\d+:", token):
                reading.labels.append(token)
            elif any(map(str.isalnum, token)) and not (is_currency(forms, position, units) and follows_number(tokens, position)):
                reading.words.append(forms[position])
            position += 1
            continue
        unit, length = next(
            ((units[tuple(forms[position + 1 : position + 1 + n])], n) for n in (3, 2, 1) if tuple(forms[position + 1 : position + 1 + n]) in units),
            (None, 0),
        )  # fmt: skip
        if unit is None and position and is_currency(forms, position - 1, units):
            unit = units[(forms[position - 1],)]
        reading.quantities.append(to_base(value, unit))
        position += 1 + length
    return reading


def is_currency(forms: list[str], position: int, units: dict) -> bool:
    return units.get((forms[position],), "").isupper()


def follows_number(tokens: list[str], position: int) -> bool:
    return position + 1 < len(tokens) and tokens[position + 1][-1].isdigit()


@cache
def chinese_units() -> dict[str, str]:
    return {"".join(name): unit for name, unit in unit_names("zh", str).items()}


def read_chinese(text: str) -> Reading:
    """A Chinese text; its words are the single characters, and words in Latin letters whole."""
    reading, units, position = Reading(), chinese_units(), 0
    while position < len(text):
        label = re.compile(r"(?:month|weekday)#\d+|\d+:\d+").match(text, position)
        number = re.compile(r"(?<!\w)-?\d+(?:\.\d+)?|\d+(?:\.\d+)?").match(text, position)
        word = re.compile(r"[a-z]+").match(text, position)
        if label:
            reading.labels.append(label[0])
            position = label.end()
        elif number:
            position = number.end()
            following = text[position:].lstrip().replace("²", "2").replace("³", "3")
            name = max((name for name in units if following.startswith(name)), key=len, default="")
            unit = units.get(name) or (SYMBOLS.get(text[number.start() - 1]) if number.start() else None)
            reading.quantities.append(to_base(float(number[0]), unit))
            position += len(name) + len(text[position:]) - len(text[position:].lstrip())
        else:
            if word or HAN.match(text, position):
                reading.words.append(word[0] if word else text[position])
            position = word.end() if word else position + 1
    return reading


def same_answer(reference: str, response: str, question: str, language: str) -> bool:
    """Whether a response has what the reference says and does not deny it."""
    verdict, more = split_yes_or_no(reference, language)
    if verdict is not None and (says_yes(response, question, language) != verdict or not more):
        return not more and says_yes(response, question, language) == verdict
    reference = more or reference
    wanted, found, asked = (read(text, language) for text in (reference, response, question))
    if not all(any(same_quantity(one, other) for other in found.quantities) for one in wanted.quantities):
        return False
    if any(label not in found.labels for label in wanted.labels):
        return False
    if not has_words(reference, wanted, found, asked, response, question, language):
        return False
    if swapped(reference, response, question, language):
        return False
    return not (denied(reference, response, question, language) or turned_round(reference, response, question, language))


def same_quantity(wanted: Quantity, found: Quantity) -> bool:
    """Whether two numbers are one; a bare number may stand for one with any unit."""
    if wanted.unit is None or found.unit is None:
        return wanted.written == found.written
    return wanted.unit == found.unit and abs(wanted.value - found.value) <= 1e-6 * max(1.0, abs(wanted.value))


def has_words(reference: str, wanted: Reading, found: Reading, asked: Reading, response: str, question: str, language: str) -> bool:
    """Whether enough words of the reference are in the response, and some of each item if the reference is a list."""
    if language == "zh":
        return has_characters(reference, wanted, asked, response)
    fillers = word_set(language, "fillers")
    content = [word for word in wanted.words if word not in fillers]
    needed = [word for word in content if word not in asked.words] if content else []
    if not needed:
        if wanted.quantities or wanted.labels:
            return True
        needed = content or wanted.words
    if names_person(reference, wanted.words, found.words, question, language):
        return True
    if len(needed) == 1 and wanted.quantities and not wanted.labels and all(quantity.unit is None for quantity in wanted.quantities):
        return True  # what is counted: "nine people"
    covered = covers(found.words, asked.words, needed, language)
    if sum(map(covered, needed)) < RECALL * len(needed):
        return False
    items = [read(item, language).words for item in LIST.split(reference)]
    items = [[word for word in item if word in needed] for item in items]
    return all(any(map(covered, item)) for item in items if item)


def covers(words: list[str], asked: list[str], needed: list[str], language: str):
    """A function that says whether a word of the reference is among `words`, or in their compounds, or a compound of them."""
    known = set(words)
    initials = "".join(word[0] for word in words)
    single = {one: other for one, other in pairwise(words) if len(one) == 1}  # an initial, and the word after it

    def shortened(word: str) -> bool:
        if 2 <= len(word) <= 5 and word in initials and not set(word) & set("aeiouаеиоу"):
            return True  # "CV", "curriculum vitae"
        return single.get(word[0]) in needed or len(single.get(word[0], "  ")) == 1

    if language not in COMPOUNDING:
        return lambda word: word in known or shortened(word)
    compounds = {word for word in known if len(word) > 2 * SHORTEST_PART}
    spoken = set(needed) | set(asked)

    def covered(word: str) -> bool:
        if word in known or shortened(word) or parts(word, known, set(asked)):
            return True
        if len(word) > SHORTEST_PART and any(one.endswith(word) and len(one) - len(word) >= SHORTEST_PART for one in known - set(needed)):
            return True  # "Schutzhelm" is a "Helm"
        return any(word in (found := parts(compound, {word}, spoken)) and len(found) == 2 for compound in compounds)

    return covered


def parts(compound: str, first: set[str], others: set[str]) -> tuple[str, ...]:
    """The two parts of a compound, one of them among `first` and the other there or among `others`; () if there are none."""
    for one in first | others:
        if len(one) < SHORTEST_PART or not compound.startswith(one):
            continue
        for link in LINKS:
            rest = compound[len(one) + len(link) :]
            if one in first and len(one) > SHORTEST_PART and compound == one + link:
                return one, link  # the stemmer took the second part for an ending
            if not compound[len(one) :].startswith(link) or len(rest) < SHORTEST_PART:
                continue
            other = next((word for word in first | others if word == rest or len(rest) > SHORTEST_PART and word.startswith(rest) and len(word) - len(rest) <= 3), None)
            if other and (one in first or other in first):
                return one, other
    return ()


def names_person(reference: str, wanted: list[str], found: list[str], question: str, language: str) -> bool:
    """Whether the response has the person that the reference names: the surname after a first name, an initial or a title.

    If the question asks who, the reference's last two words are the name; what stands before them is what the person is.
    """
    titles, fillers = word_set(language, "titles"), word_set(language, "fillers")
    names = [word for word in wanted if word not in titles and word not in fillers]
    if has_any(simplified(question, language), str(words_of(language)["who"]).split(), language):
        names = names[-2:] if len(names) > 3 or len(names) == 3 and found.count(names[0]) == 0 else names
    if not 2 <= len(names) <= 3 or len(LIST.split(reference.strip())) > 1 or names[-1] not in found:
        return False
    before = [word for word in found[: found.index(names[-1])] if word in titles or word not in fillers][-1:]
    return bool(before) and (before[0] in titles or before[0] in names or len(before[0]) == 1 and any(name.startswith(before[0]) for name in names))


def has_characters(reference: str, wanted: Reading, asked: Reading, response: str) -> bool:
    """The same for Chinese: every part of the reference, or nearly all its pairs of characters, stands in the response."""
    fillers = word_set("zh", "fillers")
    text = re.sub(r"\s", "", rewrite(response, "zh"))
    question = "".join(asked.words)
    content = [c for c in wanted.words if c not in fillers]
    if not content or (wanted.quantities or wanted.labels) and len(content) <= 2:
        return True
    for item in LIST.split(reference):
        characters = "".join(read_chinese(rewrite(item, "zh")).words)
        bare = "".join(c for c in characters if c not in fillers)
        unasked = without_question(bare, question)
        person = PERSON.search(bare)
        if not bare or any(form in text for form in (characters, bare, unasked, person[1] if person else characters)):
            continue
        there = "".join(c for c in text if c not in fillers)
        short = [c for c in bare if c not in question]  # "蓝色" where the question asks for "颜色"
        if len(bare) <= 2 and short and len(short) < len(bare) and all(c in text for c in short):
            continue
        pairs = ["".join(pair) for pair in pairwise(unasked)]
        if len(pairs) < 2 or sum(pair in there for pair in pairs) < RECALL * len(pairs):
            return False
    return True


def without_question(text: str, question: str) -> str:
    """A Chinese text without its runs of two or more characters that the question has, or all of it if nothing else is left."""
    left = text
    for length in range(len(text), 1, -1):
        for start in range(len(left) - length + 1):
            if left[start : start + length] in question:
                left = left[:start] + left[start + length :]
                break
    return left if len(left) >= 2 else text


def matching_clauses(reference: str, response: str, language: str) -> list[str]:
    """The clauses of a response that have most of what the reference says."""
    wanted = read(reference, language)
    fillers = word_set(language, "fillers")
    words = {word for word in wanted.words if word not in fillers}
    clauses = [clause for clause in CLAUSE.split(response) if clause and clause.strip()]

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
    if has_any(simplified(question, language), str(words["forbids"]).split(), language):
        return False  # what is forbidden, one must not
    clauses = matching_clauses(reference, response, language)
    return bool(clauses) and all(re.search(denies, clause) for clause in clauses)


def swapped(reference: str, response: str, question: str, language: str) -> bool:
    """Whether the reference gives names to roles ("chair: A, deputy: B") and a clause of the response to another role."""
    letters = 2 if language == "zh" else 5  # at which the words of a role begin
    asked = simplified(question, language)
    pairs = []
    for item in re.split(r"[,;，；]", simplified(reference, language)):
        words = re.findall(r"[^\W\d_]+", item)
        if language == "zh":
            roles = re.findall(r"^[^为:是]+(?=[为:是])", item)
            words = [*roles, *(item[len(role) + 1 :] for role in roles)]
        roles = [word[:letters] if language != "zh" else word for word in words if len(word) >= letters and word[:letters] in asked]
        names = [word for word in words if word not in asked and len(word) > 1 and word[:letters] not in roles]
        if not roles or not names:
            return False
        pairs.append((roles[0], names[-1]))
    if len(pairs) != 2:
        return False
    for clause in CLAUSE.split(simplified(response, language)):
        clause = clause or ""
        for (role, name), (other, other_name) in (pairs, pairs[::-1]):
            rest = clause.replace(max(role, other, key=len), "#long").replace(min(role, other, key=len), "#short")
            has, lacks = ("#long", "#short") if other == max(role, other, key=len) else ("#short", "#long")
            if name in clause and other_name not in clause and has in rest and lacks not in rest:
                return True
    return False


def among_alternatives(reference: str, response: str, question: str, language: str) -> bool:
    """Whether a word like "or" stands beside what the response has of the reference, and in neither reference nor question."""
    for word in str(words_of(language)["or"]).split():
        joint = rf"\s{word}\s" if language != "zh" else word
        if re.search(joint, simplified(f" {question} {reference} ", language)):
            continue
        words = set(read(reference, language).words) - word_set(language, "fillers")
        for sentence in SENTENCE.split(response):
            *before, last = re.split(joint, sentence or "")
            candidates = [candidate for side in before for candidate in re.split("[,，、] ?", side)]
            if not before:
                continue
            # The alternatives are the last words before "or", the first after it, and short items of a list before it.
            near = read(candidates[-1], language).words[-2:] + read(last, language).words[:2]
            near += [one for item in candidates[:-1] for one in read(item, language).words[-2:]] if len(read(candidates[-1], language).words) <= 3 else []
            if words & set(near):
                return True
    return False


def turned_round(reference: str, response: str, question: str, language: str) -> bool:
    """Whether question and reference have one of two opposite words, and the response only the other."""
    said, answered = simplified(f"{question} {reference}", language), simplified(response, language)
    clause = " ".join(matching_clauses(reference, answered, language))
    for pair in words_of(language)["opposites"]:
        one, other = ([word.casefold() for word in side.split()] for side in pair)
        for this, that in ((one, other), (other, one)):
            if has_any(said, this, language) and not has_any(said, that, language):
                if has_any(clause, that, language) and not has_any(answered, this, language):
                    return True
    return False


def simplified(text: str, language: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    return simplifier().convert(text) if language == "zh" else text


def has_any(text: str, words: list[str], language: str) -> bool:
    """Whether a text has one of the words; those of at least four letters count as beginnings of words too."""
    if language == "zh":
        return any(word in text for word in words)
    return any(re.search(rf"(?<!\w){re.escape(word)}" + (r"" if len(word) > 3 else r"(?!\w)"), text) for word in words)


def split_yes_or_no(reference: str, language: str) -> tuple[bool | None, str]:
    """What a reference answers to a yes/no question, None if it answers another one, and what else it says."""
    for verdict, key in ((False, "no"), (True, "yes")):
        for word in sorted(str(words_of(language)[key]).split(), key=len, reverse=True):
            plain = simplified(reference, language).strip(" .!。！")
            if plain == word:
                return verdict, ""
            if re.match(re.escape(word) + r"\s?[,，.;；]", plain):
                return verdict, reference.strip()[len(word) + 1 :].strip()
    return None, reference


def says_yes(text: str, question: str, language: str) -> bool:
    """Whether a text answers a yes/no question with yes: by its first word, or else because its first clause denies nothing."""
    words, plain = words_of(language), simplified(text, language).strip(" .!。！\"'¡¿")
    border = "" if language == "zh" else r"(?!\w)"
    for verdict, key in ((False, "no"), (True, "yes")):
        if any(re.match(re.escape(word) + border, plain) for word in sorted(str(words[key]).split(), key=len, reverse=True)):
            return verdict
    conditions = str(words["conditions"]).split()
    clauses = [clause.strip() for clause in CLAUSE.split(SENTENCE.split(plain)[0]) if clause and clause.strip()]
    first = " ".join(clause for clause in clauses if clause.split()[0] not in conditions)
    forbids = str(words["forbids"]).split()
    negative = bool(words["denies"] and re.search(words["denies"], first)) or has_any(first, forbids, language)
    return negative == has_any(simplified(question, language), forbids, language)
