"""Questions that need two facts: which two are put together, and what the rows say of both."""

from __future__ import annotations

import json
from collections import Counter

from generators import ReadingEngine, SilentBar, work

from data_processor import method
from data_processor.arguments import CollectionArguments
from data_processor.chunking import Chunk, chunk_document, make_splitter
from data_processor.documents import Document
from data_processor.pairs import Fact
from data_processor.pipeline import Collected, collect_all, to_rows
from data_processor.two_facts import Told, ask_two, pairs_of_facts
from data_processor.work import Work

FILLER = "Nobody knows who owns it."
TEXTS = {
    "a.txt": ("Ann Pellow opened the pier.", "The pier is of oak."),
    "b.txt": ("Ann Pellow was born in Corrin.", FILLER),
    "c.txt": (*[f"{FILLER[:-1]} {word}." for word in ("now", "yet", "ever", "still")],),
}


def facts_of(texts: dict[str, tuple[str, ...]], language: str = "en") -> list[Fact]:
    facts = []
    for name, sentences in texts.items():
        text = " ".join(sentences)
        chunk = Chunk(name, 0, 0, len(text), text, "", language, language)
        places = [text.index(sentence) for sentence in sentences]
        facts += [
            Fact(sentence, chunk, at, at + len(sentence), "") for at, sentence in zip(places, sentences, strict=True)
        ]
    return facts


def texts_of(found: list[tuple[Fact, Fact]]) -> list[tuple[str, str]]:
    return [(first.text, second.text) for first, second in found]


def test_facts_of_two_documents_that_share_a_name_come_first():
    facts = facts_of(TEXTS)
    assert len(facts) == 8
    assert texts_of(pairs_of_facts(facts, ["pier", "Ann Pellow"])) == [(TEXTS["a.txt"][0], TEXTS["b.txt"][0])]
    assert texts_of(pairs_of_facts(facts * 2, ["pier"]))[0] == TEXTS["a.txt"]
    assert pairs_of_facts(facts[:7], ["Ann Pellow"]) == [], "one for eight facts"
    assert pairs_of_facts(facts, ["Ida Holm"]) == []


def test_two_facts_with_a_quote_in_common_or_in_two_languages_are_no_pair():
    [first, *more] = facts_of(TEXTS)
    same = Fact("The pier was opened by Ann Pellow.", first.chunk, first.start, first.end, "")
    assert pairs_of_facts([first, same, *more[1:7], *more[1:7]], ["Ann Pellow opened", "opened"]) == []
    german = facts_of({"d.txt": ("Ann Pellow mag Corrin.",)}, "de")
    assert pairs_of_facts([first, *german, *facts_of({"c.txt": TEXTS["c.txt"]}) * 2], ["Ann Pellow"]) == []


def test_a_name_that_many_facts_have_joins_none():
    many = facts_of({f"{n}.txt": (f"Ann Pellow has boat {n}.",) for n in range(13)})
    assert pairs_of_facts(many, ["Ann Pellow"]) == [] and len(pairs_of_facts(many[:12], ["Ann Pellow"])) == 1


def test_one_fact_is_put_together_with_few_others():
    crew = "Holm, Berg, Moor, Lund and Vik sailed in May."
    texts = {
        "a.txt": (crew,),
        "b.txt": tuple(f"{name} has a boat." for name in ("Holm", "Berg", "Moor", "Lund", "Vik")),
    }
    facts = facts_of(texts | {"c.txt": tuple(f"{FILLER} {n}" for n in range(34))})
    assert len(facts) == 40, "room for five"
    found = texts_of(pairs_of_facts(facts, ["Holm", "Berg", "Moor", "Lund", "Vik"]))
    assert found == [(crew, f"{name} has a boat.") for name in ("Holm", "Berg", "Moor")]


