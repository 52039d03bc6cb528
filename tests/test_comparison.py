"""Answers in German, Chinese, French, Spanish and Russian: what counts as the same. No model."""

from __future__ import annotations

import pytest

from evaluation import accuracy, matching, win_rate
from evaluation.answer_language import answer_language
from evaluation.contradiction import split_yes_or_no
from evaluation.quantities import Quantity, folded, shown, with_plain_numbers
from evaluation.reading import Reading, read

SAME = [  # question, reference, response
    # numbers, amounts, units
    ("Wie viel kostet der Kurs?", "1.250,50 Euro", "Er kostet EUR 1250,50."),
    ("Um wie viel stieg der Preis?", "um 3,5 Prozent", "Er stieg um 3.5 %."),
    ("Wie lange gilt das Angebot?", "dreißig Tage", "Es gilt 30 Tage lang."),
    ("Wie lange dauert der Film?", "anderthalb Stunden", "90 Minuten"),
    ("Wie lang ist die Frist?", "zwei Wochen", "Es gilt eine vierzehntägige Frist."),
    ("Wie viele Leute kamen?", "neun Personen", "Es kamen 9."),
    ("Wie hoch ist der Umsatz?", "2,5 Millionen Euro", "2.500.000 €"),
    ("Wie kalt war es gestern in der Halle?", "minus 12 Grad", "Es waren -12 °C."),
    ("这个课程多少钱？", "1,200元", "一千二百元。"),
    ("优惠多长时间有效？", "三十天", "有效期为30天。"),
    ("价格上涨了多少？", "3.5%", "上涨了百分之三点五。"),
    ("电影有多长？", "一个半小时", "大约90分钟。"),
    ("镇上有多少人？", "12,480人", "1.248万"),
    ("Combien de jours dure la foire ?", "21 jours", "Elle dure vingt-et-un jours."),
    ("¿Cuántos días dura la feria?", "23 días", "Dura veintitrés días."),
    ("Сколько дней длится ярмарка?", "28 дней", "Она длится двадцать восемь дней."),
    # a language told by one word
    ("Wie viel?", "3,5 Prozent", "3,5 %"),
    ("Wie viele Tage?", "30 Tage", "Es sind dreissig Tage."),
    ("Wessen?", "des Rudervereins", "dem Ruderverein"),
    ("Combien ?", "quatre-vingt-dix-sept", "97"),
    ("¿Quién?", "Inés Cordero", "Ines Cordero"),
    ("Сколько?", "тридцать дней", "30 дней"),
    ("Какова площадь зала?", "2400 квадратных метров", "2 400 м²"),
    ("Combien de jours dure la foire ?", "21 jours", "Elle dure au moins 21 jours."),
    ("¿Cuántos días dura la feria?", "23 días", "Dura al menos 23 días."),
    ("Combien fait-il dans la halle ?", "-12 degrés", "Il fait moins 12 degrés."),
    # what text2num does not read
    ("Сколько человек пришло?", "15 человек", "Пришло пятнадцать человек."),
    ("Сколько ему лет?", "32 года", "около тридцати двух лет"),
    ("Сколько там домов?", "250", "не менее двухсот пятидесяти домов"),
    ("Когда?", "двадцать первого мая", "21 мая"),
    # dates and times
    ("Wann beginnt die Messe?", "am 4. Mai 2027", "04.05.2027"),
    ("Wann beginnt der Kurs am Nachmittag?", "um 14:30 Uhr", "um halb drei nachmittags"),
    ("Во сколько начинается смена?", "в 14:30", "в 14.30"),
    ("展会什么时候开始？", "2027年5月4日", "二〇二七年五月四日"),
    ("课程几点开始？", "14:30", "下午两点半"),
    ("Quando è stata fondata?", "il 3 maggio 1897", "3.5.1897"),
    # inflection, compounds, names
    ("Wie viele Urlaubstage gibt es?", "20 Urlaubstage", "Es gibt 20 Tage Urlaub."),
    ("Woraus ist die Tür gemacht?", "aus Lindenholz", "Sie ist aus dem Holz der Linde."),
    ("Wer muss zustimmen?", "der Vorstand", "Nötig ist die Zustimmung des Vorstands."),
    ("Wo sitzt die Stiftung?", "in Osnabrück", "Die Stiftung sitzt in Osnabrueck."),
    ("Wer leitet die Abteilung?", "Dr. Sabine Hölzl", "Frau Hoelzl leitet sie."),
    ("谁是部门负责人？", "林雅婷", "林雅婷經理負責。"),
    ("В каком городе находится фонд?", "в Вологде", "Город Вологда"),
    ("谁设计了灯塔？", "皮特·哈洛兰", "皮特·哈洛兰"),
    ("她赢得了哪一届比赛？", "第 12 届杯赛", "第12届杯赛"),
    ("哪位国王邀请了他们？", "腓特烈二世", "是腓特烈二世。"),
    ("停业的原因是什么？", "第二次世界大战", "因为第二次世界大战"),
    ("谁修了桥？", "一位工程师", "工程师"),
    ("他买了什么？", "红色的木门", "他买了红色木门。"),
    ("门是什么颜色？", "蓝色", "蓝的。"),
    ("Was trägt man in der Halle?", "einen Helm", "Man trägt einen Schutzhelm."),
    ("Was trägt man in der Halle?", "einen Schutzhelm", "Man trägt einen Helm zum Schutz."),
    ("Was muss man beilegen?", "CV", "Curriculum Vitae"),
    ("Wer gründete die Schule?", "Anna Maria Bell", "Das war Anna Bell."),
    ("Wer leitet die Schule?", "Sabine Hölzl", "S. Hölzl leitet sie."),
    ("Wer leitet die Schule?", "Sabine Hölzl und Jens Petersen", "S. Hölzl und J. Petersen"),
    ("Wer leitet die Schule?", "Sabine Hölzl ist es.", "Frau Hölzl leitet sie."),
    ("Wer leitet die Schule?", "die erfahrene Bauleiterin Dr. Sabine Hölzl", "Frau Hölzl leitet sie."),
    ("In welcher Währung zahlt man?", "in Euro", "Man zahlt in Euro."),
    # versions, addresses and sections are no numbers
    ("Welche Version läuft?", "Version 2.3.10", "Es läuft v2.3.10."),
    ("Quelle est l'adresse du serveur ?", "10.0.0.1", "C'est 10.0.0.1."),
    # yes and no: the rest of a reference says why
    ("Dürfen Hunde mit?", "Nein, ihre Krallen ruinieren die Planken.", "Nein, Hunde sind nicht erlaubt."),
    ("Ist samstags geöffnet?", "Ja, bis 14:30 Uhr.", "Ja."),
    ("Les chiens sont-ils admis ?", "Non, leurs griffes abîment le pont.", "Non."),
    ("狗可以上船吗？", "不可以，爪子会划伤甲板。", "不可以。"),
    ("Est-ce ouvert ?", "Non", "Ce n'est pas ouvert."),
    ("Ist Rauchen erlaubt?", "Ja", "Rauchen ist nicht verboten."),
    ("Brennt das Licht im Winter?", "Nein", "Jahrelang brannte es im Winter nicht."),
    ("Darf man im Labor fotografieren?", "Nein", "Das Fotografieren ist im Labor untersagt."),
    ("进入机房需要申请吗？", "需要", "是，必须申请。"),
]
DIFFERENT = [
    # a refusal is no "no", and what speaks of something else no "yes"
    ("Ist das Rauchen erlaubt?", "Nein", "Das weiß ich nicht."),
    ("可以吸烟吗？", "不可以", "文中没有说明。"),
    ("Est-ce permis ?", "Non", "Je ne sais pas."),
    ("¿Está permitido?", "No", "No se sabe."),
    ("Это разрешено?", "Нет", "В тексте об этом не сказано."),
    ("Ist das Rauchen erlaubt?", "Ja", "Die Brücke wurde im Sommer rot gestrichen."),
    ("Ist das Rauchen erlaubt?", "Ja", "Ja und nein."),
    ("Welche Version läuft?", "Version 2.3.1", "Es läuft Version 2.3.10."),
    ("Welche Adresse hat der Server?", "10.0.0.1", "Er hat 10.0.0.2."),
    ("Welcher Abschnitt regelt das?", "3.2.1", "Das ist mir neu."),
    ("¿Qué versión usa el servidor?", "2.3.1", "Usa la 2.3.2."),
    ("Какая версия установлена?", "2.3.1", "Установлена 2.3.10."),
    ("Dürfen Hunde mit?", "Nein, ihre Krallen ruinieren die Planken.", "Ja, ihre Krallen ruinieren die Planken nicht."),
    ("Ist samstags geöffnet?", "Ja, bis 14:30 Uhr.", "Ja, bis 15:30 Uhr."),
    ("Wie viel kostet der Kurs?", "1.250,50 Euro", "Er kostet 1.205,50 Euro."),
    ("Um wie viel stieg der Preis?", "um 3,5 Prozent", "Er stieg um 35 Prozent."),
    ("Um wie viel stieg der Preis?", "um 3,5 Prozent", "Er sank um 3,5 Prozent."),
    ("Wie lange gilt das Angebot?", "dreißig Tage", "Es gilt dreißig Wochen."),
    ("Wann beginnt die Messe?", "am 4. Mai 2027", "am 5. April 2027"),
    ("Wann beginnt der Kurs?", "um 14:30 Uhr", "Er beginnt um 14:15 Uhr."),
    ("Was liegt unter dem Turm?", "feiner Sand auf hartem Lehm", "Unter ihm liegt harter Lehm."),
    ("Wer muss zustimmen?", "der Vorstand", "Der Vorstand muss nicht zustimmen."),
    ("Wer entdeckte den Kometen am Himmel?", "Heinrich Olber", "Entweder Heinrich Olber oder Karl Amann."),
    ("Wer entdeckte den Kometen am Himmel?", "Heinrich Olber", "Heinrich Olber, Karl Amann oder Otto Horn"),
    ("Wer leitet die Abteilung?", "Dr. Sabine Hölzl", "Martin Hölzl leitet sie."),
    ("Was ist beizulegen?", "Lebenslauf, Zeugnisse und Foto", "Lebenslauf und Zeugnisse sind beizulegen."),
    ("Wer wurde Vorsitzende und wer Stellvertreter?", "Vorsitzende: Claudia Meiß, Stellvertreter: Jens Petersen",
     "Jens Petersen hat den Vorsitz, Claudia Meiß die Stellvertretung."),
    ("Darf man im Labor fotografieren?", "Nein", "Das Fotografieren ist im Labor erlaubt."),
    ("展会什么时候开始？", "2027年5月4日", "2027年4月5日"),
    ("谁设计了灯塔？", "皮特·哈洛兰", "皮特·安洛斯"),
    ("汉斯·德林出生于哪里？", "德国", "英国"),
    ("那里哪个政党最强大？", "自由党", "国家党"),
    ("她赢得了哪一届比赛？", "第 12 届杯赛", "第13届杯赛"),
    ("这个课程多少钱？", "1,200元", "1.2万元"),
    ("谁是部门负责人？", "林雅婷", "负责人是林雅琴。"),
    ("谁修了桥？", "一位工程师", "三位工程师"),
    ("他们修了几座桥？", "一座桥", "三座桥"),
    ("Wer?", "die Mieterin", "die Vermieterin"),
    ("Was ist frei?", "der Urlaubstag", "die Tagung im Urlaub"),
    ("明天谁来？", "王小明", "王小红。"),
    ("Was kostet es?", "1.250 Euro", "1,250 Euro"),
    ("Quando è stata fondata?", "il 3 maggio 1897", "5.3.1897"),
    ("Сколько ему лет?", "32 года", "около двадцати двух лет"),
    ("Какова площадь зала?", "2400 квадратных метров", "2400 кубометров"),
    ("С какого возраста?", "с восьми лет", "до 8 лет"),
    ("Во сколько начинается смена?", "в 14:30", "в 15.30"),
    ("谁来批准？", "董事会", "不需要董事会批准。"),
    ("谁来批准？", "董事会", "董事会或监事会批准。"),
    ("几岁以上可以参加？", "8岁以上", "8岁以下可以参加。"),
    ("Сколько дней длится ярмарка?", "28 дней", "Она длится двадцать шесть дней."),
]  # fmt: skip


