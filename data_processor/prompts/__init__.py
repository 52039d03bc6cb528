"""The prompts, one file per language in a folder, optionally overridden by the user's own.

prompts = load_prompts("my_prompts.toml")["en"]
prompts.conversation("unknown", title="Hexley", text="The bridge opened in 1990.", language="English", amount=2)
"""

from __future__ import annotations

import copy
import string
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils import InputError, require_file

Conversation = list[dict[str, str]]

FOLDER = Path(__file__).parent
TEMPLATE_KEYS = ("request", "before", "about_prefix")  # single texts with {placeholders}


@dataclass(frozen=True)
class Prompts:
    """The prompts of one language: `table` has a request with examples for each step, and other phrases under "words".

    `other_words` are the phrases of languages that have no prompts, only these.
    """

    language: str
    table: dict[str, Any]
    other_words: dict[str, dict[str, Any]] = field(default_factory=dict)

    def conversation(self, step: str, **values: str | int) -> Conversation:
        """A few-shot prompt in turns, with the request last, so that a batch shares all but the end."""
        request = self.table[step]["request"]
        turns: Conversation = []
        for example in self.table[step].get("examples", ()):
            turns.append({"role": "user", "content": request.format(**example)})
            turns.append({"role": "assistant", "content": example["reply"]})
        return [*turns, {"role": "user", "content": request.format(**values)}]

    def words(self, language: str) -> dict[str, Any]:
        """What the dataset says in a language, or in that of these prompts if there is nothing in it."""
        return self.other_words.get(language, self.table["words"])


def load_prompts(path: str | None = None, folder: str | Path = FOLDER) -> dict[str, Prompts]:
    """The prompts by language: "en", "zh" and whatever else is in `folder`.

    The user's file at `path` has tables by language ([en.read], [zh.read]) and overrides only existing keys; any other
    key is an InputError. A file with [words] alone is no language to ask in.
    """
    tables = {file.stem: read_toml(file) for file in sorted(Path(folder).glob("*.toml"))}
    for language, table in tables.items():
        check_language(table, tables["en"], str(Path(folder) / f"{language}.toml"))
    if path is not None:
        file = require_file(path, "a file of prompts", f"give a TOML file with keys of {Path(folder).name}/en.toml")
        apply_changes(tables, read_toml(file), path, [])
    words = {language: table["words"] for language, table in tables.items()}
    return {language: Prompts(language, table, words) for language, table in tables.items() if set(table) != {"words"}}


def read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"expected TOML in UTF-8 at {file}, found {error}: mend it") from None


def check_language(table: dict[str, Any], english: dict[str, Any], path: str) -> None:
    """InputError unless a language has exactly the keys of English, or its [words]; its examples may differ or be missing."""
    for section, keys in english.items():
        if section != "words" and set(table) == {"words"}:
            continue
        for key in [key for key in keys if key != "examples" and key not in table.get(section, {})]:
            raise InputError(f"expected the keys of en.toml in {path}, found no {section}.{key}: write it too")
    apply_changes(copy.deepcopy(english), table, path, [])


def apply_changes(table: dict[str, Any], changes: dict[str, Any], path: str, keys: list[str]) -> None:
    """Put the values of `changes` into `table`; InputError if a key, type or placeholder differs from ours."""
    for key, value in changes.items():
        where = ".".join([*keys, key])
        if key not in table and key != "examples":
            advice = (
                "word lists and patterns are in the code that uses them" if "words" in keys else "mend or remove it"
            )
            raise InputError(f"expected keys of en.toml in {path}, found {where}: {advice}")
        if type(value) is not type(table.get(key, [])):
            expected, found = type(table.get(key, [])).__name__, type(value).__name__
            raise InputError(f"expected a {expected} for {where} in {path}, found a {found}: see en.toml")
        if isinstance(value, dict):
            apply_changes(table[key], value, path, [*keys, key])
            continue
        if key in TEMPLATE_KEYS and placeholders(value) != placeholders(table[key]):
            raise InputError(
                f"expected the placeholders {sorted(placeholders(table[key]))} in {where} of {path}, "
                f"found {sorted(placeholders(value))}: "
                "a request keeps its placeholders"
            )
        if key == "examples":
            expected_keys = placeholders(table["request"]) | {"reply"}
            for example in value:
                if set(example) != expected_keys:
                    raise InputError(
                        f"expected the keys {sorted(expected_keys)} in an example of {where} of {path}, found {sorted(example)}: mend it"
                    )
        table[key] = value


def placeholders(request: str) -> set[str]:
    """The names in braces in a request."""
    return {name for _, name, _, _ in string.Formatter().parse(request) if name is not None}
