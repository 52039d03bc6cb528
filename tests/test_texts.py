"""Texts beside the questions: the chunk as it is, told again, what follows from it; never a fact that is held out."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
from generators import work

from data_processor import pipeline
from data_processor.chunking import Chunk, chunk_document, make_splitter
from data_processor.documents import Document
from data_processor.languages import listed
from data_processor.numbered import cut_out
from data_processor.pairs import Fact
from data_processor.pipeline import Collected, split_into_units, to_rows
from data_processor.texts import AS_IT_IS, Text, held_out_spans, keep_sentences, plan_texts, share_a_fact, write_texts
from engines.chat import Reply

TEXT = "Ann Pellow opened the pier. It is of oak. The pier has 12 lamps."
PIER = Chunk("a.txt", 0, 0, len(TEXT), TEXT, "The pier")
FEW = SimpleNamespace(qa_amount_per_fact=1, role_amount_per_fact=0)
MANY = SimpleNamespace(qa_amount_per_fact=5, role_amount_per_fact=3)
STYLES = ["report", "entry", "letter", "talk"]


def fact(quote: str, chunk: Chunk = PIER, theme: str = "a pier") -> Fact:
    start = chunk.text.index(quote)
    return Fact(quote, chunk, start, start + len(quote), "pier", theme)


def units_of(*chunks: Chunk) -> list[list[Fact]]:
    return split_into_units(work(), list(chunks))


@pytest.mark.parametrize(
    ("held", "text"),
    [
        ([], TEXT),
        (["It is of oak."], "Ann Pellow opened the pier. The pier has 12 lamps."),
        (["It is of oak. The pier has 12 lamps."], "Ann Pellow opened the pier."),
        (["It is of oak.", "It is of oak. The pier has 12 lamps."], "Ann Pellow opened the pier."),
        (["Ann Pellow opened the pier. It is of oak.", "It is of oak. The pier has 12 lamps."], ""),
    ],
)
def test_a_text_lacks_the_sentences_of_held_out_facts(held, text):
    assert cut_out(TEXT, held_out_spans(PIER, [fact(quote) for quote in held])) == text


def test_a_held_out_sentence_is_told_by_no_chunk_of_its_document():
    """It stands in the overlap of two chunks, and was read in the first."""
    sentences = [f"Boat {letter} is of oak." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    chunks = chunk_document(Document("a.txt", " ".join(sentences)), make_splitter("tiktoken:gpt-4o", 64))
    [twice] = [one for one in sentences if one in chunks[0].text and one in chunks[1].text]
    held = [fact(twice, chunks[0])]
    assert not [chunk for chunk in chunks if twice in cut_out(chunk.text, held_out_spans(chunk, held))]
    other = Chunk("b.txt", 0, 0, len(twice), twice, "")
    assert held_out_spans(other, held) == [], "another document may say so"


def test_neither_requests_nor_texts_have_a_held_out_fact():
    job = work(*[f"The pier {letter} was opened." for letter in "ABCDEF"])
    held = fact("The pier has 12 lamps.")
    texts = write_texts(job, units_of(PIER), [fact(TEXT[:27]), fact("It is of oak.")], [held], {}, FEW)
    assert len(texts) == len(job.engine.asked) + 1 == 7 and not [text for _, _, text in texts if "lamps" in text]
    assert not [asked for asked in job.engine.asked if "lamps" in asked[-1]["content"]]


def test_facts_held_out_in_an_earlier_round_are_not_told_either():
    job = work(*["Ann Pellow it was."] * 5)
    collected = Collected(facts=[fact(TEXT[:27])])
    texts = pipeline.write_texts(job, collected, units_of(PIER), FEW, [fact("The pier has 12 lamps.")])
    assert [text for _, style, text in texts if style == AS_IT_IS] == ["Ann Pellow opened the pier. It is of oak."]


def test_texts_that_differ_in_a_number_are_no_near_copies():
    """Two versions of a rule: each is told, and a second time in the same words neither."""
    rule = (
        "Whoever leaves the company hands in the keys, the phone and the badge, and tells the office where letters are to be "
        "sent from then on, at the latest {} days before the last day at work, to the person at the front desk of the house."
    )
    chunks = [Chunk(f"{days}.txt", 0, 0, len(rule), rule.format(days), "Leaving") for days in (30, 60)]
    job = work(*(chunk.text for chunk in chunks for _ in range(2)))
    twice = SimpleNamespace(qa_amount_per_fact=2, role_amount_per_fact=1)
    texts = write_texts(job, units_of(*chunks), [fact(chunk.text, chunk) for chunk in chunks], [], {}, twice)
    assert [text for _, style, text in texts if style != AS_IT_IS] == [chunk.text for chunk in chunks]


def test_a_chunk_of_which_every_fact_is_held_out_has_no_text():
    job = work()
    assert write_texts(job, units_of(PIER), [], [fact("It is of oak.")], {}, MANY) == []


@pytest.mark.parametrize(
    ("text", "part", "left"),
    [
        ("A one. B two.\n\nC.", "B two.", "A one.\n\nC."),
        ("A.\n\nB two.\n\nC.", "B two.", "A.\n\nC."),
        ("7.2 B two. C three.", "B two.", "7.2 C three."),
        ("- a\n- b\n- c\n\nX", "c", "- a\n- b\n\nX"),
        ("Of these:\n  a) b;\n  b) c.", "b;", "Of these:\n  b) c."),
        ("  Name    Price\n  Ann     3\n  Ben     4", "Ann     3", "Name    Price\n  Ben     4"),
        ("| a | b |\n| c | d |\nE", "c | d", "| a | b |\nE"),
        ("一。二。三。", "二。", "一。三。"),
    ],
)
def test_what_is_cut_out_leaves_no_space_line_or_marker_behind(text, part, left):
    start = text.rindex(part)
    assert cut_out(text, [(start, start + len(part))]) == left


@pytest.mark.parametrize(
    ("language", "names", "listed_names"),
    [("en", ["Leeds", "Galway"], "Leeds and Galway"), ("de", ["Kury", "Elz"], "Kury und Elz"), ("zh", ["利兹", "高威"], "利兹和高威"),
     ("ja", ["東京", "大阪"], "東京、大阪"), ("xx", ["a", "b"], "a, b")],
)  # fmt: skip
def test_two_names_are_asked_for_as_a_language_lists_them(language, names, listed_names):
    assert listed(names, language) == listed_names


def test_each_text_has_its_style_and_is_asked_for_by_what_it_is_about():
    told = [
        "The pier is in the papers.",
        "Of oak, for the shelf.",
        "Have you seen the pier?",
        "The lamps follow from it.",
        "Ann and the pier are linked.",
    ]
    facts = [fact(TEXT[:27]), fact("It is of oak."), fact("The pier has 12 lamps.")]
    job = work(*told, *[f"Pier {letter} is another one." for letter in "ABCDE"])
    texts = write_texts(job, units_of(PIER), facts, [], {PIER: ["Ann Pellow", "oak", "pier"]}, MANY)
    assert [(style, about.subject) for about, style, _ in texts[:6]] == [
        ("as it is", "a pier"),
        ("a short news report", "a pier"),
        ("an entry of an encyclopedia", "a pier"),
        ("a letter to a friend", "a pier"),
        ("implications", "a pier"),
        ("link", "Ann Pellow and pier"),
    ]
    assert [text for _, _, text in texts[:6]] == [TEXT, *told]
    rows = to_rows(job, [Document("a.txt", TEXT)], Collected(facts=facts, texts=texts[:6]))
    assert [row["conversations"][0]["value"] for row in rows[::5]] == ["Tell me about a pier.", "What can you say about Ann Pellow and pier?"]  # fmt: skip
    assert {(row["kind"], row["source"]["chunk"]) for row in rows} == {("passage", 0)}
    assert [row["role"] for row in rows][1] == "a short news report" and len(rows) == 6


def test_a_text_in_german_is_asked_for_in_german_and_told_in_german():
    text = "Hunde dürfen nicht auf die Seebrücke von Sandhafen."
    german = Chunk("a.txt", 0, 0, len(text), text, "Die Seebrücke", "en", "de")
    job = work("Auf die Seebrücke darf kein Hund.", "Kein Hund darf hinauf.", "Wer einen Hund hat, bleibt unten.")
    texts = write_texts(job, units_of(german), [fact(text, german, "die Seebrücke")], [], {}, FEW)
    rows = to_rows(job, [Document("a.txt", text)], Collected(texts=texts))
    assert [row["conversations"][0]["value"] for row in rows] == [
        "Erzähl mir etwas über die Seebrücke.",
        "Was weißt du über die Seebrücke?",
        "Was kannst du über die Seebrücke sagen?",
        "Erzähl mir etwas über die Seebrücke.",
    ]
    assert "in German, as a short news report" in job.engine.asked[0][-1]["content"]


def test_a_failed_call_and_a_text_told_twice_give_no_text():
    job = work("The pier again.", Reply("", finish_reason="error", error="down"), "The pier again.", "Of oak it is.")
    texts = write_texts(job, units_of(PIER), [fact(TEXT[:27])] * 2, [], {}, FEW)
    assert [text for _, _, text in texts] == [TEXT, "The pier again.", "Of oak it is."]


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        ("A pier.\n\nB has 12 lamps.", "A pier.\n\nB has 12 lamps."),
        ("It is of oak. It has 13 lamps.\nAnn is old.", "It is of oak.\nAnn is old."),
        ("It has 13 lamps.", ""),
    ],
)
def test_a_sentence_with_a_number_of_its_own_is_taken_out(reply, kept):
    job = work()
    assert keep_sentences(job, reply, fact("It is of oak."), TEXT) == kept
    assert job.drops == Counter({"texts: a number that its chunk does not have": 1} if "13" in reply else {})


@pytest.mark.parametrize(
    ("language", "reply", "left"),
    [
        ("en", "It cost 40 crowns. It is of oak. Its lamps burn.", ""),
        ("en", "It cost 40 crowns. It is of oak. The pier has lamps.", "The pier has lamps."),
        ("en", "Ann Pellow opened the pier. It cost 40 crowns. It is of oak.", "Ann Pellow opened the pier. It is of oak."),
        ("de", "Der Pier kostete 40 Kronen. Er ist aus Eiche. Ann Pellow eröffnete den Pier.", "Ann Pellow eröffnete den Pier."),
        ("zh", "Ann花了40克朗。它很老。Ann很美。", "Ann很美。"),
    ],
)  # fmt: skip
def test_what_refers_to_a_beginning_that_is_taken_out_goes_with_it(language, reply, left):
    text = f"{TEXT} Ann很老，很美。 Der Pier ist aus Eiche. Ann Pellow eröffnete ihn."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "The pier", "en", language)
    assert keep_sentences(work(), reply, Fact("", chunk, 0, 0, "", ""), text) == left


def test_a_letter_without_its_salutation_begins_with_a_capital():
    text = "Hunde dürfen nicht auf die Seebrücke von Sandhafen."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "", "en", "de")
    reply = "Liebe Ida,\n\nauf die Seebrücke dürfen Hunde nicht.\n\nViele Grüße"
    assert keep_sentences(work(), reply, Fact("", chunk, 0, 0, "", ""), text) == "Auf die Seebrücke dürfen Hunde nicht."


@pytest.mark.parametrize(
    ("reply", "kept", "lost"),
    [
        ("## The pier\n\n1. Heron: built in 1961\n2. Osprey: of oak. It cost 40\n3. no flag\n\nOpened in 1950\n\nIt is of oak.",
         "## The pier\n\n2. Osprey: of oak.\n3. no flag\n\nIt is of oak.",
         ["1. Heron: built in 1961", "It cost 40", "Opened in 1950"]),
        ("A: When was it built?\nB: In 1961\nA: And the lamps?\nB: 12\nA: Is it old? B told me: 50 years.\nB: In 1950. It is of oak",
         "A: And the lamps?\nB: 12\nB: It is of oak",
         ["A: When was it built?", "B: In 1961", "A: Is it old?", "B told me: 50 years.", "B: In 1950."]),
        ("Two lamps:\n- It cost 40.\n- It is old.\n\nTwo more:\n- It took 50\n\nIt is of oak", "Two lamps:\n- It is old.\n\nIt is of oak",
         ["- It cost 40.", "Two more:", "- It took 50"]),
        ("Ann (1950): It is old. The pier is of oak.", "The pier is of oak.", ["Ann (1950): It is old."]),
        ("It has a\nfunnel and 13 rules. The pier is\nof oak", "The pier is of oak", ["It has a funnel and 13 rules."]),
        ("1. It is of oak\n(7) A pier", "1. It is of oak\n(7) A pier", []),
        ("Ann很老。它有13盏灯。很美的Ann。", "Ann很老。很美的Ann。", ["它有13盏灯。"]),
    ],
    ids=["list", "talk", "lead-in", "a number in a label", "wrapped lines", "markers", "Chinese"],
)  # fmt: skip
def test_a_bad_number_takes_its_own_item_turn_or_line_alone_and_all_that_goes_is_recorded(reply, kept, lost):
    job = work()
    assert keep_sentences(job, reply, fact("It is of oak."), TEXT) == kept
    assert [record["text"] for record in job.dropped] == lost


def test_a_text_cannot_have_the_number_of_a_held_out_sentence():
    job = work()
    assert keep_sentences(job, "It has 12 lamps.", fact("It is of oak."), "It is of oak.") == ""


def test_there_are_about_as_many_words_in_the_texts_as_in_the_questions():
    plan = plan_texts(4, 100, [("A", "B"), ("A", "C"), ("B", "C")], STYLES, MANY)  # 4 * 5 * 4 questions of 25 words
    assert len(plan) == 8 and plan[:5] == [
        Text("retell", "report"),
        Text("retell", "entry"),
        Text("retell", "letter"),
        Text("implications"),
        Text("link", names=("A", "B")),
    ]
    assert [len(plan_texts(n, words, [], STYLES, FEW)) for n, words in ((1, 100), (8, 100), (900, 1))] == [1, 2, 5]
    many = plan_texts(900, 1, [("A", str(n)) for n in range(40)], [f"style {n}" for n in range(40)], FEW)
    assert len(many) == 24 and [text.step for text in many].count("link") == 6


@pytest.mark.parametrize(
    ("names", "linked"),
    [
        (("Ann Pellow", "pier"), True),
        (("oak", "12 lamps"), False),  # each in a fact of its own
        (("Ann Pellow", "Pellow"), False),  # one and the same
        (("Ida Holm", "pier"), False),
    ],
)
def test_two_names_are_linked_by_a_fact_that_has_both(names, linked):
    facts = [fact("Ann Pellow opened the pier."), fact("It is of oak."), fact("The pier has 12 lamps.")]
    assert share_a_fact(names, facts) is linked and share_a_fact(names[::-1], facts) is linked


@pytest.mark.parametrize("mark", ["Ann: ", "**Ann:** ", "**Ann**: ", "__Ann:__ "])
def test_a_talk_begins_with_the_question_that_the_first_sentence_about_its_chunk_answers(mark):
    reply = f"{mark}What a day. Which one?\n\n{mark}The pier, which is of oak.\n\n{mark}Is it so? Goodbye then!"
    job = work()
    kept = f"{mark}Which one?\n\n{mark}The pier, which is of oak."
    assert keep_sentences(job, reply, fact("It is of oak."), TEXT).startswith(kept)
    assert job.dropped[0]["text"] == f"{mark}What a day."
