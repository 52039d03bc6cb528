"""A server that says nothing of the JSON format it does not know: it ignores it, loses the connection or fails. Over real HTTP."""

from __future__ import annotations

import json
import logging

import pytest
from test_api_engine import WORDS, asked, engine_of, server, text  # noqa: F401

from benchmarks.fault_server import FAULTS, TEXT, Answer, completion, error, good
from engines.journal import JournaledEngine
from utils import InputError

BUSY = error(503, "busy")
PROSE = text("The words that I know are these.")
LOST = FAULTS["connection reset in mid-body"]
CALLS = asked("a", "b", "c")


def format_of(call: dict) -> str:
    return call.get("response_format", {}).get("type", "text")


def formats(server) -> list[str]:  # noqa: F811
    return [format_of(call["body"]) for call in server.calls]


def knows(name: str, else_: Answer = PROSE):
    """A server that answers calls for JSON in the format `name` only; all others, and texts, with `else_`."""
    return lambda call: good(call) if format_of(call) == name else else_


@pytest.mark.parametrize(
    ("otherwise", "problem"),
    [
        (PROSE, "no JSON that follows the schema: The words that I know"),
        (text('{"known": "words"}'), "no JSON that follows the schema"),
        (text(" \n\n", "length"), "the server sent no text"),
        (LOST, "no connection: "),
        (error(500, "no such grammar"), "status 500: no such grammar"),
        (error(400, "We cannot do that."), "status 400: We cannot do that."),
        (error(422, "not processable"), "status 422: not processable"),
    ],
)
@pytest.mark.parametrize(
    ("known", "tried"),
    [("json_object", ["json_schema", "json_object"]), ("text", ["json_schema", "json_object", "text"])],
)
def test_json_is_asked_for_in_the_next_format_in_which_it_comes_and_that_is_said(
    server,  # noqa: F811
    caplog,
    otherwise,
    problem,
    known,
    tried,
):
    server.default = knows(known, otherwise)
    with caplog.at_level(logging.INFO):
        replies = engine_of(server, max_attempts=1, concurrency=2).chat(CALLS, schemas=WORDS)
    assert [json.loads(reply.text) for reply in replies] == [["known words"]] * 3
    assert formats(server) == [*tried, known, known]
    (line,) = [line for line in caplog.messages if "response_format" in line]
    how = {"json_object": "as json_object", "text": "in plain text"}[known]
    said = (
        f"m at {server.address} gives no JSON for response_format json_schema: JSON is asked for {how}, with the schema"
    )
    assert line.startswith(said)
    assert problem in line


def test_a_format_that_follows_after_a_refused_one_may_fail_too(server):  # noqa: F811
    """A server that refuses json_schema and breaks down over json_object."""

    def answer(call: dict) -> Answer:
        return {"json_schema": error(400, "json_schema is unavailable"), "json_object": LOST}.get(
            format_of(call)
        ) or good(call)

    server.default = answer
    assert [reply.error for reply in engine_of(server, max_attempts=2).chat(CALLS, schemas=WORDS)] == [None] * 3
    assert formats(server) == ["json_schema", "json_object", "json_object", "text", "text", "text"]


def test_where_no_format_works_the_first_stays_and_the_search_has_an_end(server, caplog):  # noqa: F811
    server.default = PROSE
    with caplog.at_level(logging.INFO):
        replies = engine_of(server).chat(asked(*"abcdef"), schemas=WORDS)
    said = f"m at {server.address} gave no JSON for one request in any format (the server sent no JSON that follows"
    assert caplog.text.count(said) == 3
    assert [reply.error[:48] for reply in replies] == ["the server sent no JSON that follows the schema:"] * 6
    assert formats(server) == ["json_schema", "json_object", "text", "json_schema"] * 3 + ["json_schema"] * 6


def test_now_and_then_a_reply_without_json_changes_nothing(server):  # noqa: F811
    server.plan = iter([good, PROSE, good, PROSE])
    replies = engine_of(server).chat(asked(*"abcd"), schemas=WORDS)
    assert [bool(reply.error) for reply in replies] == [False] * 4
    assert formats(server) == ["json_schema"] * 6


def test_a_request_whose_reply_was_no_json_is_asked_again_so_that_the_reply_can_be_another(server, tmp_path):  # noqa: F811
    """Without sampling the reply would be the same again. It is remembered as the reply to the request."""

    def answer(call: dict) -> Answer:
        return good(call) if call["temperature"] else PROSE

    server.default = answer
    for _ in range(2):
        engine = JournaledEngine(engine_of(server), tmp_path / "journal.jsonl")
        (reply,) = engine.chat(asked("a"), schemas=WORDS, seed=3)
        assert json.loads(reply.text) == ["known words"]
    sent = [call["body"] for call in server.calls]
    assert [(one["temperature"], one["seed"]) for one in sent] == [(0.0, 3)] * 3 + [(0.7, 4)]
    assert len({json.dumps(one["messages"]) for one in (sent[0], sent[-1])}) == 1
    assert engine_of(server).chat(asked("a"))[0].error is None, "a text is taken as it is"


