"""An OpenAI-compatible server that misbehaves on demand, over real HTTP.

    with FaultServer([good, FAULTS["500"]]) as server:   # the second call fails, all others are answered
        ApiEngine("m", server.address).chat(...)

By hand, with a fault in every fifth call:

    python benchmarks/fault_server.py --fault "429 without Retry-After" --every 5 --port 8009
"""

from __future__ import annotations

import email.utils
import itertools
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils import InputError, parse_arguments, run_script

RETRY_AFTER_S = 1
DATE_AFTER_S = 3  # dates have whole seconds, so the wait is up to a second shorter
HANG_S = 30
TEXT = "A text of known words."
STRING = "known words"  # fits the schemas of the collection: letters, and long enough
QUESTION = "What are they?"  # does not give STRING away


@dataclass(frozen=True)
class Answer:
    """The response to a call: a body (JSON or plain text) after `hang_s` seconds, cut off after `reset_at` bytes."""

    body: dict | str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    reset_at: int | None = None


Behaviour = Answer | Callable[[dict], Answer]  # the function is given the call's JSON


def completion(content: str | list | None, finish_reason: str = "stop", **message) -> dict:
    """A chat completion as the API sends it; `message` are further keys of its message, such as reasoning_content."""
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def good(call: dict) -> Answer:
    """A working server's answer: JSON that follows the schema if there is one, else a text."""
    schema = asked_schema(call)
    return Answer(completion(TEXT if schema is None else json.dumps(schema_instance(schema))))


def asked_schema(call: dict) -> dict | None:
    """The schema that a reply should follow, from response_format or from the end of the prompt; None if a text is asked for."""
    if "json_schema" in (call.get("response_format") or {}):
        return call["response_format"]["json_schema"]["schema"]
    prompt = call["messages"][-1]["content"] if call.get("messages") else ""
    last_line = prompt.rpartition("\n")[2]
    return json.loads(last_line) if last_line.startswith("{") else None


def refuses(name: str, message: str, value: str | None = None, **fields: str) -> Callable[[dict], Answer]:
    """A server that refuses calls with this parameter (response_format: of this type), and answers the others."""

    def answer(call: dict) -> Answer:
        sent = call.get(name)
        if name not in call or (value and sent["type"] != value):
            return good(call)
        return Answer({"error": {"message": message, "type": "e", "code": None, "param": None, **fields}}, 400)

    return answer


def schema_instance(schema: dict):
    """A small value that satisfies a JSON schema; `pattern` is ignored."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return schema_instance(schema["anyOf"][0])
    match schema.get("type"):
        case "object":
            values = {name: schema_instance(schema["properties"][name]) for name in schema.get("required", [])}
            return values | ({"question": QUESTION} if "question" in values else {})
        case "array":
            return [schema_instance(schema["items"])] * max(1, schema.get("minItems", 0))
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return True
    return STRING.ljust(schema.get("minLength", 0), "s")[: schema.get("maxLength")]


def error(status: int, message: str, **headers: str) -> Answer:
    return Answer(
        {"error": {"message": message, "type": "e", "code": None}},
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


def retry_after_date(call: dict) -> Answer:
    return error(429, "slow down", Retry_After=email.utils.formatdate(time.time() + DATE_AFTER_S, usegmt=True))


FAULTS: dict[str, Behaviour] = {
    "429 with Retry-After in seconds": error(429, "slow down", Retry_After=str(RETRY_AFTER_S)),
    "429 with Retry-After as a date": retry_after_date,
    "429 without Retry-After": error(429, "slow down"),
    "500": error(500, "broken"),
    "hang": Answer(completion(TEXT), hang_s=HANG_S),
    "connection reset in mid-body": lambda call: Answer(good(call).body, reset_at=40),
    "cut HTTP body": Answer('{"id": "1", "choices": [{"ind'),
    "a page in HTML": Answer("<html>Log in</html>", headers={"Content-Type": "text/html"}),
    "cut JSON": Answer(completion('{"reply": ["known', "length")),
    "wrong JSON": Answer(completion('{"reply": {"wrong": 7}}')),
    "empty choices": Answer({**completion(None), "choices": []}),
    "400": error(400, "no such field"),
    "401": error(401, "no such key"),
    "403": error(403, "not for you"),
    "404": error(404, "no such model"),
}


class FaultServer:
    """A server on loopback that gives the calls the behaviours of `plan` in turn, then `default`.

    `calls` is what it was sent: {"time" (monotonic seconds), "body", "key" (the header with it)}; `most_at_once` how many calls it had at a time.
    """

    def __init__(self, plan: Iterable[Behaviour] = (), default: Behaviour = good, delay_s: float = 0.0, port: int = 0):
        self.plan, self.default, self.delay_s = iter(plan), default, delay_s
        self.calls: list[dict] = []
        self.running = self.most_at_once = 0
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.http = Http(("127.0.0.1", port), Handler)
        self.http.owner = self
        self.address = f"http://127.0.0.1:{self.http.server_port}/v1"

    def __enter__(self) -> FaultServer:
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.stopped.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, call: dict, key: str | None = None, path: str = "") -> Answer:
        """The response to the next call, which was sent to `path`."""
        with self.lock:
            self.calls.append({"time": time.monotonic(), "body": call, "key": key})
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
            behaviour = next(self.plan, self.default)
        answer = behaviour if isinstance(behaviour, Answer) else behaviour(call)
        self.stopped.wait(self.delay_s + answer.hang_s)
        with self.lock:
            self.running -= 1
        return answer


class Http(ThreadingHTTPServer):
    request_queue_size = 128  # the default of 5 would let many calls at once wait a second for a connection
    owner: FaultServer

    def handle_error(self, *_) -> None: ...  # clients that stop waiting are expected


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections, as real servers do
    server: Http

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.owner.answer(call, self.headers["Authorization"], self.path)
        body = (json.dumps(answer.body) if isinstance(answer.body, dict) else answer.body).encode()
        self.send_response(answer.status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **answer.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: answer.reset_at])
        self.close_connection |= self.server.owner.stopped.is_set()
        if answer.reset_at is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no end
            self.connection.close()
            self.close_connection = True

    def log_message(self, *_) -> None: ...


@dataclass
class Arguments:
    fault: str = field(default="500", metadata={"help": f"One of: {'; '.join(FAULTS)}."})
    every: int = field(default=5, metadata={"help": "Every so many calls fail."})
    port: int = field(default=8009, metadata={"help": "Port on loopback; 0 takes a free one."})


def main() -> None:
    (arguments,) = parse_arguments(Arguments)
    if arguments.fault not in FAULTS:
        raise InputError(f"expected --fault to be one of {', '.join(FAULTS)}, found {arguments.fault}: change it")
    turn = itertools.cycle([good] * (arguments.every - 1) + [FAULTS[arguments.fault]])
    with FaultServer(turn, port=arguments.port) as server:
        print(f"{server.address}: every {arguments.every}. call: {arguments.fault}; Ctrl-C ends it")
        threading.Event().wait()


if __name__ == "__main__":
    run_script(main)
