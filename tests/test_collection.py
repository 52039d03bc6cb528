"""Chunks, checks and steps of the collection, without a model where none is needed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from scripted import SilentBar

from data_processor import in_place, questions, steps
from data_processor import pairs as pair_checks
from data_processor.chunking import Chunk, chunk_document, document_title, sentences, splitter
from data_processor.collection import CollectionArguments, make_rows, without_copies
from data_processor.curation import NearCopies, contains, copied_in_order, spans, subject_of, supported, words
from data_processor.documents import Document
from data_processor.estimate import sample_of
from data_processor.pairs import Pair
from data_processor.prompts import language_of, load_prompts
from data_processor.work import Fact, Work
from llm import Reply
from utils import InputError

DEMO = Path(__file__).resolve().parents[1] / "datasets" / "demo"
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


def work(*answers: str, **options) -> Work:
    return Work(Scripted(*answers), 0, SilentBar, **options)


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


def test_support_and_order_catch_what_small_models_get_wrong():
    quote = "Marthe Sollivang broke a collarbone in November, and Drostabar knocked the Otters out of the cup."
    assert supported("Drostabar knocked the Otters out.", quote)
    assert not supported("Ida Holm broke a collarbone.", quote) and not supported("It was in November 2024.", quote)
    assert copied_in_order("Marthe Sollivang broke a collarbone.", quote, "Otters")
    assert not copied_in_order("Drostabar broke a collarbone.", quote, "Otters")
    assert copied_in_order("The Otters lost the cup.".replace("lost", "knocked"), quote, "Otters")


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
    pairs = in_place.questions_in_place(
        fact("Ann Pellow opened the Hexley Bridge on 3 May 1990 for 4 million dollars."), ENGLISH
    )
    assert {pair.answer: pair.question for pair in pairs} == {
        "Ann Pellow": "Who opened the Hexley Bridge on 3 May 1990 for 4 million dollars?",
        "Hexley Bridge": "Hexley: Ann Pellow opened what on 3 May 1990 for 4 million dollars?",
        "3 May 1990": "Ann Pellow opened the Hexley Bridge on what date for 4 million dollars?",
        "4 million dollars": "Ann Pellow opened the Hexley Bridge on 3 May 1990 for how much money?",
    }


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
    found = fact(text)
    [pair] = [pair for pair in in_place.questions_in_place(found, ENGLISH) if pair.answer == answer]
    assert pair.question == question
    made = in_place.other_forms(found, answer, ENGLISH)
    assert [one.question for one in made if one.made != "clues"] == others
    clues = [one.question for one in made if one.made == "clues"]
    assert clues and all(not contains(one, answer) for one in clues)
    asking = [
        one for table in (ENGLISH.also_asked.values(), ENGLISH.also_asked_by_unit) for some in table for one in some
    ]
    allowed = set(words(f"{text} {question} {' '.join(asking)}"))
    assert all(set(words(one)) <= allowed and "Hexley" in one for one in clues)
    assert [one.question for one in in_place.other_forms(found, answer, ENGLISH)] == [one.question for one in made]


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
    found = fact(text, "Corrin Rovers")
    clues = [pair.question for pair in in_place.other_forms(found, answer, ENGLISH) if pair.made == "clues"]
    assert len(clues) == in_place.CLUE_QUESTIONS
    assert all("Corrin Rovers" in clue for clue in clues), "the subject is named whole, wherever it stands"
    used = {form for clue in clues for form in asked.split("|") if form.lower() in clue.lower()}
    assert used and (len(used) > 1 or asked == "What"), clues


def test_a_small_models_question_is_kept_where_nothing_else_can_answer_it():
    bridge = fact("Ann Pellow opened the Hexley Bridge on 3 May 1990, with Ida Holm.")
    asked = [Pair("Hexley was what?", answer, bridge, "gap") for answer in ("3 May 1990", "Ann Pellow", "3 May 1990")]
    turns = [
        ("When could drivers first use the Hexley Bridge?", "Who opened the bridge in Hexley?"),
        ("When was the Hexley Bridge opened in May?", "Who opened the bridge in Hexley with Ida Holm?"),
        ("When could drivers first use the Hexley Bridge ?", "Who opened the bridge of Corrin in Hexley?"),
    ]
    job = work(*(json.dumps(one) for asked_again in zip(*turns, strict=True) for one in asked_again), copies_only=True)
    kept = questions.ask_for(job, "questions", [(pair, "reader") for pair in asked])
    assert [(one.question, one.answer, one.made) for one in kept] == [
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
    assert len(job.engine.asked) == 6, "an answer that two questions in place ask for is given once a turn"
    assert job.engine.schemas[0]["pattern"].startswith("^(When|")


def test_a_question_that_does_not_lead_back_is_dropped():
    bridge = fact("Ann Pellow opened the Hexley Bridge on 3 May 1990.")
    pairs = [
        Pair("When was the Hexley Bridge opened?", "3 May 1990", bridge, "model"),
        Pair("Who opened the Hexley Bridge?", "Ann Pellow", bridge, "model"),
    ]
    job = work('"3 May 1990"', '"Hexley Bridge"')
    assert [pair.answer for pair in pair_checks.verified(job, "questions", pairs)] == ["3 May 1990"]
    assert job.drops == Counter({"questions: the question does not lead back to its answer": 1})


def test_facts_keep_their_quote_and_a_sentence_stands_in_for_bad_ones():
    text = "Ann Pellow opened the Hexley Bridge on 3 May 1990. The bridge cost 4 million dollars."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    job = work('["Ida Holm opened the Hexley Bridge."]', '["The bridge cost 4 million dollars."]', copies_only=True)
    facts = steps.find_facts(job, [chunk], ["a bridge"])
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
    facts = steps.find_facts(job, [chunk], ["a bridge"])
    assert [found.text for found in facts] == ["Hexley Bridge: Its 22 arches were built by Ann Pellow in 1990."]
    assert job.drops == Counter({"facts: does not stand alone": 2})


def test_a_sentence_that_no_fact_covers_is_counted():
    text = "Nothing much was new."
    job = work('["Nothing much was new."]')
    assert steps.find_facts(job, [Chunk("a.txt", 0, 0, len(text), text, "Hexley")], ["a bridge"]) == []
    assert job.drops[f"facts: {steps.NOT_COVERED}"] == 1


def test_the_models_own_check_refuses_what_rules_let_pass():
    text = "Against the advice of Ida Holm, Ann Pellow bought the yard in Corrin in 1990."
    chunk = Chunk("a.txt", 0, 0, len(text), text, "")
    stated = '["Ida Holm bought the yard in Corrin.", "Ann Pellow bought the yard in Corrin in 1990 against Ida Holm."]'
    job = work(stated, '"no"', '"yes"', llm_check=True)
    facts = steps.find_facts(job, [chunk], ["a yard"])
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


def test_a_small_models_unknown_questions_use_no_word_of_the_document():
    texts = ("The Hexley Bridge has a telephone number.", "The Hexley Bridge has a favourite song.")
    chunks = [Chunk("a.txt", n, 0, len(text), text, "Hexley Bridge") for n, text in enumerate(texts)]
    pairs = questions.ask_unknown(work(copies_only=True), chunks, 4)
    assert len(pairs) == 2 and not any("telephone" in one.question or "song" in one.question for one in pairs)


def test_chinese_documents_are_asked_about_in_chinese():
    text = "赫克斯利大桥\n\n赫克斯利大桥于1990年5月3日通车，耗资400万美元。"
    assert language_of(text) == "zh" and language_of(TEXT) == "en"
    chunk = Chunk("a.txt", 0, 0, len(text), text, "赫克斯利大桥", "zh")
    stated = '["赫克斯利大桥于1990年5月3日通车。", "赫克斯利大桥耗资400万美元。", "它于1990年通车。"]'
    opened = '[{"answer": "1990年5月3日", "question": "赫克斯利大桥是什么时候通车的？"}, {"answer": "1991年", "question": "赫克斯利大桥何时通车？"}]'
    cost = '[{"answer": "400万美元", "question": "赫克斯利大桥是谁建的，耗资如何？"}]'
    job = work(stated, opened, cost, '"1990年5月3日"')
    facts = steps.find_facts(job, [chunk], ["大桥"])
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
    by_rule = in_place.questions_in_place(fact("大桥耗资400万美元。", "赫克斯利大桥", "zh"), CHINESE)
    assert [(one.question, one.answer) for one in by_rule] == [("赫克斯利大桥：大桥耗资多少？", "400万美元")]


def test_both_languages_have_the_same_prompts():
    assert {key: set(value) - {"examples"} for key, value in ENGLISH.table.items()} == {
        key: set(value) - {"examples"} for key, value in CHINESE.table.items()
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[en.theme]\nrequest = "What is it about?"', "the places ['text']"),
        ('[en.themes]\nrequest = "{text}"', "found en.themes"),
        ('[en.words]\nabout = "Tell me"', "expected a list for en.words.about"),
        ('[[en.theme.examples]]\nreply = "It."', "the keys ['reply', 'text']"),
        ("[en", "expected TOML"),
    ],
)
def test_a_prompt_file_that_does_not_fit_is_refused(tmp_path, text, message):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InputError) as error:
        load_prompts(str(tmp_path / "own.toml"))
    assert message in str(error.value) and "own.toml" in str(error.value)


def test_a_prompt_file_changes_what_it_has(tmp_path):
    (tmp_path / "own.toml").write_text('[en.theme]\nrequest = "Topic of: {text}"')
    own = load_prompts(str(tmp_path / "own.toml"))
    assert own["en"].conversation("theme", text="x") == [{"role": "user", "content": "Topic of: x"}]
    assert own["en"].conversation("check", fact="x", question="y") == ENGLISH.conversation(
        "check", fact="x", question="y"
    )


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
        job = Work(engine, 0, SilentBar, copies_only=guard == "words")
        make_rows(documents, CollectionArguments(guard=guard))(job, chunks)
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