def test_json_that_came_by_luck_at_first_does_not_hide_a_server_that_ignores_its_format(server):  # noqa: F811
    server.plan, server.default = iter([good]), knows("json_object")
    replies = engine_of(server).chat(asked(*"abcd"), schemas=WORDS)
    assert [bool(reply.error) for reply in replies] == [False, True, False, False]
    assert formats(server) == ["json_schema"] * 4 + ["json_object"] * 2


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (error(401, "no such key"), True),
        (error(404, "no such model"), True),
        (error(400, "m is not a valid model ID"), True),
        (error(400, "The prompt was flagged by moderation."), False),
        (text("", "content_filter"), False),
        (Answer(completion(None, refusal="No.")), False),
    ],
)
def test_what_is_no_matter_of_the_format_is_asked_once(server, answer, ends):  # noqa: F811
    server.plan = iter([answer])
    if ends:
        with pytest.raises(InputError):
            engine_of(server).chat(CALLS, schemas=WORDS)
        assert formats(server) == ["json_schema"]
    else:
        assert [bool(reply.error) for reply in engine_of(server).chat(CALLS, schemas=WORDS)] == [True, False, False]
        assert formats(server) == ["json_schema"] * 3


def test_where_a_refusal_is_unclear_a_short_call_for_json_shows_whether_the_set_up_is_right(server):  # noqa: F811
    server.default = error(400, "We cannot do that.")
    with pytest.raises(InputError, match=r"found status 400 \(We cannot do that\.\)"):
        engine_of(server).chat(CALLS, schemas=WORDS)
    assert formats(server) == ["json_schema", "json_object", "text", "json_schema"]
    plain = server.calls[-1]["body"]
    assert plain["messages"][0]["content"].startswith("Is this a question?")
    reply = plain["response_format"]["json_schema"]["schema"]["properties"]["reply"]
    assert (reply, plain["max_tokens"]) == ({"enum": ["yes", "no"]}, 16 + 16), "16 for the wrapping"


def test_a_reply_in_another_format_is_no_failure_in_a_row(server):  # noqa: F811
    engine = engine_of(server, max_attempts=1)
    server.plan = iter([good, *[BUSY] * 4])
    assert [bool(reply.error) for reply in engine.chat(asked(*"abcde"))] == [False] + [True] * 4
    server.default = knows("json_object", LOST)
    assert engine.chat(asked("f"), schemas=WORDS)[0].error is None
    server.default = BUSY
    assert [bool(reply.error) for reply in engine.chat(asked(*"ghij"))] == [True] * 4
    with pytest.raises(InputError, match=r"found status 503 \(busy\): start the server"):
        engine.chat(asked("k"))


def test_a_schema_in_the_prompt_has_its_words_as_they_are_written(server):  # noqa: F811
    server.default = knows("text", error(400, "json_schema and json_object are unavailable"))
    assert engine_of(server).chat(asked("好？"), schemas={"enum": ["是", "否"]})[0].error is None
    prompt = "好？\n\nReply with JSON alone: one object that follows this JSON schema.\n"
    shown = server.calls[-1]["body"]["messages"][0]["content"]
    assert shown.startswith(prompt) and '{"enum": ["是", "否"]}' in shown


def test_a_format_that_was_found_shows_that_the_set_up_is_right(server):  # noqa: F811
    server.default = knows("json_object")
    engine = engine_of(server)
    engine.chat(asked("a"), schemas=WORDS)
    server.plan = iter([error(400, "We cannot do that.")])
    assert engine.chat(asked("b"), schemas=WORDS)[0].error == "status 400: We cannot do that."
    assert formats(server) == ["json_schema", "json_object", "json_object"]


def test_the_first_call_for_json_is_sent_alone_after_those_for_texts_too(server):  # noqa: F811
    engine = engine_of(server, concurrency=8)
    engine.chat(asked("a"))
    server.default = error(401, "no such key")
    with pytest.raises(InputError):
        engine.chat(asked(*"bcdefghi"), schemas=WORDS)
    assert len(server.calls) == 2


def test_a_dead_server_is_still_a_dead_server(server):  # noqa: F811
    server.default = LOST
    with pytest.raises(InputError, match="no connection"):
        engine_of(server).chat(CALLS, schemas=WORDS)
    assert formats(server) == ["json_schema"] * 2 + ["json_object", "text"]


def test_a_server_that_gives_no_answer_in_time_is_not_asked_in_other_formats(server):  # noqa: F811
    server.plan = iter([FAULTS["hang"]])
    with pytest.raises(InputError, match=r"expected m at .* to answer"):
        engine_of(server, max_attempts=1, timeout=0.5).chat(CALLS, schemas=WORDS)
    assert formats(server) == ["json_schema"]


def test_a_route_that_wants_other_parameters_gets_none_for_the_format(server):  # noqa: F811
    refused = error(404, "No endpoints found that can handle the requested parameters.")
    server.default = knows("text", refused)
    assert [reply.error for reply in engine_of(server).chat(CALLS, schemas=WORDS)] == [None] * 3


@pytest.mark.parametrize("otherwise", [PROSE, error(400, "This response_format type is unavailable now")])
def test_a_run_in_another_format_goes_on_with_its_journal_and_asks_only_what_is_missing(server, tmp_path, otherwise):  # noqa: F811
    server.default = knows("json_object", otherwise)
    options = {"schemas": WORDS, "max_new_tokens": 9}
    JournaledEngine(engine_of(server), tmp_path / "journal.jsonl").chat(asked("a", "b"), **options)
    server.calls.clear()
    resumed = JournaledEngine(engine_of(server), tmp_path / "journal.jsonl")
    replies = resumed.chat(asked("a", "b", "c"), **options)
    assert [reply.text for reply in replies] == ['["known words"]'] * 3 and (resumed.asked, resumed.reused) == (1, 2)
    assert formats(server) == ["json_schema", "json_object"]
    assert all(call["body"]["messages"][0]["content"].startswith("c") for call in server.calls)
    assert TEXT not in (tmp_path / "journal.jsonl").read_text()
