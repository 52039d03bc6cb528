"""Which language a text is in, by character n-grams: py3langid (Lui and Baldwin 2012, langid.py), restricted to LANGUAGES.

    identify("Wie lange dauert die Probezeit?")    # "de"
"""

from __future__ import annotations

from functools import cache

ENGLISH = "en"
# A model of all 97 languages finds rare ones in names and short answers.
LANGUAGES = ("en", "de", "fr", "es", "ru", "zh", "it", "nl", "pt", "pl", "ja", "ko", "uk", "tr", "sv", "da", "cs")
CONFIDENCE = 0.9  # below it a text is English, as a name or a number in another language would be
SAMPLE_CHARACTERS = 20_000  # of a text are looked at


@cache
def identifier():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # a second to load: only where it is needed

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(list(LANGUAGES))
    return found


@cache
def identify(text: str) -> str:
    """The ISO 639-1 code of a text's language, one of LANGUAGES; "en" if it cannot be told."""
    language, confidence = identifier().classify(text[:SAMPLE_CHARACTERS])
    return str(language) if confidence >= CONFIDENCE else ENGLISH
