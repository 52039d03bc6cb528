"""What a server's answer may look like: the forms of its text, and of an error that came with status 200."""

from __future__ import annotations

import json

import pytest

from benchmarks.fault_server import completion
from engines.api_replies import error_inside, parse_reply, to_answer
from engines.chat import Reply


def read(answer: dict, schema: dict | None = None) -> Reply:
    return parse_reply(to_answer(json.dumps(answer)), schema, 9)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (" Greta\n", "Greta"),
        ({"name": "Zoë", "age": 30}, '{"name": "Zoë", "age": 30}'),  # JSON that is not written as a text
        ([{"type": "text", "text": "Greta "}, {"type": "text", "text": "Solvang"}], "Greta Solvang"),
        (["Greta ", "Solvang"], "Greta Solvang"),
        ([{"text": "Greta"}], "Greta"),
        ([{"type": "reasoning", "text": "Piet?"}, {"type": "text", "text": "Greta"}, {"type": "image"}], "Greta"),
        ("<answer>Greta</answer>", "<answer>Greta</answer>"),
    ],
)
def test_a_text_is_read_whatever_it_comes_in(content, text):
    assert read(completion(content)) == Reply(text, 3, 2, "stop")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"content": [{"type": "thinking", "thinking": "Piet?"}]}, "the server sent no text but thoughts"),
        ({"content": [{"type": "reasoning", "text": "Piet?"}]}, "the server sent no text but thoughts"),
        ({"content": "", "reasoning": "Piet?"}, "the server sent no text but thoughts"),
        ({"content": None, "reasoning_details": [{"text": "Piet?"}]}, "the server sent no text but thoughts"),
        ({"content": [7, {"type": "image"}]}, "the server sent no text"),
        ({"content": []}, "the server sent no text"),
        ({"content": "Greta", "refusal": "No."}, "refused: No."),
    ],
)
def test_where_there_is_no_text_the_reply_says_what_there_was(message, error):
    assert read(completion(**message)) == Reply("", finish_reason="error", error=error)


@pytest.mark.parametrize("where", ["reasoning_content", "reasoning", "reasoning_details"])
def test_thoughts_that_took_all_the_tokens_were_cut_off(where):
    cut = completion("", "length", **{where: "Piet? No,"})
    said = (
        "cut off while thinking: 9 tokens were too few; raise --max_new_tokens where there is one, or have the server"
    )
    assert read(cut).error == f"{said} think less"
    assert read(completion("Greta", "length", **{where: "Piet? No,"})) == Reply("Greta", 3, 2, "length")


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 4}, (7, 4)),
        ({"prompt_tokens": 7.0, "completion_tokens": "4"}, (7, 0)),
        ({"completion_tokens": 4}, (0, 4)),
        ({}, (0, 0)),
    ],
)
def test_tokens_are_counted_as_far_as_the_server_counts_them(usage, counts):
    reply = read(completion("Greta") | {"usage": usage})
    assert (reply.prompt_tokens, reply.completion_tokens) == counts
    assert all(isinstance(count, int) for count in counts)


def stream(*chunks: dict) -> str:
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def chunk(finish_reason: str | None = None, **delta: str) -> dict:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def test_a_stream_is_one_reply_with_the_counts_of_its_last_chunk():
    """As servers send it: a first chunk with the role alone, and one with the counts after the last of the text."""
    usage = {"usage": {"prompt_tokens": 7, "completion_tokens": 4}}
    text = stream(
        chunk(role="assistant"), chunk(content="Greta "), chunk(content="Sol"), chunk("length", content="vang"),
        {"choices": [], **usage}, {"choices": None},
    )  # fmt: skip
    assert parse_reply(to_answer(text), None) == Reply("Greta Solvang", 7, 4, "length")
    assert parse_reply(to_answer(stream(chunk(content="Greta"), chunk("stop"))), None).finish_reason == "stop"


