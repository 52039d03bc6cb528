"""What a model writes that is no text about its document: refusals, echoes, places to be filled in, covering marks, loops."""

from __future__ import annotations

from dataclasses import replace

import pytest
from generators import work

from data_processor.chunking import Chunk
from data_processor.pairs import Fact, Pair
from data_processor.questions import question_problem
from data_processor.text_faults import content, tokens_of
from data_processor.texts import keep_sentences

ENGLISH = "The ferry runs every hour. Dogs must be on a lead. Tickets are sold on board."
GERMAN = "Die Fähre fährt jede Stunde. Hunde müssen an die Leine. Karten gibt es an Bord."
CHINESE = "游泳馆周一闭馆清洗。深水区水深两米。下水前要先淋浴。"
REQUEST = "Document: x\n\n{}\n\nTell all that this document says again, as a talk, in other words and another order. Leave nothing out."


def kept(language: str, reply: str, text: str, shown: str = "") -> tuple[str, list[str]]:
    """What is left of a reply, and the reasons why the rest went."""
    job, chunk = work(), Chunk("a.txt", 0, 0, len(text), text, "", "en", language)
    left = keep_sentences(job, reply, Fact("", chunk, 0, 0, "", ""), shown or text, REQUEST.format(shown or text))
    return left, [record["reason"] for record in job.dropped]


@pytest.mark.parametrize(
    ("language", "text", "reply", "left"),
    [
        ("en", ENGLISH, "I apologize, but I am not able to assist with that request.", ""),
        ("de", GERMAN, "Es tut mir leid, dabei kann ich nicht helfen.", ""),
        ("zh", CHINESE, "抱歉，我无法满足您的请求。", ""),
        ("en", ENGLISH, "Sure! Here it is:\n\n---\n\nA dog needs a lead.\n\nI hope this finds you well.\n\nBest regards,", "A dog needs a lead."),
        ("de", GERMAN, "Gerne, hier ist er:\n\nEin Hund muss an die Leine.\n\nMit freundlichen Grüßen", "Ein Hund muss an die Leine."),
        ("zh", CHINESE, "亲爱的朋友：\n\n下水前先淋浴。\n\n感谢您的信任！", "下水前先淋浴。"),
        ("ja", "会員は本を六冊まで借りられます。", "申し訳ありませんが、お応えできません。", ""),
        ("ko", "회원은 책을 여섯 권까지 빌릴 수 있습니다.", "죄송하지만 그 요청은 도와드릴 수 없습니다.", ""),
    ],
)  # fmt: skip
def test_what_is_not_about_the_document_goes_at_either_end(language, text, reply, left):
    told, reasons = kept(language, reply, text)
    assert told == left and set(reasons) == {"not about its chunk"}


@pytest.mark.parametrize(
    ("language", "text", "reply"),
    [
        ("en", ENGLISH, "A dog needs a lead. That is the rule here. The ferry comes each hour."),
        ("en", ENGLISH, "Ann: Must dogs be on a lead?\nBen: Yes, they must.\n"),
        ("de", GERMAN, "Jeder Hund braucht eine Leine. So ist das. Die Fähre kommt jede Stunde."),
        ("zh", CHINESE, "周一闭馆。大家都知道。深水区深两米。"),
    ],
)
def test_a_sentence_between_and_an_answer_stay(language, text, reply):
    assert kept(language, reply, text) == (reply.strip(), [])


@pytest.mark.parametrize(
    ("language", "text", "first", "rest"),
    [
        ("en", "4710;Hex bolt M6 x 20;100 pcs;14,76;2", "Everything comes in packs of 100 pieces, each thing has its own number, and sometimes you have to take several packs home at once.", "A hex bolt costs 14,76."),
        ("de", "4710;Schraube M6;100 St.;14,76;2", "Alles kommt in Packungen zu je 100, jedes Ding hat eine eigene Nummer, und manchmal muss man gleich mehrere Packungen mit nach Hause nehmen.", "Eine Schraube kostet 14,76."),
        ("zh", "六角螺栓，每包100件，价格14.76元，2包起订。", "这里的东西都是100个一起卖的，不能拆开来买，想要的人请先想好再说。", "六角螺栓价格14.76元。"),
    ],
)  # fmt: skip
def test_a_sentence_with_a_number_of_the_document_is_about_it_in_whatever_words(language, text, first, rest):
    gap = "" if language == "zh" else " "
    assert kept(language, f"{first}{gap}{rest}", text) == (f"{first}{gap}{rest}", [])
    for other in ("", "2"):  # any text has a digit
        sentence = first.replace("100", other)
        assert kept(language, f"{sentence}{gap}{rest}", text) == (rest, ["not about its chunk"])


