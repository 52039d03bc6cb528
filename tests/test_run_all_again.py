"""run_all.py started again on what it has made: nothing that is done is lost, and the record is of what was done."""

from __future__ import annotations

import json
import os
import time

import pytest
from clocks import handlers  # noqa: F401
from nights import ADAPTER, Killed, Nights, files_in, read
from test_day_after_day import DIRECTOR, HEAD, MANAGER, texts_of

from budget.clock import timestamp
from days.day import ANEW, BESIDE, ONWARD
from days.folders import all_runs, latest, read_day
from days.ledger import read_ledger
from utils import InputError

OLD, NEW, SAME = MANAGER.format("Perrin Ostlake"), MANAGER.format("Mavra Dunsel"), HEAD.format("Tobiah Quell")
BUDGETS = {"a budget": ("--time_budget", "20m"), "no budget": ()}


@pytest.fixture
def nights(tmp_path, monkeypatch, handlers, caplog) -> Nights:  # noqa: F811
    """The manager is another on day 2, and of day 3 the documents are those of day 1."""
    caplog.set_level("INFO")
    first, second = {"a": OLD, "b": SAME}, {"a": NEW, "b": SAME, "c": DIRECTOR}
    demo = texts_of(tmp_path / "demo", day1=first, day2=second, day3=first)
    return Nights(monkeypatch, demo, tmp_path / "out")


@pytest.fixture(params=BUDGETS)
def budget(request) -> tuple[str, ...]:
    return BUDGETS[request.param]


