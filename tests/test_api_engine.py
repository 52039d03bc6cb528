"""The API engine against a server that misbehaves, over real HTTP."""

from __future__ import annotations

import json
import os
import signal

import pytest
from clocks import handlers, running_clock  # noqa: F401

from benchmarks.fault_server import FAULTS, TEXT, Answer, FaultServer, completion, error, good
from budget.clock import Stopped
from engines.adaptive_limit import AdaptiveLimit
from engines.api import ApiEngine
from engines.chat import Reply
from utils import InputError, address_of

BUSY = error(503, "busy")
LOST = FAULTS["connection reset in mid-body"]
WORDS = {"type": "array", "items": {"type": "string", "minLength": 10}}


def asked(*questions: str) -> list:
    return [[{"role": "user", "content": question}] for question in questions]


def text(content: str | None, finish_reason: str | None = "stop") -> Answer:
    return Answer(completion(content, finish_reason))


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
    assert server.calls[0]["body"] == {
        "model": "m", "messages": asked("a")[0], "max_tokens": 5, "temperature": 0.0, "seed": 0,
    }  # fmt: skip


def test_each_call_has_its_own_temperature_seed_and_schema(server):
    engine_of(server).chat(asked("a", "b"), temperature=[0.5, 0.7], seed=[3, 4], schemas=[None, WORDS])
    first, second = (call["body"] for call in server.calls)
    assert (first["messages"], first["temperature"], first["seed"]) == (asked("a")[0], 0.5, 3)
    assert (second["messages"], second["temperature"], second["seed"]) == (asked("b")[0], 0.7, 4)
    assert "response_format" not in first and "response_format" in second
    assert (first["max_tokens"], second["max_tokens"]) == (256, 272)


@pytest.mark.parametrize(("said", "kept"), [("length", "length"), ("stop", "stop"), (None, "stop")])
def test_a_reply_says_whether_it_was_cut(server, said, kept):
    server.plan = iter([text(" a text \n", said)])
    (reply,) = engine_of(server).chat(asked("a"))
    assert (reply.text, reply.finish_reason, reply.error) == ("a text", kept, None)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": None, "completion_tokens": None, "total_tokens": 0}])
def test_a_server_that_counts_no_tokens_is_taken_at_that(server, usage):
    server.plan = iter([Answer({**completion("one"), "usage": usage})])
    (reply,) = engine_of(server).chat(asked("a"))
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("one", 0, 0)


def test_api_wraps_a_schema_and_takes_the_value_out(server):
    replies = engine_of(server).chat(asked("a"), schemas=WORDS, max_new_tokens=20)
    assert json.loads(replies[0].text) == ["known words"]
    call = server.calls[0]["body"]
    assert call["max_tokens"] >= 20 + len('{"reply": }'), "the wrapping takes no room from the value"
    wrapped = {"type": "object", "properties": {"reply": WORDS}, "required": ["reply"], "additionalProperties": False}
    assert call["response_format"] == {"type": "json_schema", "json_schema": {"name": "reply", "schema": wrapped}}


def test_a_schema_that_takes_everything_is_a_schema(server):
    assert engine_of(server).chat(asked("a"), schemas={})[0].text == '"known words"'


@pytest.mark.parametrize(
    "content",
    ['{"reply": ["known', '{"answer": "known words"}', '"known words"', '{"reply": {"a": 1}}', '{"reply": ["short"]}', "sorry"],
)  # fmt: skip
def test_a_reply_that_breaks_its_schema_twice_is_an_error_and_no_text(server, content):
    server.plan = iter([good, text(content), text(content)])
    first, second = engine_of(server).chat(asked("a", "b"), schemas=WORDS)
    assert second.text == "" and content[:10] in second.error and not first.error
    assert (first.finish_reason, second.finish_reason) == ("stop", "error")
    tried = [(call["body"]["temperature"], call["body"]["seed"]) for call in server.calls]
    assert tried == [(0.0, 0), (0.0, 0), (0.7, 1)], "unsampled, the same again would give the same again"


@pytest.mark.parametrize(
    "answer",
    [text(None), text(" "), Answer({"choices": []}), Answer({"choices": [{}]})],
)
def test_api_without_a_text_is_an_error_reply(server, answer):
    server.plan = iter([text("one"), answer])
    _, reply = engine_of(server).chat(asked("a", "b"))
    assert reply == Reply("", finish_reason="error", error="the server sent no text")


PASSING = ["429 without Retry-After", "500", "hang", "connection reset in mid-body", "cut HTTP body", "a page in HTML"]


