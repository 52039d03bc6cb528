"""A server on loopback with the routes of OpenAI's Batch API and its chat completions, and the files that batches leave, for their tests."""

from __future__ import annotations

import email
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from generators import ReadingEngine

from benchmarks.fault_server import Answer, asked_schema, completion

FILTERED = Answer({"error": {"message": "The prompt was filtered.", "code": "content_filter", "param": "prompt"}}, 400)


def read(body: dict) -> Answer:
    """What ReadingEngine replies, as an API sends it."""
    schema = asked_schema(body)
    text = ReadingEngine().answer(body["messages"][-1]["content"], schema and schema["properties"]["reply"])
    return Answer(completion(text if schema is None else json.dumps({"reply": json.loads(text)})))


def output_line(request: dict, answer: Answer) -> dict:
    """A line of a batch's output file, or of its error file."""
    response = {"status_code": answer.status, "request_id": "r", "body": answer.body}
    return {"id": "batch_req_1", "custom_id": request["custom_id"], "response": response, "error": None}


def expired_line(request: dict) -> dict:
    error = {"code": "batch_expired", "message": "This request could not be executed in time."}
    return {"id": "batch_req_2", "custom_id": request["custom_id"], "response": None, "error": error}


def requests_of(folder: Path, wave: str = "*") -> list[dict]:
    files = sorted((folder / "data.batch").glob(f"wave_{wave}.requests.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def write_answers(folder: Path, wave: int, lines: list[dict]) -> None:
    path = folder / "data.batch" / f"wave_{wave}.answers.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


class BatchRoutes:
    """`batches` are those made, `files` what was uploaded or written, `calls` the bodies of chat completions.

    A batch goes on only when a test says so: `end`.
    """

    def __init__(self, answer: Callable[[dict], Answer] = read):
        self.answer, self.batches, self.calls = answer, [], []
        self.files: dict[str, str] = {}
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.owner = self
        self.address = f"http://127.0.0.1:{self.http.server_port}/v1"

    def __enter__(self) -> BatchRoutes:
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.http.shutdown()
        self.http.server_close()

    def keep(self, text: str) -> str:
        name = f"file-{len(self.files) + 1}"
        self.files[name] = text
        return name

    def requests(self, batch: dict) -> list[dict]:
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def end(self, status: str = "completed", answered: int | None = None, errors: list[dict] | None = None) -> None:
        """End all batches that are under way, the first `answered` requests of each (None: all) with an answer."""
        for batch in self.batches:
            if batch["status"] != "in_progress":
                continue
            good, bad = [], []
            requests = self.requests(batch)
            for request in requests[:answered]:
                answer = self.answer(request["body"])
                (good if answer.status == 200 else bad).append(output_line(request, answer))
            if answered is not None and status == "expired":
                bad += [expired_line(request) for request in requests[answered:]]
            batch |= {"status": status, "errors": {"object": "list", "data": errors or []}}
            for key, lines in (("output_file_id", good), ("error_file_id", bad)):  # "": there is no such file
                batch[key] = self.keep("\n".join(map(json.dumps, lines))) if lines else ""
            batch["request_counts"] = {"total": len(requests), "completed": len(good), "failed": len(bad)}

    def respond(self, method: str, path: str, content: bytes, content_type: str) -> tuple[int, dict | str]:
        match [method, *path.partition("?")[0].removeprefix("/v1/").split("/")]:
            case ["POST", "files"]:
                parts = email.message_from_bytes(f"Content-Type: {content_type}\n\n".encode() + content).get_payload()
                fields = {part.get_param("name", header="content-disposition"): part for part in parts}
                assert fields["purpose"].get_payload().strip() == "batch"
                name = self.keep(fields["file"].get_payload(decode=True).decode())
                return 200, {"id": name, "object": "file", "purpose": "batch"}
            case ["POST", "batches"]:
                call = json.loads(content)
                assert (call["endpoint"], call["completion_window"]) == ("/v1/chat/completions", "24h")
                counts = {"total": 2, "completed": 1, "failed": 0}
                made = {"id": f"batch_{len(self.batches) + 1}", "status": "in_progress", "request_counts": counts}
                self.batches.append(made | {"object": "batch", "input_file_id": call["input_file_id"]})
                return 200, self.batches[-1]
            case ["GET", "batches"]:
                return 200, {"object": "list", "data": self.batches[::-1], "has_more": False}
            case ["GET", "batches", name]:
                return 200, next(batch for batch in self.batches if batch["id"] == name)
            case ["GET", "files", name, "content"]:
                return 200, self.files[name]
            case ["POST", "chat", "completions"]:
                self.calls.append(json.loads(content))
                answer = self.answer(self.calls[-1])
                return answer.status, answer.body
        return 404, {"error": {"message": f"no route {method} {path}", "code": None}}


class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", 2**16  # headers and body in one packet

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers["Content-Type"] or ""
        status, body = self.server.owner.respond(self.command, self.path, content, kind)
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST

    def log_message(self, *_) -> None: ...
