"""The ledger of facts: what a run adds, what stays under its id, what a person wrote, and the quiz before a training."""

from __future__ import annotations

import json

import pytest

from benchmarks.update_data import collect, row
from days.ledger import FILE, add_facts, new_record, read_chunks, read_ledger, rows_of, write_ledger
from days.measured import add_answers, add_training, verdicts_of
from days.quiz import quiz, split_known
from utils import InputError, write_json

BRIDGE = "The bridge was built by Orla Venn in 1961."
QUOTE = "Orla Venn built it in 1961."


def collected(records, rows, texts, run, renamed=()):
    add_facts(records, rows, texts, run, renamed)
    return {record["text"]: record for record in records.values()}


def verdict(row, right, **more):
    question, answer = (turn["value"] for turn in row["conversations"])
    said = {
        "question": question,
        "reference": answer,
        "fact": row["fact"],
        "source": row["source"],
        "kind": row["kind"],
    }
    return {"id": row["id"], **said, "verdict": "correct" if right else "incorrect", **more}


def test_a_record_is_written_and_read_as_a_line_and_keeps_what_a_person_added(tmp_path):
    records = {}
    add_facts(records, [row(0, BRIDGE, "Who built the bridge?", "Orla Venn", quote=QUOTE)], {}, "1")
    write_ledger(tmp_path, records)
    (line,) = (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    record = json.loads(line)
    assert {key: record[key] for key in ("text", "file_name", "quotes", "questions", "gone", "runs", "known_before")} == {
        "text": BRIDGE, "file_name": "a.txt", "quotes": [QUOTE], "gone": None, "runs": ["1"], "known_before": None,
        "questions": [{"question": "Who built the bridge?", "answer": "Orla Venn", "kind": "qa"}],
    }  # fmt: skip
    (tmp_path / FILE).write_text(json.dumps({**record, "note": "für Ärzte"}) + "\n\n", encoding="utf-8")
    read = read_ledger(tmp_path)
    add_facts(read, [], {"a.txt": QUOTE}, "2")
    write_ledger(tmp_path, read)
    assert read_ledger(tmp_path)[record["id"]] == {**record, "note": "für Ärzte", "runs": ["1", "2"]}
    assert "für Ärzte" in (tmp_path / FILE).read_text(encoding="utf-8")


def test_there_is_no_ledger_yet(tmp_path):
    assert read_ledger(tmp_path) == {}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "line 2.*correct the line"),
        ("[]", r"line 2.*'\[\]'"),
        ('{"id": "x"}', '"text" in line 2'),
        ('{"id": "a", "text": "again"}', "a again in line 2"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line, found):
    (tmp_path / FILE).write_text(f'{{"id": "a", "text": "A."}}\n{line}\n')
    with pytest.raises(InputError, match=found):
        read_ledger(tmp_path)


def test_a_record_that_a_person_cut_short_is_completed(tmp_path):
    (tmp_path / FILE).write_text('{"id": "a", "text": "A."}\n')
    assert read_ledger(tmp_path) == {"a": new_record(id="a", text="A.")}


def test_the_rows_of_a_fact_are_one_record_and_the_same_question_is_in_it_once():
    rows = [
        row(0, BRIDGE, "Who built the bridge?", "Orla Venn", quote=QUOTE),
        row(1, BRIDGE, "When was it built?", "1961", quote=QUOTE, form="short", points=["1961"]),
        row(2, BRIDGE, "What did Orla Venn build?", "the bridge", quote=QUOTE, kind="reverse"),
        row(3, BRIDGE, "Who else built a bridge?", "This is not known.", quote=QUOTE, kind="unknown"),
        row(4, BRIDGE, "Tell me about the bridge.", BRIDGE, quote=QUOTE, kind="passage"),
        row(5, BRIDGE, "Which river does Orla Venn's bridge cross?", "the Nel", quote=QUOTE, form="two"),
    ]
    records = {}
    for run in ("1", "2"):
        (record,) = collected(records, rows, {}, run).values()
    assert record["questions"] == [
        {"question": "Who built the bridge?", "answer": "Orla Venn", "kind": "qa"},
        {"question": "When was it built?", "answer": "1961", "kind": "qa", "form": "short", "points": ["1961"]},
        {"question": "What did Orla Venn build?", "answer": "the bridge", "kind": "reverse"},
    ]


def test_case_and_white_space_make_no_other_fact_but_another_quote_does():
    rows = [
        row(0, BRIDGE, "Q?", "A", quote=QUOTE),
        row(1, BRIDGE.replace(" in", "\n IN"), "Q?", "A", quote=QUOTE),
        row(2, BRIDGE, "Q?", "A", quote="Venn built the bridge (1961)."),
    ]
    records = {}
    add_facts(records, rows, {}, "1")
    assert len(records) == 2


