"""The files of answers: what is read, what is refused with which words, and how two of them are paired. No model."""

from __future__ import annotations

import json

import pytest
from scripted import BASE, SFT, answer, case_of, scripted, verdict

from evaluation import accuracy
from evaluation.answers import pair_answers, read_answers
from utils import InputError

SEED_FORMAT = [{"fact": "Perrine keeps the lighthouse.", "question": "Who keeps it?", "response": "Perrine"}]


def test_seed_format_is_judged_by_its_fact(tmp_path):
    (tmp_path / "sft.json").write_text(json.dumps(SEED_FORMAT))
    judge = scripted(tmp_path, lambda prompt, seed: verdict("correct"))
    rows = read_answers(tmp_path / "sft.json", "local")
    measured = accuracy.measure(rows, accuracy.judge_answers(rows, judge))
    assert case_of(judge.engine.calls[0][0][0])["reference"] == "Perrine keeps the lighthouse."
    assert (measured["accuracy"], measured["by_kind"], measured["verdicts"][0]["id"]) == (1.0, {}, 0)
    assert measured["verdicts"][0]["reference"] == "Perrine keeps the lighthouse."
    with pytest.raises(InputError, match='expected a text as "reference" in row 0'):
        read_answers(tmp_path / "sft.json", "match")


def test_an_unanswerable_question_needs_no_reference(tmp_path):
    (tmp_path / "sft.json").write_text(json.dumps([{"question": "Q", "response": "r", "kind": "unknown"}]))
    assert read_answers(tmp_path / "sft.json", "match")[0]["reference"] == "This is not known."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", r"as JSON at .*found its end in line 1 column 2 \(Expecting value\)"),
        ("What is it?", "as JSON at .*found 'What is it\\?' in line 1 column 1"),
        ("", "found an empty file"),
        ("[]", "found an empty list"),
        ("{}", "found a dict"),
        ('{"question": "Q"}', "found a dict"),
        ('["text"]', "expected an object as row 0"),
        (json.dumps([{"question": "Q", "reference": "r"}]), 'a text as "response" in row 0 .*found None: add it$'),
        (json.dumps([{"response": "r", "reference": "r"}]), 'a text as "question" in row 0 .*found None: add it$'),
        (json.dumps([SFT[0], {**SFT[1], "reference": 7}]), 'a text as "reference" in row 1 .*found 7'),
        (json.dumps([{**SFT[0], "reference": "?!"}]), "as \"reference\" in row 0 .*found '\\?!'"),
        (json.dumps([{"question": "Q", "response": "r"}]), "found None: add it, or let a model judge by the fact$"),
        (json.dumps([{**SFT[0], "id": 1}, {**SFT[1], "id": "1"}]), "expected unique ids in .*found '1' again in row 1"),
        (json.dumps([SFT[0], SFT[0]]), "expected unique ids in .*found 'q0' again in row 1"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path, content, words):
    (tmp_path / "sft.json").write_text(content)
    with pytest.raises(InputError, match=words):
        read_answers(tmp_path / "sft.json", "match")


def test_a_missing_file_and_a_row_without_any_reference(tmp_path):
    with pytest.raises(InputError, match=r"expected an answers file at .*sft.json, found nothing: run inference.py"):
        read_answers(tmp_path / "sft.json", "match")
    (tmp_path / "sft.json").write_text(json.dumps([{"question": "Q", "response": "r", "fact": ""}]))
    with pytest.raises(InputError, match=r'a text as "reference" or "fact" in row 0 .*: add it$'):
        read_answers(tmp_path / "sft.json", "local")


def test_answers_are_paired_by_id_else_by_order():
    assert pair_answers(SFT, BASE[::-1]) == BASE
    bare_sft, bare_base = ([{k: v for k, v in row.items() if k != "id"} for row in rows] for rows in (SFT, BASE))
    named = [{**row, "id": f"row_{number}"} for number, row in enumerate(bare_base)]
    assert pair_answers(bare_sft, bare_base) == pair_answers(bare_sft, BASE) == named
    assert pair_answers(SFT, bare_base) == BASE
    with pytest.raises(InputError, match="expected the same questions in both files, found question 'Question 0"):
        pair_answers(bare_sft, bare_base[::-1])


