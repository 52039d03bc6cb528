"""The server that misbehaves: it answers by the schema, hangs no longer than it lives, and has a row for each fault."""

from __future__ import annotations

import json
import threading
import time
import urllib.request

import jsonschema
import pytest
from conftest import ROOT

from benchmarks import runs
from benchmarks.collection_faults import EXPECTED, row_of
from benchmarks.fault_server import FAULTS, FaultServer, good, instance


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
    jsonschema.validate(instance(schema), schema)
    call = {"response_format": {"json_schema": {"schema": schema}}}
    assert json.loads(good(call).body["choices"][0]["message"]["content"]) == instance(schema)


def test_a_hanging_call_ends_with_its_server():
    with FaultServer(default=FAULTS["hang"]) as server:
        request = urllib.request.Request(server.address, data=b"{}", headers={"Content-Type": "application/json"})
        call = threading.Thread(target=lambda: urllib.request.urlopen(request).read(), daemon=True)
        call.start()
        call.join(0.3)
        assert call.is_alive()
    call.join(5)
    assert not call.is_alive() and len(server.calls) == 1


def test_every_fault_of_the_server_is_in_the_table():
    assert set(EXPECTED) == set(FAULTS) and (ROOT / runs.API).is_file() and (ROOT / runs.LOCAL).is_file()


CALL = {"messages": [], "response_format": {"json_schema": {"schema": {"type": "object", "properties": {}}}}}


def post(address: str, call: dict) -> int:
    request = urllib.request.Request(
        address, data=json.dumps(call).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except OSError as error:
        return getattr(error, "code", 0)


@pytest.mark.parametrize(
    ("fault", "waits", "code", "message", "data", "found", "passed"),
    [
        ("429 with Retry-After in seconds", 1.05, 0, "", b"right", "survived", True),
        ("429 with Retry-After in seconds", 0.0, 0, "", b"right", "survived", False),
        ("500", 0.0, 0, "", b"wrong", "another dataset", False),
        ("500", 0.0, 1, "Traceback", None, "crashed, exit code 1", False),
        ("401", 0.0, 2, "error: m at ADDRESS: status 401", None, "stopped", True),
        ("401", 0.0, 2, "error: m at another address: status 401", None, "stopped", False),
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

    row = row_of(fault, EXPECTED[fault], collect, b"right")
    assert (row["found"], row["passed"]) == (found, passed), row
