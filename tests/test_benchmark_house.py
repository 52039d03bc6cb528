"""The measures of the house, each on a small tree in which it is passed and broken."""

from __future__ import annotations

import pytest

from benchmarks import house
from benchmarks.house import Import


@pytest.fixture
def build(tmp_path):
    """Writes files into a small repository and gives its root."""

    def write(texts: dict[str, str]):
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def found_in(root, *folders: str) -> list[Import]:
    return house.imports(root, house.python_files(root, "", *folders))


def test_files_are_found_at_any_depth_of_the_folders_that_are_named_and_no_others(build):
    root = build({"run.py": "", "budget/clock.py": "", "budget/deep/er.py": "", "models/weights.py": ""})
    assert house.python_files(root, "") == ["run.py"]
    assert house.python_files(root, "", "budget") == ["budget/clock.py", "budget/deep/er.py", "run.py"]
    assert house.code_files(build({"tests/test_a.py": "", "demo/model.py": ""})) == [
        "budget/clock.py", "budget/deep/er.py", "demo/model.py", "run.py",
    ]  # fmt: skip


def test_a_script_is_what_has_the_guard_of_one(build):
    root = build({"run.py": 'if __name__ == "__main__":\n    print()\n', "utils.py": 'NAME = "__main__"\n'})
    assert [house.is_script(root, file) for file in ("run.py", "utils.py")] == [True, False]


def test_a_file_is_long_from_the_line_after_the_last_that_is_allowed(build):
    root = build({"fits.py": "pass\n" * 300, "long.py": "pass\n" * 301})
    assert house.long_files(root, ["fits.py", "long.py"]) == {"long.py": 301}
    assert house.long_files(root, ["fits.py"], most=299) == {"fits.py": 300}


def test_a_function_is_as_long_as_from_def_to_its_end_wherever_it_stands(build):
    text = "@property\ndef outer():\n    '''What.'''\n    def inner():\n        pass\n    return inner\n"
    root = build(
        {"one.py": text, "two.py": "class A:\n    async def b(self):\n        pass\nif 1:\n    def c(): pass\n"}
    )
    assert house.functions(root, ["one.py", "two.py"]) == {
        "one.py:outer": 5,
        "one.py:outer.inner": 2,
        "two.py:A.b": 2,
        "two.py:c": 1,
    }
    assert next(iter(house.functions(root, ["two.py", "one.py"]))) == "one.py:outer", "the longest first"


def test_a_function_of_61_lines_is_too_long_and_one_of_60_is_not(build):
    root = build({"a.py": "def a():\n" + "    pass\n" * 59, "b.py": "def b():\n" + "    pass\n" * 60})
    assert house.long_functions(root, ["a.py", "b.py"]) == {"b.py:b": 61}


def test_imports_are_those_of_ones_own_files_inside_functions_too(build):
    root = build(
        {
            "run.py": "import json\nimport budget.clock as clock\nfrom room import part, other\n",
            "room/__init__.py": "def other():\n    from room.part import x\n",
            "room/part.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from budget import clock\nelse:\n    import run\n",
            "budget/clock.py": "from budget.clock import me\nfrom . import nothing\n",
        }
    )
    assert found_in(root, "budget", "room") == [
        Import("room/__init__.py", "room/part.py", False),
        Import("room/part.py", "budget/clock.py", True),
        Import("room/part.py", "run.py", False),
        Import("run.py", "budget/clock.py", False),
        Import("run.py", "room/__init__.py", False),
        Import("run.py", "room/part.py", False),
    ]


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        ({"utils.py": ("low/",)}, ["utils.py -> low/a.py"]),
        ({"low/": ("high/",)}, ["low/a.py -> high/a.py"]),
        ({"low/": ("high/b.py",)}, []),
        ({"": ("high/",)}, ["low/a.py -> high/a.py"]),  # a room may import itself
        ({"low/": ("",)}, []),  # every file is in "", so that nothing is outside it
        ({"high/": ("low/", "utils.py")}, []),
        ({"lo": ("high/",)}, []),  # no folder of that name
    ],
)
def test_an_import_against_a_rule_is_named(rules, broken):
    found = [
        Import("utils.py", "low/a.py", False),
        Import("low/a.py", "high/a.py", False),
        Import("high/a.py", "high/b.py", False),
    ]
    assert house.forbidden_imports(rules, found) == broken


def test_what_only_tools_read_is_under_the_same_rules(build):
    assert house.forbidden_imports({"a.py": ("b.py",)}, [Import("a.py", "b.py", True)]) == ["a.py -> b.py"]


