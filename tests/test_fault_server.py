"""The server that misbehaves: it answers by the schema, hangs no longer than it lives, and has a row for each fault."""

from __future__ import annotations

import json
import threading
import urllib.request

import jsonschema
from conftest import ROOT

from benchmarks import runs
from benchmarks.collection_faults import EXPECTED
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
