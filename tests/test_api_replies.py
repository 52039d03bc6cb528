"""JSON as models write it: in a fence, among prose, wrapped, cut off, with slips; and failed calls, counted by reason."""

from __future__ import annotations

import json

import pytest

from benchmarks.fault_server import completion
from engines.api_replies import error_inside, parse_reply, to_answer
from engines.failures import describe_failures, require_answers
from engines.json_replies import read_json
from utils import MostlyFailed, run_script

WORDS = {"type": "array", "items": {"type": "string", "minLength": 3}, "minItems": 1, "maxItems": 2}
PAIRS = {
    "type": "array",
    "items": {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]},
}


@pytest.mark.parametrize(
    "text",
    [
        '{"reply": ["one"]}',
        '```json\n{"reply": ["one"]}\n```',
        '```\n["one"]\n```',
        'Sure! Here you go:\n```json\n{"reply": ["one"]}\n```\nLet me know if [you] need {more}.',
        'Here is the JSON you asked for:\n\n{"reply": ["one"]}',
        '["one"]',
        '{"facts": ["one"]}',
        '{"reply": ["one"], "confidence": 1}',
        'First ["two"], no: ["one"]',
        '["one", "x", 7]',  # what does not fit is left out
    ],
)
def test_a_value_is_found_however_it_is_wrapped(text):
    assert read_json(text, WORDS) == (["one"], None)


def test_of_too_many_items_the_first_are_kept():
    assert read_json('["one", "x", "two", "three"]', WORDS, left_out := []) == (["one", "two"], None)
    assert [(lost["text"], lost["problem"]) for lost in left_out] == [
        ("x", "'x' is too short"),
        ("three", "more than 2"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one",
        '{"reply": ["one"',
        '["x"]',
        "[]",
        '{"reply": "one"}',
        '{"a": ["one"], "b": ["two"]}',
        "[" * 3000,
        "null",
    ],
)
def test_what_does_not_follow_the_schema_is_no_value(text):
    value, problem = read_json(text, WORDS)
    assert value is None and problem is not None and len(problem) < 120


def test_a_choice_may_stand_bare_and_a_list_of_objects_is_no_wrapping():
    assert read_json("**Yes**", {"enum": ["yes", "no"]})[1] is not None
    assert read_json("yes.", {"enum": ["yes", "no"]}) == ("yes", None)
    assert read_json('{"reply": "no"}', {"enum": ["yes", "no"]}) == ("no", None)
    assert read_json('So it is:\n```json\n"yes"\n```', {"enum": ["yes", "no"]}) == ("yes", None)
    assert read_json("X", {"enum": ["X", "Y"]}) == ("X", None)
    assert read_json('[{"question": "Who?"}]', PAIRS) == ([{"question": "Who?"}], None)
    assert read_json('{"question": "Who?"}', PAIRS) == ([{"question": "Who?"}], None)
    assert read_json('{"reply": {"reply": 1}}', {"type": "object", "required": ["reply"]}) == ({"reply": 1}, None)


ITEMS = [{"item": number, "points": ["a", "b"]} for number in range(1, 9)]
MANY = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "item": {"enum": list(range(1, 9))},
            "points": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        },
        "required": ["item", "points"],
        "additionalProperties": False,
    },
    "minItems": 8,
    "maxItems": 8,
}


def items_and_loss(text: str, schema: dict = MANY) -> tuple[list, list]:
    left_out: list[dict] = []
    value, problem = read_json(text, schema, left_out)
    assert problem is None
    return [one["item"] for one in value], [(lost["reason"], lost.get("problem", "")) for lost in left_out]


@pytest.mark.parametrize(
    "before", ["", '{"reply": ', '{"facts": ', "Here it is:\n```json\n", 'Not [this], but\n{"reply": ']
)
def test_of_a_list_that_is_cut_off_all_whole_items_are_kept_and_the_cut_is_told(before):
    text = before + json.dumps(ITEMS)
    assert items_and_loss(text[:-20]) == ([1, 2, 3, 4, 5, 6, 7], [("reply cut off", "")])
    read_json(text[:-20], MANY, left_out := [])
    assert left_out == [{"reason": "reply cut off", "text": json.dumps(ITEMS[-1])[:-19]}]
    reply = parse_reply(to_answer(json.dumps(completion(text[:-20], "stop"))), MANY)
    assert reply.finish_reason == "length" and [lost["reason"] for lost in reply.left_out] == ["reply cut off"]


