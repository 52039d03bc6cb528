"""The API engine against a server that misbehaves, over real HTTP."""

from __future__ import annotations

import json
import time

import pytest
from test_budget import handlers, stage_clock  # noqa: F401

from benchmarks.fault_server import DATE_AFTER_S, FAULTS, RETRY_AFTER_S, TEXT, Answer, FaultServer, completion, error
from budget import Stopped
from engines.api import DEAD_AFTER, AdaptiveLimit, ApiEngine
from utils import InputError

BUSY = error(503, "busy")
LOST = FAULTS["connection reset in mid-body"]
WORDS = {"type": "array", "items": {"type": "string", "minLength": 10}}


def asked(*questions: str) -> list:
    return [[{"role": "user", "content": question}] for question in questions]


def text(content: str | None) -> Answer:
    return Answer(completion(content))


@pytest.fixture
def server():
    with FaultServer(delay_s=0.02) as running:
        yield running


def engine_of(server: FaultServer, **options) -> ApiEngine:
    return ApiEngine("m", server.address, **{"max_attempts": 2, "retry_delay": 0.01, **options})


def test_api_replies_in_order_with_counts(server):
    server.plan = iter([text("one"), text("two")])
    replies = engine_of(server).chat(asked("a", "b"), max_new_tokens=5)
    assert [(reply.text, reply.prompt_tokens, reply.completion_tokens) for reply in replies] == [
        ("one", 3, 2),
        ("two", 3, 2),
    ]
    call = server.calls[0]["body"]
    assert call["max_tokens"] == 5 and call["messages"] == asked("a")[0]