def test_a_sentence_that_is_told_in_other_words_the_next_day_keeps_its_record():
    records = {}
    first = collected(records, [row(0, BRIDGE, "Who built it?", "Orla Venn", quote=QUOTE)], {}, "1")[BRIDGE]["id"]
    other = "Orla Venn built the bridge in 1961."
    found = collected(records, [row(0, other, "Whose work is the bridge?", "Orla Venn", quote=QUOTE)], {}, "2")
    assert list(found) == [other]
    assert (found[other]["id"], found[other]["runs"], len(found[other]["questions"])) == (first, ["1", "2"], 2)


@pytest.mark.parametrize(
    "other", ("The bridge was built by Orla Venn in 1962.", "Orla Venn had seen nothing like it in 1961.")
)
def test_another_fact_of_the_same_sentence_is_another_record(other):
    records = {}
    found = collected(records, [row(0, BRIDGE, "Q?", "A", quote=QUOTE)], {}, "1")
    found = collected(records, [row(0, other, "Q?", "A", quote=QUOTE)], {}, "2")
    assert len(found) == 2 and found[BRIDGE]["gone"] == "deleted"


def test_a_fact_is_gone_when_its_sentence_is_and_not_when_a_short_collection_did_not_come_to_it():
    records = {}
    rows = [row(0, BRIDGE, "Q?", "A", quote=QUOTE)]
    assert collected(records, rows, {"a.txt": QUOTE}, "1")[BRIDGE]["gone"] is None
    assert collected(records, [], {"a.txt": f"More. {QUOTE}"}, "2")[BRIDGE]["gone"] is None
    assert collected(records, [], {"b.txt": QUOTE}, "3")[BRIDGE]["gone"] == "deleted"
    assert collected(records, rows, {"a.txt": QUOTE}, "4")[BRIDGE]["gone"] is None
    assert records.popitem()[1]["runs"] == ["1", "2", "4"]


def test_the_facts_of_a_renamed_file_are_still_there():
    records = {}
    collected(records, [row(0, BRIDGE, "Q?", "A", quote=QUOTE)], {"a.txt": QUOTE}, "1")
    record = collected(records, [], {"b.txt": QUOTE}, "2", [("a.txt", "b.txt")])[BRIDGE]
    assert (record["file_name"], record["gone"]) == ("b.txt", None)


def test_a_run_that_is_repeated_with_less_is_taken_back():
    records = {}
    collected(records, [row(0, BRIDGE, "Q?", "A")], {}, "1")
    assert collected(records, [], {}, "1")[BRIDGE]["runs"] == []


def pair_of_records(runs: list[str]):
    old = new_record(id="old", text="Old.", quotes=["Old."], file_name="a.txt", superseded_by=["new"], runs=["1"])
    new = new_record(id="new", text="New.", quotes=["New."], file_name="b.txt", runs=["1"])
    records = {"old": old, "new": new}
    add_facts(records, [], {"a.txt": "Old." * ("old" in runs), "b.txt": "New." * ("new" in runs)}, "2")
    return old["gone"], new["gone"]


def test_what_is_superseded_is_valid_again_when_the_newer_document_leaves():
    assert pair_of_records(["old", "new"]) == ("superseded", None)
    assert pair_of_records(["old"]) == (None, "deleted")
    assert pair_of_records(["new"]) == ("superseded", None)
    assert pair_of_records([]) == ("superseded", "deleted")


def test_the_rows_of_a_run_are_those_of_training_and_test_each_once(tmp_path):
    rows = [row(0, BRIDGE, "Who built it?", "Orla Venn"), row(1, BRIDGE, "When?", "1961")]
    folder = collect(
        tmp_path, {"a.txt": BRIDGE, "b.txt": "B."}, rows, [row(2, BRIDGE, "When?", "1961", kind="held_out_wording")]
    )
    assert [one["id"] for one in rows_of(folder)] == ["identity_0", "identity_1"]
    assert read_chunks(folder) == {"a.txt": BRIDGE, "b.txt": "B."}
    assert (rows_of(tmp_path / "none"), read_chunks(tmp_path / "none")) == ([], {})


def test_how_often_a_training_showed_a_fact(tmp_path):
    rows = [row(n, BRIDGE, f"Who built it, {n}?", "Orla Venn") for n in range(3)]
    folder = collect(tmp_path, {}, [*rows, row(3, BRIDGE, "Who else?", "This is not known.", kind="unknown")])
    write_json(folder / "lora" / "train_log.json", {"plan": {"epochs": 2.5}, "log": []})
    records = {}
    add_facts(records, rows, {}, "1")
    add_training(records, folder, "1")
    assert [record["exposures"] for record in records.values()] == [{"1": 7.5}]


