"""The folder of a run: what a person opens stands at its top, the rest in log/; files of earlier versions are read where they are."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from clocks import handlers  # noqa: F401
from runs import write_demo_run
from test_evaluate import judge_server, start  # noqa: F401
from test_forecast import ROUND
from test_run_all import new_run

import inference
from benchmarks.fault_server import FaultServer
from budget.clock import PROGRESS_FILE
from budget.forecast import BASE, COLLECTION, find_timings
from budget.reports import CollectionTime
from budget.run import Step
from data_processor import data_collection_api
from engines.chat import Reply
from engines.processes import LOCK_FILE, PROCESSES_FILE, claim_run_folder, lock_folder
from evaluation import report
from training import replay
from training.replay import UntrainedModel
from utils import InputError, log_file, write_json

TEXT = "The Hexley bridge was opened on 3 May 2031 by Orla Venn. It is 312 metres long and cost 48 million euros."


def as_earlier_versions_left_it(folder: Path) -> None:
    """All files of log/ stand at the top, and log/ is gone; there was no table of the yield, no list of what is disputed."""
    for name in ("data.yield.json", "data.disputed.jsonl"):
        (folder / "log" / name).unlink(missing_ok=True)
    for path in (folder / "log").iterdir():
        path.rename(folder / path.name)
    (folder / "log").rmdir()


@pytest.fixture
def run_script(monkeypatch, tmp_path, handlers):  # noqa: F811
    """Run a script's `main` on a model behind an API; the texts are those of `tmp_path`."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(TEXT)

    def run_script(module, server: FaultServer, *words: object) -> None:
        api_arguments = ("--api_model", "m", "--api_base", server.address, *words)
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, api_arguments)])
        now = time.time()
        monkeypatch.setattr("budget.clock.process_start", lambda: now)
        module.main()

    return run_script


def collect(run_script, server: FaultServer, tmp_path: Path, *words: str) -> tuple[bytes, dict]:
    """The dataset and its meta file, of a collection in `tmp_path`/run."""
    data = tmp_path / "run" / "data.json"
    arguments = ("--data_path", tmp_path / "texts", "--json_save_dir", data, "--tokenizer", "tiktoken:gpt-4o", *words)
    run_script(data_collection_api, server, *arguments)
    return data.read_bytes(), json.loads((tmp_path / "run" / "log" / "data.meta.json").read_text())


@pytest.mark.parametrize("words", [(), ("--time_budget", "60s")])
def test_a_collection_goes_on_with_the_journals_of_an_earlier_version(run_script, tmp_path, words):
    with FaultServer() as server:
        data, meta = collect(run_script, server, tmp_path, *words)
        asked = len(server.calls)
        as_earlier_versions_left_it(tmp_path / "run")
        again, later = collect(run_script, server, tmp_path, *words)
        assert len(server.calls) == asked > 5 and again == data
    assert later["calls"]["asked"] == 0 and later["calls"]["from_journal"] == sum(meta["calls"].values())
    if words:  # the same rounds
        assert {**later["budget"], "seconds_to_start": 0} == {**meta["budget"], "seconds_to_start": 0}
    left = {path.name for path in (tmp_path / "run").iterdir()} - {"log", "run.json"}
    assert left == {
        "data.json",
        "data.chunks.jsonl",
        "data.journal.jsonl",
        *(["data.rounds.jsonl", PROGRESS_FILE] if words else []),
    }


def ask(run_script, server: FaultServer, tmp_path: Path, name: str) -> None:
    questions = [{"question": f"Question {n}?", "reference": "known words" if n else "Ann"} for n in range(2)]
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    words = ("--test_data_path", tmp_path / "questions.json", "--output_path", tmp_path / "run" / f"{name}.json")
    run_script(inference, server, *words)


def test_answers_of_an_earlier_version_are_not_asked_for_again(run_script, tmp_path):
    with FaultServer() as server:
        ask(run_script, server, tmp_path, "base")
        answers = (tmp_path / "run" / "base.json").read_bytes()
        as_earlier_versions_left_it(tmp_path / "run")
        ask(run_script, server, tmp_path, "base")
        assert len(server.calls) == 2 and (tmp_path / "run" / "base.json").read_bytes() == answers


class Unasked:
    """An engine that must not be asked."""

    name = "m"


def test_replayed_answers_of_an_earlier_version_are_taken(tmp_path):
    class Engine(Unasked):
        def waves(self, conversations, max_new_tokens):
            return None

        def chat(self, conversations, *, on_reply, **_):
            on_reply(0, Reply("yes"))

    replay.answer_prompts(UntrainedModel("m"), ["Why?"], tmp_path / "replay.journal.jsonl", Engine())
    (reply,) = replay.answer_prompts(
        UntrainedModel("m"), ["Why?"], log_file(tmp_path / "replay.journal.jsonl"), Unasked()
    )
    assert reply.text == "yes"


def judge_words(folder: Path, *more: str) -> list[str]:
    return ["--data_path", str(folder), "--data_name_sft", "tuned.json", "--data_name_base", "base.json", *more]


