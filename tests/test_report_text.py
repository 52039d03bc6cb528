"""The words and tables of a report, each from numbers written by hand. No model, no files."""

from __future__ import annotations

import copy

import pytest

from evaluation import report_text
from utils import MostlyFailed


def score(correct: int, n: int, **more) -> dict:
    """What accuracy.measure gives, as far as a report shows it."""
    scored = n - more.get("unscored", 0)
    found = {
        "judge": "m", "n": n, "correct": correct, "incorrect": scored - correct, "not_attempted": 0, "unscored": 0,
        "accuracy": correct / scored, "interval": [0.1, 0.9], "attempted_accuracy": 0.5,
        "by_kind": {}, "by_document": {}, "by_role": {},
        "match": {"n": n, "correct": correct, "accuracy": correct / n, "agreement": 0.75, "disagreements": ["q1"]},
    }  # fmt: skip
    return {**found, **more}


FOUND = {
    "judge": "m",
    "made": {"date": "2026-11-27", "machine": "a | machine"},
    "folder": "out",
    "scores": {"base": score(1, 4), "sft": score(3, 4)},
    "compared": {
        "mcnemar": {"words": "2 answers gained, 0 lost: no significant difference", "difference": 0.5, "interval": [-0.1, 0.9], "facts": 4},
        "gap_closed": {"gap_closed": 0.5, "interval": [0.25, 1.0]},
    },
    "wins": {
        "win_rate": 0.5, "wins": 2, "ties": 1, "losses": 1, "unscored": 0, "words": "2 wins, 1 loss: no significant difference", "score": 0.625,
        "length_adjusted": 0.61, "mean_length_sft": 12.4, "mean_length_base": 30.0, "longer_wins": 0.25, "flip_rate": 0.1,
        "first_seat": 0.55, "by_kind": {},
    },
    "usage": {"asked": 8, "from_journal": 2, "prompt_tokens": 900, "completion_tokens": 80, "cost": 0.0125},
    "controls": None,
    "forgetting": {},
    "timeline": None,
    "questions": [],
}  # fmt: skip


@pytest.fixture
def found() -> dict:
    return copy.deepcopy(FOUND)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "n/a"),
        (float("nan"), "n/a"),
        (0, "0%"),
        (1.0, "100%"),
        (0.267, "26.7%"),
        (0.9999, "100.0%"),
        (0.0004, "0.0%"),
    ],
)
def test_a_share_in_percent(share, text):
    assert report_text.percent(share) == text


def test_an_interval_and_a_cell():
    assert (report_text.interval([0.123, 0.9]), report_text.interval(None)) == ("12.3% to 90.0%", "")
    assert report_text.accuracy_cell(score(16, 60)) == "26.7% (16/60)"
    assert report_text.accuracy_cell(score(16, 64, unscored=4)) == "26.7% (16/60), 4 unscored"
    assert report_text.accuracy_cell(None) == ""


def test_the_headline_tells_after_and_before(found):
    words = "75.0% (3/4) of the questions after tuning, 25.0% (1/4) before: 2 answers gained, 0 lost: no significant difference."
    assert report_text.headline(found) == f"{words} That closes 50.0% of the gap to an open book."
    found["compared"]["gap_closed"] = {"gap_closed": 0.0}
    assert report_text.headline(found).endswith(" That closes 0% of the gap to an open book.")
    for gap in (None, {"gap_closed": None}):
        found["compared"]["gap_closed"] = gap
        assert report_text.headline(found) == words


