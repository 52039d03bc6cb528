"""The reply in an API's answer: its text without thoughts, and JSON however a server wraps it (engines.json_replies)."""

from __future__ import annotations

import json
import re
from typing import Any

from engines.chat import Reply
from engines.failures import REFUSED
from engines.json_replies import CUT_OFF, SHOWN, read_json
from engines.thoughts import without_thoughts

CUT_OFF_THINKING = "cut off while thinking"
NO_TEXT = "the server sent no text"
NO_JSON = "the server sent no JSON that follows the schema"
STREAM = re.compile(r"(?:data|event|id|retry)?:")  # how a stream of events begins
STATUS_OF_WORDS = {  # of an error that came with status 200 and tells no status of its own; else it is a 400
    429: r"rate.?limit|too many requests",
    402: r"insufficient.?(credit|balance|quota)|billing",
    401: r"api.?key|unauthori[sz]ed|authenticat",
    503: r"overload|capacity|try again|temporar|unavailable|time.?d? ?out|internal|server error|busy",
}


def read_answer(response) -> Any:
    """The API's object in a raw response of the openai library, also if it came as a stream that nobody asked for.

    openai.APIStatusError for an error that came with status 200; JSONDecodeError for what is not the API's JSON, such as the
    page of a proxy. The type and encoding that the server gives are of no account: many give the wrong ones.
    """
    import openai

    answer = to_answer(response.content.decode("utf-8-sig", errors="replace").strip())
    if error := error_inside(answer):
        raised = openai.APIStatusError(error["message"], response=response.http_response, body=error)
        raised.status_code = error["status"]
        raise raised
    return answer


def to_answer(text: str) -> Any:
    """The API's object in a response's text; JSONDecodeError if it has none."""
    from openai.types.chat import ChatCompletion

    try:
        answer = join_stream(text) if STREAM.match(text) else json.loads(text)
        return ChatCompletion.construct(**answer)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        raise json.JSONDecodeError(f"an answer that is not the API's JSON: {text[:SHOWN]!r}", text, 0) from None


def join_stream(text: str) -> dict:
    """A completion from the chunks of a stream, or the first chunk that is an error."""
    lines = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    chunks = [json.loads(line) for line in lines if line not in ("", "[DONE]")]
    for chunk in chunks:
        if chunk.get("error"):
            return chunk
    counts = [chunk["usage"] for chunk in chunks if chunk.get("usage")]  # often in a last chunk without choices
    chunks = [chunk for chunk in chunks if chunk.get("choices")]
    deltas = [chunk["choices"][0].get("delta") or {} for chunk in chunks]
    message = {name: "".join(delta.get(name) or "" for delta in deltas) for name in ("content", "reasoning_content")}
    finish_reasons = [reason for chunk in chunks if (reason := chunk["choices"][0].get("finish_reason"))]
    choice = {"finish_reason": (finish_reasons or [None])[-1], "message": {"role": "assistant", **message}}
    return chunks[-1] | {"choices": [choice], "usage": (counts or [None])[-1]}


def first_choice(answer) -> Any:
    """The first choice of an answer; None if it has none, or something else in its place."""
    choices = answer.choices
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if hasattr(choice, "message") or hasattr(choice, "text") else None


def parse_reply(answer, schema: dict | None, max_tokens: int | None = None) -> Reply:
    """The reply in a server's answer, without thoughts; JSON validated and unwrapped. An error if there is none.

    `max_tokens` is the limit that the reply had, for the message when it was too low.
    """
    choice = first_choice(answer)
    message = getattr(choice, "message", None)
    text, thought = read_content(choice)
    finish_reason = getattr(choice, "finish_reason", None) or "stop"
    if finish_reason == "content_filter":
        return error_reply("content_filter: the server's filter withheld the reply or a part of it")
    if getattr(message, "refusal", None):
        return error_reply(f"{REFUSED}{message.refusal}")
    text, cut_off = without_thoughts(text)
    if cut_off or (finish_reason == "length" and not text):  # OpenAI's thoughts are neither sent nor named
        return error_reply(
            f"{CUT_OFF_THINKING}: {max_tokens} tokens were too few; raise --max_new_tokens where there is one, or have the "
            "server think less"
        )
    text = text.strip()
    if not text:
        return error_reply(NO_TEXT + (" but thoughts" if thought else ""))
    left_out: list[dict] = []
    if schema is not None:
        value, problem = read_json(text, schema, left_out)
        if problem is not None:
            cut = f"cut off after {max_tokens or 'too few'} tokens: " if finish_reason == "length" else ""
            return error_reply(f"{NO_JSON}: {cut}{problem}{text[:SHOWN]}")
        text = json.dumps(value, ensure_ascii=False)
        if any(lost["reason"] == CUT_OFF for lost in left_out):
            finish_reason = "length"
    usage = getattr(answer, "usage", None)
    counts = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    text = text.encode(
        "utf-8", "replace"
    ).decode()  # half of an emoji, cut off by the token limit, is in no file's encoding
    counted = (int(count) if isinstance(count, int | float) else 0 for count in counts)
    return Reply(text, *counted, finish_reason, left_out=tuple(left_out))