def test_a_stream_of_thoughts_alone_was_cut_off_and_one_with_an_error_is_that_error():
    cut = stream(chunk(reasoning_content="Piet"), chunk(reasoning_content="? No"), chunk("length"))
    assert parse_reply(to_answer(cut), None, 9).error.startswith("cut off while thinking: 9 tokens were too few")
    failed = stream(chunk(content="Greta"), {"error": {"message": "Overloaded"}}, chunk(content=" Solvang"))
    assert error_inside(to_answer(failed))["message"] == "Overloaded"


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "<html>busy</html>", '{"choices": [', "data: [DONE]\n\n", "[" * 100_000]
)
def test_what_is_no_answer_of_an_api_is_shown_from_its_beginning(text):
    with pytest.raises(json.JSONDecodeError) as raised:
        to_answer(text)
    assert raised.value.msg == f"an answer that is not the API's JSON: {text[:100]!r}"


def test_a_reply_that_follows_no_schema_is_shown_from_its_beginning():
    said = "the server sent no JSON that follows the schema: "
    assert read(completion("sorry, " * 20), {"type": "array"}).error == said + ("sorry, " * 20)[:100]
    assert read(completion("sorry", "length"), {"type": "array"}).error == f"{said}cut off after 9 tokens: sorry"


@pytest.mark.parametrize("key", ["message", "msg", "status_msg", "detail"])
@pytest.mark.parametrize("form", ["{0}", '{{"error": {0}}}', '{{"choices": [{{"error": {0}, "message": null}}]}}', '{{"base_resp": {0}}}'])  # fmt: skip
def test_the_servers_words_are_found_under_their_usual_names(key, form):
    error = error_inside(to_answer(form.format(json.dumps({key: "It is late."}))))
    named_alone = key == "status_msg" and form == "{0}"
    assert error == (None if named_alone else {"message": "It is late.", "code": None, "param": None, "status": 400})


@pytest.mark.parametrize("key", ["status", "code", "status_code", "type"])
@pytest.mark.parametrize(
    ("given", "status"), [(400, 400), ("429", 429), (599, 599), (399, 400), (600, 400), ("4x", 400)]
)
def test_the_status_of_an_error_is_the_one_it_names(key, given, status):
    assert error_inside(to_answer(json.dumps({"error": {"message": "It is late.", key: given}})))["status"] == status


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("Rate limit reached", 429), ("rate_limit_exceeded", 429), ("Too many requests", 429),
        ("Insufficient credits", 402), ("insufficient_quota", 402), ("insufficient balance", 402), ("See your billing page", 402),
        ("Invalid API key", 401), ("no api-key", 401), ("Unauthorized", 401), ("unauthorised", 401), ("authentication_error", 401),
        ("Overloaded", 503), ("at capacity", 503), ("Try again", 503), ("a temporary failure", 503), ("Service Unavailable", 503),
        ("It timed out", 503), ("a timeout", 503), ("time out", 503), ("Internal failure", 503), ("Server error", 503), ("busy", 503),
        ("Rate limit reached: the server is busy", 429), ("messages must alternate", 400),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["message", "type", "code"])
def test_an_error_that_names_no_status_has_the_one_of_its_words(key, words, status):
    error = error_inside(to_answer(json.dumps({"error": {"message": "No.", key: words}})))
    assert (error["status"], error["message"]) == (status, words if key == "message" else "No.")


def test_an_error_keeps_its_code_and_parameter_and_may_be_a_text():
    error = {"message": "It is long.", "code": "context_length_exceeded", "param": "messages", "type": "invalid"}
    assert error_inside(to_answer(json.dumps({"error": error}))) == {
        "message": "It is long.", "code": "context_length_exceeded", "param": "messages", "status": 400,
    }  # fmt: skip
    found = error_inside(to_answer(json.dumps({"error": "It is late.", "code": 503})))
    assert found == {"message": "It is late.", "code": 503, "param": None, "status": 503}


@pytest.mark.parametrize(
    "answer",
    [completion("Greta"), completion("Greta") | {"message": "ok", "detail": "none"}, {}, {"choices": []}, {"choices": ["Greta"]}],
)  # fmt: skip
def test_what_has_a_reply_or_says_nothing_is_no_error(answer):
    assert error_inside(to_answer(json.dumps(answer))) is None
