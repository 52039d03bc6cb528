"""English verb forms and parts of speech by lemminflect's tables, word by word: a parser would know more, and has to be downloaded."""

from __future__ import annotations

from functools import lru_cache

AUXILIARY = frozenset("was were is are has have had will can could would must should may might did does do".split())
NAMES = 1 << 17  # words remembered: in a big folder names and numbers never end


@lru_cache(maxsize=NAMES)
def past_of(word: str) -> str | None:
    """The base form of a verb in the simple past ("won" gives "win"), or None for any other word."""
    return next((base for base in lemmas_of(word).get("VERB", ()) if word in forms_of(base, "VBD")), None)


@lru_cache(maxsize=NAMES)
def present_of(word: str) -> str | None:
    """The base form of a verb in the third person ("occurs" gives "occur"), or None for any other word, or one that may be a noun."""
    if not word.endswith("s") or parts_of_speech(word) != {"VERB"}:
        return None
    return next((base for base in lemmas_of(word)["VERB"] if word in forms_of(base, "VBZ")), None)


@lru_cache(maxsize=NAMES)
def may_be_participle(word: str) -> bool:
    """Whether "has" and a word may be a perfect, or "has to": a participle, or an adverb before one."""
    is_form = any(word in forms_of(base, "VBN") for base in lemmas_of(word).get("VERB", ()))
    return word in ("been", "to", "not") or "ADV" in parts_of_speech(word) or is_form


def may_be_verb(word: str) -> bool:
    return "VERB" in parts_of_speech(word)


def is_verb_alone(word: str) -> bool:
    """Whether a word can be nothing but a verb ("occurs", "expanded"), or is an adverb in -ly."""
    parts = parts_of_speech(word)
    return bool(parts and not parts & {"NOUN", "ADJ", "PROPN"} and not word.endswith("ing")) or word.endswith("ly")


def may_be_noun(word: str) -> bool:
    """Whether a word can be a noun: a word that no table has may be."""
    parts = parts_of_speech(word)
    return not parts or bool(parts & {"NOUN", "PROPN"}) or word.endswith("ing")


def is_noun(word: str) -> bool:
    """Whether a word can be a noun, or a verb, and no adjective."""
    parts = parts_of_speech(word)
    return not parts or ("NOUN" in parts and "ADJ" not in parts)


def is_noun_alone(word: str) -> bool:
    """Whether a word can be nothing but a noun; "" is none."""
    return bool(word) and parts_of_speech(word) <= {"NOUN"}


def parts_of_speech(word: str) -> frozenset[str]:
    """What a word can be: NOUN, VERB, AUX, ADJ, ADV, PROPN; nothing for a word that the tables lack."""
    return frozenset(lemmas_of(word))


@lru_cache(maxsize=NAMES)
def lemmas_of(word: str) -> dict[str, tuple[str, ...]]:
    """By part of speech, the base forms of a word."""
    from lemminflect import getAllLemmas

    return getAllLemmas(word)


def forms_of(base: str, tag: str) -> tuple[str, ...]:
    """The forms of a verb: VBD of "win" is "won"."""
    from lemminflect import getInflection

    return getInflection(base, tag)
