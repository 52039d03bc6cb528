"""The folders of later runs: `latest` always points to a whole run, whatever is killed, gone back from or pruned."""

from __future__ import annotations

import datetime
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT

from days.folders import (
    Day,
    all_runs,
    close_day,
    go_back,
    history,
    latest,
    make_day,
    next_day,
    prune,
    read_day,
    run_before,
)
from engines.processes import lock_folder
from utils import InputError, log_file, read_json

MONDAY, TUESDAY = datetime.date(2026, 11, 30), datetime.date(2026, 12, 1)


def open_day(out, today):
    """The folder of next_day, which is made if it is not there."""
    day = next_day(out, today)
    if not day.is_dir():
        make_day(out, day)
    return day


def add_adapter(run: Path, size: int = 1000) -> None:
    """What a finished run leaves, of this many bytes of weights and 90 of others."""
    (run / "lora" / "log").mkdir(parents=True)
    for name, count in (("adapter_model.safetensors", size - 40), ("tokenizer.json", 40)):
        (run / "lora" / name).write_bytes(b"w" * count)
    for name in ("lora/train_log.json", "lora/log/training.meta.json", "tuned.json"):
        (run / name).write_bytes(b"k" * 30)


def add_day(out: Path, passed: bool | None = True, day: datetime.date = MONDAY, size: int = 1000) -> Path:
    folder = open_day(out, day)
    add_adapter(folder, size)
    if passed is not None:
        close_day(out, folder, passed, ["why"])
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    """A folder with a first run."""
    add_adapter(tmp_path / "out")
    return tmp_path / "out"


def names(runs) -> list[str]:
    return [run.name for run in runs]


def test_days_are_named_by_date_and_number_and_come_in_order(out):
    days = [add_day(out) for _ in range(11)] + [add_day(out, day=TUESDAY)]
    assert names(days)[:2] == ["2026-11-30", "2026-11-30_2"] and names(days)[-2:] == ["2026-11-30_11", "2026-12-01"]
    assert all_runs(out) == [out, *days]
    assert add_day(out, day=MONDAY).name == "2026-12-01_2", "the clock was set back"
    (out / "days" / "notes").mkdir()
    assert len(all_runs(out)) == 14


def test_a_day_stays_open_until_it_is_closed_and_goes_on_from_latest(out):
    assert latest(out) == out and run_before(out, out) is None
    day = open_day(out, MONDAY)
    assert open_day(out, TUESDAY) == day and latest(out) == out and run_before(out, day) == out
    close_day(out, day, True, ["kept"])
    assert latest(out) == day and os.readlink(out / "latest") == "days/2026-11-30"
    state = read_json(log_file(day / "day.json"), "a day")
    assert (state["before"], state["passed"], state["why"]) == (".", True, ["kept"]) and state["opened"] <= state[
        "closed"
    ]
    assert open_day(out, TUESDAY).name == "2026-12-01"


def test_a_day_that_did_not_pass_is_passed_over(out):
    first, failed = add_day(out), add_day(out, passed=False)
    assert latest(out) == first and read_day(failed)["passed"] is False
    third = add_day(out)
    assert history(out, third) == [out, first] and latest(out) == third


def test_latest_is_found_in_a_folder_that_moved_and_by_a_relative_path(out, tmp_path, monkeypatch):
    day = add_day(out)
    moved = out.rename(tmp_path / "moved")
    assert latest(moved) == moved / "days" / day.name and (moved / "latest" / "tuned.json").is_file()
    monkeypatch.chdir(moved)
    assert latest(Path(".")) == Path("days") / day.name and history(Path("."), latest(Path("."))) == [Path(".")]


@pytest.mark.parametrize("name", ["elsewhere/../out", "link/../out", "link/out", "./out/days/.."])
def test_runs_are_the_same_however_their_folder_is_named(out, tmp_path, name):
    """With a link before "..", that is the folder the operating system finds, which is not beside the link."""
    for folder in ("elsewhere", "far/away", "far/out"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / ("far/away" if name == "link/../out" else "."))
    named = tmp_path / name
    (out / "days").mkdir()
    if name == "link/../out":
        add_adapter(tmp_path / "far" / "out")
    days = [add_day(named), add_day(named)]
    runs = [named, *days]
    assert all_runs(named) == runs and history(named, days[1]) == runs[:2] and latest(named) == days[1]
    assert Day(named, days[0]).before == Day(named, named) and Day(named, days[0]).before.is_first
    assert (tmp_path / ("far/out" if name == "link/../out" else "out") / "latest" / "tuned.json").is_file()
    assert prune(named, 0) == [named] and go_back(named) == days[0]


def test_without_a_link_the_newest_run_that_passed_is_taken(out):
    day = add_day(out)
    add_day(out, passed=False)
    (out / "latest").unlink()
    assert latest(out) == day


@pytest.mark.parametrize(
    "put", [Path.mkdir, lambda link: link.write_text("x"), lambda link: link.symlink_to("days/gone")]
)
def test_something_else_that_is_called_latest_is_named_and_kept(out, put):
    day = open_day(out, MONDAY)
    put(out / "latest")
    with pytest.raises(InputError, match=r"expected .*/latest to be a link to .*: remove it"):
        latest(out)
    if (out / "latest").is_dir():
        with pytest.raises(InputError, match=r"expected to make .*/latest a link to .*: move away what is there"):
            close_day(out, day, True, [])
        assert read_day(day).get("passed") is None and not (out / ".latest").is_symlink()


