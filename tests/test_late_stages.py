"""What becomes of a stage that is late, or fails after its work: what it wrote is used, and the run goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from clocks import handlers  # noqa: F401
from nights import ADAPTER, Killed, Nights, files_in, read
from test_day_after_day import HEAD, texts_of
from test_full_disk import full_disk
from test_run_all import new_run

from budget import run as run_module
from budget.clock import BudgetArguments, find_stage, timestamp
from budget.forecast import BASE, COLLECTION, EVALUATION, TRAINING, TUNED
from budget.run import Run
from budget.step import Step
from utils import InputError

ROOT = Path(__file__).resolve().parents[1]
WRITES = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from budget.clock import BudgetArguments, stage_clock
from provenance import write_meta
from utils import write_json
output, until = Path(sys.argv[1]), sys.argv[-1]

def write(meta=True):
    write_json(output, [1])
    if meta:
        write_meta(output, {{}}, time.time())

{work}
"""
LATE = """
with stage_clock(BudgetArguments(until=until), "inference", output.parent) as clock:
    with clock.interruptible():
        pass
    while not clock.stopped_by:  # work that the alarm does not cut, as after the machine has slept
        time.sleep(0.05)
    write()
"""
CRASHED = "write(); os.kill(os.getpid(), signal.SIGSEGV)"
DEAF = "write(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def asking(folder: Path, work: str, **options) -> Step:
    output = folder / "base.json"
    return Step("base", output, ["-c", WRITES.format(root=str(ROOT), work=work), str(output)], **options)


@pytest.fixture
def hasty(monkeypatch) -> None:
    for name, value in (("GRACE_S", 0.5), ("GRACE_SHARE", 0.0), ("MIN_STAGE_S", 1.0)):
        monkeypatch.setattr(run_module, name, value)


@pytest.mark.parametrize("work", [LATE, CRASHED, DEAF, "write(); raise RuntimeError"])
def test_what_a_stage_wrote_before_it_was_ended_or_failed_is_used(tmp_path, handlers, hasty, work, caplog):  # noqa: F811
    """Asked to end, a stage hands over what is complete; a driver may crash or hang where a process ends."""
    run = new_run(tmp_path, "5s" if work in (LATE, DEAF) else "100s")
    run.run_stage(BASE, [asking(tmp_path, work)])
    assert "seconds" in find_stage(run.state, BASE) and "base wrote all that it had, then ended" in caplog.text


@pytest.mark.parametrize(
    "work",
    [
        "write(meta=False); os.kill(os.getpid(), signal.SIGSEGV)",  # in the middle of its files
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "write(); sys.exit(3)",  # most calls failed
        "write(); sys.exit(2)",
    ],
)
def test_what_is_not_whole_or_not_to_be_relied_on_is_not_used(tmp_path, handlers, work):  # noqa: F811
    (tmp_path / "log").mkdir()
    for name in ("base.json", "log/base.meta.json"):  # of a start before
        (tmp_path / name).write_text("[]")
        os.utime(tmp_path / name, (1000, 1000))
    with pytest.raises(InputError, match="expected base to succeed, found exit code"):
        new_run(tmp_path).run_stage(BASE, [asking(tmp_path, work)])


def test_a_training_that_fails_after_its_last_file_has_ended(tmp_path, handlers):  # noqa: F811
    meta = tmp_path / "lora" / "training.meta.json"
    code = f"import pathlib, sys; p = pathlib.Path(r'{meta}'); p.parent.mkdir(); p.write_text('x'); sys.exit(1)"
    run = new_run(tmp_path)
    run.run_stage(TRAINING, [Step("fine-tuning", meta, ["-c", code], sealed=True, rescue=lambda: False)])
    assert "seconds" in find_stage(run.state, TRAINING)


def test_beyond_the_deadline_no_stage_has_a_share_of_a_long_run(tmp_path, handlers, monkeypatch):  # noqa: F811
    """A hundredth of a day, and as much again, would be half an hour after it."""
    run = new_run(tmp_path, "24h")
    assert [run._grace_after(run.deadline + seconds) for seconds in (-90_000, -5000, -600, -2, 60)] == pytest.approx(
        [864, 864, 600, 10, 10]
    )
    monkeypatch.setattr(run_module, "GRACE_S", 0.3)
    run.deadline, started = time.time() + 1, time.monotonic()
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    assert run.run_command(["-c", code], tmp_path, run.deadline, EVALUATION) == -signal.SIGKILL
    assert time.monotonic() - started < 10


def test_a_full_disk_ends_no_run_that_only_says_when_it_ends(tmp_path, handlers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(run_module, "REPORT_EVERY_S", 0.1)
    monkeypatch.setattr(run_module, "REPORT_EVERY_SHARE", 0.0)
    run = new_run(tmp_path)
    before = (tmp_path / "run.json").read_text()
    with full_disk(0):
        assert run.run_command(["-c", "import time; time.sleep(1)"], tmp_path, time.time() + 60, COLLECTION) == 0
    assert run.state["etas"] and (tmp_path / "run.json").read_text() == before


def past(out: Path) -> None:
    """As if the deadline were over."""
    state = read(out / "run.json") | {"deadline": timestamp(time.time() - 60)}
    (out / "run.json").write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("killed_in", "done"),
    [
        ("evaluate.py", ["evaluate.py"]),
        ("training.launch", ["training.launch", "inference.py", "evaluate.py"]),
        ("inference.py", ["training.launch", "inference.py", "evaluate.py"]),  # the base model's stage
    ],
)
def test_after_its_deadline_a_run_can_be_finished_without_one(tmp_path, monkeypatch, handlers, killed_in, done):  # noqa: F811
    """Removing run.json, as the message said alone, began anew, and its first act was to remove the adapter."""
    nights = Nights(monkeypatch, texts_of(tmp_path / "demo", day1={"a": HEAD.format("Tobiah Quell")}), tmp_path / "out")
    nights.killed_in = killed_in
    with pytest.raises(Killed):
        nights.start(1, "--time_budget", "20m")
    past(nights.out)
    before = files_in(nights.out)
    with pytest.raises(InputError, match="which has passed: start without --time_budget or --until to finish"):
        nights.start(1, "--time_budget", "20m")
    assert nights.done == [] and files_in(nights.out) == before
    nights.start(1)
    assert nights.done == done and (nights.out / "lora" / ADAPTER).is_file()
    state = read(nights.out / "run.json")
    assert "ended" in state and not {"deadline", "budget_seconds", "etas"} & state.keys() and len(state["starts"]) == 2
    assert all("seconds" in stage for stage in state["stages"])


def test_a_deadline_ahead_stays_whatever_is_asked(tmp_path, handlers):  # noqa: F811
    run = new_run(tmp_path)
    for budget in (BudgetArguments(), BudgetArguments(time_budget="5h")):
        assert Run(budget, tmp_path).deadline == pytest.approx(run.deadline, abs=0.01)
    run.state["stages"] = [{"name": name, "started": timestamp(run.started), "seconds": 1.0} for name in (TUNED,)]
    run.end()
    assert not Run(BudgetArguments(), tmp_path).limited, "it has ended"
