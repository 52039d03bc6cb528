"""JSON as models write it: in a fence, among prose, with our wrapping, another or none; and failed calls, counted by reason."""

from __future__ import annotations

import pytest

from engines.api_replies import read_json
from engines.failures import describe_failures, require_answers
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
    assert read_json('["one", "two", "three"]', WORDS) == (["one", "two"], None)


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
    assert read_json('[{"question": "Who?"}]', PAIRS) == ([{"question": "Who?"}], None)
    assert read_json('{"question": "Who?"}', PAIRS) == ([{"question": "Who?"}], None)
    assert read_json('{"reply": {"reply": 1}}', {"type": "object", "required": ["reply"]}) == ({"reply": 1}, None)


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
    assert ended.value.code == 3 and "1 of 1 calls failed: 1 a (b)" in capsys.readouterr().err
