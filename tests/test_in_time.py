"""Questions and verdicts to a time budget: an even sample, and what is left out is said. No model."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter

import pytest
from clocks import endless, handlers, hours, running_clock  # noqa: F401
from scripted import fair, scripted

from budget.asking import NOT_ASKED, NOT_JUDGED, ask_in_time, judge_in_time, mark_not_judged
from budget.clock import Stopped, time_of_day
from budget.reports import AskingTime
from engines.chat import Reply
from evaluation import accuracy, win_rate
from evaluation.judging import UNSCORED


class Engine:
    """Counts what it was asked; every question takes `pause` seconds."""

    def __init__(self, pause: float):
        self.pause, self.asked = pause, 0

    def ask(self, places: list[int]) -> list[Reply]:
        time.sleep(self.pause * len(places))
        self.asked += len(places)
        return [Reply(str(place)) for place in places]


ROWS = [{"file_name": f"{number % 4}.txt"} for number in range(60)]


def asked(replies: list[Reply]) -> list[int]:
    assert all(reply.text == str(place) for place, reply in enumerate(replies) if not reply.error)
    left_out = Reply("", finish_reason="error", error="not asked: the time budget had no room")
    assert all(reply == left_out for reply in replies if reply.error) and left_out.error == NOT_ASKED
    return [place for place, reply in enumerate(replies) if not reply.error]


def test_as_many_questions_are_asked_as_fit_and_evenly(tmp_path, handlers, hours):  # noqa: F811
    engine, clock = Engine(2.0), running_clock(tmp_path, 182)
    hours.sleep(2.2)
    replies, spent = ask_in_time(engine, engine.ask, ROWS, clock, models_after=1)
    assert clock.left() >= 90 + 1, "half for the next model, and a second to write"
    places = asked(replies)
    assert spent == AskingTime(
        seconds=182.0, seconds_to_start=2.2, seconds_a_question=2.0, questions=60, left_out=60 - len(places)
    )
    assert spent.asked == len(places)
    counts = Counter(ROWS[place]["file_name"] for place in places)
    assert 35 <= len(places) <= 45 and max(counts.values()) - min(counts.values()) <= 1
    later, spent = ask_in_time(engine, engine.ask, ROWS, running_clock(tmp_path, 1000), max_questions=len(places))
    assert asked(later) == places and spent.left_out == 60 - len(places)  # the same questions for the next model
    whole, spent = ask_in_time(engine, engine.ask, ROWS, running_clock(tmp_path, 1000))
    assert len(asked(whole)) == 60 and spent.left_out == 0


def test_how_far_the_questions_are_is_said_after_each_round(tmp_path, handlers, hours, caplog):  # noqa: F811
    caplog.set_level(logging.INFO)
    engine, clock = Engine(1.0), running_clock(tmp_path, 1000)
    began = hours.now
    ask_in_time(engine, engine.ask, ROWS, clock)
    assert [message.partition("; ")[2] for message in caplog.messages] == [
        "32 of 60 questions asked, the rest would take 28 s", "60 of 60 questions asked",
    ]  # fmt: skip
    assert json.loads((tmp_path / "log" / "progress.json").read_text()) == {
        "stage": "collection", "time": began + 60, "done": 1.0, "expected_end": began + 60,
    }  # fmt: skip
    assert caplog.messages[0].startswith(f"collection: 53% done, ends at about {time_of_day(began + 60)}")


def test_a_model_that_becomes_slow_is_cut_in_time(tmp_path, handlers, hours):  # noqa: F811
    engine, clock = Engine(1.0), running_clock(tmp_path, 100)

    def ask(places: list[int]) -> list[Reply]:
        replies = engine.ask(places)
        engine.pause = 100.0
        return replies

    replies, spent = ask_in_time(engine, ask, ROWS, clock)
    assert len(asked(replies)) == 32 and clock.left() == pytest.approx(1) and spent.seconds_a_question == 1.0


def test_what_comes_from_a_journal_says_nothing_of_the_pace(tmp_path, handlers, hours):  # noqa: F811
    engine, clock = Engine(0.0), running_clock(tmp_path, 100)

    def ask(places: list[int]) -> list[Reply]:
        replies, engine.asked = engine.ask(places), 0
        return replies

    replies, spent = ask_in_time(engine, ask, ROWS, clock)
    assert len(asked(replies)) == 60 and spent.seconds_a_question is None


def answers(prefix: str) -> list[dict]:
    return [
        {"id": str(n), "question": f"Question {n}?", "reference": f"ref{n}", "fact": f"Fact {n}.", "response": f"{prefix}{n}",
         "file_name": ROWS[n]["file_name"]}
        for n in range(20)
    ]  # fmt: skip


def test_a_judge_gets_an_even_part_of_the_questions():
    rows = {
        "sft": answers("ref"),
        "base": answers("no"),
        "retention_sft": answers("ref"),
        "retention_base": answers("no"),
    }
    assert mark_not_judged({what: list(found) for what, found in rows.items()}, seconds=1e9, cost=1.0) == 0
    left = mark_not_judged(rows, seconds=60.0, cost=1.0)  # of 120 verdicts
    assert left == 20 and all(sum("error" in row for row in found) == 10 for found in rows.values())
    out = {what: [row["id"] for row in found if "error" in row] for what, found in rows.items()}
    assert out["sft"] == out["base"]
    assert max(Counter(row["file_name"] for row in rows["sft"] if "error" in row).values()) <= 3
    verdicts = accuracy.judge_answers(rows["sft"], None)
    assert sum(verdict["verdict"] == UNSCORED and NOT_JUDGED in verdict["reason"] for verdict in verdicts) == 10


def left_out(rows: dict[str, list[dict]]) -> dict[str, int]:
    return {what: sum("error" in row for row in found) for what, found in rows.items()}


@pytest.mark.parametrize(
    ("room", "cost", "left"),
    [
        (80.0, 1.0, 0),  # 40 verdicts and both orders of 20 pairs
        (79.9, 1.0, 1),
        (20.0, 1.0, 15),
        (20.0, 0.5, 10),
        (0.0, 1.0, 20),
        (0.0, 0.01, 20),  # however little a verdict costs
        (-5.0, 1.0, 20),
        (20.0, 0.0, 0),  # all verdicts were in the journal
    ],
)
def test_how_many_questions_a_judge_has_time_for(room, cost, left):
    rows = {"sft": answers("ref"), "base": answers("no")}
    assert mark_not_judged(rows, room, cost) == left
    assert left_out(rows) == {"sft": left, "base": left}


def test_every_file_that_is_judged_takes_its_part_of_the_time():
    rows = {what: answers("ref") for what in ("sft", "base", "open_book", "rag")}
    assert mark_not_judged(rows, seconds=60.0, cost=1.0) == 10  # of 120 verdicts
    assert left_out(rows) == {"sft": 10, "base": 10, "open_book": 10, "rag": 10}


def test_the_part_is_even_over_the_documents_that_the_tuned_models_file_names():
    rows = {"sft": answers("ref"), "base": [{"id": row["id"], "response": "no"} for row in answers("no")]}
    assert mark_not_judged(rows, seconds=40.0, cost=1.0) == 10
    assert max(Counter(row["file_name"] for row in rows["sft"] if "error" in row).values()) <= 3


def test_an_answer_that_failed_before_keeps_its_reason():
    rows = {"sft": answers("ref"), "base": answers("no")}
    rows["base"][3]["error"] = "timeout"
    mark_not_judged(rows, seconds=0.0, cost=1.0)
    assert rows["base"][3]["error"] == "timeout" and rows["base"][2]["error"] == NOT_JUDGED
    assert NOT_JUDGED == "not judged: the time budget had no room"


def test_without_a_judge_or_a_budget_nothing_is_cut(tmp_path):
    assert judge_in_time(running_clock(tmp_path, -1), lambda: "all", None) == "all"
    judge = scripted(tmp_path, fair)
    assert judge_in_time(endless(tmp_path), lambda: "all", judge.release) == "all" and judge.engine is not None


def test_in_endless_time_all_questions_are_asked_at_once(tmp_path):
    engine, calls = Engine(0.0), []
    replies, _ = ask_in_time(
        engine, lambda places: calls.append(places) or engine.ask(places), ROWS, endless(tmp_path), 1, 60
    )
    assert calls == [list(range(60))] and asked(replies) == list(range(60))


def test_a_judge_that_is_stopped_is_let_go_before_what_there_is_is_told(tmp_path, handlers, monkeypatch, caplog):  # noqa: F811
    caplog.set_level(logging.INFO)
    judge, clock, kept_back = scripted(tmp_path, fair), running_clock(tmp_path, 60), []
    interruptible = clock.interruptible
    monkeypatch.setattr(clock, "interruptible", lambda s: kept_back.append(s) or interruptible(s))

    def ask() -> str:
        if judge.engine:
            raise Stopped
        return "what there is"

    assert judge_in_time(clock, ask, judge.release) == "what there is"
    assert kept_back == [3.0]  # seconds to write in
    assert caplog.messages == ["no time for further verdicts: answers without one are unscored"]


def test_verdicts_that_are_there_count_when_the_time_is_up(tmp_path, handlers, hours):  # noqa: F811
    rows = answers("ref")

    def slow(prompt: str, seed: int) -> str:
        hours.sleep(5)
        return fair(prompt, seed)

    judge, clock = scripted(tmp_path, slow), running_clock(tmp_path, 44)
    judge.engine.chat = one_by_one(judge.engine)
    verdicts = judge_in_time(clock, lambda: accuracy.judge_answers(rows, judge, "sft"), judge.release)
    counts = Counter(verdict["verdict"] for verdict in verdicts)
    assert judge.engine is None and counts == {"correct": 8, UNSCORED: 12}
    wins = judge_in_time(clock, lambda: win_rate.judge_pairs(rows, rows, judge), judge.release)
    assert {win["verdict"] for win in wins} == {UNSCORED}
    assert clock.left() == pytest.approx(3), "kept back to write verdicts and report"


def one_by_one(engine):
    """The engine's chat, telling each reply when it is there, as real engines do."""
    whole = type(engine).chat

    def chat(conversations, *, on_reply, **options):
        return [
            whole(engine, [one], on_reply=lambda _, reply, place=place: on_reply(place, reply), **options)[0]
            for place, one in enumerate(conversations)
        ]

    return chat