def cut_short_by_thoughts(answer) -> bool:
    """Whether a reply reached its limit of tokens and thoughts were among them, so that it may be whole with more room.

    Line feeds without end are none: a grammar writes them that cannot go on.
    """
    choice = first_choice(answer)
    counts = getattr(getattr(answer, "usage", None), "completion_tokens_details", None)
    counted = counts.get("reasoning_tokens") if isinstance(counts, dict) else getattr(counts, "reasoning_tokens", None)
    text, thought = read_content(choice)
    thought = thought or bool(counted) or not without_thoughts(text)[0]
    return getattr(choice, "finish_reason", None) == "length" and thought


def error_reply(error: str) -> Reply:
    return Reply("", finish_reason="error", error=error)


def read_content(choice) -> tuple[str, bool]:
    """A choice's text, which may come in parts, and whether there are thoughts beside it."""
    message = getattr(choice, "message", None)
    thought = any(getattr(message, name, None) for name in ("reasoning_content", "reasoning", "reasoning_details"))
    content = getattr(message, "content", None)
    if content is None:  # the older API's text, or a message that is nothing else
        content = message if isinstance(message, str) else getattr(choice, "text", None)
    if isinstance(content, dict):  # JSON that was asked for as JSON
        return json.dumps(content, ensure_ascii=False), thought
    if not isinstance(content, list):
        return content if isinstance(content, str) else "", thought
    parts = [part if isinstance(part, dict) else {"type": "text", "text": part} for part in content]
    texts = [part["text"] for part in parts if part.get("type", "text") == "text" and isinstance(part.get("text"), str)]
    return "".join(texts), thought or any(part.get("type") in ("thinking", "reasoning") for part in parts)


def error_inside(answer: Any) -> dict | None:
    """The error that came as an answer with status 200: {"message", "code", "param", "status"}; None if it is no error.

    OpenRouter and others put it beside the choices or into the first one; some servers have fields of their own.
    """
    choice = first_choice(answer)
    found = getattr(answer, "error", None) or getattr(choice, "error", None)
    if not found and choice is None:
        fields = getattr(answer, "model_extra", None) or {}
        said = [key for key in ("base_resp", "message", "msg", "detail") if fields.get(key)]
        found = (fields["base_resp"] if said[0] == "base_resp" else fields) if said else None
    if not found and choice is not None and getattr(choice, "finish_reason", None) == "error":
        found = {"message": "the reply ended with finish_reason error", "code": 502}
    if not found:
        return None
    if not isinstance(found, dict):
        found = {"message": str(found), "code": getattr(answer, "code", None)}
    words = next(
        (found[key] for key in ("message", "msg", "status_msg", "detail") if found.get(key)), json.dumps(found)
    )
    code = next((found[key] for key in ("status", "code", "status_code", "type") if found.get(key)), None)
    said = f"{words} {found.get('type')} {code}"
    by_words = (number for number, pattern in STATUS_OF_WORDS.items() if re.search(pattern, said, re.IGNORECASE))
    given = int(code) if str(code).isdigit() and 400 <= int(code) < 600 else None
    return {
        "message": str(words),
        "code": found.get("code"),
        "param": found.get("param"),
        "status": given or next(by_words, 400),
    }