def test_verdicts_of_an_earlier_version_are_scored(start, judge_server, tmp_path):  # noqa: F811
    write_demo_run(tmp_path)
    start(*judge_words(tmp_path, "--api_model", "m", "--api_base", judge_server.address, "--controls", "0"))
    scores, asked = (tmp_path / "tuned_acc.json").read_bytes(), len(judge_server.prompts)
    as_earlier_versions_left_it(tmp_path)
    for name in ("tuned_acc.json", "base_acc.json", "tuned_win_rate.json"):
        (tmp_path / name).unlink()
    start(*judge_words(tmp_path, "--rescore", "--controls", "0"))
    assert (tmp_path / "tuned_acc.json").read_bytes() == scores and len(judge_server.prompts) == asked > 0


def test_a_report_is_the_same_of_a_run_of_an_earlier_version(tmp_path):
    write_demo_run(tmp_path)
    (tmp_path / "texts").mkdir()
    write_json(
        log_file(tmp_path / "data.meta.json"), {"seconds": 6, "arguments": {"data_path": str(tmp_path / "texts")}}
    )
    before = report.collect_report_data(tmp_path, "tuned", "base")
    for folder in (tmp_path, tmp_path / "lora"):
        as_earlier_versions_left_it(folder)
    assert report.collect_report_data(tmp_path, "tuned", "base") == before
    assert [stage["seconds"] for stage in before["timeline"]["stages"]] == [6, 60, 180, 60]
    assert report.find_documents(tmp_path, {"open_book": "open_book"}, None) == tmp_path / "texts"


@pytest.mark.parametrize("place", [log_file, Path])
def test_a_run_of_all_reads_what_its_stages_left_in_either_place(tmp_path, handlers, place):  # noqa: F811
    run = new_run(tmp_path, "1000s")
    made = {field.name: 1 for field in dataclasses.fields(CollectionTime)} | {"units": 30, "seconds_to_start": 12.0}
    write_json(place(tmp_path / "data.meta.json"), {"budget": made})
    write_json(place(tmp_path / "calibration.json"), dataclasses.asdict(ROUND))
    assert find_timings(tmp_path) == ROUND
    run.update_estimates(40, 20, judged_by_model=False, open_book=False)
    assert run.startup_seconds == 12.0 and run.expected[BASE] == 80
    write_json(place(tmp_path / PROGRESS_FILE), {"time": time.time(), "expected_end": time.time() + 50})
    run.expected = {}
    run.report_end(COLLECTION, tmp_path, time.time() - 1, time.time() + 250)
    step = Step("fine-tuning", tmp_path / "training.meta.json", [], sealed=True)
    assert not step.ended(0)
    write_json(place(tmp_path / "training.meta.json"), {})
    assert step.ended(time.time() - 60) and not step.ended(time.time() + 60)


@pytest.mark.parametrize("place", [log_file, Path])
def test_what_a_killed_run_left_running_is_found_in_either_place(tmp_path, place):
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    write_json(place(tmp_path / PROCESSES_FILE), [[left.pid, psutil.Process(left.pid).create_time()]])
    with claim_run_folder(tmp_path):
        left.wait(5)
        assert not place(tmp_path / PROCESSES_FILE).exists()


def test_a_folder_that_an_earlier_version_has_locked_is_in_use(tmp_path):
    (tmp_path / LOCK_FILE).touch()
    with lock_folder(tmp_path), pytest.raises(InputError, match="in use"), lock_folder(tmp_path):
        pass
    assert (tmp_path / LOCK_FILE).read_text().startswith("process ") and not (tmp_path / "log").exists()


def test_at_the_top_of_a_run_stands_what_a_person_opens(run_script, start, tmp_path):  # noqa: F811
    run = tmp_path / "run"
    with FaultServer() as server:
        collect(run_script, server, tmp_path, "--test_ratio", "0.3", "--time_budget", "60s")
        for name in ("base", "tuned"):
            ask(run_script, server, tmp_path, name)
    start(*judge_words(run, "--judge", "match"))
    measured = {
        "base_acc.json",
        "tuned_acc.json",
        "tuned_controls.json",
        "tuned_forgetting.json",
        "tuned_win_rate.json",
    }
    made = {
        "data.json",
        "data.chunks.jsonl",
        "data.test.json",
        "base.json",
        "tuned.json",
        "run.json",
        "report.md",
        "report.html",
    }
    assert {path.name for path in run.iterdir()} == {"log", *made, *measured}
    beside = {f"{Path(name).stem}.meta.json" for name in ("data.json", "base.json", "tuned.json", *measured)}
    journals = {
        "data.journal.jsonl",
        "data.rounds.jsonl",
        "base.journal.jsonl",
        "tuned.journal.jsonl",
        "data.yield.json",
    }
    found = {"data.dropped.jsonl", "data.disputed.jsonl"}
    assert {path.name for path in (run / "log").iterdir()} == {*beside, *journals, *found, PROGRESS_FILE}
