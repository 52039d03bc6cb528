"""Counts, breakdowns and comparisons of verdicts, many of them written by hand. No model."""

from __future__ import annotations

import pytest
from scripted import BASE, SFT, answer, fair, scripted, verdict

from evaluation import accuracy, win_rate

LETTERS = {"c": "correct", "i": "incorrect", "n": "not attempted", "u": "unscored"}


def verdicts(judged: str, matched: str = "") -> list[dict]:
    """One verdict a letter, the judge's and beside it that of string matching."""
    pairs = zip(judged, matched or judged, strict=True)
    return [{"response": "r", "verdict": LETTERS[one], "reason": "", "match": LETTERS[other]} for one, other in pairs]


def rows(amount: int, **more) -> list[dict]:
    return [answer(n, "r", **more) for n in range(amount)]


def test_the_shares_of_a_summary():
    found = accuracy.summarize([], verdicts("cccciinnnu"))
    assert found == {
        "n": 10, "correct": 4, "incorrect": 2, "not_attempted": 3, "unscored": 1,
        "accuracy": 0.4444, "interval": [0.1888, 0.7333], "attempted_accuracy": 0.6667, "f_score": 0.5333,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("judged", "shares"), [("u", (None,) * 4), ("", (None,) * 4), ("n", (0.0, [0.0, 0.7935], None, 0.0))]
)
def test_there_is_no_share_of_nothing(judged, shares):
    found = accuracy.summarize([], verdicts(judged))
    assert tuple(found[key] for key in ("accuracy", "interval", "attempted_accuracy", "f_score")) == shares


def test_a_question_without_an_answer_is_counted_in_its_kind_and_nowhere_else():
    asked = [*rows(2, file_name="a.txt", role="nurse"), answer(2, "r", kind="unknown", file_name="a.txt", role="nurse")]
    found = accuracy.measure(asked, verdicts("cic"))
    assert {kind: part["n"] for kind, part in found["by_kind"].items()} == {"qa": 2, "unknown": 1}
    assert (found["by_document"]["a.txt"]["n"], found["by_role"]["nurse"]["n"], found["n"]) == (2, 2, 2)
    assert (found["by_document"]["a.txt"]["correct"], found["correct"]) == (1, 1)


def test_each_verdict_repeats_what_was_asked():
    row = answer(0, "r", file_name="a.txt", role="nurse", source={"start": 1}, seconds=3)
    (shown,) = accuracy.measure([row], verdicts("c"))["verdicts"]
    assert shown == {
        "id": "q0", "question": "Question 0?", "reference": "ref0", "fact": "Fact 0.", "kind": "qa",
        "file_name": "a.txt", "role": "nurse", "source": {"start": 1},
        "response": "r", "verdict": "correct", "reason": "", "match": "correct",
    }  # fmt: skip
    bare = [{"question": "Q?", "reference": "r"}] * 2
    assert [row["id"] for row in accuracy.measure(bare, verdicts("ci"))["verdicts"]] == [0, 1]


def test_match_beside_the_judge_by_hand():
    asked = [*rows(6), answer(6, "r", kind="unknown")]
    found = accuracy.score_match(asked, verdicts("ccniuuc", "cinccui"))
    # all with an answer that was had
    assert (found["n"], found["correct"], found["accuracy"]) == (5, 3, 0.6) and found["interval"] == [0.2307, 0.8824]
    assert found["disagreements"] == ["q1", "q3", "q6"]  # of those the judge has scored, in whatever kind
    assert (found["agreement"], found["kappa"]) == (0.4, -0.1538)


def test_match_beside_a_judge_that_said_nothing():
    found = accuracy.score_match(rows(2), verdicts("uu"))
    assert (found["n"], found["accuracy"], found["agreement"], found["kappa"]) == (0, None, None, None)


