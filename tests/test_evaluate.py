"""evaluate.py: files in, measurements and reports out. Judges are scripted; no network, no model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from scripted import BASE, SFT, answer, fair, scripted
from test_budget import handlers, stage_clock  # noqa: F401

import evaluate
from evaluation.verdict_journal import VerdictJournal
from llm import Reply
from utils import InputError

SCRIPT = Path(evaluate.__file__)


def arguments(**changes) -> evaluate.Arguments:
    return evaluate.Arguments(
        **{"data_path": ".", "data_name_sft": "sft.json", "data_name_base": "base.json", **changes}
    )


def test_which_judge(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert evaluate.choose_judge(arguments(local_model_path=str(tmp_path))) == "local"
    assert evaluate.choose_judge(arguments(api_model="m")) == "api"
    assert evaluate.choose_judge(arguments(judge="match")) == "match"
    assert evaluate.load_judge(arguments(judge="match"), "match", tmp_path / "v.jsonl") is None
    assert evaluate.choose_judge(arguments(rescore=True, local_model_path="./nowhere")) == "local"
    with pytest.raises(InputError, match=r"expected verdicts to score in .*v\.jsonl, found none"):
        evaluate.load_judge(arguments(rescore=True), "api", tmp_path / "v.jsonl")
    with pytest.raises(InputError, match="expected --local_model_path or --api_model, found neither"):
        evaluate.choose_judge(arguments())
    with pytest.raises(InputError, match="expected --local_model_path for a local judge"):
        evaluate.choose_judge(arguments(judge="local"))
    with pytest.raises(InputError, match=r"expected a judge at \./nowhere, found nothing"):
        evaluate.choose_judge(arguments(local_model_path="./nowhere"))


@pytest.mark.parametrize(
    ("given", "judge"),
    [
        ({"api_model": "m", "local_model_path": "{folder}"}, "local"),
        ({"judge": "api", "api_model": "m", "local_model_path": "{folder}"}, "api"),
        ({"judge": "match", "api_model": "m", "local_model_path": "{folder}"}, "match"),
        ({"rescore": True}, "api"),
        ({"rescore": True, "api_model": "m"}, "api"),
    ],
)
def test_which_of_several_judges(tmp_path, given, judge):
    (tmp_path / "config.json").write_text("{}")
    given = {key: str(tmp_path) if value == "{folder}" else value for key, value in given.items()}
    assert evaluate.choose_judge(arguments(**given)) == judge


@pytest.mark.parametrize("judge", ["local", "api"])
def test_a_judge_that_is_named_is_needed_for_rescoring_too(judge):
    with pytest.raises(InputError, match="expected --local_model_path"):
        evaluate.choose_judge(arguments(rescore=True, judge=judge))


@pytest.mark.parametrize(("name", "in_json"), [("models/judge #0123abcd", True), ("gpt-x", False)])
def test_rescoring_alone_reads_as_the_last_judge_wrote(tmp_path, name, in_json):
    for judge in ("earlier", name):
        VerdictJournal(tmp_path / "v.jsonl").add(judge, "prompt", "item", "name", Reply("text"))
    judge = evaluate.load_judge(arguments(rescore=True, seed=3), "api", tmp_path / "v.jsonl")
    assert (judge.name, judge.engine, judge.enforces_schema, judge.seed) == (name, None, in_json, 3)


def test_a_local_judge_of_other_weights_is_another_judge(tmp_path):
    VerdictJournal(tmp_path / "v.jsonl").add("x", "prompt", "item", "name", Reply("text"))
    given = arguments(rescore=True, local_model_path=str(tmp_path / "m"), api_model="m")
    (tmp_path / "m").mkdir()
    names = []
    for content in (b"1", b"22"):
        (tmp_path / "m" / "model.safetensors").write_bytes(content)
        judge = evaluate.load_judge(given, "local", tmp_path / "v.jsonl")
        names.append(judge.name)
        assert re.fullmatch(re.escape(str(tmp_path / "m")) + " #[0-9a-f]{8}", judge.name) and judge.enforces_schema
    assert names[0] != names[1]
    judge = evaluate.load_judge(given, "api", tmp_path / "v.jsonl")
    assert (judge.name, judge.enforces_schema) == ("m", False)


@pytest.mark.parametrize(
    ("prices", "cost"),
    [
        ({}, None),
        ({"price_in": 2.0, "price_out": 10.0}, 2.5),
        ({"price_in": 2.0}, 2.0),
        ({"price_out": 10.0}, 0.5),
        ({"price_in": 0.0}, 0.0),
    ],
)
def test_what_the_verdicts_cost(tmp_path, prices, cost):
    judge = scripted(tmp_path, None)
    judge.usage |= {"asked": 7, "prompt_tokens": 1_000_000, "completion_tokens": 50_000}
    assert evaluate.usage_of(judge, arguments(**prices)) == {
        "asked": 7, "from_journal": 0, "prompt_tokens": 1_000_000, "completion_tokens": 50_000, "cost": cost,
    }  # fmt: skip


def test_every_file_is_brought_into_the_order_of_the_tuned_answers_and_cut(tmp_path):
    general = [{**row, "id": f"g{row['id']}"} for row in SFT]
    files = {"sft": SFT, "base": BASE[::-1], "open_book": SFT[::-1], "r_sft": general[::-1], "r_base": general}
    for name, rows in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    given = {"data_path": str(tmp_path), "data_name_open_book": "open_book.json", "limit": 3,
             "data_name_retention_sft": "r_sft.json", "data_name_retention_base": "r_base.json"}  # fmt: skip
    rows = evaluate.read_all(arguments(**given), "match")
    ids = {what: [row["id"] for row in found] for what, found in rows.items()}
    asked, kept = ["q0", "q1", "q2"], ["gq3", "gq2", "gq1"]
    assert ids == {"sft": asked, "base": asked, "open_book": asked, "retention_sft": kept, "retention_base": kept}
    assert [row["response"] for row in rows["base"]] == ["no", "ref1 at length", "ref2"]


def measures_that(*ends: object):
    """What forgetting.by_models gives, of measures that end in a result or an exception."""

    def measure(end):
        if isinstance(end, BaseException):
            raise end
        return end

    return lambda _: {f"m{number}": lambda end=end: measure(end) for number, end in enumerate(ends)}


def test_a_measure_that_fails_ends_a_run_by_itself_but_not_a_stage_of_many(tmp_path, handlers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(evaluate.forgetting, "by_models", measures_that({"a": 1}, InputError("no memory"), {"b": 2}))
    clock = stage_clock(tmp_path, 60)
    assert list(evaluate.measure_models(arguments(), clock, 1.0)) == [("m0", {"a": 1}), ("m2", {"b": 2})]
    measured = evaluate.measure_models(arguments(), None, 1.0)
    assert next(measured) == ("m0", {"a": 1})
    with pytest.raises(InputError, match="no memory"):
        next(measured)


def test_a_measure_there_is_no_time_for_is_left_out(tmp_path, handlers, monkeypatch):  # noqa: F811
    monkeypatch.setattr(evaluate.forgetting, "by_models", measures_that({"a": 1}))
    clock = stage_clock(tmp_path, 60)
    assert list(evaluate.measure_models(arguments(), clock, 61.0)) == []  # kept back for the report
    assert list(evaluate.measure_models(arguments(), clock, 50.0)) == [("m0", {"a": 1})]


@pytest.fixture
def start(monkeypatch, capsys):
    """Run evaluate.py with a command line; returns what it prints."""

    def start(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *words])
        evaluate.main()
        return capsys.readouterr().out

    return start


class JudgeServer(BaseHTTPRequestHandler):
    """An OpenAI-compatible server whose model is the fair judge; it keeps the prompts."""

    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][-1]["content"]
        self.server.prompts.append(prompt)
        tag = prompt.rsplit("<verdict-", 1)[1][:8]
        label = json.loads(fair(prompt, 0))["verdict"]
        message = {"role": "assistant", "content": f"It is plain. <verdict-{tag}>{label}</verdict-{tag}>"}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "judge",
                 "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                 "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}  # fmt: skip
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def judge_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), JudgeServer)
    server.prompts, server.address = [], f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "sft.json").write_text(json.dumps(SFT))
    (tmp_path / "base.json").write_text(json.dumps(BASE))
    return tmp_path


def names(folder: Path) -> list[str]:
    return ["--data_path", str(folder), "--data_name_sft", "sft.json", "--data_name_base", "base.json"]


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def test_the_script_from_files_to_files(folder, start):
    (folder / "open_book.json").write_text(json.dumps([answer(n, f"ref{n}") for n in range(4)]))
    (folder / "r_sft.json").write_text(json.dumps(SFT))
    (folder / "r_base.json").write_text(json.dumps([answer(n, f"ref{n}") for n in range(4)]))
    more = [
        "--data_name_open_book",
        "open_book.json",
        "--data_name_retention_sft",
        "r_sft.json",
        "--data_name_retention_base",
        "r_base.json",
    ]
    printed = start(*names(folder), *more, "--judge", "match")
    overall = next(line for line in printed.splitlines() if line.startswith("overall"))
    assert overall.split() == ["overall", "4", "50.0%", "75.0%", "100%", "50.0%", "2", "1", "1", "0/0/0/0"]
    assert "2 answers gained, 1 lost: tied (exact McNemar, p = 1.000)" in printed.splitlines()
    measurements = (
        "sft_acc",
        "base_acc",
        "open_book_acc",
        "r_sft_acc",
        "r_base_acc",
        "sft_win_rate",
        "sft_controls",
        "sft_forgetting",
    )
    assert {path.name for path in folder.glob("*_*.json")} >= {
        f"{name}{end}" for name in measurements for end in (".json", ".meta.json")
    }
    assert read(folder, "sft_acc")["accuracy"] == read(folder, "sft_acc.meta")["accuracy"] == 0.75
    assert read(folder, "base_acc")["accuracy"] == 0.5
    wins = read(folder, "sft_win_rate")
    assert (wins["win_rate"], wins["gap_closed"]["gap_closed"], wins["mcnemar"]["gained"]) == (0.5, 0.5, 2)
    assert read(folder, "sft_win_rate.meta")["arguments"]["judge"] == "match"
    kept = read(folder, "sft_forgetting")["retention"]
    assert (kept["known_before"], kept["kept"], kept["lost"], kept["lost_answers"][0]["id"]) == (4, 3, 1, "q2")
    assert "general questions kept: 3 of 4" in printed
    assert "## Learnt" in (folder / "report.md").read_text() and (folder / "report.html").is_file()

    limited = start(*names(folder), "--judge", "match", "--limit", "1", "--controls", "0")
    assert next(line for line in limited.splitlines() if line.startswith("overall")).split()[:4] == [
        "overall",
        "1",
        "0%",
        "100%",
    ]


def test_match_needs_no_torch(folder):
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import evaluate; evaluate.main(); print('torch' in sys.modules)"
    words = [*names(folder), "--judge", "match"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_an_api_judge_its_journal_its_price_and_rescoring(folder, start, judge_server):
    judge = ["--api_model", "judge", "--api_base", judge_server.address, "--controls", "2", "--concurrency", "4"]
    judge += ["--price_in", "2", "--price_out", "10"]
    printed = start(*names(folder), *judge)
    first, usage = read(folder, "sft_win_rate"), read(folder, "sft_win_rate")["usage"]
    calls = 5 * 2 + 2 * 4 + 2 * 4  # controls, accuracies, both orders of the pairs
    assert usage == {"asked": calls, "from_journal": 0, "prompt_tokens": 100 * calls, "completion_tokens": 10 * calls,
                     "cost": round(calls * (100 * 2 + 10 * 10) / 1e6, 6)}  # fmt: skip
    assert (first["wins"], first["losses"], first["flip_rate"]) == (2, 1, 0)
    assert "agrees with the judge on 100%" in " ".join(printed.split())

    start(*names(folder), *judge)
    assert len(judge_server.prompts) == calls
    files = ("sft_acc", "base_acc", "sft_controls")
    scores = {name: read(folder, name) for name in files}
    for name in files:
        (folder / f"{name}.json").unlink()
    start(*names(folder), "--rescore", "--controls", "2")
    assert {name: read(folder, name) for name in files} == scores and len(judge_server.prompts) == calls
    assert {**read(folder, "sft_win_rate"), "usage": 0} == {**first, "usage": 0}


def test_a_dead_judge_stops_with_one_line(folder):
    dead = ("--api_model", "judge", "--api_base", "http://127.0.0.1:9", "--max_attempts", "2", "--retry_delay", "0.01")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *names(folder), *dead], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if "error" in line)
    assert line.startswith("error: expected judge at http://127.0.0.1:9 to answer")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--data_name_base sft.json", "expected different answers files, found sft twice"),
        ("--limit 0", "expected --limit of 1 or more, found 0"),
        ("--data_name_base none.json", "found nothing: run inference.py first"),
        ("--data_name_retention_sft base.json", "found base twice"),
        (
            "--data_name_retention_sft r.json",
            "expected --data_name_retention_sft and --data_name_retention_base, found one",
        ),
        ("--lora_weights lora", "expected --model_name_or_path and --lora_weights"),
        ("--judge nobody", "invalid choice"),
        ("--judge auto --local_model_path ./none", r"expected a judge at \./none"),
        ("--documents ./none", r"expected the documents in \./none"),
    ],
)
def test_the_script_refuses_before_it_works(folder, start, words, message):
    with pytest.raises(InputError, match=message):
        start(*names(folder), "--judge", "match", *words.split())
    assert not list(folder.glob("*_*.json"))