def test_a_reply_that_is_cut_off_before_anything_is_whole_says_so():
    reply = parse_reply(to_answer(json.dumps(completion('[{"item": 1', "length"))), MANY, 12)
    assert reply.error == 'the server sent no JSON that follows the schema: cut off after 12 tokens: [{"item": 1'


@pytest.mark.parametrize("between", ["\n", ", ", ",\n", " ", "\n\n"])
def test_objects_one_after_another_are_the_items_of_a_list(between):
    lines = between.join(map(json.dumps, ITEMS))
    assert items_and_loss(lines) == ([1, 2, 3, 4, 5, 6, 7, 8], [])
    assert items_and_loss(f"Here they are:\n```\n{lines}\n```\nIs it well?")[0] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_an_item_that_is_no_json_takes_no_other_with_it():
    parts = [*map(json.dumps, ITEMS[:3]), '{"item": 4, "points": ["a "word" here"]}', *map(json.dumps, ITEMS[4:])]
    text = '{"reply": [' + ", ".join(parts) + "]}"
    assert items_and_loss(text) == ([1, 2, 3, 5, 6, 7, 8], [("a part of the reply is no JSON", "")])


def test_an_object_after_a_list_is_no_part_of_it_and_two_objects_are_a_list():
    assert read_json('["one"], {"question": "Who?"}', PAIRS) == ([{"question": "Who?"}], None)
    two = '{"question": "Who?"}\n{"question": "Why?"}'
    assert read_json(two, PAIRS) == ([{"question": "Who?"}, {"question": "Why?"}], None)
    assert read_json("As [1] says: " * 19 + two, PAIRS) == ([{"question": "Who?"}, {"question": "Why?"}], None)


def test_what_a_list_lost_is_no_loss_of_one_of_its_objects():
    text = '[{"question": "Who?"}, {"question": "a "word" x"}, {"question": "Why?"}]'
    assert read_json(text, PAIRS["items"], left_out := []) == ({"question": "Why?"}, None)
    assert left_out == []


@pytest.mark.parametrize(("brackets", "found"), [(19, [["one"]]), (20, None)])
def test_a_list_that_is_cut_off_is_looked_for_at_twenty_brackets(brackets, found):
    lists = {"type": "array", "items": {"type": "array"}}
    assert read_json("{ " * brackets + '[["one"], ["tw', lists)[0] == found


FACTS = {
    "type": "object",
    "properties": {
        "theme": {"type": "string", "maxLength": 5},
        "note": {"type": "string"},
        "name": {"type": "string", "minLength": 1, "maxLength": 5},
        "facts": {"type": "array", "items": {"type": "object", "required": ["fact"]}},
        "points": {"type": "array", "items": {"type": "string"}},
    },
}


@pytest.mark.parametrize(
    ("given", "kept", "lost"),
    [
        ({"theme": "ferry", "name": "ferry"}, {"theme": "ferry", "name": "ferry"}, []),
        ({"theme": "ferries"}, {"theme": ""}, [("ferries", "more than 5 characters")]),
        ({"name": "ferries"}, None, []),
        ({"facts": [{"fact": 1}, {}]}, {"facts": [{"fact": 1}]}, [("{}", "'fact' is a required property")]),
        ({"facts": [{}]}, None, []),
        ({"facts": []}, {"facts": []}, []),
        ({"theme": ["a"]}, None, []),
        ({"points": "a"}, None, []),
        (
            {"theme": "ferry", "note": "old", "points": [7]},
            {"theme": "ferry", "note": "old", "points": []},
            [("7", "7 is not of type 'string'")],
        ),
        (
            {"facts": [{"问": 1}, {"fact": 1}]},
            {"facts": [{"fact": 1}]},
            [('{"问": 1}', "'fact' is a required property")],
        ),
        ({"points": [7], "more": 1}, {"points": []}, [("7", "7 is not of type 'string'")]),
    ],
)
def test_of_an_object_what_follows_the_schema_is_kept(given, kept, lost):
    value, problem = read_json(json.dumps(given), FACTS, left_out := [])
    assert value == kept and (problem is None) == (kept is not None)
    assert [(one["text"], one["problem"]) for one in left_out] == lost


