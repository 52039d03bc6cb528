"""Clocks for the tests: that of a stage, and a fake process time that passes only when a test says so."""

from __future__ import annotations

import math
import signal
import time

import pytest

from budget.clock import Clock


def running_clock(tmp_path, seconds: float) -> Clock:
    return Clock("collection", time.time(), time.time() + seconds, tmp_path)


def endless(tmp_path) -> Clock:
    """The clock of a stage without a time budget."""
    return Clock("collection", time.time(), math.inf, tmp_path)


class Time:
    """A fake process time: it stands still except in `sleep`, which also triggers the alarm when it is due."""

    def __init__(self):
        self.now, self.alarm = time.time(), None

    def set_alarm(self, _which, seconds: float) -> None:
        self.alarm = self.now + seconds if seconds else None

    def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        while self.alarm is not None and self.alarm <= end:
            self.now, self.alarm = self.alarm, None
            signal.raise_signal(signal.SIGALRM)
        self.now = max(self.now, end)


@pytest.fixture
def hours(monkeypatch) -> Time:
    clock = Time()
    monkeypatch.setattr(time, "time", lambda: clock.now)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now - 1e9)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(signal, "setitimer", clock.set_alarm)
    return clock


@pytest.fixture
def handlers():
    """Restores the signal handlers after a test that sets them."""
    saved = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in saved.items():
        signal.signal(number, handler)
