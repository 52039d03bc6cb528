"""The five days of demo/days: what key.json says of a day is what that day's files say, no more and no less.

A measurement on these days can be no better than the key, so the sentences are read from the files as the collection reads
them, what happened between two days is found by content, and answers are compared by the rule that grades them.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import date
from difflib import SequenceMatcher

import pytest
from conftest import ROOT

from data_processor.spans import find_spans
from data_processor.units import read_units
from evaluation.matching import match
from evaluation.tokens import tokens

FOLDER = ROOT / "demo" / "days"
DAYS = (1, 2, 3, 4, 5)
KEY = json.loads((FOLDER / "key.json").read_text(encoding="utf-8"))
FACTS = KEY["facts"]
BY_ID = {fact["id"]: fact for fact in FACTS}
TEXTS = {day: {path.name: path.read_text(encoding="utf-8") for path in (FOLDER / str(day)).iterdir()} for day in DAYS}
RENAMED = {event["from"]: event for event in KEY["events"] if event["kind"] == "renamed"}
DATE = re.compile(r"(\d{1,2}) (February|March) 2027")
NAME = re.compile(r"\b[A-Z]\w*")
RUN = 4  # words in a row, names left out, that a question may share with its sentence: "the roof of the"


def asked() -> dict[tuple[str, str], list[dict]]:
    """The facts by what they are about: one subject and relation, whose value changes or comes back."""
    found = defaultdict(list)
    for fact in FACTS:
        found[fact["subject"], fact["relation"]].append(fact)
    return found


def file_on(day: int, fact: dict) -> str:
    """What the file of a fact is called on a day."""
    event = RENAMED.get(fact["file"])
    return event["file"] if event and event["day"] <= day else fact["file"]


def holds(fact: dict, day: int) -> bool:
    return fact["first_day"] <= day <= fact["last_day"]


def written_on(day: int) -> list[tuple[str, str]]:
    """The file and sentence of each statement that the key says is in the files of a day, the outdated ones too."""
    current = [(file_on(day, fact), fact["sentence"]) for fact in FACTS if holds(fact, day)]
    outdated = [
        (place["file"], fact["sentence"]) for fact in FACTS for place in fact["still_written_in"] if holds(place, day)
    ]
    return current + outdated


def sentences(text: str) -> list[str]:
    parsed = read_units(text, "en")
    return [parsed.joined.text[unit.start : unit.end] for unit in parsed.units]


def dated(day: int, file: str) -> date:
    """The date that the title of a file gives."""
    number, month = DATE.search(TEXTS[day][file].splitlines()[0]).groups()
    return date(2027, {"February": 2, "March": 3}[month], int(number))


def changes(day: int) -> list[tuple[str, str, str | None]]:
    """What happened since the day before, by name and content: kind, file, earlier name."""
    before, now = TEXTS[day - 1], TEXTS[day]
    found, moved = [], set()
    for file in now:
        origins = [old for old in before if old not in now and before[old] == now[file]]
        if file in before:
            found += [("edited", file, None)] if before[file] != now[file] else []
        elif origins:
            found.append(("renamed", file, origins[0]))
            moved.add(origins[0])
        else:
            was_there = any(TEXTS[earlier].get(file) == now[file] for earlier in DAYS if earlier < day)
            found.append(("put_back" if was_there else "added", file, None))
    return found + [("deleted", file, None) for file in before if file not in now and file not in moved]


@pytest.mark.parametrize("day", DAYS)
def test_the_files_of_a_day_say_what_the_key_says(day):
    found = [(file, sentence) for file, text in TEXTS[day].items() for sentence in sentences(text)]
    assert Counter(found) == Counter(written_on(day))
    assert 40 <= sum(holds(fact, day) for fact in FACTS) <= len(found) <= 60
    assert len(TEXTS[day]) <= 8 and all(file.endswith(".txt") for file in TEXTS[day])


@pytest.mark.parametrize("day", DAYS[1:])
def test_the_events_of_a_day_are_what_its_files_show(day):
    told = [(event["kind"], event["file"], event["from"]) for event in KEY["events"] if event["day"] == day]
    assert sorted(told) == sorted(changes(day))


def test_everything_that_can_happen_to_a_file_happens():
    count = Counter(event["kind"] for event in KEY["events"])
    assert set(count) == {"added", "edited", "renamed", "deleted", "put_back"}
    assert count["renamed"] == count["put_back"] == 1
    assert sum(fact["old_value"] is not None for fact in FACTS) >= 36
    returned = {fact["returns"] for fact in FACTS}
    assert sum(fact["why_gone"] == "deleted" and fact["id"] not in returned for fact in FACTS) >= 34
    contradicted = [fact for fact in FACTS if fact["still_written_in"]]
    assert len(contradicted) >= 10
    assert any(
        place["last_day"] - place["first_day"] >= 2 for fact in contradicted for place in fact["still_written_in"]
    )


def test_a_fact_is_named_by_what_it_is_about_and_its_first_day():
    assert len(BY_ID) == len(FACTS)
    assert all(fact["id"].endswith(f"@{fact['first_day']}") for fact in FACTS)
    assert all(len({fact["id"].partition("@")[0] for fact in group}) == 1 for group in asked().values())


def test_on_no_day_has_one_thing_two_values():
    for group in asked().values():
        assert max(sum(holds(fact, day) for fact in group) for day in DAYS) == 1


def test_a_new_value_follows_the_old_one_the_day_after():
    for fact in FACTS:
        old = BY_ID.get(fact["supersedes"])
        assert fact["old_value"] == (old and old["value"])
        if old:
            assert (old["subject"], old["relation"]) == (fact["subject"], fact["relation"])
            assert old["last_day"] == fact["first_day"] - 1
    superseded = Counter(fact["supersedes"] for fact in FACTS if fact["supersedes"])
    assert superseded == Counter(fact["id"] for fact in FACTS if fact["why_gone"] == "changed")


def test_a_fact_is_gone_because_its_file_is_or_because_it_changed():
    deleted = {(event["day"], event["file"]) for event in KEY["events"] if event["kind"] == "deleted"}
    for fact in FACTS:
        gone = (fact["last_day"] + 1, file_on(fact["last_day"], fact)) in deleted
        assert (fact["why_gone"] is None) == (fact["last_day"] == DAYS[-1])
        assert (fact["why_gone"] == "deleted") == gone
        assert fact["why_gone"] == "changed" or not fact["still_written_in"]


def test_what_is_put_back_says_what_it_said():
    back = {(event["day"], event["file"]) for event in KEY["events"] if event["kind"] == "put_back"}
    returned = [fact for fact in FACTS if fact["returns"]]
    assert returned == [fact for fact in FACTS if (fact["first_day"], fact["file"]) in back]
    for fact in returned:
        first = BY_ID[fact["returns"]]
        assert first["why_gone"] == "deleted" and first["last_day"] < fact["first_day"] - 1
        assert {key for key in fact if fact[key] != first[key]} == {
            "id",
            "first_day",
            "last_day",
            "why_gone",
            "returns",
        }


def test_of_two_documents_that_disagree_the_dates_tell_the_newer():
    newer = {fact["supersedes"]: fact for fact in FACTS if fact["supersedes"]}
    for fact in FACTS:
        for place in fact["still_written_in"]:
            for day in range(place["first_day"], place["last_day"] + 1):
                current = newer[fact["id"]]
                assert dated(day, place["file"]) < dated(day, file_on(day, current)), (fact["id"], day)


def test_a_file_is_dated_the_day_it_was_written():
    for event in KEY["events"]:
        if event["kind"] in ("added", "edited"):
            assert dated(event["day"], event["file"]).isoformat() == KEY["dates"][str(event["day"])], event
    assert max(dated(1, file) for file in TEXTS[1]).isoformat() == KEY["dates"]["1"]


def test_the_value_is_what_a_sentence_can_be_asked_for():
    """A span as the collection finds it, or its number where the question names the unit ("How many visitors ...?")."""
    for fact in FACTS:
        spans = [fact["sentence"][start:end] for start, end, _ in find_spans(fact["sentence"], fact["sentence"])]
        assert any(span == fact["value"] or span.split(" ")[0] == fact["value"] for span in spans), fact["id"]


def test_no_answer_is_right_for_two_facts():
    values = {(fact["value"], fact["id"].partition("@")[0]) for fact in FACTS}
    assert len({value for value, _ in values}) == len(values)
    words = {value: set(tokens(value)) for value, _ in values}
    alike = [(one, other) for one in words for other in words if one != other and words[one] & words[other]]
    assert [(one, other) for one, other in alike if match(one, other)] == []


def test_the_questions_of_a_fact():
    seen = Counter()
    for group in asked().values():
        questions = group[0]["questions"]
        assert all(fact["questions"] == questions for fact in group)
        assert len(questions) >= (5 if any(fact["supersedes"] for fact in group) else 4)
        seen.update(" ".join(tokens(question)) for question in questions)
        for question in questions:
            assert question.endswith("?"), question
            words = set(tokens(question))
            assert [fact["value"] for fact in group if words & set(tokens(fact["value"]))] == [], question
    assert [question for question, count in seen.items() if count > 1] == []


def test_a_question_can_be_understood_alone():
    """It says one of the names in its sentence: of what is asked about, or of whose it is."""
    for fact in FACTS:
        names = set(NAME.findall(fact["sentence"])) - {"A", "The"}
        for question in fact["questions"]:
            assert names & set(NAME.findall(question)), question


def test_a_question_is_no_copy_of_its_sentence():
    for fact in FACTS:
        words = re.findall(r"\b[a-z][\w-]*", fact["sentence"])
        for question in fact["questions"]:
            other = re.findall(r"\b[a-z][\w-]*", question)
            common = SequenceMatcher(None, words, other, autojunk=False).find_longest_match()
            assert common.size <= RUN, (question, fact["sentence"])
