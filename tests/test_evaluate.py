"""evaluate.py: files in, measurements and reports out. Judges are scripted; no network, no model."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from clocks import handlers  # noqa: F401
from scripted import BASE, SFT, answer, fair

import evaluate
from budget import clock as budget
from budget.asking import mark_not_judged
from utils import InputError, MostlyFailed

SCRIPT = Path(evaluate.__file__)


@pytest.fixture
def start(monkeypatch, capsys):
    """Run evaluate.py with a command line; returns what it prints."""

    def start(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *words])
        now = time.time()
        monkeypatch.setattr(budget, "process_start", lambda: now)  # that of the tests may be minutes ago
        evaluate.main()
        return capsys.readouterr().out

    return start


class JudgeServer(BaseHTTPRequestHandler):
    """An OpenAI-compatible server whose model is the fair judge; it keeps the prompts, and has `write` for a label."""

    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["content-length"])))["messages"][-1]["content"]
        self.server.prompts.append(prompt)
        tag = prompt.rsplit("<verdict-", 1)[1][:8]
        label = self.server.write.format(json.loads(fair(prompt, 0))["verdict"])
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
    server.prompts, server.write, server.address = [], "{}", f"http://127.0.0.1:{server.server_port}/v1"
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


def rows_of(printed: str) -> dict[str, list[str]]:
    """The rows of all tables, by what is in their first column."""
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|")
    return {name: more for name, *more in rows if name.strip("-")}


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
    assert {name: row[:1] for name, row in rows_of(printed).items()} == {
        "base": ["50.0% (2/4)"], "tuned": ["75.0% (3/4)"], "open book": ["100% (4/4)"],
        "forward": ["50.0% (1/2)"], "reverse": ["50.0% (1/2)"],
    }  # fmt: skip
    assert rows_of(printed)["reverse"][-1] == "50.0% (1, 0, 1)"
    assert (
        "\n- win rate 50.0%: 2 wins, 1 loss: no significant difference" in printed
        and "; 1 tie, 0 unscored\n" in printed
    )
    assert "2 answers gained, 1 lost: no significant difference (exact McNemar, p = 1.000)" in printed
    assert printed.splitlines()[-1] == f"report: {folder / 'report.html'}"
    assert (folder / "report.md").read_text().startswith(printed.rpartition("report: ")[0])
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
    assert {path.name for path in folder.glob("*_*.json")} >= {f"{name}.json" for name in measurements}
    assert {path.name for path in (folder / "log").iterdir()} == {f"{name}.meta.json" for name in measurements}
    assert read(folder, "sft_acc")["accuracy"] == read(folder, "log/sft_acc.meta")["accuracy"] == 0.75
    assert read(folder, "base_acc")["accuracy"] == 0.5
    wins = read(folder, "sft_win_rate")
    assert (wins["win_rate"], wins["gap_closed"]["gap_closed"], wins["mcnemar"]["gained"]) == (0.5, 0.5, 2)
    assert read(folder, "log/sft_win_rate.meta")["arguments"]["judge"] == "match"
    kept = read(folder, "sft_forgetting")["retention"]
    assert (kept["known_before"], kept["kept"], kept["lost"], kept["lost_answers"][0]["id"]) == (4, 3, 1, "q2")
    assert "general questions kept: 3 of 4" in printed
    assert "## Learnt" in (folder / "report.md").read_text() and (folder / "report.html").is_file()

    limited = start(*names(folder), "--judge", "match", "--limit", "1", "--controls", "0")
    assert rows_of(limited)["base"][0] == "0% (0/1)" and rows_of(limited)["tuned"][0] == "100% (1/1)"


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


def test_rescoring_keeps_what_needs_a_model_and_computes_the_rest_anew(folder, start):
    start(*names(folder), "--judge", "match")
    drift = {"prompts": 3, "tokens": 9, "mean_kl": 0.5, "top1_agreement": 0.25}
    for words, kept in ((("--rescore",), drift), ((), None)):
        stale = {"judge": "stale", "drift": drift, "refusals": "stale"}
        (folder / "sft_forgetting.json").write_text(json.dumps(stale))
        files = [answer(4, "I do not know.", kind="unknown")], [answer(4, "Ann", kind="unknown")]
        for name, rows, more in zip(("sft", "base"), (SFT, BASE), files, strict=True):
            (folder / f"{name}.json").write_text(json.dumps(rows + more))
        start(*names(folder), "--judge", "match", *words)
        found = read(folder, "sft_forgetting")
        assert (found["judge"], found.get("drift")) == ("match", kept)
        assert found["refusals"]["unanswerable"]["sft"]["refused"] == 1


def test_the_controls_tell_what_a_verdict_costs(folder, start, judge_server, monkeypatch, handlers):  # noqa: F811
    told = []
    mark_not_judged = evaluate.mark_not_judged
    monkeypatch.setattr(evaluate, "mark_not_judged", lambda *given: told.append(given) or mark_not_judged(*given))
    judge = ["--api_model", "judge", "--api_base", judge_server.address, "--controls", "2", "--time_budget", "10m"]
    start(*names(folder), *judge)
    ((rows, room, cost),) = told
    assert list(rows) == ["sft", "base"] and 500 < room < 597 and 0 < cost < 10
    assert read(folder, "sft_win_rate")["unscored"] == 0 and read(folder, "sft_acc")["unscored"] == 0
    start(*names(folder), *judge)  # all in the journal: no verdict costs anything
    assert len(told) == 1 and read(folder, "sft_win_rate")["usage"]["from_journal"] == 26


def test_a_judge_is_read_by_its_labels_and_one_without_labels_is_a_failure(folder, start, judge_server):
    judge = ["--api_model", "judge", "--api_base", judge_server.address, "--controls", "2", "--concurrency", "4"]
    judge_server.write = '**"{}."**'
    start(*names(folder), *judge)
    assert (read(folder, "sft_acc")["accuracy"], read(folder, "sft_acc")["judge_failed"]) == (0.75, None)
    judge_server.write = "as right as can be"
    with pytest.raises(MostlyFailed, match=r"found that base: 4 of 4 have no verdict: 4 no verdict out of correct"):
        start(*names(folder), *judge, "--seed", "1", "--api_model", "another")
    assert "4 of 4 have no verdict" in read(folder, "sft_acc")["judge_failed"]
    assert "**The judge failed, so these numbers say little: base: 4 of 4" in (folder / "report.md").read_text()
    assert "The judge failed" in (folder / "report.html").read_text()


def test_a_judge_without_time_leaves_all_unscored(folder, start, judge_server, monkeypatch, handlers):  # noqa: F811
    monkeypatch.setattr(evaluate, "mark_not_judged", lambda rows, room, cost: mark_not_judged(rows, 0.0, 1.0))
    judge = ["--api_model", "judge", "--api_base", judge_server.address, "--controls", "2", "--time_budget", "10m"]
    printed = start(*names(folder), *judge)
    assert len(judge_server.prompts) == 10  # the controls
    assert rows_of(printed)["base"][0] == rows_of(printed)["tuned"][0] == "n/a (0/0), 4 unscored"
    assert rows_of(printed)["reverse"][-1] == "n/a (0, 0, 0), 2 unscored"
    assert (folder / "report.html").is_file()


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
