"""The prompts of prompts.toml, in the language of each document, with a user's own changes over them.

prompts = load_prompts("my_prompts.toml")["en"]
prompts.conversation("check", fact="The bridge opened in 1990.", question="When did the bridge open?")
"""

from __future__ import annotations

import string
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils import InputError, require_file

Conversation = list[dict[str, str]]

OWN_FILE = Path(__file__).with_name("prompts.toml")
FILLED = ("request", "before", "about_prefix")  # single texts with {places}
CHINESE_SHARE = 0.2  # of the letters of a text, from which on it is asked about in Chinese


@dataclass(frozen=True)
class Prompts:
    """One language. `table` holds a request with examples for each step, and under "words" what the rules go by."""

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
        """The words of the rules by their names: prompts.gaps, prompts.asks_for."""
        try:
            return self.table["words"][name]
        except KeyError:
            raise AttributeError(name) from None


def load_prompts(path: str | None = None) -> dict[str, Prompts]:
    """The prompts by language, "en" and "zh"; a user's file changes the keys it has, and may have no others."""
    tables = tomllib.loads(OWN_FILE.read_text(encoding="utf-8"))
    if path is not None:
        file = require_file(path, "a file of prompts", "give a TOML file with keys of data_processor/prompts.toml")
        try:
            own = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"expected TOML in UTF-8 at {path}, found {error}: mend it") from None
        change(tables, own, path, [])
    return {language: Prompts(language, table) for language, table in tables.items()}


def change(table: dict[str, Any], own: dict[str, Any], path: str, keys: list[str]) -> None:
    """Put the values of `own` into `table`; InputError where a key, a type or a place is not one of ours."""
    for key, value in own.items():
        where = ".".join([*keys, key])
        if key not in table and key != "examples":
            raise InputError(
                f"expected keys of data_processor/prompts.toml in {path}, found {where}: mend or remove it"
            )
        if type(value) is not type(table.get(key, [])):
            expected, found = type(table.get(key, [])).__name__, type(value).__name__
            raise InputError(
                f"expected a {expected} for {where} in {path}, found a {found}: see data_processor/prompts.toml"
            )
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
