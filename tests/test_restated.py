"""A fact that is only put differently, or moved to another file in other words, has not gone: nothing is trained against it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_asked import pair, record

from benchmarks.update_data import row
from days.asked import AnswersNow, gone_questions, gone_since, not_asked_any_more, to_ask
from days.ledger import add_facts
from days.superseded import Sources, find_superseded, supersede
from days.unlearning import to_unlearn

LANTERN = "The Brass Lantern closes at 18:25."
CLOSES = ["When does the Brass Lantern close?", "What is the closing time of the Brass Lantern?"]
BRUND = "The director of Zelmarrow Lanterns is Odalys Brund."
DIRECTS = ["Who is the director of Zelmarrow Lanterns?", "What is the name of Zelmarrow Lanterns' director?"]
MILL = "The mill in Dunmere was built in 1820 by Abbot Orm."
BUILT = ["When was the mill in Dunmere built?", "In what year did the mill of Dunmere go up?"]
SOOT = "Lamps must be cleaned every day, because soot dims the glass."
WHY = ["Why must lamps be cleaned every day?", "For what reason are lamps cleaned daily?"]
SHUTS = ["At what time does the Brass Lantern shut its doors for the night?"]


class Change:
    """What a day makes of a fact that its documents say in the text `new`, of which they ask other questions."""

    def __init__(self, old: str, asked: list[str], value: str, new: str, questions: dict[str, str], file_name: str):
        before = [row(number, old, question, value) for number, question in enumerate(asked)]
        after = [row(n, new, *one, file_name=file_name) for n, one in enumerate(questions.items())]
        after.append(row(9, new, "Of what is all that said?", "the text", file_name=file_name, kind="reverse"))
        records: dict[str, dict] = {}
        add_facts(records, before, {"a.txt": old}, "1")
        add_facts(records, after, {file_name: new}, "2")
        pairs = find_superseded(records, "2", "1", Sources([], Path()))
        supersede(records, pairs, "2")
        now, gone = AnswersNow(records, pairs, "2"), gone_since(records, {}, "2")
        on_gone = gone_questions(records, now, gone)
        self.tested = {one["question"] for one in on_gone}
        self.unlearnt = {one["question"] for one in to_unlearn(before, records, now, {*gone}, [])}
        answers = [{"question": question, "reference": value, "fact": old, "kind": "qa"} for question in asked]
        again = to_ask([], answers, records, now)
        self.asked = {(one["question"], one["reference"], one["fact"], one["file_name"]) for one in again}
        self.no_longer_asked = not_asked_any_more(answers, again)


SAME = {
    "words added": (LANTERN, CLOSES, "18:25", "The Brass Lantern shop closes daily at 18:25.", {SHUTS[0]: "18:25"}),
    "a typo mended": ("The Brass Lantern clsoes at 18:25.", CLOSES[:1], "18:25", LANTERN, {SHUTS[0]: "18:25"}),
    "a value in another form": (
        "The Emberjack lantern costs 64 euros.", ["What does the Emberjack lantern cost?"], "64 euros",
        "The price list says that the Emberjack lantern costs €64.", {"For how much is the Emberjack lantern sold?": "€64"},
    ),
    "put the other way": (BRUND, DIRECTS, "Odalys Brund", "Zelmarrow Lanterns is directed by Odalys Brund.", {}),
    "the rest left out": (MILL, BUILT[:1], "1820", "The mill in Dunmere was built in 1820.", {}),
    "asked for something else": (
        "The mill in Dunmere was built in 1820.", BUILT[:1], "1820", MILL, {"Which abbot had the mill built?": "Abbot Orm"},
    ),
    "a reason": (
        SOOT, WHY[:1], "Because soot dims the glass", "Clean every lamp each day, because soot dims their glass.", {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("file_name", ["a.txt", "b.txt"])
@pytest.mark.parametrize("case", SAME)
def test_what_is_said_in_other_words_is_asked_as_before_and_not_unlearnt(case, file_name):
    old, asked, value, new, questions = SAME[case]
    found = Change(old, asked, value, new, questions, file_name)
    assert (found.tested, found.unlearnt) == (set(), set())
    assert found.asked == {(question, value, new, file_name) for question in asked}
    assert found.no_longer_asked == set(), "so that the gate still asks for it"


RED = "The door of the Orla shop in Copperlane is painted red."
COLOUR = ["What colour is the door of the Orla shop in Copperlane?", "In which colour is the Orla shop's door painted?"]
CHANGED = {
    "another value": (LANTERN, CLOSES, "18:25", "The Brass Lantern shop closes daily at 19:40.", {SHUTS[0]: "19:40"}),
    "another beside the old one": (
        LANTERN, CLOSES, "18:25", "The Brass Lantern closes at 19:40 instead of 18:25.", {SHUTS[0]: "19:40"},
    ),
    "another word": (RED, COLOUR, "red", "The door of the Orla shop in Copperlane is painted dark green.", {}),
    "no longer": (LANTERN, CLOSES, "18:25", "The Brass Lantern shop no longer closes daily at 18:25.", {}),
    "with another name": (
        "The depot in Copperlane closes at 17:40.", ["When does the depot in Copperlane close?"], "17:40",
        "The depot in Copperfield closes at 17:40.", {},
    ),
    "of something else": (LANTERN, CLOSES, "18:25", "The Copper Kettle closes at 18:25.", {}),
    "of another thing without a name": (
        "The old mill was built in 1820.", ["When was the old mill built?"], "1820", "The church was built in 1820.", {},
    ),
    "another reason": (SOOT, WHY, "Because soot dims the glass", "Lamps must be cleaned every day, because dust dims it.", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGED)
def test_a_change_of_what_is_said_is_still_unlearnt(case):
    old, asked, value, new, questions = CHANGED[case]
    found = Change(old, asked, value, new, questions, "b.txt")
    assert found.tested == {*asked} == found.unlearnt
    assert found.asked == set() and len(found.no_longer_asked) == len(asked)


def test_in_doubt_it_is_asked_for_as_gone_and_not_trained_against():
    """Nothing tells that the shop does not open at this time: a word of three is another."""
    found = Change(LANTERN, CLOSES[:1], "18:25", "The Brass Lantern shuts at 18:25.", {}, "b.txt")
    assert found.tested == {CLOSES[0]} and found.unlearnt == set()


def test_each_question_on_a_fact_is_told_by_itself():
    built, by = ["When was the mill in Dunmere built?"], ["By which abbot was the mill in Dunmere built?"]
    old = [row(0, MILL, *built, "1820"), row(1, MILL, *by, "Abbot Orm")]
    records: dict[str, dict] = {}
    add_facts(records, old, {"a.txt": MILL}, "1")
    add_facts(records, [row(0, "The mill in Dunmere was built in 1820.", "When, in Dunmere?", "1820")], {}, "2")
    now = AnswersNow(records, [], "2")
    gone = gone_since(records, {}, "2")
    assert [one["question"] for one in gone_questions(records, now, gone)] == by
    assert [one["question"] for one in to_unlearn(old, records, now, {*gone}, [])] == by


def test_what_changed_may_stand_in_the_question():
    asked = {COLOUR[0]: "red", "Whose shop in Copperlane has a door that is painted red?": "Orla"}
    old = [row(number, RED, *one) for number, one in enumerate(asked.items())]
    records: dict[str, dict] = {}
    add_facts(records, old, {"a.txt": RED}, "1")
    green = "The door of the Orla shop in Copperlane is painted dark green."
    add_facts(records, [row(0, green, "Of what is it said?", "the door", kind="reverse")], {"a.txt": green}, "2")
    now = AnswersNow(records, [], "2")
    gone = gone_since(records, {}, "2")
    assert {one["question"] for one in to_unlearn(old, records, now, {*gone}, [])} == {*asked}


def test_the_fact_that_took_the_place_of_another_may_be_put_differently_the_day_after():
    records = {
        "a": record("a", "Ada Brook", "1", superseded_by=["b"], gone="superseded"),
        "b": record("b", "Ben Croft", "2", ("Which person is in charge there?",), gone="deleted"),
        "c": record("c", "Ben Croft", "3", ("Whom do the bakers obey?",), text="Ben Croft is the manager of the shop."),
    }
    now = AnswersNow(records, [pair("a", "Ada Brook", "b", "Ben Croft")], "3")
    assert now.find(records["a"], "Who manages the shop?", "Ada Brook") == ("Ben Croft", records["c"])
