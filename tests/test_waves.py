"""Batches: from nothing to a dataset in waves, at a server and by files, with whatever can go wrong on the way."""

from __future__ import annotations

import functools
import json
import math
import time

import pytest
from batch_routes import FILTERED, BatchRoutes, output_line, read, requests_of, write_answers

from benchmarks.fault_server import Answer
from budget.clock import Clock
from data_processor.arguments import check_arguments
from data_processor.collection import collect
from data_processor.data_collection_api import Arguments
from data_processor.prompts import load_prompts
from data_processor.waves import check_batch_arguments, collect_in_waves
from engines.load import load_api_engine
from utils import AnswersAwaited, InputError, MostlyFailed, run_script

TEXTS = {
    "bridge.txt": "The Hexley Bridge\n\nAnn Pellow opened the Hexley Bridge on 3 May 1990. It cost 12 million euros.",
    "mill.txt": "Corran Mill\n\nCorran Mill was built by Tom Varley in 1874. The mill closed on 9 June 1931.",
}
READ_ONCE = functools.cache(load_prompts)


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for module in ("arguments", "collection"):
        monkeypatch.setattr(f"data_processor.{module}.load_prompts", READ_ONCE)  # a test has up to 20 runs
    (tmp_path / "texts").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "texts" / name).write_text(text)
    return tmp_path


@pytest.fixture
def server():
    with BatchRoutes() as running:
        yield running


def run(folder, batch: str | None, server: BatchRoutes | None = None, name: str = "data", **changed) -> str:
    """One run of the script, in this process: what it waits for, or "" if it has written the dataset."""
    settings = {"role_amount_per_fact": 1, "qa_amount_per_fact": 2, "max_attempts": 1, **changed}
    arguments = Arguments(
        api_model="m", api_base=server and server.address, batch=batch, data_path=str(folder / "texts"),
        json_save_dir=str(folder / f"{name}.json"), **settings,
    )  # fmt: skip
    documents, clock = check_arguments(arguments), Clock("collection", time.time(), math.inf, folder)
    try:
        if batch:
            collect_in_waves("tiktoken:gpt-4o", documents, arguments, clock)
        else:
            collect(load_api_engine(arguments), "tiktoken:gpt-4o", documents, arguments, clock)
    except AnswersAwaited as awaited:
        return str(awaited)
    return ""


def answer_wave(folder, wave: int) -> None:
    write_answers(folder, wave, [output_line(one, read(one["body"])) for one in requests_of(folder, str(wave))])


def finish_by_files(folder, wave: int = 1, **changed) -> int:
    """Answer wave after wave until the dataset is there; returns how many there were."""
    while run(folder, "files", **changed):
        answer_wave(folder, wave)
        wave += 1
    return wave - 1


@pytest.mark.parametrize(("verify", "waves"), [("rules", 3), ("llm", 6)])
def test_files_give_the_dataset_of_live_calls_and_ask_the_same(texts, server, verify, waves):
    """Each request once, with the same fields; and a run that is begun one way goes on the other way, in both directions."""
    assert finish_by_files(texts, verify=verify) == waves
    run(texts, None, server, "live", verify=verify)
    assert (texts / "data.json").read_bytes() == (texts / "live.json").read_bytes()
    kinds = {row["kind"] for row in json.loads((texts / "data.json").read_text())}
    assert kinds == {"qa", "reverse", "unknown", "passage"}
    asked = requests_of(texts)
    assert len({one["custom_id"] for one in asked}) == len(asked)
    bodies = {json.dumps(one["body"], sort_keys=True) for one in asked}
    assert bodies == {json.dumps(call, sort_keys=True) for call in server.calls} and len(bodies) == len(asked)
    assert {(one["method"], one["url"]) for one in asked} == {("POST", "/v1/chat/completions")}

    calls = len(server.calls)
    assert run(texts, None, server, verify=verify) == "" and len(server.calls) == calls, "live after files"
    assert run(texts, "files", name="live", verify=verify) == "" and not (texts / "live.batch").exists(), (
        "files after live"
    )
    assert run(texts, "files", verify=verify) == "" and len(requests_of(texts)) == len(asked), (
        "a second run asks nothing"
    )


def test_steps_that_do_not_need_one_another_are_one_wave(texts):
    waiting = [run(texts, "files")]
    answer_wave(texts, 1)
    waiting.append(run(texts, "files"))
    second = " ".join(one["body"]["messages"][-1]["content"] for one in requests_of(texts, "2"))
    assert all(words in second for words in ("Write questions about", "a letter to a friend", "that a reader"))
    assert [text.partition("At most ")[2] for text in waiting] == ["3 more waves follow it", "1 more wave follows it"]
    assert f"expected answers in {texts}/data.batch/wave_2.answers.jsonl (to wave_2.requests.jsonl)" in waiting[1]


