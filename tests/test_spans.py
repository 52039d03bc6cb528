"""Dates, times, versions, amounts, names and addresses are one span or none, in many forms and languages."""

from __future__ import annotations

import pytest

from data_processor.curation import is_supported
from data_processor.small_model.cloze import CHINESE
from data_processor.span_words import language_of, months, units
from data_processor.spans import find_spans


def spans(text: str, context: str = "") -> list[str]:
    return [text[start:end] for start, end, _ in find_spans(text, context)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It came on 2024-03-15 to Oslo.", [("2024-03-15", "date"), ("Oslo", "name")]),
        ("It was signed on 03/07/2023 at 10:30.", [("03/07/2023", "date"), ("10:30", "time")]),
        ("She took over on Sep 4, 2025.", [("Sep 4, 2025", "date")]),
        ("It burnt on May 9th, 1991.", [("May 9th, 1991", "date")]),
        ("It burnt on May 3.", [("May 3", "date")]),
        ("It ran from 4 to 9 April 1987.", [("4 to 9 April 1987", "date")]),
        ("It is of the 19th century, or of 44 BC.", [("19th century", "date"), ("44 BC", "date")]),
        ("Die Weberei wurde am 3. Mai 2027 um 8.30 Uhr eröffnet.", [("3. Mai 2027", "date"), ("8.30 Uhr", "time")]),
        ("Le phare fut allumé le 1er mars 1887 à 18 h 30.", [("1er mars 1887", "date"), ("18 h 30", "time")]),
        ("El puente se abrió el 4 de abril de 1987.", [("4 de abril de 1987", "date")]),
        ("Он открыт 15 марта 2024 года.", [("15 марта 2024 года", "date")]),
        ("Он вышел в октябре 1954 года.", [("октябре 1954 года", "date")]),
        ("Od 1970 roku go nie ma, od 17 września 1951 r. tak.", [("1970", "year"), ("17 września 1951 r.", "date")]),
        ("渡口于2024年5月3日上午10点30分开放。", [("2024年5月3日", "date"), ("上午10点30分", "time")]),
        ("自20世纪80年代以来", [("20世纪80年代", "date")]),
        ("灯台は昭和62年4月4日に完成した。", [("昭和62年4月4日", "date")]),
        ("أُضيئت المنارة في ٤ أبريل ١٩٨٧", [("٤ أبريل ١٩٨٧", "date")]),
    ],
)
def test_a_date_or_time_is_whole(text, expected):
    assert [(text[start:end], kind) for start, end, kind in find_spans(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It cost $3.5 million, then €1,250.50, then £12k.", ["$3.5 million", "€1,250.50", "£12k"]),
        ("Das kostete den Mann 1.250,50 Euro und 1.250 Frauen.", ["1.250,50 Euro", "1.250 Frauen"]),
        ("Il coûta 1 250,50 francs.", ["1 250,50 francs"]),
        ("Costó 1.250.000 pesetas o 12,5 millones de euros.", ["1.250.000 pesetas", "12,5 millones de euros"]),
        ("Ремонт стоил 3,2 миллиона крон и 7 000 000 квадратных километров.", ["3,2 миллиона крон", "7 000 000 квадратных километров"]),
        ("It fell by 12 % to -4.5 °C, 1.88 m and 0.6 to 5.6 °C.", ["12 %", "-4.5 °C", "1.88 m", "0.6 to 5.6 °C"]),
        ("It cost 12 EUR and then 3.2 million USD, for 250 Frenchmen.", ["12 EUR", "3.2 million USD", "250", "Frenchmen"]),
        ("Es war in der Zeit, als 1945 Truppen mit 250 Wagen kamen.", ["1945", "250 Wagen"]),
        ("It dries 5 km2/day, or 5 km2/way.", ["5 km2/day"]),
        ("It runs 60 miles/hour for $9/day or 25 EUR/hour.", ["60 miles/hour", "$9/day", "25 EUR/hour"]),
        ("It takes 68 l/s, 5 l/100 km and 300 dots/inch.", ["68 l/s", "5 l/100 km", "300 dots/inch"]),
        ("Es kostet 4 Euro/Stunde oder 96 €/m².", ["4 Euro/Stunde", "96 €/m²"]),
        ("Cela coûte 12 euros/jour et 5 litres/minute.", ["12 euros/jour", "5 litres/minute"]),
        ("It has 3 cats/dogs and 4 hours/days.", []),
        ("估计有 16,000 个品种，造价三百二十万元。", ["16,000 个", "三百二十万元"]),
        ("In 1990 sales rose, and 40 sales fell.", ["1990", "40 sales"]),
        ("La boîte tient 3 pouces cubes et 5 onces liquides métriques.", ["3 pouces cubes", "5 onces liquides métriques"]),
        ("Конденсатор має 12 фарадів.", ["12 фарадів"]),
        ("The score was 28-27, the ratio 1:250 000.", ["28-27", "1:250 000"]),
        ("He is a 12-year-old of the mid-1990s with 3-phosphate.", []),
    ],
)  # fmt: skip
def test_an_amount_is_whole_or_none(text, expected):
    assert spans(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("They met J. R. R. Tolkien and A.J. Tarn.", ["J. R. R. Tolkien", "A.J. Tarn"]),
        ("We heard Ludwig van Beethoven and Inés de la Vega.", ["Ludwig van Beethoven", "Inés de la Vega"]),
        ("We met Mary O'Neill-Smith and Dr. Maarten J. van den Berg.", ["Mary O'Neill-Smith", "Dr. Maarten J. van den Berg"]),
        ("It is by Abd al-Rahman ibn Khalid, of AT&T.", ["Abd al-Rahman ibn Khalid", "AT&T"]),
        ("Мост строил Александр Сергеевич Вершинин.", ["Александр Сергеевич Вершинин"]),
        ("It is in the U.S. and on 42nd Street, at 12 Mill Lane.", ["U.S.", "42nd Street", "12 Mill Lane"]),
        ("A non-German saw acetyl-CoA there.", []),
        ("他叫菲尔丁·H·加里森。", []),
    ],
)  # fmt: skip
def test_a_name_is_whole_or_none(text, expected):
    assert spans(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It needs v2.4.1 or Kestrel 2.1.0-rc.1.", ["v2.4.1", "Kestrel 2.1.0-rc.1"]),
        ("The part is AX-4471/b, after ISO 8601-1:2019.", ["AX-4471/b", "ISO 8601-1:2019"]),
        ("Write to jens.holm@example.org or see https://example.org/a?b=1.2.", ["jens.holm@example.org", "https://example.org/a?b=1.2"]),
        ("Call +47 22 55 01 42 now.", ["+47 22 55 01 42"]),
        ("Das steht in § 5 Abs. 2 BGB.", ["§ 5 Abs. 2 BGB"]),
        ("Notice under Art. 5 is due, by GDPR Art. 6(1).", ["Art. 5", "Art. 6(1)"]),
    ],
)  # fmt: skip
def test_a_code_an_address_or_a_provision_is_whole(text, expected):
    assert expected == [found for found in spans(text) if any(map(str.isdigit, found)) or "@" in found]


