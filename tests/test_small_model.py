"""The questions of small_model/: what rules ask, and what they keep from a model that cannot be trusted to read."""

from __future__ import annotations

import inspect
import json
from collections import Counter

import pytest
from generators import ENGLISH, fact, small_work

from data_processor import method
from data_processor.chunking import Chunk
from data_processor.curation import contains, words
from data_processor.pairs import Fact, Pair
from data_processor.small_model import cloze, facts, forms
from data_processor.small_model import method as small_method
from data_processor.small_model import questions as small_model_questions
from data_processor.small_model.facts import copied_in_order
from data_processor.small_model.word_order import wh_question


@pytest.mark.parametrize(
    ("text", "answer", "question", "others"),
    [
        ("The baker Oswin Tralle handed out soup in Hexley.", "Oswin Tralle",
         "Which baker handed out soup in Hexley?", ["Which baker handed out soup in Hexley?"]),
        ("Hexley thanked Oswin Tralle, a baker, for the soup.", "Oswin Tralle",
         "Hexley thanked which baker, a baker, for the soup?", ["Which baker did Hexley thank for the soup?"]),
        ("The town of Hexley chose Oswin Tralle, the baker, who had given out soup, as its mayor.", "Oswin Tralle",
         "The town of Hexley chose which baker, the baker?",
         ["Which baker did the town of Hexley choose as its mayor?", "Hexley: Which baker had given out soup?"]),
        ("The baker of Hexley, Oswin Tralle, won 90 votes.", "Oswin Tralle",
         "The baker of Hexley, who, won 90 votes?", ["Who is the baker of Hexley?"]),
        ("The bridge of Hexley was designed by Ann Pellow and cost 4 million dollars.", "Ann Pellow",
         "The bridge of Hexley was designed by who and cost 4 million dollars?", ["Who was the bridge of Hexley designed by?"]),
        ("The bridge of Hexley was designed by Ann Pellow and cost 4 million dollars.", "4 million dollars",
         "The bridge of Hexley was designed by Ann Pellow and cost how much money?", ["How much money did the bridge of Hexley cost?"]),
        ("The river at Hexley rose to 5.82 metres.", "5.82 metres",
         "The river at Hexley rose to how many metres?", ["How many metres did the river at Hexley rise to?"]),
        ("On 3 May Ann Pellow opened the bridge at Hexley.", "3 May",
         "On what date Ann Pellow opened the bridge at Hexley?", ["On what date did Ann Pellow open the bridge at Hexley?"]),
        ("In October, the bridge at Hexley, swollen by rain, was closed.", "October",
         "In what month, the bridge at Hexley, swollen by rain?", ["In what month was the bridge at Hexley closed?"]),
        ("The bridge at Hexley joins the Old Ropewalk to the town.", "Old Ropewalk",
         "The bridge at Hexley joins what to the town?", ["What was it that the bridge at Hexley joins to the town?"]),
        ("The command of Hexley restores a town to any state it had in the 90 days.", "90 days",
         "The command of Hexley restores a town to any state it had in the how many days?",
         ["How many days was it that the command of Hexley restores a town to any state it had in the?"]),
        ("The town of Hexley elected the candidate Ann Pellow on 3 May.", "Ann Pellow",
         "The town of Hexley elected which candidate on 3 May?", ["Which candidate did the town of Hexley elect on 3 May?"]),
        ("The team of Hexley lost 28-27 in May.", "28-27",
         "The team of Hexley lost what in May?", ["What did the team of Hexley lose in May?"]),
    ],
)  # fmt: skip
def test_rules_ask_for_the_same_in_several_forms(text, answer, question, others):
    item_fact = fact(text)
    [pair] = [pair for pair in cloze.cloze_questions(item_fact, ENGLISH) if pair.answer == answer]
    assert pair.question == question
    forms_made = forms.other_forms(item_fact, answer, ENGLISH)
    assert [one.question for one in forms_made if one.made_by != "clues"] == others
    clues = [one.question for one in forms_made if one.made_by == "clues"]
    assert clues and all(not contains(one, answer) for one in clues)
    all_phrases = [
        one for table in (forms.OTHER_PHRASES.values(), forms.OTHER_PHRASES_BY_UNIT) for some in table for one in some
    ]
    allowed = set(words(f"{text} {question} {' '.join(all_phrases)}"))
    assert all(set(words(one)) <= allowed and "Hexley" in one for one in clues)
    assert [one.question for one in forms.other_forms(item_fact, answer, ENGLISH)] == [
        one.question for one in forms_made
    ]