def test_the_notes(found):
    found["scores"]["base"] |= {"not_attempted": 3}
    found["forgetting"] = {"drift": {"prompts": 20, "mean_kl": 0.01234, "top1_agreement": 0.98}}
    assert report_text.notes(found) == [
        "difference +50.0%, -10.0% to 90.0% by bootstrap over 4 facts",
        "gap closed 50.0%, 25.0% to 100.0%",
        "base: match 25.0% (1/4), agrees with the judge on 75.0%, 1 disagreement",
        "base: 3 not attempted; of the attempted 50.0% correct",
        "tuned: match 75.0% (3/4), agrees with the judge on 75.0%, 1 disagreement",
        "win rate 50.0%: 2 wins, 1 loss: no significant difference; 1 tie, 0 unscored",
        "score with ties as half 62.5%, length-adjusted 61.0%; mean length 12 characters tuned, 30 base; the longer answer "
        "won 25.0%",
        "the order changed 10.0% of the verdicts; the first answer was chosen 55.0% of the time",
        "drift on 20 neutral prompts: mean KL 0.012 nats, the same next token 98.0%",
        "judge: 8 calls, 2 from the journal; 900 tokens read, 80 written, cost 0.0125",
    ]


def test_what_was_not_measured_is_in_no_note(found):
    found["compared"] = {
        "mcnemar": {"words": "", "interval": None},
        "gap_closed": {"gap_closed": 0.5, "interval": None},
    }
    found["scores"] = {"sft": score(3, 4, judge="match"), "rag": score(3, 4)}
    found["scores"]["rag"]["match"]["agreement"] = None
    found["wins"]["flip_rate"] = None
    found["usage"]["cost"] = None
    lines = report_text.notes(found)
    assert [line.split(":")[0] for line in lines] == [
        "gap closed 50.0%", "win rate 50.0%", "score with ties as half 62.5%, length-adjusted 61.0%; mean length 12 "
        "characters tuned, 30 base; the longer answer won 25.0%", "judge",
    ]  # fmt: skip
    assert lines[-1].endswith("80 written")
    found["usage"] = found["compared"]["gap_closed"] = None
    assert len(report_text.notes(found)) == 2


def test_a_model_that_attempted_nothing_has_no_share_of_the_attempted(found):
    found["scores"]["base"] |= {"not_attempted": 4, "attempted_accuracy": None}
    assert "base: 4 not attempted" in report_text.notes(found)


@pytest.mark.parametrize(("asked", "told"), [(4, None), (5, "1 further question"), (7, "3 further questions")])
def test_why_fewer_questions_are_counted_than_were_asked(found, asked, told):
    found["questions"] = [{}] * asked
    words = told and f"{told} without an answer in the documents: counted by kind only"
    assert report_text.about_unanswerable(found) == words
    assert [line for line in report_text.notes(found) if "further" in line] == [words][: told is not None]


def test_an_order_that_changed_nothing_is_a_note_too(found):
    found["wins"] |= {"flip_rate": 0.0, "first_seat": 0.5}
    assert any(line.startswith("the order changed 0% of the verdicts; the first") for line in report_text.notes(found))


def test_what_was_forgotten_line_by_line():
    lost = {
        "retention": {"kept": 4, "known_before": 7, "kept_share": 0.5714, "interval": [0.25, 0.84], "words": "tied"},
        "drift": {"prompts": 20, "mean_kl": 0.01234, "top1_agreement": 0.98},
        "refusals": {"unanswerable": {"sft": {"refused": 2, "n": 5}, "base": {"refused": 1, "n": 5}}, "words": "tied"},
        "lm_eval": {"base": {"t": {"acc,none": 0.5}}, "sft": {"t": {"acc,none": 0.25, "acc_stderr,none": 0.1}}},
    }
    assert report_text.forgetting_lines(lost) == [
        "general questions kept: 4 of 7 (57.1%, 25.0% to 84.0%); tied",
        "drift on 20 neutral prompts: mean KL 0.012 nats, the same next token 98.0%",
        "says that it does not know: 2 of 5 unanswerable questions tuned, 1 base; tied",
        "lm_eval t, base to tuned: acc,none 0.5 to 0.25",
    ]
    assert report_text.forgetting_lines({}) == []
    nothing = {
        "n": 3,
        "kept": 0,
        "known_before": 0,
        "kept_share": None,
        "interval": None,
        "words": "0 answers gained, 0 lost",
    }
    assert report_text.forgetting_lines({"retention": nothing}) == [
        "general questions kept: none of the 3 with a verdict was answered right before, so nothing can be said"
    ]


