"""What an OpenAI-compatible server takes, learned from what it refuses.

A server may know no json_schema, call max_tokens otherwise, or take no temperature or seed. Its refusal names the parameter:
the same request is then sent again as the server will have it, and so are all later ones.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from engines.chat import Conversation
from utils import CALL_PATH, QUOTA_USED_UP

FORMATS = ("json_schema", "json_object", "text")  # of a reply in JSON, in the order in which they are tried
WRAPPING_TOKENS = 16  # for the object around a JSON schema's value, white space included
LEAST_TEMPERATURE = 0.01  # for servers that want one above 0
PARAMETER_STATUS = (400, 404, 405, 415, 422, 501)  # with which servers refuse a parameter
SCHEMA_IN_PROMPT = "Reply with JSON alone: one object that follows this JSON schema.\n{schema}"
LOWER_LIMIT = "lower --max_new_tokens"
ADD_V1 = "add /v1 to the address, which most servers want, or check address and model"
CHECK_SET_UP = "check key, address, model and quota"

REQUEST, SET_UP, UNCLEAR = "this request", "the set-up", "unclear"
SET_UP_STATUS = (401, 402, 404)  # key, credit, address or model
FILTERED = re.compile(
    r"content.?(filter|management|policy)|moderation|flagged|safety|inappropriate|sensitive.?(content|words?)|"
    r"data.?inspection|responsible.?ai|invalid_prompt|prohibited|filtered|harmful",
    re.IGNORECASE,
)
FLAGGED = re.compile(r"content.?(filter|management|policy)|moderation|flagged", re.IGNORECASE)  # in a 403
TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum (prompt|input)|(prompt|input|messages?|request|string)( is| are)? too (long|large)|"
    r"too many (input |prompt )?tokens|string_above_max_length|reduce (the|your) (length|prompt|input|message)|"
    r"input tokens? exceed",
    re.IGNORECASE,
)
# OpenAI's 400 where thoughts took all tokens of a reply
OUT_OF_TOKENS = re.compile(r"could not finish|output limit was reached|higher max_", re.IGNORECASE)
PROMPT_PARAMETERS = re.compile(r"(prompt|messages|input)\b")
MODEL_OR_FIELD = re.compile(
    r"\bmodel\b.*(exist|not found|valid|unknown|access|available|support)|(valid|unknown|unsupported|no such) model|deployment|"
    r"api.?key|max_(completion_)?tokens|(unknown|unsupported|unrecogni[sz]ed|unexpected|invalid|no such|extra|missing)\b.*"
    r"\b(field|input|parameter|argument|property)",
    re.IGNORECASE,
)
FORMAT_NAMES = re.compile(
    r"response.?format|json.?(schema|object|mode)|structured.?output|guided|grammar|\bschema\b|requested parameters",
    re.IGNORECASE,
)
UNKNOWN_PARAMETER = re.compile(r"unrecogni[sz]ed|unknown|unexpected|extra.?(inputs|fields|forbidden)", re.IGNORECASE)
OUT_OF_RANGE = re.compile(
    r"too (large|high|big|long|small)|at most|at least|maximum|minimum|exceed|out of range|less than|greater than",
    re.IGNORECASE,
)
ABOVE_ZERO = re.compile(r"positive|greater than 0|> ?0|larger than 0|\(0(\.0)?,", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How requests are put to a server. `learn` gives the dialect that a refusal asks for."""

    json_format: str = FORMATS[0]
    tokens_name: str = "max_tokens"
    least_temperature: float = 0.0
    left_out: frozenset[str] = frozenset()  # of "temperature" and "seed"

    def request(
        self, messages: Conversation, schema: dict | None, max_tokens: int, temperature: float, seed: int
    ) -> dict[str, Any]:
        """The request's fields. For a reply in JSON, `max_tokens` is raised by WRAPPING_TOKENS.

        Servers accept only an object at the top of a schema, so the value is wrapped as "reply".
        """
        fields = {"temperature": max(temperature, self.least_temperature), "seed": seed}
        request: dict[str, Any] = {"messages": messages, self.tokens_name: max_tokens}
        request |= {name: value for name, value in fields.items() if name not in self.left_out}
        if schema is None:
            return request
        request[self.tokens_name] += WRAPPING_TOKENS
        wrapped = {
            "type": "object",
            "properties": {"reply": schema},
            "required": ["reply"],
            "additionalProperties": False,
        }
        if self.json_format == "json_schema":
            return request | {
                "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": wrapped}}
            }
        words = SCHEMA_IN_PROMPT.format(schema=json.dumps(wrapped, ensure_ascii=False))
        last = messages[-1] | {"content": f"{messages[-1]['content']}\n\n{words}"}
        request["messages"] = [*messages[:-1], last]
        return request | ({"response_format": {"type": "json_object"}} if self.json_format == "json_object" else {})

    def learn(self, error, request: dict) -> tuple[Dialect, str] | None:
        """The dialect that an openai.APIStatusError asks for, and what changes, in words; None if it names no parameter."""
        if error.status_code not in PARAMETER_STATUS or concerns_prompt(error):
            return None
        words, dialect, changes = full_words(error), self, []
        if "response_format" in request and FORMAT_NAMES.search(words):
            unknown = UNKNOWN_PARAMETER.search(words) and not re.search(r"json.?(schema|object)", words, re.IGNORECASE)
            dialect = replace(self, json_format="text" if unknown else self.next_format)
            changes.append(f"no response_format {self.json_format}: {dialect.says_format}")
        named = [name for name in (self.tokens_name, "temperature", "seed") if re.search(rf"\b{name}\b", words)]
        named = [error.param] if error.param in named else named
        if "max_tokens" in named and not OUT_OF_RANGE.search(words):
            dialect = replace(dialect, tokens_name="max_completion_tokens")
            changes.append("no max_tokens: max_completion_tokens is sent in its place")
        for name in ("temperature", "seed"):
            if name not in named or name not in request:
                continue
            if name == "temperature" and ABOVE_ZERO.search(words) and self.least_temperature == 0:
                dialect = replace(dialect, least_temperature=LEAST_TEMPERATURE)
                changes.append(f"no temperature of 0: {LEAST_TEMPERATURE} is sent in its place")
            else:
                dialect = replace(dialect, left_out=dialect.left_out | {name})
                changes.append(f"no {name}: it is left out, so the server chooses")
        return (dialect, f"{'; '.join(changes)} ({server_words(error)})") if changes else None

    @property
    def next_format(self) -> str:
        return FORMATS[min(FORMATS.index(self.json_format) + 1, len(FORMATS) - 1)]

    def other_formats(self) -> list[Dialect]:
        """The same dialect with each of the formats that come after its own."""
        return [replace(self, json_format=name) for name in FORMATS[FORMATS.index(self.json_format) + 1 :]]

    @property
    def says_format(self) -> str:
        how = "in plain text" if self.json_format == "text" else f"as {self.json_format}"
        return f"JSON is asked for {how}, with the schema in the prompt"