def test_circles_are_the_groups_of_files_that_reach_one_another(build):
    root = build(
        {
            "a.py": "import b",
            "b.py": "def f():\n    import c",
            "c.py": "import a, d",
            "d.py": "import e",
            "e.py": "import d",
            "f.py": "import a",
        }
    )
    assert house.import_cycles(found_in(root)) == [["a.py", "b.py", "c.py"], ["d.py", "e.py"]]
    build({"b.py": "", "e.py": ""})
    assert house.import_cycles(found_in(root)) == []


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("WRITING_S = 3.0", True),
        ("PEAK_SECONDS: float = 0.5", True),
        ("LEAST_MINUTES = 2 * 60", True),
        ("SHARE = 0.02  # of a time budget", True),
        ("SLACK = 1.5  # kept back", True),
        ("LEVEL = 0.05  # of chance", False),
        ("PARTS = ('theme',)  # seconds of each", False),
        ("FLAG_S = True", False),
        ("writing_s = 3.0", False),
        ("def f():\n    WRITING_S = 3.0", False),
        ("TEXT = '# kept back'", False),
        ("FIELDS = 3\n# seconds", False),
    ],
)
def test_a_time_constant_is_known_by_its_name_or_comment(build, line, is_one):
    root = build({"a.py": f"import b\n{line}\n"})
    assert bool(house.time_constants(root, ["a.py"])) is is_one


def test_time_constants_are_named_by_file(build):
    root = build({"a.py": "A_S = 1\nB = 2\nC_S = 3  # why\n", "b.py": "B = 2\n"})
    assert house.time_constants(root, ["a.py", "b.py"]) == {"a.py": ["A_S", "C_S"]}


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("print(arguments.guard)", True),
        ("collect(guard='words')", True),
        ("class A:\n    guard: str = 'names'", True),
        ("KEYS = ('seed', 'guard')", True),
        ("words = 'use --guard words'", True),
        ('"""What --guard does."""', False),
        ("# arguments.guard", False),
        ("guarded = 'a guard of a gate'", False),
    ],
)
def test_the_guard_is_known_where_the_code_names_it(build, text, known):
    assert house.files_knowing_guard(build({"a.py": text}), ["a.py"]) == (["a.py"] if known else [])


def test_words_and_different_flags_of_a_text():
    text = "Run `a.py --limit 3 --out x`, or\n--limit=4; a well--known |---|---| --  --no-cache"
    assert house.words_and_flags(text) == (13, ["--limit", "--no", "--out"])


def test_own_arguments_are_counted_once_for_each_name_and_not_where_they_are_anothers(build):
    root = build(
        {
            "a.py": "@dataclass\nclass Arguments:\n    limit: int = 1\n    seed: int = 0\n    def f(self): pass\n",
            "b.py": "class DataArguments(Arguments):\n    path: str\n    limit: int = 2\n",
            "c.py": "class Plan:\n    steps: int\n",
        }
    )
    assert house.own_arguments(root, ["a.py", "b.py", "c.py"], {"seed"}) == {
        "limit": ["a.py", "b.py"],
        "path": ["b.py"],
    }


def test_one_object_has_all_measures_and_leaves_out_what_does_not_count(build):
    root = build(
        {
            "run.py": 'from budget import clock\nclass Arguments:\n    seed: int\n    out: str\nif __name__ == "__main__":\n    pass\n',
            "utils.py": "WAIT_S = 60\n",
            "budget/clock.py": "END_S = 2\nimport run\n",
            "data_processor/small_model/a.py": "guard = 1\n",
            "data_processor/b.py": "def f():\n    return 'guard'\n",
            "demo/model.py": "class Arguments:\n    gguf: str\n",
            "tests/test_a.py": "pass\n" * 400,
            "benchmarks/speed.py": "pass\n" * 500,
        }
    )
    (root / "README.md").write_text("Two words, --one flag")
    assert house.measure(root, {"seed"}) == {
        "python_files_at_the_top": {"count": 2, "not_scripts": ["utils.py"], "files": ["run.py", "utils.py"]},
        "files_over_300_lines": {
            "count": 0, "code": {}, "tests": {"tests/test_a.py": 400}, "benchmarks": {"benchmarks/speed.py": 500},
        },
        "longest_function": {
            "lines": 2, "name": "data_processor/b.py:f", "over_60": {}, "tests": {}, "benchmarks": {},
        },
        "circles": {
            "count": 1,
            "imports": [["budget/clock.py", "run.py"]],
            "with_type_checking": [["budget/clock.py", "run.py"]],
        },
        "time_constants": {"count": 1, "files": {"utils.py": ["WAIT_S"]}},
        "guard": {"count": 1, "files": ["data_processor/b.py"]},
        "readme": {"words": 4, "flags": 1, "names": ["--one"]},
        "own_arguments": {"count": 1, "declared": 1, "names": {"out": ["run.py"]}},
    }  # fmt: skip
