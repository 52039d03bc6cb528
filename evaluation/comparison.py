"""Whether two answers in one language say the same, by its words, numbers and units.

    same_answer("30 Urlaubstage", "Man hat dreißig Tage Urlaub.", "Wie viele Urlaubstage hat man?", "de")    # True

The numbers of the reference must all be in the response, and most of the words that the question has not; German
compounds count by their parts, a person by the surname, and Chinese by runs of characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from evaluation.contradiction import AND, SENTENCE, denied, says_yes, split_yes_or_no, swapped, turned_round
from evaluation.point_contradiction import has_another_number
from evaluation.quantities import Quantity, rewrite, words_of
from evaluation.reading import Reading, has_any, read, read_chinese, same_quantity, simplified, word_set

RECALL = 0.8  # of the words of the reference
COMPOUNDING = ("de",)
LINKS = ("", "s", "es", "n", "en", "er", "e", "ns")  # between the parts of a German compound
# Without accents. A word after one of them is another word: "Vermieter" is no "Mieter".
PREFIXES = frozenset(
    "ver ent zer miss ein aus auf vor nach unter uber ober neben gegen zuruck hinter mit wieder nicht ruck anti".split()
)
FEW_WORDS = 4  # of an answer to a yes/no question that repeats none of its words
SHORTEST_PART = 3  # letters of a stem in a compound
LIST = re.compile(rf"[,;，、；]\s?|{AND}|[和与及]|以及")
# The two to four characters of a name after an occupation or a form of address.
PERSON = re.compile(r"^.{1,6}[家师长员者授士理任官手工匠]([\u4e00-\u9fff]{2,4})$")
ARTICLE = re.compile(
    r"(?<![第零一二三四五六七八九十百千万\d])一([个座条只位名栋家所间本张把种艘辆棵件])(?=[\u3400-\u9fff])(?![半月小星季年钟天])"
)
VOWELS = set("aeiouаеиоу")  # an abbreviation by initials has none


def same_answer(reference: str, response: str, question: str, language: str) -> bool:
    """Whether a response has what the reference says and does not deny it."""
    verdict, more = split_yes_or_no(reference, language)
    if verdict is not None:
        return same_decision(verdict, more, response, question, language)
    if language == "zh":
        reference = without_article(reference, response, question)
    texts = (reference, response, question, language)
    return has_content(*texts) and not (swapped(*texts) or denied(*texts) or turned_round(*texts))


def same_decision(verdict: bool, more: str, response: str, question: str, language: str) -> bool:
    """Whether a response answers yes or no as a reference does, with no other number than that has.

    `more`, the rest of a reference that begins with yes or no, says why: it need not be said.
    """
    if not decides(response, question, language):
        return False
    return says_yes(response, question, language) == verdict and not has_another_number(
        more, response, question, language
    )


def decides(response: str, question: str, language: str) -> bool:
    """Whether a response answers a yes/no question: by one of these words alone, in few words, or with words of the question."""
    words, plain = words_of(language), simplified(response, language).strip(" .!。！\"'¡¿*")
    if any(re.match(rf"{yes}{AND}{no}\b", plain) for yes in words["yes"].split() for no in words["no"].split()):
        return False
    if split_yes_or_no(response, language)[0] is not None or language == "zh":
        return True
    said = read(SENTENCE.split(plain)[0], language).words
    return 0 < len(said) <= FEW_WORDS or bool(
        set(said) & (set(read(question, language).words) - word_set(language, "fillers"))
    )


def has_content(reference: str, response: str, question: str, language: str) -> bool:
    """Whether a response has the numbers and nearly all words of a reference, be they denied or not."""
    wanted, found, asked = (read(text, language) for text in (reference, response, question))
    if not all(any(same_quantity(one, other) for other in found.quantities) for one in wanted.quantities):
        return False
    if not set(wanted.labels) <= {*found.labels, *map(as_time, found.quantities)}:
        return False
    if language == "zh":
        return has_characters(reference, wanted, asked, response)
    return has_stems(reference, question, wanted, found, asked, language)


def as_time(number: Quantity) -> str:
    """A bare number as a time of day, "14:30" for 14.30; "" if it is none."""
    hours, minutes = divmod(round(100 * number.written), 100)
    is_time = number.unit is None and number.written % 1 and 0 <= hours < 24 and minutes < 60
    return f"{hours}:{minutes:02d}" if is_time else ""


def has_stems(reference: str, question: str, wanted: Reading, found: Reading, asked: Reading, language: str) -> bool:
    """Whether enough words of the reference are in the response, and some of each item if the reference is a list."""
    fillers = word_set(language, "fillers")
    content = [word for word in wanted.words if word not in fillers]
    needed = [word for word in content if word not in asked.words]
    if not needed and (wanted.quantities or wanted.labels):
        return True
    needed = needed or content or wanted.words
    if names_person(reference, wanted.words, found.words, question, language):
        return True
    counts = wanted.quantities and not wanted.labels and all(one.unit is None for one in wanted.quantities)
    if len(needed) == 1 and counts:
        return True  # what is counted: "nine people"
    covered = coverage(found.words, asked.words, needed, language)
    if sum(map(covered, needed)) < RECALL * len(needed):
        return False
    items = [read(item, language).words for item in LIST.split(reference)]
    items = [[word for word in item if word in needed] for item in items]
    return all(any(map(covered, item)) for item in items if item)


def coverage(words: list[str], asked: list[str], needed: list[str], language: str) -> Callable[[str], bool]:
    """A function that says whether one of the `needed` words is among `words`, or shortened, or a compound with its parts there."""
    known = set(words)
    initials = "".join(word[0] for word in words)
    after_initial = {one: other for one, other in pairwise(words) if len(one) == 1}

    def is_there(word: str) -> bool:
        if word in known or (2 <= len(word) <= len(known) and word in initials and not set(word) & VOWELS):
            return True  # "CV" is there in "curriculum vitae"
        following = after_initial.get(word[0])
        return following is not None and (following in needed or len(following) == 1)

    if language not in COMPOUNDING:
        return is_there
    compounds, spoken = {word for word in known if len(word) > 2 * SHORTEST_PART}, set(needed) | set(asked)

    def is_there_in_parts(word: str) -> bool:
        if is_there(word) or parts(word, known, set(asked)):
            return True
        if len(word) > SHORTEST_PART and any(is_head(word, one) for one in known - set(needed)):
            return True
        return any(word in parts(compound, {word}, spoken) for compound in compounds)

    return is_there_in_parts


def is_head(word: str, compound: str) -> bool:
    """Whether a compound is a kind of what the word is, as "Schutzhelm" of "Helm"."""
    first = compound.removesuffix(word)
    return first != compound and len(first) >= SHORTEST_PART and first not in PREFIXES


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
            other = next((word for word in first | others if is_part(rest, word)), None)
            if other and (one in first or other in first):
                return one, other
    return ()


def is_part(rest: str, word: str) -> bool:
    """Whether the rest of a compound is a word, whose stem may be longer when it stands alone."""
    return word == rest or (len(rest) > SHORTEST_PART and word.startswith(rest) and len(word) - len(rest) <= 3)


def names_person(reference: str, wanted: list[str], found: list[str], question: str, language: str) -> bool:
    """Whether the response has the person that the reference names: the surname after a first name, an initial or a title.

    If the question asks who, the reference's last two words are the name; what stands before them is what the person is.
    """
    titles, fillers = word_set(language, "titles"), word_set(language, "fillers")
    names = [word for word in wanted if word not in titles and word not in fillers]
    if has_any(simplified(question, language), words_of(language)["who"].split(), language) and len(names) > 2:
        names = names if names[0] in found and len(names) == 3 else names[-2:]
    if not 2 <= len(names) <= 3 or len(LIST.split(reference.strip())) > 1 or names[-1] not in found:
        return False
    before = [word for word in found[: found.index(names[-1])] if word in titles or word not in fillers]
    is_initial = before and len(before[-1]) == 1 and any(name.startswith(before[-1]) for name in names)
    return bool(before) and (before[-1] in titles or before[-1] in names or is_initial)


def without_article(reference: str, response: str, question: str) -> str:
    """A Chinese reference without 一 and a measure word, unless the question asks how many or the response counts with that word."""
    found = ARTICLE.search(reference)
    if found is None or re.search("几|多少", question) or re.search(rf"[二两三四五六七八九十\d]{found[1]}", response):
        return reference
    return ARTICLE.sub("", reference, count=1)


def has_characters(reference: str, wanted: Reading, asked: Reading, response: str) -> bool:
    """The same for Chinese: every part of the reference, or nearly all its pairs of characters, stands in the response."""
    fillers = word_set("zh", "fillers")
    rewritten = rewrite(response, "zh")
    # With its numbers and without them, as the words of the reference are; without marks in both.
    texts = re.sub(r"[\W_]", "", rewritten), "".join(read_chinese(rewritten).words)
    question = "".join(asked.words)
    content = [c for c in wanted.words if c not in fillers]
    if not content or ((wanted.quantities or wanted.labels) and len(content) <= 2):
        return True
    for item in LIST.split(reference):
        characters = "".join(read_chinese(rewrite(item, "zh")).words)
        bare = "".join(c for c in characters if c not in fillers)
        bare = bare if len(bare) > 1 else characters  # "自由党", of which else "党" would be left
        unasked = without_question(bare, question)
        person = PERSON.search(bare)
        forms = (characters, bare, unasked, person[1] if person else characters)
        if not bare or any(form in text for form in forms for text in texts):
            continue
        there = "".join(c for c in " ".join(texts) if c not in fillers)
        is_kind = len(bare) == 2 and bare[1] in question and bare[0] not in question
        if is_kind and bare[0] in texts[0]:  # "蓝色" where the question asks for "颜色"
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
