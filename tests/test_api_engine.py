"""An OpenAI-compatible server that misbehaves, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from api_engine import DEAD_AFTER, AdaptiveLimit, ApiEngine
from utils import InputError


def asked(*questions: str) -> list:
    return [[{"role": "user", "content": question}] for question in questions]


class Server(BaseHTTPRequestHandler):
    """Answers from a list of (status, body, *headers), then "more"; keeps what it was sent and how many at once."""

    plan: ClassVar[list] = []
    received: ClassVar[list] = []
    running: ClassVar[list] = [0, 0]  # now, and at most
    counting: ClassVar = threading.Lock()

    def do_POST(self):
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        with self.counting:
            self.running[0] += 1
            self.running[1] = max(self.running)
            status, body, *headers = self.plan.pop(0) if self.plan else answer("more")
        time.sleep(0.02)
        with self.counting:
            self.running[0] -= 1
        if status == "hang up":
            return
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode() if isinstance(body, dict) else body.encode())

    def log_message(self, *_): ...


@pytest.fixture
def server():
    http = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Server.plan, Server.received, Server.running = [], [], [0, 0]
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/v1"
    http.shutdown()
    http.server_close()


def answer(content: str | None) -> tuple[int, dict]:
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return 200, {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def test_api_replies_in_order_with_counts(server):
    Server.plan = [answer("one"), answer("two")]
    replies = ApiEngine("m", server).chat(asked("a", "b"), max_new_tokens=5)
    assert [(reply.text, reply.prompt_tokens, reply.completion_tokens) for reply in replies] == [
        ("one", 3, 2),
        ("two", 3, 2),
    ]
    assert Server.received[0]["max_tokens"] == 5 and Server.received[0]["messages"] == asked("a")[0]


def test_api_wraps_a_schema_and_takes_the_value_out(server):
    Server.plan = [answer('{"reply": ["a", "b"]}'), answer('{"reply": ["a"'), answer("sorry")]
    replies = ApiEngine("m", server).chat(asked("a", "b", "c"), schemas={"type": "array", "items": {"type": "string"}})
    assert json.loads(replies[0].text) == ["a", "b"]
    assert [bool(reply.error) for reply in replies] == [False, True, True] and replies[1].text == ""
    assert Server.received[0]["response_format"]["json_schema"]["schema"]["required"] == ["reply"]


def test_api_tries_again_where_it_may_pass_and_gives_up_with_an_error(server):
    failed = (503, {"error": {"message": "busy"}})
    Server.plan = [failed, answer("one"), failed, failed]
    replies = ApiEngine("m", server, max_attempts=2, retry_delay=0.01).chat(asked("a", "b"))
    assert replies[0].text == "one"
    assert replies[1].text == "" and replies[1].finish_reason == "error" and "busy" in replies[1].error


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_api_stops_at_once_where_nothing_can_change(server, status):
    Server.plan = [(status, {"error": {"message": "no"}})]
    with pytest.raises(InputError, match=f"{server}.*status {status}"):
        ApiEngine("m", server).chat(asked("a", "b"))
    assert len(Server.received) == 1


def test_api_without_a_text_is_an_error_reply(server):
    Server.plan = [answer(None), (200, {"choices": []})]
    assert all(reply.error for reply in ApiEngine("m", server).chat(asked("a", "b")))


def test_api_without_server_or_key_says_so(monkeypatch):
    with pytest.raises(InputError, match="no connection"):
        ApiEngine("m", "http://127.0.0.1:9/v1", max_attempts=2, retry_delay=0.01).chat(asked("a"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        ApiEngine("m").chat(asked("a"))
    with pytest.raises(InputError, match="--api_model"):
        ApiEngine("")


def test_calls_run_together_after_the_first_and_come_back_in_order(server):
    seen = []
    engine = ApiEngine("m", server, concurrency=8)
    Server.plan = [answer("first")]
    replies = engine.chat(asked(*map(str, range(33))), on_reply=lambda index, reply: seen.append(index))
    assert [reply.text for reply in replies] == ["first"] + ["more"] * 32
    assert seen[0] == 0 and sorted(seen) == list(range(33)) and 4 <= Server.running[1] <= 8
    assert [len(wave) for wave in engine.waves([[]] * 100, 1)] == [64, 36]


def test_too_many_requests_halve_the_calls_at_once(server):
    engine = ApiEngine("m", server, concurrency=8, max_attempts=2, retry_delay=0.01)
    Server.plan = [answer("first"), (429, {"error": {"message": "slow down"}})]
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


def test_retry_after_is_waited_for(server):
    Server.plan = [(429, {"error": {"message": "slow down"}}, ("Retry-After", "1")), answer("one")]
    started = time.monotonic()
    assert ApiEngine("m", server, max_attempts=2, retry_delay=0.01).chat(asked("a"))[0].text == "one"
    assert 1 <= time.monotonic() - started < 3


def test_a_wrong_key_stops_a_run_of_many_after_one_call(server):
    Server.plan = [(401, {"error": {"message": "no"}})] * 9
    with pytest.raises(InputError, match="status 401"):
        ApiEngine("m", server, concurrency=8).chat(asked(*"abcdefgh"))
    assert len(Server.received) == 1


def test_a_lost_connection_is_an_error_and_a_dead_server_ends_the_run(server):
    engine = ApiEngine("m", server, max_attempts=1)
    lost = ("hang up", {})
    Server.plan = [answer("one"), lost, answer("two")]
    assert [bool(reply.error) for reply in engine.chat(asked("a", "b", "c"))] == [False, True, False]
    Server.plan = [lost] * DEAD_AFTER
    with pytest.raises(InputError, match="no connection"):
        engine.chat(asked(*"abcdefgh"))


def test_requests_and_tokens_a_minute_are_kept(server):
    engine = ApiEngine("m", server, rpm=3, tpm=1000)
    engine.chat(asked("a", "b", "c"), max_new_tokens=10)
    assert not engine.requests.try_acquire("requests", blocking=False)
    assert not engine.tokens.try_acquire("tokens", weight=250, blocking=False)
    assert engine.tokens.try_acquire("tokens", weight=200, blocking=False)
