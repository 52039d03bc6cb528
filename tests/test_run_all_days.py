"""run_all.py on a folder that changes: the real scripts, a generator behind a real server, a model of three layers."""

from __future__ import annotations

import json
import os
import time

import pytest
from clocks import handlers  # noqa: F401
from day_runs import live_through
from day_server import (
    FIRST_DAY,
    NEWS,
    SECOND_DAY,
    command_of_day,
    generator,
    kill_once,
    read,
    run_day,
    write_texts,
)

import run_all
from benchmarks.update_data import DEMO
from budget.clock import BudgetArguments, timestamp
from budget.forecast import StartupTimes
from budget.run import Run
from data_processor.documents import read_documents
from days.folders import Day, all_runs, latest, open_day, read_day
from days.ledger import read_ledger

STARTS = StartupTimes(asking=1.0, training=1.0)


def arguments_of(out, day: int) -> run_all.Arguments:
    return run_all.Arguments(model_name_or_path="m", data_path=str(DEMO / str(day)), out=str(out))


@pytest.mark.parametrize(("seconds", "kept"), [(-5, False), (500, True)])
def test_a_day_whose_deadline_passed_while_nothing_ran_gets_a_new_one(tmp_path, seconds, kept):
    """A night that was killed must not be in the way of the next: with a first run, the user is told what to remove."""
    (tmp_path / "out").mkdir()
    live_through(tmp_path / "out", 1)
    day = open_day(tmp_path / "out")
    state = {"started": timestamp(time.time() - 9000), "deadline": timestamp(time.time() + seconds), "stages": []}
    (day / "run.json").write_text(json.dumps(state))
    arguments = arguments_of(tmp_path / "out", 2)
    assert run_all.find_day(arguments, read_documents(DEMO / "2")).run == day and arguments.out == str(day)
    assert (day / "run.json").exists() == kept


@pytest.mark.parametrize("budget", ["10h", None])
def test_a_closed_day_is_not_made_again_when_nothing_has_changed(tmp_path, handlers, caplog, budget):  # noqa: F811
    """With a budget a run that has ended would begin anew: every night of a cron job in which nothing has changed."""
    out = tmp_path / "out"
    out.mkdir()
    live_through(out, 1)
    live_through(out, 2)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    arguments, documents = arguments_of(out, 2), read_documents(DEMO / "2")
    day = run_all.find_day(arguments, documents)
    assert day == Day(out, all_runs(out)[-1])
    (day.run / "run.json").unlink(missing_ok=True)
    before.pop(day.run / "run.json")
    with caplog.at_level("INFO"):
        run_all.run_stages(Run(BudgetArguments(time_budget=budget), day.run), day, STARTS, arguments, documents)
    assert f"no document has changed since {day.run}: nothing to do" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_changed_folder_is_a_day_of_its_own_whatever_is_killed(tiny_model_path, tmp_path):
    out = tmp_path / "out"
    with generator() as server:
        write_texts(tmp_path / "texts", FIRST_DAY)
        run_day(tiny_model_path, server, tmp_path)
        assert os.readlink(out / "latest") == "." and len(read_ledger(out)) == 8
        assert "[fine-tuning] already finished" in run_day(tiny_model_path, server, tmp_path)
        assert all_runs(out) == [out], "nothing has changed"

        write_texts(tmp_path / "texts", SECOND_DAY)
        command = command_of_day(tiny_model_path, server, tmp_path)
        asked = len(server.calls)
        reached = (
            "log/day.json", "log/candidates.json", "log/contradictions.json", "superseded.json",
            "lora/adapter_model.safetensors", "tuned_acc.json",
        )  # fmt: skip
        for name in reached:
            kill_once(command, lambda name=name: any((day / name).exists() for day in all_runs(out)[1:]))
            assert latest(out) == out and read_day(all_runs(out)[-1]).get("passed") is None
        said = run_day(tiny_model_path, server, tmp_path)
        assert "[collection] already finished" in said and "documents changed" not in said
        (day,) = all_runs(out)[1:]
        prompts = [call["body"]["messages"][-1]["content"] for call in server.calls[asked:]]
        assert not any("List every fact" in prompt and "Duskling" in prompt for prompt in prompts), "read before"
        assert any("List every fact" in prompt and "Grisholm" in prompt for prompt in prompts)
        assert sum("Two statements" in prompt for prompt in prompts) == 1, "asked once, however often it was killed"
        check_second_day(out, day)

        write_texts(tmp_path / "texts", SECOND_DAY | {"news.txt": NEWS})
        run_day(tiny_model_path, server, tmp_path, "--way", "beside")
    third = all_runs(out)[-1]
    assert read_day(third)["way"] == "beside" and read(third / "lora" / "adapter_config.json")["r"] == 8
    facts, before = ({row["fact"] for row in read(path) if row["kind"] in ("qa", "reverse")}
                     for path in (third / "today.json", day / "data.json"))  # fmt: skip
    assert facts and not facts & before and all("Quillmere" in fact for fact in facts - before)
    assert latest(out) == third and read(third / "tuned.json")


def check_second_day(out, day) -> None:
    """One file was edited and one added: a manager is another person now."""
    state = read_day(day)
    assert (state["before"], state["passed"], state["way"]) == (".", True, "onward") and latest(out) == day
    assert (state["changes"]["added"], state["changes"]["edited"]) == (["fair.txt"], ["hours.txt"])
    pairs = {pair["decided_by"]: (pair["old"]["value"], pair["new"]["value"]) for pair in read(day / "superseded.json")}
    assert pairs == {"rule": ("Perrin Ostlake", "Mavra Dunsel"), "model": ("64 euros", "59 euros")}
    trained = [turn["value"] for row in read(day / "data.json") for turn in row["conversations"]]
    assert not any("Perrin Ostlake" in text or "64 euros" in text for text in trained)
    went = {pair["old"]["text"] for pair in read(day / "superseded.json")}
    assert {row["fact"] for row in read(day / "gone.json")} == went
    assert all(read(day / f"gone_{model}.json") for model in ("base", "before", "tuned"))
    asked = {row["question"] for row in read(day / "tuned.json")}
    gone = {row["question"] for row in read(out / "tuned.json") if row["fact"] in went}
    assert {row["question"] for row in read(out / "tuned.json") if row["kind"] != "unknown"} <= asked | gone
    learnt = [record["learnt"].keys() for record in read_ledger(out).values()]
    assert {"first", day.name} in learnt and len(read_ledger(out)) == 12
    assert "## Over time" in (day / "report.md").read_text() and "## Over time" not in (out / "report.md").read_text()