def test_what_was_gained_and_lost_is_of_questions_that_both_have_scored_and_that_have_an_answer():
    asked = [*rows(8), answer(8, "r", kind="unknown")]
    found = accuracy.compare(asked, verdicts("cciccuinn"), verdicts("incccniic"))
    assert (found["gained"], found["lost"], found["facts"], found["difference"]) == (2, 1, 7, 0.1429)
    assert (found["p"], found["words"]) == (
        1.0,
        "2 answers gained, 1 lost: no significant difference (exact McNemar, p = 1.000)",
    )
    assert found["interval"] is not None


def test_questions_that_share_a_fact_are_tested_by_facts():
    asked = [answer(number, "r", fact_id=str(number // 3)) for number in range(6)]
    found = accuracy.compare(asked, verdicts("cccccc"), verdicts("iiiiii"))
    assert (found["p"], found["words"]) == (
        0.5,
        "6 answers gained, 0 lost: no significant difference (exact McNemar over facts, p = 0.500)",
    )


def test_nothing_in_common_is_no_difference():
    found = accuracy.compare(rows(2), verdicts("cu"), verdicts("uc"))
    assert found == {
        "gained": 0,
        "lost": 0,
        "p": 1.0,
        "words": "0 answers gained, 0 lost: no significant difference (exact McNemar, p = 1.000)",
    }


def test_a_significant_gain():
    found = accuracy.compare(rows(6), verdicts("cccccc"), verdicts("iiiiii"))
    assert (found["gained"], found["lost"], found["p"]) == (6, 0, 0.03125)


def test_the_seed_of_a_comparison_is_that_of_its_resamples():
    judged = verdicts("cicic" * 9), verdicts("icici" * 9)
    asked = [answer(n, "r", fact_id=str(n % 13)) for n in range(45)]
    intervals = [accuracy.compare(asked, *judged, seed=seed)["interval"] for seed in range(4)]
    assert len({tuple(interval) for interval in intervals}) > 1
    assert accuracy.compare(asked, *judged)["interval"] == intervals[0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"fact_id": "7", "fact": "A."}, {"fact_id": "7", "fact": "B."}, True),
        ({"fact_id": "7", "fact": "A."}, {"fact_id": "8", "fact": "A."}, False),
        ({"file_name": "a.txt", "fact": "A."}, {"file_name": "a.txt", "fact": "A.", "reference": "other"}, True),
        ({"file_name": "a.txt", "fact": "A."}, {"file_name": "b.txt", "fact": "A."}, False),
        ({"file_name": "a.txt", "fact": "A."}, {"file_name": "a.txt", "fact": "B."}, False),
        ({"reference": "Ann Bell"}, {"reference": "Ann Bell"}, True),
        ({"question": "May dogs come?", "reference": "Yes."}, {"question": "Is it free?", "reference": "Yes."}, False),
        ({"reference": "Ann Bell"}, {"reference": "Bob Carr"}, False),
    ],
)
def test_which_questions_are_about_one_fact(one, other, same):
    assert (accuracy.fact_of({"reference": "x", **one}) == accuracy.fact_of({"reference": "x", **other})) is same


def test_an_answer_that_failed_is_not_asked_about_and_the_others_keep_their_places(tmp_path):
    asked = [answer(0, "", error="timeout"), answer(1, "ref1"), answer(2, "", error="timeout"), answer(3, "no")]
    for judge in (None, scripted(tmp_path, fair)):
        found = accuracy.judge_answers(asked, judge, "sft")
        assert [row["verdict"] for row in found] == ["unscored", "correct", "unscored", "incorrect"]
        assert [row["match"] for row in found] == ["unscored", "correct", "unscored", "incorrect"]
        assert [row["response"] for row in found] == ["", "ref1", "", "no"]
        assert found[2]["reason"] == "no answer: timeout"
    assert len(judge.engine.calls[0][0]) == 2


def test_beside_a_judge_match_is_still_that_of_the_words(tmp_path):
    (found,) = accuracy.judge_answers([answer(0, "no", kind="unknown")], scripted(tmp_path, fair))
    assert (found["verdict"], found["match"]) == ("incorrect", "incorrect")
    (found,) = accuracy.judge_answers([answer(0, "I do not know.", kind="unknown")], scripted(tmp_path, fair))
    assert (found["verdict"], found["match"]) == ("incorrect", "correct")  # by the kind of the question
    assert accuracy.judge_answers(SFT[:1], None)[0]["reason"] == "token recall 1.00"


