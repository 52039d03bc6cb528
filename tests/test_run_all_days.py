"""run_all.py on a folder that changes: the real scripts, a generator behind a real server, a model of three layers."""

from __future__ import annotations

import os

import pytest
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

from days.folders import all_runs, latest, read_day
from days.ledger import read_ledger


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