@pytest.mark.parametrize(
    ("text", "answer", "asked"),
    [
        ("The river rose to 5.82 metres at the mill.", "5.82 metres",
         "How many metres|How far|How high|How deep|How long|What length"),
        ("The order was for 620 gauges and more in the end.", "620 gauges", "How many gauges|How many|What number|How large a number"),
        ("The fee was 1.4 million euros for the whole season.", "1.4 million euros",
         "How much money|How much|What price|What sum|What cost"),
        ("The surveyor Ann Pellow drew it on a long train journey.", "Ann Pellow",
         "Which surveyor|What surveyor|Whom|Which person|What is the name of the person"),
        ("The match ended 28-27 after a very long evening.", "28-27", "What"),
    ],
)  # fmt: skip
def test_clues_ask_in_the_words_that_fit_the_kind_of_answer(text, answer, asked):
    item_fact = fact(text, "Corrin Rovers")
    clues = [pair.question for pair in forms.other_forms(item_fact, answer, ENGLISH) if pair.made_by == "clues"]
    assert len(clues) == forms.CLUE_QUESTIONS
    assert all("Corrin Rovers" in clue for clue in clues), "the subject is named whole, wherever it stands"
    used = {form for clue in clues for form in asked.split("|") if form.lower() in clue.lower()}
    assert used and (len(used) > 1 or asked == "What"), clues


def test_a_small_models_question_is_kept_if_nothing_else_can_answer_it():
    bridge = fact("Ann Pellow opened the Hexley Bridge on 3 May 1990, with Ida Holm.")
    asked = [Pair("Hexley was what?", answer, bridge, "gap") for answer in ("3 May 1990", "Ann Pellow", "3 May 1990")]
    turns = [
        ("When could drivers first use the Hexley Bridge?", "Who opened the bridge in Hexley?"),
        ("When was the Hexley Bridge opened in May?", "Who opened the bridge in Hexley with Ida Holm?"),
        ("When could drivers first use the Hexley Bridge ?", "Who opened the bridge of Corrin in Hexley?"),
    ]
    job = small_work(*(json.dumps(one) for asked_again in zip(*turns, strict=True) for one in asked_again))
    kept = small_model_questions.ask_wordings(job, "questions", [(pair, "reader") for pair in asked])
    assert [(one.question, one.answer, one.made_by) for one in kept] == [
        ("When could drivers first use the Hexley Bridge?", "3 May 1990", "model"),
        ("Who opened the bridge in Hexley with Ida Holm?", "Ann Pellow", "model"),
    ]
    assert job.drops == Counter(
        {
            "questions: something else in its fact may answer it": 1,
            "questions: part of the answer in the question": 1,
            "questions: near copy": 1,
            "questions: a name or number that the chunk does not have": 1,
        }
    )
    assert len(job.engine.asked) == 6, "an answer that two cloze questions ask for is given once per turn"
    assert job.engine.schemas[0]["pattern"].startswith("^(When|")


QUOTE = "Marthe Sollivang broke a collarbone in November, and Drostabar knocked the Otters out of the cup."


@pytest.mark.parametrize(
    ("text", "subject", "kept"),
    [
        ("Marthe Sollivang broke a collarbone.", "Otters", True),
        ("Marthe Sollivang broke.", "Marthe Sollivang", False),  # one word of its own
        ("Marthe Sollivang broke a collarbone.", "Marthe Sollivang", True),  # two
        ("A collarbone broke in November.", "Otters", False),  # in another order
        ("The Otters knocked a cup.", "Otters", True),  # the subject may stand anywhere
        ("The Otters knocked a cup.", "Drostabar", False),
        ("Drostabar knocked the Otters over.", "Otters", True),  # "over" is a function word
        ("Drostabar knocked the Otters overboard.", "Otters", False),
    ],
)
def test_a_copy_has_at_least_two_words_in_the_order_of_its_sentence(text, subject, kept):
    assert copied_in_order(text, QUOTE, subject) is kept


def test_the_order_of_words_catches_what_small_models_get_wrong():
    assert copied_in_order("Marthe Sollivang broke a collarbone.", QUOTE, "Otters")
    assert not copied_in_order("Drostabar broke a collarbone.", QUOTE, "Otters")
    assert copied_in_order("The Otters lost the cup.".replace("lost", "knocked"), QUOTE, "Otters")


def test_a_small_models_unknown_questions_use_no_word_of_the_document():
    texts = ("The Hexley Bridge has a telephone number.", "The Hexley Bridge has a favourite song.")
    chunks = [Chunk("a.txt", n, 0, len(text), text, "Hexley Bridge") for n, text in enumerate(texts)]
    pairs = small_model_questions.ask_unknown(small_work(), chunks, 4)
    assert len(pairs) == 2 and not any("telephone" in one.question or "song" in one.question for one in pairs)


