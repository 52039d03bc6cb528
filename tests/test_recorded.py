"""The whole collection on a strong generator's recorded replies (tests/recorded/README.md): nothing is asked, in seconds."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from clocks import endless

from benchmarks.coverage_sets import measure, read_collection
from data_processor.arguments import CollectionArguments, check_arguments
from data_processor.chunking import OPENAI_TOKENIZER
from data_processor.collection import collect
from data_processor.languages import detect_language

RECORDED = Path(__file__).resolve().parent / "recorded"


class NobodyThere:
    name = "recorded"

    def waves(self, *_):
        return None

    def chat(self, conversations, **_):
        pytest.fail(
            f"{len(conversations)} requests have no recorded reply; the first is {conversations[0][-1]['content']}"
        )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "log").mkdir()
    shutil.copy(RECORDED / "replies.jsonl", folder / "log" / "data.journal.jsonl")
    arguments = CollectionArguments(
        data_path=str(RECORDED / "documents"), json_save_dir=str(folder / "data.json"), tokenizer=OPENAI_TOKENIZER,
        qa_amount_per_fact=3, role_amount_per_fact=1, unknown_amount_per_chunk=1, verify="llm",
    )  # fmt: skip
    collect(NobodyThere(), arguments.tokenizer, check_arguments(arguments), arguments, endless(folder))
    return folder / "data.json"


def rows_of(dataset: Path, **wanted) -> list[dict]:
    rows = json.loads(dataset.read_text())
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def turns(row: dict) -> tuple[str, str]:
    return row["conversations"][0]["value"], row["conversations"][1]["value"]


def test_every_sentence_and_list_item_is_asked_for_and_every_quote_stands_where_it_says(dataset):
    found = measure(read_collection(dataset))
    assert (found["documents"], found["sentences"], found["facts"], found["questions"]) == (6, 120, 172, 677)
    assert found["sentences_missed"] == [] and found["called_empty"] == {} and found["quotes_not_found"] == []


def test_a_rule_without_a_name_or_number_is_asked_for(dataset):
    rule = "Employees must tell their manager before they take a day off."
    asked = [turns(row) for row in rows_of(dataset, kind="qa") if row["source"]["quote"] == rule]
    assert (
        "What must employees of Oakhurst Seed Company do before they take a day off?",
        "tell their manager",
    ) in asked
    assert len(asked) == 4


def test_there_are_questions_of_all_forms_and_as_many_yes_as_no(dataset):
    forms = Counter(row["form"] for row in rows_of(dataset) if "form" in row)
    assert forms == {
        "short": 302, "yes_no": 152, "rule": 114, "reverse": 36, "why": 28, "how": 18, "two": 17, "steps": 10,
    }  # fmt: skip
    answers = Counter(turns(row)[1].split()[0].strip(",.") for row in rows_of(dataset, form="yes_no"))
    assert (answers["Yes"], answers["No"], answers["Ja"], answers["Nein"]) == (48, 48, 14, 14)


def test_a_question_on_two_facts_quotes_both(dataset):
    (row,) = [row for row in rows_of(dataset, form="two") if turns(row)[1] == "Namen von Nachbarn"]
    assert "Wer sie entgegennimmt, trägt sie noch am selben Tag" in row["source"]["quote"]
    assert [more["quote"] for more in row["source"]["more"]] == ["Namen von Nachbarn dürfen nicht eingetragen werden."]


def test_questions_answers_and_texts_come_in_the_language_of_their_document(dataset):
    languages = {"beschwerden_de.txt": "de", "faq_zh.txt": "zh", "leave_policy.txt": "en"}
    for name, language in languages.items():
        text = "\n".join(turn for row in rows_of(dataset, file_name=name) for turn in turns(row))
        assert detect_language(text) == language