@pytest.mark.parametrize("fault", PASSING)
def test_api_tries_again_where_it_may_pass_and_gives_up_with_an_error(server, fault):
    server.plan = iter([FAULTS[fault], text("one"), FAULTS[fault], FAULTS[fault]])
    first, second = engine_of(server, timeout=1.5 if fault == "hang" else 300).chat(asked("a", "b"))
    assert first.text == "one" and not first.error
    assert second.text == "" and second.finish_reason == "error" and second.error
    assert len(server.calls) == 4


@pytest.mark.parametrize("status", [408, 409, 429, 500, 501, 529, 599])
def test_api_tries_every_passing_status_again(server, status):
    server.plan = iter([error(status, "later")])
    assert engine_of(server).chat(asked("a"))[0].text == TEXT and len(server.calls) == 2


@pytest.mark.parametrize("status", [405, 413, 422, 499])
def test_a_call_that_the_server_will_not_have_is_an_error_and_sent_once(server, status):
    """It says nothing of the others, be they ever so many and the first: a prompt that is too long, for instance."""
    server.plan = iter([error(status, "not this one")] * 8)
    replies = engine_of(server).chat(asked(*"abcdefghi"))
    assert [bool(reply.error) for reply in replies] == [True] * 8 + [False] and "not this one" in replies[0].error
    assert len(server.calls) == 9


@pytest.mark.parametrize(("status", "calls"), [(400, 2), (401, 1), (402, 1), (403, 1), (404, 1)])
def test_api_stops_at_once_where_nothing_can_change(server, status, calls):
    """A 400 may be about the prompt: a short call shows whether it is."""
    server.plan = iter([error(status, "no")] * 9)
    with pytest.raises(InputError, match=f"m at {server.address}.*status {status}"):
        engine_of(server, concurrency=8).chat(asked(*"abcdefgh"))
    assert len(server.calls) == calls


def test_a_quota_that_is_used_up_stops_the_run_too(server):
    server.plan = iter([Answer({"error": {"message": "pay", "code": "insufficient_quota"}}, 429)])
    with pytest.raises(InputError, match=r"429.*pay"):
        engine_of(server).chat(asked("a", "b"))
    assert len(server.calls) == 1


