"""Pairs in both orders: wins, ties, losses, and what place and length had to do with them. No model."""

from __future__ import annotations

import json

import pytest
from scripted import BASE, SFT, answer, better, case_of, scripted, verdict

from engines.chat import Reply
from evaluation import win_rate


def judged(tmp_path, reply, sft=SFT, base=BASE) -> tuple[list[dict], dict]:
    verdicts = win_rate.judge_pairs(sft, base, scripted(tmp_path, reply))
    return verdicts, win_rate.summarize(sft, verdicts)


def test_match_compares_without_a_judge():
    verdicts = win_rate.judge_pairs(SFT, BASE, None)
    wins = win_rate.summarize(SFT, verdicts)
    assert (wins["wins"], wins["ties"], wins["losses"], wins["win_rate"], wins["score"]) == (2, 1, 1, 0.5, 0.625)
    assert wins["flip_rate"] is None and wins["first_seat"] is None
    swapped = win_rate.summarize(BASE, win_rate.judge_pairs(BASE, SFT, None))
    assert (swapped["wins"], swapped["ties"], swapped["losses"]) == (1, 1, 2)
    assert "no significant difference" in wins["words"]


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("failed", ["sft", "base"])
def test_a_pair_with_an_answer_that_could_not_be_had_is_unscored(tmp_path, asked, failed):
    rows = {"sft": list(SFT), "base": list(BASE)}
    rows[failed][0] = answer(0, "", error="503: overloaded")
    judge = scripted(tmp_path, better) if asked else None
    verdicts = win_rate.judge_pairs(rows["sft"], rows["base"], judge)
    assert [row["verdict"] for row in verdicts] == ["unscored", "tie", "loss", "win"]
    assert verdicts[0]["reason"] == "no answer: 503: overloaded" and "orders" not in verdicts[0]
    if judge:
        assert len(judge.engine.calls[0][0]) == 6  # the three other pairs, in both orders
    wins = win_rate.summarize(rows["sft"], verdicts)
    assert (wins["n"], wins["wins"], wins["unscored"], wins["win_rate"]) == (4, 1, 1, 0.3333)


def test_without_a_judge_and_without_answers_nothing_is_asked(tmp_path):
    failed = [answer(n, "", error="503: overloaded") for n in range(2)]
    judge = scripted(tmp_path, better)
    assert [row["verdict"] for row in win_rate.judge_pairs(failed, BASE[:2], judge)] == ["unscored"] * 2
    assert judge.engine.calls == []


@pytest.mark.parametrize(
    ("sft", "base", "expected"),
    [("I do not know.", "Ann Pellow", "win"), ("Ann Pellow", "I do not know.", "loss"), ("Unknown", "Unknown", "tie")],
)
def test_by_match_a_refusal_wins_where_the_question_has_no_answer(sft, base, expected):
    pair = ([answer(0, text, kind="unknown", reference="This is not known.")] for text in (sft, base))
    assert win_rate.judge_pairs(*pair, None)[0]["verdict"] == expected


def pair(verdict: str, sft: int, base: int, *orders: str) -> dict:
    """A verdict on two responses of so many characters."""
    found = {"verdict": verdict, "response_sft": "x" * sft, "response_base": "y" * base}
    return {**found, "orders": list(orders)} if orders else found


def summarize(verdicts: list[dict]) -> dict:
    return win_rate.summarize([answer(number, "") for number in range(len(verdicts))], verdicts)


def test_the_numbers_of_a_win_rate_by_hand():
    wins = summarize(
        [
            pair("win", 10, 5, "win", "win"),
            pair("win", 3, 5),
            pair("loss", 3, 5, "loss", "loss"),
            pair("loss", 4, 4),  # neither is longer
            pair("tie", 10, 5, "win", "loss"),
            pair("tie", 50, 10, "tie", "loss"),
            pair("unscored", 10, 5),
        ],
    )
    assert (wins["n"], wins["wins"], wins["ties"], wins["losses"], wins["unscored"]) == (7, 2, 2, 2, 1)
    assert (wins["win_rate"], wins["interval"], wins["score"]) == (0.3333, [0.0968, 0.7], 0.5)
    assert wins["longer_wins"] == 0.6667  # of the three decided pairs of two lengths: no tie is among them
    assert (wins["flip_rate"], wins["first_seat"], wins["first_seat_interval"]) == (0.5, 0.7143, [0.3589, 0.9178])
    assert (wins["mean_length_sft"], wins["mean_length_base"]) == (13.3, 5.7)
    assert wins["words"] == "2 wins, 2 losses: no significant difference (sign test, p = 1.000)"


def test_a_longer_answer_in_a_tie_won_nothing():
    assert summarize([pair("tie", 9, 1), pair("tie", 1, 9)])["longer_wins"] is None
    wins = summarize([pair("win", 2, 1), pair("tie", 9, 1), pair("tie", 8, 1)])
    assert (
        wins["longer_wins"] == 1.0
        and wins["words"] == "1 win, 0 losses: no significant difference (sign test, p = 1.000)"
    )
    assert summarize([pair("loss", 9, 1), pair("tie", 1, 9), pair("tie", 1, 8)])["longer_wins"] == 0.0


