"""A question that one chunk leaves open is no question without an answer if anything else in the collection answers it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import simplemma
import snowballstemmer
from generators import work

from data_processor.chunking import Chunk
from data_processor.documents import Document
from data_processor.pairs import Fact, Pair
from data_processor.pipeline import Collected, to_dataset
from data_processor.unknown import drop_answered, stem

SAME = "another question of the dataset asks the same and has an answer"
ELSEWHERE = "another text may answer it"


def fact_of(text: str, file_name: str = "history.txt", title: str = "", language: str = "en") -> Fact:
    return Fact(text, Chunk(file_name, 0, 0, len(text), text, title, "en", language), 0, len(text), title)


def unknown(question: str, language: str = "en", file_name: str = "overview.txt") -> Pair:
    return Pair(question, "That is not known.", fact_of("The text.", file_name, language=language), "unknown")


BUILT = fact_of("The ferry Heron of Lake Orm was built in 1961 by Marlow Ferries.")
RUN = Pair("Who runs the ferry Heron?", "Marlow Ferries", fact_of("Marlow Ferries runs it.", "overview.txt"), "model")


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("When was the ferry Heron of Lake Orm built?", ELSEWHERE),
        ("In what year was the Heron built?", ELSEWHERE),
        ("Who built the Heron's ferries?", ELSEWHERE),  # endings apart
        ("Who runs the ferry Heron?", SAME),  # of its own chunk too
        ("Who painted the ferry Heron of Lake Orm?", None),
        ("Who is it?", None),
        ("When was the Heron of Lake Orm built of steel?", None),
    ],
)
def test_what_another_text_or_question_answers_is_not_unknown(question, reason):
    job, asked = work(), unknown(question)
    assert drop_answered(job, [RUN, asked], [BUILT]) == ([RUN] if reason else [RUN, asked])
    assert [(record["text"], record["reason"], record["file_name"]) for record in job.dropped] == (
        [(question, reason, "overview.txt")] if reason else []
    )


@pytest.mark.parametrize(
    ("language", "text", "answered", "still_open"),
    [
        ("de", "Die Fähre Reiher wurde 1961 gebaut.", "Wann wurde die Fähre Reiher gebaut?", "Wem gehört die Fähre?"),
        ("ru", "Паром «Цапля» построен в 1961 году.", "Когда построили паром «Цапля»?", "Кто купил паром «Цапля»?"),
        ("zh", "苍鹭号渡轮于1961年建造。", "苍鹭号渡轮是哪一年建造的？", "苍鹭号渡轮是谁油漆的？"),
    ],
)
def test_in_other_languages_too(language, text, answered, still_open):
    pairs = [unknown(answered, language), unknown(still_open, language)]
    assert drop_answered(work(), pairs, [fact_of(text, language=language)]) == pairs[1:]


def test_the_chunk_that_the_question_was_checked_with_is_not_asked_again_by_its_words():
    asked = unknown("Who sold the ferry Heron?", file_name="overview.txt")
    sold = Fact("The ferry Heron was sold.", asked.fact.chunk, 0, 3, "")
    assert drop_answered(work(), [asked], [sold]) == [asked]


def test_a_number_has_no_ending_in_any_language():
    """`stem` does not ask the stemmers."""
    for name in snowballstemmer.algorithms():
        assert [snowballstemmer.stemmer(name).stemWord(number) for number in ("7", "1911", "4500")] == [
            "7",
            "1911",
            "4500",
        ]
    assert stem("1911", "en") == "1911" == simplemma.lemmatize("1911", lang="de")


def test_the_words_of_an_answer_may_stand_in_a_title_a_fact_a_question_and_its_answer():
    made = Pair("Who bought it?", "Marlow", fact_of("It was made of oak.", title="The ferry Heron"), "model")
    answered, other = (unknown(f"Did Marlow buy the ferry Heron, of {wood}?") for wood in ("oak", "elm"))
    assert drop_answered(work(), [made, answered, other], []) == [made, other]
    assert drop_answered(work(), [made], []) == [made]


def test_the_dataset_has_no_row_that_denies_another():
    chunk = RUN.fact.chunk
    again = Pair("Who runs the ferry Heron?", "That is not known.", Fact("Unsaid.", chunk, 0, 0, ""), "unknown")
    collected = Collected(facts=[RUN.fact], pairs=[RUN, again])
    document = Document(chunk.file_name, chunk.text, ((0, 0),))
    arguments = SimpleNamespace(test_ratio=0.5, seed=0)
    rows, test = to_dataset(work(), [document], collected, arguments)
    assert [row["conversations"][1]["value"] for row in rows] == ["Marlow Ferries"] and test == []


def test_every_row_that_is_left_out_for_the_test_questions_is_recorded():
    text = "Ann Pellow opened the long pier of the old town of Sandhaven."
    pier = fact_of(text, "pier.txt")
    asked = [
        Pair(f"Who opened the long pier of the old town of Sandhaven{end}", "Ann Pellow", pier, "model")
        for end in ("?", "", "!")
    ]
    other = Pair("Which person was it that inaugurated this?", "Ann Pellow", pier, "model")
    job, document = work(), Document("pier.txt", text)
    for held, reason, lost in ((set(), "nearly the same as a test question", 2), ({0}, "of a fact held out whole", 3)):
        job.dropped.clear()
        collected = Collected(facts=[pier], held=held, pairs=[*asked, other])
        rows, test = to_dataset(job, [document], collected, SimpleNamespace(test_ratio=0.25, seed=2))
        assert len(rows) + len(test) + len(job.dropped) == 4 and len(job.dropped) == lost
        assert {(one["step"], one["reason"], one["file_name"], one["chunk"], one["answer"]) for one in job.dropped} == {
            ("split", reason, "pier.txt", 0, "Ann Pellow")
        }