def cells(lines: list[str]) -> list[list[str]]:
    return [[value.strip() for value in line.strip("|").split("|")] for line in lines]


def test_the_table_of_a_breakdown(found):
    found["scores"]["rag"] = score(4, 4)
    found["scores"]["sft"]["by_kind"] = {"reverse": score(1, 3, unscored=1), "new": score(0, 1)}
    found["scores"]["base"]["by_kind"] = {"reverse": score(0, 2)}
    won = {"win_rate": 0.25, "wins": 7, "ties": 8, "losses": 9, "unscored": 2}
    found["wins"]["by_kind"] = {"reverse": won, "new": {**won, "win_rate": None, "unscored": 0}}
    title, _, *lines, end = report_text.breakdown_table(found, "by_kind")
    assert (title, end) == ("## By kind of question", "")
    assert cells(lines) == [
        ["", "base", "tuned", "RAG", "win rate (wins, ties, losses)"],
        ["-" * 7, "-" * 8, "-" * 23, "---", "-" * 29],
        ["reverse", "0% (0/2)", "50.0% (1/2), 1 unscored", "", "25.0% (7, 8, 9), 2 unscored"],
        ["new", "", "0% (0/1)", "", "n/a (7, 8, 9)"],
    ]
    found["scores"]["sft"]["by_document"] = {"qa": score(1, 2)}  # a document of that name, and no pairs were judged
    assert [row[0] for row in cells(report_text.breakdown_table(found, "by_document")[2:-1])] == ["", "---", "qa"]
    assert report_text.breakdown_table(found, "by_role") == []


def test_a_table_is_one_on_a_terminal_too_and_long_texts_leave_it_as_it_is():
    assert report_text.table(["", "question"], [["a", "x" * 40], [1.5, "short"]]) == [
        "|     | question                       |",
        "| --- | ------------------------------ |",
        "| a   | " + "x" * 40 + " |",
        "| 1.5 | short                          |",
        "",
    ]


def test_a_run_ends_with_the_first_lines_of_its_report(found):
    found["timeline"] = {"budget_seconds": None, "stages": []}
    found["scores"]["sft"]["by_kind"] = found["scores"]["sft"]["by_document"] = {"a": score(3, 4)}
    head, report = report_text.summary_lines(found), report_text.render_markdown(found).splitlines()
    assert report[: len(head)] == head and [line for line in head if line.startswith("#")] == [
        "# Report", "## By kind of question", "## Notes",
    ]  # fmt: skip
    assert "- win rate 50.0%: 2 wins, 1 loss: no significant difference; 1 tie, 0 unscored" in head
    assert report[len(head)] == "## By document" and "## Time" in report