def test_keys_that_nobody_asked_for_stay_where_the_schema_allows_them():
    assert read_json('[{"question": "Who?", "sure": true}, 7]', PAIRS) == ([{"question": "Who?", "sure": True}], None)
    assert read_json('["one", 7]', {"type": "array", "items": {"type": "string"}}) == (["one"], None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("one", ""),
        ('{"reply": "one"}', "'one' is not of type 'array': "),
        ('{"reply": 7} or ["x"]', "'x' is too short: "),
    ],
)
def test_the_first_problem_is_told(text, problem):
    assert read_json(text, WORDS) == (None, problem)


def test_an_item_that_breaks_the_schema_is_told_and_a_list_in_it_is_shortened():
    wrong = [{"item": 99, "points": []}, {"item": 2, "points": ["a", "b", "c"], "sure": True}, *ITEMS[2:]]
    value, _ = read_json(json.dumps(wrong), MANY, left_out := [])
    assert [one["item"] for one in value] == [2, 3, 4, 5, 6, 7, 8] and value[0] == {"item": 2, "points": ["a", "b"]}
    assert [lost["problem"] for lost in left_out] == [
        "99 is not one of [1, 2, 3, 4, 5, 6, 7, 8]",
        "more than 2 of points: the first are kept",
    ]
    assert [json.loads(lost["text"]) for lost in left_out] == wrong[:2]
    assert {lost["reason"] for lost in left_out} == {"breaks a rule of the request"}


def test_less_than_half_of_what_was_asked_is_no_answer():
    assert items_and_loss(json.dumps(ITEMS[:4]))[0] == [1, 2, 3, 4]
    assert read_json(json.dumps(ITEMS[:3]), MANY)[0] is None
    assert read_json('["one"]', WORDS | {"minItems": 2})[0] is None, "what has no numbers may not be short"
    choices = {"type": "array", "items": {"enum": ["yes", "no"]}, "minItems": 4}
    assert read_json('["yes", "no", "maybe"]', choices) == (["yes", "no"], None)


def test_a_whole_number_with_a_fraction_is_that_number():
    assert str(read_json('[{"item": 1.0, "points": []}]', MANY | {"minItems": 1})[0][0]["item"]) == "1"
    assert read_json("[1.5]", {"type": "array"}) == ([1.5], None)


@pytest.mark.parametrize(
    ("answer", "message", "status"),
    [
        ({"error": {"reason": "gone"}}, '{"reason": "gone"}', 400),  # no field that we know
        ({"choices": [completion("")["choices"][0] | {"error": {"code": 429, "message": "Slow down"}}]}, "Slow down", 429),
        ({"choices": completion("", "error")["choices"]}, "the reply ended with finish_reason error", 502),
    ],
)  # fmt: skip
def test_an_error_that_came_as_an_answer_keeps_the_servers_words(answer, message, status):
    error = error_inside(to_answer(json.dumps(answer)))
    assert (error["message"], error["status"]) == (message, status)


def test_failed_calls_are_counted_by_reason_with_an_example_of_each():
    errors = ["status 400, content_filter: filtered\nhere", "no connection", "status 400, content_filter: another"]
    said = "3 of 9 calls failed: 2 status 400, content_filter (filtered here); 1 no connection"
    assert describe_failures(errors, 9) == said
    many = [f"reason {number}: x" for number in range(7)]
    assert describe_failures(many, 9).endswith("1 reason 4 (x); 2 for other reasons")


def test_more_than_half_is_a_failure_of_the_run_with_an_exit_code_of_its_own(capsys):
    require_answers([], 0)
    require_answers(["a"] * 3, 6)
    with pytest.raises(MostlyFailed, match=r"at least 50%.* 4 of 7 calls failed: 4 a; the others are in x: mend"):
        require_answers(["a"] * 4, 7, "the others are in x")

    def main() -> None:
        require_answers(["a: b"], 1)

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert ended.value.code == 3
    assert "1 of 1 calls failed: 1 a (b): mend this and run it again" in capsys.readouterr().err
