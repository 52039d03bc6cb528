"""Thoughts that a server counts and does not send, as OpenAI's reasoning models: the reply that they leave no room for."""

from __future__ import annotations

import pytest
from test_api_engine import WORDS, asked, engine_of, server, text  # noqa: F401
from test_odd_servers import refusal

from benchmarks.fault_server import Answer, completion, good

OUT_OF_TOKENS = (
    "Could not finish the message because max_tokens or model output limit was reached. "
    "Please try again with higher max_tokens."
)


def counting_thoughts(content: str) -> Answer:
    answer = completion(content, "length")
    answer["usage"]["completion_tokens_details"] = {"reasoning_tokens": 40}
    return Answer(answer)


@pytest.mark.parametrize("schema", [None, WORDS])
@pytest.mark.parametrize(
    "cut", [text("", "length"), counting_thoughts('{"reply": ["kno'), refusal(message=OUT_OF_TOKENS)]
)
def test_thoughts_that_are_not_sent_get_more_room_too(server, cut, schema):  # noqa: F811
    server.default = lambda call: good(call) if call["max_tokens"] > 100 else cut
    engine = engine_of(server)
    assert not any(reply.error for reply in engine.chat(asked("a", "b"), max_new_tokens=50, schemas=schema))
    wrapping = 0 if schema is None else 16
    assert [call["body"]["max_tokens"] - wrapping for call in server.calls] == [50, 50 + 8192, 50 + 8192]


def test_a_reply_without_end_is_an_error_of_that_one_and_says_that_the_set_up_is_right(server):  # noqa: F811
    endless, unclear = refusal(message=OUT_OF_TOKENS), refusal(message="We cannot do that.")
    server.plan = iter([unclear, endless, endless, endless, good])
    replies = engine_of(server).chat(asked("a", "b", "c"), max_new_tokens=50)
    assert [(reply.error or "").partition(":")[0] for reply in replies] == ["status 400", "status 400", ""]
    assert [call["body"]["max_tokens"] for call in server.calls] == [50, 16, 50, 8242, 8242]