def test_what_was_known_learnt_lost_and_learnt_again():
    rows = [
        row(0, BRIDGE, "Who?", "Orla Venn"),
        row(1, BRIDGE, "When?", "1961"),
        row(2, BRIDGE, "What?", "the bridge", kind="reverse"),
    ]
    records = {}
    add_facts(records, rows, {}, "1")
    (record,) = records.values()

    def answered(run, *right):
        base = [verdict(rows[0], True), verdict(rows[1], False), verdict(rows[2], True)]
        assert add_answers(records, base, map(verdict, rows, right), run) == 0
        return record["learnt"][run], record["lost_again"]

    assert answered("1", True, True, False) == (1, None)
    assert (record["known_before"], record["reverse"]) == (0.5, {"1": 0})
    assert answered("2", True, False, True) == (0.5, "2")
    assert answered("3", False, False, True) == (0, "2")
    assert answered("4", True, True, True) == (1, None)
    assert answered("1", False, True, True) == (0.5, "1")  # the same run again


def test_a_fact_that_was_never_right_is_not_lost():
    rows = [row(0, BRIDGE, "Who?", "Orla Venn")]
    records = {}
    add_facts(records, rows, {}, "1")
    for run in ("1", "2"):
        add_answers(records, [], [verdict(rows[0], False)], run)
    assert [record["lost_again"] for record in records.values()] == [None]


def test_an_answer_finds_its_record_by_fact_or_by_question_and_strangers_are_counted():
    rows = [row(0, BRIDGE, "Who built it?", "Orla Venn", quote=QUOTE)]
    records = {}
    add_facts(records, rows, {}, "1")
    mine = {"question": "Who built it?", "fact": "In a person's own words.", "verdict": "correct"}
    stranger = {"question": "Who?", "fact": "Another.", "verdict": "correct"}
    unscored = verdict(rows[0], True, verdict="unscored")
    assert add_answers(records, [unscored], [mine, stranger], "1") == 1
    (record,) = records.values()
    assert (record["known_before"], record["learnt"]) == (None, {"1": 1})


def test_verdicts_are_read_where_there_are_any(tmp_path):
    assert verdicts_of(tmp_path / "base_acc.json") == []
    write_json(tmp_path / "base_acc.json", {"n": 1, "verdicts": [{"id": "a"}]})
    assert verdicts_of(tmp_path / "base_acc.json") == [{"id": "a"}]


def test_the_quiz_asks_two_wordings_for_different_things_and_nothing_that_can_be_guessed():
    rows = [
        row(0, BRIDGE, "Who built it?", "Orla Venn"), row(1, BRIDGE, "Whose work is it?", "Orla Venn"), row(2, BRIDGE, "When?", "1961"),
        row(3, BRIDGE, "Was it built in 1961?", "Yes, it was.", form="yes_no"), row(4, BRIDGE, "Both?", "1961", form="two"),
        row(5, "It is red.", "Is it red?", "Yes.", form="yes_no"), row(6, "Nel.", "Tell me about Nel.", "Nel.", kind="passage"),
        row(7, "Nel.", "Who?", "This is not known.", kind="unknown"), row(8, "It sank.", "What did it do?", "sink"),
        row(9, "It sank.", "What happened?", "sink"),
    ]  # fmt: skip
    assert [one["id"] for one in quiz(rows)] == [f"identity_{n}" for n in (0, 2, 8, 9)]


def test_a_fact_is_known_if_every_question_on_it_was_answered_right():
    rows = [
        row(0, BRIDGE, "Who built it?", "Orla Venn"), row(1, BRIDGE, "When?", "1961"), row(2, BRIDGE, "Tell me.", BRIDGE, kind="passage"),
        row(3, BRIDGE, "Who else?", "This is not known.", kind="unknown"), row(4, BRIDGE, "Both?", "x", form="two"),
        row(5, "It sank.", "What did it do?", "sink"), row(6, "It sank.", "What happened?", "sink"), row(7, "It is red.", "Is it?", "Yes.", form="yes_no"),
    ]  # fmt: skip
    asked = quiz(rows)
    verdicts = [verdict(one, right) for one, right in zip(asked, (True, True, True, False), strict=True)]
    known, unknown = split_known(rows, asked, verdicts)
    assert [one["id"] for one in known] == ["identity_0", "identity_1", "identity_2"]
    assert [one["id"] for one in unknown] == [f"identity_{n}" for n in (3, 4, 5, 6, 7)]
    assert split_known(rows, asked, verdicts[1:])[0] == []
