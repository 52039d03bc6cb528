"""The folder of a batch: the requests of every wave and their answers, as JSON lines.

    data.batch/wave_1.requests.jsonl     {"custom_id", "method", "url", "body"} a line, as OpenAI's Batch API takes it
    data.batch/wave_1.answers.jsonl      {"custom_id", "response": {"status_code", "body"}, "error"} a line, in any order
    data.batch/wave_1.2.requests.jsonl   the second part of a wave that is too large for one file

Answers may have other forms: see `read_answer`.
"""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from engines.api_replies import error_inside, to_answer
from utils import CALL_PATH, InputError, write_text

MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000  # in a file of OpenAI's Batch API
ENDPOINT = f"/v1{CALL_PATH}"
REQUESTS_NAME = re.compile(r"wave_(\d+)(?:\.(\d+))?\.requests\.jsonl")
ANSWER_FORMS = 'a line of OpenAI\'s batch output for each, or {"custom_id": ..., "text": ...}'

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What came for a request: a chat completion, or an error with the fields of openai.APIStatusError.

    Its `status_code` is None if the request was not run at all, such as after the batch expired. With neither, nothing came.
    """

    completion: Any = None
    error: Any = None


def request_files(folder: Path) -> list[Path]:
    """The files of requests, from the first wave to the last, parts in order."""
    return sorted((path for path in folder.glob("wave_*") if REQUESTS_NAME.fullmatch(path.name)), key=wave_and_part)


def wave_and_part(path: Path) -> tuple[int, int]:
    """The numbers of a wave and of its part, counted from 1."""
    wave, part = REQUESTS_NAME.fullmatch(path.name).groups()
    return int(wave), int(part or 1)


def wave_number(path: Path) -> int:
    return wave_and_part(path)[0]


def next_wave(folder: Path) -> int:
    return max(map(wave_number, request_files(folder)), default=0) + 1


def answers_file(requests: Path) -> Path:
    """Where the answers to a file of requests belong."""
    return requests.with_name(requests.name.replace(".requests.", ".answers."))


def write_wave(folder: Path, bodies: dict[str, dict]) -> list[Path]:
    """Write the bodies of requests, by custom_id, as the next wave: one file, or as many as its size takes."""
    wave = next_wave(folder)
    lines = (
        json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}, ensure_ascii=False) + "\n"
        for key, body in bodies.items()
    )
    paths = []
    for number, part in enumerate(cut_into_files(lines), 1):
        paths.append(folder / f"wave_{wave}{f'.{number}' if number > 1 else ''}.requests.jsonl")
        write_text(paths[-1], "".join(part))
    return paths


def cut_into_files(lines: Iterable[str]) -> Iterator[list[str]]:
    """Consecutive lines of at most MAX_REQUESTS and MAX_BYTES together."""
    part, size = [], 0
    for line in lines:
        length = len(line.encode())
        if part and (len(part) == MAX_REQUESTS or size + length > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += length
    if part:
        yield part


def read_requests(path: Path) -> dict[str, dict]:
    """The bodies of a file of requests, by custom_id."""
    bodies = {line["custom_id"]: line.get("body") for line in read_lines(path)}
    if wrong := [key for key, body in bodies.items() if not isinstance(body, dict)]:
        raise InputError(
            f'expected an object as "body" in each line of {path}, found none for custom_id {wrong[0]}: '
            "remove the file to have its requests written again"
        )
    return bodies


def read_answers(path: Path, asked: Iterable[str]) -> dict[str, Answer]:
    """The answers in a file, by custom_id; those to none of the requests `asked` are counted.

    Of several to one request it is the last that is a reply, or the last of all if none is.
    """
    answers: dict[str, Answer] = {}
    again: list[str] = []
    for line in read_lines(path):
        key, answer = line["custom_id"], read_answer(line, path)
        again += [key] if key in answers else []
        if key not in answers or answer.completion is not None or answers[key].completion is None:
            answers[key] = answer
    if again:
        log.warning(
            "expected one answer for each custom_id in %s, found more for %d, such as %s: the last that is a reply is used",
            *(path, len(set(again)), again[0]),
        )
    unknown = answers.keys() - set(asked)
    if unknown:
        log.warning(
            "%d of %d answers in %s have a custom_id that none of its requests has, such as %s: they are left out",
            *(len(unknown), len(answers), path, min(unknown)),
        )
    return answers


def read_text(path: Path) -> str:
    """A file's text in UTF-8, or in UTF-16 as PowerShell's `>` writes it; InputError if it is neither."""
    if path.is_dir():
        raise InputError(
            f"expected a file with JSON lines at {path}, found a folder: move it away, or put the file there"
        )
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"expected {path} in UTF-8, found byte {content[error.start]:#x} in line {line}: save it as UTF-8"
        ) from None


def read_lines(path: Path) -> Iterator[dict]:
    """The objects of a file of requests or answers; InputError names the first line that is none."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if isinstance(value["custom_id"], str):
                yield value
                continue
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        raise InputError(
            f'expected a JSON object with a text as "custom_id" in line {number} of {path}, found '
            f"{line.strip()[:60]!r}: correct the line, or remove it to have its request asked again"
        )


