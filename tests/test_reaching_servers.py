"""On the way to a server: proxies, addresses, no connection, limits that do not end, and refusals of any form."""

from __future__ import annotations

import json
import logging

import pytest
from test_api_engine import asked, engine_of, server, text  # noqa: F401

from benchmarks.fault_server import TEXT, Answer, FaultServer, error, good
from engines.api import ApiEngine
from utils import InputError, api_client


@pytest.mark.parametrize(("timeout", "connecting"), [(300.0, 10.0), (2.0, 2.0)])
def test_a_server_that_does_not_take_the_connection_is_given_up_sooner_than_one_that_thinks(timeout, connecting):
    limits = api_client("http://192.0.2.1/v1", "none", timeout).timeout
    assert (limits.connect, limits.read) == (connecting, timeout)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_is_asked_for_all_but_the_servers_of_this_machine(server, monkeypatch, host):  # noqa: F811
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with FaultServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.address.removesuffix("/v1"))
        monkeypatch.setenv("http_proxy", proxy.address.removesuffix("/v1"))
        own = ApiEngine("m", server.address.replace("127.0.0.1", host), max_attempts=1)
        assert own.chat(asked("a"))[0].text == TEXT
        assert (len(server.calls), len(proxy.calls)) == (1, 0)
        assert ApiEngine("m", f"http://{host}.example/v1", max_attempts=1).chat(asked("a"))[0].text == TEXT
        assert (len(server.calls), len(proxy.calls)) == (1, 1)


@pytest.mark.parametrize(
    ("proxy", "found"), [("socks5://127.0.0.1:9", "socksio"), ("htp://127.0.0.1:9", "Unknown scheme")]
)
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch, proxy, found):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(InputError, match=rf"expected a proxy that can be used, found .*{found}.*unset HTTPS_PROXY"):
        ApiEngine("m", "http://model.example/v1").chat(asked("a"))


@pytest.mark.parametrize(("path", "said"), [("", "add /v1 to the address"), ("/v1", "check key, address, model")])
def test_an_address_without_its_v1_is_told_to_get_one(server, path, said):  # noqa: F811
    server.default = Answer("404 page not found", 404)
    with pytest.raises(InputError, match=rf"status 404 \(.*404 page not found.*\): {said}"):
        ApiEngine("m", server.address.removesuffix("/v1") + path).chat(asked("a"))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_limit_that_does_not_end_ends_the_run_later_than_a_dead_server(server, concurrency):  # noqa: F811
    """All calls that run at once may be told to slow down together, and the next ones be answered."""
    together, engine = 4 + concurrency, engine_of(server, max_attempts=1, concurrency=concurrency)
    server.plan = iter([text("one"), *[error(429, "slow down")] * together, *[text("two")] * 10])
    replies = engine.chat(asked(*map(str, range(together + 11))))
    assert sum(bool(reply.error) for reply in replies) == together
    server.default = error(429, "1000 a day")
    with pytest.raises(
        InputError, match=r"429 \(1000 a day\): wait until its limit allows more, or lower --concurrency"
    ):
        engine.chat(asked(*map(str, range(100))))
    assert len(server.calls) - (together + 11) < 5 + 3 * concurrency


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]},  # FastAPI, Mistral
        [{"error": {"code": 400, "message": 'Unknown name "seed": Cannot find field.'}}],  # Gemini
        {"error": "seed: no such parameter"},
        {"error": {"message": "seed: no such parameter"}},
        "unknown parameter seed",
    ],
)
def test_the_words_of_a_refusal_are_read_in_whatever_form_they_come(server, body, caplog):  # noqa: F811
    refused = Answer(json.dumps(body) if isinstance(body, list) else body, 422)
    server.default = lambda call: refused if "seed" in call else good(call)
    with caplog.at_level(logging.INFO, "engines"):
        assert [reply.text for reply in engine_of(server).chat(asked("a", "b"))] == [TEXT] * 2
    assert len(server.calls) == 3 and "takes no seed: it is left out" in caplog.text
