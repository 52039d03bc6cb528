"""Facts that may contradict one another, shown to the collection's model: the prompts, the verdicts, the step of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from clocks import handlers, running_clock  # noqa: F401
from conftest import ROOT
from day_runs import find_run, live_through
from scripted import ScriptedEngine
from test_day_after_day import DIRECTOR, read, texts_of
from test_run_all import arguments, new_run

from benchmarks.fault_server import FAULTS, Answer, FaultServer, completion
from budget.asking import NOT_ASKED
from budget.forecast import COLLECTION
from budget.stages import add_comparison, build_steps
from budget.step import Step
from data_processor import contradictions
from data_processor.arguments import can_judge
from data_processor.contradictions import judge_pairs, to_conversation, to_verdict
from data_processor.documents import read_documents
from data_processor.prompts import load_prompts
from days.carried import carry_over
from days.changes import fingerprint, write_fingerprints
from days.folders import Day
from days.intake import read_verdicts, take_in, write_candidates
from days.ledger import DATASET
from days.superseded import Sources
from engines.chat import Reply
from engines.journal import JournaledEngine
from utils import InputError, log_file, write_json

COSTS, SOLD = "The Emberjack lantern costs 64 euros.", "The Emberjack lantern is sold for 59 euros."
SAME = {"thing": "price", "verdict": "same"}


def pair(name: str, first: str = COSTS, second: str = SOLD) -> dict:
    sides = ({"fact": text, "quote": f"“{text}”", "file_name": f"{n}.txt"} for n, text in enumerate((first, second)))
    return {"id": name, "file_name": "1.txt", **dict(zip(("first", "second"), sides, strict=True))}


@pytest.mark.parametrize(
    ("first", "second", "language", "beginning"),
    [
        (COSTS, SOLD, "auto", "Two statements"),
        ("内尔比学校图书馆的书可以借14天。", "内尔比学校图书馆的借期为两周。", "auto", "下面是两条"),
        ("内尔比学校图书馆的书可以借14天。", "内尔比学校图书馆的借期为两周。", "en", "Two statements"),
        ("Das Freibad öffnet um 9:30 Uhr.", "Das Freibad öffnet um 10:15 Uhr.", "auto", "Two statements"),
    ],
)
def test_both_quotes_stand_in_a_prompt_in_the_language_of_the_facts(first, second, language, beginning):
    prompt = to_conversation(load_prompts(), pair("a", first, second), language)[-1]["content"]
    assert prompt.strip().startswith(beginning)
    for number, text in enumerate((first, second)):
        assert f"{number + 1}. {text}" in prompt and f"“{text}”" in prompt and f"{number}.txt" in prompt


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply('{"thing": "price", "verdict": "unclear"}'), {"verdict": "unclear", "thing": "price"}),
        (Reply("", error="refused"), {"error": "refused"}),
        (Reply('{"thing": "pri', finish_reason="length"), {"error": "reply cut off"}),
    ],
)
def test_a_reply_is_a_verdict_or_says_why_there_is_none(reply, said):
    assert to_verdict(pair("a"), reply) == {"id": "a", **said}


def test_what_there_is_no_time_for_is_not_asked(tmp_path, handlers):  # noqa: F811
    engine = JournaledEngine(ScriptedEngine(lambda *_: json.dumps(SAME)), tmp_path / "asked.jsonl")
    replies, spent = judge_pairs(engine, [pair("a"), pair("b")], load_prompts(), "auto", running_clock(tmp_path, 0.0))
    assert [reply.error for reply in replies] == [NOT_ASKED] * 2 and spent.asked == engine.asked == 0


def ask_server(server: FaultServer, folder: Path, *words: str) -> subprocess.CompletedProcess:
    """The script as a step of a run starts it."""
    command = [sys.executable, "data_processor/contradictions.py", "--json_save_dir", str(folder / "data.json")]
    command += ["--api_model", "m", "--api_base", server.address, "--max_attempts", "1", "--data_path", "gone", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_script_asks_each_pair_once_and_again_what_failed(tmp_path):
    write_json(tmp_path / "log" / "candidates.json", [pair("a"), pair("b", COSTS, DIRECTOR), pair("c", DIRECTOR, SOLD)])
    same = Answer(completion(json.dumps(SAME)))
    with FaultServer([same, FAULTS["500"]], default=same) as server:
        done = ask_server(server, tmp_path)
        assert done.returncode == 0, done.stderr
        said = {told["id"]: told for told in read(tmp_path / "log" / "contradictions.json")}
        (failed,) = (name for name, told in said.items() if "error" in told)
        assert len(said) == 3 and {told["verdict"] for name, told in said.items() if name != failed} == {"same"}
        asked = len(server.calls)
        assert ask_server(server, tmp_path).returncode == 0 and len(server.calls) == asked + 1
    assert {told.get("verdict") for told in read(tmp_path / "log" / "contradictions.json")} == {"same"}
    made = read(tmp_path / "log" / "contradictions.meta.json")
    assert made["counts"] == {"pairs": 3, "same": 3} and made["calls"] == {"asked": 1, "from_journal": 2}
    schema = server.calls[0]["body"]["response_format"]["json_schema"]["schema"]["properties"]["reply"]
    assert schema["properties"]["verdict"]["enum"] == ["contradicts", "both", "same", "unclear"]


def test_a_model_that_is_no_judge_is_not_asked(tmp_path, monkeypatch):
    words = ["--guard", "words", "--json_save_dir", str(tmp_path / "data.json")]
    monkeypatch.setattr(sys, "argv", ["contradictions.py", *words])
    with pytest.raises(InputError, match="trusted to judge facts"):
        contradictions.main()
    assert not can_judge(words) and not can_judge(["--guard=words"])
    assert can_judge([]) and can_judge(["--guard", "quotes", "--api_model", "m"])


@pytest.mark.slow
def test_a_real_model_replies_in_the_form_that_is_asked_for(model_path, tmp_path):
    """Its form alone: what a model of this size says of two statements is of no worth."""
    write_json(tmp_path / "log" / "candidates.json", [pair("a")])
    words = ["--model_name_or_path", model_path, "--json_save_dir", str(tmp_path / "data.json")]
    done = subprocess.run([sys.executable, "data_processor/contradictions.py", *words], cwd=ROOT, timeout=1200)
    assert done.returncode == 0
    said = read(tmp_path / "log" / "contradictions.json")
    assert [set(told) for told in said] == [{"id", "verdict", "thing"}]
    assert {told["verdict"] for told in said} <= {"contradicts", "both", "same", "unclear"}


@pytest.mark.parametrize(("own", "model"), [("--seed 3", ["--model_name_or_path", "m"]), ("--api_model x", [])])
def test_the_step_asks_the_model_of_the_collection(tmp_path, own, model):
    given = arguments(tmp_path, collect_args=own)
    steps = build_steps(given)[COLLECTION]
    collecting = steps[0].command
    add_comparison(steps, given, lambda: True)
    collect, compare = steps
    assert compare.command == ["data_processor/contradictions.py", *collecting[1:]]
    assert compare.command[1:3] == (model or ["--data_path", "texts"])
    assert collect.part < 1 and not compare.needed and compare.output == tmp_path / "contradictions.json"


def test_a_step_with_nothing_to_do_is_not_begun_and_another_once_its_input_is_written(tmp_path, handlers):  # noqa: F811
    made = tmp_path / "made"
    code = f"import pathlib; pathlib.Path(r'{made}').write_text(pathlib.Path(r'{tmp_path / 'read'}').read_text())"
    idle = Step("nothing", tmp_path / "a.json", ["-c", "raise SystemExit(2)"], prepare=lambda: False)
    busy = Step(
        "something", tmp_path / "b.json", ["-c", code], prepare=lambda: bool((tmp_path / "read").write_text("x"))
    )
    run = new_run(tmp_path)
    run.run_stage(COLLECTION, [idle, busy])
    assert made.read_text() == "x" and run.state["stages"][-1]["steps"] == ["something"]


@pytest.fixture
def day(tmp_path) -> Day:
    """A second day, collected: a price that no rule is sure of."""
    demo = texts_of(tmp_path / "demo", day1={"a": DIRECTOR}, day2={"a": DIRECTOR, "b": SOLD})
    out = tmp_path / "out"
    out.mkdir()
    live_through(out, 1, demo=demo)
    documents = read_documents(demo / "2")
    found = Day(out, find_run(out, documents))
    write_fingerprints(found.run, fingerprint(documents))
    rows = [fact_row(0, COSTS, "64 euros", "a.txt"), fact_row(1, SOLD, "59 euros", "b.txt")]
    write_json(found.run / DATASET, rows)
    return found


def fact_row(number: int, fact: str, value: str, name: str) -> dict:
    turns = [{"from": "user", "value": f"{fact[:11]}{number}?"}, {"from": "assistant", "value": value}]
    source = {"chunk": 0, "start": 0, "end": 1, "quote": fact}
    return {
        "id": f"identity_{number}", "conversations": turns, "fact": fact, "file_name": name, "kind": "qa", "source": source,
    }  # fmt: skip


@pytest.mark.parametrize(("verdict", "decided"), [("contradicts", ["model"]), ("both", []), (None, [None])])
def test_a_day_takes_what_the_model_has_said(day, verdict, decided):
    assert read_verdicts(day.run) == {}, "rules decide"
    assert write_candidates(day)
    (asked,) = read(log_file(day.run / "candidates.json"))
    assert read_verdicts(day.run) == {asked["id"]: {}}
    if verdict:
        write_json(log_file(day.run / "contradictions.json"), [{"id": asked["id"], "verdict": verdict, "thing": ""}])
    demo = day.out.parent / "demo" / "2"
    for _ in range(2):  # again, as after a kill before its end was noted
        take_in(day, Sources(read_documents(demo), demo, ["b.txt"]), None)
        told = [pair["decided_by"] for pair in read(day.run / "superseded.json")]
        assert told == decided
        day.note(taken_in=None)
    facts = {row["fact"] for row in read(day.run / DATASET)}
    assert (COSTS in facts) == (verdict != "contradicts") and SOLD in facts


def test_replies_on_pairs_are_taken_over(day):
    (log_file(day.run / "contradictions.journal.jsonl")).write_text("a reply\n")
    carry_over(day.run, day.out / "next")
    assert (day.out / "next" / "log" / "contradictions.journal.jsonl").read_text() == "a reply\n"
