"""One call to an API: how long it waits before it tries again, whom it tells, and what becomes of the key."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import pytest
import tenacity
from test_api_engine import BUSY, asked, engine_of, server, text  # noqa: F401

from benchmarks.fault_server import TEXT, error, good
from data_processor import data_collection_api
from utils import InputError, api_client, llm_chat, parse_retry_after


@pytest.fixture
def waits(monkeypatch):
    """The seconds that are waited between attempts, which pass at once."""
    waited: list[float] = []
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("2.5", 2.5), ("59", 59), ("61", 60), ("3600", 60)])
def test_retry_after_is_waited_for_but_no_longer_than_a_minute(server, waits, header, seconds):  # noqa: F811
    server.plan = iter([error(429, "slow down", Retry_After=header), text("one")])
    assert engine_of(server).chat(asked("a"))[0].text == "one"
    assert waits == [seconds]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("Mon, 01 Jan 2024 00:00:00 GMT", 0, 0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 60, 60),
        ("soon", 3, 6),  # as without one
        ("-1", 3, 6),
        ("1.2.3", 3, 6),
    ],
)
def test_a_retry_after_is_a_moment_or_nothing(server, waits, header, least, most):  # noqa: F811
    server.plan = iter([error(429, "slow down", Retry_After=header), text("one")])
    assert engine_of(server, retry_delay=3).chat(asked("a"))[0].text == "one"
    assert len(waits) == 1 and least <= waits[0] <= most


def test_the_seconds_to_a_moment_are_counted_from_now(monkeypatch):
    monkeypatch.setattr("utils.time.time", lambda: 1_700_000_000.0)
    assert parse_retry_after("Tue, 14 Nov 2023 22:13:50 GMT") == 30


def test_waits_double_with_jitter_up_to_a_minute(server, waits):  # noqa: F811
    server.plan = iter([BUSY] * 7)
    assert engine_of(server, max_attempts=8, retry_delay=2.0).chat(asked("a"))[0].text == TEXT
    for wait, least, most in zip(waits, (2, 4, 8, 16, 32, 60, 60), (4, 6, 10, 18, 34, 60, 60), strict=True):
        assert least <= wait <= most
    assert len({wait % 1 for wait in waits[:5]}) == 5, "all clients of a server that was busy would come back at once"


def test_a_call_is_tried_again_whether_or_not_anybody_is_told(server, waits):  # noqa: F811
    server.plan = iter([BUSY, text("one")])
    reply = llm_chat(asked("a")[0], model="m", api_base=server.address, retry_delay=1)
    assert reply.choices[0].message.content == "one" and len(waits) == 1


def test_who_asks_is_told_of_each_error_that_is_tried_again(server, waits):  # noqa: F811
    server.plan, told = iter([BUSY, error(429, "slow down"), BUSY]), []
    with pytest.raises(Exception, match="busy"):
        llm_chat(asked("a")[0], model="m", api_base=server.address, max_attempts=3, on_retry=told.append)
    assert [error.status_code for error in told] == [503, 429] and len(server.calls) == 3


def test_one_client_serves_all_calls_and_another_key_or_timeout_gets_another():
    first = api_client("http://127.0.0.1:9/v1", "a", 5.0)
    assert (
        api_client("http://127.0.0.1:9/v1", "a", 5.0) is first and first.max_retries == 0 and first.timeout.read == 5.0
    )
    assert api_client("http://127.0.0.1:9/v1", "b", 5.0).api_key == "b"


@pytest.mark.parametrize(("key", "sent"), [("sk-1", "Bearer sk-1"), ("", "Bearer none")])
def test_the_key_is_that_of_the_environment_and_a_server_of_ones_own_needs_none(server, monkeypatch, key, sent):  # noqa: F811
    monkeypatch.setenv("OPENAI_API_KEY", key)
    engine_of(server).chat(asked("a"))
    assert [call["key"] for call in server.calls] == [sent]


SECRET = "sk-very-secret-4711"


def test_the_key_goes_to_the_server_and_into_no_file_or_line_of_a_run(
    server,  # noqa: F811
    tmp_path,
    model_path,
    monkeypatch,
    caplog,
    capfd,
):
    """A collection that fails on the way and one that ends: journal, dataset, meta, what was dropped, both logs."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("The Hexley bridge was opened on 3 May 2031 by Orla Venn.")
    command = [
        "--api_model", "m", "--api_base", server.address, "--tokenizer", model_path,
        "--data_path", tmp_path / "texts", "--json_save_dir", tmp_path / "out" / "data.json", "--max_attempts", 1,
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["data_collection_api.py", *map(str, command)])
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    server.plan = iter([good, error(401, f"no such key, with {len(SECRET)} letters")])
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(InputError, match="no such key"):
            data_collection_api.main()
        data_collection_api.main()
    assert SECRET not in caplog.text + "".join(capfd.readouterr()) and "2 examples in" in caplog.text
    assert {call["key"] for call in server.calls} == {f"Bearer {SECRET}"}
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"data.json", "data.meta.json", "data.journal.jsonl"} <= {path.name for path in written}
    for path in written:
        assert SECRET.encode() not in path.read_bytes(), path.name