@pytest.mark.parametrize(("question", "reference", "response"), SAME)
def test_the_same(question, reference, response):
    assert matching.match(reference, response, question)


@pytest.mark.parametrize(("question", "reference", "response"), DIFFERENT)
def test_not_the_same(question, reference, response):
    assert not matching.match(reference, response, question)


def test_an_empty_response_is_no_answer():
    assert not matching.match("der Vorstand", "", "Wer muss zustimmen?")


REFUSALS = ["Das steht nicht im Text.", "Dazu liegen keine Angaben vor.", "文中没有说明。", "资料里没有相关信息。",
            "Le texte ne le précise pas.", "Cela n'est pas précisé.", "Le nom n'a pas été communiqué.", "No está claro.",
            "El texto no lo dice.", "В тексте об этом не сказано."]  # fmt: skip
ANSWERS = ["Das Passwort lautet admin.", "Die Halle ist im Winter nicht geheizt.", "初始密码是123456。",
           "Le mot de passe est admin.", "La salle n'est pas chauffée.", "La casa no está pintada.", "La contraseña es admin.", "Пароль: admin."]  # fmt: skip


def test_what_says_that_the_answer_is_not_known():
    assert [text for text in REFUSALS if not matching.says_unknown(text)] == []
    assert [text for text in ANSWERS if matching.says_unknown(text)] == []


