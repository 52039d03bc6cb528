"""The house stays as it is: how long files and functions are, what stands at the top, who imports whom, and no circles.

Each rule has its exceptions by name. An exception that is no longer one fails too: then its line goes.
"""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
from conftest import ROOT

from benchmarks import house

CODE = house.code_files(ROOT)
TOP = {
    ".ci", ".gitignore", "arguments_gone.toml", "CONTRIBUTING.md", "LICENSE", "README.md", "pyproject.toml",
    "requirements.txt", "requirements-dev.txt", "requirements-documents.txt", "requirements-gpu.txt",
    "finetune.py", "inference.py", "evaluate.py", "run_all.py", "utils.py", "provenance.py",
    "shells", "ds_configs", "data_processor", "engines", "budget", "training", "evaluation", "days", "demo",
    "tests", "benchmarks", "results", "docs",
}  # fmt: skip

STAGES = ("finetune.py", "inference.py", "evaluate.py", "run_all.py")
ROOMS = ("data_processor/", "engines/", "budget/", "training/", "evaluation/", "days/", "demo/")
RULES = {  # who must not import whom
    "utils.py": (*STAGES, *ROOMS, "provenance.py"),
    "provenance.py": (*STAGES, *ROOMS),
    "engines/": (*STAGES, "budget/", "data_processor/", "training/", "evaluation/", "days/"),
    "budget/": (*STAGES, "data_processor/", "training/", "evaluation/", "days/"),
    "data_processor/": (*STAGES, "training/", "evaluation/", "days/"),
    "training/": (*STAGES, "evaluation/", "days/"),
    "evaluation/": (*STAGES, "training/", "days/"),
    "days/": (*STAGES, "budget/", "training/"),
    "": ("demo/", "benchmarks/", "tests/", "data_processor/small_model/"),
}
ALLOWED = {
    "training/recall.py -> evaluation/matching.py",  # a held-out answer is right by one rule, in training and after it
    "budget/calibration.py -> training/launch.py",  # counts the processes that a training will have
}
CHOOSES_SMALL_MODEL = "data_processor/arguments.py -> data_processor/small_model/"
LONG_TESTS = {  # one subject each, which two files would tear apart
    "tests/test_budget.py", "tests/test_files.py", "tests/test_journal.py", "tests/test_run_all.py",
}  # fmt: skip
LONG_BENCHMARKS = {"benchmarks/budget.py", "benchmarks/finetune_speed.py"}  # one measurement each, read on its own
LONG_TEST_FUNCTIONS = {"tests/test_scripts.py:test_the_four_scripts_on_the_real_model"}  # one run from end to end

SET_A_TIME = {  # what a server, a driver and a process are waited for: none of it is a person's time budget
    "engines/gpus.py", "engines/hub.py", "engines/processes.py", "utils.py",
}  # fmt: skip


def test_a_file_has_at_most_300_lines():
    assert house.long_files(ROOT, CODE, 300) == {}
    assert set(house.long_files(ROOT, house.python_files(ROOT, "tests"), 300)) == LONG_TESTS
    assert set(house.long_files(ROOT, house.python_files(ROOT, "benchmarks"), 300)) == LONG_BENCHMARKS


def test_a_function_has_at_most_60_lines():
    assert house.long_functions(ROOT, CODE, 60) == {}
    others = house.python_files(ROOT, "tests", "benchmarks")
    assert set(house.long_functions(ROOT, others, 60)) == LONG_TEST_FUNCTIONS


def test_what_stands_at_the_top():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git repository, so that one's own files cannot be told from those of the house")
    assert {name.partition("/")[0] for name in listed.stdout.splitlines()} == TOP


def test_the_python_files_at_the_top_are_the_stages_and_two_that_all_of_them_use():
    top = house.python_files(ROOT, "")
    assert [file for file in top if not house.is_script(ROOT, file)] == ["provenance.py", "utils.py"]
    assert {file for file in top if house.is_script(ROOT, file)} == set(STAGES)


def test_every_room_is_under_the_rules():
    """A new folder with code would be measured by nobody."""
    folders = {file.partition("/")[0] for file in house.python_files(ROOT, *TOP) if "/" in file}
    assert folders == {room.rstrip("/") for room in ROOMS} | {"tests", "benchmarks"}
    assert {file.partition("/")[0] + "/" for file in CODE if "/" in file} == set(ROOMS)


def test_imports_go_one_way():
    found = house.imports(ROOT, [*CODE, *house.python_files(ROOT, "benchmarks", "tests")])
    broken = house.forbidden_imports(RULES, [one for one in found if one.importer in CODE])
    assert {one for one in broken if not one.startswith(CHOOSES_SMALL_MODEL)} == ALLOWED


def test_no_file_imports_itself_over_others():
    """Inside functions too, and under TYPE_CHECKING: a reader goes round in those as well."""
    assert house.import_cycles(house.imports(ROOT, CODE)) == []


def test_a_time_is_set_in_the_budget_or_in_one_of_four_files():
    elsewhere = [file for file in CODE if not file.startswith("budget/")]
    assert set(house.time_constants(ROOT, elsewhere)) == SET_A_TIME


def test_the_arguments_alone_know_the_guard_of_a_small_model():
    elsewhere = [file for file in CODE if "/small_model/" not in file]
    assert set(house.files_knowing_guard(ROOT, elsewhere)) == {"data_processor/arguments.py"}


def test_the_readme_is_read_in_ten_minutes():
    words, flags = house.words_and_flags((ROOT / "README.md").read_text(encoding="utf-8"))
    assert words <= 1100
    assert len(flags) <= 15


@pytest.mark.parametrize("folder", ["data_processor", "days"])
def test_a_contributor_finds_every_file_of_the_larger_folders(folder):
    named = re.findall(r"`([a-z_]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"} <= set(named)


def test_there_are_few_arguments_of_our_own():
    files = [file for file in CODE if not file.startswith("demo/")]
    own = house.own_arguments(ROOT, files, house.arguments_of_transformers())
    assert len(own) <= 97


def test_an_argument_that_went_is_none_of_any_script_and_no_beginning_of_one():
    """argparse takes the beginning of an argument's name for the argument."""
    gone = tomllib.loads((ROOT / "arguments_gone.toml").read_text(encoding="utf-8"))
    there = {*house.own_arguments(ROOT, CODE, set()), *house.arguments_of_transformers()}
    assert [(name, other) for name in gone for other in there if other.startswith(name)] == []
