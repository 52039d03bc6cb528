"""A broken item of a list in a reply, wherever it stands: it alone is left out, and told as it stands."""

from __future__ import annotations

import json

import pytest
from test_api_replies import ITEMS
from test_api_replies import MANY as EIGHT

from engines.json_replies import read_json

MANY = EIGHT | {"minItems": 7}  # one may be broken
BROKEN = [
    '{"item": 4, "points": ["a "word" here"]}', '{"item": 4, "points": ["a", "b"], "sure"}', '{"item": 4 "points": []}',
    '{"item": 4, "points": ["two\nlines"]}', '{item: 4, "points": []}', '{"item": 4, "points": ["C:\\dir"], }',
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("place", [0, 3, 7])
@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"reply": [', "]}"), ("```json\n[", "]\n```")])
def test_an_item_that_is_no_json_is_told_as_it_stands(broken, before, after, place):
    parts = list(map(json.dumps, ITEMS))
    parts[place] = broken
    value, _ = read_json(before + ", ".join(parts) + after, MANY, left_out := [])
    assert value == [one for one in ITEMS if one != ITEMS[place]]
    assert left_out == [{"reason": "a part of the reply is no JSON", "text": broken}]


@pytest.mark.parametrize("place", [0, 3, 7])
@pytest.mark.parametrize("broken", BROKEN)
def test_of_objects_one_after_another_one_that_is_no_json_takes_no_other_with_it(broken, place):
    parts = list(map(json.dumps, ITEMS))
    parts[place] = broken
    value, _ = read_json("\n".join(parts), MANY, left_out := [])
    assert value == [one for one in ITEMS if one != ITEMS[place]]
    assert left_out == [{"reason": "a part of the reply is no JSON", "text": broken}]


READING = {
    "type": "object",
    "properties": {
        "theme": {"type": "string"},
        "names": {"type": "array", "items": {"type": "string"}},
        "facts": {**MANY, "minItems": 0},
    },
    "required": ["theme", "names", "facts"],
}


@pytest.mark.parametrize("place", [0, 3, 7])
@pytest.mark.parametrize("broken", [*BROKEN, '{"item": 4, "points": ["a]}', "..."])
def test_of_a_list_in_an_object_one_that_is_no_json_takes_neither_the_others_nor_the_object_with_it(broken, place):
    parts = list(map(json.dumps, ITEMS))
    parts[place] = broken
    text = '{"theme": "t", "names": ["one", "a "b" c", "two"], "facts": [' + ", ".join(parts)
    for end in ("]}", ""):  # all of it, and cut off after the last item
        value, problem = read_json(text + end, READING, left_out := [])
        assert problem is None and (value["theme"], value["names"]) == ("t", ["one", "two"])
        assert value["facts"] == [one for one in ITEMS if one != ITEMS[place]]
        assert left_out[0] == {"reason": "a part of the reply is no JSON", "text": '"a "b" c"'} and len(left_out) > 1
        assert not end or [lost["text"] for lost in left_out[1:]] == [broken]
