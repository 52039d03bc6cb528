"""Where sentences end, by language: abbreviations, quotations, notes, emoji, line breaks. No model."""

from __future__ import annotations

import pytest

from data_processor.segmentation import BLOB, ends_sentence, may_have_blobs, rules_for, segment


@pytest.mark.parametrize(
    ("text", "blobs"),
    [
        ("a" * 999 + " " + "b" * 1000, [(1000, 2000)]),
        ("x " * 600 + "é" + "c" * 2500 + " d", [(1201, 3701)]),
        ("a" + " " * 199 + "b" + "\t \n" * 80 + "c" * 1000, [(201, 441), (441, 1441)]),
    ],
)
def test_long_runs_are_found_whole(text, blobs):
    assert [match.span() for match in BLOB.finditer(text)] == blobs and may_have_blobs(text)


@pytest.mark.parametrize(
    "text", ["", "a" * 999, ("é" * 500 + " ") * 199, "a" + " \n\x85\xa0\u3000" * 39 + "\x1c \u2028 b"]
)
def test_a_text_without_long_runs_is_not_searched_for_them(text):
    assert not may_have_blobs(text) and not BLOB.search(text) and may_have_blobs(f"{text} {'a' * 1000}")


def sentences_of(text: str, language: str) -> list[str]:
    return [text[start:end] for start, end in segment(text, language)]


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Mr. T. S. Elmer Jr. paid approx. $3.5 million.", "Yahoo! bought no part of it.", '"Go!" she said.']),
        ("en", ["Mrs. Vane of the U.S. Mill Society left.", "She moved to the U.S.", "Her sister stayed in the U.S.", "Nobody knew."]),
        ("en", ["She moved to the U.S.", "The Mill Society left."]),
        ("en", ["It closed at 5 p.m.", "At 6 p.m. Greta left."]),
        ("en", ['"Go!" Greta said.', "He went."]),
        ("en", ["It was built in 1903.[1][2]", "It fell in 1911.²", "Why?"]),
        ("en", ["Mr. Vane wrote: “It came.” 🎉", "He left."]),
        ("de", ["Sie kam am 3. Mai 1897 mit Dr. h. c. Ernst Lind.", "Er wohnt in der Mühlstr. 12 am See."]),
        ("de", ["Hr. Lind kam in die Mühlstr.  12 am See.", "Er sagte: „Ja.“", "Dann ging er."]),
        ("de", ["Abb. Drei zeigt ihn.", "Er ging."]),
        ("de", ["Oberwinden a. d. Elz und Frankfurt a.d. Oder liegen fern.", "Freiburg i. Br. und Emden auch."]),
        ("de", ["Das Grundstück Flst. Nr. 418/3 kauft die Fa. Burger.", "Az. Nr. 5 gilt gem. Abschn. Drei."]),
        ("de", ["Er ist Oberst a. D.", "Sie kam in die Stadt.", "Es fehlt Vitamin D.", "Er ging."]),
        ("de", ["Der Abstand beträgt mind. 5 m und max. 9 m.", "Bei max. Drehzahl und zul. Gewicht läuft er.", "Er steht."]),
        ("de", ["Er wiegt 5 kg max.", "Der Hof gehört Max.", "Er heißt so."]),
        ("de", ["Siehe Kap. Wartung, Pos. A3, Anh. B oder Tel. Nord, einschl. Filter.", "Er ging."]),
        ("en", ["It takes max. 3 people, min. 2, incl. Ann.", "She turned it to max.", "He changed his mind.", "5 were left."]),
        ("es", ["Pesa máx. 5 kg, mín. 2 kg.", "Son 5 kg máx.", "El motor es nuevo."]),
        ("fr", ["Il pèse env. 5 kg, voir fig. A.", "Il dort."]),
        ("pl", ["Waży maks. 5 kg.", "Jest tu."]),
        ("nl", ["Zie blz. A3 en tel. Jansen.", "Hij is weg."]),
        ("ru", ["Вес макс. 5 кг.", "Он стоит."]),
        ("en", ["See Chap. 4 and Doc. 12 in Rm. 3.", "Ask the Dept. 7 clerk.", "It is no. 5."]),
        ("de", ["Er verkauft:", "1. Tische, Stühle u. a. 2. Lampen u. a. 3. Bilder."]),
        ("fr", ["« Il ne s’éteint jamais ! »", "En 1944, M. Le Goff l’a vu."]),
        ("ru", ["Мост построен в 1911 г. по проекту А. С. Вершинина.", "Он стоил 3,2 млн руб. и стоит."]),
        ("hi", ["इसे डॉ. मीरा वर्मा ने बनाया।", "क्या यह बंद हुआ?"]),
        ("hi", ["कं. का नाम है।", "वे गए।"]),
        ("hi", ["वह आया.", "मीरा गई."]),
        ("el", ["Ποιος τον έσβησε;", "Κανείς, ούτε το 1944 μ.Χ.", "Τον φυλάει η Ελένη."]),
        ("zh", ["大桥于1932年通车。[12]", "桥上有八条车道；", "不收通行费。", "谢谢你！🎂", "明年再见。"]),
        ("xx", ["Мост стоит.", "Он стоит."]),
        ("ja", ["門が開いた；彼は行った。", "雨だ。"]),
    ],
)  # fmt: skip
def test_sentences_by_language(language, sentences):
    text = ("" if language in ("zh", "ja") else " ").join(sentences)
    assert sentences_of(text, language) == sentences


