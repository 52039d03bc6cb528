"""The server that misbehaves: it answers by the schema, hangs no longer than it lives, and has a row for each fault."""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.request

import jsonschema
import pytest
from conftest import ROOT

from benchmarks import runs
from benchmarks.collection_faults import (
    EXPECTED,
    FaultAfterFirst,
    last_line,
    no_server,
    run_with_fault,
    server_that_dies,
)
from benchmarks.fault_server import FAULTS, Answer, FaultServer, error, good, schema_instance

CALL = {"messages": [], "response_format": {"json_schema": {"schema": {"type": "object", "properties": {}}}}}


def post(address: str, call: dict) -> int:
    request = urllib.request.Request(
        address, data=json.dumps(call).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
            return answer.status
    except (OSError, http.client.HTTPException) as error:
        return getattr(error, "code", 0)


def test_the_server_answers_by_the_schema_that_it_is_sent():
    schema = {
        "type": "object",
        "properties": {
            "reply": {"type": "array", "items": {"type": "string", "minLength": 20, "maxLength": 30}, "minItems": 2},
            "choice": {"enum": ["x", "y"]},
            "left": {"type": "integer"},
        },
        "required": ["reply", "choice"],
    }
    jsonschema.validate(schema_instance(schema), schema)
    call = {"response_format": {"json_schema": {"schema": schema}}}
    assert json.loads(good(call).body["choices"][0]["message"]["content"]) == schema_instance(schema)


def test_a_hanging_call_ends_with_its_server():
    with FaultServer(default=FAULTS["hang"]) as server:
        request = urllib.request.Request(server.address, data=b"{}", headers={"Content-Type": "application/json"})
        call = threading.Thread(target=lambda: urllib.request.urlopen(request).read(), daemon=True)
        call.start()
        call.join(0.3)
        assert call.is_alive()
    call.join(5)
    assert not call.is_alive() and len(server.calls) == 1


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": "fixed", "type": "string"}, "fixed"),
        ({"anyOf": [{"type": "integer", "minimum": 3}, {"type": "string"}]}, 3),
        ({"type": "number"}, 0),
        ({"type": "boolean"}, True),
        ({"type": "array", "items": {"type": "boolean"}}, [True]),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 3}, [True, True, True]),
        ({"type": "string"}, "known words"),
        ({"type": "string", "minLength": 13}, "known wordsss"),
        ({"type": "string", "maxLength": 5}, "known"),
    ],
)
def test_a_value_of_each_kind_of_schema(schema, value):
    jsonschema.validate(value, schema)
    assert schema_instance(schema) == value


def test_calls_get_the_behaviours_in_turn_and_then_the_usual_one():
    plan = [error(500, "a"), Answer("as it is", headers={"Content-Type": "text/plain"})]
    with FaultServer(plan, default=error(404, "c")) as server:
        calls = [{**CALL, "turn": turn} for turn in range(4)]
        assert [post(server.address, call) for call in calls] == [500, 200, 404, 404]
        assert [call["body"] for call in server.calls] == calls
        assert [call["key"] for call in server.calls] == [None] * 4 and server.most_at_once == 1


def test_the_connection_is_reset_in_mid_body_and_an_answer_has_no_choices():
    with FaultServer(default=FAULTS["connection reset in mid-body"]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.http.server_port, timeout=5)
        connection.request("POST", "/v1", body=b"{}")
        with pytest.raises(ConnectionResetError):
            connection.getresponse().read()
    assert FAULTS["empty choices"].body["choices"] == []


def test_a_fault_comes_once_or_lasts_from_the_second_call_for_json_on():
    text, once, lasting = (
        {"messages": []},
        FaultAfterFirst(FAULTS["500"], lasting=False),
        FaultAfterFirst(FAULTS["500"], lasting=True),
    )
    calls = [text, CALL, text, CALL, text, CALL]
    assert [once(call).status for call in calls] == [200, 200, 200, 500, 200, 200] and once.failed == [CALL]
    assert [lasting(call).status for call in calls] == [200, 200, 200, 500, 500, 500] and lasting.failed == [CALL, CALL]


def test_a_server_that_is_gone_or_dies_is_a_row_too(tmp_path):
    """The collection asks until something fails; played again it goes on after the calls that were answered."""
    answered: list[int] = []

    def collect(name, address):
        dataset = tmp_path / name / "data.json"
        for turn in range(len(answered), 4):
            if post(address, {**CALL, "turn": turn}) != 200:
                return 2, f"error: expected a-model-of-its-own at {address} to answer, found no connection", dataset
            answered.append(turn)
        dataset.parent.mkdir(exist_ok=True)
        dataset.write_bytes(b"right")
        return 0, "", dataset

    gone = no_server(collect)
    assert (gone["found"], gone["passed"]) == ("stopped", True) and "127.0.0.1:PORT" in gone["said"]
    assert not no_server(lambda name, address: (1, collect(name, address)[1], tmp_path))["passed"]
    assert not no_server(lambda name, address: (2, collect(name, address)[1][:-10], tmp_path))["passed"]
    assert not no_server(lambda name, address: (2, "error: a-model-of-its-own elsewhere: no connection", tmp_path))[
        "passed"
    ]
    died = server_that_dies(collect, b"right", calls=4)
    assert (died["found"], died["passed"], died["calls"]) == ("stopped, then finished", True, 3)
    answered.clear()
    early = server_that_dies(collect, b"right", calls=4)
    assert not early["passed"], "a dataset that is not whole was there before the end"
    answered.clear()
    (tmp_path / "server that dies" / "data.json").unlink()
    again = server_that_dies(collect, b"another", calls=4)
    assert (again["found"], again["passed"]) == ("stopped, then another end", False)
    answered.clear()
    (tmp_path / "server that dies" / "data.json").unlink()
    assert not server_that_dies(collect, b"right", calls=3)["passed"], "nothing was kept of the first run"


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ("", ""),
        ("one\ntwo\n \n", "two"),
        ("one\nerror: two\nthree\n", "error: two"),
        ("error: a\nerror: b\n", "error: b"),
    ],
)
def test_what_a_script_ended_with_is_its_last_error_or_its_last_line(printed, line):
    assert last_line(printed) == line


