"""Chunks, checks and steps of the collection, without a model where none is needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from data_processor import cloze, questions
from data_processor import pairs as pair_checks
from data_processor.chunking import Chunk, chunk_document, document_title, sentences, splitter
from data_processor.collection import QUESTIONS, CollectionArguments, check_arguments
from data_processor.curation import NearCopies, contains, spans, subject_of, supported
from data_processor.documents import Document
from data_processor.estimate import sample_of
from data_processor.facts import NOT_COVERED, Fact, find_facts, sentences_to_read
from data_processor.pairs import Pair
from data_processor.pipeline import collect_all, without_copies
from data_processor.prompts import Prompts, language_of, load_prompts
from data_processor.work import Work
from engines.chat import Reply
from utils import InputError

DEMO = Path(__file__).resolve().parents[1] / "demo" / "documents"
TEXT = "Dr. Ann Pellow opened the Hexley Bridge on 3 May 1990. It cost 1.4 million euros! Nobody knew why.\n\nHistory\n\nIt fell."


ENGLISH, CHINESE = load_prompts()["en"], load_prompts()["zh"]


def fact(text: str, subject: str = "Hexley", language: str = "en") -> Fact:
    return Fact(text, Chunk("a.txt", 0, 0, len(text), text, "", language), 0, len(text), subject, "a bridge")


class Scripted:
    """An engine that answers from a list and keeps what it was asked."""

    name = "scripted"

    def __init__(self, *answers: str):
        self.answers, self.asked, self.schemas = list(answers), [], []

    def chat(self, conversations, *, schemas=None, on_reply=None, **options):
        self.asked += conversations
        self.schemas += schemas if isinstance(schemas, list) else [schemas] * len(conversations)
        replies = [Reply(self.answers.pop(0)) for _ in conversations]
        for index, reply in enumerate(replies):
            on_reply(index, reply)
        return replies


class SilentBar:
    def __init__(self, *_): ...
    def __enter__(self):
        return self

    def __exit__(self, *_): ...
    def update(self, _): ...
    def set_postfix_str(self, *_, **__): ...


def work(*answers: str, by=questions, **options) -> Work:
    return Work(Scripted(*answers), 0, SilentBar, by, **options)


def test_sentences_skip_headings_and_abbreviations():
    found = [TEXT[start:end] for start, end in sentences(TEXT)]
    assert found == [
        "Dr. Ann Pellow opened the Hexley Bridge on 3 May 1990.",
        "It cost 1.4 million euros!",
        "Nobody knew why.",
        "It fell.",
    ]


def test_chinese_sentences():
    text = "大桥于1990年开通。它花费了140万欧元！没有人知道原因。"
    assert [text[s:e] for s, e in sentences(text)] == ["大桥于1990年开通。", "它花费了140万欧元！", "没有人知道原因。"]


def test_chunks_hold_their_size_and_give_back_the_text(tokenizer):
    text = "\n\n".join(f"Paragraph {i}. " + "The bridge at Hexley is old. " * 8 for i in range(12))
    chunks = chunk_document(Document("a.txt", text), splitter(tokenizer, 128))
    assert len(chunks) > 3
    for chunk in chunks:
        assert len(tokenizer(chunk.text, add_special_tokens=False).input_ids) <= 128
        assert text[chunk.start : chunk.end] == chunk.text
    covered = set().union(*(range(chunk.start, chunk.end) for chunk in chunks))
    assert all(i in covered for i, letter in enumerate(text) if not letter.isspace())


def test_title_is_a_first_line_that_is_no_sentence():
    assert document_title("Atlaquern 6.3: release notes\n\nIt is out.") == "Atlaquern 6.3: release notes"
    assert document_title("It is out.\nReally.") == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("On 3 May 1990 Ann Pellow paid 4 million dollars.", ["3 May 1990", "Ann Pellow", "4 million dollars"]),
        ("It won the Brass Sounder with 43 points, in 2025-26.", ["Brass Sounder", "43 points", "2025-26"]),
        (
            'They staged "The Borrowed Goose" in the Academy of Lissandry.',
            ["The Borrowed Goose", "Academy of Lissandry"],
        ),
        ("Few had expected 28-27 in July 2025.", ["28-27", "July 2025"]),
        ("Version 6.2 reads 100,000 sheets in 1.4 seconds.", ["Version 6.2", "100,000 sheets", "1.4 seconds"]),
        ("In the 1980s the 25th of 100km-long routes and 25x100 lots opened.", ["1980s", "25th"]),
        ("Nothing to ask for here.", []),
    ],
)
def test_spans_are_what_can_be_asked_for(text, found):
    assert [text[start:end] for start, end, _ in spans(text)] == found


def test_a_single_capital_at_the_start_is_a_name_only_with_evidence():
    assert spans("Shareholders were glad.") == []
    assert spans("Drostabar won.", "The cup went to Drostabar again. Drostabar won.") == [(0, 9, "name")]
    assert spans("Morgenkanne, the dairy, pays.") == [(0, 11, "name")]


def test_support_catches_who_and_what_the_source_does_not_name():
    quote = "Marthe Sollivang broke a collarbone in November, and Drostabar knocked the Otters out of the cup."
    assert supported("Drostabar knocked the Otters out.", quote)
    assert not supported("Ida Holm broke a collarbone.", quote) and not supported("It was in November 2024.", quote)


def test_contains_is_by_whole_words():
    assert contains("It began in the 1980s.", "1980s") and not contains("It began in the 1980s.", "1980")
    assert contains("It cost 3,870 euros", "3870 euros") and not contains("It cost 14 euros", "4 euros")


def test_near_copies():
    new = NearCopies()
    assert new.is_new("When was the bridge at Hexley opened?")
    assert not new.is_new("When was the bridge at Hexley opened ?")
    assert new.is_new("Who opened the bridge at Hexley?")


def test_subject_is_the_name_the_text_keeps_using():
    for name, subject in (
        ("company_year", "Tolvimer Instruments"),
        ("release_notes", "Atlaquern 6.3"),
        ("town_chronicle", "Averoske"),
    ):
        text = (DEMO / f"{name}.txt").read_text()
        assert subject_of(document_title(text), text) == subject


def test_questions_in_place_ask_for_every_name_date_and_number():
    pairs = cloze.questions_in_place(
        fact("Ann Pellow opened the Hexley Bridge on 3 May 1990 for 4 million dollars."), ENGLISH
    )
    assert {pair.answer: pair.question for pair in pairs} == {
        "Ann Pellow": "Who opened the Hexley Bridge on 3 May 1990 for 4 million dollars?",
        "Hexley Bridge": "Hexley: Ann Pellow opened what on 3 May 1990 for 4 million dollars?",
        "3 May 1990": "Ann Pellow opened the Hexley Bridge on what date for 4 million dollars?",
        "4 million dollars": "Ann Pellow opened the Hexley Bridge on 3 May 1990 for how much money?",
    }


def test_a_question_that_does_not_lead_back_is_dropped():
    bridge = fact("Ann Pellow opened the Hexley Bridge on 3 May 1990.")
    pairs = [
        Pair("When was the Hexley Bridge opened?", "3 May 1990", bridge, "model"),
        Pair("Who opened the Hexley Bridge?", "Ann Pellow", bridge, "model"),
    ]
    job = work('"3 May 1990"', '"Hexley Bridge"')
    assert [pair.answer for pair in pair_checks.verified(job, "questions", pairs)] == ["3 May 1990"]
    assert job.drops == Counter({"questions: the question does not lead back to its answer": 1})


@pytest.mark.parametrize("by", QUESTIONS.values(), ids=QUESTIONS)
def test_facts_keep_their_quote_and_a_sentence_stands_in_for_bad_ones(by):
    text = "Ann Pellow opened the Hexley Bridge on 3 May 1990. The bridge cost 4 million dollars."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    job = work('["Ida Holm opened the Hexley Bridge."]', '["The bridge cost 4 million dollars."]', by=by)
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == [
        "Ann Pellow opened the Hexley Bridge on 3 May 1990.",
        "The bridge cost 4 million dollars.",
    ]
    assert all(found.quote in text for found in facts)
    assert job.drops == Counter({"facts: a name or number that its source does not have": 1})
    assert job.dropped == [
        {
            "step": "facts",
            "reason": "a name or number that its source does not have",
            "text": "Ida Holm opened the Hexley Bridge.",
            "file_name": "a.txt",
            "chunk": 0,
            "quote": "Ann Pellow opened the Hexley Bridge on 3 May 1990.",
        }
    ]


def test_a_fact_that_leans_on_its_context_is_refused_and_a_sentence_gets_its_subject():
    text = "Hexley Bridge\n\nIts 22 arches were built by Ann Pellow in 1990."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "Hexley Bridge")
    job = work('["Its 22 arches were built by Ann Pellow.", "The bridge opened with Ann Pellow last year."]')
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == ["Hexley Bridge: Its 22 arches were built by Ann Pellow in 1990."]
    assert job.drops == Counter({"facts: does not stand alone": 2})


def test_a_sentence_that_no_fact_covers_is_counted():
    text = "Nothing much was new."
    job = work('["Nothing much was new."]')
    assert find_facts(job, sentences_to_read([Chunk("a.txt", 0, 0, len(text), text, "Hexley")])) == []
    assert job.drops[f"facts: {NOT_COVERED}"] == 1


def test_the_models_own_check_refuses_what_rules_let_pass():
    text = "Against the advice of Ida Holm, Ann Pellow bought the yard in Corrin in 1990."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    stated = '["Ida Holm bought the yard in Corrin.", "Ann Pellow bought the yard in Corrin in 1990 against Ida Holm."]'
    job = work(stated, '"no"', '"yes"', llm_check=True)
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == ["Ann Pellow bought the yard in Corrin in 1990 against Ida Holm."]
    assert job.drops == Counter({"facts: the model finds that it does not follow": 1})
    pair = Pair("Who bought the yard in Corrin in 1990?", "Ann Pellow", fact(text), "model")
    job = work('"Ann Pellow"', '"no"', llm_check=True)
    assert pair_checks.verified(job, "questions", [pair]) == []


def test_a_pair_is_reverse_where_it_asks_for_the_subject():
    bridge = fact("Ann Pellow opened the Hexley Bridge in 1990.", subject="Hexley Bridge")
    assert Pair("Which bridge did Ann Pellow open?", "Hexley Bridge", bridge, "model").kind == "reverse"
    assert Pair("Who opened the Hexley Bridge?", "Ann Pellow", bridge, "model").kind == "qa"


def test_roles_change_the_angle_and_must_find_back_to_the_answer():
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
    assert language_of(text) == "zh" and language_of(TEXT) == "en"
    chunk = Chunk("a.txt", 0, 0, len(text), text, "赫克斯利大桥", "zh")
    stated = '["赫克斯利大桥于1990年5月3日通车。", "赫克斯利大桥耗资400万美元。", "它于1990年通车。"]'
    opened = '[{"answer": "1990年5月3日", "question": "赫克斯利大桥是什么时候通车的？"}, {"answer": "1991年", "question": "赫克斯利大桥何时通车？"}]'
    cost = '[{"answer": "400万美元", "question": "赫克斯利大桥是谁建的，耗资如何？"}]'
    job = work(stated, opened, cost, '"1990年5月3日"')
    facts = find_facts(job, sentences_to_read([chunk]))
    assert [found.text for found in facts] == ["赫克斯利大桥于1990年5月3日通车。", "赫克斯利大桥耗资400万美元。"]
    assert {(found.subject, found.quote) for found in facts} == {("赫克斯利大桥", text.splitlines()[2])}
    pairs = questions.ask_questions(job, facts, 1)
    assert [(one.question, one.answer, one.made) for one in pairs] == [
        ("赫克斯利大桥是什么时候通车的？", "1990年5月3日", "model"),
        ("赫克斯利大桥耗资多少？", "400万美元", "gap"),
    ]
    refused = {"questions: answer not in its fact", "questions: asks for another kind of answer"}
    assert {"facts: does not stand alone", *refused} == set(job.drops)
    assert all("请" in request[-1]["content"] for request in job.engine.asked)
    by_rule = cloze.questions_in_place(fact("大桥耗资400万美元。", "赫克斯利大桥", "zh"), CHINESE)
    assert [(one.question, one.answer) for one in by_rule] == [("赫克斯利大桥：大桥耗资多少？", "400万美元")]


@pytest.mark.parametrize(("by", "asked"), [("names", ["Wann wurde die Brücke eröffnet?"]), ("words", [])])
def test_a_language_without_rules_is_left_to_the_model(by, asked):
    german = {"de": Prompts("de", ENGLISH.table)}
    text = "Die Brücke von Hexley wurde am 3.5.1990 von Ann Pellow eröffnet."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "Brücke", "de")
    pair = '[{"answer": "3.5.1990", "question": "Wann wurde die Brücke eröffnet?"}]'
    job = work(f'["{text}", "Sie wurde eröffnet."]', pair, '"3.5.1990"', by=QUESTIONS[by], prompts=german)
    facts = find_facts(job, sentences_to_read([chunk]))
    assert facts[0].text == text
    assert [one.question for one in job.questions.ask_questions(job, facts[:1], 5)] == asked


def test_a_language_without_a_file_of_prompts_is_refused():
    check_arguments(CollectionArguments(data_path=str(DEMO), language="zh"))
    with pytest.raises(InputError, match=r"one of auto, en, zh, found de: .*prompts/de\.toml"):
        check_arguments(CollectionArguments(data_path=str(DEMO), language="de"))


def test_near_copies_are_found_among_many():
    texts = [f"Question {n} on the bridge that was built by person {n * 7} in the year {n}?" for n in range(2000)]
    new = NearCopies()
    assert all(new.is_new(text) for text in texts)
    assert not any(new.is_new(text.replace("?", " ?").lower()) for text in texts)


def test_chunks_by_tokens_of_an_openai_model():
    chunks = chunk_document(
        Document("a.txt", "大桥于1990年开通。它花费了140万欧元！" * 40), splitter("tiktoken:gpt-4o", 64), "zh"
    )
    assert len(chunks) > 5 and all(chunk.text.endswith(("。", "！")) and chunk.language == "zh" for chunk in chunks)
    with pytest.raises(InputError, match="tiktoken:gpt-4o"):
        splitter("tiktoken:nonsense", 64)


def test_an_estimate_samples_from_the_first_chunk_to_the_last():
    chunks = [Chunk("a.txt", n, 0, 1, "x", "") for n in range(100)]
    assert [chunk.number for chunk in sample_of(chunks)] == [0, 25, 50, 74, 99]
    assert sample_of(chunks[:1]) == chunks[:1]


@pytest.mark.parametrize("guard", ["names", "words"])
def test_a_change_to_one_document_asks_nothing_again_about_the_others(guard):
    class Echo(Scripted):
        """Gives two roles, and nothing else of use, so that every sentence stands as a fact and is asked about by rule."""

        def chat(self, conversations, *, schemas=None, on_reply=None, **options):
            schemas = schemas if isinstance(schemas, list) else [schemas] * len(conversations)
            self.asked += [str(call) for call in zip(conversations, schemas, strict=True)]
            kinds = ["object" if "object" in str(schema) else schema and schema.get("type") for schema in schemas]
            replies = {"object": "[]", "array": '["pupil", "nurse"]', "string": '""'}
            return [Reply(replies.get(kind, "")) for kind in kinds]

    def asked(first: str) -> set[str]:
        documents = [Document("a.txt", first), Document("b.txt", (DEMO / "season_review.txt").read_text())]
        cut, engine = splitter("tiktoken:gpt-4o", 128), Echo()
        chunks = [chunk for document in documents for chunk in chunk_document(document, cut)]
        job = Work(engine, 0, SilentBar, QUESTIONS[guard])
        collect_all(job, chunks, CollectionArguments(guard=guard))
        return set(engine.asked)

    alone = asked("Nothing at all\n\nNothing.")
    assert {call for call in alone if "Otters" in call and "pupil" in call}, "roles were asked for"
    company = (DEMO / "company_year.txt").read_text().split("\n\n")
    for paragraphs in (2, 3, 4):
        beside_another = asked("\n\n".join(company[:paragraphs]))
        assert not {call for call in alone - beside_another if "Nothing" not in call}


def test_a_pair_that_two_steps_made_is_trained_once():
    def row(question: str, answer: str) -> dict:
        turns = [{"from": "user", "value": question}, {"from": "assistant", "value": answer}]
        return {"conversations": turns, "file_name": "a.txt", "fact": "It opened in 1990."}

    job = work()
    first, other, again = row("When?", "1990"), row("When?", "in 1990"), row("When?", "1990")
    assert without_copies(job, [first, other, again]) == [first, other]
    (dropped,) = job.dropped
    assert job.drops == {"dataset: the same question and answer twice": 1}
    assert (dropped["text"], dropped["answer"], dropped["file_name"]) == ("When?", "1990", "a.txt")