def test_a_sentence_ends_without_a_space_but_an_address_of_the_web_does_not():
    text = "It opened in 1991.It cost 3.2 million crowns. See www.marrow.Example now."
    assert sentences_of(text, "en") == [
        "It opened in 1991.",
        "It cost 3.2 million crowns.",
        "See www.marrow.Example now.",
    ]


def test_sentences_of_the_same_words_have_their_own_places():
    assert segment("It rains. It rains. It rains.", "en") == [(0, 9), (10, 19), (20, 29)]


def test_a_line_break_ends_a_sentence_and_none_before_it():
    assert sentences_of("Er schrieb an Hrn.\nLind kam.", "de") == ["Er schrieb an Hrn.", "Lind kam."]
    assert sentences_of("Hr. Lind kam\nEr ging.", "de") == ["Hr. Lind kam", "Er ging."]
    assert sentences_of("Er sah Hrn. Lind\nund ging.", "de") == ["Er sah Hrn. Lind\nund ging."]


def test_a_quotation_is_one_sentence_unless_it_lacks_its_end():
    spoken = ["It rained."] * 70
    assert sentences_of(" ".join([*spoken, "He said: “Come in. Sit down.”", "She sat."]), "en") == [
        *spoken,
        "He said: “Come in. Sit down.”",
        "She sat.",
    ]
    assert sentences_of(" ".join(["She sat.", "He said: “It rains.", *spoken]), "en") == [
        "She sat.",
        "He said: “It rains.",
        *spoken,
    ]


def test_a_quotation_of_up_to_600_characters_stays_whole():
    text = f"“It rains. {'It rained. ' * 52}It is {'x' * 9}.”"
    assert len(text) == 600 and sentences_of(text, "en") == [text]
    assert len(sentences_of(text.replace(".”", "x.”"), "en")) == 54


def test_encoded_data_between_sentences_leaves_them_where_they_are():
    data = "QUJD" * 300
    assert sentences_of(f"It rains. {data} Mr. Vane left. He went.", "en") == [
        "It rains.",
        f"{data} Mr. Vane left.",
        "He went.",
    ]


@pytest.mark.parametrize(
    ("language", "text", "rules"),
    [
        ("de", "", "de"),
        ("DE", "", "de"),
        ("pt-BR", "", "pt"),
        ("zh_CN", "", "zh"),
        ("no", "", "da"),
        ("ca", "", "es"),
        ("xx", "It rains.", "en"),
        ("auto", "It rains.", "en"),
        ("auto", "Мост стоит.", "ru"),
        ("xx", "下雨了。", "zh"),
        ("xx", "大桥 spans the river, as everyone knows.", "en"),
        ("xx", "a" * 1600 + "大" * 401, "en"),  # 400 of the first 2,000
        ("xx", "a" * 1599 + "大" * 401, "zh"),
    ],
)
def test_the_rules_are_those_of_the_language_or_of_the_script_of_a_fifth_of_the_text(language, text, rules):
    assert rules_for(language, text) == rules


@pytest.mark.parametrize(
    ("text", "language", "ends"),
    [("It rains.", "en", True), ("It rains;", "en", False), ("Ποιος;", "el", True), ("Ποιος", "el", False), ("“Go!”", "en", True)],
)  # fmt: skip
def test_a_semicolon_ends_a_sentence_in_greek_alone(text, language, ends):
    assert ends_sentence(text, language) is ends
