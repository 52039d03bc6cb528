"""Sentences by number, the quotes that numbers lead to, the numbers in a text, and replies that were cut off."""

from __future__ import annotations

import pytest

from data_processor.chunking import Chunk
from data_processor.numbered import find_numbers, invented_numbers, numbered_text, quotes_of
from data_processor.pairs import Fact
from data_processor.units import Unit
from data_processor.work import complete_json


@pytest.mark.parametrize(
    ("numbers", "quotes"),
    [
        ([1], ["A is."]),
        ([1, 2], ["A is. B is."]),
        ([2, 1, 2], ["A is. B is."]),
        ([1, 2, 3], ["A is. B is.", "C is."]),
        ([1, 3, 5], ["A is.", "C is.", "E is."]),
        ([1, 2, 3, 4, 5, 6], ["A is. B is.", "C is. D is.", "E is. F is."]),
        ([1, 3, 5, 7], ["A is.", "C is.", "E is."]),
    ],
)
def test_a_quote_has_at_most_two_neighbours_and_a_fact_three_quotes(numbers, quotes):
    text = "A is. B is. C is. D is. E is. F is. G is."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    units = [Unit(start, start + 5) for start in range(0, len(text), 6)]
    assert [text[start:end] for start, end in quotes_of(chunk, units, numbers)] == quotes


@pytest.mark.parametrize(
    ("between", "together"),
    [("\n- ", True), ("\n(12) ", True), ("\n(123) ", False), ("\n\nRepairs\n\n", False), (" e.g. ", True)],
)
def test_neighbours_are_one_quote_over_the_marker_of_a_list_alone(between, together):
    text = f"A is.{between}B is."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    units = [Unit(0, 5), Unit(len(text) - 5, len(text))]
    quotes = [text[start:end] for start, end in quotes_of(chunk, units, [1, 2])]
    assert quotes == ([text] if together else ["A is.", "B is."])


def test_a_lead_in_that_stands_in_the_chunk_before_is_shown_in_brackets():
    text = "paint the door"
    item = Fact("", Chunk("a.txt", 1, 0, len(text), text, ""), 0, len(text), "", lead_in="Duties of Ann:")
    assert numbered_text(item.chunk, [item]) == "[1] (Duties of Ann:) paint the door"


@pytest.mark.parametrize(
    ("text", "source", "invented"),
    [
        ("It cost 1250 crowns.", "It cost 1,250 crowns.", set()),
        ("It came on the 3rd of 5.", "It came on 3.5.2024.", set()),
        ("It rose by 3.", "It rose by 3.5 metres.", {"3"}),
        ("It came on 03/05.", "It came on 3/5/2024.", set()),
        ("It came on 5 March 2024.", "It came on 2024-03-05.", set()),
        ("It came on 15.", "It came on 5.", {"15"}),
        ("It had 50.", "It had 5 or 0.", {"50"}),
        ("It had 007.", "It had 7.", {"007"}),
        ("它花了１２元。", "它花了12元。", set()),
        ("في عام 1٬961، 9 و3.5", "في عام ١٬٩٦١، ٩ و٣٫٥", set()),
        ("۹ سال", "9 سال", set()),
        ("9 साल, 12 दिन", "९ साल", {"12"}),
        ("It came at 12:30.", "It came at 12:45.", {"12:30"}),
    ],
)
def test_a_number_is_invented_if_the_source_has_it_in_no_writing(text, source, invented):
    assert invented_numbers(text, source) == invented


def test_a_number_may_be_in_any_of_the_sources_and_is_not_made_of_two():
    assert invented_numbers("3 men, 12 boats, 05 days of 2024", "12 boats", "", "5.7.2024") == {"3"}
    assert invented_numbers("1,250 of 35", "1", "250", "3", "5") == {"1250", "35"}


def test_numbers_are_read_without_the_marks_between_thousands():
    assert find_numbers("1,250 or 1'250 or 3.5 and 12:30") == {"1250", "3.5", "12:30"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"facts": [{"a": 1}, {"a', {"facts": [{"a": 1}]}),
        ('[{"a": "}]"}, {"a": "\\"', [{"a": "}]"}]),
        ('[{"a": "x\\"]}"}, {"a', [{"a": 'x"]}'}]),
        ('[{"a": "x\\\\"}, {"a', [{"a": "x\\"}]),
        ('1. {"theme": "a', None),
        ('[{"a": [1, 2]}, {"a": [1', [{"a": [1, 2]}]),
        ('["1 yes", "2 no", "3', None),
        ('{"theme": "a', None),
        ("", None),
    ],
)
def test_json_is_completed_to_its_last_whole_object(text, value):
    assert complete_json(text) == value


def test_years_in_a_list_without_spaces_are_numbers_of_their_own():
    assert find_numbers("1635-36,1655, 1,250 and 3,14") == {"1635", "36", "1655", "1250", "3,14"}
    assert invented_numbers("36、1655", "1635-36,1655") == set()
