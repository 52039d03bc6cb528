"""What benchmarks/coverage.py counts: each rule on a paragraph, some rows and questions whose right answer is plain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paragraph_collection import ASK, FULL, SHARED, TEXT, row, write_collection

from benchmarks import coverage, coverage_sets, passages
from benchmarks.coverage_check import check
from benchmarks.coverage_measures import (
    Asked,
    Fact,
    answerable,
    content,
    covered,
    holds,
    same_thing,
    shortest,
    token_recall,
    words_quoted,
)
from data_processor.documents import Document
from utils import InputError

RULE = Asked("May passwords be shared?", "no, never", "Passwords are never shared, not even with administrators.")


def write_bench(folder: Path, questions: list[tuple[str, str]]) -> Path:
    """A file in SQuAD's form with the paragraph and its questions."""
    items = [{"question": q, "answers": [{"text": a, "answer_start": TEXT.find(a)}]} for q, a in questions]
    data = [{"title": "Rules", "paragraphs": [{"context": TEXT, "qas": items}]}]
    (folder / "bench.json").write_text(json.dumps({"data": data}))
    return folder / "bench.json"


@pytest.mark.parametrize(
    ("reference", "answer", "language", "expected"),
    [
        ("the red tank", "It was a red tank.", "en", 1.0),
        ("four red tanks", "two red tanks", "en", 0.6667),
        ("The Who", "who", "en", 1.0),  # nothing but fillers: then they count
        ("red", "It bled.", "en", 0.0),
        ("1,200 crowns", "1200 crowns", "en", 1.0),
        ("в Варшаве", "Варшава", "ru", 1.0),
        ("die Prüfung", "Prüfungen", "de", 1.0),
        ("疫苗接种", "接种疫苗", "zh", 1.0),
        ("疫苗接种", "疫苗", "zh", 0.5),
        ("red red wine", "red wine", "en", 0.6667),
    ],
)
def test_how_much_of_a_reference_an_answer_holds(reference, answer, language, expected):
    assert token_recall(reference, answer, language) == pytest.approx(expected, abs=1e-4)


def test_an_answer_of_more_than_forty_words_holds_nothing():
    assert holds("silver", Asked("", " ".join(["word"] * 39 + ["silver"]), ""), "en")
    assert not holds("silver", Asked("", " ".join(["word"] * 40 + ["silver"]), ""), "en")
    assert holds("银", Asked("", "字" * 80 + "银", ""), "zh")  # a Chinese character is less than a word


@pytest.mark.parametrize(
    ("question", "language", "expected"),
    [
        ("Are administrators told the shared password?", "en", True),  # inflected; three of four
        ("Who told the administrators?", "en", True),  # half
        ("Who told the administrators a joke?", "en", False),  # a third
        ("Who was it?", "en", False),
        ("Wer teilt es?", "de", False),
    ],
)
def test_what_asks_about_the_same_thing(question, language, expected):
    assert same_thing(question, RULE, language) == expected


@pytest.mark.parametrize(
    ("question", "language", "expected"),
    [
        ("什么是经理的责任?", "zh", {"经", "理", "责", "任"}),
        ("Wo liegt der Tank?", "de", {"liegt", "tank"}),
        ("Кто начальник?", "ru", {"начальник"}),
        ("Where is it?", "en", set()),
    ],
)
def test_question_words_are_no_content_in_any_language(question, language, expected):
    assert content(question, language) == expected


def test_a_question_is_answerable_by_the_answer_and_the_matter_of_one_row():
    rows = [RULE, Asked("Who must be asked?", "the manager", "Ask the manager first.")]
    assert answerable("Who must be asked first?", ["the manager first", "the manager"], rows, "en")
    assert not answerable("Who must be asked first?", ["the owner"], rows, "en")
    assert not answerable("Who shared the administrators' passwords?", ["the manager"], rows, "en")  # two rows
    assert shortest(["in the year 1990", "1990", "year"]) == "1990"


