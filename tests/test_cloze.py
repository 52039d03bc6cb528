"""Cloze questions, made by rule. No model."""

from __future__ import annotations

from generators import ENGLISH, fact

from data_processor.small_model import cloze


def test_cloze_questions_ask_for_every_name_date_and_number():
    pairs = cloze.cloze_questions(
        fact("Ann Pellow opened the Hexley Bridge on 3 May 1990 for 4 million dollars."), ENGLISH
    )
    assert {pair.answer: pair.question for pair in pairs} == {
        "Ann Pellow": "Who opened the Hexley Bridge on 3 May 1990 for 4 million dollars?",
        "Hexley Bridge": "Hexley: Ann Pellow opened what on 3 May 1990 for 4 million dollars?",
        "3 May 1990": "Ann Pellow opened the Hexley Bridge on what date for 4 million dollars?",
        "4 million dollars": "Ann Pellow opened the Hexley Bridge on 3 May 1990 for how much money?",
    }
