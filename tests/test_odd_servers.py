"""What a server refuses or says oddly, over real HTTP: which refusals end a run, and what is learned from the others."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest
from test_api_engine import WORDS, asked, engine_of, server, text  # noqa: F401

import inference
from benchmarks.fault_server import TEXT, Answer, completion, error, good, refuses
from engines.api import THINKING_TOKENS, ApiEngine
from utils import InputError, MostlyFailed, api_client

FILTER = {"message": "The response was filtered.", "param": "prompt", "code": "content_filter"}
NO_SCHEMA = refuses("response_format", "This response_format type is unavailable now", "json_schema")
NO_MAX_TOKENS = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
NO_ZERO = "'temperature' does not support 0.0 with this model. Only the default (1) value is supported."


def refusal(status: int = 400, **fields) -> Answer:
    return Answer({"error": fields}, status)


REFUSALS_OF_ONE_REQUEST = [
    refusal(**FILTER),
    refusal(
        message="This model's maximum context length is 4096 tokens.", param="messages", code="context_length_exceeded"
    ),
    refusal(message="'max_tokens' is too large: 90. This model's maximum context length is 64 tokens and you sent 60."),
    refusal(message="Input data may contain inappropriate content.", code="data_inspection_failed"),
    refusal(403, message="Your input was flagged by moderation."),
    refusal(413, message="too large"),
    refusal(message="We cannot do that."),  # unclear: a short call shows that the set-up is right
]


@pytest.mark.parametrize("answer", REFUSALS_OF_ONE_REQUEST)
@pytest.mark.parametrize("place", [0, 1])
def test_a_refusal_of_one_request_is_an_error_of_that_one_even_if_it_is_the_first(server, answer, place):  # noqa: F811
    server.plan = iter([good] * place + [answer])
    replies = engine_of(server).chat(asked("a", "b", "c"))
    assert [bool(reply.error) for reply in replies] == [index == place for index in range(3)]
    assert answer.body["error"]["message"] in replies[place].error and replies[place].text == ""


@pytest.mark.parametrize(
    "answer",
    [
        refusal(message="m is not a valid model ID"),
        refusal(message="Unknown parameter: 'messages2'"),
        refusal(message="Incorrect API key provided", code="invalid_api_key"),
        refusal(403, message="Access from your country is blocked."),
        refusal(404, message="The model `m` does not exist", param="model"),
        Answer({"error": {"message": "Insufficient credits.", "code": 402}}),
        Answer({"error": "Insufficient credits.", "code": "402"}),
        Answer({"error": {"message": "Insufficient credits."}}),
    ],
)
def test_what_concerns_the_set_up_ends_the_run_in_the_servers_words(server, answer):  # noqa: F811
    server.plan = iter([good, answer])
    words = answer.body["error"]
    with pytest.raises(InputError) as raised:
        engine_of(server).chat(asked(*"abcd"))
    assert (words if isinstance(words, str) else words["message"]) in str(raised.value) and len(server.calls) == 2
    assert str(raised.value).endswith(": check key, address, model and quota")


def test_a_limit_above_the_models_own_is_said_with_what_to_lower(server):  # noqa: F811
    server.default = refuses(
        "max_tokens", "max_tokens is too large: 9000. At most 4096 are supported.", param="max_tokens"
    )
    with pytest.raises(InputError, match=r"At most 4096.*lower --max_new_tokens"):
        engine_of(server).chat(asked("a"), max_new_tokens=9000)
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("behaviour", "formats", "said"),
    [
        (NO_SCHEMA, ["json_schema", "json_object", "json_object"], "no response_format json_schema: .* as json_object"),
        (
            refuses("response_format", "Unrecognized request argument supplied: response_format"),
            ["json_schema", None, None],
            "no response_format json_schema: .* in plain text",
        ),
        (
            refuses("response_format", "response_format must be text; json_object and json_schema are not supported"),
            ["json_schema", "json_object", None, None],
            "no response_format json_object: .* in plain text",
        ),
    ],
)
def test_json_is_asked_for_as_the_server_will_have_it(server, caplog, behaviour, formats, said):  # noqa: F811
    server.default = behaviour
    engine = engine_of(server)
    with caplog.at_level(logging.INFO):
        replies = engine.chat(asked("a", "b"), schemas=WORDS)
    assert [json.loads(reply.text) for reply in replies] == [["known words"]] * 2
    sent = [call["body"] for call in server.calls]
    assert [(call.get("response_format") or {}).get("type") for call in sent] == formats
    assert '"minLength": 10' in sent[-1]["messages"][0]["content"] and sent[0]["messages"] == asked("a")[0]
    assert len([line for line in caplog.messages if "no response_format" in line]) == len(formats) - 2
    assert re.search(said, caplog.text)


@pytest.mark.parametrize(
    ("behaviour", "first", "then"),
    [
        (refuses("max_tokens", NO_MAX_TOKENS, param="max_tokens"), "max_tokens", {"max_completion_tokens": 5, "temperature": 0.0, "seed": 0}),
        (refuses("temperature", NO_ZERO, param="temperature"), "temperature", {"max_tokens": 5, "seed": 0}),
        (refuses("seed", "Extra inputs are not permitted: seed"), "seed", {"max_tokens": 5, "temperature": 0.0}),
    ],
)  # fmt: skip
def test_a_parameter_that_is_refused_is_sent_as_the_server_names_it_or_left_out(server, behaviour, first, then):  # noqa: F811
    server.default = behaviour
    replies = engine_of(server).chat(asked("a", "b"), max_new_tokens=5)
    sent = [
        {key: value for key, value in call["body"].items() if key not in ("model", "messages")} for call in server.calls
    ]
    assert [reply.text for reply in replies] == [TEXT] * 2
    assert first in sent[0] and sent[1:] == [then] * 2


def test_a_refusal_that_names_two_parameters_is_learned_from_at_once_and_said(server, caplog):  # noqa: F811
    server.plan = iter([error(400, "temperature and seed are not supported")])
    with caplog.at_level(logging.INFO):
        engine_of(server).chat(asked("a"), max_new_tokens=5)
    assert [{"temperature", "seed"} & set(call["body"]) for call in server.calls] == [{"temperature", "seed"}, set()]
    assert (
        f"m at {server.address} takes no temperature: it is left out, so the server chooses; no seed: it is left out, "
        "so the server chooses (temperature and seed are not supported)"
    ) in caplog.messages


def test_a_temperature_that_must_be_above_zero_is_little_above_it(server):  # noqa: F811
    server.plan = iter([error(422, "`temperature` must be strictly positive")])
    engine_of(server).chat(asked("a", "b"), temperature=[0.0, 0.7])
    assert [call["body"]["temperature"] for call in server.calls] == [0.0, 0.01, 0.7]


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Provider returned error", "code": 429}},
        {**completion(""), "choices": [{**completion("", "error")["choices"][0], "error": {"code": 502, "message": "gone"}}]},
        completion("", "error"),
        {"error": {"message": "Overloaded: try later"}},
        {"choices": None, "base_resp": {"status_code": 1001, "status_msg": "server error"}},
    ],
)  # fmt: skip
def test_an_error_inside_a_200_is_tried_again_where_its_own_status_would_be(server, body):  # noqa: F811
    server.plan = iter([Answer(body)])
    assert engine_of(server).chat(asked("a"))[0].text == TEXT and len(server.calls) == 2


def test_an_error_inside_a_200_that_goes_on_is_a_record_with_the_servers_words(server):  # noqa: F811
    server.plan = iter([good, *[Answer({"error": {"message": "Provider returned error", "code": 429}})] * 2])
    assert engine_of(server).chat(asked("a", "b"))[1].error == "status 429: Provider returned error"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (text("", "content_filter"), "content_filter: "),
        (Answer(completion("", refusal="I can't help with that.")), "refused: I can't help with that."),
        (Answer(completion(None, reasoning_content="Hm.")), "the server sent no text but thoughts"),
    ],
)
def test_a_reply_that_is_withheld_says_why(server, answer, said):  # noqa: F811
    server.plan = iter([answer])
    assert engine_of(server).chat(asked("a"))[0].error.startswith(said)


@pytest.mark.parametrize(
    "answer",
    [
        text("<think>\nIt was Piet.\n</think>\n\nGreta"),
        text("It was Piet.\n</think>\n\nGreta"),
        Answer(completion("Greta", reasoning_content="It was Piet.")),
        Answer(completion([{"type": "thinking", "thinking": "It was Piet."}, {"type": "text", "text": "Greta"}])),
    ],
)
def test_thoughts_never_reach_a_text(server, answer):  # noqa: F811
    server.plan = iter([answer])
    assert engine_of(server).chat(asked("a"))[0].text == "Greta"


def test_a_reply_cut_off_while_thinking_is_asked_again_with_more_room_and_so_are_later_ones(server, caplog):  # noqa: F811
    server.default = lambda call: good(call) if call["max_tokens"] > 100 else text("<think>\nHm", "length")
    with caplog.at_level(logging.INFO, "engines"):
        replies = engine_of(server).chat(asked("a", "b"), max_new_tokens=50)
    assert [reply.text for reply in replies] == [TEXT] * 2
    assert [call["body"]["max_tokens"] for call in server.calls] == [50, 50 + THINKING_TOKENS, 50 + THINKING_TOKENS]
    assert caplog.messages == ["m thinks before it answers: it may write 8192 more tokens per reply"]


@pytest.mark.parametrize(
    ("more", "tokens"),
    [(text("<think>\nHm", "length"), 50 + 8192), (refusal(message="max_tokens is too large, at most 4096"), 50)],
)
def test_a_reply_that_is_still_cut_off_names_the_limit_to_raise(server, more, tokens):  # noqa: F811
    cut = Answer(completion(None, "length", reasoning_content="Hm"))
    server.default = lambda call: cut if call["max_tokens"] == 50 else more
    (reply,) = engine_of(server).chat(asked("a"), max_new_tokens=50)
    said = f"cut off while thinking: {tokens} tokens were too few; raise --max_new_tokens where there is one, or have "
    assert reply.error == f"{said}the server think less" and not reply.text


def test_an_answer_is_read_as_a_stream_or_as_json_of_another_type(server):  # noqa: F811
    parts = [{"content": "Greta "}, {"content": "Solvang"}, {}]
    chunks = [{**completion(""), "choices": [{"index": 0, "delta": part, "finish_reason": "stop"}]} for part in parts]
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    server.plan = iter(
        [
            Answer(stream, headers={"Content-Type": "text/event-stream"}),
            Answer(json.dumps(completion("Greta Solvang")), headers={"Content-Type": "text/plain"}),
        ]
    )
    assert [reply.text for reply in engine_of(server).chat(asked("a", "b"))] == ["Greta Solvang"] * 2


CHUNK = json.dumps({"choices": [{"index": 0, "delta": {"content": "Greta"}}]})
ERROR_CHUNK = json.dumps({"error": {"message": "Overloaded", "code": 503}})


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (f": ping\n\nevent: chunk\ndata: {CHUNK}\n\ndata: [DONE]\n\n", "Greta"),
        ("\ufeff" + json.dumps(completion("Greta")), "Greta"),
        (json.dumps(completion([None, {"type": "text", "text": None}, {"type": "text", "text": "Greta"}])), "Greta"),
        (json.dumps({"choices": [{"text": "Greta"}]}), "Greta"),  # the older API's
        (json.dumps({"choices": [{"message": "Greta"}]}), "Greta"),
        (json.dumps({**completion("Greta"), "usage": [1]}), "Greta"),
        (json.dumps(completion("Greta \ud83d")), "Greta ?"),  # half of an emoji, which no file can hold
        (f"data: {ERROR_CHUNK}\n\n", "status 503: Overloaded"),
        ("[]", "no answer of an API: an answer that is not the API's JSON: '[]'"),
        ("null", "no answer of an API: an answer that is not the API's JSON: 'null'"),
        ("", "no answer of an API: an answer that is not the API's JSON: ''"),
        (json.dumps({"choices": "Greta"}), "the server sent no text"),
        (json.dumps({"choices": ["Greta"]}), "the server sent no text"),
        (json.dumps({"choices": {"0": 1}}), "the server sent no text"),
        (json.dumps(completion(7)), "the server sent no text"),
    ],
)
def test_an_answer_of_another_form_is_read_or_a_record_and_ends_no_run(server, body, read):  # noqa: F811
    server.plan = iter([good, Answer(body), Answer(body)])
    _, reply = engine_of(server).chat(asked("a", "b"))
    assert (reply.error or reply.text) == read


def test_a_connection_that_fails_is_said_with_its_cause():
    with pytest.raises(InputError, match=r"no connection \(.*refused"):
        ApiEngine("m", "http://127.0.0.1:9/v1", max_attempts=1).chat(asked("a"))


@pytest.mark.parametrize("address", ["127.0.0.1:9/v1", "localhost:9/v1", "//localhost/v1"])
def test_an_address_without_a_scheme_is_refused_before_anything_is_sent(address):
    with pytest.raises(InputError, match=f"--api_base to begin with http:// or https://, found {address}: "):
        ApiEngine("m", address)


def test_an_address_may_have_been_copied_with_its_path_for_chat():
    assert str(api_client("http://127.0.0.1:9/v1/chat/completions", "k", 5.0).base_url) == "http://127.0.0.1:9/v1/"
    azure = api_client("http://127.0.0.1:9/openai/deployments/m/chat/completions?api-version=1", "k", 5.0)
    assert str(azure.base_url) == "http://127.0.0.1:9/openai/deployments/m/"
    assert azure.default_query == {"api-version": "1"}


def test_the_query_of_the_address_goes_with_every_call():
    client = api_client("http://127.0.0.1:9/openai/deployments/m?api-version=2024-10-21", "a-key", 5.0)
    assert str(client.base_url) == "http://127.0.0.1:9/openai/deployments/m/"
    assert client.default_query == {"api-version": "2024-10-21"} and client.default_headers["api-key"] == "a-key"
    assert "api-key" not in api_client("http://127.0.0.1:9/v1", "a-key", 5.0).default_headers


@pytest.mark.parametrize(("refused", "failed"), [("poison", False), ("o", True)])
def test_inference_writes_its_answers_and_fails_if_most_are_missing(server, tmp_path, monkeypatch, refused, failed):  # noqa: F811
    questions, output = tmp_path / "questions.json", tmp_path / "answers.json"
    questions.write_text(json.dumps(["Which poison?", "Who opened it?", "When?"]))
    server.default = lambda call: refusal(**FILTER) if refused in call["messages"][-1]["content"] else good(call)
    words = ["--api_model", "m", "--api_base", server.address, "--test_data_path", questions, "--output_path", output]
    monkeypatch.setattr(sys, "argv", ["inference.py", *map(str, words)])
    if failed:
        with pytest.raises(MostlyFailed, match=r"2 of 3 calls failed: 2 status 400, content_filter \(The response"):
            inference.main()
    else:
        inference.main()
    answers = json.loads(output.read_text())
    assert ["error" in answer for answer in answers] == [True, failed, False] and answers[2]["response"] == TEXT