def test_a_fair_judge_gives_the_same_as_match(tmp_path):
    verdicts, wins = judged(tmp_path, better)
    assert [row["verdict"] for row in verdicts] == [row["verdict"] for row in win_rate.judge_pairs(SFT, BASE, None)]
    assert verdicts[0]["orders"] == ["win", "win"] and verdicts[2]["orders"] == ["loss", "loss"]
    assert (wins["flip_rate"], wins["first_seat"]) == (0, 0.5)


def test_the_judge_sees_the_fact_and_no_name_of_a_model(tmp_path):
    judge = scripted(tmp_path, better)
    win_rate.judge_pairs(SFT, BASE, judge)
    case = case_of(judge.engine.calls[0][0][0])
    assert set(case) == {"question", "reference", "fact", "answer_A", "answer_B"}
    assert case["fact"] == "Fact 0."
    (prompts, *_) = judge.engine.calls[0]
    seats = [(case_of(prompt)["answer_A"], case_of(prompt)["answer_B"]) for prompt in (prompts[0], prompts[4])]
    assert seats == [("ref0", "no"), ("no", "ref0")]  # the tuned answer as A, then as B


def test_the_reason_and_the_journal_tell_the_two_orders_apart(tmp_path):
    def says_what_it_saw_first(prompt, seed):
        return json.dumps({"reasoning": f"A says {case_of(prompt)['answer_A']}.", "verdict": "A"})

    verdicts, _ = judged(tmp_path, says_what_it_saw_first, SFT[:1], BASE[:1])
    assert verdicts[0]["reason"] == "Tuned as A: A says ref0. Base as A: A says no."
    lines = (tmp_path / "verdicts.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["win_rate tuned first q0", "win_rate base first q0"]


@pytest.mark.parametrize(("favourite", "first"), [("A", 1.0), ("B", 0.0)])
def test_a_judge_with_a_favourite_place_gives_ties(tmp_path, favourite, first):
    _, wins = judged(tmp_path, lambda prompt, seed: verdict(favourite))
    assert (wins["wins"], wins["ties"], wins["losses"], wins["flip_rate"]) == (0, 4, 0, 1.0)
    assert wins["first_seat"] == first


def test_a_judge_that_likes_length_is_found_out(tmp_path):
    def longer(prompt, seed):
        lead = len(case_of(prompt)["answer_A"]) - len(case_of(prompt)["answer_B"])
        return verdict("A" if lead > 0 else "B" if lead < 0 else "tie")

    sft = [answer(n, "x" * (20 if n % 3 else 5)) for n in range(30)]
    base = [answer(n, "y" * 12) for n in range(30)]
    _, wins = judged(tmp_path, longer, sft, base)
    assert (wins["longer_wins"], wins["score"]) == (1.0, pytest.approx(2 / 3, abs=1e-4))
    assert (wins["mean_length_sft"], wins["mean_length_base"]) == (15.0, 12.0)
    assert abs(wins["length_adjusted"] - 0.5) < abs(wins["score"] - 0.5)


def test_a_tie_in_one_order_only_is_a_tie_and_a_flip(tmp_path):
    verdicts, wins = judged(
        tmp_path, lambda prompt, seed: verdict("A" if case_of(prompt)["answer_A"] == "ref0" else "tie")
    )
    assert (wins["ties"], wins["flip_rate"], verdicts[0]["orders"]) == (4, 0.25, ["win", "tie"])


def test_one_unreadable_or_failed_order_leaves_the_pair_unscored(tmp_path):
    failed = Reply("", finish_reason="error", error="429: slow down")
    for bad in ("?", failed):
        verdicts, wins = judged(
            tmp_path,
            lambda prompt, seed, bad=bad: bad if case_of(prompt)["answer_B"] == "ref0" else better(prompt, seed),
        )
        assert (wins["unscored"], wins["wins"], wins["win_rate"]) == (1, 1, 0.3333)
        assert verdicts[0]["verdict"] == "unscored"
        (tmp_path / "verdicts.jsonl").unlink()


def test_nothing_readable_gives_no_rate(tmp_path):
    _, wins = judged(tmp_path, lambda prompt, seed: "?")
    assert (wins["win_rate"], wins["score"], wins["length_adjusted"], wins["flip_rate"], wins["unscored"]) == (
        None,
    ) * 4 + (4,)


def test_pairs_on_one_fact_count_together_in_the_sign_test():
    rows = [answer(number, "", fact_id=str(number // 3)) for number in range(6)]
    wins = win_rate.summarize(rows, [pair("win", 2, 1)] * 6)
    assert wins["words"] == "6 wins, 0 losses: no significant difference (sign test over facts, p = 0.500)"


def test_a_length_is_of_answers_that_were_compared(tmp_path):
    failed = pair("unscored", 0, 0)
    assert summarize([pair("win", 9, 4), failed])["mean_length_sft"] == 9.0
    assert summarize([failed])["mean_length_sft"] is None
