"""Blanks and questions in question word order, made by rule. No model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from generators import CHINESE, ENGLISH, fact

from data_processor.small_model import cloze, facts
from data_processor.small_model.cues import cue_questions
from data_processor.small_model.forms import clause_of, other_forms
from data_processor.small_model.phrases import find_phrases
from data_processor.small_model.word_order import wh_questions


def blanks(text: str, **options) -> dict[str, list[str]]:
    """By answer, what asks for it with a blank."""
    found = cloze.find_gaps(fact(text, **options), ENGLISH)
    return {gap.answer: [pair.question for pair in gap.cloze()] for gap in found}


def questions(text: str, answer: str) -> list[str]:
    """What asks for an answer without a blank."""
    [gap] = [gap for gap in cloze.find_gaps(fact(text), ENGLISH) if gap.answer == answer]
    return [pair.question for pair in other_forms(gap)]


def test_a_blank_stands_for_every_name_date_and_number():
    assert blanks("Ann Pellow opened the Hexley Bridge on 3 May 1990 for 4 million dollars.") == {
        "Ann Pellow": ["Fill in the blank: ____ opened the Hexley Bridge on 3 May 1990 for 4 million dollars."],
        "Hexley Bridge": ["Fill in the blank: Ann Pellow opened the ____ on 3 May 1990 for 4 million dollars."],
        "3 May 1990": ["Fill in the blank: Ann Pellow opened the Hexley Bridge on ____ for 4 million dollars."],
        "4 million dollars": ["Fill in the blank: Ann Pellow opened the Hexley Bridge on 3 May 1990 for ____."],
    }


def test_nothing_is_asked_that_says_its_answer_or_almost_nothing():
    assert blanks("The mill of Corrin lies in Corrin.") == {"Corrin": []}
    assert blanks("The Hexley Bridge was sold to Ann Pellow.", subject="Ann Pellow of Corrin")["Ann Pellow"] == []
    assert blanks("It is Corrin.", subject="") == {"Corrin": []}


def test_a_long_sentence_is_shown_by_the_clause_around_its_blank():
    clause = "which the council of the old town had ordered from a yard at Corrin in the spring"
    rest = (
        "the ferry that had carried its people since the war, with room for many more than it ever took, was given away"
    )
    [asked] = blanks(f"When at last the bridge was there, {clause}, {rest}.")["Corrin"]
    assert (
        asked
        == "Fill in the blank: Hexley: … which the council of the old town had ordered from a yard at ____ in the spring …"
    )


def test_a_sentence_without_names_and_numbers_is_asked_for_its_phrases():
    text = "Adiabatic cooling occurs when air expands along a mountain."
    assert list(blanks(text, subject="")) == ["Adiabatic cooling", "air", "mountain"]
    assert questions("Conductive cooling occurs on a cold surface.", "Conductive cooling") == [
        "Hexley: What occurs on a cold surface?"
    ]
    assert list(blanks("In 1990 the moist air was found on a mountain.")) == ["1990"]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("However, such things are used by many others.", ["others"]),
        ("The saxophone quickly expanded.", ["saxophone"]),
        ("It is necessary.", []),
        ("A wide, cold and deep lake", ["deep lake"]),
        ("They had to keep the peace.", ["peace"]),
        ("They must give reasons.", ["reasons"]),
        ("They ask at least ten working days before it.", ["ten working days"]),
        ("Convex lenses produce an image.", ["Convex lenses", "image"]),
        (
            "Tolvimer Instruments in the town, a small gain after years.",
            ["Tolvimer Instruments", "small gain", "town", "years"],
        ),
        ("Religious studies at Hexley began late.", ["Religious studies", "Hexley"]),
        ("Annual reports of the board are public.", ["Annual reports", "board"]),
    ],
)
def test_a_phrase_ends_with_a_noun_and_begins_after_a_stop_word(text, phrases):
    assert [text[start:end] for start, end in find_phrases(text)] == phrases


def test_a_possessive_and_the_subject_put_before_a_statement_are_not_asked_for():
    assert list(blanks("It grew as Istanbul's economy did, by 3 percent.")) == ["Istanbul", "3 percent"]
    told = blanks("Hexley Bridge: It was opened by Ann Pellow.", subject="Hexley Bridge")
    assert told == {"Ann Pellow": ["Fill in the blank: Hexley Bridge: It was opened by ____."]}


def test_a_subject_that_is_a_guess_is_left_out_where_the_question_has_a_name():
    """What a text without a title says most often may be beside the point of a sentence."""
    assert blanks("The mill in Corrin belongs to Ann Pellow.")["Ann Pellow"] == [
        "Fill in the blank: The mill in Corrin belongs to ____."
    ]
    assert blanks("The mill belongs to Ann Pellow.")["Ann Pellow"] == [
        "Fill in the blank: Hexley: The mill belongs to ____."
    ]


def test_in_chinese_a_question_phrase_stands_for_the_answer():
    found = cloze.find_gaps(fact("大桥于1990年通车，全长800米。", "大桥", "zh"), CHINESE)
    assert [pair.question for gap in found for pair in gap.cloze()] == [
        "大桥于什么时候通车，全长800米？",
        "大桥于1990年通车，全长多少？",
    ]


@pytest.mark.parametrize(
    ("text", "answer", "asked"),
    [
        ("The baker Oswin Tralle handed out soup in Hexley.", "Oswin Tralle", ["Which baker handed out soup in Hexley?", "Hexley: Which baker handed out soup?"]),
        ("The baker Oswin Tralle handed out soup in Hexley.", "Hexley", ["Where did the baker Oswin Tralle hand out soup?"]),
        ("Hexley thanked Oswin Tralle, a baker, for the soup.", "Oswin Tralle", ["Which baker did Hexley thank for the soup?"]),
        ("The town of Hexley chose Oswin Tralle, the baker, who had given out soup, as its mayor.", "Oswin Tralle",
         ["Which baker did the town of Hexley choose as its mayor?", "Hexley: Which baker had given out soup?", "Hexley: Who or what is the baker?"]),
        ("The baker of Hexley, Oswin Tralle, won 90 votes.", "Oswin Tralle", ["Who or what is the baker of Hexley?"]),
        ("The bridge of Hexley was designed by Ann Pellow and cost 4 million dollars.", "Ann Pellow",
         ["Who or what was the bridge of Hexley designed by?"]),
        ("Pellow said it: the bridge of Hexley was designed by Ann Pellow.", "Ann Pellow", ["Who was the bridge of Hexley designed by?"]),
        ("The bridge of Hexley was designed by Ann Pellow and cost 4 million dollars.", "4 million dollars",
         ["How much money did the bridge of Hexley cost?"]),
        ("The river at Hexley rose to 5.82 metres.", "5.82 metres", ["How many metres did the river at Hexley rise to?"]),
        ("Nearly 20,000 people saw Hexley.", "20,000", ["How many people saw Hexley?"]),
        ("On 3 May Ann Pellow opened the bridge at Hexley.", "3 May", ["On what date did Ann Pellow open the bridge at Hexley?", "On what date did Ann Pellow open the bridge?"]),
        ("In October, the bridge at Hexley, swollen by rain, was closed.", "October",
         ["In what month was the bridge at Hexley closed?"]),
        ("In the 19th century Hexley was a town.", "19th century", ["In which century was Hexley a town?"]),
        ("The town of Hexley elected the candidate Ann Pellow on 3 May.", "Ann Pellow",
         ["Which candidate did the town of Hexley elect on 3 May?"]),
        ("The team of Hexley lost 28-27 in May.", "28-27", ["What did the team of Hexley lose in May?"]),
        ("Conductive cooling occurs in Hexley.", "Hexley", ["Where does Conductive cooling occur?"]),
        ("Hexley thanked Bono, who had come.", "Bono", ["Who did Hexley thank?", "Hexley: Who had come?"]),
        ("Hexley has a mill in Corrin.", "Corrin", ["Where does Hexley have a mill?"]),
        ("Hexley had to spend a night in Corrin.", "Corrin", ["Where had Hexley to spend a night?"]),
        ("Leave of Hexley may be carried over until 31 March.", "31 March", ["Until what date may Leave of Hexley be carried over?"]),
        ("Hexley has grown since 1990.", "1990", ["Since what year has Hexley grown?"]),
        ("The game was popular in Hexley between the wars.", "Hexley", ["Where was the game popular between the wars?"]),
    ],
)  # fmt: skip
def test_a_blank_is_asked_for_in_question_word_order(text, answer, asked):
    assert questions(text, answer) == asked


@pytest.mark.parametrize(
    ("text", "answer", "asked"),
    [
        ("The bridge at Hexley joins the Old Ropewalk to the town.", "Old Ropewalk", None),  # "joins" may be a noun
        ("There were about 643,000 homeless persons in Hexley.", "Hexley", "There were about 643,000 homeless persons in what place?"),
        ("This feast celebrated by Kuki tribes in Corrin has become known.", "Corrin",
         "Hexley: This feast celebrated by Kuki tribes in what place has become known?"),
        ("The 1991 Protocol on Corrin to the treaty restricts it.", "Corrin", "The 1991 Protocol on what to the treaty restricts it?"),
        ("Hexley, which had won, thanked people who saw Ann Pellow.", "Ann Pellow",
         "Hexley, which had won, thanked people who saw who or what?"),
        ("The command of Hexley restores a town to any state it had in the 90 days.", "90 days", None),
        ("The town (and Ann Pellow) chose it.", "Ann Pellow", None),
        ("Farmers in Corrin and Hexley have lost it.", "Corrin", None),
        ("Farmers in Corrin, Nelby and Hexley have lost it.", "Nelby", None),
        ("Hexley was known for the Irish game of hurling.", "Irish", None),
        ("Hexley was closed, as 30 percent of the people saw.", "30 percent",
         "Hexley was closed, as what percentage of the people saw?"),
        ("Hexley was known for the Irish cities of old.", "Irish", "Hexley was known for which cities of old?"),
        ("Hexley has to play its opening match.", "opening match", None),
        ("Hexley was asked by professor Ida Holm.", "Ida Holm", None),
        ("Hexley sells 30 Nationality Rooms on the first floor.", "Nationality Rooms", None),
        ("Although Ann Pellow is known, nobody came.", "Ann Pellow", None),
        ("A manager who refuses must say why.", "manager", None),
        ("Those in a Hexley-born circle were 90.", "90", None),
    ],
)  # fmt: skip
def test_where_the_verb_is_not_clear_the_answer_is_asked_for_in_its_place_or_not_at_all(text, answer, asked):
    assert questions(text, answer) == ([asked] if asked else [])


@pytest.mark.parametrize(
    ("left", "phrase", "right", "is_time", "asked"),
    [
        ("To keep pace, Ann opened a mill with ", "what", " on 14 September.", False,
         ["with what did Ann open a mill on 14 September to keep pace", "with what did Ann open a mill on 14 September",
          "with what did Ann open a mill"]),
        ("In May, Ann opened ", "what", ".", False, ["what did Ann open in May", "what did Ann open"]),
        ("On 3 May the town opened ", "what", ", a footbridge.", False, ["what did the town open on 3 May", "what did the town open"]),
        ("Ann opened the mill of Corrin on ", "what date", ", in the rain.", True, ["on what date did Ann open the mill of Corrin"]),
        ("On ", "what date", ", Ann became chief, succeeding Ida.", True, ["on what date did Ann become chief"]),
        ("", "who", " opened the mill on Sep 4, 2025.", False, ["who opened the mill on Sep 4, 2025", "who opened the mill"]),
        ("The bridge was designed by ", "who", " in May.", False, ["by whom was the bridge designed in May"]),
        ("It belongs to ", "what", " of Corrin.", False, []),
        ("The town lies near ", "what", ".", False, []),  # "lies" may be a noun
    ],
)  # fmt: skip
def test_questions_have_no_marks_of_the_statement_and_leave_out_what_it_can_do_without(
    left, phrase, right, is_time, asked
):
    assert wh_questions(left, phrase, right, is_time) == asked


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        (
            "The mill, built by Ida Holm, opened in May, and in June the council sold it to Ann Pellow.",
            "in June the council sold it to |",
        ),
        ("The mill is led by Ann Pellow, whose guests spent six years on a tide gauge.", "The mill is led by |"),
        ("The mill, a gift of Ann Pellow, was closed.", "The mill, a gift of |, was closed."),
        ("It was closed, as Ann Pellow knows.", "It was closed, as | knows"),
    ],
)
def test_a_clause_stands_alone_if_it_is_a_sentence(text, clause):
    [gap] = [gap for gap in cloze.find_gaps(fact(text), ENGLISH) if gap.answer == "Ann Pellow"]
    assert "|".join(clause_of(gap, gap.left, gap.right)) == clause


def test_what_cannot_be_asked_for_is_no_fact():
    chunk = fact("It was new.").chunk
    assert facts.text_problem(chunk, "Adiabatic cooling occurs.") is None
    assert facts.text_problem(chunk, "Nothing was new.") == "nothing to ask for"


def test_what_goes_with_two_things_that_a_fact_names():
    bridge = fact("Ann Pellow designed the Corrin Bridge in 1990, and in May the council of the town praised her.")
    bridge.chunk = replace(bridge.chunk, title="The bridges of Hexley")
    gaps = cloze.find_gaps(bridge, ENGLISH)
    asked = {gap.answer: [pair.question for pair in cue_questions(gap, gaps)] for gap in gaps}
    assert asked["Ann Pellow"] == [
        'Who or what goes with "Hexley" and "Corrin Bridge"?',
        'Who or what goes with "Hexley" and "designed"?',
        'Who or what goes with "Corrin Bridge" and "designed"?',
    ]
    assert asked["1990"][0] == 'Which year goes with "Hexley" and "Ann Pellow"?'
    bridge.chunk = replace(bridge.chunk, title="")
    assert "Hexley" not in str(cue_questions(gaps[0], gaps)[0].question), "a subject without a title is a guess"
    assert not [text for text in asked["May"] if "designed" in text], "that is another clause"


@pytest.mark.parametrize(
    ("text", "language"), [("Moist air rises along a mountain.", "en"), ("大桥于1990年通车。", "zh")]
)
def test_phrases_and_other_languages_have_no_cues(text, language):
    told = fact(text, language=language)
    gaps = cloze.find_gaps(told, ENGLISH if language == "en" else CHINESE)
    assert gaps and not [pair for gap in gaps for pair in cue_questions(gap, gaps)]
