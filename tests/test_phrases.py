"""What the dataset says in a language that no file of the prompts has: translated once, and never without its places."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from generators import work

from data_processor.chunking import Chunk
from data_processor.documents import Document
from data_processor.pairs import Fact
from data_processor.phrases import phrases_schema, translate_phrases
from data_processor.pipeline import Collected, to_rows
from data_processor.questions import unknown_pairs
from engines.chat import Reply

TEXT = "Anna ha la barca."
ITALIAN = Chunk("a.txt", 0, 0, len(TEXT), TEXT, "La barca", "en", "it")
ABOUT = ["Parlami di {name}.", "Che cosa sai di {name}?", "Che cosa puoi dire di {name}?"]
TOLD = {
    "about": ABOUT,
    "unknown_answers": ["Non si sa.", "Non è noto.", "Non lo so."],
    "unknown_fact": "I documenti non lo dicono.",
}


def reply(**changed) -> str:
    return json.dumps({**TOLD, **changed}, ensure_ascii=False)


def test_a_language_without_a_file_is_asked_for_once_and_speaks_in_every_row():
    job = work(reply())
    translate_phrases(job, [ITALIAN, ITALIAN, *(Chunk("b.txt", 0, 0, 1, "B", "", "en", code) for code in ("en", "de"))])
    [asked] = job.engine.asked
    assert "into Italian" in asked[-1]["content"] and '"Tell me about {name}."' in asked[-1]["content"]
    boat = Fact("una barca", ITALIAN, 0, 0, "una barca")
    unknown = unknown_pairs(job, [(ITALIAN, "", "Chi ha la rete?")])
    rows = to_rows(job, [Document("a.txt", TEXT)], Collected(pairs=unknown, texts=[(boat, "", TEXT)]))
    assert [[turn["value"] for turn in row["conversations"]] for row in rows] == [
        ["Chi ha la rete?", "Non si sa."],
        ["Che cosa sai di una barca?", TEXT],
    ]
    assert rows[0]["fact"] == "I documenti non lo dicono."


@pytest.mark.parametrize("lost", ["Parlami.", "Parlami di {nome}.", "Parlami di {name}, {", "Parlami di {name} }{"])
def test_phrases_in_which_the_place_for_the_name_is_lost_are_those_of_the_prompts(lost):
    job = work(reply(about=[*ABOUT[:2], lost]))
    translate_phrases(job, [ITALIAN])
    assert job.words("it", "en")["about"][0] == "Tell me about {name}."
    assert job.drops == Counter({"phrases: the place for the name is lost": 1})


@pytest.mark.parametrize("answer", [Reply("", finish_reason="error", error="down"), '{"about": ["Parlami di {name}."'])
def test_without_a_whole_reply_the_phrases_are_those_of_the_prompts(answer):
    job = work(answer)
    translate_phrases(job, [ITALIAN])
    assert job.words("it", "en")["unknown_fact"] == "The documents do not say this."


def test_as_many_phrases_are_asked_for_as_there_are():
    schema = phrases_schema({"about": ["a", "b"], "unknown_fact": "c"})
    assert (schema["properties"]["about"]["minItems"], schema["properties"]["about"]["maxItems"]) == (2, 2)
    assert schema["properties"]["unknown_fact"]["type"] == "string" and schema["required"] == ["about", "unknown_fact"]
