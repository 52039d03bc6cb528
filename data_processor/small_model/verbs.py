"""English verb forms, by lemminflect's tables and its neural lemmatizer's, without a parser."""

from __future__ import annotations

from functools import lru_cache

AUXILIARY = frozenset("was were is are has have had will can could would must should may might did does do".split())


@lru_cache(maxsize=1 << 17)  # in a big folder names and numbers never end
def past_of(word: str) -> str | None:
    """The base form of a verb in the simple past ("won" gives "win"), or None for any other word."""
    from lemminflect import getAllLemmas, getInflection

    for base in getAllLemmas(word, upos="VERB").get("VERB", ()):
        if word in getInflection(base, "VBD"):
            return base
    return None


@lru_cache(maxsize=1 << 17)
def present_of(word: str) -> str | None:
    """The base form of a verb in the third person ("occurs" gives "occur"), or None for any other word, or one that may be a noun."""
    from lemminflect import getAllLemmas, getInflection

    lemmas = getAllLemmas(word)
    if not word.endswith("s") or "VERB" not in lemmas or {"NOUN", "ADJ", "ADV"} & lemmas.keys():
        return None
    return next((base for base in lemmas["VERB"] if word in getInflection(base, "VBZ")), None)


@lru_cache(maxsize=1 << 17)
def may_end_a_noun(word: str) -> bool:
    """Whether a word can be the last of a noun phrase: a noun, or a word that no table has."""
    from lemminflect import getAllLemmas

    lemmas = getAllLemmas(word)
    return not lemmas or "NOUN" in lemmas or "PROPN" in lemmas or word.endswith("ing")


@lru_cache(maxsize=1 << 17)
def is_verb_alone(word: str) -> bool:
    """Whether a word can be nothing but a verb ("occurs", "expanded"), or an adverb in -ly."""
    from lemminflect import getAllLemmas

    lemmas = getAllLemmas(word)
    is_other = not lemmas or {"NOUN", "ADJ", "PROPN"} & lemmas.keys() or word.endswith("ing")
    return not is_other or word.endswith("ly")


@lru_cache(maxsize=1 << 17)
def is_noun_alone(word: str) -> bool:
    """Whether a word is a noun and no adjective."""
    from lemminflect import getAllLemmas

    lemmas = getAllLemmas(word)
    return not lemmas or ("NOUN" in lemmas and "ADJ" not in lemmas)