def test_a_wave_is_written_once_and_a_lost_journal_costs_nothing(texts):
    run(texts, "files")
    first = requests_of(texts)
    assert run(texts, "files") and requests_of(texts) == first
    answer_wave(texts, 1)
    run(texts, "files")
    (texts / "log" / "data.journal.jsonl").unlink()  # killed before the answers were in it
    second = requests_of(texts)
    run(texts, "files")
    assert requests_of(texts) == second and len(second) > len(first)
    assert finish_by_files(texts, 2) == 3


def test_a_refused_request_has_no_reply_and_is_asked_again_with_the_next_wave(texts, caplog):
    run(texts, "files")
    answer_wave(texts, 1)
    run(texts, "files")
    refused, *others = requests_of(texts, "2")
    lines = [output_line(refused, FILTERED), *(output_line(one, read(one["body"])) for one in others)]
    write_answers(texts, 2, lines)
    with caplog.at_level("INFO"):
        run(texts, "files")
    sent = 2 + 1 + len(others)
    assert f"1 of {sent} requests failed: 1 status 400, content_filter (The prompt was filtered.)" in caplog.text
    assert [one for one in requests_of(texts, "3") if one["custom_id"] == refused["custom_id"]] == [refused]
    assert len(requests_of(texts, "3")) > 1, "the others went on"
    assert finish_by_files(texts, 3) == 4, "the questions that came late are asked in roles after the others"


def test_the_waves_that_follow_are_counted_from_what_failed(texts):
    """Of two documents one is not read: it is asked again with the next wave, and all that comes after it is still to come."""
    run(texts, "files")
    first, second = requests_of(texts, "1")
    write_answers(texts, 1, [output_line(first, FILTERED), output_line(second, read(second["body"]))])
    assert "At most 3 more waves follow it" in run(texts, "files")
    assert finish_by_files(texts, 2) == 4


def test_what_failed_in_the_last_wave_does_not_keep_the_dataset(texts):
    for wave in (1, 2):
        run(texts, "files")
        answer_wave(texts, wave)
    run(texts, "files")
    last = requests_of(texts, "3")
    good = [output_line(one, read(one["body"])) for one in last]
    write_answers(texts, 3, [output_line(last[0], FILTERED), *good[1:]])
    assert run(texts, "files") == "" and (texts / "data.json").exists()
    assert requests_of(texts, "4") == last[:1]
    rows = json.loads((texts / "data.json").read_text())
    write_answers(texts, 4, good[:1])
    assert run(texts, "files") == ""
    assert len(json.loads((texts / "data.json").read_text())) == len(rows) + 3, "three questions in a role"


def test_only_what_has_no_answer_is_waited_for(texts, caplog):
    run(texts, "files")
    first, second = requests_of(texts, "1")
    stranger = {"custom_id": "f" * 64, "text": "Who is that?"}
    write_answers(texts, 1, [output_line(first, read(first["body"])), stranger])
    with caplog.at_level("INFO"):
        run(texts, "files")
    assert requests_of(texts, "2") == [second]
    assert f"1 of 2 answers in {texts}/data.batch/wave_1.answers.jsonl have a custom_id" in caplog.text
    assert "1 of 2 requests failed: 1 no answer" in caplog.text


def test_a_collection_that_mostly_failed_says_so_and_writes_what_failed_once_more(texts):
    with pytest.raises(MostlyFailed, match="content_filter"):
        for wave in range(1, 9):
            run(texts, "files")
            write_answers(texts, wave, [output_line(one, FILTERED) for one in requests_of(texts, str(wave))])
    assert {one["custom_id"] for one in requests_of(texts, str(wave))} == {
        one["custom_id"] for one in requests_of(texts)
    }
    assert not (texts / "data.batch" / f"wave_{wave}.answers.jsonl").exists()


def test_submit_and_collect_give_the_dataset_of_live_calls(texts, server, caplog):
    server.end()
    waves = 0
    while said := run(texts, "submit", server):
        waves += 1
        assert f"submitted batch_{waves} (wave_{waves}.requests.jsonl): run --batch collect in up to 24 hours" in said
        assert "is in_progress, 1 of 2 requests answered; run --batch collect again" in run(texts, "collect", server)
        server.end()
        collected = run(texts, "collect", server)
        assert not collected or (f"wave {waves + 1} is waiting (" in collected and "run --batch submit" in collected)
    assert waves == len(server.batches) == 3 and "(24 hours at 24 a wave)" not in said
    run(texts, None, server, "live")
    assert (texts / "data.json").read_bytes() == (texts / "live.json").read_bytes()