def test_the_counts_of_a_measurement():
    rows = [*SFT, answer(4, "I do not know.", kind="qa", file_name="b.txt", role="a nurse")]
    measured = accuracy.measure(rows, accuracy.judge_answers(rows, None))
    assert (measured["n"], measured["correct"], measured["incorrect"], measured["not_attempted"]) == (5, 3, 1, 1)
    assert (measured["accuracy"], measured["interval"]) == (0.6, [0.2307, 0.8824])
    assert (measured["attempted_accuracy"], measured["f_score"]) == (
        0.75,
        pytest.approx(2 * 0.6 * 0.75 / 1.35, abs=1e-4),
    )
    assert measured["by_kind"]["reverse"]["accuracy"] == 0.5
    assert measured["by_document"]["b.txt"]["not_attempted"] == measured["by_role"]["a nurse"]["n"] == 1
    assert set(measured["verdicts"][0]) == {
        "id",
        "question",
        "reference",
        "fact",
        "kind",
        "response",
        "verdict",
        "reason",
        "match",
    }


def test_questions_without_an_answer_are_counted_apart():
    rows = [*SFT, answer(4, "It is not known.", kind="unknown"), answer(5, "Ann Pellow", kind="unknown")]
    verdicts = accuracy.judge_answers(rows, None)
    measured = accuracy.measure(rows, verdicts)
    assert (measured["n"], measured["accuracy"]) == (4, 0.75)
    assert (measured["by_kind"]["unknown"]["correct"], measured["by_kind"]["unknown"]["incorrect"]) == (1, 1)
    assert accuracy.compare(rows, verdicts, verdicts)["gained"] == 0
    alone = accuracy.measure(rows[4:], verdicts[4:])
    assert (alone["n"], alone["accuracy"]) == (2, 0.5)  # nothing else to count


def test_an_answer_that_could_not_be_had_is_unscored(tmp_path):
    rows = [*SFT[:3], answer(3, "", error="timeout")]
    for judge in (None, scripted(tmp_path, fair)):
        verdicts = accuracy.judge_answers(rows, judge)
        assert (verdicts[3]["verdict"], verdicts[3]["reason"]) == ("unscored", "no answer: timeout")
        measured = accuracy.measure(rows, verdicts)
        assert (measured["n"], measured["correct"], measured["unscored"], measured["accuracy"]) == (4, 2, 1, 0.6667)
        assert accuracy.score_match(rows, verdicts)["n"] == 3
        wins = win_rate.summarize(rows, win_rate.judge_pairs(rows, BASE, judge))
        assert (wins["n"], wins["unscored"], wins["wins"], wins["losses"]) == (4, 1, 1, 1)


def test_match_stands_beside_the_judge(tmp_path):
    judge = scripted(
        tmp_path,
        lambda prompt, seed: (
            "?" if "Question 3?" in prompt else verdict("incorrect" if "Question 0?" in prompt else "correct")
        ),
    )
    beside = accuracy.score_match(SFT, accuracy.judge_answers(SFT, judge))
    assert (beside["accuracy"], beside["disagreements"], beside["agreement"]) == (0.75, ["q0", "q2"], 0.3333)
    assert beside["kappa"] == -0.5


def test_what_tuning_changed_by_facts():
    sft, base = (accuracy.judge_answers(rows, None) for rows in (SFT, BASE))
    found = accuracy.compare(SFT, sft, base)
    assert (found["gained"], found["lost"], found["p"], found["difference"], found["facts"]) == (2, 1, 1.0, 0.25, 4)
    assert found["interval"][0] < 0 < found["interval"][1] and "no significant difference" in found["words"]
    sft[0]["verdict"] = "unscored"
    assert accuracy.compare(SFT, sft, base)["gained"] == 1
