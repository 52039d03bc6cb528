"""The prompt files: what they contain, and what a user's own file may change."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest

from data_processor import checks, contradictions, facts, questions
from data_processor.curation import contains, length_in_words
from data_processor.numbered import invented_numbers
from data_processor.prompts import FOLDER, load_prompts
from data_processor.small_model import method as small_method
from data_processor.units import Unit
from utils import InputError

ALL = load_prompts()
SMALL = load_prompts(None, small_method.PROMPTS)
ENGLISH, CHINESE = ALL["en"], ALL["zh"]


def test_which_languages_have_prompts():
    assert list(ALL) == list(SMALL) == ["en", "zh"]


@pytest.mark.parametrize("prompts", [*ALL.values(), *SMALL.values()], ids=[*ALL, *(f"small {one}" for one in SMALL)])
def test_all_languages_have_the_same_prompts(prompts):
    english = (SMALL if "facts" in prompts.table else ALL)["en"]
    assert {key: set(value) - {"examples"} for key, value in english.table.items()} == {
        key: set(value) - {"examples"} for key, value in prompts.table.items()
    }
    assert {key for key, value in english.table.items() if value.get("examples")} == {
        key for key, value in prompts.table.items() if value.get("examples")
    }


def test_languages_without_prompts_have_words():
    assert ENGLISH.words("de")["about"][0] == "Erzähl mir etwas über {name}."
    assert ENGLISH.words("zh") == CHINESE.table["words"] and ENGLISH.words("it") == ENGLISH.table["words"]
    assert {"de", "es", "fr", "ja", "ko", "ru"} < set(ENGLISH.other_words)
    for words in ENGLISH.other_words.values():
        assert set(words) == set(ENGLISH.table["words"]) and all("{name}" in request for request in words["about"])


def numbered(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\[(\d+)\]", text)]


@pytest.mark.parametrize("language", ALL)
def test_the_replies_of_examples_fit_the_schemas_that_replies_are_held_to(language):
    """A model copies what its examples do."""
    for step, example in examples_of(ALL[language]):
        items = len(re.findall(r"^\d+\. ", example.get("items", ""), re.MULTILINE))
        sentences = numbered(example.get("text", ""))
        units = [Unit(0, len(text)) for text in re.split(r"\[\d+\] ", example.get("text", ""))[1:]]
        if schema := schema_of(step, example, items, units):
            jsonschema.validate(json.loads(example["reply"]), schema)
        assert sentences == list(range(1, len(sentences) + 1))


def schema_of(step: str, example: dict, items: int, units: list[Unit]) -> dict | None:
    """The schema of a step's reply to an example with so many items and numbered sentences."""
    if step in ("read", "rest"):
        return facts.reading_schema(units, example["roles"]) if step == "read" else facts.rest_schema(len(units))
    if step in ("questions", "two"):
        forms = questions.FORMS if step == "questions" else ("two",)
        return questions.pairs_schema(items, forms, items * example.get("amount", 1))
    if step in ("follows", "same"):
        return checks.verdict_schema(items)
    if step == contradictions.STEP:
        return contradictions.SCHEMA
    return questions.wordings_schema(items) if step == "wording" else None


@pytest.mark.parametrize("language", ALL)
def test_the_examples_keep_the_rules_that_replies_are_held_to(language):
    """All sentences that state something are covered, numbers are those of the text, and answers are not given away."""
    of_step = {}
    for step, example in examples_of(ALL[language]):
        of_step.setdefault(step, []).append((example, json.loads(example["reply"])))
    for example, reply in of_step["read"]:
        covered = {number for fact in reply["facts"] for number in fact["sentences"]}
        assert set(numbered(example["text"])) - covered <= {numbered(example["text"])[-1]}
        assert not invented_numbers(example["reply"].partition('"facts"')[2], example["text"])
    for step in ("questions", "two"):
        for example, pairs in of_step[step]:
            for pair in pairs:
                source = f"{example.get('text', '')} {example['items']}"
                assert not invented_numbers(pair["answer"], source)
                assert pair["form"] not in ("short", "reverse") or not contains(pair["question"], pair["answer"])
                assert all(point in pair["answer"] and point in source for point in pair["points"])
                assert bool(pair["points"]) <= (length_in_words(pair["answer"]) > questions.SCORED_WHOLE_WORDS)


