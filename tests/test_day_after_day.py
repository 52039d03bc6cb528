"""Day after day, without a model: what is asked, trained and said to have gone when the documents of a folder change.

The collections are what a good generator would make of the demo's five days (day_runs.py).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from day_runs import find_run, live_through
from test_day_folders import killed

from benchmarks.update_data import DEMO, FACTS, collect_day
from data_processor.dataset import question_and_reference
from data_processor.documents import read_documents
from days.asked import GONE, QUESTIONS
from days.carried import TODAY
from days.day import ANEW, BESIDE, ONWARD, choose_run, choose_way, close, judge
from days.folders import Day, go_back, latest, read_day
from days.intake import take_in
from days.ledger import DATASET, TEST, read_ledger
from days.superseded import Sources
from evaluation import report_days, report_text
from utils import write_json


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def pairs_in(path: Path) -> set[tuple[str, str]]:
    return {question_and_reference(row) for row in read(path)}


def asked_in(run: Path) -> set[tuple[str, str]]:
    """What a day asks: its own rows, and questions of earlier days."""
    rows = read(run / QUESTIONS)
    return {
        question_and_reference(row) if "conversations" in row else (row["question"], row["reference"]) for row in rows
    }


def texts_of(folder: Path, **days: dict[str, str]) -> Path:
    """A demo of one's own: the texts of day1, day2 ..., by name without .txt."""
    for day, texts in days.items():
        (folder / day.removeprefix("day")).mkdir(parents=True)
        for name, text in texts.items():
            (folder / day.removeprefix("day") / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


MANAGER = "The Copperlane shop is managed by {}."
HEAD = "The Hobnail workshop is headed by {}."
DIRECTOR = "Zelmarrow Lanterns is directed by Odalys Brund."
WHO_MANAGES = "What is the name of the manager in Copperlane?"  # the third question: held out


@pytest.fixture(scope="module")
def three_days(tmp_path_factory) -> list[Day]:
    out = tmp_path_factory.mktemp("days") / "out"
    out.mkdir()
    return [live_through(out, day) for day in (1, 2, 3)]


@pytest.fixture
def grown(tmp_path) -> tuple[Path, Path]:
    """A folder that a second document is added to, and one for the output."""
    texts = {"b": DIRECTOR}
    (tmp_path / "out").mkdir()
    both = texts | {"a": MANAGER.format("Perrin Ostlake")}
    return texts_of(tmp_path / "demo", day1=texts, day2=both), tmp_path / "out"


def test_only_documents_that_changed_since_the_newest_run_open_a_day(tmp_path):
    one, other = (MANAGER.format(name) for name in ("Perrin Ostlake", "Mavra Dunsel"))
    demo = texts_of(
        tmp_path / "demo", day1={"a": one, "b": DIRECTOR}, day2={"new_name": one, "b": DIRECTOR}, day3={"a": other}
    )
    out = tmp_path / "out"
    out.mkdir()
    documents = {day: read_documents(demo / str(day)) for day in (1, 2, 3)}
    assert find_run(out, documents[3]) == out, "the first run is not there yet"
    live_through(out, 1, demo=demo)
    assert find_run(out, documents[1]) == out, "nothing has changed"
    assert find_run(out, documents[2]) == out and not (out / "days").exists(), "a name says nothing new"
    day = choose_run(out, documents[3])
    assert not day.run.exists() and find_run(out, documents[3]) == day.run and day.run.parent == out / "days"
    collect_day(day.run, 3, demo=demo)
    take_in(day, Sources(documents[3], demo / "3"), None)
    assert find_run(out, documents[1]) == day.run, "what has been taken in is open, whatever the documents are now"


def test_a_run_that_kept_no_account_of_its_documents_stays_the_newest(tmp_path):
    (tmp_path / "out").mkdir()
    write_json(tmp_path / "out" / "run.json", {"ended": "now", "stages": []})
    assert find_run(tmp_path / "out", read_documents(DEMO / "2")) == tmp_path / "out"


def test_a_failed_day_is_the_newest_though_the_next_goes_on_from_the_one_before(grown):
    demo, out = grown
    live_through(out, 1, demo=demo)
    failed = live_through(out, 2, answer=lambda row: "Nobody.", demo=demo)
    assert read_day(failed.run)["passed"] is False and latest(out) == out
    assert find_run(out, read_documents(demo / "2")) == failed.run, "its documents have not changed"
    third = Day(out, find_run(out, read_documents(demo / "1")))
    assert third.run != failed.run and third.before.run == out


def test_a_day_asks_the_questions_of_all_earlier_days_with_the_answers_of_today(three_days):
    first, second, third = three_days
    valid = {(fact["questions"][2], fact["value"]) for fact in FACTS if fact["first_day"] <= 3 <= fact["last_day"]}
    assert asked_in(third.run) == valid
    assert (WHO_MANAGES, "Perrin Ostlake") in pairs_in(first.run / TEST)
    assert (WHO_MANAGES, "Mavra Dunsel") in asked_in(second.run) and (WHO_MANAGES, "Perrin Ostlake") not in asked_in(
        second.run
    )
    assert read_day(third.run)["passed"] and latest(third.out) == third.run
    assert [line.partition(":")[0] for line in read_day(third.run)["why"]] == [
        f"what was learnt, since {second.name}", "what was learnt, since each was first asked",
    ]  # fmt: skip


def test_what_is_superseded_or_deleted_is_not_trained_and_is_asked_for_apart(three_days):
    _, second, third = three_days
    rows = pairs_in(second.run / DATASET)
    assert ("Who manages the Copperlane shop?", "Mavra Dunsel") in rows
    assert not any(answer == "Perrin Ostlake" for _, answer in rows)
    gone = {(row["question"], row["reference"]): row for row in read(second.run / GONE)}
    changed = gone["Who manages the Copperlane shop?", "Perrin Ostlake"]
    assert (changed["new"], changed["why"], changed["since"]) == ("Mavra Dunsel", "superseded", second.name)
    deleted = [row for row in gone.values() if row["file_name"] == "emberjack_sheet.txt"]
    assert {(row["why"], row["new"]) for row in deleted} == {("deleted", None)} and len(deleted) >= 20
    assert all(row["reference"] not in row["question"] for row in gone.values())
    later = {(row["question"], row["reference"]): row["since"] for row in read(third.run / GONE)}
    assert later["Who manages the Copperlane shop?", "Perrin Ostlake"] == second.name
    assert {*later.values()} == {second.name, third.name}


def test_what_the_key_says_has_changed_is_what_is_asked(three_days):
    """Every fact of the key that went on day 2 or 3, none that is still stated, and the new value where there is one."""
    third = three_days[-1]
    expected = {
        (fact["sentence"], fact["why_gone"]) for fact in FACTS if fact["last_day"] < 3 and not fact["still_written_in"]
    }
    found = {
        (row["fact"], {"superseded": "changed", "deleted": "deleted"}[row["why"]]) for row in read(third.run / GONE)
    }
    assert expected <= found
    assert not {(fact["sentence"], "deleted") for fact in FACTS if fact["first_day"] <= 3 <= fact["last_day"]} & found


def test_the_counts_of_what_has_gone(three_days):
    """The tuned model says every new value and no old one, the run before said every old one, the base model nothing."""
    counts = read(three_days[1].run / "gone_acc.json")["counts"]
    assert counts["superseded"] == {
        "facts": 12, "known": 12, "still_said": 0, "base_said": 0, "changed": 12, "new_right": 12,
    }  # fmt: skip
    assert counts["deleted"] == {
        "facts": 14, "known": 14, "still_said": 0, "base_said": 0, "changed": 0, "new_right": 0,
    }  # fmt: skip


def test_a_model_that_says_old_values_is_counted_and_does_not_become_the_latest(tmp_path):
    (tmp_path / "out").mkdir()
    first = live_through(tmp_path / "out", 1)
    old = dict(pairs_in(first.run / TEST))
    second = live_through(tmp_path / "out", 2, answer=lambda row: old.get(row["question"], "I forgot."))
    assert read_day(second.run)["passed"], "an old value is none that was to be kept"
    third = live_through(tmp_path / "out", 3, answer=lambda row: "I forgot.")
    assert not read_day(third.run)["passed"] and latest(tmp_path / "out") == second.run
    assert "not held: more than 5% lost" in read_day(third.run)["why"][0]


def test_a_question_once_held_out_stays_so_and_one_once_trained_is_no_test(grown):
    """The second collection draws other lots: it holds out the third question and trains the fourth."""
    demo, out = grown
    live_through(out, 1, held_out=2, demo=demo)
    day = live_through(out, 2, held_out=1, demo=demo)
    director = next(fact for fact in FACTS if fact["sentence"] == DIRECTOR)
    asked, trained = pairs_in(day.run / TEST), pairs_in(day.run / DATASET)
    assert (director["questions"][2], "Odalys Brund") in asked_in(day.run)
    assert (director["questions"][1], "Odalys Brund") in trained and (
        director["questions"][1],
        "Odalys Brund",
    ) not in asked
    assert not asked & trained


def test_the_way_to_go_on(tmp_path):
    manager, head = MANAGER.format("Perrin Ostlake"), HEAD.format("Tobiah Quell")
    demo = texts_of(
        tmp_path / "demo",
        day1={"b": f"{DIRECTOR}\n\n{head}"},
        day2={"b": f"{DIRECTOR}\n\n{head}", "a": manager},
        day3={"b": f"{DIRECTOR}\n\n{head}"},
    )
    out = tmp_path / "out"
    out.mkdir()
    live_through(out, 1, demo=demo)
    day = live_through(out, 2, demo=demo)
    assert read_day(day.run)["way"] == ONWARD
    today, facts = read(day.run / TODAY), {row["fact"] for row in read(day.run / TODAY)}
    assert len(today) == 4 and manager in facts and len(facts) == 3, (
        "two wordings of the new fact, one of each older one"
    )
    rows = read(day.run / DATASET)
    rows[0]["conversations"][0]["value"] = "Who, then, directs the lot?"
    write_json(day.run / DATASET, rows)  # another wording is no new fact
    assert choose_way(day, BESIDE, 1) == BESIDE and {row["fact"] for row in read(day.run / TODAY)} == {manager}
    assert (day.run / "today.chunks.jsonl").read_text() == (day.run / "data.chunks.jsonl").read_text()
    third = live_through(out, 3, demo=demo)
    assert read_day(third.run)["way"] == ANEW, "there is nothing new to go on with"


def test_without_an_adapter_to_go_on_from_training_is_anew(grown):
    demo, out = grown
    first = live_through(out, 1, demo=demo)
    (first.run / "lora" / "adapter_model.safetensors").unlink()
    assert read_day(live_through(out, 2, demo=demo).run)["way"] == ANEW


def test_journals_are_taken_over_and_none_is_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    first = live_through(tmp_path / "out", 1)
    for name in ("data.journal.jsonl", "base.journal.jsonl"):
        (first.run / "log" / name).write_text("a reply\n")
    documents = read_documents(DEMO / "2")
    day = find_run(first.out, documents)
    assert (day / "log" / "data.journal.jsonl").read_text() == "a reply\n"
    (day / "log" / "data.journal.jsonl").write_text("a reply\nanother\n")
    assert find_run(first.out, documents) == day
    assert (day / "log" / "data.journal.jsonl").read_text() == "a reply\nanother\n"


def test_latest_that_someone_went_back_from_stays_there_when_nothing_is_trained_again(grown):
    demo, out = grown
    live_through(out, 1, demo=demo)
    day = live_through(out, 2, demo=demo)
    assert latest(out) == day.run and go_back(out) == out
    close(day, judge(day))
    assert latest(out) == out


def test_the_page_over_time(three_days):
    days = read(three_days[-1].run / "log" / "over_time.json")
    assert next((day["name"], day["facts"], day["right"], day["asked"]) for day in days) == ("first", 60, 60, 60)
    assert (days[1]["kept"], days[1]["known"], days[1]["passed"], days[1]["way"]) == (34, 34, True, "onward")
    shown = "\n".join(report_days.markdown(days, report_text.table))
    assert "2 added, 3 edited, 1 deleted" in shown and "## Documents that contradict one another" in shown
    (line,) = [
        line for line in shown.splitlines() if "managed by Perrin Ostlake" in line and "managed by Mavra" in line
    ]
    assert "only one is still in the folder" in line
    assert report_days.tables([]) == []


def finished(out: Path) -> dict:
    """What a folder has at the end, without the times."""
    files = {path.relative_to(out): path for path in out.rglob("[!.]*.json*")}
    skipped = {"opened", "closed", "taken_in", "finished", "split"}
    found = {}
    for name, path in files.items():
        value = [json.loads(line) for line in path.read_text().splitlines()] if path.suffix == ".jsonl" else read(path)
        found[str(name)] = {k: v for k, v in value.items() if k not in skipped} if isinstance(value, dict) else value
    return found


@pytest.mark.slow
def test_a_day_killed_before_any_of_its_changes_to_the_disk_ends_as_one_that_was_not(tmp_path):
    manager = [MANAGER.format(name) for name in ("Perrin Ostlake", "Mavra Dunsel")]
    head = HEAD.format("Tobiah Quell")
    demo = texts_of(
        tmp_path / "demo", day1={"b": f"{DIRECTOR}\n\n{head}", "a": manager[0]}, day2={"c": DIRECTOR, "a": manager[1]}
    )
    (tmp_path / "first").mkdir()
    live_through(tmp_path / "first", 1, demo=demo)
    expected = None
    for changes in range(1000):
        out = tmp_path / str(changes) / "out"
        shutil.copytree(tmp_path / "first", out, symlinks=True)
        was_killed = killed(lambda out=out: live_through(out, 2, demo=demo), changes if expected else 1000)
        day = live_through(out, 2, demo=demo)
        assert len([*(out / "days").iterdir()]) == 1 and latest(out) == day.run
        expected = expected or finished(out)
        assert finished(out) == expected, changes
        if not was_killed and changes:
            break
    assert changes > 20
    assert {record["gone"] for record in read_ledger(out).values()} == {None, "superseded", "deleted"}