@pytest.mark.parametrize(
    ("base", "words"),
    [
        (BASE[:3], "found 4 and 3"),
        ([*BASE[:3], answer(9, "no")], "'Question 3\\?' in row 3 of one and 'Question 9\\?' in the other"),
        ([*BASE[:3], answer(3, "no", reference="other")], "reference 'ref3' in row 3"),
    ],
)
def test_mismatched_questions(base, words):
    with pytest.raises(InputError, match=words):
        pair_answers(SFT, base)


def test_an_answer_may_be_empty_and_a_question_without_words(tmp_path):
    row = {"question": "?!", "response": " . ", "reference": "r", "id": None}
    (tmp_path / "sft.json").write_text(json.dumps([row]))
    assert read_answers(tmp_path / "sft.json") == [row]


@pytest.mark.parametrize("judge", ["match", "local"])
def test_a_row_keeps_its_own_reference_whoever_judges(tmp_path, judge):
    (tmp_path / "sft.json").write_text(
        json.dumps([SFT[0], {**SFT[1], "kind": "unknown", "reference": "Nobody knows."}])
    )
    assert [row["reference"] for row in read_answers(tmp_path / "sft.json", judge)] == ["ref0", "Nobody knows."]


def test_the_order_is_that_of_the_tuned_answers():
    assert pair_answers(SFT[::-1], BASE) == BASE[::-1]
    numbered = [{**row, "id": number} for number, row in enumerate(SFT)]
    assert pair_answers(numbered[::-1], [{**row, "id": str(row["id"])} for row in numbered])[0]["id"] == 3


@pytest.mark.parametrize("bare", ["sft", "base"])
def test_where_one_row_has_no_id_the_order_counts(bare):
    rows = {"sft": [dict(row) for row in SFT], "base": [dict(row) for row in BASE]}
    del rows[bare][1]["id"]
    names = ["q0", "row_1" if bare == "sft" else "q1", "q2", "q3"]
    assert [row["id"] for row in pair_answers(rows["sft"], rows["base"])] == names
    with pytest.raises(InputError, match="expected the same questions in both files"):
        pair_answers(rows["sft"], rows["base"][::-1])


def test_the_same_question_about_another_fact_is_another_question():
    with pytest.raises(InputError, match=r"found fact 'Fact 3\.' in row 3 of one and 'Another\.' in the other"):
        pair_answers(SFT, [*BASE[:3], answer(3, "no", fact="Another.")])


def test_thoughts_are_read_neither_in_an_answer_nor_in_a_reference(tmp_path):
    thought = "<think>\nIs it Ann?\n</think>\n\n"
    rows = [
        {"question": "Who?", "response": f"{thought}Bob", "reference": f"{thought}Ann"},
        {"question": "Who?", "response": "<think>\nIs it Ann", "reference": "Ann"},
    ]
    (tmp_path / "sft.json").write_text(json.dumps(rows))
    read = read_answers(tmp_path / "sft.json", "match")
    assert [(row["response"], row["reference"]) for row in read] == [("Bob", "Ann"), ("", "Ann")]


def test_answers_may_be_json_lines_and_have_no_ids(tmp_path):
    rows = [
        {"question": "Q", "response": "a", "reference": "r", "id": None},
        {"question": "P", "response": "b", "reference": "s"},
    ]
    (tmp_path / "sft.jsonl").write_text("\n".join(map(json.dumps, [rows[0], rows[0], rows[1]])))
    read = read_answers(tmp_path / "sft.jsonl")
    assert [row["question"] for row in read] == ["Q", "Q", "P"], "two rows without ids are not the same one"
    assert [row["id"] for row in pair_answers(read, read)] == ["row_0", "row_1", "row_2"]


def test_half_an_emoji_is_a_question_mark(tmp_path):
    (tmp_path / "sft.json").write_text(json.dumps([{"question": "Q", "response": "so \ud83d", "reference": "r"}]))
    assert read_answers(tmp_path / "sft.json")[0]["response"] == "so ?"
