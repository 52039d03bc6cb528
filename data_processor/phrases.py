"""What the dataset itself says ("Tell me about ..."), in a language that no file of the prompts has: translated by the model."""

from __future__ import annotations

import json

from data_processor.chunking import Chunk
from data_processor.languages import name_of_language
from data_processor.work import Work, an_object

LONGEST_PHRASE = 120  # characters
TOKENS = 400


def translate_phrases(work: Work, chunks: list[Chunk]) -> None:
    """Put the phrases of each further language of the chunks into `work.phrases`: one request a language.

    A translation in which {name} is lost is dropped; the phrases are then those of the prompts.
    """
    known = work.prompts["en"].other_words
    firsts = {chunk.text_language: chunk for chunk in reversed(chunks) if chunk.text_language not in known}
    requests, schemas = [], []
    for language, chunk in firsts.items():
        prompts = work.prompts[chunk.language]
        phrases = json.dumps(prompts.words(language), ensure_ascii=False, indent=1)
        name = name_of_language(language, chunk.language)
        requests.append(prompts.conversation("phrases", language=name, phrases=phrases))
        schemas.append(phrases_schema(prompts.words(language)))
    for language, reply in zip(firsts, work.ask_json("phrases", requests, TOKENS, schemas), strict=True):
        if reply and all(map(keeps_name, reply["about"])):
            work.phrases[language] = reply
        elif reply:
            work.drop("phrases", "the place for the name is lost", json.dumps(reply, ensure_ascii=False))


def keeps_name(phrase: str) -> bool:
    """Whether a phrase has the place for a name, and no other brace."""
    return "{name}" in phrase and not set(phrase.replace("{name}", "")) & {"{", "}"}


def phrases_schema(phrases: dict) -> dict:
    """The same keys, with as many phrases each."""
    phrase = {"type": "string", "minLength": 1, "maxLength": LONGEST_PHRASE}

    def some(count: int) -> dict:
        return {"type": "array", "items": phrase, "minItems": count, "maxItems": count}

    return an_object(**{key: phrase if isinstance(value, str) else some(len(value)) for key, value in phrases.items()})