def make_again(run) -> None:
    """What the line that a run is not made again says is to be done for that."""
    (run / "run.json").unlink()
    for path in sorted((run / "lora").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (run / "lora").rmdir()


@pytest.mark.parametrize("day", [1, 2])
@pytest.mark.parametrize("again", BUDGETS)
def test_a_night_without_a_change_loses_nothing(nights, budget, day, again, caplog):
    for number in range(1, day + 1):
        nights.start(number, *budget)
    run = all_runs(nights.out)[-1]
    before = files_in(nights.out)
    nights.start(day, *BUDGETS[again])
    assert nights.done == [] and all_runs(nights.out)[-1] == run
    kept = {name for name, content in files_in(nights.out).items() if before.get(name) == content}
    if budget or BUDGETS[again]:
        said = f"no document has changed since {run}: nothing to do; to make it again, remove {run}/run.json and {run}/lora"
        assert kept == {*before} and said in caplog.text
    assert {name for name in before if "lora" in name or "data" in name or "tuned" in name} <= kept
    assert (nights.out / "latest" / "lora" / ADAPTER).is_file()

    make_again(run)
    nights.start(day, *BUDGETS[again])
    assert "training.launch" in nights.done and (run / "lora" / ADAPTER).is_file()
    assert all_runs(nights.out)[-1] == run and latest(nights.out) == run
    assert read_day(run)["passed"] and "ended" in read(run / "run.json")
    nights.start(day, *BUDGETS[again])
    assert nights.done == []


def test_a_day_that_was_killed_between_its_last_line_and_the_end_has_ended(nights, caplog):
    for number in (1, 2):
        nights.start(number, "--time_budget", "20m")
    day = all_runs(nights.out)[-1]
    state = read(day / "run.json") | {"deadline": timestamp(time.time() - 5)}
    del state["ended"]
    (day / "run.json").write_text(json.dumps(state))
    before = files_in(nights.out)
    nights.start(2, "--time_budget", "20m")
    assert files_in(nights.out) == before and "nothing to do" in caplog.text


def test_a_first_run_that_kept_no_account_of_its_documents_is_made_again_as_ever(nights):
    nights.start(1, "--time_budget", "20m")
    (nights.out / "log" / "documents.json").unlink()
    nights.start(1, "--time_budget", "20m")
    assert "training.launch" in nights.done


def test_a_day_that_did_not_pass_keeps_its_record_until_it_is_made_again_another_way(nights, budget, caplog):
    nights.start(1, *budget)
    nights.says = lambda row: "Nobody."
    nights.start(2, *budget)
    day = all_runs(nights.out)[-1]
    assert (read_day(day)["passed"], read_day(day)["way"], latest(nights.out)) == (False, ONWARD, nights.out)
    record, ledger, trained = read_day(day), read_ledger(nights.out), files_in(day / "lora")
    nights.start(2, *budget, "--way", ANEW, "--quiz", "True", "--finetune_args=--num_train_epochs 9")
    assert nights.done == [] and read_day(day) == record and files_in(day / "lora") == trained
    assert read_ledger(nights.out) == ledger and not (day / "quiz.json").exists()
    said = f"to train it anew instead of onward, remove {day}/run.json and {day}/lora"
    assert said in caplog.text and ANEW not in read_day(day).values()

    make_again(day)
    nights.says = lambda row: row["reference"]
    nights.start(2, *budget, "--way", ANEW)
    assert read(day / "lora" / ADAPTER) == read(day / "data.json") and read_day(day)["way"] == ANEW
    assert read_day(day)["passed"] and latest(nights.out) == day and all_runs(nights.out)[1:] == [day]
    shown = {one["text"]: one["exposures"].get(day.name) for one in read_ledger(nights.out).values()}
    assert shown == {OLD: None, NEW: 4.0, SAME: 4.0, DIRECTOR: 4.0}, "two wordings, two epochs"


def test_a_quiz_that_came_before_a_training_is_part_of_its_record(nights):
    """Of a first run too: what the base model knew was not trained."""
    nights.says = lambda row: "?"
    nights.start(1, "--quiz", "True")
    trained, ledger = files_in(nights.out / "lora"), read_ledger(nights.out)
    assert trained[ADAPTER] == (nights.out / "trained.json").read_bytes()
    nights.start(1)
    assert nights.done == [] and (nights.out / "trained.json").exists()
    assert files_in(nights.out / "lora") == trained and read_ledger(nights.out) == ledger


@pytest.mark.parametrize(("way", "other"), [(ONWARD, ANEW), (ANEW, BESIDE), (ONWARD, BESIDE)])
def test_killed_after_the_training_a_day_keeps_its_way(nights, budget, way, other):
    nights.start(1, *budget)
    nights.killed_in = "evaluate.py"
    with pytest.raises(Killed):
        nights.start(2, *budget, "--way", way)
    day = all_runs(nights.out)[-1]
    state = read(day / "run.json")
    for stage in state["stages"]:
        if stage["name"] == "fine-tuning":  # killed before it was written down that the training has ended
            del stage["seconds"], stage["steps"]
            stage["started"] = timestamp(time.time() - 60)
    state["stages"] = state["stages"][: [stage["name"] for stage in state["stages"]].index("fine-tuning") + 1]
    (day / "run.json").write_text(json.dumps(state))
    trained = files_in(day / "lora")
    nights.start(2, *budget, "--way", other)
    assert read_day(day)["way"] == way and files_in(day / "lora") == trained and "training.launch" not in nights.done
    assert read_day(day)["passed"] is not None


@pytest.mark.parametrize(("way", "other"), [(ONWARD, ANEW), (BESIDE, ONWARD)])
def test_killed_in_the_training_a_day_may_go_another_way(nights, budget, way, other):
    """What the way before has left is no checkpoint of this training, and a step of that name is none of it."""

    def save_checkpoint(run) -> None:
        for folder in ("lora", "beside"):
            (run / folder / "checkpoint-7").mkdir(parents=True)

    nights.start(1, *budget)
    nights.killed_in, nights.reached = ("training.combine" if way == BESIDE else "training.launch"), save_checkpoint
    with pytest.raises(Killed):
        nights.start(2, *budget, "--way", way)
    nights.start(2, *budget, "--way", other)
    day = all_runs(nights.out)[-1]
    rows = day / ("data.json" if other == ANEW else "today.json")
    assert read_day(day)["way"] == other and (day / "lora" / ADAPTER).read_bytes() == rows.read_bytes()
    assert not [*day.rglob("checkpoint-*")]


def test_an_adapter_that_was_removed_by_hand_is_trained_again(nights):
    """Without a budget, also where the training begins with replies of the run before in that folder."""
    nights.start(1)
    (nights.out / "lora" / "log" / "replay.journal.jsonl").write_text("a reply\n")
    nights.start(2)
    (day,) = all_runs(nights.out)[1:]
    os.replace(day / "lora", day / "gone")
    nights.start(2, "--way", ANEW)
    assert read(day / "lora" / ADAPTER) == read(day / "data.json") and read_day(day)["way"] == ANEW


def test_a_day_whose_adapter_was_removed_to_save_room_can_be_started_again(nights):
    nights.start(1)
    nights.says = lambda row: "Nobody."
    nights.start(2)
    day = all_runs(nights.out)[-1]
    (day / "lora" / ADAPTER).unlink()
    record = read_day(day)
    nights.start(2, "--way", ANEW)
    assert nights.done == [] and read_day(day) == record


REFUSED = [
    ("--time_budget", "60s"),
    ("--newer", "gone.txt"),
    ("--time_budget", "ten"),
    ("--retention_data_path", "none.json"),
]


@pytest.mark.parametrize("words", REFUSED)
def test_a_start_that_is_refused_opens_no_day(nights, words):
    nights.start(1)
    before = files_in(nights.out)
    with pytest.raises(InputError):
        nights.start(2, *words)
    assert files_in(nights.out) == before and not (nights.out / "days").exists()


@pytest.mark.parametrize("words", [("--time_budget", "60s"), ("--time_budget", "20m", "--plan_only", "True")])
def test_neither_a_refused_start_nor_a_plan_gives_a_day_a_new_deadline(nights, words):
    nights.start(1)
    nights.killed_in = "training.launch"
    with pytest.raises(Killed):
        nights.start(2, "--time_budget", "20m")
    day = all_runs(nights.out)[-1]
    state = read(day / "run.json") | {"deadline": timestamp(time.time() - 5)}
    (day / "run.json").write_text(json.dumps(state))
    if "60s" in words:
        with pytest.raises(InputError):
            nights.start(2, *words)
    else:
        nights.start(2, *words)
    assert read(day / "run.json") == state
    nights.start(2, "--time_budget", "20m")
    assert read_day(day)["passed"] and len(read(day / "run.json")["starts"]) == 1


def test_a_plan_opens_no_day_and_what_it_asked_is_that_of_the_day_to_come(nights, budget, capsys):
    nights.start(1, *budget)
    before = files_in(nights.out)
    nights.start(2, "--time_budget", "20m", "--plan_only", "True")
    assert "plan for 20.0 min" in capsys.readouterr().out and all_runs(nights.out) == [nights.out]
    after = files_in(nights.out)
    assert {name: after[name] for name in before} == before and {*after} - {*before} <= {
        name for name in after if name.startswith("days/.next/")
    }
    nights.start(1, "--time_budget", "20m")
    assert nights.done == [], "the documents are as they were"
    nights.start(2, "--time_budget", "20m")
    (day,) = all_runs(nights.out)[1:]
    replies = (day / "log" / "data.journal.jsonl").read_text().splitlines()
    assert replies == ["replies on day 1", "replies on day 2 for a plan", "replies on day 2"]
    assert len(read(day / "data.json")) > 1 and read_day(day)["passed"] and not (nights.out / "days" / ".next").exists()


def test_a_plan_takes_no_dataset_from_a_run_under_way_or_ended(nights, budget, caplog):
    nights.killed_in = "training.launch"
    with pytest.raises(Killed):
        nights.start(1, *budget)
    before = files_in(nights.out)
    with pytest.raises(InputError, match=r"expected no run under way with --plan_only, found one in .*run\.json"):
        nights.start(1, "--time_budget", "20m", "--plan_only", "True")
    assert files_in(nights.out) == before
    nights.start(1, *budget)
    before = files_in(nights.out)
    nights.start(1, "--time_budget", "20m", "--plan_only", "True")
    assert files_in(nights.out) == before and "nothing to do" in caplog.text


def test_a_day_that_came_to_nothing_before_its_change_was_undone_is_undone_too(nights, budget):
    nights.start(1, *budget)
    before = files_in(nights.out)

    def ask(run) -> None:
        with (run / "log" / "data.journal.jsonl").open("a") as journal:
            journal.write("a reply that was paid for\n")

    nights.killed_in, nights.reached = "data_processor/data_collection_local.py", ask
    with pytest.raises(Killed):
        nights.start(2, *budget)
    assert len(all_runs(nights.out)) == 2
    nights.start(3, *budget)
    assert nights.done == [] and all_runs(nights.out) == [nights.out]
    assert {name: content for name, content in files_in(nights.out).items() if name in before}.keys() == before.keys()
    nights.start(2, *budget)
    (day,) = all_runs(nights.out)[1:]
    assert "a reply that was paid for" in (day / "log" / "data.journal.jsonl").read_text() and read_day(day)["passed"]


def test_the_output_may_be_named_by_way_of_another_folder(tmp_path, nights):
    """Then too the facts of the first run are known as such, which are not compared with one another."""
    both = {"a": OLD, "b": NEW}
    nights.demo = texts_of(tmp_path / "others", day1=both, day2=both | {"c": SAME})
    (tmp_path / "elsewhere").mkdir()
    for day in (1, 2):
        nights.start(day, "--newer", "b.txt", out=tmp_path / "elsewhere" / ".." / "out")
    run = all_runs(nights.out)[-1]
    assert read(run / "superseded.json") == [] and read(run / "gone.json") == [] and latest(nights.out) == run