def read_answer(line: dict, path: Path) -> Answer:
    """The answer in a line: that of OpenAI's Batch API or vLLM's run-batch, {"custom_id", "text"}, or a chat completion.

    A chat completion stands beside "custom_id", or under "body" or "response". A text may also be JSON that is not
    written as a text, and may stand under "response".
    """
    response = line["response"] if isinstance(line.get("response"), dict) else {}
    bodies = [response.get("body"), line.get("body"), *(part for part in (response, line) if "choices" in part)]
    body, status = next((part for part in bodies if isinstance(part, dict)), None), to_status(response, line, path)
    text = next((line[key] for key in ("text", "response") if isinstance(line.get(key), str | list)), None)
    if "text" in line or (text is not None and not line.get("error")):
        text = line.get("text") if text is None else text
        text = text if isinstance(text, str | None) else json.dumps(text, ensure_ascii=False)
        body = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    elif line.get("error") or (status or 200) >= 400:
        return Answer(error=to_error(line.get("error") or body or response, status))
    elif body is None and line.get("response", ...) is None:
        return Answer()
    elif body is None:
        raise InputError(
            f"expected an answer in the line of custom_id {line['custom_id']} in {path}, found the keys {', '.join(line)}: "
            f"write {ANSWER_FORMS}"
        )
    try:
        completion = to_answer(json.dumps(body))
    except json.JSONDecodeError as error:
        raise InputError(
            f"expected an answer in the line of custom_id {line['custom_id']} in {path}, found {error.msg}: "
            f"write {ANSWER_FORMS}"
        ) from None
    inside = error_inside(completion)
    return Answer(error=to_error(inside, inside["status"])) if inside else Answer(completion)


def to_status(response: dict, line: dict, path: Path) -> int | None:
    """The status of a response, which may be written as a text."""
    status = response.get("status_code")
    if status is None or re.fullmatch(r"\d{3}", str(status)):
        return status and int(status)
    raise InputError(
        f'expected a number such as 200 as "status_code" in the line of custom_id {line["custom_id"]} in {path}, '
        f"found {status!r}: correct it"
    )


def to_error(error: Any, status: int | None) -> SimpleNamespace:
    """An error with the fields of openai.APIStatusError that engines.dialect reads."""
    fields = error if isinstance(error, dict) else {"message": str(error)}
    fields = fields["error"] if isinstance(fields.get("error"), dict) else fields
    message = str(fields.get("message") or json.dumps(fields, ensure_ascii=False))
    code, param = fields.get("code"), fields.get("param")
    return SimpleNamespace(status_code=status, code=code, param=param, body={"message": message}, message=message)