def test_between_documents_a_name_within_a_longer_one_is_another():
    full, other, alone = "Katrin Falk has room 7.", "Peter Falk has a boat.", "Falk was in the chair."
    filler = {"z.txt": tuple(f"{FILLER} {n}" for n in range(21))}
    names = ["Falk", "Katrin Falk", "Peter Falk"]
    for texts in ({"a.txt": (full,), "b.txt": (alone,)}, {"a.txt": (full,), "b.txt": (other,)}):
        assert pairs_of_facts(facts_of(texts | filler), names) == []
    again = "Peter Falk and Katrin Falk like tea."
    assert texts_of(pairs_of_facts(facts_of({"a.txt": (full,), "b.txt": (again,)} | filler), names)) == [(full, again)]
    assert texts_of(pairs_of_facts(facts_of({"a.txt": (full, alone)} | filler), names)) == [(full, alone)], (
        "one document"
    )
    both = "Falk met Katrin Falk."
    assert texts_of(pairs_of_facts(facts_of({"a.txt": (both,), "b.txt": (alone,)} | filler), names)) == [(both, alone)]


def test_a_row_has_the_quotes_of_both_facts_with_their_files():
    reply = [
        {"item": 1, "form": "two", "question": "Where was she born who opened it?", "answer": "Corrin", "points": []}
    ]
    job, facts = work(json.dumps(reply)), facts_of(TEXTS)
    [pair] = ask_two(job, facts, ["Ann Pellow"])
    assert "1. Ann Pellow opened the pier. | Ann Pellow was born in Corrin." in job.engine.asked[0][-1]["content"]
    documents = [Document(name, " ".join(sentences)) for name, sentences in TEXTS.items()]
    [row] = to_rows(job, documents, Collected(facts=facts, pairs=[pair]))
    assert (row["kind"], row["form"], row["fact"], row["file_name"]) == (
        "qa",
        "two",
        "Ann Pellow opened the pier.",
        "a.txt",
    )
    assert row["source"] == {
        "chunk": 0,
        "start": 0,
        "end": 27,
        "quote": "Ann Pellow opened the pier.",
        "more": [{"file_name": "b.txt", "start": 0, "end": 30, "quote": "Ann Pellow was born in Corrin."}],
    }


def test_points_of_an_answer_may_come_from_either_fact():
    answer = "She was born in Corrin and she opened the pier of oak."
    reply = [{"item": 1, "form": "two", "question": "Who?", "answer": answer, "points": ["born in Corrin", "Nelby"]}]
    [pair] = ask_two(work(json.dumps(reply)), facts_of(TEXTS), ["Ann Pellow"])
    assert pair.points == ("born in Corrin",)


def test_a_failed_call_gives_no_pair():
    job = work("not json")
    assert ask_two(job, facts_of(TEXTS), ["Ann Pellow"]) == [] and job.drops == Counter({"two facts: reply cut off": 1})


def test_no_question_on_two_facts_has_one_that_is_held_out():
    class Recording(ReadingEngine):
        def __init__(self):
            self.asked = []

        def chat(self, conversations, **options):
            self.asked += [messages[-1]["content"] for messages in conversations]
            return super().chat(conversations, **options)

    engine = Recording()
    documents = [
        Document(f"{name}.txt", " ".join(f"Ann {word} has the boat of {name}." for word in "Pellow Berg Holm Moor Lund Vik Dal Ek".split()))
        for name in ("Corrin", "Nelby", "Varn")
    ]  # fmt: skip
    chunks = [
        chunk for document in documents for chunk in chunk_document(document, make_splitter("tiktoken:gpt-4o", 512))
    ]
    collected = collect_all(Work(engine, 0, SilentBar, method), chunks, CollectionArguments(test_ratio=0.5))
    held = [fact.text for fact in collected.held_facts]
    two = [prompt for prompt in engine.asked if "two by two" in prompt]
    assert len(held) >= 3 and two and not [text for text in held for prompt in two if text in prompt]
    assert {pair.form for pair in collected.pairs} >= {"short", "two"}


def test_a_name_is_known_in_every_case_of_russian():
    bridges = Told(
        ["Мост построили при Анне Павловой.", "Мост построили при Анне Ивановой.", "Die Brücke von Hexley", "Hex"],
        ["Анна Павлова", "Мост", "Hexley", "Hex", "Die Brücke von Hexley am Fluss", "ex", "é"],
    )
    assert bridges.with_name("Анна Павлова") == [0] and bridges.with_name("Мост") == [0, 1]
    assert bridges.with_name("Hexley") == [2] and bridges.with_name("Hex") == [2, 3]
    assert bridges.with_name("Die Brücke von Hexley am Fluss") == [] == bridges.with_name("é")
    assert bridges.with_name("ex") == [2, 3], "of two letters"
