"""What a person writes into data.json or data.test.json stays: within a run that is started again, and on the days after."""

from __future__ import annotations

from pathlib import Path

import pytest
from day_runs import live_through
from test_day_after_day import DIRECTOR, HEAD, MANAGER, asked_in, pairs_in, read, texts_of

from data_processor.dataset import question_and_reference
from days.carried import TODAY
from days.folders import Day
from days.intake import take_in_first
from days.ledger import DATASET, TEST, read_ledger
from utils import InputError, write_json

OLDER = f"{DIRECTOR}\n\n{HEAD.format('Tobiah Quell')}"
NEW = MANAGER.format("Perrin Ostlake")
ASKED, ANSWER = "Who feeds the cat of the workshop?", "Ada Brook"
TURNS = [{"from": "user", "value": ASKED}, {"from": "assistant", "value": ANSWER}]
FED = "The cat of the workshop is fed by Ada Brook."


@pytest.fixture
def demo(tmp_path) -> Path:
    """A document is added on the second day, the first one edited on the third and deleted on the fourth."""
    edited = f"{OLDER}\n\nThe Nightmoth lantern is new."
    days = {"day1": {"b": OLDER}, "day2": {"b": OLDER, "a": NEW}, "day3": {"b": edited, "a": NEW}, "day4": {"a": NEW}}
    (tmp_path / "out").mkdir()
    return texts_of(tmp_path / "demo", **days)


def live(demo: Path, day: int) -> Day:
    return live_through(demo.parent / "out", day, demo=demo)


def add(path: Path, *rows) -> None:
    write_json(path, [*read(path), *rows])


def test_a_row_that_was_deleted_and_one_that_was_corrected_stay_so_when_the_day_is_started_again(demo):
    live(demo, 1)
    day = live(demo, 2)
    rows = read(day.run / DATASET)
    deleted, corrected, *others = rows
    corrected["conversations"][1]["value"] = "Odalys Brund of Grisholm"
    write_json(day.run / DATASET, [corrected, *others])
    expected = pairs_in(day.run / DATASET)
    for _ in range(2):
        assert live(demo, 2).run == day.run and pairs_in(day.run / DATASET) == expected
    assert question_and_reference(deleted) not in expected and len(read(day.run / DATASET)) == len(rows) - 1


def test_a_collection_that_was_made_again_is_given_the_rows_of_the_day_before_again(demo):
    first = live(demo, 1)
    add(first.run / DATASET, {"conversations": TURNS})
    day = live(demo, 2)
    collected = [row for row in read(day.run / DATASET) if question_and_reference(row)[0] != ASKED]
    write_json(day.run / DATASET, collected)
    write_json(day.run / "log" / "data.meta.json", {"finished": "later"})
    live(demo, 2)
    assert (ASKED, ANSWER) in pairs_in(day.run / DATASET)


OWN = {
    "turns alone": {"conversations": TURNS},
    "OpenAI": {"id": 7, "messages": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWER}]},
    "Alpaca": {"instruction": ASKED, "output": ANSWER},
    "a kind of one's own": {"id": "mine", "conversations": TURNS, "kind": "faq"},
    "with its fact": {"id": "mine", "conversations": TURNS, "fact": FED},
    "with its fact and kind": {"id": "mine", "conversations": TURNS, "fact": FED, "kind": "qa"},
}


@pytest.mark.parametrize(("file_name", "before_the_end"), [(None, True), ("b.txt", True), ("b.txt", False)])
@pytest.mark.parametrize("row", OWN.values(), ids=OWN)
def test_a_row_of_a_persons_own_is_trained_until_its_document_is_deleted(demo, row, file_name, before_the_end):
    row = row | ({"file_name": file_name} if file_name else {})
    first = live(demo, 1)
    add(first.run / DATASET, row)
    if before_the_end:  # so that its fact is in the ledger
        take_in_first(first)
    for number in (2, 3, 4):
        day = live(demo, number)
        stays = file_name is None or number < 4
        assert ((ASKED, ANSWER) in pairs_in(day.run / DATASET)) == stays, number
        ids = [one["id"] for one in read(day.run / DATASET)]
        assert len({*ids}) == len(ids)
        gone = {record["text"] for record in read_ledger(day.out).values() if record["gone"]}
        assert (FED in gone) == ("fact" in row and before_the_end and not stays)


def test_a_row_of_a_persons_own_that_is_new_is_trained_when_going_onward(demo):
    add(live(demo, 1).run / DATASET, {"conversations": TURNS})
    day = live(demo, 2)
    other = [{"from": "user", "value": "Who waters the plants?"}, {"from": "assistant", "value": "Max Field"}]
    add(day.run / DATASET, {"conversations": other})
    live(demo, 2)
    shown = [question_and_reference(row) for row in read(day.run / TODAY)]
    assert ("Who waters the plants?", "Max Field") in shown
    assert len(read(day.run / DATASET)) == 8, "two wordings of three facts, and two rows of a person's own"


@pytest.mark.parametrize("number", [1, 2])
def test_questions_without_turns_or_ids_are_taken_as_inference_takes_them(demo, number):
    live(demo, 1)
    day = live(demo, number)
    add(day.run / TEST, {"question": ASKED, "reference": ANSWER}, "And who feeds the dog?")
    live(demo, number)
    later = live(demo, number + 1)
    assert later.run != day.run and later.before.run == day.run
    add(later.run / TEST, {"question": ASKED, "reference": ANSWER})
    assert live(demo, number + 1).run == later.run
    assert (ASKED, ANSWER) in asked_in(later.run)


@pytest.mark.parametrize("name", [DATASET, TEST])
def test_a_row_that_is_none_is_named_with_its_file(demo, name):
    day = live(demo, 1)
    add(day.run / name, {"id": "x", "fact": "A fact without a question."})
    number = len(read(day.run / name)) - 1
    with pytest.raises(InputError, match=rf'expected the key "conversations".* in row {number} of .*{name}'):
        take_in_first(day)
