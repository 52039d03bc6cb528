"""The repository in numbers: how many files are at the top, how long files and functions are, what imports what.

A number alone helps nobody, so each comes with the names of what it counts. tests/test_house.py holds the
repository to its limits with the same functions.

In:  nothing but the repository itself.
Out: --results, {"python_files_at_the_top": {"count", "not_scripts", "files"},
     "files_over_300_lines": {"count": those of the code, "code", "tests", "benchmarks": each {file: lines}},
     "longest_function": {"lines", "name", "over_60", "tests", "benchmarks": each {function: lines}}: lines are of the code,
     "circles": {"count", "imports": through imports at the top of a file and inside functions, "with_type_checking": also
     through those under TYPE_CHECKING, which are never run}, each a list of lists of files,
     "time_constants": {"count": files outside budget/, "files": {file: names}}, see time_constants,
     "guard": {"count": files outside small_model/ that know it, "files"},
     "readme": {"words", "flags", "names"}, "own_arguments": {"count": distinct names, "declared", "names": {name: files}},
     "machine", "date", "commit"}.

    .venv/bin/python benchmarks/house.py
"""

from __future__ import annotations

import ast
import dataclasses
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import commit, machine, today
from utils import parse_arguments, run_script, write_json

ROOT = Path(__file__).resolve().parents[1]
CODE = ("budget", "data_processor", "days", "demo", "engines", "evaluation", "training")
MAX_LINES = 300
MAX_FUNCTION_LINES = 60
TIME_NAME = re.compile(r"_(?:S|SECONDS|MINUTES|HOURS)$")
TIME_COMMENT = re.compile(r"\b(?:seconds?|kept back|time reserved|time budget|wall time)\b", re.IGNORECASE)
FLAG = re.compile(r"(?<![\w-])--[a-z]\w*")


@dataclass
class Arguments:
    results: str = field(default="results/house.json", metadata={"help": "The JSON file to write."})


@dataclass(frozen=True)
class Import:
    """One file of a repository imports another. `typing`: under TYPE_CHECKING, so only for people and tools."""

    importer: str
    imported: str
    typing: bool


def python_files(root: Path, *folders: str) -> list[str]:
    """The Python files in the folders, at any depth, as paths from root; "" means the top level only."""
    found = [path for name in folders for path in ((root / name).rglob("*.py") if name else root.glob("*.py"))]
    return sorted(path.relative_to(root).as_posix() for path in found)


def code_files(root: Path) -> list[str]:
    """Everything but tests and benchmarks."""
    return python_files(root, "", *CODE)


def parse_file(root: Path, file: str) -> ast.Module:
    return ast.parse((root / file).read_text(encoding="utf-8"))


def is_script(root: Path, file: str) -> bool:
    """Whether a file is guarded as a script, by `if __name__ == "__main__"`."""
    return any(
        isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in parse_file(root, file).body
    )


def long_files(root: Path, files: list[str], most: int = MAX_LINES) -> dict[str, int]:
    """The files with more than `most` lines, with their number of lines."""
    lines = {file: len((root / file).read_text(encoding="utf-8").splitlines()) for file in files}
    return {file: count for file, count in lines.items() if count > most}


def functions(root: Path, files: list[str]) -> dict[str, int]:
    """{"training/plan.py:Plan.print": lines from def to the end, including docstring and inner functions}, longest first."""

    def inside(node: ast.AST, before: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{before}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, child.end_lineno - child.lineno + 1
                yield from inside(child, f"{name}.")
            else:
                yield from inside(child, before)

    found = {name: lines for file in files for name, lines in inside(parse_file(root, file), f"{file}:")}
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def long_functions(root: Path, files: list[str], most: int = MAX_FUNCTION_LINES) -> dict[str, int]:
    return {name: lines for name, lines in functions(root, files).items() if lines > most}


def imports(root: Path, files: list[str]) -> list[Import]:
    """What the files import from one another, also inside functions. `from room import file` imports the file."""
    modules = {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in files}

    def walk(node: ast.AST, typing: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, typing) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    yield whole if whole in modules else child.module, typing
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from walk(ast.Module(child.body, []), True)
                yield from walk(ast.Module(child.orelse, []), typing)
            else:
                yield from walk(child, typing)

    found = {
        Import(file, modules[module], typing)
        for file in files
        for module, typing in walk(parse_file(root, file), False)
        if modules.get(module, file) != file
    }
    return sorted(found, key=dataclasses.astuple)


def forbidden_imports(rules: dict[str, tuple[str, ...]], found: list[Import]) -> list[str]:
    """The imports that the rules forbid, as "importer -> imported". Rules: {room or file: rooms or files it must not import}.

    A room is a folder with a trailing slash, and "" is every file. A room may always import itself.
    """

    def in_room(file: str, room: str) -> bool:
        return not room or file == room or (room.endswith("/") and file.startswith(room))

    return sorted(
        {
            f"{one.importer} -> {one.imported}"
            for one in found
            for room, forbidden in rules.items()
            for other in forbidden
            if in_room(one.importer, room) and in_room(one.imported, other) and not in_room(one.importer, other)
        }
    )


def import_cycles(found: list[Import]) -> list[list[str]]:
    """The groups of files that import one another, directly or indirectly."""
    direct: dict[str, set[str]] = {}
    for one in found:
        direct.setdefault(one.importer, set()).add(one.imported)

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            ahead += (new := direct.get(ahead.pop(), set()) - seen)
            seen |= new
        return seen

    reach = {file: reached(file) for file in direct}
    groups = {
        tuple(sorted(other for other in reach[file] if file in reach.get(other, ())))
        for file in direct
        if file in reach[file]
    }
    return [list(group) for group in sorted(groups)]


def time_constants(root: Path, files: list[str]) -> dict[str, list[str]]:
    """The constants at the top of each file that set a time: a name in capitals with a number as its value, which ends in
    _S, _SECONDS, _MINUTES or _HOURS, or whose comment mentions seconds, a time budget, wall time or time kept back or
    reserved.
    """
    found = {}
    for file in files:
        text = (root / file).read_text(encoding="utf-8")
        comments = {
            token.start[0]: token.string
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        }
        names = [
            target.id
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign | ast.AnnAssign) and is_number(node.value)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name) and target.id.isupper()
            if TIME_NAME.search(target.id) or TIME_COMMENT.search(comments.get(node.lineno, ""))
        ]
        if names:
            found[file] = names
    return found


