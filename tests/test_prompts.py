"""The prompt files: what they contain, and what a user's own file may change."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from data_processor.prompts import FOLDER, load_prompts
from utils import InputError

ALL = load_prompts()
ENGLISH, CHINESE = ALL["en"], ALL["zh"]


def test_which_languages_have_prompts():
    assert list(ALL) == ["de", "en", "es", "fr", "ja", "ko", "ru", "zh"]


@pytest.mark.parametrize("language", ALL)
def test_all_languages_have_the_same_prompts(language):
    assert {key: set(value) - {"examples"} for key, value in ENGLISH.table.items()} == {
        key: set(value) - {"examples"} for key, value in ALL[language].table.items()
    }
    assert {key for key, value in ENGLISH.table.items() if value.get("examples")} == {
        key for key, value in ALL[language].table.items() if value.get("examples")
    }


@pytest.mark.parametrize("language", ALL)
def test_the_answers_of_examples_are_copied_from_their_facts_and_not_given_away(language):
    """A model copies what its examples do: one answer in other words, and answers are no longer found in their facts."""
    table = ALL[language].table
    asked = [(one, pair) for one in table["questions"]["examples"] for pair in json.loads(one["reply"])]
    found = [(one["fact"], pair["question"], pair["answer"]) for one, pair in asked]
    found += [(one["fact"], one["question"], json.loads(one["reply"])) for one in table["check"]["examples"]]
    found += [
        (one["fact"], json.loads(one["reply"]), one["answer"])
        for step in ("angle", "ask")
        for one in table[step]["examples"]
    ]
    assert len(found) >= 8
    for fact, question, answer in found:
        assert answer in fact and answer not in question and question.endswith(("?", "？"))


@pytest.mark.parametrize("language", ALL)
def test_the_roles_of_examples_match_the_pattern_of_roles(language):
    table = ALL[language].table
    roles = [role for one in table["roles"]["examples"] for role in json.loads(one["reply"])]
    roles += [one["role"] for step in ("angle", "ask") for one in table[step]["examples"]] + [table["words"]["reader"]]
    pattern = re.compile(table["roles"]["pattern"])
    assert len(roles) >= 6 and [role for role in roles if not pattern.match(role)] == []


@pytest.mark.parametrize(
    ("language", "fits", "does_not"),
    [
        ("de", ["Fahrgast", "Wirtschaftsprüferin", "technischer Leiter"], ["fahrgast", "ein", "technischer"]),
        ("fr", ["élève", "chef d'entreprise", "agent de sécurité"], ["un agent de", "Passager", "agent de"]),
        ("es", ["dueña", "inspector de seguridad", "médico rural"], ["el médico rural", "Dueña", "inspector de"]),
    ],
)
def test_the_pattern_of_roles_is_of_the_language(language, fits, does_not):
    pattern = ALL[language].table["roles"]["pattern"]
    assert [role for role in [*fits, *does_not] if re.match(pattern, role)] == fits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[en.theme]\nrequest = "What is it about?"', "the placeholders ['text']"),
        ('[en.themes]\nrequest = "{text}"', "found en.themes"),
        ('[en.words]\nabout = "Tell me"', "expected a list for en.words.about"),
        ('[[en.theme.examples]]\nreply = "It."', "the keys ['reply', 'text']"),
        ("[en.words]\ngaps = { date = 'when' }", "found en.words.gaps: word lists and patterns are in the code"),
        ('[it.theme]\nrequest = "{text}"', "found it: mend or remove it"),
        ("[en", "expected TOML"),
    ],
)
def test_a_prompt_file_that_does_not_fit_is_rejected(tmp_path, text, message):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InputError) as error:
        load_prompts(str(tmp_path / "own.toml"))
    assert message in str(error.value) and "own.toml" in str(error.value)


def test_a_prompt_file_changes_what_it_has(tmp_path):
    (tmp_path / "own.toml").write_text('[en.theme]\nrequest = "Topic of: {text}"')
    own = load_prompts(str(tmp_path / "own.toml"))
    assert own["en"].conversation("theme", text="x") == [{"role": "user", "content": "Topic of: x"}]
    assert own["en"].conversation("check", fact="x", question="y") == ENGLISH.conversation(
        "check", fact="x", question="y"
    )


def italian(folder: Path, changed: str = "", of: str = "") -> None:
    """Copy the language files to `folder` and add an Italian one: the English text with `of` replaced by `changed`."""
    for file in FOLDER.glob("*.toml"):
        shutil.copy(file, folder)
    text = (folder / "en.toml").read_text()
    assert of in text
    (folder / "it.toml").write_text(text.replace(of, changed))


def test_a_file_next_to_the_others_is_a_language(tmp_path):
    italian(tmp_path, "di che cosa parla questo testo?", "what is this text about?")
    (tmp_path / "own").write_text('[it.words]\nunknown_fact = "I documenti non lo dicono."')
    known = load_prompts(str(tmp_path / "own"), tmp_path)
    assert known["it"].conversation("theme", text="x")[0]["content"].endswith("di che cosa parla questo testo?")
    assert known["it"].unknown_fact == "I documenti non lo dicono."
    assert set(known) == {*ALL, "it"} and known["en"] == ENGLISH and known["zh"] == CHINESE


@pytest.mark.parametrize(
    ("changed", "of", "message"),
    [
        ("[tests]", "[check]", "found no check.request"),
        ("", 'unknown_fact = "The documents do not say this."', "found no words.unknown_fact"),
        ("about = 'x' #", "about =", "expected a list for words.about"),
        ("{fakt}", "{fact}", "keeps its placeholders"),
        ("[thing]\nrequest = ''\n[words]\n", "[words]\n", "found thing: mend or remove it"),
        ("=", "]", "expected TOML"),
    ],
)
def test_a_language_with_other_keys_is_rejected(tmp_path, changed, of, message):
    italian(tmp_path, changed, of)
    with pytest.raises(InputError) as error:
        load_prompts(folder=tmp_path)
    assert message in str(error.value) and "it.toml" in str(error.value)
