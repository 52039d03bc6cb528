"""The benchmark's own checks of a collection see what is wrong; its results hold what was measured and nothing else."""

from __future__ import annotations

import copy
import json
import math

import pytest

from benchmarks import runs
from benchmarks.collection import PARTS, SUMMARY, merged
from benchmarks.collection_kills import count_journal_repeats, count_repeats, kills
from benchmarks.collection_quality import check, near_copies, read_paragraphs, unsupported
from benchmarks.collection_speed import stratified_total
from utils import InputError

FILES = {"a.txt": "The bridge of Hexley was opened on 3 May 2031. Orla Venn built it for 4,200 crowns."}
QUOTE = "Orla Venn built it for 4,200 crowns."


def row(number: int, question: str, answer: str, kind: str = "qa", fact: int = 0) -> dict:
    start = FILES["a.txt"].index(QUOTE)
    return {
        "id": f"identity_{number}",
        "conversations": [{"from": "user", "value": question}, {"from": "assistant", "value": answer}],
        "file_name": "a.txt",
        "fact": QUOTE,
        "fact_id": f"a.txt#{fact}",
        "kind": kind,
        "source": {"chunk": 0, "start": start, "end": start + len(QUOTE), "quote": QUOTE},
    }


@pytest.fixture
def train() -> list[dict]:
    return [
        row(0, "Who built the bridge of Hexley?", "Orla Venn"),
        row(1, "What did the bridge of Hexley cost?", "4200 crowns", fact=1),
        row(2, "Who is the mayor of Hexley?", "The text by Nobody does not say.", "unknown", fact=2),
        row(3, "Tell me about Hexley.", "Orla Venn built the bridge.", "passage", fact=3),
    ]


def test_a_sound_dataset_passes(train):
    found = check(train, [row(9, "Whose work is the crossing there?", "Venn", "held_out_wording")], FILES)
    assert (found["quotes_verified"], found["answers_supported"], found["leaks"]) == (1.0, 1.0, 0)
    assert (found["facts"], found["answers"], found["passages"], found["tests"]) == (3, 3, 1, 1)


def test_a_quote_beside_its_place_is_found(train):
    train[1]["source"]["start"] += 1
    assert check(train, [], FILES)["quotes_verified"] == 0.6667 and check(train, [], FILES)["quotes_not_found"] == [
        "a.txt#1"
    ]
    train[3]["source"]["quote"] = train[3]["source"]["quote"].replace("Orla", "Olga")
    assert check(train, [], FILES)["quotes_verified"] == 0.3333
    del train[0]["source"]["quote"]
    assert check(train, [], FILES)["quotes_verified"] == 0.0


@pytest.mark.parametrize(("answer", "wrong"), [("Ada Venn", {"Ada"}), ("4300 crowns", {"4300"}), ("4.2 crowns", {"4.2"}), ("on 3rd May", {"3rd"})])  # fmt: skip
def test_an_invented_name_or_number_is_found(train, answer, wrong):
    train[0]["conversations"][1]["value"] = answer
    found = check(train, [], FILES)
    assert unsupported(answer, FILES["a.txt"]) == wrong and found["answers_supported"] == 0.5
    assert found["answers_unsupported"] == [{"answer": answer, "fact": QUOTE, "times": 1}]


@pytest.mark.parametrize(
    "question",
    ["who built the bridge of  Hexley", "Who built the bridge of Hexley, then?", "And who built the bridge of Hexley?"],
)
def test_a_leak_is_found(train, question):
    found = check(train, [row(9, question, "Orla Venn", "held_out_wording")], FILES)
    assert found["leaks"] == 1 and found["leaked"][0][1] == "Who built the bridge of Hexley?"


def test_a_decade_is_no_year_and_a_size_is_two_numbers():
    assert unsupported("1980", "In the 1980s it was sold.") == {"1980"}
    assert unsupported("25 by 100", "It had 25x100 lots.") == set()


def test_other_questions_are_no_leaks():
    assert not near_copies("Who built the tower of Hexley in 2031?", ["Who built the bridge of Hexley?"])
    assert near_copies("Why?", ["why"]) and not near_copies("Why?", ["How?"])


def test_the_checks_agree_with_a_real_collection(small_collection):
    test = json.loads(small_collection.with_suffix(".test.json").read_text())
    files = {path.name: path.read_text() for path in (small_collection.parent / "texts").iterdir()}
    rows = runs.rows(small_collection)
    found = check(rows, test, files)
    assert (found["quotes_verified"], found["answers_supported"], found["leaks"]) == (1.0, 1.0, 0), found
    planted = copy.deepcopy(test[0])
    assert check([*rows, planted], test, files)["leaks"] >= 1


