"""The language of a text, and what is chosen by it. No model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT

import run_all
from data_processor.documents import read_documents
from data_processor.languages import identify, identify_all, in_language, texts_of_rows
from evaluation import forgetting
from training.replay import REPLAY_PROMPTS


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Die Probezeit beträgt sechs Monate.", "de"),
        ("The probation period is six months.", "en"),
        ("试用期为六个月。", "zh"),
        ("Испытательный срок составляет шесть месяцев.", "ru"),
        ("84.6", "en"),
        ("Ilsabet Corrane", "en"),
        ("", "en"),
    ],
)
def test_identify(text, language):
    assert identify(text) == language


def test_a_collection_is_in_the_language_of_most_of_it():
    german = ["Die Halle ist im Winter geschlossen, im Sommer aber offen."] * 3
    assert identify_all([*german, "Open in summer."]) == "de"
    assert identify_all([]) == "en"


@pytest.mark.parametrize("place", range(4))
def test_each_text_of_a_small_collection_is_looked_at(place):
    texts = ["84.6"] * 4
    texts[place] = "Die Halle ist im Winter geschlossen, im Sommer aber offen."
    assert identify_all(texts) == "de"


def test_all_of_a_large_collection_is_looked_at():
    english = ["The gate is open in summer, and closed in the winter, as the keeper of the park has told us. " * 5] * 50
    german = [
        "Das Tor ist im Sommer offen und im Winter geschlossen, wie uns der Wärter des Parks gesagt hat. " * 5
    ] * 450
    assert identify_all([*english, *german]) == "de"


def test_a_file_in_a_language_without_one_is_english(tmp_path):
    for name in ("prompts.json", "prompts.de.json"):
        (tmp_path / name).write_text("[]")
    assert in_language(tmp_path / "prompts.json", "de") == tmp_path / "prompts.de.json"
    assert in_language(tmp_path / "prompts.json", "fr") == tmp_path / "prompts.json"


def test_questions_are_read_from_rows_of_every_form():
    rows = [
        {"conversations": [{"from": "user", "value": "a"}, {"from": "assistant", "value": "b"}]},
        {"messages": [{"role": "user", "content": "c"}]},
        {"question": "d", "response": "e"},
    ]
    assert texts_of_rows(rows) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "given", "chosen"),
    [
        ("Die Halle ist im Winter geschlossen.", None, "questions.de.json"),
        ("大厅冬天关闭。", None, "questions.zh.json"),
        ("The hall is closed in winter.", None, "questions.json"),
        ("Зал зимой закрыт на ремонт.", None, "questions.json"),
        ("Die Halle ist im Winter geschlossen.", "mine.json", "mine.json"),
        ("Die Halle ist im Winter geschlossen.", "none", ""),
    ],
)
def test_general_questions_are_in_the_language_of_the_documents(tmp_path, text, given, chosen):
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    arguments = SimpleNamespace(data_path=str(tmp_path), out=str(tmp_path / "out"), retention_data_path=given)
    run_all.choose_general_questions(arguments, read_documents(tmp_path))
    assert arguments.retention_data_path.rpartition("/")[2] == chosen


def test_no_general_questions_can_be_wanted(tmp_path, model_path):
    (tmp_path / "a.txt").write_text("The hall is closed in winter.", encoding="utf-8")
    arguments = run_all.Arguments(
        model_name_or_path=model_path,
        data_path=str(tmp_path),
        retention_data_path="none",
        inference_args="",
        evaluate_args="--judge match",
    )
    run_all.check_arguments(arguments, 86_400, None)
    assert run_all.count_questions(arguments) == (None, 0)


def test_the_plan_counts_the_general_questions(tmp_path):
    (tmp_path / "a.txt").write_text("Die Halle ist im Winter geschlossen.", encoding="utf-8")
    arguments = SimpleNamespace(
        data_path=str(tmp_path), out=str(tmp_path / "out"), retention_data_path=None, test_data_path=None
    )
    run_all.choose_general_questions(arguments, read_documents(tmp_path))
    assert run_all.count_questions(arguments) == (None, 200)


def test_neutral_prompts_are_in_the_language_of_the_questions():
    assert forgetting.neutral_prompts([{"question": "Wie lange dauert die Probezeit?"}]).endswith("prompts.de.json")
    assert forgetting.neutral_prompts([{"question": "How long is it?"}]) == forgetting.NEUTRAL_PROMPTS


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_what_is_measured_is_not_trained_on(language):
    """200 general questions with one answer each, 24 neutral prompts; no prompt of either is among the replayed ones."""
    general = json.loads(in_language(run_all.GENERAL_QUESTIONS, language).read_text(encoding="utf-8"))
    questions = [row["conversations"][0]["value"] for row in general]
    neutral = json.loads(in_language(Path(forgetting.NEUTRAL_PROMPTS), language).read_text(encoding="utf-8"))
    replayed = json.loads(in_language(REPLAY_PROMPTS, language).read_text(encoding="utf-8"))
    assert len(set(questions)) == 200 and len({row["id"] for row in general}) == 200
    assert len(set(neutral)) == 24 and len(set(replayed)) >= 400
    assert not {*questions, *neutral} & set(replayed)


ASKING = set(
    """a an and are at be by called can country did do does for from give have how in is it its kind made make many me most my
    name named of on one our people s say some speak the there this to use used was we were what when where which who whose
    why with word you your""".split()
)
SAME = {"+": "plus", "-": "minus", "baby": "young", "colours": "colour", "spoken": "language", "known": "famous"}


def content(question: str) -> set[str]:
    """The words that say what a question is about; whatever stands alone in quotes is one of them."""
    words = {SAME.get(word, word) for word in re.findall(r"\d+\.\d+|\w+|(?<= )[+-](?= )", question.lower())}
    return words - ASKING | set(re.findall(r'"(\w+)"', question.lower()))


def near_copies(prompts: list[str], measured: list[str]) -> list[tuple[str, str]]:
    """Pairs that share more than 0.6 of their words (Jaccard)."""
    asked = [(question, content(question)) for question in measured]
    return [
        (prompt, question)
        for prompt, words in ((prompt, content(prompt)) for prompt in prompts)
        for question, others in asked
        if len(words & others) > 0.6 * len(words | others)
    ]


def test_a_near_copy_is_found_and_the_same_question_about_something_else_is_none():
    measured = ["What is the capital of Sweden?", 'What is the past tense of "give"?', "What is 3 + 4?"]
    copies = ["Name the capital of Sweden.", 'Give the past tense of "give".', "What is 4 plus 3?"]
    assert near_copies(copies, measured) == list(zip(copies, measured, strict=True))
    assert near_copies(["What is the capital of Malta?", 'What is the past tense of "hear"?', "3 - 4?"], measured) == []


def test_no_replayed_prompt_is_nearly_a_measured_question():
    """Else an answer that is kept would be one that was trained."""

    def questions(path):
        return [row["conversations"][0]["value"] for row in json.loads((ROOT / path).read_text(encoding="utf-8"))]

    prompts = json.loads(REPLAY_PROMPTS.read_text(encoding="utf-8"))
    neutral = json.loads(Path(forgetting.NEUTRAL_PROMPTS).read_text(encoding="utf-8"))
    benchmark = json.loads((ROOT / "benchmarks" / "general_questions.json").read_text(encoding="utf-8"))
    measured = [
        *questions("evaluation/general/questions.json"),
        *questions("demo/retention.json"),
        *neutral,
        *benchmark,
    ]
    assert near_copies(prompts, measured) == []


def test_there_are_many_replayed_prompts_and_each_says_something_else():
    prompts = json.loads(REPLAY_PROMPTS.read_text(encoding="utf-8"))
    bare = {" ".join(re.findall(r"\w+|[+-]", prompt.lower())) for prompt in prompts}
    assert len(bare) == len(prompts) >= 1900 and all(prompt == prompt.strip() != "" for prompt in prompts)