def test_the_words_of_the_request_go_from_anywhere_and_the_words_of_the_document_do_not():
    reply = (
        "Dogs must be on a lead.\n\nTell all that this document says again, as a talk.\n\nTickets are sold on board."
    )
    assert kept("en", reply, ENGLISH) == (
        "Dogs must be on a lead.\n\nTickets are sold on board.", ["the words of the request"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("language", "text", "reply", "left", "lost"),
    [
        ("en", ENGLISH, "Dear [Friend's Name],\n\nDogs need a lead.\n\n[Your Name]", "Dogs need a lead.", 2),
        ("de", GERMAN, "Liebe [Name],\n\nHunde müssen an die Leine.", "Hunde müssen an die Leine.", 1),
        ("zh", CHINESE, "下水前先淋浴。\n\n[您的名字]", "下水前先淋浴。", 1),
        ("en", ENGLISH, "[Dogs] need a lead, see [board](b.html).", "[Dogs] need a lead, see [board](b.html).", 0),
        ("en", ENGLISH, "[Newcomer]: Do dogs need a lead?", "[Newcomer]: Do dogs need a lead?", 0),
    ],
)
def test_a_place_to_be_filled_in_takes_its_sentence(language, text, reply, left, lost):
    assert kept(language, reply, text) == (left, ["a place to be filled in"] * lost)


@pytest.mark.parametrize(
    ("language", "text", "reply", "left", "lost"),
    [
        (
            "en",
            ENGLISH,
            "Dogs need a lead. […] […] Tickets are on board.",
            "Dogs need a lead. Tickets are on board.",
            1,
        ),
        ("en", ENGLISH, "Dogs need a lead. ... Tickets are on board.", "Dogs need a lead. Tickets are on board.", 1),
        ("en", ENGLISH, "Dogs need […] a lead. Tickets are on board.", "Tickets are on board.", 1),
        ("de", GERMAN, "[...] Hunde müssen an die Leine.", "Hunde müssen an die Leine.", 1),
        ("zh", CHINESE, "周一闭馆。[…]下水前先淋浴。", "周一闭馆。下水前先淋浴。", 1),
        ("en", ENGLISH + " […]", "Dogs need […] a lead.", "Dogs need […] a lead.", 0),
    ],
)
def test_a_covering_mark_goes_alone_where_it_stands_alone(language, text, reply, left, lost):
    shown = text + " […]"
    assert kept(language, reply, text, shown) == (left, ["a mark that covers something"] * lost)


@pytest.mark.parametrize(
    ("language", "text", "reply", "left"),
    [
        ("en", ENGLISH, "Dogs must be on a lead. The ferry runs. " * 3 + "Dogs must", "Dogs must be on a lead. The ferry runs. The ferry runs. The ferry runs."),
        ("de", GERMAN, "Hunde müssen an die Leine.\n\n- Hunde müssen an die Leine.", "Hunde müssen an die Leine."),
        ("zh", CHINESE, "一、下水前要先淋浴。\n二、深水区水深两米。\n三、下水前要先淋浴。", "一、下水前要先淋浴。\n二、深水区水深两米。"),
        ("en", ENGLISH, "The ferry runs, and a dog has a lead" + ", and the ferry runs, and a dog has a lead" * 4, "The ferry runs, and a dog has a lead."),
        ("zh", CHINESE, "下水前要先淋浴，深水区水深两米，" * 5, "下水前要先淋浴，深水区水深两米。"),
    ],
)  # fmt: skip
def test_what_has_been_said_is_not_said_again(language, text, reply, left):
    told, reasons = kept(language, reply, text)
    assert told == left and {reason[:11] for reason in reasons} == {"said before"}


def test_what_only_sounds_alike_stays():
    reply = "Dogs may run on board. Cats must be on a lead. Dogs may be on a lead on board. If a dog is big, it needs a lead; if a cat is big, it needs a lead."
    assert kept("en", reply, ENGLISH) == (reply, [])


@pytest.mark.parametrize(
    ("language", "place"),
    [
        ("en", "[Your name]"), ("en", "<company name>"), ("en", "{Name}"), ("en", "____"), ("de", "<Name>"), ("de", "[Ihr Name]"),
        ("de", "{Firma}"), ("zh", "【姓名】"), ("zh", "【公司名称】"), ("zh", "XX公司"), ("zh", "某某公司"), ("zh", "＿＿＿"),
    ],
)  # fmt: skip
def test_a_place_to_be_filled_in_takes_its_sentence_in_whatever_marks_it_stands(language, place):
    text = {"en": ENGLISH, "de": GERMAN, "zh": CHINESE}[language]
    sentence = {
        "en": f"At {place} dogs must be on a lead. ",
        "de": f"Bei {place} müssen Hunde an die Leine. ",
        "zh": f"在{place}下水前要先淋浴。",
    }[language]
    told, reasons = kept(language, sentence + text, text)
    assert (told, reasons) == (text, ["a place to be filled in"])
    assert kept(language, sentence, f"{text} {place}", text) == (sentence.strip(), []), "the document has it itself"


@pytest.mark.parametrize(
    ("question", "answer"),
    [("Who at <company name> lets dogs on to the ferry?", "nobody"), ("Who is on a lead?", "the dog of [Name]")],
)  # fmt: skip
def test_a_question_with_a_place_to_be_filled_in_is_not_kept(question, answer):
    chunk = Chunk("a.txt", 0, 0, len(ENGLISH), ENGLISH, "")
    pair = Pair(question, answer, Fact("Dogs must be on a lead.", chunk, 0, 9, ""), "model")
    assert question_problem(pair) == "a place to be filled in"
    assert question_problem(replace(pair, question="Must dogs be on a lead?", answer="yes")) is None
    assert question_problem(replace(pair, question="____ must be on a lead?", answer="Dogs")) is None, "a blank asks"


@pytest.mark.parametrize(
    ("language", "question", "alone"),
    [
        ("en", "And what do tickets cost?", "What do tickets cost and where are they sold?"),
        ("en", "But who may bring a dog?", "Android phones: are they allowed?"),
        ("de", "Und was kostet eine Karte?", "Undine heißt welches Boot?"), ("fr", "Et à quelle heure ?", "À quelle heure ?"),
        ("es", "¿Y cuánto cuesta?", "¿Cuánto cuesta?"), ("ru", "А кто продает билеты?", "Кто продает билеты?"),
        ("zh", "那么深水区多深？", "那不勒斯在哪里？"), ("ja", "では、何冊ですか。", "何冊ですか。"), ("ko", "그럼 몇 권까지입니까?", "몇 권까지입니까?"),
    ],
)  # fmt: skip
def test_a_question_that_goes_on_from_another_is_not_kept(language, question, alone):
    chunk = Chunk("a.txt", 0, 0, len(ENGLISH), ENGLISH, "", "en", language)
    pair = Pair(question, "x", Fact("Dogs must be on a lead.", chunk, 0, 9, ""), "role", form="short")
    assert question_problem(pair) == "goes on from another question"
    assert question_problem(replace(pair, question=alone)) is None


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "Dogs <b>must</b> be on a <strong>lead</strong>."), ("en", "The ferry runs if a < b and c > d hold."),
        ("en", "The ferry runs, see <https://ferry.example>."), ("en", "Tickets are a List<String> sold on board."),
        ("en", "The ferry runs at $\\frac{ab}{cd}$ an hour."), ("en", "The ferry of the XX. century runs every hour."),
        ("zh", "【开放时间】游泳馆周一闭馆清洗。"),
    ],
)  # fmt: skip
def test_marks_of_other_kinds_are_no_places_to_be_filled_in(language, sentence):
    text = {"en": ENGLISH, "zh": CHINESE}[language]
    assert kept(language, sentence, text) == (sentence, [])


@pytest.mark.parametrize("text", ["", "Ann's o'clock_x 3,5 km", "A_b-C/d 12th\tDON'T", "x\x00y\x7f ~[z]", "THE 2nd I"])
def test_another_script_elsewhere_in_a_text_changes_none_of_its_words(text):
    """Texts of ASCII alone are read by a simpler pattern."""
    assert tokens_of(f"{text} 漢") == (*tokens_of(text), "漢")
    assert content(f"{text} 漢", "en") == (*content(text, "en"), "漢")