FUNCTIONS = (
    "unit_weight",
    "read_units",
    "ask_questions",
    "find_roles",
    "diversify",
    "ask_late",
    "late_calls",
    "calls_per_role",
    "pairs_per_role",
    "write_texts",
    "names_to_ask_by",
    "drop_answered",
)


def test_both_methods_have_the_same_functions_and_settings():
    assert set(small_method.__all__) | set(method.__all__) <= {*FUNCTIONS, "Reading"}
    for name in FUNCTIONS:
        [ours, theirs] = [inspect.signature(getattr(one, name)).parameters for one in (small_method, method)]
        assert len(ours) == len(theirs), name
    for name in ("UNIT_SENTENCES", "FACTS_ARE_TEXTS", "PROMPTS"):
        assert hasattr(small_method, name) and hasattr(method, name)
    assert small_method.late_calls(7, False) == 0, "its questions without an answer are asked of no model"


def test_what_a_role_adds():
    """The main method rewords every question that the model wrote; a small model is asked again for as many."""
    makers = ("gap", "model", "model", "unknown")
    pairs = [Pair(f"Who came {n}?", "Ann", fact("Ann came."), maker) for n, maker in enumerate(makers)]
    assert method.pairs_per_role(pairs) == 2 and small_method.pairs_per_role(pairs) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Ann Pellow opened the Hexley Bridge.", None),
        ("Ida Holm opened the Hexley Bridge.", "not in the words of its sentence"),  # the words of the chunk
        ("Ida Holm opened it in Corrin.", "a name or number that its source does not have"),
        ("Nils Berg opened the Hexley Bridge.", "a name or number that its source does not have"),
        ("She opened the Hexley Bridge with Ida Holm.", "does not stand alone"),
    ],
)
def test_a_fact_keeps_to_the_words_of_its_sentence(text, problem):
    whole = "Ann Pellow opened the Hexley Bridge with Ida Holm. It was closed in Corrin."
    item = Fact("", Chunk("a.txt", 0, 0, len(whole), whole, ""), 0, whole.index(" It"), "Hexley Bridge")
    assert facts.fact_problem(item, text) == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('Ida Holm showed the comedy "The Borrowed Goose", with Ann Pellow.', None),
        ("Ida Holm showed the comedy ", "cut off"),
        ("The Borrowed Goose", "cut off"),
        ("Ann Pellow.", "states nothing of what it names"),
        ("Ida Holm, Ann Pellow, 3 May 1990.", "states nothing of what it names"),
    ],
)
def test_a_fact_that_ends_at_a_quotation_mark_is_none(text, problem):
    """A small model copies a quotation mark into a JSON string, which ends there; the next string is what is left."""
    whole = 'Ida Holm showed the comedy "The Borrowed Goose", with Ann Pellow, on 3 May 1990.'
    item = Fact("", Chunk("a.txt", 0, 0, len(whole), whole, ""), 0, len(whole), "")
    assert facts.fact_problem(item, text) == problem


def test_a_list_item_without_an_end_mark_may_have_facts_without_one():
    whole = "opened the Hexley Bridge with Ann Pellow"
    item = Fact("", Chunk("a.txt", 0, 0, len(whole), whole, ""), 0, len(whole), "")
    assert facts.fact_problem(item, "opened the Hexley Bridge") is None


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("Ann Pellow opened the bridge.", True),
        ("The bridge cost Ann Pellow 4 million dollars.", False),  # the words of two facts
        ("It opened well.", False),  # nothing to be known by
        ("Ida Holm opened the bridge.", False),
    ],
)
def test_a_sentence_of_a_rewrite_keeps_to_the_words_of_one_fact(sentence, kept):
    told = [fact("Ann Pellow opened the bridge."), fact("The bridge cost 4 million dollars.")]
    assert facts.grounded(sentence, told) is kept


@pytest.mark.parametrize(
    ("left", "phrase", "right", "is_time", "question"),
    [
        ("To keep pace, Ann opened a mill in ", "what", " on 14 September.", False, "what did Ann open a mill in on 14 September to keep pace"),
        ("In May, Ann opened ", "what", ".", False, "what did Ann open in May"),
        ("On 3 May the town opened ", "what", ", a footbridge.", False, "what did the town open on 3 May"),
        ("Ann opened the mill on ", "what date", ", in the rain.", True, "on what date did Ann open the mill"),
        ("", "who", " opened the mill on Sep 4, 2025.", False, "who opened the mill on Sep 4, 2025"),
    ],
)  # fmt: skip
def test_a_question_in_question_word_order_has_no_marks_of_the_statement(left, phrase, right, is_time, question):
    assert wh_question(left, phrase, right, is_time) == question
