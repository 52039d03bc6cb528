"""--quiz: the base model is asked first, what it knows is replayed, and only the rest is trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from clocks import handlers  # noqa: F401
from day_runs import live_through
from day_server import FIRST_DAY, SECOND_DAY, command_of_day, generator, kill_once, read, run_day, write_texts
from test_day_after_day import DIRECTOR, HEAD, MANAGER, texts_of
from test_forecast import ROUND
from test_run_all import arguments

from benchmarks.update_data import collect, row
from budget import forecast
from budget.forecast import BASE, TRAINING
from budget.stages import GoingOn, Quiz, build_steps, remove_outputs
from days.day import ANEW, BESIDE, ONWARD, choose_way, judge, prepare_quiz, use_base_answers
from days.folders import Day, all_runs
from days.known import QUIZ, QUIZ_BASE, TRAINED, leave_out_known, quiz_verdicts, write_quiz
from days.ledger import add_facts, read_ledger, rows_of
from days.measured import add_answers
from utils import write_json

OPENS, SINKS = "The bridge opened in 1961.", "The pier sank in 1987."
ROWS = [
    row(0, OPENS, "When did the bridge open?", "1961"), row(1, OPENS, "What opened in 1961?", "the bridge", kind="reverse"),
    row(2, OPENS, "In which year was the bridge opened?", "1961"), row(3, OPENS, "Did it open in 1961?", "Yes.", form="yes_no"),
    row(4, SINKS, "When did the pier sink?", "1987"), row(5, SINKS, "In which year was the pier lost?", "1987"),
    row(6, SINKS, "Which came first?", "the bridge", form="two"),
    row(7, "", "Tell me about the bridge.", f"{OPENS} {SINKS}", kind="passage", quote=None),
    row(8, "", "Who painted the pier?", "That is not known.", kind="unknown", quote=None),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> Path:
    return collect(tmp_path / "run", {"a.txt": f"{OPENS} {SINKS}"}, ROWS)


def answer(run: Path, *responses: str | None) -> None:
    """Write what inference.py does for the questions of the quiz; None: there was no time for one."""
    asked = read(run / QUIZ)
    rows = []
    for one, response in zip(asked, responses, strict=True):
        question, reference = (turn["value"] for turn in one["conversations"])
        told = {key: one[key] for key in ("id", "fact", "file_name", "kind", "source")}
        error = {"error": "no time"} if response is None else {}
        rows.append({**told, "question": question, "reference": reference, "response": response or "", **error})
    write_json(run / QUIZ_BASE, rows)


def trained(run: Path) -> dict[str, str]:
    """What is trained, by question, as the answer and its kind."""
    return {
        one["conversations"][0]["value"]: (one["conversations"][1]["value"], one["kind"]) for one in read(run / TRAINED)
    }


def test_what_is_known_leaves_the_training_and_its_answers_are_replayed(folder, caplog):
    caplog.set_level("INFO")
    assert write_quiz(folder, "data.json")
    assert [one["id"] for one in read(folder / QUIZ)] == [f"identity_{n}" for n in (0, 1, 4, 5)]
    answer(folder, "It was in 1961, I think.", "The bridge.", "In 1987.", "In 1988.")
    leave_out_known(folder, "data.json")
    rows = trained(folder)
    assert list(rows) == [turns[0]["value"] for turns in (one["conversations"] for one in ROWS[4:])] + [
        "When did the bridge open?", "What opened in 1961?",
    ]  # fmt: skip
    assert rows["When did the bridge open?"] == ("It was in 1961, I think.", "replay"), "in the base model's own words"
    assert rows["When did the pier sink?"] == ("1987", "qa"), "one of its two answers was wrong"
    assert "knows 1 of 2 facts, by its answers to 4 of 4 questions" in caplog.text
    assert read(folder / "data.json") == ROWS, "a person reads the whole of it"
    assert (folder / "trained.chunks.jsonl").read_text() == (folder / "data.chunks.jsonl").read_text()
    once = (folder / TRAINED).read_bytes()
    leave_out_known(folder, "data.json")
    assert (folder / TRAINED).read_bytes() == once


@pytest.mark.parametrize("responses", [("1961", None, "1987", "1988"), (None,) * 4, None])
def test_a_fact_is_unknown_without_an_answer_to_each_of_its_questions(folder, responses):
    write_quiz(folder, "data.json")
    if responses:
        answer(folder, *responses)
    leave_out_known(folder, "data.json")
    assert read(folder / TRAINED) == ROWS


def test_answers_to_an_earlier_list_say_nothing_and_those_to_this_one_are_found_whatever_its_ids(folder):
    write_quiz(folder, "data.json")
    answer(folder, "1961", "the bridge", "1987", "1987")
    changed = [one | {"id": f"identity_{n + 3}"} for n, one in enumerate(ROWS)]
    changed[4] = row(7, SINKS, "In what year did the pier sink?", "1987")
    write_json(folder / "data.json", changed)
    write_quiz(folder, "data.json")
    leave_out_known(folder, "data.json")
    assert [verdict["id"] for verdict in quiz_verdicts(folder)] == ["identity_3", "identity_4", "identity_8"]
    assert set(trained(folder)) >= {"In what year did the pier sink?", "In which year was the pier lost?"}
    assert trained(folder)["When did the bridge open?"] == ("1961", "replay")
    assert "In which year was the bridge opened?" not in trained(folder)


def test_rows_that_name_no_fact_are_not_asked_as_one(folder):
    """In a dataset from elsewhere all rows would be one fact, of which two right answers would take all."""
    bare = [{key: value for key, value in one.items() if key not in ("fact", "source")} for one in ROWS]
    write_json(folder / "data.json", bare)
    write_json(folder / TRAINED, ROWS)
    assert not write_quiz(folder, "data.json") and not (folder / QUIZ).exists()
    assert not (folder / TRAINED).exists(), "else it would be taken for what is trained"


def test_the_ledger_says_what_was_known(folder):
    write_quiz(folder, "data.json")
    answer(folder, "1961", "the bridge", "In 1987.", None)
    records: dict[str, dict] = {}
    add_facts(records, rows_of(folder), {}, "first")
    add_answers(records, quiz_verdicts(folder), [], "first")
    assert {record["text"]: record["known_before"] for record in records.values()} == {OPENS: 1.0, SINKS: 1.0}
    answer(folder, "1961", "a tunnel", "In 1988.", None)
    add_answers(records, quiz_verdicts(folder), [], "first")
    assert {record["text"]: record["known_before"] for record in records.values()} == {OPENS: 1.0, SINKS: 0.0}


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> Path:
    """A second day: a manager is another person, a document is new, and one has stayed."""
    folder = tmp_path_factory.mktemp("days")
    first, second = (MANAGER.format(name) for name in ("Perrin Ostlake", "Mavra Dunsel"))
    same = HEAD.format("Tobiah Quell")
    demo = texts_of(folder / "demo", day1={"a": first, "b": same}, day2={"a": second, "b": same, "c": DIRECTOR})
    (folder / "out").mkdir()
    for number in (1, 2):
        live_through(folder / "out", number, demo=demo)
    return folder / "out"


@pytest.fixture
def day(lived, tmp_path) -> Day:
    out = shutil.copytree(lived, tmp_path / "out", symlinks=True)
    return Day(out, all_runs(out)[-1])


@pytest.mark.parametrize(
    ("way", "asked", "rows", "shares"),
    [
        (ANEW, {MANAGER.format("Mavra Dunsel"), HEAD.format("Tobiah Quell"), DIRECTOR}, "data.json", {0.667}),
        (ONWARD, {HEAD.format("Tobiah Quell"), DIRECTOR}, "today.json", {0.5, 0.667}),
        (BESIDE, {DIRECTOR}, "today.json", {0.667}),
    ],
)
def test_each_way_asks_what_it_would_train_but_what_an_adapter_was_taught_otherwise(day, way, asked, rows, shares):
    choose_way(day, way, 1)
    assert prepare_quiz(day, wanted=True)
    assert {one["fact"] for one in read(day.run / QUIZ)} == asked
    answer(day.run, *(one["conversations"][1]["value"] for one in read(day.run / QUIZ)))
    use_base_answers(day)
    left = {one["fact"] for one in read(day.run / TRAINED) if one["kind"] != "replay"}
    assert left == {one["fact"] for one in read(day.run / rows)} - asked
    assert {one["fact"] for one in read(day.run / TRAINED) if one["kind"] == "replay"} == asked
    write_json(day.run / "beside" / "train_log.json", {"plan": {"epochs": 2}})
    judge(day)
    records = {record["text"]: record for record in read_ledger(day.out).values()}
    assert {text for text, record in records.items() if day.name in record["exposures"]} == left
    known = {records[fact]["known_before"] for fact in asked}
    assert known == shares, "right on one or two questions of the quiz, and wrong on the test question"
    assert not prepare_quiz(day, wanted=False)
    use_base_answers(day)
    assert not (day.run / QUIZ).exists() and not (day.run / TRAINED).exists()


@pytest.mark.parametrize("limited", [True, False])
def test_the_base_is_asked_last_before_the_training_and_need_not_answer(tmp_path, limited):
    quiz = Quiz(tmp_path / QUIZ, tmp_path / TRAINED, tmp_path / "data.test.json")
    asked = arguments(tmp_path, retention_data_path="r.json", inference_args="--max_new_tokens 5")
    step = build_steps(asked, limited, quiz=quiz)[BASE][-1]
    assert (step.name, step.output, step.needed, step.part) == ("quiz_base", tmp_path / QUIZ_BASE, False, 1.0)
    assert step.command[step.command.index("--test_data_path") + 1] == str(tmp_path / QUIZ)
    assert "--lora_weights" not in step.command and step.command[-2:] == ["--max_new_tokens", "5"]
    assert len(build_steps(asked, limited)[BASE]) == (2 if limited else 0)


@pytest.mark.parametrize("rows", [None, "today.json"])
def test_what_the_quiz_leaves_is_trained(tmp_path, rows):
    going_on = GoingOn(tmp_path / "before", rows=tmp_path / rows) if rows else None
    quiz = Quiz(tmp_path / QUIZ, tmp_path / TRAINED, tmp_path / "data.test.json")
    (train,) = build_steps(arguments(tmp_path), going_on=going_on, quiz=quiz)[TRAINING]
    assert train.command[train.command.index("--data_path") + 1] == str(tmp_path / TRAINED)
    assert train.command[train.command.index("--recall_data_path") + 1] == str(tmp_path / "data.test.json")
    assert ("--lora_weights" in train.command) == bool(rows)
    without = Quiz(tmp_path / QUIZ, tmp_path / TRAINED)
    assert "--recall_data_path" not in build_steps(arguments(tmp_path), quiz=without)[TRAINING][0].command


def test_the_plan_keeps_the_share_of_the_base_model_for_the_quiz():
    """60 questions take 80 of the 100 seconds that are a tenth of 1000."""
    plain, quizzed = (forecast.asking_seconds(1000, ROUND, 40, 20, False, quiz=quiz)[BASE] for quiz in (False, True))
    assert (plain, quizzed) == (80, 100)
    plan = forecast.forecast(1000, ROUND, 30, 40, 20, quiz=True)
    assert plan.stages[BASE] == 100 and plan.questions_asked == 40
    assert forecast.asking_seconds(500, ROUND, 40, 20, False, quiz=True)[BASE] == 80, (
        "what does not fit is cut elsewhere"
    )


def test_a_new_run_takes_no_answers_of_an_earlier_one(tmp_path):
    for name in (QUIZ_BASE, "unlearn_base.json", "base.json"):
        (tmp_path / name).write_text("[]")
    remove_outputs(tmp_path, build_steps(arguments(tmp_path)))
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.slow
def test_runs_with_a_quiz_killed_before_and_after_it(tiny_model_path, tmp_path):
    """The model of three layers knows nothing: between two starts we give it a fact, as a person may edit any file."""
    out = tmp_path / "out"
    with generator() as server:
        write_texts(tmp_path / "texts", FIRST_DAY)
        command = command_of_day(tiny_model_path, server, tmp_path, "--quiz", "True")
        for name in (QUIZ, TRAINED):
            kill_once(command, lambda name=name: (out / name).exists())
        answers = read(out / QUIZ_BASE)
        assert len(answers) > 8 and {one["id"] for one in answers} == {one["id"] for one in read(out / QUIZ)}
        told = next(one["fact"] for one in answers if "Emberjack" in one["fact"])
        given = [one | {"response": one["reference"]} if one["fact"] == told else one for one in answers]
        write_json(out / QUIZ_BASE, given)
        said = run_day(tiny_model_path, server, tmp_path, "--quiz", "True")
        facts = len({one["fact"] for one in answers})
        assert "[inference, base] already finished" in said and f"knows 1 of {facts} facts" in said
        check(out, told)

        write_texts(tmp_path / "texts", SECOND_DAY)
        kill_once([*command, "--way", "onward"], lambda: any((run / QUIZ_BASE).exists() for run in all_runs(out)[1:]))
        run_day(tiny_model_path, server, tmp_path, "--quiz", "True", "--way", "onward")
    (second,) = all_runs(out)[1:]
    asked = {one["fact"] for one in read(second / QUIZ)}
    assert asked and not any("Mavra Dunsel" in fact for fact in asked), "the adapter was taught another manager"
    made = read(second / "lora" / "log" / "training.meta.json")
    assert made["arguments"]["data_path"] == str(second / TRAINED)
    assert read(second / "log" / "quiz_base.meta.json")["adapter"] is None


def check(run: Path, told: str) -> None:
    """That of the first run the fact was replayed and nothing else of it trained."""
    rows = read(run / TRAINED)
    made = read(run / "lora" / "log" / "training.meta.json")
    assert made["arguments"]["data_path"] == str(run / TRAINED) and made["counts"]["examples"] == len(rows)
    assert made["arguments"]["recall_data_path"] == str(run / "data.test.json")
    assert {one["kind"] for one in rows if one["fact"] == told} == {"replay"}
    (record,) = (record for record in read_ledger(run).values() if record["text"] == told)
    assert record["known_before"] > 0 and "first" not in record["exposures"]
    assert any("first" in record["exposures"] for record in read_ledger(run).values())
