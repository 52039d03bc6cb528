"""The expectations of benchmarks/inputs.py: what one run reads, written into a folder. Their vocabulary is at the head of tests/inputs/cases.toml."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests/inputs/cases.toml"
RELATIVES = ROOT / "tests/inputs/relatives.toml"
TEMPLATES = ROOT / "tests/templates"
DOCUMENT = (  # what is collected from where an entry has no text of its own
    "Harbour of Veldmoor\n\nThe Amber Lantern was lit on 4 April 1987 by Piet Halloran. Greta Solvang opened the Long Pier on 9 May 1991. "
    "The Long Pier cost 3.2 million crowns.\n"
)


@dataclass(frozen=True)
class Entry:
    """One run of a case or relative: its name, its kind (of a relative), what is expected, and the case's folder if it has one."""

    name: str
    kind: str
    expected: dict
    folder: Path | None = None

    @property
    def run(self) -> str:
        return self.expected.get("run", "read")


def read_toml(path: str | Path) -> dict:
    """InputError if there is no such file or it is not TOML."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"expected expectations at {path}, found {error}: give another file") from None


def read_cases(folder: str | Path, path: str | Path = CASES) -> list[Entry]:
    """The runs of all cases below a folder; InputError for a case without expectations."""
    expected = read_toml(path)
    names = sorted(one.name for one in Path(folder).iterdir() if one.is_dir()) if Path(folder).is_dir() else []
    missing = [name for name in names if name not in expected]
    if missing or not names:
        raise InputError(
            f"expected cases in {folder}, all named in {path}, found {missing or 'none'}: add what is missing"
        )
    return [Entry(name, "", one, Path(folder) / name) for name in names for one in expected[name]]


def read_relatives(path: str | Path = RELATIVES) -> list[Entry]:
    return [Entry(one["name"], one["kind"], one) for one in read_toml(path)["relative"]]


def has_documents(entry: Entry) -> bool:
    """Whether an entry brings texts of its own."""
    in_case = entry.folder is not None and (entry.folder / "texts").is_dir()
    return in_case or "files" in entry.expected or "text" in entry.expected


def write_documents(entry: Entry, folder: Path) -> Path:
    """The folder `folder`/texts with the documents of an entry, its links made."""
    texts, expected = folder / "texts", entry.expected
    if "files" in expected or "text" in expected:
        texts.mkdir()
        for name, text in expected.get("files", {expected.get("file", "a.txt"): expected.get("text")}).items():
            data = text.encode(expected.get("encoding", "utf-8"))
            for placeholder, code in expected.get("raw", {}).items():
                data = data.replace(placeholder.encode(), bytes.fromhex(code))
            path = texts / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    elif has_documents(entry):
        shutil.copytree(entry.folder, folder, dirs_exist_ok=True)
    else:
        texts.mkdir()
        (texts / "harbour.txt").write_text(DOCUMENT, encoding="utf-8")
    for name, target in expected.get("links", {}).items():
        (texts / name).symlink_to(target)
    return texts


def write_rows(entry: Entry, key: str, folder: Path) -> Path:
    """The file in `folder` with an entry's "dataset" or "questions": a file of the case, a list, or the entry's text."""
    expected = entry.expected
    given = expected.get(key)
    if isinstance(given, str):
        return Path(shutil.copy(entry.folder / given, folder / given))
    path = folder / expected.get("file", f"{key}.json")
    if given is None and "text" in expected:
        path.write_text(expected["text"], encoding="utf-8")
    else:
        path.write_text(expected.get("dataset_json") or json.dumps(given, ensure_ascii=False), encoding="utf-8")
    return path


def template_text(entry: Entry) -> str | None:
    """The Jinja text of an entry's `template`: a file of the case, the name of one in tests/templates, or the text; None: unchanged."""
    given = entry.expected.get("template")
    if given is None or "{" in given or not given:
        return given
    path = TEMPLATES / f"{given}.jinja" if entry.folder is None else entry.folder / given
    return path.read_text(encoding="utf-8")


def failures(expected: dict, check) -> list[str]:
    """What `check`, a function from checks to failures, finds wrong; of `either`, that none of its tables holds."""
    found = check({key: value for key, value in expected.items() if key != "either"})
    choices = [check(one) for one in expected.get("either", [])]
    if choices and all(choices):
        found.append("either: " + " OR ".join("; ".join(one) for one in choices))
    return found


def shorten(text: str, longest: int = 300) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