def examples_of(prompts) -> list[tuple[str, dict]]:
    return [(step, one) for step, table in prompts.table.items() for one in table.get("examples", ())]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[en.implications]\nrequest = "What follows?"', "the placeholders ['language', 'text', 'title']"),
        ('[en.implied]\nrequest = "{text}"', "found en.implied"),
        ('[en.words]\nabout = "Tell me"', "expected a list for en.words.about"),
        ('[[en.same.examples]]\nreply = "It."', "the keys ['items', 'reply', 'text', 'title']"),
        ("[en.words]\ngaps = { date = 'when' }", "found en.words.gaps: word lists and patterns are in the code"),
        ('[it.unknown]\nrequest = "{text}"', "found it: mend or remove it"),
        ("[en", "expected TOML"),
    ],
)
def test_a_prompt_file_that_does_not_fit_is_rejected(tmp_path, text, message):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InputError) as error:
        load_prompts(str(tmp_path / "own.toml"))
    assert message in str(error.value) and "own.toml" in str(error.value)


def test_a_prompt_file_changes_what_it_has(tmp_path):
    (tmp_path / "own.toml").write_text('[en.implications]\nrequest = "In {language}, of {title}: {text}"')
    own = load_prompts(str(tmp_path / "own.toml"))
    assert own["en"].conversation("implications", title="x", text="y", language="z") == [
        {"role": "user", "content": "In z, of x: y"}
    ]
    values = {"title": "x", "text": "y", "items": "z"}
    assert own["en"].conversation("same", **values) == ENGLISH.conversation("same", **values)


def italian(folder: Path, changed: str = "", of: str = "") -> None:
    """Copy the language files to `folder` and add an Italian one: the English text with `of` replaced by `changed`."""
    for file in FOLDER.glob("*.toml"):
        shutil.copy(file, folder)
    text = (folder / "en.toml").read_text()
    assert of in text
    (folder / "it.toml").write_text(text.replace(of, changed))


def test_a_file_next_to_the_others_is_a_language(tmp_path):
    italian(tmp_path, "Scrivi solo il testo, in uno o due paragrafi.", "Write only the text, in one or two paragraphs.")
    (tmp_path / "own").write_text('[it.words]\nunknown_fact = "I documenti non lo dicono."')
    known = load_prompts(str(tmp_path / "own"), tmp_path)
    assert (
        known["it"]
        .conversation("link", title="", text="", language="", first="", second="")[0]["content"]
        .endswith("due paragrafi.")
    )
    assert known["it"].table["words"]["unknown_fact"] == "I documenti non lo dicono."
    assert set(known) == {*ALL, "it"}
    assert [known[one].table for one in ("en", "zh")] == [ENGLISH.table, CHINESE.table]


@pytest.mark.parametrize(
    ("changed", "of", "message"),
    [
        ("[tests]", "[implications]", "found no implications.request"),
        ("", 'unknown_fact = "The documents do not say this."', "found no words.unknown_fact"),
        ("about = 'x' #", "about =", "expected a list for words.about"),
        ("{testo}", "{text}", "keeps its placeholders"),
        ("[thing]\nrequest = ''\n[words]\n", "[words]\n", "found thing: mend or remove it"),
        ("=", "]", "expected TOML"),
    ],
)
def test_a_language_with_other_keys_is_rejected(tmp_path, changed, of, message):
    italian(tmp_path, changed, of)
    with pytest.raises(InputError) as error:
        load_prompts(folder=tmp_path)
    assert message in str(error.value) and "it.toml" in str(error.value)