def test_what_a_reference_says_beside_yes_or_no():
    assert split_yes_or_no("Nein, erst ab 18.", "de") == (False, "erst ab 18.")
    assert split_yes_or_no("Yes.", "en") == (True, "") and split_yes_or_no("Yesterday.", "en") == (None, "Yesterday.")


def test_what_a_text_says():
    assert read("Man zahlt 4,50 Euro im März 2027.", "de") == Reading(
        [Quantity(4.5, "EUR", 4.5), Quantity(2027.0, None, 2027.0)], ["month#3"], ["man", "zahlt", "im"]
    )
    assert read("两周内付350元", "zh").quantities == [Quantity(1209600, "s", 2), Quantity(350, "CNY", 350)]
    assert read("de 9 à 17 heures", "fr").quantities == [Quantity(9, None, 9), Quantity(61200, "s", 17)]
    assert read("16 amperes", "en").quantities == [Quantity(16, "A", 16)]
    assert read("票价是¥50。", "zh").quantities == read("¥50", "zh").quantities == [Quantity(50, "CNY", 50)]
    assert read("3家公司，共占60%", "zh").quantities == [Quantity(3, None, 3), Quantity(60, "percent", 60)]
    assert read("Der Eintritt kostet EUR 40.", "de").quantities == [Quantity(40, "EUR", 40)]