def test_the_tables_of_the_report(found):
    told = {"verdict": "correct", "match": "correct", "response": "yes"}
    wrong = {"verdict": "incorrect", "match": "incorrect", "response": "no"}
    found["questions"] = [
        {"question": "Q1?", "reference": "r1", "sft": told, "base": wrong},
        {"question": "Q2?", "reference": "r2", "sft": wrong, "base": told},
        {"question": "Q3?", "reference": "r3", "sft": told, "base": {**told, "match": "incorrect"}},
    ]
    for breakdown in ("by_role", "by_document", "by_kind"):
        found["scores"]["sft"][breakdown] = {"a nurse": score(3, 4)}
    lines = report_text.render_markdown(found).splitlines()
    assert lines[:5] == [
        "# Report",
        "",
        "2026-11-27, judged by m, a \\| machine",
        "",
        f"**{report_text.headline(found)}**",
    ]
    assert lines[6:10] == [
        "|       | correct     | 95 % interval  | incorrect | not attempted | unscored | by match |",
        "| ----- | ----------- | -------------- | --------- | ------------- | -------- | -------- |",
        "| base  | 25.0% (1/4) | 10.0% to 90.0% | 3         | 0             | 0        | 25.0%    |",
        "| tuned | 75.0% (3/4) | 10.0% to 90.0% | 1         | 0             | 0        | 75.0%    |",
    ]
    heads = [line for line in lines if line.startswith("## ")]
    assert heads == [
        "## By kind of question",
        "## Notes",
        "## By document",
        "## By role",
        "## Learnt",
        "## Lost",
        "## Judge and match disagree",
    ]
    rows = [line for line in lines if line.startswith("| Q")]
    assert lines.count("| a nurse |      | 75.0% (3/4) |") == lines.count("|         | base | tuned       |") == 3
    assert lines.count("| question | reference | base | tuned |") == 3
    assert f"- {report_text.notes(found)[0]}" in lines
    assert rows == [
        "| Q1?      | r1        | no   | yes   |",
        "| Q2?      | r2        | yes  | no    |",
        "| Q3?      | r3        | yes  | yes   |",
    ]


@pytest.mark.parametrize(("trusted", "shown"), [(False, 1), (True, 0)])
def test_a_judge_that_cannot_be_trusted_is_named_above_the_numbers(found, trusted, shown):
    counts = {"n": 10, "passed": 4, "rate": 0.4, "interval": [0.2, 0.6]}
    found["controls"] = {"judge": "m", "trusted": trusted, "why": ["one", "two"], "sensitivity": counts,
                         "specificity": {"n": 0}, "kinds": {"vague": counts}}  # fmt: skip
    lines = report_text.summary_lines(found)
    assert lines.count("> This judge cannot be trusted: one; two.") == shown
    told = "controls of m: sensitivity 40% (4/10, 20% to 60%), specificity none; vague 40% (4/10, 20% to 60%)"
    verdict = "passed" if trusted else "THIS JUDGE CANNOT BE TRUSTED: one; two"
    assert lines[lines.index("## Controls of the judge") :][2:4] == [f"- {told}", f"- {verdict}"]


def test_a_judge_that_failed_is_in_the_headline_and_ends_the_evaluation(found):
    report_text.require_verdicts(found)
    found["scores"]["sft"]["judge_failed"] = "3 of 4 have no verdict: 3 no verdict in its tag (x)"
    said = "tuned: 3 of 4 have no verdict: 3 no verdict in its tag (x)"
    assert report_text.headline(found).startswith(
        f"The judge failed, so these numbers say little: {said}. 75.0% (3/4) of"
    )
    with pytest.raises(MostlyFailed, match=r"expected verdicts from m, found that tuned: 3 of 4 have no verdict"):
        report_text.require_verdicts(found)
    found["wins"]["judge_failed"] = "2 of 2 have no verdict"
    assert report_text.judge_failure(found) == f"{said}; win rate: 2 of 2 have no verdict"


def test_the_table_of_times():
    stages = [{"name": "collection", "seconds": 90, "planned_seconds": 60}, {"name": "inference"}]
    assert report_text.time_table({"budget_seconds": 600, "stages": stages}) == [
        "## Time, 1.5 of 10.0 minutes used",
        "",
        "| stage      | minutes planned | minutes |",
        "| ---------- | --------------- | ------- |",
        "| collection | 1.0             | 1.5     |",
        "| inference  |                 |         |",
        "",
    ]
    assert report_text.time_table({"budget_seconds": None, "stages": stages})[0] == "## Time"
    assert report_text.time_table(None) == []


@pytest.mark.parametrize("mark", "\\|`*_<[")
def test_a_cell_of_a_table_holds_no_markup(mark):
    assert report_text.cell(f"a{mark}b\n\tc ") == f"a\\{mark}b c"
