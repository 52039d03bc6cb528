"""The prompts, a file for each language beside this one, with a user's own changes over them.

prompts = load_prompts("my_prompts.toml")["en"]
prompts.conversation("check", fact="The bridge opened in 1990.", question="When did the bridge open?")
"""

from __future__ import annotations

import copy
import string
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils import InputError, require_file

Conversation = list[dict[str, str]]

FOLDER = Path(__file__).parent
EXAMPLE = "data_processor/prompts/en.toml"  # whose keys the file of every language has
FILLED = ("request", "before", "about_prefix")  # single texts with {places}
CHINESE_SHARE = 0.2  # of the letters of a text, from which on it is asked about in Chinese


@dataclass(frozen=True)
class Prompts:
    """One language. `table` holds a request with examples for each step, and under "words" what else it says."""

    language: str
    table: dict[str, Any]

    def conversation(self, step: str, **places: str | int) -> Conversation:
        """A few-shot prompt in turns, the request last, so that a batch shares all but its end."""
        request = self.table[step]["request"]
        turns: Conversation = []
        for example in self.table[step].get("examples", ()):
            turns.append({"role": "user", "content": request.format(**example)})
            turns.append({"role": "assistant", "content": example["reply"]})
        return [*turns, {"role": "user", "content": request.format(**places)}]

    def __getattr__(self, name: str) -> Any:
        """The words by their names: prompts.about, prompts.unknown_answers."""
        try:
            return self.table["words"][name]
        except KeyError:
            raise AttributeError(name) from None


def load_prompts(path: str | None = None, folder: Path = FOLDER) -> dict[str, Prompts]:
    """The prompts by language, "en", "zh" and whatever else is in `folder`.

    The user's file at `path` has a table for each language, [en.theme], [zh.theme]. It changes the keys it has, and may
    have no others: InputError.
    """
    tables = {file.stem: read_toml(file) for file in sorted(folder.glob("*.toml"))}
    for language, table in tables.items():
        check_language(table, tables["en"], str(folder / f"{language}.toml"))
    if path is not None:
        file = require_file(path, "a file of prompts", f"give a TOML file with keys of {EXAMPLE}")
        change(tables, read_toml(file), path, [])
    return {language: Prompts(language, table) for language, table in tables.items()}


def read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"expected TOML in UTF-8 at {file}, found {error}: mend it") from None


def check_language(table: dict[str, Any], english: dict[str, Any], path: str) -> None:
    """InputError unless a language has the keys of English, and no others; it may have other examples, or none."""
    for section, keys in english.items():
        for key in [key for key in keys if key != "examples" and key not in table.get(section, {})]:
            raise InputError(f"expected the keys of {EXAMPLE} in {path}, found no {section}.{key}: write it too")
    change(copy.deepcopy(english), table, path, [])


def change(table: dict[str, Any], own: dict[str, Any], path: str, keys: list[str]) -> None:
    """Put the values of `own` into `table`; InputError where a key, a type or a place is not one of ours."""
    for key, value in own.items():
        where = ".".join([*keys, key])
        if key not in table and key != "examples":
            advice = (
                "word lists and patterns are in the code that uses them" if "words" in keys else "mend or remove it"
            )
            raise InputError(f"expected keys of {EXAMPLE} in {path}, found {where}: {advice}")
        if type(value) is not type(table.get(key, [])):
            expected, found = type(table.get(key, [])).__name__, type(value).__name__
            raise InputError(f"expected a {expected} for {where} in {path}, found a {found}: see {EXAMPLE}")
        if isinstance(value, dict):
            change(table[key], value, path, [*keys, key])
            continue
        if key in FILLED and places(value) != places(table[key]):
            raise InputError(
                f"expected the places {sorted(places(table[key]))} in {where} of {path}, found {sorted(places(value))}: "
                "a request keeps its places"
            )
        if key == "examples":
            needed = places(table["request"]) | {"reply"}
            for example in value:
                if set(example) != needed:
                    raise InputError(
                        f"expected the keys {sorted(needed)} in an example of {where} of {path}, found {sorted(example)}: mend it"
                    )
        table[key] = value


def places(request: str) -> set[str]:
    """The names in braces."""
    return {name for _, name, _, _ in string.Formatter().parse(request) if name is not None}


def language_of(text: str) -> str:
    """ "zh" or "en", by the share of Chinese characters among the letters."""
    letters = [char for char in text if char.isalpha()]
    chinese = sum("一" <= char <= "鿿" for char in letters)
    return "zh" if chinese > CHINESE_SHARE * len(letters) else "en"