def is_number(value: ast.expr | None) -> bool:
    """Whether an expression consists of numbers only, such as 24 * 3600."""
    if isinstance(value, ast.BinOp):
        return is_number(value.left) and is_number(value.right)
    return isinstance(value, ast.Constant) and type(value.value) in (int, float)


def files_knowing_guard(root: Path, files: list[str]) -> list[str]:
    """The files whose code, apart from comments and docstrings, has a name or string `guard` or `--guard`."""

    def named(node: ast.AST) -> bool:
        names = (getattr(node, key, None) for key in ("id", "attr", "arg", "value"))
        return any(re.search(r"^guard$|--guard\b", name) for name in names if isinstance(name, str))

    def knows(file: str) -> bool:
        nodes = list(ast.walk(parse_file(root, file)))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        return any(named(node) for node in nodes if id(node) not in docstrings)

    return [file for file in files if knows(file)]


def words_and_flags(text: str) -> tuple[int, list[str]]:
    """The number of words in a text, split at white space, and the distinct --flags in it."""
    return len(text.split()), sorted(set(FLAG.findall(text)))


def own_arguments(root: Path, files: list[str], foreign: set[str]) -> dict[str, list[str]]:
    """{name: the files that declare it}: the fields of every class ...Arguments, without the names in `foreign`."""
    found: dict[str, list[str]] = {}
    for file in files:
        for node in ast.walk(parse_file(root, file)):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Arguments"):
                for part in node.body:
                    if isinstance(part, ast.AnnAssign) and part.target.id not in foreign:
                        found.setdefault(part.target.id, []).append(file)
    return dict(sorted(found.items()))


def arguments_of_transformers() -> set[str]:
    import transformers

    return {one.name for one in dataclasses.fields(transformers.TrainingArguments)}


def measure(root: Path, foreign: set[str]) -> dict:
    """All measurements of a repository as one object; see Out at the top of this file."""
    rooms = {
        "code": code_files(root),
        "tests": python_files(root, "tests"),
        "benchmarks": python_files(root, "benchmarks"),
    }
    top, code = python_files(root, ""), rooms["code"]
    long = {room: long_files(root, files) for room, files in rooms.items()}
    over = {room: long_functions(root, files) for room, files in rooms.items()}
    longest, lines = next(iter(functions(root, code).items()))
    found = imports(root, [file for files in rooms.values() for file in files])
    run_ones = import_cycles([one for one in found if not one.typing])
    times = time_constants(root, [file for file in code if not file.startswith("budget/")])
    guarded = files_knowing_guard(root, [file for file in code if "/small_model/" not in file])
    words, flags = words_and_flags((root / "README.md").read_text(encoding="utf-8"))
    own = own_arguments(root, [file for file in code if not file.startswith("demo/")], foreign)
    plain = [file for file in top if not is_script(root, file)]
    return {
        "python_files_at_the_top": {"count": len(top), "not_scripts": plain, "files": top},
        "files_over_300_lines": {"count": len(long["code"]), **long},
        "longest_function": {"lines": lines, "name": longest, "over_60": over.pop("code"), **over},
        "circles": {"count": len(run_ones), "imports": run_ones, "with_type_checking": import_cycles(found)},
        "time_constants": {"count": len(times), "files": times},
        "guard": {"count": len(guarded), "files": guarded},
        "readme": {"words": words, "flags": len(flags), "names": flags},
        "own_arguments": {"count": len(own), "declared": sum(map(len, own.values())), "names": own},
    }


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    found = measure(ROOT, arguments_of_transformers())
    for name, one in found.items():
        print(
            f"{name.replace('_', ' ')}: "
            + ", ".join(f"{value} {key}" for key, value in one.items() if isinstance(value, int))
        )
    write_json(arguments.results, {**found, "machine": machine(), "date": today(), "commit": commit()})


if __name__ == "__main__":
    run_script(main)
