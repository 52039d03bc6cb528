"""Test questions reword trained facts or ask for untrained facts; training has no copies of them."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from data_processor.split import split

WORDINGS = (
    "Who opened the bridge number {n} at Hexley?",
    "By whom was bridge {n} of Hexley inaugurated?",
    "The opening of Hexley's bridge {n} fell to which person?",
    "Who opened the bridge number {n} at Hexley then?",
)


def row(number: int, fact: int, question: str, answer: str, kind: str = "qa") -> dict:
    turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
    place = {"file_name": "a.txt", "source": {"chunk": fact}}
    return {"id": f"identity_{number}", "conversations": turns, "fact_id": f"a.txt#{fact}", "kind": kind, **place}


@pytest.fixture
def rows() -> list[dict]:
    contents = [(n, wording.format(n=n), f"Person {n}", "qa") for n in range(40) for wording in WORDINGS]
    contents += [(n, "Tell me about Hexley.", f"Person {n} opened bridge {n}.", "passage") for n in range(40)]
    return [row(number, *rest) for number, rest in enumerate(contents)]


def trigrams(row: dict) -> set[tuple[str, ...]]:
    words = re.findall(r"[\w']+", row["conversations"][0]["value"].lower())
    return set(zip(words, words[1:], words[2:], strict=False)) or {tuple(words)}


def leaks(train: list[dict], test: list[dict]) -> int:
    """Pairs of a training row and a test row with the same answer, whose questions share half of their trigrams or more.

    Of questions without an answer only those on one chunk count: they are all answered alike.
    """

    def told(r: dict) -> tuple:
        return (r["file_name"], r["source"]["chunk"]) if r["kind"] == "unknown" else r["conversations"][1]

    asked = [(trigrams(r), told(r)) for r in train if r["kind"] != "passage"]
    return sum(
        told(t) == answer and 2 * len(trigrams(t) & one) >= len(trigrams(t) | one)
        for t in test
        for one, answer in asked
    )


def test_each_wording_tested_has_another_in_training_and_no_copy(rows):
    train, test = split(rows, {"a.txt#3", "a.txt#4"}, 0.2, seed=0)
    kinds = Counter(r["kind"] for r in test)
    assert kinds["held_out_fact"] == 2 and len(test) == 32 and leaks(train, test) == 0
    trained = {r["fact_id"] for r in train if r["kind"] == "qa"}
    assert (
        kinds["held_out_wording"] == 30 and {r["fact_id"] for r in test if r["kind"] == "held_out_wording"} <= trained
    )
    assert not {r["fact_id"] for r in train} & {"a.txt#3", "a.txt#4"}, "passages of held facts are out too"
    assert (train, test) == split(rows, {"a.txt#3", "a.txt#4"}, 0.2, seed=0)
    assert test != split(rows, {"a.txt#3", "a.txt#4"}, 0.2, seed=1)[1]


def test_a_share_of_the_questions_without_an_answer_is_tested(rows):
    unknown = [
        row(200 + n, 50 + n, f"Which {word} has it?", "Not known.", "unknown") for n, word in enumerate("abcdefghij")
    ]
    train, test = split(rows + unknown, set(), 0.2, seed=0)
    assert sum(r["kind"] == "unknown" for r in test) == 2 and sum(r["kind"] == "unknown" for r in train) == 8
    tested = [
        [r["id"] for r in split(rows + unknown, set(), 0.2, seed)[1] if r["kind"] == "unknown"] for seed in (0, 0, 1)
    ]
    assert tested[0] == tested[1] != tested[2]


@pytest.mark.parametrize(
    ("trained", "leaks"),
    [
        ("alpha bravo charlie delta", True),  # 2 of 4 trigrams, word for word
        ("alpha bravo charlie echo foxtrot golf hotel", False),
        ("alpha bravo charlie delta echo foxtrot x y", True),  # 4 of 8
        ("alpha bravo charlie delta echo x y z", False),  # 3 of 9
        ("Alpha, bravo charlie delta; echo foxtrot golf HOTEL?", True),
    ],
)
def test_a_training_question_that_shares_half_its_trigrams_with_a_test_question_is_left_out(trained, leaks):
    tested = "alpha bravo charlie delta echo foxtrot golf hotel"
    if trained.startswith("alpha bravo charlie delta") and len(trained.split()) == 4:
        tested = "alpha bravo charlie delta echo foxtrot"
    rows = [row(0, 0, tested, "Ann"), row(1, 1, trained, "by Ann"), row(2, 1, "Which person was it?", "by Ann")]
    train, test = split(rows, {"a.txt#0"}, 0.0, seed=0)
    assert [r["id"] for r in test] == ["identity_0"]
    assert [r["id"] for r in train] == ([] if leaks else ["identity_1"]) + ["identity_2"]


@pytest.mark.parametrize(
    ("question", "answer", "leaks"),
    [
        ("How high is the church tower of Lower Varn?", "40 metres", True),
        ("How tall is the church tower of Lower Varn?", "40 metres high", True),
        ("How tall is the church tower of Lower Varn?", "31 metres", False),
        ("How high is the church tower of Lower Varn today?", "31 metres", True),  # nothing tells it apart
        ("How high is the church tower of Upper Varn?", "40 metres", True),  # it might be another word for the same
        ("How high is the church tower of Upper Varn?", "31 metres", False),
        ("How high is the church tower 2 of Lower Varn?", "40 metres", True),
        ("How high is the church tower 2 of Upper Varn?", "31 metres", False),
    ],
)
def test_a_near_copy_on_another_fact_leaks_unless_it_asks_for_something_else(question, answer, leaks):
    tested = row(0, 0, "How high is the church tower of Lower Varn?", "40 metres")
    rows = [tested, row(1, 1, question, answer), row(2, 1, "Which height has it?", answer)]
    train, test = split(rows, {"a.txt#0"}, 0.0, seed=0)
    assert [r["id"] for r in test] == ["identity_0"]
    assert [r["id"] for r in train] == [f"identity_{n}" for n in ((2,) if leaks else (1, 2))]


def test_a_number_of_its_own_tells_a_question_apart_whatever_is_answered():
    asked = ["How many hours does the charger AX-40 take?", "How many hours does the charger AX-41 take?"]
    rows = [row(number, number, question, "3 hours") for number, question in enumerate(asked)]
    train, test = split(rows, {"a.txt#0"}, 0.0, seed=0)
    assert [r["id"] for r in train] == ["identity_1"] and [r["id"] for r in test] == ["identity_0"]


LISTS = [  # what is asked in two ways, of what, and the answer, by number
    (
        ("What does the hex bolt {} cost per hundred in the price list?", "Of {}, how many euros for a hundred?"),
        lambda n: f"M{n + 3}",
        lambda n: f"€{n % 9 + 2}.30",
    ),
    (
        ("Who is the contact for {} at the office of Lower Varn?", "Whose desk takes calls about {}?"),
        lambda n: "grants loans permits taxes".split()[n % 4] + "abcdefghij"[n // 4],
        lambda n: f"Mr {'KLMNPRSTVW'[n // 4]}olm",
    ),
    (
        ("What colour do the leaves of the {} turn in the park in October?", "In autumn, how do {} leaves look there?"),
        lambda n: "ash oak elm fir".split()[n % 4] + "abcdefghij"[n // 4],
        lambda n: "red yellow brown".split()[n % 3],
    ),
]


@pytest.mark.parametrize(("asked", "thing", "answer"), LISTS)
def test_of_a_list_that_is_asked_in_the_same_words_every_entry_stays_in_training(asked, thing, answer):
    rows = []
    for n in range(40):
        rows += [row(2 * n + way, n, asked[way].format(thing(n)), answer(n)) for way in (0, 1)]
    train, test = split(rows, {"a.txt#0"}, 0.1, seed=0)
    assert {r["fact_id"] for r in train} == {f"a.txt#{n}" for n in range(1, 40)}
    assert len(test) == 8 and not {r["id"] for r in train} & {r["id"] for r in test}


def test_a_question_that_would_take_the_last_one_on_another_fact_is_no_test_question():
    rows = [row(0, 0, "Who opened the old bridge?", "Ann"), row(1, 1, "Who opened the old bridge then?", "Ann")]
    assert split(rows, {"a.txt#0"}, 1.0, seed=0) == ([rows[1]], [])


def test_a_fact_held_out_whole_is_asked_once_an_answer_and_never_trained():
    rows = [
        row(0, 0, "Who built the pier of Lower Varn in that year?", "Ann"),
        row(1, 0, "By whom was it put up?", "Ann"),
        row(2, 0, "When did the people get a pier?", "1990"),
        row(3, 0, "A long text about the pier.", "Ann built it.", "passage"),
        row(4, 0, "Which pier is hers?", "Lower Varn", "reverse"),
        row(5, 1, "What colour has the tower?", "red"),
    ]
    train, test = split(rows, {"a.txt#0"}, 0.0, seed=0)
    assert [r["id"] for r in train] == ["identity_5"]
    assert sorted(r["conversations"][1]["value"] for r in test) == ["1990", "Ann", "Lower Varn"]
    assert {r["kind"] for r in test} == {"held_out_fact"} and {r["kind"] for r in rows} == {"qa", "passage", "reverse"}


def test_open_questions_on_a_directory_are_asked_in_the_same_words_and_trained():
    names = ["".join(letters) for letters in itertools.product("BDFGK", "au", ["lko", "rvi", "nze"])]
    rows = [
        row(n, n, f"Which school did {name} go to before coming to the town?", "I do not know.", "unknown")
        for n, name in enumerate(names)
    ]
    train, test = split(rows, set(), 0.2, seed=0)
    assert (len(train), len(test)) == (24, 6)
    again = [
        row(100 + n, n, f"To which school did {name} go before coming to the town?", "Not known.", "unknown")
        for n, name in enumerate(names)
    ]
    train, test = split(rows + again, set(), 0.1, seed=0)
    places = [r["source"]["chunk"] for r in test]
    assert len(places) == 6 and len(train) > 40 and not {r["source"]["chunk"] for r in train} & {*places}


def test_an_answer_with_one_wording_is_trained():
    rows = [row(n, n, f"Who is number {n} of {word}?", f"P{n}") for n, word in enumerate("kiln mast oar".split())]
    assert split(rows, set(), 1.0, seed=0) == (rows, [])


def test_of_an_answer_with_two_wordings_one_is_tested():
    rows = [row(0, 0, "Who opened the bridge?", "Ann"), row(1, 0, "By whom was it inaugurated?", "Ann")]
    train, test = split(rows, set(), 0.5, seed=0)
    assert len(train) == 1 and [r["kind"] for r in test] == ["held_out_wording"]


def test_wordings_that_are_all_copies_of_one_another_are_trained():
    rows = [row(n, 0, f"Who opened the long bridge of the town of Hexley{end}", "Ann") for n, end in enumerate("?!")]
    assert split(rows, set(), 1.0, seed=0) == (rows, [])


def test_about_the_ratio_of_all_questions_is_tested(rows):
    assert [len(split(rows, set(), ratio, seed=0)[1]) for ratio in (0.1, 0.15, 0.2)] == [16, 24, 32]


def test_without_a_ratio_everything_is_trained(rows):
    assert split(rows, set(), 0.0, seed=0) == (rows, [])


def test_a_real_collection_keeps_its_test_questions_out_of_training(small_collection: Path):
    train, test = (json.loads(small_collection.with_suffix(end).read_text()) for end in (".json", ".test.json"))
    assert {"held_out_fact", "held_out_wording"} <= {r["kind"] for r in test}
    assert leaks(train, test) == 0
    held = {r["source"]["quote"] for r in test if r["kind"] == "held_out_fact"}
    assert held and not held & {r["source"].get("quote") for r in train}


def test_cues_are_trained_and_never_tested(rows):
    """They leave only with a fact that is held out whole."""
    cues = [
        {
            **one,
            "id": f"cue_{one['id']}",
            "form": "cue",
            "conversations": [{"value": f"Cue {n} of {n}?"}, one["conversations"][1]],
        }
        for n, one in enumerate(rows)
        if one["kind"] == "qa"
    ]
    held = {rows[0]["fact_id"]}
    train, test = split([*rows, *cues], held, 0.3, 0)
    assert test and not [row for row in test if row.get("form") == "cue"]
    kept = {row["id"] for row in train if row.get("form") == "cue"}
    assert kept == {row["id"] for row in cues if row["fact_id"] not in held}