def test_api_without_server_or_key_says_so(monkeypatch):
    again = r"found no connection \(.*\): start the server or correct the address, and run this again$"
    with pytest.raises(InputError, match=again):
        ApiEngine("m", "http://127.0.0.1:9/v1", max_attempts=2, retry_delay=0.01).chat(asked("a"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        ApiEngine("m").chat(asked("a"))
    with pytest.raises(InputError, match=r"^expected the name of the API's model, found none: give --api_model$"):
        ApiEngine("")
    for address in ("http://here/v1", "https://here/v1"):
        assert ApiEngine("m", address).call_options["api_base"] == address
    with pytest.raises(InputError, match=r"--api_base to begin with http:// or https://, found here/v1: put one"):
        ApiEngine("m", "here/v1")
    with pytest.raises(InputError, match="--timeout"):
        ApiEngine("m", timeout=0)
    assert ApiEngine("m", timeout=0.5).call_options["timeout"] == 0.5
    options = ApiEngine("m").call_options
    assert (options["max_attempts"], options["retry_delay"], options["timeout"]) == (5, 2, 300)


def test_without_an_address_the_library_has_one_of_its_own(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.address)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-without-an-address")
    server.plan = iter([error(401, "who is it")])
    with pytest.raises(InputError, match=rf"^expected m at {server.address} \(from OPENAI_BASE_URL\) to answer, "):
        ApiEngine("m").chat(asked("a"))
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert address_of(None) == "https://api.openai.com/v1/" and address_of("http://here/v1") == "http://here/v1"


def test_calls_run_together_after_the_first_and_come_back_in_order(server):
    seen = []
    engine = engine_of(server, concurrency=8)
    server.plan = iter([text("first")])
    replies = engine.chat(asked(*map(str, range(33))), on_reply=lambda index, reply: seen.append(index))
    assert [reply.text for reply in replies] == ["first"] + [TEXT] * 32
    assert seen[0] == 0 and sorted(seen) == list(range(33)) and 4 <= server.most_at_once <= 8
    assert [len(wave) for wave in engine.waves([[]] * 100, 1)] == [64, 36]


def test_one_call_at_once_is_one_call_at_once(server):
    engine = engine_of(server)
    assert len(engine.chat(asked(*"abcde"))) == 5 and server.most_at_once == 1
    assert engine.waves([[]] * 3, 1) == [[0], [1], [2]]


def test_too_many_requests_halve_the_calls_at_once(server):
    engine = engine_of(server, concurrency=8)
    server.plan = iter([text("first"), FAULTS["429 without Retry-After"]])
    assert [reply.error for reply in engine.chat(asked(*"abc"))] == [None] * 3
    assert 4 <= engine.limit.limit < 5
    server.plan = iter([BUSY])
    engine.chat(asked("d"))
    assert engine.limit.limit > 4, "a failure is no refusal"


def test_the_limit_falls_by_half_and_rises_by_one_for_each_round_of_calls():
    limit = AdaptiveLimit(4)
    limit.refused()
    assert limit.limit == 2
    with limit:
        assert limit.running == 1
    assert (limit.limit, limit.running) == (2.5, 0)
    for _ in range(5):
        with limit:
            pass
    assert limit.limit == 4
    for _ in range(5):
        limit.refused()
    assert limit.limit == 1


@pytest.mark.parametrize("fault", [LOST, BUSY, FAULTS["500"], FAULTS["a page in HTML"]])
def test_one_failure_is_an_error_and_a_dead_server_ends_the_run(server, fault):
    engine = engine_of(server, max_attempts=1)
    server.plan = iter([text("one"), fault, text("two")])
    assert [bool(reply.error) for reply in engine.chat(asked("a", "b", "c"))] == [False, True, False]
    server.default = fault
    with pytest.raises(InputError, match=server.address):
        engine.chat(asked(*"abcdefgh"))
    assert len(server.calls) == 3 + 5
    with pytest.raises(InputError, match=server.address):
        engine_of(server, max_attempts=1).chat(asked(*"abcdefgh"))
    assert len(server.calls) == 4 + 5, "a server that fails the first call gets no second one"


def test_a_server_that_answers_now_and_then_is_not_dead(server):
    server.plan = iter([text("one"), *[BUSY] * 4, text("two"), *[BUSY] * 4])
    replies = engine_of(server, max_attempts=1).chat(asked(*"abcdefghijk"))
    assert [bool(reply.error) for reply in replies] == [False, *[True] * 4, False, *[True] * 4, False]


def test_requests_and_tokens_a_minute_are_kept(server):
    engine = engine_of(server, rpm=3, tpm=1000)
    engine.chat(asked("a", "b", "c"), max_new_tokens=10)
    assert not engine.requests.try_acquire("requests", blocking=False)
    assert not engine.tokens.try_acquire("tokens", weight=250, blocking=False)
    assert engine.tokens.try_acquire("tokens", weight=200, blocking=False)
    (rate,) = engine.requests.bucket_factory.bucket.rates
    assert (rate.limit, rate.interval) == (3, 60_000)


class Quota:
    """Keeps what is asked of a limiter, and how many calls had been sent by then."""

    def __init__(self, server: FaultServer):
        self.server, self.asked = server, []

    def try_acquire(self, name: str, weight: int = 1) -> bool:
        self.asked.append((len(self.server.calls), weight))
        return True


def test_a_call_is_counted_with_its_prompt_and_its_longest_reply_before_it_is_sent(server):
    """A third of a token a character, 16 for the wrapping of a schema, and at most a quarter of a minute's at once."""
    engine = engine_of(server, rpm=3, tpm=1000)
    engine.requests, engine.tokens = Quota(server), Quota(server)
    long = [{"role": "system", "content": "s" * 90}, {"role": "user", "content": "u" * 210}]
    engine.chat([long, *asked("b" * 30, "c" * 3000)], max_new_tokens=10, schemas=[None, WORDS, None])
    engine.chat(asked("的" * 30), max_new_tokens=10)
    assert engine.tokens.asked == [(0, 110), (1, 10 + 10 + 16), (2, 250), (3, 40)]
    assert engine.requests.asked == [(0, 1), (1, 1), (2, 1), (3, 1)]


def test_without_limits_nothing_is_counted_and_each_is_kept_alone(server):
    assert (engine_of(server).requests, engine_of(server).tokens) == (None, None)
    assert engine_of(server, rpm=3).tokens is None and engine_of(server, tpm=3).requests is None
    assert [repr(engine_of(server, tpm=tpm).token_burst) for tpm in (1, 5, 1002)] == ["1", "1", "250"]


def test_when_the_time_is_up_nothing_more_is_sent(server, tmp_path, handlers):  # noqa: F811
    clock = running_clock(tmp_path, 600)

    def time_is_up(_call: dict) -> Answer:
        clock.deadline = clock.started
        os.kill(os.getpid(), signal.SIGALRM)
        return text("four")

    server.delay_s = 0.1
    server.plan = iter([text("one"), text("two"), text("three"), time_is_up])
    with pytest.raises(Stopped), clock.interruptible():
        engine_of(server, concurrency=2).chat(asked(*map(str, range(50))))
    assert 4 <= len(server.calls) < 40
