"""A hyphen at the end of a line: whether the word loses it, keeps it, or goes on after a space ("Ein- und Ausgang")."""

from __future__ import annotations

import functools

import regex

HYPHEN = regex.compile(r"(?<=[\p{L}\p{M}\d])[-\u2010\u00ad]$")
WORD_BEFORE = regex.compile(r"[\p{L}\p{M}\d'’]+(?:[-\u2010][\p{L}\p{M}\d'’]+)*$")
WORD_AFTER = regex.compile(r"[\p{L}\p{M}\d'’]+(?:[-\u2010][\p{L}\p{M}\d'’]+)*")
CONJUNCTIONS = {  # "pre- and post-war": the hyphen stands for a part that comes later
    "de": "und oder bis sowie als bzw beziehungsweise noch aber",
    "en": "and or to nor",
    "nl": "en of tot",
    "sv": "och eller till",
    "da": "og eller til",
    "no": "og eller til",
    "fi": "ja tai eli",
}
PARTS = {  # words that keep their hyphen: what begins them, what ends them
    "en": (
        "all anti cross ex far first full half hard high ill inter large left long low mid multi near non off one open post "
        "pre pro quasi right second self semi short single small so third three two well",
        "based born called century day free like long made old only related scale style time term up wide year",
    ),
    "de": ("blau braun deutsch gelb grau grün links nord ost rechts rot schwarz süd weiß west", ""),
    "fr": (
        "anglo franco gallo gréco latino socio après arrière au avant ci contre demi ex grand là mi moi lui non nord ouest peut quasi sous sud vice vingt est c "
        "quelques elle soi eux",
        "ci ce elle elles en être il ils je là leur lui même mêmes moi nous on t toi tu vous y dessus dessous delà",
    ),
    "pt": ("ex pós pré recém vice bem mal", "lo la los las se lhe lhes me te nos vos o a os as"),
    "ru": (
        "северо юго северно южно западно восточно экс вице кое пол из прайм бизнес интернет онлайн",
        "либо нибудь за под таки прежнему видимому моему твоему своему нашему вашему другому разному",
    ),
}
# Languages in which hyphens between small letters are common. The Russian dictionary takes some seconds to load.
DICTIONARIES = ("en", "fr", "pt", "ru", "uk")
# "что-то"; "то" ends words without a hyphen too: "мес-/то". Longer ones are in the dictionary.
SHORT_BEFORE_TO = "кто что где как чем кем чей чья чьё чьи ком чём".split()


def mend(before: str, after: str, language: str, text: str) -> str | None:
    """What the end of a line and the beginning of the next become where a hyphen stands between: "", "-" or "- ".

    None where no hyphen ends the line `before`. `text` is the whole text: a word stands there as it does elsewhere in it.
    """
    found = HYPHEN.search(before)
    if not found or not regex.match(r"[\p{L}\d]", after):
        return None
    if found.group() == "\u00ad":
        return ""
    left, right = WORD_BEFORE.search(before[: found.start()]).group(), WORD_AFTER.match(after).group()
    if right.lower() in CONJUNCTIONS.get(language, "").split():
        return "- "
    if (
        (right[0].isupper() and not (before.isupper() and right.isupper() and len(before.split()) > 2))
        or right[0].isdigit()
        or left[-1].isdigit()
    ):
        return "-"
    counts = words(text)
    whole, parted = counts.get(f"{left}{right}".lower(), 0), counts.get(f"{left}-{right}".lower(), 0)
    if whole != parted:
        return "" if whole > parted else "-"
    return "-" if is_compound(left.lower(), right.lower(), before, language) else ""


def is_compound(left: str, right: str, before: str, language: str) -> bool:
    """Whether two parts in small letters are joined by a hyphen in their language wherever they stand."""
    first, last = (part.split() for part in PARTS.get(language, ("", "")))
    if language == "en" and regex.search(r"\w[-\u2010] (?:and|or|to) \S+[-\u2010]$", before):
        return True
    if left in first or right in last or ("-" in left and language in DICTIONARIES):
        return not is_word(f"{left.rpartition('-')[2]}{right}", language) if "-" in left else True
    if language == "de":
        return left.endswith("isch") and len(right) > 4  # "deutsch-französisch" is in the list, "politisch-" is not
    if language in DICTIONARIES and len(left) > 3:
        whole = is_word(f"{left}{right}", language)
        return (
            not whole and is_word(left, language) and (language != "en" or is_word(right.partition("-")[0], language))
        )
    return language == "ru" and right == "то" and left in SHORT_BEFORE_TO


@functools.lru_cache(maxsize=1 << 17)  # in a big folder names and numbers never end
def is_word(text: str, language: str) -> bool:
    """Whether a dictionary of one of DICTIONARIES has a word, in any of its forms; it is loaded at the first question."""
    if len(text) < 3:
        return False
    if language == "en":
        from lemminflect import getAllLemmas

        return bool(getAllLemmas(text))
    import simplemma

    return simplemma.is_known(text, lang=language)


@functools.lru_cache(maxsize=4)
def words(text: str) -> dict[str, int]:
    """How often each word stands within a line of a text, in small letters."""
    counts: dict[str, int] = {}
    for match in WORD_AFTER.finditer(text):
        word = match.group().lower().replace("\u2010", "-")
        counts[word] = counts.get(word, 0) + 1
    return counts