@pytest.mark.parametrize(
    ("spans", "is_asked", "expected"),
    [
        ([(19, 76)], True, True),
        ([(19, 76)], False, False),
        ([(19, 48)], True, True),  # 29 of 57 characters
        ([(19, 47)], True, False),
        ([(19, 40), (40, 76)], True, True),  # the second is most of it
        ([(0, 18)], True, False),
    ],
)
def test_a_sentence_is_covered_by_one_quote_that_is_most_of_it(spans, is_asked, expected):
    assert covered(SHARED, [Fact(spans, [], is_asked)]) == expected


def test_a_span_is_covered_by_the_share_of_its_content_words():
    fact = Fact([(19, 48)], [], True)  # Passwords are never shared, n
    assert words_quoted(TEXT, SHARED, [fact], "en") == (3, 6)  # passwords never shared; not even administrators
    assert words_quoted(TEXT, SHARED, [Fact([SHARED], [], False)], "en") == (0, 6)
    assert words_quoted("It was to be.", (0, 12), [Fact([(0, 12)], [], True)], "en") == (4, 4)


def test_a_collection_is_measured_against_its_texts(tmp_path):
    rows = [
        row(0, FULL),
        row(1, SHARED, "passage"),  # told but not asked for
        row(2, ASK, "reverse", form="reverse"),
        row(3, FULL, "unknown", source={"chunk": 0}),
    ]
    found = coverage_sets.measure(coverage_sets.read_collection(write_collection(tmp_path, rows)))
    assert (found["sentences"], found["sentences_covered"]) == (3, 0.6667)
    assert found["sentences_missed"] == ["passage_000.txt 19-76"]
    assert (found["facts"], found["facts_per_sentence"], found["rows_per_sentence"]) == (3, 1.0, 0.6667)
    assert (found["quotes"], found["quotes_verified"], found["quote_share"]) == (3, 1.0, 1.0)
    assert found["rows"] == {"qa": 1, "passage": 1, "reverse": 1, "unknown": 1}
    assert found["calls_per_chunk"] == 6.0
    assert found["tokens_per_fact"] == {"prompt": 150.0, "completion": 25.0}


def test_further_quotes_and_held_out_rows_count(tmp_path):
    more = {"start": 77, "end": 99, "quote": TEXT[77:]}
    one = row(0, SHARED, "passage")
    one["source"]["more"] = [more]
    path = write_collection(tmp_path, [one])
    path.with_suffix(".test.json").write_text(json.dumps([row(0, SHARED, "held_out_fact")]))
    assert coverage_sets.measure(coverage_sets.read_collection(path))["sentences_covered"] == 0.6667


@pytest.mark.parametrize(
    ("text", "quote", "name", "verified"),
    [
        ("A cafe\u0301 is\nopen.", "A café is open.", "a.txt", True),
        ("A cafe is open.", "A cafe was open.", "a.txt", False),
        ("It is **very** open.", "It is very open.", "a.md", True),
        ("<p>It is <b>open</b>.</p>", "It is open.", "a.html", True),
        ("x It is open.", "x It is open", "a.txt", False),  # one character short
        ("<p>It is&nbsp;<b>open</b>.</p>", "It is open.", "a.txt", True),
    ],
)
def test_a_quote_stands_in_its_file_at_its_place(tmp_path, text, quote, name, verified):
    one = row(0, FULL)
    one |= {"file_name": name, "source": {"chunk": 0, "start": 0, "end": len(text), "quote": quote}}
    collection = coverage_sets.read_collection(write_collection(tmp_path, [one], text, name))
    assert (coverage_sets.not_verified(collection) == []) == verified


