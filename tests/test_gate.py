"""A new run is the latest only if it kept what was known: by exact tests, against the run before and the first to ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from days.gate import FACTS, GENERAL, compare_answers, compare_runs
from evaluation.significance import excess
from utils import InputError, write_json

RIGHT, WRONG = "correct", "incorrect"


def answers(right: int, wrong: int = 0, start: int = 0) -> dict[tuple[str, str], bool]:
    """So many questions with right answers, then so many with wrong ones."""
    return {(f"Question {start + n}?", "yes"): n < right for n in range(right + wrong)}


def flipped(found: dict, *places: int) -> dict:
    return {question: right != (place in places) for place, (question, right) in enumerate(found.items())}


def write_verdicts(run: Path, found: dict, name: str = "tuned", judge: str = "match", **rows: dict) -> None:
    """As evaluate.py writes them; `rows` are more keys of the verdict with that number ("q3")."""
    verdicts = [
        {"id": f"{run.name}_{n}", "question": question, "reference": reference, "kind": "held_out_wording",
         "verdict": RIGHT if right else WRONG, "match": RIGHT if right else WRONG, **rows.get(f"q{n}", {})}
        for n, ((question, reference), right) in enumerate(found.items())
    ]  # fmt: skip
    write_json(run / f"{name}_acc.json", {"judge": judge, "verdicts": verdicts})


def test_the_exact_p_value_of_a_loss():
    """P(X >= lost) of a binomial with 5 %: by hand, 1 - 0.95**n for one of n, 0.05**3 for three of three."""
    assert excess(1, 10, 0.05) == pytest.approx(1 - 0.95**10)
    assert excess(3, 3, 0.05) == pytest.approx(0.05**3)
    assert excess(0, 7, 0.05) == excess(0, 0, 0.05) == 1.0


@pytest.mark.parametrize(
    ("known", "lost", "held"),
    [(3, 1, True), (3, 2, False), (10, 2, True), (10, 3, False), (60, 6, True), (60, 7, False), (400, 27, True),
     (400, 28, False)],
)  # fmt: skip
def test_as_many_may_be_lost_as_chance_explains_beside_five_percent(known, lost, held):
    before = answers(known)
    found = compare_answers(FACTS, "yesterday", before, flipped(before, *range(lost)))
    assert (found.known, len(found.lost), found.gained, found.held) == (known, lost, 0, held)


def test_a_gain_makes_up_for_a_loss_among_general_questions_and_not_among_facts():
    before = answers(30, 30)
    now = flipped(before, *range(8), *range(30, 38))
    facts, general = (compare_answers(what, "yesterday", before, now) for what in (FACTS, GENERAL))
    assert (len(facts.lost), facts.gained, facts.held, general.held) == (8, 8, False, True)
    assert not compare_answers(GENERAL, "yesterday", before, flipped(before, *range(8))).held


def test_what_is_meant_to_change_is_not_a_loss_and_what_is_not_asked_again_is_said():
    before = answers(10)
    gone = list(before)[:4]
    found = compare_answers(FACTS, "yesterday", before, flipped(before, 0, 1, 2, 3), gone)
    assert (found.known, found.lost, found.held) == (6, (), True)
    few = {question: True for question in list(before)[:7]}
    found = compare_answers(FACTS, "yesterday", before, few)
    assert (found.known, found.not_asked, found.held) == (7, 3, True)
    assert found.line() == (
        "what was learnt, since yesterday: 7 of 7 kept, 0 lost, 0 gained, 3 not asked again; held (exact binomial, p = 1)"
    )
    none = compare_answers(FACTS, "yesterday", before, {})
    assert not none.held and none.line().endswith("none asked that was answered right, 10 not asked again; not held")
    assert compare_answers(FACTS, "yesterday", {}, {}).held, "nothing was known"


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    """A first run, a second and a third, which asks the questions of both."""
    folders = [tmp_path / "company", tmp_path / "2026-11-30", tmp_path / "2026-12-01"]
    first, second = answers(40, 10), answers(40, start=100)
    for folder, asked in zip(folders, (first, first | second, first | second), strict=True):
        write_verdicts(folder, asked)
        write_verdicts(folder, answers(100, 20), "retention_tuned")
    return folders


def test_a_run_that_kept_all_passes_and_says_what_it_was_compared_with(runs):
    assert compare_runs(runs[1], runs[:1]).lines()[0].startswith("what was learnt, since the first run: 40 of 40 kept")
    gate = compare_runs(runs[2], runs[:2])
    assert gate.passed and gate.lines() == [
        "what was learnt, since 2026-11-30: 80 of 80 kept, 0 lost, 0 gained; held (exact binomial, p = 1)",
        "what was learnt, since each was first asked: 80 of 80 kept, 0 lost, 0 gained; held (exact binomial, p = 1)",
        "general questions, since 2026-11-30: 100 of 100 kept, 0 lost, 0 gained; held (exact binomial, p = 1)",
        "general questions, since each was first asked: 100 of 100 kept, 0 lost, 0 gained; held (exact binomial, p = 1)",
    ]
    assert len(compare_runs(runs[1], runs[:1]).lines()) == 2, "the run before is the first one too"
    assert compare_runs(runs[0], []).passed and compare_runs(runs[0], []).lines() == []


def test_a_loss_that_grows_from_day_to_day_is_seen_against_the_first_day(runs):
    asked = answers(40, 10) | answers(40, start=100)
    write_verdicts(runs[1], flipped(asked, *range(4)))
    write_verdicts(runs[2], flipped(asked, *range(9)))
    gate = compare_runs(runs[2], runs[:2])
    assert [(one.since, len(one.lost), one.held) for one in gate.comparisons][:2] == [
        ("2026-11-30", 5, True), ("each was first asked", 9, False),
    ]  # fmt: skip
    assert not gate.passed and gate.lines()[0].startswith(
        "what was learnt, since each was first asked: 71 of 80 kept, 9 lost, 0 gained; not held: more than 5% lost (exact"
    )


def test_general_knowledge_that_went_or_was_not_asked_is_a_reason_unless_it_never_was(runs):
    write_verdicts(runs[2], flipped(answers(100, 20), *range(15)), "retention_tuned")
    gate = compare_runs(runs[2], runs[:2])
    assert not gate.passed and [one.what for one in gate.comparisons if not one.held] == [GENERAL, GENERAL]
    (runs[2] / "retention_tuned_acc.json").unlink()
    gate = compare_runs(runs[2], runs[:2])
    assert not gate.passed and "100 not asked again; not held" in gate.lines()[0]
    for run in runs[:2]:
        (run / "retention_tuned_acc.json").unlink()
    assert [one.what for one in compare_runs(runs[2], runs[:2]).comparisons] == [FACTS, FACTS]


def test_other_general_questions_than_before_say_nothing_of_what_was_kept(runs):
    write_verdicts(runs[2], answers(50, start=1000), "retention_tuned")
    gate = compare_runs(runs[2], runs[:2])
    assert gate.passed and gate.lines()[2:] == [
        f"general questions, since {since}: other general questions than before: nothing to compare; held"
        for since in ("2026-11-30", "each was first asked")
    ]
    write_verdicts(runs[2], answers(100, 20), "retention_tuned", q0={"verdict": "unscored", "match": "unscored"})
    assert "99 of 99 kept, 0 lost, 0 gained, 1 not asked again; held" in compare_runs(runs[2], runs[:2]).lines()[2]


def test_of_general_questions_that_are_partly_others_the_same_ones_are_compared(runs):
    same = dict([*answers(100).items()][:40])
    write_verdicts(runs[2], same | answers(50, start=1000), "retention_tuned")
    gate = compare_runs(runs[2], runs[:2])
    assert gate.passed and "40 of 40 kept, 0 lost, 0 gained, 60 no longer among them; held" in gate.lines()[2]
    write_verdicts(runs[2], flipped(same, *range(9)) | answers(50, start=1000), "retention_tuned")
    assert not compare_runs(runs[2], runs[:2]).passed
    none = {f"q{n}": {"verdict": "unscored", "match": "unscored"} for n in range(40)}
    write_verdicts(runs[2], same | answers(50, start=1000), "retention_tuned", **none)
    gate = compare_runs(runs[2], runs[:2])
    assert not gate.passed, "they were given, and there was no time for them"
    assert (
        "none asked that was answered right, 40 not asked again, 60 no longer among them; not held" in gate.lines()[0]
    )


@pytest.mark.parametrize(("given", "passed"), [("", True), ("general.json", False)])
def test_a_run_that_was_to_ask_no_general_questions_is_told_from_one_that_had_no_time_for_them(runs, given, passed):
    (runs[2] / "retention_tuned_acc.json").unlink()
    write_json(runs[2] / "log" / "day.json", {"before": "days/2026-11-30", "general": given})
    gate = compare_runs(runs[2], runs[:2])
    assert gate.passed == passed
    assert (
        any("other general questions than before: nothing to compare; held" in line for line in gate.lines()) == passed
    )


def test_general_knowledge_is_compared_again_after_a_run_that_asked_none(runs):
    (runs[1] / "retention_tuned_acc.json").unlink()
    found = compare_runs(runs[2], runs[:2])
    assert found.passed and [(one.what, one.since) for one in found.comparisons][2:] == [
        (GENERAL, "each was first asked")
    ]
    write_verdicts(runs[2], flipped(answers(100, 20), *range(15)), "retention_tuned")
    assert not compare_runs(runs[2], runs[:2]).passed, "what was lost meanwhile"


def test_a_changed_fact_keeps_its_question_and_is_another_one(runs):
    changed = {(question, "no"): False for question, _ in list(answers(40))}
    write_verdicts(runs[2], changed | answers(40, start=100))
    found = compare_runs(runs[2], runs[:2]).comparisons[0]
    assert (found.known, found.lost, found.not_asked) == (40, (), 40)


def test_unscored_and_unanswerable_questions_do_not_count_and_one_asked_twice_must_be_right_twice(runs):
    asked = answers(40, 10) | answers(40, start=100)
    harm = {
        "q0": {"verdict": "unscored", "match": "unscored"},
        "q1": {"kind": "unknown", "verdict": WRONG, "match": WRONG},
        "q3": {"question": "Question 2?", "verdict": WRONG, "match": WRONG},
    }
    write_verdicts(runs[2], asked, **harm)
    found = compare_runs(runs[2], runs[:2]).comparisons[0]
    assert (found.known, found.lost, found.not_asked) == (77, (("Question 2?", "yes"),), 3)


def test_runs_with_different_judges_are_compared_by_string_match(runs):
    asked = answers(40, 10) | answers(40, start=100)
    lenient = {f"q{n}": {"verdict": WRONG} for n in range(20)}
    write_verdicts(runs[2], asked, **lenient)
    assert not compare_runs(runs[2], runs[:2]).passed
    write_verdicts(runs[2], asked, judge="a model", **lenient)
    assert compare_runs(runs[2], runs[:2]).passed


def test_a_run_that_was_not_evaluated_is_an_error(runs):
    (runs[2] / "tuned_acc.json").unlink()
    with pytest.raises(InputError, match=r"expected the verdicts on a run's answers at .*2026-12-01/tuned_acc\.json"):
        compare_runs(runs[2], runs[:2])