def test_i_is_no_name_but_a_number_of_kings_is():
    text = "In 1987 I repaired it, and Greta Solvang and I were there. I'm Ann Pellow."
    assert spans(text) == ["1987", "Greta Solvang", "Ann Pellow"]
    assert spans("King William I saw World War I.") == ["King William I", "World War I"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Die Weberei hat das Gebäude an der Straße nicht verkauft.", []),
        ("Die Frau und der Mann haben Ernst Hallgarten an der USA getroffen.", ["Ernst Hallgarten", "USA"]),
        ("Les ponts de la ville sont vus par Yves Le Goff.", ["Yves Le Goff"]),
        ("Los puentes y las torres son de Juan Vega.", ["Juan Vega"]),
        ("Однако, это не так, и он знал это.", []),
        ("Он создал Национальный фронт и был там.", []),
        ("However, it was not so.", []),
        ("Alternatively Ann Pellow was there.", ["Ann Pellow"]),
    ],
)
def test_what_merely_has_a_capital_is_no_name(text, expected):
    assert spans(text) == expected


def test_a_german_fact_may_not_name_what_its_sentence_does_not():
    assert is_supported("Der Mann ist in der Stadt Ulm.", "Der Mann ist heute in der Stadt Ulm.")
    assert not is_supported("Der Mann ist in der Stadt Köln.", "Der Mann ist heute in der Stadt Ulm.")


@pytest.mark.parametrize(
    ("text", "quoted"), [("Маяк «Янтарь» был зажжён.", "Янтарь"), ("Das Wort „tragen“ ist es.", "tragen")]
)
def test_quotation_marks_of_other_languages(text, quoted):
    assert spans(text) == [quoted]


def test_the_words_of_cldr():
    for read in (months, units):
        read.cache_clear()
    whole, short, alone = months()
    assert {"марта", "März", "février", "абреля"} & whole == {"марта", "März", "février"}
    assert "Sept" in short and "October" in alone and "mars" not in alone
    powers, words, codes = units()
    assert {"Millionen", "миллиона"} <= powers and {"крон", "francs", "square kilometers"} <= words and "CHF" in codes
    assert not {"won", "is", "silver"} & words
    assert not any(char.isdigit() for power in powers for char in power), "0 of 00 million is not part of the word"


def test_the_language_is_that_of_most_small_words():
    assert [language_of(text) for text in ("Das ist es nicht.", "C'est la vie.", "Это не он.", "It is so.", "大桥")] == [
        "de", "fr", "ru", "en", "en",
    ]  # fmt: skip


def test_every_kind_of_span_has_its_chinese_question_phrase():
    assert {"date", "month", "year", "time", "number", "money", "name", "quoted", "code"} <= set(CHINESE)