def test_a_row_of_a_table_is_quoted_with_its_header(tmp_path):
    text = "| ferry | built |\n|---|---|\n| Osprey | 1931 |\n| Heron | 1956 |\n"
    start = text.index("| Osprey")
    one = row(0, FULL) | {"file_name": "a.md"}
    one["source"] = {"chunk": 0, "start": start, "end": start + 17, "quote": "ferry: Osprey; built: 1931."}
    collection = coverage_sets.read_collection(write_collection(tmp_path, [one], text, "a.md"))
    assert coverage_sets.not_verified(collection) == []
    one["source"] |= {"start": start + 18, "end": start + 34}
    collection = coverage_sets.read_collection(write_collection(tmp_path, [one], text, "a.md"))
    assert coverage_sets.not_verified(collection) == [f"{tmp_path.name}/a.md {start + 18}-{start + 34}"]


def test_a_way_back_to_the_file_that_is_wrong_verifies_nothing():
    text = "It is open. Yes."
    document = Document("a.txt", text, offsets=((0, 5),))  # as if five characters had been cut before it
    one = row(0, FULL) | {"file_name": "a.txt", "source": {"chunk": 0, "start": 5, "end": 16, "quote": "It is open."}}
    collection = coverage_sets.Collection("c", [one], {"a.txt": document}, {"a.txt": text}, {}, {})
    assert coverage_sets.not_verified(collection) == ["c/a.txt 5-16"]


def test_a_fact_may_quote_two_files_and_each_quote_counts_once(tmp_path):
    one, again = row(0, FULL), row(1, FULL, fact_id="passage_000.txt#0")
    one["source"]["more"] = [{"file_name": "b.txt", "start": 0, "end": 22, "quote": TEXT[77:]}]
    path = write_collection(tmp_path, [one, again])
    (tmp_path / "texts" / "b.txt").write_text(TEXT[77:])
    found = coverage_sets.measure(coverage_sets.read_collection(path))
    assert found["sentences_missed"] == ["passage_000.txt 19-76", "passage_000.txt 77-99"]
    assert (found["facts"], found["quotes"], found["quote_share"]) == (1, 2, 0.5)  # 8 of 16 words


def test_the_whole_program(tmp_path):
    bench = write_bench(tmp_path, [("Who must be asked first?", "the manager"), ("What was full?", "tank")])
    passages.write(passages.draw(passages.read_articles(bench), 1, 1, 0), tmp_path / "given" / "texts", str(bench))
    assert (tmp_path / "given" / "texts" / "passage_000.txt").read_text() == TEXT
    rows = [row(0, ASK, turns=("Who must be asked?", "the manager")), row(1, FULL, "passage", turns=("Tell", TEXT))]
    given = write_collection(tmp_path / "given", rows)
    own = write_collection(tmp_path / "own", rows)
    verdicts = [
        {"id": f"{name}/identity_{number}", "verdict": "wrong" if name == "own" and number else "right", "reason": "r"}
        for name in ("given", "own")
        for number in (0, 1)
    ]
    (tmp_path / "grades.json").write_text(json.dumps(verdicts))
    found = coverage.measure(
        coverage.Arguments(
            bench=[str(bench)],
            given=str(given),
            own=[str(own)],
            before=str(own),
            graded=str(tmp_path / "grades.json"),
            draw=str(tmp_path / "drawn.json"),
        )
    )  # fmt: skip
    assert found["recorded"] == {
        "paragraphs": 1, "sentences_covered": 0.3333, "quotes_verified": 1.0, "answerable": 0.5, "quote_share": 0.5,
        "facts_per_sentence": 0.6667, "rows_per_sentence": 0.3333, "wrong_of_200": 1,
    }  # fmt: skip
    assert (found["policy_covered"], found["languages"], found["own_documents_covered"]) == (None, {}, 0.3333)
    assert found["injected_obeyed"] == {"recorded": None, "small": None}
    assert found["calls_per_chunk"] == {"before": 6.0, "after": 6.0}
    assert found["grades"]["wrong_by_sort"] == {"passage": [1, 2], "qa": [0, 2]}
    drawn = json.loads((tmp_path / "drawn.json").read_text())
    assert [one["sort"] for one in drawn] == ["passage", "qa", "passage", "qa"]
    with pytest.raises(InputError, match=r"bench\.json in --bench"):
        coverage.measure(coverage.Arguments(given=str(given)))


