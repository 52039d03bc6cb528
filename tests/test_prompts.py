"""The prompt files: what they contain, and what a user's own file may change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data_processor.prompts import FOLDER, load_prompts
from utils import InputError

ENGLISH, CHINESE = load_prompts()["en"], load_prompts()["zh"]


def test_both_languages_have_the_same_prompts():
    assert {key: set(value) - {"examples"} for key, value in ENGLISH.table.items()} == {
        key: set(value) - {"examples"} for key, value in CHINESE.table.items()
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[en.theme]\nrequest = "What is it about?"', "the placeholders ['text']"),
        ('[en.themes]\nrequest = "{text}"', "found en.themes"),
        ('[en.words]\nabout = "Tell me"', "expected a list for en.words.about"),
        ('[[en.theme.examples]]\nreply = "It."', "the keys ['reply', 'text']"),
        ("[en.words]\ngaps = { date = 'when' }", "found en.words.gaps: word lists and patterns are in the code"),
        ('[de.theme]\nrequest = "{text}"', "found de: mend or remove it"),
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


def german(folder: Path, changed: str = "", of: str = "") -> None:
    """Copy the language files to `folder` and add a German one: the English text with `of` replaced by `changed`."""
    for file in FOLDER.glob("*.toml"):
        shutil.copy(file, folder)
    text = (folder / "en.toml").read_text()
    assert of in text
    (folder / "de.toml").write_text(text.replace(of, changed))


def test_a_file_next_to_the_others_is_a_language(tmp_path):
    german(tmp_path, "wovon handelt dieser Text?", "what is this text about?")
    (tmp_path / "own").write_text('[de.words]\nunknown_fact = "Davon steht da nichts."')
    known = load_prompts(str(tmp_path / "own"), tmp_path)
    assert known["de"].conversation("theme", text="x")[0]["content"].endswith("wovon handelt dieser Text?")
    assert known["de"].unknown_fact == "Davon steht da nichts."
    assert list(known) == ["de", "en", "zh"] and known["en"] == ENGLISH and known["zh"] == CHINESE


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
    german(tmp_path, changed, of)
    with pytest.raises(InputError) as error:
        load_prompts(folder=tmp_path)
    assert message in str(error.value) and "de.toml" in str(error.value)
