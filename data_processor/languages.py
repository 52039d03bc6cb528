"""Which language a text is in, by character n-grams: py3langid (Lui and Baldwin 2012, langid.py), restricted to LANGUAGES.

identify("Wie lange dauert die Probezeit?")    # "de"
in_language("training/replay_prompts.json", "de")    # training/replay_prompts.de.json
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path

ENGLISH = "en"
# A model of all 97 languages finds rare ones in names and short answers.
LANGUAGES = ("en", "de", "fr", "es", "ru", "zh", "it", "nl", "pt", "pl", "ja", "ko", "uk", "tr", "sv", "da", "cs")
CONFIDENCE = 0.9  # below it a text is English, as a name or a number in another language would be
SAMPLES, SAMPLE_CHARACTERS = 50, 400  # texts of a collection that are looked at, and how much of each


@cache
def identifier():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # a second to load: only where it is needed

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(list(LANGUAGES))
    return found


@lru_cache(maxsize=10_000)
def identify(text: str) -> str:
    """The ISO 639-1 code of a text's language, one of LANGUAGES; "en" if it cannot be told."""
    language, confidence = identifier().classify(text[: SAMPLES * SAMPLE_CHARACTERS])
    return str(language) if confidence >= CONFIDENCE else ENGLISH


def identify_all(texts: Sequence[str]) -> str:
    """The language of most of the texts, by a sample from all of them."""
    step = max(1, len(texts) // SAMPLES)
    return identify("\n".join(text[:SAMPLE_CHARACTERS] for text in islice(texts, 0, None, step)))


def in_language(path: str | Path, language: str) -> Path:
    """The file NAME.LANGUAGE.json beside NAME.json, or that itself, which is English, if there is none."""
    path = Path(path)
    translated = path.with_suffix(f".{language}{path.suffix}")
    return translated if translated.is_file() else path


def texts_of_rows(rows: Iterable[dict]) -> list[str]:
    """What is asked in the first rows of a dataset, or of answers, in any of their forms."""
    found = []
    for row in islice(rows, SAMPLES):
        turns = row.get("messages") or row.get("conversations") or [{"content": row.get("question")}]
        found += [str(turn.get("content") or turn.get("value") or "") for turn in turns]
    return found
