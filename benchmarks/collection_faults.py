"""data_collection_api.py on two sentences, through a server with one fault after another: how each run ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import runs
from benchmarks.fault_server import DATE_AFTER_S, FAULTS, RETRY_AFTER_S, Answer, FaultServer, good
from utils import log_file

TEXT = "The Hexley bridge was opened on 3 May 2031. Orla Venn built it for 4.2 million crowns."
MODEL = "a-model-of-its-own"  # a string that nothing else in a message contains
CONCURRENCY = 4
ATTEMPTS = 3
ARGUMENTS = [
    "--api_model", MODEL, "--concurrency", CONCURRENCY, "--max_attempts", ATTEMPTS, "--retry_delay", 0.1, "--timeout", 3,
    "--role_amount_per_fact", 1,
]  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """What a run must do: "survived" (same dataset as without the fault), "error record" or "stopped"."""

    outcome: str
    says: str = ""  # part of the error record, or of the last line that the script prints
    wait_s: float = 0.0  # from the call that failed to the same call again, at least


EXPECTED = {
    "429 with Retry-After in seconds": Expected("survived", wait_s=RETRY_AFTER_S),
    "429 with Retry-After as a date": Expected("survived", wait_s=DATE_AFTER_S - 1),
    "429 without Retry-After": Expected("survived"),
    "500": Expected("survived"),
    "hang": Expected("survived"),
    "connection reset in mid-body": Expected("survived"),
    "cut HTTP body": Expected("survived"),
    "a page in HTML": Expected("survived"),
    "cut JSON": Expected("error record", "no JSON that follows the schema"),
    "wrong JSON": Expected("error record", "no JSON that follows the schema"),
    "empty choices": Expected("error record", "no text"),
    "400": Expected("stopped", "status 400"),
    "401": Expected("stopped", "status 401"),
    "403": Expected("stopped", "status 403"),
    "404": Expected("stopped", "status 404"),
}


class FaultAfterFirst:
    """A working server until the second call for JSON; that call, or with `lasting` every call from then on, gets `fault`."""

    def __init__(self, fault: Callable | Answer, lasting: bool):
        self.fault, self.lasting = fault, lasting
        self.calls_for_json = 0
        self.failed: list[dict] = []
        self.lock = threading.Lock()

    def __call__(self, call: dict) -> Answer:
        with self.lock:
            self.calls_for_json += "response_format" in call
            turn = self.calls_for_json >= 2 and (self.lasting or not self.failed)
            if turn and "response_format" in call:
                self.failed.append(call)
            elif not (turn and self.lasting):
                return good(call)
        return self.fault if isinstance(self.fault, Answer) else self.fault(call)


def faults(folder: Path, tokenizer: str) -> dict:
    """The table, one row per fault, with what was expected and whether it happened."""
    texts = folder / "texts"
    texts.mkdir(parents=True)
    (texts / "bridge.txt").write_text(TEXT)

    def collect(name: str, address: str) -> tuple[int, str, Path]:
        dataset = folder / name.replace(" ", "_") / "data.json"
        run = runs.start(
            runs.API, dataset.parent, "--api_base", address, "--tokenizer", tokenizer, "--data_path", texts,
            "--json_save_dir", dataset, *ARGUMENTS,
        )  # fmt: skip
        return run.wait(300), last_line(run.read_output()), dataset

    with FaultServer() as server:
        code, message, dataset = collect("none", server.address)
        calls = len(server.calls)
    if code:
        raise runs.InputError(f"expected a collection from a server without faults, found: {message}")
    right = dataset.read_bytes()
    table = [run_with_fault(name, expected, collect, right) for name, expected in EXPECTED.items()]
    table += [no_server(collect), server_that_dies(collect, right, calls)]
    return {
        "document": {"sentences": 2, "calls_without_a_fault": calls},
        "arguments": " ".join(map(str, ARGUMENTS)),
        "table": table,
        "passed": sum(row["passed"] for row in table),
        "of": len(table),
    }


def run_with_fault(name: str, expected: Expected, collect: Callable, right: bytes) -> dict:
    started = time.monotonic()
    fault = FaultAfterFirst(FAULTS[name], lasting=expected.outcome == "stopped")
    with FaultServer(default=fault) as server:
        code, message, dataset = collect(name, server.address)
        times = [call["time"] for call in server.calls if fault.failed and call["body"] == fault.failed[0]]
    records = [
        json.loads(line) for line in read_if_exists(log_file(dataset.with_suffix(".dropped.jsonl"))).splitlines()
    ]
    failed = [record["text"] for record in records if record["reason"] == "call failed"]
    waited = times[1] - times[0] if len(times) > 1 else None
    if code == 0 and dataset.is_file() and not failed:
        outcome = "survived" if dataset.read_bytes() == right else "another dataset"
    elif code == 0 and dataset.is_file():
        outcome = "error record"
    else:
        outcome = "stopped" if code == 2 and message.startswith("error: ") else f"crashed, exit code {code}"
    reported = failed[0] if failed else message
    passed = (
        outcome == expected.outcome
        and bool(fault.failed)
        and (waited or 0) >= expected.wait_s
        and (outcome == "survived" or expected.says in reported)
        and (outcome != "error record" or len(failed) == len(fault.failed) == 1)
        and (
            outcome != "stopped"
            or (MODEL in reported and server.address in reported and len(fault.failed) <= CONCURRENCY)
        )
    )
    return {
        "fault": name,
        "expected": expected.outcome,
        "found": outcome,
        "passed": passed,
        "said": "" if outcome == "survived" else hide_address(reported, server.address),
        "waited_s": None if waited is None else round(waited, 1),
        "calls": len(server.calls),
        "calls_that_failed": len(fault.failed),
        "seconds": round(time.monotonic() - started, 1),
    }


def no_server(collect: Callable) -> dict:
    """Nothing listens at the address."""
    started = time.monotonic()
    with FaultServer() as server:
        address = server.address
    code, message, _ = collect("no server", address)
    stopped = code == 2 and message.startswith("error: ")
    return {
        "fault": "no server",
        "expected": "stopped",
        "found": "stopped" if stopped else f"crashed, exit code {code}",
        "passed": stopped and address in message and MODEL in message and "no connection" in message,
        "said": hide_address(message, address),
        "seconds": round(time.monotonic() - started, 1),
    }


def server_that_dies(collect: Callable, right: bytes, calls: int) -> dict:
    """A server that dies in mid-run and is back for the next run, which must continue where the first stopped."""
    started = time.monotonic()
    with FaultServer(default=FaultAfterFirst(FAULTS["connection reset in mid-body"], lasting=True)) as server:
        code, message, dataset = collect("server that dies", server.address)
    stopped = code == 2 and message.startswith("error: ") and not dataset.exists()
    port = int(server.address.rpartition(":")[2].partition("/")[0])
    with FaultServer(port=port) as again:
        second, _, dataset = collect("server that dies", again.address)
    same = second == 0 and dataset.read_bytes() == right
    return {
        "fault": "server that dies",
        "expected": "stopped, then finished",
        "found": ("stopped" if stopped else f"exit code {code}")
        + (", then finished" if same else ", then another end"),
        "passed": stopped and same and server.address in message and MODEL in message and len(again.calls) < calls,
        "said": hide_address(message, server.address),
        "calls": len(again.calls),
        "seconds": round(time.monotonic() - started, 1),
    }


def read_if_exists(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def last_line(printed: str) -> str:
    lines = [line for line in printed.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1] if lines else "")


def hide_address(message: str, address: str) -> str:
    """The message without the port, which is different each time."""
    return message.replace(address, "http://127.0.0.1:PORT/v1")