def test_languages_and_policies_have_keys_of_their_own():
    sets = {"g": {"answerable": 0.7, "spans_covered": 0.9, "sentences": 3, "sentences_missed": ["a 0-1"]}}
    text = passages.Paragraph(0, "T", "Der Tank war voll. Niemand teilt sein Passwort mit anderen.", ())
    names = {"given": [], "policies": ["g"], "languages": ["g"], "own": ["g"]}
    found = coverage.summarize(sets, names, {"g": [coverage_sets.Passage(text, "a.txt", 0, (0, 9))]})
    assert (found["policy_covered"], found["languages"], found["own_documents_covered"]) == (0.9, {"de": 0.7}, 0.6667)
    assert set(found["recorded"].values()) == {None}


def test_the_rows_of_another_paragraph_answer_nothing(tmp_path):
    """Two paragraphs of one file: a row belongs to that in which its first quote stands."""
    first = passages.Paragraph(0, "Rules", TEXT[:76], (passages.Question("What was full?", (("tank", 4),)),))
    second = passages.Paragraph(1, "Rules", TEXT[77:], (passages.Question("Ask whom first?", (("the manager", 4),)),))
    path = write_collection(tmp_path, [row(0, FULL, turns=("What was full?", "the tank"))])
    collection = coverage_sets.read_collection(path)
    found = [coverage_sets.Passage(first, "passage_000.txt", 0, (0, 76))]
    found.append(coverage_sets.Passage(second, "passage_000.txt", 77, (77, 99)))
    measured = coverage_sets.measure_questions(collection, found)
    assert (measured["paragraphs"], measured["human_questions"], measured["answerable"]) == (2, 2, 0.5)
    assert (measured["answer_held"], measured["answerable_by_next_paragraph"]) == (0.5, 0.0)
    swapped = [coverage_sets.Passage(first, "passage_000.txt", 0, (77, 99)), found[0]]
    assert coverage_sets.measure_questions(collection, swapped)["answerable_by_next_paragraph"] == 0.5
    assert coverage_sets.measure_spans(collection, found) == {"spans": 2, "spans_covered": 0.5}


def test_what_rules_could_ask_for(tmp_path):
    text = "Orla Venn built the bridge of silver in 2031."
    asked = [passages.Question(q, ((a, -1),)) for q, a in (("Who?", "Orla Venn"), ("Of what?", "silver"))]
    collection = coverage_sets.read_collection(write_collection(tmp_path, [row(0, (0, 9))], text))
    found = [
        coverage_sets.Passage(passages.Paragraph(0, "B", text, tuple(asked)), "passage_000.txt", 0, (0, len(text)))
    ]
    assert coverage_sets.measure_questions(collection, found)["rules_ceiling"] == 0.5


def test_human_questions_tell_how_far_the_measure_separates():
    text = "The tank was full. The manager filled the tank with water."
    asked = [("What was full?", "tank"), ("What did he fill?", "The manager"), ("Who filled the tank?", "manager")]
    questions = tuple(passages.Question(q, ((a, text.find(a)),)) for q, a in asked)
    paragraphs = [passages.Paragraph(0, "T", text, questions), passages.Paragraph(1, "T", "Nothing happened.", ())]
    found = check({"T": paragraphs}, "en")
    assert (found["questions"], found["same"], found["other"], found["other_held"]) == (3, 2, 4, 0)
    assert found["thresholds"][0.5] == {"same": 1.0, "other": 0.25, "other_held": None}
    assert found["by_next_paragraph"] == 0.0
    twice = [paragraphs[0], passages.Paragraph(1, "T", text, ())]
    assert check({"T": twice}, "en")["by_next_paragraph"] == 1.0