def test_every_fault_of_the_server_is_in_the_table():
    assert set(EXPECTED) == set(FAULTS) and (ROOT / runs.API).is_file() and (ROOT / runs.LOCAL).is_file()


@pytest.mark.parametrize(
    ("fault", "waits", "code", "message", "data", "found", "passed"),
    [
        ("429 with Retry-After in seconds", 1.05, 0, "", b"right", "survived", True),
        ("500", 0.0, 0, "", b"right", "survived", True),
        ("429 with Retry-After in seconds", 0.0, 0, "", b"right", "survived", False),
        ("500", 0.0, 0, "", b"wrong", "another dataset", False),
        ("500", 0.0, 1, "Traceback", None, "crashed, exit code 1", False),
        ("401", 0.0, 2, "error: a-model-of-its-own at ADDRESS: status 401", None, "stopped", True),
        ("401", 0.0, 2, "error: another model at ADDRESS: status 401", None, "stopped", False),
        ("401", 0.0, 2, "error: a-model-of-its-own at ADDRESS: status 404", None, "stopped", False),
        ("401", 0.0, 1, "error: a-model-of-its-own at ADDRESS: status 401", None, "crashed, exit code 1", False),
        ("401", 0.0, 2, "a-model-of-its-own at ADDRESS: status 401", None, "crashed, exit code 2", False),
        ("401", 0.0, 2, "error: a-model-of-its-own at another address: status 401", None, "stopped", False),
        ("cut JSON", 0.0, 0, "", b"right", "survived", False),
    ],
)
def test_a_row_of_the_table_passes_only_as_expected(tmp_path, fault, waits, code, message, data, found, passed):
    """The collection is played by a function that asks twice, the second time until it is answered or gives up."""

    def collect(name, address):
        post(address, CALL)
        if post(address, {**CALL, "turn": 2}) != 200 and code == 0:
            time.sleep(waits)
            post(address, {**CALL, "turn": 2})
        if data is not None:
            (tmp_path / "data.json").write_bytes(data)
        return code, message.replace("ADDRESS", address), tmp_path / "data.json"

    row = run_with_fault(fault, EXPECTED[fault], collect, b"right")
    assert (row["found"], row["passed"]) == (found, passed), row


@pytest.mark.parametrize(
    ("records", "found", "passed"),
    [
        (["no JSON that follows the schema: x"], "error record", True),
        (["no text"], "error record", False),
        (["no JSON that follows the schema: x", "no JSON that follows the schema: y"], "error record", False),
    ],
)
def test_a_call_that_failed_is_one_record_that_says_why(tmp_path, records, found, passed):
    def collect(name, address):
        for turn in range(2):
            post(address, {**CALL, "turn": turn})
        (tmp_path / "data.json").write_bytes(b"another")
        dropped = [{"reason": "call failed", "text": text} for text in records] + [{"reason": "too short", "text": ""}]
        (tmp_path / "log").mkdir()
        (tmp_path / "log" / "data.dropped.jsonl").write_text("\n".join(map(json.dumps, dropped)))
        return 0, "", tmp_path / "data.json"

    row = run_with_fault("cut JSON", EXPECTED["cut JSON"], collect, b"right")
    assert (row["found"], row["passed"], row["calls"], row["calls_that_failed"]) == (found, passed, 2, 1), row


@pytest.mark.parametrize(
    ("fault", "calls", "code", "found", "passed"),
    [
        ("500", 1, 0, "survived", False),  # the fault had no call to come to
        ("401", 5, 2, "stopped", True),  # the first is answered; four were under way
        ("401", 6, 2, "stopped", False),  # a fifth was sent after the server had said no
    ],
)
def test_a_fault_has_to_come_and_no_more_is_sent_after_a_last_word(tmp_path, fault, calls, code, found, passed):
    def collect(name, address):
        for turn in range(calls):
            post(address, {**CALL, "turn": turn})
        (tmp_path / "data.json").write_bytes(b"right")
        return code, f"error: a-model-of-its-own at {address}: status 401", tmp_path / "data.json"

    row = run_with_fault(fault, EXPECTED[fault], collect, b"right")
    assert (row["found"], row["passed"], row["calls"]) == (found, passed, calls), row
