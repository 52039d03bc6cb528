"""benchmarks/distributed.py: the tests it names are there, and it says of a test what pytest said."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import distributed
from utils import InputError, write_json

ROOT = Path(__file__).resolve().parents[1]


def test_every_test_of_the_tables_is_there():
    """pytest finds them; of vLLM's, which need it installed, the functions are looked for in the file."""
    tests = distributed.test_names(distributed.FAULTS | distributed.TWO_RANKS)
    words = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "--collect-only", *tests]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.split("\n\n")[0].splitlines()) >= len(tests)
    for test in distributed.test_names(distributed.VLLM):
        path, name = test.split("::")
        parsed = ast.parse((ROOT / path).read_text())
        assert name in {part.name for part in parsed.body if isinstance(part, ast.FunctionDef)}, test


def test_the_tables_have_what_the_results_promise():
    assert list(distributed.FAULTS) == [str(number) for number in range(1, 13)] and all(distributed.FAULTS.values())
    assert set(distributed.TWO_RANKS) == {
        "replay", "validation", "validation_loss_same", "zero3_replay", "deepspeed_budget", "launcher_killed",
    }  # fmt: skip
    assert set(distributed.VLLM) == {"continuous", "two_copies", "stale"}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, str]:
    """Of a real run of pytest, keyed by the last word of the tests' names."""
    folder = tmp_path_factory.mktemp("pytest") / "tests"
    folder.mkdir()
    (folder / "test_few.py").write_text(
        "import pytest\n"
        "def test_well(): pass\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_half(n): assert n == 1\n"
        "@pytest.fixture\n"
        "def broken(): raise OSError\n"
        "def test_setup(broken): pass\n"
        "def test_elsewhere(): pytest.skip('not here')\n"
    )
    names = ("well", "half[1]", "half", "setup", "elsewhere", "missing")
    tests = {name: f"tests/test_few.py::test_{name}" for name in names}
    report = folder / "report.xml"
    words = [sys.executable, "-m", "pytest", "-q", f"--rootdir={folder.parent}", f"--junitxml={report}", "tests"]
    assert subprocess.run(words, cwd=folder.parent, capture_output=True, timeout=120).returncode == 1
    found = distributed.outcomes(report, list(tests.values()))
    return {name: found[test] for name, test in tests.items()}


def test_an_outcome_is_the_worst_of_its_cases(outcomes):
    assert outcomes == {
        "well": "passed", "half[1]": "passed", "half": "failed", "setup": "failed", "elsewhere": "skipped", "missing": "skipped",
    }  # fmt: skip


def test_a_flag_is_true_only_where_all_its_tests_passed(outcomes):
    table = {"a": ("well",), "b": ("well", "half"), "c": ("well", "elsewhere"), "d": ("half[1]", "well")}
    assert distributed.outcome_flags(table, outcomes) == {"a": True, "b": False, "c": "skipped", "d": True}


def test_a_fault_whose_test_did_not_pass_says_so(monkeypatch, outcomes):
    monkeypatch.setattr(distributed, "FAULTS", {"1": ("well",), "2": ("well", "half"), "3": ("elsewhere",)})
    assert distributed.tested_faults(outcomes) == {"1": "well", "2": "failed: well, half", "3": "skipped: elsewhere"}


def test_what_was_found_with_vllm_is_kept_with_its_date(tmp_path):
    out = tmp_path / "distributed.json"
    nothing = distributed.vllm_outcomes(distributed.Arguments(out=str(out)))
    assert nothing == {"continuous": "skipped", "two_copies": "skipped", "stale": "skipped", "date": None}
    before = {"continuous": True, "two_copies": True, "stale": False, "date": "2026-11-01"}
    write_json(out, {"vllm_cpu": before})
    assert distributed.vllm_outcomes(distributed.Arguments(out=str(out))) == before


def test_tests_that_cannot_be_run_are_an_error_and_no_outcome():
    with pytest.raises(InputError, match="found exit code 4"):
        distributed.run_tests(sys.executable, ["tests/test_nowhere.py::test_nothing"])
    with pytest.raises(InputError, match="no/python"):
        distributed.run_tests("/no/python", ["tests/test_nowhere.py::test_nothing"])
