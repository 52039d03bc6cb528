"""Numbers, dates and times in one form, whatever the language writes them as. No model."""

from __future__ import annotations

import pytest

from evaluation.contradiction import says_yes
from evaluation.quantities import parse_number, rewrite


@pytest.mark.parametrize(
    ("text", "language", "value"),
    [
        ("1250", "de", 1250), ("-3", "en", -3), ("+7", "en", 7),
        ("1.250", "de", 1250), ("1,250", "en", 1250), ("1.250.000", "de", 1250000), ("1,250,000", "en", 1250000),
        ("1,250", "de", 1.25), ("1.250", "en", 1.25), ("0,5", "fr", 0.5), ("0.5", "zh", 0.5), ("-3,5", "sv", -3.5),
        ("1.250,50", "de", 1250.5), ("1,250.50", "en", 1250.5), ("12.480,75", "es", 12480.75),
        # In the form of another language, where its own cannot be meant.
        ("3.5", "de", 3.5), ("3,5", "en", 3.5), ("-3.25", "fr", -3.25), ("+1250,5", "zh", 1250.5),
        ("1,250.50", "de", 1250.5), ("1.250,50", "en", 1250.5), ("-1,250,000.5", "ru", -1250000.5), ("1.250.000,5", "zh", 1250000.5),
        ("12,34,567", "en", 1234567),
        ("1.2.3", "en", None), ("1,2,3", "de", None), ("", "en", None),
    ],
)  # fmt: skip
def test_the_value_of_digits(text, language, value):
    assert parse_number(text, language) == value


@pytest.mark.parametrize(
    ("text", "language", "rewritten"),
    [
        ("12 480 Leute, 12'480 m", "de", "12480 leute, 12480 m"),
        ("2,5 Millionen", "de", "2500000"),
        ("4 Euro 50 und 3 Euro 20", "de", "4,50 euro und 3,20 euro"),
        ("mit 3 zu 1", "de", "mit 3:1"),
        ("2/3, 3/4", "de", "67 % , 75 %"),
        ("vierzehntägig, dreimonatige", "de", "14 tage, 3 monate"),
        ("um halb drei nachmittags", "de", "um 14:30 nachmittags"),
        ("um 3 Uhr 20, ein Uhr", "de", "um 3:20, 1:00"),
        ("9 bis 17 Uhr", "de", "9:00 bis 17:00"),
        ("am 4. Mai 2027", "de", "am 4 month#5 2027"),
        ("May 2027, the 21st", "en", "month#5 2027, the 21"),
        ("the third day, twenty-first of May", "en", "the 3 day, 21 month#5"),
        ("le deuxième jour", "fr", "le 2 jour"),
        ("второй день", "ru", "2 день"),
        ("on 2027-05-04", "en", "on 04 month#5 2027"),
        ("le 04/05/2027", "fr", "le 04 month#5 2027"),
        ("à 14 h 30 et 9h05", "fr", "à 14:30 et 9:05"),
        ("moins 12 degrés, au moins 21 jours", "fr", "-12 degrés, au moins 21 jours"),
        ("menos 5, al menos 23, por lo menos 4", "es", "-5, al menos 23, por lo menos 4"),
        # An article is no number, but a part of one is, and a word that stands alone.
        ("un pont et vingt et un bateaux", "fr", "una pont et 21 bateaux"),
        ("un puente y treinta y un barcos", "es", "una puente y 31 barcos"),
        ("un million", "fr", "1000000"),
        ("un", "fr", "1"),
        ("每周三和星期日开门，礼拜六关门", "zh", "每weekday#3 和weekday#7 开门,weekday#6 关门"),
        ("5月4日到12月1号", "zh", "4 month#5 到 1 month#12"),
        ("2027年5月4日", "zh", "4 month#5 2027"),
        ("1997年5月，1998年", "zh", "month#5 1997 , 1998"),
        ("2027-05-04", "zh", "4 month#5 2027"),
        ("2/3的人", "zh", "67 %的人"),
        ("百分之三点五", "zh", "3.5%"),
        ("下午两点半，上午九点十五分", "zh", "14:30 , 9:15"),
        ("十二点到晚上八点", "zh", "12:00 到 20:00"),
        ("零下五度，两点五公里", "zh", "-5度,2.5公里"),
        ("3.5万人，三千二百万", "zh", "35000人,32000000"),
        ("以3比1获胜", "zh", "以 3:1 获胜"),
        ("一个半小时，1,200元", "zh", "1.5个小时,1200元"),
        ("每周一次，一次", "zh", "每周,1次"),
        ("兩個月三十天", "zh", "2个月30天"),
    ],
)  # fmt: skip
def test_a_text_with_its_numbers_dates_and_times_in_one_form(text, language, rewritten):
    assert " ".join(rewrite(text, language).split()) == rewritten


@pytest.mark.parametrize(
    ("text", "question", "language", "answer"),
    [
        ("是的，不能拍照。", "机房里不能拍照吗？", "zh", True),  # the first word counts, whatever follows
        ("对，没有人。", "那里没有人吗？", "zh", True),
        ("需要，没有例外。", "需要申请吗？", "zh", True),
        ("否，免费。", "要钱吗？", "zh", False),
        ("不可以。", "可以进吗？", "zh", False),
        ("拍照被禁止。", "机房里禁止拍照吗？", "zh", True),  # what is forbidden is asked for
        ("拍照没有问题。", "机房里禁止拍照吗？", "zh", True),
        ("Ja, das darf man nicht.", "Ist es verboten?", "de", True),
        ("Nein, es ist offen.", "Ist es zu?", "de", False),
        ("Jahrelang war es nicht offen.", "War es offen?", "de", False),  # no word of it is a yes
        ("Non, c'est ouvert.", "Est-ce fermé ?", "fr", False),
        ("¡Sí! No está cerrado.", "¿Está abierto?", "es", True),
        ("Да, не закрыто.", "Открыто?", "ru", True),
    ],
)
def test_yes_or_no_is_told_by_the_first_word_or_else_by_what_is_denied(text, question, language, answer):
    assert says_yes(text, question, language) is answer