def test_paragraphs_come_from_all_titles(tmp_path):
    file = tmp_path / "squad.json"
    articles = [{"title": t, "paragraphs": [{"context": f"{t}{n}"} for n in range(5)]} for t in "abcd"]
    file.write_text(json.dumps({"data": articles}))
    chosen = read_paragraphs(file, 6, seed=0)
    assert len(set(chosen)) == 6 and {text[0] for text in chosen[:4]} == set("abcd")
    assert chosen == read_paragraphs(file, 6, seed=0) != read_paragraphs(file, 6, seed=1)
    with pytest.raises(InputError, match="expected 21 paragraphs"):
        read_paragraphs(file, 21, seed=0)


def test_a_total_is_estimated_from_a_sample_of_each_batch():
    total, error = stratified_total([4, 10], [[1.0, 2.0, 3.0, 2.0], [1.0, 3.0]])
    assert total == 8 + 20 and error == pytest.approx(math.sqrt(10**2 * 0.8 * 2 / 2))
    assert stratified_total([2], [[1.0, 2.0]]) == (3.0, 0.0)


def test_a_finished_call_that_is_asked_again_is_seen_in_the_journal(tmp_path):
    journal = tmp_path / "data.journal.jsonl"
    journal.write_text('{"a": {}, "b": {}}\n{"c": {}}\n')
    assert count_journal_repeats(journal) == 0
    journal.write_text('{"a": {}, "b": {}}\n{"c": {}, "a": {}}\n')
    assert count_journal_repeats(journal) == 1


def test_calls_sent_again_after_a_kill_are_counted():
    assert count_repeats([["a", "b"], ["b", "c"], [], ["b", "c", "d"]]) == {
        "calls_sent": 7,
        "calls_repeated_most": 2,
        "calls_repeated": 3,
    }


def test_results_keep_earlier_parts_and_invent_none():
    made = {"machine": "m", "date": "d", "commit": "c"}
    results = merged({}, "quality", {"quotes_verified": 1.0, "leaks": 0, **made})
    assert results["quotes_verified"] == 1.0 and results["leaks"] == 0 and results["commit"] == "c"
    assert not {"kills", "ratio", "answers_supported"} & set(results)
    results = merged(results, "kills", {"kills": 20, "kills_identical": False, **made, "commit": "e"})
    assert results["kills"] == 20 and results["kills_identical"] is False and results["quotes_verified"] == 1.0
    assert results["commit"] == "e" and results["parts"]["quality"]["commit"] == "c"
    assert {path[0] for path in SUMMARY.values()} <= set(PARTS)


RESUMING = """
import json, pathlib, sys, time
calls, _, *arguments = sys.argv[1:]
dataset = pathlib.Path(arguments[arguments.index("--json_save_dir") + 1])
log = dataset.parent / "log"
log.mkdir(exist_ok=True)
journal = log / "data.journal.jsonl"
known = [list(json.loads(line)) for line in journal.read_text().splitlines()] if journal.exists() else []

def note(**line):
    with open(calls, "a") as file:
        file.write(json.dumps({"time": time.time(), **line}) + "\\n")

for batch in (["a", "b"], ["c", "d", "e"], ["f"], ["g", "h"]):
    if batch not in known:
        note(calls=batch)
        time.sleep(0.4)
        note(batch_s=0.4, one_by_one_s=[], same=0)
        with journal.open("a") as file:
            file.write(json.dumps(dict.fromkeys(batch)) + "\\n")
dataset.write_text(json.dumps([{"kind": "qa", "sound": SOUND}]))
for path in (dataset.with_suffix(".test.json"), log / "data.dropped.jsonl"):
    path.write_text("[]")
note(ended=True)
"""


@pytest.mark.parametrize(("sound", "identical"), [("True", True), ("len(known)", False)])
def test_kills_come_at_their_moments_and_a_dataset_that_differs_is_seen(tmp_path, monkeypatch, sound, identical):
    """A script that resumes takes the place of the collection, whose own kill tests are in test_journal.py."""
    script = tmp_path / "resuming.py"
    script.write_text(RESUMING.replace("SOUND", sound))
    monkeypatch.setattr(runs, "WATCHED", str(script))
    found = kills(tmp_path, [], documents=1, limit=None, amount=5, seed=1)
    assert found["kills"] == 5 and found["kills_identical"] is identical and found["passed"] is identical
    assert found["unbroken"]["calls"] == 8 and found["largest_wave"] == 3 and 1 <= found["calls_repeated_most"] <= 3
    assert all(one["finished_calls_repeated"] == 0 for one in found["rounds"])
    spread = {call for path in tmp_path.glob("killed_0_*.jsonl") for call in path.read_text().split('"')}
    assert {"a", "c", "f", "g"} <= spread
