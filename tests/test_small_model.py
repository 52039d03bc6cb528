"""The questions of small_model/: what rules ask, and what they keep from a model that cannot be trusted to read."""

from __future__ import annotations

import inspect

import pytest
from generators import fact, small_work

from data_processor import method
from data_processor.chunking import Chunk
from data_processor.pairs import Fact, Pair
from data_processor.small_model import facts
from data_processor.small_model import method as small_method
from data_processor.small_model import questions as small_model_questions
from data_processor.small_model.facts import copied_in_order


def test_what_a_small_model_would_ask_itself_is_not_asked():
    bridge = fact("Ann Pellow opened the Hexley Bridge on 3 May 1990.")
    job = small_work()
    pairs = small_model_questions.ask_questions(job, [bridge], 2)
    assert {(pair.made_by, pair.answer) for pair in pairs} == {
        (made_by, answer) for made_by in ("gap", "wh", "cue") for answer in ("Ann Pellow", "Hexley Bridge")
    }
    assert not job.engine.asked
    assert small_method.find_roles(job, [bridge.chunk], [""], 3) == {} and small_method.diversify(job, pairs, {}) == []


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
    """The main method rewords every question that the model wrote; a small model is not asked."""
    makers = ("gap", "model", "model", "unknown")
    pairs = [Pair(f"Who came {n}?", "Ann", fact("Ann came."), maker) for n, maker in enumerate(makers)]
    assert method.pairs_per_role(pairs) == 2 and small_method.pairs_per_role(pairs) == 0


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