@pytest.mark.parametrize(
    ("value", "language", "text"),
    [(3200000.0, "de", "3200000"), (2.5, "de", "2,5"), (2.5, "en", "2.5"), (0.125, "zh", "0.125"), (10.0, "fr", "10")],
)
def test_a_number_is_shown_as_its_language_writes_it(value, language, text):
    assert shown(value, language) == text


def test_numbers_of_a_language_without_words_are_written_plainly():
    assert with_plain_numbers("12.480 invånare, 3,1250 kg", "sv") == "12480 invånare, 3.125 kg"
    assert with_plain_numbers("1,250 kg と 1.250 kg", "ja") == "1250 kg と 1.25 kg"
    assert with_plain_numbers("Il 3 maggio 1897", "it").split() == ["3", "month5", "1897"]
    assert with_plain_numbers("15 Μαΐου 1990", "el").split() == ["15", "month5", "1990"]
    assert with_plain_numbers("Ιανουάριος 1990", "el").split() == ["month1", "1990"]
    assert not matching.match("3,1250 kg", "Den väger 3125 kg.", "Hur mycket väger klockan i kyrkan?")


def test_words_are_searched_with_ss_as_casefold_writes_it():
    assert folded(r"\bweiß\b") == r"\bweiss\b" and folded(["groß", "klein"]) == ["gross", "klein"]


def test_a_language_without_words_is_compared_as_before():
    assert matching.match("きつね", "きつねです")
    assert matching.match("21 giugno", "Si tiene il 21 giugno.", "Quando si tiene la festa del paese?")


def test_a_row_is_graded_with_its_question():
    row = {"question": "Wie viele Einwohner hat der Ort?", "reference": "12.480", "response": "12480 Einwohner"}
    assert matching.grade_row(row)[0] == "correct"
    assert matching.grade_row({**row, "kind": "unknown"})[0] == "incorrect"


@pytest.mark.parametrize(
    ("question", "reference", "language"),
    [
        ("Wie viel?", "3,5 Prozent", "de"),
        ("Wann?", "am 3. Mai 1897", "de"),
        ("Who wrote it?", "Ann Bell", "en"),
        ("Wer?", "Ann Bell", "de"),
        ("¿Quién?", "Ann Bell", "es"),
        ("Qui ?", "Ann Bell", "fr"),
        ("Кто?", "Анна Лунёва", "ru"),
        ("Хто збудував міст?", "Ганна Їжак", "uk"),
        ("", "84.6", "sv"),  # the default
    ],
)
def test_the_language_of_a_short_question_and_answer(question, reference, language):
    assert answer_language(question, reference, default="sv") == language


def test_a_foreign_name_makes_no_foreign_answer():
    assert answer_language("Who?", "José García") == "en"  # by letters Spanish
    assert answer_language("Who wrote it?", "Jörg von der Heide") == "en"


def test_an_answer_whose_language_cannot_be_told_is_read_in_that_of_the_file():
    rows = [{"question": "Wie lange dauert die Probezeit?", "reference": "1.250", "response": "1250"}] * 3
    assert matching.language_of_rows(rows) == "de"
    row = {"question": "", "reference": "1.250", "response": "1250"}
    assert accuracy.judge_answers([*rows, row], None)[-1]["verdict"] == "correct"
    assert accuracy.judge_answers([row], None)[-1]["verdict"] == "incorrect"
    assert win_rate.judge_pairs([*rows, row], [*rows, row | {"response": "3"}], None)[-1]["verdict"] == "win"
