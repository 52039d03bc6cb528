"""Questions by a model: in roles, without an answer, and in the language of the document. No model is loaded."""

from __future__ import annotations

from collections import Counter

import pytest
from generators import CHINESE, ENGLISH, fact, work

from data_processor import cloze, questions
from data_processor.chunking import Chunk
from data_processor.facts import Fact, find_facts, sentences_to_read
from data_processor.languages import detect_language
from data_processor.pairs import Pair
from data_processor.prompts import Prompts


def test_roles_change_the_angle_and_must_lead_back_to_the_answer():
    bridge = fact("Ann Pellow opened the Hexley Bridge on 3 May 1990.")
    pair = Pair("When was the Hexley Bridge opened?", "3 May 1990", bridge, "model")
    angles = (
        '"On which day could drivers first use the Hexley Bridge?"',
        '"When was the Hexley Bridge of 1990 closed?"',
    )
    job = work(*angles, '"3 May 1990"', '"Ann Pellow"')
    kept = questions.diversify(job, [pair], {"a bridge": ["driver", "engineer"]})
    assert [(one.question, one.role) for one in kept] == [(angles[0].strip('"'), "driver")]
    assert "from what a driver cares about" in job.engine.asked[0][-1]["content"]


def test_unknown_questions_are_those_that_the_text_does_not_answer():
    text = "Hexley Bridge\n\nThe Hexley Bridge was opened in 1990."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "Hexley Bridge")
    job = work('["Who drew the Hexley Bridge?", "When was the Hexley Bridge opened?", "No question"]', '"no"', '"yes"')
    pairs = questions.ask_unknown(job, [chunk], 3)
    assert [(one.question, one.kind) for one in pairs] == [("Who drew the Hexley Bridge?", "unknown")]
    assert pairs[0].answer in ENGLISH.unknown_answers
    assert job.drops == Counter({"unknown: its text may answer it": 1})


def test_chinese_documents_are_asked_about_in_chinese():
    text = "赫克斯利大桥\n\n赫克斯利大桥于1990年5月3日通车，耗资400万美元。"
    assert detect_language(text) == "zh" and detect_language("It cost 1.4 million euros!") == "en"
    chunk = Chunk("a.txt", 0, 0, len(text), text, "赫克斯利大桥", "zh")
    stated = '["赫克斯利大桥于1990年5月3日通车。", "赫克斯利大桥耗资400万美元。", "它于1990年通车。"]'
    opened = '[{"answer": "1990年5月3日", "question": "赫克斯利大桥是什么时候通车的？"}, {"answer": "1991年", "question": "赫克斯利大桥何时通车？"}]'
    cost = '[{"answer": "400万美元", "question": "赫克斯利大桥是谁建的，耗资如何？"}]'
    job = work(stated, opened, cost, '"1990年5月3日"')
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == ["赫克斯利大桥于1990年5月3日通车。", "赫克斯利大桥耗资400万美元。"]
    assert {(found.subject, found.quote) for found in facts} == {("赫克斯利大桥", text.splitlines()[2])}
    pairs = questions.ask_questions(job, facts, 1)
    assert [(one.question, one.answer, one.made_by) for one in pairs] == [
        ("赫克斯利大桥是什么时候通车的？", "1990年5月3日", "model"),
        ("赫克斯利大桥耗资多少？", "400万美元", "gap"),
    ]
    refused = {"questions: answer not in its fact", "questions: asks for another kind of answer"}
    assert {"facts: does not stand alone", *refused} == set(job.drops)
    assert all("请" in request[-1]["content"] for request in job.engine.asked)
    by_rule = cloze.cloze_questions(fact("大桥耗资400万美元。", "赫克斯利大桥", "zh"), CHINESE)
    assert [(one.question, one.answer) for one in by_rule] == [("赫克斯利大桥：大桥耗资多少？", "400万美元")]


def test_a_language_without_rules_is_asked_by_the_model_and_with_blanks():
    german = {"de": Prompts("de", ENGLISH.table)}
    text = "Die Brücke von Hexley wurde am 3.5.1990 von Ann Pellow eröffnet."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "Brücke", "de")
    pair = '[{"answer": "3.5.1990", "question": "Wann wurde die Brücke eröffnet?"}]'
    job = work(f'["{text}", "Sie wurde eröffnet."]', pair, '"3.5.1990"', prompts=german)
    facts = find_facts(job, sentences_to_read([chunk]))
    assert facts[0].text == text
    assert [one.question for one in job.questions.ask_questions(job, facts[:1], 5)] == [
        "Wann wurde die Brücke eröffnet?",
        "Die ____ wurde am 3.5.1990 von Ann Pellow eröffnet?",
        "Die Brücke von Hexley wurde am 3.5.1990 von ____ eröffnet?",
    ]


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [("Die Brücke wurde 1990 eröffnet.", True), ("The harbour was opened.", False), ("Sie hat 7 Bögen.", False)],
)
def test_a_rewrite_in_a_language_without_rules_has_words_of_its_facts(sentence, kept):
    text = "Die Brücke von Hexley wurde 1990 eröffnet."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "", "de", "de")
    assert questions.grounded(sentence, [Fact(text, chunk, 0, len(text), "Hexley")]) == kept