def concerns(error) -> str:
    """What an openai.APIStatusError is about: REQUEST, SET_UP or UNCLEAR."""
    if error.code == QUOTA_USED_UP or error.status_code in SET_UP_STATUS:
        return SET_UP
    if error.status_code == 403:
        return REQUEST if FLAGGED.search(full_words(error)) else SET_UP
    if concerns_prompt(error) or error.status_code != 400:
        return REQUEST
    return SET_UP if MODEL_OR_FIELD.search(full_words(error)) else UNCLEAR


def concerns_prompt(error) -> bool:
    """Whether a refusal is about what one request says or how long it, or its reply, is."""
    words = full_words(error)
    return bool(
        out_of_tokens(error)
        or FILTERED.search(words)
        or TOO_LONG.search(words)
        or PROMPT_PARAMETERS.match(str(error.param or ""))
    )


def out_of_tokens(error) -> bool:
    """Whether a server says that a reply could not be written in the tokens it had."""
    return error.status_code == 400 and bool(OUT_OF_TOKENS.search(full_words(error)))


def may_be_the_format(error) -> bool:
    """Whether a server may have refused a call for JSON, or failed in it, because of its response_format without saying so."""
    return error.status_code != 429 and concerns(error) != SET_UP and not concerns_prompt(error)


def remedy(error) -> str:
    """What to do about an error that concerns the set-up."""
    path = getattr(getattr(error, "request", None), "url", None)
    if error.status_code == 404 and path is not None and path.path == CALL_PATH:
        return ADD_V1
    too_many = re.search(r"max_(completion_)?tokens", full_words(error)) and OUT_OF_RANGE.search(full_words(error))
    return LOWER_LIMIT if too_many else CHECK_SET_UP


def server_words(error) -> str:
    """The server's own words in an openai.APIStatusError, at most 300 characters.

    The library's message has them only where they stand under "message", not under "detail" (FastAPI, Mistral), in a list
    (Gemini), or as a text.
    """
    body = error.body
    message = (body.get("message") if isinstance(body, dict) else None) or body or error.message
    words = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    return " ".join(words.split())[:300]


def full_words(error) -> str:
    """Everything in an openai.APIStatusError that may name a parameter, code or reason."""
    found = server_words(error)
    return " ".join([str(part) for part in (error.code, error.param) if part] + [found])


def what_failed(error: Exception) -> tuple[str, str]:
    """What an error of a call is, in a word or two, and its own words: for a lost connection those of its cause."""
    if hasattr(error, "status_code"):
        return f"status {error.status_code}", server_words(error)
    if isinstance(error, json.JSONDecodeError):
        return "no answer of an API", error.msg
    kind = {"APIConnectionError": "no connection", "APITimeoutError": "no answer in time"}
    return kind.get(type(error).__name__, type(error).__name__), str(error.__cause__ or "") or str(error)


def describe(error) -> str:
    """An error record for an openai.APIStatusError: what comes before ": " is the reason that is counted."""
    code = error.code if isinstance(error.code, str) and not error.code.isdigit() else None
    return f"status {error.status_code}{f', {code}' if code else ''}: {server_words(error)}"