@pytest.mark.parametrize("lines_kept", [2, 1, 0])
def test_a_wave_is_submitted_once_wherever_a_kill_comes(texts, server, lines_kept):
    """Both lines are there after a submit; one after a kill between batch and line; none after one between file and line."""
    run(texts, "submit", server)
    state = texts / "log" / "data.batches.jsonl"
    kept = state.read_text().splitlines(keepends=True)[:lines_kept]
    state.write_text("".join(kept))
    if not lines_kept:
        server.batches.clear()  # the kill came before it was made
    said = run(texts, "submit", server)
    assert "submitted batch_1 (wave_1.requests.jsonl)" in said and len(server.batches) == 1
    assert len(requests_of(texts)) == 2 and "run --batch submit" not in run(texts, "collect", server)


def test_of_an_expired_batch_only_the_rest_is_asked_again(texts, server, caplog):
    run(texts, "submit", server)
    _, second = server.requests(server.batches[0])
    server.end("expired", answered=1)
    with caplog.at_level("INFO"):
        said = run(texts, "collect", server)
    assert "wave 2 is waiting (1 requests): run --batch submit" in said
    assert "batch batch_1: expired, 1 of 2 requests answered" in caplog.text
    assert "1 of 2 requests failed: 1 batch_expired (This request could not be executed in time.)" in caplog.text
    run(texts, "submit", server)
    assert server.requests(server.batches[1]) == [second]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": {"message": "no such key"}}), r"status 401 \(no such key\): check key"),
        ((200, "<html>Log in</html>"), "no answer of an API .*Log in"),
    ],
)
def test_a_server_that_refuses_is_named_and_nothing_is_lost(texts, server, answer, said):
    run(texts, "submit", server)
    usual, server.respond = server.respond, lambda *_: answer
    with pytest.raises(
        InputError, match=f"expected the server at {server.address} to know batch batch_1, found {said}"
    ):
        run(texts, "collect", server)
    server.respond = usual
    server.end()
    assert "wave 2 is waiting" in run(texts, "collect", server)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_batch_without_any_answer_is_submitted_again(texts, server, caplog, status):
    run(texts, "submit", server)
    problem = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}
    server.end(status, answered=0, errors=[problem])
    with caplog.at_level("INFO"):
        assert "wave 2 is waiting (2 requests)" in run(texts, "collect", server)
    assert f"{status}, 0 of 2 requests answered: token_limit_exceeded (Enqueued token limit reached.)" in caplog.text
    run(texts, "submit", server)
    assert server.requests(server.batches[1]) == server.requests(server.batches[0])


def test_what_a_batch_alone_refuses_is_left_out_of_the_next_one(texts, server):
    run(texts, "submit", server)
    error = {"message": "Unsupported parameter: 'seed'", "param": "seed", "code": "unsupported_parameter"}
    server.answer = lambda body: Answer({"error": error}, 400)
    server.end()
    server.answer = read
    assert "wave 2 is waiting (2 requests)" in run(texts, "collect", server)
    run(texts, "submit", server)
    assert [{"seed" in one["body"] for one in server.requests(batch)} for batch in server.batches] == [{True}, {False}]


def test_submit_finds_out_first_what_the_server_takes(texts):
    def without_seed(body: dict) -> Answer:
        error = {"message": "Unsupported parameter: 'seed'", "param": "seed", "code": "unsupported_parameter"}
        return Answer({"error": error}, 400) if "seed" in body else read(body)

    with BatchRoutes(without_seed) as server:
        run(texts, "submit", server)
        assert {"seed" in one["body"] for one in server.requests(server.batches[0])} == {False}
        assert len(server.calls) == 2
    with BatchRoutes(lambda body: Answer({"error": {"message": "no such key"}}, 401)) as server:
        with pytest.raises(InputError, match="no such key"):
            run(texts, "submit", server, "other")
        assert not server.batches


@pytest.mark.parametrize("more", [{"time_budget": "5m"}, {"until": "07:30"}, {"dry_run": True}])
def test_a_budget_and_a_trial_are_refused_in_one_line(more):
    with pytest.raises(InputError, match=f"expected no --{next(iter(more))} with --batch"):
        check_batch_arguments(Arguments(batch="files", **more))


def test_waiting_has_an_exit_code_of_its_own(capsys):
    def main() -> None:
        raise AnswersAwaited("run --batch collect")

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert ended.value.code == 4 and capsys.readouterr().err == "waiting: run --batch collect\n"
