"""Deadlines, clocks and the even order. No model, and no waiting: time passes when a test says so."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import math
import os
import signal
import time
from collections import Counter

import pytest
from clocks import handlers, hours, running_clock  # noqa: F401

from budget import clock as budget
from budget.asking import even_order, next_round_size, radical_inverse
from budget.clock import (
    BudgetArguments,
    Stopped,
    format_duration,
    parse_duration,
    parse_time,
    process_start,
    read_run,
    requested_deadline,
    start_clock,
    time_of_day,
    timestamp,
    update_stage,
)
from utils import InputError


@pytest.mark.parametrize(
    ("text", "seconds"), [("6h", 21600), ("40m", 2400), ("90s", 90), ("1.5h", 5400), ("1h30m", 5400), ("1d", 86400)]
)
def test_a_time_is_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["10000d", "9" * 30 + "h", "6", "h", "6 h", "-1h", "0m", "six hours", "1h30", "6H"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(InputError, match="expected a time such as 6h"):
        parse_duration(text)


def test_a_time_of_day_is_the_next_one():
    noon = datetime.datetime(2026, 11, 24, 12, 0).timestamp()
    assert parse_time("12:30", noon) == noon + 1800
    assert parse_time("07:30", noon) == noon + 19.5 * 3600
    assert parse_time("2026-11-24T13:00", noon) == noon + 3600
    assert parse_time("2026-11-24 13:00", noon) == noon + 3600
    assert parse_time("12:00", noon) == noon + 24 * 3600, "a moment that is now is of tomorrow"
    assert parse_time("12:00:01", noon) == noon + 1
    assert parse_time(timestamp(noon), 0) == noon
    assert parse_time(timestamp(noon + 0.123), 0) == pytest.approx(noon + 0.123, abs=1e-6)
    assert timestamp(noon).startswith("2026-11-24T12:00:00.000") and timestamp(noon)[23] in "+-", (
        "with the offset from UTC"
    )
    assert parse_time("07:30+02:00", datetime.datetime.fromisoformat("2026-11-24T12:00Z").timestamp()) == (
        datetime.datetime.fromisoformat("2026-11-25T05:30Z").timestamp()
    )
    late = datetime.datetime.fromisoformat("2026-11-24T01:00Z").timestamp()
    assert parse_time("20:00-08:00", late) == late + 3 * 3600, "where it is still the day before"
    with pytest.raises(InputError, match="07:30"):
        parse_time("25:00", noon)


@pytest.fixture
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("now", "text", "hours"),
    [
        ("2026-10-24T23:00+02:00", "07:30", 9.5),  # the clock is set back in that night
        ("2026-10-25T02:40+02:00", "02:50", 1 / 6),
        ("2026-10-25T02:40+02:00", "02:20", 2 / 3),
        ("2026-10-25T02:10+01:00", "02:30", 1 / 3),  # the second time that it is ten past two
        ("2026-03-28T23:00+01:00", "07:30", 7.5),  # and forward in that
    ],
)
def test_a_time_of_day_is_the_next_one_in_a_night_in_which_the_clock_is_set(berlin, now, text, hours):  # noqa: F811
    moment = datetime.datetime.fromisoformat(now).timestamp()
    assert parse_time(text, moment) == pytest.approx(moment + hours * 3600)


def test_times_in_words():
    assert [format_duration(s) for s in (45, 750, 27000, 720_000)] == ["45 s", "12.5 min", "7.5 h", "200.0 h"]
    assert [format_duration(s) for s in (99, 100, 5999, 6000, -99, -6000)] == [
        "99 s", "1.7 min", "100.0 min", "1.7 h", "-99 s", "-1.7 h",
    ]  # fmt: skip


def test_a_moment_of_another_day_is_said_with_its_date():
    noon = datetime.datetime.combine(datetime.date.today(), datetime.time(12, 0, 5))
    assert time_of_day(noon.timestamp()) == "12:00:05"
    assert time_of_day(datetime.datetime(2020, 1, 2, 3, 4, 5).timestamp()) == "2020-01-02 03:04:05"


def test_a_deadline_is_counted_from_now_and_lies_ahead():
    noon = datetime.datetime(2026, 11, 24, 12, 0).timestamp()
    assert requested_deadline(BudgetArguments(), noon) is None
    assert requested_deadline(BudgetArguments(time_budget="1h30m"), noon) == noon + 5400
    assert requested_deadline(BudgetArguments(until="2026-11-24T12:00:01"), noon) == noon + 1
    for late in ("2026-11-24T12:00", "2026-11-24T11:59"):
        with pytest.raises(InputError, match=f"expected a time in the future for --until, found {late}"):
            requested_deadline(BudgetArguments(until=late), noon)
    with pytest.raises(InputError, match="found both"):
        requested_deadline(BudgetArguments("60s", "07:30"), noon)


def test_every_beginning_of_the_order_is_even():
    groups = ["a"] * 40 + ["b"] * 20 + ["c"] * 10
    order = even_order(groups)
    assert sorted(order) == list(range(70))
    assert {groups[place] for place in order[:3]} == {"a", "b", "c"}
    for size in (7, 14, 35, 63):
        counts = Counter(groups[place] for place in order[:size])
        for group, share in (("a", 4 / 7), ("b", 2 / 7), ("c", 1 / 7)):
            assert abs(counts[group] - share * size) <= 2
    first = [place for place in order[:14] if groups[place] == "a"]  # within a group from one end to the other
    assert max(first) >= 30 and all(abs(a - b) <= 12 for a, b in zip(sorted(first), sorted(first)[1:], strict=False))


def test_the_order_goes_from_one_end_to_the_other_at_ever_smaller_steps():
    assert [radical_inverse(number) for number in range(7)] == [0, 0.5, 0.25, 0.75, 0.125, 0.625, 0.375]
    assert even_order("aaabb") == [0, 3, 2, 4, 1]
    assert even_order(["a"] * 5) == [0, 4, 2, 1, 3]


def test_fewer_than_one_of_each_group_are_spread_over_the_groups():
    order = even_order([f"{number:03}" for number in range(100) for _ in range(3)])
    tenths = Counter(place // 30 for place in order[:20])
    assert len(tenths) == 10 and max(tenths.values()) <= 3


def test_a_round_leaves_time_to_measure_again():
    assert next_round_size(100, 5, None, 1.0) == 5  # nothing is known yet
    assert next_round_size(100, 5, 1.0, 0.5) == 0  # not one fits
    assert next_round_size(100, 5, 1.0, 1e9) == 100  # all of it fits twice
    assert next_round_size(100, 5, 1.15**-1, 60.0) == 30  # half of what fits
    assert next_round_size(100, 5, 1.0, 4.0) == 3  # the last few
    assert next_round_size(100, 5, None, math.inf) == next_round_size(100, 5, 1.0, math.inf) == 100  # without a budget
    assert next_round_size(3, 5, None, 1.0) == 3 and next_round_size(9, 5, 0.1, 2.5) == 9  # no more than there are
    assert next_round_size(100, 5, 0.0, 0.1) == 50  # what took no time that could be measured
    assert next_round_size(100, 5, 1.0, -100.0) == 0  # the time is up
    assert [next_round_size(100, 5, 1.0, seconds) for seconds in (5.8, 7.0, 11.6, 14.0)] == [5, 5, 5, 6]
    assert [next_round_size(10, 5, 1.0, seconds) for seconds in (22.0, 23.1)] == [9, 10]
    left, seconds = 100, 100.0
    while size := next_round_size(left, 5, 1.0, seconds):
        left, seconds = left - size, seconds - size
    assert seconds >= 0 and left <= 20  # never over, and most of the time is used


def test_a_restart_goes_on_against_the_deadline_on_the_disk(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(budget, "process_start", lambda: now)  # that of the tests may be minutes ago
    first = start_clock(BudgetArguments(time_budget="60s"), "collection", tmp_path)
    again = start_clock(BudgetArguments(time_budget="60s"), "collection", tmp_path)
    assert abs(first.deadline - again.deadline) < 0.01 and abs(first.started - again.started) < 0.01
    other = start_clock(BudgetArguments(time_budget="90s"), "inference", tmp_path)
    assert abs(other.deadline - first.deadline - 30) < 0.01
    again.end()
    assert {stage["name"]: "seconds" in stage for stage in json.loads((tmp_path / "run.json").read_text())["stages"]} == {
        "collection": True, "inference": False,
    }  # fmt: skip
    fresh = start_clock(BudgetArguments(time_budget="120s"), "collection", tmp_path)
    assert abs(fresh.deadline - first.deadline - 60) < 0.01


def test_without_a_budget_the_clock_is_endless_and_hears_and_writes_nothing(tmp_path, handlers):  # noqa: F811
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without it
    handlers_before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with budget.stage_clock(BudgetArguments(), "collection", tmp_path) as clock:
        assert not clock.limited and clock.left() == clock.seconds == math.inf and clock.seconds_for_others(1) == 0
        with pytest.raises(KeyboardInterrupt), clock.interruptible(60):
            signal.raise_signal(signal.SIGINT)
        clock.report_progress(0.5, time.time() + 60, "half")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == handlers_before
    assert not list(tmp_path.iterdir())


def test_leaving_the_block_ends_the_stage_or_says_by_what_signal_it_was_stopped(tmp_path, handlers, caplog):  # noqa: F811
    caplog.set_level(logging.INFO)

    def stage(number: int = 0, error: Exception | None = None) -> dict:
        with budget.stage_clock(BudgetArguments(time_budget="1h"), "collection", tmp_path) as clock:
            assert (
                clock.limited
                and clock.seconds_for_others(0) == 0
                and clock.seconds_for_others(1) == pytest.approx(clock.left() / 2)
            )
            with contextlib.suppress(Stopped), clock.interruptible():
                if number:
                    signal.raise_signal(number)
            if error:
                raise error

    def has_ended() -> bool:
        return "seconds" in read_run(tmp_path / "run.json")["stages"][0]

    for number in (signal.SIGINT, signal.SIGTERM):
        with pytest.raises(SystemExit) as ended:
            stage(number)
        assert ended.value.code == 128 + number and not has_ended()
    assert caplog.messages[-1] == "stopped; run this again to continue"
    with pytest.raises(InputError):
        stage(error=InputError("wrong"))
    assert not has_ended()
    stage()
    assert has_ended()


def test_a_second_process_of_a_stage_notes_nothing(tmp_path):
    with budget.stage_clock(BudgetArguments(time_budget="1h"), "fine-tuning", tmp_path, writes=False) as clock:
        assert clock.limited
    assert not list(tmp_path.iterdir())


def test_a_restart_says_so_and_has_the_folder_and_the_file_of_the_first(tmp_path, caplog, hours):  # noqa: F811
    caplog.set_level(logging.INFO)
    noon = datetime.datetime.combine(datetime.date.today(), datetime.time(12)).timestamp()
    hours.now = noon
    before = {"name": "collection", "started": timestamp(noon - 100), "deadline": timestamp(noon + 60)}
    (tmp_path / "run.json").write_text(json.dumps({"stages": [before]}))
    clock = start_clock(BudgetArguments(time_budget="1h"), "collection", tmp_path)
    assert caplog.messages == ["collection continues towards its deadline, 12:01:00"]
    assert (clock.started, clock.deadline, clock.folder) == (noon - 100, noon + 60, tmp_path)
    hours.now += 2.34
    clock.end()
    assert json.loads((tmp_path / "run.json").read_text())["stages"] == [{**before, "seconds": 102.3}]


def test_a_new_stage_notes_its_budget_to_a_tenth_of_a_second(tmp_path, hours, monkeypatch):  # noqa: F811
    monkeypatch.setattr(budget, "process_start", lambda: hours.now)
    start_clock(BudgetArguments(time_budget="10.26s"), "inference", tmp_path)
    [stage] = json.loads((tmp_path / "run.json").read_text())["stages"]
    assert stage["budget_seconds"] == 10.3


@pytest.mark.parametrize(("ahead", "refused"), [(-1, True), (0, True), (1, False)])
def test_a_deadline_has_to_lie_ahead(tmp_path, hours, ahead, refused):  # noqa: F811
    deadline = timestamp(hours.now + ahead)
    hours.now = datetime.datetime.fromisoformat(deadline).timestamp() - ahead
    before = {"name": "collection", "started": timestamp(hours.now - 9), "deadline": deadline}
    (tmp_path / "run.json").write_text(json.dumps({"stages": [before]}))
    with pytest.raises(InputError) if refused else contextlib.nullcontext() as error:
        start_clock(BudgetArguments(time_budget="60s"), "collection", tmp_path)
    if refused:
        assert str(error.value).startswith(f"expected a deadline in the future in {tmp_path / 'run.json'}, found ")
        assert str(error.value).endswith(
            ", which has passed: start without --time_budget or --until to finish what is left, or remove the file to begin "
            "anew; replies are kept"
        )


@pytest.mark.parametrize(
    ("left", "first", "cost", "seconds", "size"),
    [(100, 10, 1.0, 0.9, 0), (100, 10, 0.5, 0.9, 1), (100, 10, 1.0, 231, 100), (100, 10, 1.0, 300, 100)],
)
def test_a_round_is_what_fits_or_all(left, first, cost, seconds, size):
    """A unit of a second takes 1.15 with what is allowed for: of 0.9 s none, of 231 s 200, and 100 are left."""
    assert next_round_size(left, first, cost, seconds) == size


def test_a_deadline_that_has_passed_is_said(tmp_path):
    past = {"name": "collection", "started": timestamp(time.time() - 100), "deadline": timestamp(time.time() - 10)}
    (tmp_path / "run.json").write_text(json.dumps({"stages": [past]}))
    with pytest.raises(InputError, match=r"which has passed: start without"):
        start_clock(BudgetArguments(time_budget="60s"), "collection", tmp_path)
    for wrong in (BudgetArguments("60s", "07:30"), BudgetArguments(until="2020-01-01T00:00")):
        with pytest.raises(InputError):
            start_clock(wrong, "evaluation", tmp_path)


def test_a_run_file_says_what_a_stage_was_given_and_took(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "process_start", lambda: time.time() - 5)
    clock = start_clock(BudgetArguments(time_budget="60s"), "collection", tmp_path)
    (stage,) = read_run(tmp_path / "run.json")["stages"]
    assert stage == {
        "name": "collection", "budget_seconds": 60.0, "started": timestamp(clock.started), "deadline": timestamp(clock.deadline),
    }  # fmt: skip
    assert clock.seconds == pytest.approx(60) and 0 < clock.left() < 55.5, "what it took to import is part of it"
    clock.end()
    (stage,) = read_run(tmp_path / "run.json")["stages"]
    assert stage["seconds"] >= 5.0
    start_clock(BudgetArguments(time_budget="60s"), "collection", tmp_path)
    (stage,) = read_run(tmp_path / "run.json")["stages"]
    assert "seconds" not in stage, "or a third start would begin anew as well"


def test_a_process_knows_when_it_was_started():
    assert process_start() == process_start() < time.time()


def test_a_moment_with_its_date_and_a_second_process_need_no_run_file(tmp_path):
    moment = timestamp(time.time() + 60)
    clock = start_clock(BudgetArguments(until=moment), "inference", tmp_path)
    assert clock.deadline == parse_time(moment, 0)
    start_clock(BudgetArguments(time_budget="1d"), "inference", tmp_path, writes=False).end()
    clock.end()
    assert not list(tmp_path.iterdir())
    start_clock(BudgetArguments(until="23:59:59.999"), "inference", tmp_path)
    assert (tmp_path / "run.json").is_file(), "a time of day is another moment tomorrow"


def test_a_run_file_that_was_emptied_is_to_be_removed(tmp_path):
    (tmp_path / "run.json").touch()
    with pytest.raises(
        InputError, match=r"^expected the times of a run at .*run\.json, found an empty file: remove it$"
    ):
        read_run(tmp_path / "run.json")


def test_a_note_adds_to_a_stage_or_begins_it_anew(tmp_path):
    path = tmp_path / "run.json"
    update_stage(path, "a", {"x": 1})
    update_stage(path, "b", {"x": 2})
    update_stage(path, "a", {"y": 3})
    update_stage(path, "b", {"y": 4}, fresh=True)
    assert read_run(path) == {"stages": [{"name": "a", "x": 1, "y": 3}, {"name": "b", "y": 4}]}


def test_a_clock_takes_the_signals_once_and_leaves_them_to_who_takes_them_then(tmp_path, handlers):  # noqa: F811
    clock = running_clock(tmp_path, 60)
    with clock.interruptible():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with clock.interruptible():
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_work_is_cut_before_the_deadline_by_what_is_kept_back(tmp_path, handlers, hours):  # noqa: F811
    clock = running_clock(tmp_path, 60)
    with pytest.raises(Stopped), clock.interruptible(20):
        hours.sleep(39)
        assert clock.left() == pytest.approx(21)
        hours.sleep(2)
    assert clock.left() == pytest.approx(20) and clock.stopped_by is None
    with clock.interruptible(19):
        pass
    with pytest.raises(Stopped), clock.interruptible(20):
        raise AssertionError("begun with no time at all")
    hours.sleep(40)
    with pytest.raises(Stopped), clock.interruptible():
        raise AssertionError("begun though the time is up")


def test_work_is_cut_soon_after_the_machine_has_slept_and_not_while_the_clock_was_set_back(tmp_path, handlers, hours):  # noqa: F811
    """No timer runs in a sleep: the stage would have gone on for as long as that after its deadline."""
    clock = running_clock(tmp_path, 3600)
    with pytest.raises(Stopped), clock.interruptible(10):
        hours.sleep(100)
        hours.now, hours.alarm = hours.now + 7200, hours.alarm + 7200
        hours.sleep(20)
        raise AssertionError("not cut")
    clock = running_clock(tmp_path, 3600)
    with clock.interruptible(10):
        hours.sleep(3000)
        hours.now, hours.alarm = hours.now - 1800, hours.alarm - 1800
        hours.sleep(1000)
    assert clock.left() == pytest.approx(1400)


def test_the_alarm_of_the_machine_cuts_work_that_hears_nothing(tmp_path, handlers):  # noqa: F811
    clock = running_clock(tmp_path, 0.05)
    with pytest.raises(Stopped), clock.interruptible():
        time.sleep(60)


def test_no_alarm_is_left_behind(tmp_path, handlers):  # noqa: F811
    clock = running_clock(tmp_path, 600)
    with clock.interruptible(100):
        assert 10 < signal.getitimer(signal.ITIMER_REAL)[0] <= 20
    with clock.interruptible(590):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 10
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with pytest.raises(KeyError), clock.interruptible():
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    signal.raise_signal(signal.SIGALRM)  # one that comes late cuts nothing


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cuts_work_at_once_and_ends_what_comes_after(tmp_path, handlers, number):  # noqa: F811
    clock = running_clock(tmp_path, 600)
    with pytest.raises(Stopped), clock.interruptible():
        signal.raise_signal(number)
        raise AssertionError("not cut")
    assert clock.stopped_by == number
    clock = running_clock(tmp_path, 600)
    with clock.interruptible():
        pass
    signal.raise_signal(number)  # while something is being written: heard, but later
    with pytest.raises(Stopped), clock.interruptible():
        raise AssertionError("begun after a signal")


@pytest.mark.parametrize(
    ("signals", "codes"),
    [
        ((signal.SIGINT, signal.SIGINT), [130]),
        ((signal.SIGTERM, signal.SIGINT), [130]),
        ((signal.SIGINT, signal.SIGTERM), []),
    ],
)
def test_a_second_ctrl_c_ends_the_process_at_once(tmp_path, handlers, monkeypatch, signals, codes):  # noqa: F811
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    clock = running_clock(tmp_path, 600)
    with clock.interruptible():
        pass
    for number in signals:
        signal.raise_signal(number)
    assert ended == codes and clock.stopped_by == signals[0]


@pytest.mark.parametrize(("ahead", "said"), [(20.0, 20.0), (60.0, 60.0), (100.0, 60.0)])
def test_a_stage_says_how_far_it_is_and_no_later_end_than_its_deadline(tmp_path, hours, caplog, ahead, said):  # noqa: F811
    clock = running_clock(tmp_path, 60)
    with caplog.at_level(logging.INFO):
        clock.report_progress(0.54321, hours.now + ahead, "5 of 9")
    assert json.loads((tmp_path / "log" / "progress.json").read_text()) == {
        "stage": "collection", "time": hours.now, "done": 0.5432, "expected_end": hours.now + said,
    }  # fmt: skip
    assert caplog.messages == [f"collection: 54% done, ends at about {time_of_day(hours.now + said)}; 5 of 9"]


def test_a_stage_that_is_late_says_that_it_ends_now(tmp_path, hours):  # noqa: F811
    clock = running_clock(tmp_path, 60)
    hours.sleep(70)
    clock.report_progress(0.9, hours.now + 30)
    assert json.loads((tmp_path / "log" / "progress.json").read_text())["expected_end"] == hours.now
