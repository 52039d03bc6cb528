"""The tables that are made from results/: what stands in the documents, and what is made of numbers that are not all there."""

from __future__ import annotations

import json

import pytest

from benchmarks.tables import MARKED, PLACES, ROOT, TABLES, fill, percent, render
from utils import InputError

RUN = {
    "tuned": 0.283, "tuned_interval": [0.11, 0.384], "gap_closed": 0.733, "gap_closed_interval": None,
    "retention_ratio": 0.923, "kept_interval": [0.88, 0.95], "drift": 0.0551, "minutes": 26.4, "seeds": [1], "note": "chosen",
}  # fmt: skip
RESULTS = {
    "runs": {
        "given_text": {
            "questions": 53, "passages": 10, "base": 0.0755, "open_book": 0.3585,
            "runs": {
                "ours": {**RUN, "peer": False},
                "worse": {**RUN, "tuned": 0.1, "peer": True},
                "better, all the time": {**RUN, "tuned": 0.2, "peer": True},
            },
        },
        "own": {"questions": 9, "passages": 2, "runs": {"ours": {**RUN, "peer": False}}},
        "recorded": {"questions": 9, "passages": 2, "runs": {"worse": {**RUN, "peer": True}}},
    },
    "rag": {"bm25": 0.25, "tuned_none": 0.283},
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_what_stands_in_a_document_is_what_results_give(place):
    text = (ROOT / place).read_text(encoding="utf-8")
    assert MARKED.search(text), "a place without a table need not be among PLACES"
    assert fill(text) == text, "run: python benchmarks/tables.py"


def test_every_table_stands_somewhere_under_a_name_that_is_known():
    texts = [(ROOT / place).read_text(encoding="utf-8") for place in PLACES]
    assert {found[2] for text in texts for found in MARKED.finditer(text)} == TABLES.keys()


def test_rows_are_as_results_have_them(tmp_path):
    (tmp_path / "knowledge.json").write_text(json.dumps(RESULTS))
    marked = "before\n<!-- table {} -->\n| old |\n<!-- end of table -->\nafter\n"
    names = ("knowledge_short", "knowledge_runs", "knowledge_context", "knowledge_sources")
    short, runs, context, sources = (fill(marked.format(name), tmp_path).splitlines()[2:-2] for name in names)
    assert short == [
        "| 53 questions of people on 10 Wikipedia paragraphs | right | general questions kept |", "| --- | --- | --- |",
        "| untrained | 8 % | 100 % |", "| untrained, with the passage | 36 % |  |",
        "| **`finetune.py` as it is, four epochs** | 28 % (11 to 38) | 92 % |", "| best of 2 others, same time: better | 20 % (11 to 38) | 92 % |",
    ]  # fmt: skip
    assert [line.split(" | ")[0] for line in runs[2:]] == ["| **ours**", "| better, all the time", "| worse"]
    assert runs[2] == "| **ours** | 28 % (11 to 38) | 73 % | 92 % (88 to 95) | 0.055 | 26 | 1 | chosen |"
    assert [line.split(" | ")[1:] for line in context[2:]] == [
        ["nothing", "8 % |"], ["the right passage", "36 % |"], ["what BM25 finds", "25 % |"], ["nothing", "28 % |"],
    ]  # fmt: skip
    assert sources[2:] == [
        f"| {who} | 28 % (11 to 38) | 73 % | 92 % (88 to 95) | 26 |"
        for who in ("a 7B model (given text) | 10 | 53", "SmolLM2-135M itself, by the collection | 2 | 9")
    ]  # what has no run of ours has no row


def test_the_ways_of_the_days_are_beside_one_another(tmp_path):
    keys = (
        "day5_cost_ratio", "day5_tokens_ratio", "day1_kept", "superseded_said", "new_value_right", "retracted_said", "right",
        "general_kept", "changed_known", "retracted_known", "last_day",
    )  # fmt: skip
    ways = {"anew": dict.fromkeys(keys, 1), "onward": dict.fromkeys(keys, 0.375) | {"retracted_said": None}}
    (tmp_path / "update.json").write_text(json.dumps({"ways": ways}))
    lines = fill("<!-- table days_ways -->\n<!-- end of table -->\n", tmp_path).splitlines()[1:-1]
    assert lines[0] == "|  | anew | onward |" and lines[2] == "| cost of the last day | 100 % | 38 % |"
    assert "| taken back, still said (less the base) | 100 % | – |" in lines and len(lines) == 13


@pytest.mark.parametrize("found", [None, {}, {"runs": {"given_text": {"runs": {}}}}])
def test_what_was_not_measured_has_no_table(tmp_path, found):
    for file in {file for file, _ in TABLES.values()} if found is not None else ():
        (tmp_path / file).write_text(json.dumps(found))
    for name in TABLES:
        empty = f"<!-- table {name} -->\n<!-- end of table -->\n"
        assert fill(empty.replace("-->\n<", "-->\n| old |\n<"), tmp_path) == empty


def test_a_table_that_is_not_known_is_named():
    with pytest.raises(InputError, match=r"knowledge_runs.*found knowledge_run:"):
        fill("<!-- table knowledge_run -->\n<!-- end of table -->\n")


def test_a_share_is_given_without_digits_that_nobody_measured():
    assert (percent(0.0755), percent(None), percent(1, [0.994, 1])) == ("8 %", "–", "100 % (99 to 100)")
    assert render(["a"], []) == ""