def test_one_command_goes_back_run_by_run_and_stops_at_the_first(out):
    add_day(out)
    add_day(out, passed=False)
    add_day(out)
    command = [sys.executable, "-m", "days.folders", "back", str(out)]
    found = []
    for _ in range(3):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        found.append((done.returncode, latest(out).name))
    assert found == [(0, "2026-11-30"), (0, "out"), (2, "out")]
    assert os.readlink(out / "latest") == "." and "found only the first: nothing is changed" in done.stderr
    assert add_day(out).name == "2026-11-30_4" and history(out, latest(out)) == [out]


def test_nobody_goes_back_while_a_run_works_or_to_weights_that_are_gone(out, tmp_path):
    day = add_day(out)
    with lock_folder(out), pytest.raises(InputError, match="to be free, found it in use"):
        go_back(out)
    (out / "lora" / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"expected the adapter of .*, found that it was removed"):
        go_back(out)
    assert latest(out) == day
    done = subprocess.run(
        [sys.executable, "-m", "days.folders", "back", str(tmp_path / "none")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and "found no folder" in done.stderr and not (tmp_path / "none").exists()


def test_the_oldest_weights_go_first_and_what_is_read_stays(out, caplog):
    days = [add_day(out, passed=number != 1) for number in range(4)]
    (days[0] / "export").mkdir()
    (days[0] / "export" / "model.safetensors").write_bytes(b"w" * 5000)
    (days[1] / "lora" / "checkpoint-7").mkdir()
    (days[1] / "lora" / "checkpoint-7" / "optimizer.pt").write_bytes(b"w" * 2000)
    assert prune(out, 12_000) == [] and not caplog.messages
    assert prune(out, 6_000) == [out, days[0]]
    assert sorted(path.name for path in (out / "lora").iterdir()) == ["log", "train_log.json"]
    assert not (days[0] / "export").exists() and (days[0] / "tuned.json").is_file() and (out / "tuned.json").is_file()
    assert prune(out, 0) == [days[1]], "the latest, and the one before it, stay"
    assert "2026-11-30_4" in str(latest(out)) and go_back(out) == days[2]
    assert "more than 0: those of the latest run" in caplog.messages[-1]


def test_an_open_day_and_the_runs_around_latest_after_going_back_are_not_pruned(out):
    days = [add_day(out) for _ in range(3)]
    go_back(out)
    working = add_day(out, passed=None)
    assert prune(out, 0) == [out, days[2]]
    assert [run for run in all_runs(out) if (run / "lora" / "adapter_model.safetensors").is_file()] == [
        days[0], days[1], working,
    ]  # fmt: skip


CHANGES = {"os.rename", "os.mkdir", "os.symlink", "os.remove", "os.rmdir"}


def killed(work: Callable[[], object], changes: int) -> bool:
    """Do `work` in a process that is killed before its next change to the disk after so many; whether it came that far."""
    child = os.fork()
    if child == 0:
        left = [changes]

        def count(event: str, _) -> None:
            left[0] -= event in CHANGES
            if left[0] < 0 and event in CHANGES:  # killing itself is an event too
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def kills(tmp_path: Path, prepare: Callable[[Path], object], work: Callable[[Path], object]) -> Iterator[Path]:
    """The folders of first runs, each `prepare`d, in which `work` was killed before its first, second, ... change."""
    for changes in itertools.count():
        out = tmp_path / str(changes)
        add_adapter(out)
        prepare(out)
        if not killed(lambda out=out: work(out), changes):
            assert changes >= 3, "it made as many changes as that"
            return
        yield out


def test_a_kill_while_a_day_is_opened_leaves_none_or_a_whole_one(tmp_path):
    for out in kills(tmp_path, add_day, lambda out: open_day(out, MONDAY)):
        assert latest(out).name == "2026-11-30" and [read_day(run)["before"] for run in all_runs(out)][:2] == [
            None,
            ".",
        ]
        day = open_day(out, MONDAY)
        assert day.name == "2026-11-30_2" and run_before(out, day) == latest(out)
        assert sorted(path.name for path in (out / "days").iterdir()) == ["2026-11-30", "2026-11-30_2"]


def test_a_kill_while_a_day_is_closed_leaves_it_open_and_closing_it_again_does_the_same(tmp_path):
    def close(out: Path) -> None:
        close_day(out, open_day(out, MONDAY), True, ["kept"])

    for out in kills(tmp_path, lambda out: (add_day(out), open_day(out, MONDAY)), close):
        assert latest(out).name in ("2026-11-30", "2026-11-30_2") and (out / "latest" / "log" / "day.json").is_file()
        day = all_runs(out)[-1]
        assert day.name == "2026-11-30_2" and history(out, day) == [out, out / "days" / "2026-11-30"]
        if read_day(day).get("passed") is None:
            assert open_day(out, TUESDAY) == day
            close(out)
        assert latest(out) == day and read_day(day)["why"] == ["kept"]
        assert sorted(path.name for path in out.iterdir()) == ["days", "latest", "lora", "tuned.json"]


def test_a_kill_while_weights_are_removed_leaves_no_half_adapter_and_the_next_time_removes_the_rest(tmp_path):
    def three_days(out: Path) -> None:
        for _ in range(3):
            add_day(out)

    for out in kills(tmp_path, three_days, lambda out: prune(out, 0)):
        days = all_runs(out)[1:]
        half = [run for run in (out, days[0]) if not (run / "lora" / "tokenizer.json").is_file()]
        assert not [run for run in half if (run / "lora" / "adapter_model.safetensors").is_file()]
        assert latest(out) == days[2] and (days[1] / "lora" / "tokenizer.json").is_file()
        prune(out, 0)
        for run in (out, days[0]):
            assert sorted(path.name for path in (run / "lora").iterdir()) == ["log", "train_log.json"]
