"""The mutation run: how mutants are named, excused and counted, and that a fault is put in and taken out again."""

from __future__ import annotations

import tomllib

import pytest

from benchmarks import mutation
from utils import InputError

DIFF = """# evaluation.win_rate.x_share__mutmut_3: survived
--- evaluation/win_rate.py
+++ evaluation/win_rate.py
@@ -1,2 +1,2 @@
 def share(part, whole):
-    return part / whole
+    return part * whole
"""


@pytest.mark.parametrize(
    ("mutant", "function"),
    [
        ("evaluation.win_rate.x_share__mutmut_3", "evaluation.win_rate.share"),
        ("utils.x_xor__mutmut_12", "utils.xor"),
        ("budget.clock.xǁClockǁreport_progress__mutmut_1", "budget.clock.Clock.report_progress"),
        ("budget.clock.xǁClockǁ_on_alarm__mutmut_1", "budget.clock.Clock._on_alarm"),
    ],
)
def test_a_mutant_is_known_by_its_function(mutant, function):
    assert mutation.function_of(mutant) == function


def test_what_a_mutant_reads_instead_is_what_its_diff_adds():
    assert mutation.changed_lines(DIFF) == "return part * whole"


def test_survivors_are_excused_by_function_and_text_and_no_other_mutant_is(tmp_path, monkeypatch):
    survivors = {
        "evaluation.win_rate.x_share__mutmut_3": DIFF,
        "evaluation.win_rate.x_share__mutmut_4": DIFF.replace("part * whole", "part + whole"),
        "evaluation.win_rate.x_other__mutmut_3": DIFF,
    }
    monkeypatch.setattr(mutation, "HARMLESS", tmp_path / "harmless.toml")
    entry = '[["evaluation.win_rate.share"]]\nbecomes = "return part {} whole"\nwhy = "whole is 1"\n'
    mutation.HARMLESS.write_text(entry.format("*"))
    assert mutation.harmless(survivors) == {"evaluation.win_rate.x_share__mutmut_3"}
    mutation.HARMLESS.write_text(entry.format("-"))
    with pytest.raises(InputError, match=r"expected survivors alone in harmless\.toml, found .*part - whole"):
        mutation.harmless(survivors)
    assert mutation.harmless(survivors, {"evaluation.win_rate.share"}) == set(), "it may not have been tested"


@pytest.mark.parametrize(
    ("before", "after", "old", "new", "excused"),
    [
        ("zip(a, b, strict=True)", "zip(a, b, strict=False)", "strict=True", "strict=False", True),
        ("zip(a, b, strict=True)", "zip(a, b, )", "strict=True", "", True),
        ("zip(a, b, strict=True)", "zip(a, None, strict=True)", "strict=True", "strict=False", False),
        ("f(strict=True, b=strict=True)", "f(strict=True, b=strict=False)", "strict=True", "strict=False", True),
        ("zip(a, strict=True)", "zip(b, strict=False)", "strict=True", "strict=False", False),
        ("return 1", "return 2", "strict=True", "strict=False", False),
    ],
)
def test_what_is_harmless_anywhere_does_nothing_else(before, after, old, new, excused):
    diff = f"--- a.py\n+++ a.py\n@@ -1 +1 @@\n-    {before}\n+    {after}\n"
    assert mutation.makes_change(diff, old, new) is excused


def test_mutants_are_excused_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(mutation, "HARMLESS", tmp_path / "harmless.toml")
    mutation.HARMLESS.write_text('[[anywhere]]\nold = "part /"\nnew = "part *"\nwhy = "it is 1"\n')
    others = DIFF.replace("part * whole", "whole")
    assert mutation.harmless({"a.x_b__mutmut_1": DIFF, "c.x_d__mutmut_2": DIFF, "a.x_b__mutmut_3": others}) == {
        "a.x_b__mutmut_1",
        "c.x_d__mutmut_2",
    }


def test_a_sample_is_even_and_counts_what_was_tested_before():
    found = {f"a.x_f__mutmut_{number}": "not checked" for number in range(10)} | {
        "b.c.x_f__mutmut_1": "killed", "b.c.x_f__mutmut_2": "not checked", "b.c.x_f__mutmut_3": "suspicious",
    }  # fmt: skip
    assert mutation.untested_sample(found, 3) == [
        "a.x_f__mutmut_0", "a.x_f__mutmut_3", "a.x_f__mutmut_6", "b.c.x_f__mutmut_2", "b.c.x_f__mutmut_3",
    ]  # fmt: skip
    assert mutation.untested_sample(found, 1) == ["a.x_f__mutmut_0"]
    assert len(mutation.untested_sample(found, 100)) == 12


def test_a_sample_without_all_its_results_is_not_counted():
    found = {"a.x_f__mutmut_1": "killed", "a.x_f__mutmut_2": "survived", "a.x_f__mutmut_3": "not checked"}
    mutation.require_tested(found, 2)
    for per_module in (3, None):
        with pytest.raises(InputError, match="expected a result of every mutant, found none of 1: start this again"):
            mutation.require_tested(found, per_module)


def test_a_sample_of_nothing_is_refused_before_anything_is_tested(monkeypatch):
    monkeypatch.setattr("sys.argv", ["mutation.py", "--per_module", "0"])
    with pytest.raises(InputError, match="expected --per_module of 1 or more, found 0: leave it out to test all"):
        mutation.main()


def test_a_fault_is_noticed_if_its_tests_fail_and_is_taken_out_again(tmp_path, monkeypatch):
    def copy(folder):
        (folder / "code_.py").write_text("LIMIT = 1\n")
        (folder / "test_one.py").write_text("import code_\n\ndef test_it():\n    assert code_.LIMIT < 2\n")
        (folder / "test_two.py").write_text("import code_\n\ndef test_it():\n    assert code_.LIMIT\n")

    fault = '[[fault]]\nname = "{0}"\nfile = "code_.py"\nold = "{1}"\nnew = "LIMIT = 2"\ntests = ["{2}"]\n'
    monkeypatch.setattr(mutation, "copy_tree", copy)
    monkeypatch.setattr(mutation, "FAULTS", tmp_path / "faults.toml")
    texts = [fault.format("seen", "LIMIT = 1", "test_one.py"), fault.format("not seen", "LIMIT = 1", "test_two.py")]
    mutation.FAULTS.write_text("".join(texts))
    assert mutation.check_faults() == {"seen": True, "not seen": False}
    mutation.FAULTS.write_text(fault.format("nowhere", "LIMIT = 3", "test_one.py"))
    with pytest.raises(InputError, match=r"expected the old text of .nowhere. once in code_\.py"):
        mutation.check_faults()


def test_each_fault_still_has_its_place():
    faults = tomllib.loads(mutation.FAULTS.read_text(encoding="utf-8"))["fault"]
    for fault in faults:
        assert (mutation.ROOT / fault["file"]).read_text(encoding="utf-8").count(fault["old"]) == 1, fault["name"]
        assert (mutation.ROOT / fault["tests"][0].partition("::")[0]).is_file(), fault["name"]
    assert len(faults) == 36