def test_api_wraps_a_schema_and_takes_the_value_out(server):
    replies = engine_of(server).chat(asked("a"), schemas=WORDS, max_new_tokens=20)
    assert json.loads(replies[0].text) == ["known words"]
    call = server.calls[0]["body"]
    assert call["max_tokens"] >= 20 + len('{"reply": }'), "the wrapping takes no room from the value"
    schema = call["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["reply"] == WORDS and schema["required"] == ["reply"]


@pytest.mark.parametrize(
    "content",
    ['{"reply": ["known', '{"answer": ["known words"]}', '["known words"]', '{"reply": {"a": 1}}', '{"reply": ["short"]}', "sorry"],
)  # fmt: skip
def test_a_reply_that_breaks_its_schema_is_an_error_and_no_text(server, content):
    server.plan = iter([text(content)])
    first, second = engine_of(server).chat(asked("a", "b"), schemas=WORDS)
    assert first.text == "" and content[:10] in first.error and not second.error
    assert len(server.calls) == 2, "the same again would give the same again"


@pytest.mark.parametrize(
    "answer",
    [text(None), text(" "), Answer({"choices": []}), Answer({"choices": [{}]}), Answer({"error": {"message": "no"}})],
)
def test_api_without_a_text_is_an_error_reply(server, answer):
    server.plan = iter([text("one"), answer])
    _, reply = engine_of(server).chat(asked("a", "b"))
    assert reply.text == "" and reply.error == "the server sent no text"


PASSING = ["429 without Retry-After", "500", "hang", "connection reset in mid-body", "cut HTTP body", "a page in HTML"]


@pytest.mark.parametrize("fault", PASSING)
def test_api_tries_again_where_it_may_pass_and_gives_up_with_an_error(server, fault):
    server.plan = iter([FAULTS[fault], text("one"), FAULTS[fault], FAULTS[fault]])
    first, second = engine_of(server, timeout=1.5 if fault == "hang" else 300).chat(asked("a", "b"))
    assert first.text == "one" and not first.error
    assert second.text == "" and second.finish_reason == "error" and second.error
    assert len(server.calls) == 4


@pytest.mark.parametrize("status", [408, 409, 501, 529])
def test_api_tries_every_passing_status_again(server, status):
    server.plan = iter([error(status, "later")])
    assert engine_of(server).chat(asked("a"))[0].text == TEXT


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_api_stops_at_once_where_nothing_can_change(server, status):
    server.plan = iter([error(status, "no")] * 9)
    with pytest.raises(InputError, match=f"m at {server.address}.*status {status}"):
        engine_of(server, concurrency=8).chat(asked(*"abcdefgh"))
    assert len(server.calls) == 1


def test_a_quota_that_is_used_up_stops_the_run_too(server):
    server.plan = iter([Answer({"error": {"message": "pay", "code": "insufficient_quota"}}, 429)])
    with pytest.raises(InputError, match=r"429.*pay"):
        engine_of(server).chat(asked("a", "b"))
    assert len(server.calls) == 1


def test_api_without_server_or_key_says_so(monkeypatch):
    with pytest.raises(InputError, match="no connection"):
        ApiEngine("m", "http://127.0.0.1:9/v1", max_attempts=2, retry_delay=0.01).chat(asked("a"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        ApiEngine("m").chat(asked("a"))
    with pytest.raises(InputError, match="--api_model"):
        ApiEngine("")
    with pytest.raises(InputError, match="--timeout"):
        ApiEngine("m", timeout=0)


def test_calls_run_together_after_the_first_and_come_back_in_order(server):
    seen = []
    engine = engine_of(server, concurrency=8)
    server.plan = iter([text("first")])
    replies = engine.chat(asked(*map(str, range(33))), on_reply=lambda index, reply: seen.append(index))
    assert [reply.text for reply in replies] == ["first"] + [TEXT] * 32
    assert seen[0] == 0 and sorted(seen) == list(range(33)) and 4 <= server.most_at_once <= 8
    assert [len(wave) for wave in engine.waves([[]] * 100, 1)] == [64, 36]


def test_too_many_requests_halve_the_calls_at_once(server):
    engine = engine_of(server, concurrency=8)
    server.plan = iter([text("first"), FAULTS["429 without Retry-After"]])
    assert [reply.error for reply in engine.chat(asked(*"abc"))] == [None] * 3
    assert 4 <= engine.limit.limit < 5
    limit = AdaptiveLimit(2)
    for _ in range(5):
        limit.refused()
    assert limit.limit == 1
    for _ in range(5):
        with limit:
            pass
    assert limit.limit == 2


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [
        ("429 with Retry-After in seconds", RETRY_AFTER_S, RETRY_AFTER_S + 1),
        ("429 with Retry-After as a date", DATE_AFTER_S - 1, DATE_AFTER_S + 1),
    ],
)
def test_retry_after_is_waited_for(server, fault, least, most):
    server.plan = iter([FAULTS[fault], text("one")])
    assert engine_of(server).chat(asked("a"))[0].text == "one"
    first, second = (call["time"] for call in server.calls)
    assert least <= second - first < most


@pytest.mark.parametrize("header", ["Mon, 01 Jan 2024 00:00:00 GMT", "soon", "-1"])
def test_a_retry_after_that_is_past_or_no_time_delays_nothing(server, header):
    server.plan = iter([error(429, "slow down", Retry_After=header), text("one")])
    started = time.monotonic()
    assert engine_of(server).chat(asked("a"))[0].text == "one" and time.monotonic() - started < 2


@pytest.mark.parametrize("fault", [LOST, BUSY, FAULTS["a page in HTML"]])
def test_one_failure_is_an_error_and_a_dead_server_ends_the_run(server, fault):
    engine = engine_of(server, max_attempts=1)
    server.plan = iter([text("one"), fault, text("two")])
    assert [bool(reply.error) for reply in engine.chat(asked("a", "b", "c"))] == [False, True, False]
    server.default = fault
    with pytest.raises(InputError, match=server.address):
        engine.chat(asked(*"abcdefgh"))
    assert len(server.calls) == 3 + DEAD_AFTER
    with pytest.raises(InputError, match=server.address):
        engine_of(server, max_attempts=1).chat(asked(*"abcdefgh"))
    assert len(server.calls) == 4 + DEAD_AFTER, "a server that fails the first call gets no second one"


def test_requests_and_tokens_a_minute_are_kept(server):
    engine = engine_of(server, rpm=3, tpm=1000)
    engine.chat(asked("a", "b", "c"), max_new_tokens=10)
    assert not engine.requests.try_acquire("requests", blocking=False)
    assert not engine.tokens.try_acquire("tokens", weight=250, blocking=False)
    assert engine.tokens.try_acquire("tokens", weight=200, blocking=False)


def test_when_the_time_is_up_nothing_more_is_sent(server, tmp_path, handlers):  # noqa: F811
    server.delay_s, clock = 0.1, stage_clock(tmp_path, 0.5)
    with pytest.raises(Stopped), clock.interruptible():
        engine_of(server, concurrency=2).chat(asked(*"abcdefghijklmnopqrstuvwxyz"))
    assert clock.left() > -0.3 and len(server.calls) < 15
